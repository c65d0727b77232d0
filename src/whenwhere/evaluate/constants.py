"""Constant answers: baselines that look at neither the video nor the sentence.

On some benchmarks the whole video beats published models, so a number without these rows says little. Each constant
is an ordinary set of answers, scored by the same protocol as the file beside it:

- whole video: from the first to the last second;
- best constant span: the one pair of fractions (a, b) of the duration, on a grid of 0.05, with the highest mean
  temporal IoU on the training items; without training items it is fitted on the evaluated ones, and the report says
  that this is optimistic;
- where boxes are answered, both of those with a whole-frame box and with a box of half the frame's sides in its centre;
- for tracking, the given first box held;
- for DiDeMo's 21 moments, the moments in order of their frequency.

Nothing here knows a protocol. Detection, which needs a class name, takes the most frequent one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.didemo import CHUNK
from whenwhere.evaluate.prediction import Boxes, Prediction

#: Step of the grid on which the best constant span is searched, as a fraction of the duration.
STEP = 0.05
#: Added to what was fitted on the very items that are scored.
OPTIMISTIC = "(optimistic: fitted on the test items)"


@dataclass(slots=True)
class Constant:
    """One constant answer to every item.

    Attributes:
        name: Name of the row.
        how: The answer in words, with what it was fitted on.
        answers: Item id → answer; items of unknown duration have none.
        summary: Measure → value, for a baseline whose result is known without answers, such as chance.
        undefined: Measures that mean nothing for this constant and are left out.
    """

    name: str
    how: str
    answers: dict[str, Prediction]
    summary: dict[str, float] | None = None
    undefined: tuple[str, ...] = field(default=())


def length(item: Item) -> float | None:
    """Duration of the item's video in seconds: as stated, else frames over frames per second, else None.

    >>> length(Item("a", "v", frames=50, fps=25.0))
    2.0
    """
    if item.duration is not None:
        return item.duration
    return item.frames / item.fps if item.frames and item.fps else None


def fractions(items: Sequence[Item]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """All true spans as fractions of their videos, shape (k, 2), and the index of the item of each, shape (k,).

    Items that are invalid, without a span or of unknown duration are left out, as are spans without length.
    """
    rows, owner = [], []
    for i, item in enumerate(items):
        seconds = length(item)
        if seconds and item.status == "valid" and len(item.spans):
            rows.append(item.spans / seconds)
            owner.append(np.full(len(item.spans), i))
    if not rows:
        return np.zeros((0, 2)), np.zeros(0, np.intp)
    spans, owners = np.concatenate(rows), np.concatenate(owner)
    real = spans[:, 0] < spans[:, 1]
    return spans[real], owners[real]


def best_span(items: Sequence[Item], step: float = STEP) -> tuple[float, float] | None:
    """The pair of fractions of the duration with the highest mean IoU (the best truth of each item counts).

    Args:
        items: Items with durations.
        step: Step of the grid.

    Returns:
        Start and end in 0-1, or None if no item has a true span and a duration.

    >>> items = [Item(str(k), "v", spans=np.array([[0.0, 4.0 + k]]), duration=10.0) for k in range(3)]
    >>> best_span(items)
    (0.0, 0.5)
    """
    truth, owner = fractions(items)
    if not len(truth):
        return None
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    steps = round(1 / step)
    edges = np.arange(steps + 1) / steps
    best, found = -1.0, (0.0, 1.0)
    for a in range(steps):
        for b in range(a + 1, steps + 1):
            inter = (np.minimum(truth[:, 1], edges[b]) - np.maximum(truth[:, 0], edges[a])).clip(0)
            iou = inter / (truth[:, 1] - truth[:, 0] + edges[b] - edges[a] - inter)
            mean = float(np.maximum.reduceat(iou, first).mean())
            # a tie within rounding goes to the first found, so that machines agree
            if mean > best + 1e-12:
                best, found = mean, (float(edges[a]), float(edges[b]))
    return found


def _fitted(train: Sequence[Item] | None) -> str:
    return ", fitted on the training items" if train else f" {OPTIMISTIC}"


def _fit(items: Sequence[Item], train: Sequence[Item] | None) -> tuple[tuple[float, float] | None, str, str]:
    """The best constant span (None if it is the whole video), how it was fitted, and a note for the whole video."""
    fitted = _fitted(train)
    span = best_span(train or items)
    if span is None and train:
        span, fitted = best_span(items), f" {OPTIMISTIC[:-1]}, because the training items have no durations)"
    if span == (0.0, 1.0):
        return None, fitted, f"; it is also the best constant span{fitted}"
    return span, fitted, ""


def span_constants(
    items: Sequence[Item], train: Sequence[Item] | None = None, label: str | None = None
) -> list[Constant]:
    """The whole video and the best constant span.

    Args:
        items: The evaluated items.
        train: Items on which the best constant is fitted; None fits it on `items` and says so.
        label: Class that every answer names (detection).
    """
    span, fitted, note = _fit(items, train)
    said = "" if label is None else f", class {label!r} (the most frequent)"
    rows = [
        Constant(
            "whole video",
            f"[0, 1] of each video's duration, where it is known{said}{note}",
            span_answers(items, (0.0, 1.0), label),
        )
    ]
    if span is not None:
        words = f"[{span[0]:g}, {span[1]:g}] of each video's duration, where it is known{said}{fitted}"
        rows.append(Constant("best constant span", words, span_answers(items, span, label)))
    return rows


def detection_constants(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The constant spans with the most frequent class."""
    source = train or items
    label = Counter(item.query for item in source).most_common(1)[0][0] if source else ""
    return span_constants(items, train, label)


def tube_constants(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The constant spans, each with a whole-frame box and with a centre box."""
    span, fitted, note = _fit(items, train)
    rows = _boxed(items, (0.0, 1.0), "whole video", note)
    return rows if span is None else rows + _boxed(items, span, "best constant span", fitted)


def tracking_constants(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The given first box held, and the whole video with constant boxes."""
    return [_held(items), *_boxed(items, (0.0, 1.0), "whole video")]


def moment_constants(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """DiDeMo's 21 moments: the whole video first, and by their frequency."""
    fitted = _fitted(train)
    return [_moments(items, train or items, ""), _moments(items, train or items, fitted)]


def span_answers(items: Sequence[Item], span: tuple[float, float], label: str | None = None) -> dict[str, Prediction]:
    """The same fractions of every video as an answer, naming the class `label` in detection."""
    out = {}
    for item in items:
        seconds = length(item)
        if seconds:
            rows = np.array([[span[0] * seconds, span[1] * seconds]])
            key = item.id if label is None else item.video
            out[key] = Prediction(
                key, spans=rows, ranked=np.c_[rows, 1.0], labels=None if label is None else [label], confidence=1.0
            )
    return out


def _boxed(items: Sequence[Item], span: tuple[float, float], name: str, fitted: str = "") -> list[Constant]:
    """A span with a whole-frame box, and with a box in the centre."""
    rows = []
    for kind, margin, words in (
        ("whole-frame box", 0.0, "the whole frame"),
        ("centre box", 0.25, "a box of half the frame's sides in its centre"),
    ):
        grids: dict[tuple[float, float], NDArray[np.float64]] = {}
        answers = {}
        for item in items:
            seconds = length(item)
            if not seconds or not item.width or not item.height:
                continue
            rate = item.tubes[0].rate if item.tubes else (item.fps or 1.0)
            if (seconds, rate) not in grids:
                grids[seconds, rate] = np.arange(max(1, round(seconds * rate))) / rate
            times = grids[seconds, rate]
            times = times[(times >= span[0] * seconds - 1e-9) & (times <= span[1] * seconds + 1e-9)]
            w, h = float(item.width), float(item.height)
            box = np.array([margin * w, margin * h, (1 - margin) * w, (1 - margin) * h])
            answers[item.id] = Prediction(
                item.id,
                spans=np.array([[span[0] * seconds, span[1] * seconds]]),
                # one row seen n times: a million boxes take no memory
                boxes=[Boxes(times, np.broadcast_to(box, (len(times), 4)))],
                rate=rate,
                confidence=1.0,
            )
        if answers:
            how = f"[{span[0]:g}, {span[1]:g}] of each video's duration, where it is known, {words}{fitted}"
            rows.append(Constant(f"{name}, {kind}", how, answers))
    return rows


def _held(items: Sequence[Item]) -> Constant:
    """The first true box, which trackers are given, at every annotated time."""
    answers = {}
    for item in items:
        if item.tubes and len(item.tubes[0]):
            tube = item.tubes[0]
            boxes = np.broadcast_to(tube.boxes[0], (len(tube), 4))
            answers[item.id] = Prediction(
                item.id, spans=item.spans.copy(), boxes=[Boxes(tube.times, boxes)], rate=tube.rate, confidence=1.0
            )
    return Constant("first box held", "the box that trackers are given, at every frame", answers)


def _moments(items: Sequence[Item], source: Sequence[Item], fitted: str) -> Constant:
    """All moments of six chunks, the most frequent first; without `fitted`, the whole video first."""
    counts = Counter(tuple(map(int, t)) for item in source for t in item.extra.get("times", []))
    if not fitted:
        counts = Counter({(0, 5): 1})
    moments = sorted([(a, b) for a in range(6) for b in range(a, 6)], key=lambda m: (-counts[m], m[1] - m[0], m[0]))
    ranked = np.array([[a * CHUNK, (b + 1) * CHUNK, 1 - k / len(moments)] for k, (a, b) in enumerate(moments)])
    answers = {i.id: Prediction(i.id, spans=ranked[:1, :2], ranked=ranked, confidence=1.0) for i in items}
    if not fitted:
        return Constant("whole video", "all six chunks, then the other moments, short ones first", answers)
    return Constant("most frequent moments", f"the 21 moments by their frequency{fitted}", answers)
