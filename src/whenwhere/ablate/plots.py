"""Two plots of an ablation report, as SVG in the colours of the page.

They are drawn here and not by matplotlib, which a machine that trains need not have. The drawings are as wide as a
phone, so that their text can be read there, and a larger screen enlarges them.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whenwhere.ablate.effects import Effect
from whenwhere.ablate.report import AblationReport, Values
from whenwhere.ablate.study import StudyMetric
from whenwhere.ablate.wording import difference, finding, number
from whenwhere.training.status_page import ticks

_WIDTH = 340
#: Forest plot: height of an arm's row, and where the axis ends on the right; the text comes after it.
_ROW, _AXIS_END = 42, 226
#: Line plot: height and margins.
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 200, 44, 10, 10, 26
#: Most letters of a label.
_LABEL, _TICK = 54, 12


@dataclass(frozen=True)
class OrderedValues:
    """The arms of one knob whose values have an order, such as 8, 16, 32 and 64 group tokens.

    Attributes:
        title: What is varied.
        points: Label, id of the arm and whether it is the baseline, in order.
    """

    title: str
    points: Sequence[tuple[str, str, bool]]


def ordered_values(found: AblationReport) -> list[OrderedValues]:
    """The series of a report: for each item and knob with ordered values its arms, the baseline included.

    Args:
        found: The report.
    """
    series: dict[tuple[str | None, str | None], dict[int, tuple[str, str, bool]]] = {}
    for arm in found.arms:
        baseline = arm.kind == "baseline"
        for item, knob, label, order in [
            (arm.item, arm.knob, arm.label, arm.order),
            *((one.item, one.knob, one.label, one.order) for one in arm.merged),
        ]:
            if order is not None:
                series.setdefault((item, knob), {}).setdefault(order, (label, arm.id, baseline))
    made = []
    for (item, knob), points in series.items():
        if len(points) > 1:
            labels = _without_common_start([points[k][0] for k in sorted(points)])
            of_arms = [points[k][1:] for k in sorted(points)]
            made.append(
                OrderedValues(knob or item or "", [(label, *of) for label, of in zip(labels, of_arms, strict=True)])
            )
    return made


def _without_common_start(labels: Sequence[str]) -> list[str]:
    """The labels without the words that all of them begin with.

    >>> _without_common_start(["group tokens = 8", "group tokens = 16"]), _without_common_start(["8", "16"])
    (['8', '16'], ['8', '16'])
    """
    words = [label.split() for label in labels]
    same = 0
    while all(len(one) > same + 1 and one[same] == words[0][same] for one in words):
        same += 1
    return [" ".join(one[same:]) for one in words]


def forest(found: AblationReport, metric: StudyMetric) -> str:
    """Draw the effects of all arms on a metric with their intervals, and the difference of each seed as a dot.

    Better is to the right: the axis is reversed if less of the metric is better.

    Args:
        found: The report.
        metric: The metric.
    """
    effects = [effect for effect in found.effects if effect.metric == metric.id]
    sign = 1 if metric.higher else -1
    scale = sign * (100 if metric.unit == "%" else 1)
    values = [0.0]
    for effect in effects:
        values += [scale * delta for delta in (effect.deltas if effect.standing != "incomplete" else [])]
        values += [scale * end for end in (effect.difference or ())]
    marks = ticks(min(values), max(values)) if len(set(values)) > 1 else [-1.0, 0.0, 1.0]
    low, high = min(marks[0], *values), max(marks[-1], *values)
    height = _ROW * len(effects) + 24

    def x(value: float) -> float:
        return 8 + (_AXIS_END - 16) * (value - low) / (high - low)

    parts = [
        f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="4" y2="{height - 20}" stroke="var(--line)"/>'
        f'<text x="{x(v):.1f}" y="{height - 7}" text-anchor="middle">{sign * v + 0.0:.4g}</text>'  # 0, not -0
        for v in marks
    ]
    parts.append(
        f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - 20}" stroke="var(--soft)" stroke-dasharray="3 3"/>'
    )
    for k, effect in enumerate(effects):
        parts.append(_forest_row(found, metric, effect, _ROW * k, scale, x))
    name = html.escape(f"Differences in {metric.heading} by arm", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _forest_row(
    found: AblationReport, metric: StudyMetric, effect: Effect, top: int, scale: float, x: Callable[[float], float]
) -> str:
    label, sure = found.label(effect.arm), effect.verdict in ("better", "worse")
    colour = {"better": "var(--first)", "worse": "var(--second)"}.get(effect.verdict, "var(--soft)")
    shown = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
    y = top + 28
    parts = [
        f"<title>{html.escape(f'{label}: {difference(metric, effect)}; {finding(effect)}')}</title>",
        f'<text class="label" x="2" y="{top + 14}">{html.escape(shown)}</text>',
        f'<text x="{_WIDTH - 2}" y="{y + 4}" text-anchor="end">{html.escape(difference(metric, effect))}</text>',
    ]
    if effect.mean is not None:
        parts += [
            f'<circle cx="{x(scale * delta):.1f}" cy="{y}" r="2" fill="{colour}" opacity="0.4"/>'
            for delta in effect.deltas
        ]
        if effect.difference is not None:
            ends = sorted(x(scale * end) for end in effect.difference[1:])
            parts.append(
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
            )
        fill = colour if sure else "var(--panel)"
        parts.append(
            f'<circle cx="{x(scale * effect.mean):.1f}" cy="{y}" r="4" fill="{fill}" stroke="{colour}" '
            'stroke-width="1.6"/>'
        )
    return f"<g>{''.join(parts)}</g>"


def lines(found: AblationReport, series: OrderedValues, metric: StudyMetric) -> str:
    """Draw a metric over the ordered values of a knob: means with standard deviations, and each seed as a dot.

    The baseline's value is a square; if it is not among the values, a dashed line shows the baseline.

    Args:
        found: The report.
        series: The ordered values.
        metric: The metric.
    """
    scale = 100 if metric.unit == "%" else 1
    values = [found.arm(arm).values[metric.id] for _, arm, _ in series.points]
    base = None if any(own for *_, own in series.points) else found.arms[0].values[metric.id].mean
    every = [scale * v for one in values for v in one.by_seed.values()]
    every += [scale * (v.mean + sign * (v.sd or 0)) for v in values if v.mean is not None for sign in (-1, 1)]
    every += [] if base is None else [scale * base]
    if not every:
        return f'<svg viewBox="0 0 {_WIDTH} 20"><text x="2" y="14">no cell is done yet</text></svg>'
    rows = ticks(min(every), max(every))
    low, high = min(rows[0], *every), max(rows[-1], *every)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - scale * value) / ((high - low) or 1)

    step = (_WIDTH - _LEFT - _RIGHT) / len(values)
    centres = [_LEFT + step * (k + 0.5) for k in range(len(values))]
    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(v / scale):.1f}" y2="{y(v / scale):.1f}" '
        f'stroke="var(--line)"/><text x="{_LEFT - 6}" y="{y(v / scale) + 4:.1f}" text-anchor="end">{v:.4g}</text>'
        for v in rows
    ]
    if base is not None:
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(base):.1f}" y2="{y(base):.1f}" stroke="var(--soft)" '
            f'stroke-dasharray="4 3"><title>baseline {html.escape(number(metric, base))}</title></line>'
        )
    means = [(c, y(v.mean)) for c, v in zip(centres, values, strict=True) if v.mean is not None]
    path = " L".join(f"{c:.1f} {at:.1f}" for c, at in means)
    parts.append(f'<path d="M{path}" fill="none" stroke="var(--first)" stroke-width="1.6"/>')
    for centre, one, (label, arm, own) in zip(centres, values, series.points, strict=True):
        parts.append(_point(metric, one, centre, y, own, found.label(arm)))
        shown = label if len(label) <= _TICK else f"{label[: _TICK - 1]}…"
        parts.append(f'<text x="{centre:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{html.escape(shown)}</text>')
    name = html.escape(f"{metric.heading} over {series.title}", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _point(metric: StudyMetric, one: Values, centre: float, y: Callable[[float], float], own: bool, label: str) -> str:
    if one.mean is None:
        return ""
    parts = [f"<title>{html.escape(f'{label}: {number(metric, one.mean)} ({len(one.by_seed)} seeds)')}</title>"]
    parts += [
        f'<circle cx="{centre + 7:.1f}" cy="{y(v):.1f}" r="2" fill="var(--first)" opacity="0.4"/>'
        for v in one.by_seed.values()
    ]
    if one.sd is not None:
        ends = (y(one.mean - one.sd), y(one.mean + one.sd))
        parts.append(
            f'<line x1="{centre:.1f}" x2="{centre:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}" stroke="var(--first)" '
            'stroke-width="2"/>'
        )
    at = y(one.mean)
    parts.append(
        f'<rect x="{centre - 4:.1f}" y="{at - 4:.1f}" width="8" height="8" fill="var(--panel)" stroke="var(--first)" '
        'stroke-width="1.6"/>'
        if own
        else f'<circle cx="{centre:.1f}" cy="{at:.1f}" r="4" fill="var(--first)"/>'
    )
    return f"<g>{''.join(parts)}</g>"
