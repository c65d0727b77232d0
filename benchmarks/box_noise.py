"""Errors of boxes: drawn with a size and a memory, and measured on real models' answers.

What smoothing can do is decided by how errors hang together in time, so the ceiling of `benchmarks/second_level.py`
sweeps both, and marks what two published models really do (VUE-STG, one box per second): `measure`.

An error moves each side of a box by a share of the box's width or height. Errors of neighbouring boxes are correlated
by `memory` to the power of the seconds between them, so that one number describes a source of errors at any rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere import box_iou
from whenwhere.stats import bootstrap_means
from whenwhere.tubes import Tube

#: Boxes that overlap the truth less are of another thing, and no error of size.
SAME = 0.3


def drawn(times: NDArray[np.float64], size: float, memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Errors in box sizes, (n, 4): Gaussian, stationary, of first order.

    Args:
        times: (n,) seconds, increasing.
        size: standard deviation of each side, in box widths or heights.
        memory: correlation of errors one second apart, 0-1.
        rng: where they are drawn from.

    >>> e = drawn(np.arange(20_000.0), 0.1, 0.5, np.random.default_rng(0))
    >>> round(float(e.std()), 2), round(float((e[1:] * e[:-1]).mean() / e.var()), 1)
    (0.1, 0.5)
    """
    fresh = rng.normal(0, size, (len(times), 4))
    if memory <= 0:
        return fresh
    keep = memory ** np.diff(times)
    for k, a in enumerate(keep):
        fresh[k + 1] = a * fresh[k] + np.sqrt(1 - a * a) * fresh[k + 1]
    return fresh


def shaken(boxes: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes with errors on their sides; none is turned over or shrinks below a twentieth of its size."""
    size = boxes[:, 2:] - boxes[:, :2]
    out = boxes + errors * np.tile(size, 2)
    middle, half = (out[:, :2] + out[:, 2:]) / 2, np.maximum((out[:, 2:] - out[:, :2]) / 2, size / 40)
    return np.concatenate([middle - half, middle + half], 1)


@dataclass(frozen=True)
class Measured:
    """Errors of one model's answers where it answered about the right thing.

    Attributes:
        size: standard deviation of a side's error in box sizes; `robust` = from the median absolute error.
        memory: correlation of errors one second apart, what is constant within an answer included.
        memory_within: the same without each answer's own mean; to be read beside `within_if`.
        other: share of boxes at the right time that are of another thing (IoU < 0.3).
        seconds, answers: that it rests on.
    """

    size: float
    robust: float
    memory: float
    memory_low: float
    memory_high: float
    memory_within: float
    other: float
    seconds: int
    answers: int
    within_if_fading: float = float("nan")
    within_if_constant: float = float("nan")


def measure(truths: dict[str, Tube], answers: dict[str, Tube]) -> Measured:
    """Errors of answers with one box per second, over all seconds that both have a box."""
    errors: list[NDArray[np.float64]] = []
    sums: list[tuple[float, float, float, float]] = []
    right = both = 0
    for name, truth in truths.items():
        answer = answers.get(name)
        if answer is None:
            continue
        _, i, j = np.intersect1d(truth.times, answer.times, return_indices=True)
        t, a, b = truth.times[i], truth.boxes[i], answer.boxes[j]
        same = box_iou(a, b) >= SAME
        both, right = both + len(t), right + int(same.sum())
        t, a, b = t[same], a[same], b[same]
        if not len(t):
            continue
        e = (b - a) / np.tile(a[:, 2:] - a[:, :2], 2)
        errors.append(e)
        next_to = np.flatnonzero(np.diff(t) == 1)
        x, y = e[next_to], e[next_to + 1]
        z = e - e.mean(0)
        u, v = z[next_to], z[next_to + 1]
        sums.append(
            (float((x * y).sum()), float((x * x + y * y).sum() / 2),
             float((u * v).sum()), float((u * u + v * v).sum() / 2))
        )  # fmt: skip
    every = np.concatenate(errors)
    table = np.array([s for s in sums if s[1] > 0])
    # a ratio of sums over answers: its interval by resampling answers, linearised around the estimate
    ratio = table[:, 0].sum() / table[:, 1].sum()
    part = bootstrap_means(((table[:, 0] - ratio * table[:, 1]) / table[:, 1].mean())[:, None], n=2000)[0]
    # 1.4826: a normal distribution's standard deviation in median absolute deviations
    return Measured(
        float(every.std()), float(1.4826 * np.median(np.abs(every))), float(ratio), float(ratio + part.low),
        float(ratio + part.high), float(table[:, 2].sum() / table[:, 3].sum()), 1 - right / both, len(every),
        len(errors),
    )  # fmt: skip


def within_if(truths: dict[str, Tube], answers: dict[str, Tube], found: Measured) -> tuple[float, float]:
    """What `memory_within` would be for the same answers if their errors were drawn with the measured size and memory.

    Means of short runs take much of the correlation with them, so the measured number says nothing alone.

    Returns:
        For errors that fade (`drawn`); and for a constant error of each answer plus fresh ones.
    """
    rng = np.random.default_rng(0)
    fading, constant = {}, {}
    for name, answer in answers.items():
        times, i, _ = np.intersect1d(truths[name].times, answer.times, return_indices=True)
        if not len(times):
            continue
        boxes, spans = truths[name].boxes[i], truths[name].spans
        fading[name] = Tube(spans, times, shaken(boxes, drawn(times, found.robust, found.memory, rng)))
        always, fresh = rng.normal(0, found.robust, (1, 4)), rng.normal(0, found.robust, (len(times), 4))
        errors = np.sqrt(found.memory) * always + np.sqrt(1 - found.memory) * fresh
        constant[name] = Tube(spans, times, shaken(boxes, errors))
    return measure(truths, fading).memory_within, measure(truths, constant).memory_within


def unsteadiness(boxes: NDArray[np.float64], step: float) -> float:
    """Mean second difference of centre (in box sizes) and log size, per second squared.

    Args:
        boxes: (n, 4) at equal steps, n > 2.
        step: seconds between two.

    >>> unsteadiness(np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2.0]]), 0.1)
    0.0
    """
    size = boxes[:, 2:] - boxes[:, :2]
    unit = np.exp(np.log(size).mean())
    state = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / unit, np.log(size)], 1)
    return float(np.linalg.norm(np.diff(state, 2, axis=0), axis=1).mean() / step**2)
