"""A training run: updates until the end, in a folder from which it can be resumed at any time.

    RUN/metrics.jsonl     a line every `logging_steps` updates
    RUN/skipped.jsonl     samples that could not be used, and why
    RUN/completions/      what the policy wrote (RL)
    RUN/state/last.pt     the last good state (`training.checkpoint`)
    RUN/checkpoint/       the result: a folder that `from_pretrained` reads

What is learned is a `Stage`: it computes the gradients of one update. Everything else is here: optimiser, learning
rate, clipping, several processes, metrics, states, and stopping before a bad update touches the weights. Which samples
an update sees follows from its number and the seed alone (`order`), so a resumed run sees the same.

Several processes (`accelerate launch`) each take their share of an update; gradients are added up once, behind the last
backward pass, so that a process may make as many forward passes as it has groups.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from whenwhere.errors import ModelError, RecordError, SettingError, WhenwhereError
from whenwhere.store import append_line
from whenwhere.training.checkpoint import cut_back, load_state, random_state, save_state, set_random_state
from whenwhere.training.data.samples import Course, Sample, SampleError, Source
from whenwhere.training.optimiser import make_optimiser, rate_at
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.processes import Processes
from whenwhere.training.settings import Settings
from whenwhere.training.trackers import tracker

#: Settings that may be others when a run goes on.
_OPEN = (
    "max_steps", "logging_steps", "save_steps", "dataloader_prefetch", "report_to", "vllm_server_base_url",
    "max_logp_gap",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of one update, of this process.

    Attributes:
        metrics: averaged over the updates between two lines: `loss`, rewards, terms. Alike on every process.
        counts: added up since the run began: `clips`, `tokens`, `flops`. Of this process alone.
        empty: nothing could be used on any process: there are no gradients.
        stop: the stage wants no further update.
    """

    metrics: dict[str, float]
    counts: dict[str, float] = field(default_factory=dict)
    empty: bool = False
    stop: bool = False


class Stage(Protocol):
    """What is learned, one update at a time."""

    @property
    def policy(self) -> Policy:
        """That learns."""
        ...

    @property
    def settings(self) -> Settings:
        """Of the run."""
        ...

    def step(self, number: int, run: "Run") -> Outcome:
        """Computes the gradients of an update and leaves them in the policy's parameters.

        Losses are divided by what all processes count together (`run.processes.sum`): the loop adds gradients up.

        Args:
            number: of the update, from 0.
            run: to skip samples with, and to write lines to.
        """
        ...

    def state(self) -> dict[str, Any]:
        """What a later update depends on beside weights and number: tensors, numbers, texts, lists and dicts."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: updates done.
        of: updates in all.
        metrics: of the last update.
        seconds: that the run took so far.
        left: seconds that it will take yet, at the pace so far.
    """

    step: int
    of: int
    metrics: dict[str, float]
    seconds: float
    left: float


class Run:
    """A folder in which a stage is trained.

    Args:
        folder: made if it is not there; a run that was begun in it goes on.
        about: what belongs into the result's `whenwhere.json`: recipe, its hash, frames per second.
        tell: called after every update of the first process.
        warn: takes a sentence for a person; None = stderr.

    Attributes:
        folder: as given.
        processes: that train together.
        step: updates done.
        counts: since the run began, over all processes.
        seconds: since the run began, pauses left out.
        saved: the update that the last good state is of; None = there is none.
        halt: set it to end the run behind this update, with a state (`KeyboardInterrupt`); of one process alone.
    """

    def __init__(
        self,
        folder: str | Path,
        about: dict[str, Any] | None = None,
        tell: Callable[[Progress], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.folder, self.about = Path(folder), about or {}
        self._tell, self._warn = tell, warn or (lambda text: print(text, file=sys.stderr))  # noqa: T201
        self.processes = Processes()
        self.step = 0
        self.counts: dict[str, float] = {}
        self.seconds = 0.0
        self.saved: int | None = None
        self.halt = False
        self._pending: list[dict[str, float]] = []
        self._note: Callable[[int, dict[str, float]], None] = lambda step, metrics: None
        self._named: set[str] = set()

    def write(self, name: str, entry: dict[str, Any]) -> None:
        """Appends a line, with the number of the update, to a JSON Lines file of the run.

        Args:
            name: of the file in the folder, one of `checkpoint.LINES`.
            entry: JSON values.
        """
        append_line(self.folder / name, json.dumps({"step": self.step + 1, **entry}, ensure_ascii=False))

    def skip(self, sample: str, reason: str | WhenwhereError) -> None:
        """Counts and names a sample that could not be used; on stderr the first time.

        Args:
            sample: its name, as far as it is known.
            reason: a sentence, or the error that says it, and may know the name.
        """
        sample = reason.sample if isinstance(reason, SampleError) else sample
        reason = str(reason)
        self.write("skipped.jsonl", {"sample": sample, "reason": reason})
        if sample not in self._named:
            self._named.add(sample)
            self._warn(f"{sample} is skipped: {reason}")

    def train(self, stage: Stage) -> Path:
        """Trains to the end, from the last good state if there is one.

        Args:
            stage: what is learned.

        Returns:
            The folder of the trained checkpoint.

        Raises:
            KeyboardInterrupt: the run was halted; it goes on from there.
            ModelError: loss or gradient is not finite.
            OutputError: the disk is full; the last good state is kept.
            RecordError: the folder holds a run with other settings.
            SettingError: no sample at all could be used.
        """
        import torch

        policy, settings = stage.policy, stage.settings
        self._seed(settings.seed)
        policy.prepare(settings)
        names = [n for n, p in policy.model.named_parameters() if p.requires_grad]
        weights = [p for p in policy.model.parameters() if p.requires_grad]
        optimiser = make_optimiser(policy.model, settings)
        self._seed(settings.seed + self.processes.rank)
        stopped = self._resume(stage, optimiser, dict(zip(names, weights, strict=True)))
        if self.processes.first:
            self._note = tracker(settings.report_to, self.folder, self.step, asdict(settings))
        self.processes.wait()
        began = time.monotonic() - self.seconds
        while self.step < settings.max_steps and not stopped:
            rate = rate_at(self.step, settings)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            outcome = stage.step(self.step, self)
            stopped = outcome.stop
            metrics = dict(outcome.metrics)
            if not outcome.empty:
                self._finite(metrics.get("loss", 0.0), "loss")
                self.processes.add_up(weights)
                norm = float(torch.nn.utils.clip_grad_norm_(weights, settings.max_grad_norm or float("inf")))
                self._finite(norm, "gradient")
                optimiser.step()
                metrics["grad_norm"] = norm
            if metrics:
                self._pending.append(metrics)
            optimiser.zero_grad(set_to_none=True)
            self._count(outcome.counts)
            self.seconds = time.monotonic() - began
            last = self.step + 1 == settings.max_steps or stopped
            if (self.step + 1) % settings.logging_steps == 0 or last:
                self._log(rate)
            self.step += 1
            halted = self.halt and self.processes.count == 1
            if last and not self.counts.get("clips"):
                raise SettingError("nothing was learned: no sample could be used; skipped.jsonl says why")
            if self.step % settings.save_steps == 0 or last or halted:
                self._save(stage, optimiser, dict(zip(names, weights, strict=True)), stopped)
            if halted and not last:
                raise KeyboardInterrupt
            if self._tell is not None and self.processes.first:
                left = self.seconds / self.step * (settings.max_steps - self.step)
                self._tell(Progress(self.step, settings.max_steps, outcome.metrics, self.seconds, left))
        return self._finish(policy)

    def _seed(self, seed: int) -> None:
        import random

        import torch

        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries draw from it)
        torch.manual_seed(seed)

    def _finite(self, value: float, what: str) -> None:
        if not np.isfinite(value):
            kept = "no state was saved yet" if self.saved is None else (
                f"the last good state is kept; max_steps={self.saved} ends this run there, with a checkpoint that "
                "another run can begin with"
            )  # fmt: skip
            raise ModelError(
                f"the {what} of update {self.step + 1} is not finite ({value}): lower learning_rate in another run, or "
                f"look at the data of that update; {kept}"
            )

    def _count(self, counts: dict[str, float]) -> None:
        totals = self.processes.sum([counts[name] for name in sorted(counts)])
        for name, total in zip(sorted(counts), totals, strict=True):
            self.counts[name] = self.counts.get(name, 0) + total

    def _log(self, rate: float) -> None:
        if self.processes.first:
            keys = list(dict.fromkeys(k for line in self._pending for k in line))
            means = {k: float(np.mean([line[k] for line in self._pending if k in line])) for k in keys}
            line = {**means, "lr": rate, **self.counts, "seconds": round(self.seconds, 3)}
            self.write("metrics.jsonl", line)
            self._note(self.step + 1, line)
        self._pending = []

    def _save(self, stage: Stage, optimiser: Any, weights: dict[str, Any], stopped: bool) -> None:
        device = stage.policy.tower.device
        states = self.processes.gather({"random": random_state(device), "stage": stage.state()})
        if self.processes.first:
            save_state(
                self.folder,
                {
                    "settings": json.dumps(asdict(stage.settings)),
                    "step": self.step, "stopped": stopped, "seconds": self.seconds, "counts": self.counts,
                    "pending": self._pending, "named": sorted(self._named),
                    "weights": {name: weight.detach() for name, weight in weights.items()},
                    "optimiser": optimiser.state_dict(), "processes": states,
                },
            )  # fmt: skip
        self.saved = self.step
        self.processes.wait()

    def _resume(self, stage: Stage, optimiser: Any, weights: dict[str, Any]) -> bool:
        """Takes the last good state, if there is one; whether the stage had stopped there."""
        import torch

        state = load_state(self.folder)
        if self.processes.first:
            cut_back(self.folder, 0 if state is None else state["step"])
        if state is None:
            return False
        # a setting that the version before did not have was as it is by default
        defaults = json.loads(json.dumps(asdict(type(stage.settings)())))
        self._same(defaults | json.loads(state["settings"]), asdict(stage.settings))
        if len(state["processes"]) != self.processes.count:
            raise RecordError(
                f"{self.folder} was begun by {len(state['processes'])} processes: go on with as many, not with "
                f"{self.processes.count}"
            )
        if state["weights"].keys() != weights.keys():
            raise RecordError(f"{self.folder} holds the state of another model: choose another folder")
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(state["weights"][name])
        optimiser.load_state_dict(state["optimiser"])
        own = state["processes"][self.processes.rank]
        set_random_state(own["random"], stage.policy.tower.device)
        stage.restore(own["stage"])
        self.step, self.seconds, self.counts = state["step"], state["seconds"], state["counts"]
        self.saved = self.step
        self._pending, self._named = state["pending"], set(state["named"])
        return bool(state["stopped"])

    def _same(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        now = json.loads(json.dumps(now))
        for name in now:
            if name not in _OPEN and before.get(name) != now[name]:
                raise RecordError(
                    f"the run in {self.folder} was begun with {name} = {before.get(name)!r}, not {now[name]!r}: set it "
                    "back, or choose another folder"
                )

    def _finish(self, policy: Policy) -> Path:
        folder = self.folder / "checkpoint"
        if self.processes.first:
            policy.save(folder, self.about | {"step": self.step})
        self.processes.wait()
        return folder


def order(number: int, size: int, seed: int) -> int:
    """Which sample stands at a place, when a source is read again and again, each time in another order.

    Args:
        number: of the place, from 0.
        size: samples of the source.
        seed: of the run.

    >>> sorted(order(n, 5, 0) for n in range(5)), sorted(order(n, 5, 0) for n in range(5, 10))
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """
    if size < 1:
        raise SettingError("there is nothing to learn from: the source is empty")
    epoch, place = divmod(number, size)
    return int(_permutation(size, seed, epoch)[place])


def sample_at(source: Source, place: int, progress: float, seed: int) -> Sample:
    """The sample that stands at a place of a run: in `order`, or where a curriculum puts it.

    Args:
        source: of samples.
        place: from 0.
        progress: share of the updates that are done, 0-1.
        seed: of the run.

    Raises:
        WhenwhereError: this one cannot be had.
    """
    if isinstance(source, Course):
        return source.at(place, progress)
    return source[order(place, len(source), seed)]


@lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> Any:
    return np.random.default_rng([seed, epoch]).permutation(size)
