"""Soft non-maximum suppression of scored segments in time (Bodla et al. 2017, Gaussian)."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.evaluate.average_precision import sum_iou

Floats = NDArray[np.float64]


def soft_nms(
    spans: Floats, scores: Floats, sigma: float = 0.5, most: int = 100, least: float = 1e-3
) -> tuple[Floats, list[int]]:
    """The best segments of all classes, in each class with scores lowered where a better segment overlaps.

    Args:
        spans: Segments, shape (n, 2).
        scores: Score of each segment for each class, shape (n, classes).
        sigma: Scores are multiplied by exp(-IoU² / sigma) for each better segment of the class.
        most: Most segments in all.
        least: Segments that fall below this score are left out.

    Returns:
        Start, end and score, best first, shape (k, 3), and the class of each.

    >>> spans = np.array([[0.0, 10.0], [0.0, 9.0], [20.0, 30.0]])
    >>> ranked, labels = soft_nms(spans, np.array([[0.9], [0.8], [0.5]]))
    >>> ranked[:, 0].tolist(), ranked[:, 2].round(2).tolist(), labels
    ([0.0, 20.0, 0.0], [0.9, 0.5, 0.16], [0, 0, 0])
    """
    rows: list[tuple[float, float, float, int]] = []
    for label in range(scores.shape[1]):
        # Only segments that could be among the best of all are worth the quadratic loop.
        left = np.argsort(-scores[:, label], kind="stable")[: 2 * most]
        own, mine = spans[left], scores[left, label].copy()
        while len(own):
            k = int(mine.argmax())
            if mine[k] < least:
                break
            rows.append((float(own[k, 0]), float(own[k, 1]), float(mine[k]), label))
            others = np.arange(len(own)) != k
            overlap = sum_iou(own[k], own[others])
            own, mine = own[others], mine[others] * np.exp(-(overlap**2) / sigma)
    rows.sort(key=lambda row: -row[2])
    best = rows[:most]
    return np.array([row[:3] for row in best]).reshape(-1, 3), [row[3] for row in best]
