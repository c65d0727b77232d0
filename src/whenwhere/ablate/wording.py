"""How a report writes its numbers: shares in percent, differences in points, and words where there is no number.

Where nothing can be concluded, the place of the number says why: `2/3 seeds`, `no test (3 seeds)`.
"""

from whenwhere.ablate.effects import Effect
from whenwhere.ablate.evidence import COSTS
from whenwhere.ablate.report import Values
from whenwhere.ablate.study import StudyMetric
from whenwhere.stats import Interval


def number(metric: StudyMetric, value: float, signed: bool = False) -> str:
    """Write a value of a metric as tables show it: a share in percent, anything else with four digits.

    Args:
        metric: The metric.
        value: The value, in the metric's own unit.
        signed: Whether to write a plus too, for differences.

    >>> share = StudyMetric(id="r1", heading="R@1", key="retrieval/R@1", unit="%")
    >>> number(share, 0.4123), number(share, -0.0123, signed=True), number(share, -0.0001, signed=True)
    ('41.2', '−1.2', '0.0')
    """
    if metric.unit == "%":
        value *= 100
    text = f"{value:+.1f}" if metric.unit == "%" else f"{value:+.4g}"
    if not text.strip("+-0."):
        return text[1:]
    return text.removeprefix("+") if not signed else text.replace("-", "−", 1)


def heading(metric: StudyMetric) -> str:
    """The heading of a metric's column, with its unit and an arrow in the direction of better.

    Args:
        metric: The metric.
    """
    return f"{metric.heading}{f' ({metric.unit})' if metric.unit else ''} {'↑' if metric.higher else '↓'}"


def spread(metric: StudyMetric, values: Values) -> str:
    """Write the mean and standard deviation between seeds, such as `41.2 ± 1.1`; a dash if there is no value.

    Args:
        metric: The metric.
        values: Its values in one arm.
    """
    if values.mean is None:
        return "–"
    text = number(metric, values.mean)
    return text if values.sd is None else f"{text} ± {number(metric, values.sd)}"


def cost(key: str, values: Values | None) -> str:
    """Write the mean and standard deviation of a cost, in the unit of its column; a dash if there is no value.

    Args:
        key: Key of the cost in `COSTS`.
        values: Its values in one arm, or None.
    """
    if values is None or values.mean is None:
        return "–"
    one = COSTS[key][2]
    return f"{values.mean / one:.3g}" + (f" ± {values.sd / one:.2g}" if values.sd else "")


def finding(effect: Effect) -> str:
    """Say what was found about an effect, or why nothing may be said.

    Args:
        effect: The effect.
    """
    n = len(effect.seeds)
    if effect.standing == "incomplete":
        return f"{n}/{effect.planned} seeds"
    if effect.standing == "constant":
        return "not tested: the same with every seed"
    if effect.standing == "unchanged":
        return "not tested: no seed differs"
    if effect.standing in ("no test", "checkpoint"):
        return f"no test ({n} seed{'' if n == 1 else 's'})"
    if not effect.verdict:
        return "exploratory"
    if effect.family == "check":
        return "no difference found" if effect.verdict in ("no detectable effect", "not worse") else "differs"
    return effect.verdict if effect.standing == "verdict" else f"screening: {effect.verdict}"


def difference(metric: StudyMetric, effect: Effect) -> str:
    """Write the mean difference with the 95 % interval of its test; `2/3 seeds` if a planned seed is missing.

    Args:
        metric: The metric.
        effect: The effect on it.
    """
    if effect.mean is None:
        return finding(effect)
    text = number(metric, effect.mean, signed=True)
    return text if effect.difference is None else f"{text} {interval(metric, effect.difference)}"


def interval(metric: StudyMetric, found: Interval | None) -> str:
    """Write the ends of an interval of differences, such as `[−0.3, +2.7]`; "" if there is none.

    Args:
        metric: The metric.
        found: The interval in the metric's own unit, or None.
    """
    if found is None:
        return ""
    return f"[{number(metric, found.low, signed=True)}, {number(metric, found.high, signed=True)}]"


def p_is(p: float | None) -> str:
    """Write a p-value as a part of a sentence.

    >>> p_is(0.0123), p_is(1e-9)
    ('p = 0.012', 'p < 0.001')
    """
    return f"p {'' if p is not None and p < 0.001 else '= '}{p_text(p)}"


def p_text(p: float | None) -> str:
    """Write a p-value with three decimals; "" if there is none.

    >>> p_text(0.0123), p_text(1e-9), p_text(None)
    ('0.012', '< 0.001', '')
    """
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
