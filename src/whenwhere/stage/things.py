"""Animals, balls, boxes and small objects.

The unit is the height of the thing (of an animal, the height at the shoulder), the origin is the ground under it, and
it faces right.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.stage.paint import Brush, Colour, Sprite, mix, shade

#: Pictures per cycle of an animal's legs, and per turn of a ball.
GAIT_PHASES = 12


@dataclass(frozen=True)
class ThingLook:
    """How one animal or object is painted.

    Attributes:
        kind: Kind of the animal or object.
        body: Main colour.
        second: Colour of patches, patterns and labels.
        texture: `plain`, or a kind of `Brush.pattern`; an animal is `plain` or `spotted`.
    """

    kind: str
    body: Colour
    second: Colour = (238, 236, 230)
    texture: str = "plain"


def thing_sprite(look: ThingLook, phase: int, per_unit: float, seed: int) -> Sprite:
    """One picture of an animal or object.

    Args:
        look: How it is painted.
        phase: Phase of an animal's gait or of a ball's turn, 0 to `GAIT_PHASES - 1`; -1 for an animal that stands.
        per_unit: Pixels per unit.
        seed: Seed of the grain, the same for all pictures of one thing.
    """
    rng = np.random.default_rng(seed)
    if look.kind in ("dog", "cat", "horse", "sheep"):
        b = Brush(1.15, 1.25, 1.6, 0.1, per_unit)
        (_sheep if look.kind == "sheep" else _animal)(b, look, phase)
    else:
        b = Brush(0.85, 0.85, 1.08, 0.06, per_unit)
        _OBJECTS[look.kind](b, look, phase)
        if look.texture != "plain" and look.kind != "ball":
            b.pattern(look.texture, (-0.8, 0.0, 0.8, 1.0), look.body, look.second)
    return b.sprite(rng, grain=0.06)


def _animal(b: Brush, look: ThingLook, phase: int) -> None:
    swing = np.sin(2 * np.pi * phase / GAIT_PHASES) if phase >= 0 else 0.0
    c, far = look.body, shade(look.body, 0.7)
    long = {"dog": 0.62, "cat": 0.66, "horse": 0.58}[look.kind]
    thick = {"dog": 0.27, "cat": 0.23, "horse": 0.25}[look.kind]
    leg = {"dog": 0.14, "cat": 0.12, "horse": 0.105}[look.kind]
    for tone, sign in ((far, -1), (c, 1)):
        for x, s in ((-long * 0.82, sign), (long * 0.8, -sign)):
            a = 0.6 * s * swing
            knee = (x + 0.32 * np.sin(a), 0.34)
            b.limb([(x, 0.66), knee, (knee[0] + 0.22 * np.sin(a * 0.5), 0.06)], leg, tone)
    tail_y = 1.15 if look.kind != "horse" else 0.45
    b.limb([(-long, 0.84), (-long - 0.2, (tail_y + 0.9) / 2 + 0.06 * swing), (-long - 0.3, tail_y + 0.1 * swing)],
           0.09 if look.kind != "horse" else 0.15, shade(c, 0.85))  # fmt: skip
    b.ellipse(-long * 0.45, 0.76, long * 0.62, thick, c)
    b.ellipse(long * 0.4, 0.78, long * 0.62, thick * 1.06, c)
    if look.texture == "spotted":
        for x, y, r in ((-0.5, 0.85, 0.13), (-0.15, 0.7, 0.16), (0.25, 0.9, 0.12)):
            b.ellipse(x, y, r * 1.3, r, look.second, 20)
    hx, hy = {"dog": (long + 0.25, 1.16), "cat": (long + 0.2, 1.06), "horse": (long + 0.36, 1.36)}[look.kind]
    b.limb([(long * 0.7, 0.88), (hx - 0.05, hy)], 0.3 if look.kind != "cat" else 0.24, c)
    b.ellipse(hx, hy, 0.2, 0.17, c)
    if look.kind == "cat":
        for x in (-0.1, 0.09):
            b.poly([(hx + x - 0.07, hy + 0.1), (hx + x + 0.01, hy + 0.28), (hx + x + 0.08, hy + 0.1)], c)
    else:
        b.limb([(hx + 0.05, hy - 0.03), (hx + 0.28, hy - 0.09)], 0.16, c)
        b.ellipse(hx + 0.35, hy - 0.06, 0.045, 0.04, (25, 22, 22))
        drop = -0.22 if look.kind == "dog" else 0.2
        b.limb([(hx - 0.08, hy + 0.1), (hx - 0.13, hy + 0.1 + drop)], 0.1, shade(c, 0.72))
    b.ellipse(hx + 0.07, hy + 0.04, 0.03, 0.03, (20, 18, 18))


def _sheep(b: Brush, look: ThingLook, phase: int) -> None:
    swing = np.sin(2 * np.pi * phase / GAIT_PHASES) if phase >= 0 else 0.0
    c, skin = look.body, (58, 50, 46)
    for tone, sign in ((0.7, -1), (1.0, 1)):
        for x, s in ((-0.42, sign), (0.36, -sign)):
            b.limb([(x, 0.5), (x + 0.22 * np.sin(0.6 * s * swing), 0.06)], 0.1, shade(skin, tone))
    for k in range(11):  # lumps around the body make the fleece
        a = 2 * np.pi * k / 11
        b.ellipse(0.5 * np.cos(a) - 0.03, 0.74 + 0.21 * np.sin(a), 0.2, 0.18, shade(c, 0.94 if k % 2 else 1.0))
    b.ellipse(-0.03, 0.74, 0.52, 0.28, c)
    if look.texture == "spotted":
        b.ellipse(-0.15, 0.8, 0.2, 0.13, look.second, 20)
    b.ellipse(0.66, 0.94, 0.2, 0.14, skin, -35)
    b.limb([(0.52, 1.0), (0.42, 0.95)], 0.08, skin)
    b.ellipse(0.5, 1.06, 0.14, 0.11, c)
    b.ellipse(0.69, 0.99, 0.026, 0.026, (235, 232, 220))


def _ball(b: Brush, look: ThingLook, phase: int) -> None:
    turn = 2 * np.pi * max(phase, 0) / GAIT_PHASES
    b.ellipse(0, 0.5, 0.5, 0.5, look.body)
    for k in range(3):
        a = turn + 2 * np.pi * k / 3
        rim = [(0.49 * np.cos(x), 0.5 - 0.49 * np.sin(x)) for x in (a, a + 0.5)]
        b.poly([(0, 0.5), *rim], look.second if look.texture != "plain" else shade(look.body, 0.72))
    b.ellipse(-0.16, 0.68, 0.1, 0.08, mix(look.body, (255, 255, 255), 0.55))


def _box(b: Brush, look: ThingLook, phase: int) -> None:
    b.poly([(-0.55, 0), (0.38, 0), (0.38, 0.72), (-0.55, 0.72)], look.body)
    b.poly([(0.38, 0), (0.62, 0.18), (0.62, 0.92), (0.38, 0.72)], shade(look.body, 0.68))
    b.poly([(-0.55, 0.72), (0.38, 0.72), (0.62, 0.92), (-0.3, 0.92)], mix(look.body, (255, 255, 255), 0.28))
    b.rect(-0.15, 0.0, -0.03, 0.72, mix(look.body, (214, 190, 140), 0.55))


def _bottle(b: Brush, look: ThingLook, phase: int) -> None:
    b.rect(-0.17, 0.0, 0.17, 0.6, look.body, 0.05)
    b.poly([(-0.17, 0.56), (0.17, 0.56), (0.065, 0.76), (-0.065, 0.76)], look.body)
    b.rect(-0.06, 0.7, 0.06, 0.94, look.body)
    b.rect(-0.075, 0.9, 0.075, 1.0, shade(look.second, 0.8))
    b.rect(-0.17, 0.2, 0.17, 0.44, look.second)
    b.rect(-0.12, 0.46, -0.07, 0.58, mix(look.body, (255, 255, 255), 0.5))


def _cup(b: Brush, look: ThingLook, phase: int) -> None:
    a = np.linspace(-np.pi / 2, np.pi / 2, 9)
    b.limb(np.stack([0.4 + 0.22 * np.cos(a), 0.48 + 0.24 * np.sin(a)], 1), 0.1, shade(look.body, 0.85))
    b.poly([(-0.42, 0.92), (0.42, 0.92), (0.34, 0.06), (0.2, 0.0), (-0.2, 0.0), (-0.34, 0.06)], look.body)
    b.ellipse(0, 0.92, 0.42, 0.08, shade(look.body, 0.55))


def _bag(b: Brush, look: ThingLook, phase: int) -> None:
    a = np.linspace(0, np.pi, 11)
    b.limb(np.stack([0.24 * np.cos(a), 0.62 + 0.34 * np.sin(a)], 1), 0.07, shade(look.body, 0.6))
    b.poly([(-0.46, 0.68), (0.46, 0.68), (0.52, 0.08), (0.44, 0.0), (-0.44, 0.0), (-0.52, 0.08)], look.body)
    b.rect(-0.46, 0.5, 0.46, 0.56, shade(look.body, 0.7))
    b.rect(-0.06, 0.42, 0.06, 0.56, (212, 190, 120))


def _book(b: Brush, look: ThingLook, phase: int) -> None:
    b.rect(-0.36, 0.0, 0.36, 0.98, look.body, 0.03)
    b.rect(0.3, 0.03, 0.36, 0.95, (236, 232, 220))
    b.rect(-0.22, 0.6, 0.2, 0.78, look.second)


def _vase(b: Brush, look: ThingLook, phase: int) -> None:
    y = np.linspace(0, 0.95, 14)
    r = 0.16 + 0.2 * np.sin(np.pi * (y * 0.95 + 0.08)) ** 2
    b.poly(np.concatenate([np.stack([r, y], 1), np.stack([-r, y], 1)[::-1]]), look.body)
    b.ellipse(0, 0.95, r[-1], 0.05, shade(look.body, 0.5))


def _suitcase(b: Brush, look: ThingLook, phase: int) -> None:
    b.limb([(-0.16, 0.8), (-0.16, 1.02), (0.16, 1.02), (0.16, 0.8)], 0.05, (70, 70, 74))
    b.rect(-0.42, 0.08, 0.42, 0.84, look.body, 0.08)
    for x in (-0.22, 0.0, 0.22):
        b.limb([(x, 0.14), (x, 0.78)], 0.03, shade(look.body, 0.78))
    for x in (-0.3, 0.3):
        b.ellipse(x, 0.05, 0.06, 0.06, (30, 30, 32))


def _bucket(b: Brush, look: ThingLook, phase: int) -> None:
    a = np.linspace(0, np.pi, 11)
    b.limb(np.stack([0.36 * np.cos(a), 0.66 + 0.3 * np.sin(a)], 1), 0.035, (96, 98, 102))
    b.poly([(-0.4, 0.68), (0.4, 0.68), (0.29, 0.0), (-0.29, 0.0)], look.body)
    b.ellipse(0, 0.68, 0.4, 0.07, shade(look.body, 0.6))
    b.limb([(-0.35, 0.4), (0.35, 0.4)], 0.03, shade(look.body, 0.8))


def _chair(b: Brush, look: ThingLook, phase: int) -> None:
    dark = shade(look.body, 0.66)
    for x, y in ((-0.24, 0.06), (0.36, 0.06), (-0.34, 0.0), (0.26, 0.0)):
        b.limb([(x, 0.48), (x, y + 0.03)], 0.06, dark if y else look.body)
    b.poly([(-0.37, 0.44), (0.29, 0.44), (0.39, 0.52), (-0.27, 0.52)], look.body)
    b.poly([(-0.37, 0.46), (-0.37, 1.0), (-0.25, 1.02), (-0.25, 0.52)], look.body)
    b.rect(-0.37, 0.38, 0.29, 0.45, look.body)


_OBJECTS = {
    "ball": _ball, "box": _box, "bottle": _bottle, "cup": _cup, "bag": _bag, "book": _book, "vase": _vase,
    "suitcase": _suitcase, "bucket": _bucket, "chair": _chair,
}  # fmt: skip
