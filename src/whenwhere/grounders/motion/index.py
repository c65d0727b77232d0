"""The index of a video: what moved, when, where and in which colours. All questions are answered from it.

The frames are streamed once at a few per second and a small width, in windows, so that memory does not grow with the
video: a window ends at a shot cut or when it is full. Each window gets its backgrounds, blobs and tracks; a track that
continues in the next window of the same shot is joined there. A few kilobytes per minute are stored, as plain arrays,
keyed by the video's content.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import background as bg
from whenwhere.grounders.motion import blobs, camera, object_changes, static_objects
from whenwhere.grounders.motion.track_index import TrackIndex, column, sample_step, track_numbers
from whenwhere.grounders.motion.tracks import BlobLinker, BlobTrack, stitch_tracks
from whenwhere.tracking import JumpFinder
from whenwhere.video import VideoInfo, stream_frames
from whenwhere.video.read import cores

Made = TypeVar("Made")

#: Version of the stored arrays; raise it if they or their meaning change.
VERSION = 9
#: Frames per second that are analysed, and their width in pixels.
FPS = 6.0
WIDTH = 320
#: Most frames held at a time (about 180 MB at 16:9).
WINDOW = 1024
#: Shortest track kept, in seconds.
SHORTEST = 0.4


@dataclass
class Index(TrackIndex):
    """Everything that answers are made from: what moved, and what was put down or taken away.

    Attributes:
        areas: (n,) shares of the frame.
        strong: (n,) shares of strong evidence.
        shared: (n,) whether the blob was divided with a neighbour.
        changes: (m, len(object_changes.COLUMNS)) objects that were put down or taken away.
        change_colours: (m, 13) colour shares of these objects.
        static: (k, 6) objects that never move: start, end, box.
        static_colours: (k, 13) colour shares of these objects.
        unsteady: Share of the time in which the camera's motion could not be compensated.
        flood: Share of the picture that is foreground in the busiest tenth of frames (their 90 % quantile).
        recurring: Share of the frames for which the costlier background was used.
    """

    STORED = TrackIndex.STORED | {
        "change_colours": (np.float16, np.float32), "static_colours": (np.float16, np.float32)
    }  # fmt: skip

    areas: NDArray[np.float64]
    strong: NDArray[np.float32]
    shared: NDArray[np.bool_]
    changes: NDArray[np.float64]
    change_colours: NDArray[np.float32]
    static: NDArray[np.float64]
    static_colours: NDArray[np.float32]
    unsteady: float
    flood: float
    recurring: float


@dataclass
class _Window:
    """What one window contributes to the index, with boxes in working pixels."""

    tracks: list[BlobTrack]
    changes: list[object_changes.ObjectChange]
    static: list[static_objects.StaticObject]
    moving: bool
    steady: bool
    flood: list[float]
    recurring: bool


@dataclass
class _Total:
    """What the windows so far contribute to the index, with boxes in working pixels; counts are of frames."""

    tracks: list[BlobTrack] = field(default_factory=list)
    changes: list[object_changes.ObjectChange] = field(default_factory=list)
    static: list[static_objects.StaticObject] = field(default_factory=list)
    static_of_shot: list[static_objects.StaticObject] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    flood: list[float] = field(default_factory=list)
    frames: int = 0
    moving: int = 0
    unsteady: int = 0
    recurring: int = 0

    def add(self, window: _Window, times: NDArray[np.float64], new_shot: bool) -> None:
        """Take the next window."""
        if new_shot and self.frames:
            self.cuts.append(float(times[0]))
        n = len(times)
        self.frames += n
        self.moving += n * window.moving
        self.unsteady += n * (window.moving and not window.steady)
        self.recurring += n * window.recurring
        self.flood += window.flood
        self.changes += window.changes
        if new_shot:
            self.static, self.static_of_shot = self.static + self.static_of_shot, []
        self.static_of_shot = static_objects.merge_static_objects(self.static_of_shot, window.static)
        self.tracks = self.tracks + window.tracks if new_shot else _continue(self.tracks, window.tracks)


class Indexer:
    """Makes the index of a video whose frames are handed over one by one.

    Args:
        info: The probed video.
        fps: Frames per second that are analysed.
        kind: Kind of background model: `auto`, `median` or `recurring`.
    """

    def __init__(self, info: VideoInfo, fps: float = FPS, kind: str = "auto") -> None:
        self.info, self.fps, self.kind = info, fps, kind
        self._total = _Total()
        self._jumps = JumpFinder()
        self._shape = (1, 1)
        self._frames: list[NDArray[np.uint8]] = []
        self._times: list[float] = []
        self._new_shot = True
        self._thumbs: list[NDArray[np.float32]] = []

    def add(self, t: float, frame: NDArray[np.uint8]) -> bool:
        """Take the next frame, `WIDTH` pixels wide or less; returns whether a window of frames was analysed."""
        self._jumps.add(t, frame)
        thumb = thumbnail(frame)
        cut = is_cut(self._thumbs, thumb)
        self._thumbs = [thumb] if cut else [*self._thumbs[-2:], thumb]
        full = bool(self._frames) and (cut or len(self._frames) >= WINDOW)
        if full:
            self._analyse()
            self._new_shot = cut
        self._frames.append(frame)
        self._times.append(t)
        return full

    def finish(self, warnings: Sequence[str] = ()) -> Index:
        """The index of all frames.

        Args:
            warnings: Sentences about damaged frames.
        """
        if self._frames:
            self._analyse()
        step = sample_step(self.info, self.fps)
        jumps = np.array(self._jumps.parts, float).reshape(-1, 2)
        return _pack(self.info, self._shape, self._total, step, jumps, tuple(warnings))

    def _analyse(self) -> None:
        frames, times = np.stack(self._frames), np.array(self._times)
        self._frames, self._times = [], []
        self._shape = frames.shape[1:3]
        self._total.add(_analyse(frames, times, self.kind), times, self._new_shot)


def build_index(
    info: VideoInfo,
    fps: float = FPS,
    width: int = WIDTH,
    kind: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Index:
    """Analyse a whole video.

    Args:
        info: The probed video.
        fps: Frames per second that are analysed.
        width: Working width in pixels.
        kind: Kind of background model: `auto`, `median` or `recurring`.
        progress: Called with the share of the video that is done, in 0-1, after each window.
    """
    cv2.setNumThreads(1)
    warnings: list[str] = []
    indexer = Indexer(info, fps, kind)
    for t, frame in stream_frames(info, fps=fps, width=min(width, info.width), warnings=warnings):
        if indexer.add(t, frame) and progress is not None:
            progress(t / info.duration)
    index = indexer.finish(warnings)
    if progress is not None:
        progress(1.0)
    return index


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(18, 32, 3) the tiny picture by which cuts are seen."""
    return np.asarray(cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA), np.float32)


def is_cut(past: list[NDArray[np.float32]], now: NDArray[np.float32]) -> bool:
    """Whether most of the picture changes at once, in colour and structure, far more than just before.

    Args:
        past: Thumbnails of the frames of the shot so far, or the last two of them.
        now: Thumbnail of the next frame.
    """
    if len(past) < 2:
        return False
    change = float(np.abs(now - past[-1]).mean())
    usual = float(np.abs(past[-1] - past[-2]).mean())
    if change < 18 or change < 3.0 * usual + 6:
        return False
    a, b = past[-1].mean(2).ravel(), now.mean(2).ravel()
    a, b = a - a.mean(), b - b.mean()
    alike = float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-6))
    everywhere = float((np.abs(now - past[-1]).mean(2) > 10).mean())
    return alike < 0.6 and everywhere > 0.55


def _analyse(frames: NDArray[np.uint8], times: NDArray, kind: str) -> _Window:
    """The backgrounds, blobs, tracks and object changes of one window."""
    motion = camera.estimate_camera(frames)
    shape = frames.shape[1:3]
    if motion.moving and not motion.steady:
        return _analyse_moving(frames, times, motion)
    if motion.moving:
        frames = np.stack(
            [
                cv2.warpAffine(f, m, shape[::-1], borderMode=cv2.BORDER_REPLICATE)
                for f, m in zip(frames, motion.to_reference, strict=True)
            ]
        )
    lab = bg.to_lab(frames)
    size = int(np.clip(len(lab) // 12, 6, 18))
    chunks = bg.chunk_medians(lab, size)
    whole = bg.estimate_background(lab, chunks, kind)
    linker = BlobLinker(shape)
    flood: list[float] = []
    changes: list[object_changes.ObjectChange] = []
    scenes: list[tuple[int, int, bg.Background]] = []
    recurring = whole.kind == "recurring"
    for first, end in bg.scene_segments(chunks, whole):
        a, b = first * size, len(lab) if end == len(chunks) else end * size
        scene = whole if (first, end) == (0, len(chunks)) else bg.estimate_background(lab[a:b], chunks[first:end], kind)
        still = object_changes.StillPixels(shape)
        evidence = _in_threads(partial(bg.foreground_and_shadow, background=scene), lab[a:b])
        for i, (score, shadow) in zip(range(a, b), evidence, strict=True):
            if motion.moving:
                score[_outside(shape, motion.to_reference[i])] = 0
            share = float((score > bg.HIGH).mean())
            flood.append(share)
            if share < bg.FLOOD * 1.4:
                linker.add(float(times[i]), blobs.find_blobs(score, frames[i], shadow), frames[i])
            still.add(float(times[i]), score, lab[i])
        changes += still.finish(scene, frames[a:b], lab[a:b], times[a:b])
        scenes.append((a, b, scene))
    tracks = linker.finish()
    empty = [
        x
        for a, b, scene in scenes
        for x in object_changes.empty_places(tracks, scene, frames[a:b], lab[a:b], times[a:b])
    ]
    changes = empty + changes
    patches = static_objects.find_static_objects(whole.lab, float(times[0]), float(times[-1]))
    if motion.moving:
        _unwarp(tracks, changes, patches, times, motion)
    return _Window(tracks, changes, patches, motion.moving, motion.steady, flood, recurring)


def _in_threads(work: Callable[[bg.Lab], Made], items: Iterable[bg.Lab]) -> Iterator[Made]:
    """The results of some work in order, done by as many threads as there are cores, a few items ahead."""
    threads = cores()
    if threads == 1:
        yield from map(work, items)
        return
    todo = iter(items)
    with ThreadPoolExecutor(threads, "whenwhere-motion") as pool:
        waiting = deque(pool.submit(work, item) for item in islice(todo, 2 * threads))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(todo, 1))
            yield made


def _outside(shape: tuple[int, int], matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels of the reference frame are outside this frame."""
    inside = cv2.warpAffine(np.ones(shape, np.uint8), matrix, shape[::-1])
    return cv2.erode(inside, np.ones((9, 9), np.uint8)) == 0


def _unwarp(
    tracks: list[BlobTrack],
    changes: list[object_changes.ObjectChange],
    patches: list[static_objects.StaticObject],
    times: NDArray,
    motion: camera.CameraMotion,
) -> None:
    """Move boxes from the reference frame back into the frames they were seen in (static objects: by the median)."""
    back = {float(t): camera.inverse(m) for t, m in zip(times, motion.to_reference, strict=True)}
    for track in tracks:
        track.boxes = [camera.moved_box(b, back[t]) for t, b in zip(track.times, track.boxes, strict=True)]
    for thing in changes:
        thing.box = camera.moved_box(thing.box, back[min(back, key=lambda t: abs(t - thing.start))])
    middle = np.median(list(back.values()), axis=0)
    for patch in patches:
        patch.box = camera.moved_box(patch.box, middle)


def _analyse_moving(frames: NDArray[np.uint8], times: NDArray, motion: camera.CameraMotion) -> _Window:
    """A window of a camera that pans away: what differs from the frames half a second and a second before and after."""
    shape = frames.shape[1:3]
    lab = bg.to_lab(frames)
    linker = BlobLinker(shape)
    flood = []
    n = len(frames)
    for i in range(n):
        back = camera.inverse(motion.to_reference[i])
        views = []
        for j in (i - 7, i - 4, i + 4, i + 7):
            if 0 <= j < n:
                matrix = np.vstack([back, [0, 0, 1]])[:2] @ np.vstack([motion.to_reference[j], [0, 0, 1]])
                views.append(cv2.warpAffine(lab[j], matrix, shape[::-1], borderMode=cv2.BORDER_REPLICATE))
        if len(views) < 2:
            continue
        stack = np.sort(np.stack(views), 0)
        middle = stack[(len(views) - 1) // 2].astype(np.float32) / 2 + stack[len(views) // 2].astype(np.float32) / 2
        scene = bg.Background(cv2.GaussianBlur(middle, (0, 0), 1.0), np.full(shape, 4.0, np.float32))
        score = bg.foreground_evidence(lab[i], scene)
        # Parallax and registration leave thin edges everywhere: only thick regions are kept.
        score = np.asarray(cv2.erode(score, np.ones((3, 3), np.uint8)), np.float32)
        share = float((score > bg.HIGH).mean())
        flood.append(share)
        moved = None
        if i:
            moved = np.vstack([back, [0, 0, 1]])[:2] @ np.vstack([motion.to_reference[i - 1], [0, 0, 1]])
        if share < bg.FLOOD:
            found = [b for b in blobs.find_blobs(score, frames[i]) if b.area > 0.002 * shape[0] * shape[1]]
            linker.add(float(times[i]), found, frames[i], moved)
    return _Window(linker.finish(), [], [], True, False, flood, False)


def _continue(before: list[BlobTrack], after: list[BlobTrack]) -> list[BlobTrack]:
    """The tracks of two consecutive windows of a shot; those that continue are joined."""
    if not before or not after:
        return before + after
    border = min(r.times[0] for r in after)
    old = [r for r in before if border - r.times[-1] > 2.0]
    return old + stitch_tracks([r for r in before if border - r.times[-1] <= 2.0] + after)


def _pack(
    info: VideoInfo, shape: tuple[int, int], total: _Total, step: float, jumps: NDArray, warnings: tuple[str, ...]
) -> Index:
    """The index of a video, with boxes in displayed pixels.

    Args:
        info: The probed video.
        shape: (height, width) of the working frame.
        total: What all windows contribute.
        step: Seconds between analysed frames.
        jumps: Parts in which a shot may be cut.
        warnings: Sentences about damaged frames.
    """
    height, width = shape
    scale = np.array([info.width / width, info.height / height] * 2)
    kept = [
        track
        for track in sorted(total.tracks, key=lambda track: track.times[0])
        if track.times[-1] - track.times[0] >= SHORTEST - 1e-6 and len(track.times) >= 3
    ]
    static = total.static + total.static_of_shot
    frames = max(1, total.frames)
    return Index(
        duration=info.duration,
        step=step,
        width=info.width,
        height=info.height,
        track=track_numbers(kept),
        times=column(kept, "times"),
        boxes=column(kept, "boxes", (4,)) * scale,
        areas=column(kept, "areas") / (width * height),
        strong=column(kept, "strongs").astype(np.float32),
        shared=column(kept, "shared").astype(bool),
        colours=column(kept, "colours", (5, 13)).astype(np.float32),
        changes=object_changes.change_table(total.changes, scale),
        change_colours=np.array([change.colour for change in total.changes], np.float32).reshape(-1, 13),
        static=np.array([[p.start, p.end, *(p.box * scale)] for p in static], float).reshape(-1, 6),
        static_colours=np.array([p.colour for p in static], np.float32).reshape(-1, 13),
        cuts=np.array(total.cuts),
        jumps=jumps,
        moving=total.moving / frames,
        unsteady=total.unsteady / frames,
        flood=float(np.percentile(total.flood, 90)) if total.flood else 0.0,
        frames=total.frames,
        recurring=total.recurring / frames,
        warnings=warnings,
    )
