"""What a detector is: the interface of all back ends, and the objects that one finds in a picture.

Each box has a distribution over all classes of the detector instead of one label. An object seen from an unusual side
is often given the wrong label with the right one close behind, and over the pictures of a track the distributions add
up to the truth where labels would only disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes, valid_boxes
from whenwhere.errors import ModelError
from whenwhere.overlap import box_iou

#: Smallest score of a box that is given, unless the caller asks for another one.
THRESHOLD = 0.1
#: Two boxes are one object if their IoU is larger than the first number and they have the same most likely class, or
#: if it is larger than the second number.
SAME_CLASS, SAME_OBJECT = 0.6, 0.8
#: Largest number of boxes in a picture.
MOST = 100


@dataclass(frozen=True, eq=False)
class ClassDetections:
    """The objects found in one picture, most certain first.

    Attributes:
        boxes: Boxes in xyxy pixels of the picture, cut to it; shape (n, 4).
        scores: Confidence from 0 to 1 that there is an object of the most likely class, shape (n,).
        classes: Probability of each class, given that there is an object; shape (n, number of labels), rows sum to 1.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.boxes)

    def scaled(self, factor: float) -> "ClassDetections":
        """The same detections in a picture that is `factor` times as large."""
        return ClassDetections(self.boxes * factor, self.scores, self.classes)


class Detector(Protocol):
    """Finds the objects of some classes in pictures. One object of this kind is used by one thread at a time.

    Attributes:
        name: The name by which it was opened.
        labels: Names of the classes, in English, lower case; one for each column of `ClassDetections.classes`.
        licence: Licence of the weights, in words.
        source: Where the weights come from, in words.
        device: Where it runs, such as `cpu` or `cuda`.
        batch: Largest number of pictures that it looks at together.
        fingerprint: Text that changes when the weights or labels change, for keys of caches.
    """

    name: str
    labels: tuple[str, ...]
    batch: int

    @property
    def licence(self) -> str:
        """The licence of the weights."""
        ...

    @property
    def source(self) -> str:
        """Where the weights come from."""
        ...

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes when the weights or labels change."""
        ...

    def detect(self, frames: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[ClassDetections]:
        """The objects in each picture.

        Args:
            frames: RGB pictures, shape (n, h, w, 3), uint8; any number of them.
            threshold: Smallest score of a box that is given.
        """
        ...


def class_number(labels: Sequence[str], word: str, name: str) -> int:
    """The column of a class.

    Args:
        labels: Labels of a detector.
        word: Name of the class, in any case.
        name: Name of the detector, for messages.

    Raises:
        ModelError: The detector does not know the class.

    >>> class_number(("person", "car"), "Car", "ssd")
    1
    """
    from whenwhere.errors import did_you_mean

    try:
        return labels.index(word.casefold().strip())
    except ValueError:
        raise ModelError(
            f"the detector {name} has no class {word!r}{did_you_mean(word, labels)}; it has {len(labels)} classes"
        ) from None


def distribution(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of the classes given that there is an object, from independent scores (the outputs of sigmoids).

    It is the softmax of the values before the sigmoid: each class counts by its odds.

    Args:
        scores: Scores from 0 to 1, shape (n, classes).

    Returns:
        Probabilities of the same shape; each row sums to 1.

    >>> distribution(np.array([[0.5, 0.8, 0.0]])).round(3).tolist()
    [[0.2, 0.8, 0.0]]
    """
    p = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-6)
    odds = p / (1 - p)
    return odds / odds.sum(-1, keepdims=True)


def select(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.floating],
    size: tuple[int, int],
    threshold: float,
) -> ClassDetections:
    """Makes detections of a network's proposals: boxes cut to the picture, without doubles, most certain first.

    Args:
        boxes: Boxes in xyxy pixels of the picture, shape (n, 4).
        scores: Confidence of each box, shape (n,).
        classes: Distribution of each box over the classes, shape (n, classes).
        size: Height and width of the picture.
        threshold: Smallest score of a box that is given.
    """
    likely = np.flatnonzero(scores >= threshold)
    likely = likely[np.argsort(-scores[likely], kind="stable")][: 4 * MOST]
    cut = clip_boxes(boxes[likely].astype(np.float64), size[1], size[0])
    good = valid_boxes(cut)
    likely, cut = likely[good], cut[good]
    keep = distinct(cut, classes[likely].argmax(-1))[:MOST]
    kept = likely[keep]
    return ClassDetections(cut[keep], scores[kept].astype(np.float64), classes[kept].astype(np.float64))


def distinct(boxes: NDArray[np.float64], labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Indices of the boxes that are different objects.

    Args:
        boxes: Boxes in xyxy pixels, most certain first, shape (n, 4).
        labels: The most likely class of each, shape (n,).

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 7], [5, 0, 15, 10]], float)
    >>> distinct(boxes, np.array([0, 0, 1, 0])).tolist()
    [0, 2, 3]
    """
    overlap = box_iou(boxes[:, None], boxes[None])
    double = overlap > np.where(labels[:, None] == labels[None], SAME_CLASS, SAME_OBJECT)
    kept: list[int] = []
    for i in range(len(boxes)):
        if not double[i, kept].any():
            kept.append(i)
    return np.array(kept, np.intp)
