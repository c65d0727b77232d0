"""The report of a study: from study.json and the files of its cells to values, tests and verdicts.

    found = report(read_study("ablation"), "ablation")
    write_report(found, "ablation/report")        # output.py

A report holds every number that its tables and plots show, and the differences of single seeds that they come from:
`report.json` is enough to write all other files again (`read_report`). It reads files only, never a running process, so
that a report can be made at any time: it shows the cells that are done, and says `partial (n of m cells)`.

Numbers are those of the cells, in each metric's own unit; shares are fractions until a table shows them in percent.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from whenwhere.ablate.documents import Document, read_document
from whenwhere.ablate.effects import ALPHA, CLAIMED, Effect, Interaction, compare, interactions, with_verdicts
from whenwhere.ablate.evidence import COSTS, StudyEvidence, mean_and_spread
from whenwhere.ablate.study import (
    ArmKind,
    Detectable,
    Differences,
    MergedArm,
    NotRun,
    Study,
    StudyArm,
    StudyBudget,
    StudyMetric,
)
from whenwhere.errors import RecordError, SettingError, did_you_mean
from whenwhere.readers import read_json


class Values(Document):
    """The values of a metric or a cost in one arm.

    Attributes:
        by_seed: Value of each seed that has one, in the metric's own unit.
        planned: Number of seeds that were planned.
        mean: Mean over the seeds that have a value; None if no seed has.
        sd: Standard deviation between those seeds; None if there are fewer than two.
    """

    by_seed: dict[int, float]
    planned: int
    mean: float | None
    sd: float | None


class ReportArm(Document):
    """One arm of a report.

    Attributes:
        id: Id of the arm.
        label: Words for the arm in tables.
        kind: Kind of the arm.
        item: Id of the item of the plan, or None.
        knob: Id of the knob that is changed, or None.
        overrides: Values that differ from those of the baseline.
        against: Id of the arm that this one is compared with; None for the baseline.
        order: Position among the ordered values of the knob, or None.
        merged: Arms of the plan that are the same as this one.
        seeds: Seeds that were planned.
        missing: Why each seed that is not done is missing, by seed.
        values: Values of each metric by its id.
        costs: Values of each cost by the key of the cells' metrics.
        differences: Differences from the arm in `against` that were not meant.
        remarks: Sentences that are printed below tables: settings that had to change too, and confounds.
    """

    id: str
    label: str
    kind: ArmKind
    item: str | None
    knob: str | None
    overrides: dict[str, Any]
    against: str | None
    order: int | None
    merged: list[MergedArm]
    seeds: list[int]
    missing: dict[int, str]
    values: dict[str, Values]
    costs: dict[str, Values]
    differences: Differences
    remarks: list[str]


class AblationReport(Document):
    """Everything that a report shows.

    Attributes:
        version: Version of the file's form.
        title: What was studied: the recipe with its preset, or the command.
        fixed: Overrides that all arms share.
        created: When the study was made.
        done: Number of cells (an arm with a seed) that are done.
        planned: Number of cells that were planned.
        failed: Number of cells that failed.
        metrics: The metrics.
        arms: The arms that were planned to run, the baseline first.
        effects: Each arm against another on each metric.
        interactions: Whether effects differ between tasks.
        not_run: What the plan asks for and what was not run, each with the reason.
        detectable: Smallest effects that could be found, as computed before the run.
        budget: Costs as computed before the run.
        mixed: Sentences about code or data that differ between cells.
        remarks: Sentences about the study as a whole.
        machines: Processors and accelerators that cells were run on.
        resamples: Number of resamples of the bootstraps.
    """

    version: Literal[1] = 1
    title: str
    fixed: dict[str, Any] = Field(default_factory=dict)
    created: str = ""
    done: int
    planned: int
    failed: int
    metrics: list[StudyMetric]
    arms: list[ReportArm]
    effects: list[Effect]
    interactions: list[Interaction]
    not_run: list[NotRun]
    detectable: list[Detectable]
    budget: StudyBudget
    mixed: list[str]
    remarks: list[str]
    machines: list[str]
    resamples: int

    @property
    def partial(self) -> str:
        """`partial (n of m cells)`, or an empty text if all cells are done."""
        return "" if self.done == self.planned else f"partial ({self.done} of {self.planned} cells)"

    def arm(self, id: str) -> ReportArm:
        """The arm with an id.

        Raises:
            SettingError: The report has no such arm.
        """
        for arm in self.arms:
            if arm.id == id:
                return arm
        raise SettingError(f"the report has no arm {id!r}{did_you_mean(id, [arm.id for arm in self.arms])}")

    def label(self, id: str | None) -> str:
        """The label of the arm with an id, or the id if the report has no such arm."""
        return next((arm.label for arm in self.arms if arm.id == id), id or "")

    def metric(self, id: str) -> StudyMetric:
        """The metric with an id.

        Raises:
            SettingError: The report has no such metric.
        """
        for metric in self.metrics:
            if metric.id == id:
                return metric
        raise SettingError(f"the report has no metric {id!r}{did_you_mean(id, [one.id for one in self.metrics])}")

    def effect(self, arm: str, metric: str) -> Effect:
        """The effect of an arm on a metric, by their ids.

        Raises:
            SettingError: The report has no such arm or metric, or the arm is the baseline.
        """
        for effect in self.effects:
            if (effect.arm, effect.metric) == (arm, metric):
                return effect
        self.metric(metric)
        if self.arm(arm).against is None:
            raise SettingError(f"{arm!r} is the baseline, which has no effect: name an arm that is compared with it")
        raise SettingError(f"the report does not compare {arm!r} in {metric!r}: make it again from the study")


def report(
    study: Study, out: str | os.PathLike[str], allow_mixed: bool = False, resamples: int = 2_000
) -> AblationReport:
    """Make the report of a study from its cells.

    Args:
        study: The study.
        out: Folder of the study's runs, which has the folder `cells`.
        allow_mixed: Whether cells of different code or data may be compared; the report then says so.
        resamples: Number of resamples of the descriptive bootstraps.

    Raises:
        RecordError: There is no such folder, a file of a cell cannot be read, code or data changed between cells, arms
            were measured on different items, or a metric is not the mean of its items.
    """
    if not Path(out).is_dir():
        raise RecordError(f"there is no folder {out}: name the one that `whenwhere ablate run` was given by --out")
    evidence = StudyEvidence(study, out, allow_mixed)
    funded = [arm for arm in study.arms if arm.funded]
    effects = []
    for arm in funded:
        if arm.against is not None:
            other = study.arm(arm.against)
            effects += [_effect(evidence, arm, other, metric, resamples) for metric in study.metrics]
    effects = with_verdicts(effects, {metric.id: metric for metric in study.metrics})
    arms = [_report_arm(evidence, arm) for arm in funded]
    machines = sorted({cell.env.machine for cell in evidence.cells.values() if cell.env and cell.env.machine})
    return AblationReport(
        title=_title(study),
        fixed=study.fixed,
        created=study.created,
        done=evidence.states["done"],
        planned=len(evidence.cells),
        failed=evidence.states["failed"],
        metrics=study.metrics,
        arms=arms,
        effects=effects,
        interactions=interactions(effects, study.metrics),
        not_run=study.not_run + _unfunded(study),
        detectable=study.detectable,
        budget=study.budget,
        mixed=evidence.mixed,
        remarks=_remarks(study, arms, effects, machines, evidence.versions, evidence.lacking_items()),
        machines=machines,
        resamples=resamples,
    )


def _title(study: Study) -> str:
    """The recipe and its preset, or the words of the command without folders and placeholders."""
    if study.recipe is not None:
        return Path(study.recipe).stem + (f" ({study.preset})" if study.preset else "")
    words = [Path(word).name for word in (study.command or "").split() if "{" not in word and word[0] != "-"]
    return " ".join(words[1:] if len(words) > 1 and words[0].startswith("python") else words)


def _effect(evidence: StudyEvidence, arm: StudyArm, other: StudyArm, metric: StudyMetric, resamples: int) -> Effect:
    """The effect of one arm against another on one metric, before the correction for the number of tests."""
    # An arm with more seeds than the other is compared on as many as both were planned with.
    planned = arm.seeds[: len(other.seeds)]
    pairs = [(seed, evidence.value(arm, k, metric), evidence.value(other, k, metric)) for k, seed in enumerate(planned)]
    items = evidence.differences(arm, other, metric) if metric.items else None
    return compare(arm.id, other.id, arm.kind, metric, pairs, items, resamples)


def _report_arm(evidence: StudyEvidence, arm: StudyArm) -> ReportArm:
    """What the cells of one arm show."""
    study = evidence.study
    cells = [evidence.cells[arm.id, seed] for seed in arm.seeds]
    values = {
        metric.id: _values(
            {
                seed: value for k, seed in enumerate(arm.seeds)
                if (value := evidence.value(arm, k, metric)) is not None
            },
            len(arm.seeds),
        )
        for metric in study.metrics
    }  # fmt: skip
    measured = {metric.key for metric in study.metrics}
    costs = {
        key: _values({cell.seed: cell.metrics[key] for cell in cells if key in cell.metrics}, len(arm.seeds))
        for key in COSTS
        if key not in measured and any(key in cell.metrics for cell in cells)
    }
    confounds = [confound.text for confound in study.confounds if confound.arm == arm.id]
    return ReportArm(
        id=arm.id, label=arm.label, kind=arm.kind, item=arm.item, knob=arm.knob, overrides=arm.overrides,
        against=arm.against, order=arm.order, merged=arm.merged, seeds=arm.seeds,
        missing={
            cell.seed: f"failed: {cell.reason}" if cell.state == "failed" else f"not done ({cell.state})"
            for cell in cells if cell.state != "done"
        },
        values=values, costs=costs, differences=arm.differences,
        remarks=list(dict.fromkeys([*arm.notes, *confounds])),
    )  # fmt: skip


def _values(by_seed: dict[int, float], planned: int) -> Values:
    mean, sd = mean_and_spread(list(by_seed.values()))
    return Values(by_seed=by_seed, planned=planned, mean=mean, sd=sd)


def _unfunded(study: Study) -> list[NotRun]:
    """Arms that the budget leaves out, unless the study names them already."""
    named = {(one.item, one.name) for one in study.not_run}
    return [
        NotRun(item=arm.item, name=arm.label, status="not funded", reason="It does not fit into the budget.")
        for arm in study.arms
        if not arm.funded and (arm.item, arm.label) not in named
    ]


def _remarks(
    study: Study,
    arms: Sequence[ReportArm],
    effects: Sequence[Effect],
    machines: Sequence[str],
    versions: Mapping[str, Sequence[str]],
    lacking_items: Mapping[str, int],
) -> list[str]:
    """What must be known to read the whole report, as sentences."""
    headings = {metric.id: metric.heading for metric in study.metrics}
    labels = {arm.id: arm.label for arm in arms}
    found = [metric.measured for metric in study.metrics if metric.measured]
    for arm in arms:
        for metric in study.metrics:
            lacking = [s for s in arm.seeds if s not in arm.missing and s not in arm.values[metric.id].by_seed]
            if lacking:
                seeds = ", ".join(map(str, lacking))
                found.append(f"{arm.label} is done with seed {seeds} and has no {metric.heading} ({metric.key}).")
    constant: dict[str, list[str]] = {}
    for effect in effects:
        name, heading = labels[effect.arm], headings[effect.metric]
        if effect.family == "check" and effect.verdict in ("better", "worse"):
            found.append(
                f"{name} differs from {labels.get(effect.against, effect.against)} in {heading} although it should "
                "not: look for the cause before believing other differences."
            )
        elif effect.verdict in ("better", "worse") and effect.flipped is not None and effect.flipped > ALPHA:
            found.append(
                f"The exact sign-flip test does not confirm that {name} is {effect.verdict} in {heading} "
                f"(p = {effect.flipped:.3f})."
            )
        if effect.standing == "constant":
            constant.setdefault(heading, []).append(name)
        elif effect.kind in CLAIMED and effect.standing == "unchanged":
            other = labels.get(effect.against, effect.against)
            found.append(f"With every seed {name} has exactly the {heading} of {other}: the change does not reach it.")
    for heading, names in constant.items():
        found.append(
            f"{heading} is the same with every seed in {len(names)} arms ({'; '.join(names)}): seeds do not show how "
            "much it varies, and it is not tested."
        )
    without = [metric.heading for metric in study.metrics if metric.items is None and metric.key not in COSTS]
    if without:
        found.append(f"There are no values of single items of {', '.join(without)}, so these cannot be recomputed.")
    for metric in study.metrics:
        if metric.items is not None and (n := lacking_items[metric.id]):
            cells = "1 cell has" if n == 1 else f"{n} cells have"
            found.append(
                f"{cells} no values of single items of {metric.heading} ({metric.items} in items.jsonl), which there "
                "cannot be recomputed."
            )
    if len(machines) > 1:
        found.append(f"Cells were run on {len(machines)} kinds of machines, so their times cannot be compared.")
    for name, several in versions.items():
        found.append(
            f"Cells were run with several versions of {name} ({', '.join(several)}): some differences may be theirs."
        )
    return list(dict.fromkeys(found))


def read_report(path: str | os.PathLike[str]) -> AblationReport:
    """Read a report.json, from which all other files of a report can be written again.

    Args:
        path: The file, or the folder that holds report.json.

    Raises:
        RecordError: The file cannot be read or does not follow the schema.
    """
    file = Path(path)
    file = file / "report.json" if file.is_dir() else file
    value = read_json(file, RecordError, "make it with `whenwhere ablate report`")
    return read_document(AblationReport, value, str(file))
