"""Chooses questions by their difficulty: pure functions from arrays and a seed to indices.

Difficulty is 1 - R in 0-1, high is hard (`curate.difficulty`). Every selector draws without replacement and gives the
chosen indices in order. `select` does what a recipe's [curriculum] says: it takes the candidates of a window and lets
one of `SELECTORS` choose among them, within strata if there are any.

Short events are hard whatever a policy can do. Strata of duration and of the event's share of the video keep a selector
from merely choosing by length.

Left out: pass rates (a threshold on R is one more number to choose; `variance` asks the same without one).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]


def in_window(difficulty: Floats, low: float = 0.0, high: float = 1.0) -> Indices:
    """Questions with low ≤ difficulty < high. With high = 1 these are all that were not answered wholly wrong.

    Time-R1's `0070_all` keeps 0 < t_IoU ≤ .7, which is low = .3, high = 1 (src/utils/process_data.py,
    xiaomi-research/time-r1@7f2b594).

    Args:
        difficulty: Difficulties in 0-1, (n,).
        low: Lowest difficulty.
        high: Difficulty below which they lie.

    >>> in_window(np.array([0, .3, .5, 1]), .3, 1).tolist()
    [1, 2]
    """
    # 1 - .7 is .30000000000000004: what a file rounds must not decide
    return np.flatnonzero((difficulty >= low - 1e-9) & (difficulty < high - 1e-9))


def random(count: int, chosen: int, seed: int) -> Indices:
    """Any questions, all equally likely.

    Args:
        count: Number of questions.
        chosen: Number to draw.
        seed: Seed of the draw.

    >>> random(5, 9, 0).tolist()
    [0, 1, 2, 3, 4]
    """
    return np.sort(np.random.default_rng(seed).choice(count, min(chosen, count), replace=False))


def spread(difficulty: Floats, chosen: int) -> Indices:
    """Even steps through the questions in order of difficulty, ends included, as Time-R1 takes after its window.

    Args:
        difficulty: Difficulties in 0-1, (n,).
        chosen: Number to choose.

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
    """A draw with weights exp(-(d - μ)² / 2σ²), divided by the density of difficulties if `corrected`.

    Without correction: Time-R1's `gaussian_03` (t_IoU .3, σ .2 → μ = .7). With it: TimeLens (t_IoU .05, σ .2 → μ = .95;
    histogram of 20 bins over 0-1; training/data/grounding.py, TencentARC/TimeLens@5d90c06): the chosen difficulties
    then follow the Gaussian whatever the set's own are.

    Args:
        difficulty: Difficulties in 0-1, (n,).
        chosen: Number to draw; all are taken where there are fewer.
        seed: Seed of the draw.
        mu: Centre of the weights.
        sigma: Width of the weights.
        corrected: Divide by the density of difficulties.
        bins: Bins of the histogram that gives the density.

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
    """The questions whose rewards differ most from draw to draw; of equals the first.

    This is Temporal-R1's variance-aware selection (arXiv 2506.01908; its code is not released).

    Args:
        std: Standard deviations of R over the draws, (n,).
        chosen: Number to choose.

    >>> variance(np.array([0, .3, .1, .3]), 2).tolist()
    [1, 3]
    """
    return np.sort(np.argsort(-std, kind="stable")[:chosen])


def strata(values: Floats, edges: Sequence[float]) -> Indices:
    """The stratum of each value: 0 below the first edge, len(edges) from the last edge on.

    TimeLens divides durations at 30, 60, ..., 240 s.

    Args:
        values: Values, (n,).
        edges: Increasing values that separate the strata.

    >>> strata(np.array([10, 30, 500]), [30, 60]).tolist()
    [0, 1, 2]
    """
    return np.digitize(values, np.asarray(edges, np.float64))


def within(labels: Indices, chosen: int, pick: Callable[[Indices, int], Indices]) -> Indices:
    """The same number from every stratum that has questions; one with too few gives all it has, as in TimeLens.

    Args:
        labels: Stratum of each question, (n,).
        chosen: Number to choose in all.
        pick: Chooses within a stratum. Gets its indices and how many to choose, gives positions in them.

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


@dataclass(frozen=True, eq=False)
class Candidates:
    """The questions that a selector chooses from, and its settings.

    Attributes:
        difficulty: Difficulties in 0-1, (n,).
        std: Standard deviations of R over the draws, (n,).
        mu: Centre of `gaussian`.
        sigma: Width of `gaussian`.
        corrected: Divide `gaussian` by the density of difficulties.
    """

    difficulty: Floats
    std: Floats
    mu: float
    sigma: float
    corrected: bool


#: Gets the candidates, how many to choose, and a seed; gives the chosen indices in order.
Selector = Callable[[Candidates, int, int], Indices]

#: Selectors by the name that a recipe gives.
SELECTORS: dict[str, Selector] = {
    "all": lambda own, chosen, seed: np.arange(min(chosen, len(own.difficulty))),
    "random": lambda own, chosen, seed: random(len(own.difficulty), chosen, seed),
    "spread": lambda own, chosen, seed: spread(own.difficulty, chosen),
    "gaussian": lambda own, chosen, seed: gaussian(own.difficulty, chosen, seed, own.mu, own.sigma, own.corrected),
    "variance": lambda own, chosen, seed: variance(own.std, chosen),
}


def select(
    difficulty: Floats,
    std: Floats,
    seed: int,
    *,
    selector: str = "all",
    count: int | None = None,
    low: float = 0.0,
    high: float = math.inf,
    mu: float = 0.5,
    sigma: float = 0.2,
    corrected: bool = False,
    labels: Indices | None = None,
) -> Indices:
    """The questions that a recipe's [curriculum] chooses.

    Args:
        difficulty: Difficulties in 0-1, (n,).
        std: Standard deviations of R over the draws, (n,); all 0 where one greedy answer was measured.
        seed: Seed of the draw.
        selector: A key of `SELECTORS`.
        count: Number to choose. None: all candidates.
        low: Lowest difficulty of a candidate.
        high: Difficulty below which a candidate lies.
        mu: Centre of `gaussian`.
        sigma: Width of `gaussian`.
        corrected: Divide `gaussian` by the density of difficulties.
        labels: Stratum of each question, (n,). None: one stratum.

    Raises:
        SettingError: Nothing is left, or the selector needs what was not measured.

    >>> d = np.array([.1, .4, .5, .6, 1])
    >>> select(d, d * 0, 0, selector="spread", count=2, low=.3, high=1).tolist()
    [1, 3]
    """
    if selector == "variance" and not std.any():
        raise SettingError(
            "selector = 'variance' needs draws, and these difficulties are of one greedy answer: measure them with "
            "`whenwhere data difficulty --draws 8`"
        )
    candidates = in_window(difficulty, low, high)
    if not len(candidates):
        raise SettingError(
            f"no question has a difficulty from {low:g} to {high:g}: they lie between "
            f"{difficulty.min(initial=1):.3g} and {difficulty.max(initial=0):.3g}; widen low and high in [curriculum]"
        )

    def pick(own: Indices, chosen: int) -> Indices:
        mine = candidates[own]
        draw = _seed([seed, int(own[0])] if len(own) else seed)
        return SELECTORS[selector](Candidates(difficulty[mine], std[mine], mu, sigma, corrected), chosen, draw)

    chosen = len(candidates) if count is None else count
    if labels is None:
        return candidates[pick(np.arange(len(candidates)), chosen)]
    return candidates[within(labels[candidates], chosen, pick)]


def _seed(parts: object) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])  # type: ignore[arg-type]
