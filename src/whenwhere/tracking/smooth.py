"""Smoothing across seconds: second-level boxes to steadier second-level boxes at the same times.

The default is `none`: on the published outputs of five real models at one box per second no smoother raised v_IoU
(their boxes are already smoother than the truth). The others are first-class because a pipeline may need them and an
ablation must show them, judged by v_IoU *and* by steadiness:

- `gauss` — a Gaussian kernel over time on centre and log size, within runs whose neighbouring boxes overlap by at
  least one half: ungated it drags boxes of fast things off them;
- `rts` — a constant-velocity Kalman filter run forward and backward (Rauch, Tung and Striebel) on the same numbers;
- `hampel` — repairs an isolated jump: a box that is far from what its two neighbours say, where these agree.

All work within one segment (`Tube.segments`): never across an absence or between spans. None moves a box out of the
rectangle that the segment's own boxes cover, so none leaves the frame. Median, Savitzky-Golay and one-euro filters
were measured elsewhere, gained nowhere, and are left out.
"""

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.errors import SettingError
from whenwhere.overlap import box_iou
from whenwhere.tubes import Tube

Smoother = Literal["none", "gauss", "rts", "hampel"]
SMOOTHERS: tuple[Smoother, ...] = ("none", "gauss", "rts", "hampel")

#: `gauss` is split where neighbouring boxes overlap less than this.
GATE = 0.5
#: `hampel` replaces a box that overlaps its neighbours' interpolation less than the first ...
OUTLIER = 0.25
#: ... where the two neighbours overlap each other more than the second.
AGREE = 0.3


def smooth(tube: Tube, method: Smoother = "none", sigma: float = 0.5, noise: float = 0.05, drift: float = 0.5) -> Tube:
    """The tube with steadier boxes; those that changed carry the source `smoothed`.

    Args:
        tube: second-level boxes.
        method: `none`, `gauss`, `rts` or `hampel`.
        sigma: of the `gauss` kernel, seconds, > 0.
        noise: for `rts`, the standard deviation of the boxes' error, in box sizes, > 0.
        drift: for `rts`, how freely the velocity changes: spectral density of the acceleration in box sizes
            squared per cubic second, > 0.

    Returns:
        A tube with the same spans and times. Boxes that an earlier fill made per frame are dropped when any box
        changed, since they belong to the old boxes.

    Raises:
        SettingError: an unknown method or a setting that is not positive.

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
    if method == "none":
        return tube
    boxes = tube.boxes.copy()
    for part in tube.segments():
        if part.stop - part.start < 2:
            continue
        t, b = tube.times[part], tube.boxes[part]
        if method == "gauss":
            new = _gauss(t, b, sigma)
        elif method == "rts":
            new = _rts(t, b, noise, drift)
        else:
            new = _hampel(t, b)
        low, high = b.min(0), b.max(0)
        new = np.concatenate([np.maximum(new[:, :2], low[:2]), np.minimum(new[:, 2:], high[2:])], 1)
        # a box that ran out of the rectangle as a whole is no box any more: the old one stays
        boxes[part] = np.where(valid_boxes(new)[:, None], new, b)
    changed = np.any(np.abs(boxes - tube.boxes) > 1e-6, axis=1)
    if not changed.any():
        return tube
    boxes[~changed] = tube.boxes[~changed]
    old = tube.sources or ("model",) * len(tube)
    sources = tuple("smoothed" if c else s for c, s in zip(changed.tolist(), old, strict=True))
    return tube.replace(boxes=boxes, sources=sources, filled=None)


def _to_state(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre and log size, (n, 4)."""
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, np.log(size)], 1)


def _to_boxes(state: NDArray[np.float64]) -> NDArray[np.float64]:
    half = np.exp(state[:, 2:]) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], 1)


def _gauss(t: NDArray[np.float64], b: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    edges = [0, *(np.flatnonzero(box_iou(b[:-1], b[1:]) < GATE) + 1).tolist(), len(t)]
    out = b.copy()
    for lo, hi in itertools.pairwise(edges):
        weight = np.exp(-((t[lo:hi, None] - t[None, lo:hi]) ** 2) / (2 * sigma**2))
        out[lo:hi] = _to_boxes(weight / weight.sum(1, keepdims=True) @ _to_state(b[lo:hi]))
    return out


def _rts(t: NDArray[np.float64], b: NDArray[np.float64], noise: float, drift: float) -> NDArray[np.float64]:
    """Each of the four numbers alone: state (value, rate of change), in units of the segment's mean box size."""
    z = _to_state(b)
    unit = np.exp(z[:, 2:].mean(0))
    z[:, :2] /= unit
    n = len(t)
    seen = np.array([[1.0, 0.0]])
    mean = np.zeros((n, 2, 4))
    cov = np.zeros((n, 2, 2))
    prior_mean, prior_cov, step = mean.copy(), cov.copy(), np.zeros((n, 2, 2))
    # The four numbers share one model and one noise, so one covariance serves them all.
    m, p = np.stack([z[0], np.zeros(4)]), np.diag([noise**2, 4.0])
    for k in range(n):
        if k:
            dt = t[k] - t[k - 1]
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


def _hampel(t: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    out = b.copy()
    # A repaired box is a better neighbour, so the rule is applied until nothing more changes: once is enough for
    # isolated jumps, and it makes a second call change nothing.
    for _ in range(len(t)):
        w = ((t[1:-1] - t[:-2]) / (t[2:] - t[:-2]))[:, None]
        between = (1 - w) * out[:-2] + w * out[2:]
        bad = (box_iou(out[1:-1], between) < OUTLIER) & (box_iou(out[:-2], out[2:]) > AGREE)
        if not bad.any():
            break
        out[1:-1][bad] = between[bad]
    return out
