"""From tracks to actors: attributes of what a detector recognised, merged with what moved before a still camera.

Where the camera stands still, background subtraction tells better than a detector when something comes and goes, and
it sees what has no class; the detector tells what it is, and sees what does not move. So a track of blobs takes over
the classes of the detections that lie on it, and a track of detections stays an actor of its own only if no blob
follows it. Somebody who stays in one place and moves the arms is not one blob but several, each for a while: then the
detections are the actor, and these parts are none. Where the camera moves, the detector's tracks are all there is.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor, tracked_actor
from whenwhere.grounders.motion.stationary_tracks import TrackRows
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.grounders.objects.presence import without_doubles
from whenwhere.overlap import box_intersection, box_iou

#: Share of the time with a moving camera up to which blobs are used.
STILL = 0.3
#: Least share of a recognised thing's time, or of a blob's, and least mean IoU, at which the two are one.
TOGETHER, SAME = 0.5, 0.4
#: Share of a box that its thing covers, as a rule.
_FILL = 0.7
#: Least score of an agent that may be several blobs; least IoU, and share of its time, of a blob that is all of it.
SURE, WHOLE, NEARLY = 0.5, 0.5, 0.8
#: Least share of a blob that lies in a thing of which it is a part, and of the time for which it does.
WITHIN, MOSTLY = 0.7, 0.6


def object_actors(index: ObjectIndex) -> list[TrackedActor]:
    """The recognised things with their attributes, each once, in the order in which they appear."""
    out = []
    for k in range(len(index.classes)):
        at = np.flatnonzero(index.track == k)
        boxes = index.boxes[at]
        rows = TrackRows(
            id=k,
            times=index.times[at],
            boxes=boxes,
            areas=_FILL * np.prod(boxes[:, 2:] - boxes[:, :2], 1) / (index.width * index.height),
            strong=index.scores[at],
            shared=np.zeros(len(at), bool),
            colours=index.colours[at],
        )
        out.append(tracked_actor(index, rows, index.drift[at].astype(float), index.classes[k]))
    return without_doubles(sorted(out, key=lambda a: a.span.start))


def merged_actors(
    recognised: list[TrackedActor], moving: list[TrackedActor], agents: NDArray[np.bool_]
) -> list[TrackedActor]:
    """The actors before a still camera: blobs with the classes of what was recognised there, and the rest of that.

    Args:
        recognised: Actors from detections.
        moving: Actors from blobs.
        agents: (labels,) which classes act by themselves.
    """
    out: list[TrackedActor] = []
    followed: set[int] = set()
    parts = _moving_parts(recognised, moving, agents)
    for n, blob in enumerate(moving):
        if n in parts:
            continue
        total: list[NDArray[np.float64]] = []
        weight = 0.0
        for k, thing in enumerate(recognised):
            share, same = _together(thing, blob)
            if share * len(thing.times) < 2 and share < TOGETHER:
                continue
            if same < SAME or (share < TOGETHER and _together(blob, thing)[0] < TOGETHER):
                continue
            seen = share * len(thing.times) * thing.strong
            total.append(thing.classes.astype(float) * seen)
            weight += seen
            if share >= TOGETHER:
                followed.add(k)
        if total and weight > 0:
            blob.classes = (np.sum(total, 0) / weight).astype(np.float32)
        out.append(blob)
    out += [thing for k, thing in enumerate(recognised) if k not in followed]
    return sorted(out, key=lambda a: a.span.start)


def _moving_parts(recognised: list[TrackedActor], moving: list[TrackedActor], agents: NDArray[np.bool_]) -> set[int]:
    """The positions of the blobs that are moving parts of an agent that no blob follows as a whole.

    What an agent holds is no part of it if it was recognised as something else.
    """
    parts: set[int] = set()
    acting = [bool(agents[thing.classes.argmax()]) for thing in recognised]
    held = [thing for thing, acts in zip(recognised, acting, strict=True) if not acts]
    others = {n for n, blob in enumerate(moving) if any(_together(thing, blob)[1] >= SAME for thing in held)}
    for thing, acts in zip(recognised, acting, strict=True):
        if thing.strong < SURE or not acts:
            continue
        own = [n for n, blob in enumerate(moving) if n not in others and _belongs(blob, thing)]
        if not any(_follows(moving[n], thing) for n in own):
            parts.update(own)
    return parts


def _follows(blob: TrackedActor, thing: TrackedActor) -> bool:
    """Whether a blob is a recognised thing as a whole, for nearly all of its time."""
    during = (blob.times >= thing.span.start - 0.1) & (blob.times <= thing.span.end + 0.1)
    same = float(np.median(box_iou(blob.boxes[during], thing.at(blob.times[during]))))
    return same >= WHOLE and blob.span.duration >= NEARLY * thing.span.duration


def _belongs(blob: TrackedActor, thing: TrackedActor) -> bool:
    """Whether a blob is, most of its time, a recognised thing or a part of it, as an arm is that moves."""
    during = (blob.times >= thing.span.start - 0.1) & (blob.times <= thing.span.end + 0.1)
    if during.mean() < MOSTLY:
        return False
    own, whole = blob.boxes[during], thing.at(blob.times[during])
    area = np.prod(own[:, 2:] - own[:, :2], 1).clip(1e-6)
    inside = (box_intersection(own, whole) / area >= WITHIN) | (box_iou(own, whole) >= SAME)
    return bool(inside.sum() >= MOSTLY * len(blob.times))


def _together(thing: TrackedActor, blob: TrackedActor) -> tuple[float, float]:
    """The share of a recognised thing's sightings at which a blob was seen, and their mean IoU then."""
    during = (thing.times >= blob.span.start - 0.1) & (thing.times <= blob.span.end + 0.1)
    if not during.any():
        return 0.0, 0.0
    overlap = box_iou(thing.boxes[during], blob.at(thing.times[during]))
    near = overlap > 0.25
    return float(near.sum()) / len(thing.times), float(overlap[near].mean()) if near.any() else 0.0
