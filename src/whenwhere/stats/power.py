"""The effects that a number of seeds can show, for planning runs before they are paid for."""

import numpy as np


def paired_t_power(effect: float, sd: float, pairs: int, alpha: float = 0.05) -> float:
    """Probability that the two-sided `paired_t` finds a true mean difference.

    Args:
        effect: True mean difference.
        sd: Standard deviation of the differences between pairs (seeds), > 0.
        pairs: Number of pairs, at least 2.
        alpha: Two-sided error rate.

    Raises:
        ValueError: There are fewer than two pairs, or `sd` is not positive.

    >>> round(paired_t_power(effect=1.15, sd=1, pairs=8), 2)
    0.8
    """
    from scipy.special import nctdtr, stdtrit

    _check(sd, pairs)
    critical = float(stdtrit(pairs - 1, 1 - alpha / 2))
    shift = abs(effect) / sd * pairs**0.5
    # SciPy gives NaN for tails that are too small for a float.
    below, not_above = np.nan_to_num([nctdtr(pairs - 1, shift, -critical), nctdtr(pairs - 1, shift, critical)])
    return float(below + 1 - not_above)


def minimum_detectable_effect(sd: float, pairs: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true mean difference that the two-sided `paired_t` finds with a given probability.

    Args:
        sd: Standard deviation of the differences between pairs (seeds), > 0; the effect is in its unit.
        pairs: Number of pairs, at least 2.
        power: Probability of finding the effect, above `alpha` and below 1.
        alpha: Two-sided error rate.

    Raises:
        ValueError: There are fewer than two pairs, `sd` is not positive, or `power` is out of range.

    >>> [round(minimum_detectable_effect(sd=1, pairs=n), 2) for n in (3, 5, 8, 12)]
    [3.26, 1.68, 1.16, 0.89]
    """
    from scipy.optimize import brentq

    _check(sd, pairs)
    if not alpha < power < 1:
        raise ValueError(f"power must lie between alpha = {alpha:g} and 1, not {power:g}")
    enough = 1.0
    while paired_t_power(enough, 1.0, pairs, alpha) < power:
        enough *= 2
    return sd * float(brentq(lambda effect: paired_t_power(effect, 1.0, pairs, alpha) - power, 0.0, enough))


def _check(sd: float, pairs: int) -> None:
    if pairs < 2:
        raise ValueError(f"at least two pairs are needed, not {pairs}")
    if not sd > 0:
        raise ValueError(f"the standard deviation of the differences must be positive, not {sd:g}")
