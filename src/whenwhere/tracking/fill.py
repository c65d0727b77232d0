"""Boxes at any time between second-level boxes.

- `linear`: what scores use; deterministic, needs no pixels (`Tube.boxes_at`).
- `pchip`: a shape-preserving cubic through centre and log size; a little better than linear for smooth motion, a
  little worse for noisy boxes.
- `hold`: each box until the next one.
- `flow`: what users see; tracks the pixels between each two boxes from both sides (`whenwhere.tracking.flow`).

Rules common to all: at a box's own time the result is exactly that box; before the first and after the last box of a
span the box is held; there is no box outside the spans or in an absence (a gap of more than 1.5 / rate); nothing is
interpolated across a shot cut. Up to the cut the earlier box holds, from it on the later one, and a shot without any
box of its own gets none.

A new fill is one function with a line in `FILLS`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import SettingError
from whenwhere.tracking.flow import fill_flow
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo

Boxes = NDArray[np.float64]
Times = NDArray[np.float64]
#: (tubes, times, the video if it is at hand, sorted cuts) -> one (n, 4) array per tube, NaN where there is no box.
Fill = Callable[[Sequence[Tube], Times, VideoInfo | None, Times], list[Boxes]]

#: A box whose recorded time (3 decimals) is this much before a cut was made for the frame at the cut.
_EPS = 1e-3


def fill_tube(
    tube: Tube,
    times: ArrayLike,
    method: str = "linear",
    info: VideoInfo | None = None,
    cuts: Sequence[float] = (),
) -> Boxes:
    """Boxes of one tube at the given times.

    Args:
        tube: Second-level boxes.
        times: (n,) seconds, in any order.
        method: A key of `FILLS`: `linear`, `pchip`, `hold` or `flow`.
        info: The probed video, whose frames `flow` reads.
        cuts: Times of the first frame of each new shot (`find_cuts`).

    Returns:
        (n, 4) xyxy pixels; a row of NaN where there is no box.

    Raises:
        SettingError: The method is unknown, or `flow` was asked for without a video.
        MediaError: The video cannot be read.

    >>> from whenwhere.spans import SpanSet
    >>> tube = Tube(SpanSet([(0, 2)]), [0, 1], [[0, 0, 2, 2], [4, 0, 6, 2]])
    >>> fill_tube(tube, [0, 0.5, 1.5, 2])[:, 0].tolist()
    [0.0, 2.0, 4.0, nan]
    >>> fill_tube(tube, [0.5, 0.8], cuts=[0.7])[:, 0].tolist()
    [0.0, 4.0]
    """
    return fill_tubes([tube], times, method, info, cuts)[0]


def fill_tubes(
    tubes: Sequence[Tube],
    times: ArrayLike,
    method: str = "linear",
    info: VideoInfo | None = None,
    cuts: Sequence[float] = (),
) -> list[Boxes]:
    """Boxes of several tubes of one video at the same times; `flow` then decodes the video once for all of them.

    Arguments, results and errors are those of `fill_tube`, with one array per tube.
    """
    if method not in FILLS:
        raise SettingError(f"there is no fill {method!r}; choose one of {', '.join(FILLS)}")
    ordered_cuts = np.sort(np.asarray(cuts, float).reshape(-1))
    return FILLS[method](tubes, np.asarray(times, float).reshape(-1), info, ordered_cuts)


def _without_pixels(
    between: Callable[[Tube, Times], Boxes], tubes: Sequence[Tube], times: Times, info: VideoInfo | None, cuts: Times
) -> list[Boxes]:
    """A `Fill` from a function of one tube that looks neither at pixels nor at cuts."""
    return [hold_at_cuts(tube, times, between(tube, times), cuts) for tube in tubes]


def _linear(tube: Tube, times: Times) -> Boxes:
    return tube.boxes_at(times)


def _hold(tube: Tube, times: Times) -> Boxes:
    out = tube.boxes_at(times)
    if not len(tube):
        return out
    before = np.searchsorted(tube.times, times, side="right") - 1
    # Only between two boxes of a segment: elsewhere the linear fill holds already.
    inside = _inside_segment(tube, times) & ~np.isnan(out[:, 0])
    out[inside] = tube.boxes[before[inside]]
    return out


def _pchip(tube: Tube, times: Times) -> Boxes:
    out = tube.boxes_at(times)
    for part in tube.segments() if len(tube) else ():
        if part.stop - part.start > 2:
            known = tube.times[part]
            inside = (times > known[0]) & (times < known[-1]) & ~np.isin(times, known)
            out[inside] = _pchip_segment(known, tube.boxes[part], times[inside])
    return out


def _flow(tubes: Sequence[Tube], times: Times, info: VideoInfo | None, cuts: Times) -> list[Boxes]:
    if info is None:
        raise SettingError("the flow fill looks at the pixels: give it the video's info, or fill linearly")
    out = _without_pixels(_linear, tubes, times, info, cuts)
    fill_flow(tubes, times, out, info, cuts)
    return out


#: The fills by name, the one that scores use first.
FILLS: dict[str, Fill] = {
    "linear": partial(_without_pixels, _linear),
    "pchip": partial(_without_pixels, _pchip),
    "hold": partial(_without_pixels, _hold),
    "flow": _flow,
}


def _inside_segment(tube: Tube, times: Times) -> NDArray[np.bool_]:
    """Which times lie between the first and the last box of a segment."""
    inside = np.zeros(len(times), bool)
    for part in tube.segments():
        inside |= (times >= tube.times[part.start]) & (times <= tube.times[part.stop - 1])
    return inside


def hold_at_cuts(tube: Tube, times: Times, boxes: Boxes, cuts: Times) -> Boxes:
    """Filled boxes corrected around shot cuts, so that each shot has only its own boxes, held to its ends.

    Args:
        tube: Second-level boxes.
        times: (n,) seconds.
        boxes: (n, 4) boxes filled without regard to cuts.
        cuts: Sorted times of the first frame of each new shot.

    Returns:
        (n, 4) boxes. Between two boxes with a cut in between, the earlier is held up to the cut and the later from
        it on; a shot without a box of its span gets NaN.
    """
    if not len(cuts) or not len(tube):
        return boxes
    out = boxes.copy()
    span = tube.spans.index(times)
    shot = np.searchsorted(cuts, times, side="right")
    shot_of = np.searchsorted(cuts, tube.times + _EPS, side="right")
    left = np.searchsorted(tube.times, times, side="right") - 1
    lo, hi = np.maximum(left, 0), np.minimum(left + 1, len(tube) - 1)
    here = ~np.isnan(boxes[:, 0]) & (tube.times[lo] != times)
    lo_same, hi_same = shot_of[lo] == shot, shot_of[hi] == shot
    lo_near, hi_near = tube.span_of[lo] == span, tube.span_of[hi] == span
    wrong = here & ((lo_near & ~lo_same) | (hi_near & ~hi_same))
    out[wrong] = np.nan
    for use, i in ((lo_near & lo_same, lo), (hi_near & hi_same, hi)):
        out[wrong & use] = tube.boxes[i[wrong & use]]
    return out


def _pchip_segment(known: Times, boxes: Boxes, times: Times) -> Boxes:
    """(n, 4) boxes at `times` inside a segment whose boxes are at `known`."""
    from scipy.interpolate import PchipInterpolator

    size = boxes[:, 2:] - boxes[:, :2]
    state = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(size)], 1)
    at = PchipInterpolator(known, state, axis=0)(times)
    half = np.exp(at[:, 2:]) / 2
    out = np.concatenate([at[:, :2] - half, at[:, :2] + half], 1)
    # Centre and size bend separately, so an edge may pass what the boxes ever reached: keep it inside.
    out[:, :2] = np.maximum(out[:, :2], boxes[:, :2].min(0))
    out[:, 2:] = np.minimum(out[:, 2:], boxes[:, 2:].max(0))
    return out
