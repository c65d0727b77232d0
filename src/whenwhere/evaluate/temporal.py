"""Temporal grounding: one answer in seconds against one or several true spans.

Everybody prints "R1@m" and "mIoU", and everybody counts them a little differently. Each way is one `TemporalCount`, a
row of switches, and every protocol here is a name for such a row. `default` is the definition of this project: the
answered set of time against the true set of time, `>=`, no clipping; an absent thing answered as absent counts 1.

R@n looks at the first n alternatives of a ranked answer (or at the spans in written order if nothing is ranked); it is
given only if some answer has alternatives. Non-maximum suppression belongs to making an answer, so no protocol does it.
Text is parsed before (`answers.parse`), so these numbers do not contain what a repository's own parser loses: they are
equal to the original *given the same spans*.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import (
    Floats,
    Ragged,
    cross,
    highest,
    hull_iou,
    joined_spans,
    lengths,
    proper,
    quotient,
    ragged,
    set_iou,
    shared,
    total,
)

NONE = span_array()
#: Statuses that claim something.
CLAIMS = ("answered", "absent")


@dataclass(frozen=True)
class TemporalCount:
    """The switches of one way of counting spans.

    Attributes:
        truths: What an answer is compared with. `set`: the answered set with the true set of time; `first`: the first
            true span; `best`: the true span with the highest IoU.
        strict: Whether a hit is IoU > m instead of IoU >= m.
        swap: Whether a reversed answer is turned round; otherwise it overlaps nothing.
        drop: Whether items without an answer leave the denominator (the notes say how many); otherwise they count 0.
        thresholds: The m of R@m.
        ranks: The n of R@n.
        average: Whether to give the mean of mIoU and all R1@m too, as the original prints it.
    """

    truths: Literal["set", "first", "best"] = "first"
    strict: bool = False
    swap: bool = False
    drop: bool = False
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.7)
    ranks: tuple[int, ...] = (1,)
    average: bool = False

    def words(self) -> dict[str, str]:
        """The switches in words, for the table of protocols."""
        return {
            "hit": "IoU > m" if self.strict else "IoU >= m",
            "truths": {
                "set": "all, as one set of time",
                "first": "the first true span",
                "best": "the true span with the highest IoU",
            }[self.truths],
            "answer": "all spans, as one set of time" if self.truths == "set" else "first choice",
            "reversed answer": "turned round" if self.swap else "counts 0",
            "clipping": "none",
            "missing answer": "left out" if self.drop else "counts 0",
        }


def choices(prediction: Prediction | None) -> Floats:
    """The alternatives of an answer, best first, shape (k, 2): the ranked spans, else the spans as written."""
    if prediction is None or prediction.status not in CLAIMS:
        return NONE
    return prediction.spans if prediction.ranked is None else prediction.ranked[:, :2]


def answered(prediction: Prediction | None) -> Floats:
    """The answer as a set of time, shape (k, 2): its spans, else the best ranked one alone; empty for an absence."""
    if prediction is None or prediction.status != "answered":
        return NONE
    if len(prediction.spans) or prediction.ranked is None:
        return prediction.spans
    return prediction.ranked[:1, :2]


def claims(predictions: Sequence[Prediction | None], answers: Ragged) -> NDArray[np.bool_]:
    """Whether each answer claims something that can be right, a time or an absence, shape (n,).

    Spans without any time in them (reversed, zero length) claim nothing.

    Args:
        predictions: The answers in the order of the items.
        answers: The result of `answered` for each.
    """
    said = np.fromiter((p is not None and p.status in CLAIMS for p in predictions), bool, len(predictions))
    return said & ((answers.counts == 0) | (proper(answers).counts > 0))


def default_iou(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> Floats:
    """The t_IoU of the answered with the true set of time, shape (n,): the definition of `default`.

    Invalid items, lost answers and answers that claim nothing get 0.
    """
    truth, answers = ragged([i.spans for i in items]), ragged([answered(p) for p in predictions])
    # An unreadable answer is not the claim that nothing is there, and a reversed truth is not an empty one.
    real = np.fromiter((i.status == "valid" for i in items), bool, len(items))
    real &= (truth.counts == 0) | (proper(truth).counts > 0)
    return np.where(real & claims(predictions, answers), set_iou(answers, truth), 0.0)


def _candidates_against_sets(answers: Ragged, truth: Ragged) -> Floats:
    """The IoU of each single alternative with the true set of time, shape (rows,)."""
    rows = Ragged(answers.rows, np.arange(len(answers.rows) + 1))
    truth = joined_spans(truth)
    owner = answers.owner
    i, j, _ = cross(answers, truth)
    common = total(shared(answers.rows[i], truth.rows[j]), i, len(answers.rows))
    return quotient(common, np.where(lengths(rows) > 0, lengths(rows), np.inf) + lengths(truth)[owner] - common)


def ious(
    items: Sequence[Item], predictions: Sequence[Prediction | None], count: TemporalCount
) -> tuple[Floats, dict[int, Floats]]:
    """The IoU that counts for R1 and mIoU, and for each further n of R@n the best of the first n alternatives."""
    n = len(items)
    answers = ragged([choices(p) for p in predictions])
    if count.swap:
        answers = Ragged(np.sort(answers.rows, axis=1), answers.starts)
    more = [k for k in count.ranks if k > 1 and len(answers.rows) and answers.counts.max() > 1]
    truth = ragged([i.spans for i in items])
    if count.truths == "first":
        truth = truth.head(1)
    if count.truths == "set":
        each = _candidates_against_sets(answers, truth)
        first = default_iou(items, predictions)
        # The answered set is itself the first alternative, so that further alternatives never lower the score.
        return first, {k: np.maximum(first, _among(each, answers, k, n)) for k in more}
    i, j, _ = cross(answers, truth)
    each = highest(hull_iou(answers.rows[i], truth.rows[j]), i, len(answers.rows))
    return _among(each, answers, 1, n), {k: _among(each, answers, k, n) for k in more}


def _among(each: Floats, answers: Ragged, k: int, n: int) -> Floats:
    first = Ragged(each, answers.starts).head(k)
    return highest(first.rows, first.owner, n)


def hits(iou: Floats, threshold: float, strict: bool = False) -> Floats:
    """1.0 where the IoU reaches the threshold (exceeds it if `strict`), else 0.0."""
    return ((iou > threshold) if strict else (iou >= threshold)).astype(np.float64)


def look_up(
    items: Sequence[Item], by_id: Mapping[str, Prediction], drop: bool = False
) -> tuple[list[Item], list[Prediction | None], list[str]]:
    """The items to score, their answers in the same order, and notes about answers that are missing or unusable.

    Args:
        items: The questions.
        by_id: The answers; those to other ids are ignored.
        drop: Whether to leave items without an answer out, as some originals do.
    """
    get = by_id.get
    found = [get(i.id) for i in items]
    status = Counter(p.status if p is not None else "lost" for p in found)
    lost = status["lost"]
    notes = []
    if lost:
        fate = "left out of every mean, as the original does" if drop else "counted as wrong"
        notes.append(f"{lost} of {len(items)} items have no answer: {fate}")
    for kind, word in (("unparsed", "could not be parsed"), ("failed", "cannot be used"), ("unsure", "are unsure")):
        if status[kind]:
            notes.append(f"{status[kind]} answers {word}: counted as wrong")
    if invalid := Counter(i.status for i in items)["invalid"]:
        notes.append(f"{invalid} items are invalid in the release and stay in the denominator")
    if drop and lost:
        pairs = [(i, p) for i, p in zip(items, found, strict=True) if p is not None]
        return [i for i, _ in pairs], [p for _, p in pairs], notes
    return list(items), list(found), notes


def grouped(items: Sequence[Item], columns: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    """The means of the columns for each type of query; empty for a set without types."""
    kinds: dict[str, list[int]] = {}
    for row, item in enumerate(items):
        if item.type is not None:
            kinds.setdefault(item.type, []).append(row)
    return {
        kind: {"n": float(len(rows))} | {name: float(column[rows].mean()) for name, column in columns.items()}
        for kind, rows in sorted(kinds.items())
    }


def means(
    items: Sequence[Item],
    columns: dict[str, Floats],
    notes: list[str],
    shown: Sequence[str] | None = None,
) -> Scores:
    """Scores whose summary is the mean of each column.

    Args:
        items: The items of the rows.
        columns: Measure → one value for each item.
        notes: What a reader must know.
        shown: The columns that the summary and the groups have; None means all.
    """
    names = list(columns) if shown is None else list(shown)
    summary = {name: float(columns[name].mean()) if len(items) else float("nan") for name in names}
    return Scores(
        summary,
        [i.id for i in items],
        [i.video for i in items],
        columns,
        grouped(items, {name: columns[name] for name in names}),
        notes,
    )


def score(items: Sequence[Item], by_id: Mapping[str, Prediction], count: TemporalCount) -> Scores:
    """Score answers by one way of counting.

    >>> item = Item("a", "v", spans=span_array([(2, 6)]))
    >>> score([item], {"a": Prediction("a", spans=span_array([(0, 4)]))}, TemporalCount()).summary["R1@0.3"]
    1.0
    """
    kept, predictions, notes = look_up(items, by_id, count.drop)
    first, more = ious(kept, predictions, count)
    if count.truths != "set" and (nothing := [row for row, i in enumerate(kept) if not len(i.spans)]):
        right = np.array([p is not None and p.status == "absent" for p in (predictions[row] for row in nothing)], float)
        for column in (first, *more.values()):
            column[nothing] = right
        notes.append(f"{len(nothing)} items have no true span: 1 for an answer 'absent'")
    columns = {f"R1@{m:g}": hits(first, m, count.strict) for m in count.thresholds}
    for k, best in more.items():
        columns |= {f"R{k}@{m:g}": hits(best, m, count.strict) for m in count.thresholds}
    columns["mIoU"] = first
    out = means(kept, columns, notes)
    if count.average:
        printed = [out.summary[f"R1@{m:g}"] for m in count.thresholds]
        out.summary["avg"] = (sum(printed) + out.summary["mIoU"]) / (len(printed) + 1)
    return out


def threshold_curve(iou: Floats, thresholds: NDArray[np.float64], strict: bool = False) -> Floats:
    """The share of items whose IoU reaches each threshold (exceeds it if `strict`), in O((n + t) log n).

    >>> threshold_curve(np.array([0.2, 0.5]), np.array([0.1, 0.5, 0.6]))
    array([1. , 0.5, 0. ])
    """
    below = np.searchsorted(np.sort(iou), thresholds, side="right" if strict else "left")
    return 1 - below / len(iou) if len(iou) else np.full(len(thresholds), np.nan)


def _protocol(
    name: str, count: TemporalCount, standing: Literal["equal to the original", "from reading", "ours"], source: str
) -> Protocol:
    headline = tuple(f"R{k}@{m:g}" for k in count.ranks for m in count.thresholds)
    return Protocol(
        name,
        ("spans", "highlights", "moments", "tubes", "qa"),
        partial(score, count=count),
        standing,
        source,
        count.words(),
        (*headline, "mIoU"),
        percent,
    )


RANKS = (1, 5)
USUAL = (
    "the usual count of Charades-STA papers; run beside TencentARC/TimeLens evaluation/compute_metrics.py 5d90c06724"
)

PROTOCOLS = (
    _protocol("default", TemporalCount("set", ranks=RANKS), "ours", "whenwhere.overlap.t_iou"),
    _protocol(
        "best-truth", TemporalCount("best", ranks=RANKS), "ours", "first choice against the best of several true spans"
    ),
    _protocol("charades-sta", TemporalCount(ranks=RANKS), "equal to the original", USUAL),
    _protocol("activitynet-captions", TemporalCount(ranks=RANKS), "equal to the original", USUAL),
    _protocol("tacos", TemporalCount(thresholds=(0.1, 0.3, 0.5, 0.7), ranks=RANKS), "equal to the original", USUAL),
    _protocol(
        "tvgbench",
        TemporalCount(strict=True),
        "equal to the original",
        "xiaomi-research/time-r1 src/vllm_inference/eval_all.py 7f2b5944a0; missing answers count 0",
    ),
    _protocol(
        "time-r1",
        TemporalCount(strict=True, drop=True, average=True),
        "equal to the original",
        "xiaomi-research/time-r1 src/vllm_inference/eval_all.py 7f2b5944a0",
    ),
    _protocol(
        "timelens",
        TemporalCount(drop=True),
        "equal to the original",
        "TencentARC/TimeLens evaluation/compute_metrics.py 5d90c06724",
    ),
    _protocol(
        "taro",
        TemporalCount("best", swap=True, drop=True),
        "equal to the original",
        "oceanflowlab/TaRO standalone_eval/evaluate_vtg.py 143a234fe3",
    ),
    _protocol(
        "lmms-eval",
        TemporalCount(swap=True, drop=True),
        "equal to the original",
        "EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks/charades_sta/eval_tvg.py 75571cfe0f",
    ),
    _protocol(
        "2d-tan",
        TemporalCount(strict=True, drop=True, thresholds=(0.1, 0.3, 0.5, 0.7), ranks=RANKS),
        "equal to the original",
        "microsoft/2D-TAN lib/core/eval.py 2f7410f0de, without its suppression step",
    ),
)
