"""Edges of the boxes of one gap, from what stands out against the background of that gap.

Flow says where a thing is, but a shift and a size cannot follow a swinging limb or a turn: the *shape* of the box is
what is left to gain. Within a gap the ground around a moving thing is seen at some time, so a background can be made
of it: the median of the pixels that lie outside the filled boxes, with the camera's shift taken out (median of a
coarse Lucas-Kanade grid). What differs from it near a filled box is the thing, and its extent corrects the box.

The measure is trusted as far as it can be checked: it must reproduce the two known boxes (from IoU 0.6 on, fully from
0.85), what it misses them by is taken off in between, and it may move an edge by no more than 0.3 of the box.
Pixels that were never uncovered count as the thing's own, so for a thing that stays where it is nothing is measured
and nothing changes. Zoom, parallax and other things that pass close by make the check fail or the correction small.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes
from whenwhere.overlap import box_iou

Gray = NDArray[np.uint8]
Array = NDArray[np.float64]

#: The box's longer side in the pictures that are compared, pixels.
SIDE = 64
#: A box's surroundings that are searched, in box sizes; also how far an edge may move.
SEARCH = 0.3
#: This much around a filled box is not taken for background, in box sizes.
AROUND = 0.12
#: Grey levels that always count as a difference, and multiples of the median noise that do.
LEVELS, NOISE = 8.0, 6.0
#: A row or column belongs to the thing from this share of the box's size on.
SHARE = 0.06
#: The measured box's overlap with the known ones: from the first on the measure counts, from the second on fully.
CHECK = (0.6, 0.85)
#: How much of the measured correction is applied at best.
GAIN = 0.85
#: Frames that the background is made of, at most; how often a pixel must be uncovered among them.
SAMPLES, UNCOVERED = 16, 2
#: More pixels than this in all the compared pictures together are not worth it.
MOST = 16_000_000


def fit_outline(frames: Sequence[Gray], times: Array, boxes: Array) -> Array:
    """The filled boxes of a gap with their edges corrected.

    Args:
        frames: n grey pictures of one size.
        times: (n,) increasing seconds.
        boxes: (n, 4) boxes inside the picture; the first and the last are known.

    Returns:
        (n, 4); the first and the last unchanged, and all where the background tells nothing.
    """
    n = len(frames)
    height, width = frames[0].shape
    sizes = boxes[:, 2:] - boxes[:, :2]
    scale = min(1.0, SIDE / float(np.median(sizes.max(1))))
    if n < 5 or (sizes < 4 / scale).any():
        return boxes
    camera = _camera(frames)
    search = np.concatenate([boxes[:, :2] - SEARCH * sizes, boxes[:, 2:] + SEARCH * sizes], 1)
    on_ground = search - np.tile(camera, 2)
    corner = np.floor(on_ground[:, :2].min(0))
    columns, rows = np.ceil((on_ground[:, 2:].max(0) - corner) * scale).astype(int).tolist()
    if n * rows * columns > MOST:
        return boxes
    pictures = np.empty((n, rows, columns), np.uint8)
    for i, frame in enumerate(frames):
        shift = -(corner + camera[i]) * scale
        to_ground = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        cv2.blur(cv2.warpAffine(frame, to_ground, (columns, rows)), (3, 3), pictures[i])
    # place of each column and row in each frame's own picture
    x = corner[0] + (np.arange(columns) + 0.5) / scale + camera[:, :1]
    y = corner[1] + (np.arange(rows) + 0.5) / scale + camera[:, 1:]
    background, noise = _background(pictures, x, y, boxes, (width, height))
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
    # one frame's slip is noise: median of three
    change[1:-1] = np.median([change[:-2], change[1:-1], change[2:]], 0)
    out = clip_boxes(boxes + trust * change, width, height)
    gone = np.any(out[:, 2:] - out[:, :2] < 1, axis=1)
    out[gone] = boxes[gone]
    out[[0, -1]] = boxes[[0, -1]]
    return out


def _camera(frames: Sequence[Gray]) -> Array:
    """How far the ground has moved in the picture since the first frame, (n, 2) pixels; shifts only."""
    height, width = frames[0].shape
    factor = max(1, round(max(height, width) / 160))
    shape = (max(16, width // factor), max(16, height // factor))
    back = np.array([width / shape[0], height / shape[1]])
    small = [cv2.resize(frame, shape, interpolation=cv2.INTER_AREA) for frame in frames]
    lines = [np.linspace(0.05, 0.95, k) * side for k, side in zip((10, 6), shape, strict=True)]
    points = np.stack(np.meshgrid(*lines), -1).reshape(-1, 2).astype(np.float32)
    out = np.zeros((len(frames), 2))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 8, 0.03)
    for i in range(1, len(frames)):
        there, found, _ = cv2.calcOpticalFlowPyrLK(
            small[i - 1], small[i], points, points.copy(), None, None, (15, 15), 2, stop
        )
        good = np.asarray(found).ravel() == 1
        shift = np.median((np.asarray(there) - points)[good], 0) * back if good.sum() > 10 else np.zeros(2)
        out[i] = out[i - 1] + np.where(np.abs(shift) < 0.1, 0, shift)  # a camera at rest stays at rest
    return out


def _background(
    pictures: NDArray[np.uint8], x: Array, y: Array, boxes: Array, picture: tuple[int, int]
) -> tuple[Array, float]:
    """Median of the uncovered pixels, -1 where too few are, and the median distance from it (grey levels)."""
    sample = np.unique(np.linspace(0, len(pictures) - 1, min(SAMPLES, len(pictures))).astype(int))
    x, y, b = x[sample], y[sample], boxes[sample, :, None]
    mx, my = AROUND * (b[:, 2] - b[:, 0]), AROUND * (b[:, 3] - b[:, 1])
    covered_x = (x > b[:, 0] - mx) & (x < b[:, 2] + mx)
    covered_y = (y > b[:, 1] - my) & (y < b[:, 3] + my)
    inside = ((y >= 1) & (y < picture[1] - 1))[:, :, None] & ((x >= 1) & (x < picture[0] - 1))[:, None, :]
    seen = inside & ~(covered_y[:, :, None] & covered_x[:, None, :])
    values = np.where(seen, pictures[sample], np.int16(999))
    values.sort(0)
    count = seen.sum(0)
    middle = np.take_along_axis(values, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    background = np.where(count >= UNCOVERED, middle, -1).astype(float)
    usable = seen[::2] & (background >= 0)
    distance = np.abs(pictures[sample[::2]] - background)[usable]
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
    """The box around what differs from the background in the searched part; NaN where nothing does."""
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
