"""The world of one clip: views (a camera before a background), the actors before them, light and noise.

A world is a plan without pixels; `compose` paints it and `truth` reads off what there is to see. Lengths are frame
heights, times are frames.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whenwhere.stage.paint import Image, Sprite
from whenwhere.stage.palette import Paint
from whenwhere.stage.people import PersonLook
from whenwhere.stage.script import Leg, Path, walk
from whenwhere.stage.things import ThingLook
from whenwhere.stage.vehicles import VehicleLook


@dataclass(frozen=True)
class Sun:
    """Where shadows fall: a point `v` above the ground is drawn at (`shear`, -`flat`) · v beside the feet."""

    shear: float
    flat: float
    strength: float


@dataclass
class Prop:
    """Something that stands in the scene and may hide actors: a pole, a table, a counter; never asked about."""

    sprite: Sprite
    x: float
    y: float
    size: float
    name: str = "pole"
    sway: float = 0.0


@dataclass
class View:
    """One camera: its plate, how things shrink with distance, and where it looks in each frame.

    Attributes:
        plate: background, `margin` frame heights larger than the picture on each side.
        margin: see plate.
        scale: (a, b): a thing at ground height y is drawn `a + b y` times its size.
        above: seen from straight above: actors turn with their direction and nothing shrinks.
        ox: (n,) camera offset to the right, in frame heights; `oy` downwards; `zoom` >= 1.
        oy: see ox.
        zoom: see ox.
        sun: shadows.
        props: what stands around.
        camera: `static`, `shake`, `pan` or `zoom`.
    """

    plate: Image
    margin: float
    scale: tuple[float, float]
    above: bool
    ox: NDArray[np.float64]
    oy: NDArray[np.float64]
    zoom: NDArray[np.float64]
    sun: Sun
    props: list[Prop] = field(default_factory=list)
    camera: str = "static"
    domain: str = ""

    def at(self, y: float) -> float:
        """How large things are at ground height y; the same below the picture as at its lower edge."""
        a, b = self.scale
        return max(0.1, a + b * min(y, 1.05))

    @property
    def moving(self) -> bool:
        """Whether the camera moves."""
        return self.camera != "static"


@dataclass
class Actor:
    """Somebody or something that sentences may be about.

    Attributes:
        id: its place in the world's list.
        kind: `car`, `van`, `truck`, `bus`, `man`, `woman`, `child`, `dog`, `cat`, `horse`, `ball`, `box`, ...
        family: `vehicle`, `person`, `animal` or `thing`.
        look: what it is painted like.
        paints: colour words: `body`; for people `top`, `bottom` and `hair`.
        size: length of a vehicle, height of everything else, in frame heights, where the view's scale is 1.
        legs: its script.
        view: which view it lives in.
        seed: of its grain.
        big: `big`, `small` or empty.
        texture: `plain`, or one of `casting.SPLIT_TEXTURES`.
        depth: ground height that decides who hides whom; None: where it stands.
        place: for things: what it rests on (`table`, `floor`, ...).
        hand: for things that are put down or taken away: the id of the person who does it.
    """

    id: int
    kind: str
    family: str
    look: PersonLook | VehicleLook | ThingLook
    paints: dict[str, Paint]
    size: float
    legs: list[Leg]
    view: int = 0
    seed: int = 0
    big: str = ""
    texture: str = "plain"
    depth: float | None = None
    place: str = ""
    hand: int | None = None


@dataclass
class World:
    """One clip.

    Attributes:
        width: pixels; `height` likewise.
        height: see width.
        fps: frames per second.
        frames: number of frames.
        views: the cameras.
        view_of: (n,) which view each frame shows.
        actors: everybody.
        gain: (n, 3) light of each frame, per channel.
        noise: standard deviation of the sensor noise, in grey levels.
        crf: how strongly the file is compressed (x264's scale, larger is stronger).
        seed: of the noise.
        split: `dev`, `val` or `heldout`.
        domain: its name.
    """

    width: int
    height: int
    fps: float
    frames: int
    views: list[View]
    view_of: NDArray[np.intp]
    actors: list[Actor]
    gain: NDArray[np.float64]
    noise: float
    crf: int
    seed: int
    split: str
    domain: str

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @cached_property
    def paths(self) -> list[Path]:
        """Every actor's way."""
        return [walk(a.legs, self.frames) for a in self.actors]

    @property
    def cuts(self) -> list[int]:
        """First frame of every shot but the first."""
        return [int(i) + 1 for i in np.flatnonzero(np.diff(self.view_of))]
