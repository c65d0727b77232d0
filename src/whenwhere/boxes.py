"""Boxes: continuous xyxy float pixels of the *displayed* frame (rotation and pixel aspect applied).

Edges are positions, not pixel indices: a box that covers the whole of a frame 640 pixels wide has x1 = 0 and x2 = 640,
and its width is x2 - x1, without "+ 1". Coordinates normalised to 0-1 or 0-1000 exist only where data comes in or goes
out (a dialect, a benchmark's file) and are converted there with an explicit (width, height).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import RecordError


class Box(NamedTuple):
    """One box in pixels of the displayed frame, with `x1 < x2` and `y1 < y2`.

    >>> Box(10, 20, 110, 220).area
    20000
    >>> Box.checked(5, 0, 5, 10)
    Traceback (most recent call last):
    ...
    whenwhere.errors.RecordError: box (5, 0, 5, 10) is not x1 < x2, y1 < y2 with finite numbers
    """

    x1: float
    y1: float
    x2: float
    y2: float

    @classmethod
    def checked(cls, x1: float, y1: float, x2: float, y2: float) -> "Box":
        """The box with these edges.

        Raises:
            RecordError: The box is reversed, empty or not finite.
        """
        if not all(map(math.isfinite, (x1, y1, x2, y2))) or x1 >= x2 or y1 >= y2:
            raise RecordError(f"box ({x1}, {y1}, {x2}, {y2}) is not x1 < x2, y1 < y2 with finite numbers")
        return cls(x1, y1, x2, y2)

    @property
    def width(self) -> float:
        """The width in pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """The height in pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """The area in square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """The centre (x, y) in pixels."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        """The box as (left, top, width, height), the form of COCO and MOT."""
        return self.x1, self.y1, self.width, self.height


def valid_boxes(boxes: ArrayLike) -> NDArray[np.bool_]:
    """For each row of an (n, 4) array, whether it is a box: finite, x1 < x2, y1 < y2.

    >>> valid_boxes([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, float("nan"), 1]]).tolist()
    [True, False, False]
    """
    b = np.asarray(boxes, float).reshape(-1, 4)
    with np.errstate(invalid="ignore"):
        return np.isfinite(b).all(1) & (b[:, 0] < b[:, 2]) & (b[:, 1] < b[:, 3])


def clip_boxes(boxes: ArrayLike, width: float, height: float) -> NDArray[np.float64]:
    """Boxes clipped to the frame.

    A box that lies wholly outside the frame is kept, but with zero width or height, so that `valid_boxes` is False
    for it.

    Args:
        boxes: xyxy boxes in pixels, shape (n, 4).
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.

    Returns:
        The clipped boxes, shape (n, 4).

    >>> clip_boxes([[-5, 2, 30, 40]], 20, 30).tolist()
    [[0.0, 2.0, 20.0, 30.0]]
    """
    b = np.array(boxes, float).reshape(-1, 4)
    b[:, 0::2] = b[:, 0::2].clip(0, width)
    b[:, 1::2] = b[:, 1::2].clip(0, height)
    return b
