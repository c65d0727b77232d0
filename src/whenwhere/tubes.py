"""Tubes: where something is over time. A tube maps times inside spans to boxes; where it is absent there is no box.

A tube is *sparse*: normally it has one box per second and one at each end of a span, and the boxes in between are
filled. The linear fill is in this file because every overlap is defined by it (`whenwhere.overlap`): it is
deterministic and needs no pixels. Fills that look at pixels are in `whenwhere.tracking`.

These are the rules of the linear fill, which scores, rewards and `Tube.at` share:

- before the first and after the last box of a span, that box is held;
- between two boxes of one span, boxes are interpolated, unless the two are more than `1.5 / rate` apart: then a second
  in between was answered without a box, which means "absent", and nothing is filled there;
- outside the spans, and in a span without any box, there is no box.

Times are float seconds; frame numbers do not occur here.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.boxes import Box, valid_boxes
from whenwhere.errors import RecordError
from whenwhere.spans import SpanSet

#: Between two neighbouring boxes that are further apart than this many sampling steps, the thing is absent.
GAP = 1.5
#: Slack in seconds for times that were written with 3 decimals and read back.
_EPS = 1e-3


@dataclass(frozen=True, eq=False)
class Tube:
    """Boxes over time inside spans.

    Attributes:
        spans: Spans in which the thing is there.
        times: Times of the boxes in seconds, strictly increasing, each inside a span, shape (n,).
        boxes: Boxes as xyxy pixels of the displayed frame, shape (n, 4).
        rate: Boxes per second at which the tube was made; it decides which gap counts as an absence.
        sources: Origin of each box: `model`, `smoothed`, `propagated` or `snapped`. Empty means `model` throughout.
        id: Name of the tube, the same in all formats.
        label: What the thing is, in words, or None.
        score: Confidence from 0 to 1, or None.
        span_of: Index of the span that holds each box, shape (n,).
        filled: Times (m,) and boxes (m, 4) for each frame, from a fill that looked at the pixels, or None. `at`
            prefers them; overlaps never use them.

    Raises:
        RecordError: The times are not increasing or lie outside the spans, or a row of `boxes` is not a box.

    >>> tube = Tube(SpanSet([(0, 2.5)]), [0, 1, 2], [[0, 0, 10, 10], [10, 0, 20, 10], [10, 0, 20, 10]])
    >>> tube.at(0.5)
    Box(x1=5.0, y1=0.0, x2=15.0, y2=10.0)
    >>> tube.at(2.4)
    Box(x1=10.0, y1=0.0, x2=20.0, y2=10.0)
    >>> tube.at(3) is None
    True
    """

    spans: SpanSet
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    rate: float = 1.0
    sources: tuple[str, ...] = ()
    id: str = "0"
    label: str | None = None
    score: float | None = None
    filled: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    span_of: NDArray[np.intp] = field(init=False, repr=False)

    def __init__(
        self,
        spans: SpanSet,
        times: ArrayLike = (),
        boxes: ArrayLike = (),
        rate: float = 1.0,
        sources: Sequence[str] = (),
        id: str = "0",
        label: str | None = None,
        score: float | None = None,
        filled: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> None:
        t = np.array(times, float).reshape(-1)
        b = np.array(boxes, float).reshape(-1, 4)
        if len(t) != len(b):
            raise RecordError(f"a tube has {len(t)} times but {len(b)} boxes")
        if sources and len(sources) != len(t):
            raise RecordError(f"a tube has {len(t)} boxes but {len(sources)} sources")
        if not rate > 0:
            raise RecordError(f"a tube's rate must be positive, not {rate:g} boxes per second")
        if not np.isfinite(t).all() or (np.diff(t) <= 0).any():
            raise RecordError("a tube's times must be finite and strictly increasing")
        bad = np.flatnonzero(~valid_boxes(b))
        if len(bad):
            raise RecordError(f"a tube's box at {t[bad[0]]:g} s is not x1 < x2, y1 < y2 with finite numbers")
        span_of = spans.index(t)
        for i in np.flatnonzero(span_of < 0):
            # A time that was rounded to a millisecond outside its span still belongs to it.
            near = np.flatnonzero((t[i] >= spans.starts - _EPS) & (t[i] <= spans.ends + _EPS))
            if not len(near):
                raise RecordError(f"a tube's box at {t[i]:g} s lies outside its spans {spans}")
            span_of[i] = near[0]
        for name, value in (
            ("spans", spans), ("times", t), ("boxes", b), ("rate", float(rate)), ("sources", tuple(sources)),
            ("id", id), ("label", label), ("score", score), ("filled", filled), ("span_of", span_of),
        ):  # fmt: skip
            object.__setattr__(self, name, value)
        t.flags.writeable = b.flags.writeable = False

    def __len__(self) -> int:
        return len(self.times)

    def at(self, t: float) -> Box | None:
        """The box at `t` seconds, or None.

        Where frames were filled, it is the box of the frame that is shown at `t`; elsewhere it is filled linearly.
        """
        box = self.boxes_at([t])[0]
        if np.isnan(box[0]):
            return None
        if self.filled is not None and len(self.filled[0]):
            times, boxes = self.filled
            shown = int(np.searchsorted(times, t + 1e-6, side="right")) - 1
            if shown >= 0 and self.spans.index([times[shown]])[0] == self.spans.index([t])[0]:
                # Frames that the fill left out (a shot without a box of its own) have no box.
                frame = float(np.median(np.diff(times))) if len(times) > 1 else np.inf
                if shown + 1 < len(times) and times[shown + 1] - times[shown] > GAP * frame < t - times[shown]:
                    return None
                box = boxes[shown]
        return Box(*map(float, box))

    def boxes_at(self, times: ArrayLike) -> NDArray[np.float64]:
        """Linearly filled boxes at some times, shape (n, 4); a row is NaN where there is no box.

        >>> Tube(SpanSet([(0, 4)]), [0, 3], [[0, 0, 1, 1], [3, 0, 4, 1]]).boxes_at([0, 1.5, 3.5])[:, 0].tolist()
        [0.0, nan, 3.0]
        """
        t = np.asarray(times, float).reshape(-1)
        out = np.full((len(t), 4), np.nan)
        if not len(self.times):
            return out
        span = self.spans.index(t)
        # the indices of the first and the last box of the span that holds each time
        first = np.searchsorted(self.span_of, span, side="left")
        last = np.searchsorted(self.span_of, span, side="right") - 1
        inside = (span >= 0) & (first <= last)
        left = np.searchsorted(self.times, t, side="right") - 1
        lo = np.clip(left, first, last)[inside]
        hi = np.clip(left + 1, first, last)[inside]
        step = self.times[hi] - self.times[lo]
        w = np.divide(t[inside] - self.times[lo], step, out=np.zeros(len(lo)), where=step > 0)[:, None]
        # unlike a + w (b - a), this form of the interpolation is exact at both boxes
        filled = (1 - w) * self.boxes[lo] + w * self.boxes[hi]
        absent = (step > GAP / self.rate + _EPS) & (t[inside] > self.times[lo])
        filled[absent & (t[inside] < self.times[hi])] = np.nan
        out[inside] = filled
        return out

    def segments(self) -> list[slice]:
        """The boxes in runs that are interrupted neither by the end of a span nor by an absence.

        >>> Tube(SpanSet([(0, 6)]), [0, 1, 4, 5], [[0, 0, 1, 1]] * 4).segments()
        [slice(0, 2, None), slice(2, 4, None)]
        """
        if not len(self.times):
            return []
        cut = (np.diff(self.span_of) != 0) | (np.diff(self.times) > GAP / self.rate + _EPS)
        edges = [0, *(np.flatnonzero(cut) + 1).tolist(), len(self.times)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def replace(self, **changes: object) -> "Tube":
        """A copy with some attributes changed, which is checked like any new tube."""
        return replace(self, **changes)  # type: ignore[arg-type]
