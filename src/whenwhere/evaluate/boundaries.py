"""Boundaries between events, found from one feature for each frame, and their F1 within a tolerance.

`novelty` says how much the features change at each time between two frames, `peaks` takes its local maxima, and
`boundary_scores` matches them with true boundaries one to one. Thresholds depend on the encoder's scale of cosines, so
that the rule for peaks is relative to the curve itself (mean plus standard deviations); `boundary-F1-count` takes as
many of the highest peaks as there are true boundaries and so needs no rule at all. Beside both stands the F1 of as many
boundaries at equal distances.

Source: Foote (2000) for novelty by comparing both sides; GEBD (Shou et al. 2021) for the matched F1, which there
tolerates a share of the segment's length instead of seconds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import unit_rows
from whenwhere.evaluate.ragged import Floats


def novelty(features: ArrayLike, width: int = 2) -> Floats:
    """How much the features change between each frame and the next, shape (T - 1,), in 0-2.

    Args:
        features: One feature for each frame, shape (T, D), T at least 2.
        width: Number of frames on each side whose means are compared; fewer at the ends.

    Raises:
        SettingError: There are fewer than two frames, a feature is not finite or zero, or `width` is below 1.

    >>> novelty([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).round(3).tolist()
    [0.293, 1.0, 0.293]
    """
    rows = unit_rows(features, "frames")
    if width < 1:
        raise SettingError(f"width is {width}: compare the means of at least one frame on each side")
    if rows.ndim != 2 or len(rows) < 2:
        raise SettingError(f"features of shape {rows.shape} have no boundaries: give (frames, D), two frames at least")
    total = np.concatenate([np.zeros((1, rows.shape[1])), rows.cumsum(0)])
    cut = np.arange(1, len(rows))
    before = total[cut] - total[np.maximum(cut - width, 0)]
    after = total[np.minimum(cut + width, len(rows))] - total[cut]
    length = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosine = np.divide((before * after).sum(1), length, out=np.zeros(len(cut)), where=length > 0)
    # Embeddings are float32: what is below its precision is no change, and would make peaks of a curve that is flat.
    return np.asarray((1 - cosine).clip(0, 2).round(6), np.float64)


def peaks(curve: Floats, deviations: float = 1.0) -> Floats:
    """Indices of the local maxima of a curve that exceed its mean plus some standard deviations, shape (k,).

    The highest come first. A plateau counts once, at its middle, which may lie between two indices.

    Args:
        curve: Values, shape (n,).
        deviations: Standard deviations above the mean that a maximum must exceed. Minus infinity keeps all maxima.

    >>> peaks(np.array([0.0, 2.0, 0.0, 0.0, 3.0, 3.0, 0.0]), 0.0).tolist()
    [4.5, 1.0]
    """
    if not len(curve):
        return np.zeros(0)
    start = np.flatnonzero(np.concatenate([[True], curve[1:] != curve[:-1]]))
    end = np.concatenate([start[1:], [len(curve)]]) - 1
    value = curve[start]
    beside = np.concatenate([[-np.inf], value, [-np.inf]])
    high = (value > beside[:-2]) & (value > beside[2:]) & (len(value) > 1)
    high &= value > curve.mean() + deviations * curve.std() if np.isfinite(deviations) else True
    order = np.argsort(-value[high], kind="stable")
    return np.asarray(((start + end) / 2)[high][order], np.float64)


def matched(found: ArrayLike, true: ArrayLike, tolerance: float) -> int:
    """Largest number of found boundaries that can be paired, one to one, with true ones within the tolerance.

    Args:
        found: Times, in any order.
        true: Times, in any order.
        tolerance: Largest difference of a pair in seconds; the difference itself counts.

    >>> matched([1.0, 1.2, 5.0], [1.1, 5.4], 0.5)
    2
    """
    left, right = np.sort(np.asarray(found, float)), np.sort(np.asarray(true, float))
    i = j = pairs = 0
    while i < len(left) and j < len(right):
        # times such as 0.1 + 0.2 are not exact
        if abs(left[i] - right[j]) <= tolerance + 1e-9:
            i, j, pairs = i + 1, j + 1, pairs + 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    return pairs


def f1(pairs: int, found: int, true: int) -> float:
    """F1 of matched boundaries; 1 if nothing was to be found and nothing was.

    >>> f1(1, 2, 2), f1(0, 0, 0), f1(0, 3, 0)
    (0.5, 1.0, 0.0)
    """
    return 2 * pairs / (found + true) if found + true else 1.0


def boundary_scores(
    curves: Sequence[Floats],
    times: Sequence[Floats],
    true: Sequence[ArrayLike],
    durations: Sequence[float],
    tolerance: float = 0.5,
    deviations: float = 1.0,
) -> dict[str, float]:
    """F1 of boundaries, averaged over clips.

    Args:
        curves: Novelty of each clip, shape (n,).
        times: Time in seconds that each value of the curve belongs to, shape (n,), increasing.
        true: True boundaries of each clip in seconds; may be empty.
        durations: Duration of each clip in seconds.
        tolerance: Largest difference in seconds.
        deviations: Standard deviations above the mean that a peak must exceed (`peaks`).

    Returns:
        `boundary-F1`; and over clips that have boundaries, if there are any: `boundary-F1-count`, given their number,
        and `boundary-F1-even`, of as many boundaries at equal distances.

    Raises:
        SettingError: There are no clips.

    >>> curve, times = np.array([0.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0])
    >>> boundary_scores([curve], [times], [[2.0]], [4.0])
    {'boundary-F1': 1.0, 'boundary-F1-count': 1.0, 'boundary-F1-even': 1.0}
    """
    if not len(curves):
        raise SettingError("there are no clips whose boundaries could be scored: give at least one")
    free, counted, even = [], [], []
    for curve, at, truth, duration in zip(curves, times, true, durations, strict=True):
        goal = np.asarray(truth, float).reshape(-1)
        place = np.arange(len(at))
        found = np.interp(peaks(curve, deviations), place, at)
        free.append(f1(matched(found, goal, tolerance), len(found), len(goal)))
        if len(goal):
            best = np.interp(peaks(curve, -np.inf)[: len(goal)], place, at)
            counted.append(f1(matched(best, goal, tolerance), len(best), len(goal)))
            spread = duration * (np.arange(len(goal)) + 1) / (len(goal) + 1)
            even.append(f1(matched(spread, goal, tolerance), len(goal), len(goal)))
    mean = {"boundary-F1": free, "boundary-F1-count": counted, "boundary-F1-even": even}
    return {name: float(np.mean(values)) for name, values in mean.items() if values}
