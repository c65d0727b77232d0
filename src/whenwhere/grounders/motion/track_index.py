"""What the indices of tracks have in common: their sightings, how they are stored, and how they are made of tracks.

An index keeps the sightings of all tracks as plain arrays, sorted by track and time, so that hours of video are read
from the cache in milliseconds. `motion.index` has tracks of blobs, `objects.index` those of recognised things.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.video import VideoInfo


@dataclass
class TrackIndex:
    """The tracks of a video.

    Attributes:
        duration: Duration of the video, in seconds.
        step: Seconds between analysed frames.
        width: Width of the displayed frame, in pixels.
        height: Height of the displayed frame, in pixels.
        track: (n,) number of the track of each sighting; sightings are sorted by track and time.
        times: (n,) seconds.
        boxes: (n, 4) xyxy pixels of the displayed frame.
        colours: (n, 5, 13) colour shares by height zone and column of `colours.COLUMNS`.
        cuts: Times of the first frames of new shots.
        jumps: (m, 2) start and end in seconds of the parts in which a shot may be cut (`tracking.JumpFinder`).
        moving: Share of the time with a moving camera.
        frames: Number of analysed frames.
        warnings: Sentences about damaged frames.
    """

    #: By name of an array: the type in which it is stored, and the one in which it is used.
    STORED: ClassVar[dict[str, tuple[type, type]]] = {
        "boxes": (np.float32, np.float64), "colours": (np.float16, np.float32)
    }  # fmt: skip

    duration: float
    step: float
    width: int
    height: int
    track: NDArray[np.int32]
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    colours: NDArray[np.float32]
    cuts: NDArray[np.float64]
    jumps: NDArray[np.float64]
    moving: float
    frames: int
    warnings: tuple[str, ...]

    def arrays(self) -> dict[str, NDArray]:
        """The index as arrays, for the cache."""
        numbers = [getattr(self, f.name) for f in fields(self) if f.type in (int, float)]
        out = {"scalars": np.array(numbers, float), "warnings": np.array(self.warnings, str)}
        for name in self._array_names():
            out[name] = np.asarray(getattr(self, name), self.STORED.get(name, (None, None))[0])
        return out

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Self:
        """The inverse of `arrays`."""
        kinds = {f.name: f.type for f in fields(cls) if f.type in (int, float)}
        values: dict[str, Any] = {
            name: int(x) if kind is int else float(x)
            for (name, kind), x in zip(kinds.items(), arrays["scalars"], strict=True)
        }
        for name in cls._array_names():
            array = arrays[name]
            values[name] = array.astype(cls.STORED[name][1]) if name in cls.STORED else array
        return cls(**values, warnings=tuple(arrays["warnings"].tolist()))

    @classmethod
    def _array_names(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.type not in (int, float) and f.name != "warnings"]


class TimedTrack(Protocol):
    """Something over time.

    Attributes:
        times: Seconds, one for each sighting, increasing.
    """

    times: list[float]


T = TypeVar("T", bound=TimedTrack)


def track_numbers(tracks: Sequence[TimedTrack]) -> NDArray[np.int32]:
    """(n,) the number of the track of each sighting."""
    return np.repeat(np.arange(len(tracks)), [len(track.times) for track in tracks]).astype(np.int32)


def column(tracks: Sequence[TimedTrack], name: str, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """(n, ...) what each sighting of the tracks has in its list of this name, of the shape that is given."""
    rows = [x for track in tracks for x in getattr(track, name)]
    return np.array(rows, float).reshape(len(rows), *shape)


def sample_step(info: VideoInfo, fps: float) -> float:
    """Seconds between the frames that are seen of a video at a rate that it may not reach."""
    return 1 / fps if info.fps > fps else 1 / max(info.fps, 0.1)


def join_tracks(
    tracks: Sequence[T],
    cost: Callable[[T, T], float | None],
    reach: Callable[[T], float],
    extend: Callable[[T, T], None],
) -> list[T]:
    """Join tracks whose end and start fit, the best fits first.

    Args:
        tracks: The tracks, in any order.
        cost: What it costs to take the second track for the continuation of the first; None if it cannot be that.
        reach: Longest time in seconds after a track's end at which its continuation may start.
        extend: Appends the second track to the first.

    Returns:
        The joined tracks by the time of their start.
    """
    order = sorted(tracks, key=lambda track: track.times[0])
    starts = np.array([track.times[0] for track in order])
    pairs = []
    for i, track in enumerate(order):
        end = track.times[-1]
        first, last = np.searchsorted(starts, [end, end + reach(track)], side="right")
        found = ((cost(track, order[j]), i, j) for j in range(first, last) if j != i)
        pairs += [(price, i, j) for price, i, j in found if price is not None]
    after: dict[int, int] = {}
    before: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in after and j not in before:
            after[i], before[j] = j, i
    out = []
    for i, track in enumerate(order):
        if i in before:
            continue
        k = i
        while k in after:
            k = after[k]
            extend(track, order[k])
        out.append(track)
    return out
