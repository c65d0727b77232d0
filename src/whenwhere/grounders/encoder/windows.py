"""From a score over time to ranked windows.

A window is good if the scores inside it are higher than those outside, and the more steps there are of both, the more
this means. Its rise is the difference of the two means times sqrt(n·m / (n + m)), with n steps inside and m outside:
the square root of the sum of squares that the split explains. A rise needs no threshold and no length, so that sliding
windows of all lengths can be compared. One further step with the score 0 counts as outside, so that the whole video is
a window too; it wins only if the curve is high and flat.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Ratio of each length of sliding windows to the next shorter one.
_GROWTH = 1.1
#: Two windows whose intersection is more than this share of the shorter one show the same moment.
SAME = 0.5


@dataclass(frozen=True)
class CurveWindow:
    """A window of a curve.

    Attributes:
        first: Index of its first step.
        stop: Index after its last step.
        inside: Mean score inside it.
        rise: How far it stands out from the rest, as above.
    """

    first: int
    stop: int
    inside: float
    rise: float


def ranked_windows(values: NDArray[np.float64], most: int = 8) -> list[CurveWindow]:
    """The windows that stand out most from the rest of a curve, best first, each of another moment.

    Args:
        values: Scores over time, shape (n,), n at least 1; 0 is the score of what says nothing.
        most: Largest number of windows.

    >>> [(w.first, w.stop) for w in ranked_windows(np.array([0, 0, 3, 3, 3, 0, 0, 2, 0]), 2)]
    [(2, 5), (7, 8)]
    >>> best = ranked_windows(np.full(6, 2.0))[0]
    >>> best.first, best.stop, best.inside
    (0, 6, 2.0)
    """
    n = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    lengths = np.unique(np.round(_GROWTH ** np.arange(np.log(n) / np.log(_GROWTH) + 1)).astype(int).clip(1, n))
    firsts = np.concatenate([np.arange(n - length + 1) for length in lengths])
    stops = firsts + np.repeat(lengths, n - lengths + 1)
    rises = _rises(sums, firsts, stops)
    kept: list[CurveWindow] = []
    while len(kept) < most and np.isfinite(rises.max()):
        k = int(rises.argmax())
        found = _moved(sums, int(firsts[k]), int(stops[k]))
        if all(_overlap(np.array(w.first), np.array(w.stop), found) <= SAME for w in kept):
            kept.append(found)
            rises[_overlap(firsts, stops, found) > SAME] = -np.inf
        rises[k] = -np.inf
    return sorted(kept, key=lambda w: -w.rise)


def _rises(sums: NDArray[np.float64], firsts: NDArray[np.intp], stops: NDArray[np.intp]) -> NDArray[np.float64]:
    n = len(sums) - 1
    inside = stops - firsts
    outside = n - inside + 1
    total = sums[stops] - sums[firsts]
    return (total / inside - (sums[-1] - total) / outside) * np.sqrt(inside * outside / (inside + outside))


def _moved(sums: NDArray[np.float64], first: int, stop: int) -> CurveWindow:
    """The best window whose ends are nearer than the next length of sliding windows."""
    n, reach = len(sums) - 1, int((_GROWTH - 1) / 2 * (stop - first) + 0.5)
    starts = np.arange(max(first - reach, 0), min(first + reach, n - 1) + 1)
    ends = np.arange(max(stop - reach, 1), min(stop + reach, n) + 1)
    pairs = np.stack(np.meshgrid(starts, ends), -1).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    rises = _rises(sums, pairs[:, 0], pairs[:, 1])
    best = int(rises.argmax())
    first, stop = (int(v) for v in pairs[best])
    return CurveWindow(first, stop, float((sums[stop] - sums[first]) / (stop - first)), float(rises[best]))


def _overlap(firsts: NDArray[np.intp], stops: NDArray[np.intp], other: CurveWindow) -> NDArray[np.float64]:
    """Shares that windows have in common with another, of the shorter of the two."""
    both = np.minimum(stops, other.stop) - np.maximum(firsts, other.first)
    return np.maximum(both, 0) / np.minimum(stops - firsts, other.stop - other.first)
