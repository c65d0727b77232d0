"""Failure modes: numbers that name a cause, beside the numbers that rank.

All of them look at the first choice of each item (`Prediction.top`) and, if there are several truths, at the one that
it overlaps most (the first if it overlaps none). Seconds are signed: negative means too early. A rate is over all items
unless its name says "of answers".

What each one shows: a slope of the error over the duration is a compressed or stretched clock (wrong frames per
second); starts at 0 much more often than in the truth are start anchoring; a high whole-video rate or one answer given
again and again is a model that plays the prior or hacks its reward; parse failures are a collapsed format.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.constants import length
from whenwhere.evaluate.prediction import Prediction

#: Share of its video from which on an answer counts as "the whole video".
WHOLE = 0.95
#: Answers that start within this many seconds of the video's start count as starting at 0.
ANCHOR = 0.5
#: Measures that are numbers of items.
COUNTS = (
    "items", "answered", "missing", "failed", "said absent", "unsure", "answers reversed or empty",
    "answers past the video's end",
)  # fmt: skip


class Choices:
    """First choices beside the truths closest to them, as arrays over all items.

    Attributes:
        answer: Answered start and end in seconds, shape (n, 2); NaN without a span.
        truth: True start and end in seconds, shape (n, 2); NaN without a span.
        duration: Durations in seconds, shape (n,); NaN if unknown.
        iou: Temporal IoU of the two, shape (n,); 0 if either is missing, 1 for an absence that was answered as such.
        status: Status of each answer, `missing` without one.
    """

    def __init__(self, items: Sequence[Item], answers: Mapping[str, Prediction]) -> None:
        n = len(items)
        self.answer, self.truth = np.full((n, 2), np.nan), np.full((n, 2), np.nan)
        self.duration = np.array([length(item) or np.nan for item in items])
        self.iou = np.zeros(n)
        self.status: list[str] = []
        for i, item in enumerate(items):
            given = answers.get(item.id)
            self.status.append("missing" if given is None else given.status)
            top = None if given is None else given.top
            if top is not None:
                self.answer[i] = top
            if not len(item.spans):
                self.iou[i] = float(given is not None and given.status == "absent")
                continue
            self.truth[i] = item.spans[0]
            if top is None or not (np.isfinite(top).all() and top[0] < top[1]):
                continue
            inter = (np.minimum(item.spans[:, 1], top[1]) - np.maximum(item.spans[:, 0], top[0])).clip(0)
            union = np.diff(item.spans, axis=1)[:, 0].clip(0) + top[1] - top[0] - inter
            iou = inter / union
            best = int(iou.argmax())
            self.truth[i], self.iou[i] = item.spans[best], iou[best]

    def __len__(self) -> int:
        return len(self.iou)


def diagnostics(
    items: Sequence[Item], answers: Mapping[str, Prediction], where: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """The failure modes of answers.

    Args:
        items: The questions with their truths.
        answers: The answers by item id.
        where: Mask of the items to look at, shape (n,); None looks at all.

    Returns:
        Failure mode → value: a share in 0-1, seconds or a count; NaN if no item supports it.

    >>> item = Item("a", "v", spans=np.array([[2.0, 4.0]]), duration=10.0)
    >>> found = diagnostics([item], {"a": Prediction("a", spans=np.array([[3.0, 5.0]]))})
    >>> found["mean start error (s)"], found["whole-video rate of answers"], found["missing"]
    (1.0, 0.0, 0.0)
    """
    return _measure(Choices(items, answers), where)


def by_type(items: Sequence[Item], answers: Mapping[str, Prediction]) -> dict[str, dict[str, float]]:
    """The failure modes and the mean temporal IoU of each query type; empty for a set without types."""
    kinds = sorted({item.type for item in items if item.type})
    if not kinds:
        return {}
    seen = Choices(items, answers)
    types = np.array([item.type or "" for item in items])
    return {
        kind: {"mean t_IoU": float(seen.iou[types == kind].mean()), **_measure(seen, types == kind)} for kind in kinds
    }


def _measure(seen: Choices, where: NDArray[np.bool_] | None) -> dict[str, float]:
    chosen = np.ones(len(seen), bool) if where is None else where
    status = Counter(s for s, c in zip(seen.status, chosen, strict=True) if c)
    n = int(chosen.sum())
    answer, truth, duration = seen.answer[chosen], seen.truth[chosen], seen.duration[chosen]
    given = np.isfinite(answer).all(1)
    both = given & np.isfinite(truth).all(1)
    error = (answer - truth)[both]
    share = np.clip(answer, 0, duration[:, None])
    covered = (share[:, 1] - share[:, 0]) / duration
    timed = given & np.isfinite(duration)
    return {
        "items": float(n),
        "answered": float(status["answered"]),
        "missing": float(status["missing"]),
        "failed": float(status["failed"]),
        "said absent": float(status["absent"]),
        "unsure": float(status["unsure"]),
        "parse-failure rate": status["unparsed"] / n if n else float("nan"),
        "mean start error (s)": _mean(error[:, 0]),
        "mean end error (s)": _mean(error[:, 1]),
        "median absolute start error (s)": _median(np.abs(error[:, 0])),
        "median absolute end error (s)": _median(np.abs(error[:, 1])),
        "slope of start error over duration": _slope(duration[both], error[:, 0]),
        "slope of end error over duration": _slope(duration[both], error[:, 1]),
        "answers reversed or empty": float((answer[given, 0] >= answer[given, 1]).sum()),
        "answers past the video's end": float((answer[timed, 1] > duration[timed] + 1.0).sum()),
        "whole-video rate of answers": _mean(covered[timed] >= WHOLE),
        "share of the most frequent answer (seconds)": _mode(np.round(answer[given], 1)),
        "share of the most frequent answer (fractions)": _mode(np.round(answer[timed] / duration[timed, None], 2)),
        "answers that start at 0": _mean(answer[given, 0] <= ANCHOR),
        "truths that start at 0": _mean(truth[np.isfinite(truth[:, 0]), 0] <= ANCHOR),
        "mean fraction of the video answered": _mean(covered[timed]),
        "mean fraction of the video true": _mean(
            ((truth[:, 1] - truth[:, 0]) / duration)[np.isfinite(truth[:, 0] + duration)]
        ),
    }


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _mode(rows: NDArray[np.float64]) -> float:
    """The share of the most frequent row."""
    if not len(rows):
        return float("nan")
    return float(np.unique(rows, axis=0, return_counts=True)[1].max() / len(rows))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The least-squares slope, seconds of error per second of video; NaN if all videos have the same length."""
    known = np.isfinite(x)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) < 1e-6:
        return float("nan")
    centred = x - x.mean()
    return float((centred * y).sum() / (centred**2).sum())
