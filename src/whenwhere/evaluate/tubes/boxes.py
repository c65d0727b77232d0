"""Many tubes as flat arrays: gathering boxes of truths and answers, and filling answers at the frames that count.

All protocols of this package compare boxes in two flat arrays, tube after tube. Answers are filled linearly by the
rules of `whenwhere.tubes` (nothing is filled across an absence; the first and the last box are held, but only inside
the answered time), so that a second-level answer can be counted on frames. An answer with a box on a frame keeps
exactly that box, so dense answers in a native format are compared as they are.

Lookups run on integer keys (tube, microsecond) over whole arrays; there is no loop over frames, and the work is cut
into blocks of tubes so that memory stays small however large the file is.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.tubes import GAP

Floats = NDArray[np.float64]
Index = NDArray[np.int64]

#: Boxes in one block of tubes, each with about 100 bytes of working memory in several arrays. The arrays stay in the
#: processor's cache: with four times as many boxes a block takes half as long again per box.
BLOCK = 100_000
#: Tolerance in seconds for times that were written as text, as in `whenwhere.tubes`.
EPS = 1e-3
_BITS = 40
_FAR = 5e11


class Boxed(NamedTuple):
    """Boxes of many tubes, tube after tube.

    Attributes:
        times: Seconds, increasing within a tube, shape (n,).
        boxes: Boxes xyxy, shape (n, 4).
        starts: Start of each tube, shape (m + 1,): tube i has the rows starts[i] : starts[i + 1].
    """

    times: Floats
    boxes: Floats
    starts: Index

    @property
    def owner(self) -> Index:
        """The tube of each row, shape (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def boxed(times: Sequence[Floats], boxes: Sequence[Floats]) -> Boxed:
    """One `Boxed` from the times and boxes of each tube; either may be empty.

    >>> boxed([np.zeros(0), np.array([0.5])], [np.zeros((0, 4)), np.ones((1, 4))]).starts.tolist()
    [0, 0, 1]
    """
    starts = np.zeros(len(times) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, times), np.int64, len(times)), out=starts[1:])
    if not starts[-1]:
        return Boxed(np.zeros(0), np.zeros((0, 4)), starts)
    return Boxed(np.concatenate(times), np.concatenate(boxes), starts)


def clean_boxes(answers: Boxed) -> Boxed:
    """The valid boxes (finite, x1 < x2, y1 < y2), sorted by time, with the first of equal times."""
    sound = _sound(answers)
    # time may go back only where the next tube begins
    back = np.zeros(len(answers.times) + 1, bool)
    back[1:-1] = answers.times[1:] <= answers.times[:-1]
    back[answers.starts] = False
    if sound and not back.any():
        return answers
    good = valid_boxes(answers.boxes) & np.isfinite(answers.times)
    owner, times, boxes = answers.owner[good], answers.times[good], answers.boxes[good]
    same = owner[1:] == owner[:-1]
    if (same & (times[1:] <= times[:-1])).any():
        order = np.lexsort((times, owner))
        owner, times, boxes = owner[order], times[order], boxes[order]
        first = np.concatenate([[True], (owner[1:] != owner[:-1]) | (times[1:] > times[:-1])])
        owner, times, boxes = owner[first], times[first], boxes[first]
    starts = np.searchsorted(owner, np.arange(len(answers.starts)))
    return Boxed(times, boxes, starts.astype(np.int64))


def _sound(tubes: Boxed) -> bool:
    """Whether every box is valid, in a few passes: a sum is finite only if all its numbers are.

    A sum that overflows gives False, which only costs the slower check.
    """
    b = tubes.boxes
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(b.sum()) and np.isfinite(tubes.times.sum())
    return bool(finite and (b[:, 0] < b[:, 2]).all() and (b[:, 1] < b[:, 3]).all())


def answered_object(prediction: Prediction | None) -> Boxes | None:
    """The first object of an answer that claims something; None without boxes."""
    if prediction is None or prediction.status != "answered" or not prediction.boxes:
        return None
    return prediction.boxes[0]


_NO_TIMES, _NO_BOXES = np.zeros(0), np.zeros((0, 4))


def gather_answers(predictions: Sequence[Prediction | None]) -> Boxed:
    """The valid boxes of the first answered object of each prediction."""
    found = [answered_object(p) for p in predictions]
    times = [_NO_TIMES if b is None else b.times for b in found]
    return clean_boxes(boxed(times, [_NO_BOXES if b is None else b.boxes for b in found]))


def gather_truth(items: Sequence[Item]) -> Boxed:
    """The boxes of the first true object of each item."""
    return boxed(
        [i.tubes[0].times if i.tubes else _NO_TIMES for i in items],
        [i.tubes[0].boxes if i.tubes else _NO_BOXES for i in items],
    )


def gather_hull(predictions: Sequence[Prediction | None]) -> Floats:
    """First start and last end of each answered time as written, shape (m, 2); NaN without an answer."""
    out = np.full((len(predictions), 2), np.nan)
    for i, p in enumerate(predictions):
        if p is None or p.status != "answered":
            continue
        spans = p.spans if len(p.spans) or p.ranked is None else p.ranked[:1, :2]
        if len(spans) == 1:
            out[i] = spans[0]
        elif len(spans):
            out[i] = spans[:, 0].min(), spans[:, 1].max()
    return out


def rates(predictions: Sequence[Prediction | None]) -> Floats:
    """Boxes per second of each answer, shape (m,); 1 without one."""
    return np.fromiter((1.0 if p is None else p.rate for p in predictions), np.float64, len(predictions))


def frame_rates(items: Sequence[Item]) -> Floats:
    """Frames per second in which the items count, shape (m,).

    Raises:
        RecordError: An item has none, so a protocol on frames cannot count it.
    """
    for item in items:
        if not item.fps:
            raise RecordError(f"item {item.id} has no fps, which a protocol on frames needs: use default-tubes")
    return np.fromiter((i.fps or 0.0 for i in items), np.float64, len(items))


def pack_keys(owner: Index, place: Floats | Index) -> Index:
    """One integer for each (tube, place), ordered by tube and then by place; `owner_of` gives the tube back.

    A negative place stays with its tube.

    Args:
        owner: Number of the tube, at least 0, shape (n,).
        place: Whole numbers such as frames, seconds or microseconds, shape (n,); clipped to +-5e11.

    >>> keys = pack_keys(np.array([0, 1, 1]), np.array([5, -3, 0]))
    >>> owner_of(keys).tolist(), bool((np.diff(keys) > 0).all())
    ([0, 1, 1], True)
    """
    if len(place) and (place.max() > _FAR or place.min() < -_FAR):
        place = place.clip(-_FAR, _FAR)
    return (owner << _BITS) + (place.astype(np.int64) + (1 << (_BITS - 1)))


def owner_of(key: Index) -> Index:
    """The tube of each key that `pack_keys` made, shape (n,)."""
    return key >> _BITS


def _keys(owner: Index, times: Floats) -> Index:
    return pack_keys(owner, np.rint(times * 1e6))


def begins(tubes: Boxed) -> Floats:
    """First time of each tube, shape (m,); 0 without boxes."""
    out = np.zeros(len(tubes.starts) - 1)
    some = np.diff(tubes.starts) > 0
    out[some] = tubes.times[tubes.starts[:-1][some]]
    return out


def on_frames(tubes: Boxed, owner: Index, frame: Index, fps: Floats) -> Index:
    """Row of the box on each given frame of its tube, or -1, shape (n,).

    Args:
        tubes: Tubes sorted by time.
        owner: Tube of each frame, shape (n,).
        frame: Native frame numbers, shape (n,).
        fps: Frames per second of each tube, shape (m,).

    >>> tube = boxed([np.array([0.4, 0.8])], [np.zeros((2, 4))])
    >>> on_frames(tube, np.zeros(3, int), np.array([9, 10, 20]), np.array([25.0])).tolist()
    [-1, 0, 1]
    """
    lo, hi = tubes.starts[owner], tubes.starts[owner + 1]
    if not len(tubes.times):
        return np.full(len(frame), -1)
    # Most tubes have a box on every frame: then the row follows from the first frame and is only checked.
    row = lo + frame - np.rint(begins(tubes) * fps).astype(np.int64)[owner]
    inside = (row >= lo) & (row < hi)
    row = np.where(inside, row, 0)
    last = np.rint(tubes.times[np.maximum(tubes.starts[1:] - 1, 0)] * fps)
    dense = (last - np.rint(begins(tubes) * fps) == np.diff(tubes.starts) - 1) | (np.diff(tubes.starts) == 0)
    if dense.all() and (np.rint(tubes.times[row] * fps[owner]) == frame)[inside].all():
        return np.where(inside, row, -1)
    keys = pack_keys(tubes.owner, np.rint(tubes.times * fps[tubes.owner]))
    asked = pack_keys(owner, frame)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[at] == asked, at, -1)


def fill_linearly(answers: Boxed, owner: Index, times: Floats, rate: Floats, held: Floats | None = None) -> Floats:
    """Boxes of the answers at given times, filled linearly, shape (n, 4); NaN without a box.

    Args:
        answers: Valid boxes, one tube for each answer.
        owner: Tube of each time, shape (n,).
        times: Seconds, shape (n,).
        rate: Boxes per second of each tube, shape (m,): a gap of more than `GAP` steps is an absence.
        held: Seconds inside which the first and last box are held, shape (m, 2); None never holds them.

    >>> tube = boxed([np.array([0.0, 1.0])], [np.array([[0.0, 0, 2, 2], [2.0, 0, 4, 2]])])
    >>> fill_linearly(tube, np.zeros(3, int), np.array([0.5, 1.0, 1.5]), np.ones(1))[:, 0].tolist()
    [1.0, 2.0, nan]
    """
    if not len(answers.times) or not len(times):
        return np.full((len(times), 4), np.nan)
    guess = answers.starts[owner] + np.rint((times - begins(answers)[owner]) * rate[owner]).clip(-1, 1e9).astype(
        np.int64
    )
    if ((guess >= answers.starts[owner]) & (guess < answers.starts[owner + 1])).all() and (
        _keys(owner, times) == _keys(owner, answers.times[guess])
    ).all():
        # a box on every given frame: the usual dense answer
        return answers.boxes[guess]
    anchors, asked = _keys(answers.owner, answers.times), _keys(owner, times)
    left = np.searchsorted(anchors, asked, side="right") - 1
    exact = anchors[np.maximum(left, 0)] == asked
    if exact.all():
        return answers.boxes[left]
    out = np.full((len(times), 4), np.nan)
    out[exact] = answers.boxes[left[exact]]
    lo_row, hi_row = answers.starts[owner], answers.starts[owner + 1] - 1
    rest = np.flatnonzero(~exact & (lo_row <= hi_row))
    lo, hi, t = lo_row[rest], hi_row[rest], times[rest]
    a, b = np.clip(left[rest], lo, hi), np.clip(left[rest] + 1, lo, hi)
    step = answers.times[b] - answers.times[a]
    weight = np.divide(t - answers.times[a], step, out=np.zeros(len(t)), where=step > 0)[:, None]
    inside = (left[rest] >= lo) & (left[rest] < hi) & (step <= GAP / rate[owner[rest]] + EPS)
    if held is not None:
        ends = held[owner[rest]]
        outer = (left[rest] < lo) | (left[rest] >= hi)
        # half-open: the frame at the very end is not held, whatever the last digits of a division are
        inside |= outer & (t >= ends[:, 0] - EPS) & (t < ends[:, 1] - 1e-6)
    filled = (1 - weight) * answers.boxes[a] + weight * answers.boxes[b]
    out[rest[inside]] = filled[inside]
    return out


def count_up(starts: Index, counts: Index) -> tuple[Index, Index]:
    """Frames counted up from each start: tube and frame number of every frame.

    >>> [x.tolist() for x in count_up(np.array([3, 7]), np.array([2, 1]))]
    [[0, 0, 1], [3, 4, 7]]
    """
    counts = np.maximum(counts, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, starts[owner] + np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]


def blocks(sizes: Sequence[int]) -> Iterator[slice]:
    """Slices of neighbouring tubes with about `BLOCK` boxes each.

    >>> list(blocks([BLOCK, 1, 1]))
    [slice(0, 1, None), slice(1, 3, None)]
    """
    first, size = 0, 0
    for i, n in enumerate(sizes):
        if size and size + n > BLOCK:
            yield slice(first, i)
            first, size = i, 0
        size += n
    if first < len(sizes):
        yield slice(first, len(sizes))


def sums(values: Floats, owner: Index, n: int) -> Floats:
    """The sum of the values of each tube, added in order, shape (n,)."""
    return np.bincount(owner, values, n).astype(np.float64) if len(owner) else np.zeros(n)


def ratio(a: Floats, b: Floats, empty: float = 0.0) -> Floats:
    """The quotient a / b where b > 0, else `empty`."""
    return np.divide(a, b, out=np.full(np.shape(a), empty, np.float64), where=np.asarray(b) > 0)
