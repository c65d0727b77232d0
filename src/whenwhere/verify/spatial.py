"""Reward terms about boxes over time. b is the answered box, b* the true one; both tubes are filled linearly.

v_IoU has three possible denominators: the time in the union of both sets (ours: an answer must be right in time and
place), in their intersection, or in the truth. The last two do not count time that was answered wrongly or left out;
neither do published terms that are averaged over the intersection.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.overlap import box_intersection, box_iou, over_time, s_iou, t_iou
from whenwhere.tubes import Tube
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.temporal import ROUNDING, recall
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

#: The least t_IoU at which boxes count in `s_gated`.
GATE_IOU = 0.5
#: In `boxes_near`, an answered and a true time belong together if they are fewer than this many seconds apart.
NEAR_SECONDS = 1.0


def _tubes(prediction: ParsedPrediction, truth: Truth) -> tuple[Tube, Tube]:
    assert prediction.tube is not None and truth.tube is not None  # what `Term.needs` has checked
    return prediction.tube, truth.tube


def v_union(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU · s with the truth's own spans; see `whenwhere.overlap.v_iou`."""
    p, s = _tubes(prediction, truth)
    t = t_iou(p.spans, s.spans)
    return t * s_iou(p, s) if t else 0.0


def v_intersection(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Box IoU averaged over the time that both claim; see `whenwhere.overlap.s_iou`."""
    return s_iou(*_tubes(prediction, truth))


def v_truth(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Box IoU summed over the common time, divided by the true time, as V-STaR defines it."""
    return s_iou(*_tubes(prediction, truth)) * recall(prediction, truth, context)


def s_gated(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Box IoU over the common time if t_IoU ≥ .5, else 0."""
    p, s = _tubes(prediction, truth)
    return s_iou(p, s) if t_iou(p.spans, s.spans) >= GATE_IOU - ROUNDING else 0.0


def boxes_near(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Mean over the answered boxes of the IoU with the true box nearest in time, 0 if that is 1 s away or more.

    The original's gate lacks the absolute value, so that any earlier true time passed it.
    """
    p, s = _tubes(prediction, truth)
    if not len(p) or not len(s):
        return 0.0
    there = s.boxes_at(p.times)
    right = np.clip(np.searchsorted(s.times, p.times), 1, max(1, len(s) - 1))
    left = right - 1
    right = np.minimum(right, len(s) - 1)
    nearest = np.where(np.abs(s.times[left] - p.times) <= np.abs(s.times[right] - p.times), left, right)
    outside = np.isnan(there[:, 0])
    there[outside] = s.boxes[nearest[outside]]
    near = ~outside | (np.abs(s.times[nearest] - p.times) < NEAR_SECONDS)
    return float((box_iou(p.boxes, there) * near).mean())


def box_giou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Generalised IoU of boxes, (n, 4) and (n, 4) → (n,) in (-1, 1].

    >>> box_giou([[0, 0, 1, 1]], [[2, 0, 3, 1]]).round(3).tolist()
    [-0.333]
    """
    x, y = np.asarray(a, float), np.asarray(b, float)
    hull = np.prod(np.maximum(x[:, 2:], y[:, 2:]) - np.minimum(x[:, :2], y[:, :2]), 1)
    inter = box_intersection(x, y)
    union = np.prod(x[:, 2:] - x[:, :2], 1) + np.prod(y[:, 2:] - y[:, :2], 1) - inter
    return inter / union - (hull - union) / hull


def giou_l1(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """GIoU − L1 averaged over the common time, at least 0.

    L1 is the mean distance of the four sides, as shares of the frame; the paper does not say which variant it uses.
    """
    assert truth.size is not None  # what `Term.needs` has checked
    p, s = _tubes(prediction, truth)
    frame = np.array(truth.size * 2)

    def measure(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):  # rows without a box are NaN and are not used
            return box_giou(a, b) - (np.abs(np.asarray(a) - np.asarray(b)) / frame).mean(1).clip(0, 1)

    return max(0.0, over_time(p, s, measure))


_INSIDE = "the spans do not count: a sliver of the event with right boxes gets as much as the whole event"

SPATIAL = (
    Term(
        "v_iou",
        v_union,
        "t_IoU · s; s = mean of IoU(b, b*) over S∩P",
        "arXiv 2606.29023 (`mv_IoU`; it states no formula, the product is ours)",
        ("spans", "tube"),
    ),
    Term(
        "v_iou_intersection",
        v_intersection,
        "s = mean of IoU(b, b*) over S∩P",
        "`v_IoU_Int` of VUE-STG; `mv_iou` of LLaVA-Grounding's evaluation",
        ("spans", "tube"),
        _INSIDE,
    ),
    Term(
        "v_iou_truth",
        v_truth,
        "s · |S∩P| / |S|",
        "V-STaR",
        ("spans", "tube"),
        "time answered outside the event costs nothing: the whole video with right boxes gets 1",
    ),
    Term(
        "giou_l1",
        giou_l1,
        "max(0, mean of GIoU − L1 over S∩P)",
        "STVG-o1 (arXiv 2511.21375); the original goes down to −2, which makes no box better than a wrong one",
        ("spans", "tube", "size"),
        _INSIDE,
    ),
    Term(
        "s_gated",
        s_gated,
        "s · 1[t_IoU ≥ .5]",
        "Open-o3-Video's gating of places by time, on t_IoU",
        ("spans", "tube"),
    ),
    Term(
        "boxes_near",
        boxes_near,
        "mean over answered boxes of IoU with the true box nearest in time, 0 if 1 s away or more",
        "Open-o3-Video, `thk_spatial`; its gate is corrected",
        ("spans", "tube"),
        "one box at one easy second gets as much as a box at every second",
    ),
)
