"""vIoU of video relation detection (VidVRD, VidOR): volumes of pixels, ends of boxes inclusive.

It is not the vIoU of tube grounding: intersected and united areas are summed over frames first and divided once, so
large boxes weigh more, and every width and height is one pixel more. Both tubes are compared on their native frames.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.temporal import look_up, means
from whenwhere.evaluate.tubes.boxes import (
    Boxed,
    Floats,
    Index,
    answered_object,
    blocks,
    count_up,
    fill_linearly,
    frame_rates,
    gather_answers,
    gather_hull,
    gather_truth,
    pack_keys,
    rates,
    ratio,
    sums,
)
from whenwhere.evaluate.tubes.native import object_notes

#: Most frames that an answer can fill if the length of the video is unknown.
LIMIT = 100_000


def answered_frames(
    items: Sequence[Item],
    predictions: Sequence[Prediction | None],
    fps: Floats,
    answers: Boxed,
    hull: Floats | None = None,
) -> tuple[Index, Index, Floats]:
    """Tube, frame and box of every native frame with an answered box, inside the answered hull or another."""
    if hull is None:
        hull = gather_hull(predictions)
    held = np.where(np.isfinite(hull), hull, 0.0)
    # no frame after the video's last, so that an absurd end costs no memory
    limit = np.fromiter((i.frames or LIMIT for i in items), np.int64, len(items))
    first, end = np.rint(held * fps[:, None]).clip(0, limit[:, None]).astype(np.int64).T
    owner, frame = count_up(first, end - first)
    boxes = fill_linearly(answers, owner, frame / fps[owner], rates(predictions), held)
    there = ~np.isnan(boxes[:, 0])
    return owner[there], frame[there], boxes[there]


def volume(boxes: Floats) -> Floats:
    """The areas of boxes with inclusive ends, shape (n,)."""
    return (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)


def _part(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> Floats:
    n = len(items)
    fps = frame_rates(items)
    truth = gather_truth(items)
    key_a = pack_keys(truth.owner, np.rint(truth.times * fps[truth.owner]))
    owner_b, frame_b, b = answered_frames(items, predictions, fps, gather_answers(predictions))
    key_b = pack_keys(owner_b, frame_b)
    at = np.minimum(np.searchsorted(key_a, key_b), max(len(key_a) - 1, 0))
    match = key_a[at] == key_b if len(key_a) else np.zeros(len(key_b), bool)
    one, two, owner = truth.boxes[at[match]], b[match], owner_b[match]
    wh = (np.minimum(one[:, 2:], two[:, 2:]) - np.maximum(one[:, :2], two[:, :2]) + 1).clip(0)
    shared = sums(wh[:, 0] * wh[:, 1], owner, n)
    return ratio(shared, sums(volume(truth.boxes), truth.owner, n) + sums(volume(b), owner_b, n) - shared)


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score the mean volumetric IoU and the share from 0.5, the threshold of the relation benchmarks."""
    kept, predictions, notes = look_up(items, by_id)
    sizes = [
        (len(i.tubes[0]) if i.tubes else 0) + round(min(_seconds(p) * (i.fps or 1), i.frames or LIMIT)) + 8
        for i, p in zip(kept, predictions, strict=True)
    ]
    parts = [_part(kept[b], predictions[b]) for b in blocks(sizes)]
    v = np.concatenate(parts) if parts else np.zeros(0)
    v = np.where([i.status == "valid" for i in kept], v, 0.0) if kept else v
    columns = {"vIoU": v, "vIoU@0.5": (v >= 0.5).astype(np.float64)}
    return means(kept, columns, notes + object_notes(kept, predictions))


def _seconds(prediction: Prediction | None) -> float:
    if answered_object(prediction) is None or prediction is None or not len(prediction.spans):
        return 0.0
    return float(max(prediction.spans.max() - prediction.spans.min(), 0.0))


PROTOCOLS = (
    Protocol(
        "vidor-viou",
        ("tubes",),
        score,
        "equal to the original",
        "xdshang/VidVRD-helper evaluation/common.py viou 1b4de175ce",
        {
            "grid": "every frame",
            "truth": "[first, last + 1) of the item",
            "t": "none",
            "v": "sum of intersected areas / sum of united areas",
            "hit": "vIoU >= R",
            "missing answer": "counts 0",
            "missing box": "no volume",
            "boxes": "xyxy, widths and heights + 1",
            "objects": "the first",
        },
        ("vIoU", "vIoU@0.5"),
        percent,
    ),
)
