"""Relations between tracks: when one thing is at, on or with another, and what is done to a thing.

A detector gives boxes and no contacts, so two things are together while their boxes overlap or nearly touch; after
"next to" and the like a gap of about their size is allowed. A small thing that is held is often missed for a moment,
so short gaps are bridged. Furniture is hidden by whoever uses it: for it, being seen apart says nothing about time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.overlap import box_iou

#: Prepositions after which two things may be apart by about their size.
_APART = frozenset(("near", "beside", "by", "behind", "to", "towards", "toward", "past", "around", "between", "from"))
#: Gaps in seconds that are bridged, for small things too, and the shortest time together.
_BRIDGE, _BRIDGE_SMALL, _LEAST = 1.6, 4.0, 0.4
#: Largest share of the frame of a small thing, which a detector misses often while it is held.
_SMALL = 0.02
#: Least time in seconds for which two sizes are compared.
_COMPARED = 1.0
#: Distance of two boxes, in heights of the larger one, below which they are within reach; and by how much it may vary
#: on the way.
_REACH, _EVEN = 0.1, 0.02
#: Longest way to another thing, in seconds, and the shortest one.
_WAY, _SHORT_WAY = 5.0, 0.6
#: Seconds that an event at the border of a time together begins before and ends after it.
_BEFORE, _AFTER = 0.6, 1.6


@dataclass(frozen=True)
class TimeTogether:
    """When an actor is together with one of several things.

    Attributes:
        runs: (start, end) seconds, in order.
        share: Share of the actor's sightings in these times.
    """

    runs: list[tuple[float, float]]
    share: float


def time_together(actor: TrackedActor, things: list[TrackedActor], preposition: str) -> TimeTogether:
    """When an actor is together with any of some things.

    Args:
        actor: The actor.
        things: What it may be together with; the actor itself and doubles of its box do not count.
        preposition: The word between them, as in "next to"; "" without one.
    """
    near = np.zeros(len(actor.times), bool)
    bridge = _BRIDGE
    for thing in things:
        if thing is actor or any(thing is m for m in actor.members):
            continue
        there = np.zeros(len(actor.times), bool)
        for span in thing.spans:
            there |= actor.within(span.start - 0.3, span.end + 0.3)
        if there.any():
            near |= there & _near(actor.boxes, thing.at(actor.times), preposition in _APART)
            bridge = max(bridge, _BRIDGE_SMALL if thing.area < _SMALL else _BRIDGE)
    runs: list[tuple[float, float]] = []
    half = float(np.median(np.diff(actor.times))) / 2 if len(actor.times) > 1 else 0.1
    for a, b in true_runs(near):
        start, end = float(actor.times[a]) - half, float(actor.times[b]) + half
        if runs and start - runs[-1][1] < bridge:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    runs = [(max(a, actor.span.start), min(b, actor.span.end)) for a, b in runs if b - a >= _LEAST]
    inside = sum(int(actor.within(a, b).sum()) for a, b in runs)
    return TimeTogether(runs, inside / max(1, len(actor.times)))


def _near(a: NDArray[np.float64], b: NDArray[np.float64], apart: bool) -> NDArray[np.bool_]:
    """(n,) whether two boxes touch, or are within reach."""
    gap = np.maximum(np.maximum(a[:, :2], b[:, :2]) - np.minimum(a[:, 2:], b[:, 2:]), 0).max(1)
    sides = [np.sqrt(np.prod((x[:, 2:] - x[:, :2]).clip(1), 1)) for x in (a, b)]
    reach = 0.8 * np.maximum(*sides) if apart else 0.1 * np.minimum(*sides)
    double = box_iou(a, b) > 0.75
    return (gap <= reach) & ~double


def ways_between(actor: TrackedActor, things: list[TrackedActor], away: bool) -> list[tuple[float, float]]:
    """The times at which an actor goes up to one of some things, or away from it, the longest way first.

    A way up to it ends where the two come within reach, and begins where their distance begins to fall; a way from it
    is the same backwards. Distances are told in heights of the actor, so that the camera may come nearer meanwhile.

    Args:
        actor: The actor.
        things: What it may go up to, or leave.
        away: Whether it goes away.
    """
    found = []
    for thing in things:
        both = (actor.times >= thing.span.start) & (actor.times <= thing.span.end)
        if thing is actor or any(thing is m for m in actor.members) or both.sum() < 5:
            continue
        t, a = actor.times[both], actor.boxes[both]
        b = thing.at(t)
        unit = np.maximum(np.maximum(a[:, 3] - a[:, 1], b[:, 3] - b[:, 1]), 1.0)
        gap = np.maximum(np.maximum(a[:, :2], b[:, :2]) - np.minimum(a[:, 2:], b[:, 2:]), 0).max(1) / unit
        if away:
            t, gap = -t[::-1], gap[::-1]
        for first, last in true_runs(gap < _REACH):
            begin, farthest = first, gap[first]
            while begin > 0 and t[first] - t[begin - 1] <= _WAY and gap[begin - 1] > farthest - _EVEN:
                begin -= 1
                farthest = max(farthest, gap[begin])
            if t[first] - t[begin] >= _SHORT_WAY and gap[begin] > 2 * _REACH and t[last] - t[first] >= _LEAST:
                start, end = sorted((abs(float(t[begin])), abs(float(t[first]))))
                if _moved(actor, start, end) > _moved(thing, start, end):
                    found.append((float(gap[begin]), (start, end)))
    return [times for _, times in sorted(found, reverse=True)]


def _moved(actor: TrackedActor, start: float, end: float) -> float:
    """How far an actor moves in some time, in fractions of the frame, with the camera's motion taken out."""
    way = [np.array([np.interp(at, actor.times, actor.way[:, k]) for k in (0, 1)]) for at in (start, end)]
    return float(np.linalg.norm(way[1] - way[0]))


def event_times(event: str, together: TimeTogether, actor: TrackedActor) -> list[tuple[float, float]]:
    """The times at which something is done to a thing, from the times together with it.

    Picking up begins a time together, putting down ends one; whatever else is done takes the time itself.

    Args:
        event: A key of `event_lexicon.EVENTS`.
        together: The times together.
        actor: Who does it.
    """
    out = []
    for start, end in together.runs:
        if event == "pick_up" and start > actor.span.start + 0.3:
            out.append((start - _BEFORE, min(end, start + _AFTER)))
        elif event == "put_down" and end < actor.span.end - 0.3:
            out.append((max(start, end - _AFTER), end + _BEFORE))
        else:
            out.append((start, end))
    return [(max(a, actor.span.start), min(b, actor.span.end)) for a, b in out]


def large_times(actor: TrackedActor) -> list[tuple[float, float]]:
    """The times at which an actor is near the camera: its box is large, and about as large as it gets."""
    area = np.prod(actor.size, 1)
    limit = max(0.08, 0.55 * float(np.percentile(area, 95)))
    runs: list[tuple[float, float]] = []
    for a, b in true_runs(area >= limit):
        start, end = float(actor.times[a]), float(actor.times[b])
        if runs and start - runs[-1][1] < 1.0:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [(a, b) for a, b in runs if b - a >= _LEAST]


def relative_size(actor: TrackedActor, others: list[TrackedActor]) -> float:
    """How much larger an actor is than others that are in the picture with it, from -0.7 to 0.7; 0 if none is.

    Args:
        actor: The actor.
        others: The others, which count by their scores, as weak ones may be errors; the actor itself does not count.
    """
    side = lambda boxes: np.sqrt(np.prod((boxes[:, 2:] - boxes[:, :2]).clip(1), 1))  # noqa: E731
    surest = max((other.strong for other in others), default=1.0)
    total = weight = 0.0
    for other in others:
        both = (actor.times >= other.span.start) & (actor.times <= other.span.end)
        if other is not actor and both.any() and np.ptp(actor.times[both]) >= _COMPARED:
            ratio = float(np.median(np.log(side(actor.boxes[both]) / side(other.at(actor.times[both])))))
            total += other.strong / surest * ratio
            weight += other.strong / surest
    return float(np.clip(1.4 * total / max(weight, 1.0), -0.7, 0.7))
