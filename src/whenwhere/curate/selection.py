"""Which questions are trained on, chosen by their difficulty: pure functions from arrays and a seed to indices.

Difficulty is 1 - R in 0-1, high is hard (`data.difficulty`). Every selector draws without replacement and gives the
chosen indices in order. `select` is what a recipe's [curriculum] says: candidates by a window, one of the rules below,
within strata where there are some.

Difficulty is mechanically high for short events: strata of duration and of the event's share of the video keep a
selector from becoming a selector of lengths.

Left out: pass rates (a threshold on R is one more number to choose; `variance` asks the same with none).
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError

Selector = Literal["all", "random", "spread", "gaussian", "variance"]
SELECTORS = ("all", "random", "spread", "gaussian", "variance")

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]


def window(difficulty: Floats, low: float = 0.0, high: float = 1.0) -> Indices:
    """Questions with low ≤ difficulty < high; with high = 1 exactly those that were not answered wholly wrong.

    Time-R1's `0070_all` keeps 0 < t_IoU ≤ .7, which is low = .3, high = 1 (src/utils/process_data.py,
    xiaomi-research/time-r1@7f2b594).

    Args:
        difficulty: (n,) in 0-1.
        low: in it.
        high: not in it, unless it is above 1.

    >>> window(np.array([0, .3, .5, 1]), .3, 1).tolist()
    [1, 2]
    """
    # 1 - .7 is .30000000000000004: what a file rounds must not decide
    return np.flatnonzero((difficulty >= low - 1e-9) & (difficulty < high - 1e-9))


def random(count: int, chosen: int, seed: int) -> Indices:
    """Any of them, all equally likely.

    >>> random(5, 9, 0).tolist()
    [0, 1, 2, 3, 4]
    """
    return np.sort(np.random.default_rng(seed).choice(count, min(chosen, count), replace=False))


def spread(difficulty: Floats, chosen: int) -> Indices:
    """At even steps through the questions in order of difficulty, ends included; Time-R1's way behind its window.

    >>> spread(np.array([.9, .1, .5, .2, .8]), 3).tolist()
    [0, 1, 2]
    """
    order = np.argsort(difficulty, kind="stable")
    if chosen >= len(order):
        return np.arange(len(order))
    return np.sort(order[np.linspace(0, len(order) - 1, chosen).round().astype(int)])


def gaussian(
    difficulty: Floats, chosen: int, seed: int, mu: float, sigma: float, corrected: bool = False, bins: int = 20
) -> Indices:
    """Drawn with weights exp(-(d - μ)² / 2σ²), divided by the density of difficulties where that is to be corrected.

    Without correction: Time-R1's `gaussian_03` (t_IoU .3, σ .2 → μ = .7). With it: TimeLens (t_IoU .05, σ .2 → μ = .95;
    histogram of 20 bins over 0-1; training/data/grounding.py, TencentARC/TimeLens@5d90c06): the chosen difficulties
    then follow the Gaussian whatever the set's own are.

    Args:
        difficulty: (n,) in 0-1.
        chosen: how many to draw; all where there are fewer.
        seed: of the draw.
        mu: centre.
        sigma: width.
        corrected: divide by the density.
        bins: of the histogram.

    >>> d = np.array([.0] * 90 + [.7] * 10)
    >>> (gaussian(d, 10, 0, .7, .2) >= 90).sum() > (gaussian(d, 10, 0, .7, 9) >= 90).sum()
    np.True_
    """
    if chosen >= len(difficulty):
        return np.arange(len(difficulty))
    log = -0.5 * ((difficulty - mu) / sigma) ** 2
    if corrected:
        place = np.clip((difficulty * bins).astype(int), 0, bins - 1)
        log = log - np.log(np.bincount(place, minlength=bins)[place])
    # the largest of log weight + Gumbel noise are a draw without replacement, and no weight is ever rounded to nothing
    noise = np.random.default_rng(seed).gumbel(size=len(difficulty))
    return np.sort(np.argsort(-(log + noise), kind="stable")[:chosen])


def variance(std: Floats, chosen: int) -> Indices:
    """Those whose rewards differ most from draw to draw; of equals the first.

    Temporal-R1's variance-aware selection (arXiv 2506.01908; its code is not released).

    >>> variance(np.array([0, .3, .1, .3]), 2).tolist()
    [1, 3]
    """
    return np.sort(np.argsort(-std, kind="stable")[:chosen])


def strata(values: Floats, edges: Sequence[float]) -> Indices:
    """Which stratum each value lies in: below the first edge 0, from the last edge on len(edges).

    TimeLens parts durations at 30, 60, ..., 240 s.

    >>> strata(np.array([10, 30, 500]), [30, 60]).tolist()
    [0, 1, 2]
    """
    return np.digitize(values, np.asarray(edges, np.float64))


def within(labels: Indices, chosen: int, pick: Callable[[Indices, int], Indices]) -> Indices:
    """The same number from every stratum that has any; one with fewer gives what it has, as in TimeLens.

    Args:
        labels: (n,) stratum of each question.
        chosen: how many in all.
        pick: indices of a stratum, and how many → positions in them.

    >>> within(np.array([0, 0, 0, 1]), 4, lambda own, k: np.arange(min(k, len(own)))).tolist()
    [0, 1, 3]
    """
    kinds = np.unique(labels)
    if not len(kinds):
        return np.zeros(0, np.intp)
    share, rest = divmod(chosen, len(kinds))
    found = []
    for k, kind in enumerate(kinds):
        own = np.flatnonzero(labels == kind)
        found.append(own[pick(own, share + (k < rest))])
    return np.sort(np.concatenate(found))


def select(
    difficulty: Floats,
    std: Floats,
    seed: int,
    *,
    selector: Selector = "all",
    count: int | None = None,
    low: float = 0.0,
    high: float = math.inf,
    mu: float = 0.5,
    sigma: float = 0.2,
    corrected: bool = False,
    labels: Indices | None = None,
) -> Indices:
    """What a recipe's [curriculum] chooses.

    Args:
        difficulty: (n,) in 0-1.
        std: (n,) standard deviations of R over the draws; all 0 where one greedy answer was measured.
        seed: of the draw.
        selector: `all` candidates, `random`, `spread` over their difficulties, `gaussian`, or `variance`.
        count: how many; None = all candidates.
        low: candidates have at least this difficulty.
        high: and less than this.
        mu: of `gaussian`.
        sigma: of `gaussian`.
        corrected: of `gaussian`.
        labels: (n,) strata, within which is chosen.

    Raises:
        SettingError: nothing is left, or the selector needs what was not measured.

    >>> d = np.array([.1, .4, .5, .6, 1])
    >>> select(d, d * 0, 0, selector="spread", count=2, low=.3, high=1).tolist()
    [1, 3]
    """
    if selector == "variance" and not std.any():
        raise SettingError(
            "selector = 'variance' needs draws, and these difficulties are of one greedy answer: measure them with "
            "`whenwhere data difficulty --draws 8`"
        )
    candidates = window(difficulty, low, high)
    if not len(candidates):
        raise SettingError(
            f"no question has a difficulty from {low:g} to {high:g}: they lie between "
            f"{difficulty.min(initial=1):.3g} and {difficulty.max(initial=0):.3g}; widen low and high in [curriculum]"
        )

    def pick(own: Indices, chosen: int) -> Indices:
        mine = candidates[own]
        draw = [seed, int(own[0])] if len(own) else seed
        if selector == "random":
            return random(len(mine), chosen, _seed(draw))
        if selector == "spread":
            return spread(difficulty[mine], chosen)
        if selector == "gaussian":
            return gaussian(difficulty[mine], chosen, _seed(draw), mu, sigma, corrected)
        if selector == "variance":
            return variance(std[mine], chosen)
        return np.arange(min(chosen, len(mine)))

    chosen = len(candidates) if count is None else count
    if labels is None:
        return candidates[pick(np.arange(len(candidates)), chosen)]
    return candidates[within(labels[candidates], chosen, pick)]


def _seed(parts: object) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])  # type: ignore[arg-type]
