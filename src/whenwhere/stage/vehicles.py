"""Vehicles, from the side and from above.

The unit is the vehicle's length. From the side, the origin is the ground under its middle and it faces right; from
above, the origin is its middle and it faces up, towards +y.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.stage.paint import Brush, Colour, Sprite, mix, shade

_GLASS = (48, 60, 74)
_TYRE = (26, 26, 28)
_LAMP = (255, 246, 205)
_TAIL = (170, 22, 20)
#: Number of pictures of a turning wheel, after which its spokes look the same again.
SPOKES = 4


@dataclass(frozen=True)
class VehicleLook:
    """How one vehicle is painted.

    Attributes:
        kind: `car`, `van`, `truck` or `bus`.
        body: Colour of the body.
        load: Colour of a truck's load.
        stretch: Length by which the cabin is longer (shorter if negative) than usual, in lengths of the vehicle.
        lights: Whether the headlights are on.
        stripe: Colour of a stripe along the vehicle. None paints no stripe.
        boxy: Whether the vehicle has another build, visible from the side: off-roader, minibus, tanker or
            double-decker.
    """

    kind: str
    body: Colour
    load: Colour = (222, 222, 218)
    stretch: float = 0.0
    lights: bool = True
    stripe: Colour | None = None
    boxy: bool = False


def vehicle_sprite(look: VehicleLook, view: str, phase: int, per_unit: float, seed: int) -> Sprite:
    """One picture of a vehicle.

    Args:
        look: How it is painted.
        view: `side` or `above`.
        phase: Position of the wheels, 0 to `SPOKES - 1`.
        per_unit: Pixels per length of the vehicle.
        seed: Seed of the grain, the same for all pictures of one vehicle.
    """
    rng = np.random.default_rng(seed)
    if view == "above":
        b = Brush(0.34, 0.34, 0.54, 0.54, per_unit)
        _above(b, look)
        return b.sprite(rng, grain=0.03, light=0.0)
    b = Brush(0.54, 0.54, 0.62, 0.04, per_unit)
    _side(b, look, phase)
    return b.sprite(rng, grain=0.03, light=0.22)


def _wheel(b: Brush, x: float, r: float, phase: int) -> None:
    b.ellipse(x, r, r, r, _TYRE)
    b.ellipse(x, r, r * 0.6, r * 0.6, (150, 152, 156))
    for k in range(3):
        a = np.pi * (k / 3 + phase / SPOKES / 3)
        d = 0.55 * r * np.array([np.cos(a), -np.sin(a)])
        b.limb([(x - d[0], r - d[1]), (x + d[0], r + d[1])], r * 0.14, (70, 72, 76))


def _side(b: Brush, look: VehicleLook, phase: int) -> None:
    c, dark = look.body, shade(look.body, 0.62)
    s = look.stretch
    if look.boxy:
        wheels, r = _boxy(b, look)
    elif look.kind == "car":
        wheels, r = (-0.3, 0.31), 0.088
        b.poly([(-0.5, 0.07), (-0.495, 0.22), (-0.42, 0.25), (-0.36 - s, 0.255), (-0.24 - s, 0.375), (0.08, 0.385),
                (0.22, 0.27), (0.42, 0.235), (0.495, 0.18), (0.5, 0.07)], c)  # fmt: skip
        b.poly([(-0.31 - s, 0.26), (-0.22 - s, 0.352), (-0.07 - s / 2, 0.36), (-0.07 - s / 2, 0.262)], _GLASS)
        b.poly([(-0.045 - s / 2, 0.262), (-0.045 - s / 2, 0.36), (0.065, 0.36), (0.18, 0.268)], _GLASS)
        b.poly([(-0.03 - s / 2, 0.33), (0.0, 0.355), (0.05, 0.355), (0.0, 0.3)], mix(_GLASS, (200, 220, 240), 0.45))
        b.limb([(-0.058 - s / 2, 0.25), (-0.058 - s / 2, 0.1)], 0.006, dark)
        b.limb([(0.17, 0.24), (0.16, 0.1)], 0.006, dark)
        b.limb([(-0.03, 0.215), (0.02, 0.215)], 0.012, shade(c, 0.7))
    elif look.kind == "van":
        wheels, r = (-0.28, 0.3), 0.082
        b.poly(
            [(-0.5, 0.07), (-0.5, 0.42), (-0.48, 0.44), (0.22 + s, 0.44), (0.38, 0.28), (0.49, 0.245), (0.5, 0.07)], c
        )
        b.poly([(0.06, 0.27), (0.06, 0.4), (0.2 + s, 0.4), (0.33, 0.275)], _GLASS)
        b.limb([(0.03, 0.4), (0.03, 0.1)], 0.006, dark)
        b.limb([(-0.45, 0.25), (0.02, 0.25)], 0.008, dark)
    elif look.kind == "truck":
        wheels, r = (-0.36, 0.34), 0.08
        b.rect(-0.5, 0.1, 0.19, 0.5, look.load, 0.01)
        for x in np.linspace(-0.42, 0.1, 5):
            b.limb([(x, 0.13), (x, 0.47)], 0.006, shade(look.load, 0.82))
        b.rect(-0.5, 0.075, 0.5, 0.12, (60, 60, 64))
        b.poly([(0.21, 0.08), (0.21, 0.41), (0.38, 0.42), (0.475, 0.27), (0.5, 0.23), (0.5, 0.08)], c)
        b.poly([(0.28, 0.28), (0.28, 0.385), (0.37, 0.39), (0.445, 0.28)], _GLASS)
        _wheel(b, -0.18, r, phase)
    else:
        wheels, r = (-0.3, 0.32), 0.058
        b.rect(-0.5, 0.05, 0.5, 0.335, c, 0.03)
        for x in np.linspace(-0.45, 0.29, 7):
            b.rect(x, 0.19, x + 0.085, 0.295, _GLASS, 0.01)
        b.rect(0.4, 0.08, 0.46, 0.29, _GLASS)
    if look.stripe is not None:
        b.rect(-0.49, 0.135, 0.3 if look.kind == "truck" else 0.49, 0.165, look.stripe)
    b.rect(-0.5, 0.06, 0.5, 0.085, shade(c, 0.45))
    for x in wheels:
        b.ellipse(x, r, r * 1.22, r * 1.22, shade(c, 0.35))
        _wheel(b, x, r, phase)
    b.ellipse(0.478, 0.18, 0.02, 0.025, _LAMP if look.lights else (190, 190, 180))
    b.rect(-0.5, 0.17, -0.475, 0.215, _TAIL)


def _boxy(b: Brush, look: VehicleLook) -> tuple[tuple[float, float], float]:
    """Draws the bodies of the boxy builds from the side; returns the positions of the wheels and their radius."""
    c, dark = look.body, shade(look.body, 0.62)
    if look.kind == "car":  # an off-roader: upright back, spare wheel, rails on the roof
        b.rect(-0.515, 0.2, -0.47, 0.36, _TYRE, 0.02)
        b.poly([(-0.48, 0.1), (-0.48, 0.3), (-0.45, 0.45), (0.12, 0.45), (0.2, 0.3), (0.46, 0.28), (0.5, 0.24),
                (0.5, 0.1)], c)  # fmt: skip
        for x1, x2 in ((-0.43, -0.26), (-0.23, -0.07), (-0.04, 0.1)):
            b.rect(x1, 0.31, x2, 0.415, _GLASS, 0.012)
        b.limb([(-0.38, 0.475), (0.05, 0.475)], 0.012, (52, 54, 58))
        for x in (-0.245, -0.055):
            b.limb([(x, 0.3), (x, 0.13)], 0.006, dark)
        return (-0.29, 0.3), 0.108
    if look.kind == "van":  # a minibus: a short nose and windows all along
        b.poly([(-0.5, 0.07), (-0.5, 0.38), (-0.46, 0.41), (0.34, 0.41), (0.46, 0.26), (0.5, 0.2), (0.5, 0.07)], c)
        for x in (-0.45, -0.27, -0.09, 0.09):
            b.rect(x, 0.255, x + 0.15, 0.37, _GLASS, 0.015)
        b.poly([(0.27, 0.255), (0.27, 0.37), (0.335, 0.37), (0.42, 0.255)], _GLASS)
        b.limb([(-0.47, 0.2), (0.46, 0.2)], 0.014, shade(c, 0.78))
        return (-0.31, 0.31), 0.07
    if look.kind == "truck":  # a tanker with a flat front
        b.rect(-0.5, 0.1, 0.5, 0.135, (60, 60, 64))
        b.rect(-0.5, 0.14, 0.2, 0.42, look.load, 0.13)
        b.limb([(-0.4, 0.435), (0.1, 0.435)], 0.02, shade(look.load, 0.75))
        for x in (-0.28, -0.03):
            b.limb([(x, 0.15), (x, 0.41)], 0.012, shade(look.load, 0.8))
        b.rect(0.23, 0.08, 0.5, 0.48, c, 0.03)
        b.rect(0.36, 0.29, 0.49, 0.42, _GLASS, 0.012)
        return (-0.34, 0.36), 0.085
    b.rect(-0.5, 0.05, 0.5, 0.48, c, 0.04)  # a double-decker
    for y in (0.17, 0.345):
        for x in np.linspace(-0.46, 0.26, 6):
            b.rect(x, y, x + 0.1, y + 0.085, _GLASS, 0.012)
    b.rect(0.4, 0.08, 0.47, 0.26, _GLASS)
    b.rect(0.4, 0.345, 0.47, 0.43, _GLASS, 0.012)
    b.limb([(-0.48, 0.3), (0.48, 0.3)], 0.012, shade(c, 0.75))
    return (-0.3, 0.33), 0.055


def _above(b: Brush, look: VehicleLook) -> None:
    c, dark, pale = look.body, shade(look.body, 0.6), mix(look.body, (255, 255, 255), 0.12)
    s = look.stretch
    half = {"car": 0.205, "van": 0.2, "truck": 0.17, "bus": 0.135}[look.kind]
    for y in (0.3, -0.3):
        b.rect(-half - 0.012, y - 0.06, half + 0.012, y + 0.06, _TYRE, 0.01)
    if look.kind == "truck":
        b.rect(-half, 0.24, half, 0.5, c, 0.04)
        b.poly([(-half * 0.86, 0.42), (half * 0.86, 0.42), (half * 0.8, 0.34), (-half * 0.8, 0.34)], _GLASS)
        b.rect(-half * 1.06, -0.5, half * 1.06, 0.22, look.load, 0.01)
        for y in np.linspace(-0.42, 0.14, 6):
            b.limb([(-half * 0.95, y), (half * 0.95, y)], 0.007, shade(look.load, 0.86))
    elif look.kind == "bus":
        b.rect(-half, -0.5, half, 0.5, c, 0.03)
        b.rect(-half * 0.92, 0.45, half * 0.92, 0.485, _GLASS)
        for y in (-0.28, 0.0, 0.28):
            b.rect(-half * 0.45, y - 0.05, half * 0.45, y + 0.05, pale, 0.01)
        for x in (-half * 0.9, half * 0.9):
            b.limb([(x, -0.45), (x, 0.42)], 0.012, dark)
    else:
        b.rect(-half, -0.5, half, 0.5, c, 0.13 if look.kind == "car" else 0.05)
        rear = -0.36 - s if look.kind == "car" else -0.47
        front = 0.2 if look.kind == "car" else 0.33
        b.poly([(-half * 0.9, front + 0.06), (half * 0.9, front + 0.06), (half * 0.74, front - 0.08),
                (-half * 0.74, front - 0.08)], _GLASS)  # fmt: skip
        b.poly([(-half * 0.78, rear), (half * 0.78, rear), (half * 0.68, rear + 0.09), (-half * 0.68, rear + 0.09)],
               _GLASS)  # fmt: skip
        for sign in (-1, 1):
            b.poly([(sign * half * 0.93, front + 0.02), (sign * half * 0.93, rear + 0.06),
                    (sign * half * 0.8, rear + 0.1), (sign * half * 0.8, front - 0.08)], _GLASS)  # fmt: skip
        b.rect(-half * 0.72, rear + 0.1, half * 0.72, front - 0.09, pale, 0.03)
        b.limb([(-half * 0.5, 0.32), (-half * 0.6, 0.46)], 0.008, dark)
        b.limb([(half * 0.5, 0.32), (half * 0.6, 0.46)], 0.008, dark)
        for sign in (-1, 1):
            b.rect(sign * half, 0.14, sign * (half + 0.045), 0.18, dark, 0.01)
    if look.stripe is not None:
        b.rect(-half * 0.12, -0.48, half * 0.12, 0.48, look.stripe)
    for sign in (-1, 1):
        b.ellipse(sign * half * 0.68, 0.475, 0.035, 0.018, _LAMP if look.lights else (200, 200, 190))
        b.rect(sign * half * 0.85, -0.498, sign * half * 0.5, -0.478, _TAIL)
