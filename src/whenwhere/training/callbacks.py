"""What a training run tells whoever started it: progress, sentences for a person, and the work before the first update.

A callback is a subclass of `TrainingCallback` that overrides what it needs; every method does nothing by default. Only
the first process of a run calls them.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """How far a run is after an update.

    Attributes:
        step: Number of updates done.
        of: Number of updates in the whole run.
        metrics: Metrics of the last update.
        seconds: Seconds that the run has taken so far, pauses left out.
        left: Estimated seconds until the end, at the pace so far.
    """

    step: int
    of: int
    metrics: dict[str, float]
    seconds: float
    left: float


@dataclass
class EvaluatorHistory:
    """What an evaluator has measured so far, by the metric that decides which model is best.

    Attributes:
        base: The value before the first update. None if it was not measured then.
        best: The best value so far. None if there is none.
        best_step: Number of updates at the best value.
        waits: Number of evaluations in a row that were not better than the best by more than `min_delta`.
    """

    base: float | None = None
    best: float | None = None
    best_step: int = 0
    waits: int = 0


class RunStatus(Protocol):
    """A run as callbacks see it.

    Attributes:
        folder: Folder of the run.
        step: Number of updates done.
        saved: Number of updates in the last good state. None means that no state is saved yet.
        stop_requested: Set to True to stop after the current update; the state is saved first.
    """

    folder: Path
    step: int
    saved: int | None
    stop_requested: bool

    @property
    def history(self) -> Mapping[str, EvaluatorHistory]:
        """What each evaluator has measured, by its name."""
        ...

    @property
    def stoppable(self) -> bool:
        """Whether `stop_requested` has an effect: only in a run of one process."""
        ...

    def save_model(self, folder: Path) -> None:
        """Writes the model as it is now; may be called while it trains.

        Args:
            folder: Folder that is replaced when everything is written.
        """
        ...


class TrainingCallback:
    """Base class of callbacks of a training run. Subclasses override the methods that they need."""

    def on_start(self, run: RunStatus, of: int) -> None:
        """A run begins or is resumed; called before anything is loaded.

        Args:
            run: The run.
            of: Number of updates in the whole run; 0 if it follows from num_train_epochs and the data.
        """

    def on_message(self, text: str) -> None:
        """Called with a message for the user that is not a warning.

        Args:
            text: The sentence.
        """

    def on_warning(self, text: str) -> None:
        """Called with a warning for the user, for example about a sample that is skipped.

        Args:
            text: The sentence.
        """

    def on_preparation(self, what: str, done: int, of: int) -> None:
        """Called with the progress of work before the first update, such as measuring difficulty.

        Args:
            what: Name of the work, such as "measuring difficulty".
            done: How many parts of it are done.
            of: How many parts it has.
        """

    def on_update(self, progress: Progress) -> None:
        """Called after each update, when its metrics are written and its state is saved if one was due.

        Args:
            progress: How far the run is.
        """

    def on_evaluation(self, name: str, step: int, metrics: dict[str, float], best: bool) -> None:
        """Called after an evaluator has measured the model.

        Args:
            name: Name of the evaluator.
            step: Number of updates done.
            metrics: The metrics by name.
            best: Whether the model was kept as the best so far.
        """


class WarningsToStderr(TrainingCallback):
    """Prints warnings on stderr and nothing else; used by runs without callbacks."""

    def on_warning(self, text: str) -> None:
        """Prints the warning."""
        print(text, file=sys.stderr)  # noqa: T201


def clock(seconds: float) -> str:
    """A length of time for a person.

    Args:
        seconds: The length.

    >>> clock(8.4), clock(125), clock(7500)
    ('8 s', '2 min 5 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
