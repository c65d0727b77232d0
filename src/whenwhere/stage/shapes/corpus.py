"""Corpora of captioned clips for video-language pre-training, drawn from the world of shapes.

A corpus is a distribution over clips whose captions name a few of the shapes in the clip. `CORPORA` lists those that
the experiments need; `shapes_corpus("varied", split="val", side=64)` takes one and changes some of its factors. Each
factor draws from its own random stream, so that changing one leaves the rest of a clip as it was. Backgrounds are
shared by many clips, so that none identifies a clip, and the place of a shape does not depend on what it is.

Some shapes never do what some verbs say (`held_out_composition`), except in corpora that ask for it, so that zero-shot
recognition can be tested on compositions that no caption for training contains.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.stage.shapes.world import SHAPES_SPLITS, TICKS, ShapesWorld

Timing = Literal["free", "sequence", "paused", "whole"]
Compositions = Literal["seen", "held out", "all"]


def held_out_composition(verb: int, shape: int) -> bool:
    """Whether a shape does what a verb says only in corpora that ask for held-out compositions.

    Every verb is held out for one shape, and every shape for one or two verbs.

    Args:
        verb: Index into `SHAPE_VERBS`.
        shape: Index into `SHAPES`.
    """
    return verb % 6 == (shape + 2) % 6


@dataclass(frozen=True)
class ShapesCorpus:
    """A distribution over captioned clips.

    Attributes:
        split: One of `SHAPES_SPLITS`. The same seed in two splits gives unrelated clips.
        frames: Number of frames of a clip, two per second: an even number from 4 to 64, or 1 for a still. What happens
            begins and ends with a frame.
        side: Width and height of a frame in pixels.
        objects: Fewest and most shapes in a clip, with the named ones; at most 20.
        named: Number of shapes that the caption names, 1 to 4. Each does one thing, or nothing if `acting` is False.
        timing: When the named shapes act: each at a time of its own (`free`), one after the other with no pause, so
            that the clip falls into parts with exact boundaries (`sequence`), one after the other with pauses
            (`paused`), or all through the clip (`whole`).
        acting: Whether the named shapes do something. If not, the caption only says that they are there.
        bystanders: Share of the other shapes that do something that the caption does not mention.
        drift: Share of the other shapes that move at random.
        transient: Whether a named shape is present only while it acts and one frame before.
        middle: Share of the clips in which a named shape acts in the middle frame. None leaves that to the timing.
        distinct: Whether no other shape is of the same kind (circle, square, ...) as a named one.
        textures: Whether named shapes are told apart by texture too.
        compositions: How verbs and shapes combine: only as captions for training do (`seen`), only as those never do
            (`held out`), or in every way (`all`).
        still: Whether all frames of a clip show its middle one, so that the corpus is one of pictures.
        sizes: Smallest and largest shape, as a share of the frame's side.
        speeds: Weights of the four quartiles of speed (`SPEED_QUARTILES`).
        cameras: Shares of clips with a static, a panning and a zooming camera.
        overlap: Share of clips whose shapes may overlap at random.
        backgrounds: Number of backgrounds that all clips share.

    Raises:
        SettingError: A value is out of range, or two of them contradict each other.
    """

    split: str = "train"
    frames: int = 8
    side: int = 48
    objects: tuple[int, int] = (4, 10)
    named: int = 2
    timing: Timing = "free"
    acting: bool = True
    bystanders: float = 0.3
    drift: float = 0.3
    transient: bool = False
    middle: float | None = None
    distinct: bool = False
    textures: bool = True
    compositions: Compositions = "seen"
    still: bool = False
    sizes: tuple[float, float] = (0.17, 0.27)
    speeds: tuple[float, float, float, float] = (0, 1, 1, 0)
    cameras: tuple[float, float, float] = (0.8, 0.12, 0.08)
    overlap: float = 0.1
    backgrounds: int = 16

    def __post_init__(self) -> None:
        if self.split not in SHAPES_SPLITS:
            raise SettingError(f"there is no split '{self.split}'{did_you_mean(self.split, SHAPES_SPLITS)}")
        if not (4 <= self.frames <= 64 and self.frames % 2 == 0) and not (self.still and self.frames == 1):
            raise SettingError(
                f"a clip has an even number of frames from 4 to 64, not {self.frames}; only a still can have 1"
            )
        if not 1 <= self.named <= 4 or not self.named <= self.objects[0] <= self.objects[1] <= 20:
            raise SettingError(
                f"objects={self.objects} and named={self.named} are not possible: a clip has 1 to 20 shapes, and its "
                "caption names 1 to 4 of them; give the smaller number of shapes first"
            )
        if (need := {"sequence": 2, "paused": 5}.get(self.timing, 0) * self.named) > self.frames:
            raise SettingError(f"{self.named} events one after the other need at least {need} frames: give more frames")
        if self.transient and (self.timing not in ("free", "paused") or not self.acting):
            raise SettingError(
                "transient needs shapes that act at times of their own: give timing = 'free' or 'paused'"
            )
        if not all(0 <= share <= 1 for share in (self.bystanders, self.drift, self.overlap, self.middle or 0)):
            raise SettingError("bystanders, drift, overlap and middle are shares from 0 to 1")
        if self.middle is not None and (self.timing != "free" or self.frames < 8):
            raise SettingError("middle needs timing = 'free' and at least 8 frames")
        _ = self.world

    @property
    def painted(self) -> int:
        """Number of frames that are painted. Of a still with one frame, four are painted and the middle one is used."""
        return max(self.frames, 4)

    @cached_property
    def world(self) -> ShapesWorld:
        """The world of shapes with this corpus's sizes, speeds, camera and backgrounds."""
        return ShapesWorld(
            split=self.split,
            seconds=(self.painted // TICKS, self.painted // TICKS),
            fps=float(TICKS),
            side=self.side,
            sizes=self.sizes,
            cameras=self.cameras,
            cuts=(1,),
            speeds=self.speeds,
            overlap=self.overlap,
            backgrounds=self.backgrounds,
        )


#: Corpora by name. docs/pretraining-data.md says what each is for.
CORPORA: dict[str, ShapesCorpus] = {
    "pairs": ShapesCorpus(),
    "homogeneous": ShapesCorpus(named=1, timing="whole", bystanders=0.0),
    "varied": ShapesCorpus(timing="sequence", bystanders=0.0),
    "scales": ShapesCorpus(transient=True, middle=0.7, bystanders=0.0, objects=(5, 8), distinct=True),
    "actions": ShapesCorpus(frames=32, named=4, timing="paused", bystanders=0.0, drift=0.0),
    "stills": ShapesCorpus(acting=False, still=True),
    "large-slow": ShapesCorpus(objects=(2, 4), sizes=(0.34, 0.45), speeds=(0, 1, 0, 0), drift=0.0, timing="whole"),
    "small-fast": ShapesCorpus(objects=(2, 4), sizes=(0.12, 0.16), speeds=(0, 0, 0, 1), drift=0.0, transient=True),
}


def shapes_corpus(name: str, **changes: Any) -> ShapesCorpus:
    """A corpus by its name, with some of its factors changed.

    Args:
        name: One of `CORPORA`.
        changes: Fields of `ShapesCorpus` and their values.

    Raises:
        SettingError: There is no such corpus or factor, or the factors contradict each other.

    >>> shapes_corpus("varied", side=64).timing
    'sequence'
    """
    if name not in CORPORA:
        raise SettingError(f"there is no corpus '{name}'{did_you_mean(name, CORPORA, most=len(CORPORA))}")
    known = [f.name for f in fields(ShapesCorpus)]
    for key in changes:
        if key not in known:
            raise SettingError(f"a corpus has no factor '{key}'{did_you_mean(key, known)}")
    return replace(CORPORA[name], **changes)
