"""How stored pictures are turned and mirrored for display.

Containers and codecs (mp4, Matroska, JPEG's Exif, H.264 messages) give a matrix with each picture. Players round it to
quarter turns, with or without a mirror; so it is done here, and whoever writes the pictures again writes them upright.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray


class Orientation(NamedTuple):
    """The way from the stored to the displayed picture.

    Attributes:
        rotation: Degrees clockwise, after mirroring: 0, 90, 180 or 270.
        mirrored: Whether the stored picture is mirrored left to right first.
    """

    rotation: int = 0
    mirrored: bool = False

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The displayed picture of a stored one, (h, w) or (h, w, 3); a view of it."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.rot90(image, -self.rotation // 90) if self.rotation else image


def orientation(frame: VideoFrame) -> Orientation:
    """The orientation that a decoded frame's display matrix asks for, to the nearest quarter turn."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    return Orientation() if data is None else matrix_orientation(np.frombuffer(bytes(data), np.int32))


def matrix_orientation(matrix: NDArray[np.int32]) -> Orientation:
    """The orientation of a display matrix: 9 numbers, by rows, that multiply (x, y, 1) from the right.

    >>> one = 1 << 16
    >>> matrix_orientation(np.array([0, one, 0, -one, 0, 0, 0, 0, 1 << 30]))
    Orientation(rotation=90, mirrored=False)
    >>> matrix_orientation(np.array([one, 0, 0, 0, -one, 0, 0, 0, 1 << 30]))         # upside down
    Orientation(rotation=180, mirrored=True)
    """
    if len(matrix) < 5:
        return Orientation()
    a, b, c, d = (float(matrix[k]) for k in (0, 1, 3, 4))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored)
