"""Intervals and comparisons over items that come in clusters (sentences of one video are not independent).

The bootstrap resamples *clusters* (videos), 10 000 times by default, with a printed seed: an interval over items
that pretends that ten sentences of one clip are ten clips is too narrow. Bootstrap intervals describe a fixed pair
of answers on resampled items; claims about training need seeds (research on that lives with the ablation engine).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


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
        values: (n_items,) finite numbers.
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
    x = np.asarray(values, float).reshape(-1)
    if not len(x):
        return Interval(float("nan"), float("nan"), float("nan"))
    keys = list(range(len(x))) if clusters is None else list(clusters)
    if len(keys) != len(x):
        raise ValueError(f"{len(x)} values but {len(keys)} cluster keys")
    order = {k: i for i, k in enumerate(dict.fromkeys(keys))}
    group = np.array([order[k] for k in keys])
    sums = np.bincount(group, x)
    counts = np.bincount(group).astype(float)
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n)
    means = (draws @ sums) / (draws @ counts)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(x.mean()), float(low), float(high))


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
