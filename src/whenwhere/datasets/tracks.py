"""Converts boxes by frame number, as tracking and tube benchmarks release them, to a `Tube`.

Frame n (from 0) at `fps` frames a second is shown at n / fps seconds. Frames [begin, end) are the span
[begin / fps, end / fps), and rint(time * fps) gives the frame number back. Invalid boxes (no width, no height, or not
finite) are left out and counted, because a `Tube` cannot hold them; such a frame has no box.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.release import number
from whenwhere.errors import RecordError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


def whole(value: Any, place: str, least: int = 0, most: int = 2**53) -> int:
    """`value` as a whole number from `least` to `most`.

    Raises:
        RecordError: The value is not such a number; the message begins with `place`.

    >>> whole(3.0, "x")
    3
    """
    found = number(value, place)
    if found != int(found) or not least <= found <= most:
        upto = "on" if most == 2**53 else f"to {most}"
        raise RecordError(f"{place} is {found:g} where a whole number from {least} {upto} is expected; mend that entry")
    return int(found)


def rate(value: Any, place: str) -> float:
    """`value` as a frame rate in frames per second.

    Raises:
        RecordError: The value is not a number above 0; the message begins with `place`.
    """
    found = number(value, place)
    if not 1e-3 <= found <= 1e6:
        raise RecordError(f"{place} is {found:g} where frames per second are expected; mend that entry")
    return found


def numbers(rows: Any, place: str) -> NDArray[np.float64]:
    """A list of n rows of four numbers as an array of shape (n, 4), float64.

    Raises:
        RecordError: The value is not such a list; the message begins with `place`.

    >>> numbers([[1, 2, 3, 4]], "x").shape, numbers([], "x").shape
    ((1, 4), (0, 4))
    """
    try:
        table = np.array(rows, np.float64)
    except (ValueError, TypeError, OverflowError):
        table = np.zeros(1)
    if not table.size and isinstance(rows, list) and not rows:
        return np.zeros((0, 4))
    if table.ndim != 2 or table.shape[1] != 4:
        raise RecordError(f"{place} is no list of boxes of four numbers; mend or remove that entry")
    return table


def from_xywh(boxes: ArrayLike, first: float = 0.0) -> NDArray[np.float64]:
    """Boxes of shape (n, 4), converted from left, top, width, height to xyxy pixels.

    `first` is the coordinate that the release gives to the left edge of the first pixel: 0, or 1 if it counts from 1.

    >>> from_xywh([[1, 1, 10, 20]], first=1).tolist()
    [[0.0, 0.0, 10.0, 20.0]]
    """
    out = np.array(boxes, np.float64).reshape(-1, 4)
    out[:, :2] -= first
    out[:, 2:] += out[:, :2]
    return out


def frame_tube(
    frames: ArrayLike,
    boxes: NDArray[np.float64],
    fps: float,
    span: tuple[int, int] | None = None,
    id: str = "0",
    label: str | None = None,
) -> tuple[Tube, int]:
    """A tube from one box per frame, and the number of boxes left out because they are invalid.

    Args:
        frames: Frame numbers from 0, increasing, shape (n,). Frames outside `span` are not part of the tube.
        boxes: Boxes in xyxy pixels, shape (n, 4).
        fps: Frames per second.
        span: The frames [begin, end) that the tube covers. None means from the first box to the last.
        id: Name of the object.
        label: Category of the object, if it is known.

    >>> tube, dropped = frame_tube([4, 5, 6], np.array([[0, 0, 2, 2], [0, 0, 0, 2], [0, 0, 2, 2.0]]), 2)
    >>> tube.spans, tube.times.tolist(), dropped
    (SpanSet([2, 3.5)), [2.0, 3.0], 1)
    """
    n = np.asarray(frames, np.int64)
    good = valid_boxes(boxes)
    if span is None:
        span = (int(n[0]), int(n[-1]) + 1) if len(n) else (0, 0)
    inside = (n >= span[0]) & (n < span[1])
    keep = good & inside
    spans = SpanSet([(span[0] / fps, span[1] / fps)] if span[0] < span[1] else [])
    return Tube(spans, n[keep] / fps, boxes[keep], rate=fps, id=id, label=label), int((inside & ~good).sum())


def read_box_lines(text: str, place: str) -> NDArray[np.float64]:
    r"""Boxes from text with one box per line, shape (n, 4); `nan` stands for a missing box.

    The four numbers of a line may be separated by commas, tabs or spaces.

    Raises:
        RecordError: A line does not hold four numbers; the message names it.

    >>> read_box_lines("1,2,3,4\n5 6 7 8\n", "gt.txt").shape
    (2, 4)
    """
    rows = [line for line in text.replace(",", " ").replace("\t", " ").split("\n") if line.strip()]
    try:
        table = np.array([row.split() for row in rows], np.float64).reshape(len(rows), -1)
    except ValueError:
        table = np.zeros((len(rows), 0))
    if rows and table.shape[1] != 4:
        bad = next((i for i, row in enumerate(rows) if not _is_box(row)), 0)
        raise RecordError(f"{place}, line {bad + 1} is no box of four numbers: give the released file again")
    return table.reshape(-1, 4)


def _is_box(row: str) -> bool:
    try:
        return len([float(x) for x in row.split()]) == 4
    except ValueError:
        return False


def read_flags(text: str) -> NDArray[np.bool_]:
    r"""Flags from text of 0s and 1s, one per frame, shape (n,); separated by line breaks, commas or spaces.

    >>> read_flags("0,1\n1").tolist()
    [False, True, True]
    """
    return np.array([float(x) != 0 for x in text.replace(",", " ").split()], bool)


def folder(path: Path, title: str) -> Path:
    """The path unchanged, after a check that it is a folder.

    Args:
        path: The folder of a released data set, as the user gave it.
        title: Name of the data set, for the error message.

    Raises:
        RecordError: The path is not a folder.
    """
    if not path.is_dir():
        raise RecordError(f"{path} is not a folder: give the folder of {title} as it was released")
    return path
