"""When a thing is there although the detector did not see it, and when two tracks are one thing.

A detector misses small, blurred and half-hidden things for a while, and draws two boxes around others. But things do
not vanish in the middle of the picture: what stands still there when its track ends is taken to have stayed, unless a
cut or the border of the picture explains the end.
"""

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.overlap import box_intersection, box_iou
from whenwhere.spans import Span, SpanSet

#: Least IoU of the boxes of two tracks of one class that are one thing.
SAME = 0.45
#: Least share of the smaller box that lies in the larger one, their least ratio of areas, and the largest ratio of
#: their scores, at which the weaker track is a poor box around a part of the other thing; the same ratio for a track
#: that is seen for less than this share of the other one's time.
INSIDE, SIZES, WEAKER, WEAKER_BRIEF, BRIEF = 0.8, 0.3, 0.65, 0.8, 0.25
#: Least share of the shorter track's time that two tracks of one thing have in common.
SHARED = 0.6
#: Fastest motion at the end of a track, in fractions of the frame per second, of a thing that is taken to stay.
SLOW = 0.12
#: Longest time before or after a track for which its thing is taken to be there, as a multiple of the track's own time.
UNSEEN, UNSEEN_STILL = 0.9, 3.0
#: Longest hole between two sightings away from the border that is closed, in seconds.
HOLE = 4.0


def without_doubles(actors: list[TrackedActor]) -> list[TrackedActor]:
    """The actors without those that are second boxes around something else.

    Args:
        actors: Actors with classes.
    """
    weights = np.array([a.strong * len(a.times) for a in actors])
    labels = np.array([int(a.classes.argmax()) for a in actors])
    starts, ends = (np.array([getattr(a.span, name) for a in actors]) for name in ("start", "end"))
    kept = np.zeros(len(actors), bool)
    for k in np.argsort(-weights, kind="stable").tolist():
        # Long videos have thousands of tracks, so that only those of the same class and time are compared.
        beside = kept & (labels == labels[k]) & (starts < ends[k]) & (ends > starts[k])
        kept[k] = not any(_double(actors[k], actors[i]) for i in np.flatnonzero(beside).tolist())
    return [actor for actor, keep in zip(actors, kept, strict=True) if keep]


def _double(weak: TrackedActor, strong: TrackedActor) -> bool:
    """Whether the weaker of two actors of one class is a second box around the stronger one."""
    during = (weak.times >= strong.span.start - 0.1) & (weak.times <= strong.span.end + 0.1)
    if during.mean() < SHARED:
        return False
    a, b = weak.boxes[during], strong.at(weak.times[during])
    if float(np.median(box_iou(a, b))) >= SAME:
        return True
    areas = np.stack([np.prod(x[:, 2:] - x[:, :2], 1).clip(1e-6) for x in (a, b)])
    inside = float(np.median(box_intersection(a, b) / areas.min(0)))
    sizes = float(np.median(areas.min(0) / areas.max(0)))
    most = WEAKER_BRIEF if weak.span.duration < BRIEF * strong.span.duration else WEAKER
    return inside >= INSIDE and sizes >= SIZES and weak.strong < most * strong.strong


def stay(actor: TrackedActor, duration: float, cuts: NDArray[np.float64], still: bool) -> SpanSet:
    """The time for which an actor was there, with the time for which it was probably there unseen.

    Args:
        actor: The actor.
        duration: Of the video, in seconds.
        cuts: Times of the first frames of new shots, in seconds.
        still: Whether the camera stands still. Before a moving one, a thing that was seen only briefly may well have
            been out of the picture the rest of the time. A region of one colour is seldom missed before a still one.
    """
    edges = np.concatenate([[0.0], cuts, [duration]])
    first = float(edges[edges <= actor.span.start + 0.3].max())
    last = float(edges[edges >= actor.span.end - 0.3].min())
    start, end = actor.span.start, actor.span.end
    most = actor.span.duration * (UNSEEN_STILL if still and len(actor.classes) else UNSEEN)
    # An edge may lie a little inside the track, which is as exact as the frames that were looked at.
    if start - first <= most and first < end and _stays(actor, first=True):
        start = first
    if last - end <= most and last > start and _stays(actor, first=False):
        end = last
    out: list[tuple[float, float]] = []
    for span in actor.spans:
        if out and span.start - out[-1][1] <= HOLE and _hidden(actor, out[-1][1], span.start, cuts):
            out[-1] = (out[-1][0], span.end)
        else:
            out.append((span.start, span.end))
    out[0] = (start, out[0][1])
    out[-1] = (out[-1][0], end)
    return SpanSet([Span(a, b) for a, b in out])


def _hidden(actor: TrackedActor, gone: float, back: float, cuts: NDArray[np.float64]) -> bool:
    """Whether an actor that was not seen for a while was away from the border before and after, in one shot."""
    before = int(np.searchsorted(actor.times, gone)) - 1
    after = min(int(np.searchsorted(actor.times, back)), len(actor.times) - 1)
    at_border = actor.touch[[max(before, 0), after]].any()
    return not at_border and not bool(((cuts > gone) & (cuts < back)).any())


def _stays(actor: TrackedActor, first: bool) -> bool:
    """Whether an actor stands still away from the border at the beginning or end of its track."""
    rows = slice(0, 3) if first else slice(-3, None)
    if (actor.entry if first else actor.exit) or len(actor.times) < 3:
        return False
    moved = float(np.linalg.norm(actor.way[rows][-1] - actor.way[rows][0]))
    took = float(actor.times[rows][-1] - actor.times[rows][0])
    return moved / max(took, 1e-3) < SLOW
