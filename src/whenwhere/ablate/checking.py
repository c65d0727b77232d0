"""Checks arms before any is paid for, and makes the study that is run: `check(bindings) -> Study`.

A fault of one arm stops that arm alone; it is listed with the reason in `Study.not_run`, and the tables repeat it. A
fault of the baseline, or of all metrics, is an error.

    values      resolved as the run will resolve them: an unknown key, a wrong type or a value out of range is refused
    doubles     arms that resolve to the same configuration are one arm; the baseline may be among them
    knobs       a few updates must show a difference, otherwise the knob is dead (`probing`)
    data        files, checkpoints and packages must exist
    metrics     the recipe's evaluators must measure them
    cost        measured updates x updates x arms x seeds, against the budget in the order of the plan (`funding`)
    confounds   parameters, FLOPs, updates, data, and changes that another one entails (`comparing`)
    power       the smallest effect that the seeds can show
"""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from whenwhere.ablate.binding import Arm, Bindings
from whenwhere.ablate.comparing import confounds_of, detectable_effects, differences, in_pairs
from whenwhere.ablate.funding import fund
from whenwhere.ablate.knobs import Knobs, MetricDefinition, Seeding, read_knobs
from whenwhere.ablate.probing import ArmProbe, equal_probes, probe_arms
from whenwhere.ablate.progress import RunCallback
from whenwhere.ablate.stages import ArmStage, resolve, salted, stages_of
from whenwhere.ablate.study import ArmKind, MergedArm, NotRun, StageHash, Study, StudyArm, StudyMetric
from whenwhere.ablate.validity import (
    MissingDataError,
    check_files,
    check_presence,
    check_requires,
    check_values,
    own_keys,
)
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import quoted

#: First seed of the arm that runs the baseline a second time.
AGAIN = 1000
#: Metrics that the cells of a recipe have without any evaluator.
COSTS = ("train_seconds", "step_seconds", "peak_memory_gib", "flops", "seconds", "parameters", "loss", "steps")


@dataclass
class _Candidate:
    """An arm under check.

    Attributes:
        arm: The arm as the binding gives it, or as checking added it.
        kind: Kind of the arm in the study.
        stages: Stages of the arm's work.
        entailed: Keys that the plan did not ask for but that must change with what it asked for.
        merged: Arms of the plan that resolve to the same configuration.
    """

    arm: Arm
    kind: ArmKind
    stages: list[ArmStage]
    entailed: list[str] = field(default_factory=list)
    merged: list[MergedArm] = field(default_factory=list)


def check(
    bindings: Bindings,
    *,
    seeds: int = 8,
    fewer_seeds: int = 5,
    first_seed: int = 0,
    budget: float | None = None,
    noise: Mapping[str, float] | None = None,
    earlier: str | Path | None = None,
    cell_seconds: float | None = None,
    probe: bool = True,
    work: str | Path | None = None,
    again: bool = False,
    null: Mapping[str, Any] | None = None,
    accept_dead: Collection[str] = (),
    knobs: Knobs | None = None,
    jobs: int = 1,
    device: str | None = None,
    callback: RunCallback | None = None,
) -> Study:
    """Check all arms of a bound plan, and make the study of those that can be run.

    Args:
        bindings: The plan, bound to knobs.
        seeds: Number of seeds of each arm. Verdicts need eight.
        fewer_seeds: Number of seeds of an arm for which the budget has no room with all seeds. A screening needs five.
        first_seed: The first seed; the others follow it.
        budget: Most seconds of computation of the whole study. None sets no limit.
        noise: Standard deviation of the difference of one seed, by the id of the metric, from which the smallest effect
            that can be found is computed.
        earlier: Folder with finished cells of the study, from which the noise of the other metrics is measured.
        cell_seconds: Seconds of one seed of an arm. None measures them.
        probe: Whether to run a few updates of each arm, to find dead knobs and what an arm costs.
        work: Folder in which these runs are kept, so that a second check is quick. None takes a temporary one.
        again: Whether to add the baseline a second time with other seeds (A/A): its difference is noise alone.
        null: Overrides of an arm that is expected to have no effect. None adds no such arm.
        accept_dead: Ids of knobs that are run although a few updates show no difference.
        knobs: The knobs. None reads them by the name that the bindings hold.
        jobs: Number of probes that run at the same time.
        device: Device to compute on. None takes the best one available.
        callback: Receives progress, failures and messages.

    Raises:
        SettingError: The baseline cannot be run, no metric can be measured, or an argument is out of range.
    """
    _check_numbers(seeds, fewer_seeds, budget, cell_seconds, earlier)
    callback = callback or RunCallback()
    knobs = read_knobs(bindings.knobs, bindings.preset) if knobs is None else knobs
    _check_names("knob", accept_dead, [one.id for one in knobs.knobs])
    _check_names("metric", noise or (), [one.id for one in knobs.metrics])
    not_run = bindings.not_run()
    frame = _frame(knobs, seeds)
    if budget is not None and cell_seconds is None and frame.command is not None:
        raise SettingError("what a command costs is not measured, so a budget cannot be kept: give --cell-seconds")
    check_presence(frame, knobs)
    candidates = _candidates(bindings, knobs, frame, not_run)
    base = candidates[0]
    if again:
        _add(
            candidates, Arm(id="a-a", label="baseline, other seeds", kind="control", against=base.arm.id), "a-a", frame
        )
    if null is not None:
        label = "null: " + ", ".join(f"{key} = {quoted(value)}" for key, value in null.items())
        arm = Arm(id="null", label=label, kind="control", overrides=dict(null), against=base.arm.id)
        check_values(arm, knobs, frame)
        _add(candidates, arm, "null", frame)
    probes: dict[str, ArmProbe] = {}
    if probe and (frame.recipe is not None or knobs.smoke):
        with _folder(work) as folder:
            probed = {one.arm.id: one.arm.overrides for one in candidates if one.kind != "a-a"}
            callback.on_message(f"running a few updates of {len(probed)} arms, to see whether their knobs do anything")
            probes = probe_arms(frame, probed, folder, knobs.smoke, first_seed, jobs, device, callback)
        candidates = _drop_dead(candidates, probes, set(accept_dead), not_run)
    elif probe:
        callback.on_message(
            "no dead knob was looked for: the knobs' file has no `smoke`, settings for a run of seconds"
        )
    study = frame.model_copy(
        update={
            "arms": _study_arms(candidates, bindings, probes, seeds, first_seed),
            "metrics": _metrics(bindings, knobs, base, probes.get(base.arm.id), not_run),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    study.budget, unfunded = fund(study.arms, _costs(candidates, probes, cell_seconds), budget, seeds, fewer_seeds)
    if budget is not None and study.budget.estimated_seconds is None:
        raise SettingError("the cost of an arm is not known, so a budget cannot be kept: give --cell-seconds")
    study.not_run = [*not_run, *unfunded]
    by_arm = {one.arm.id: one for one in candidates}
    study.confounds = []
    for one, other in in_pairs(study.arms):
        found = probes.get(one.id), probes.get(other.id)
        one.differences = differences(by_arm[one.id].stages, by_arm[other.id].stages, *found)
        study.confounds += confounds_of(one, other, by_arm[one.id].entailed)
    study.detectable = detectable_effects(study, noise or {}, None if earlier is None else Path(earlier))
    return Study.model_validate(study.model_dump())


def _check_numbers(
    seeds: int, fewer_seeds: int, budget: float | None, cell_seconds: float | None, earlier: str | Path | None
) -> None:
    """Refuse arguments of `check` that are out of range, and a folder of earlier cells that does not exist.

    Raises:
        SettingError: An argument makes no sense.
    """
    if min(seeds, fewer_seeds) < 1:
        raise SettingError(f"{min(seeds, fewer_seeds)} seeds are too few: give at least one, or eight for a verdict")
    if budget is not None and not budget > 0:
        raise SettingError(f"a budget of {budget:g} s pays for nothing: give one above 0")
    if cell_seconds is not None and not cell_seconds > 0:
        raise SettingError(
            f"cell_seconds is {cell_seconds:g} and must be above 0: give the seconds of one seed of an arm"
        )
    if earlier is not None and not Path(earlier).is_dir():
        raise SettingError(f"{earlier} is not a folder: name the folder of an earlier run to measure the noise from")


def _check_names(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse names that the knobs' file does not have.

    Raises:
        SettingError: A name is not known.
    """
    for name in names:
        if name not in known:
            raise SettingError(f"there is no {what} {name!r}{did_you_mean(name, known)}")


@contextmanager
def _folder(work: str | Path | None) -> Iterator[Path]:
    """The folder for probes: the one that is given, or a temporary one that is deleted after the block."""
    if work is not None:
        yield Path(work)
        return
    with tempfile.TemporaryDirectory(prefix="whenwhere-probes-") as folder:
        yield Path(folder)


def _frame(knobs: Knobs, seeds: int) -> Study:
    """The study before its arms and metrics are known; a stub stands for the arms."""
    folder = str(Path(knobs.name).absolute().parent) if knobs.command is not None else ""
    seeding = dict(knobs.seeding)
    if not seeding and knobs.recipe is not None:
        seeding = {"train.seed": Seeding(), **{f"{one.name}:train.seed": Seeding() for one in knobs.before}}
    elif not seeding and "{seed}" not in (knobs.command or ""):
        seeding = {"seed": Seeding()}
    base: dict[str, Any] = {}
    for knob in knobs.knobs:
        if not knob.key and knob.base in knob.options:
            base |= knob.options[knob.base]
        elif knob.base is not None:
            base[knob.key or knob.id] = knob.base
    stub = StudyArm(
        id="stub", label="", kind="baseline", config_hash="", seeds=[], stages=[StageHash(name="stub", hash="0" * 20)]
    )
    home = Path(knobs.name).absolute().parent if knobs.name.endswith(".toml") else Path.cwd()
    return Study(
        recipe=knobs.recipe, preset=knobs.preset, before=knobs.before, command=knobs.command, folder=folder,
        override=knobs.override, metrics_file=knobs.metrics_file, items_file=knobs.items_file,
        base=base if knobs.command is not None else {}, fixed=knobs.fixed, seeding=seeding,
        files=[str(home / one) for one in knobs.files], arms=[stub], metrics=[], seeds=seeds,
    )  # fmt: skip


def _candidates(bindings: Bindings, knobs: Knobs, frame: Study, not_run: list[NotRun]) -> list[_Candidate]:
    """The arms that can be resolved, equal ones merged; the reasons against the others are added to `not_run`.

    Raises:
        SettingError: The baseline cannot be resolved.
    """
    by_id = {knob.id: knob for knob in knobs.knobs}
    arms = bindings.arms()
    entailed = {(item.id, arm.label): arm.entailed for item in bindings.items for arm in item.arms}
    found: list[_Candidate] = []
    same_as: dict[str, str] = {}
    for arm in arms:
        try:
            check_values(arm, knobs, frame)
            if arm.knob is not None:
                _check_names("knob", [arm.knob], list(by_id))
            stages = stages_of(frame, arm.overrides)
            if arm.knob is not None:
                check_requires(by_id[arm.knob], stages[-1])
            check_files(stages)
        except SettingError as e:
            if arm.kind == "baseline":
                raise
            missing = isinstance(e, MissingDataError)
            not_run.append(
                NotRun(item=arm.item, name=arm.label, status="missing" if missing else "refused", reason=str(e))
            )
            continue
        hashes = [one.hash for one in stages]
        twin = next((one for one in found if [stage.hash for stage in one.stages] == hashes), None)
        if twin is not None:
            same_as[arm.id] = twin.arm.id
            twin.merged.append(MergedArm(item=arm.item, knob=arm.knob, label=arm.label, order=arm.order))
            continue
        own = list(entailed.get((arm.item or "", arm.label), []))
        if arm.kind == "arm" and arm.knob is not None:
            own += [key for key in arm.overrides if key not in own_keys(by_id[arm.knob]) and key not in own]
        found.append(_Candidate(arm, arm.kind, stages, own))
    ids = {one.arm.id for one in found}
    for one in found[1:]:
        against = same_as.get(one.arm.against, one.arm.against)
        if against not in ids or against == one.arm.id:
            one.arm = one.arm.model_copy(update={"notes": [*one.arm.notes, _without(arms, one.arm.against)]})
            against = found[0].arm.id
        one.arm = one.arm.model_copy(update={"against": against})
    return found


def _without(arms: Sequence[Arm], id: str) -> str:
    """The note on an arm whose control is not run."""
    label = next((arm.label for arm in arms if arm.id == id), id)
    return f"compared with the baseline, because {label} cannot be run"


def _add(candidates: list[_Candidate], arm: Arm, kind: ArmKind, frame: Study) -> None:
    """Add an arm that checks the study itself, under an id that no other arm has."""
    ids = {one.arm.id for one in candidates}
    while arm.id in ids:
        arm = arm.model_copy(update={"id": f"{arm.id}-"})
    candidates.append(_Candidate(arm, kind, salted(stages_of(frame, arm.overrides), kind, arm.id)))


def _drop_dead(
    candidates: list[_Candidate], probes: Mapping[str, ArmProbe], accepted: set[str], not_run: list[NotRun]
) -> list[_Candidate]:
    """The arms whose probe ran and shows a difference from the baseline; the others are added to `not_run`.

    Raises:
        SettingError: The baseline's probe failed.
    """
    base = candidates[0]
    found, dropped = [base], set()
    if probes[base.arm.id].failed:
        raise SettingError(f"the baseline cannot be run: {probes[base.arm.id].failed}")
    for one in candidates[1:]:
        probe = probes.get(one.arm.id)
        if one.kind in ("a-a", "null") or probe is None:
            found.append(one)
        elif probe.failed:
            dropped.add(one.arm.id)
            not_run.append(NotRun(item=one.arm.item, name=one.arm.label, status="refused", reason=probe.failed))
        elif one.arm.knob not in accepted and _is_dead(one, base, probe, probes[base.arm.id]):
            dropped.add(one.arm.id)
            what = ", ".join(f"{key} = {quoted(value)}" for key, value in one.arm.overrides.items())
            reason = (
                f"{what} changes neither a parameter nor a number of the first updates: the knob is dead, or acts "
                f"only later; run it with --accept-dead {one.arm.knob}"
            )
            not_run.append(NotRun(item=one.arm.item, name=one.arm.label, status="dead", reason=reason))
        else:
            found.append(one)
    for one in found:
        if one.arm.against in dropped:
            label = next(other.arm.label for other in candidates if other.arm.id == one.arm.against)
            note = f"compared with the baseline, because {label} is not run"
            one.arm = one.arm.model_copy(update={"against": base.arm.id, "notes": [*one.arm.notes, note]})
    return found


def _is_dead(one: _Candidate, base: _Candidate, probe: ArmProbe, other: ArmProbe) -> bool:
    """Whether the first updates of an arm are those of the baseline, although its configuration differs.

    An arm that is only trained longer, or measured in another way, cannot be told from the baseline by a few updates.
    """
    from whenwhere.training.stages import flat

    if [stage.hash for stage in one.stages[:-1]] == [stage.hash for stage in base.stages[:-1]] and one.stages[:-1]:
        return False
    for stage, before in zip(one.stages, base.stages, strict=False):
        now, then = flat(stage.config or {}), flat(before.config or {})
        if any(now.get(key) != then.get(key) for key in ("train.max_steps", "train.num_train_epochs")):
            return False
    return equal_probes(probe, other)


def _study_arms(
    candidates: Sequence[_Candidate], bindings: Bindings, probes: Mapping[str, ArmProbe], seeds: int, first_seed: int
) -> list[StudyArm]:
    """The arms of the study with their seeds; the baseline also stands for its own value among ordered ones."""
    arms: list[StudyArm] = []
    for one in candidates:
        start = first_seed + AGAIN if one.kind == "a-a" else first_seed
        arm = StudyArm(
            id=one.arm.id, label=one.arm.label, kind=one.kind, item=one.arm.item, knob=one.arm.knob,
            overrides=one.arm.overrides, against=one.arm.against or None, config_hash=one.stages[-1].hash,
            stages=[StageHash(name=stage.name, hash=stage.hash) for stage in one.stages],
            seeds=list(range(start, start + seeds)), order=one.arm.order, merged=one.merged, notes=one.arm.notes,
        )  # fmt: skip
        arms.append(arm)
    for item in bindings.items:
        known = any(merged.item == item.id for merged in arms[0].merged)
        if item.status == "bound" and item.base_order is not None and not known:
            label = item.base_label or "baseline"
            arms[0].merged.append(MergedArm(item=item.id, knob=item.knob, label=label, order=item.base_order))
    return arms


def _metrics(
    bindings: Bindings, knobs: Knobs, base: _Candidate, probe: ArmProbe | None, not_run: list[NotRun]
) -> list[StudyMetric]:
    """The metrics of the study: those of the plan and the declared primary ones, as far as they can be measured.

    Raises:
        SettingError: None of them can be measured.
    """
    bound: dict[str, list[str]] = {}
    known = [metric.id for metric in knobs.metrics]
    for one in bindings.metrics:
        if one.status == "bound" and one.metric in known:
            bound.setdefault(one.metric, []).append(one.heading)
        elif one.status == "bound":
            reason = f"the knobs' file has no metric {one.metric!r}{did_you_mean(one.metric or '', known)}"
            not_run.append(NotRun(name=one.heading, status="missing", reason=reason))
    wanted = [metric for metric in knobs.metrics if metric.id in bound or metric.primary]
    found = []
    for metric in wanted:
        reason = _unmeasured(metric, base, probe)
        if reason:
            not_run.append(NotRun(name=metric.id, status="missing", reason=reason))
            continue
        found.append(
            StudyMetric(
                id=metric.id, heading=metric.heading, key=metric.key, higher=metric.higher, unit=metric.unit,
                items=metric.items, primary=metric.primary, margin=metric.margin, dataset=metric.dataset,
                asked=list(dict.fromkeys(bound.get(metric.id, []))),
            )
        )  # fmt: skip
    if not found:
        why = f": {not_run[-1].reason}" if wanted else ": bind one, or declare a primary one in the knobs' file"
        raise SettingError(f"the study has no metric that can be measured{why}")
    return found


def _unmeasured(metric: MetricDefinition, base: _Candidate, probe: ArmProbe | None) -> str:
    """Why a metric cannot be measured, as a sentence; "" if it can, or if only a run will show."""
    if probe is not None and probe.metrics and base.stages[0].kind != "command":
        if metric.key in probe.metrics:
            return ""
        known = sorted(key for key in probe.metrics if "/" in key)
        return f"nothing measures {metric.key}{did_you_mean(metric.key, known)}: add an evaluator, or mend its key"
    if probe is not None and probe.metrics and metric.key not in probe.metrics:
        return f"the command's metrics have no {metric.key}{did_you_mean(metric.key, probe.metrics)}"
    if base.stages[0].kind == "command" or metric.key in COSTS:
        return ""
    names = [one.name for one in resolve(base.stages[-1], 0).evaluators]
    name = metric.key.partition("/")[0]
    return "" if name in names else f"the recipe has no evaluator {name!r}{did_you_mean(name, names)}: add it to fixed"


def _costs(
    candidates: Sequence[_Candidate], probes: Mapping[str, ArmProbe], cell_seconds: float | None
) -> dict[str, float]:
    """Seconds of one seed of each stage by its hash, as far as they are known."""
    costs: dict[str, float] = {}
    base = candidates[0]
    known = probes[base.arm.id].seconds if base.arm.id in probes else {}
    measuring = known.get(base.stages[-1].hash)
    for one in candidates:
        probe = probes.get(base.arm.id if one.kind in ("a-a", "null") else one.arm.id)
        source = base.stages if one.kind in ("a-a", "null") else one.stages
        for stage, original in zip(one.stages, source, strict=False):
            if cell_seconds is not None:
                # the whole cost is put on the last stage, because earlier ones may be shared with other arms
                costs[stage.hash] = cell_seconds if stage is one.stages[-1] else 0.0
            elif probe is not None and original.hash in probe.seconds:
                value = probe.seconds[original.hash]
                costs[stage.hash] = measuring if stage.kind == "evaluate" and measuring and value < measuring else value
    return costs
