"""Single-object tracking: AO and SR of GOT-10k, and success and precision of LaSOT's one-pass evaluation.

A tracker is given the box on the first frame and answers one box for every later frame. Only frames with a true box
are scored, and GOT-10k leaves out those on which the target is fully covered. Answered boxes are interpolated linearly
to the times of those frames.

GOT-10k leaves the first frame out, clips boxes to the frame, and pools the frames of all sequences, so that long
sequences weigh more; `seq_AO` is the mean over sequences instead.

LaSOT counts the first frame as a hit, computes success at 21 IoU thresholds (0, 0.05, ... 1; the IoU must be above),
and averages over sequences. There are two implementations, both in use, which give different numbers for the same
boxes:

- LaSOT's own toolkit in MATLAB (`lasot`) takes the right and bottom ends of boxes as inclusive, divides by all frames
  of the sequence, including those without the target, and repeats the previous box where an answer is missing. A true
  box that begins left of or above the frame counts as a miss for success and as a hit for precision. Normalised
  precision is taken at 0.2, and a sequence whose success curve is zero throughout is left out.
- The port in the GOT-10k toolkit (`lasot-got10k`) takes the ends as exclusive, divides by the frames with a true box,
  and takes normalised precision as the mean over 51 thresholds up to 0.5.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, fraction
from whenwhere.evaluate.temporal import grouped, look_up
from whenwhere.evaluate.tubes.boxes import (
    Boxed,
    Floats,
    Index,
    blocks,
    fill_linearly,
    frame_rates,
    gather_answers,
    gather_truth,
    rates,
    ratio,
    sums,
)
from whenwhere.evaluate.tubes.native import object_notes

#: Thresholds of the success curve.
OVERLAPS = np.linspace(0, 1, 21)
_TINY = float(np.finfo(float).eps)


class TrackedFrames(NamedTuple):
    """The true and answered boxes of m tracking sequences, on the n frames that have a true box, in sequence order.

    Attributes:
        owner: Index of the sequence that each frame belongs to, shape (n,).
        first: Whether the frame is frame 0 of its sequence, whose box the tracker was given, shape (n,).
        seen: Whether at least part of the target is visible, shape (n,).
        truth: True boxes xyxy in pixels, shape (n, 4).
        answer: Answered boxes xyxy in pixels, shape (n, 4); NaN where a sequence has no answer.
        size: Width and height of the frames of each sequence, shape (m, 2); infinite if unknown.
        frames: Number of frames of each sequence, including those without a true box, shape (m,).
    """

    owner: Index
    first: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    truth: Floats
    answer: Floats
    size: Floats
    frames: Floats


def tracked_frames(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> TrackedFrames:
    """Gather the true boxes of tracking sequences and the answered boxes on the same frames.

    Answered boxes are interpolated linearly; before the first and after the last of them the nearest one is held.

    Args:
        items: The sequences.
        predictions: The answer to each sequence, or None where there is none.
    """
    n = len(items)
    truth: Boxed = gather_truth(items)
    owner = truth.owner
    frame = np.rint(truth.times * frame_rates(items)[owner]).astype(np.int64)
    forever = np.tile([-np.inf, np.inf], (n, 1))
    answer = fill_linearly(gather_answers(predictions), owner, truth.times, rates(predictions), forever)
    size = np.array([(i.width or np.inf, i.height or np.inf) for i in items], np.float64).reshape(-1, 2)
    counted = np.diff(truth.starts)
    frames = [i.frames or int(k) for i, k in zip(items, counted, strict=True)]
    # GOT-10k states on which frames the target is fully covered
    seen = np.ones(len(owner), bool)
    for i, item in enumerate(items):
        if "cover" in item.extra:
            rows = slice(truth.starts[i], truth.starts[i + 1])
            seen[rows] = np.asarray(item.extra["cover"])[frame[rows]] > 0
    return TrackedFrames(owner, frame == 0, seen, truth.boxes, answer, size, np.array(frames, np.float64))


def _wh(boxes: Floats) -> Floats:
    return boxes[:, 2:] - boxes[:, :2]


def _clip(boxes: Floats, size: Floats) -> Floats:
    """The boxes clipped to the frame as GOT-10k does: the top left corner is moved inside, then the size is cut."""
    corner = np.clip(boxes[:, :2], 0, size)
    return np.concatenate([corner, corner + np.clip(_wh(boxes), 0, size - corner)], 1)


def _iou(a: Floats, b: Floats, inclusive: bool) -> Floats:
    """The IoU of each pair of boxes xyxy; unless `inclusive`, a tiny number is added to the union, as GOT-10k does."""
    corner = np.maximum(a[:, :2], b[:, :2])
    wh = (np.minimum(a[:, 2:], b[:, 2:]) - corner).clip(0)
    inter = wh.prod(1)
    union = _wh(a).prod(1) + _wh(b).prod(1) - inter
    return np.nan_to_num(inter / (union + (0 if inclusive else _TINY)), nan=0.0).clip(0, 1)


def _overlaps(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> tuple[Floats, Index]:
    p = tracked_frames(items, predictions)
    size = p.size[p.owner]
    iou = _iou(_clip(p.answer, size), _clip(p.truth, size), False)
    counts = ~p.first & p.seen
    return iou[counts], p.owner[counts]


def _sizes(items: Sequence[Item]) -> list[int]:
    return [len(i.tubes[0]) + 8 if i.tubes else 8 for i in items]


def got10k(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score answers as GOT-10k does: AO and SR over the pooled frames, and the means of both over sequences."""
    kept, predictions, notes = look_up(items, by_id)
    n = len(kept)
    hits = {m: np.zeros(n) for m in (0.5, 0.75)}
    total, frames = np.zeros(n), np.zeros(n)
    for block in blocks(_sizes(kept)):
        iou, owner = _overlaps(kept[block], predictions[block])
        k = len(kept[block])
        total[block], frames[block] = sums(iou, owner, k), sums(np.ones(len(iou)), owner, k)
        for m in hits:
            hits[m][block] = sums((iou > m).astype(np.float64), owner, k)
    pooled = float(frames.sum())
    summary = {"AO": float(total.sum() / pooled)} if pooled else {"AO": float("nan")}
    summary |= {f"SR@{m}": float(h.sum() / pooled) if pooled else float("nan") for m, h in hits.items()}
    columns = {"seq_AO": ratio(total, frames)} | {f"seq_SR@{m}": ratio(h, frames) for m, h in hits.items()}
    summary |= {name: float(column.mean()) if n else float("nan") for name, column in columns.items()}
    notes.append("AO and SR pool the frames of all sequences; seq_AO and seq_SR are means over sequences")
    return Scores(
        summary,
        [i.id for i in kept],
        [i.video for i in kept],
        columns,
        grouped(kept, columns),
        notes + object_notes(kept, predictions),
    )


class Curves(NamedTuple):
    """LaSOT's measures for each of m tracking sequences.

    Attributes:
        success: Fraction of frames whose IoU is above each of 21 thresholds, shape (m, 21).
        precision: Fraction of frames with a centre error of at most 20 pixels, shape (m,).
        normalised: Precision with the centre error divided by the size of the true box, shape (m,).
    """

    success: Floats
    precision: Floats
    normalised: Floats


def _share(hit: NDArray[np.bool_], owner: Index, below: Floats) -> Floats:
    return ratio(sums(hit.astype(np.float64), owner, len(below)), below)


def _own(p: TrackedFrames) -> Curves:
    """The measures of LaSOT's own toolkit: 1-based boxes, inclusive ends, all frames in the denominator."""
    # an answer that is missing or not a box repeats the one before it; the first frame is given
    bad = ~(_wh(p.answer) > 0).all(1)
    answer = np.where(p.first[:, None], p.truth, p.answer)
    good = np.flatnonzero(p.first | ~bad)
    if len(good):
        answer = answer[good[np.searchsorted(good, np.arange(len(answer)), side="right") - 1]]
    iou = _iou(answer, p.truth, True)
    # left, top, width and height above 0 in coordinates that start at 1
    counts = (p.truth[:, :2] + 1 > 0).all(1) & (_wh(p.truth) > 0).all(1)
    iou = np.where(counts, iou, -1.0)
    offset = (answer[:, :2] + answer[:, 2:]) / 2 - (p.truth[:, :2] + p.truth[:, 2:]) / 2
    error = np.where(counts, np.sqrt((offset**2).sum(1)), -1.0)
    scaled = np.where(counts, np.sqrt(((offset / _wh(p.truth)) ** 2).sum(1)), -1.0)
    below = p.frames + _TINY
    success = np.stack([_share(iou > m, p.owner, below) for m in OVERLAPS], 1)
    return Curves(success, _share(error <= 20, p.owner, below), _share(scaled <= 0.2, p.owner, below))


def _ported(p: TrackedFrames) -> Curves:
    """The measures of the GOT-10k toolkit's LaSOT experiment: frames with a true box in the denominator."""
    answer = np.where(p.first[:, None], p.truth, p.answer)
    iou = _iou(answer, p.truth, False)
    offset = (answer[:, :2] + answer[:, 2:]) / 2 - (p.truth[:, :2] + p.truth[:, 2:]) / 2
    error = np.sqrt((offset**2).sum(1))
    scaled = np.sqrt(((offset / np.maximum(1, _wh(p.truth))) ** 2).sum(1))
    n = len(p.frames)
    below = sums(np.ones(len(p.owner)), p.owner, n)
    success = np.stack([_share(iou > m, p.owner, below) for m in OVERLAPS], 1)
    with np.errstate(invalid="ignore"):
        normal = [_share(scaled <= m, p.owner, below) for m in np.linspace(0, 0.5, 51)]
        return Curves(success, _share(error <= 20, p.owner, below), np.mean(normal, axis=0))


def _one_pass(items: Sequence[Item], by_id: Mapping[str, Prediction], own: bool) -> Scores:
    kept, predictions, notes = look_up(items, by_id)
    n = len(kept)
    success, precision, normalised = np.zeros((n, 21)), np.zeros(n), np.zeros(n)
    for block in blocks(_sizes(kept)):
        p = tracked_frames(kept[block], predictions[block])
        success[block], precision[block], normalised[block] = _own(p) if own else _ported(p)
    lost = np.fromiter((q is None or not q.boxes for q in predictions), bool, n)
    success[lost], precision[lost], normalised[lost] = 0.0, 0.0, 0.0
    columns = {"success": success.mean(1), "SR@0.5": success[:, 10]}
    columns |= {"precision": precision, "norm_precision": normalised}
    flat = own & (success.sum(1) <= _TINY)
    if flat.any():
        notes.append(f"{int(flat.sum())} sequences with a success of zero throughout are left out, as the toolkit does")
        columns = {name: np.where(flat, np.nan, column) for name, column in columns.items()}
    rows = ~flat
    summary = {name: float(c[rows].mean()) if rows.any() else float("nan") for name, c in columns.items()}
    return Scores(
        summary,
        [i.id for i in kept],
        [i.video for i in kept],
        columns,
        {},
        notes + object_notes(kept, predictions),
    )


def lasot(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score success AUC, precision and normalised precision as LaSOT's own toolkit does."""
    return _one_pass(items, by_id, True)


def lasot_got10k(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score success AUC, precision and normalised precision as the GOT-10k toolkit does for LaSOT."""
    return _one_pass(items, by_id, False)


PROTOCOLS = (
    Protocol(
        "got10k",
        ("tracking", "tubes"),
        got10k,
        "equal to the original",
        "got-10k/toolkit got10k/experiments/got10k.py, utils/metrics.py 956e7286fd",
        {
            "grid": "every frame with a true box, all sequences pooled",
            "truth": "without the first frame",
            "t": "none",
            "v": "mean box IoU (AO)",
            "hit": "IoU > R (SR)",
            "missing answer": "counts 0",
            "missing box": "0",
            "boxes": "clipped to the frame, no + 1",
            "objects": "the first",
        },
        ("AO", "SR@0.5", "SR@0.75"),
        fraction,
        decimals=1,
    ),
    Protocol(
        "lasot",
        ("tracking", "tubes"),
        lasot,
        "from reading",
        "HengLan/LaSOT_Evaluation_Toolkit utils/eval_tracker.m, calc_seq_err_robust.m 95bf38ae4f",
        {
            "grid": "all frames of a sequence, mean over sequences",
            "truth": "the first frame is a hit",
            "t": "none",
            "v": "area under the success curve, 21 thresholds",
            "hit": "IoU > R; centre error <= 20 pixels, <= 0.2 of the box",
            "missing answer": "left out (a curve of zeros)",
            "missing box": "the box before",
            "boxes": "inclusive ends",
            "objects": "the first",
        },
        ("success", "precision", "norm_precision"),
        fraction,
        decimals=1,
    ),
    Protocol(
        "lasot-got10k",
        ("tracking", "tubes"),
        lasot_got10k,
        "equal to the original",
        "got-10k/toolkit got10k/experiments/lasot.py 956e7286fd",
        {
            "grid": "frames with a true box, mean over sequences",
            "truth": "the first frame is a hit",
            "t": "none",
            "v": "area under the success curve, 21 thresholds",
            "hit": "IoU > R; centre error <= 20 pixels; mean over 51 normalised thresholds",
            "missing answer": "counts 0",
            "missing box": "0",
            "boxes": "no + 1",
            "objects": "the first",
        },
        ("success", "precision", "norm_precision"),
        fraction,
        decimals=1,
    ),
)
