"""A video looked at once: what moved, when, where, in which colours. Many questions are answered from it.

The frames are streamed once at a few per second and a small width and worked off in windows, so that memory does
not grow with the video: a window is cut at a shot change or when it is full. Each window gets its background(s),
its blobs and tracks; a track that goes on into the next window of the same shot is stitched there. What is stored is
a few kilobytes per minute, as plain arrays, keyed by the video's content.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import background as bg
from whenwhere.grounders.motion import blobs, camera, object_changes, static_objects
from whenwhere.grounders.motion.tracks import BlobLinker, BlobTrack, stitch_tracks
from whenwhere.video import VideoInfo, stream_frames

#: Raise when the stored arrays or what is in them changes.
VERSION = 6
#: Frames per second looked at, and their width in pixels.
FPS = 6.0
WIDTH = 320
#: Most frames held at a time (about 180 MB at 16:9).
WINDOW = 1024
#: Shortest track kept, in seconds.
SHORTEST = 0.4


@dataclass
class Index:
    """Everything the answers are made from.

    Attributes:
        duration: seconds; step: seconds between looks; width, height: of the displayed frame.
        track: (n,) number of the track of each sighting, sightings sorted by track and time.
        times: (n,); boxes: (n, 4) xyxy pixels of the displayed frame; areas: (n,) share of the frame.
        strong: (n,) share of strong evidence; shared: (n,) blob was divided with a neighbour.
        colours: (n, 5, 13) by height zone and column of `colours.COLUMNS`.
        rest: things that were put down or taken away, (m, len(rest.COLUMNS)).
        rest_colours: (m, 13).
        lying: things that never move, (k, 6): start, end, box; lying_colours: (k, 13).
        cuts: times of first frames of new shots.
        moving: share of time with a moving camera; flood: share of the picture in motion at most times (median, 95 %).
        warnings: sentences about frames that are damaged.
        frames: how many frames were looked at; recurring: share of windows where the costlier background was used.
    """

    duration: float
    step: float
    width: int
    height: int
    track: NDArray[np.int32]
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    strong: NDArray[np.float32]
    shared: NDArray[np.bool_]
    colours: NDArray[np.float32]
    changes: NDArray[np.float64]
    change_colours: NDArray[np.float32]
    static: NDArray[np.float64]
    static_colours: NDArray[np.float32]
    cuts: NDArray[np.float64]
    moving: float
    unsteady: float
    flood: float
    frames: int
    recurring: float
    warnings: tuple[str, ...]

    def arrays(self) -> dict[str, NDArray]:
        """As arrays, for the cache."""
        return {
            "scalars": np.array(
                [self.duration, self.step, self.width, self.height, self.moving, self.unsteady, self.flood, self.frames,
                 self.recurring]
            ),
            "track": self.track, "times": self.times, "boxes": self.boxes.astype(np.float32), "areas": self.areas,
            "strong": self.strong, "shared": self.shared, "colours": self.colours.astype(np.float16),
            "changes": self.changes, "change_colours": self.change_colours.astype(np.float16),
            "static": self.static, "static_colours": self.static_colours.astype(np.float16), "cuts": self.cuts,
            "warnings": np.array(self.warnings, str),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, a: dict[str, NDArray]) -> "Index":
        """The inverse of `arrays`."""
        duration, step, width, height, moving, unsteady, flood, frames, recurring = (float(x) for x in a["scalars"])
        return cls(
            duration, step, int(width), int(height), a["track"], a["times"], a["boxes"].astype(float), a["areas"],
            a["strong"], a["shared"], a["colours"].astype(np.float32),
            a["changes"], a["change_colours"].astype(np.float32),
            a["static"], a["static_colours"].astype(np.float32), a["cuts"],
            moving, unsteady, flood, int(frames), recurring, tuple(a["warnings"].tolist()),
        )  # fmt: skip


@dataclass
class _Window:
    """What one window gives."""

    tracks: list[BlobTrack]
    resting: list[object_changes.ObjectChange]
    static: list[static_objects.StaticObject]
    moving: bool
    steady: bool
    flood: list[float]
    recurring: bool


def build_index(
    info: VideoInfo,
    fps: float = FPS,
    width: int = WIDTH,
    kind: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Index:
    """Look at a whole video.

    Args:
        info: the probed video.
        fps: looks per second.
        width: working width in pixels.
        kind: background: `auto`, `median` or `recurring`.
        progress: told the share of the video that is done, after each window.
    """
    cv2.setNumThreads(1)
    width = min(width, info.width)
    tracks: list[BlobTrack] = []
    resting: list[object_changes.ObjectChange] = []
    patches: list[static_objects.StaticObject] = []
    shot: list[static_objects.StaticObject] = []
    cuts: list[float] = []
    warnings: list[str] = []
    flood: list[float] = []
    looked = moved = unsteady = recurring = 0
    shape = (0, 0)
    for frames, times, new_shot in _windows(stream_frames(info, fps=fps, width=width, warnings=warnings)):
        shape = frames.shape[1:3]
        if new_shot and looked:
            cuts.append(float(times[0]))
        window = _look(frames, times, kind)
        looked += len(times)
        moved += len(times) * window.moving
        unsteady += len(times) * (window.moving and not window.steady)
        recurring += len(times) * window.recurring
        flood += window.flood
        resting += window.resting
        if new_shot:
            patches, shot = patches + shot, []
        shot = static_objects.merge_static_objects(shot, window.static)
        tracks = tracks + window.tracks if new_shot else _continue(tracks, window.tracks)
        if progress is not None:
            progress(float(times[-1]) / info.duration)
    step = 1 / fps if info.fps > fps else 1 / max(info.fps, 0.1)
    return _pack(
        info, shape, tracks, resting, patches + shot, cuts, flood, looked, moved, unsteady, recurring, step, warnings
    )


def _windows(source: Iterable[tuple[float, NDArray[np.uint8]]]) -> Iterator[tuple[NDArray[np.uint8], NDArray, bool]]:
    """Frames in runs of one shot, at most WINDOW long; the flag says that a new shot begins."""
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    new_shot = True
    thumbs: list[NDArray[np.float32]] = []
    for t, frame in source:
        thumb = cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
        cut = len(thumbs) >= 2 and _is_cut(thumbs, thumb)
        thumbs = [*thumbs[-2:], thumb] if not cut else [thumb]
        if frames and (cut or len(frames) >= WINDOW):
            yield np.stack(frames), np.array(times), new_shot
            frames, times, new_shot = [], [], cut
        frames.append(frame)
        times.append(t)
    if frames:
        yield np.stack(frames), np.array(times), new_shot


def _is_cut(past: list[NDArray[np.float32]], now: NDArray[np.float32]) -> bool:
    """A change of most of the picture at once, in colour and in structure, far above what just went on."""
    change = float(np.abs(now - past[-1]).mean())
    usual = float(np.abs(past[-1] - past[-2]).mean())
    if change < 18 or change < 3.0 * usual + 6:
        return False
    a, b = past[-1].mean(2).ravel(), now.mean(2).ravel()
    a, b = a - a.mean(), b - b.mean()
    alike = float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-6))
    everywhere = float((np.abs(now - past[-1]).mean(2) > 10).mean())
    return alike < 0.6 and everywhere > 0.55


def _look(frames: NDArray[np.uint8], times: NDArray, kind: str) -> _Window:
    """Background, blobs and tracks of one window."""
    motion = camera.register(frames)
    shape = frames.shape[1:3]
    if motion.moving and not motion.steady:
        return _look_moving(frames, times, motion)
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
    resting: list[object_changes.ObjectChange] = []
    scenes: list[tuple[int, int, bg.Background]] = []
    recurring = whole.kind == "recurring"
    for first, end in bg.scene_segments(chunks, whole):
        a, b = first * size, len(lab) if end == len(chunks) else end * size
        scene = whole if (first, end) == (0, len(chunks)) else bg.estimate_background(lab[a:b], chunks[first:end], kind)
        still = object_changes.StillPixels(shape)
        for i in range(a, b):
            score, dusk = bg.foreground_and_shade(lab[i], scene)
            if motion.moving:
                score[_outside(shape, motion.to_reference[i])] = 0
            share = float((score > bg.HIGH).mean())
            flood.append(share)
            if share < bg.FLOOD * 1.4:
                linker.feed(float(times[i]), blobs.find_blobs(score, frames[i], dusk), frames[i])
            still.feed(float(times[i]), score, lab[i])
        resting += still.finish(scene, frames[a:b], lab[a:b], times[a:b])
        scenes.append((a, b, scene))
    tracks = linker.finish()
    empty = [
        x
        for a, b, scene in scenes
        for x in object_changes.empty_places(tracks, scene, frames[a:b], lab[a:b], times[a:b])
    ]
    resting = empty + resting
    patches = static_objects.find_static_objects(whole.lab, float(times[0]), float(times[-1]))
    if motion.moving:
        _unwarp(tracks, resting, patches, times, motion)
    return _Window(tracks, resting, patches, motion.moving, motion.steady, flood, recurring)


def _outside(shape: tuple[int, int], matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels of the reference that this frame does not show."""
    inside = cv2.warpAffine(np.ones(shape, np.uint8), matrix, shape[::-1])
    return cv2.erode(inside, np.ones((9, 9), np.uint8)) == 0


def _unwarp(
    tracks: list[BlobTrack],
    resting: list[object_changes.ObjectChange],
    patches: list[static_objects.StaticObject],
    times: NDArray,
    motion: camera.CameraMotion,
) -> None:
    """Boxes from the reference frame back into the frames they were seen in; what never moves, on average."""
    back = {float(t): camera.inverse(m) for t, m in zip(times, motion.to_reference, strict=True)}

    def move(box: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        corners = box.reshape(2, 2) @ m[:, :2].T + m[:, 2]
        return np.concatenate([corners.min(0), corners.max(0)])

    for track in tracks:
        track.boxes = [move(b, back[t]) for t, b in zip(track.times, track.boxes, strict=True)]
    for thing in resting:
        thing.box = move(thing.box, back[min(back, key=lambda t: abs(t - thing.start))])
    middle = np.median(list(back.values()), axis=0)
    for patch in patches:
        patch.box = move(patch.box, middle)


def _look_moving(frames: NDArray[np.uint8], times: NDArray, motion: camera.CameraMotion) -> _Window:
    """A camera that pans away: what moves against its neighbours half a second and a second before and after."""
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
        # Parallax and registration leave thin edges everywhere: only what is thick remains.
        score = np.asarray(cv2.erode(score, np.ones((3, 3), np.uint8)), np.float32)
        share = float((score > bg.HIGH).mean())
        flood.append(share)
        moved = None
        if i:
            moved = np.vstack([back, [0, 0, 1]])[:2] @ np.vstack([motion.to_reference[i - 1], [0, 0, 1]])
        if share < bg.FLOOD:
            found = [b for b in blobs.find_blobs(score, frames[i]) if b.area > 0.002 * shape[0] * shape[1]]
            linker.feed(float(times[i]), found, frames[i], moved)
    return _Window(linker.finish(), [], [], True, False, flood, False)


def _continue(before: list[BlobTrack], after: list[BlobTrack]) -> list[BlobTrack]:
    """Tracks of the next window of the same shot: those that go on are stitched to their beginnings."""
    if not before or not after:
        return before + after
    border = min(r.times[0] for r in after)
    old = [r for r in before if border - r.times[-1] > 2.0]
    return old + stitch_tracks([r for r in before if border - r.times[-1] <= 2.0] + after)


def _pack(
    info: VideoInfo,
    shape: tuple[int, int],
    tracks: list[BlobTrack],
    resting: list[object_changes.ObjectChange],
    patches: list[static_objects.StaticObject],
    cuts: list[float],
    flood: list[float],
    looked: int,
    moved: int,
    unsteady: int,
    recurring: int,
    step: float,
    warnings: list[str],
) -> Index:
    height, width = shape if shape[0] else (1, 1)
    scale = np.array([info.width / width, info.height / height] * 2)
    kept = [
        r
        for r in sorted(tracks, key=lambda r: r.times[0])
        if r.times[-1] - r.times[0] >= SHORTEST - 1e-6 and len(r.times) >= 3
    ]
    n = sum(len(r.times) for r in kept)

    def column(name: str, shape: tuple[int, ...]) -> NDArray:
        rows = [x for r in kept for x in getattr(r, name)]
        return np.array(rows, float).reshape(n, *shape)

    return Index(
        duration=info.duration,
        step=step,
        width=info.width,
        height=info.height,
        track=np.repeat(np.arange(len(kept)), [len(r.times) for r in kept]).astype(np.int32),
        times=column("times", ()),
        boxes=column("boxes", (4,)) * scale,
        areas=column("areas", ()) / (width * height),
        strong=column("strongs", ()).astype(np.float32),
        shared=column("shared", ()).astype(bool),
        colours=column("colours", (5, 13)).astype(np.float32),
        changes=object_changes.change_table(resting, scale),
        change_colours=np.array([r.colour for r in resting], np.float32).reshape(-1, 13),
        static=np.array([[p.start, p.end, *(p.box * scale)] for p in patches], float).reshape(-1, 6),
        static_colours=np.array([p.colour for p in patches], np.float32).reshape(-1, 13),
        cuts=np.array(cuts),
        moving=moved / max(1, looked),
        unsteady=unsteady / max(1, looked),
        flood=float(np.percentile(flood, 90)) if flood else 0.0,
        frames=looked,
        recurring=recurring / max(1, looked),
        warnings=tuple(warnings),
    )
