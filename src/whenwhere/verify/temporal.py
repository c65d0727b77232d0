"""Reward terms about time alone. S is the true and P the answered set of time; neither is empty (see `Term`).

Each docstring says what was corrected in a published term: factors that fell below 0, shaping that rewarded answering
the whole video, and hulls that made an exact answer of several spans score less than 1.
"""

import numpy as np

from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.truth import Truth

#: The thresholds of R1@m.
IOU_THRESHOLDS = (0.3, 0.5, 0.7)
#: Times are decimals, so exactly half of an event must reach the threshold .5 despite rounding.
ROUNDING = 1e-9


def _sets(prediction: ParsedPrediction, truth: Truth) -> tuple[SpanSet, SpanSet]:
    """The answered and the true set of time."""
    return prediction.spans or SpanSet(), truth.spans or SpanSet()


def _hulls(prediction: ParsedPrediction, truth: Truth) -> tuple[Span, Span]:
    p, s = _sets(prediction, truth)
    return Span(float(p.starts[0]), float(p.ends[-1])), Span(float(s.starts[0]), float(s.ends[-1]))


def iou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU; see `whenwhere.overlap.t_iou`."""
    return t_iou(*_sets(prediction, truth))


def boundary_iou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU times the closeness of both ends. Both factors are clamped at 0.

    In the original a factor fell below 0 for answers far outside the video.
    """
    p, s = _hulls(prediction, truth)
    length = truth.length
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
    room = truth.length - s.duration
    return min(1.0, max(0.0, p.duration - s.duration) / room) if room > 0 else float(p.duration > s.duration)


def giou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Generalised IoU scaled to 0-1, times (1 − excess).

    The gap is counted between hulls, so that an exact answer of several spans scores 1. Without the last factor (as in
    MUSEG) the whole video gets .55 for an event of a tenth of it.
    """
    p, s = _hulls(prediction, truth)
    hull = max(p.end, s.end) - min(p.start, s.start)
    gap = max(0.0, max(p.start, s.start) - min(p.end, s.end))
    return (1 + iou(prediction, truth, context) - gap / hull) / 2 * (1 - excess(prediction, truth))


def diou(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Distance IoU scaled to 0-1, times (1 − excess)."""
    p, s = _hulls(prediction, truth)
    hull = max(p.end, s.end) - min(p.start, s.start)
    apart = abs(p.start + p.end - s.start - s.end) / 2
    return (1 + iou(prediction, truth, context) - (apart / hull) ** 2) / 2 * (1 - excess(prediction, truth))


def annealed_sigma(progress: float) -> float:
    """Standard deviation of the annealed Gaussian in seconds: 4 at first, 1 from three quarters of the training on.

    >>> annealed_sigma(0), annealed_sigma(0.5), annealed_sigma(1)
    (4.0, 2.0, 1.0)
    """
    return max(1.0, 4.0 * (1 - progress))


def boundary_gauss(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Closeness of each end on an annealed Gaussian. Spans are paired in order; a span without a partner counts 0."""
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
    """Mean IoU of the best one-to-one pairing (Hungarian); each span without a partner counts 0.

    It is equal to `matched-mIoU` of the protocol `multispan`.
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
    """Share of the true time that was answered."""
    p, s = _sets(prediction, truth)
    return (p & s).duration / s.duration


def null(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """Whether presence or absence was answered correctly."""
    return float(
        prediction.spans is not None and truth.spans is not None and bool(prediction.spans) == bool(truth.spans)
    )


def beats_shuffled(prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
    """t_IoU if it is higher than that of the answer to shuffled frames, else 0.

    Video-R1 compares the accuracy of two groups. Here two answers are compared, so that no group is needed.
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
        "Time-R1, `iou_v2`; factors clamped (the original is unbounded below)",
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
        gameable="a sliver that begins with the event gets ½, more than half-right answers to long events get",
    ),
    Term("thresholded", thresholded, "mean of 1[t_IoU ≥ m] over m in .3, .5, .7", "R1@m, the usual recall metric"),
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
        "T-GRPO of Video-R1, TaRO; here two answers are compared",
        ("spans", "shuffled"),
    ),
    Term(
        "null",
        null,
        "1[P = ∅ ⇔ S = ∅]",
        "null queries: NA-VMR (arXiv 2502.08544), GMR (arXiv 2605.02623)",
        gameable="any answer with a span gets 1 for every question with an event",
    ),
)
