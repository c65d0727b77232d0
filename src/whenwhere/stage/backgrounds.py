"""Backgrounds of the splits `dev` and `heldout`: road, street, room, shop, park and yard.

A background is painted once per view, onto a plate that is larger than the frame, so that the camera can move. Each has
two variants, one per split, that share the geometry (where one can walk or drive) and differ in layout, material and
colour. Surfaces carry 1/f noise, because a grounder that models the background must cope with texture. The split `val`
has backgrounds of its own (`valplaces`).
"""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.stage.paint import Colour, Image, fractal, mix, shade

_SHIFT = 4


class Plate:
    """A canvas in world coordinates (frame heights, y down), larger than the frame by a margin.

    Args:
        aspect: Width of the frame divided by its height.
        unit: Pixels per frame height.
        margin: Frame heights by which the canvas extends beyond the frame on each side.
    """

    def __init__(self, aspect: float, unit: float, margin: float) -> None:
        self.unit, self.margin = unit, margin
        self.left, self.top = -margin, -margin
        self.right, self.bottom = aspect + margin, 1 + margin
        h, w = round((1 + 2 * margin) * unit), round((aspect + 2 * margin) * unit)
        self.rgb: NDArray[np.uint8] = np.zeros((h, w, 3), np.uint8)

    def _points(self, points: ArrayLike) -> NDArray[np.int32]:
        p = (np.asarray(points, float).reshape(-1, 2) - (self.left, self.top)) * self.unit
        return np.round(p * (1 << _SHIFT)).astype(np.int32)

    def poly(self, points: ArrayLike, colour: Colour) -> None:
        """Paints a polygon in one colour through (n, 2) points."""
        cv2.fillPoly(self.rgb, [self._points(points)], colour, cv2.LINE_AA, _SHIFT)

    def rect(self, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
        """Paints a rectangle in one colour, with the corners (x1, y1) and (x2, y2)."""
        self.poly([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour)

    def line(self, points: ArrayLike, width: float, colour: Colour) -> None:
        """Paints a line through (n, 2) points, `width` frame heights wide."""
        cv2.polylines(self.rgb, [self._points(points)], False, colour, max(1, round(width * self.unit)), cv2.LINE_AA,
                      _SHIFT)  # fmt: skip

    def disc(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Paints an ellipse in one colour, with the centre (x, y) and the half axes `rx` and `ry`."""
        a = np.linspace(0, 2 * np.pi, 33)[:-1]
        self.poly(np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], 1), colour)

    def band(self, y1: float, y2: float, top: Colour, bottom: Colour) -> None:
        """Paints all columns from y1 to y2 with a vertical gradient from `top` to `bottom`."""
        r1, r2 = (round(np.clip((y - self.top) * self.unit, 0, len(self.rgb))) for y in (y1, y2))
        w = np.linspace(0, 1, max(r2 - r1, 1))[: r2 - r1, None, None]
        self.rgb[r1:r2] = ((1 - w) * np.array(top) + w * np.array(bottom)).astype(np.uint8)

    def grain(self, rng: np.random.Generator, y1: float, y2: float, rough: float, power: float = 1.0) -> None:
        """Multiplies all columns from y1 to y2 by 1/f^power noise of mean 1 and standard deviation `rough`."""
        r1, r2 = (round(np.clip((y - self.top) * self.unit, 0, len(self.rgb))) for y in (y1, y2))
        if r2 - r1 < 2:
            return
        noise = 1 + rough * fractal(rng, r2 - r1, self.rgb.shape[1], power)
        self.rgb[r1:r2] = np.clip(self.rgb[r1:r2] * noise[..., None], 0, 255).astype(np.uint8)

    def picture(self) -> Image:
        """The finished plate, RGB of shape (h, w, 3), slightly darker in the corners, as with a cheap lens."""
        h, w = self.rgb.shape[:2]
        gy, gx = np.mgrid[0:h, 0:w].astype(np.float32)
        r = np.hypot(gx / w - 0.5, gy / h - 0.5)
        return (self.rgb * (1.03 - 0.22 * r**2)[..., None]).clip(0, 255).astype(np.uint8)


def _speckle(p: Plate, rng: np.random.Generator, y1: float, y2: float, n: int, tone: tuple[int, int]) -> None:
    for _ in range(n):
        v = float(rng.integers(*tone))
        x, y = rng.uniform(p.left, p.right), rng.uniform(y1, y2)
        p.disc(x, y, 0.0022, 0.0018, (v, v, v))


def road(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints a road from above: two lanes lead up on the right and two down on the left, as the scripts expect."""
    dev = split == "dev"
    tone = rng.uniform(70, 95) if dev else rng.uniform(120, 150)
    c: Colour = (tone, tone, tone + 4) if dev else (tone, tone - 5, tone - 14)
    p.band(p.top, p.bottom, c, shade(c, 0.92))
    p.grain(rng, p.top, p.bottom, 0.08, 1.3)
    p.grain(rng, p.top, p.bottom, 0.05, 0.3)
    _speckle(p, rng, p.top, p.bottom, 90, (150, 215) if dev else (60, 95))
    mid = (p.left + p.right) / 2
    paint: Colour = (214, 214, 206) if dev else (224, 196, 92)
    if dev:
        for x in (mid - 0.42, mid, mid + 0.42):
            for y in np.arange(p.top + rng.uniform(0, 0.2), p.bottom, 0.34):
                p.line([(x, y), (x, y + 0.15)], 0.011, paint)
        for x in (mid - 0.84, mid + 0.84):
            p.line([(x, p.top), (x, p.bottom)], 0.014, paint)
    else:
        for x in (mid - 0.008, mid + 0.02):
            p.line([(x, p.top), (x, p.bottom)], 0.009, paint)
        for side in (-1, 1):
            x = mid + side * 0.87
            edge = p.left if side < 0 else p.right
            p.poly([(x, p.top), (edge, p.top), (edge, p.bottom), (x, p.bottom)], (92, 116, 66))
            p.line([(x, p.top), (x, p.bottom)], 0.03, (176, 172, 164))
        y = rng.uniform(0.3, 0.6)
        for x in np.arange(mid - 0.82, mid + 0.8, 0.11):
            p.rect(x, y, x + 0.06, y + 0.17, (222, 220, 212))
    for _ in range(int(rng.integers(3, 7))):
        x, y = rng.uniform(p.left, p.right), rng.uniform(p.top, p.bottom)
        way = np.cumsum(np.concatenate([[(x, y)], rng.normal(0, 0.07, (7, 2))]), 0)
        p.line(way, 0.004, shade(c, 0.72))
    p.grain(rng, p.top, p.bottom, 0.03, 0.8)


def _windows(p: Plate, rng: np.random.Generator, x1: float, y1: float, x2: float, y2: float, wall: Colour) -> None:
    nx, ny = max(1, int((x2 - x1) / 0.16)), max(1, int((y2 - y1) / 0.15))
    for i in range(nx):
        for j in range(ny):
            cx, cy = x1 + (i + 0.5) * (x2 - x1) / nx, y1 + (j + 0.5) * (y2 - y1) / ny
            glass = mix((58, 74, 92), (150, 176, 196), rng.uniform(0, 0.6))
            p.rect(cx - 0.045, cy - 0.05, cx + 0.045, cy + 0.05, shade(wall, 1.25))
            p.rect(cx - 0.037, cy - 0.042, cx + 0.037, cy + 0.042, glass)
            p.line([(cx, cy - 0.042), (cx, cy + 0.042)], 0.005, shade(wall, 1.2))


def street(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints houses, a pavement, a road with two lanes and the near pavement; the ground begins at y = 0.44."""
    dev = split == "dev"
    if dev:
        p.band(p.top, 0.46, (150, 182, 214), (204, 216, 224))
    else:
        p.band(p.top, 0.46, (92, 92, 132), (224, 168, 132))
    x = p.left
    while x < p.right:
        w = rng.uniform(0.35, 0.7)
        top = rng.uniform(-0.1, 0.14) if dev else rng.uniform(0.08, 0.2)
        walls = ((168, 120, 98), (190, 178, 156), (140, 144, 152), (182, 152, 120)) if dev else (
            (206, 196, 186), (150, 96, 82), (172, 184, 176), (122, 118, 128))  # fmt: skip
        wall = shade(walls[int(rng.integers(len(walls)))], rng.uniform(0.85, 1.08))
        p.rect(x, top, x + w, 0.46, wall)
        if not dev:
            roof = shade((96, 60, 52), rng.uniform(0.8, 1.2))
            p.poly([(x - 0.03, top), (x + w / 2, top - 0.16), (x + w + 0.03, top)], roof)
        _windows(p, rng, x + 0.03, top + 0.02, x + w - 0.03, 0.3, wall)
        if rng.random() < 0.7:
            d = rng.uniform(x + 0.05, x + w - 0.14)
            p.rect(d, 0.31, d + 0.085, 0.46, shade((86, 60, 48), rng.uniform(0.7, 1.3)))
        x += w + (0.0 if dev else rng.uniform(0.02, 0.12))
    p.grain(rng, p.top, 0.46, 0.05, 1.0)
    kerb: Colour = (158, 156, 150) if dev else (150, 138, 126)
    p.band(0.45, 0.57, shade(kerb, 0.95), kerb)
    for x in np.arange(p.left, p.right, 0.13):
        p.line([(x, 0.45), (x - 0.02, 0.57)], 0.004, shade(kerb, 0.82))
    if not dev:
        p.band(0.45, 0.478, (62, 88, 50), (52, 76, 44))
    p.rect(p.left, 0.565, p.right, 0.58, shade(kerb, 0.7))
    tar: Colour = (84, 85, 90) if dev else (62, 60, 66)
    p.band(0.58, 0.93, tar, shade(tar, 1.08))
    for x in np.arange(p.left, p.right, 0.34):
        p.poly([(x, 0.742), (x + 0.17, 0.742), (x + 0.168, 0.752), (x - 0.002, 0.752)], (206, 206, 198))
    p.rect(p.left, 0.93, p.right, 0.945, shade(kerb, 0.75))
    p.band(0.945, p.bottom, kerb, shade(kerb, 1.05))
    for x in np.arange(p.left, p.right, 0.22):
        p.line([(x, 0.945), (x - 0.05, p.bottom)], 0.005, shade(kerb, 0.82))
    p.grain(rng, 0.45, p.bottom, 0.06, 0.9)
    p.grain(rng, 0.45, p.bottom, 0.035, 0.2)


def room(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints a wall, and a floor that begins at y = 0.52.

    The variant `dev` has a board, a pillar and a door, `heldout` has cupboards and tiles.
    """
    dev = split == "dev"
    wall: Colour = (
        shade((206, 208, 212), rng.uniform(0.9, 1.08)) if dev else shade((176, 190, 178), rng.uniform(0.9, 1.1))
    )
    p.band(p.top, 0.53, shade(wall, 0.95), shade(wall, 1.05))
    p.grain(rng, p.top, 0.53, 0.02, 1.6)
    if dev:
        x = rng.uniform(0.05, 0.5)
        p.rect(x, 0.02, x + 0.5, 0.32, (60, 62, 66))
        p.rect(x + 0.015, 0.035, x + 0.485, 0.305, shade((44, 62, 58), rng.uniform(0.9, 1.5)))
        x = rng.uniform(1.0, 1.4)
        p.rect(x, p.top, x + 0.13, 0.55, (150, 148, 144))
        p.rect(x + 0.1, p.top, x + 0.13, 0.55, (126, 124, 120))
        wood = shade((150, 92, 48), rng.uniform(0.85, 1.2))
        p.band(0.53, p.bottom, shade(wood, 0.88), wood)
        mid = (p.left + p.right) / 2
        for k in np.arange(-3.2, 3.2, 0.16):
            tone = shade(wood, rng.uniform(0.84, 1.16))
            a, b = mid + k * 0.75, mid + k * 1.5
            p.poly([(a, 0.53), (a + 0.12, 0.53), (b + 0.24, p.bottom), (b, p.bottom)], tone)
            p.line([(a, 0.53), (b, p.bottom)], 0.003, shade(wood, 0.6))
    else:
        for y in np.arange(p.top, 0.53, 0.075):
            p.line([(p.left, y), (p.right, y)], 0.003, shade(wall, 0.8))
        for i, x in enumerate(np.arange(p.left, p.right, 0.11)):
            p.line([(x, p.top), (x, 0.53)], 0.003, shade(wall, 0.8 if i % 2 else 0.83))
        wood = shade((112, 128, 150), rng.uniform(0.8, 1.15))
        x = rng.uniform(0.0, 0.4)
        for k in range(3):
            p.rect(x + k * 0.27, -0.02, x + k * 0.27 + 0.25, 0.16, wood)
            p.disc(x + k * 0.27 + 0.21, 0.08, 0.008, 0.008, (222, 220, 210))
        p.rect(x + 0.95, 0.0, x + 1.3, 0.3, (196, 220, 236))
        p.line([(x + 0.95, 0.15), (x + 1.3, 0.15)], 0.012, (240, 240, 238))
        p.line([(x + 1.125, 0.0), (x + 1.125, 0.3)], 0.012, (240, 240, 238))
        mid = (p.left + p.right) / 2
        rows = [0.53 + 0.09 * (1.3**k - 1) / 0.3 for k in range(8)]
        for r, (y1, y2) in enumerate(itertools.pairwise(rows)):
            s1, s2 = 0.2 + 0.36 * (y1 - 0.53), 0.2 + 0.36 * (y2 - 0.53)
            for k in range(-8, 8):
                tone = (204, 198, 186) if (r + k) % 2 else (134, 128, 122)
                p.poly(
                    [(mid + k * s1, y1), (mid + (k + 1) * s1, y1), (mid + (k + 1) * s2, y2), (mid + k * s2, y2)], tone
                )
    p.rect(p.left, 0.515, p.right, 0.535, shade((104, 62, 36), 1.0) if dev else (96, 100, 98))
    p.grain(rng, 0.53, p.bottom, 0.06, 1.0)
    p.grain(rng, p.top, p.bottom, 0.015, 0.3)


def shop(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints shelves full of goods at the back, and in front of them a plain floor that begins at y = 0.52."""
    dev = split == "dev"
    p.band(p.top, 0.53, (120, 112, 104) if dev else (92, 98, 110), (104, 98, 92) if dev else (82, 86, 96))
    board: Colour = (196, 180, 152) if dev else (168, 172, 180)
    for y in (0.08, 0.24, 0.4):
        x = p.left
        while x < p.right:
            w, h = rng.uniform(0.03, 0.075), rng.uniform(0.07, 0.125)
            c = rng.uniform(60, 190, 3) * (0.75 if dev else 0.85)
            goods: Colour = (float(c[0]), float(c[1]), float(c[2]))
            if dev:
                p.rect(x, y - h, x + w, y, goods)
                p.rect(x, y - 0.6 * h, x + w, y - 0.35 * h, mix(goods, (240, 240, 236), 0.5))
            else:
                p.disc(x + w / 2, y - 0.032, w / 2, 0.034, goods)
            x += w + rng.uniform(0.002, 0.02)
        p.rect(p.left, y, p.right, y + 0.018, board)
        p.rect(p.left, y + 0.018, p.right, y + 0.03, shade(board, 0.6))
    for x in np.arange(p.left + 0.2, p.right, 0.62):
        p.rect(x, p.top, x + 0.02, 0.53, shade(board, 0.8))
    c2: Colour = (184, 180, 172) if dev else (140, 122, 104)
    p.band(0.53, p.bottom, shade(c2, 0.86), c2)
    for y in 0.53 + 0.07 * (1.45 ** np.arange(7) - 1) / 0.45:
        p.line([(p.left, y), (p.right, y)], 0.004, shade(c2, 0.8))
    mid = (p.left + p.right) / 2
    for k in np.arange(-3, 3.1, 0.25):
        p.line([(mid + k * 0.8, 0.53), (mid + k * 1.7, p.bottom)], 0.004, shade(c2, 0.8))
    p.rect(p.left, 0.515, p.right, 0.535, shade(board, 0.5))
    p.grain(rng, p.top, p.bottom, 0.04, 0.9)


def _tree(p: Plate, rng: np.random.Generator, x: float, y: float, size: float, leaf: Colour, fir: bool) -> None:
    p.line([(x, y), (x + 0.01 * size, y - 0.5 * size)], 0.06 * size, shade((96, 70, 48), rng.uniform(0.8, 1.1)))
    if fir:
        for k in range(4):
            w, top = 0.3 * size * (1 - 0.2 * k), y - size * (0.35 + 0.2 * k)
            p.poly([(x - w, top + 0.16 * size), (x + w, top + 0.16 * size), (x, top - 0.16 * size)],
                   shade(leaf, rng.uniform(0.85, 1.1)))  # fmt: skip
        return
    for _ in range(16):
        dx, dy = rng.normal(0, 0.2 * size), rng.normal(0, 0.13 * size)
        r = rng.uniform(0.1, 0.19) * size
        p.disc(x + dx, y - 0.72 * size + dy, r, r * 0.9, shade(leaf, rng.uniform(0.75, 1.2)))


def park(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints grass, trees and a path (`dev`) or snow with firs (`heldout`); the ground begins at y = 0.36."""
    dev = split == "dev"
    p.band(p.top, 0.38, (146, 186, 226) if dev else (176, 186, 200), (212, 224, 230) if dev else (224, 226, 230))
    far: Colour = (92, 124, 84) if dev else (150, 160, 170)
    hills = [(x, 0.3 + 0.05 * np.sin(3 * x + 1) + 0.025 * np.sin(7.3 * x)) for x in np.linspace(p.left, p.right, 60)]
    p.poly([*hills, (p.right, 0.4), (p.left, 0.4)], far)
    ground: Colour = (
        shade((104, 142, 62), rng.uniform(0.88, 1.1)) if dev else shade((222, 224, 230), rng.uniform(0.9, 1.0))
    )
    p.band(0.36, p.bottom, shade(ground, 0.86), ground)
    p.grain(rng, 0.36, p.bottom, 0.09 if dev else 0.035, 1.1)
    p.grain(rng, 0.36, p.bottom, 0.07 if dev else 0.02, 0.15)
    path: Colour = (190, 170, 134) if dev else (182, 184, 190)
    x0 = rng.uniform(0.2, 1.4)
    y = np.linspace(0.37, p.bottom, 24)
    cx, half = x0 + 0.35 * np.sin(2.2 * y + x0), 0.02 + 0.2 * (y - 0.35)
    p.poly(np.concatenate([np.stack([cx - half, y], 1), np.stack([cx + half, y], 1)[::-1]]), path)
    leaf: Colour = (66, 104, 48) if dev else (48, 76, 66)
    for x in np.arange(p.left, p.right, 0.3):
        _tree(p, rng, x + rng.uniform(-0.1, 0.1), rng.uniform(0.37, 0.42), rng.uniform(0.22, 0.42), leaf, not dev)
    for _ in range(int(rng.integers(1, 4))):
        _tree(p, rng, rng.uniform(p.left, p.right), rng.uniform(0.44, 0.5), rng.uniform(0.5, 0.7), leaf, not dev)
    if dev:
        b = rng.uniform(0.3, 1.3)
        p.rect(b, 0.44, b + 0.26, 0.462, (124, 86, 56))
        p.rect(b, 0.415, b + 0.26, 0.43, (124, 86, 56))
        for x in (b + 0.02, b + 0.23):
            p.rect(x, 0.44, x + 0.012, 0.5, (70, 60, 54))
    else:
        for x in np.arange(p.left, p.right, 0.16):
            p.rect(x, 0.4, x + 0.018, 0.49, (108, 84, 66))
        p.rect(p.left, 0.425, p.right, 0.438, (116, 92, 72))
    p.grain(rng, p.top, 0.5, 0.03, 0.8)


def yard(p: Plate, rng: np.random.Generator, split: str) -> None:
    """Paints a paved yard seen from a window: a wall at the top, and the ground from y = 0.16 on.

    The ground is made of slabs (`dev`) or bricks (`heldout`).
    """
    dev = split == "dev"
    stone: Colour = (
        shade((172, 164, 150), rng.uniform(0.85, 1.08)) if dev else shade((148, 96, 78), rng.uniform(0.85, 1.1))
    )
    p.band(p.top, p.bottom, shade(stone, 0.9), stone)
    step = 0.13 if dev else 0.075
    for r, y in enumerate(np.arange(0.16, p.bottom, step)):
        for x in np.arange(p.left - (step if r % 2 else 0), p.right, step * (1.0 if dev else 2.0)):
            w = step * (1.0 if dev else 2.0)
            p.rect(x, y, x + w - 0.006, y + step - 0.006, shade(stone, rng.uniform(0.88, 1.12)))
    p.band(p.top, 0.12, (126, 110, 98) if dev else (196, 188, 170), (112, 98, 88) if dev else (180, 172, 156))
    for x in np.arange(p.left + rng.uniform(0, 0.3), p.right, 0.55):
        p.rect(x, p.top, x + 0.14, 0.12, (70, 62, 58) if dev else (60, 84, 104))
    p.rect(p.left, 0.12, p.right, 0.16, shade(stone, 0.6))
    for _ in range(3):
        x, y = rng.uniform(p.left, p.right), rng.uniform(0.3, 0.95)
        p.disc(x, y, 0.04, 0.028, shade(stone, 0.55))
        p.disc(x, y, 0.033, 0.022, shade(stone, 0.72))
    p.grain(rng, p.top, p.bottom, 0.06, 1.1)
    p.grain(rng, p.top, p.bottom, 0.03, 0.2)


#: The painter of each background. It takes the plate, a random stream, and the split `dev` or `heldout`.
BACKGROUNDS: dict[str, Callable[[Plate, np.random.Generator, str], None]] = {
    "road": road, "street": street, "room": room, "shop": shop, "park": park, "yard": yard,
}  # fmt: skip
