"""The factors of the world of shapes, and the splits that are drawn from it.

A `ShapesWorld` is a distribution over clips; `make_clip(world, seed)` draws one. Each field belongs to one factor and
each factor draws from its own random stream (`whenwhere.stage.streams`), so that changing one factor leaves the rest of
a clip as it was. The split is part of every stream's name: the same seed in two splits gives unrelated clips, so that
splits cannot overlap.

Time is counted in ticks of half a second. Everything begins and ends on a tick, so that two frames per second show it
exactly.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from whenwhere.errors import SettingError
from whenwhere.stage.shapes.noise import Noise
from whenwhere.stage.streams import random_stream

#: Ticks per second.
TICKS = 2
SHAPES_SPLITS = ("train", "val", "heldout", "ood-longer", "ood-later", "ood-faster", "ood-look")
#: Edges of the quartiles of speed in LaSOT, in box sizes per second; the last edge is still visible as motion.
SPEED_QUARTILES = (0.0, 0.136, 0.301, 0.752, 1.5)

#: Values that a split gives to fields left at their defaults. `ood-later` and `ood-look` instead change how events and
#: looks are drawn (`make_plan`).
_SPLIT: dict[str, dict[str, Any]] = {"ood-longer": {"seconds": (17, 32)}, "ood-faster": {"speeds": (0, 0, 0, 1)}}
#: Values that a domain gives to fields left at their defaults.
SHAPES_DOMAINS: dict[str, dict[str, Any]] = {
    "street": {
        "sizes": (0.09, 0.17),
        "cameras": (1, 0, 0),
        "cuts": (1,),
        "objects": (6, 12),
        "laws": (0.1, 0.7, 0.1, 0.1, 0),
    },
    "lecture": {
        "sizes": (0.09, 0.17),
        "cameras": (1, 0, 0),
        "cuts": (0, 0.3, 0.3, 0.2, 0.2),
        "objects": (4, 8),
        "laws": (1, 0, 0, 0, 0),
        "speeds": (1, 1, 0, 0),
    },
    "sport": {
        "sizes": (0.1, 0.2),
        "cameras": (0.1, 0.8, 0.1),
        "objects": (12, 20),
        "laws": (0.1, 0.4, 0.2, 0.2, 0.1),
        "speeds": (0, 0, 1, 1),
    },
    "still": {
        "seconds": (4, 8),
        "cameras": (1, 0, 0),
        "cuts": (1,),
        "bars": 0.0,
        "overlap": 0.0,
    },
}


@dataclass(frozen=True)
class ShapesWorld:
    """A distribution over clips.

    Attributes:
        split: One of `SHAPES_SPLITS`. An `ood-` split changes the one factor in its name.
        domain: None, or one of `SHAPES_DOMAINS`: `street` (static camera, small passing shapes), `lecture` (changing
            slides, small shapes that hardly move), `sport` (panning camera, a crowd), `still` (short clips, static
            camera, nothing hidden: the training distribution of the policy `tiny`). Split and domain change only the
            fields left at their defaults.
        noise: Shares of label errors, or None for clean labels. Only the split `train` ever has noisy labels.
        seconds: Duration of the shortest and the longest clip, in whole seconds, 2 to 64.
        fps: Frames per second.
        side: Width and height of a frame in pixels, 16 to 1024.
        events: Fewest and most events that happen and are asked about, 1 to 12.
        fraction: Shortest and longest event as a share of the clip; log-uniform in between.
        objects: Fewest and most shapes in a clip. Events that need more shapes get them, up to 20.
        sizes: Smallest and largest shape, as a share of the frame's side.
        cameras: Shares of clips with a static, a panning and a zooming camera.
        cuts: Shares of clips with 0, 1, ... cuts.
        bars: Share of clips with a bar that hides whatever passes behind it.
        overlap: Share of clips whose shapes may overlap at random.
        speeds: Weights of the four quartiles of speed (`SPEED_QUARTILES`).
        laws: Weights of the laws of random motion: rest, constant velocity, stop and go, one turn, jitter.
        cotemporal: Share of clips in which another shape is present for exactly the time of one that is asked about.
        twofold: Share of clips (where the number of events allows it) with a shape that does two things at two times.
        acts: Share of clips with one more shape that does one thing.
        ambiguous: Share of clips with a sentence that fits two or three shapes.
        orders: Share of clips with a pair told apart as `first` and `second`. The default is none, because such a word
            gives away a time without a look at the picture.
        absent: Share of sentences about something that is not there or does not happen, at most 0.25.
        backgrounds: Number of backgrounds that all clips share, 5 to 10000.

    Raises:
        SettingError: There is no such split or domain, or a value is out of range.
    """

    split: str = "train"
    domain: str | None = None
    noise: Noise | None = None
    seconds: tuple[int, int] = (4, 16)
    fps: float = 2.0
    side: int = 64
    events: tuple[int, int] = (5, 8)
    fraction: tuple[float, float] = (0.06, 0.4)
    objects: tuple[int, int] = (4, 10)
    sizes: tuple[float, float] = (0.13, 0.3)
    cameras: tuple[float, float, float] = (0.8, 0.12, 0.08)
    cuts: tuple[float, ...] = (0.88, 0.08, 0.04)
    bars: float = 0.3
    overlap: float = 0.1
    speeds: tuple[float, float, float, float] = (1, 1, 1, 1)
    laws: tuple[float, float, float, float, float] = (0.4, 0.3, 0.1, 0.1, 0.1)
    cotemporal: float = 0.5
    twofold: float = 0.6
    acts: float = 0.4
    ambiguous: float = 0.25
    orders: float = 0.0
    absent: float = 0.1
    backgrounds: int = 64

    def __post_init__(self) -> None:
        if self.split not in SHAPES_SPLITS:
            raise SettingError(f"there is no split '{self.split}': choose from {', '.join(SHAPES_SPLITS)}")
        if self.domain is not None and self.domain not in SHAPES_DOMAINS:
            raise SettingError(f"there is no domain '{self.domain}': choose from {', '.join(SHAPES_DOMAINS)}")
        changed = {**(SHAPES_DOMAINS[self.domain] if self.domain else {}), **_SPLIT.get(self.split, {})}
        for f in fields(self):
            if f.name in changed and getattr(self, f.name) == f.default:
                object.__setattr__(self, f.name, changed[f.name])
        lo, hi = self.seconds
        if not (2 <= lo <= hi <= 64):
            raise SettingError(
                f"clips must last from 2 to 64 whole seconds, not {lo} to {hi}: give, for example, seconds=(4, 16)"
            )
        if not (0 < self.fps <= 60 and 16 <= self.side <= 1024):
            raise SettingError(
                f"frames of {self.side} pixels at {self.fps:g} per second cannot be made: "
                "side must be 16 to 1024, and fps above 0 and at most 60"
            )
        if not (1 <= self.events[0] <= self.events[1] <= 12 and 0 < self.fraction[0] <= self.fraction[1] < 1):
            raise SettingError(
                f"events={self.events} and fraction={self.fraction} are not possible: a clip has 1 to 12 events, "
                "each a share of it above 0 and below 1; give the smaller value first"
            )
        if not (1 <= self.objects[0] <= self.objects[1] <= 20 and 0 < self.sizes[0] <= self.sizes[1] <= 0.5):
            raise SettingError(
                f"objects={self.objects} and sizes={self.sizes} are not possible: a clip has 1 to 20 shapes, each at "
                "most half the side; give the smaller value first"
            )
        if not 0 <= self.absent <= 0.25:
            raise SettingError(f"at most a quarter of the sentences may be absent, not {self.absent:g}")
        if len(self.cuts) > 5 or not 5 <= self.backgrounds <= 10_000:
            raise SettingError("a clip has at most four cuts, and a world between 5 and 10000 backgrounds")

    @property
    def name(self) -> str:
        """Prefix of the names of the clips: the split and, if there is one, the domain, joined by `-`."""
        return f"{self.split}-{self.domain}" if self.domain else self.split

    def stream(self, seed: int, factor: str) -> np.random.Generator:
        """The random generator of one factor of one clip.

        Args:
            seed: Number of the clip.
            factor: Name of the factor.
        """
        return random_stream(seed, "shapes", self.split, factor)
