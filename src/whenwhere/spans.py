"""Spans of time: half-open `[start, end)` in seconds, where 0 is the first displayed frame of the video.

A `SpanSet` is a *set of time*: sorted, disjoint, and possibly empty ("it is not there"). Spans that overlap or touch
become one, because as sets of instants they are one. Ranked candidates that overlap therefore stay lists of `Span` (the
record's `ranked` field) and become a `SpanSet` only after one is chosen.

Spans may reach outside the video, as real annotations do. Clipping is a step of its own (`SpanSet.clip`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import QueryError


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval `[start, end)` in seconds, with an optional score.

    Raises:
        QueryError: A bound is not finite, or the start is not before the end.

    >>> Span(2.0, 3.5).duration
    1.5
    >>> Span(3, 3)
    Traceback (most recent call last):
    ...
    whenwhere.errors.QueryError: span [3, 3) is not finite with start < end
    """

    start: float
    end: float
    score: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end) and self.start < self.end):
            raise QueryError(f"span [{self.start:g}, {self.end:g}) is not finite with start < end")

    @property
    def duration(self) -> float:
        """The length in seconds, always positive."""
        return self.end - self.start

    def __contains__(self, t: float) -> bool:
        return self.start <= t < self.end


class SpanSet:
    """Sorted, disjoint spans. The set is immutable and may be empty.

    It is built from spans or (start, end) pairs in any order. Spans that overlap or touch are merged, and the merged
    span keeps the highest of their scores.

    Attributes:
        starts: Starts in seconds, ascending, shape (n,).
        ends: Ends in seconds, ascending, shape (n,).

    >>> s = SpanSet([(4, 6), (0, 1), (5, 9)])
    >>> s
    SpanSet([0, 1), [4, 9))
    >>> s.duration, 1.0 in s, s & SpanSet([(0.5, 4.5)])
    (6.0, False, SpanSet([0.5, 1), [4, 4.5)))
    >>> bool(SpanSet())
    False
    """

    __slots__ = ("_spans", "ends", "starts")

    def __init__(self, spans: Iterable[Span | tuple[float, float]] = ()) -> None:
        ordered = sorted((s if isinstance(s, Span) else Span(*s) for s in spans), key=lambda s: s.start)
        merged: list[Span] = []
        for s in ordered:
            if merged and s.start <= merged[-1].end:
                last = merged[-1]
                scores = [x for x in (last.score, s.score) if x is not None]
                merged[-1] = Span(last.start, max(last.end, s.end), max(scores) if scores else None)
            else:
                merged.append(s)
        self._spans = tuple(merged)
        self.starts: NDArray[np.float64] = np.array([s.start for s in merged], float)
        self.ends: NDArray[np.float64] = np.array([s.end for s in merged], float)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, i: int) -> Span:
        return self._spans[i]

    def __eq__(self, other: object) -> bool:
        """Whether both are the same set of time; scores do not count."""
        if not isinstance(other, SpanSet):
            return NotImplemented
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def __hash__(self) -> int:
        return hash((self.starts.tobytes(), self.ends.tobytes()))

    def __repr__(self) -> str:
        return f"SpanSet({', '.join(f'[{s.start:g}, {s.end:g})' for s in self)})"

    def __contains__(self, t: float) -> bool:
        return bool(self.index([t])[0] >= 0)

    def index(self, times: ArrayLike) -> NDArray[np.intp]:
        """For each time the index of the span that holds it, or -1 where none does.

        >>> SpanSet([(0, 1), (2, 3)]).index([0.0, 1.0, 2.5]).tolist()
        [0, -1, 1]
        """
        t = np.asarray(times, float)
        if not len(self):
            return np.full(t.shape, -1, np.intp)
        i = np.searchsorted(self.starts, t, side="right") - 1
        return np.where((i >= 0) & (t < self.ends[np.maximum(i, 0)]), i, -1)

    @property
    def duration(self) -> float:
        """The total length in seconds."""
        return float((self.ends - self.starts).sum())

    @property
    def hull(self) -> Span | None:
        """The span from the first start to the last end, or None if the set is empty."""
        return Span(float(self.starts[0]), float(self.ends[-1])) if len(self) else None

    def __and__(self, other: "SpanSet") -> "SpanSet":
        # A score rates a whole answered span, so it means nothing for a part of one and is dropped.
        out = []
        for s in self:
            lo = np.maximum(s.start, other.starts)
            hi = np.minimum(s.end, other.ends)
            out += [(float(a), float(b)) for a, b in zip(lo, hi, strict=True) if a < b]
        return SpanSet(out)

    def __or__(self, other: "SpanSet") -> "SpanSet":
        return SpanSet([*self, *other])

    def clip(self, duration: float, start: float = 0.0) -> "SpanSet":
        """The part inside `[start, duration)`, with its scores. Answers are clipped, truth is not.

        >>> SpanSet([(-1, 2), (9, 12)]).clip(10)
        SpanSet([0, 2), [9, 10))
        """
        return SpanSet(
            Span(max(s.start, start), min(s.end, duration), s.score)
            for s in self
            if max(s.start, start) < min(s.end, duration)
        )
