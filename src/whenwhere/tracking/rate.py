"""The instants at which a span gets a box: the second-level grid with both ends.

Boxes at the two ends cost almost nothing and gain about two points of v_IoU at one box per second: without them the
box is held over the first and last part-second of every span. The grid counts *video* time (k / rate), not time since
the span's start, so that two sentences about one thing ask for the same frames.
"""

import math

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import RATES, QueryError, SettingError, check_range
from whenwhere.spans import Span

#: A grid time closer than this many sampling steps to an end of the span is dropped in favour of the end.
NEAR = 0.25
#: Without a video, the last box of a span lies this many seconds before its end.
UNKNOWN_FRAME = 0.1
#: Largest number of boxes in one span.
MOST_BOXES = 1_000_000


def second_level_times(span: Span, rate: float = 1.0, last: float | None = None) -> NDArray[np.float64]:
    """Times of a span's boxes: its start, the grid `k / rate` inside, and its last displayed frame.

    Args:
        span: The half-open span, in seconds.
        rate: Boxes per second, within `errors.RATES`.
        last: Time of the last displayed frame before the span's end (`VideoInfo.last_before(span.end)`), or the end
            minus one frame of the annotation's fps if there is no video. None takes the end minus 0.1 s.

    Returns:
        (n,) strictly increasing seconds inside the span, n >= 1. A span in which only one frame is displayed has
        only its start.

    Raises:
        SettingError: The rate is outside `errors.RATES`, or the span would get more than `MOST_BOXES` boxes.
        QueryError: `last` does not lie before the span's end.

    >>> second_level_times(Span(0.4, 3.5), last=3.46).tolist()
    [0.4, 1.0, 2.0, 3.0, 3.46]
    >>> second_level_times(Span(0.9, 3.1), last=3.06).tolist()  # 1.0 and 3.0 are too close to the ends
    [0.9, 2.0, 3.06]
    >>> second_level_times(Span(0.2, 2.2), rate=2).tolist()
    [0.2, 0.5, 1.0, 1.5, 2.1]
    """
    check_range(rate, *RATES, "the rate in boxes per second")
    if last is None:
        last = max(span.start, span.end - UNKNOWN_FRAME)
    if not last < span.end:
        raise QueryError(f"the last frame of span [{span.start:g}, {span.end:g}) cannot be at {last:g} s")
    if last <= span.start:
        return np.array([span.start])
    if (last - span.start) * rate > MOST_BOXES:
        raise SettingError(
            f"{rate:g} boxes per second are {(last - span.start) * rate:.0f} boxes in a span of {span.duration:g} s, "
            f"more than {MOST_BOXES}: lower the rate"
        )
    grid = np.arange(math.floor(span.start * rate), math.ceil(last * rate) + 1) / rate
    grid = grid[(grid - span.start >= NEAR / rate) & (last - grid >= NEAR / rate)]
    return np.concatenate([[span.start], grid, [last]])
