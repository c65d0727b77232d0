"""Events: the parts of an actor's time that verbs name: enters, leaves, stands, turns, jumps, picks up ...

An event is recognised from the actor's profile of speed, its contacts with the border, its box, and the places where
the background changed. Each finder returns spans with a quality around 0 (negative: the event is only weakly seen).
Verbs that merely say that something moves (walks, drives, rides) name the whole stay.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.stretches import DEPTH, depth_changes, movements, standing_times, true_runs

#: Longest time in seconds for which somebody who comes back is far away.
LONGEST_AWAY = 8.0
#: Least way to the border in the last second of whoever leaves when the video ends, as a fraction of the frame.
BORDER_WAY = 0.05
#: Events that describe a whole stay, not a part of it.
WHOLE = frozenset({"walk", "run", "ride", "drive", "move", "pass", "throw", "catch"})


@dataclass(frozen=True)
class EventSpan:
    """A part of an actor's time in seconds, and how clearly it is the event (about 0, negative if weakly)."""

    start: float
    end: float
    quality: float = 0.0


def whole_stay(actor: TrackedActor, quality: float = 0.0) -> EventSpan:
    """The actor's whole stay, with a quality."""
    return EventSpan(actor.span.start, actor.span.end, quality)


def depth_spans(actor: TrackedActor, nearer: bool) -> list[EventSpan]:
    """The times at which an actor comes nearer to the camera, or goes away from it, best first."""
    return [EventSpan(start, end, min(0.4, gain - DEPTH)) for start, end, gain in depth_changes(actor, nearer)]


def event_spans(actor: TrackedActor, event: str) -> list[EventSpan]:
    """The spans of an event of one actor, best first; empty if it never happens.

    Args:
        actor: The actor.
        event: A key of `event_lexicon.EVENTS`.
    """
    if event in WHOLE:
        return _moving(actor, event)
    finder = {
        "enter": _enter, "leave": _leave, "return": _return, "stand": _stand, "stop": _stop, "start": _start,
        "jump": _jump, "turn": _turn, "turn_back": _turn_back, "vanish": _vanish, "bend": _bend,
        "rise": _rise, "approach": _approach,
        "pick_up": _reach, "put_down": _reach,
    }[event]  # fmt: skip
    return sorted(finder(actor), key=lambda p: -p.quality)


def _moving(actor: TrackedActor, event: str) -> list[EventSpan]:
    """The whole stay, better the more it moves; its single movements too, if it mostly stands."""
    moving = actor.active
    quality = 0.8 * (min(moving, 0.6) - 0.6)
    if event == "run":
        quality += 0.6 * float(np.clip(np.log(max(actor.stride, 0.05) / 1.5), -1.0, 0.7))
    if event == "pass":
        crosses = bool(actor.entry and actor.exit and actor.entry[0] != actor.exit[0])
        # Whoever stays in one place passes nothing.
        quality += 0.4 if crosses else -0.6 if np.ptp(actor.way, axis=0).max() < 0.25 else 0.0
    out = [whole_stay(actor, quality)]
    if moving < 0.6:
        out += [EventSpan(m.start, m.end, quality - 0.3) for m in movements(actor) if np.abs(m.shift).max() > 0.05]
    return out


def _enter(actor: TrackedActor) -> list[EventSpan]:
    """From each first sighting until it stops or turns; if it only crosses, until it is well inside."""
    out = []
    ways = movements(actor, _axis(actor.entry))
    for piece in actor.spans:
        rows = np.flatnonzero(actor.within(piece.start, piece.end))
        if not len(rows) or piece.start <= 0.05:
            continue
        t = actor.times
        first = [m for m in ways if m.end > piece.start + 0.2 and m.start < piece.start + 1.5]
        stop = first[0].end if first else piece.end
        stop = min([stop, *(a for a, _ in standing_times(actor) if a > piece.start)])
        if stop < piece.end - 1.0:
            end = stop + 0.2
        else:
            clear = next((t[i] for i in rows if not actor.touch[i].any()), None)
            end = min(clear + 0.7 if clear is not None else piece.start + 2.0, piece.end)
            end = max(end, min(piece.end, piece.start + 0.4 * piece.duration))
        seen = bool(actor.entry) or bool(actor.touch[rows[0]].any())
        out.append(EventSpan(piece.start, max(end, min(piece.end, piece.start + 1.0)), 0.3 if seen else -0.5))
    return out


def _axis(sides: tuple[str, ...]) -> int | None:
    """The axis of the first side: 0 for left or right, 1 for top or bottom, None without sides."""
    return None if not sides else (0 if sides[0] in ("left", "right") else 1)


def _leave(actor: TrackedActor) -> list[EventSpan]:
    """From when it starts or turns towards the border until it is gone; if it only crosses, the last part."""
    out = []
    pieces = list(actor.spans)
    for n, piece in enumerate(pieces):
        rows = np.flatnonzero(actor.within(piece.start, piece.end))
        last_piece = n == len(pieces) - 1
        if not len(rows) or (
            last_piece and not actor.exit and piece.end == actor.span.end and not _reaches_side(actor, rows)
        ):
            if len(rows):
                out.append(EventSpan(max(piece.start, piece.end - 2.0), piece.end, -0.8))
            continue
        seen = bool(actor.touch[rows[-3:]].any()) or (last_piece and bool(actor.exit))
        last = [
            m
            for m in movements(actor, _axis(actor.exit) if last_piece else None)
            if m.end > piece.end - 1.2 and m.start < piece.end
        ]
        begin = last[-1].start if last else piece.end - 2.0
        begin = max([begin, *(b for _, b in standing_times(actor) if b < piece.end - 0.2)])
        if begin <= piece.start + 1.0:
            begin = piece.end - max(1.0, 0.4 * piece.duration)
        out.append(EventSpan(max(begin - 0.1, piece.start), piece.end, 0.3 if seen else -0.6))
    # Through a door at the back, somebody gets smaller and need not reach the border.
    out += [EventSpan(p.start, p.end, p.quality - 0.3) for p in depth_spans(actor, nearer=False)]
    return out


def _reaches_side(actor: TrackedActor, rows: NDArray[np.intp]) -> bool:
    """Whether an actor goes to the left or right border in the last second of its sightings, where it was not before.

    Whoever is filmed from near touches the lower border all the time, and is still there when the video ends.
    """
    sides, before = (
        actor.touch[some][:, [0, 2]] for some in (rows, rows[actor.times[rows] < actor.times[rows[-1]] - 1])
    )
    moved = actor.way[rows[-1], 0] - np.interp(actor.times[rows[-1]] - 1, actor.times, actor.way[:, 0])
    new = sides[-3:].any(0) & (before.mean(0) < 0.3 if len(before) else False)
    return bool((new & (np.array([-moved, moved]) > BORDER_WAY)).any())


def _return(actor: TrackedActor) -> list[EventSpan]:
    """Later visits, movements back, and (with less quality) entries."""
    out = []
    pieces = list(actor.spans)
    entered = {p.start: p.end for p in _enter(actor)}
    for piece in pieces[1:]:
        begin = piece.start
        arrived = next((a for a, _ in standing_times(actor) if a > begin + 0.3), None)
        turn = next((m.end for m in movements(actor) if m.start <= begin + 0.6 and m.end > begin + 0.3), None)
        end = min([x for x in (arrived, turn, entered.get(begin), piece.end) if x is not None])
        out.append(EventSpan(piece.start, max(end, piece.start + 0.5), 0.6))
    ways = movements(actor)
    for previous, way in itertools.pairwise(ways):
        if previous.shift @ way.shift < 0 and np.abs(way.shift).max() > 0.08:
            out.append(EventSpan(way.start, way.end, 0.0))
    for away in depth_spans(actor, nearer=False):
        later = (p for p in depth_spans(actor, nearer=True) if p.start > away.end - 0.3)
        back = min(later, key=lambda p: p.start, default=None)
        if back is not None and back.start - away.end < LONGEST_AWAY:
            out.append(EventSpan(away.end, min(back.end, back.start + 1.0), 0.2))
    # The earlier visit may not have been seen, or not as the same actor: then the return is an entry.
    out += [EventSpan(p.start, p.end, p.quality - 0.8) for p in _enter(actor)]
    return out


def _stand(actor: TrackedActor) -> list[EventSpan]:
    """Times of standing still, better the longer; the whole stay if it stands for most of it."""
    still = standing_times(actor)
    total = sum(b - a for a, b in still)
    if not still:
        return [whole_stay(actor, -1.0)]
    out = [EventSpan(a, b, 0.1 + 0.15 * float(np.log(max(b - a, 0.5) / 4))) for a, b in still]
    if total > 0.8 * actor.span.duration:
        out.append(whole_stay(actor, max(p.quality for p in out) + 0.1))
    return out


def _stop(actor: TrackedActor) -> list[EventSpan]:
    """From the movement before a time of standing to its beginning."""
    out = []
    for a, b in standing_times(actor):
        before = [m for m in movements(actor) if m.end <= a + 0.7 and m.end > a - 1.5]
        if before:
            out.append(EventSpan(max(before[-1].start, a - 4.0), min(a + 0.8, b), 0.2 + 0.1 * min(b - a, 3)))
    return out


def _start(actor: TrackedActor) -> list[EventSpan]:
    """From the end of a time of standing through the movement after it."""
    out = []
    for a, b in standing_times(actor):
        after = [m for m in movements(actor) if m.start >= b - 0.7 and m.start < b + 1.5]
        if after:
            out.append(EventSpan(b, min(after[0].end, b + 4.0), 0.2 + 0.1 * min(b - a, 3)))
    return out


def _jump(actor: TrackedActor) -> list[EventSpan]:
    """The lower edge rises and falls again within about a second and a half."""
    t, bottom = actor.times, actor.boxes[:, 3]
    height = float(np.median(actor.boxes[:, 3] - actor.boxes[:, 1]))
    if len(t) < 5 or height <= 0:
        return []
    window = max(3, round(0.9 / max(1e-3, float(np.median(np.diff(t))))))

    def risen(y: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far `y` is above its ground line, in heights of the actor."""
        # The ground line is the lowest position shortly before or shortly after, whichever is higher up.
        before = np.array([y[max(0, i - window) : i + 1].max() for i in range(len(t))])
        after = np.array([y[i : i + window + 1].max() for i in range(len(t))])
        return (np.minimum(before, after) - y) / height

    # A shadow or a leash may hold the lower edge down: then the middle rises.
    lift = np.maximum(risen(bottom), 0.7 * risen((actor.boxes[:, 1] + actor.boxes[:, 3]) / 2))
    out = []
    for a, b in true_runs(lift > 0.08):
        peak = float(lift[a : b + 1].max())
        if peak > 0.12 and t[b] - t[a] < 2.0:
            start, end = t[max(0, a - 1)], t[min(len(t) - 1, b + 1)]
            out.append(EventSpan(float(start), float(end), min(1.0, 2 * peak) - 0.2))
    return out


def _turn(actor: TrackedActor) -> list[EventSpan]:
    """Reversals, and corners where the heading changes by more than about 50 degrees."""
    ways = movements(actor)
    out = []
    for previous, way in itertools.pairwise(ways):
        if previous.shift @ way.shift < 0:
            middle = (previous.end + way.start) / 2
            half = max(0.7, (way.start - previous.end) / 2 + 0.3)
            out.append(EventSpan(max(actor.span.start, middle - half), min(actor.span.end, middle + half), 0.2))
    # A corner: the heading changes while the actor keeps moving.
    v = actor.velocity
    step = max(1, round(0.6 / max(1e-3, float(np.median(np.diff(actor.times)))))) if len(actor.times) > 1 else 1
    if len(v) > 2 * step:
        a, b = v[: -2 * step], v[2 * step :]
        cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-6)
        going = ~actor.still[: -2 * step] & ~actor.still[2 * step :]
        for i, j in true_runs((cosine < 0.6) & going):
            out.append(EventSpan(float(actor.times[i]), float(actor.times[min(j + 2 * step, len(v) - 1)]), 0.0))
    return out


def _turn_back(actor: TrackedActor) -> list[EventSpan]:
    """From turning round until it stops, turns again or is gone."""
    out = []
    for axis in (0, 1):
        ways = movements(actor, axis)
        for k, (previous, way) in enumerate(itertools.pairwise(ways)):
            turned = previous.shift[axis] * way.shift[axis] < 0
            far = min(abs(previous.shift[axis]), abs(way.shift[axis]))
            if not turned or way.start - previous.end > 2.0 or far < 0.03:
                continue
            start = (previous.end + way.start) / 2
            stop = next((a for a, _ in standing_times(actor) if a > start + 0.5), actor.span.end)
            following = ways[k + 2] if k + 2 < len(ways) else None
            if (
                following is not None
                and following.shift[axis] * way.shift[axis] < 0
                and abs(following.shift[axis]) > 0.05
            ):
                stop = min(stop, (way.end + following.start) / 2)
            piece = next((p.end for p in actor.spans if p.start <= start <= p.end), stop)
            out.append(EventSpan(start, max(min(stop, piece), start + 0.5), 0.1 + min(0.5, 2 * far)))
    return out


def _vanish(actor: TrackedActor) -> list[EventSpan]:
    """The whole stay, better if it did not leave by a border."""
    return [whole_stay(actor, 0.2 if not actor.exit else -0.4)]


def _bend(actor: TrackedActor) -> list[EventSpan]:
    """Times when the box is clearly lower than usual, away from the upper and lower border."""
    h = actor.boxes[:, 3] - actor.boxes[:, 1]
    usual = np.percentile(h, 75)
    free = ~actor.touch[:, [1, 3]].any(1)
    out = []
    for a, b in true_runs((h < 0.83 * usual) & free):
        if actor.times[b] - actor.times[a] >= 0.3:
            out.append(EventSpan(float(actor.times[a]), float(actor.times[b]), 0.3))
    return out


def _rise(actor: TrackedActor) -> list[EventSpan]:
    """Around the end of each bend."""
    return [
        EventSpan(max(actor.span.start, p.end - 1.0), min(actor.span.end, p.end + 1.0), p.quality) for p in _bend(actor)
    ]


def _approach(actor: TrackedActor) -> list[EventSpan]:
    """From the first sighting until it stands still; else the whole stay."""
    still = [a for a, _ in standing_times(actor) if a > actor.span.start + 0.5]
    if still:
        return [EventSpan(actor.span.start, still[0], 0.2)]
    return [whole_stay(actor, -0.3)]


def _reach(actor: TrackedActor) -> list[EventSpan]:
    """Picking up or putting down without a change of the background: bends, else times of standing."""
    bends = _bend(actor)
    if bends:
        return [EventSpan(p.start, p.end, -0.3) for p in bends]
    return [EventSpan(a, b, -0.8) for a, b in standing_times(actor)] or [whole_stay(actor, -1.0)]
