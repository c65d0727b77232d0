"""Captions of one clip at two scales, each with facts that the other lacks, and ways to put them together.

The coarse scale describes the middle frame: shapes with texture and colour, and where they are relative to each other.
It says nothing of what happens. The fine scale tags frames: which shape (never its colour, texture or place) does what,
in order of time. So only a reader of both scales can tell the colour of the shape in an event, and only if that shape
is visible in the middle frame.

`coarse`, `fine`, `fused`, `concat` and `random_choice` are cut to the same number of words (`words`), so that none has
an advantage in length. `truth` says everything without errors and is what a test asks.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.stage.shapes.captioned import CaptionedShapes, side_of
from whenwhere.stage.shapes.plan import Thing
from whenwhere.stage.shapes.words import SHAPE_COLOURS, SHAPE_TEXTURES, SHAPE_VERBS, SHAPES
from whenwhere.stage.streams import random_stream

CaptionScale = Literal["truth", "coarse", "fine", "fused", "concat", "random_choice"]
SCALES: tuple[str, ...] = get_args(CaptionScale)


@dataclass(frozen=True)
class ScaleSettings:
    """How captions at several scales are written.

    Attributes:
        scale: `truth`, `coarse`, `fine`, `fused` (the events of the fine scale with the attributes that the coarse
            scale knows, then the layout), `concat` (the first half of the coarse caption, then that of the fine one)
            or `random_choice` (the coarse or the fine caption, drawn anew in each epoch).
        words: Number of words, 4 to 60, after which every caption except `truth` is cut off. The fine scale of a clip
            in which little happens can have fewer.
        attribute_error: Share of the coarse scale's colours and textures that are wrong.
        tag_error: Share of the fine scale's shapes and verbs that are wrong.

    Raises:
        SettingError: There is no such scale, or a number is out of range.
    """

    scale: CaptionScale = "truth"
    words: int = 20
    attribute_error: float = 0.0
    tag_error: float = 0.0

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise SettingError(f"there is no scale of captions '{self.scale}'{did_you_mean(self.scale, SCALES)}")
        if not 4 <= self.words <= 60:
            raise SettingError(f"captions at several scales have 4 to 60 words, not {self.words}")
        if not (0 <= self.attribute_error <= 1 and 0 <= self.tag_error <= 1):
            raise SettingError("attribute_error and tag_error are shares from 0 to 1")


@dataclass(frozen=True)
class _Described:
    """A shape as the coarse scale describes it.

    Attributes:
        thing: The shape.
        words: Its noun phrase, which may be wrong.
        centre: x and y of its centre, as shares of the frame's side.
    """

    thing: Thing
    words: str
    centre: tuple[float, float]


def _wrong(options: tuple[str, ...], right: str, rng: np.random.Generator, share: float) -> str:
    """The right one of the options, or, with the probability `share`, another one."""
    u, k = rng.random(), int(rng.integers(len(options) - 1))
    return [o for o in options if o != right][k] if u < share else right


def _described(clip: CaptionedShapes, settings: ScaleSettings, seed: int) -> list[_Described]:
    """The shapes that are seen in the middle frame, with those that the clip's caption names first."""
    rng = random_stream(seed, "shapes", "coarse errors")
    middle, side = clip.plan.ticks // 2, clip.images.shape[1]
    order = [*clip.named, *(t.number for t in clip.plan.things if t.number not in clip.named)]
    out = []
    for i in order:
        thing = clip.plan.things[i]
        texture = _wrong(SHAPE_TEXTURES, SHAPE_TEXTURES[thing.texture], rng, settings.attribute_error)
        colour = tuple(SHAPE_COLOURS)[thing.colour]
        if any(a.start <= middle < a.end and SHAPE_VERBS[a.verb] == "turns grey" for a in thing.acts):
            colour = "grey"  # as it looks in this frame
        else:
            colour = _wrong(tuple(SHAPE_COLOURS), colour, rng, settings.attribute_error)
        if clip.seen[i, middle] >= 0.5:
            x1, y1, x2, y2 = clip.boxes[i, middle] / side
            words = f"the {texture} {colour} {SHAPES[thing.shape]}".replace(" plain", "")
            out.append(_Described(thing, words, (float(x1 + x2) / 2, float(y1 + y2) / 2)))
    return out


def _layout(shapes: list[_Described]) -> str:
    """Where shapes are relative to each other, pair by pair, in words."""
    if len(shapes) == 1:
        return shapes[0].words
    said = []
    for a, b in zip(shapes[::2], [*shapes[1::2], *([shapes[0]] if len(shapes) % 2 else [])], strict=True):
        said.append(f"{a.words} {side_of(a.centre, b.centre) or 'and'} {b.words}")
    return " and ".join(said) if said else "there are no shapes"


def _tags(clip: CaptionedShapes, settings: ScaleSettings, seed: int) -> list[tuple[str, str]]:
    """Shape and verb of every event, in order of time."""
    rng = random_stream(seed, "shapes", "fine errors")
    events = sorted(((a, t) for t in clip.plan.things for a in t.acts), key=lambda x: (x[0].start, x[0].end))
    return [
        (_wrong(SHAPES, SHAPES[t.shape], rng, settings.tag_error),
         _wrong(SHAPE_VERBS, SHAPE_VERBS[a.verb], rng, settings.tag_error))
        for a, t in events
    ]  # fmt: skip


def _presence(clip: CaptionedShapes, settings: ScaleSettings, seed: int) -> list[str]:
    """The shapes seen in every other frame, as the fine scale tags them: one text per frame."""
    rng = random_stream(seed, "shapes", "fine presence")
    out = []
    for frame in range(0, clip.plan.ticks, 2):
        seen = [SHAPES[t.shape] for t in clip.plan.things if clip.seen[t.number, frame] >= 0.5]
        out.append(" ".join(_wrong(SHAPES, s, rng, settings.tag_error) for s in seen))
    return out


def _cut(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def scale_caption(clip: CaptionedShapes, seed: int, settings: ScaleSettings, epoch: int = 0) -> str:
    """A caption of a clip at one scale.

    Args:
        clip: The clip; it must not be a still.
        seed: Number of the clip, from which errors are drawn. They are the same in every epoch.
        settings: The scale, its length and its errors.
        epoch: Index of the epoch, from which `random_choice` draws its scale.
    """
    if settings.scale == "truth":
        layout = _layout(_described(clip, ScaleSettings(), seed)[:2])
        return f"{clip.caption} and {layout}"
    described = _described(clip, settings, seed)
    coarse = _layout(described)
    tags = _tags(clip, settings, seed)
    events = " then ".join(f"{shape} {verb}" for shape, verb in tags)
    fine = f"{events} with {' then '.join(_presence(clip, settings, seed))}"
    while len(coarse.split()) < settings.words:
        coarse += f" and {_layout(described[::-1])}"
    n = settings.words
    scale = settings.scale
    if scale == "random_choice":
        scale = "coarse" if random_stream(seed, "shapes", "scale", epoch).random() < 0.5 else "fine"
    if scale == "coarse":
        return _cut(coarse, n)
    if scale == "fine":
        return _cut(fine, n)
    if scale == "concat":
        return f"{_cut(coarse, n // 2)} {_cut(fine, n - n // 2)}"
    # A tag is given the look of the one shape of its kind that the coarse scale has described.
    kinds = [SHAPES[d.thing.shape] for d in described]
    looks = {k: d.words for k, d in zip(kinds, described, strict=True) if kinds.count(k) == 1}
    merged = " then ".join(f"{looks.get(shape, f'a {shape}')} {verb}" for shape, verb in tags)
    return _cut(f"{merged} and {coarse}", n)


_NOUN = re.compile(
    rf"(?:(?:{'|'.join(SHAPE_TEXTURES)}) )?(?:(?:{'|'.join(SHAPE_COLOURS)}|grey) )?(?:{'|'.join(SHAPES)})\b"
)


def caption_nouns(caption: str) -> tuple[str, ...]:
    """The noun phrases of a caption of shapes, in its order, each once.

    Args:
        caption: A caption in the words of the world of shapes.

    >>> caption_nouns("the striped red circle left of the ring and a cross grows")
    ('striped red circle', 'ring', 'cross')
    """
    return tuple(dict.fromkeys(_NOUN.findall(caption)))
