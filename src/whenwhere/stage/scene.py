"""A rendered clip with its truth: boxes of every actor in every frame, cuts, events, and sentences with answers."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.spans import SpanSet
from whenwhere.stage.build import build
from whenwhere.stage.compose import Compositor, Seen
from whenwhere.stage.grammar import Sentence, sentences
from whenwhere.stage.paint import Image
from whenwhere.stage.truth import Event, events
from whenwhere.stage.world import World
from whenwhere.tubes import Tube


@dataclass(frozen=True)
class Query:
    """One sentence about a clip.

    Attributes:
        text: the sentence.
        spans: when it is true; empty where nothing fits (`kind` is then `absent`).
        tube: per-frame boxes of its referent inside the spans, `rate` = the clip's frames per second; no box where
            the referent is hidden.
        kind: kind of sentence, see `grammar`.
        actor: id of the referent, None where absent.
    """

    text: str
    spans: SpanSet
    tube: Tube
    kind: str
    actor: int | None

    @property
    def absent(self) -> bool:
        """Whether nothing in the clip fits."""
        return not len(self.spans)


@dataclass(frozen=True, eq=False)
class Scene:
    """One clip and all that is true of it.

    Attributes:
        world: the plan it was painted from.
        boxes: (actors, frames, 4) xyxy pixels of the displayed frame, NaN where an actor is not to be seen.
        events: all that happens (see `truth`).
        sentences: queries with answers.
    """

    world: World
    boxes: NDArray[np.float64]
    events: list[Event]
    sentences: list[Query]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.world.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.world.height

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.world.fps

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.world.frames / self.world.fps

    @property
    def times(self) -> NDArray[np.float64]:
        """(frames,) when each frame is shown."""
        return np.arange(self.world.frames) / self.world.fps

    @property
    def cuts(self) -> list[float]:
        """Times of the first frame of every shot but the first."""
        return [i / self.world.fps for i in self.world.cuts]

    @property
    def moving(self) -> bool:
        """Whether any of its cameras moves."""
        return any(v.moving for v in self.world.views)

    def tube(self, actor: int, spans: SpanSet, label: str | None = None) -> Tube:
        """Per-frame boxes of one actor inside spans."""
        boxes = self.boxes[actor]
        keep = (spans.index(self.times + 1e-9) >= 0) & ~np.isnan(boxes[:, 0])
        return Tube(spans, self.times[keep], boxes[keep], rate=self.fps, label=label)


class Stage:
    """A clip while it is painted: iterate over `frames()` once, then ask for the `scene`.

    Args:
        world: what to paint.
        count: how many sentences at most.
    """

    def __init__(self, world: World, count: int = 6) -> None:
        self.world, self.count = world, count
        self._boxes: list[NDArray[np.float64]] = []

    def frames(self) -> Iterator[Image]:
        """(h, w, 3) RGB, every frame in order."""
        self._boxes = []
        for frame, boxes in Compositor(self.world).frames():
            self._boxes.append(boxes)
            yield frame

    def scene(self) -> Scene:
        """The truth of the frames that were painted."""
        seen = Seen(np.stack(self._boxes, 1))
        happenings = events(self.world, seen)
        scene = Scene(self.world, seen.boxes, happenings, [])
        asked = sentences(self.world, seen, happenings, self.count)
        return Scene(self.world, seen.boxes, happenings, [_query(scene, s) for s in asked])


def _query(scene: Scene, s: Sentence) -> Query:
    if s.event is None:
        return Query(s.text, SpanSet(), Tube(SpanSet(), rate=scene.fps), s.kind, None)
    kind = scene.world.actors[s.event.actor].kind
    return Query(s.text, s.event.spans, scene.tube(s.event.actor, s.event.spans, kind), s.kind, s.event.actor)


def render(
    path: str | os.PathLike[str], seed: int, split: str = "dev", *, domain: str | None = None, width: int = 640,
    height: int = 360, fps: float = 15.0, seconds: float | None = None, cuts: bool | None = None,
    camera: str | None = None, queries: int = 6, sound: bool = True,
) -> Scene:  # fmt: skip
    """Writes one clip as H.264 mp4 and returns its truth.

    Args:
        path: where the mp4 goes.
        seed: the clip; same seed, settings and version give the same pixels and the same truth.
        split: `dev` for development; `heldout` has other looks, backgrounds, motion and words.
        domain: `road`, `street`, `room`, `shop`, `park` or `yard`; None draws one.
        width: pixels, even.
        height: pixels, even.
        fps: frames per second.
        seconds: length; None draws 8 to 16.
        cuts: True for shots from two cameras, False for none, None draws.
        camera: `static`, `shake`, `pan` or `zoom`; None draws what the domain has.
        queries: sentences at most.
        sound: whether to add the sound track (see `sound`).

    Raises:
        SettingError: an unknown split, domain or camera, or a size that cannot be made.
        OutputError: the file cannot be written.
    """
    from whenwhere.stage.sound import track
    from whenwhere.video import FrameWriter

    stage = Stage(build(seed, split, domain, width, height, fps, seconds, cuts, camera), queries)
    audio = track(stage.world) if sound else None
    with FrameWriter(path, width, height, fps, audio=audio) as writer:
        for frame in stage.frames():
            writer.write(frame)
    return stage.scene()
