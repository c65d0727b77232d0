"""The joints of people in pictures, by MoveNet (Lightning, single pose), which OpenVINO runs.

Its file is in the package of the extra `[objects]`, beside the detector's; MoveNet is Apache-2.0, and the package
states no licence of its own. One person is looked at at a time, in a square around its box.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detectors.package import package_network

#: The joints, in their order; left and right are those of the person.
JOINTS = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
)  # fmt: skip
#: Its file in the package, and the SHA-256 of that.
FILES = {"movenet_lightning.tflite": "0fac2226112d0371903ca86e3853cec24ef603a0b2f96f589b180f0ebdd135ab"}
#: Side in pixels of the pictures that the network looks at, and that of the square in sides of the box.
SIDE, ROOM = 192, 1.25


class JointEstimator:
    """Finds the joints of people whose boxes are known. One object of this kind is used by one thread at a time."""

    #: Text that changes when the weights change, for keys of caches.
    fingerprint = f"movenet-1:{FILES['movenet_lightning.tflite']}"

    def __init__(self, network: Any) -> None:
        self._network = network

    def joints(self, picture: NDArray[np.uint8], boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        """The joints of each person.

        Args:
            picture: RGB picture, shape (h, w, 3).
            boxes: Boxes of the people, xyxy in pixels, shape (n, 4).

        Returns:
            Shape (n, 17, 3): x and y in pixels, which may lie outside the box, and a score from 0 to 1.
        """
        found = np.zeros((len(boxes), len(JOINTS), 3), np.float32)
        for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            side = max(ROOM * max(x2 - x1, y2 - y1), 2.0)
            corner = np.array([(x1 + x2 - side) / 2, (y1 + y2 - side) / 2])
            scale = SIDE / side
            move = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
            crop = cv2.warpAffine(picture, move, (SIDE, SIDE))
            out = np.asarray(self._network([crop[None]])[0], np.float32).reshape(len(JOINTS), 3)
            found[k, :, :2] = out[:, 1::-1] * side + corner
            found[k, :, 2] = out[:, 2]
        return found


@lru_cache(maxsize=1)
def open_joints() -> JointEstimator | None:
    """The estimator of the extra `[objects]`, opened once; None where the package or OpenVINO is not installed.

    Raises:
        ModelError: The package is damaged.
    """
    network = package_network(FILES, next(iter(FILES)))
    return None if network is None else JointEstimator(network)
