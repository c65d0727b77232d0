"""Detections of single seconds linked to things that last.

A detector's boxes have no names. `Linker` gives them numbers, second by second: where something followed the things
through the frames in between (`carried`), a box belongs to the thing whose carried box it overlaps; else to the thing
whose last box, moved on as fast as it last moved, it is nearest to. Nearness is measured in box sizes and not by
overlap: at one box a second a quarter of real targets move by three quarters of their size, and someone who walks past
has left the width of a body behind long before. Pairs are chosen together (Hungarian method), not one after the other.

Left out: telling things apart by their looks. Two alike that cross between two seconds may swap numbers; that is what
propagation is for.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detection import Detections
from whenwhere.overlap import box_iou
from whenwhere.records import Source

#: Least overlap with a carried box.
CARRIED = 0.3
#: How far from where it was expected a thing may be, in box sizes: at once, and more for each second since it was seen.
NEAR, NEAR_PER_SECOND = 0.4, 1.2
#: Seconds after which a thing that was not seen is given up; a box then is a new thing.
PATIENCE = 2.5


@dataclass(eq=False)
class Track:
    """One thing through time.

    Attributes:
        number: what it is called.
        times: increasing seconds.
        boxes: xyxy pixels, one per time.
        sources: `model` where it was detected, `propagated` where it was followed.
        scores: of its detections, 0-1.
    """

    number: int
    times: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, time: float, box: NDArray[np.float64], source: Source, score: float | None = None) -> None:
        """Where it is at a time, later than all before or the last one again (a detection counts more)."""
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
        """How much speaks for it: the sum of its scores."""
        return sum(self.scores)

    def at(self, time: float) -> NDArray[np.float64] | None:
        """Its box at one of its times, None at any other.

        >>> track = Track(1)
        >>> track.add(2.0, np.array([0.0, 0, 5, 5]), "model", 0.9)
        >>> track.at(2.0).tolist(), track.at(2.5)
        ([0.0, 0.0, 5.0, 5.0], None)
        """
        k = bisect_left(self.times, time - 1e-6)
        return self.boxes[k] if k < len(self.times) and self.times[k] <= time + 1e-6 else None

    def expected(self, time: float) -> NDArray[np.float64]:
        """Its last box, moved on as it moved in the half second before."""
        last = self.boxes[-1]
        k = max(bisect_right(self.times, self.times[-1] - 0.5) - 1, 0)
        if k == len(self.times) - 1:
            return last
        before, step = self.boxes[k], self.times[-1] - self.times[k]
        speed = (last[:2] + last[2:] - before[:2] - before[2:]) / 2 / step
        return last + np.tile(speed * (time - self.times[-1]), 2)


class Linker:
    """Gives boxes of single seconds the numbers of things.

    Args:
        first: the first number.

    Attributes:
        tracks: number → thing, in order of appearance.
    """

    def __init__(self, first: int = 1) -> None:
        self.tracks: dict[int, Track] = {}
        self._next = first
        self._recent: dict[int, Track] = {}

    def add(
        self, time: float, found: Detections, carried: dict[int, NDArray[np.float64]] | None = None
    ) -> dict[int, NDArray[np.float64]]:
        """Link what was found at a time, later than all before.

        Args:
            time: seconds.
            found: the detections.
            carried: number → where the things were followed to; None where nothing follows them.

        Returns:
            Number → box of what was found, new things included.
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
        values = NEAR + NEAR_PER_SECOND * gone - apart(boxes, found.boxes[left])
        left = self._link(time, found, waiting, values, left, out)
        for k in left:
            self.tracks[self._next] = Track(self._next)
            self._take(time, found, self._next, k, out)
            self._next += 1
        return out

    def _link(
        self, time: float, found: Detections, numbers: Sequence[int], values: NDArray[np.float64], left: list[int],
        out: dict[int, NDArray[np.float64]],
    ) -> list[int]:  # fmt: skip
        """Take what belongs to these things; what is left over."""
        pairs = assigned(values)
        for i, k in pairs:
            self._take(time, found, numbers[i], left[k], out)
        taken = {left[k] for _, k in pairs}
        return [k for k in left if k not in taken]

    def _take(self, time: float, found: Detections, number: int, k: int, out: dict[int, NDArray[np.float64]]) -> None:
        self.tracks[number].add(time, found.boxes[k], "model", float(found.scores[k]))
        self._recent[number] = self.tracks[number]
        out[number] = found.boxes[k]


def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """How different boxes are in place and size, in box sizes, all pairs.

    The size is that of the larger box: what comes in at the frame's edge is a sliver first.

    Args:
        a: (n, 4) xyxy.
        b: (m, 4) xyxy.

    Returns:
        (n, m).

    >>> others = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 20]])
    >>> apart(np.array([[0.0, 0, 10, 10]]), others).round(2).tolist()
    [[0.0, 2.0, 0.79]]
    """
    a, b = a[:, None], b[None]
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    moved = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    scale = np.maximum(size_a.prod(-1), size_b.prod(-1))
    return np.sqrt(((moved**2).sum(-1) + ((size_a - size_b) ** 2).sum(-1)) / scale)


def assigned(values: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) with the greatest sum; none that is negative.

    >>> assigned(np.array([[0.9, 0.8], [0.85, -0.1]]))
    [(0, 1), (1, 0)]
    """
    from scipy.optimize import linear_sum_assignment

    # what must not be paired counts as nothing, so that it cannot push a good pair aside
    rows, columns = linear_sum_assignment(values.clip(0), maximize=True)
    return [(int(i), int(k)) for i, k in zip(rows, columns, strict=True) if values[i, k] >= 0]
