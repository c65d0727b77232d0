"""Colours: what they look like, what they are called, and which of them a viewer may confuse.

A colour belongs to one *family*, which is what a viewer would call it at a glance. Each split has its own paints and
words: those of `val` and `heldout` are other shades with other names than those of `dev`. A sentence tells two colours
apart only if their families are not confusable (`may_be`): nobody argues over red and blue, but silver, grey and white
under changing light are another matter.
"""

from typing import NamedTuple

import numpy as np

from whenwhere.stage.paint import Colour


class Paint(NamedTuple):
    """One shade of a colour.

    Attributes:
        family: Family of the colour, such as `red`.
        rgb: The shade, each channel 0 to 255.
        words: Names of the shade in the sentences of its split.
    """

    family: str
    rgb: Colour
    words: tuple[str, ...]


#: Paints of each split. No word of `dev` occurs in another split.
PAINTS: dict[str, tuple[Paint, ...]] = {
    "dev": (
        Paint("red", (190, 28, 32), ("red",)),
        Paint("blue", (34, 74, 176), ("blue",)),
        Paint("green", (38, 132, 60), ("green",)),
        Paint("yellow", (226, 190, 36), ("yellow",)),
        Paint("white", (232, 232, 230), ("white",)),
        Paint("black", (30, 30, 34), ("black",)),
        Paint("grey", (128, 130, 134), ("grey", "gray")),
        Paint("orange", (228, 118, 28), ("orange",)),
        Paint("purple", (112, 48, 150), ("purple",)),
        Paint("pink", (232, 130, 172), ("pink",)),
        Paint("brown", (112, 70, 40), ("brown",)),
    ),
    "val": (
        Paint("red", (150, 16, 44), ("dark red", "maroon", "wine-red")),
        Paint("blue", (74, 150, 232), ("light blue", "sky blue", "pale blue")),
        Paint("green", (124, 190, 44), ("lime green", "light green", "lime")),
        Paint("yellow", (246, 220, 84), ("bright yellow", "lemon yellow", "yellowish")),
        Paint("white", (246, 242, 228), ("off-white", "cream", "whitish")),
        Paint("black", (16, 16, 18), ("jet black", "pitch-black", "all-black")),
        Paint("grey", (88, 92, 102), ("dark grey", "dark gray", "greyish")),
        Paint("orange", (246, 146, 58), ("bright orange", "light orange", "orangey")),
        Paint("purple", (150, 104, 204), ("light purple", "lilac", "purplish")),
        Paint("pink", (218, 56, 132), ("hot pink", "bright pink", "dark pink")),
        Paint("brown", (186, 148, 104), ("tan", "light brown", "sandy brown")),
        Paint("turquoise", (26, 156, 156), ("turquoise", "teal", "blue-green")),
    ),
    "heldout": (
        Paint("red", (160, 16, 52), ("crimson", "dark red")),
        Paint("red", (214, 48, 26), ("scarlet", "bright red")),
        Paint("blue", (26, 36, 94), ("navy", "dark blue")),
        Paint("blue", (92, 158, 216), ("sky-blue", "light blue")),
        Paint("green", (96, 108, 38), ("olive", "olive green")),
        Paint("green", (22, 146, 132), ("teal", "turquoise")),
        Paint("yellow", (214, 168, 60), ("golden", "mustard")),
        Paint("white", (240, 234, 214), ("cream-coloured", "ivory")),
        Paint("black", (46, 48, 54), ("charcoal", "pitch-black")),
        Paint("grey", (176, 182, 190), ("silver", "light grey")),
        Paint("orange", (238, 142, 80), ("peach-coloured", "amber")),
        Paint("purple", (146, 108, 196), ("violet", "lilac")),
        Paint("pink", (216, 60, 132), ("magenta", "rose")),
        Paint("brown", (176, 140, 98), ("tan", "beige")),
    ),
}

#: Pairs of families that a viewer may confuse in some shade.
_NEAR = (
    {"white", "grey"}, {"black", "grey"}, {"red", "pink"}, {"red", "orange"}, {"orange", "yellow"},
    {"purple", "pink"}, {"purple", "blue"}, {"brown", "orange"}, {"brown", "red"}, {"brown", "yellow"},
    {"blue", "black"}, {"brown", "black"}, {"brown", "white"}, {"brown", "grey"}, {"pink", "orange"},
    {"green", "blue"}, {"green", "yellow"}, {"white", "yellow"}, {"green", "brown"}, {"green", "black"},
    {"turquoise", "blue"}, {"turquoise", "green"}, {"turquoise", "grey"}, {"turquoise", "black"},
)  # fmt: skip

#: Hair colours of each split.
HAIR: dict[str, tuple[Paint, ...]] = {
    "dev": (
        Paint("black", (34, 28, 26), ("black",)),
        Paint("brown", (92, 58, 34), ("brown",)),
        Paint("yellow", (218, 184, 112), ("blonde", "blond")),
    ),
    "val": (
        Paint("black", (20, 20, 24), ("dark", "jet-black")),
        Paint("red", (188, 84, 30), ("ginger", "auburn")),
        Paint("white", (218, 218, 220), ("silver", "silvery")),
        Paint("brown", (128, 88, 50), ("chestnut", "light-brown")),
    ),
    "heldout": (
        Paint("black", (24, 22, 24), ("jet-black", "raven-black")),
        Paint("grey", (170, 170, 172), ("silvery", "white-grey")),
        Paint("orange", (172, 78, 34), ("ginger", "auburn")),
        Paint("yellow", (230, 204, 140), ("fair", "light-coloured")),
    ),
}

#: Skin colours, the same in all splits.
SKIN: tuple[Colour, ...] = ((236, 198, 172), (214, 168, 136), (164, 112, 80), (104, 68, 48))


def may_be(a: str, b: str) -> bool:
    """Whether a viewer may call something of family `a` by family `b`.

    >>> may_be("white", "grey"), may_be("red", "blue"), may_be("red", "red")
    (True, False, True)
    """
    return a == b or {a, b} in _NEAR


def vary(rng: np.random.Generator, paint: Paint, spread: float = 9.0) -> Paint:
    """The paint as a single thing shows it, a little lighter, darker or off.

    Args:
        rng: Random stream of the thing's look.
        paint: The paint.
        spread: Three standard deviations of the change of a channel, in levels of 0 to 255.
    """
    rgb = np.clip(np.array(paint.rgb) * rng.normal(1, 0.04) + rng.normal(0, spread / 3, 3), 6, 250)
    return paint._replace(rgb=tuple(float(c) for c in rgb))  # type: ignore[arg-type]
