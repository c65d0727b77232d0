"""Detectors in ONNX files, run by OpenCV: YOLOX, NanoDet, and DETR, RT-DETR, D-FINE and RF-DETR.

An ONNX file does not say what its numbers mean. The layout is inferred from the shapes of its outputs (`LAYOUTS`), and
what comes out is checked: scores lie between 0 and 1 and boxes are finite. How pictures are prepared follows from the
layout, as the projects' own exports want it (general knowledge; none of their weights could be had here); a file
`preprocessor_config.json` beside the network, as transformers writes it, says otherwise. The names of the classes come
from a file of labels, the metadata of the network, a `config.json` beside it, or are COCO's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.detectors.detector import THRESHOLD, ClassDetections, distribution, select
from whenwhere.models.detectors.labels import LabelSpace, coco_labels, label_space
from whenwhere.models.detectors.onnx_file import OnnxFile, read_onnx
from whenwhere.models.detectors.opencv import network_file, opencv_errors, sha256, try_network
from whenwhere.models.detectors.pretrained import corners, read_logits
from whenwhere.readers import read_json, visible

#: Side of the pictures where the file leaves it open (that of RT-DETR, D-FINE and YOLOX), and the largest one.
SIDE, LARGEST_SIDE = 640, 2048
#: Part of every fingerprint: raised when what the same weights find changes.
VERSION = 1
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes a network's input.

    Attributes:
        mean: Subtracted from the channels, in units of 0-255.
        std: What the channels are divided by, in units of 0-255.
        bgr: Whether the channels are in the order blue, green, red.
        letterbox: Whether the picture keeps its proportions, in the upper left corner, on grey; else it is stretched.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    bgr: bool = False
    letterbox: bool = False


#: Boxes in xyxy in pixels of the network's input, scores of the best class, distributions over the classes.
Proposals = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Outputs = Sequence[NDArray[np.floating]]


@dataclass(frozen=True)
class OutputLayout:
    """What the outputs of a kind of network mean.

    Attributes:
        name: Name of the kind.
        width: Number of columns of classes that the outputs have if they are of this kind, given their shapes, the
            height and width of the input, and the number of labels if it is known; None if they are of another kind.
        read: The proposals of one picture, from the outputs, the input's height and width, and the label space.
        prepare: How its pictures are prepared.
    """

    name: str
    width: Callable[[list[tuple[int, ...]], tuple[int, int], int | None], int | None]
    read: Callable[[Outputs, tuple[int, int], LabelSpace, str], Proposals]
    prepare: Preparation


def grid(size: tuple[int, int], strides: Sequence[int], shift: float = 0.0) -> NDArray[np.float64]:
    """x, y and stride of each cell of a pyramid's maps, in the order of YOLOX and NanoDet, shape (cells, 3).

    >>> grid((16, 32), (16,)).tolist()
    [[0.0, 0.0, 16.0], [16.0, 0.0, 16.0]]
    """
    cells = []
    for s in strides:
        y, x = np.mgrid[: math.ceil(size[0] / s), : math.ceil(size[1] / s)]
        cells.append(np.stack([(x.ravel() + shift) * s, (y.ravel() + shift) * s, np.full(x.size, s)], 1))
    return np.concatenate(cells).astype(np.float64)


def _cells(size: tuple[int, int], strides: Sequence[int]) -> int:
    return sum(math.ceil(size[0] / s) * math.ceil(size[1] / s) for s in strides)


YOLOX_STRIDES = (8, 16, 32)
#: Strides of NanoDet-Plus and of its predecessor, and the shift of the centres of their cells.
NANODET_STRIDES = {(8, 16, 32, 64): 0.0, (8, 16, 32): 0.5}


def _yolox_width(shapes: list[tuple[int, ...]], size: tuple[int, int], labels: int | None) -> int | None:
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][1] != _cells(size, YOLOX_STRIDES):
        return None
    width = shapes[0][2] - 5
    return width if width > 0 and labels in (None, width) and (labels or coco_labels(width)) else None


def _read_yolox(outputs: Outputs, size: tuple[int, int], space: LabelSpace, name: str) -> Proposals:
    rows = outputs[0][0].astype(np.float64)
    cells = grid(size, YOLOX_STRIDES)
    middle, extent = rows[:, :2], rows[:, 2:4]
    # exports leave the boxes in units of cells unless they are asked to decode them
    if np.median(np.abs(middle)) < np.median(YOLOX_STRIDES) / 2:
        middle = middle * cells[:, 2:] + cells[:, :2]
        extent = np.exp(np.clip(extent, -10, 10)) * cells[:, 2:]
    scores = _shares(rows[:, 4:5] * rows[:, 5:][:, space.columns], name)
    return corners(np.concatenate([middle, extent], 1)), scores.max(-1), distribution(rows[:, 5:][:, space.columns])


def _nanodet_width(shapes: list[tuple[int, ...]], size: tuple[int, int], labels: int | None) -> int | None:
    if len(shapes) != 1 or len(shapes[0]) != 3 or not any(shapes[0][1] == _cells(size, s) for s in NANODET_STRIDES):
        return None
    width = labels or 80
    bins = shapes[0][2] - width
    return width if bins >= 8 and bins % 4 == 0 else None


def _read_nanodet(outputs: Outputs, size: tuple[int, int], space: LabelSpace, name: str) -> Proposals:
    rows = outputs[0][0].astype(np.float64)
    strides, shift = next((s, h) for s, h in NANODET_STRIDES.items() if _cells(size, s) == len(rows))
    cells = grid(size, strides, shift)
    scores = _shares(rows[:, : space.width][:, space.columns], name)
    bins = rows[:, space.width :].reshape(len(rows), 4, -1)
    odds = np.exp(bins - bins.max(-1, keepdims=True))
    reach = (odds / odds.sum(-1, keepdims=True)) @ np.arange(bins.shape[-1]) * cells[:, 2:]
    boxes = np.concatenate([cells[:, :2] - reach[:, :2], cells[:, :2] + reach[:, 2:]], 1)
    return boxes, scores.max(-1), distribution(scores)


def _pair(shapes: list[tuple[int, ...]]) -> tuple[int, int] | None:
    """Which output holds the boxes and which the logits of a DETR; None if the outputs are others."""
    if len(shapes) != 2 or any(len(s) != 3 for s in shapes) or shapes[0][1] != shapes[1][1]:
        return None
    boxes = [k for k in (0, 1) if shapes[k][2] == 4]
    return (boxes[0], 1 - boxes[0]) if len(boxes) == 1 else None


def _detr_width(shapes: list[tuple[int, ...]], size: tuple[int, int], labels: int | None) -> int | None:
    if (pair := _pair(shapes)) is None:
        return None
    width = shapes[pair[1]][2]
    if labels is not None:
        return labels if width in (labels, labels + 1) else None
    return width if coco_labels(width) else width - 1 if coco_labels(width - 1) else None


def _read_detr(outputs: Outputs, size: tuple[int, int], space: LabelSpace, name: str) -> Proposals:
    pair = _pair([o.shape for o in outputs])
    assert pair is not None
    scores, classes = read_logits(outputs[pair[1]][0], space.width, space.columns, name)
    return corners(outputs[pair[0]][0]) * [size[1], size[0], size[1], size[0]], scores, classes


def _final(shapes: list[tuple[int, ...]]) -> list[int] | None:
    """The outputs with boxes, labels and scores of an export that has chosen already; None if they are others."""
    boxes = [k for k, s in enumerate(shapes) if len(s) == 3 and s[2] == 4]
    others = [k for k, s in enumerate(shapes) if len(s) == 2]
    return [*boxes, *others] if len(boxes) == 1 and len(others) == 2 and len(shapes) == 3 else None


def _final_width(shapes: list[tuple[int, ...]], size: tuple[int, int], labels: int | None) -> int | None:
    return None if _final(shapes) is None else labels or 80


def _read_final(outputs: Outputs, size: tuple[int, int], space: LabelSpace, name: str) -> Proposals:
    order = _final([o.shape for o in outputs])
    assert order is not None
    boxes, one, other = (outputs[k][0].astype(np.float64) for k in order)
    # labels are whole numbers, scores are not
    numbers, scores = (one, other) if (one == np.round(one)).all() and one.max(initial=0) > 0 else (other, one)
    scores, at = _shares(scores, name), numbers.astype(int)
    if len(at) and not 0 <= at.min() <= at.max() < space.width:
        raise ModelError(f"{name} gives the class {int(at.max())}, but {space.place} names {space.width} classes")
    column = np.searchsorted(space.columns, at).clip(0, len(space.columns) - 1)
    known = space.columns[column] == at
    # such an export multiplies by the size that it is told (`_blank`), or gives shares of the picture
    unit = 1.0 if boxes.max(initial=0) <= 2 else float(max(size))
    boxes = boxes / unit * [size[1], size[0], size[1], size[0]]
    # only the best class is given: the rest of the probability is spread over the other classes
    count = len(space.labels)
    classes = np.repeat(((1 - scores) / max(count - 1, 1))[:, None], count, 1)
    classes[np.arange(len(at)), column] = scores if count > 1 else 1.0
    return boxes[known], scores[known], classes[known]


#: The layouts by which outputs are read, in the order in which they are tried.
LAYOUTS: list[OutputLayout] = [
    OutputLayout("YOLOX", _yolox_width, _read_yolox, Preparation(bgr=True, letterbox=True)),
    OutputLayout("NanoDet", _nanodet_width, _read_nanodet,
           Preparation((103.53, 116.28, 123.675), (57.375, 57.12, 58.395), bgr=True)),
    OutputLayout("DETR", _detr_width, _read_detr, Preparation(std=(255.0, 255.0, 255.0))),
    OutputLayout("DETR with labels", _final_width, _read_final, Preparation(std=(255.0, 255.0, 255.0))),
]  # fmt: skip


class OnnxDetector:
    """A detector from an ONNX file.

    Args:
        name: The name by which it was opened.
        path: The file.
        labels: The classes. None takes them from the network or a `config.json` beside it, or COCO's.

    Attributes:
        layout: Name of the layout by which its outputs are read.

    Raises:
        ModelError: The file is not a detector of a known layout, or the labels do not fit.
    """

    batch = 1
    device = "cpu"
    licence = "not stated"

    def __init__(self, name: str, path: Path, labels: LabelSpace | None = None) -> None:
        path = network_file(path, "a detector in an ONNX file")
        said = read_onnx(path)
        self.name, self.source = name, f"the file {path}"
        self._inputs = said.inputs
        self._picture, self._size = _picture_input(said, name)
        shapes = _tried(name, path, self._blank(), said)
        import cv2

        with opencv_errors(name):
            self._net: Any = cv2.dnn.readNetFromONNX(str(path))
        self._outputs = list(self._net.getUnconnectedOutLayersNames())
        space = labels or _own_labels(said, path)
        layout, width = find_layout(shapes, self._size, space, name)
        self._layout, self.layout = layout, layout.name
        fitting = space.fitted(width, name) if space else coco_labels(width)
        if fitting is None:
            raise ModelError(f"{name} has {width} classes, which are not COCO's: put their names into a file of labels")
        self._space, self.labels = fitting, fitting.labels
        self._prepare = _stated_preparation(path, layout.prepare, width, said)
        self.fingerprint = f"onnx-{VERSION}:{sha256(path)}:{self._prepare}:{','.join(self.labels)}"

    def detect(self, frames: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[ClassDetections]:
        """The objects in each picture; see `Detector.detect`."""
        return [self._one(frame, threshold) for frame in frames]

    def _one(self, frame: NDArray[np.uint8], threshold: float) -> ClassDetections:
        height, width = frame.shape[:2]
        blob, scale = prepare(frame, self._size, self._prepare)
        with opencv_errors(self.name):
            self._net.setInput(blob, self._picture)
            for name, value in self._blank().items():
                if name != self._picture:
                    self._net.setInput(value, name)
            out = self._net.forward(self._outputs)
        boxes, scores, classes = self._layout.read(out, self._size, self._space, self.name)
        if not np.isfinite(boxes).all():
            raise ModelError(f"{self.name} gives boxes that are not finite, so it is damaged or of another layout")
        return select(boxes / scale, scores, classes, (height, width), threshold)

    def _blank(self) -> dict[str, NDArray[np.float32]]:
        """The inputs for a black picture; a second input is the size of the picture, as RT-DETR's own exports want."""
        height, width = self._size
        values = {self._picture: np.zeros((1, 3, height, width), np.float32)}
        for name in self._inputs:
            values.setdefault(name, np.full((1, 2), max(width, height), np.float32))
        return values


def find_layout(
    shapes: list[tuple[int, ...]], size: tuple[int, int], space: LabelSpace | None, name: str
) -> tuple[OutputLayout, int]:
    """The layout that fits the shapes of a network's outputs, and its number of columns of classes.

    Args:
        shapes: Shapes of the outputs for one picture.
        size: Height and width of the network's input.
        space: The classes; None if they are not known.
        name: Name of the detector, for messages.

    Raises:
        ModelError: No layout fits, or one does only with another number of classes.
    """
    for layout in LAYOUTS:
        width = layout.width(shapes, size, space.width if space else None)
        if width is not None:
            return layout, width
    shown = ", ".join("×".join(map(str, s)) for s in shapes)
    kinds = ", ".join(layout.name for layout in LAYOUTS[:3])
    if space is not None:
        raise ModelError(
            f"the outputs of {name} ({shown}) are not those of {kinds} with the {space.width} classes that "
            f"{space.place} names: give the label file of this network, or export another detector"
        )
    raise ModelError(
        f"the outputs of {name} ({shown}) are not those of {kinds} with COCO's classes: put the names of its classes "
        "into a file of labels, or export another detector"
    )


def prepare(
    frame: NDArray[np.uint8], size: tuple[int, int], how: Preparation
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A network's input, and what boxes in its pixels are divided by to be in pixels of the frame.

    Args:
        frame: RGB picture, shape (h, w, 3).
        size: Height and width of the input.
        how: How the picture is prepared.

    Returns:
        The input, shape (1, 3, height, width), and four divisors.
    """
    import cv2

    height, width = frame.shape[:2]
    if how.letterbox:
        ratio = min(size[0] / height, size[1] / width)
        inner = max(round(height * ratio), 1), max(round(width * ratio), 1)
        picture = np.full((*size, 3), 114, np.uint8)
        picture[: inner[0], : inner[1]] = cv2.resize(frame, inner[::-1], interpolation=cv2.INTER_LINEAR)
    else:
        inner, picture = size, np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    picture = picture[..., ::-1] if how.bgr else picture
    values = (picture.astype(np.float32) - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    scale = np.array([inner[1] / width, inner[0] / height] * 2)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), scale


def _tried(name: str, path: Path, inputs: dict[str, NDArray[np.float32]], said: OnnxFile) -> list[tuple[int, ...]]:
    """The shapes of the outputs, found by running the network once; foreign operators are named if that fails."""
    try:
        return try_network(name, "onnx", path, inputs)
    except ModelError as e:
        foreign = sorted(o for o in said.operators if "." in o)
        if not foreign:
            raise
        raise ModelError(
            f"{name} uses the operator {visible(foreign[0])[:80]}, which OpenCV does not know: export it with the "
            "operators of ONNX alone"
        ) from e


def _shares(scores: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """The scores, if they are such.

    Raises:
        ModelError: One is not finite, or clearly below 0 or above 1.
    """
    if scores.size and not (scores.min() >= -1e-3 and scores.max() <= 1 + 1e-3):
        raise ModelError(f"{name} gives scores that are not between 0 and 1, so its layout is another one")
    return scores.clip(0, 1)


def _picture_input(said: OnnxFile, name: str) -> tuple[str, tuple[int, int]]:
    """Name, height and width of the input that takes the picture."""
    pictures = [(n, s) for n, s in said.inputs.items() if len(s) == 4 and s[1] == 3]
    others = [s for s in said.inputs.values() if len(s) == 2 and s[1] in (0, 2)]
    if len(pictures) != 1 or len(said.inputs) != 1 + len(others) or len(others) > 1:
        shown = ", ".join(f"{n} {'×'.join(str(v or '?') for v in s)}" for n, s in list(said.inputs.items())[:4])
        raise ModelError(f"{name} takes {shown}, not one picture of 3 channels, so it is not a detector")
    input_name, (_, _, height, width) = pictures[0]
    height, width = height or SIDE, width or SIDE
    if max(height, width) > LARGEST_SIDE:
        raise ModelError(
            f"{name} takes pictures of {width}×{height} pixels, more than {LARGEST_SIDE}: export it smaller"
        )
    return input_name, (height, width)


def _own_labels(said: OnnxFile, path: Path) -> LabelSpace | None:
    """The classes that a configuration of transformers beside the network names."""
    config = path.with_name("config.json")
    if not config.is_file():
        return None
    named = read_json(config, ModelError)
    named = named.get("id2label") if isinstance(named, dict) else None
    if not isinstance(named, dict) or not all(isinstance(k, str) and k.isdecimal() for k in named):
        return None
    numbers = sorted(map(int, named))
    if numbers != list(range(len(numbers))):
        return None
    return label_space([str(named[str(n)]) for n in numbers], str(config))


def _stated_preparation(path: Path, usual: Preparation, width: int, said: OnnxFile) -> Preparation:
    """The layout's preparation, changed by a `preprocessor_config.json` and by what single exports are known for."""
    config = path.with_name("preprocessor_config.json")
    if not usual.letterbox and not usual.bgr and config.is_file():
        value = read_json(config, ModelError)
        if isinstance(value, dict) and value.get("do_normalize") is not False:
            mean, std = value.get("image_mean"), value.get("image_std")
            if (
                isinstance(mean, list)
                and isinstance(std, list)
                and _is_triple(mean)
                and _is_triple(std)
                and min(std) > 0
            ):
                return replace(usual, mean=tuple(255 * m for m in mean), std=tuple(255 * s for s in std))
        return usual
    # RF-DETR's own exports name their outputs so; the first DETR has 92 columns
    if {"dets", "labels"} <= set(said.outputs) or (width == 91 and "pred_boxes" in said.outputs):
        mean, std = _IMAGENET
        return replace(usual, mean=tuple(255 * m for m in mean), std=tuple(255 * s for s in std))
    return usual


def _is_triple(value: list[Any]) -> bool:
    return len(value) == 3 and all(isinstance(v, int | float) for v in value)
