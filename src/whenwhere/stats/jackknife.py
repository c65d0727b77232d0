"""Confidence intervals of numbers that are not means over items, such as a pooled mAP."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from whenwhere.stats.interval import Interval


def jackknife(whole: float, without: ArrayLike, level: float = 0.95) -> Interval:
    """Confidence interval of a number, from its values with one group of clusters at a time left out.

    This is the delete-a-group jackknife with a normal interval. The groups should be of about equal size.

    Args:
        whole: The number on all items.
        without: The same number with group i left out, shape (n_groups,). Fewer than two groups, or a value that is
            not finite, give an interval of NaN.
        level: Coverage of the interval.

    Source: Kott 2001, The delete-a-group jackknife.

    >>> jackknife(0.5, [0.5, 0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    x = np.asarray(without, float)
    if len(x) < 2 or not np.isfinite(x).all():
        return Interval(whole, float("nan"), float("nan"))
    spread = float(np.sqrt((len(x) - 1) / len(x) * ((x - x.mean()) ** 2).sum()))
    reach = NormalDist().inv_cdf((1 + level) / 2) * spread
    return Interval(whole, whole - reach, whole + reach)
