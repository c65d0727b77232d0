"""The tables of an ablation report, for a terminal, Markdown and a page, and the sentences above them."""

from collections.abc import Iterable, Sequence

from whenwhere.ablate.effects import ALPHA, CLAIMED, Effect
from whenwhere.ablate.evidence import COSTS
from whenwhere.ablate.report import AblationReport, ReportArm
from whenwhere.ablate.study import StudyMetric
from whenwhere.ablate.wording import cost, difference, finding, heading, interval, number, p_is, p_text, spread
from whenwhere.evaluate.table import Cell, Table, markdown


def footnotes(found: AblationReport) -> dict[str, str]:
    """The remarks on arms, each with the mark of its footnote: a, b ... z, aa ...

    Args:
        found: The report.
    """
    texts = dict.fromkeys(text for arm in found.arms for text in arm.remarks)
    return {text: _mark(k) for k, text in enumerate(texts)}


def _mark(k: int) -> str:
    """The mark of the footnote with this index: a, b ... z, aa ..."""
    letters = ""
    while k >= 0:
        letters = chr(ord("a") + k % 26) + letters
        k = k // 26 - 1
    return letters


def labels(found: AblationReport) -> dict[str, str]:
    """The label of each arm by its id, followed by the marks of its footnotes in brackets.

    Args:
        found: The report.
    """
    marks = footnotes(found)
    return {
        arm.id: arm.label + (f" [{', '.join(marks[text] for text in arm.remarks)}]" if arm.remarks else "")
        for arm in found.arms
    }


def seeds_text(arm: ReportArm) -> str:
    """The number of an arm's seeds: `8`, or `7/8 seeds` if one is missing.

    Args:
        arm: The arm.
    """
    n = len(arm.seeds)
    return f"{n - len(arm.missing)}/{n} seeds" if arm.missing else str(n)


def cost_keys(found: AblationReport) -> list[str]:
    """Keys of the costs that at least one arm has, in the order of `COSTS`.

    Args:
        found: The report.
    """
    return [key for key in COSTS if any(key in arm.costs for arm in found.arms)]


def tables(found: AblationReport) -> list[Table]:
    """All tables of a report, the most important first; empty ones are left out.

    Args:
        found: The report.
    """
    primary = [metric for metric in found.metrics if metric.primary]
    others = [metric for metric in found.metrics if not metric.primary]
    claimed = [effect for effect in found.effects if effect.kind in CLAIMED]
    checks = [effect for effect in found.effects if effect.kind not in CLAIMED]
    made = [
        _arms(found),
        _effects(found, "Primary comparisons", claimed, primary, _primary_note(found)),
        _effects(found, "Checks of the study", checks, primary, CHECKS_NOTE),
        _interactions(found),
        _costs(found),
        _effects(found, "Exploratory comparisons", claimed, others, EXPLORATORY_NOTE),
        _not_run(found),
        _missing(found),
        _detectable(found),
        _remarks(found),
    ]
    return [table for table in made if table.rows]


#: Notes below the tables of comparisons that no claim rests on, and of those that check the study.
EXPLORATORY_NOTE = "Not corrected for their number; no claim rests on them."
CHECKS_NOTE = (
    "The baseline once more with other seeds, and changes that should do nothing, corrected for their number. A "
    "difference here is a fault of the study, or one of the 5 % that chance brings."
)


def _arms(found: AblationReport) -> Table:
    """The values of every arm on every metric."""
    metrics = [m for m in found.metrics if m.primary] + [m for m in found.metrics if not m.primary]
    names = labels(found)
    rows: list[list[Cell]] = [
        [names[arm.id], seeds_text(arm), *(spread(metric, arm.values[metric.id]) for metric in metrics)]
        for arm in found.arms
    ]
    note = "Mean ± standard deviation between seeds; an arrow shows which direction is better."
    note += "".join(f"\n[{mark}] {text}" for text, mark in footnotes(found).items())
    title = f"Arms{f', {found.partial}' if found.partial else ''}"
    return Table(title, ["arm", "seeds", *map(heading, metrics)], rows, note, _kinds(found))


def _costs(found: AblationReport) -> Table:
    """What the arms cost, in a table of its own because a second run of the same cells takes other times."""
    keys = cost_keys(found)
    if not keys:
        return Table("Costs", [], [])
    rows: list[list[Cell]] = []
    for arm in found.arms:
        row: list[Cell] = [arm.label]
        for key in keys:
            ours, base = arm.costs.get(key), found.arms[0].costs.get(key)
            ratio = ""
            if arm is not found.arms[0] and ours and base and ours.mean and base.mean:
                ratio = f" (× {ours.mean / base.mean:.2f})"
            row.append(cost(key, ours) + ratio)
        rows.append(row)
    columns = ["arm", *(f"{COSTS[key][0]} ({COSTS[key][1]}) ↓" for key in keys)]
    note = "Mean ± standard deviation between seeds, and the ratio to the baseline; not tested."
    return Table("Costs", columns, rows, note, _kinds(found))


def _kinds(found: AblationReport) -> list[str]:
    """Kinds of rows of arms, by which a page marks the baseline."""
    return ["answers" if arm.kind == "baseline" else arm.kind for arm in found.arms]


def _primary_note(found: AblationReport) -> str:
    """What the columns of the table of primary comparisons mean, and how many tests were corrected together."""
    families = [effect.family for effect in found.effects]
    sizes = [
        f"{families.count(family)} comparisons planned as {name}"
        for family, name in (("primary", "verdicts"), ("screening", "screenings"))
        if family in families
    ]
    return (
        "Difference and 95 % interval: paired t test of the differences of single seeds, in points where the metric is "
        f"in percent. p (Holm): corrected over {' and, apart from them, over '.join(sizes) or 'no comparison'}; at "
        f"{ALPHA:g} or below a difference counts as found. Sign flip: exact test, from 6 seeds.\n"
        "Seeds × items: crossed bootstrap over seeds and videos, a description and no test. Could find: the "
        "difference that so many seeds of this spread find in 80 % of studies, uncorrected.\n"
        "Not worse: a loss of the declared margin is ruled out (one-sided t test at 0.025, corrected). Verdicts need "
        "8 planned seeds, screenings 5; with a seed missing nothing is tested. "
        "All of it is about training, measured on these items, and not about new items."
    )


def _effects(
    found: AblationReport, title: str, effects: Iterable[Effect], metrics: Sequence[StudyMetric], note: str
) -> Table:
    """The effects on some metrics with their tests; columns that would be empty are left out."""
    by_id = {metric.id: metric for metric in metrics}
    columns = [
        "arm", "metric", "difference [95 %]", "found", "p (Holm)", "p", "sign flip", "seeds", "against",
        "margin: largest loss", "seeds × items", "one checkpoint, over videos", "could find",
    ]  # fmt: skip
    rows: list[list[Cell]] = []
    for effect in effects:
        if effect.metric not in by_id:
            continue
        metric = by_id[effect.metric]
        rows.append([
            found.label(effect.arm), heading(metric), difference(metric, effect), finding(effect),
            p_text(effect.adjusted), p_text(effect.p_value), p_text(effect.flipped),
            f"{len(effect.seeds)}/{effect.planned}", found.label(effect.against), _margin(metric, effect),
            interval(metric, effect.described), interval(metric, effect.checkpoint),
            "" if effect.detectable is None else f"± {number(metric, effect.detectable)}",
        ])  # fmt: skip
    table = Table(title, columns, rows, note)
    empty = [c for k, c in enumerate(columns) if rows and not any(row[k] for row in rows)]
    return table.without(*empty)


def _margin(metric: StudyMetric, effect: Effect) -> str:
    """The margin, and the largest loss that is not ruled out."""
    if metric.margin is None or effect.bound is None:
        return ""
    return f"{number(metric, metric.margin)}: {number(metric, max(0.0, -effect.bound))} (p {p_text(effect.inferior)})"


def _interactions(found: AblationReport) -> Table:
    metrics = {metric.id: metric for metric in found.metrics}
    rows: list[list[Cell]] = [
        [
            found.label(one.arm),
            "; ".join(
                f"{metrics[id].heading} {number(metrics[id], found.effect(one.arm, id).mean or 0, signed=True)}"
                for id in one.metrics
            ),
            one.pairs,
            p_text(one.p_value),
            p_text(one.adjusted),
            "differs between tasks" if one.adjusted <= ALPHA else "no detectable difference between tasks",
        ]
        for one in found.interactions
    ]
    columns = ["arm", "differences", "seeds", "p", "p (Holm)", "found"]
    note = "Hotelling's T² test that an arm changes all tasks alike; corrected over the arms of this table."
    return Table("Arm × task", columns, rows, note)


def _not_run(found: AblationReport) -> Table:
    rows: list[list[Cell]] = [[f"not run: {one.name}", one.status, one.reason] for one in found.not_run]
    return Table("Not run", ["what", "status", "reason"], rows)


def _missing(found: AblationReport) -> Table:
    rows: list[list[Cell]] = []
    for arm in found.arms:
        by_reason: dict[str, list[int]] = {}
        for seed, reason in arm.missing.items():
            by_reason.setdefault(reason, []).append(seed)
        rows += [[arm.label, ", ".join(map(str, seeds)), reason] for reason, seeds in by_reason.items()]
    return Table("Missing cells", ["arm", "seeds", "reason"], rows)


def _detectable(found: AblationReport) -> Table:
    rows: list[list[Cell]] = [
        [
            found.metric(one.metric).heading,
            str(one.seeds),
            f"± {number(found.metric(one.metric), one.effect)}",
            f"{100 * one.power:.0f} %",
            f"{number(found.metric(one.metric), one.sd)} ({one.sd_source})",
        ]
        for one in found.detectable
    ]
    columns = ["metric", "seeds", "difference", "chance", "standard deviation of a seed's difference"]
    return Table("What could be found, computed before the run", columns, rows)


def _remarks(found: AblationReport) -> Table:
    rows: list[list[Cell]] = [["mixed", text] for text in found.mixed]
    rows += [["note", text] for text in found.remarks]
    return Table("Notes", ["", ""], rows)


def summary(found: AblationReport) -> list[str]:
    """The first lines of a report: how much of the study is done, and what was found.

    Args:
        found: The report.
    """
    done = found.partial or f"all {found.planned} cells"
    failed = f", {found.failed} failed" if found.failed else ""
    lines = [f"{found.title}: {done}{failed}."]
    if found.mixed:
        lines.append(f"MIXED: {'; '.join(found.mixed)}. The comparisons below are not of arms alone.")
    lines += [
        f"CHECK FAILED: {found.label(effect.arm)} differs from {found.label(effect.against)} in "
        f"{found.metric(effect.metric).heading} although it should not."
        for effect in found.effects
        if effect.family == "check" and finding(effect) == "differs"
    ]
    claimed = [effect for effect in found.effects if effect.family in ("primary", "screening")]
    for effect in claimed:
        if effect.verdict in ("better", "worse", "not worse"):
            metric = found.metric(effect.metric)
            p = effect.inferior if effect.verdict == "not worse" else effect.adjusted
            lines.append(
                f"{found.label(effect.arm)} against {found.label(effect.against)}: {finding(effect)}, {metric.heading} "
                f"{difference(metric, effect)}, {p_is(p)} by Holm."
            )
    without = sum(effect.verdict == "no detectable effect" for effect in claimed)
    untested = sum(not effect.tested for effect in claimed)
    if without:
        lines.append(f"No detectable effect in {without} of {len(claimed)} primary comparisons.")
    if untested:
        lines.append(f"No test in {untested} of {len(claimed)} primary comparisons: seeds are missing or all alike.")
    if found.not_run:
        lines.append(f"not run: {'; '.join(dict.fromkeys(one.name for one in found.not_run))}.")
    return lines


def markdown_text(found: AblationReport) -> str:
    """A report as Markdown: the summary and all tables.

    Args:
        found: The report.
    """
    lines = "\n".join(f"- {line}" for line in summary(found))
    return f"# Ablation of {found.title}\n\n{lines}\n\n{markdown(tables(found))}"
