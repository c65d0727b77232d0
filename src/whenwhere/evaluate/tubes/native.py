"""Tubes on frames: HC-STVG's own evaluator, TubeDETR, STCAT and its descendants, each as a row of switches.

All of them print m_tIoU, m_vIoU and vIoU@R and write the same formula: sum of box IoU over the frames that both spans
hold, divided by the frames that either holds. They differ in which frames those are, whether an end is inclusive, and
what a missing box or answer costs, so the same answers give different numbers. Each way is one `FrameCount`.

The spans of an item and of an answer are half-open seconds; frame numbers are `rint(seconds * fps)`, so a frame-aligned
span comes back exactly, `[first, last + 1)`. A repository has an evaluator and a reader that makes frame bounds from
the released file, and some readers are off by a frame:

- TubeDETR takes HC-STVG's `st_frame`, which counts from 1, for a number that counts from 0, so its truth is one frame
  late. `tubedetr` does so for items that state `st_frame`: a file of its own gets the number that TubeDETR prints.
- STCAT reads HC-STVG's last frame as an exclusive end, and VidSTG's exclusive end as an inclusive one that it cuts at
  the segment; sentences with missing boxes and two clips are left out. `stcat`, `cg` and `ta` are the evaluators on the
  item's true bounds; `stcat-released` is the evaluator on the bounds of that reader, which published numbers contain.

`gt_viou` is the mean box IoU over the true frames, whatever time was answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Literal

import numpy as np

from whenwhere.datasets.benchmark import MOST_FRAMES
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
    on_frames,
    rates,
    ratio,
    sums,
)
from whenwhere.overlap import box_iou

#: Clips that STCAT's reader leaves out of HC-STVG v1.
STCAT_DROPS = ("10__Gvp-cj3bmIY", "1_aMYcLyh9OhU")


@dataclass(frozen=True)
class FrameCount:
    """The switches of one way of counting frames.

    Attributes:
        grid: The frames that count. `native`: every frame; `5 fps`: the frames that TubeDETR samples, at most 200 a
            video.
        closed: Whether the ranges of intersection and union are one frame longer, as if ends were inclusive; not on
            VidSTG.
        t: What tIoU is. `spans`: IoU of the two spans; `keys`: frames with a box in both tubes over the hull.
        truth: Whose bounds the truth has. `item`: the item's own; otherwise those that the repository's reader makes.
        absent: Whether a missing answer counts 0 (`zero`) or leaves the denominator (`drop`).
        stops: Whether the original ends with an error at a true frame without an answered box; here such a frame counts
            0, and a note says so.
        whole_truth: Whether to give `gt_viou` too.
    """

    grid: Literal["native", "5 fps"] = "native"
    closed: bool = False
    t: Literal["spans", "keys"] = "spans"
    truth: Literal["item", "tubedetr reader", "stcat reader"] = "item"
    absent: Literal["zero", "drop"] = "zero"
    stops: bool = False
    whole_truth: bool = True

    def words(self) -> dict[str, str]:
        """The switches in words, for the table of protocols."""
        reader = {
            "item": "[first, last + 1) of the item",
            "tubedetr reader": "[first, last + 1) of the item; HC-STVG one frame late",
            "stcat reader": "HC-STVG without its last frame; VidSTG cut at the segment's inclusive end",
        }
        return {
            "grid": "every frame" if self.grid == "native" else "5 frames/s, at most 200, the last frame left out",
            "truth": reader[self.truth],
            "t": "hull of the spans, half-open" if self.t == "spans" else "frames with a box in both / hull",
            "v": "sum / frames of the hull" + (" + 1 (VidSTG: + 0)" if self.closed else ""),
            "hit": "vIoU > R",
            "missing answer": "left out" if self.absent == "drop" else "counts 0",
            "missing box": "0 (the original stops with an error)" if self.stops else "0",
            "boxes": "xyxy, no + 1; answers filled linearly to frames",
        }


def bounds(items: Sequence[Item], fps: Floats, truth: str) -> tuple[Index, Index, Index]:
    """First frame and end frame of each truth as the named reader makes them, and its shift in frames."""
    spans = np.array([i.spans[0] if len(i.spans) else (0.0, 0.0) for i in items]).reshape(-1, 2)
    first, end = np.rint(spans * fps[:, None]).astype(np.int64).T
    shift = np.zeros(len(items), np.int64)
    if truth == "item":
        return first, end, shift
    for i, item in enumerate(items):
        if "st_frame" in item.extra:
            if truth == "tubedetr reader":
                shift[i] = item.extra["st_frame"] - first[i]
            else:
                end[i] -= 1
        elif truth == "stcat reader" and "end_fid" in item.extra:
            end[i] = min(end[i], item.extra["segment"][1])
    return first + shift, end + shift, shift


def sampled(first: int, last: int, fps: float) -> Index:
    """The frames that TubeDETR samples from [first, last): the first of each fifth of a second, thinned to 200.

    >>> sampled(0, 20, 10.0).tolist()
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    """
    if last - first > MOST_FRAMES:
        raise RecordError(
            f"a video of {last - first:g} frames cannot be scored: at most {MOST_FRAMES:g}; correct its frames"
        )
    step = np.floor(np.arange(first, last) * (5 / fps))
    frames = first + np.concatenate([[0], np.flatnonzero(np.diff(step)) + 1])
    if len(frames) > 200:
        frames = frames[(np.arange(200) * len(frames)) // 200]
    return frames.astype(np.int64)


def _grids(items: Sequence[Item], fps: Floats, ends: Index) -> tuple[Index, Index]:
    cache: dict[tuple[int, int, float], Index] = {}
    out = []
    for item, rate, end in zip(items, fps.tolist(), ends.tolist(), strict=True):
        begin, last = item.extra.get("segment") or (0, (item.frames or end + 1) - 1)
        key = (int(begin), int(last), rate)
        if key not in cache:
            cache[key] = sampled(*key)
        out.append(cache[key])
    owner = np.repeat(np.arange(len(out)), [len(f) for f in out])
    return owner, np.concatenate(out) if out else np.zeros(0, np.int64)


def frame_columns(
    items: Sequence[Item], predictions: Sequence[Prediction | None], count: FrameCount
) -> tuple[dict[str, Floats], Index]:
    """Per-item tIoU, vIoU and gt_viou, and for each item the number of true frames without an answered box."""
    n = len(items)
    fps = frame_rates(items)
    first, end, shift = bounds(items, fps, count.truth)
    hull = gather_hull(predictions)
    held = np.where(np.isfinite(hull), hull, 0.0)
    start_p, end_p = np.rint(held * fps[:, None]).astype(np.int64).T
    has = np.isfinite(hull).all(1)

    truth = gather_truth(items)
    more = np.zeros(n, np.int64)
    if count.closed:
        more = np.fromiter((i.source != "vidstg" for i in items), np.int64, n)
    if count.grid == "5 fps":
        grid_owner, grid = _grids(items, fps, end)
        # Boxes belong to the reader's frames: a shifted reader shows the box of the frame before.
        at = on_frames(truth, grid_owner, grid - shift[grid_owner], fps)
        union = _within(grid_owner, grid, np.minimum(first, start_p), np.maximum(end, end_p), n)
        owner, frame, boxes = grid_owner[at >= 0], grid[at >= 0], truth.boxes[at[at >= 0]]
    else:
        owner, boxes = truth.owner, truth.boxes
        frame = np.rint(truth.times * fps[owner]).astype(np.int64)
        if count.truth == "stcat reader":
            owner, frame, boxes = _box_after(items, owner, frame, boxes)
        frame = frame + shift[owner]
        union = (np.maximum(end, end_p) - np.minimum(first, start_p) + more).astype(np.float64)

    answered = fill_linearly(gather_answers(predictions), owner, frame / fps[owner], rates(predictions), held)
    there = ~np.isnan(answered[:, 0])
    iou = np.where(there, box_iou(boxes, answered), 0.0)
    lo, hi = np.maximum(first, start_p), np.minimum(end, end_p) + more
    both = (frame >= lo[owner]) & (frame < hi[owner])

    inter = np.minimum(end, end_p) - lo
    if count.t == "keys":
        t = ratio(sums((both & there).astype(np.float64), owner, n), union)
    else:
        t = np.where(inter > 0, inter / np.where(inter > 0, (end - first) + (end_p - start_p) - inter, 1), 0.0)
    out = {
        "m_tIoU": np.where(has, t, 0.0),
        "m_vIoU": np.where(has, sums(iou * both, owner, n) / np.maximum(union, 1), 0),
    }
    if count.whole_truth:
        here = sums(np.ones(len(owner)), owner, n)
        out["gt_viou"] = np.where(has, sums(iou, owner, n) / np.maximum(here, 1), 0.0)
    lacking = np.bincount(owner[~there], minlength=n) * has
    return out, lacking


def _box_after(items: Sequence[Item], owner: Index, frame: Index, boxes: Floats) -> tuple[Index, Index, Floats]:
    """Add the frame of VidSTG's exclusive end to the truth, with its box or the last box again."""
    more = [
        (i, item.extra["end_fid"], item.extra.get("box_after", item.tubes[0].boxes[-1]))
        for i, item in enumerate(items)
        if "end_fid" in item.extra and item.tubes and len(item.tubes[0])
        if item.extra["end_fid"] <= item.extra["segment"][1]
    ]
    if not more:
        return owner, frame, boxes
    owners, frames, after = zip(*more, strict=True)
    owner, frame = np.concatenate([owner, owners]), np.concatenate([frame, frames])
    order = np.lexsort((frame, owner))
    return owner[order], frame[order], np.concatenate([boxes, after])[order]


def _dropped_by_stcat(item: Item) -> bool:
    """Whether STCAT's reader leaves the item out: two clips of HC-STVG, and VidSTG's tubes with missing boxes."""
    if PurePath(item.video).stem in STCAT_DROPS:
        return True
    event = item.extra.get("end_fid", 0) - item.extra.get("begin_fid", 0)
    return "end_fid" in item.extra and bool(item.tubes) and len(item.tubes[0]) < event


def _within(owner: Index, grid: Index, lo: Index, hi: Index, n: int) -> Floats:
    return sums(((grid >= lo[owner]) & (grid < hi[owner])).astype(np.float64), owner, n)


def score(items: Sequence[Item], by_id: Mapping[str, Prediction], count: FrameCount) -> Scores:
    """Score answers by one way of counting frames."""
    left = [i for i in items if _dropped_by_stcat(i)] if count.truth == "stcat reader" else []
    if left:
        items = [i for i in items if not _dropped_by_stcat(i)]
    kept, predictions, notes = look_up(items, by_id, count.absent == "drop")
    if left:
        notes.append(f"{len(left)} items that STCAT's reader leaves out are left out")
    parts, lacking = [], np.zeros(0, np.int64)
    for block in blocks([len(i.tubes[0]) + 8 if i.tubes else 8 for i in kept]):
        part, missing = frame_columns(kept[block], predictions[block], count)
        parts.append(part)
        lacking = np.concatenate([lacking, missing])
    names = parts[0] if parts else ("m_tIoU", "m_vIoU")
    merged = {name: np.concatenate([p[name] for p in parts]) if parts else np.zeros(0) for name in names}
    valid = np.fromiter((i.status == "valid" for i in kept), bool, len(kept))
    merged = {name: np.where(valid, column, 0.0) for name, column in merged.items()}
    for name, short in (("m_vIoU", "vIoU"), ("gt_viou", "gt_viou")):
        if name in merged:
            merged |= {f"{short}@{m}": (merged[name] > m).astype(np.float64) for m in (0.3, 0.5)}
    if number := int((lacking > 0).sum()):
        fate = "the original stops there with an error" if count.stops else "as in the original"
        notes.append(f"{number} answers lack a box on some true frame: 0 on those frames ({fate})")
    notes += object_notes(kept, predictions)
    return means(kept, merged, notes)


def object_notes(items: Sequence[Item], predictions: Sequence[Prediction | None]) -> list[str]:
    """Notes about items and answers with several objects or spans, of which one counts, or without boxes."""
    notes = []
    if number := sum(not i.tubes or not len(i.tubes[0]) for i in items):
        notes.append(f"{number} items have no true boxes: their v_IoU is 0")
    if number := sum(len(i.tubes) > 1 for i in items):
        notes.append(f"{number} items have several true objects: the first counts")
    if number := sum(p is not None and len(p.boxes) > 1 for p in predictions):
        notes.append(f"{number} answers hold several objects: the first counts")
    if number := sum(p is not None and len(p.spans) > 1 for p in predictions):
        notes.append(f"{number} answers have several spans: their hull counts")
    return notes


_STCAT = FrameCount(stops=True, absent="drop")
_RUN = Literal["equal to the original", "from reading", "ours"]


def _protocol(name: str, count: FrameCount, standing: _RUN, source: str) -> Protocol:
    head = ("m_tIoU", "m_vIoU", "vIoU@0.3", "vIoU@0.5") + (("gt_viou",) if count.whole_truth else ())
    return Protocol(name, ("tubes",), partial(score, count=count), standing, source, count.words(), head, percent)


PROTOCOLS = (
    _protocol(
        "hcstvg-official",
        FrameCount(t="keys", whole_truth=False),
        "equal to the original",
        "tzhhhh123/HC-STVG eval_hcvg.py 94ab6e96f8; keys outside the answered span do not count",
    ),
    _protocol(
        "tubedetr",
        FrameCount("5 fps", stops=True, truth="tubedetr reader"),
        "equal to the original",
        "antoyang/TubeDETR datasets/hcstvg_eval.py, vidstg_eval.py d70c0eed94",
    ),
    _protocol(
        "stcat",
        _STCAT,
        "equal to the original",
        "jy0205/STCAT datasets/evaluation/hcstvg_eval.py, vidstg_eval.py 400f548149",
    ),
    _protocol(
        "stcat-released",
        FrameCount(stops=True, absent="drop", truth="stcat reader"),
        "from reading",
        "jy0205/STCAT datasets/hcstvg.py, vidstg.py and the evaluators 400f548149",
    ),
    _protocol(
        "cg",
        FrameCount(absent="drop"),
        "equal to the original",
        "HengLan/CGSTVG datasets/evaluation/hcstvg_eval.py f062d84 (VidSTG: a missing box stops it, as in STCAT)",
    ),
    _protocol(
        "ta",
        FrameCount(absent="drop"),
        "equal to the original",
        "HengLan/TA-STVG datasets/evaluation/hcstvg_eval.py, vidstg_eval.py 904ad0c",
    ),
    _protocol(
        "llava-next-stvg",
        FrameCount(closed=True, absent="drop"),
        "equal to the original",
        "zaiquanyang/LLaVA_Next_STVG stvg/datasets/evaluation/hcstvg_eval.py, vidstg_eval.py d904f1a7e8",
    ),
)
