"""Casting: who an actor is and what it looks like.

Looks are drawn so that scenes deliberately contain both kinds of confusion: actors of the same kind in another colour,
and actors of the same colour but another kind.
"""

from typing import NamedTuple

import numpy as np

from whenwhere.stage.paint import mix, shade
from whenwhere.stage.palette import HAIR, PAINTS, SKIN, Paint, may_be, vary
from whenwhere.stage.people import PersonLook
from whenwhere.stage.things import ThingLook
from whenwhere.stage.vehicles import VehicleLook

#: Family of each kind. Kinds that are not listed are of the family `thing`.
FAMILY = {
    "car": "vehicle", "van": "vehicle", "truck": "vehicle", "bus": "vehicle", "man": "person", "woman": "person",
    "child": "person", "dog": "animal", "cat": "animal", "horse": "animal", "sheep": "animal",
}  # fmt: skip

#: Colour families that fur comes in.
_FUR = ("brown", "black", "white", "grey", "orange")
#: Textures of each split other than plain.
SPLIT_TEXTURES = {"dev": ("striped",), "val": ("zigzag", "diamonds"), "heldout": ("checked", "spotted")}
_SHOES = {"dev": (46, 38, 34), "val": (128, 52, 44), "heldout": (206, 202, 196)}


class Cast(NamedTuple):
    """The look of one actor, and the properties by which a sentence can describe it.

    Attributes:
        kind: Kind of the actor, such as `car` or `woman`.
        family: `vehicle`, `person`, `animal` or `thing`.
        look: How the actor is painted.
        paints: Colours by part: `body`; for people `top`, `bottom` and `hair`.
        factor: Size of the actor, relative to the usual size of its kind.
        big: `big`, `small`, or empty for about the usual size.
        texture: `plain`, or one of `SPLIT_TEXTURES`.
    """

    kind: str
    family: str
    look: PersonLook | VehicleLook | ThingLook
    paints: dict[str, Paint]
    factor: float
    big: str
    texture: str


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A key drawn with probability proportional to its weight.

    >>> pick(np.random.default_rng(0), {"a": 0.0, "b": 2.0})
    'b'
    """
    names = list(weights)
    w = np.array([weights[n] for n in names], float)
    return names[int(rng.choice(len(names), p=w / w.sum()))]


def _paint(rng: np.random.Generator, split: str, families: tuple[str, ...] = (), other: tuple[str, ...] = ()) -> Paint:
    """A paint of the split, from `families` if given, and if possible not confusable with the `other` families."""
    pool = [p for p in PAINTS[split] if not families or p.family in families]
    apart = [p for p in pool if not any(may_be(p.family, f) for f in other)]
    pool = apart or pool
    return vary(rng, pool[int(rng.integers(len(pool)))])


def cast(rng: np.random.Generator, split: str, kind: str, others: list[Cast], floor: tuple[str, ...] = ()) -> Cast:
    """Draws the look of one actor.

    Args:
        rng: Random stream of this actor's look.
        split: `dev`, `val` or `heldout`.
        kind: Kind of the actor.
        others: Looks of the actors so far. The colour usually differs from those of the same kind, and is sometimes
            taken over from an actor of another kind.
        floor: Colour families of the ground. A colour that is newly drawn is not confusable with them if possible.
    """
    family = FAMILY.get(kind, "thing")
    same = tuple(c.paints["body" if "body" in c.paints else "top"].family for c in others if c.kind == kind)
    borrow = [p for c in others if c.kind != kind for name, p in c.paints.items() if name in ("body", "top")]
    apart = (*same, *floor) if rng.random() < 0.75 else floor
    texture = "plain"
    if rng.random() < 0.22 and family in ("thing", "person"):
        texture = SPLIT_TEXTURES[split][int(rng.integers(len(SPLIT_TEXTURES[split])))]
    factor, big = 1.0, ""
    if family in ("vehicle", "thing", "animal"):
        u = rng.random()
        factor, big = (
            (1.32, "big") if u < 0.15 else (0.76, "small") if u < 0.3 else (float(rng.uniform(0.95, 1.08)), "")
        )
        if split == "val" and big:
            factor = 1.46 if big == "big" else 0.66
        if family == "vehicle" and kind != "car":
            factor, big = float(rng.uniform(0.95, 1.05)), ""
    else:
        factor = float(rng.uniform(0.94, 1.06) if split != "val" else rng.uniform(0.86, 1.14))
    if family == "person":
        return _person(rng, split, kind, apart, borrow, texture, factor)
    if family == "animal":
        fur = _paint(rng, split, _FUR, apart)
        spots = rng.random() < 0.3
        second = mix(fur.rgb, (250, 246, 238), 0.8) if fur.family != "white" else shade(fur.rgb, 0.35)
        look: VehicleLook | ThingLook = ThingLook(kind, fur.rgb, second, "spotted" if spots else "plain")
        return Cast(kind, family, look, {"body": fur}, factor, big, "plain")
    body = borrow[int(rng.integers(len(borrow)))] if borrow and rng.random() < 0.2 else _paint(rng, split, (), apart)
    if family == "vehicle":
        stretch = float(rng.choice({"dev": [0.0, 0.05], "val": [-0.08, 0.03], "heldout": [-0.05, 0.1]}[split]))
        boxy = bool(split == "val" and rng.random() < 0.7)
        stripe = shade(body.rgb, 1.8) if split == "heldout" and rng.random() < 0.4 else None
        load = mix(body.rgb, (232.0, 232.0, 228.0), 0.2 if rng.random() < 0.6 else 0.95)
        look = VehicleLook(kind, body.rgb, load, stretch, bool(rng.random() < 0.6), stripe, boxy)
        return Cast(kind, family, look, {"body": body}, factor, big, "plain")
    second = (240.0, 238.0, 230.0) if body.family not in ("white", "grey") else (60.0, 62.0, 70.0)
    look = ThingLook(kind, body.rgb, second, texture)
    return Cast(kind, family, look, {"body": body}, factor, big, texture)


def _person(
    rng: np.random.Generator, split: str, kind: str, apart: tuple[str, ...], borrow: list[Paint], texture: str,
    factor: float,
) -> Cast:  # fmt: skip
    top = borrow[int(rng.integers(len(borrow)))] if borrow and rng.random() < 0.2 else _paint(rng, split, (), apart)
    bottom = _paint(rng, split, (), (top.family,))
    hair = HAIR[split][int(rng.integers(len(HAIR[split])))]
    pattern = (240.0, 240.0, 236.0) if top.family not in ("white", "grey", "yellow") else shade(top.rgb, 0.35)
    woman = kind == "woman"
    coat = bool(rng.random() < 0.25)
    shorts = split == "val" and bool(rng.random() < 0.4)
    bun = split == "val" and bool(rng.random() < 0.7)
    look = PersonLook(
        hair=hair.rgb,
        skin=SKIN[int(rng.integers(len(SKIN)))],
        top=top.rgb,
        bottom=bottom.rgb,
        shoes=_SHOES[split],
        long_hair=woman,
        sleeves=bool(coat or rng.random() < 0.65),
        skirt=bool(woman and rng.random() < 0.45 and not coat and not shorts),
        shorts=shorts and not coat,
        bun=bun and woman,
        coat=coat,
        child=kind == "child",
        texture=texture,
        pattern=pattern,
        girth=float(rng.uniform(0.95, 1.25)) * (0.93 if woman else 1.0),
    )
    return Cast(kind, "person", look, {"top": top, "bottom": bottom, "hair": hair}, factor, "", texture)
