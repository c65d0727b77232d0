"""Boxes at any time between second-level boxes.

- `linear` — what scores use: deterministic, needs no pixels (`Tube.boxes_at`);
- `pchip` — a shape-preserving cubic through centre and log size: a little better than linear for smooth motion,
  a little worse for noisy boxes;
- `hold` — the last box until the next one;
- `flow` — what a user sees: tracks the pixels between each two boxes from both sides (`whenwhere.tracking.flow`).

Common rules: a box's own time gives exactly that box; before the first and after the last box of a span the box is
held; there is none outside the spans, in an absence (a gap of more than 1.5 / rate), and nothing is ever
interpolated across a shot cut: up to the cut the earlier box holds, from it on the later one, and a shot without any
box of its own gets none.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import SettingError
from whenwhere.tracking.flow import fill_flow
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo

Filler = Literal["linear", "pchip", "hold", "flow"]
FILLERS: tuple[Filler, ...] = ("linear", "pchip", "hold", "flow")

#: A box whose recorded time (3 decimals) is this much before a cut was made for the frame at the cut.
_EPS = 1e-3


def fill(
    tube: Tube,
    times: ArrayLike,
    method: Filler = "linear",
    info: VideoInfo | None = None,
    cuts: Sequence[float] = (),
) -> NDArray[np.float64]:
    """Boxes of one tube at the given times.

    Args:
        tube: second-level boxes.
        times: (n,) seconds, in any order.
        method: `linear`, `pchip`, `hold` or `flow`.
        info: of the video; `flow` reads its frames.
        cuts: times of the first frame of each new shot (`find_cuts`).

    Returns:
        (n, 4) xyxy pixels; a row of NaN where there is no box.

    Raises:
        SettingError: an unknown method, or `flow` without a video.
        MediaError: the video cannot be read.

    >>> from whenwhere.spans import SpanSet
    >>> tube = Tube(SpanSet([(0, 2)]), [0, 1], [[0, 0, 2, 2], [4, 0, 6, 2]])
    >>> fill(tube, [0, 0.5, 1.5, 2])[:, 0].tolist()
    [0.0, 2.0, 4.0, nan]
    >>> fill(tube, [0.5, 0.8], cuts=[0.7])[:, 0].tolist()
    [0.0, 4.0]
    """
    return fill_all([tube], times, method, info, cuts)[0]


def fill_all(
    tubes: Sequence[Tube],
    times: ArrayLike,
    method: Filler = "linear",
    info: VideoInfo | None = None,
    cuts: Sequence[float] = (),
) -> list[NDArray[np.float64]]:
    """Boxes of several tubes of one video at the same times; `flow` then decodes the video once for all.

    Arguments, results and errors are those of `fill`, with one array per tube.
    """
    if method not in FILLERS:
        raise SettingError(f"there is no fill {method!r}; choose one of {', '.join(FILLERS)}")
    t = np.asarray(times, float).reshape(-1)
    if method == "flow" and info is None:
        raise SettingError("the flow fill looks at the pixels: give it the video's info, or fill linearly")
    ordered = np.sort(np.asarray(cuts, float).reshape(-1))
    out = [_without_pixels(tube, t, method, ordered) for tube in tubes]
    if info is not None and method == "flow":
        fill_flow(tubes, t, out, info, ordered)
    return out


def _without_pixels(
    tube: Tube, t: NDArray[np.float64], method: Filler, cuts: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = tube.boxes_at(t)
    if not len(tube):
        return out
    if method == "hold":
        before = np.searchsorted(tube.times, t, side="right") - 1
        # only between two boxes of a segment: elsewhere the linear fill holds already
        inside = _inside_segment(tube, t) & ~np.isnan(out[:, 0])
        out[inside] = tube.boxes[before[inside]]
    elif method == "pchip":
        for part in tube.segments():
            if part.stop - part.start > 2:
                ts = tube.times[part]
                sel = (t > ts[0]) & (t < ts[-1]) & ~np.isin(t, ts)
                out[sel] = _pchip(ts, tube.boxes[part], t[sel])
    return hold_at_cuts(tube, t, out, cuts)


def _inside_segment(tube: Tube, t: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside = np.zeros(len(t), bool)
    for part in tube.segments():
        inside |= (t >= tube.times[part.start]) & (t <= tube.times[part.stop - 1])
    return inside


def hold_at_cuts(
    tube: Tube, t: NDArray[np.float64], boxes: NDArray[np.float64], cuts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Filled boxes corrected around shot cuts: each shot has its own boxes, held to its ends.

    Args:
        tube: second-level boxes.
        t: (n,) seconds.
        boxes: (n, 4) filled without regard to cuts.
        cuts: sorted times of the first frame of each new shot.

    Returns:
        (n, 4); between two boxes with a cut between them the earlier is held up to the cut and the later from it on,
        and a shot with no box of its span gets NaN.
    """
    if not len(cuts) or not len(tube):
        return boxes
    out = boxes.copy()
    span = tube.spans.index(t)
    shot = np.searchsorted(cuts, t, side="right")
    shot_of = np.searchsorted(cuts, tube.times + _EPS, side="right")
    left = np.searchsorted(tube.times, t, side="right") - 1
    lo, hi = np.maximum(left, 0), np.minimum(left + 1, len(tube) - 1)
    here = ~np.isnan(boxes[:, 0]) & (tube.times[lo] != t)
    lo_same, hi_same = shot_of[lo] == shot, shot_of[hi] == shot
    lo_near, hi_near = tube.span_of[lo] == span, tube.span_of[hi] == span
    wrong = here & ((lo_near & ~lo_same) | (hi_near & ~hi_same))
    out[wrong] = np.nan
    for use, i in ((lo_near & lo_same, lo), (hi_near & hi_same, hi)):
        out[wrong & use] = tube.boxes[i[wrong & use]]
    return out


def _pchip(ts: NDArray[np.float64], boxes: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.interpolate import PchipInterpolator

    size = boxes[:, 2:] - boxes[:, :2]
    state = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(size)], 1)
    at = PchipInterpolator(ts, state, axis=0)(t)
    half = np.exp(at[:, 2:]) / 2
    out = np.concatenate([at[:, :2] - half, at[:, :2] + half], 1)
    # Centre and size bend separately, so an edge may pass what the boxes ever reached: keep it inside.
    out[:, :2] = np.maximum(out[:, :2], boxes[:, :2].min(0))
    out[:, 2:] = np.minimum(out[:, 2:], boxes[:, 2:].max(0))
    return out
