"""Brushes: flat shapes drawn large and shrunk, so that edges are smooth; and noise that looks like a surface.

A `Brush` draws in its own units (y up, with the origin where the sprite stands) into an RGBA picture of twice the
requested size. `sprite()` shrinks it, adds shading, grain and a darker rim, and premultiplies alpha. Everything is
drawn once per pose and then only warped and pasted (see `compose`).
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
#: Red, green and blue, each 0 to 255.
Colour = tuple[float, float, float]

#: Factor by which a sprite is drawn larger than it will be.
_LARGER = 2
#: Fractional bits of the fixed-point coordinates passed to OpenCV.
_SHIFT = 4


def image(picture: ArrayLike) -> Image:
    """An OpenCV result typed as the 8-bit picture that it is; OpenCV's annotations promise only some number type."""
    return np.asarray(picture, np.uint8)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (`factor` < 1) or lighter (`factor` > 1).

    >>> shade((100, 200, 250), 1.5)
    (150.0, 255.0, 255.0)
    """
    return tuple(float(min(255.0, max(0.0, c * factor))) for c in colour)  # type: ignore[return-value]


def mix(a: Colour, b: Colour, w: float) -> Colour:
    """The colour `(1 - w) a + w b`."""
    return tuple(float((1 - w) * x + w * y) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def fractal(rng: np.random.Generator, height: int, width: int, power: float = 1.2) -> NDArray[np.float32]:
    """Noise with a 1/f^power amplitude spectrum, mean 0 and standard deviation 1, shape (height, width)."""
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum /= np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** power
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(height, width))
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


@dataclass(frozen=True)
class Sprite:
    """A picture to paste.

    Attributes:
        rgba: Picture, shape (h, w, 4), uint8, with colour premultiplied by alpha.
        anchor: Point (x, y), in pixels of the picture, that is put at an actor's position.
        per_unit: Pixels per unit of the brush that drew it.
    """

    rgba: Image
    anchor: tuple[float, float]
    per_unit: float

    @cached_property
    def area(self) -> int:
        """Number of pixels that count as the silhouette (alpha above one half)."""
        return int((self.rgba[..., 3] > 127).sum())

    @cached_property
    def half(self) -> "Sprite":
        """The same sprite at half the size, because a sprite pasted far below its drawn size would alias."""
        h, w = self.rgba.shape[:2]
        size = (max(1, w // 2), max(1, h // 2))
        small = image(cv2.resize(self.rgba, size, interpolation=cv2.INTER_AREA))
        sx, sy = size[0] / w, size[1] / h
        return Sprite(small, (self.anchor[0] * sx, self.anchor[1] * sy), self.per_unit * (sx + sy) / 2)


class Brush:
    """Draws one sprite.

    Args:
        left: Extent to the left of the origin, in units.
        right: Extent to the right of the origin, in units.
        up: Extent above the origin, in units.
        down: Extent below the origin, in units.
        per_unit: Pixels per unit of the finished sprite.
    """

    def __init__(self, left: float, right: float, up: float, down: float, per_unit: float) -> None:
        self.k = per_unit * _LARGER
        self.origin = (left * self.k, up * self.k)
        w, h = (int(np.ceil((left + right) * self.k)) + 4, int(np.ceil((up + down) * self.k)) + 4)
        w, h = w + w % _LARGER, h + h % _LARGER
        self.rgb = np.zeros((h, w, 3), np.uint8)
        self.alpha = np.zeros((h, w), np.uint8)
        self.per_unit = per_unit

    def _points(self, points: ArrayLike) -> NDArray[np.int32]:
        p = np.asarray(points, float).reshape(-1, 2) * (self.k, -self.k) + self.origin
        return np.round(p * (1 << _SHIFT)).astype(np.int32)

    def poly(self, points: ArrayLike, colour: Colour) -> None:
        """Draws a filled polygon through (n, 2) points."""
        p = self._points(points)
        cv2.fillPoly(self.rgb, [p], colour, shift=_SHIFT)
        cv2.fillPoly(self.alpha, [p], 255, shift=_SHIFT)

    def rect(self, x1: float, y1: float, x2: float, y2: float, colour: Colour, radius: float = 0.0) -> None:
        """Draws a filled rectangle, with round corners if `radius` (in units) is positive."""
        if radius <= 0:
            self.poly([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour)
            return
        r = min(radius, abs(x2 - x1) / 2, abs(y2 - y1) / 2)
        a = np.linspace(0, np.pi / 2, 7)
        arc = r * np.stack([np.cos(a), np.sin(a)], 1)
        cx = (max(x1, x2) - r, min(x1, x2) + r)
        cy = (max(y1, y2) - r, min(y1, y2) + r)
        turn = [(1, 1, 1, False), (-1, 1, -1, True), (-1, -1, 1, False), (1, -1, -1, True)]
        points = []
        for sx, sy, _, back in turn:
            part = arc[::-1] if back else arc
            points.append(part * (sx, sy) + (cx[0] if sx > 0 else cx[1], cy[0] if sy > 0 else cy[1]))
        self.poly(np.concatenate(points), colour)

    def limb(self, points: ArrayLike, width: float, colour: Colour) -> None:
        """Draws a line with round ends through (n, 2) points, `width` units wide."""
        p = self._points(points)
        thick = max(1, round(width * self.k))
        for picture, value in ((self.rgb, colour), (self.alpha, (255,))):
            cv2.polylines(picture, [p], False, value, thick, shift=_SHIFT)
            for q in p:
                cv2.circle(picture, (int(q[0]), int(q[1])), int(width * self.k / 2 * (1 << _SHIFT)), value, -1,
                           shift=_SHIFT)  # fmt: skip

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        """Draws a filled ellipse, turned anticlockwise by `angle` degrees."""
        a = np.linspace(0, 2 * np.pi, 41)[:-1]
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        u, v = rx * np.cos(a), ry * np.sin(a)
        self.poly(np.stack([x + c * u - s * v, y + s * u + c * v], 1), colour)

    def pattern(self, kind: str, where: tuple[float, float, float, float], old: Colour, new: Colour) -> None:
        """Draws a pattern over what has one colour.

        Args:
            kind: `striped`, `checked`, `spotted`, `zigzag` or `diamonds`.
            where: Box (x1, y1, x2, y2) in units, outside which nothing changes.
            old: The colour that is drawn over.
            new: The colour of the pattern.
        """
        x1, y1, x2, y2 = where
        (px1, py2), (px2, py1) = (self._points([(x1, y1), (x2, y2)]) >> _SHIFT).tolist()
        px1, py1 = max(px1, 0), max(py1, 0)
        part = self.rgb[py1:py2, px1:px2]
        if not part.size:
            return
        gy, gx = np.mgrid[0 : part.shape[0], 0 : part.shape[1]] / max(4.0, part.shape[0] / 7)
        wide = np.round(old).astype(np.uint8)
        on = {
            "striped": np.sin(gy * np.pi) > 0,
            "checked": (np.sin(gy * np.pi) > 0) ^ (np.sin(gx * np.pi) > 0),
            "spotted": np.sin(gy * np.pi) * np.sin(gx * np.pi) > 0.45,
            "zigzag": (gy + np.abs(gx % 2 - 1)) % 2 > 1,
            "diamonds": np.abs(gy % 2 - 1) + np.abs(gx % 2 - 1) < 0.75,
        }[kind]
        part[on & (np.abs(part.astype(np.int16) - wide).max(-1) <= 1)] = np.round(new).astype(np.uint8)

    def sprite(self, rng: np.random.Generator, grain: float = 0.05, light: float = 0.16) -> Sprite:
        """The finished sprite: shrunk, lit from above and grained, with a darker rim.

        Args:
            rng: Random stream of the grain.
            grain: Relative standard deviation of the grain.
            light: Relative difference in brightness between top and bottom.
        """
        h, w = self.alpha.shape[0] // _LARGER, self.alpha.shape[1] // _LARGER
        inside = self.alpha.astype(np.float32) / 255
        rgb = cv2.resize(self.rgb.astype(np.float32) * inside[..., None], (w, h), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(inside, (w, h), interpolation=cv2.INTER_AREA)
        tone = 1 + grain * fractal(rng, h, w, 0.9)
        tone *= np.linspace(1 + light / 2, 1 - light / 2, h, dtype=np.float32)[:, None]
        deep = cv2.blur(alpha, (3, 3)) if min(h, w) > 12 else alpha
        tone *= 0.78 + 0.22 * deep
        rgb = np.clip(rgb * tone[..., None], 0, 255 * alpha[..., None])
        rgba = np.dstack([rgb, alpha * 255]).round().astype(np.uint8)
        return Sprite(rgba, (self.origin[0] / _LARGER, self.origin[1] / _LARGER), self.per_unit)
