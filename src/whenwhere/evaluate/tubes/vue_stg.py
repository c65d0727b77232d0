"""VUE-STG's own count: tubes as sets of seconds, one box each.

Times are rounded to whole seconds (half up); of several boxes in one second the first as written counts. A second
belongs to a tube if its box has an area. Then t_* are precision, recall and IoU of the two sets of seconds, v_* the
same with the sum of box IoU as numerator, and v_IoU_Int that sum over the seconds in both. A query with no second in
both has no v_IoU_Int, and one without an answer has no precision: the mean leaves these out (as its authors' pandas
does), so v_IoU_Int says nothing about how often the time was right. 3D_* are volumes: sums of intersected over united
area.

Boxes are fractions of the frame here (`Item.width` and `height`, 1 x 1 if the release does not state them); reversed
ones are swapped, and all are clamped to the frame.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.temporal import look_up
from whenwhere.evaluate.tubes.boxes import (
    Boxed,
    Floats,
    Index,
    answered_object,
    blocks,
    boxed,
    gather_truth,
    owner_of,
    pack_keys,
    sums,
)
from whenwhere.evaluate.tubes.native import object_notes

MEASURES = ("t_Precision", "t_Recall", "t_IoU", "v_Precision", "v_Recall", "v_IoU", "v_IoU_Int")
_VOLUMES = ("3D_Precision", "3D_Recall", "3D_IoU")
_TINY = float(np.finfo(float).eps)

#: Groups of the published table: column, upper edges, names.
GROUPS = (
    ("object size", (0.10, 0.30, np.inf), ("<10%", "10%-30%", ">30%")),
    ("video duration", (60.0, 600.0, 1800.0), ("<1min", "1-10min", "10-30min")),
    ("gt duration", (3.0, 10.0, 60.0), ("<3s", "3-10s", "10-60s")),
)


def _seconds(tubes: Boxed, sizes: Floats) -> tuple[Index, Floats]:
    """Keys (tube, second), sorted, and the normalised box of each: the first written in its second."""
    ms = np.rint(tubes.times * 1000).astype(np.int64)
    key, first = np.unique(pack_keys(tubes.owner, (2 * ms + 1000) // 2000), return_index=True)
    boxes = tubes.boxes[first] / np.tile(sizes, 2)[owner_of(key)]
    lo, hi = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    return key, np.concatenate([lo, hi], 1).clip(0, 1)


def _areas(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _part(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> dict[str, Floats]:
    n = len(items)
    sizes = np.array([(i.width or 1, i.height or 1) for i in items], np.float64).reshape(-1, 2)
    found = [answered_object(p) for p in predictions]
    raw = boxed(
        [np.zeros(0) if b is None else b.times for b in found],
        [np.zeros((0, 4)) if b is None else b.boxes for b in found],
    )
    sound = np.isfinite(raw.boxes).all(1) & np.isfinite(raw.times)
    starts = np.concatenate([[0], np.cumsum(sound)])[raw.starts]
    raw = Boxed(raw.times[sound], raw.boxes[sound], starts)
    key_a, a = _seconds(gather_truth(items), sizes)
    key_b, b = _seconds(raw, sizes)
    area_a, area_b = _areas(a), _areas(b)
    real_a, real_b = area_a > 0, area_b > 0
    _, in_a, in_b = np.intersect1d(key_a, key_b, assume_unique=True, return_indices=True)
    owner_a, owner_b, owner = owner_of(key_a), owner_of(key_b), owner_of(key_a[in_a])
    one, two = a[in_a], b[in_b]
    wh = (np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2])).clip(0)
    inter = wh[:, 0] * wh[:, 1]
    iou = inter / (area_a[in_a] + area_b[in_b] - inter + _TINY)
    seconds_a = sums(real_a.astype(np.float64), owner_a, n)
    seconds_b = sums(real_b.astype(np.float64), owner_b, n)
    both = sums((real_a[in_a] & real_b[in_b]).astype(np.float64), owner, n)
    either = seconds_a + seconds_b - both
    total, volume = sums(iou, owner, n), sums(inter, owner, n)
    volume_a, volume_b = sums(area_a, owner_a, n), sums(area_b, owner_b, n)

    def over(x: Floats, y: Floats) -> Floats:
        return np.divide(x, y, out=np.full(n, np.nan), where=y > 0)

    def among(x: Floats, y: Floats, seconds: Floats) -> Floats:
        return np.where(seconds > 0, x / (y + _TINY), np.nan)

    length = sums(np.ones(len(key_a)), owner_a, n)
    return {
        "t_Precision": over(both, seconds_b),
        "t_Recall": over(both, seconds_a),
        "t_IoU": over(both, either),
        "v_Precision": over(total, seconds_b),
        "v_Recall": over(total, seconds_a),
        "v_IoU": over(total, either),
        "v_IoU_Int": over(total, both),
        "3D_Precision": among(volume, volume_b, seconds_b),
        "3D_Recall": among(volume, volume_a, seconds_a),
        "3D_IoU": among(volume, volume_a + volume_b - volume, either),
        "object size": np.divide(volume_a, length, out=np.zeros(n), where=length > 0),
        "gt duration": length,
    }


def _mean(column: Floats) -> float:
    there = ~np.isnan(column)
    return float(column[there].mean()) if there.any() else float("nan")


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as in the published table, overall and in its nine groups."""
    kept, predictions, notes = look_up(items, by_id)
    sizes = [
        (len(i.tubes[0]) if i.tubes else 0) + (sum(len(b.times) for b in p.boxes) if p else 0) + 8
        for i, p in zip(kept, predictions, strict=True)
    ]
    parts = [_part(kept[b], predictions[b]) for b in blocks(sizes)] or [_part([], [])]
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    found["video duration"] = np.array([np.nan if i.duration is None else i.duration for i in kept], np.float64)
    shown = (*MEASURES, *_VOLUMES)
    groups = {}
    for group, edges, names in GROUPS:
        bins = np.searchsorted(edges, found[group], side="right")
        for k, name in enumerate(names):
            rows = bins == k
            if rows.any():
                groups[f"{group} {name}"] = {"n": float(rows.sum())} | {m: _mean(found[m][rows]) for m in shown}
    if number := int(np.isnan(found["v_IoU_Int"]).sum()):
        notes.append(f"{number} queries have no second in both tubes: v_IoU_Int leaves them out, as the original does")
    if number := int(np.isnan(found["t_Precision"]).sum()):
        notes.append(f"{number} queries have no answered second: precision leaves them out, as the original does")
    notes += object_notes(kept, predictions)
    return Scores(
        {m: _mean(found[m]) for m in shown},
        [i.id for i in kept],
        [i.video for i in kept],
        {m: found[m] for m in shown},
        groups,
        [n for n in notes if "spans" not in n],
    )


def three_digits(name: str, value: float) -> float:
    """The value with three digits, as in the published table."""
    return round(value, 3)


PROTOCOLS = (
    Protocol(
        "vue-stg",
        ("tubes",),
        score,
        "equal to the original",
        "bytedance/vidi VUE_STG/evaluate.py, tube.py fc30c87084",
        {
            "grid": "whole seconds, rounded half up",
            "truth": "the annotated seconds, a set",
            "t": "set of seconds",
            "v": "sum / seconds in either; v_IoU_Int: in both",
            "hit": "none",
            "missing answer": "counts 0; no precision, no v_IoU_Int",
            "missing box": "the second is not answered",
            "boxes": "parts of the frame, clamped, swapped where reversed; the first of a second",
            "objects": "the first",
        },
        MEASURES,
        three_digits,
        decimals=1,
    ),
)
