"""What a pipeline's detector looks for: the objects that a noun phrase may mean.

An open-vocabulary detector is asked for the phrase. A detector with fixed classes is asked for the classes that the
phrase names, the first that it names; where it names none, every object is a candidate.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from whenwhere.models.detectors.detector import THRESHOLD, ClassDetections, Detector
from whenwhere.models.detectors.open_vocabulary import WORDS_THRESHOLD

Finder = Callable[[NDArray[np.uint8]], list[ClassDetections]]
#: Smallest probability of a named class: the right class is often not the most likely one.
LEAST = 0.05


def finder(detector: Detector, phrase: str) -> Finder:
    """A function from RGB pictures, shape (n, h, w, 3), to the objects in each that the phrase may mean."""
    if for_labels := getattr(detector, "for_labels", None):
        words: Detector = for_labels([phrase])
        return lambda images: words.detect(images, WORDS_THRESHOLD)
    named = named_class(detector.labels, phrase)
    if named is None:
        return lambda images: detector.detect(images, THRESHOLD)
    column = named
    return lambda images: [of_class(found, column) for found in detector.detect(images, THRESHOLD)]


def can_find(detector: Detector, phrase: str) -> bool:
    """Whether a detector knows what a noun phrase names; an open-vocabulary one is asked for anything."""
    return hasattr(detector, "for_labels") or named_class(detector.labels, phrase) is not None


def named_class(labels: tuple[str, ...], phrase: str) -> int | None:
    """The class that a noun phrase names; None if there is none.

    >>> named_class(("person", "car", "traffic light"), "white car"), named_class(("person", "car"), "sofa")
    (1, None)
    >>> named_class(("car", "fire hydrant"), "red fire hydrant beside it")
    1
    """
    padded = f" {' '.join(phrase.casefold().split())} "
    ends = [(padded.find(f" {label} "), -len(label), n) for n, label in enumerate(labels)]
    there = [end for end in ends if end[0] >= 0]
    # of "man in car" the first one is meant
    return min(there)[2] if there else None


def of_class(found: ClassDetections, column: int) -> ClassDetections:
    """The detections that may be of a class."""
    kept = found.classes[:, column] >= LEAST
    return ClassDetections(found.boxes[kept], found.scores[kept], found.classes[kept])
