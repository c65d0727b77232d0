"""Links detections, made once per second, to tracks.

A detector's boxes have no identity. `Linker` gives them track numbers, second by second. If a tracker followed the
objects through the frames in between (`carried`), a box belongs to the track whose carried box it overlaps. Otherwise
it belongs to the track whose last box, extrapolated at its last speed, is nearest. Distance is measured in box sizes
and not by IoU: in one second, a quarter of real targets move by three quarters of their size, and a person who walks
past moves by more than the width of a body. All pairs are assigned together (Hungarian method).

Left out: appearance. Two objects that cross between two seconds may swap numbers; a tracker prevents that.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.overlap import box_iou
from whenwhere.records import Source

#: Smallest IoU at which a detection belongs to a carried box.
CARRIED = 0.3
#: How far an object may be from where it is expected, in box sizes, and how much farther for each second since it was
#: seen.
NEAR, NEAR_PER_SECOND = 0.4, 1.2
#: Seconds without a detection after which a track ends; a later box begins a new track.
PATIENCE = 2.5


@dataclass(eq=False)
class Track:
    """The boxes of one object over time.

    Attributes:
        number: The number of the track.
        times: Increasing seconds.
        boxes: Boxes in xyxy pixels, one for each time.
        sources: For each time, `model` if the object was detected and `propagated` if it was followed.
        scores: Confidence of each of its detections, from 0 to 1.
    """

    number: int
    times: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, time: float, box: NDArray[np.float64], source: Source, score: float | None = None) -> None:
        """Add the box at a time that is later than all others, or replace the box at the last time."""
        if self.times and time <= self.times[-1]:
            self.boxes[-1], self.sources[-1] = box, source
        else:
            self.times.append(time)
            self.boxes.append(box)
            self.sources.append(source)
        if score is not None:
            self.scores.append(score)

    @property
    def weight(self) -> float:
        """How much evidence there is for the track: the sum of its detection scores."""
        return sum(self.scores)

    def at(self, time: float) -> NDArray[np.float64] | None:
        """The box at one of the track's times; None at any other time.

        >>> track = Track(1)
        >>> track.add(2.0, np.array([0.0, 0, 5, 5]), "model", 0.9)
        >>> track.at(2.0).tolist(), track.at(2.5)
        ([0.0, 0.0, 5.0, 5.0], None)
        """
        k = bisect_left(self.times, time - 1e-6)
        return self.boxes[k] if k < len(self.times) and self.times[k] <= time + 1e-6 else None

    def expected(self, time: float) -> NDArray[np.float64]:
        """The box predicted for a later time: the last box, extrapolated at its speed over the last half second."""
        last = self.boxes[-1]
        k = max(bisect_right(self.times, self.times[-1] - 0.5) - 1, 0)
        if k == len(self.times) - 1:
            return last
        before, step = self.boxes[k], self.times[-1] - self.times[k]
        speed = (last[:2] + last[2:] - before[:2] - before[2:]) / 2 / step
        return last + np.tile(speed * (time - self.times[-1]), 2)


class Linker:
    """Assigns detections to tracks, one second after the other, and starts new tracks for the rest.

    Args:
        first: Number of the first track.

    Attributes:
        tracks: The tracks by their number, in order of appearance.
    """

    def __init__(self, first: int = 1) -> None:
        self.tracks: dict[int, Track] = {}
        self._next = first
        self._recent: dict[int, Track] = {}

    def add(
        self, time: float, found: ClassDetections, carried: dict[int, NDArray[np.float64]] | None = None
    ) -> dict[int, NDArray[np.float64]]:
        """Links the detections at one time, which must be later than all before, to tracks.

        Args:
            time: The time in seconds.
            found: The detections.
            carried: Track number → box at which a tracker sees the object now. None if there is no tracker.

        Returns:
            Track number → detected box, for all tracks that were detected at this time, new ones included.
        """
        out: dict[int, NDArray[np.float64]] = {}
        left = list(range(len(found)))
        if carried:
            numbers = [n for n in carried if n in self.tracks]
            boxes = np.array([carried[n] for n in numbers]).reshape(-1, 4)
            values = box_iou(boxes[:, None], found.boxes[None, left])
            left = self._link(time, found, numbers, values - CARRIED, left, out)
        self._recent = {n: track for n, track in self._recent.items() if time - track.times[-1] <= PATIENCE}
        waiting = [n for n in self._recent if n not in out and n not in (carried or {})]
        boxes = np.array([self.tracks[n].expected(time) for n in waiting]).reshape(-1, 4)
        gone = np.array([time - self.tracks[n].times[-1] for n in waiting]).reshape(-1, 1)
        values = NEAR + NEAR_PER_SECOND * gone - box_distance(boxes, found.boxes[left])
        left = self._link(time, found, waiting, values, left, out)
        for k in left:
            self.tracks[self._next] = Track(self._next)
            self._take(time, found, self._next, k, out)
            self._next += 1
        return out

    def _link(
        self, time: float, found: ClassDetections, numbers: Sequence[int], values: NDArray[np.float64], left: list[int],
        out: dict[int, NDArray[np.float64]],
    ) -> list[int]:  # fmt: skip
        """Add the detections that belong to these tracks; returns the indices of the others."""
        pairs = assign_pairs(values)
        for i, k in pairs:
            self._take(time, found, numbers[i], left[k], out)
        taken = {left[k] for _, k in pairs}
        return [k for k in left if k not in taken]

    def _take(
        self, time: float, found: ClassDetections, number: int, k: int, out: dict[int, NDArray[np.float64]]
    ) -> None:
        self.tracks[number].add(time, found.boxes[k], "model", float(found.scores[k]))
        self._recent[number] = self.tracks[number]
        out[number] = found.boxes[k]


def box_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between all pairs of boxes, by position and size, in units of the box size.

    The unit is the size of the larger box, because an object that enters the frame is only a sliver at first.

    Args:
        a: Boxes in xyxy pixels, shape (n, 4).
        b: Boxes in xyxy pixels, shape (m, 4).

    Returns:
        The distances, shape (n, m).

    >>> others = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 20]])
    >>> box_distance(np.array([[0.0, 0, 10, 10]]), others).round(2).tolist()
    [[0.0, 2.0, 0.79]]
    """
    a, b = a[:, None], b[None]
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    moved = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    scale = np.maximum(size_a.prod(-1), size_b.prod(-1))
    return np.sqrt(((moved**2).sum(-1) + ((size_a - size_b) ** 2).sum(-1)) / scale)


def assign_pairs(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The one-to-one assignment of rows to columns with the largest sum of values; negative values are never used.

    >>> assign_pairs(np.array([[0.9, 0.8], [0.85, -0.1]]))
    [(0, 1), (1, 0)]
    """
    from scipy.optimize import linear_sum_assignment

    # pairs that must not be made count 0, so that they cannot displace a good pair
    rows, columns = linear_sum_assignment(values.clip(0), maximize=True)
    return [(int(i), int(k)) for i, k in zip(rows, columns, strict=True) if values[i, k] >= 0]
