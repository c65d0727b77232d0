"""Detections of single seconds linked to things that last.

A detector's boxes have no names. `Linker` gives them numbers, second by second: where something followed the things
through the frames in between (`carried`), a box belongs to the thing whose carried box it overlaps; else to the thing
whose last box, moved on as fast as it last moved, it is nearest to. Nearness is the generalised IoU, which still tells
near from far where boxes do not touch: at one box a second a quarter of real targets move by three quarters of their
size, and plain IoU would lose them. Pairs are chosen together (Hungarian
method), not one after the other.

Left out: telling things apart by their looks. Two alike that cross between two seconds may swap numbers; that is what
propagation is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detection import Detections
from whenwhere.records import Source

#: Least overlap with a carried box, and least generalised IoU with a box that was only moved on.
CARRIED, NEAR = 0.3, -0.35
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
        k = int(np.searchsorted(self.times, time - 1e-6))
        return self.boxes[k] if k < len(self.times) and self.times[k] <= time + 1e-6 else None

    def expected(self, time: float) -> NDArray[np.float64]:
        """Its last box, moved on as it moved in the half second before."""
        last = self.boxes[-1]
        k = max(int(np.searchsorted(self.times, self.times[-1] - 0.5, side="right")) - 1, 0)
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
            left = self._link(time, found, numbers, boxes, left, CARRIED, out)
        waiting = [
            n for n, t in self.tracks.items()
            if n not in out and n not in (carried or {}) and time - t.times[-1] <= PATIENCE
        ]  # fmt: skip
        boxes = np.array([self.tracks[n].expected(time) for n in waiting]).reshape(-1, 4)
        left = self._link(time, found, waiting, boxes, left, NEAR, out)
        for k in left:
            self.tracks[self._next] = Track(self._next)
            self._take(time, found, self._next, k, out)
            self._next += 1
        return out

    def _link(
        self, time: float, found: Detections, numbers: Sequence[int], boxes: NDArray[np.float64], left: list[int],
        least: float, out: dict[int, NDArray[np.float64]],
    ) -> list[int]:  # fmt: skip
        """Take what belongs to these things; what is left over."""
        pairs = assigned(nearness(boxes, found.boxes[left]), least)
        for i, k in pairs:
            self._take(time, found, numbers[i], left[k], out)
        taken = {left[k] for _, k in pairs}
        return [k for k in left if k not in taken]

    def _take(self, time: float, found: Detections, number: int, k: int, out: dict[int, NDArray[np.float64]]) -> None:
        self.tracks[number].add(time, found.boxes[k], "model", float(found.scores[k]))
        out[number] = found.boxes[k]


def nearness(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Generalised IoU of all pairs, -1 to 1; the IoU minus the share of the common hull that neither covers.

    Args:
        a: (n, 4) xyxy.
        b: (m, 4) xyxy.

    Returns:
        (n, m).

    >>> nearness(np.array([[0.0, 0, 10, 10]]), np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]])).round(3).tolist()
    [[1.0, -0.333]]
    """
    a, b = a[:, None], b[None]
    inter = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    hull = (np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    return inter / union - (hull - union) / hull


def assigned(values: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) with the greatest sum, none below `least`.

    >>> assigned(np.array([[0.9, 0.8], [0.85, 0.1]]), 0.3)
    [(0, 1), (1, 0)]
    """
    from scipy.optimize import linear_sum_assignment

    # what must not be paired counts as nothing, so that it cannot push a good pair aside
    rows, columns = linear_sum_assignment(np.where(values >= least, values - least + 1e-9, 0.0), maximize=True)
    return [(int(i), int(k)) for i, k in zip(rows, columns, strict=True) if values[i, k] >= least]
