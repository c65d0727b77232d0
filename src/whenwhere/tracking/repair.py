"""What of a model's boxes is no box at all, taken out; nothing else.

No clipping, no swapping of reversed corners, no merging: whatever can be read as a box stays as it was printed, so
that a score measures the model. What is dropped is counted, because an answer that needed much repair is a finding.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.boxes import clip_boxes, valid_boxes
from whenwhere.errors import RecordError


def repair(
    times: ArrayLike, boxes: ArrayLike, width: float, height: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Rows that are boxes: finite, x1 < x2, y1 < y2, and at least partly inside the frame.

    Args:
        times: (n,) seconds, in any order; a row whose time is not finite goes too.
        boxes: (n, 4) xyxy pixels.
        width: of the displayed frame, pixels.
        height: of the displayed frame, pixels.

    Returns:
        The times and boxes that stay, unchanged and in their order, and how many were dropped.

    Raises:
        RecordError: the numbers of times and boxes differ.

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
