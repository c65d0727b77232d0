"""Label spaces: the 80 classes of COCO, and files of labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.readers import quoted, read_text, visible

#: The 80 classes of COCO detection, in the order of their ids.
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier",
    "toothbrush",
)  # fmt: skip
#: Ids from 1 to 90 that COCO's detection classes leave out.
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
#: The ids of the classes, from 1 to 90.
COCO_IDS = tuple(i for i in range(1, 91) if i not in _UNUSED)
#: What a line of a label file says for a column of the network that is not a class.
NO_CLASS = ("", "n/a", "na", "???", "none", "background")
#: COCO's names for classes that many checkpoints call as Pascal VOC does.
SPELLINGS = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv", "cellphone": "cell phone", "hair dryer": "hair drier",
}  # fmt: skip
#: Longest file of labels in bytes.
LONGEST = 1 << 20


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """The classes of a network, and the columns of its output that belong to them.

    Attributes:
        labels: Names of the classes in lower case.
        columns: Index of the column of each class, shape (number of labels,).
        width: Number of columns.
        place: Where the names come from, for messages.
    """

    labels: tuple[str, ...]
    columns: NDArray[np.intp]
    width: int
    place: str

    def fitted(self, width: int, name: str) -> "LabelSpace":
        """The same classes for an output of `width` columns; the first column may be an unnamed background.

        Args:
            width: Number of columns that the network has.
            name: Name of the detector, for messages.

        Raises:
            ModelError: There are more or fewer names than columns.
        """
        if self.width == width:
            return self
        if self.width == width - 1:
            return replace(self, columns=self.columns + 1, width=width)
        raise ModelError(
            f"{self.place} names {self.width} classes but {name} has {width}: give the label file of this network"
        )


def label_space(names: Sequence[str], place: str) -> LabelSpace:
    """The label space of a network whose columns have these names.

    Args:
        names: The name of each column; one of `NO_CLASS` marks a column that is not a class.
        place: Where the names come from, for messages.

    Raises:
        ModelError: There is no name, or one occurs twice.

    >>> space = label_space(["background", "Person", "N/A", "car"], "labels.txt")
    >>> space.labels, space.columns.tolist()
    (('person', 'car'), [1, 3])
    """
    plain = [" ".join(name.casefold().replace("_", " ").split()) for name in names]
    plain = [SPELLINGS.get(name, name) for name in plain]
    used = [i for i, name in enumerate(plain) if name not in NO_CLASS]
    labels = tuple(plain[i] for i in used)
    if not labels:
        raise ModelError(f"{place} names no class: write one name on each line, in the order of the classes")
    if len(set(labels)) < len(labels):
        double = next(name for name in labels if labels.count(name) > 1)
        raise ModelError(f"{place} names the class {quoted(double)} twice: each class needs a name of its own")
    return LabelSpace(labels, np.array(used, np.intp), len(names), place)


def read_labels(path: str | os.PathLike[str]) -> LabelSpace:
    """The label space of a file with one name on each line.

    Raises:
        ModelError: The file is not such a text, is larger than 1 MiB, or a name occurs twice.
    """
    shown = visible(os.fspath(path))
    remedy = "write one class name on each line, in the order of the classes"
    try:
        large = os.stat(path).st_size > LONGEST
    except OSError as e:
        raise ModelError(f"cannot read the labels {shown}: {e.strerror or e}; {remedy}") from e
    if large:
        raise ModelError(f"{shown} is larger than {LONGEST >> 20} MiB and not a file of labels: {remedy}")
    return label_space(read_text(path, ModelError, remedy).rstrip("\n").split("\n"), shown)


def coco_labels(width: int) -> LabelSpace | None:
    """The classes of COCO for an output of so many columns; None if COCO has no such numbering.

    Args:
        width: 80 for the classes alone, 90 or 91 for COCO's ids without or with a background.

    >>> coco_labels(91).columns[:2].tolist(), len(coco_labels(91).labels), coco_labels(20)
    ([1, 2], 80, None)
    """
    ids = {80: range(80), 90: (i - 1 for i in COCO_IDS), 91: COCO_IDS}.get(width)
    return None if ids is None else LabelSpace(COCO, np.fromiter(ids, np.intp), width, "COCO")
