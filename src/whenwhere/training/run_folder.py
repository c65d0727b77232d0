"""The folder of a training run, the processes that share it, and the lines that are written into it.

    RUN/metrics.jsonl     a line every `logging_steps` updates
    RUN/items/            what single items contributed to the latest evaluation (`evaluate.item_values`)
    RUN/skipped.jsonl     samples that could not be used, and why
    RUN/completions/      what the policy wrote (RL)
    RUN/state/last.pt     the last good state (`training.checkpoint`)
    RUN/checkpoints/      the models of earlier updates (`training.kept_models`)
    RUN/checkpoint/       the result
    RUN/best/             the model with the best metric, where an evaluator keeps it (`training.evaluators`)

An objective sees nothing else of the run that trains it.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from whenwhere.errors import WhenwhereError
from whenwhere.store import append_line, read_lines
from whenwhere.training.callbacks import TrainingCallback, WarningsToStderr
from whenwhere.training.processes import Processes


class SampleError(WhenwhereError):
    """A sample cannot be used.

    Args:
        sample: Name of the sample.
        reason: A sentence that says why.
    """

    kind = "sample"

    def __init__(self, sample: str, reason: str) -> None:
        super().__init__(reason)
        self.sample = sample


class RunFolder:
    """A run's folder as its objective sees it.

    Args:
        folder: Folder of the run; it is made when something is written into it.
        about: Entries for the metadata of the trained model.
        callbacks: Callbacks for warnings and progress. None prints warnings on stderr.

    Attributes:
        folder: The folder.
        about: Entries for the metadata of the trained model, such as the recipe and its hash. More may be added until
            training begins.
        callbacks: The callbacks.
        processes: The processes that train together.
        step: Number of updates done.
    """

    def __init__(
        self,
        folder: str | Path,
        about: dict[str, Any] | None = None,
        callbacks: Sequence[TrainingCallback] | None = None,
    ) -> None:
        self.folder, self.about = Path(folder), dict(about or {})
        self.callbacks: tuple[TrainingCallback, ...] = (WarningsToStderr(),) if callbacks is None else tuple(callbacks)
        self.processes = Processes()
        self.step = 0
        self._named: set[str] = set()

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Appends a line, with the number of the update under way, to one of the run's JSON Lines files.

        Args:
            name: Name of the file in the folder, one of `checkpoint.LINES`.
            entry: The line; JSON values.
        """
        append_line(self.folder / name, json.dumps({"step": self.step + 1, **entry}, ensure_ascii=False))

    def skip(self, sample: str, reason: str | WhenwhereError) -> None:
        """Records in skipped.jsonl that a sample cannot be used, and warns the first time.

        Args:
            sample: Name of the sample, as far as it is known.
            reason: The reason as a sentence, or as the error that was raised.
        """
        sample = reason.sample if isinstance(reason, SampleError) else sample
        reason = str(reason)
        self.write("skipped.jsonl", {"sample": sample, "reason": reason})
        if sample not in self._named:
            self._named.add(sample)
            self.warn(f"{sample} is skipped: {reason}")

    def leave_out(self, sample: str, reason: str) -> None:
        """Records in skipped.jsonl that a sample is excluded from the whole run, and warns.

        This happens once, even if the run is resumed.

        Args:
            sample: Name of the sample.
            reason: The reason as a sentence.
        """
        file = self.folder / "skipped.jsonl"
        if sample not in {line.get("sample") for line in read_lines(file)}:
            # of no update: a resumed run keeps the line
            append_line(file, json.dumps({"step": 0, "sample": sample, "reason": reason}, ensure_ascii=False))
            self.warn(f"{sample} is skipped: {reason}")

    def warn(self, text: str) -> None:
        """Tells the callbacks about something that may be wrong.

        Args:
            text: A sentence.
        """
        self.notify(lambda callback: callback.on_warning(text))

    def tell(self, text: str) -> None:
        """Passes a message for the user to the callbacks.

        Args:
            text: The sentence.
        """
        self.notify(lambda callback: callback.on_message(text))

    def prepared(self, what: str, done: int, of: int) -> None:
        """Tells the callbacks how far the work before the first update is.

        Args:
            what: Name of the work.
            done: How many parts of it are done.
            of: How many parts it has.
        """
        self.notify(lambda callback: callback.on_preparation(what, done, of))

    def notify(self, call: Callable[[TrainingCallback], None]) -> None:
        """Calls every callback; in the first process only.

        Args:
            call: Gets each callback.
        """
        if self.processes.first:
            for callback in self.callbacks:
                call(callback)
