"""The evaluators of a run at work: what each has measured so far, and what follows from it.

Three things follow: the model is kept as the best one, the run ends because it no longer improves, and, when it is
finished, a warning if no model was better than the one that training began with. That is what users of SFT report most,
and it is not seen in the loss.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whenwhere.evaluate.item_values import write_item_values
from whenwhere.models.runs import BEST
from whenwhere.store import append_line
from whenwhere.training.callbacks import EvaluatorHistory
from whenwhere.training.evaluators import ScheduledEvaluator
from whenwhere.training.run_folder import RunFolder

#: Folder in a run's folder with the values of single items in the latest evaluation, a file for each evaluator.
ITEMS = "items"


class Evaluation:
    """The evaluators of a run, and what they have measured.

    Args:
        evaluators: The evaluators.

    Attributes:
        evaluators: As given.
        history: What each evaluator has measured, by its name.
    """

    def __init__(self, evaluators: Sequence[ScheduledEvaluator] = ()) -> None:
        self.evaluators = tuple(evaluators)
        self.history = {one.settings.name: EvaluatorHistory() for one in self.evaluators}

    def due(self, step: int, last: bool) -> bool:
        """Whether an evaluator runs after an update; see `ScheduledEvaluator.due`."""
        return any(one.due(step, last) for one in self.evaluators)

    def evaluate(
        self,
        run: RunFolder,
        last: bool,
        save: Callable[[Path], None],
        track: Callable[[int, dict[str, float]], None],
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Asks the evaluators whose turn it is, and keeps the model if it is the best so far.

        If an evaluator ends the run, the others are asked too, as after the last update.

        Args:
            run: The run, after the update that is evaluated.
            last: Whether this is the last update of the run.
            save: Writes the model into a folder; every process calls it.
            track: Sends the metrics of an update to a dashboard.
            around: Context manager, entered by every process, in which the first one may compute with the model.
        """
        due = [one for one in self.evaluators if one.due(run.step, last)]
        for one in due:
            self._ask(one, run, save, track, around)
        if not last and self.ended_by() is not None:
            for one in self.evaluators:
                if one not in due:
                    self._ask(one, run, save, track, around)

    def _ask(
        self,
        one: ScheduledEvaluator,
        run: RunFolder,
        save: Callable[[Path], None],
        track: Callable[[int, dict[str, float]], None],
        around: Callable[[], AbstractContextManager[None]],
    ) -> None:
        name = one.settings.name
        with around(), run.processes.unwatched():
            # the others wait, and learn what was measured: all must know whether the run ends
            metrics, value = run.processes.gather(one.measure() if run.processes.first else ({}, 0.0))[0]
        if run.processes.first:
            line = {"step": run.step, **{f"eval/{name}/{key}": number for key, number in metrics.items()}}
            append_line(run.folder / "metrics.jsonl", json.dumps(line, ensure_ascii=False))
            if values := one.item_values():
                write_item_values(run.folder / ITEMS / f"{name}.jsonl", values)
            track(run.step, {key: number for key, number in line.items() if key != "step"})
        better = self._note(one, run.step, value)
        best = one.settings.keep_best and better
        if best:
            save(run.folder / BEST)
        run.notify(lambda callback: callback.on_evaluation(name, run.step, metrics, best))
        run.processes.wait()

    def _note(self, one: ScheduledEvaluator, step: int, value: float) -> bool:
        """Remembers a value of the deciding metric; returns whether it is the best so far."""
        history = self.history[one.settings.name]
        if step == 0:
            history.base = value
        history.waits = 0 if one.better(value, history.best, one.settings.min_delta) else history.waits + 1
        better = one.better(value, history.best)
        if better:
            history.best, history.best_step = value, step
        return better

    def ended_by(self) -> ScheduledEvaluator | None:
        """The first evaluator whose patience is at an end. None lets the run go on."""
        for one in self.evaluators:
            if 0 < one.settings.patience <= self.history[one.settings.name].waits:
                return one
        return None

    def reason_to_end(self) -> str:
        """Why the run ends early, as a sentence; empty while it goes on."""
        one = self.ended_by()
        if one is None:
            return ""
        settings, history = one.settings, self.history[one.settings.name]
        by = f" by more than {settings.min_delta:g}" if settings.min_delta else ""
        best = "never measured" if history.best is None else f"{history.best:.4g} after update {history.best_step}"
        return (
            f"the run ends early: {settings.name} {settings.metric} did not improve{by} in {history.waits} evaluations "
            f"(the best is {best}); a larger patience resumes it"
        )

    def warn_of_base(self, run: RunFolder) -> None:
        """Warns if no model of the run was better than the one that it began with.

        Args:
            run: The finished run.
        """
        for one in self.evaluators:
            history = self.history[one.settings.name]
            if history.base is not None and history.best_step == 0 and run.step:
                kept = f"; {run.folder / BEST} is that model" if one.settings.keep_best else ""
                run.warn(
                    f"{one.settings.name} {one.settings.metric} was never better than before training, "
                    f"{history.base:.4g}: the run did not help by this measure{kept}"
                )

    def state(self) -> dict[str, Any]:
        """What a resumed run needs to go on."""
        return {
            one.settings.name: {"of": _meaning(one), **asdict(self.history[one.settings.name])}
            for one in self.evaluators
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave. An evaluator that is new, or decides by another metric now, begins anew.

        Args:
            state: As `state` gave it.
        """
        for one in self.evaluators:
            kept = dict(state.get(one.settings.name, {}))
            if kept and kept.pop("of") == _meaning(one):
                self.history[one.settings.name] = EvaluatorHistory(**kept)


def _meaning(one: ScheduledEvaluator) -> list[Any]:
    """What must be the same for earlier values of the deciding metric to be compared with later ones."""
    return [one.settings.metric, one.settings.minimize, one.settings.keep_best]
