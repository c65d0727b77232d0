"""What the pictures of a video and their parts show, for things that the detector has no class for or never saw.

A classifier of pictures is asked about each picture that is looked at, about its middle and its corners, and about the
tracks of things that do not act by themselves, whose class the detector may have guessed wrong. So it tells when a
guitar or a monkey is in the picture, and roughly where. It is asked when a sentence first needs it, and what it said is
kept in the cache, the likeliest classes of each window only.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import PICTURED, TrackedActor, tracked_actor
from whenwhere.grounders.motion.stationary_tracks import TrackRows
from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.grounders.objects import index as indexing
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.models.classifier import PictureClassifier
from whenwhere.spans import SpanSet
from whenwhere.video import VideoInfo, stream_frames

#: Version of the stored arrays; raise it if their meaning changes.
VERSION = 2
#: Pictures per second that are looked at.
FPS = 2.0
#: The windows, xyxy as shares of the picture: all of it, its middle and its corners.
WINDOWS = np.array([
    [0, 0, 1, 1], [0.2, 0.2, 0.8, 0.8], [0, 0, 0.6, 0.6], [0.4, 0, 1, 0.6], [0, 0.4, 0.6, 1], [0.4, 0.4, 1, 1],
])  # fmt: skip
#: Classes of a window that are kept: the likeliest ones.
_KEPT = 24
#: Most tracks whose boxes are looked at, how often each, the room around a box, and its least side in pixels.
_TRACKS, _LOOKS, _ROOM, _SIDE = 40, 4, 1.2, 16
#: Least probability at which something is taken to be there, and that at which a track is it.
THERE, TRACK = 0.2, 0.25
#: A lower probability counts too if it is this multiple of the median one: the thing is there only for a while.
STANDS_OUT, _MULTIPLE = 0.08, 6.0
#: Least probability of a person, an animal or a vehicle that the detector never saw.
DOUBLY_SURE = 0.75
#: Share of the highest probability at which it still is there, and the gaps in seconds that are bridged.
_STILL_THERE, _GAP = 0.3, 1.6
#: Share of the likeliest window's probability from which a window is a part of the place.
_PLACE = 0.6


def build_contents(
    info: VideoInfo,
    index: ObjectIndex,
    agents: NDArray[np.bool_],
    classifier: PictureClassifier,
    progress: Callable[[float], None] | None = None,
) -> dict[str, NDArray]:
    """Ask the classifier about a whole video.

    Args:
        info: The probed video.
        index: Its object index, whose tracks are looked at too.
        agents: (labels,) which classes of the detector act by themselves; their tracks are not looked at.
        classifier: The classifier.
        progress: Called with the share of the video that is done, in 0-1, now and then.

    Returns:
        `times`, shape (n,). `classes` and `probabilities`, shape (n, 6, 24): the likeliest classes of each window and
        their probabilities in 255ths. `tracks`, shape (m,), numbers of tracks, with `track_classes` and
        `track_probabilities` of shape (m, 24) in the same way.
    """
    looks = _track_looks(index, agents)
    times: list[float] = []
    rows: list[tuple[NDArray, NDArray]] = []
    tracks: list[int] = []
    crops: list[tuple[NDArray, NDArray]] = []
    for t, picture in stream_frames(info, fps=FPS, width=min(indexing.WIDTH, info.width)):
        size = np.array([picture.shape[1], picture.shape[0]] * 2)
        seen = [_likeliest(classifier.classify(_part(picture, window * size))) for window in WINDOWS]
        times.append(t)
        rows.append(
            (np.stack([classes for classes, _ in seen]), np.stack([probabilities for _, probabilities in seen]))
        )
        for track, box in looks.get(round(t * FPS), ()):
            box = _roomy(box * picture.shape[1] / info.width, size[:2])
            if (box[2:] - box[:2]).min() >= _SIDE:
                tracks.append(track)
                crops.append(_likeliest(classifier.classify(_part(picture, box))))
        if progress is not None:
            progress(min(1.0, t / info.duration))
    shape = (len(times), len(WINDOWS), _KEPT)
    return {
        "times": np.array(times),
        "classes": np.array([classes for classes, _ in rows], np.uint16).reshape(shape),
        "probabilities": np.array([probabilities for _, probabilities in rows], np.uint8).reshape(shape),
        "tracks": np.array(tracks, np.int32),
        "track_classes": np.array([classes for classes, _ in crops], np.uint16).reshape(len(tracks), _KEPT),
        "track_probabilities": np.array([probabilities for _, probabilities in crops], np.uint8).reshape(
            len(tracks), _KEPT
        ),
    }


def _track_looks(index: ObjectIndex, agents: NDArray[np.bool_]) -> dict[int, list[tuple[int, NDArray[np.float64]]]]:
    """The (track, box) of the sightings that are looked at, by the number of the picture that is nearest in time."""
    looks: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    if not len(index.classes):
        return looks
    weight = np.bincount(index.track, weights=index.scores, minlength=len(index.classes))
    weight = np.where(agents[index.classes.argmax(1)], -1.0, weight)
    picture = np.round(index.times * FPS).astype(int)
    off = np.abs(index.times - picture / FPS)
    for track in np.argsort(-weight, kind="stable")[:_TRACKS].tolist():
        if weight[track] <= 0:
            break
        at = np.flatnonzero(index.track == track)
        at = at[off[at] <= off[at].min() + 0.05]  # a fast thing is elsewhere between two pictures
        for row in np.unique(at[np.linspace(0, len(at) - 1, _LOOKS).round().astype(int)]).tolist():
            looks.setdefault(int(picture[row]), []).append((track, index.boxes[row]))
    return looks


def _part(picture: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = np.round(box).astype(int)
    return picture[y1:y2, x1:x2]


def _roomy(box: NDArray[np.float64], size: NDArray) -> NDArray[np.float64]:
    """A box with room around it, within the picture."""
    centre, half = (box[:2] + box[2:]) / 2, _ROOM * (box[2:] - box[:2]) / 2
    return np.concatenate([(centre - half).clip(0, size), (centre + half).clip(0, size)])


def _likeliest(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    classes = np.argsort(-probabilities, kind="stable")[:_KEPT]
    return classes.astype(np.uint16), np.round(255 * probabilities[classes]).clip(0, 255).astype(np.uint8)


def _chance(classes: NDArray, probabilities: NDArray, wanted: NDArray[np.intp]) -> NDArray[np.float64]:
    """The probability that a window shows any of some classes, for classes and shares of shape (..., 24)."""
    return np.asarray((np.isin(classes, wanted) * (probabilities / 255.0)).sum(-1))


def pictured_actors(
    found: dict[str, NDArray], wanted: NDArray[np.intp], index: ObjectIndex, recognised: list[TrackedActor]
) -> list[TrackedActor]:
    """What the classifier saw of some classes, as actors without classes: tracks, and parts of the picture.

    `TrackedActor.strong` is the probability that it is one of these classes.

    Args:
        found: What `build_contents` returned for the video.
        wanted: The classes.
        index: The object index of the video.
        recognised: The actors of its tracks, numbered like these.
    """
    if not len(wanted):
        return []
    out = []
    chances = _chance(found["track_classes"], found["track_probabilities"], wanted)
    for actor in recognised:
        own = chances[found["tracks"] == actor.id]
        if len(own) and float(own.mean()) >= TRACK:
            out.append(replace(actor, id=PICTURED, classes=np.zeros(0, np.float32), strong=float(own.mean())))
    windows = _chance(found["classes"], found["probabilities"], wanted)
    times, level = found["times"], windows.max(1) if len(windows) else np.zeros(0)
    # One picture alone shows nothing: it must be likely in two that follow each other.
    peak = float(np.minimum(level[1:], level[:-1]).max()) if len(level) > 1 else 0.0
    if peak >= THERE or peak >= max(STANDS_OUT, _MULTIPLE * float(np.median(level)) if len(level) else 0.0):
        out.append(_pictured_part(times, windows, level >= _STILL_THERE * peak, peak, index))
    return out


def _pictured_part(
    times: NDArray[np.float64], windows: NDArray[np.float64], there: NDArray[np.bool_], peak: float, index: ObjectIndex
) -> TrackedActor:
    """The actor of the parts of the pictures that show something, while they show it."""
    half = 0.5 / FPS
    runs: list[list[int]] = []
    for first, last in true_runs(there):
        if runs and times[first] - times[runs[-1][1]] <= _GAP:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    frame = np.array([index.width, index.height] * 2, float)
    boxes = np.concatenate(
        [np.repeat((_place(windows[a : b + 1].mean(0)) * frame)[None], b - a + 1, 0) for a, b in runs]
    )
    rows = np.concatenate([np.arange(a, b + 1) for a, b in runs])
    track = TrackRows(
        id=PICTURED,
        times=times[rows],
        boxes=boxes,
        areas=np.prod(boxes[:, 2:] - boxes[:, :2], 1) / frame[:2].prod(),
        strong=np.full(len(rows), peak),
        shared=np.zeros(len(rows), bool),
        colours=np.zeros((len(rows), 5, 13), np.float32),
    )
    end = index.duration
    spans = SpanSet(
        [
            (max(0.0, float(times[a]) - half), end if b == len(times) - 1 else min(end, float(times[b]) + half))
            for a, b in runs
        ]
    )
    hull = spans.hull
    assert hull is not None
    return replace(tracked_actor(index, track), span=hull, spans=spans, entry=(), exit=())


def _place(chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of the picture, xyxy as probabilities, that the likely windows have in common.

    Args:
        chances: (6,) the mean probability of each window of `WINDOWS`.
    """
    parts = chances[1:]
    likely = WINDOWS[1:][parts >= _PLACE * chances.max()]
    if not len(likely):
        return np.array([0.1, 0.1, 0.9, 0.9])
    box = np.concatenate([likely[:, :2].max(0), likely[:, 2:].min(0)])
    if (box[2:] - box[:2]).min() < 0.2:
        box = WINDOWS[1:][parts.argmax()]
    return box
