"""The object index of a video: what a detector recognised, as tracks. All questions are answered from it.

Frames are streamed once at a few per second. Between two of them the camera's motion is estimated, so that tracks are
linked and motion is told relative to the scene; at a shot cut every track ends. Where nothing in the picture has
changed since the frame that the detector saw last, as a still camera often shows, its detections are taken over
instead of asking it again. Memory grows with the sightings kept and not with the frames seen.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.blobs import zone_colours
from whenwhere.grounders.motion.camera import STILL, camera_step
from whenwhere.grounders.motion.index import is_cut
from whenwhere.grounders.objects.tracks import WEAK, FrameDetections, ObjectTrack, ObjectTracker
from whenwhere.models.detectors.detector import ClassDetections, Detector
from whenwhere.video import VideoInfo, stream_frames

#: Version of the stored arrays; raise it if they or their meaning change.
VERSION = 1
#: Frames per second that are looked at, and their width in pixels.
FPS = 4.0
WIDTH = 480
#: Width at which the camera's motion is estimated.
_CAMERA_WIDTH = 320
#: Longest time in seconds for which detections are taken over.
_REFRESH = 2.0
#: Grey levels by which some block of a picture must change for the detector to be asked again.
_CHANGE = 7.0
#: Longest side in pixels of the crops whose colours are counted.
_CROP = 48


@dataclass
class ObjectIndex:
    """The tracks of a video.

    Attributes:
        duration: Duration of the video, in seconds.
        step: Seconds between frames.
        width: Width of the displayed frame, in pixels.
        height: Height of the displayed frame, in pixels.
        track: (n,) number of the track of each sighting; sightings are sorted by track and time.
        times: (n,) seconds.
        boxes: (n, 4) xyxy pixels of the displayed frame.
        scores: (n,) scores of the detections in 0-1.
        drift: (n, 2) pixels by which the camera's motion has moved the place of each sighting.
        colours: (n, 5, 13) colour shares by height zone and column of `motion.colours.COLUMNS`.
        classes: (tracks, labels) mean class distribution of each track.
        shots: (tracks,) number of the shot of each track.
        cuts: Times of the first frames of new shots.
        moving: Share of the frames before which the camera moved.
        frames: Number of frames.
        asked: Number of frames that the detector saw.
        warnings: Sentences about damaged frames.
    """

    duration: float
    step: float
    width: int
    height: int
    track: NDArray[np.int32]
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    drift: NDArray[np.float32]
    colours: NDArray[np.float32]
    classes: NDArray[np.float32]
    shots: NDArray[np.int32]
    cuts: NDArray[np.float64]
    moving: float
    frames: int
    asked: int
    warnings: tuple[str, ...]

    def arrays(self) -> dict[str, NDArray]:
        """The index as arrays, for the cache."""
        return {
            "scalars": np.array(
                [self.duration, self.step, self.width, self.height, self.moving, self.frames, self.asked], float
            ),
            "track": self.track, "times": self.times, "boxes": self.boxes.astype(np.float32),
            "scores": self.scores.astype(np.float16), "drift": self.drift.astype(np.float32),
            "colours": self.colours.astype(np.float16), "classes": self.classes.astype(np.float32),
            "shots": self.shots, "cuts": self.cuts, "warnings": np.array(self.warnings, str),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, a: dict[str, NDArray]) -> "ObjectIndex":
        """The inverse of `arrays`."""
        duration, step, width, height, moving, frames, asked = (float(x) for x in a["scalars"])
        return cls(
            duration, step, int(width), int(height), a["track"], a["times"], a["boxes"].astype(float),
            a["scores"].astype(np.float32), a["drift"], a["colours"].astype(np.float32), a["classes"], a["shots"],
            a["cuts"], moving, int(frames), int(asked), tuple(a["warnings"].tolist()),
        )  # fmt: skip


@dataclass
class _Frame:
    """A frame with what is known of it before the detector saw it."""

    time: float
    picture: NDArray[np.uint8]
    moved: NDArray[np.float64] | None
    cut: bool
    changed: bool


def build_object_index(
    info: VideoInfo, detector: Detector, fps: float = FPS, progress: Callable[[float], None] | None = None
) -> ObjectIndex:
    """Look through a whole video.

    Args:
        info: The probed video.
        detector: The detector that is asked.
        fps: Frames per second that are looked at.
        progress: Called with the share of the video that is done, in 0-1, now and then.
    """
    warnings: list[str] = []
    tracker = ObjectTracker()
    cuts: list[float] = []
    frames = asked = moving = 0
    width = min(WIDTH, info.width)
    scale = 1.0
    nothing = FrameDetections(
        np.zeros((0, 4)), np.zeros(0), np.zeros((0, len(detector.labels)), np.float32), np.zeros((0, 5, 13), np.float32)
    )
    last = nothing
    source = stream_frames(info, fps=fps, width=width, warnings=warnings)
    for batch in _batches(camera_frames(source), max(1, detector.batch)):
        seen = [f for f in batch if f.changed]
        if seen:
            cv2.setNumThreads(os.cpu_count() or 1)
            found = detector.detect(np.stack([f.picture for f in seen]), WEAK)
            cv2.setNumThreads(1)
        else:
            found = []
        answers = iter(found)
        for frame in batch:
            scale = info.width / frame.picture.shape[1]
            if frame.cut:
                cuts.append(frame.time)
                tracker.cut()
            if frame.changed:
                last = _coloured(next(answers), frame.picture)
            tracker.add(frame.time, last, frame.moved)
            frames += 1
            asked += frame.changed
            moving += frame.moved is not None
        if progress is not None:
            progress(min(1.0, batch[-1].time / info.duration))
    step = 1 / fps if info.fps > fps else 1 / max(info.fps, 0.1)
    tracks = tracker.finish()
    return pack(info, tracks, scale, step, len(detector.labels), cuts, moving, frames, asked, tuple(warnings))


def camera_frames(source: Iterator[tuple[float, NDArray[np.uint8]]]) -> Iterator[_Frame]:
    """The frames of a video with the camera's motion since the last one, cuts, and whether anything has changed."""
    cv2.setNumThreads(1)
    thumbs: list[NDArray[np.float32]] = []
    grey_before: NDArray[np.uint8] | None = None
    asked_at = -np.inf
    asked_look: NDArray[np.float32] = np.zeros((45, 80), np.float32)
    for t, picture in source:
        thumb = cv2.resize(picture, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
        cut = len(thumbs) >= 2 and is_cut(thumbs, thumb)
        thumbs = [thumb] if cut else [*thumbs[-2:], thumb]
        size = (min(_CAMERA_WIDTH, picture.shape[1]), 0)
        small = max(1, round(picture.shape[0] * size[0] / picture.shape[1]))
        whole = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        grey = np.asarray(cv2.resize(whole, (size[0], small), interpolation=cv2.INTER_AREA), np.uint8)
        moved = None
        if grey_before is not None and not cut:
            fit, share, shift = camera_step(grey_before, grey)
            if fit is not None and share > 0.25 and shift > STILL:
                moved = fit.copy()
                moved[:, 2] *= picture.shape[1] / size[0]
        look = np.asarray(cv2.resize(grey, (80, 45), interpolation=cv2.INTER_AREA), np.float32)
        changed = cut or moved is not None or t - asked_at >= _REFRESH
        changed = changed or float(np.abs(cv2.blur(look - asked_look, (3, 3))).max()) > _CHANGE
        if changed:
            asked_at, asked_look = t, look
        grey_before = grey
        yield _Frame(t, picture, moved, cut, changed)


def _batches(source: Iterator[_Frame], size: int) -> Iterator[list[_Frame]]:
    """The frames in lists in which at most `size` have to be detected; the last of each list is one of these."""
    batch: list[_Frame] = []
    for frame in source:
        batch.append(frame)
        if sum(f.changed for f in batch) >= size or len(batch) >= 4 * size:
            yield batch
            batch = []
    if batch:
        yield batch


def _coloured(found: ClassDetections, picture: NDArray[np.uint8]) -> FrameDetections:
    """The detections of one frame with their colours, counted in the ellipse inside each box."""
    colours = np.zeros((len(found), 5, 13), np.float32)
    h, w = picture.shape[:2]
    for k, box in enumerate(found.boxes):
        x1, y1, x2, y2 = np.round(box).astype(int).clip(0, [w, h, w, h])
        x2, y2 = max(x2, x1 + 2), max(y2, y1 + 2)
        crop = picture[max(0, min(y1, h - 2)) : y2, max(0, min(x1, w - 2)) : x2]
        by = max(1, -(-max(crop.shape[:2]) // _CROP))
        crop = crop[::by, ::by]
        y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
        a, b = crop.shape[1] / 2, crop.shape[0] / 2
        mask = ((x + 0.5 - a) / a) ** 4 + ((y + 0.5 - b) / b) ** 4 <= 0.7
        colours[k] = zone_colours(crop, mask if mask.any() else np.ones(crop.shape[:2], bool))
    return FrameDetections(found.boxes, found.scores, found.classes.astype(np.float32), colours)


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
) -> ObjectIndex:
    """The index, with boxes in displayed pixels."""
    n = sum(len(t.times) for t in tracks)

    def column(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.array([x for t in tracks for x in getattr(t, name)], float).reshape(n, *shape)

    boxes = column("boxes", (4,))
    drift = (boxes[:, :2] + boxes[:, 2:]) / 2 - column("places", (2,))
    return ObjectIndex(
        duration=info.duration,
        step=step,
        width=info.width,
        height=info.height,
        track=np.repeat(np.arange(len(tracks)), [len(t.times) for t in tracks]).astype(np.int32),
        times=column("times", ()),
        boxes=boxes * scale,
        scores=column("scores", ()).astype(np.float32),
        drift=(drift * scale).astype(np.float32),
        colours=column("colours", (5, 13)).astype(np.float32),
        classes=np.array([t.classes for t in tracks], np.float32).reshape(len(tracks), labels),
        shots=np.array([t.shot for t in tracks], np.int32),
        cuts=np.array(cuts),
        moving=moving / max(1, frames),
        frames=frames,
        asked=asked,
        warnings=warnings,
    )
