"""Filling one gap: the boxes between two known boxes, from the pixels in between.

Both boxes are tracked towards each other, frame by frame, with sparse pyramidal Lucas-Kanade, and the two tracks are
blended. What each part is for (gains measured by `benchmarks/fill.py`):

- *Points*: a grid inside the visible box. Each point is tracked to the next frame and back; points that do not return
  are dropped. Points that move like a ring around the box are background seen through the box and are dropped too, if
  enough others move differently. The median shift and the median change of distances move the box. The grid is laid
  anew in each frame, so an object that turns never runs out of points.
- *Two directions*: new parts of an object appear at its front and vanish at its back, so a track from one side drifts.
- *Blend*: each track is weighted by time and by the agreement of its end with the box it should have reached
  (IoU + 0.05). A track that ends badly counts less but is never replaced by a straight line: in every bin of agreement
  it was better than the line.
- *Size*: linear in the logarithm between the two known sizes. Flow is good at where an object is, but its changes of
  scale are drift more often than true changes.
- *Border*: a box that ends at the border of the picture is cut there, so that edge says nothing about the object. The
  whole box is tracked instead, with the size seen at the other end, that edge is taken from the other track, and the
  result is cut again. Without this, a box that enters the picture stays small for too long.

Work is done in a window around the box, shrunk so that its longer side has at most 128 pixels: the cost does not grow
with the resolution or the size of the object. Two other ways lost on the development clips and are left out: spreading
each track's end error over the gap, and taking the scale from the flow.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes
from whenwhere.overlap import box_iou

Gray = NDArray[np.uint8]
Array = NDArray[np.float64]

#: Points along each side of the grid in the box, and along each side of the ring around it.
GRID, RING = 8, 7
#: The grid keeps this share of the box free on each side; the ring lies this share outside.
INSET, OUTSET = 0.1, 0.25
#: Most pixels along the longer side of the window that is worked on.
WINDOW = 128
#: A point moves differently from its surroundings if their shifts differ by more than this many pixels per step.
DIFFERENT = 0.7
#: Fewest points from which a motion is measured.
FEWEST = 6
#: Added to the agreement of every track, so that even a lost track has some weight.
TRUST = 0.05
#: A box edge this close to the picture's border, as a share of the picture plus half a pixel, is cut by it.
BORDER = 0.006

_STOP = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 12, 0.03)
# Pairs of points whose distance is compared; always the same ones, so that fills are deterministic.
_PAIRS = np.random.default_rng(0).integers(0, 10_000, (2, 160))
_UNIT = np.stack(np.meshgrid(*[np.linspace(INSET, 1 - INSET, GRID)] * 2), -1).reshape(-1, 2)
_AROUND = np.concatenate(
    [
        np.stack(pair, 1)
        for side in (-OUTSET, 1 + OUTSET)
        for line in [np.linspace(-OUTSET, 1 + OUTSET, RING)]
        for pair in ((line, np.full(RING, side)), (np.full(RING, side), line))
    ]
)


def fill_gap(frames: Sequence[Gray], times: Array, first: Array, last: Array) -> Array:
    """Boxes of all frames from one known box to the next.

    Args:
        frames: n grey pictures of one size, from the frame of the first known box to that of the last.
        times: (n,) increasing seconds.
        first: (4,) box in the first frame, in pixels of these pictures.
        last: (4,) box in the last frame.

    Returns:
        (n, 4) boxes inside the picture; the first and the last are the known ones.
    """
    height, width = frames[0].shape
    ends = np.stack([first, last]).astype(float)
    whole, trust, cut = _uncut(ends, width, height)
    forth = _track(frames, whole[0])
    back = _track(frames[::-1], whole[1])[::-1]
    w = ((times - times[0]) / (times[-1] - times[0]))[:, None]
    reached = np.stack([forth[-1], back[0]])
    agreement = box_iou(clip_boxes(reached, width, height), ends[::-1])
    weight_forth = (1 - w) * (agreement[0] + TRUST) * trust[0]
    weight_back = w * (agreement[1] + TRUST) * trust[1]
    out = (weight_forth * forth + weight_back * back) / (weight_forth + weight_back)
    for axis in np.flatnonzero(~cut):
        middle = (out[:, axis] + out[:, axis + 2]) / 2
        size = ends[:, axis + 2] - ends[:, axis]
        half = size[0] ** (1 - w[:, 0]) * size[1] ** w[:, 0] / 2
        out[:, axis], out[:, axis + 2] = middle - half, middle + half
    out = clip_boxes(out, width, height)
    # If a track left the picture although the object did not, the straight line gives a box.
    lost = ((out[:, 2:] - out[:, :2]) < 1).any(1)
    out[lost] = ((1 - w) * ends[0] + w * ends[1])[lost]
    out[0], out[-1] = ends
    return out


def _uncut(ends: Array, width: int, height: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Both known boxes as they would be without the picture's border.

    Returns:
        (2, 4) the two boxes; (2, 4) the weight of each edge of each box's track; (2,) whether an axis has a cut edge.
    """
    limits = np.array([0, 0, width, height], float)
    is_cut = np.abs(ends - limits) < BORDER * limits[[2, 3, 2, 3]] + 0.5
    whole, trust = ends.copy(), np.ones((2, 4))
    for axis in (0, 1):
        size = (ends[:, axis + 2] - ends[:, axis]).max()
        for this, other in ((0, 1), (1, 0)):
            for edge, opposite, sign in ((axis, axis + 2, -1), (axis + 2, axis, 1)):
                if is_cut[this, edge] and not is_cut[this, opposite]:
                    # at least as far out as the border, where the object is cut
                    reach = ends[this, opposite] + sign * size
                    whole[this, edge] = sign * max(sign * reach, sign * limits[edge])
                    if not is_cut[other, edge]:
                        trust[this, edge] = 1e-3
    return whole, trust, is_cut.any(0).reshape(2, 2).any(0)


def _track(frames: Sequence[Gray], box: Array) -> Array:
    """(n, 4) the box tracked from the first frame to each frame; it stays where it is if nothing can be tracked."""
    out = np.empty((len(frames), 4))
    out[0] = box
    for i in range(1, len(frames)):
        out[i] = _step(frames[i - 1], frames[i], out[i - 1])
    return out


def _step(here: Gray, there: Gray, box: Array) -> Array:
    """The box in the next frame."""
    height, width = here.shape
    seen = clip_boxes(box, width, height)[0]
    size = seen[2:] - seen[:2]
    if (size < 3).any():
        return box
    margin = np.maximum(size / 2, 12)
    x1, y1 = np.maximum(np.floor(seen[:2] - margin), 0).astype(int).tolist()
    x2, y2 = np.minimum(np.ceil(seen[2:] + margin), [width, height]).astype(int).tolist()
    a, b = here[y1:y2, x1:x2], there[y1:y2, x1:x2]
    scale = np.ones(2)
    if max(x2 - x1, y2 - y1) > WINDOW:
        shrunk = [max(8, round(side * WINDOW / max(x2 - x1, y2 - y1))) for side in (x2 - x1, y2 - y1)]
        a, b = (np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8) for image in (a, b))
        scale = np.array(shrunk) / [x2 - x1, y2 - y1]
    ring = seen[:2] + _AROUND * size
    ring = ring[((ring >= 1) & (ring < [width - 2, height - 2])).all(1)]
    n = len(_UNIT)
    points = np.concatenate([seen[:2] + _UNIT * size, ring])
    start = ((points - [x1, y1]) * scale).astype(np.float32)
    end, found = _lucas_kanade(a, b, start)
    again, found_again = _lucas_kanade(b, a, end)
    good = found & found_again
    if good[:n].sum() < FEWEST:
        return box
    shift = (end - start) / scale
    off = np.linalg.norm(again - start, axis=1)[:n]
    keep = good[:n] & (off <= max(0.7, float(np.median(off[good[:n]]))))
    if good[n:].sum() >= FEWEST:
        surroundings = np.median(shift[n:][good[n:]], 0)
        own = keep & (np.linalg.norm(shift[:n] - surroundings, axis=1) > DIFFERENT)
        if own.sum() >= max(8, keep.sum() / 4):
            keep = own
    if keep.sum() < FEWEST:
        return box
    p, d = points[:n][keep], shift[:n][keep]
    i, j = _PAIRS % len(p)
    before = np.linalg.norm(p[i] - p[j], axis=1)
    far = before > 3 / scale.min()
    grown = 1.0
    if far.sum() > 5:
        after = np.linalg.norm((p + d)[i] - (p + d)[j], axis=1)
        grown = float(np.clip(np.median(after[far] / before[far]), 0.9, 1.11))
    pivot = np.tile((seen[:2] + seen[2:]) / 2, 2)
    return pivot + (box - pivot) * grown + np.tile(np.median(d, 0), 2)


def _lucas_kanade(a: Gray, b: Gray, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the points of the first picture are in the second, and which of them were found."""
    there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, points, points.copy(), None, None, (15, 15), 3, _STOP)
    return np.asarray(there, np.float32), np.asarray(found).ravel() == 1
