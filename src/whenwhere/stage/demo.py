"""The clip of `whenwhere demo`: a street on a fine day, nice to look at and easy to answer questions about.

A static camera shows four actors that differ in kind, colour and direction; one of them stands still for a while. The
truth comes from the same rules as that of any other clip, and the same solver checks the three sentences.
"""

import os

import numpy as np

from whenwhere.stage.build import make_view
from whenwhere.stage.grammar import Sentence
from whenwhere.stage.palette import PAINTS, Paint
from whenwhere.stage.people import PersonLook
from whenwhere.stage.plots import Cue, border
from whenwhere.stage.scene import Scene, Stage, write_scene
from whenwhere.stage.script import Leg
from whenwhere.stage.solver import Phrase, Solver
from whenwhere.stage.vehicles import VehicleLook
from whenwhere.stage.world import Actor, View, World

FPS, WIDTH, HEIGHT, SECONDS = 15.0, 640, 360, 12.0
_SEED = 7
_PAINT: dict[str, Paint] = {p.family: p for p in PAINTS["dev"]}
#: Each sentence with its noun phrase, its event and its direction.
_ASKED = (
    ("the red car drives from left to right", Phrase("car", "body", _PAINT["red"]), "cross", "right"),
    ("the woman in a yellow coat stands still", Phrase("woman", "top", _PAINT["yellow"]), "stand", ""),
    ("a blue bus drives from right to left", Phrase("bus", "body", _PAINT["blue"]), "cross", "left"),
)


def _crossing(view: View, start: float, seconds: float, size: float, y: float, way: str, frames: int) -> list[Leg]:
    half = 0.56 * size * view.at(y)
    ends = [border(view, WIDTH / HEIGHT, side, y, half) for side in ("left", "right")]
    a, b = ends if way == "right" else ends[::-1]
    cue = Cue(FPS, a, "steady")
    cue.away(round(start * FPS))
    cue.go(b, float(np.hypot(b[0] - a[0], b[1] - a[1])) / seconds, facing=way)
    return cue.finish(frames)


def _woman(view: View, frames: int) -> list[Leg]:
    cue = Cue(FPS, border(view, WIDTH / HEIGHT, "left", 0.53, 0.12), "eased")
    cue.away(round(0.8 * FPS))
    cue.go((0.62, 0.53), 0.3, facing="right")
    cue.stand(3.6, "front")
    cue.go(border(view, WIDTH / HEIGHT, "right", 0.53, 0.12), 0.36, facing="right")
    return cue.finish(frames)


def demo_world() -> World:
    """The plan of the demo clip."""
    frames = round(SECONDS * FPS)
    view = make_view(_SEED, 0, "street", "dev", WIDTH / HEIGHT, HEIGHT, frames, FPS, "static")
    view.props.clear()

    def vehicle(i: int, kind: str, colour: str, size: float, legs: list[Leg]) -> Actor:
        paint = _PAINT[colour]
        return Actor(i, kind, "vehicle", VehicleLook(kind, paint.rgb), {"body": paint}, size, legs, seed=i)

    coat = PersonLook((92, 58, 34), (236, 198, 172), _PAINT["yellow"].rgb, (52, 54, 66), long_hair=True, coat=True)
    paints = {"top": _PAINT["yellow"], "bottom": _PAINT["black"], "hair": _PAINT["brown"]}
    actors = [
        vehicle(0, "car", "red", 0.46, _crossing(view, 0.5, 3.4, 0.46, 0.88, "right", frames)),
        Actor(1, "woman", "person", coat, paints, 0.28, _woman(view, frames), seed=1),
        vehicle(2, "van", "white", 0.52, _crossing(view, 4.6, 3.6, 0.52, 0.88, "right", frames)),
        vehicle(3, "bus", "blue", 0.84, _crossing(view, 7.6, 4.2, 0.84, 0.71, "left", frames)),
    ]
    return World(WIDTH, HEIGHT, FPS, frames, [view], np.zeros(frames, np.intp), actors, np.ones((frames, 3)), 1.5, 20,
                 _SEED, "dev", "street")  # fmt: skip


def _asked(scene: Scene) -> list[Sentence]:
    solver = Solver(scene.world, scene.seen, scene.events)
    found = [(text, p, solver.unique(p, what, way), what) for text, p, what, way in _ASKED]
    return [Sentence(text, "direction" if what == "cross" else what, event, p) for text, p, event, what in found]


def demo_scene(path: str | os.PathLike[str]) -> Scene:
    """Writes the demo clip (12 s, 640x360, with sound) and returns its truth with three sentences.

    Args:
        path: Path of the mp4 file.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_scene(path, Stage(demo_world(), _asked))
