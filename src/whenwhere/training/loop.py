"""The training loop: updates until the end, in a folder from which the run can be resumed at any time.

What is trained is an `Objective` (`training.objective`): it computes the gradients of one update. Everything else is
here: optimiser, learning rate, clipping, several processes, metrics, states, and stopping before a bad update touches
the weights. Files of the folder are listed in `training.run_folder`.

Several processes (`accelerate launch`) each take their share of an update; gradients are added up once, after the last
backward pass, so that a process may make as many forward passes as it needs.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from whenwhere.errors import ModelError, RecordError, SettingError
from whenwhere.models.runs import RESULT
from whenwhere.store import append_line
from whenwhere.training.callbacks import EvaluatorHistory, Progress, TrainingCallback
from whenwhere.training.checkpoint import (
    STATE,
    cut_back,
    drop_shards,
    load_shard,
    load_state,
    random_state,
    save_shard,
    save_state,
    set_random_state,
)
from whenwhere.training.evaluation import Evaluation
from whenwhere.training.evaluators import ScheduledEvaluator
from whenwhere.training.kept_models import KeptModels
from whenwhere.training.objective import Objective, ShardableObjective
from whenwhere.training.optimiser import make_optimiser, rate_at
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.shards import local, shard_state, whole
from whenwhere.training.trackers import tracker

if TYPE_CHECKING:
    import torch


class TrainingRun(RunFolder):
    """A run: trains an objective in a folder.

    Args:
        folder: Folder of the run. It is made if it does not exist; a run that was begun in it is resumed.
        about: Entries for the metadata of the trained model, such as the recipe and its hash.
        callbacks: Callbacks for warnings and progress. None prints warnings on stderr.

    Attributes:
        counts: Sums of the objective's counts since the run began, over all processes.
        seconds: Seconds since the run began, pauses left out.
        saved: Number of updates in the last good state. None means that no state is saved yet.
        stop_requested: Set to True to stop after the current update; the state is saved first, and `train` raises
            KeyboardInterrupt. It has no effect in a run of several processes.
    """

    def __init__(
        self,
        folder: str | Path,
        about: dict[str, Any] | None = None,
        callbacks: Sequence[TrainingCallback] | None = None,
    ) -> None:
        super().__init__(folder, about, callbacks)
        self.counts: dict[str, float] = {}
        self.seconds = 0.0
        self.saved: int | None = None
        self.stop_requested = False
        self._objective: Objective | None = None
        self._evaluation = Evaluation()
        self._samples = 0.0
        self._pending: list[dict[str, float]] = []
        self._sharded = self._saving = False
        self._track: Callable[[int, dict[str, float]], None] = lambda step, metrics: None

    @property
    def stoppable(self) -> bool:
        """Whether `stop_requested` has an effect: only in a run of one process."""
        return self.processes.count == 1

    @property
    def history(self) -> Mapping[str, EvaluatorHistory]:
        """What each evaluator has measured, by its name."""
        return self._evaluation.history

    def save_model(self, folder: Path) -> None:
        """Writes the model as it is now.

        Args:
            folder: Folder for the model. If it exists, it is replaced once everything is written.
        """
        assert self._objective is not None  # callbacks are called while it trains
        if self._sharded and not self._saving:
            raise SettingError("the weights are sharded: a callback, which one process calls, cannot save the model")
        self._objective.save(folder, self.about | {"step": self.step})

    def announce(self, of: int) -> None:
        """Tells the callbacks that the run begins.

        Args:
            of: Number of updates in the whole run.
        """
        self.notify(lambda callback: callback.on_start(self, of))

    def train(self, objective: Objective, evaluators: Sequence[ScheduledEvaluator] = ()) -> Path:
        """Trains to the end, from the last good state if there is one, and closes the objective.

        Args:
            objective: The objective to train.
            evaluators: Evaluators that measure the model while it trains.

        Returns:
            The folder of the trained model.

        Raises:
            KeyboardInterrupt: A stop was requested; the state is saved.
            ModelError: The loss or the gradient is not finite.
            OutputError: The disk is full; the last good state is kept.
            RecordError: The folder holds a run with other settings.
            SettingError: No sample at all could be used.
        """
        self.processes.watch(objective.settings.ddp_timeout)
        try:
            return self._train(objective, Evaluation(evaluators))
        finally:
            self.processes.end_watch()
            objective.close()

    def _train(self, objective: Objective, evaluation: Evaluation) -> Path:
        import torch

        self._objective, self._evaluation, settings = objective, evaluation, objective.settings
        if settings.max_steps < 1:
            raise SettingError("num_train_epochs has no meaning for this stage, which has no epochs: set max_steps")
        seed_everything(settings.seed)
        objective.prepare()
        self._shard(objective)
        weights = {n: p for n, p in objective.module.named_parameters() if p.requires_grad}
        optimiser = make_optimiser(objective.module, settings)
        seed_everything(settings.seed + self.processes.rank)
        stopped = self._resume(objective, optimiser, weights)
        if self.processes.first:
            self._track = tracker(settings.report_to, self.folder, self.step, asdict(settings))
        self.processes.wait()
        if self.step == 0:
            self._evaluate(objective, last=False)
        began = time.monotonic() - self.seconds
        while self.step < settings.max_steps and not stopped and not evaluation.ended_by():
            self.processes.get_on(self.step)
            rate = rate_at(self.step, settings)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            outcome = objective.step(self.step, self)
            stopped = outcome.stop
            metrics = dict(outcome.metrics)
            if not outcome.empty:
                self._check_finite(metrics.get("loss", 0.0), "loss")
                self.processes.add_up(list(weights.values()))
                limit = settings.max_grad_norm or float("inf")
                norm = float(whole(torch.nn.utils.clip_grad_norm_(list(weights.values()), limit)))
                self._check_finite(norm, "gradient")
                optimiser.step()
                metrics["grad_norm"] = norm
            if metrics:
                self._pending.append(metrics)
            optimiser.zero_grad(set_to_none=True)
            self._count(outcome.counts, outcome.samples)
            self.seconds = time.monotonic() - began
            self.step += 1
            last = self.step == settings.max_steps or stopped
            if self.step % settings.logging_steps == 0 or last:
                self._log(rate)
            stop = self.stop_requested and self.stoppable
            if last and not self._samples:
                raise SettingError("nothing was learned: no sample could be used; skipped.jsonl says why")
            # before the state is saved: a run that is killed in between evaluates again
            self._evaluate(objective, last)
            if not last and evaluation.ended_by():
                last = True
                if self.step % settings.logging_steps:
                    self._log(rate)
            if self.step % settings.save_steps == 0 or last or stop:
                self._save(objective, optimiser, weights, stopped, last)
            if stop and not last:
                raise KeyboardInterrupt
            left = self.seconds / self.step * (settings.max_steps - self.step)
            self._report(Progress(self.step, settings.max_steps, outcome.metrics, self.seconds, left))
        return self._finish(settings)

    def _evaluate(self, objective: Objective, last: bool) -> None:
        if self._evaluation.due(self.step, last):
            before = random_state(objective.device)
            around = cast(ShardableObjective, objective).gathered if self._sharded else nullcontext
            self._evaluation.evaluate(self, last, self._save_model, self._track, around)
            set_random_state(before, objective.device)

    def _shard(self, objective: Objective) -> None:
        """Divides the weights among the processes if the settings ask for it."""
        if objective.settings.sharding == "none":
            return
        if not hasattr(objective, "shard"):
            raise SettingError("what this recipe trains cannot be sharded: set sharding=none")
        cast(ShardableObjective, objective).shard(self.processes)
        self._sharded = True

    def _save_model(self, folder: Path) -> None:
        """Writes the model: the first process does, and all take part where weights are sharded."""
        if self.processes.first or self._sharded:
            self._saving = True
            self.save_model(folder)
            self._saving = False

    def _report(self, progress: Progress) -> None:
        self.notify(lambda callback: callback.on_update(progress))

    def _check_finite(self, value: float, what: str) -> None:
        if not np.isfinite(value):
            kept = "no state was saved yet" if self.saved is None else (
                f"the last good state is kept; max_steps={self.saved} ends this run there, with a checkpoint that "
                "another run can begin with"
            )  # fmt: skip
            raise ModelError(
                f"the {what} of update {self.step + 1} is not finite ({value}): lower learning_rate in another run, or "
                f"look at the data of that update; {kept}"
            )

    def _count(self, counts: dict[str, float], samples: int) -> None:
        names = sorted(counts)
        used, *totals = self.processes.sum([samples, *(counts[name] for name in names)])
        self._samples += used
        for name, total in zip(names, totals, strict=True):
            self.counts[name] = self.counts.get(name, 0) + total

    def _log(self, rate: float) -> None:
        if self.processes.first:
            keys = list(dict.fromkeys(k for line in self._pending for k in line))
            means = {k: float(np.mean([line[k] for line in self._pending if k in line])) for k in keys}
            line = {**means, "lr": rate, **self.counts, "seconds": round(self.seconds, 3)}
            append_line(self.folder / "metrics.jsonl", json.dumps({"step": self.step, **line}, ensure_ascii=False))
            self._track(self.step, line)
        self._pending = []

    def _save(
        self, objective: Objective, optimiser: Any, weights: "dict[str, torch.nn.Parameter]", stopped: bool, last: bool
    ) -> None:
        states = self.processes.gather({"random": random_state(objective.device), "stage": objective.state()})
        learned = {"weights": {name: weight.detach() for name, weight in weights.items()},
                   "optimiser": optimiser.state_dict()}  # fmt: skip
        if self._sharded:
            save_shard(self.folder, self.step, self.processes.rank, local(learned))
            self.processes.wait()
        kept = KeptModels(self.folder, objective.settings.save_total_limit)
        if not last:  # the result is kept when the run is finished
            kept.keep(self.step, self._save_model)
        if self.processes.first:
            save_state(
                self.folder,
                {
                    "settings": json.dumps(asdict(objective.settings)),
                    "step": self.step, "stopped": stopped, "seconds": self.seconds, "counts": self.counts,
                    "samples": self._samples, "evaluators": self._evaluation.state(), "pending": self._pending,
                    "named": sorted(self._named), "processes": states, **({} if self._sharded else learned),
                },
            )  # fmt: skip
            kept.prune()
        self.processes.wait()
        if self._sharded:
            drop_shards(self.folder, self.processes.rank, [self.step, *([] if self.saved is None else [self.saved])])
        self.saved = self.step

    def _resume(self, objective: Objective, optimiser: Any, weights: "dict[str, torch.nn.Parameter]") -> bool:
        """Takes back the last good state if there is one; returns whether the objective had stopped there."""
        state = load_state(self.folder)
        stopped = False
        if state is not None:
            try:
                stopped = self._take_back(state, objective, optimiser, weights)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as e:
                raise RecordError(
                    f"{self.folder / STATE} does not hold the state of this run ({type(e).__name__}: {str(e)[:120]}): "
                    "delete it to begin the run anew"
                ) from e
        if self.processes.first:
            cut_back(self.folder, self.step)
            KeptModels(self.folder, objective.settings.save_total_limit).cut_back(self.step)
        return stopped

    def _take_back(
        self, state: dict[str, Any], objective: Objective, optimiser: Any, weights: "dict[str, torch.nn.Parameter]"
    ) -> bool:
        import torch

        changed = changed_settings(json.loads(state["settings"]), objective.settings)
        for name, (before, now) in changed.items():
            raise RecordError(
                f"the run in {self.folder} was begun with {name} = {before!r}, not {now!r}: set it back, or choose "
                "another folder"
            )
        if len(state["processes"]) != self.processes.count:
            raise RecordError(
                f"{self.folder} was begun by {len(state['processes'])} processes: resume it with as many, not with "
                f"{self.processes.count}"
            )
        learned = load_shard(self.folder, state["step"], self.processes.rank) if self._sharded else state
        if learned["weights"].keys() != weights.keys():
            raise RecordError(f"{self.folder} holds the state of another model: choose another folder")
        with torch.no_grad():
            for name, weight in weights.items():
                local(weight).copy_(learned["weights"][name])
        optimiser.load_state_dict(learned["optimiser"])
        if self._sharded:
            shard_state(optimiser)
        own = state["processes"][self.processes.rank]
        set_random_state(own["random"], objective.device)
        objective.restore(own["stage"])
        self.step, self.seconds, self.counts = state["step"], state["seconds"], state["counts"]
        # a state of an earlier version does not count samples
        self.saved, self._samples = self.step, state.get("samples", 1)
        self._evaluation.restore(state.get("evaluators", {}))
        self._pending, self._named = state["pending"], set(state["named"])
        return bool(state["stopped"])

    def _finish(self, settings: TrainingSettings) -> Path:
        folder = self.folder / RESULT
        self._save_model(folder)
        if self.processes.first:
            KeptModels(self.folder, settings.save_total_limit).keep_result(self.step, folder)
            self._evaluation.warn_of_base(self)
            if self.step < settings.max_steps and (reason := self._evaluation.reason_to_end()):
                self.tell(reason)
        self.processes.wait()
        return folder


def changed_settings(before: dict[str, Any], now: TrainingSettings) -> dict[str, tuple[Any, Any]]:
    """The settings in which a resumed run would differ from the run that was begun, as name → (before, now).

    A setting that the earlier version of whenwhere did not have counts as its default. Settings that may change
    (`TrainingSettings.RESUMABLE`) are left out.

    Args:
        before: The settings as JSON values, as a state holds them.
        now: The settings of the resumed run.

    >>> changed_settings({"seed": 1, "max_steps": 5}, TrainingSettings(seed=2, max_steps=9))
    {'seed': (1, 2)}
    """
    defaults, new = (json.loads(json.dumps(asdict(s))) for s in (type(now)(), now))
    old = defaults | before
    return {k: (old.get(k), new[k]) for k in new if k not in now.RESUMABLE and old.get(k) != new[k]}


def seed_everything(seed: int) -> None:
    """Seeds every random number generator that training may draw from.

    Args:
        seed: The seed.
    """
    import random

    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries draw from it)
    torch.manual_seed(seed)
