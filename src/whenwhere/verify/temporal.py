"""Reward terms about time alone. S is the true, P the answered set of time; neither is empty (see `Term`).

What was mended in published terms is said where it was: factors that fell below 0, shaping that paid for the whole
video, hulls that made an exact answer of several spans less than perfect.
"""

import numpy as np

from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

#: The thresholds of R1@m.
IOU_THRESHOLDS = (0.3, 0.5, 0.7)
#: Times are decimals: half an event answered to the digit must reach the threshold .5.
ROUNDING = 1e-9


def _sets(prediction: ParsedPrediction, truth: Truth) -> tuple[SpanSet, SpanSet]:
    """Answered and true time."""
    return prediction.spans or SpanSet(), truth.spans or SpanSet()


def _hulls(prediction: ParsedPrediction, truth: Truth) -> tuple[Span, Span]:
    p, s = _sets(prediction, truth)
    return Span(float(p.starts[0]), float(p.ends[-1])), Span(float(s.starts[0]), float(s.ends[-1]))


def _length(truth: Truth) -> float:
    """Seconds of the video; annotations that end behind it stretch it."""
    return max(truth.duration or 0.0, float(truth.spans.ends[-1]) if truth.spans else 0.0)


def iou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """`whenwhere.overlap.t_iou`."""
    return t_iou(*_sets(prediction, truth))


def boundary_iou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU times how near both ends are; as published a factor fell below 0 for answers far outside the video."""
    p, s = _hulls(prediction, truth)
    length = _length(truth)
    near = max(0.0, 1 - abs(p.start - s.start) / length) * max(0.0, 1 - abs(p.end - s.end) / length)
    return iou(prediction, truth, context) * near


def excess(prediction: ParsedPrediction, truth: Truth) -> float:
    """Answered time beyond the truth's length, as a share of what the video has to offer: 1 for the whole video.

    >>> from whenwhere.answers import ParsedAnswer
    >>> from whenwhere.verify.prediction import to_prediction
    >>> truth = Truth(SpanSet([(10, 20)]), duration=100)
    >>> [excess(to_prediction(ParsedAnswer("ok", spans=(s,))), truth) for s in [(0, 10), (0, 55), (0, 100)]]
    [0.0, 0.5, 1.0]
    """
    p, s = _sets(prediction, truth)
    room = _length(truth) - s.duration
    return min(1.0, max(0.0, p.duration - s.duration) / room) if room > 0 else float(p.duration > s.duration)


def giou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Generalised IoU in 0-1, times what is left after the excess.

    The gap is counted between hulls, so that an exact answer of several spans is 1. Without the last factor the whole
    video gets .55 for an event of a tenth of it (MUSEG).
    """
    p, s = _hulls(prediction, truth)
    hull = max(p.end, s.end) - min(p.start, s.start)
    gap = max(0.0, max(p.start, s.start) - min(p.end, s.end))
    return (1 + iou(prediction, truth, context) - gap / hull) / 2 * (1 - excess(prediction, truth))


def diou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Distance IoU in 0-1, times what is left after the excess."""
    p, s = _hulls(prediction, truth)
    hull = max(p.end, s.end) - min(p.start, s.start)
    apart = abs(p.start + p.end - s.start - s.end) / 2
    return (1 + iou(prediction, truth, context) - (apart / hull) ** 2) / 2 * (1 - excess(prediction, truth))


def annealed_sigma(progress: float) -> float:
    """Standard deviation in seconds of the annealed Gaussian: 4 at the beginning, 1 from three quarters on.

    >>> annealed_sigma(0), annealed_sigma(0.5), annealed_sigma(1)
    (4.0, 2.0, 1.0)
    """
    return max(1.0, 4.0 * (1 - progress))


def boundary_gauss(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """How near each end is, on an annealed Gaussian; spans are paired in order and a missing partner counts 0."""
    p, s = _sets(prediction, truth)
    n = min(len(p), len(s))
    off = np.concatenate([p.starts[:n] - s.starts[:n], p.ends[:n] - s.ends[:n]])
    return float(np.exp(-((off / annealed_sigma(context.progress)) ** 2) / 2).sum()) / (2 * max(len(p), len(s)))


def thresholded(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Share of the thresholds .3, .5, .7 that t_IoU reaches: the mean of R1@m."""
    t = iou(prediction, truth, context)
    return sum(t >= m - ROUNDING for m in IOU_THRESHOLDS) / len(IOU_THRESHOLDS)


def f1(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Harmonic mean of precision and recall of time, 2|S∩P| / (|S| + |P|)."""
    p, s = _sets(prediction, truth)
    return 2 * (p & s).duration / (p.duration + s.duration)


def matched_iou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Mean IoU of the best one-to-one pairing (Hungarian); too many or too few spans count 0 each.

    Equal to `matched-mIoU` of the protocol `multispan`.
    """
    p, s = _sets(prediction, truth)
    inter = np.minimum(p.ends[:, None], s.ends) - np.maximum(p.starts[:, None], s.starts)
    inter = inter.clip(0)
    table = inter / ((p.ends - p.starts)[:, None] + (s.ends - s.starts) - inter)
    if min(table.shape) == 1:
        return float(table.max()) / max(table.shape)
    from scipy.optimize import linear_sum_assignment

    return float(table[linear_sum_assignment(table, maximize=True)].sum()) / max(table.shape)


def recall(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Share of the true time that is answered."""
    p, s = _sets(prediction, truth)
    return (p & s).duration / s.duration


def null(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Whether presence or absence is said rightly."""
    return float(
        prediction.spans is not None and truth.spans is not None and bool(prediction.spans) == bool(truth.spans)
    )


def beats_shuffled(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU, where it is higher than that of the answer to shuffled frames; else 0.

    Video-R1 compares the accuracy of two groups; here two answers are compared, so that no group is needed.
    """
    shuffled = context.shuffled
    t = iou(prediction, truth, context)
    if shuffled is None or shuffled.fault is not None or shuffled.spans is None:
        return t
    return t if t > t_iou(shuffled.spans, truth.spans or SpanSet()) + 1e-9 else 0.0


TEMPORAL = (
    Term("t_iou", iou, "|S∩P| / |S∪P|", "TimeLens, TVG-R1 (arXiv 2507.18100), VideoChat-R1"),
    Term(
        "boundary_iou",
        boundary_iou,
        "t_IoU · max(0, 1 − |Δs|/D) · max(0, 1 − |Δe|/D)",
        "Time-R1, `iou_v2`; factors clamped (there unbounded below)",
        ("spans", "duration"),
    ),
    Term(
        "giou",
        giou,
        "½(1 + t_IoU − gap/hull) · (1 − excess); excess = max(0, |P| − |S|) / (D − |S|)",
        "MUSEG, `segment_matching`; the excess is ours",
        ("spans", "duration"),
    ),
    Term(
        "diou",
        diou,
        "½(1 + t_IoU − (centre distance/hull)²) · (1 − excess)",
        "DIoU (arXiv 1911.08287) in one dimension; the excess is ours",
        ("spans", "duration"),
    ),
    Term(
        "boundary_gauss",
        boundary_gauss,
        "mean over both ends of exp(−Δ²/2σ²), σ = max(1, 4(1 − progress)) s",
        "Open-o3-Video, `thk_temporal_point`",
        gameable="a sliver that begins where the event does gets half, which half-right answers to long events miss",
    ),
    Term("thresholded", thresholded, "mean of 1[t_IoU ≥ m] over m in .3, .5, .7", "R1@m of the field"),
    Term("f1", f1, "2|S∩P| / (|S| + |P|)", "MUSEG, global part"),
    Term("matched", matched_iou, "best one-to-one Σ IoU / max(n, m)", "protocol `multispan`"),
    Term(
        "recall",
        recall,
        "|S∩P| / |S|",
        "LongVT",
        gameable="the whole video gets 1",
    ),
    Term(
        "order",
        beats_shuffled,
        "t_IoU · 1[t_IoU > t_IoU of the answer to shuffled frames]",
        "T-GRPO of Video-R1, TaRO; for two answers",
        ("spans", "shuffled"),
    ),
    Term(
        "null",
        null,
        "1[P = ∅ ⇔ S = ∅]",
        "null queries: NA-VMR (arXiv 2502.08544), GMR (arXiv 2605.02623)",
        gameable="any answer with a span gets 1 wherever there is an event",
    ),
)
