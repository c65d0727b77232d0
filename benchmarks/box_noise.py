"""Errors of boxes: random ones with a size and a memory, and those measured on real models' answers.

What smoothing can gain depends on how errors are correlated in time, so the ceiling of `benchmarks/second_level.py`
sweeps size and memory, and marks those of two published models (VUE-STG, one box per second; see `measure`).

An error moves each side of a box by a share of the box's width or height. Errors of neighbouring boxes are correlated
by `memory` to the power of the seconds between them, so that one number describes a source of errors at any rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere import box_iou
from whenwhere.stats import bootstrap_means
from whenwhere.tubes import Tube

#: Boxes with a smaller IoU with the truth are of another object; they are not counted as errors of size.
SAME = 0.3


def drawn(times: NDArray[np.float64], size: float, memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 4) random errors in box sizes: a stationary Gaussian process of first order.

    Args:
        times: (n,) seconds, increasing.
        size: Standard deviation of each side, in box widths or heights.
        memory: Correlation of errors one second apart, 0-1.
        rng: The random generator.

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
    """The boxes with errors added to their sides; none is reversed or shrinks below a twentieth of its size."""
    size = boxes[:, 2:] - boxes[:, :2]
    out = boxes + errors * np.tile(size, 2)
    middle, half = (out[:, :2] + out[:, 2:]) / 2, np.maximum((out[:, 2:] - out[:, :2]) / 2, size / 40)
    return np.concatenate([middle - half, middle + half], 1)


@dataclass(frozen=True)
class Measured:
    """Errors of one model's boxes where they are about the right object.

    Attributes:
        size: Standard deviation of a side's error, in box sizes.
        robust: The same from the median absolute error.
        memory: Correlation of errors one second apart, including what is constant within an answer.
        memory_low: Lower end of its 95 % interval.
        memory_high: Upper end of its 95 % interval.
        memory_within: The same correlation without each answer's own mean; to be compared with `within_if`.
        other: Share of boxes at the right time that are of another object (IoU < 0.3).
        seconds: Number of boxes that the errors are measured on.
        answers: Number of answers that they come from.
        within_if_fading: The first value of `within_if`.
        within_if_constant: The second value of `within_if`.
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
    """The errors of answers with one box per second, over all seconds for which truth and answer have a box."""
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
    # The interval of this ratio of sums over answers is found by resampling answers, linearised around the estimate.
    ratio = table[:, 0].sum() / table[:, 1].sum()
    part = bootstrap_means(((table[:, 0] - ratio * table[:, 1]) / table[:, 1].mean())[:, None], n=2000)[0]
    # 1.4826 is the standard deviation of a normal distribution in units of its median absolute deviation.
    return Measured(
        float(every.std()), float(1.4826 * np.median(np.abs(every))), float(ratio), float(ratio + part.low),
        float(ratio + part.high), float(table[:, 2].sum() / table[:, 3].sum()), 1 - right / both, len(every),
        len(errors),
    )  # fmt: skip


def within_if(truths: dict[str, Tube], answers: dict[str, Tube], found: Measured) -> tuple[float, float]:
    """What `memory_within` would be for the same answers if their errors were random with the measured size and memory.

    Subtracting the means of short runs removes much of the correlation, so the measured number means nothing alone.

    Returns:
        The value for errors that fade (`drawn`), and for a constant error of each answer plus independent ones.
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
        boxes: (n, 4) boxes at equal steps, n > 2.
        step: Seconds between two boxes.

    >>> unsteadiness(np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2.0]]), 0.1)
    0.0
    """
    size = boxes[:, 2:] - boxes[:, :2]
    unit = np.exp(np.log(size).mean())
    state = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / unit, np.log(size)], 1)
    return float(np.linalg.norm(np.diff(state, 2, axis=0), axis=1).mean() / step**2)
