"""ST-Align as LLaVA-ST counts it: one hundred frames of each clip, boxes in a hundred steps.

The clip (`Item.extra["segment"]`, its first and last frame, or the whole video) is sampled at 100 frames. Time is the
position in the clip, 0 at its first and 1 at its last frame, both ends of a span inclusive, rounded to 3 decimals. A
tube is the set of sampled frames with a box: s is the mean box IoU over the frames in both, v over those in either.
Answers are rounded as the model writes them: corners in steps of 1/99 of the frame, then whole pixels.

The evaluator's VidSTG loader reads the first 2 000 sentences only; here all items are scored.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.temporal import look_up, means
from whenwhere.evaluate.tubes.boxes import (
    Floats,
    Index,
    blocks,
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
from whenwhere.overlap import box_iou

FRAMES = 100
_STEPS = np.arange(FRAMES)


def _sampled(items: Sequence[Item]) -> tuple[Index, Index]:
    """The first and last frame of each clip."""
    ends = []
    for item in items:
        segment = item.extra.get("segment")
        if segment is None and not item.frames:
            raise RecordError(f"item {item.id} has neither a segment nor a number of frames, which st-align needs")
        ends.append(tuple(segment) if segment is not None else (0, int(item.frames or 1) - 1))
    table = np.array(ends, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _part(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> dict[str, Floats]:
    n = len(items)
    fps = frame_rates(items)
    begin, last = _sampled(items)
    long = np.maximum(last - begin, 1)
    grid = begin[:, None] + np.rint(_STEPS / (FRAMES - 1) * (last - begin)[:, None]).astype(np.int64)
    distinct = np.concatenate([np.ones((n, 1), bool), np.diff(grid, axis=1) > 0], axis=1)
    owner, frame = np.repeat(np.arange(n), FRAMES)[distinct.ravel()], grid[distinct]

    truth = gather_truth(items)
    keys = pack_keys(truth.owner, np.rint(truth.times * fps[truth.owner]))
    asked = pack_keys(owner, frame)
    at = np.minimum(np.searchsorted(keys, asked), max(len(keys) - 1, 0))
    there = keys[at] == asked if len(keys) else np.zeros(len(asked), bool)
    boxes = np.full((len(asked), 4), np.nan)
    boxes[there] = truth.boxes[at[there]]

    answered = fill_linearly(gather_answers(predictions), owner, frame / fps[owner], rates(predictions))
    size = np.array([(i.width or 1, i.height or 1) * 2 for i in items], np.float64).reshape(-1, 4)[owner]
    answered = np.rint(np.rint(answered / size * 99).clip(0, 99) / 99 * size)
    given = ~np.isnan(answered[:, 0])
    both, either = there & given, there | given
    iou = np.where(both, box_iou(boxes, answered), 0.0)
    total = sums(iou, owner, n)

    hull = gather_hull(predictions)
    has = np.isfinite(hull).all(1)
    spans = np.array([i.spans[0] if len(i.spans) else (0.0, 0.0) for i in items]).reshape(-1, 2)
    bounds = [_position(s, fps, begin, long) for s in (spans, np.where(np.isfinite(hull), hull, 0.0))]
    # Python rounds the exact value; numpy scales first, and differs near a half.
    (a0, a1), (b0, b1) = ((np.array([round(v, 3) for v in x.tolist()]) for x in pair) for pair in bounds)
    t = ratio((np.minimum(a1, b1) - np.maximum(a0, b0)).clip(0), np.maximum(a1, b1) - np.minimum(a0, b0))
    return {
        "m_tIoU": np.where(has, t, 0.0),
        "m_sIoU": total / np.maximum(sums(both.astype(np.float64), owner, n), 1),
        "m_vIoU": total / np.maximum(sums(either.astype(np.float64), owner, n), 1),
    }


def _position(spans: Floats, fps: Floats, begin: Index, long: Index) -> tuple[Floats, Floats]:
    frames = np.rint(spans * fps[:, None])
    return (frames[:, 0] - begin) / long, (frames[:, 1] - 1 - begin) / long


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score as LLaVA-ST does."""
    kept, predictions, notes = look_up(items, by_id)
    parts = [_part(kept[b], predictions[b]) for b in blocks([2 * FRAMES] * len(kept))] or [_part([], [])]
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    valid = np.fromiter((i.status == "valid" for i in kept), bool, len(kept))
    found = {name: np.where(valid, column, 0.0) for name, column in found.items()}
    for name, short in (("m_tIoU", "tIoU"), ("m_sIoU", "sIoU"), ("m_vIoU", "vIoU")):
        found |= {f"{short}@{m}": (found[name] >= m).astype(np.float64) for m in (0.3, 0.5, 0.7)}
    return means(kept, found, notes + object_notes(kept, predictions))


PROTOCOLS = (
    Protocol(
        "st-align",
        ("tubes",),
        score,
        "equal to the original",
        "appletea233/LLaVA-ST inference/src/metrics.py bacf6d61e1 (its parser apart)",
        {
            "grid": "100 frames of the clip",
            "truth": "its frames among the 100",
            "t": "hull of positions in the clip, inclusive, 3 decimals",
            "v": "sum / sampled frames with a box in either",
            "hit": "IoU >= R",
            "missing answer": "counts 0",
            "missing box": "not in the set",
            "boxes": "steps of 1/99, then whole pixels; no + 1",
            "objects": "the first",
        },
        ("m_tIoU", "m_sIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5"),
        percent,
    ),
)
