"""HC-STVG as STVG-R1 counts it: time in seconds, boxes on frames `int(seconds * fps)`, both ends inclusive.

Its evaluator looks up the true box of frame f at f - st_frame, and the released st_frame counts from 1: each answered
box meets the true box of the frame before. A span that overlaps the truth by less than one frame step has v = 0. The
answered boxes are those of a tracked object here (the original cuts them from masks, with inclusive maximum pixels);
how it treats frames on which its tracker lost the object belongs to its model and is not reproduced.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, fraction
from whenwhere.evaluate.ragged import hull_iou
from whenwhere.evaluate.temporal import look_up, means
from whenwhere.evaluate.tubes.boxes import (
    Floats,
    blocks,
    fill_linearly,
    gather_answers,
    gather_hull,
    gather_truth,
    rates,
    sums,
)
from whenwhere.evaluate.tubes.native import object_notes
from whenwhere.overlap import box_iou

#: Frames per second if the release does not state them.
FPS = 25.0


def _part(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> dict[str, Floats]:
    n = len(items)
    fps = np.fromiter((i.fps or FPS for i in items), np.float64, n)
    hull = gather_hull(predictions)
    has = np.isfinite(hull).all(1)
    held = np.where(np.isfinite(hull), hull, 0.0)
    spans = np.array([i.spans[0] if len(i.spans) else (0.0, 0.0) for i in items]).reshape(-1, 2)
    t = np.where(has, hull_iou(spans, held), 0.0)
    (a0, a1), (b0, b1) = (np.trunc(s * fps[:, None]).astype(np.int64).T for s in (spans, held))
    lo, hi = np.maximum(a0, b0), np.minimum(a1, b1)
    union = np.maximum(a1, b1) - np.minimum(a0, b0) + 1
    truth = gather_truth(items)
    owner = truth.owner
    frame = np.rint(truth.times * fps[owner]).astype(np.int64) + 1
    both = (frame >= lo[owner]) & (frame <= hi[owner]) & (lo < hi)[owner]
    owner, frame, boxes = owner[both], frame[both], truth.boxes[both]
    closed = held + [0.0, 1.0] / fps[:, None]
    answered = fill_linearly(gather_answers(predictions), owner, frame / fps[owner], rates(predictions), closed)
    iou = np.where(np.isnan(answered[:, 0]), 0.0, box_iou(boxes, answered))
    v = sums(iou, owner, n) / np.maximum(union, 1)
    return {"m_tIoU": t, "m_vIoU": np.where(has, v, 0.0)}


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as STVG-R1 does."""
    kept, predictions, notes = look_up(items, by_id)
    sizes = [len(i.tubes[0]) + 8 if i.tubes else 8 for i in kept]
    parts = [_part(kept[b], predictions[b]) for b in blocks(sizes)] or [_part([], [])]
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    valid = np.fromiter((i.status == "valid" for i in kept), bool, len(kept))
    found = {name: np.where(valid, column, 0.0) for name, column in found.items()}
    for name, short in (("m_tIoU", "tIoU"), ("m_vIoU", "vIoU")):
        found |= {f"{short}@{m}": (found[name] >= m).astype(np.float64) for m in (0.3, 0.5, 0.7)}
    if any(not i.fps for i in kept):
        notes.append(f"items without frames per second are counted at {FPS:g}, as the original does")
    return means(kept, found, notes + object_notes(kept, predictions))


PROTOCOLS = (
    Protocol(
        "stvg-r1",
        ("tubes",),
        score,
        "equal to the original",
        "XiaowZhang00/stvg-r1 evaluate.py 0bea9e57d5; samples whose scoring fails there are dropped, here they count 0",
        {
            "grid": "frames int(seconds * fps); 25 fps where none is known",
            "truth": "one frame late (st_frame counts from 1)",
            "t": "hull, seconds",
            "v": "sum / frames of the hull + 1, inclusive",
            "hit": "IoU >= R",
            "missing answer": "counts 0",
            "missing box": "0",
            "boxes": "xyxy, no + 1",
            "objects": "the first",
        },
        ("m_tIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5"),
        fraction,
    ),
)
