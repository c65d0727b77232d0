"""From a name to a detector: `open_detector`, the only place where a name decides which back end opens."""

import os
from collections.abc import Sequence
from pathlib import Path

from whenwhere.errors import SettingError
from whenwhere.models.detectors.detector import Detector
from whenwhere.models.detectors.labels import LabelSpace, label_space, read_labels
from whenwhere.models.detectors.package import SSD, open_ssd
from whenwhere.models.detectors.tensorflow import SsdDetector

#: Name of a file of labels that belongs to all networks of its folder.
LABELS = "labels.txt"


def open_detector(
    name: str, labels: Sequence[str] | str | os.PathLike[str] | None = None, device: str | None = None
) -> Detector:
    """Open a detector by name.

    Args:
        name: `ssd` (the extra `[objects]`), or the path of a frozen TensorFlow graph (`.pb`, with its `.pbtxt` beside
            it).
        labels: The names of the classes, or a file with one on each line. None takes the file beside the network with
            its name and the ending `.txt`, then `labels.txt`, then COCO's classes.
        device: Where the detector runs. None takes an accelerator if there is one; OpenCV runs on the CPU.

    Raises:
        MissingExtraError: The package of the detector is not installed.
        ModelError: The files are not those of a detector, or the labels do not fit.
        SettingError: There is no detector of this name.
    """
    if name == SSD:
        return open_ssd()
    path = Path(name).expanduser()
    if path.suffix == ".pb":
        return SsdDetector(name, path, path.with_suffix(".pbtxt"), _labels(path, labels))
    raise SettingError(f"there is no detector {name!r}: write ssd, or the path of a network's file")


def _labels(path: Path, labels: Sequence[str] | str | os.PathLike[str] | None) -> LabelSpace | None:
    """The classes that were named, or those of a file beside the network."""
    if isinstance(labels, str | os.PathLike):
        return read_labels(labels)
    if labels is not None:
        return label_space(labels, "the list of labels")
    for file in (path.with_suffix(".txt"), path.with_name(LABELS)):
        if file.is_file():
            return read_labels(file)
    return None
