"""Paints a world: background, shadows, sprites from far to near, light and noise; and finds the box of each actor.

The silhouette of an actor is the part of the picture where the alpha of its own sprite exceeds one half. Its box is the
tight box of that *un-occluded* silhouette, which is what annotators draw around somebody behind a pole. An actor has no
box where others hide more than `HIDDEN` of its silhouette, or where less than `SLIVER` of it has come into the picture.
Shadows belong to no actor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.paint import Image, Sprite, image
from whenwhere.stage.people import STEP_PHASES, PersonLook, person_sprite
from whenwhere.stage.script import Leg
from whenwhere.stage.streams import random_stream
from whenwhere.stage.things import GAIT_PHASES, ThingLook, thing_sprite
from whenwhere.stage.vehicles import SPOKES, vehicle_sprite
from whenwhere.stage.world import Actor, Prop, View, World

#: An actor counts as gone when others hide more than this share of its silhouette.
HIDDEN = 0.9
#: An actor counts as there when at least this share of it is in the picture.
SLIVER = 0.02
#: Fewest pixels of a silhouette that get a box.
MIN_BOX_PIXELS = 8


class Pasted(NamedTuple):
    """One sprite pasted into one frame.

    Attributes:
        x: Left edge of the patch in pixels of the frame.
        y: Upper edge of the patch in pixels of the frame.
        rgba: The patch, shape (h, w, 4), uint8, with colour premultiplied by alpha.
        full: Area of the whole silhouette in pixels, with what lies outside the frame.
    """

    x: int
    y: int
    rgba: Image
    full: float


@dataclass(frozen=True)
class Seen:
    """Where all actors are seen.

    Attributes:
        boxes: Boxes as xyxy pixels of the frame, shape (actors, frames, 4), NaN where an actor has none.
    """

    boxes: NDArray[np.float64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each actor has a box in each frame, shape (actors, frames)."""
        return ~np.isnan(self.boxes[..., 0])


class _Draw(NamedTuple):
    sprite: Sprite
    x: float
    y: float
    k: float
    theta: float
    flip: bool
    depth: float
    owner: int


def paste(
    sprite: Sprite, x: float, y: float, k: float, theta: float, flip: bool, width: int, height: int
) -> Pasted | None:
    """The pixels of a sprite that is scaled, turned and put into a frame; None where it is out of view.

    Args:
        sprite: The sprite.
        x: Horizontal position of the sprite's anchor in pixels of the frame.
        y: Vertical position of the sprite's anchor in pixels of the frame.
        k: Factor by which the sprite is scaled.
        theta: Angle in radians by which the sprite is turned clockwise.
        flip: Whether the sprite is mirrored, left to right.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
    """
    full = sprite.area * k * k
    if k < 0.55:
        sprite, k = sprite.half, k * sprite.per_unit / sprite.half.per_unit
    return _warp(sprite.rgba, sprite.anchor, np.array([[k * (-1 if flip else 1), 0.0], [0.0, k]]), x, y, theta, full,
                 width, height)  # fmt: skip


def _warp(
    picture: Image, anchor: tuple[float, float], a: NDArray[np.float64], x: float, y: float, theta: float, full: float,
    width: int, height: int,
) -> Pasted | None:  # fmt: skip
    if theta:
        c, s = np.cos(theta), np.sin(theta)
        a = np.array([[c, -s], [s, c]]) @ a
    h, w = picture.shape[:2]
    corners = (np.array([[0, 0], [w, 0], [0, h], [w, h]]) - anchor) @ a.T + (x, y)
    x1, y1 = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(corners.max(0)), (width, height)).astype(int)
    if x1 >= x2 or y1 >= y2:
        return None
    # OpenCV's coordinates refer to pixel centres, ours to pixel edges: hence the half pixels.
    shift = a @ (0.5 - np.array(anchor)) + (x - x1 - 0.5, y - y1 - 0.5)
    m = np.concatenate([a, shift[:, None]], 1)
    patch = cv2.warpAffine(picture, m, (int(x2 - x1), int(y2 - y1)), flags=cv2.INTER_LINEAR)
    return Pasted(int(x1), int(y1), image(patch), full)


def _blend(frame: Image, p: Pasted) -> None:
    h, w = p.rgba.shape[:2]
    roi = frame[p.y : p.y + h, p.x : p.x + w]
    keep = cv2.cvtColor(255 - p.rgba[..., 3], cv2.COLOR_GRAY2RGB)
    cv2.multiply(roi, keep, dst=keep, scale=1 / 255)
    roi[:] = cv2.add(keep, p.rgba[..., :3])


class Compositor:
    """Paints the frames of one world.

    Args:
        world: The plan to paint.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._sprites: dict[tuple[int, str, int], Sprite] = {}
        self._shadows: dict[int, Image] = {}
        self._plates = [None if v.moving else self._plate(v, 0) for v in world.views]
        rng = random_stream(world.seed, "noise")
        h, w = world.height + 64, world.width + 64
        grey = rng.normal(0, world.noise * 0.85, (h, w, 1)) + rng.normal(0, world.noise * 0.5, (h, w, 3))
        self._more = np.clip(grey, 0, 255).round().astype(np.uint8)
        self._less = np.clip(-grey, 0, 255).round().astype(np.uint8)
        self._shift = rng.integers(0, 64, (world.frames, 2))
        self._per_unit = [self._largest(a) for a in world.actors]

    def _largest(self, a: Actor) -> float:
        """Pixels per unit of the actor's sprites at the largest size at which it is ever drawn."""
        v, y = self.world.views[a.view], self.world.paths[a.id].y
        near = np.nanmax(y) if a.depth is None and np.isfinite(y).any() else a.depth or 1.0
        return float(a.size * v.at(float(near)) * v.zoom.max() * self.world.height)

    def _plate(self, v: View, i: int) -> Image:
        w = self.world
        unit = v.plate.shape[0] / (1 + 2 * v.margin)
        k = v.zoom[i] * w.height / unit
        # At X frame heights, picture x = ((X - aspect/2 - ox) zoom + aspect/2) H and plate x = (X + margin) unit.
        tx = ((-v.margin - w.aspect / 2 - v.ox[i]) * v.zoom[i] + w.aspect / 2) * w.height
        ty = ((-v.margin - 0.5 - v.oy[i]) * v.zoom[i] + 0.5) * w.height
        m = np.array([[k, 0, tx + 0.5 * k - 0.5], [0, k, ty + 0.5 * k - 0.5]])
        size = (w.width, w.height)
        return image(cv2.warpAffine(v.plate, m, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))

    def _place(self, v: View, i: int, x: float, y: float) -> tuple[float, float]:
        w = self.world
        return (((x - w.aspect / 2 - v.ox[i]) * v.zoom[i] + w.aspect / 2) * w.height,
                ((y - 0.5 - v.oy[i]) * v.zoom[i] + 0.5) * w.height)  # fmt: skip

    def _sprite(self, a: Actor, view: str, phase: int) -> Sprite:
        key = (a.id, view, phase)
        if key not in self._sprites:
            per_unit = self._per_unit[a.id]
            if isinstance(a.look, PersonLook):
                made = person_sprite(a.look, view, phase, per_unit, a.seed)
            elif isinstance(a.look, ThingLook):
                made = thing_sprite(a.look, phase, per_unit, a.seed)
            else:
                made = vehicle_sprite(a.look, view, phase, per_unit, a.seed)
            self._sprites[key] = made
        return self._sprites[key]

    def draw(self, a: Actor, i: int) -> _Draw | None:
        """Where and how actor `a` is drawn in frame i; None while it is away."""
        path, v = self.world.paths[a.id], self.world.views[a.view]
        x, y = path.x[i], path.y[i]
        if np.isnan(x):
            return None
        leg, vx, vy = a.legs[path.leg[i]], path.vx[i], path.vy[i]
        scale = v.at(a.depth if a.depth is not None else float(y))
        view, phase, flip, theta = _pose(a, leg, vx, vy, path.way[i], a.size * scale, v.above)
        sprite = self._sprite(a, view, phase)
        px, py = self._place(v, i, float(x), float(y))
        k = a.size * scale * v.zoom[i] * self.world.height / sprite.per_unit
        return _Draw(sprite, px, py, k, theta, flip, a.depth if a.depth is not None else float(y), a.id)

    def _prop(self, v: View, p: Prop, i: int) -> _Draw:
        px, py = self._place(v, i, p.x, p.y)
        theta = p.sway * float(np.sin(i / self.world.fps * 2.1 + p.x * 9))
        return _Draw(
            p.sprite, px, py, p.size * v.zoom[i] * self.world.height / p.sprite.per_unit, theta, False, p.y, -1
        )

    def silhouette(self, a: Actor, i: int) -> NDArray[np.bool_]:
        """The silhouette that actor `a` has in frame i if it is painted alone, shape (height, width)."""
        w = self.world
        mask = np.zeros((w.height, w.width), bool)
        d = self.draw(a, i) if w.view_of[i] == a.view else None
        p = paste(*d[:6], w.width, w.height) if d else None
        if p:
            mask[p.y : p.y + p.rgba.shape[0], p.x : p.x + p.rgba.shape[1]] = p.rgba[..., 3] > 127
        return mask

    def _shade(self, frame: Image, d: _Draw, v: View) -> None:
        key = id(d.sprite)
        if key not in self._shadows:
            alpha = d.sprite.rgba[::2, ::2, 3]
            pad = max(3, alpha.shape[0] // 10)
            framed = cv2.copyMakeBorder(alpha, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(0,))
            self._shadows[key] = image(cv2.blur(cv2.blur(framed, (pad, pad)), (pad, pad)))
        alpha = self._shadows[key]
        pad = max(3, ((d.sprite.rgba.shape[0] + 1) // 2) // 10)
        anchor = (d.sprite.anchor[0] / 2 + pad, d.sprite.anchor[1] / 2 + pad)
        k = 2 * d.k
        x, y = d.x, d.y
        if v.above:
            a = np.array([[k, 0.0], [0.0, k]])
            x, y = x + v.sun.shear * d.sprite.per_unit * d.k * 0.1, y + v.sun.flat * d.sprite.per_unit * d.k * 0.1
        else:
            a = np.array([[k * (-1 if d.flip else 1), -k * v.sun.shear], [0.0, k * v.sun.flat]])
        p = _warp(alpha, anchor, a, x, y, d.theta if v.above else 0.0, 0, self.world.width, self.world.height)
        if p:
            roi = frame[p.y : p.y + p.rgba.shape[0], p.x : p.x + p.rgba.shape[1]]
            dark = cv2.convertScaleAbs(p.rgba, alpha=v.sun.strength)
            cv2.multiply(roi, cv2.cvtColor(255 - dark, cv2.COLOR_GRAY2RGB), dst=roi, scale=1 / 255)

    def frames(self) -> Iterator[tuple[Image, NDArray[np.float64]]]:
        """Paints every frame in order.

        Yields:
            The frame, RGB of shape (h, w, 3), and the boxes in it as xyxy pixels, shape (actors, 4), NaN where an actor
            has none.
        """
        w = self.world
        for i in range(w.frames):
            v = w.views[w.view_of[i]]
            still = self._plates[w.view_of[i]]
            frame = self._plate(v, i) if still is None else still.copy()
            here = [d for a in w.actors if a.view == w.view_of[i] and (d := self.draw(a, i))]
            drawn = sorted([*here, *(self._prop(v, p, i) for p in v.props)], key=lambda d: d.depth)
            for d in drawn:
                self._shade(frame, d, v)
            boxes = self._layers(frame, drawn)
            yield self._light(frame, i), boxes

    def _layers(self, frame: Image, drawn: list[_Draw]) -> NDArray[np.float64]:
        w = self.world
        boxes = np.full((len(w.actors), 4), np.nan)
        owner = np.full((w.height, w.width), -2, np.int16)
        pasted = []
        for d in drawn:
            p = paste(*d[:6], w.width, w.height)
            if p is None:
                continue
            _blend(frame, p)
            mask = p.rgba[..., 3] > 127
            owner[p.y : p.y + mask.shape[0], p.x : p.x + mask.shape[1]][mask] = d.owner
            pasted.append((d, p, mask))
        for d, p, mask in pasted:
            inside = int(np.count_nonzero(mask))
            if d.owner < 0 or inside < max(MIN_BOX_PIXELS, SLIVER * p.full):
                continue
            region = owner[p.y : p.y + mask.shape[0], p.x : p.x + mask.shape[1]]
            if np.count_nonzero(region == d.owner) < (1 - HIDDEN) * inside:
                continue
            x, y, bw, bh = cv2.boundingRect(mask.astype(np.uint8))
            boxes[d.owner] = (p.x + x, p.y + y, p.x + x + bw, p.y + y + bh)
        return boxes

    def _light(self, frame: Image, i: int) -> Image:
        gain = self.world.gain[i]
        if np.abs(gain - 1).max() > 0.002:
            table = np.clip(np.arange(256)[:, None] * gain, 0, 255).round().astype(np.uint8)
            frame = image(cv2.LUT(frame, table[:, None, :]))
        dx, dy = self._shift[i]
        h, w = frame.shape[:2]
        cv2.add(frame, self._more[dy : dy + h, dx : dx + w], dst=frame)
        return image(cv2.subtract(frame, self._less[dy : dy + h, dx : dx + w], dst=frame))


def _pose(
    a: Actor, leg: Leg, vx: float, vy: float, way: float, size: float, above: bool
) -> tuple[str, int, bool, float]:
    """View and phase of the actor's sprite, whether it is mirrored, and its rotation in radians."""
    moving = leg.act == "go"
    facing = leg.facing
    if a.family == "person":
        phase = int(way / (size * (0.95 if leg.fast else 0.68)) * STEP_PHASES) % STEP_PHASES if moving else -1
        if moving:
            if abs(vx) > 0.6 * abs(vy):
                return ("run" if leg.fast else "side"), phase, vx < 0, 0.0
            return ("back" if vy < 0 else "front"), phase, False, 0.0
        if facing.startswith("reach-"):
            return (
                ("reach-back", -1, False, 0.0) if facing == "reach-back" else ("reach", -1, facing == "reach-left", 0.0)
            )
        if facing in ("left", "right"):
            return "side", -1, facing == "left", 0.0
        return facing or "front", -1, False, 0.0
    if a.family == "vehicle":
        turn = int(way / (size * 0.5) * SPOKES * 3) % SPOKES
        if above:
            return "above", 0, False, {"up": 0.0, "down": np.pi, "left": -np.pi / 2, "right": np.pi / 2}[facing or "up"]
        return "side", turn, (facing == "left"), 0.0
    if a.family == "animal":
        phase = int(way / (size * (2.4 if leg.fast else 1.7)) * GAIT_PHASES) % GAIT_PHASES if moving else -1
        return "side", phase, (vx < 0 if moving and abs(vx) > 1e-6 else facing == "left"), 0.0
    if a.kind == "ball":
        return "side", int(way / (np.pi * size) * GAIT_PHASES) % GAIT_PHASES, vx < 0, 0.0
    return "side", 0, False, 0.0
