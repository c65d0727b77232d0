"""Where every shape is and how large: one position per tick (half a second), joined by straight lines.

Because paths are straight between ticks, a clip with two frames per second shows everything there is to know about
them, and one with thirty shows the same motion. Lengths are shares of the frame's side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.shapes.plan import MAX_SHAPES, ShapesPlan, Thing
from whenwhere.stage.shapes.words import SHAPE_VERBS
from whenwhere.stage.shapes.world import SPEED_QUARTILES, TICKS, ShapesWorld

#: Half the width of the narrowest and the widest bar.
_BARS = (0.03, 0.1)
#: No random motion and no act takes a shape further than this.
_FURTHEST = 0.5
#: Number of places among which that of a shape is chosen.
_TRIES = 10
#: Direction (x, y) of each verb that is a movement.
_WAYS = {SHAPE_VERBS[k]: way for k, way in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1)))}


@dataclass
class Paths:
    """Paths of all shapes in a clip.

    Attributes:
        knots: Centre x, centre y and half size of every shape at every tick, shape (3, shapes, ticks + 1).
        bar: The two long edges of the bar: their x if it is vertical, their y if it is horizontal.
    """

    knots: NDArray[np.float64]
    bar: tuple[float, float]


def _speed(world: ShapesWorld, u: NDArray[np.float64], slowest: int = 0) -> float:
    """A speed in box sizes per second: uniform in a quartile that is drawn by its weight, from `slowest` on."""
    weights = np.array(world.speeds, float)
    weights[:slowest] = 0
    if not weights.sum():
        weights[slowest] = 1
    k = int(np.searchsorted(weights.cumsum() / weights.sum(), u[0], side="right").clip(0, 3))
    return SPEED_QUARTILES[k] + float(u[1]) * (SPEED_QUARTILES[k + 1] - SPEED_QUARTILES[k])


def _wander(world: ShapesWorld, thing: Thing, size: float, ticks: int, u: NDArray[np.float64], rng_law: float,
            noise: NDArray[np.float64]) -> NDArray[np.float64]:  # fmt: skip
    """Random motion relative to where the shape starts, shape (2, ticks + 1)."""
    out = np.zeros((2, ticks + 1))
    weights = np.cumsum(world.laws) / np.sum(world.laws)
    law = int(np.searchsorted(weights, rng_law, side="right").clip(0, 4))
    n = thing.end - thing.start
    if law == 0 or not thing.free:
        return out
    step = _speed(world, u) * size / TICKS
    angle = np.full(n, u[2] * 2 * np.pi)
    rate = np.full(n, step)
    if law == 2:
        rate[(np.arange(n) // 2) % 2 == 1] = 0
        rate[rate > 0] = 2 * step
    elif law == 3:
        angle[int(u[3] * n) :] += np.pi / 2 + u[4] * np.pi
    elif law == 4:
        angle = noise[0, :n] * 2 * np.pi
    walk = np.cumsum(np.stack([rate * np.cos(angle), rate * np.sin(angle)]), axis=1)
    extent = float(np.ptp(walk, axis=1).max())
    if extent > _FURTHEST:
        walk *= _FURTHEST / extent
    out[:, thing.start + 1 : thing.end + 1] = walk
    out[:, thing.end + 1 :] = walk[:, -1:]
    return out


def _acts(world: ShapesWorld, thing: Thing, size: float, ticks: int, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacement and scale caused by the shape's acts, shape (3, ticks + 1)."""
    out = np.zeros((3, ticks + 1))
    out[2] = 1
    for k, act in enumerate(thing.acts):
        n = act.end - act.start
        verb = SHAPE_VERBS[act.verb]
        ramp = np.clip(np.arange(ticks + 1) - act.start, 0, n) / n
        if verb in _WAYS:
            far = min(max(0.25 * size, _speed(world, u[2 * k : 2 * k + 2], 2) * size / TICKS) * n, _FURTHEST)
            out[:2] += np.outer(_WAYS[verb], far * ramp)
        elif verb == "grows":
            out[2] *= 1 + 0.6 * ramp
        elif verb == "shrinks":
            out[2] *= 1 - 0.4 * ramp
    return out


def place_shapes(world: ShapesWorld, seed: int, plan: ShapesPlan, margin: float) -> Paths:
    """Lays out a clip: sizes, motion, and places at which shapes hide each other as little as possible.

    Args:
        world: The distribution of clips.
        seed: Seed of the clip.
        plan: What happens.
        margin: Share of the frame's side that the camera may move out of view at every border.
    """
    things, ticks = plan.things, plan.ticks
    sizes = world.sizes[0] + world.stream(seed, "sizes").random(MAX_SHAPES) * (world.sizes[1] - world.sizes[0])
    speeds = world.stream(seed, "speeds").random((MAX_SHAPES, 5))
    laws = world.stream(seed, "laws")
    law, noise = laws.random(MAX_SHAPES), laws.random((MAX_SHAPES, 1, ticks))
    rng = world.stream(seed, "places")
    u, mess = rng.random((MAX_SHAPES, 2, _TRIES)), rng.random() < world.overlap
    at = world.stream(seed, "bar-place").random(2)
    middle, wide = 0.42 + 0.16 * float(at[0]), _BARS[0] + (_BARS[1] - _BARS[0]) * float(at[1])
    bar = (middle - wide, middle + wide)
    knots = np.zeros((3, len(things), ticks + 1))
    bar_axis = plan.bar - 1
    for i, thing in enumerate(things):
        size = float(sizes[i])
        if thing.side >= 0:
            size = min(size, 0.22)
        rel = _acts(world, thing, size, ticks, speeds[i])
        if thing.free:
            rel[:2] += _wander(world, thing, size, ticks, speeds[i], float(law[i]), noise[i])
        half = size / 2 * rel[2]
        now = slice(thing.start, thing.end)
        grown = float(half[now].max())
        lo = margin + grown - rel[:2, now].min(axis=1)
        hi = 1 - margin - grown - rel[:2, now].max(axis=1)
        if thing.side >= 0:
            if thing.side % 2 == 0:
                hi[bar_axis] = bar[0] - grown
            else:
                lo[bar_axis] = bar[1] + grown
        tight = lo > hi
        lo[tight] = hi[tight] = ((lo + hi) / 2)[tight]
        spots = lo[:, None] + u[i] * (hi - lo)[:, None]
        best = 0 if mess else _clearest(spots, rel, half, thing, things[:i], knots)
        knots[:2, i] = spots[:, best, None] + rel[:2]
        knots[2, i] = half
    return Paths(knots, bar)


def _clearest(spots: NDArray[np.float64], rel: NDArray[np.float64], half: NDArray[np.float64], thing: Thing,
              others: list[Thing], knots: NDArray[np.float64]) -> int:  # fmt: skip
    """Index of the candidate place where a shape overlaps least with the shapes placed so far."""
    a, b = thing.start, thing.end
    x = spots[:, :, None] + rel[:2, None, a:b]  # (2, tries, ticks)
    cost = np.zeros(spots.shape[1])
    n = len(others)
    if n:
        there = np.zeros((n, b - a), bool)
        for k, o in enumerate(others):
            there[k, max(o.start - a, 0) : max(o.end - a, 0)] = True
        reach = knots[2, :n, a:b] + half[a:b]  # (n, ticks)
        gap = reach[None, None] - np.abs(x[:, :, None] - knots[:2, None, :n, a:b])  # (2, tries, n, ticks)
        cost += (gap.clip(0).prod(axis=0) * there).sum(axis=(1, 2))
    return int(cost.argmin())
