"""Object changes: objects that are put down or taken away.

An object at rest is not motion; it is a change of the background's state at a place. While the frames pass, each pixel
that differs from the background and no longer changes is counted; a region that stays so, with a sharp beginning or
end, is another *state* of that place. The outline tells which of the two states (the background's or the other) holds
the object: the picture has an edge there while the object is there. So

- if the other state holds the object, it was put down at the state's start and taken away at its end;
- if the background holds the object, it was taken away at the state's start and put back at its end.

A person who stands still also stays; but people sway, so their region keeps changing a little and is left to the
tracks.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import background as bg
from whenwhere.grounders.motion.blobs import zone_colours
from whenwhere.grounders.motion.tracks import BlobTrack
from whenwhere.overlap import box_iou

#: Seconds for which a pixel must be still to count as resting.
SETTLE = 1.0
#: Least difference by which the background's outline is clearer if a still track is an empty place.
EMPTY = 4.0
#: Columns of `change_table`.
COLUMNS = ("start", "end", "x1", "y1", "x2", "y2", "area", "in_background", "starts_inside", "ends_inside", "contrast",
           "tracked")  # fmt: skip


@dataclass
class ObjectChange:
    """A place whose state differed from the background's for a while.

    Attributes:
        start: Start of the other state, in seconds.
        end: End of the other state, in seconds.
        box: (4,) xyxy in working pixels.
        area: Share of the frame.
        in_background: Whether the background holds the object, so that it was *missing* from start to end.
        starts_inside: Whether the start was seen, not cut off by the window's beginning.
        ends_inside: Whether the end was seen, not cut off by the window's end.
        contrast: How much clearer the outline is in the state that holds the object.
        colour: (13,) colour shares of the object.
        tracked: Whether it was found as the still track of an empty place (`empty_places`); such a change tells who
            was there, not which object.
    """

    start: float
    end: float
    box: NDArray[np.float64]
    area: float
    in_background: bool
    starts_inside: bool
    ends_inside: bool
    contrast: float
    colour: NDArray[np.float32]
    tracked: bool = False


class StillPixels:
    """Records which pixels are foreground and still, at half the working resolution in each direction.

    Args:
        shape: (height, width) of the working frame.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.small = (max(2, shape[1] // 2), max(2, shape[0] // 2))
        self.maps: list[NDArray[np.uint8]] = []
        self.times: list[float] = []
        self._past: list[NDArray[np.float32]] = []

    def add(self, t: float, score: NDArray[np.float32], lab: NDArray[np.uint8]) -> None:
        """Take the next frame: its time, evidence and Lab picture."""
        small = cv2.resize(lab, self.small, interpolation=cv2.INTER_AREA).astype(np.float32)
        evident = cv2.resize(score, self.small, interpolation=cv2.INTER_AREA) > bg.LOW
        still = np.zeros_like(evident)
        if self._past:
            change = np.abs(small - self._past[0])
            change[..., 0] = np.abs(
                small[..., 0] - self._past[0][..., 0] - np.median(small[..., 0] - self._past[0][..., 0])
            )
            still = change.sum(2) < 10
        self._past = [*self._past[-5:], small]
        self.maps.append(np.packbits(evident & still, axis=None))
        self.times.append(t)

    def finish(
        self, scene: bg.Background, frames: NDArray[np.uint8], lab: NDArray[np.uint8], times: NDArray
    ) -> list[ObjectChange]:
        """The object changes in the frames that were added.

        Args:
            scene: Their background.
            frames: (n, h, w, 3) the frames, RGB.
            lab: (n, h, w, 3) the same in Lab.
            times: (n,) seconds.
        """
        n = len(self.maps)
        if n < 10:
            return []
        w, h = self.small
        maps = np.stack([np.unpackbits(m, count=w * h).reshape(h, w) for m in self.maps]).astype(bool)
        step = float(np.median(np.diff(self.times)))
        least = max(4, round(SETTLE / step))
        return _regions(maps, least, scene, frames, lab, times)


def _regions(
    maps: NDArray[np.bool_],
    least: int,
    scene: bg.Background,
    frames: NDArray[np.uint8],
    lab: NDArray[np.uint8],
    times: NDArray,
) -> list[ObjectChange]:
    """The object changes of regions that were still over about the same time.

    Args:
        maps: (n, h, w) which pixels are foreground and still in each frame.
        least: Frames of `SETTLE` seconds.
        scene: The background.
        frames: (n, h, w, 3) the frames, RGB.
        lab: (n, h, w, 3) the same in Lab.
        times: (n,) seconds.
    """
    n, h, w = maps.shape
    # The longest still run of each pixel, bridging short covers (a hand passes in front) of up to two `least`.
    run = np.zeros((h, w), np.int32)
    cover = np.zeros((h, w), np.int32)
    start = np.zeros((h, w), np.int32)
    best = np.zeros((h, w), np.int32)
    first = np.zeros((h, w), np.int32)
    last = np.zeros((h, w), np.int32)
    counted = np.zeros((h, w), np.int32)
    for i in range(n):
        on = maps[i]
        fresh = on & (run == 0)
        start[fresh] = i
        counted[fresh] = 0
        cover = np.where(on, 0, cover + 1)
        run = np.where(on, run + 1, np.where(cover > 2 * least, 0, run))
        counted += on
        better = on & (counted > best)
        best[better] = counted[better]
        first[better] = start[better]
        last[better] = i
    steady = (best >= 2 * least) & (best > 0.6 * (last - first + 1))
    out: list[ObjectChange] = []
    # Pixels belong together if they rested over about the same time.
    key = np.where(steady, 1, 0).astype(np.uint8)
    remaining = key.copy()
    while True:
        ys, xs = np.nonzero(remaining)
        if not len(ys) or len(out) > 40:
            break
        longest = best[ys, xs].argmax()
        f, e = first[ys[longest], xs[longest]], last[ys[longest], xs[longest]]
        slack = 2 * least
        alike = (remaining > 0) & (np.abs(first - f) <= slack) & (np.abs(last - e) <= slack)
        remaining[alike] = 0
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            cv2.morphologyEx(alike.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), connectivity=8
        )
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] < 12:
                continue
            region = (labels == k) & alike
            if region.sum() < 10:
                continue
            change = _change(
                region, int(np.median(first[region])), int(np.median(last[region])), scene, frames, lab, times, least
            )
            if change is not None:
                out.append(change)
    return out


def _change(
    region: NDArray[np.bool_],
    first: int,
    last: int,
    scene: bg.Background,
    frames: NDArray[np.uint8],
    lab: NDArray[np.uint8],
    times: NDArray,
    least: int,
) -> ObjectChange | None:
    """The object change of one region between two frames; None if no end of it was seen or it is too faint or big."""
    shape = frames.shape[1:3]
    mask = np.asarray(cv2.resize(region.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    area = float(mask.mean())
    if area > 0.3:
        return None
    ys, xs = np.nonzero(mask)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float)
    look = np.median(lab[np.linspace(first, last, 5).astype(int)], 0).astype(np.float32)
    inside, outline = _contrasts(cv2.GaussianBlur(look, (0, 0), 1.0), scene.lab, mask)
    in_background = outline < 0
    if in_background:
        # The object has its colours in the background picture.
        rgb = np.asarray(cv2.cvtColor(scene.lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)
    else:
        rgb = frames[(first + last) // 2]
    y1, y2, x1, x2 = int(box[1]), int(box[3]), int(box[0]), int(box[2])
    colour = zone_colours(rgb[y1:y2, x1:x2], mask[y1:y2, x1:x2] > 0).mean(0)
    starts_inside, ends_inside = first > 2 * least, last < len(times) - 1 - 2 * least
    if not (starts_inside or ends_inside) or inside < 6:
        return None
    return ObjectChange(
        float(times[max(0, first - least)]),
        float(times[last]),
        box,
        area,
        in_background,
        starts_inside,
        ends_inside,
        abs(outline),
        colour,
    )


def empty_places(
    tracks: list[BlobTrack],
    scene: bg.Background,
    frames: NDArray[np.uint8],
    lab: NDArray[np.uint8],
    times: NDArray,
) -> list[ObjectChange]:
    """Object changes from still tracks that are only the empty place of something that the background holds.

    A car that parks for most of a clip is part of the background: before it comes and after it leaves, its empty place
    differs from the background and is tracked. Such a track may be too short for `StillPixels`; its outline tells.
    """
    out = []
    for track in tracks:
        rows = [i for i, t in enumerate(track.times) if times[0] <= t <= times[-1]]
        if len(rows) < 4:
            continue
        boxes = np.array([track.boxes[i] for i in rows])
        middle = np.median(boxes, 0)
        there = np.flatnonzero(box_iou(boxes, middle[None]) > 0.6)
        if len(there) < max(4, 0.5 * len(rows)):
            continue
        first, last = (int(np.searchsorted(times, track.times[rows[k]] - 1e-6)) for k in (there[0], there[-1]))
        look = lab[(first + last) // 2]
        x1, y1, x2, y2 = np.round(middle).astype(int)
        mask = np.zeros(look.shape[:2], np.uint8)
        mask[y1:y2, x1:x2] = (bg.foreground_evidence(look, scene) > bg.LOW)[y1:y2, x1:x2]
        if mask.sum() < 40 or (x2 - x1) * (y2 - y1) > 0.3 * mask.size:
            continue
        inside, outline = _contrasts(cv2.GaussianBlur(look.astype(np.float32), (0, 0), 1.0), scene.lab, mask)
        if outline > -EMPTY or inside < 6:
            continue
        rgb = np.asarray(cv2.cvtColor(scene.lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)
        colour = zone_colours(rgb[y1:y2, x1:x2], mask[y1:y2, x1:x2] > 0).mean(0)
        out.append(
            ObjectChange(
                float(times[first]), float(times[last]), middle, float(mask.mean()), True,
                first > 2, last < len(times) - 3, -outline, colour, True,
            )
        )  # fmt: skip
    return out


def _contrasts(state: NDArray[np.float32], scene: NDArray[np.float32], mask: NDArray[np.uint8]) -> tuple[float, float]:
    """How much two states differ inside a mask, and how much clearer its outline is in `state` than in `scene`."""
    k = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    inner = cv2.erode(mask, k) > 0
    if inner.sum() < 8:
        inner = mask > 0
    ring = (cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))) - cv2.dilate(mask, k)) > 0
    edge = (cv2.dilate(mask, k) - cv2.erode(mask, k)) > 0

    def edges(x: NDArray[np.float32]) -> float:
        """Mean gradient along the outline."""
        total = np.zeros(x.shape[:2], np.float32)
        for c in range(3):
            plane = np.ascontiguousarray(x[..., c])
            total += cv2.magnitude(
                cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=0.25), cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=0.25)
            )
        return float(total[edge].mean()) if edge.any() else 0.0

    def apart(x: NDArray[np.float32]) -> float:
        """Difference of the mean colours inside the mask and around it."""
        if not ring.any():
            return 0.0
        return float(np.abs(x[inner].mean(0) - x[ring].mean(0)).sum())

    difference = float(np.abs(state[inner].mean(0) - scene[inner].mean(0)).sum())
    return difference, (edges(state) - edges(scene)) + 0.25 * (apart(state) - apart(scene))


def change_table(changes: list[ObjectChange], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, len(COLUMNS)) the changes as rows.

    Args:
        changes: The changes.
        scale: (4,) factors from working to displayed pixels.
    """
    rows = [
        [
            c.start, c.end, *(c.box * scale), c.area, c.in_background, c.starts_inside, c.ends_inside, c.contrast,
            c.tracked,
        ]
        for c in changes
    ]  # fmt: skip
    return np.array(rows, float).reshape(-1, len(COLUMNS))
