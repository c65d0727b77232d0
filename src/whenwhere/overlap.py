"""How much two answers overlap in time, in space, and in both.

Evaluation, rewards and difficulty all import these definitions:

- `t_iou` = |S ∩ P| / |S ∪ P| on sets of time S and P. If both are empty it is 1: "it is not there" was right.
- `s_iou` is the time average of the box IoU over S ∩ P, with both tubes filled linearly, integrated by the trapezoid
  rule on the union of their grids. Where neither tube has a box the overlap is 1; where only one has a box it is 0.
- `v_iou` = t_iou · s_iou, so 0 ≤ v ≤ t ≤ 1, events shorter than a second are defined, and time answered outside the
  truth counts against the answer. The name `mv_iou` of arXiv 2606.29023 is read as this, since the source never defines
  it. It is a product, unlike the sum over sampled seconds of HC-STVG's vIoU, because sums on the truth's grid do not
  punish spans that are too long.

Counts over frame grids that benchmarks use are protocols of `whenwhere.evaluate`, never variants of these.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


def box_intersection(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Area that xyxy boxes of shapes (..., 4) share, elementwise with broadcasting; at least 0.

    >>> float(box_intersection([0, 0, 2, 2], [1, 0, 3, 2]))
    2.0
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    wh = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0)
    return np.asarray(wh[..., 0] * wh[..., 1])


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU of xyxy boxes of shapes (..., 4), elementwise with broadcasting; in [0, 1], and 0 for empty boxes.

    >>> float(box_iou([0, 0, 2, 2], [1, 0, 3, 2]))
    0.3333333333333333
    >>> box_iou(np.zeros((3, 1, 4)), np.zeros((1, 2, 4))).shape
    (3, 2)
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    inter = box_intersection(a, b)
    area_a = (a[..., 2] - a[..., 0]).clip(0) * (a[..., 3] - a[..., 1]).clip(0)
    area_b = (b[..., 2] - b[..., 0]).clip(0) * (b[..., 3] - b[..., 1]).clip(0)
    union = area_a + area_b - inter
    return np.divide(inter, union, out=np.zeros(np.shape(union)), where=union > 0)


def t_iou(a: SpanSet, b: SpanSet) -> float:
    """Temporal IoU of two sets of time, in [0, 1].

    >>> t_iou(SpanSet([(0, 4)]), SpanSet([(2, 6)]))
    0.3333333333333333
    >>> t_iou(SpanSet(), SpanSet()), t_iou(SpanSet(), SpanSet([(0, 1)]))
    (1.0, 0.0)
    """
    if not len(a) and not len(b):
        return 1.0
    inter = (a & b).duration
    return min(1.0, inter / (a.duration + b.duration - inter))


def s_iou(a: Tube, b: Tube) -> float:
    """Time average of box IoU over the time that the spans of both tubes share, in [0, 1]; 0 if they share none.

    >>> left = Tube(SpanSet([(0, 4)]), [0, 3.9], [[0, 0, 2, 2]] * 2, rate=0.25)
    >>> right = Tube(SpanSet([(2, 6)]), [2, 5.9], [[1, 0, 3, 2]] * 2, rate=0.25)
    >>> round(s_iou(left, right), 6)
    0.333333
    """
    if not len(a.spans) and not len(b.spans):
        return 1.0
    return float(np.clip(over_time(a, b, box_iou), 0, 1))


def over_time(
    a: Tube, b: Tube, measure: Callable[[ArrayLike, ArrayLike], NDArray[np.float64]], neither: float = 1.0
) -> float:
    """Time average of a measure of two boxes over the time that the spans of both tubes share.

    Both tubes are filled linearly.

    Args:
        a: One tube.
        b: The other tube.
        measure: Function of two arrays of boxes, each of shape (n, 4), that returns one number for each pair, shape
            (n,). It is called at both ends of every cell of the common grid (trapezoid rule).
        neither: Value where neither tube has a box. Where only one has a box, the value is 0.

    Returns:
        The average, or 0 if the spans share no time.

    >>> still = Tube(SpanSet([(0, 2)]), [0, 1.9], [[0, 0, 4, 2]] * 2, rate=0.5)
    >>> over_time(still, still, lambda x, y: (np.asarray(x) - y)[:, 0] + 3)
    3.0
    """
    both = a.spans & b.spans
    if not len(both):
        return 0.0
    knots = np.concatenate([a.times, b.times, both.starts, both.ends])
    grid = np.unique(knots)
    lo, hi = grid[:-1], grid[1:]
    keep = both.index((lo + hi) / 2) >= 0
    lo, hi = lo[keep], hi[keep]
    # Inside one cell of the common grid each tube is either absent or linear, but it may jump at the ends of the cell
    # (where an absence begins or a span ends), so the values at the ends are the limits from inside the cell.
    inner = (lo + (hi - lo) * np.array([[0.25], [0.5], [0.75]])).ravel()
    ends = []
    for tube in (a, b):
        quarter, middle, three = tube.boxes_at(inner).reshape(3, -1, 4)
        half = three - quarter
        ends.append((middle - half, middle + half, np.isnan(middle[:, 0])))
    (a0, a1, no_a), (b0, b1, no_b) = ends
    value = (measure(a0, b0) + measure(a1, b1)) / 2
    value = np.where(no_a & no_b, neither, np.where(no_a | no_b, 0.0, value))
    return float((value * (hi - lo)).sum() / (hi - lo).sum())


def v_iou(a: Tube, b: Tube) -> float:
    """Overlap in time and space, `t_iou · s_iou`, in [0, t_iou].

    >>> tube = Tube(SpanSet([(0, 4)]), [0, 1, 2, 3, 3.9], [[0, 0, 2, 2]] * 5)
    >>> v_iou(tube, tube)
    1.0
    """
    t = t_iou(a.spans, b.spans)
    return t * s_iou(a, b) if t else 0.0
