"""Boxes by frame number, as the tube sets release them, to `Tube`: built from arrays once, one box per frame.

Frame n (from 0) of a set that counts `fps` frames a second is shown at n / fps seconds; frames [begin, end) are the
span [begin / fps, end / fps), and rint(time * fps) gives the frame back. What is no box (no width, no height, not
finite) is left out and counted, because a tube of the definitions has no such thing; the frame then has no box, and
an absence is what it is.
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


def whole(value: Any, place: str, least: int = 0) -> int:
    """`value` as a whole number of at least `least`.

    Raises:
        RecordError: it is none; names the place.

    >>> whole(3.0, "x")
    3
    """
    found = number(value, place)
    if found != int(found) or not least <= found < 2**53:
        raise RecordError(f"{place} is {found:g} where a whole number from {least} on is expected; mend that entry")
    return int(found)


def rate(value: Any, place: str) -> float:
    """`value` as frames per second.

    Raises:
        RecordError: it is not above 0; names the place.
    """
    found = number(value, place)
    if not 1e-3 <= found <= 1e6:
        raise RecordError(f"{place} is {found:g} where frames per second are expected; mend that entry")
    return found


def numbers(rows: Any, place: str) -> NDArray[np.float64]:
    """(n, 4) float64 from a list of rows of four numbers.

    Raises:
        RecordError: it is none; names the place.

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
    """(n, 4) left, top, width, height to xyxy; `first` is the coordinate of the first pixel's edge in the release.

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
    """A tube from one box per frame, and how many were left out because they are none.

    Args:
        frames: (n,) frame numbers from 0, increasing; those outside `span` do not belong to the tube.
        boxes: (n, 4) xyxy pixels.
        fps: frames per second.
        span: frames [begin, end); None means from the first box to the last.
        id: name of the object.
        label: what it is.

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
    r"""(n, 4) numbers, one box per line, separated by commas, tabs or spaces; `nan` stands for no box.

    Raises:
        RecordError: a line that does not hold four numbers; names it.

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
    r"""(n,) flags of a file of 0 and 1, one per frame, separated by lines, commas or spaces.

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
