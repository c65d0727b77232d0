"""Stationary actors: joining objects at rest with the tracks of when they move.

A person who stands for most of a clip becomes part of the background. Their track then begins only when they walk off,
and where they stood a ghost remains: the empty floor, which now differs from the background. The ghost tells when they
were there. So, for every place whose background holds something that is missing for a while:

- a still track of the ghost itself is nobody and is dropped;
- a track that begins there when the thing goes missing is that thing: it is extended back to when it was there;
- a track that ends there when the thing is back is extended forward likewise.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.index import Index
from whenwhere.grounders.motion.object_changes import COLUMNS
from whenwhere.overlap import box_intersection, box_iou

#: Seconds by which a track's end and a change at its place may differ.
SLACK = 1.6
#: Seconds between the sightings that are added.
STEP = 0.5
_C = {name: i for i, name in enumerate(COLUMNS)}


@dataclass(frozen=True)
class TrackRows:
    """The sightings of one track.

    Attributes:
        id: Number of the track.
        times: (n,) seconds, increasing.
        boxes: (n, 4) pixels of the displayed frame.
        areas: (n,) shares of the frame.
        strong: (n,) shares of strong evidence.
        shared: (n,) whether the sighting was divided with a neighbour, or added here.
        colours: (n, 5, 13) colour shares by height zone.
    """

    id: int
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    strong: NDArray[np.float32]
    shared: NDArray[np.bool_]
    colours: NDArray[np.float32]

    def part(self, keep: slice) -> "TrackRows":
        """Some of the sightings."""
        return replace(self, **{name: getattr(self, name)[keep] for name in _ARRAYS})

    def sizes(self) -> NDArray[np.float64]:
        """(n,) areas of the boxes, in pixels."""
        return np.asarray(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1))


_ARRAYS = ("times", "boxes", "areas", "strong", "shared", "colours")


def extended_tracks(index: Index) -> list[TrackRows]:
    """The index's tracks, without ghosts, and with the time at rest added to those of stationary actors."""
    bounds = np.flatnonzero(np.diff(index.track)) + 1
    parts = np.split(np.arange(len(index.track)), bounds) if len(index.track) else []
    tracks = [
        TrackRows(
            int(index.track[rows[0]]), index.times[rows], index.boxes[rows], index.areas[rows], index.strong[rows],
            index.shared[rows], index.colours[rows],
        )
        for rows in parts
    ]  # fmt: skip
    missing = index.changes[index.changes[:, _C["in_background"]] > 0] if len(index.changes) else index.changes
    if not len(missing):
        return tracks
    return [_extended(track, missing, index) for track in tracks if not _ghost(track, missing)]


def _ghost(track: TrackRows, missing: NDArray[np.float64]) -> bool:
    """Whether a track is only the empty place of something that went away."""
    middle = np.median(track.boxes, 0)
    # Its last sightings may be those of the thing itself, on its way into its place.
    if (box_iou(track.boxes, middle[None]) > 0.5).mean() < 0.6:
        return False
    for gone in missing:
        start, end = gone[_C["start"]], gone[_C["end"]]
        during = (track.times > start - SLACK) & (track.times < end + SLACK)
        if during.mean() > 0.8 and box_iou(middle, gone[_C["x1"] : _C["y2"] + 1]) > 0.4:
            return True
    return False


def _extended(track: TrackRows, missing: NDArray[np.float64], index: Index) -> TrackRows:
    """The track with sightings added for the times before and after it when its actor was at rest."""
    for gone in missing:
        place = gone[_C["x1"] : _C["y2"] + 1]
        start, end = float(gone[_C["start"]]), float(gone[_C["end"]])
        if gone[_C["starts_inside"]] and abs(track.times[0] - start) < SLACK and _at(track, place, front=True):
            track = _unsqueezed(track, front=True)
            since = max([0.0, *(g[_C["end"]] for g in missing if _same_place(g, gone) and g[_C["end"]] < start)])
            track = _with_rest(track, np.arange(since, track.times[0] - 0.3, STEP), place, front=True)
        if gone[_C["ends_inside"]] and abs(track.times[-1] - end) < SLACK and _at(track, place, front=False):
            track = _unsqueezed(track, front=False)
            again = [g[_C["start"]] for g in missing if _same_place(g, gone) and g[_C["start"]] > end]
            until = min([index.duration, *again])
            track = _with_rest(track, np.arange(track.times[-1] + STEP, until, STEP), place, front=False)
    return track


def _at(track: TrackRows, place: NDArray[np.float64], front: bool) -> bool:
    """Whether a track of about the place's size begins (or ends) at the place."""
    t = track.times
    near = t < t[0] + 1.0 if front else t > t[-1] - 1.0
    boxes = track.boxes[near]
    hull = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    shared = float(box_intersection(hull, place))
    size = float(np.prod(place[2:] - place[:2]))
    usual = float(np.median(track.sizes()))
    # An actor much bigger than the thing took it away; it is not the thing.
    return bool(shared > 0.35 * min(size, usual) and 0.3 < usual / max(1.0, size) < 3.0)


def _unsqueezed(track: TrackRows, front: bool) -> TrackRows:
    """The track without the sightings at one end in which the thing partly merged with its own empty place."""
    sizes = track.sizes()
    full = np.flatnonzero(sizes > 0.7 * np.median(sizes))
    return track.part(slice(full[0], None) if front else slice(None, full[-1] + 1))


def _same_place(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether two object changes are at the same place."""
    return bool(box_iou(a[_C["x1"] : _C["y2"] + 1], b[_C["x1"] : _C["y2"] + 1]) > 0.4)


def _with_rest(track: TrackRows, times: NDArray[np.float64], place: NDArray[np.float64], front: bool) -> TrackRows:
    """The track with sightings at a place added before it (or after it)."""
    n = len(times)
    if not n:
        return track
    edge = 0 if front else -1
    colours = track.colours[:4] if front else track.colours[-4:]
    more = TrackRows(
        id=track.id,
        times=times,
        boxes=np.repeat(place[None], n, 0),
        areas=np.full(n, np.median(track.areas)),
        strong=np.full(n, track.strong[edge]),
        shared=np.ones(n, bool),
        colours=np.repeat(colours.mean(0, keepdims=True), n, 0),
    )
    order = (more, track) if front else (track, more)
    arrays: dict[str, Any] = {name: np.concatenate([getattr(x, name) for x in order]) for name in _ARRAYS}
    return replace(track, **arrays)
