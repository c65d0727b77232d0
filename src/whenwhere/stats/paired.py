"""Tests of paired differences, for claims about training: one difference for each seed.

Both arms are trained with the same seeds and evaluated on the same items; the difference of a seed is arm minus
baseline of the whole metric. The differences of different seeds are independent, whatever the items do, which is why
these tests keep their error rate at every ratio of seed noise to item noise. They answer for the test set at hand,
not for new items.

Three seeds never carry a verdict: the smallest p-value of `sign_flip` is 0.25 there, and `paired_t` finds only effects
of 3.3 standard deviations with 80 % power (`minimum_detectable_effect`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.stats.interval import Interval

#: Most pairs of the exact test; more would need over a million sums.
_MOST_FLIPPED = 20


@dataclass(frozen=True)
class PairedTest:
    """What a test of paired differences found.

    Attributes:
        difference: Mean difference with its confidence interval.
        p_value: Two-sided p-value of the hypothesis that the mean difference is zero.
        pairs: Number of pairs (seeds).
    """

    difference: Interval
    p_value: float
    pairs: int


def paired_t(differences: ArrayLike, level: float = 0.95) -> PairedTest:
    """Two-sided t test and confidence interval of the mean of paired differences.

    Args:
        differences: One difference for each seed, shape (n,).
        level: Coverage of the interval, 0 to 1.

    Returns:
        The result. If all differences are equal, the p-value is 0, or 1 if they are all zero.

    Raises:
        ValueError: There are fewer than two differences, or one is not finite.

    >>> test = paired_t([0.02, 0.01, 0.03, 0.02, 0.02])
    >>> print(test.difference, f"p = {test.p_value:.4f}")
    0.020 [0.011, 0.029] p = 0.0032
    """
    from scipy.special import stdtr, stdtrit

    x = finite_differences(differences)
    mean, error = float(x.mean()), float(x.std(ddof=1)) / len(x) ** 0.5
    reach = float(stdtrit(len(x) - 1, (1 + level) / 2)) * error
    p_value = 2 * float(stdtr(len(x) - 1, -abs(mean) / error)) if error else float(mean == 0)
    return PairedTest(Interval(mean, mean - reach, mean + reach), p_value, len(x))


def sign_flip(differences: ArrayLike) -> float:
    """Exact two-sided p-value of the sign-flip test of paired differences.

    If the two arms do not differ, each difference is as likely as its negative. The p-value is the share of the 2^n
    ways to set the signs that give a mean at least as far from zero as the observed one. It cannot be smaller than
    2^(1-n), so fewer than six pairs never reach 0.05.

    Args:
        differences: One difference for each seed, shape (n,), n from 2 to 20.

    Raises:
        ValueError: There are too few or too many differences, or one is not finite.

    >>> sign_flip([0.1, 0.2, 0.1]), sign_flip([0.1, 0.2, 0.1, 0.3, 0.2, 0.1])
    (0.25, 0.03125)
    """
    x = finite_differences(differences)
    if len(x) > _MOST_FLIPPED:
        raise ValueError(f"the exact sign-flip test takes at most {_MOST_FLIPPED} pairs, not {len(x)}: use paired_t")
    # The first sign stays: flipping all signs at once gives the same distance from zero.
    sums = x[:1]
    for difference in x[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal on paper may differ in their last digits.
    slack = 1e-12 * float(np.abs(x).sum())
    return float((np.abs(sums) >= abs(float(x.sum())) - slack).mean())


def finite_differences(differences: ArrayLike) -> NDArray[np.float64]:
    """Check paired differences, and return them as an array of shape (n,), n at least 2.

    Args:
        differences: One difference for each pair, shape (n,).

    Raises:
        ValueError: There are fewer than two, or one is not finite: a missing seed must not pass for a smaller study.
    """
    x = np.asarray(differences, float).reshape(-1)
    if len(x) < 2:
        raise ValueError(f"at least two paired differences are needed, not {len(x)}")
    if not np.isfinite(x).all():
        raise ValueError("a paired difference is not finite: leave the seed out of both arms, or run it again")
    return x
