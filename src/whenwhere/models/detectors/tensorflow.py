"""SSD detectors of TensorFlow's model zoo, run by OpenCV: a frozen graph (.pb) and its text graph (.pbtxt).

The text graphs that OpenCV's script `tf_text_graph_ssd.py` writes end in a layer that suppresses doubles and keeps one
label for each box. That layer is cut off: the scores of all classes at each of the network's anchors are read instead,
and boxes are decoded and doubles removed here. The coding of boxes is SSD's (Liu et al. 2016, section 2.2), with the
variances that the graph states.

The graph of the extra `[objects]` is run by OpenVINO where that is installed; OpenCV then only tells the anchors.
"""

import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import ModelError
from whenwhere.models.detectors.detector import THRESHOLD, ClassDetections, distribution, select
from whenwhere.models.detectors.labels import LabelSpace, coco_labels
from whenwhere.models.detectors.opencv import network_file, opencv_errors, sha256, try_network
from whenwhere.models.detectors.openvino import Network, ssd_network
from whenwhere.readers import read_text

#: Side of the pictures that the network looks at, if its text graph does not say; and the largest one.
SIDE, LARGEST_SIDE = 300, 2048
#: How a text graph is made, as the end of a sentence.
REMEDY = "make it from the frozen graph by OpenCV's tf_text_graph_ssd.py"
#: Largest file of a text graph in bytes.
LONGEST = 16 << 20
#: Largest width and height of a box in units of its anchor, as a power of e.
LARGEST_LOG = 10.0


class SsdDetector:
    """An SSD detector from a frozen TensorFlow graph.

    Args:
        name: The name by which it was opened.
        graph: The frozen graph, a `.pb` file.
        config: Its text graph, a `.pbtxt` file.
        labels: The classes. None means those of COCO, if the number of columns is COCO's.
        licence: Licence of the weights, in words.
        source: Where the weights come from, in words.
        trusted: Whether the files are known to be whole, so that they need not be tried in a process of their own, and
            may be given to OpenVINO.

    Raises:
        ModelError: The files are not an SSD detector, or the labels do not fit.
    """

    batch = 4
    device = "cpu"

    def __init__(
        self,
        name: str,
        graph: Path,
        config: Path,
        labels: LabelSpace | None = None,
        licence: str = "not stated",
        source: str = "",
        trusted: bool = False,
    ) -> None:
        self.name, self.licence, self.source = name, licence, source or f"the file {graph}"
        graph = network_file(graph, "a frozen graph of TensorFlow")
        config = network_file(config, "the text graph of an SSD detector")
        if config.stat().st_size > LONGEST:
            raise ModelError(f"{config} is larger than {LONGEST >> 20} MiB and not the text graph of an SSD detector")
        parts = _split(read_text(config, ModelError, REMEDY), str(config))
        self._side = parts.side
        if not trusted:
            blank = np.zeros((1, 3, parts.side, parts.side), np.float32)
            try_network(name, "tensorflow", graph, {"": blank}, parts.text)
        import cv2

        with opencv_errors(name):
            self._net: Any = cv2.dnn.readNetFromTensorflow(
                np.fromfile(graph, np.uint8), np.frombuffer(parts.text.encode(), np.uint8)
            )
        self._outputs = list(self._net.getUnconnectedOutLayersNames())
        if set(self._outputs) != set(parts.outputs):
            raise ModelError(f"{config} does not end in boxes, scores and anchors, so it is not an SSD detector's")
        self._order = [self._outputs.index(o) for o in parts.outputs]
        self._graph = graph if trusted else None
        blank = np.zeros((1, 3, parts.side, parts.side), np.float32)
        _, scores, (self._anchors, self._variances) = self._by_opencv(blank)
        width = scores.shape[-1]
        space = labels or coco_labels(width)
        if space is None:
            raise ModelError(f"{name} has {width} classes, which are not COCO's: put their names into a file of labels")
        space = space.fitted(width, name)
        self.labels, self._columns = space.labels, space.columns
        self.fingerprint = f"ssd-1:{sha256(graph)}:{sha256(config)}:{','.join(self.labels)}"

    @cached_property
    def _by_openvino(self) -> Network | None:
        """The network as OpenVINO runs it; made for the first picture, since that takes a second."""
        found = ssd_network(self._graph, self.name) if self._graph is not None else None
        if found is not None:
            self._net = None  # some 100 MB that are no longer needed
        return found

    @property
    def runtime(self) -> str:
        """What runs the network, in words."""
        return "OpenCV" if self._by_openvino is None else "OpenVINO"

    def detect(self, frames: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[ClassDetections]:
        """The objects in each picture; see `Detector.detect`."""
        import cv2

        run = self._by_openvino or self._by_opencv
        found: list[ClassDetections] = []
        for k in range(0, len(frames), self.batch):
            part = frames[k : k + self.batch]
            height, width = part.shape[1:3]
            pictures = np.asarray(cv2.dnn.blobFromImages(list(part), 1.0, (self._side, self._side)), np.float32)
            codes, scores, *_ = run(pictures)
            for code, named in zip(codes, scores[..., self._columns], strict=True):
                top = named.max(-1)
                likely = np.flatnonzero(top >= threshold)
                boxes = decode(code[likely], self._anchors[likely], self._variances[likely])
                boxes *= [width, height, width, height]
                found.append(select(boxes, top[likely], distribution(named[likely]), (height, width), threshold))
        return found

    def _by_opencv(self, pictures: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Codes (n, anchors, 4), scores (n, anchors, columns), and anchors with their variances (2, anchors, 4)."""
        with opencv_errors(self.name):
            self._net.setInput(pictures)
            out = self._net.forward(self._outputs)
        codes, scores, anchors = (out[k] for k in self._order)
        count = anchors.size // 8
        if not count or codes.size != len(pictures) * count * 4 or scores.size % (len(pictures) * count):
            raise ModelError(f"{self.name} gives {codes.size} codes for {count} anchors, so it is not an SSD detector")
        return (
            codes.reshape(len(pictures), count, 4),
            scores.reshape(len(pictures), count, -1),
            anchors.reshape(2, count, 4),
        )


def decode(
    codes: NDArray[np.floating], anchors: NDArray[np.floating], variances: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Boxes from the codes of SSD: shifts of the centre in sizes of the anchor, and logarithms of the size.

    Args:
        codes: Shape (n, 4): shift in x and y, logarithm of width and height.
        anchors: Boxes in xyxy, shape (n, 4), in any unit.
        variances: What the codes are multiplied by, shape (n, 4).

    Returns:
        Boxes in xyxy in the unit of the anchors, shape (n, 4).

    >>> decode(np.array([[1.0, 0, 0, 0]]), np.array([[0.0, 0, 10, 20]]), np.array([[0.1, 0.1, 0.2, 0.2]])).tolist()
    [[1.0, 0.0, 11.0, 20.0]]
    """
    size = (anchors[:, 2:] - anchors[:, :2]).astype(np.float64)
    middle = (anchors[:, 2:] + anchors[:, :2]) / 2 + codes[:, :2] * variances[:, :2] * size
    half = size * np.exp(np.clip(codes[:, 2:] * variances[:, 2:], -LARGEST_LOG, LARGEST_LOG)) / 2
    return np.concatenate([middle - half, middle + half], 1)


class _TextGraph(NamedTuple):
    """A text graph without its last layer: its text, the inputs of that layer, and the side of the pictures."""

    text: str
    outputs: tuple[str, str, str]
    side: int


def _split(text: str, place: str) -> _TextGraph:
    nodes = re.split(r"^(?=node\b|library\b)", text, flags=re.M)
    last = [n for n in nodes if re.search(r'^\s*op:\s*"DetectionOutput"', n, re.M)]
    inputs = re.findall(r'^\s*input:\s*"([^"]*)"', last[0], re.M) if len(last) == 1 else []
    if len(inputs) != 3:
        raise ModelError(f"{place} has no layer DetectionOutput with three inputs: {REMEDY}")
    side = SIDE
    for node in nodes:
        if re.search(r'^\s*op:\s*"Placeholder"', node, re.M):
            sizes = [int(s) for s in re.findall(r"^\s*size:\s*(-?\d{1,9})$", node, re.M)]
            side = sizes[1] if len(sizes) == 4 and sizes[1] > 0 else SIDE
    if side > LARGEST_SIDE:
        raise ModelError(f"{place} asks for pictures of {side} pixels, more than {LARGEST_SIDE}: {REMEDY}")
    boxes, scores, anchors = inputs
    return _TextGraph("".join(n for n in nodes if n is not last[0]), (boxes, scores, anchors), side)
