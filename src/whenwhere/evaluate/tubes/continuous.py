"""Our own definition for many tubes at once: t, s and v of `whenwhere.overlap`, without a loop over tubes.

`t` and `v` are means over all items. `s`, the mean box IoU while both tubes are present, is a mean over all items too
(0 if the spans never meet), so that answering less cannot raise m_sIoU. v = t · s for every pair of tubes.

With several objects each true object may be paired with one answered object. The sum of v over the pairs is made as
large as possible and divided by the number of true or of answered objects, whichever is larger. For one object against
one this is v itself; a missed object and an invented one both lower it.

The knots of a pair are all box times and span ends of both tubes, sorted. Between two neighbouring knots each tube is
absent or linear, and the index of the box to the left is a running count of the boxes passed, so neither a search nor a
loop is needed. The result equals `overlap.v_iou` pair by pair.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import Ragged, joined_spans, proper, ragged, set_iou
from whenwhere.evaluate.temporal import answered, default_iou, look_up, means
from whenwhere.evaluate.tubes.boxes import EPS, Boxed, Floats, Index, blocks, boxed, clean_boxes, count_up, ratio, sums
from whenwhere.overlap import box_iou
from whenwhere.spans import SpanSet
from whenwhere.tubes import GAP, Tube


def boxes_in_spans(tubes: Boxed, spans: Ragged) -> tuple[Boxed, Index]:
    """The boxes that lie inside their tube's half-open spans, and for each the row of its span."""
    owner = tubes.owner
    rows = np.full(len(owner), -1, np.int64)
    if len(spans.rows) and len(owner):
        single = (spans.counts <= 1).all()
        if single:
            has = spans.counts[owner] > 0
            rows[has] = spans.starts[owner[has]]
        else:
            # the last span of the box's own tube that starts at or before the box
            order = np.lexsort(
                (
                    np.concatenate([np.zeros(len(spans.rows)), np.ones(len(owner))]),
                    np.concatenate([spans.rows[:, 0], tubes.times]),
                    np.concatenate([spans.owner, owner]),
                )
            )
            passed = np.cumsum(order < len(spans.rows)) - 1
            back = np.empty(len(order), np.int64)
            back[order] = passed
            rows = back[len(spans.rows) :]
            rows[rows < spans.starts[owner]] = -1
        held = rows >= 0
        safe = np.maximum(rows, 0)
        held &= (tubes.times >= spans.rows[safe, 0]) & (tubes.times < spans.rows[safe, 1])
        rows = np.where(held, rows, -1)
    keep = rows >= 0
    if keep.all():
        return tubes, rows
    starts = np.concatenate([[0], np.cumsum(keep)])[tubes.starts]
    return Boxed(tubes.times[keep], tubes.boxes[keep], starts.astype(np.int64)), rows[keep]


class Side:
    """One side of many pairs of tubes: boxes inside spans.

    Attributes:
        spans: Sorted, disjoint spans of each tube.
        tubes: The boxes inside them.
        span_of: Row of the span that holds each box, shape (n,).
        rate: Boxes per second of each tube, shape (m,).
    """

    def __init__(self, spans: Ragged, tubes: Boxed, rate: Floats, span_of: Index | None = None) -> None:
        self.spans = spans
        self.rate = rate
        if span_of is None:
            self.tubes, self.span_of = boxes_in_spans(tubes, spans)
        else:
            self.tubes, self.span_of = tubes, span_of


def s_ious(a: Side, b: Side) -> Floats:
    """The `overlap.s_iou` of each pair, shape (m,).

    >>> def side(x):
    ...     tube = boxed([np.array([0.0, 1.0])], [np.array([[x, 0, x + 2, 2]] * 2)])
    ...     return Side(ragged([np.array([[0.0, 2.0]])]), tube, np.ones(1))
    >>> s_ious(side(0.0), side(1.0)).round(3)
    array([0.333])
    """
    n = len(a.rate)
    sides = (a, b)
    times = np.concatenate([x for s in sides for x in (s.tubes.times, s.spans.rows[:, 0], s.spans.rows[:, 1])])
    owner = np.concatenate([x for s in sides for x in (s.tubes.owner, s.spans.owner, s.spans.owner)])
    kinds = np.repeat(np.arange(6), [len(x) for s in sides for x in (s.tubes.times, s.spans.rows, s.spans.rows)])
    order = np.lexsort((times, owner))
    times, owner, kinds = times[order], owner[order], kinds[order]
    if len(times) < 2:
        return np.where((a.spans.counts == 0) & (b.spans.counts == 0), 1.0, 0.0)
    cell = np.flatnonzero((owner[1:] == owner[:-1]) & (times[1:] > times[:-1]))
    lo, hi, pair = times[cell], times[cell + 1], owner[cell]
    passed = [np.cumsum(kinds == k)[cell] for k in range(6)]
    both = (passed[1] > passed[2]) & (passed[4] > passed[5])
    lo, hi, pair = lo[both], hi[both], pair[both]
    ends = []
    for s, (boxes, starts, _) in zip(sides, (passed[:3], passed[3:]), strict=True):
        ends.append(_ends(s, boxes[both] - 1, starts[both] - 1, lo, hi))
    (a0, a1, no_a), (b0, b1, no_b) = ends
    iou = (box_iou(a0, b0) + box_iou(a1, b1)) / 2
    iou = np.where(no_a & no_b, 1.0, np.where(no_a | no_b, 0.0, iou))
    out = ratio(sums(iou * (hi - lo), pair, n), sums(hi - lo, pair, n)).clip(0, 1)
    out[(a.spans.counts == 0) & (b.spans.counts == 0)] = 1.0
    return out


def _ends(side: Side, left: Index, span: Index, lo: Floats, hi: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """The boxes at both ends of each cell, as limits from inside it, and whether the tube is absent there."""
    tubes = side.tubes
    if not len(tubes.times):
        none = np.zeros((len(lo), 4))
        return none, none, np.ones(len(lo), bool)
    # first and last box of each span
    rows = np.arange(len(side.spans.rows))
    firsts = np.searchsorted(side.span_of, rows, side="left")
    lasts = np.searchsorted(side.span_of, rows, side="right") - 1
    first, last = firsts[span], lasts[span]
    empty = first > last
    i, j = np.clip(left, first, last), np.clip(left + 1, first, last)
    i, j = np.where(empty, 0, i), np.where(empty, 0, j)
    step = tubes.times[j] - tubes.times[i]
    absent = empty | (step > GAP / side.rate[tubes_owner(side, span)] + EPS)
    scale = np.where(step > 0, step, 1.0)
    out = []
    for t in (lo, hi):
        w = np.where(step > 0, (t - tubes.times[i]) / scale, 0.0)[:, None]
        out.append((1 - w) * tubes.boxes[i] + w * tubes.boxes[j])
    return out[0], out[1], absent


def tubes_owner(side: Side, span: Index) -> Index:
    """The tube that each row of spans belongs to."""
    return side.spans.owner[span]


def presence(times: Floats, rate: float, within: SpanSet) -> SpanSet:
    """The time in which an object is present: each run of boxes until one step after its last box, inside `within`.

    >>> presence(np.array([0.0, 1.0, 5.0]), 1.0, SpanSet([(0, 5.5)]))
    SpanSet([0, 2), [5, 5.5))
    """
    if not len(times):
        return SpanSet()
    cut = np.flatnonzero(np.diff(times) > GAP / rate + EPS)
    first, last = times[np.concatenate([[0], cut + 1])], times[np.concatenate([cut, [len(times) - 1]])]
    return SpanSet(zip(first.tolist(), (last + 1 / rate).tolist(), strict=True)) & within


def present_objects(item: Item) -> list[Tube]:
    """The true objects of an item; of several, each only while it has boxes."""
    if len(item.tubes) < 2:
        return item.tubes
    out = []
    for tube in item.tubes:
        spans = presence(tube.times, tube.rate, item.span_set)
        kept = spans.index(tube.times) >= 0
        out.append(Tube(spans, tube.times[kept], tube.boxes[kept], rate=tube.rate, id=tube.id))
    return out


def truth_side(tubes: Sequence[Tube]) -> Side:
    """The side of the true tubes, one for each pair."""
    spans = ragged([np.stack([t.spans.starts, t.spans.ends], 1) for t in tubes])
    flat = boxed([t.times for t in tubes], [t.boxes for t in tubes])
    span_of = np.concatenate([t.span_of for t in tubes]) if len(flat.times) else np.zeros(0, np.int64)
    rate = np.fromiter((t.rate for t in tubes), np.float64, len(tubes))
    return Side(spans, flat, rate, (span_of + spans.starts[:-1][flat.owner]).astype(np.int64))


_NO_SPAN = np.zeros((0, 2))


def answer_side(
    predictions: Sequence[Prediction | None], objects: Sequence[Boxes | None], spans: Ragged | None = None
) -> Side:
    """The side of the answered objects, inside the answered time or inside other sorted, disjoint `spans`."""
    flat = clean_boxes(
        boxed(
            [np.zeros(0) if b is None else b.times for b in objects],
            [np.zeros((0, 4)) if b is None else b.boxes for b in objects],
        )
    )
    if spans is None:
        spans = joined_spans(ragged([answered(p) for p in predictions]))
    rate = np.fromiter((1.0 if p is None else p.rate for p in predictions), np.float64, len(predictions))
    return Side(spans, flat, rate)


def _sound(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> NDArray[np.bool_]:
    """Items that can be right: a valid truth, and an answer that claims a time or an absence."""
    n = len(items)
    out = np.fromiter((i.status == "valid" for i in items), bool, n)
    out &= np.fromiter((p is not None and p.status in ("answered", "absent") for p in predictions), bool, n)
    for spans in (ragged([i.spans for i in items]), ragged([answered(p) for p in predictions])):
        out &= (spans.counts == 0) | (proper(spans).counts > 0)
    return out


def _objects(prediction: Prediction | None) -> list[Boxes | None]:
    if prediction is None or prediction.status != "answered" or not prediction.boxes:
        return [None]
    return list(prediction.boxes)


def tube_columns(
    items: Sequence[Item], predictions: Sequence[Prediction | None], oracle: bool = False
) -> dict[str, Floats]:
    """Per-item m_tIoU, m_sIoU and m_vIoU, and with `oracle` also oracle-time, the v with the true time."""
    n = len(items)
    sound = _sound(items, predictions)
    t = default_iou(items, predictions)

    objects = [_objects(p) for p in predictions]
    many_true = np.fromiter((max(len(i.tubes), 1) for i in items), np.int64, n)
    many_said = np.fromiter(map(len, objects), np.int64, n)
    owner, index = count_up(np.zeros(n, np.int64), many_true * many_said)
    row_true, row_said = index // many_said[owner], index % many_said[owner]
    pairs = list(zip(owner.tolist(), row_true.tolist(), row_said.tolist(), strict=True))
    single = (many_true == 1) & (many_said == 1)
    true = [present_objects(i) or [Tube(i.span_set)] for i in items]
    a = truth_side([true[i][k] for i, k, _ in pairs])
    said_by = [predictions[i] for i, _, _ in pairs]
    each = [objects[i][k] for i, _, k in pairs]
    times = None
    if not single.all():
        times = joined_spans(ragged([_time(predictions[i], objects[i][k], bool(single[i])) for i, _, k in pairs]))
    b = answer_side(said_by, each, times)
    s = s_ious(a, b)
    v = set_iou(a.spans, b.spans) * s
    columns = {"m_tIoU": t}
    first = np.cumsum(many_true * many_said) - many_true * many_said
    best_v = np.where(single, v[first], 0.0)
    best_s = np.where(single, s[first], 0.0)
    for i in np.flatnonzero(~single):
        rows = slice(first[i], first[i] + many_true[i] * many_said[i])
        shape = (int(many_true[i]), int(many_said[i]))
        best_v[i], best_s[i] = _assign(v[rows].reshape(shape), s[rows].reshape(shape))
    columns["m_sIoU"] = np.where(sound, best_s, 0.0)
    columns["m_vIoU"] = np.where(sound, best_v, 0.0)
    if oracle:
        b = answer_side(said_by, each, a.spans)
        told = s_ious(a, b)
        best = np.where(single, told[first], 0.0)
        for i in np.flatnonzero(~single):
            rows = slice(first[i], first[i] + many_true[i] * many_said[i])
            shape = (int(many_true[i]), int(many_said[i]))
            best[i] = _assign(told[rows].reshape(shape), told[rows].reshape(shape))[0]
        columns["oracle-time"] = np.where(sound, best, 0.0)
    return columns


def _time(prediction: Prediction | None, boxes: Boxes | None, alone: bool) -> Floats:
    """The time of an answered object, shape (k, 2): the answered time, or its own part of it among several objects."""
    if alone or prediction is None or boxes is None:
        return answered(prediction)
    found = clean_boxes(boxed([boxes.times], [boxes.boxes]))
    spans = presence(found.times, prediction.rate, prediction.span_set)
    return np.stack([spans.starts, spans.ends], 1)


def _assign(v: Floats, s: Floats) -> tuple[float, float]:
    from scipy.optimize import linear_sum_assignment

    rows, cols = linear_sum_assignment(-v)
    most = max(v.shape)
    return float(v[rows, cols].sum() / most), float(s[rows, cols].sum() / most)


def gather(items: Sequence[Item], predictions: Sequence[Prediction | None], oracle: bool = False) -> dict[str, Floats]:
    """The result of `tube_columns` for all items, made block by block so that memory stays small."""
    sizes = [
        sum(map(len, i.tubes)) * (len(p.boxes) if p is not None else 1)
        + (sum(len(b.times) for b in p.boxes) if p is not None else 0) * max(len(i.tubes), 1)
        + 8
        for i, p in zip(items, predictions, strict=True)
    ]
    parts = [tube_columns(items[b], predictions[b], oracle) for b in blocks(sizes)]
    names = parts[0] if parts else ("m_tIoU", "m_sIoU", "m_vIoU") + (("oracle-time",) if oracle else ())
    return {name: np.concatenate([p[name] for p in parts]) if parts else np.zeros(0) for name in names}


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score answers by this project's definition."""
    kept, predictions, notes = look_up(items, by_id)
    found = gather(kept, predictions)
    found |= {f"vIoU@{m}": (found["m_vIoU"] >= m).astype(np.float64) for m in (0.3, 0.5)}
    if number := sum(len(i.tubes) > 1 for i in kept):
        notes.append(f"{number} items have several true objects, which are paired so that v is largest")
    if number := sum(not i.tubes and len(i.spans) > 0 for i in kept):
        notes.append(f"{number} items have no true boxes: only their m_tIoU means something")
    return means(kept, found, notes)


PROTOCOLS = (
    Protocol(
        "default-tubes",
        ("tubes", "tracking"),
        score,
        "ours",
        "whenwhere.overlap",
        {
            "grid": "continuous time, both tubes filled linearly",
            "truth": "[start, end) of the item",
            "t": "sets of seconds, half-open",
            "v": "t · s; s = time average of box IoU over the intersection",
            "hit": "vIoU >= R",
            "missing answer": "counts 0",
            "missing box": "absent: 1 where both have none, else 0",
            "boxes": "xyxy, no + 1",
            "objects": "paired, divided by the larger number",
        },
        ("m_tIoU", "m_sIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5"),
        percent,
    ),
)
