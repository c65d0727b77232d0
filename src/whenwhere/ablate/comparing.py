"""How arms differ apart from what is meant to differ, and how large an effect must be to be found."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.ablate.cells import read_cells
from whenwhere.ablate.probing import ArmProbe, steps_of
from whenwhere.ablate.stages import ArmStage
from whenwhere.ablate.study import Confound, ConfoundKind, Detectable, Differences, Study, StudyArm, StudyMetric
from whenwhere.readers import quoted
from whenwhere.stats import minimum_detectable_effect

#: Smallest relative difference in FLOPs that is reported as a confound.
_FLOPS = 0.01
#: Standard deviation of the difference of one seed that is assumed for metrics that are shares between 0 and 1.
ASSUMED = 0.02
POWER, ALPHA = 0.8, 0.05


def differences(
    arm: Sequence[ArmStage], other: Sequence[ArmStage], probe: ArmProbe | None, against: ArmProbe | None
) -> Differences:
    """How an arm differs from another in size, work and data.

    Args:
        arm: Stages of the arm.
        other: Stages of the arm that it is compared with.
        probe: What the probe of the arm found; None if it was not probed.
        against: What the probe of the other arm found; None if it was not probed.
    """
    found = Differences()
    if probe is not None and against is not None:
        if probe.parameters is not None and against.parameters is not None:
            found.parameters = probe.parameters - against.parameters
        if probe.flops and against.flops:
            found.flops = round(probe.flops / against.flops, 4)
    trained, compared = ([one for one in stages if one.kind == "train"] for stages in (arm, other))
    if trained and compared:
        steps, before = steps_of(trained[-1]), steps_of(compared[-1])
        found.steps = None if steps is None or before is None else steps - before
    values, others = (_data(stages) for stages in (trained, compared))
    found.data = [
        f"{key} (was {quoted(others.get(key))}, is {quoted(values.get(key))})"
        for key in sorted({*values, *others})
        if values.get(key) != others.get(key)
    ]
    return found


def _data(stages: Sequence[ArmStage]) -> dict[str, Any]:
    """The settings of the data of an arm's trainings, under the keys by which an override names them."""
    from whenwhere.training.stages import flat

    found: dict[str, Any] = {}
    for stage in stages:
        before = "" if stage is stages[-1] else f"{stage.name}:"
        own = flat({"data": (stage.config or {}).get("data", {})})
        found |= {f"{before}{key}": value for key, value in own.items()}
    return found


def confounds_of(arm: StudyArm, against: StudyArm, entailed: Collection[str]) -> list[Confound]:
    """What a comparison of two arms does not separate from the change under test, each as a sentence.

    Args:
        arm: The arm, with its differences.
        against: The arm that it is compared with.
        entailed: Keys that had to change with what the plan asked for.
    """
    found: list[Confound] = []
    own, other = arm.differences, against.label

    def note(kind: ConfoundKind, text: str) -> None:
        found.append(Confound(arm=arm.id, kind=kind, text=text))

    if entailed:
        also = [key for key in entailed if against.overrides.get(key) != arm.overrides.get(key)]
        if also:
            what = ", ".join(f"{key} = {quoted(arm.overrides[key])}" for key in also)
            note("entailed", f"{arm.label} also sets {what}, so that it is not one change against {other}")
    if own.parameters:
        word = "more" if own.parameters > 0 else "fewer"
        note("parameters", f"{arm.label} has {abs(own.parameters):,} parameters {word} than {other}")
    if own.flops is not None and abs(own.flops - 1) > _FLOPS:
        note("flops", f"an update of {arm.label} takes {own.flops:.2f} times the FLOPs of {other}")
    if own.steps:
        word = "more" if own.steps > 0 else "fewer"
        note("steps", f"{arm.label} makes {abs(own.steps):,} updates {word} than {other}")
    changed = [text for text in own.data if not _is_asked_for(text.partition(" ")[0], arm.overrides)]
    if changed:
        note("data", f"{arm.label} has other data than {other}: {', '.join(changed)}")
    return found


def _is_asked_for(key: str, overrides: Mapping[str, Any]) -> bool:
    """Whether an override sets a key, by itself or with a whole table such as `data.world`."""
    return any(key == one or key.startswith(f"{one}.") for one in overrides)


def detectable_effects(study: Study, noise: Mapping[str, float], earlier: Path | None) -> list[Detectable]:
    """The smallest effect that each primary metric is likely to show, for each number of seeds of its arms.

    A metric whose noise is neither given nor measured has no entry, unless it is a share: then `ASSUMED` is taken.

    Args:
        study: The study after its arms were funded.
        noise: Standard deviation of the difference of one seed, by the id of the metric.
        earlier: Folder with finished cells of the study, from which the noise of other metrics is measured. None
            measures none.
    """
    arms = [arm for arm in study.arms if arm.funded and arm.kind in ("arm", "control")]
    primary = [metric for metric in study.metrics if metric.primary]
    tests = max(len(arms) * len(primary), 1)
    found: list[Detectable] = []
    for metric in primary:
        measured = None if earlier is None or metric.id in noise else measured_noise(study, metric, earlier)
        sd = noise.get(metric.id, measured if measured else ASSUMED if metric.unit == "%" else None)
        if not sd:
            continue
        for seeds in sorted({len(arm.seeds) for arm in arms if len(arm.seeds) > 1}, reverse=True):
            effect = minimum_detectable_effect(sd, seeds, POWER, ALPHA / tests)
            found.append(
                Detectable(
                    metric=metric.id, seeds=seeds, sd=sd, sd_source="cells" if measured else "assumed", effect=effect,
                    power=POWER, alpha=ALPHA / tests,
                )
            )  # fmt: skip
    return found


def measured_noise(study: Study, metric: StudyMetric, out: Path) -> float | None:
    """Standard deviation over seeds of the difference between arms, pooled over all arms, from finished cells.

    Args:
        study: The study.
        metric: The metric.
        out: Folder of the runs of a study with the same configurations.

    Returns:
        The standard deviation in the metric's own unit; None if no arm has three pairs of seeds.
    """
    values: dict[str, dict[int, float]] = {}
    seeds = {arm.id: arm.seeds for arm in study.arms}
    for cell in read_cells(out, study):
        if cell.state == "done" and metric.key in cell.metrics:
            values.setdefault(cell.arm, {})[seeds[cell.arm].index(cell.seed)] = cell.metrics[metric.key]
    variances = []
    for arm in study.arms:
        own, other = values.get(arm.id, {}), values.get(arm.against or "", {})
        pairs = [own[position] - other[position] for position in own.keys() & other.keys()]
        if len(pairs) > 2:
            variances.append(statistics.variance(pairs))
    return statistics.fmean(variances) ** 0.5 if variances else None


def in_pairs(arms: Sequence[StudyArm]) -> list[tuple[StudyArm, StudyArm]]:
    """Each arm that is compared with another, with that other arm.

    Args:
        arms: All arms of the study.
    """
    by_id = {arm.id: arm for arm in arms}
    return [(arm, by_id[arm.against]) for arm in arms if arm.against in by_id]
