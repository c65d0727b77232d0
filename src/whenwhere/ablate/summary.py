"""A study in words, as `ablate check` prints it before anything is run."""

from whenwhere.ablate.funding import cpu_time
from whenwhere.ablate.study import Study, StudyArm


def summarize(study: Study) -> list[str]:
    """Describe a study in lines: what will run, what will not and why, what it costs, and what it can show.

    Args:
        study: The study.
    """
    funded = [arm for arm in study.arms if arm.funded]
    cells = sum(len(arm.seeds) for arm in funded)
    what = study.recipe or study.command
    lines = [f"{len(funded)} arms of {what}, {cells} cells{_cost(study)}"]
    lines += [f"  {_arm(arm, study)}" for arm in funded]
    lines += [f"  confound: {one.text}" for one in study.confounds if study.arm(one.arm).funded]
    if study.not_run:
        lines.append("not run:")
    lines += [f"  {one.name}: {one.status}; {one.reason}" for one in study.not_run]
    headings = {metric.id: metric for metric in study.metrics}
    for one in study.detectable:
        metric = headings[one.metric]
        if metric.unit == "%" and one.effect > 1:
            lines.append(f"{metric.heading}: with {one.seeds} seeds no difference can be found; plan more seeds")
            continue
        source = "assumed" if one.sd_source == "assumed" else "measured in earlier cells"
        lines.append(
            f"{metric.heading}: {one.seeds} seeds find a true difference of {_value(one.effect, metric.unit)} with a "
            f"chance of {one.power:.0%} (noise of one difference {_value(one.sd, metric.unit)}, {source}; alpha "
            f"{one.alpha:.2g} after correction)"
        )
    silent = [
        one.heading for one in study.metrics if one.primary and one.id not in {d.metric for d in study.detectable}
    ]
    lines += [
        f"{name}: the noise is not known, so neither is the smallest effect that can be found: give --noise"
        for name in silent
    ]
    fewest = min((len(arm.seeds) for arm in funded), default=0)
    if fewest < 5:
        lines.append(f"with {fewest} seeds there will be no test: five allow screening, eight a verdict")
    return lines


def _arm(arm: StudyArm, study: Study) -> str:
    """An arm with its seeds, its cost, and the arms of the plan that are the same."""
    parts = [f"{arm.label} ({arm.kind}"]
    parts[0] += f", against {study.arm(arm.against).label})" if arm.against else ")"
    parts.append(f"{len(arm.seeds)} seeds")
    if arm.cost_seconds is not None:
        parts.append(f"{cpu_time(arm.cost_seconds)} each")
    merged = [f"{one.label} of {one.item}" for one in arm.merged if one.item is not None]
    parts += [f"the same as {', '.join(merged)}"] if merged else []
    return "; ".join(parts)


def _cost(study: Study) -> str:
    """The cost of the study, as the end of its first line."""
    budget = study.budget
    if budget.estimated_seconds is None:
        return "; what they cost was not measured"
    of = "" if budget.seconds is None else f" of a budget of {cpu_time(budget.seconds)}"
    more = f"; {cpu_time(budget.unfunded_seconds)} are not funded" if budget.unfunded_seconds else ""
    return f"; {cpu_time(budget.estimated_seconds)}{of}{more}"


def _value(value: float, unit: str) -> str:
    """A difference in a metric's unit; shares are in points."""
    return f"{100 * value:.2f} points" if unit == "%" else f"{value:.4g}{f' {unit}' if unit else ''}"
