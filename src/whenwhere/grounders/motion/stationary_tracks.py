"""Those who were there before they moved, or stay after they stopped: joining things at rest with tracks.

A person who stands for most of a clip becomes part of the background. Their track then begins only when they walk
off, and where they stood a ghost remains: the empty floor, which now differs from the background. The ghost tells
when they were there. So, for every place whose background holds a thing that is missing for a while:

- a still track of the ghost itself is nobody and is dropped;
- a track that begins there when the thing goes missing is that thing: it is extended back to when it was there;
- a track that ends there when the thing is back is extended forward likewise.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.index import Index
from whenwhere.grounders.motion.object_changes import COLUMNS
from whenwhere.overlap import box_iou

#: Seconds by which a track's end and a change at its place may differ.
SLACK = 1.6
#: Seconds between the sightings that are added.
STEP = 0.5
_C = {name: i for i, name in enumerate(COLUMNS)}

Rows = dict[str, NDArray]


def extended_tracks(index: Index) -> list[Rows]:
    """The index's tracks as arrays, ghosts dropped, those at rest extended; times in each increase."""
    bounds = np.flatnonzero(np.diff(index.track)) + 1
    parts = np.split(np.arange(len(index.track)), bounds) if len(index.track) else []
    made: list[Rows] = [
        {
            "id": index.track[rows[:1]], "times": index.times[rows], "boxes": index.boxes[rows],
            "areas": index.areas[rows], "strong": index.strong[rows],
            "shared": index.shared[rows], "colours": index.colours[rows],
        }
        for rows in parts
    ]  # fmt: skip
    missing = index.changes[index.changes[:, _C["in_background"]] > 0] if len(index.changes) else index.changes
    if not len(missing):
        return made
    made = [rows for rows in made if not _ghost(rows, missing)]
    return [_extended(rows, missing, index) for rows in made]


def _ghost(rows: Rows, missing: NDArray) -> bool:
    """Whether a track is only the empty place of something that went away."""
    boxes = rows["boxes"]
    middle = np.median(boxes, 0)
    # its last sightings may be those of the thing itself, on its way into its place
    if (box_iou(boxes, middle[None]) > 0.5).mean() < 0.6:
        return False
    for gone in missing:
        start, end = gone[_C["start"]], gone[_C["end"]]
        during = (rows["times"] > start - SLACK) & (rows["times"] < end + SLACK)
        if during.mean() > 0.8 and box_iou(middle, gone[_C["x1"] : _C["y2"] + 1]) > 0.4:
            return True
    return False


def _extended(rows: Rows, missing: NDArray, index: Index) -> Rows:
    for gone in missing:
        place = gone[_C["x1"] : _C["y2"] + 1]
        start, end = float(gone[_C["start"]]), float(gone[_C["end"]])
        if gone[_C["starts_inside"]] and abs(rows["times"][0] - start) < SLACK and _at(rows, place, front=True):
            rows = _unsqueezed(rows, front=True)
            since = max([0.0, *(g[_C["end"]] for g in missing if _same(g, gone) and g[_C["end"]] < start)])
            rows = _with(rows, np.arange(since, rows["times"][0] - 0.3, STEP), place, front=True)
        if gone[_C["ends_inside"]] and abs(rows["times"][-1] - end) < SLACK and _at(rows, place, front=False):
            rows = _unsqueezed(rows, front=False)
            until = min([index.duration, *(g[_C["start"]] for g in missing if _same(g, gone) and g[_C["start"]] > end)])
            rows = _with(rows, np.arange(rows["times"][-1] + STEP, until, STEP), place, front=False)
    return rows


def _sizes(rows: Rows) -> NDArray:
    return np.asarray(np.prod(rows["boxes"][:, 2:] - rows["boxes"][:, :2], axis=1))


def _at(rows: Rows, place: NDArray, front: bool) -> bool:
    """Whether a track of about the place's size begins (or ends) at the place."""
    t = rows["times"]
    near = t < t[0] + 1.0 if front else t > t[-1] - 1.0
    boxes = rows["boxes"][near]
    hull = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    wh = np.minimum(hull[2:], place[2:]) - np.maximum(hull[:2], place[:2])
    size = float(np.prod(place[2:] - place[:2]))
    usual = float(np.median(_sizes(rows)))
    # Someone much bigger than the thing took it away; they are not it.
    return bool((wh > 0).all() and wh[0] * wh[1] > 0.35 * min(size, usual) and 0.3 < usual / max(1.0, size) < 3.0)


def _unsqueezed(rows: Rows, front: bool) -> Rows:
    """Without the sightings at one end in which the thing was only partly told from its own empty place."""
    sizes = _sizes(rows)
    full = np.flatnonzero(sizes > 0.7 * np.median(sizes))
    keep = slice(full[0], None) if front else slice(None, full[-1] + 1)
    return {k: v if k == "id" else v[keep] for k, v in rows.items()}


def _same(a: NDArray, b: NDArray) -> bool:
    return bool(box_iou(a[_C["x1"] : _C["y2"] + 1], b[_C["x1"] : _C["y2"] + 1]) > 0.4)


def _with(rows: Rows, times: NDArray, place: NDArray, front: bool) -> Rows:
    n = len(times)
    if not n:
        return rows
    edge = 0 if front else -1
    size = 4 if front else -4
    more: Rows = {
        "times": times,
        "boxes": np.repeat(place[None], n, 0),
        "areas": np.full(n, np.median(rows["areas"])),
        "strong": np.full(n, rows["strong"][edge]),
        "shared": np.ones(n, bool),
        "colours": np.repeat(
            (rows["colours"][:size] if front else rows["colours"][size:]).mean(0, keepdims=True), n, 0
        ),
    }
    order = (more, rows) if front else (rows, more)
    return {"id": rows["id"], **{k: np.concatenate([x[k] for x in order]) for k in more}}
