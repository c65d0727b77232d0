"""What a picture shows as a whole: the 1000 classes of ImageNet, by EfficientNet-Lite3, which OpenVINO runs.

Its file is in the package of the extra `[objects]`, beside the detector's; EfficientNet-Lite is Apache-2.0, and the
package states no licence of its own. It knows many things that the detector has no class for, such as a guitar, a
frying pan or a monkey, but not where in the picture they are.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detectors.package import is_installed, package_folder, package_network

#: Its files in the package, and their SHA-256: the network, and a line of names for each class.
NETWORK, NAMES = "efficientnet_lite3.tflite", "efficientnet_labels.txt"
FILES = {
    NETWORK: "948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc",
    NAMES: "a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d",
}
#: Side in pixels of the pictures that the network looks at.
SIDE = 280


class PictureClassifier:
    """Tells the classes of pictures. One object of this kind is used by one thread at a time.

    Attributes:
        names: The names of each class, the usual one first, in lower case.
        fingerprint: Text that changes when the weights change, for keys of caches.
    """

    fingerprint = f"efficientnet-1:{FILES[NETWORK]}"

    def __init__(self, network: Callable[[list[Any]], Any], names: Sequence[tuple[str, ...]]) -> None:
        self._network = network
        self.names = tuple(names)

    def classify(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probability of each class, shape (classes,).

        Args:
            picture: RGB picture, shape (h, w, 3), whose sides are stretched to be equal.
        """
        small = cv2.resize(np.ascontiguousarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        found: NDArray[np.float32] = np.asarray(self._network([small[None]])[0], np.float32).reshape(-1)
        return found * np.float32(1 / 256)


@lru_cache(maxsize=1)
def classifier_is_whole() -> bool:
    """Whether the classifier is installed, without opening it.

    Raises:
        ModelError: Its files are damaged.
    """
    return is_installed() and package_folder(FILES).is_dir()


@lru_cache(maxsize=1)
def picture_classes() -> tuple[tuple[str, ...], ...]:
    """The names of each class that the classifier of the extra `[objects]` knows; none where it is not installed.

    Raises:
        ModelError: The package is damaged.
    """
    if not is_installed():
        return ()
    lines = (package_folder({NAMES: FILES[NAMES]}) / NAMES).read_text(encoding="utf-8").splitlines()
    return tuple(tuple(name.strip().lower() for name in line.split(",")) for line in lines)


@lru_cache(maxsize=1)
def open_classifier() -> PictureClassifier | None:
    """The classifier of the extra `[objects]`, opened once; None where the package or OpenVINO is not installed.

    Raises:
        ModelError: The package is damaged.
    """
    network = package_network(FILES, NETWORK)
    return None if network is None else PictureClassifier(network, picture_classes())
