"""The object index of a video: what a detector recognised, as tracks. All questions are answered from it.

Frames are streamed once at a few per second. Between two of them the camera's motion is estimated, so that tracks are
linked and motion is told relative to the scene; at a shot cut every track ends. Before a still camera a `MotionGate`
carries detections from frame to frame and asks the detector only where something moves that it has not seen. The same
pass hands frames on to the index of what moves (`BlobFeed`). Memory grows with the sightings kept and not with the
frames seen.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from queue import Full, Queue
from threading import Event, Thread

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.blobs import zone_colours
from whenwhere.grounders.motion.camera import STILL, camera_step
from whenwhere.grounders.motion.index import WIDTH as MOTION_WIDTH
from whenwhere.grounders.motion.index import Index, Indexer, is_cut, thumbnail
from whenwhere.grounders.motion.track_index import TrackIndex, column, sample_step, track_numbers
from whenwhere.grounders.objects.tracks import WEAK, FrameDetections, ObjectTrack, ObjectTracker
from whenwhere.models.detectors.detector import ClassDetections, Detector
from whenwhere.models.detectors.gate import MotionGate, small_grey
from whenwhere.store import Cache
from whenwhere.tracking import JumpFinder
from whenwhere.video import VideoInfo, stream_frames, stream_views
from whenwhere.video.read import cores

#: Version of the stored arrays; raise it if they or their meaning change.
VERSION = 4
#: Frames per second that are looked at, and their width in pixels.
FPS = 4.0
WIDTH = 480
#: Longest side in pixels of the crops whose colours are counted.
_CROP = 48
#: Frames that are decoded before the detector is done with the ones before them.
_AHEAD = 16
#: Frames after which the share of those before which the camera moved says whether it stands still.
_SETTLED = 40


@dataclass
class ObjectIndex(TrackIndex):
    """The tracks of what a detector recognised in a video.

    Attributes:
        scores: (n,) scores of the detections in 0-1.
        drift: (n, 2) pixels by which the camera's motion has moved the place of each sighting.
        classes: (tracks, labels) mean class distribution of each track.
        shots: (tracks,) number of the shot of each track.
        asked: Number of frames that the detector saw.
    """

    STORED = TrackIndex.STORED | {"scores": (np.float16, np.float32)}

    scores: NDArray[np.float32]
    drift: NDArray[np.float32]
    classes: NDArray[np.float32]
    shots: NDArray[np.int32]
    asked: int


def index_key(cache: Cache, info: VideoInfo, detector: Detector, fps: float = FPS) -> str:
    """The key under which the index of a video is kept in a cache."""
    return cache.key("objects", VERSION, info.content, fps, WIDTH, detector.fingerprint)


@dataclass
class _Frame:
    """A frame with what is known of it before the detector saw it."""

    time: float
    picture: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    moved: NDArray[np.float64] | None
    cut: bool


class BlobFeed:
    """Hands the frames of the pass on to the motion index as well, as long as the camera seems to stand still.

    Where it does not, blobs are mostly parallax, and nobody will ask for them.

    Args:
        indexer: Makes the motion index.
        most: Largest share of the frames before which the camera may move.
    """

    def __init__(self, indexer: Indexer, most: float) -> None:
        self.indexer: Indexer | None = indexer
        self.fps = indexer.fps
        self.most = most
        #: Number of frames that were decoded for the motion index alone.
        self.frames = 0
        self._seen = self._moved = 0

    def add(self, t: float, frame: NDArray[np.uint8], alone: bool) -> None:
        """Hand over the next frame.

        Args:
            t: Its time in seconds.
            frame: The frame at the width of the motion index.
            alone: Whether nobody else looks at it.
        """
        self.frames += alone
        if self.indexer is not None:
            self.indexer.add(t, frame)

    def saw(self, moved: bool) -> None:
        """Note whether the camera has moved before the next frame; ends the motion index if it moves too often."""
        self._seen += 1
        self._moved += moved
        if self._moved > self.most * max(self._seen, _SETTLED):
            self.indexer = None

    def finish(self, warnings: Sequence[str]) -> Index | None:
        """The motion index; None if the camera seemed to move."""
        return None if self.indexer is None else self.indexer.finish(warnings)


def build_object_index(
    info: VideoInfo,
    detector: Detector,
    fps: float = FPS,
    progress: Callable[[float], None] | None = None,
    feed: BlobFeed | None = None,
) -> ObjectIndex:
    """Look through a whole video.

    Frames are decoded, and the camera's motion is estimated, by a thread beside the one that asks the detector.

    Args:
        info: The probed video.
        detector: The detector that is asked.
        fps: Frames per second that are looked at.
        progress: Called with the share of the video that is done, in 0-1, now and then.
        feed: Gets the frames for the motion index, from the same pass.
    """
    warnings: list[str] = []
    tracker, gate, jumps = ObjectTracker(), MotionGate(), JumpFinder()
    cuts: list[float] = []
    frames = asked = moving = 0
    scale = 1.0
    colours: NDArray[np.float32] = np.zeros((0, 5, 13), np.float32)
    # Small pictures gain nothing from OpenCV's threads, but the detector does.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(cores())
    try:
        with closing(_prefetched(camera_frames(_pictures(info, fps, feed, warnings), feed))) as source:
            for batch in _batches(source, gate, max(1, detector.batch)):
                unknown = [frame for frame, known in batch if known is None]
                found = iter(detector.detect(np.stack([f.picture for f in unknown]), WEAK) if unknown else [])
                for frame, known in batch:
                    jumps.add(frame.time, frame.picture)
                    scale = info.width / frame.picture.shape[1]
                    if frame.cut:
                        cuts.append(frame.time)
                        tracker.cut()
                    if known is None:
                        known = next(found)
                        gate.tell(frame.time, known)
                        colours = _colours(known.boxes, frame.picture)
                    tracker.add(frame.time, FrameDetections.of(known, colours), frame.moved)
                frames += len(batch)
                asked += len(unknown)
                moving += sum(frame.moved is not None for frame, _ in batch)
                if progress is not None:
                    progress(min(1.0, batch[-1][0].time / info.duration))
    finally:
        cv2.setNumThreads(threads)
    tracks = tracker.finish()
    step = sample_step(info, fps)
    return pack(
        info, tracks, scale, step, len(detector.labels), cuts, moving, frames, asked, tuple(warnings), jumps.parts
    )


def pack(
    info: VideoInfo,
    tracks: list[ObjectTrack],
    scale: float,
    step: float,
    labels: int,
    cuts: list[float],
    moving: int,
    frames: int,
    asked: int,
    warnings: tuple[str, ...],
    jumps: Sequence[tuple[float, float]] = (),
) -> ObjectIndex:
    """The index, with boxes in displayed pixels."""
    boxes, places = column(tracks, "boxes", (4,)), column(tracks, "places", (2,))
    return ObjectIndex(
        duration=info.duration,
        step=step,
        width=info.width,
        height=info.height,
        track=track_numbers(tracks),
        times=column(tracks, "times"),
        boxes=boxes * scale,
        scores=column(tracks, "scores").astype(np.float32),
        drift=(((boxes[:, :2] + boxes[:, 2:]) / 2 - places) * scale).astype(np.float32),
        colours=column(tracks, "colours", (5, 13)).astype(np.float32),
        classes=np.array([t.classes for t in tracks], np.float32).reshape(len(tracks), labels),
        shots=np.array([t.shot for t in tracks], np.int32),
        cuts=np.array(cuts),
        jumps=np.array(jumps, float).reshape(-1, 2),
        moving=moving / max(1, frames),
        frames=frames,
        asked=asked,
        warnings=warnings,
    )


def camera_frames(
    source: Iterable[tuple[float, NDArray[np.uint8]]], feed: BlobFeed | None = None
) -> Generator[_Frame, None, None]:
    """The frames of a video with the camera's motion since the last one, and cuts."""
    past: list[NDArray[np.float32]] = []
    before: NDArray[np.uint8] | None = None
    for t, picture in source:
        thumb = thumbnail(picture)
        cut = is_cut(past, thumb)
        past = [thumb] if cut else [*past[-2:], thumb]
        grey = small_grey(picture)
        moved = None
        if before is not None and not cut:
            fit, share, shift = camera_step(before, grey)
            if fit is not None and share > 0.25 and shift > STILL:
                moved = fit.copy()
                moved[:, 2] *= picture.shape[1] / grey.shape[1]
        before = grey
        if feed is not None:
            feed.saw(moved is not None)
        yield _Frame(t, picture, grey, moved, cut)


def _pictures(
    info: VideoInfo, fps: float, feed: BlobFeed | None, warnings: list[str]
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """(time, picture) of the frames that are looked at; those between them go to the motion index, while it is made."""
    width = min(WIDTH, info.width)
    last = -1.0
    if feed is not None and feed.indexer is not None:
        views = [(fps, width), (feed.fps, min(MOTION_WIDTH, info.width))]
        with closing(stream_views(info, views, warnings=warnings)) as source:
            for t, (picture, small) in source:
                if small is not None:
                    feed.add(t, small, picture is None)
                if picture is not None:
                    last = t
                    yield t, picture
                    if feed.indexer is None:
                        break
            else:
                return
    # From here on the frames of the motion index need not be decoded.
    start = max(0.0, last)
    for t, picture in stream_frames(info, fps=fps, width=width, start=start, warnings=warnings):
        if t > last:
            yield t, picture


def _prefetched(source: Generator[_Frame, None, None]) -> Generator[_Frame, None, None]:
    """The frames, made by a thread of its own, at most `_AHEAD` of them before they are taken."""
    made: Queue[_Frame | BaseException | None] = Queue(_AHEAD)
    stopped = Event()

    def put(item: _Frame | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                made.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        end: BaseException | None = None
        try:
            with closing(source):
                for frame in source:
                    if not put(frame):
                        return
        except BaseException as e:
            end = e
        put(end)

    thread = Thread(target=work, name="whenwhere-objects", daemon=True)
    thread.start()
    try:
        while isinstance(item := made.get(), _Frame):
            yield item
        if item is not None:
            raise item
    finally:
        stopped.set()
        thread.join()


def _batches(
    source: Iterator[_Frame], gate: MotionGate, size: int
) -> Iterator[list[tuple[_Frame, ClassDetections | None]]]:
    """The frames in lists, each with its detections if the gate carried them.

    At most `size` of a list have to be detected, and those are its last ones: what the gate carries into a frame
    follows from what was detected before it.
    """
    batch: list[tuple[_Frame, ClassDetections | None]] = []
    for frame in source:
        sure = frame.cut or frame.moved is not None
        if batch and batch[-1][1] is None and not sure:
            yield batch
            batch = []
        if sure:
            gate.forget()
        batch.append((frame, gate.carry(frame.time, frame.picture, frame.grey)))
        if sum(known is None for _, known in batch) >= size or len(batch) >= 4 * size:
            yield batch
            batch = []
    if batch:
        yield batch


def _colours(boxes: NDArray[np.float64], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 5, 13) colour shares of each box, counted in the ellipse inside it."""
    colours = np.zeros((len(boxes), 5, 13), np.float32)
    h, w = picture.shape[:2]
    for k, box in enumerate(boxes):
        x1, y1, x2, y2 = np.round(box).astype(int).clip(0, [w, h, w, h])
        x2, y2 = max(x2, x1 + 2), max(y2, y1 + 2)
        crop = picture[max(0, min(y1, h - 2)) : y2, max(0, min(x1, w - 2)) : x2]
        by = max(1, -(-max(crop.shape[:2]) // _CROP))
        crop = crop[::by, ::by]
        colours[k] = zone_colours(crop, _ellipse(*crop.shape[:2]))
    return colours


@lru_cache(maxsize=1024)
def _ellipse(height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) the ellipse, with somewhat square sides, that fills a box of this size."""
    y, x = np.mgrid[:height, :width]
    a, b = width / 2, height / 2
    mask = ((x + 0.5 - a) / a) ** 4 + ((y + 0.5 - b) / b) ** 4 <= 0.7
    return mask if mask.any() else np.ones((height, width), bool)
