"""Many short lists as one array, so that scoring is fast without padding or loops.

An item has any number of true spans and any number of answers. All rows are in one array, item after item, and `starts`
says where each item's rows begin. Memory is linear in the number of rows, and every function here makes a few passes
over whole arrays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


class Ragged(NamedTuple):
    """The rows of many lists in one array.

    Attributes:
        rows: All rows, list after list, shape (n, ...).
        starts: Start of each list, shape (m + 1,): list i has the rows starts[i] : starts[i + 1].
    """

    rows: Floats
    starts: Index

    @property
    def counts(self) -> Index:
        """The number of rows of each list, shape (m,)."""
        return np.diff(self.starts)

    @property
    def owner(self) -> Index:
        """The list that each row belongs to, ascending, shape (n,)."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)

    def keep(self, mask: NDArray[np.bool_]) -> "Ragged":
        """The lists with only the rows in the mask; some may become empty.

        >>> ragged([np.array([[1., 2.]]), np.array([[3., 4.], [5., 6.]])]).keep(np.array([True, False, True])).counts
        array([1, 1])
        """
        kept = np.concatenate([[0], np.cumsum(mask)])
        return Ragged(self.rows[mask], kept[self.starts])

    def head(self, n: int) -> "Ragged":
        """The lists with at most their first n rows."""
        if not len(self.rows) or self.counts.max() <= n:
            return self
        return self.keep(np.arange(len(self.rows)) - np.repeat(self.starts[:-1], self.counts) < n)


def ragged(parts: Sequence[Floats], width: int = 2) -> Ragged:
    """The lists given as arrays of shape (k, width), in one array; k may be 0.

    >>> ragged([np.zeros((0, 2)), np.ones((3, 2))]).starts
    array([0, 0, 3])
    """
    counts = np.fromiter(map(len, parts), np.intp, len(parts))
    rows = np.concatenate(parts) if counts.any() else np.zeros((0, width))
    return Ragged(np.asarray(rows, np.float64), np.concatenate([[0], np.cumsum(counts)]))


def cross(a: Ragged, b: Ragged) -> tuple[Index, Index, Index]:
    """All pairs of a row of list i in `a` with a row of list i in `b`, a-major: row in a, row in b, and list.

    >>> one, two = ragged([np.zeros((2, 2))]), ragged([np.zeros((3, 2))])
    >>> [x.tolist() for x in cross(one, two)]
    [[0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 0, 0]]
    """
    many = b.counts[a.owner]
    row_a = np.repeat(np.arange(len(a.rows)), many)
    first = np.repeat(np.cumsum(many) - many, many)
    owner = a.owner[row_a]
    return row_a, b.starts[owner] + np.arange(len(row_a)) - first, owner


def total(values: Floats, owner: Index, n: int) -> Floats:
    """The sum of the values of each owner, shape (n,); 0 without values."""
    return np.bincount(owner, values, n).astype(np.float64) if len(owner) else np.zeros(n)


def highest(values: Floats, owner: Index, n: int, empty: float = 0.0) -> Floats:
    """The maximum of the values of each owner (ascending), shape (n,); `empty` without values.

    >>> highest(np.array([.1, .3, .2]), np.array([0, 0, 2]), 4)
    array([0.3, 0. , 0.2, 0. ])
    """
    out = np.full(n, empty)
    if len(values):
        first = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]]))
        out[owner[first]] = np.maximum.reduceat(values, first)
    return out


def proper(spans: Ragged) -> Ragged:
    """The lists with only the spans that hold time: finite, start < end."""
    start, end = spans.rows[:, 0], spans.rows[:, 1]
    good = np.isfinite(start) & np.isfinite(end) & (start < end)
    return spans if good.all() else spans.keep(good)


def joined_spans(spans: Ragged) -> Ragged:
    """Each list as a set of time, as `SpanSet` makes it: sorted and disjoint, touching spans joined.

    >>> joined_spans(ragged([np.array([[4., 6], [0, 1], [5, 9]]), np.array([[2., 2]])])).rows.tolist()
    [[0.0, 1.0], [4.0, 9.0]]
    """
    spans = proper(spans)
    if spans.counts.max(initial=0) <= 1:
        return spans
    n, owner = len(spans.rows), spans.owner
    apart = (spans.rows[1:, 0] > spans.rows[:-1, 1]) | (owner[1:] != owner[:-1])
    if apart.all():
        return spans
    order = np.lexsort((spans.rows[:, 0], owner))
    start, end = spans.rows[order, 0], spans.rows[order, 1]
    # The latest end so far within a list: ranks make the running maximum restart at each list without rounding.
    ends, rank = np.unique(end, return_inverse=True)
    last = ends[np.maximum.accumulate(owner * len(ends) + rank) - owner * len(ends)]
    opens = np.ones(n, bool)
    opens[1:] = (owner[1:] != owner[:-1]) | (start[1:] > last[:-1])
    closes = np.roll(opens, -1)
    counts = np.bincount(owner[opens], minlength=len(spans.starts) - 1)
    return Ragged(np.stack([start[opens], last[closes]], 1), np.concatenate([[0], np.cumsum(counts)]))


def lengths(spans: Ragged) -> Floats:
    """The total length of each list's spans, shape (m,)."""
    return total(spans.rows[:, 1] - spans.rows[:, 0], spans.owner, len(spans.starts) - 1)


def shared(a: Floats, b: Floats) -> Floats:
    """The length of a ∩ b, row by row; 0 for spans that do not meet or are reversed."""
    return (np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])).clip(0)


def quotient(a: Floats, b: Floats) -> Floats:
    """The quotient a / b where b > 0, else 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0)


def hull_iou(a: Floats, b: Floats) -> Floats:
    """The shared length over the length of the hull, row by row, which most evaluators call IoU of two spans.

    It equals IoU where the spans meet and is 0 where they do not, so the hull makes no difference.

    >>> hull_iou(np.array([0., 4]), np.array([2., 6]))
    array(0.33333333)
    """
    return quotient(shared(a, b), np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0]))


def set_iou(a: Ragged, b: Ragged) -> Floats:
    """The `overlap.t_iou` of each list of `a` with that of `b`, both as sets of time, shape (m,); 1 if both are empty.

    >>> set_iou(ragged([np.array([[0., 4]])]), ragged([np.array([[2., 6]])])).round(3)
    array([0.333])
    """
    a, b = joined_spans(a), joined_spans(b)
    if (
        len(a.rows) == len(b.rows) == len(a.starts) - 1
        and a.counts.max(initial=0) <= 1
        and b.counts.max(initial=0) <= 1
    ):
        # One span everywhere on both sides, the usual case: the rows are pairs already.
        common = shared(a.rows, b.rows)
    else:
        i, j, owner = cross(a, b)
        common = total(shared(a.rows[i], b.rows[j]), owner, len(a.starts) - 1)
    out = quotient(common, lengths(a) + lengths(b) - common).clip(0, 1)
    out[(a.counts == 0) & (b.counts == 0)] = 1.0
    return out
