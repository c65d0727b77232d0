"""What happens in a clip: every event with its exact time, read off the scripts and the boxes.

A span begins at the time of the first frame that shows the event and ends where the frame after the last one begins.
These are the events and the times they last:

- `there`: all the time the actor has a box. Being hidden for up to `MAX_HIDDEN` seconds does not interrupt it (the tube
  has no boxes there); leaving the picture, or a cut to another camera, does.
- `cross`: one visit that goes straight through, from one border to another, without stopping or turning; the whole
  visit counts. Its direction is that of the movement: `left`, `right`, `up`, `down`.
- `enter`: coming in, from the first frame until the actor stops or turns. `leave`: going out, from the start of the
  movement (or turn) towards the border until the actor is gone. Visits that only cross have neither.
- `back`: the `enter` of a later visit of an actor that has been in the picture before.
- `stand`: not moving for at least `MIN_STAND` seconds between, before or after movements; for someone who handles a
  thing, this includes the reaching.
- `turn`: turning round and going back the way it came, from the turn until the actor is gone or stops.
- `put`: a thing is put down, from when it shows in the reaching hand until the hand is withdrawn. `taken`: from when
  the hand reaches for it until it is gone. `rest`: a thing lies or stands at its place.
- `appear`, `vanish`: a thing that suddenly appears or disappears without anybody handling it, from the appearance on or
  up to the disappearance.
- `partial`: a visit without a stop or turn of which only the beginning or the end is seen. No sentence asks for it, but
  it can be taken for an event that a sentence asks for.

The direction is empty where the camera's motion makes the picture disagree with the world.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.spans import SpanSet
from whenwhere.stage.compose import Seen
from whenwhere.stage.script import Leg
from whenwhere.stage.world import Actor, World

#: Longest time in seconds for which an actor may be hidden within one visit.
MAX_HIDDEN = 1.0
#: Shortest time of standing, in seconds, that counts as a `stand`.
MIN_STAND = 1.2


@dataclass(frozen=True)
class Event:
    """Something that one actor does.

    Attributes:
        actor: Id of the actor.
        what: Name of the event: one of those that the module's docstring lists.
        spans: When the event happens, in seconds.
        direction: Direction of the movement: `left`, `right`, `up`, `down`, or empty if there is no clear one.
        fast: Whether the actor is in a hurry.
    """

    actor: int
    what: str
    spans: SpanSet
    direction: str = ""
    fast: bool = False

    @property
    def start(self) -> float:
        """Start of the first span in seconds."""
        return float(self.spans.starts[0])

    @property
    def end(self) -> float:
        """End of the last span in seconds."""
        return float(self.spans.ends[-1])


def visits(world: World, seen: Seen, actor: Actor) -> list[tuple[int, int]]:
    """Half-open intervals of frames in which the actor is in the picture; times of hiding are bridged if short."""
    present = np.flatnonzero(seen.present[actor.id])
    if not len(present):
        return []
    out: list[list[int]] = []
    x = world.paths[actor.id].x
    for i in present.tolist():
        if out and i - out[-1][1] <= MAX_HIDDEN * world.fps:
            gap = slice(out[-1][1], i)
            if not np.isnan(x[gap]).any() and (world.view_of[gap] == actor.view).all():
                out[-1][1] = i + 1
                continue
        out.append([i, i + 1])
    return [(a, b) for a, b in out]


def _span(world: World, a: int, b: int) -> tuple[float, float]:
    return a / world.fps, b / world.fps


def way_of(dx: float, dy: float) -> str:
    """The word for a movement; empty where no direction dominates.

    Args:
        dx: Movement to the right.
        dy: Movement downwards.

    >>> way_of(1.0, 0.1), way_of(0.1, -1.0), way_of(1.0, 1.0)
    ('right', 'up', '')
    """
    if abs(dx) > 1.5 * abs(dy):
        return "right" if dx > 0 else "left"
    if abs(dy) > 1.5 * abs(dx):
        return "down" if dy > 0 else "up"
    return ""


def _direction(world: World, seen: Seen, actor: Actor, a: int, b: int) -> str:
    """Direction of the movement over frames [a, b) if the world and the picture agree on it, else empty."""
    path, boxes = world.paths[actor.id], seen.boxes[actor.id, a:b]
    boxes = boxes[~np.isnan(boxes[:, 0])]
    if len(boxes) < 2:
        return ""
    world_way = way_of(path.x[b - 1] - path.x[a], path.y[b - 1] - path.y[a])
    if not world.views[actor.view].moving:
        return world_way
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / world.height
    move = centre[-1] - centre[0]
    return world_way if way_of(*move) == world_way and np.abs(move).max() > 0.25 else ""


def _edge(world: World, box: NDArray[np.float64]) -> bool:
    """Whether a box touches the picture's border, within a few pixels."""
    slack = 0.02 * world.height
    return bool(box[0] <= slack or box[1] <= slack or box[2] >= world.width - slack or box[3] >= world.height - slack)


def _parts(legs: list[Leg], a: int, b: int, frames: int) -> list[tuple[Leg, int, int]]:
    """The legs that overlap the frames [a, b), each with its first frame and the frame after its last inside."""
    cut = [(leg, max(leg.start, a), min(leg.end, b, frames)) for leg in legs if leg.act != "away"]
    return [(leg, s, e) for leg, s, e in cut if s < e]


def clip_events(world: World, seen: Seen) -> list[Event]:
    """Everything that happens in a clip.

    Args:
        world: The plan of the clip.
        seen: The boxes of its actors.

    Returns:
        The events, in the order of the actors.
    """
    out: list[Event] = []
    for actor in world.actors:
        spans = visits(world, seen, actor)
        if not spans:
            continue
        out.append(Event(actor.id, "there", SpanSet(_span(world, a, b) for a, b in spans)))
        if actor.place:
            out += _thing_events(world, actor, spans)
        else:
            for k, (a, b) in enumerate(spans):
                out += _visit_events(world, seen, actor, a, b, k > 0)
    return out


def _thing_events(world: World, actor: Actor, spans: list[tuple[int, int]]) -> list[Event]:
    out: list[Event] = []
    first, last = spans[0][0], spans[-1][1]
    acts = {leg.act: leg for leg in actor.legs}
    rest = acts["stand"]

    def add(what: str, start: int, end: int) -> None:
        s, e = max(start, first), min(end, last)
        if s < e:
            out.append(Event(actor.id, what, SpanSet([_span(world, s, e)])))

    reached, back = _reach(world, actor) if actor.hand is not None else (0, 0)
    add("rest", back if "put" in acts else rest.start, reached if "taken" in acts else min(rest.end, world.frames))
    if "put" in acts:
        add("put", acts["put"].start, back)
    elif "taken" in acts:
        add("taken", reached, acts["taken"].end)
    else:
        if rest.start > 0 and first == rest.start:
            add("appear", rest.start, world.frames)
        if rest.end < world.frames and last == rest.end:
            add("vanish", 0, rest.end)
    return out


def _reach(world: World, thing: Actor) -> tuple[int, int]:
    """First frame and frame after the last in which the person who handles `thing` stretches out an arm."""
    assert thing.hand is not None
    leg = next(leg for leg in world.actors[thing.hand].legs if leg.facing.startswith("reach"))
    return leg.start, min(leg.end, world.frames)


def _visit_events(world: World, seen: Seen, actor: Actor, a: int, b: int, again: bool) -> list[Event]:
    parts = _parts(actor.legs, a, b, world.frames)
    boxes = seen.boxes[actor.id]
    came = a > 0 and world.view_of[a - 1] == actor.view and _edge(world, boxes[a])
    left = b < world.frames and world.view_of[b] == actor.view and _edge(world, boxes[b - 1])
    out: list[Event] = []

    def add(what: str, s: int, e: int, fast: bool) -> None:
        out.append(Event(actor.id, what, SpanSet([_span(world, s, e)]), _direction(world, seen, actor, s, e), fast))

    fast = any(leg.fast for leg, _, _ in parts)
    if all(leg.act == "go" for leg, _, _ in parts) and len(parts) == 1:
        if came and left:
            add("cross", a, b, fast)
        elif came or left:
            add("partial", a, b, fast)  # the rest lies beyond the clip or a cut
    else:
        merged = _stands(parts)
        for s, e in merged:
            if (e - s) / world.fps >= MIN_STAND:
                add("stand", s, e, False)
        if came and parts[0][0].act == "go":
            add("enter", a, parts[0][2], fast)
            if again:
                add("back", a, parts[0][2], fast)
        if left and parts[-1][0].act == "go":
            add("leave", parts[-1][1], b, fast)
        for (one, s1, e1), (two, s2, e2) in itertools.pairwise(parts):
            if one.act == two.act == "go":
                d1, d2 = _direction(world, seen, actor, s1, e1), _direction(world, seen, actor, s2, e2)
                if d1 and {d1, d2} in ({"left", "right"}, {"up", "down"}):
                    add("turn", s2, e2, fast)
    return out


def _stands(parts: list[tuple[Leg, int, int]]) -> list[tuple[int, int]]:
    """Half-open intervals of frames in which the actor stands; legs that follow each other at once are merged."""
    out: list[list[int]] = []
    for leg, s, e in parts:
        if leg.act != "stand":
            continue
        if out and out[-1][1] == s:
            out[-1][1] = e
        else:
            out.append([s, e])
    return [(s, e) for s, e in out]
