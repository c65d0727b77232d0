"""Plots: the script of each role, laid out over the frames of a clip.

A role is something that a sentence can later be about: crossing the picture; coming in, standing and leaving; turning
round; coming back; parking; putting something down or taking it away. `Cue` writes a script part by part.
"""

import numpy as np

from whenwhere.stage.domains import Domain
from whenwhere.stage.script import LAWS, Leg, Point
from whenwhere.stage.world import View

#: Speeds of each family at its usual pace and in a hurry, per second: a vehicle's in its own length, others' in their
#: own height.
_PACE = {"vehicle": (0.7, 1.5), "person": (0.72, 1.6), "animal": (1.5, 3.6), "thing": (3.0, 6.0)}
#: Speeds of each split.
PACE = {
    "dev": _PACE,
    "val": {"vehicle": (0.54, 2.1), "person": (0.6, 2.0), "animal": (1.1, 4.4), "thing": (2.2, 8.0)},
    "heldout": _PACE,
}


class Cue:
    """Writes a script; it keeps the current frame, the actor's position and the legs so far.

    Args:
        fps: Frames per second.
        at: Ground position of the actor at first.
        law: Law of the actor's motion (`script.LAWS`).
    """

    def __init__(self, fps: float, at: Point, law: str) -> None:
        self.fps, self.here, self.law, self.frame = fps, at, law, 0
        self.legs: list[Leg] = []

    def _add(self, act: str, frames: int, to: Point, **more: object) -> None:
        if frames > 0:
            self.legs.append(Leg(act, self.frame, self.frame + frames, self.here, to, **more))  # type: ignore[arg-type]
            self.frame += frames
        self.here = to

    def away(self, frames: int, to: Point | None = None) -> None:
        """Adds an absence of `frames` frames, after which the actor is at `to`, or where it was if that is None."""
        self._add("away", frames, to or self.here)

    def go(self, to: Point, speed: float, fast: bool = False, facing: str = "") -> None:
        """Adds a movement to the ground position `to` at `speed` frame heights per second."""
        d = float(np.hypot(to[0] - self.here[0], to[1] - self.here[1]))
        self._add("go", max(3, round(d / speed * self.fps)), to, law=self.law, fast=fast, facing=facing)

    def stand(self, seconds: float, facing: str = "front") -> None:
        """Adds a time in which the actor stands still and faces `facing` (see `Leg`)."""
        self._add("stand", round(seconds * self.fps), self.here, facing=facing)

    def act(self, name: str, seconds: float, to: Point) -> None:
        """Adds the movement of a thing in somebody's hand to the position `to`; `name` is `put` or `taken`."""
        self._add(name, round(seconds * self.fps), to, law="steady")

    def finish(self, frames: int, facing: str = "") -> list[Leg]:
        """The script, filled up to `frames` frames: the actor stays if `facing` is given, and else is away."""
        if self.frame < frames:
            self._add("stand" if facing else "away", frames - self.frame, self.here, facing=facing)
        return self.legs


def border(view: View, aspect: float, side: str, y: float, half: float) -> Point:
    """A ground position beyond a border, at which an actor is out of the picture in every frame of the view.

    Args:
        view: The view. The motion of its camera is taken into account.
        aspect: Width of the frame divided by its height.
        side: Border, `left` or `right`.
        y: Ground height of the position.
        half: Extent of the actor from its middle to either side, in frame heights.
    """
    lo, hi = float(view.ox.min()), float(view.ox.max())
    return (lo - half - 0.04, y) if side == "left" else (aspect + hi + half + 0.04, y)


def _other(side: str) -> str:
    return {"left": "right", "right": "left", "up": "down", "down": "up"}[side]


def mover(
    rng: np.random.Generator, role: str, family: str, size: float, view: View, domain: Domain, aspect: float,
    fps: float, frames: int, split: str, start: float,
) -> list[Leg]:  # fmt: skip
    """The script of somebody on foot, of an animal or of a ball.

    Args:
        rng: Random stream of this actor's motion.
        role: `cross` (from one side to the other), `visit` (comes in, stands and leaves), `turnback` (turns round and
            leaves), `return` (leaves and comes back) or `parked` (stands at first, then leaves).
        family: `person`, `animal` or `thing`.
        size: Height of the actor in frame heights where the view's scale is 1.
        view: The view in which the actor is.
        domain: The place.
        aspect: Width of the frame divided by its height.
        fps: Frames per second.
        frames: Number of frames of the clip.
        split: Split, which decides the laws and the speed of motion.
        start: Time in seconds around which the actor first moves.
    """
    law = LAWS[split][int(rng.integers(len(LAWS[split])))]
    fast = bool(rng.random() < (0.25 if family == "person" else 0.5))
    near = np.array([0.0, 1.0]) * (domain.ground[1] - domain.ground[0]) + domain.ground[0]
    y = float(rng.uniform(*near))
    scale = view.at(y)
    speed = size * scale * PACE[split][family][int(fast)] * float(rng.uniform(0.85, 1.2))
    reach = size * scale * {"person": 0.5, "animal": 1.5, "thing": 0.9}[family]
    side = "left" if rng.random() < 0.5 else "right"
    out = side if rng.random() < 0.4 else _other(side)
    spot = (float(rng.uniform(0.22, 0.78) * aspect), float(np.clip(y + rng.normal(0, 0.04), *near)))
    facings = ("left", "right") if family == "animal" else ("front", "back", "left", "right")
    facing = facings[int(rng.integers(len(facings)))]
    cue = Cue(fps, border(view, aspect, side, y, reach), law)
    if role == "parked":
        cue.here = spot
        cue.stand(start + 1.5, facing)
        cue.go(border(view, aspect, out, spot[1], reach), speed, fast)
        return cue.finish(frames)
    if role == "return":  # is there or passes through, is away for a while, then comes back and stays
        if rng.random() < 0.6:
            cue.here = spot
            cue.stand(0.4 * start + 1.2, facing)
        else:
            cue.away(round(0.2 * start * fps))
        cue.go(border(view, aspect, out, y, reach), speed * 1.25, fast)
        cue.away(round(float(rng.uniform(1.2, 2.5)) * fps))
        cue.go((float(rng.uniform(0.22, 0.78) * aspect), y), speed * 1.25, fast)
        return cue.finish(frames, facing)
    cue.away(round(start * fps))
    if role == "cross":
        cue.go(border(view, aspect, _other(side), float(np.clip(y + rng.normal(0, 0.03), *near)), reach), speed, fast)
    elif role == "visit":
        cue.go(spot, speed, fast)
        cue.stand(float(rng.uniform(1.8, 5.0)), facing)
        cue.go(border(view, aspect, out, spot[1], reach), speed, fast)
    else:  # turnback
        cue.go(spot, speed, fast)
        cue.go(border(view, aspect, side, spot[1], reach), speed, fast)
    return cue.finish(frames)


def driver(
    rng: np.random.Generator, role: str, size: float, view: View, domain: Domain, aspect: float, fps: float,
    frames: int, split: str, start: float,
) -> list[Leg]:  # fmt: skip
    """The script of a vehicle in one of the place's lanes.

    Args:
        rng: Random stream of this vehicle's motion.
        role: `cross` (from one border to the other), `halt` (the same with a stop), `park` (comes in and stays) or
            `parked` (stands at first, then leaves).
        size: Length of the vehicle in frame heights where the view's scale is 1.
        view: The view in which the vehicle is.
        domain: The place.
        aspect: Width of the frame divided by its height.
        fps: Frames per second.
        frames: Number of frames of the clip.
        split: Split, which decides the laws and the speed of motion.
        start: Time in seconds around which the vehicle first moves.
    """
    if split == "heldout":
        law = str(rng.choice(["steady", "jerky", "gathering"]))
    else:
        laws = [law for law in LAWS[split] if law != "bowed"]  # vehicles keep to their lanes
        law = laws[int(rng.integers(len(laws)))]
    across, way = domain.lanes[int(rng.integers(len(domain.lanes)))]
    fast = bool(rng.random() < 0.3)
    half = size * 0.56
    if way in ("up", "down"):
        x = aspect / 2 + across + float(rng.normal(0, 0.025))
        ends: list[Point] = [(x, 1 + half + 0.04), (x, -half - 0.04)]
        stop: Point = (x, float(rng.uniform(0.32, 0.68)))
        scale = 1.0
    else:
        scale = view.at(across)
        half *= scale
        ends = [border(view, aspect, "left", across, half), border(view, aspect, "right", across, half)]
        stop = (float(rng.uniform(0.3, 0.7)) * aspect, across)
    if way in ("down", "left"):
        ends.reverse()
    speed = size * scale * PACE[split]["vehicle"][int(fast)] * float(rng.uniform(0.85, 1.15))
    cue = Cue(fps, ends[0], law)
    if role == "parked":
        cue.here = stop
        cue.stand(start + 1.5, way)
        cue.go(ends[1], speed, fast, way)
        return cue.finish(frames)
    cue.away(round(start * fps))
    if role == "cross":
        cue.go(ends[1], speed, fast, way)
        return cue.finish(frames)
    cue.go(stop, speed, fast, way)
    if role == "park":
        return cue.finish(frames, way)
    cue.stand(float(rng.uniform(1.8, 4.0)), way)
    cue.go(ends[1], speed, fast, way)
    return cue.finish(frames)


def handler(
    rng: np.random.Generator, role: str, size: float, place: Point, lift: float, view: View, aspect: float, fps: float,
    frames: int, split: str, start: float,
) -> tuple[list[Leg], list[Leg]]:  # fmt: skip
    """The scripts of a person who puts down a thing or takes one away, and of the thing.

    Args:
        rng: Random stream of this pair's motion.
        role: `put` or `take`.
        size: Height of the person in frame heights where the view's scale is 1.
        place: Ground position of the thing, or of the table on which it stands.
        lift: Height of the thing above the ground, in frame heights.
        view: The view they act in.
        aspect: Width of the frame divided by its height.
        fps: Frames per second.
        frames: Number of frames of the clip.
        split: Split, which decides the laws and the speed of motion.
        start: Time at which the person comes in, in seconds.

    Returns:
        The legs of the person and of the thing. The positions of the thing are those at which it is drawn.
    """
    law = LAWS[split][int(rng.integers(2))]
    scale = view.at(place[1])
    tall = size * scale
    side = "left" if rng.random() < 0.5 else "right"
    # The person stands next to the place, faces it, and can just reach it.
    sign = -1 if side == "left" else 1
    spot = (place[0] + sign * 0.36 * tall, place[1] + 0.012)
    hand = (spot[0] - sign * 0.2 * tall, spot[1] - 0.55 * tall)
    rest = (place[0], place[1] - lift)
    towards = f"reach-{'right' if side == 'left' else 'left'}"
    calm = towards.removeprefix("reach-")
    speed = tall * PACE[split]["person"][0] * float(rng.uniform(0.9, 1.2))
    out = side if rng.random() < 0.6 else _other(side)
    person = Cue(fps, border(view, aspect, side, spot[1], 0.5 * tall), law)
    person.away(round(start * fps))
    person.go(spot, speed)
    person.stand(float(rng.uniform(0.4, 1.0)), calm)
    first = person.frame
    # Whole frames, so that the arm is out exactly as long as the thing moves.
    move, after = (round(float(rng.uniform(*r)) * fps) / fps for r in ((0.9, 1.4), (0.4, 0.8)))
    person.stand(move + after, towards)
    person.stand(float(rng.uniform(0.6, 2.5)), calm)
    person.go(border(view, aspect, out, spot[1], 0.5 * tall), speed)
    thing = Cue(fps, hand if role == "put" else rest, "steady")
    if role == "put":
        thing.away(first)
        thing.act("put", move, rest)
        thing.stand(frames / fps, "front")
    else:
        thing.stand(first / fps + after, "front")
        thing.act("taken", move, hand)
    return person.finish(frames), thing.finish(frames)


def rester(rng: np.random.Generator, role: str, place: Point, fps: float, frames: int) -> list[Leg]:
    """The script of a thing that nobody handles.

    Args:
        rng: Random stream of this thing's script.
        role: `rest` (it is there all the time), `appear` (from some frame on) or `vanish` (up to some frame).
        place: Position at which the thing is drawn.
        fps: Frames per second.
        frames: Number of frames of the clip.
    """
    cue = Cue(fps, place, "steady")
    when = round(float(rng.uniform(0.3, 0.7)) * frames)
    if role == "appear":
        cue.away(when)
    cue.stand((frames if role != "vanish" else when) / fps, "front")
    return cue.finish(frames)
