"""People: a head with hair, clothes and walking limbs, seen from the side, the front and the back.

The unit is the body's height, and the origin is the ground between the feet. Walking cycles through `STEP_PHASES`
pictures of one double step. Women have long hair and often a skirt or a coat, which is enough to recognise a cartoon.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.stage.paint import Brush, Colour, Sprite, mix, shade
from whenwhere.stage.script import Point

#: Pictures per double step.
STEP_PHASES = 12


@dataclass(frozen=True)
class PersonLook:
    """How one person is painted.

    Attributes:
        hair: Colour of the hair.
        skin: Colour of the skin.
        top: Colour of the shirt or coat.
        bottom: Colour of the trousers, shorts or skirt.
        shoes: Colour of the shoes.
        long_hair: Whether the hair is long.
        sleeves: Whether the sleeves are long.
        skirt: Whether the person wears a skirt.
        coat: Whether the upper clothing is a long coat.
        child: Whether the body has the proportions of a child.
        texture: Texture of the upper clothing: `plain`, or a kind of `Brush.pattern`.
        pattern: Second colour of the upper clothing, if it is not plain.
        girth: Thickness of the body and limbs; 1 is usual.
        shorts: Whether the trousers are short.
        bun: Whether the hair is tied into a bun.
    """

    hair: Colour
    skin: Colour
    top: Colour
    bottom: Colour
    shoes: Colour = (40, 36, 34)
    long_hair: bool = False
    sleeves: bool = True
    skirt: bool = False
    coat: bool = False
    child: bool = False
    texture: str = "plain"
    pattern: Colour = (240, 240, 240)
    girth: float = 1.0
    shorts: bool = False
    bun: bool = False


def _bend(a: Point, upper: float, lower: float, angle: float, knee: float) -> list[Point]:
    """Joints of a limb that hangs from `a`: `angle` forward from straight down, then bent back by `knee`."""
    b = (a[0] + upper * np.sin(angle), a[1] - upper * np.cos(angle))
    c = (b[0] + lower * np.sin(angle - knee), b[1] - lower * np.cos(angle - knee))
    return [a, b, c]


def person_sprite(look: PersonLook, view: str, phase: int, per_unit: float, seed: int) -> Sprite:
    """One picture of a person.

    Args:
        look: Colours and clothing.
        view: `side` (facing right), `front` or `back`; `run` (side view with long strides); `reach` and `reach-back`
            (standing with one arm stretched out).
        phase: Phase of the double step, 0 to `STEP_PHASES - 1`; -1 if the person stands.
        per_unit: Pixels per body height.
        seed: Seed of the grain of the clothes, the same for all pictures of one person.
    """
    b = Brush(0.5, 0.5, 1.04, 0.05, per_unit)
    swing = np.sin(2 * np.pi * phase / STEP_PHASES) if phase >= 0 else 0.0
    lift = np.cos(2 * np.pi * phase / STEP_PHASES) if phase >= 0 else 0.0
    head_r = 0.095 if look.child else 0.072
    neck = 0.77 if look.child else 0.82
    hip = 0.44 if look.child else 0.48
    bob = 0.012 * abs(lift) if phase >= 0 else 0.0
    b.origin = (b.origin[0], b.origin[1] - bob * b.k)
    painter = _side if view in ("side", "run", "reach") else _frontal
    painter(b, look, view, swing, lift, head_r, neck, hip)
    if look.texture != "plain":
        b.pattern(look.texture, (-0.35, 0.25, 0.35, neck + 0.02), look.top, look.pattern)
    return b.sprite(np.random.default_rng(seed))


def _side(
    b: Brush, look: PersonLook, view: str, swing: float, lift: float, head_r: float, neck: float, hip: float
) -> None:
    far = 0.72
    stride = 0.62 if view == "run" else 0.46
    lean = 0.06 if view == "run" else 0.015
    moving = view != "reach" and (swing or lift)
    g = look.girth
    thigh, shin = hip * 0.5, hip * 0.48
    for sign, tone in ((-1, far), (1, 1.0)):
        angle = sign * swing * stride
        knee = (max(0.0, -sign * lift) * (1.1 if view == "run" else 0.75) + 0.06) if moving else 0.02
        leg = _bend((0, hip), thigh, shin, angle, knee)
        skin_leg = look.skirt
        b.limb(leg, 0.068 * g, shade(look.skin if skin_leg or look.shorts else look.bottom, tone))
        if look.shorts:
            b.limb(leg[:2], 0.092 * g, shade(look.bottom, tone))
        foot = leg[2]
        b.limb([foot, (foot[0] + 0.055, foot[1] - 0.004)], 0.036, shade(look.shoes, tone))
        if sign < 0:
            _arm_side(b, look, view, -sign * swing, neck, far, lean)
    shoulder = neck - 0.01
    hem = 0.27 if look.coat else hip - 0.035
    flare = 0.05 if look.coat else 0.0
    if look.skirt:
        b.poly([(-0.07 * g, hip + 0.06), (0.075 * g, hip + 0.06), (0.13 + 0.04 * abs(swing), 0.22),
                (-0.12 - 0.04 * abs(swing), 0.22)], look.bottom)  # fmt: skip
    b.poly([(-0.068 * g + lean, shoulder), (0.062 * g + lean, shoulder), (0.095 * g + lean * 0.6, shoulder - 0.12),
            (0.08 * g, hip), (0.08 * g + flare, hem), (-0.08 * g - flare, hem), (-0.082 * g, hip),
            (-0.085 * g + lean * 0.5, shoulder - 0.13)], look.top)  # fmt: skip
    b.limb([(0.005 + lean, neck - 0.02), (0.01 + lean, neck + 0.03)], 0.06, shade(look.skin, 0.9))
    hx, hy = 0.018 + lean * 1.3, 1.0 - head_r
    b.ellipse(hx, hy, head_r * 0.92, head_r, look.skin)
    b.poly([(hx + head_r * 0.85, hy + 0.02), (hx + head_r * 1.12, hy - 0.012), (hx + head_r * 0.8, hy - 0.02)],
           look.skin)  # fmt: skip
    t = np.linspace(0.22 * np.pi, 1.22 * np.pi, 12)
    cap = np.stack([hx + 1.06 * head_r * np.cos(t), hy + 1.08 * head_r * np.sin(t)], 1)
    b.poly(np.concatenate([cap, [(hx - 0.25 * head_r, hy - 0.35 * head_r), (hx + 0.1 * head_r, hy + 0.35 * head_r)]]),
           look.hair)  # fmt: skip
    if look.bun:
        b.ellipse(hx - head_r * 0.75, hy + head_r * 0.95, head_r * 0.5, head_r * 0.5, shade(look.hair, 0.85))
    elif look.long_hair:
        b.poly([(hx - head_r * 1.05, hy + 0.03), (hx - 0.01, hy + 0.02), (hx - 0.03, hy - 0.13),
                (hx - 0.07, hy - 0.21), (hx - head_r * 1.35, hy - 0.18)], shade(look.hair, 0.94))  # fmt: skip
    _arm_side(b, look, view, -swing, neck, 1.0, lean)


def _arm_side(b: Brush, look: PersonLook, view: str, swing: float, neck: float, tone: float, lean: float) -> None:
    sleeve = shade(look.top, 0.88 * tone)
    shoulder = (0.0 + lean, neck - 0.045)
    if view == "reach" and tone == 1.0:
        arm = [shoulder, (0.12, neck - 0.13), (0.27, neck - 0.16)]
    else:
        arm = _bend(shoulder, 0.165, 0.15, swing * (0.9 if view == "run" else 0.5), -1.2 if view == "run" else -0.2)
    _arm(b, look, arm, sleeve, tone)


def _arm(b: Brush, look: PersonLook, arm: list[Point], sleeve: Colour, tone: float = 1.0) -> None:
    skin = shade(look.skin, tone)
    if look.sleeves:
        b.limb(arm, 0.054 * look.girth, sleeve)
    else:
        b.limb(arm, 0.042 * look.girth, skin)
        half = ((arm[0][0] + arm[1][0]) / 2, (arm[0][1] + arm[1][1]) / 2)
        b.limb([arm[0], half], 0.058 * look.girth, sleeve)
    b.ellipse(*arm[2], 0.027, 0.027, skin)


def _frontal(
    b: Brush, look: PersonLook, view: str, swing: float, lift: float, head_r: float, neck: float, hip: float
) -> None:
    back = view in ("back", "reach-back")
    g = look.girth
    for sign in (-1, 1):
        up = 0.055 * max(0.0, sign * swing)
        x = sign * 0.052 * g
        b.limb([(x, hip), (x * 1.05, hip * 0.5 + up * 0.7), (x * 1.05, 0.035 + up)], 0.078 * g,
               shade(look.skin if look.skirt or look.shorts else look.bottom, 1 - 1.5 * up))  # fmt: skip
        if look.shorts:
            b.limb([(x, hip), (x * 1.1, hip * 0.58 + up * 0.6)], 0.1 * g, shade(look.bottom, 1 - 1.5 * up))
        b.ellipse(x * 1.1, 0.022 + up, 0.038, 0.024, look.shoes)
    shoulder, hem = neck - 0.005, (0.27 if look.coat else hip - 0.03)
    flare = 0.035 if look.coat else 0.0
    if look.skirt:
        b.poly([(-0.1 * g, hip + 0.06), (0.1 * g, hip + 0.06), (0.15, 0.23), (-0.15, 0.23)], look.bottom)
    sleeve = shade(look.top, 0.84)
    for sign in (-1, 1):
        out = 0.02 * sign * swing
        if view == "reach-back" and sign == 1:
            arm = [(0.12 * g, shoulder - 0.035), (0.2, neck - 0.14), (0.21, neck - 0.02)]
        else:
            arm = [(sign * 0.118 * g, shoulder - 0.035), (sign * 0.15 * g, shoulder - 0.19),
                   (sign * 0.145 * g, shoulder - 0.34 + out)]  # fmt: skip
        _arm(b, look, arm, sleeve)
    hy = 1.0 - head_r
    if look.bun:
        b.ellipse(0, hy + head_r, head_r * 0.5, head_r * 0.46, shade(look.hair, 0.85))
    elif look.long_hair and not back:
        b.ellipse(0, hy - 0.06, head_r * 1.25, head_r * 1.75, shade(look.hair, 0.85))
    b.poly([(-0.05, shoulder + 0.02), (0.05, shoulder + 0.02), (0.125 * g, shoulder - 0.02),
            (0.118 * g, shoulder - 0.2), (0.1 * g, hip), (0.105 * g + flare, hem),
            (-0.105 * g - flare, hem), (-0.1 * g, hip),
            (-0.118 * g, shoulder - 0.2), (-0.125 * g, shoulder - 0.02)], look.top)  # fmt: skip
    b.limb([(0, neck - 0.01), (0, neck + 0.04)], 0.06, shade(look.skin, 0.88))
    b.ellipse(0, hy, head_r * 0.9, head_r, look.skin)
    if back:
        b.ellipse(0, hy + 0.008, head_r * 0.98, head_r * 1.0, look.hair)
        if look.long_hair and not look.bun:
            b.poly([(-head_r, hy), (head_r, hy), (head_r * 1.15, hy - 0.2), (0, hy - 0.24), (-head_r * 1.15, hy - 0.2)],
                   mix(look.hair, (0, 0, 0), 0.06))  # fmt: skip
    else:
        t = np.linspace(-0.05 * np.pi, 1.05 * np.pi, 12)
        cap = np.stack([1.04 * head_r * np.cos(t), hy + 1.08 * head_r * np.sin(t)], 1)
        b.poly(np.concatenate([cap, [(-0.5 * head_r, hy + 0.4 * head_r), (0.5 * head_r, hy + 0.4 * head_r)]]),
               look.hair)  # fmt: skip
        for sign in (-1, 1):
            b.ellipse(sign * head_r * 0.38, hy + 0.002, 0.008, 0.008, (35, 28, 26))
