"""Drops the rows of a model's answer that are not boxes, and changes nothing else.

Boxes are not clipped, reversed corners are not swapped, and nothing is merged: every valid box stays as it was
printed, so that a score measures the model. Dropped rows are counted, because much repair is a finding by itself.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.boxes import clip_boxes, valid_boxes
from whenwhere.errors import RecordError


def repair(
    times: ArrayLike, boxes: ArrayLike, width: float, height: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """The rows that are boxes: finite, x1 < x2, y1 < y2, and at least partly inside the frame.

    Args:
        times: (n,) seconds, in any order; a row whose time is not finite is dropped too.
        boxes: (n, 4) xyxy pixels.
        width: Width of the displayed frame, in pixels.
        height: Height of the displayed frame, in pixels.

    Returns:
        The times and boxes that are kept, unchanged and in their order, and the number of dropped rows.

    Raises:
        RecordError: The numbers of times and boxes differ.

    >>> t, b, dropped = repair([0, 1, 2], [[0, 0, 9, 9], [9, 0, 0, 9], [700, 0, 800, 9]], 640, 360)
    >>> t.tolist(), b.tolist(), dropped
    ([0.0], [[0.0, 0.0, 9.0, 9.0]], 2)
    """
    t = np.asarray(times, float).reshape(-1)
    b = np.asarray(boxes, float).reshape(-1, 4)
    if len(t) != len(b):
        raise RecordError(f"an answer has {len(t)} times but {len(b)} boxes")
    good = np.isfinite(t) & valid_boxes(b)
    good[good] = valid_boxes(clip_boxes(b[good], width, height))
    return t[good].copy(), b[good].copy(), int((~good).sum())
