"""A rendered clip with its truth: the actors' boxes in every frame, cuts, events, and sentences with answers."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.spans import SpanSet
from whenwhere.stage.build import build_world
from whenwhere.stage.compose import Compositor, Seen
from whenwhere.stage.grammar import Sentence, make_sentences
from whenwhere.stage.paint import Image
from whenwhere.stage.sound import track
from whenwhere.stage.truth import Event, clip_events
from whenwhere.stage.world import World
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter


@dataclass(frozen=True)
class Query:
    """One sentence about a clip.

    Attributes:
        text: The sentence.
        spans: When the sentence is true. Empty where nothing in the clip fits it; `kind` is then `absent`.
        tube: Boxes of the referent in every frame within the spans in which it is not hidden. Its `rate` is the frame
            rate.
        kind: Kind of sentence; see `grammar`.
        actor: Id of the referent. None where nothing in the clip fits the sentence.
    """

    text: str
    spans: SpanSet
    tube: Tube
    kind: str
    actor: int | None

    @property
    def absent(self) -> bool:
        """Whether nothing in the clip fits the sentence."""
        return not len(self.spans)


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip and everything that is true of it.

    Attributes:
        world: The plan that was painted.
        boxes: Boxes as xyxy pixels of the displayed frame, shape (actors, frames, 4), NaN where an actor is not
            visible.
        events: Everything that happens (see `truth`).
        sentences: Sentences with their answers.
    """

    world: World
    boxes: NDArray[np.float64]
    events: list[Event]
    sentences: list[Query]

    @property
    def seen(self) -> Seen:
        """The boxes in the form that `truth` and `grammar` take."""
        return Seen(self.boxes)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.world.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.world.height

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.world.fps

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.world.frames / self.world.fps

    @property
    def times(self) -> NDArray[np.float64]:
        """Time in seconds at which each frame is shown, shape (frames,)."""
        return np.arange(self.world.frames) / self.world.fps

    @property
    def cuts(self) -> list[float]:
        """Times in seconds of the first frame of every shot except the first."""
        return [i / self.world.fps for i in self.world.cuts]

    @property
    def moving(self) -> bool:
        """Whether any camera of the clip moves."""
        return any(v.moving for v in self.world.views)

    def tube(self, actor: int, spans: SpanSet, label: str | None = None) -> Tube:
        """Boxes of one actor in every frame within spans in which it has one.

        Args:
            actor: Id of the actor.
            spans: The spans.
            label: Label of the tube.
        """
        boxes = self.boxes[actor]
        keep = (spans.index(self.times + 1e-9) >= 0) & ~np.isnan(boxes[:, 0])
        return Tube(spans, self.times[keep], boxes[keep], rate=self.fps, label=label)


class Stage:
    """A clip that is being painted: iterate over `frames()` once, then call `scene()` for its truth.

    Args:
        world: The plan to paint.
        ask: Function that makes the sentences about the clip. None uses `make_sentences`.
    """

    def __init__(self, world: World, ask: Callable[[Scene], list[Sentence]] | None = None) -> None:
        self.world, self._ask = world, ask or (lambda scene: make_sentences(scene.world, scene.seen, scene.events))
        self._boxes: list[NDArray[np.float64]] = []

    def frames(self) -> Iterator[Image]:
        """Every frame in order, RGB, shape (h, w, 3)."""
        self._boxes = []
        for frame, boxes in Compositor(self.world).frames():
            self._boxes.append(boxes)
            yield frame

    def scene(self) -> Scene:
        """The truth of the clip, after all its frames have been painted."""
        seen = Seen(np.stack(self._boxes, 1))
        scene = Scene(self.world, seen.boxes, clip_events(self.world, seen), [])
        return replace(scene, sentences=[_query(scene, s) for s in self._ask(scene)])


def _query(scene: Scene, s: Sentence) -> Query:
    if s.event is None:
        return Query(s.text, SpanSet(), Tube(SpanSet(), rate=scene.fps), s.kind, None)
    kind = scene.world.actors[s.event.actor].kind
    return Query(s.text, s.event.spans, scene.tube(s.event.actor, s.event.spans, kind), s.kind, s.event.actor)


def render_clip(
    path: str | os.PathLike[str], seed: int, split: str = "dev", *, domain: str | None = None, width: int = 640,
    height: int = 360, fps: float = 15.0, seconds: float | None = None, cuts: bool | None = None,
    camera: str | None = None, queries: int = 6, sound: bool = True,
) -> Scene:  # fmt: skip
    """Writes one clip as H.264 mp4 and returns its truth.

    Args:
        path: Path of the mp4 file.
        seed: Number of the clip; the same seed, settings and version give the same pixels and the same truth.
        split: `dev` for development; `val` and `heldout` have other looks, backgrounds, motion and words.
        domain: Name of a place of the split (`splits.PLACES`), such as `road` or `park`. None draws one.
        width: Width in pixels, even.
        height: Height in pixels, even.
        fps: Frames per second.
        seconds: Duration in seconds. None draws 9 to 18 (`val`: 10 to 20).
        cuts: Whether the clip has shots from two cameras. None gives them to one clip in seven (`val`: one in five).
        camera: `static`, `shake`, `pan` or `zoom`. None draws one of the kinds that the place has.
        queries: Largest number of sentences.
        sound: Whether to add the sound track (see `sound`).

    Raises:
        SettingError: The split, domain or camera is unknown, the size cannot be made, or the seed is negative.
        OutputError: The file cannot be written.
    """
    world = build_world(seed, split, domain, width, height, fps, seconds, cuts, camera)
    return write_scene(path, Stage(world, lambda s: make_sentences(s.world, s.seen, s.events, queries)), sound)


def write_scene(path: str | os.PathLike[str], stage: Stage, sound: bool = True) -> Scene:
    """Paints a clip, writes it as H.264 mp4, and returns its truth.

    Args:
        path: Path of the mp4 file.
        stage: The clip, of which nothing has been painted yet.
        sound: Whether to add the sound track (see `sound`).

    Raises:
        OutputError: The file cannot be written.
    """
    w = stage.world
    with FrameWriter(path, w.width, w.height, w.fps, audio=track(w) if sound else None, crf=w.crf) as writer:
        for frame in stage.frames():
            writer.write(frame)
    return stage.scene()
