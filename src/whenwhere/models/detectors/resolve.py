"""From a name to a detector: `open_detector`, the only place where a name decides which back end opens."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from whenwhere.errors import MissingExtraError, ModelError, SettingError
from whenwhere.models.detectors import package
from whenwhere.models.detectors.detector import Detector
from whenwhere.models.detectors.labels import COCO, LabelSpace, label_space, read_labels
from whenwhere.models.detectors.onnx import OnnxDetector
from whenwhere.models.detectors.open_vocabulary import OpenVocabularyDetector
from whenwhere.models.detectors.package import SSD, open_ssd
from whenwhere.models.detectors.pretrained import PretrainedDetector
from whenwhere.models.detectors.tensorflow import SsdDetector
from whenwhere.models.pretrained import load_config

Labels = Sequence[str] | str | os.PathLike[str] | None

#: Name of a file of labels that belongs to all networks of its folder.
LABELS = "labels.txt"
#: Back ends of OpenCV by the ending of the network's file.
FILES: dict[str, Callable[[str, Path, LabelSpace | None], Detector]] = {
    ".onnx": OnnxDetector,
    ".pb": lambda name, path, labels: SsdDetector(name, path, path.with_suffix(".pbtxt"), labels),
}
#: Open-vocabulary back ends by the `model_type` of a checkpoint; any other type has classes of its own.
OPEN_VOCABULARY: dict[str, Callable[..., Any]] = dict.fromkeys(OpenVocabularyDetector.KINDS, OpenVocabularyDetector)
#: Endings of files that are pickles, which may run any code when they are loaded.
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")


def open_detector(name: str, labels: Labels = None, device: str | None = None) -> Detector:
    """Open a detector by name.

    Args:
        name: `ssd` (the extra `[objects]`); the path of an ONNX file (YOLOX, NanoDet, RT-DETR, D-FINE, RF-DETR ...) or
            of a frozen TensorFlow graph (`.pb`, with its `.pbtxt` beside it); or a folder or hub id of a checkpoint of
            transformers, with fixed classes (DETR, RT-DETR, D-FINE ...) or open-vocabulary (Grounding DINO, OWLv2,
            SAM 3).
        labels: The names of the classes, or a file with one on each line. For a network's file, None takes the file
            beside it with its name and the ending `.txt`, then `labels.txt`, then COCO's classes. An open-vocabulary
            detector looks for these labels, by default COCO's. Other detectors know their labels themselves.
        device: Where a checkpoint runs. None takes an accelerator if there is one. OpenCV runs on the CPU.

    Raises:
        MissingExtraError: The package of the detector is not installed.
        ModelError: The files are not those of a detector, or the labels do not fit.
        SettingError: There is no detector of this name, or it takes no labels.
    """
    check_detector_name(name)
    if name == SSD:
        if labels is not None:
            raise SettingError(f"the detector {SSD} has COCO's classes: give no labels with it")
        return open_ssd()
    path = Path(name).expanduser()
    if is_network_name(name):
        return FILES[path.suffix](name, path, _labels(path, labels))
    folder = str(path) if path.is_dir() else name
    kind = load_config(folder).model_type
    if kind in OPEN_VOCABULARY:
        given = _labels(path, labels) if isinstance(labels, str | os.PathLike) else None
        words = given.labels if given is not None else labels or COCO
        return OPEN_VOCABULARY[kind](folder, labels=words, device=device)
    if labels is not None:
        raise SettingError(f"{name} names its classes itself: give no labels with it")
    return PretrainedDetector(folder, device=device)


def is_network_name(name: str) -> bool:
    """Whether a detector of this name is run by OpenCV: `ssd`, or the file of a network.

    >>> is_network_name("ssd"), is_network_name("facebook/detr-resnet-50")
    (True, False)
    """
    path = Path(name).expanduser()
    return name == SSD or (path.suffix in FILES and not path.is_dir())


def check_detector_name(name: str) -> None:
    """Raise now what is wrong with a name, as far as it can be told without loading anything.

    Raises:
        MissingExtraError: The package of the detector is not installed.
        ModelError: The name is that of a file of another kind.
        SettingError: The name is empty or an address.
    """
    path = Path(name).expanduser()
    if "://" in name:
        raise SettingError(f"a detector runs in this process: name a folder or a hub id instead of {name}")
    if not name.strip():
        raise SettingError(
            f"there is no detector {name!r}: a detector is {SSD}, a network's file, a folder or a hub id"
        )
    if name == SSD and not package.is_installed():
        raise MissingExtraError(package.PACKAGE, "objects", f"the detector {SSD}")
    if is_network_name(name):
        return
    if path.suffix in PICKLES:
        raise ModelError(f"{name} is a pickle, which may run any code and is not loaded: export it to ONNX")
    if path.is_file():
        raise ModelError(f"{name} is not a network that can be read: name a file that ends in {' or '.join(FILES)}")
    if "/" not in name and not path.is_dir():
        raise SettingError(
            f"there is no detector {name!r}: a detector is {SSD}, a network's file, a folder or a hub id"
        )
    for needed in ("torch", "torchvision", "transformers"):
        if find_spec(needed) is None:
            raise MissingExtraError(needed, "vlm", f"the detector {name}")


def _labels(path: Path, labels: Labels) -> LabelSpace | None:
    """The classes that were named, or those of a file beside the network."""
    if isinstance(labels, str | os.PathLike):
        return read_labels(labels)
    if labels is not None:
        return label_space(labels, "the list of labels")
    for file in (path.with_suffix(".txt"), path.with_name(LABELS)):
        if file.is_file():
            return read_labels(file)
    return None
