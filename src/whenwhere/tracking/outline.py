"""Correcting the edges of the boxes of one gap by background subtraction.

Flow says where an object is, but a shift and a size cannot follow a swinging limb or a turn: the *shape* of the box is
still to be gained. The ground around a moving object is uncovered at some time, so a background can be estimated: the
median, over the gap and some seconds before and after it, of the pixels outside the filled boxes, with the camera's
shift removed (the median of a coarse Lucas-Kanade grid). What differs from it near a filled box is the object, and its
extent corrects the box.

The measurement is trusted as far as it can be checked: it must reproduce the two known boxes (it counts from IoU 0.6
on, fully from 0.85), its errors there are subtracted in between, and it may move an edge by at most 0.3 of the box.
Pixels that were never uncovered count as the object's own, so for an object that stays in place nothing is measured and
nothing changes. Zoom, parallax and other objects that pass close by make the check fail or the correction small.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes
from whenwhere.overlap import box_iou

Gray = NDArray[np.uint8]
Array = NDArray[np.float64]

#: Pixels along the longer side of the box in the pictures that are compared.
SIDE = 64
#: How far around a box is searched, in box sizes; also the farthest that an edge may move.
SEARCH = 0.3
#: Pixels this close to a filled box are not used for the background, in box sizes.
AROUND = 0.12
#: A difference counts from this many grey levels on, and from this many times the median noise on.
LEVELS, NOISE = 8.0, 6.0
#: A row or column belongs to the object if at least this share of the box's size differs in it.
SHARE = 0.06
#: IoU of the measured with the known boxes from which the measurement counts, and from which it counts fully.
CHECK = (0.6, 0.85)
#: Largest share of the measured correction that is applied.
GAIN = 0.85
#: As `AROUND`, for the context frames, whose boxes are filled linearly.
AROUND_OTHERS = 0.25
#: Most frames of the gap used for the background; fewest of them in which a pixel must be uncovered.
SAMPLES, UNCOVERED = 16, 2
#: Most pixels in all compared pictures together; larger gaps are left uncorrected.
MOST = 16_000_000


@dataclass(frozen=True)
class ContextFrames:
    """Frames of the same shot before and after a gap, for its background.

    Attributes:
        frames: m grey pictures of the same size as the gap's.
        boxes: (m, 4) approximate boxes of the object in them.
        camera: (m, 2) camera shifts, measured from the same origin as the gap's own.
    """

    frames: Sequence[Gray]
    boxes: Array
    camera: Array


class CameraShift:
    """Measures how far the ground has shifted in the picture since the first frame."""

    def __init__(self) -> None:
        self.shift = np.zeros(2)
        self._last: Gray | None = None

    def step(self, frame: Gray) -> Array:
        """Take the next frame and return the total shift up to it, (2,) pixels."""
        height, width = frame.shape
        factor = max(1, round(max(height, width) / 160))
        shape = (max(16, width // factor), max(16, height // factor))
        small = np.asarray(cv2.resize(frame, shape, interpolation=cv2.INTER_AREA), np.uint8)
        if self._last is not None:
            lines = [np.linspace(0.05, 0.95, k) * side for k, side in zip((10, 6), shape, strict=True)]
            points = np.stack(np.meshgrid(*lines), -1).reshape(-1, 2).astype(np.float32)
            there, found, _ = cv2.calcOpticalFlowPyrLK(
                self._last, small, points, points.copy(), None, None, (15, 15), 2, _STOP
            )
            good = np.asarray(found).ravel() == 1
            if good.sum() > 10:
                step = np.median((np.asarray(there) - points)[good], 0) * [width / shape[0], height / shape[1]]
                self.shift = self.shift + np.where(np.abs(step) < 0.1, 0, step)  # a camera at rest stays at rest
        self._last = small
        return self.shift


_STOP = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 8, 0.03)


def fit_outline(
    frames: Sequence[Gray], times: Array, boxes: Array, camera: Array, context: ContextFrames | None = None
) -> Array:
    """The filled boxes of a gap with their edges corrected.

    Args:
        frames: n grey pictures of one size.
        times: (n,) increasing seconds.
        boxes: (n, 4) boxes inside the picture; the first and the last are known.
        camera: (n, 2) camera shifts (`CameraShift`).
        context: More frames for the background.

    Returns:
        (n, 4) boxes; the first and the last are unchanged, and so are all if nothing could be measured.
    """
    n = len(frames)
    height, width = frames[0].shape
    sizes = boxes[:, 2:] - boxes[:, :2]
    scale = min(1.0, SIDE / float(np.median(sizes.max(1))))
    if n < 5 or (sizes < 4 / scale).any():
        return boxes
    search = np.concatenate([boxes[:, :2] - SEARCH * sizes, boxes[:, 2:] + SEARCH * sizes], 1)
    on_ground = search - np.tile(camera, 2)
    corner = np.floor(on_ground[:, :2].min(0))
    columns, rows = np.ceil((on_ground[:, 2:].max(0) - corner) * scale).astype(int).tolist()
    more = context or ContextFrames([], np.empty((0, 4)), np.empty((0, 2)))
    if (n + len(more.frames)) * rows * columns > MOST:
        return boxes
    everywhere = np.concatenate([camera, more.camera])
    pictures = np.empty((len(everywhere), rows, columns), np.uint8)
    for i, frame in enumerate([*frames, *more.frames]):
        shift = -(corner + everywhere[i]) * scale
        to_ground = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        cv2.blur(cv2.warpAffine(frame, to_ground, (columns, rows)), (3, 3), pictures[i])
    # position of each column and row in each frame's own picture
    x = corner[0] + (np.arange(columns) + 0.5) / scale + everywhere[:, :1]
    y = corner[1] + (np.arange(rows) + 0.5) / scale + everywhere[:, 1:]
    use = np.r_[np.unique(np.linspace(0, n - 1, min(SAMPLES, n)).astype(int)), n : len(everywhere)]
    covered = np.concatenate([_widened(boxes, AROUND), _widened(more.boxes, AROUND_OTHERS)])
    background, noise = _background(pictures[use], x[use], y[use], covered[use], (width, height))
    limit = np.where(background < 0, -1.0, max(LEVELS, NOISE * noise))
    measured = np.full((n, 4), np.nan)
    for i in range(n):
        measured[i] = _extent(pictures[i], background, limit, x[i], y[i], search[i], sizes[i] * scale, (width, height))
    known = measured[[0, -1]]
    if np.isnan(known).any():
        return boxes
    agreement = float(box_iou(known, boxes[[0, -1]]).min())
    trust = GAIN * float(np.clip((agreement - CHECK[0]) / (CHECK[1] - CHECK[0]), 0, 1))
    if not trust:
        return boxes
    w = ((times - times[0]) / (times[-1] - times[0]))[:, None]
    missed = boxes[[0, -1]] - known
    change = measured + (1 - w) * missed[0] + w * missed[1] - boxes
    change = np.nan_to_num(change).clip(-SEARCH * np.tile(sizes, 2), SEARCH * np.tile(sizes, 2))
    # the median of three removes the error of a single frame
    change[1:-1] = np.median([change[:-2], change[1:-1], change[2:]], 0)
    out = clip_boxes(boxes + trust * change, width, height)
    gone = np.any(out[:, 2:] - out[:, :2] < 1, axis=1)
    out[gone] = boxes[gone]
    out[[0, -1]] = boxes[[0, -1]]
    return out


def _widened(boxes: Array, share: float) -> Array:
    """Boxes widened on each side by a share of their size."""
    margin = share * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)


def _background(
    pictures: NDArray[np.uint8], x: Array, y: Array, boxes: Array, picture: tuple[int, int]
) -> tuple[Array, float]:
    """The median of the pixels outside the boxes, -1 where they are too few, and the median distance from it."""
    b = boxes[:, :, None]
    covered_x, covered_y = (x > b[:, 0]) & (x < b[:, 2]), (y > b[:, 1]) & (y < b[:, 3])
    inside = ((y >= 1) & (y < picture[1] - 1))[:, :, None] & ((x >= 1) & (x < picture[0] - 1))[:, None, :]
    seen = inside & ~(covered_y[:, :, None] & covered_x[:, None, :])
    values = np.where(seen, pictures, np.int16(999))
    values.sort(0)
    count = seen.sum(0)
    middle = np.take_along_axis(values, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    background = np.where(count >= UNCOVERED, middle, -1).astype(float)
    usable = seen[::4] & (background >= 0)
    distance = np.abs(pictures[::4] - background)[usable]
    return background, float(np.median(distance)) if len(distance) else 0.0


def _extent(
    image: NDArray[np.uint8],
    background: Array,
    limit: Array,
    x: Array,
    y: Array,
    search: Array,
    size: Array,
    picture: tuple[int, int],
) -> Array:
    """The box around what differs from the background in the searched part; NaN if nothing does."""
    c1, c2 = np.searchsorted(x, [max(search[0], 1), min(search[2], picture[0] - 1)])
    r1, r2 = np.searchsorted(y, [max(search[1], 1), min(search[3], picture[1] - 1)])
    if c2 - c1 < 3 or r2 - r1 < 3:
        return np.full(4, np.nan)
    part = np.s_[r1:r2, c1:c2]
    differs = (np.abs(image[part] - background[part]) > limit[part]).astype(np.uint8)
    differs = np.asarray(cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    across = np.flatnonzero(differs.sum(0) >= max(2.0, SHARE * size[1]))
    down = np.flatnonzero(differs.sum(1) >= max(2.0, SHARE * size[0]))
    if not len(across) or not len(down):
        return np.full(4, np.nan)
    half = (x[1] - x[0]) / 2
    return np.array(
        [x[c1 + across[0]] - half, y[r1 + down[0]] - half, x[c1 + across[-1]] + half, y[r1 + down[-1]] + half]
    )
