"""Bootstrap intervals over items that come in clusters, and over seeds and items together.

Sentences about one video are not independent of each other, so whole clusters (videos) are resampled: an interval
that treats ten sentences of one clip as ten clips is too narrow. Seeds are printed, so each interval can be redone.

`bootstrap_mean` and `paired_difference` describe *fixed* answers on resampled items. They know nothing of how much
training varies from seed to seed; `crossed_bootstrap` resamples seeds and clusters at once, and `whenwhere.stats` says
when a test is needed instead.
"""

import warnings
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.stats.interval import Interval

#: Number of resampled cluster counts that are held in memory at a time (16 MB).
_BLOCK = 2_000_000


def bootstrap_mean(
    values: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Mean of items with a percentile interval from resampled clusters.

    Args:
        values: Numbers of shape (n_items,); an item whose value is NaN is left out.
        clusters: One key for each item, usually its video. None treats each item as its own cluster.
        n: Number of resamples.
        seed: Seed of the resampling.
        level: Coverage of the interval.

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
    """Means of many measures of the same items, with intervals from the same resamples (`bootstrap_mean`).

    Args:
        columns: Numbers of shape (n_items, n_measures); NaN leaves an item out of that measure alone.
        clusters: One key for each item, usually its video. None treats each item as its own cluster.
        n: Number of resamples; memory does not grow with it.
        seed: Seed of the resampling.
        level: Coverage of the intervals, 0 to 1.

    Returns:
        One interval for each measure; all NaN for a measure that no item has.

    >>> first, second = bootstrap_means([[0, 1], [1, np.nan], [1, 0]])
    >>> first == bootstrap_mean([0, 1, 1]), second.mean
    (True, 0.5)
    """
    x = np.asarray(columns, float)
    if not len(x):
        return [Interval(float("nan"), float("nan"), float("nan"))] * x.shape[1]
    group = _cluster_indices(len(x), clusters)
    n_clusters = int(group.max()) + 1
    there = np.isfinite(x)
    held = np.where(there, x, 0.0)
    sums, counts = np.zeros((2, n_clusters, x.shape[1]))
    np.add.at(sums, group, held)
    np.add.at(counts, group, there)
    rng = np.random.default_rng(seed)
    means = np.empty((n, x.shape[1]))
    # A resample is a count for each cluster, and there may be thousands of clusters: so they are drawn in blocks.
    block = max(1, _BLOCK // n_clusters)
    for first in range(0, n, block):
        draws = _resampled_counts(rng, n_clusters, min(block, n - first))
        with np.errstate(invalid="ignore"):
            means[first : first + block] = (draws @ sums) / (draws @ counts)
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        # numpy warns of the NaN of a measure that no item has; NaN is the documented answer
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(means, [tail, 1 - tail], axis=0)
        mean = held.sum(0) / there.sum(0)
    return [Interval(float(m), float(lo), float(hi)) for m, lo, hi in zip(mean, low, high, strict=True)]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Mean of a - b over the same items, with a percentile interval from resampled clusters (`bootstrap_mean`).

    Args:
        a: Numbers of one side, shape (n_items,); an item that is NaN on either side is left out.
        b: Numbers of the other side, shape (n_items,).
        clusters: One key for each item, usually its video. None treats each item as its own cluster.
        n: Number of resamples.
        seed: Seed of the resampling.

    Raises:
        ValueError: The two sides have different numbers of items.

    >>> paired_difference([1, 1, 1], [0, 0, 0])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    x, y = np.asarray(a, float).reshape(-1), np.asarray(b, float).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"cannot compare {len(x)} items with {len(y)}: the same items are needed on both sides")
    return bootstrap_mean(x - y, clusters, n, seed)


def crossed_bootstrap(
    differences: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    n: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    small_sample: bool = True,
) -> Interval:
    """Mean difference over seeds and items, with an interval that describes the variation of both.

    Each resample draws seeds with replacement and, independently, clusters with replacement, and averages over all
    pairs of a drawn seed and an item of a drawn cluster. With few seeds the percentile interval is too narrow where
    seeds vary more than items, and too wide where items vary more and independently in each seed. The first is mended
    by `small_sample`; the second is not, so this interval describes a difference and is not a test of it. The test is
    `paired_t`.

    Args:
        differences: Shape (n_seeds, n_items): arm minus baseline, trained with the same seed, on the same item.
        clusters: One key for each item, usually its video. None treats each item as its own cluster.
        n: Number of resamples.
        seed: Seed of the resampling.
        level: Coverage of the interval.
        small_sample: Whether to widen the interval about its mean by the factor by which a t interval over n_seeds is
            wider than a percentile interval.

    Raises:
        ValueError: There are fewer than two seeds, or a difference is not finite.

    Source: Owen 2007, The pigeonhole bootstrap (Annals of Applied Statistics 1).

    >>> crossed_bootstrap([[1, 1, 1], [1, 1, 1]])
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    x = np.asarray(differences, float)
    if x.ndim != 2 or len(x) < 2 or not x.shape[1]:
        raise ValueError(f"differences of at least two seeds on the same items are needed, not an array of {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("a difference is missing: every seed needs a finite difference on every item")
    n_seeds = len(x)
    group = _cluster_indices(x.shape[1], clusters)
    counts = np.bincount(group).astype(float)
    sums = np.zeros((len(counts), n_seeds))
    np.add.at(sums, group, x.T)
    rng = np.random.default_rng(seed)
    means = np.empty(n)
    block = max(1, _BLOCK // len(counts))
    for first in range(0, n, block):
        size = min(block, n - first)
        drawn = _resampled_counts(rng, len(counts), size)
        seeds = _resampled_counts(rng, n_seeds, size)
        means[first : first + block] = ((drawn @ sums) * seeds).sum(1) / ((drawn @ counts) * n_seeds)
    mean = float(x.mean())
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail]).tolist()
    if small_sample:
        from scipy.special import stdtrit

        wider = float(stdtrit(n_seeds - 1, 1 - tail)) / NormalDist().inv_cdf(1 - tail)
        wider *= (n_seeds / (n_seeds - 1)) ** 0.5
        low, high = mean - wider * (mean - low), mean + wider * (high - mean)
    return Interval(mean, low, high)


def _cluster_indices(n_items: int, clusters: Sequence[Hashable] | None) -> NDArray[np.intp]:
    """For each item the index of its cluster, in order of appearance."""
    if clusters is None:
        return np.arange(n_items)
    if len(clusters) != n_items:
        raise ValueError(f"{n_items} values but {len(clusters)} cluster keys")
    index = {key: i for i, key in enumerate(dict.fromkeys(clusters))}
    return np.array([index[key] for key in clusters], np.intp)


def _resampled_counts(rng: np.random.Generator, n: int, size: int) -> NDArray[np.float64]:
    """How often each of n units occurs in each of `size` resamples with replacement, shape (size, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=size).astype(float)
