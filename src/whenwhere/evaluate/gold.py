"""Gold answers: the truth of every item, written as an answer, as the best that a protocol can be given."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate import didemo
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.qvhighlights import CLIP, votes


def gold_answers(items: Sequence[Item]) -> dict[str, Prediction]:
    """The true answer to each item, by id.

    >>> from whenwhere.datasets.item import span_array
    >>> gold_answers([Item("a", "v", spans=span_array([(1, 2)]))])["a"].spans
    array([[1., 2.]])
    """
    return {item.id: _answer(item) for item in items}


def gold_detections(items: Sequence[Item]) -> dict[str, Prediction]:
    """The true segments of each video as ranked answers; the class of each is its item's query."""
    by_video: dict[str, list[Item]] = {}
    for item in items:
        by_video.setdefault(item.video, []).append(item)
    out = {}
    for video, some in by_video.items():
        rows = [(start, end, 1.0) for item in some for start, end in item.spans.tolist()]
        labels = [item.query for item in some for _ in item.spans]
        out[video] = Prediction(video, ranked=np.array(rows).reshape(-1, 3), labels=labels)
    return out


def _answer(item: Item) -> Prediction:
    there = bool(len(item.spans)) or any(len(t) for t in item.tubes)
    return Prediction(
        item.id,
        "answered" if there else "absent",
        item.spans,
        ranked=_moments(item) if item.extra.get("times") else None if item.tubes else _scored(item.spans),
        boxes=[Boxes(t.times, t.boxes, t.id, t.label, t.score) for t in item.tubes],
        rate=item.tubes[0].rate if item.tubes else 1.0,
        curve=_saliency(item) if "saliency_scores" in item.extra else None,
        answer=item.answer,
        confidence=1.0,
    )


def _scored(spans: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The true spans as alternatives that are equally certain, because an average precision needs scores."""
    return np.column_stack([spans, np.ones(len(spans))]) if len(spans) else None


def _moments(item: Item) -> NDArray[np.float64]:
    """DiDeMo's ranking in seconds: the moment with the best score, then those annotators chose, then the rest."""
    times = np.asarray(item.extra["times"], np.int64).reshape(-1, 2)
    ious = np.sort(didemo.chunk_iou(didemo.MOMENTS[:, None], times[None]), axis=1)[:, -didemo.BEST :]
    said = Counter(map(tuple, times.tolist()))
    often = np.array([said[a, b] for a, b in didemo.MOMENTS.tolist()])
    best = int(ious.mean(1).argmax())
    order = np.array([best, *(k for k in np.argsort(-often, kind="stable") if k != best)])
    seconds = didemo.CHUNK * (didemo.MOMENTS[order] + [0, 1])
    return np.column_stack([seconds, np.linspace(1, 0, len(order))])


def _saliency(item: Item) -> tuple[float, float, NDArray[np.float64]]:
    """QVHighlights' clip scores: the highest vote of any annotator decides, then the mean of the votes."""
    cast, clips = votes([item])
    values = cast[0, : clips[0]].astype(np.float64)
    return 0.0, float(CLIP), values.max(1, initial=0) + values.mean(1) / 10
