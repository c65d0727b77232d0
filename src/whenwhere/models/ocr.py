"""Reads the text in pictures: RapidOCR with PP-OCRv6 (small), run by OpenVINO.

The networks come with the package `rapidocr` of the extra `[text]`; both are Apache-2.0. They read Latin and
Chinese letters, among others. Nothing is downloaded: the files of the package are named to it one by one.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import MissingExtraError, ModelError
from whenwhere.models.detectors.openvino import load_openvino
from whenwhere.models.detectors.package import carried_folder

PACKAGE, EXTRA = "rapidocr", "text"
#: The files that find lines and read them, and the SHA-256 of each.
FILES = {
    "PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    "PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}
LICENCE = "Apache-2.0"
#: Longest side in pixels at which lines are looked for.
SIDE = 960
#: What boxes have around the letters on each side, as a share of the shorter side (seen on rendered text).
_MARGIN = 0.2
REPAIR = f"pip install --force-reinstall '{PACKAGE}>=3.10,<3.11'"


@dataclass(frozen=True)
class TextLines:
    """The lines of text of one picture, in reading order.

    Attributes:
        boxes: Boxes around them, xyxy in pixels, shape (n, 4).
        texts: What they say.
        scores: How surely they were read, from 0 to 1, shape (n,).
    """

    boxes: NDArray[np.float64]
    texts: tuple[str, ...]
    scores: NDArray[np.float32]


def is_installed() -> bool:
    """Whether the package of the extra `[text]` is there; whether it is whole is not looked at.

    >>> isinstance(is_installed(), bool)
    True
    """
    try:
        return find_spec(PACKAGE) is not None
    except (ImportError, ValueError):
        return False


class TextReader:
    """Finds and reads lines of text. One object of this kind is used by one thread at a time."""

    #: Text that changes when the networks change, for keys of caches.
    fingerprint = f"rapidocr-3:{':'.join(FILES.values())}:{SIDE}"

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read(self, picture: NDArray[np.uint8]) -> TextLines:
        """The lines of text in a picture.

        Args:
            picture: RGB picture, shape (h, w, 3).
        """
        found = self._engine(np.ascontiguousarray(picture[:, :, ::-1]))
        if found.boxes is None or not found.txts:
            return TextLines(np.zeros((0, 4)), (), np.zeros(0, np.float32))
        corners = np.asarray(found.boxes, float)
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        margin = _MARGIN * np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]
        boxes += np.concatenate([margin, margin, -margin, -margin], 1)
        order = reading_order(boxes)
        scores = np.asarray(found.scores, np.float32)
        return TextLines(boxes[order], tuple(str(found.txts[k]) for k in order), scores[order])


def reading_order(boxes: NDArray[np.float64]) -> NDArray[np.intp]:
    """The order in which lines of text are read: sign by sign, and in each from top to bottom and left to right.

    Lines belong to one sign if one begins close below the other, or close beside it on the same height.

    Args:
        boxes: xyxy boxes of the lines, shape (n, 4).

    >>> left, right = [[0, 0, 50, 10], [0, 12, 50, 22]], [[90, 5, 140, 15], [90, 17, 140, 27]]
    >>> reading_order(np.array([left[0], right[0], left[1], right[1]], float)).tolist()
    [0, 2, 1, 3]
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    # the gap between two lines in x and y; negative where they overlap
    gap = np.maximum(low, low.swapaxes(0, 1)) - np.minimum(high, high.swapaxes(0, 1))
    height = np.minimum(*np.meshgrid(boxes[:, 3] - boxes[:, 1], boxes[:, 3] - boxes[:, 1]))
    together = ((gap[..., 0] < 0) & (gap[..., 1] < height)) | ((gap[..., 0] < 2 * height) & (gap[..., 1] < -height / 2))
    sign = np.arange(len(boxes))
    for k in range(len(boxes)):
        joined = np.isin(sign, sign[together[k]])
        sign[joined] = sign[joined].min(initial=k)
    top = np.array([boxes[sign == s, 1].min() for s in sign]).reshape(-1)
    # lines on one height are read from left to right
    row = boxes[:, 1].copy()
    for k in np.argsort(boxes[:, 1], kind="stable"):
        beside = (gap[k, :, 1] < -height[k] / 2) & (sign == sign[k])
        row[k] = row[beside].min(initial=row[k])
    return np.lexsort((boxes[:, 0], row, sign, top))


@lru_cache(maxsize=1)
def open_text_reader() -> TextReader:
    """The reader of the extra `[text]`, opened once.

    Raises:
        MissingExtraError: The package or OpenVINO is not installed.
        ModelError: The package is not whole, or OpenVINO cannot run its networks.
    """
    # OpenVINO is imported first, without what it tells its makers
    if not is_installed() or load_openvino() is None:
        raise MissingExtraError(PACKAGE if not is_installed() else "openvino", EXTRA, "reading text in videos")
    folder = carried_folder(PACKAGE, PACKAGE, FILES, REPAIR)
    try:
        from rapidocr import EngineType, RapidOCR

        from whenwhere.video.read import cores

        names = list(FILES)
        engine = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "critical",
                "EngineConfig.openvino.inference_num_threads": cores(),
                "Det.engine_type": EngineType.OPENVINO,
                "Rec.engine_type": EngineType.OPENVINO,
                "Cls.engine_type": EngineType.OPENVINO,
                "Det.model_path": str(folder / names[0]),
                "Rec.model_path": str(folder / names[1]),
                "Det.limit_type": "max",
                "Det.limit_side_len": SIDE,
            }
        )
        reader = TextReader(engine)
        # its networks are loaded when they are first needed, and a broken runtime fails only then
        reader.read(_word())
        return reader
    except Exception as e:  # the package has no errors of its own: a wrong version or a broken part raises anything
        raise ModelError(
            f"the package {PACKAGE} cannot be used ({type(e).__name__}: {_first_line(e)}): {REPAIR}"
        ) from e


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _word() -> NDArray[np.uint8]:
    """A picture with a word in it."""
    picture = np.full((64, 200, 3), 40, np.uint8)
    cv2.putText(picture, "EXIT", (40, 45), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (240, 240, 240), 2)
    return picture
