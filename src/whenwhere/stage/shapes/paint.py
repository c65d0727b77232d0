"""Paints a clip: flat shapes on a shared background, and a map of which shape each pixel shows.

Every shape is painted in all its frames at once, inside the smallest window that holds it. A pixel belongs to a shape
if its centre lies inside. There is no anti-aliasing, so the truth read off the map is the truth of the picture.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.shapes.motion import Paths
from whenwhere.stage.shapes.plan import ShapesPlan, Thing
from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_VERBS, SHAPES
from whenwhere.stage.shapes.world import TICKS
from whenwhere.stage.streams import random_stream

#: Share of a shape's pixels that must be visible for it to have a box.
SEEN = 0.15
_PALETTE = np.array(list(SHAPE_COLOURS.values()), np.uint8)
_GREY = np.array((128, 128, 128), np.uint8)
_BAR = (70, 75, 85)
#: Size of a background in frames, larger than 1 so that the camera can move.
_SPARE = 1.5


@dataclass
class ShapesView:
    """The camera and the backgrounds of a clip.

    Attributes:
        knots: Position (x, y) of the middle of the frame, as shares of its side, and zoom factor at every tick, shape
            (3, ticks + 1).
        shots: First tick of each shot.
        grounds: Number of the background of each shot.
        domain: Name of the domain whose backgrounds are used, or None.
    """

    knots: NDArray[np.float64]
    shots: list[int]
    grounds: list[int]
    domain: str | None


@dataclass
class Painted:
    """A painted clip.

    Attributes:
        images: RGB frames, shape (n, side, side, 3), uint8.
        boxes: Visible box of each shape in each frame as xyxy pixels, shape (shapes, n, 4); NaN where it is hidden.
        seen: Visible share of each shape in each frame, shape (shapes, n).
    """

    images: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    seen: NDArray[np.float64]


@lru_cache(maxsize=256)
def background(number: int, side: int, domain: str | None = None) -> NDArray[np.uint8]:
    """One of the shared backgrounds: a soft colour field with a fixed grain.

    A street is lighter in its lower part, a lecture has a light slide with lines of writing, and a sports ground is
    green with a light line.

    Args:
        number: Number of the background.
        side: Width and height of a frame in pixels.
        domain: `street`, `lecture`, `sport`, or another value for the plain field.

    Returns:
        RGB picture, shape (n, n, 3), uint8, where n is one and a half times `side`.
    """
    rng = random_stream(number, "shapes", "background")
    n = round(side * _SPARE)
    grid = np.linspace(0, 4 - 1e-9, n)
    k = grid.astype(int)
    w = (grid - k)[:, None]
    field = rng.uniform(5, 50, (1, 1, 3)) + rng.uniform(-20, 20, (6, 6, 3))
    rows = field[k] * (1 - w[:, :, None]) + field[k + 1] * w[:, :, None]
    full = rows[:, k] * (1 - w) + rows[:, k + 1] * w
    grain = rng.normal(0, 5, (96, 96, 1))
    at = (np.arange(n) * 96) // n
    out = (full + grain[at][:, at]).clip(0, 110)
    down = (np.arange(n) + 0.5) / n
    if domain == "street":
        out[down > rng.uniform(0.45, 0.65)] += 45
    elif domain == "lecture":
        lines = (np.arange(n) * 30 // n) % 3 == 0
        written = lines[:, None] & (down < rng.uniform(0.3, 1, 30)[np.arange(n) * 30 // n, None])
        out = 165 + 0.3 * out - 40 * written[:, :, None]
    elif domain == "sport":
        out[:, :, 1] += 40
        out[np.abs(down - rng.uniform(0.3, 0.7)) < 0.012] = 150
    return out.astype(np.uint8)


def _ground(images: NDArray[np.uint8], view: ShapesView, at: NDArray[np.float64], tick: NDArray[np.intp]) -> None:
    """Fills the frames with the backgrounds of their shots, as the camera sees them."""
    side = images.shape[1]
    shot = np.searchsorted(view.shots, tick, side="right") - 1
    pixel = (np.arange(side) + 0.5) / side - 0.5
    moving = np.ptp(at, axis=1).max() > 0
    for s in range(len(view.shots)):
        frames = np.flatnonzero(shot == s)
        if not len(frames):
            continue
        ground = background(view.grounds[s], side, view.domain)
        big = len(ground)
        for f in frames if moving else frames[:1]:
            cols = (((pixel / at[2, f] + at[0, f] - 0.5) / _SPARE + 0.5) * big).astype(int).clip(0, big - 1)
            rows = (((pixel / at[2, f] + at[1, f] - 0.5) / _SPARE + 0.5) * big).astype(int).clip(0, big - 1)
            images[f if moving else frames] = ground[rows[:, None], cols]


def _inside(shape: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (u across, v down; the shape's box spans -1 to 1) belong to a shape."""
    name = SHAPES[shape]
    if name == "square":
        return (np.abs(u) <= 1) & (np.abs(v) <= 1)
    if name == "circle":
        return u * u + v * v <= 1
    if name == "triangle":
        return (np.abs(v) <= 1) & (2 * np.abs(u) <= v + 1)
    if name == "diamond":
        return np.abs(u) + np.abs(v) <= 1
    if name == "cross":
        a, b = np.abs(u), np.abs(v)
        return ((a <= 0.36) & (b <= 1)) | ((b <= 0.36) & (a <= 1))
    d = u * u + v * v
    return (d <= 1) & (d >= 0.3)


def _dark(texture: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (u across, v down) of a shape are darkened by its texture."""
    a, b = ((u + 1) * 2.5).astype(int) % 2 == 1, ((v + 1) * 2.5).astype(int) % 2 == 1
    if texture == 1:
        return np.broadcast_to(b, np.broadcast_shapes(u.shape, v.shape))
    return a & b if texture == 2 else a ^ b


def _tones(thing: Thing, ticks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Light and dark colour of a shape in each frame, shape (n, 2, 3)."""
    base = np.repeat(_PALETTE[None, thing.colour], len(ticks), axis=0).astype(float)
    for act in thing.acts:
        now = (ticks >= act.start) & (ticks < act.end)
        if SHAPE_VERBS[act.verb] == "turns grey":
            base[now] = _GREY
        elif SHAPE_VERBS[act.verb] == "blinks":  # dark for the first half of every tick
            base[now & (ticks % 1 < 0.5)] *= 0.45
    return np.stack([base, 0.4 * base], axis=1).astype(np.uint8)


def paint(plan: ShapesPlan, paths: Paths, view: ShapesView, fps: float, side: int) -> Painted:
    """Renders a clip.

    Args:
        plan: What happens.
        paths: Where the shapes are.
        view: Camera and backgrounds.
        fps: Frames per second.
        side: Width and height of a frame in pixels.
    """
    n = round(plan.ticks / TICKS * fps)
    when = np.arange(n) / fps * TICKS
    tick = (when + 1e-9).astype(int)
    part = when - tick
    part[part < 1e-9] = 0

    def at(knots: NDArray[np.float64]) -> NDArray[np.float64]:
        return knots[..., tick] * (1 - part) + knots[..., tick + 1] * part if part.any() else knots[..., tick]

    camera = at(view.knots)
    camera[:, part > 0] = _held(view, camera, tick, part)[:, part > 0]
    knots = at(paths.knots)
    images = np.empty((n, side, side, 3), np.uint8)
    _ground(images, view, camera, tick)
    colours, owner = images.reshape(-1, 3), np.zeros((n, side, side), np.uint8).reshape(-1)
    x = ((knots[0] - camera[0]) * camera[2] + 0.5) * side
    y = ((knots[1] - camera[1]) * camera[2] + 0.5) * side
    r = knots[2] * camera[2] * side
    windows = []
    for thing in plan.things:
        i = thing.number
        frames = np.flatnonzero((tick >= thing.start) & (tick < thing.end))
        cx, cy, half = x[i, frames], y[i, frames], r[i, frames]
        wide = int(2 * half.max()) + 2
        xs = np.floor(cx - half).astype(int)[:, None] + np.arange(wide)
        ys = np.floor(cy - half).astype(int)[:, None] + np.arange(wide)
        u = ((xs + 0.5 - cx[:, None]) / half[:, None])[:, None, :]
        v = ((ys + 0.5 - cy[:, None]) / half[:, None])[:, :, None]
        whole = _inside(thing.shape, u, v)
        mask = whole & ((xs >= 0) & (xs < side))[:, None, :] & ((ys >= 0) & (ys < side))[:, :, None]
        place = (frames[:, None] * side + ys)[:, :, None] * side + xs[:, None, :]
        spot = place[mask]
        tones = _tones(thing, when[frames])
        frame = np.repeat(np.arange(len(frames)), mask.sum(axis=(1, 2)))
        shade = _dark(thing.texture, u, v)[mask].astype(int) if thing.texture else 0
        colours[spot] = tones[frame, shade]
        owner[spot] = i + 1
        windows.append((frames, xs, ys, mask, place, whole))
    if plan.bar:
        lo = ((paths.bar[0] - camera[plan.bar - 1]) * camera[2] + 0.5) * side
        hi = ((paths.bar[1] - camera[plan.bar - 1]) * camera[2] + 0.5) * side
        pixel = np.arange(side) + 0.5
        line = (pixel >= lo[:, None]) & (pixel < hi[:, None])
        frame, where = np.nonzero(line)
        for flat in (images, owner.reshape(n, side, side)):
            if plan.bar == 1:
                flat[frame, :, where] = _BAR if flat is images else 255
            else:
                flat[frame, where] = _BAR if flat is images else 255
    boxes = np.full((len(plan.things), n, 4), np.nan)
    seen = np.zeros((len(plan.things), n))
    for i, (frames, xs, ys, mask, place, whole) in enumerate(windows):
        shown = mask.copy()
        shown[mask] = owner[place[mask]] == i + 1
        pixels = shown.sum(axis=(1, 2))
        share = pixels / np.maximum(whole.sum(axis=(1, 2)), 1)
        across, down = shown.any(axis=1), shown.any(axis=2)
        k = np.arange(len(frames))
        wide = across.shape[1]
        box = np.stack(
            [
                xs[k, across.argmax(axis=1)],
                ys[k, down.argmax(axis=1)],
                xs[k, wide - 1 - across[:, ::-1].argmax(axis=1)] + 1,
                ys[k, wide - 1 - down[:, ::-1].argmax(axis=1)] + 1,
            ],
            axis=1,
        ).astype(float)
        box[share < SEEN] = np.nan
        boxes[i, frames] = box
        seen[i, frames] = share
    return Painted(images, boxes, seen)


def _held(view: ShapesView, camera: NDArray[np.float64], tick: NDArray[np.intp],
          part: NDArray[np.float64]) -> NDArray[np.float64]:  # fmt: skip
    """The camera between ticks: it jumps at cuts instead of sliding towards them."""
    out = camera.copy()
    last = np.isin(tick + 1, view.shots[1:])
    out[:, last] = view.knots[:, tick[last]]
    return out
