"""Smoothing across seconds: second-level boxes to steadier second-level boxes at the same times.

The default is `none`: on the published outputs of five real models at one box per second no smoother raised v_IoU
(their boxes are already smoother than the truth). The others are there because a pipeline may need them and an
ablation must show them, judged by v_IoU *and* by steadiness:

- `gauss`: a Gaussian kernel over time on centre and log size, within runs whose neighbouring boxes overlap by at
  least one half; without that gate it drags the boxes of fast things off them.
- `rts`: a constant-velocity Kalman filter run forward and backward (Rauch, Tung and Striebel) on the same numbers.
- `hampel`: repairs an isolated jump, that is a box far from what its two neighbours say where these agree.

All work within one segment (`Tube.segments`): never across an absence or between spans. None moves a box out of the
rectangle that the segment's own boxes cover, so none leaves the frame. Median, Savitzky-Golay and one-euro filters
were measured elsewhere, gained nothing anywhere, and are left out.

A new smoother is one function with a line in `SMOOTHERS`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.errors import SettingError
from whenwhere.overlap import box_iou
from whenwhere.tubes import Tube

#: `gauss` is split where neighbouring boxes overlap less than this.
GATE = 0.5
#: `hampel` replaces a box whose IoU with the interpolation of its neighbours is below `OUTLIER` ...
OUTLIER = 0.25
#: ... if the IoU of the two neighbours is above this.
AGREE = 0.3


@dataclass(frozen=True)
class SmootherSettings:
    """The numbers that smoothers use.

    Attributes:
        sigma: Width of the `gauss` kernel, seconds.
        noise: Standard deviation of the boxes' error for `rts`, in box sizes.
        drift: How freely the velocity changes for `rts`: spectral density of the acceleration, in box sizes squared
            per cubic second.
    """

    sigma: float = 0.5
    noise: float = 0.05
    drift: float = 0.5


#: (times (n,), boxes (n, 4) of one segment with n >= 2, settings) -> (n, 4) boxes.
Smoother = Callable[[NDArray[np.float64], NDArray[np.float64], SmootherSettings], NDArray[np.float64]]


def smooth(tube: Tube, method: str = "none", sigma: float = 0.5, noise: float = 0.05, drift: float = 0.5) -> Tube:
    """The tube with steadier boxes; those that changed carry the source `smoothed`.

    Args:
        tube: Second-level boxes.
        method: A key of `SMOOTHERS`: `none`, `gauss`, `rts` or `hampel`.
        sigma: Width of the `gauss` kernel, seconds, > 0.
        noise: Standard deviation of the boxes' error for `rts`, in box sizes, > 0.
        drift: How freely the velocity changes for `rts` (see `SmootherSettings`), > 0.

    Returns:
        A tube with the same spans and times. Boxes that an earlier fill made per frame are dropped when any box
        changed, since they belong to the old boxes.

    Raises:
        SettingError: The method is unknown or a setting is not positive.

    >>> from whenwhere.spans import SpanSet
    >>> jump = Tube(SpanSet([(0, 3)]), [0, 1, 2], [[0, 0, 10, 10], [50, 0, 60, 10], [2, 0, 12, 10]])
    >>> smooth(jump, "hampel").boxes[1].tolist(), smooth(jump, "hampel").sources
    ([1.0, 0.0, 11.0, 10.0], ('model', 'smoothed', 'model'))
    """
    if method not in SMOOTHERS:
        raise SettingError(f"there is no smoother {method!r}; choose one of {', '.join(SMOOTHERS)}")
    for name, value in (("sigma", sigma), ("noise", noise), ("drift", drift)):
        if not value > 0:
            raise SettingError(f"the smoother's {name} must be positive, not {value:g}")
    settings = SmootherSettings(sigma, noise, drift)
    boxes = tube.boxes.copy()
    for part in tube.segments():
        if part.stop - part.start < 2:
            continue
        old = tube.boxes[part]
        new = SMOOTHERS[method](tube.times[part], old, settings)
        low, high = old.min(0), old.max(0)
        new = np.concatenate([np.maximum(new[:, :2], low[:2]), np.minimum(new[:, 2:], high[2:])], 1)
        # A box that left the rectangle as a whole is no longer a box: the old one stays.
        boxes[part] = np.where(valid_boxes(new)[:, None], new, old)
    changed = np.any(np.abs(boxes - tube.boxes) > 1e-6, axis=1)
    if not changed.any():
        return tube
    boxes[~changed] = tube.boxes[~changed]
    sources = tube.sources or ("model",) * len(tube)
    sources = tuple("smoothed" if c else s for c, s in zip(changed.tolist(), sources, strict=True))
    return tube.replace(boxes=boxes, sources=sources, filled=None)


def _none(times: NDArray[np.float64], boxes: NDArray[np.float64], settings: SmootherSettings) -> NDArray[np.float64]:
    """The boxes as they are."""
    return boxes


def _to_state(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre and log size, (n, 4)."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(size)], 1)


def _to_boxes(state: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `_to_state`."""
    half = np.exp(state[:, 2:]) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], 1)


def _gauss(times: NDArray[np.float64], boxes: NDArray[np.float64], settings: SmootherSettings) -> NDArray[np.float64]:
    """A Gaussian kernel over time, in runs of boxes that overlap by at least `GATE`."""
    edges = [0, *(np.flatnonzero(box_iou(boxes[:-1], boxes[1:]) < GATE) + 1).tolist(), len(times)]
    out = boxes.copy()
    for lo, hi in itertools.pairwise(edges):
        weight = np.exp(-((times[lo:hi, None] - times[None, lo:hi]) ** 2) / (2 * settings.sigma**2))
        out[lo:hi] = _to_boxes(weight / weight.sum(1, keepdims=True) @ _to_state(boxes[lo:hi]))
    return out


def _rts(times: NDArray[np.float64], boxes: NDArray[np.float64], settings: SmootherSettings) -> NDArray[np.float64]:
    """A Kalman smoother on each of the four numbers alone.

    The state is (value, rate of change), in units of the segment's mean box size.
    """
    noise, drift = settings.noise, settings.drift
    z = _to_state(boxes)
    unit = np.exp(z[:, 2:].mean(0))
    z[:, :2] /= unit
    n = len(times)
    seen = np.array([[1.0, 0.0]])
    mean = np.zeros((n, 2, 4))
    cov = np.zeros((n, 2, 2))
    prior_mean, prior_cov, step = mean.copy(), cov.copy(), np.zeros((n, 2, 2))
    # The four numbers share one model and one noise, so one covariance serves them all.
    m, p = np.stack([z[0], np.zeros(4)]), np.diag([noise**2, 4.0])
    for k in range(n):
        if k:
            dt = times[k] - times[k - 1]
            step[k] = [[1, dt], [0, 1]]
            m = step[k] @ m
            p = step[k] @ p @ step[k].T + drift * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        prior_mean[k], prior_cov[k] = m, p
        if k:  # the first box is the prior itself
            gain = p @ seen.T / (seen @ p @ seen.T + noise**2)
            m, p = m + gain @ (z[k] - m[:1]), p - gain @ seen @ p
        mean[k], cov[k] = m, p
    for k in range(n - 2, -1, -1):
        back = cov[k] @ step[k + 1].T @ np.linalg.inv(prior_cov[k + 1])
        mean[k] += back @ (mean[k + 1] - prior_mean[k + 1])
    out = mean[:, 0].copy()
    out[:, :2] *= unit
    return _to_boxes(out)


def _hampel(times: NDArray[np.float64], boxes: NDArray[np.float64], settings: SmootherSettings) -> NDArray[np.float64]:
    """Isolated jumps replaced by the interpolation of their neighbours."""
    out = boxes.copy()
    # A repaired box is a better neighbour, so the rule is applied until nothing changes: once is enough for isolated
    # jumps, and a second call then changes nothing.
    for _ in range(len(times)):
        w = ((times[1:-1] - times[:-2]) / (times[2:] - times[:-2]))[:, None]
        between = (1 - w) * out[:-2] + w * out[2:]
        bad = (box_iou(out[1:-1], between) < OUTLIER) & (box_iou(out[:-2], out[2:]) > AGREE)
        if not bad.any():
            break
        out[1:-1][bad] = between[bad]
    return out


#: The smoothers by name, the default first.
SMOOTHERS: dict[str, Smoother] = {"none": _none, "gauss": _gauss, "rts": _rts, "hampel": _hampel}
