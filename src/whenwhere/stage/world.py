"""The world of one clip: views (a camera in front of a background), actors, light and noise.

A world is a plan without pixels; `compose` paints it and `truth` reads off what is visible. Lengths are in frame
heights, times in frames.
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
    """Where shadows fall and how dark they are.

    From straight above, a whole shadow is shifted to the right by `shear` / 10 and down by `flat` / 10 of the unit in
    which its sprite was drawn.

    Attributes:
        shear: Distance to the right by which the shadow of a point is shifted, per height of the point.
        flat: Distance upwards by which the shadow of a point is shifted, per height of the point.
        strength: Darkness of a shadow, from 0 to 1.
    """

    shear: float
    flat: float
    strength: float


@dataclass
class Prop:
    """Something that may hide actors, such as a pole, a table or a counter; no sentence asks about it.

    Attributes:
        sprite: Its picture.
        x: Ground position in frame heights.
        y: Ground position in frame heights; it also decides who hides whom.
        size: Frame heights per unit of the sprite's brush.
        name: `pole`, `bush`, or the name of the table or counter.
        sway: Largest angle in radians by which the prop sways.
    """

    sprite: Sprite
    x: float
    y: float
    size: float
    name: str = "pole"
    sway: float = 0.0


@dataclass
class View:
    """One camera: its background, how things shrink with distance, and where it looks in each frame.

    Attributes:
        plate: Background picture, `margin` frame heights larger than the frame on each side.
        margin: Frame heights by which the plate extends beyond the frame on each side.
        scale: Coefficients (a, b): a thing at ground height y is drawn `a + b y` times its size.
        above: Whether the camera looks straight down. Vehicles then turn with their direction, and nothing shrinks.
        ox: Camera offset to the right in frame heights, shape (n,).
        oy: Camera offset downwards in frame heights, shape (n,).
        zoom: Zoom factor, at least 1, shape (n,).
        sun: Direction and strength of shadows.
        props: What stands in the view and may hide actors.
        camera: `static`, `shake`, `pan` or `zoom`.
        domain: Name of the place.
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
        """Scale of things at ground height y, which does not grow further below the picture."""
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
        id: Index in the world's list of actors.
        kind: `car`, `van`, `truck`, `bus`, `man`, `woman`, `child`, `dog`, `cat`, `horse`, `ball`, `box`, ...
        family: `vehicle`, `person`, `animal` or `thing`.
        look: How the actor is painted.
        paints: Colours by part: `body`; for people `top`, `bottom` and `hair`.
        size: Length of a vehicle or height of anything else, in frame heights, where the view's scale is 1.
        legs: The actor's script.
        view: Index of the view in which the actor is.
        seed: Seed of the grain of its sprites.
        big: `big`, `small`, or empty for about the usual size.
        texture: `plain`, or one of `casting.SPLIT_TEXTURES`.
        depth: Ground height that decides scale and who hides whom. None uses the ground height of the position.
        place: For things, what they rest on (`table`, `floor`, ...).
        hand: For things that are put down or taken away, the id of the person who does it.
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
    """One clip as a plan.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        fps: Frames per second.
        frames: Number of frames.
        views: The cameras.
        view_of: Index of the view that each frame shows, shape (n,).
        actors: All actors.
        gain: Light of each frame per channel, shape (n, 3).
        noise: Standard deviation of the sensor noise, in grey levels.
        crf: Strength of the file's compression (x264's scale; larger is stronger).
        seed: Seed of the clip.
        split: `dev`, `val` or `heldout`.
        domain: Name of the place.
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
        """The path of every actor."""
        return [walk(a.legs, self.frames) for a in self.actors]

    @property
    def cuts(self) -> list[int]:
        """First frame of every shot except the first."""
        return [int(i) + 1 for i in np.flatnonzero(np.diff(self.view_of))]
