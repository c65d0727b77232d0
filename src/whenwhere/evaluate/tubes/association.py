"""Several objects: HOTA with its parts, and m-HIoU of SVAG-Bench.

HOTA (Luiten et al., IJCV 2021): at each of 19 thresholds the true and answered boxes of a frame are paired one to one,
preferring objects that agree over the whole video. DetA is the share of pairs among pairs, misses and false positives;
AssA measures how well the pairs of one object stay with one answered object; HOTA is the root of their product; all are
averaged over the thresholds. Over several items detections are pooled, so long and crowded items weigh more. There are
no classes and no ignored regions: every box counts.

m-HIoU is the mean of HOTA and of the mean temporal IoU of the true objects. Each true object gets the answered object
with which it was paired on most frames at threshold 0.5. The time of an answer with one object is its first choice, the
time of one of several objects lasts from its first box until one step after its last; it is compared with the best of
the true object's spans. True objects that were never paired are left out of that mean, as in its toolkit. The benchmark
prints the mean of its three subsets; here the items are one set.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import hull_iou
from whenwhere.evaluate.temporal import look_up
from whenwhere.evaluate.tubes.boxes import Floats, Index, boxed, clean_boxes, frame_rates, gather_hull
from whenwhere.evaluate.tubes.volumetric import answered_frames
from whenwhere.overlap import box_iou

#: Thresholds of box IoU.
LEVELS = np.arange(0.05, 0.99, 0.05)
_TINY = float(np.finfo(float).eps)
_HALF = 9


class ObjectBoxes(NamedTuple):
    """The boxes of one video.

    Attributes:
        frame: Frame of each box, shape (n,).
        object: Number of the object of each box, shape (n,).
        boxes: Boxes xyxy, shape (n, 4).
    """

    frame: Index
    object: Index
    boxes: Floats


class Counts(NamedTuple):
    """Counts at each threshold, shape (19,) each.

    Attributes:
        tp: True positives.
        fn: Misses.
        fp: False positives.
        ass: Sum for AssA.
        ass_re: Sum for AssRe.
        ass_pr: Sum for AssPr.
        loc: Sum for LocA.
    """

    tp: Floats
    fn: Floats
    fp: Floats
    ass: Floats
    ass_re: Floats
    ass_pr: Floats
    loc: Floats

    def __add__(self, other: Any) -> "Counts":
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def _dense(ids: Index) -> tuple[Index, int]:
    values, dense = np.unique(ids, return_inverse=True)
    return dense, len(values)


def pair_boxes(truth: ObjectBoxes, given: ObjectBoxes) -> tuple[Index, Index, Floats, Counts]:
    """Pair the boxes of one video: rows of the truth, rows of the answer, their IoU, and the counts."""
    zero = np.zeros(len(LEVELS))
    a, many_a = _dense(truth.object)
    b, many_b = _dense(given.object)
    size_a, size_b = np.bincount(a, minlength=many_a), np.bincount(b, minlength=many_b)
    none = np.zeros(0, np.int64)
    if not len(a) or not len(b):
        missed = Counts(zero, zero + len(a), zero + len(b), zero, zero, zero, zero)
        return none, none, np.zeros(0), missed
    # all pairs of boxes on one frame
    order = np.argsort(truth.frame, kind="stable")
    frames = truth.frame[order]
    lo, hi = np.searchsorted(frames, given.frame, "left"), np.searchsorted(frames, given.frame, "right")
    col = np.repeat(np.arange(len(b)), hi - lo)
    row = order[lo[col] + np.arange(len(col)) - np.repeat(np.cumsum(hi - lo) - (hi - lo), hi - lo)]
    similarity = box_iou(truth.boxes[row], given.boxes[col])
    below = np.bincount(row, similarity, len(a))[row] + np.bincount(col, similarity, len(b))[col] - similarity
    share = np.divide(similarity, below, out=np.zeros(len(row)), where=below > _TINY)
    cell = a[row] * many_b + b[col]
    common = np.bincount(cell, share, many_a * many_b).reshape(many_a, many_b)
    alignment = common / (size_a[:, None] + size_b - common)
    row, col, similarity = _match(truth.frame[row], row, col, alignment[a[row], b[col]] * similarity, similarity)
    hit = similarity[:, None] >= LEVELS - _TINY
    tp = hit.sum(0).astype(np.float64)
    loc = (similarity[:, None] * hit).sum(0)
    cells = a[row] * many_b + b[col]
    matches = np.stack([np.bincount(cells[h], minlength=many_a * many_b) for h in hit.T]).reshape(-1, many_a, many_b)
    ass, ass_re, ass_pr = (
        (matches * (matches / np.maximum(1, size))).sum((1, 2))
        for size in (size_a[:, None] + size_b - matches, size_a[:, None], size_b[None, :])
    )
    return row, col, similarity, Counts(tp, len(a) - tp, len(b) - tp, ass, ass_re, ass_pr, loc)


def _match(frame: Index, row: Index, col: Index, score: Floats, similarity: Floats) -> tuple[Index, Index, Floats]:
    """The one-to-one pairs of each frame with the largest sum of scores."""
    from scipy.optimize import linear_sum_assignment

    order = np.argsort(frame, kind="stable")
    frame, row, col, score, similarity = frame[order], row[order], col[order], score[order], similarity[order]
    starts = np.flatnonzero(np.concatenate([[True], frame[1:] != frame[:-1]]))
    counts = np.diff(np.concatenate([starts, [len(frame)]]))
    chosen = [starts[counts == 1]]
    for s, k in zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
        rows, i = np.unique(row[s : s + k], return_inverse=True)
        cols, j = np.unique(col[s : s + k], return_inverse=True)
        table = np.zeros((len(rows), len(cols)))
        table[i, j] = score[s : s + k]
        where = np.zeros(table.shape, np.int64)
        where[i, j] = np.arange(s, s + k)
        chosen.append(where[linear_sum_assignment(-table)])
    kept = np.concatenate(chosen)
    return row[kept], col[kept], similarity[kept]


def final(c: Counts) -> dict[str, Floats]:
    """HOTA, DetA, AssA and their parts from counts, shape (19,) each."""
    tp = np.maximum(1, c.tp)
    det = c.tp / np.maximum(1, c.tp + c.fn + c.fp)
    ass = c.ass / tp
    return {
        "HOTA": np.sqrt(det * ass),
        "DetA": det,
        "AssA": ass,
        "DetRe": c.tp / np.maximum(1, c.tp + c.fn),
        "DetPr": c.tp / np.maximum(1, c.tp + c.fp),
        "AssRe": c.ass_re / tp,
        "AssPr": c.ass_pr / tp,
        "LocA": np.maximum(1e-10, c.loc) / np.maximum(1e-10, c.tp),
    }


def object_boxes(item: Item, prediction: Prediction | None) -> tuple[ObjectBoxes, ObjectBoxes]:
    """The true and the answered boxes of one item on its native frames; answers are filled linearly."""
    fps = frame_rates([item])
    frames = [np.rint(t.times * fps[0]).astype(np.int64) for t in item.tubes]
    empty = ObjectBoxes(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)))
    truth = empty
    if frames:
        objects = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        truth = ObjectBoxes(np.concatenate(frames), objects, np.concatenate([t.boxes for t in item.tubes]))
    if prediction is None or prediction.status != "answered" or not prediction.boxes:
        return truth, empty
    given = prediction.boxes
    flat = clean_boxes(boxed([b.times for b in given], [b.boxes for b in given]))
    n = len(given)
    # An object is present from its first box until one step after its last, not throughout the answer.
    hull = np.repeat(gather_hull([prediction]), n, 0)
    some = np.diff(flat.starts) > 0
    first, last = flat.starts[:-1][some], flat.starts[1:][some] - 1
    hull[~some] = np.nan
    hull[some, 0] = np.maximum(hull[some, 0], flat.times[first])
    hull[some, 1] = np.minimum(hull[some, 1], flat.times[last] + 1 / prediction.rate)
    owner, frame, boxes = answered_frames([item] * n, [prediction] * n, np.repeat(fps, n), flat, hull)
    return truth, ObjectBoxes(frame, owner, boxes)


def _times(item: Item, prediction: Prediction | None, paired: dict[int, int]) -> Floats:
    """Temporal IoU of each true object, shape (k,); NaN if it was never paired."""
    out = np.full(len(item.tubes), np.nan)
    top = None if prediction is None else prediction.top
    if top is None or prediction is None:
        return out
    for k, tube in enumerate(item.tubes):
        if k in paired and len(tube.spans):
            if len(prediction.boxes) > 1:
                times = prediction.boxes[paired[k]].times
                top = np.array([times.min(), times.max() + 1 / prediction.rate])
            spans = np.stack([tube.spans.starts, tube.spans.ends], 1)
            out[k] = hull_iou(spans, np.asarray(top, np.float64)).max()
    return out


def _score(items: Sequence[Item], by_id: Mapping[str, Prediction], times: bool) -> Scores:
    kept, predictions, notes = look_up(items, by_id)
    zero = np.zeros(len(LEVELS))
    total = Counts(zero, zero, zero, zero, zero, zero, zero)
    columns: dict[str, list[float]] = {"seq_HOTA": [], "seq_DetA": [], "seq_AssA": []}
    heard: list[Floats] = []
    for item, prediction in zip(kept, predictions, strict=True):
        truth, given = object_boxes(item, prediction)
        row, col, similarity, counts = pair_boxes(truth, given)
        total = total + counts
        each = final(counts)
        for name in ("HOTA", "DetA", "AssA"):
            columns[f"seq_{name}"].append(float(each[name].mean()))
        if times:
            half = similarity >= LEVELS[_HALF] - _TINY
            paired: dict[int, int] = {}
            for k in np.unique(truth.object[row[half]]).tolist():
                ids, often = np.unique(given.object[col[half]][truth.object[row[half]] == k], return_counts=True)
                paired[k] = int(ids[often.argmax()])
            heard.append(_times(item, prediction, paired))
    summary = {name: float(curve.mean()) for name, curve in final(total).items()}
    found = {name: np.array(values) for name, values in columns.items()}
    if times:
        each_object = np.concatenate(heard) if heard else np.zeros(0)
        there = ~np.isnan(each_object)
        summary["mIoU"] = float(each_object[there].mean()) if there.any() else 0.0
        summary = {"m-HIoU": (summary["HOTA"] + summary["mIoU"]) / 2} | summary
        found["seq_mIoU"] = np.array([float(np.nanmean(x)) if (~np.isnan(x)).any() else np.nan for x in heard])
        if number := int((~there).sum()):
            notes.append(
                f"{number} of {len(there)} true objects were never paired: mIoU leaves them out, as SVAGEval does"
            )
    notes.append("HOTA and its parts pool the boxes of all items; seq_HOTA is per item")
    return Scores(summary, [i.id for i in kept], [i.video for i in kept], found, {}, notes)


def hota(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score HOTA, DetA, AssA and their parts."""
    return _score(items, by_id, False)


def svag(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score m-HIoU: the mean of HOTA and the temporal mIoU of paired objects."""
    return _score(items, by_id, True)


_WORDS = {
    "grid": "every frame with a box",
    "truth": "all objects",
    "t": "none",
    "v": "root of DetA · AssA, mean over 19 thresholds",
    "hit": "IoU >= 0.05 : 0.05 : 0.95",
    "missing answer": "misses",
    "missing box": "a miss",
    "boxes": "xyxy, no + 1",
    "objects": "paired one to one in each frame",
}

PROTOCOLS = (
    Protocol(
        "hota",
        ("tubes", "tracking"),
        hota,
        "equal to the original",
        "JonathonLuiten/TrackEval trackeval/metrics/hota.py 12c8791b30",
        _WORDS,
        ("HOTA", "DetA", "AssA", "LocA"),
        percent,
    ),
    Protocol(
        "svag",
        ("tubes",),
        svag,
        "from reading",
        "Shuaicong97/SVAGEval README, temporal_eval/eval.py, scripts/average_combined_results.py 65b1495608",
        _WORDS | {"t": "first choice against the best span of each paired object, hull; m-HIoU = (HOTA + mIoU) / 2"},
        ("m-HIoU", "HOTA", "mIoU"),
        percent,
    ),
)
