"""What a few updates of every arm show before any is paid for: whether a knob does anything, and what an arm costs.

Only a run finds a knob that is read and never used. So the baseline and every arm make three updates with the same
seed, at the size that they will have, and what they report is compared: parameters, losses, gradients. Where all of it
is equal the knob is dead. The same updates give the seconds and FLOPs of one update, and the number of
parameters; the baseline is also measured by its evaluators, which gives their seconds and the metrics that they have.

A command is run with the settings that its knobs' file declares as `smoke`; without these nothing is probed.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.ablate.cells import read_metrics, read_status
from whenwhere.ablate.progress import RunCallback
from whenwhere.ablate.run import run
from whenwhere.ablate.stages import ArmStage, resolve, stages_of
from whenwhere.ablate.study import StageHash, Study, StudyArm
from whenwhere.evaluate.item_values import read_item_values
from whenwhere.store import read_lines

#: Number of updates of a probe.
UPDATES = 3
#: Keys that say how long an arm is trained; a probe ignores them.
LENGTH = ("train.max_steps", "max_steps", "train.num_train_epochs", "num_train_epochs")
#: Relative difference below which two numbers count as equal: the order of sums may differ from run to run.
_SAME = 1e-6


@dataclass
class ArmProbe:
    """What a probe found of one arm.

    Attributes:
        failed: Why the arm could not be run; "" if it could.
        seen: Numbers by name that the arm reported, without times and memory.
        parameters: Number of trained parameters of the arm's own training; None for a command.
        flops: FLOPs of one of its updates; None where they are not counted.
        seconds: Estimated seconds of each stage by its hash in the study, where they are known.
        metrics: All metrics that the arm has, where its evaluators were run.
    """

    failed: str = ""
    seen: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    flops: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)


def equal_probes(first: ArmProbe, second: ArmProbe) -> bool:
    """Whether two arms reported the same numbers.

    Args:
        first: Probe of one arm.
        second: Probe of the other arm.

    >>> equal_probes(ArmProbe(seen={"loss": 1.0}), ArmProbe(seen={"loss": 1.0 + 1e-9}))
    True
    """
    return first.seen.keys() == second.seen.keys() and all(
        math.isclose(first.seen[key], second.seen[key], rel_tol=_SAME, abs_tol=1e-12) for key in first.seen
    )


def probe_arms(
    frame: Study,
    arms: Mapping[str, Mapping[str, Any]],
    work: Path,
    smoke: Mapping[str, Any],
    seed: int,
    jobs: int = 1,
    device: str | None = None,
    callback: RunCallback | None = None,
) -> dict[str, ArmProbe]:
    """Run a few updates of every arm.

    Args:
        frame: The study; its arms are ignored.
        arms: Overrides of each arm by its id; the first is the baseline.
        work: Folder for the probes, which are kept, so that a second check is quick.
        smoke: Overrides with which a command is probed.
        seed: Seed of the probes.
        jobs: Number of processes at a time.
        device: Device to compute on.
        callback: Receives progress, failures and messages.

    Returns:
        What was found of each arm, by its id.
    """
    probed = {id: _shortened(frame, overrides, smoke) for id, overrides in arms.items()}
    full, frame = frame, _without_length(frame)
    first = next(iter(probed))
    if frame.recipe is not None:
        evaluators = {id: _evaluators(frame, overrides) for id, overrides in arms.items()}
        for id, overrides in probed.items():
            if id != first and evaluators[id] == evaluators[first]:
                overrides["evaluators"] = []  # measured once
    stages = {id: stages_of(frame, overrides) for id, overrides in probed.items()}
    found = [
        StudyArm(
            id=id, label=id, kind="baseline" if id == first else "arm", against=None if id == first else first,
            overrides=probed[id], config_hash=own[-1].hash, seeds=[seed],
            stages=[StageHash(name=one.name, hash=one.hash) for one in own],
        )
        for id, own in stages.items()
    ]  # fmt: skip
    run(frame.model_copy(update={"arms": found}), work, jobs=jobs, device=device, callback=callback)
    real = {id: stages_of(full, overrides) for id, overrides in arms.items()}
    return {id: _read(work, own, real[id], seed) for id, own in stages.items()}


def _shortened(frame: Study, overrides: Mapping[str, Any], smoke: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides of an arm for its probe."""
    if frame.command is not None:
        return {**overrides, **smoke}
    kept = _not_length(overrides)
    short = {"train.max_steps": UPDATES, "train.logging_steps": 1, "train.save_steps": 10**6,
             "train.save_total_limit": 0}  # fmt: skip
    before = {f"{stage.name}:{key}": value for stage in frame.before for key, value in short.items()}
    return {**kept, **short, **before}


def _not_length(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides without those that say how long an arm is trained."""
    return {key: value for key, value in overrides.items() if key.rpartition(":")[2] not in LENGTH}


def _without_length(frame: Study) -> Study:
    """The study without settings that say how long its arms are trained."""
    before = [one.model_copy(update={"fixed": _not_length(one.fixed)}) for one in frame.before]
    return frame.model_copy(update={"fixed": _not_length(frame.fixed), "before": before})


def _evaluators(frame: Study, overrides: Mapping[str, Any]) -> Sequence[object]:
    """The evaluators of an arm, which are compared with those of the baseline."""
    main = stages_of(frame, overrides)[-1]
    return resolve(main, 0).evaluators


def _read(work: Path, probed: Sequence[ArmStage], real: Sequence[ArmStage], seed: int) -> ArmProbe:
    """What the files of a probe say of an arm, whose own stages are `real`."""
    found = ArmProbe()
    for stage, full in zip(probed, real, strict=True):
        folder = work / "cells" / stage.hash / str(seed)
        status = read_status(folder)
        if status.state != "done":
            found.failed = found.failed or status.reason or "it did not run"
            return found
        metrics = read_metrics(folder / "metrics.json")
        found.metrics |= metrics.keys()
        if stage.kind == "train":
            _read_training(found, stage, full, folder, metrics)
        elif stage.kind == "evaluate":
            found.seconds[full.hash] = metrics["seconds"]
        else:
            found.seen |= {key: value for key, value in metrics.items() if not _is_cost(key)}
            found.seen |= {f"{one.metric} {one.item}": one.value for one in read_item_values(folder / "items.jsonl")}
    return found


def _read_training(
    found: ArmProbe, stage: ArmStage, full: ArmStage, folder: Path, metrics: Mapping[str, float]
) -> None:
    """Add what the files of a probed training say: its numbers, size, FLOPs and estimated seconds."""
    lines = [line for line in read_lines(folder / "work" / "run" / "metrics.jsonl") if "seconds" in line]
    for line in lines:
        found.seen |= {
            f"{stage.name} {line['step']} {key}": float(value)
            for key, value in line.items()
            if isinstance(value, int | float) and not _is_cost(key)
        }
    found.parameters, found.flops = int(metrics["parameters"]), None
    found.seen[f"{stage.name} parameters"] = metrics["parameters"]
    if "flops" in metrics and metrics["steps"]:
        found.flops = metrics["flops"] / metrics["steps"] * _flops_beyond_probe(stage, full)
    times = [0.0, *(float(line["seconds"]) for line in lines)]
    update = min((after - before for before, after in itertools.pairwise(times)), default=0.0)
    steps = steps_of(full)
    if steps is not None:
        found.seconds[full.hash] = max(metrics["seconds"] - update * metrics["steps"], 0.0) + update * steps


def _flops_beyond_probe(probed: ArmStage, full: ArmStage) -> float:
    """FLOPs of an update over the whole training divided by those of an update of its probe.

    A probe of three updates gives one to each phase of a pre-training, whatever the phases' shares are, so that both
    trainings are estimated. Trainings without phases have equal updates.
    """
    from whenwhere.training.machine import Machine
    from whenwhere.training.stages import find_stage

    recipes = [resolve(stage, 0) for stage in (probed, full)]
    estimate = find_stage(recipes[1].stage).estimate
    if estimate is None or not getattr(recipes[1].train, "phases", ()):
        return 1.0
    found = [estimate(recipe, lambda text: None, Machine("cpu")) for recipe in recipes]
    if any("flops" not in one for one in found):
        return 1.0
    before, after = (one["flops"] / one["updates"] for one in found)
    return float(after / before)


def steps_of(stage: ArmStage) -> int | None:
    """Number of updates of a training; None if it follows from the data.

    Args:
        stage: The stage.
    """
    train = resolve(stage, 0).train
    return None if train.num_train_epochs is not None else int(train.max_steps)


def _is_cost(key: str) -> bool:
    """Whether a metric is a time or an amount of memory, which differ from run to run."""
    return any(word in key for word in ("second", "gib", "memory", "per_sec", "time_"))
