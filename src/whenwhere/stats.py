"""Intervals and comparisons over items that come in clusters (sentences of one video are not independent).

The bootstrap resamples *clusters* (videos), 10 000 times by default, with a printed seed: an interval over items
that pretends that ten sentences of one clip are ten clips is too narrow. Bootstrap intervals describe a fixed pair
of answers on resampled items; claims about training need seeds (research on that lives with the ablation engine).
"""

import warnings
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

#: Numbers of one block of draws (16 MB).
_BLOCK = 2_000_000


class Interval(NamedTuple):
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_mean(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of items with a percentile interval from resampled clusters.

    Args:
        values: (n_items,) numbers; NaN leaves an item out.
        clusters: one key per item (its video); None treats each item as its own cluster.
        n: resamples.
        seed: of the resampling.
        level: coverage.

    >>> bootstrap_mean([0.5, 0.5, 0.5]).low
    0.5
    >>> low = bootstrap_mean([0, 0, 1, 1]).low
    >>> bootstrap_mean([0, 0, 1, 1], clusters=["a", "a", "b", "b"]).low <= low
    True
    """
    x = np.asarray(values, float).reshape(-1, 1)
    return bootstrap_means(x, clusters, n, seed, level)[0]


def bootstrap_means(
    columns: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Interval]:
    """`bootstrap_mean` of many measures of the same items at once: all columns see the same resamples.

    Args:
        columns: (n_items, n_measures); NaN leaves an item out of that measure alone.
        clusters: one key per item (its video); None treats each item as its own cluster.
        n: resamples; memory does not grow with it.
        seed: of the resampling.
        level: coverage.

    >>> first, second = bootstrap_means([[0, 1], [1, np.nan], [1, 0]])
    >>> first == bootstrap_mean([0, 1, 1]), second.mean
    (True, 0.5)
    """
    x = np.asarray(columns, float)
    if not len(x):
        return [Interval(float("nan"), float("nan"), float("nan"))] * x.shape[1]
    keys = list(range(len(x))) if clusters is None else list(clusters)
    if len(keys) != len(x):
        raise ValueError(f"{len(x)} values but {len(keys)} cluster keys")
    order = {k: i for i, k in enumerate(dict.fromkeys(keys))}
    group = np.array([order[k] for k in keys])
    there = np.isfinite(x)
    held = np.where(there, x, 0.0)
    sums, counts = np.zeros((2, len(order), x.shape[1]))
    np.add.at(sums, group, held)
    np.add.at(counts, group, there)
    rng = np.random.default_rng(seed)
    means = np.empty((n, x.shape[1]))
    # Blocks: a draw is a count per cluster, and there may be thousands of clusters.
    block = max(1, _BLOCK // len(order))
    for first in range(0, n, block):
        draws = rng.multinomial(len(order), np.full(len(order), 1 / len(order)), size=min(block, n - first)).astype(
            float
        )
        with np.errstate(invalid="ignore"):
            means[first : first + block] = (draws @ sums) / (draws @ counts)
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        # a measure that no item has is NaN throughout, and says so
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(means, [tail, 1 - tail], axis=0)
        mean = held.sum(0) / there.sum(0)
    return [Interval(float(m), float(lo), float(hi)) for m, lo, hi in zip(mean, low, high, strict=True)]


def jackknife(whole: float, without: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of a number that is no mean over items (a pooled mAP), from its values without one group of clusters.

    Delete-a-group jackknife with a normal interval: groups of about equal size, each left out once.

    Args:
        whole: the number on all items.
        without: (g,) the same number with group i left out.
        level: coverage.

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


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Mean of a - b on the same items, with the interval of `bootstrap_mean`.

    >>> paired_difference([1, 1, 1], [0, 0, 0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    x, y = np.asarray(a, float).reshape(-1), np.asarray(b, float).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"cannot compare {len(x)} items with {len(y)}: the same items are needed on both sides")
    return bootstrap_mean(x - y, clusters, n, seed)
