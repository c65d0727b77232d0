"""Text-to-video and video-to-text retrieval from one matrix of similarities.

R@k, median (MdR) and mean rank (MnR), both ways. Several sentences may describe one video: a sentence looks for its
video; a video looks for the best ranked of its sentences, among all sentences, or (`grouped`, as CLIP4Clip counts)
among videos that are each represented by their best sentence.

Equal similarities rank before the right one by default (`worst`). Usual code sorts and takes the first equal place, so
that a constant matrix reaches R@1 = 1 (`best`); `mean` takes the middle of the equal places. `dual_softmax` reweights
all similarities by a softmax over the other side; it looks at all queries at once, and numbers with and without it are
not comparable.

As a task, an item is a sentence (`Item.extra["video"]` is the number of its video) and an answer is the row of its
similarities to all videos (`Prediction.scores`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.evaluate.constants import Constant
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.temporal import look_up

Ties = Literal["worst", "mean", "best"]
RECALL_AT = (1, 5, 10)
#: Rows that are compared at a time; bounds the memory beside the matrix.
BLOCK = 1024


def dual_softmax(similarity: Floats, axis: int, temperature: float = 1.0) -> Floats:
    """The similarity times its softmax over `axis`; axis 0 holds the queries of a text-to-video matrix.

    >>> dual_softmax(np.array([[1., 0.], [1., 2.]]), 0).round(3).tolist()
    [[0.5, 0.0], [0.5, 1.762]]
    """
    weight = similarity / temperature
    weight = np.exp(weight - weight.max(axis=axis, keepdims=True))
    return similarity * (weight / weight.sum(axis=axis, keepdims=True))


def similarity_ranks(
    similarity: Floats, right: NDArray[np.bool_] | NDArray[np.integer], ties: Ties = "worst"
) -> Floats:
    """Rank (1 is the best) of the best right column of each row, counted among the wrong columns, shape (n,).

    Args:
        similarity: Finite similarities, shape (n, m).
        right: The right column of each row, shape (n,), or a mask of all right columns, shape (n, m).
        ties: Rank among equal similarities, see the module.

    >>> same = np.zeros((1, 3))
    >>> [float(similarity_ranks(same, np.array([1]), t)[0]) for t in ("worst", "mean", "best")]
    [3.0, 2.0, 1.0]
    """
    out = np.empty(len(similarity))
    for start in range(0, len(similarity), BLOCK):
        rows = similarity[start : start + BLOCK]
        mask = right[start : start + BLOCK]
        if mask.ndim == 1:
            mask = np.arange(rows.shape[1]) == mask[:, None]
        own = np.where(mask, rows, -np.inf).max(1, keepdims=True)
        above = ((rows > own) & ~mask).sum(1)
        equal = ((rows == own) & ~mask).sum(1)
        out[start : start + BLOCK] = 1 + above + {"worst": 1.0, "mean": 0.5, "best": 0.0}[ties] * equal
    return out


def rank_measures(rank: Floats) -> dict[str, float]:
    """R@1, R@5, R@10, median and mean rank; NaN without queries."""
    if not len(rank):
        return dict.fromkeys([*(f"R@{k}" for k in RECALL_AT), "MdR", "MnR"], float("nan"))
    recalls = {f"R@{k}": float((rank <= k).mean()) for k in RECALL_AT}
    return recalls | {"MdR": float(np.median(rank)), "MnR": float(rank.mean())}


def score(
    similarity: Floats,
    video_of: NDArray[np.integer] | None = None,
    ids: Sequence[str] | None = None,
    ties: Ties = "worst",
    temperature: float | None = None,
    grouped: bool = False,
) -> Scores:
    """Score both directions; per-item columns belong to the sentences.

    Args:
        similarity: Finite similarities, shape (texts, videos).
        video_of: Number of the video that each sentence describes, shape (texts,). None means that sentence i
            describes video i.
        ids: Ids of the sentences.
        ties: Rank among equal similarities, see the module.
        temperature: Temperature of the dual softmax; None leaves it out.
        grouped: Whether a video looks among videos instead of among sentences.

    Raises:
        SettingError: The matrix does not fit `video_of`, or has a value that is not finite.

    >>> score(np.eye(4)).summary["t2v-R@1"]
    1.0
    """
    table = np.asarray(similarity, np.float64)
    texts, videos = table.shape if table.ndim == 2 else (0, 0)
    owner = np.arange(texts) if video_of is None else np.asarray(video_of)
    if table.ndim != 2 or len(owner) != texts or (texts and not 0 <= owner.min() <= owner.max() < videos):
        raise SettingError(
            f"similarities of shape {table.shape} do not fit {len(owner)} sentences: give texts × videos, and for each "
            "sentence the number of its video"
        )
    if not np.isfinite(table).all():
        raise SettingError("the similarities hold values that are not finite: mend what wrote them")
    forth = table if temperature is None else dual_softmax(table, 0, temperature)
    back = (table if temperature is None else dual_softmax(table, 1, temperature)).T
    rank = similarity_ranks(forth, owner, ties)
    # A video without a sentence is a distractor: it can be found, but has nothing to look for.
    asked = np.unique(owner)
    if grouped:
        best = np.stack([back[:, owner == v].max(1) for v in asked], 1) if texts else back
        reverse = similarity_ranks(best[asked], np.arange(len(asked)), ties)
    else:
        reverse = similarity_ranks(back[asked], owner == asked[:, None], ties)
    summary = {f"t2v-{k}": v for k, v in rank_measures(rank).items()} | {
        f"v2t-{k}": v for k, v in rank_measures(reverse).items()
    }
    columns = {f"t2v-R@{k}": (rank <= k).astype(float) for k in RECALL_AT} | {"t2v-MnR": rank}
    notes = [f"equal similarities: {ties}"]
    if temperature is not None:
        notes.append(f"dual softmax over all queries, temperature {temperature:g}")
    if videos > len(asked):
        notes.append(f"{videos - len(asked)} of {videos} videos have no sentence: distractors")
    names = [str(i) for i in range(texts)] if ids is None else list(ids)
    return Scores(summary, names, [str(v) for v in owner], columns, notes=notes)


def score_items(
    items: Sequence[Item],
    by_id: Mapping[str, Prediction],
    temperature: float | None = None,
    grouped: bool = False,
) -> Scores:
    """Score rows of similarities; a sentence without an answer ranks last everywhere.

    >>> items = [Item(str(k), "v", extra={"video": k, "videos": 2}) for k in range(2)]
    >>> answers = {str(k): Prediction(str(k), scores=np.eye(2)[k]) for k in range(2)}
    >>> score_items(items, answers).summary["v2t-R@1"]
    1.0
    """
    kept, predictions, notes = look_up(items, by_id)
    rows = [None if p is None else p.scores for p in predictions]
    table = np.zeros((len(kept), max((int(item.extra["videos"]) for item in kept), default=0)))
    lost = np.array([row is None for row in rows], bool)
    for place, row in enumerate(rows):
        if row is not None:
            table[place] = row
    # equal and lowest, so that everything ranks before it
    table[lost] = table.min(initial=0.0) - 1
    owner = np.array([int(item.extra["video"]) for item in kept], np.intp)
    scores = score(table, owner, [item.id for item in kept], "worst", temperature, grouped)
    scores.notes = notes + scores.notes
    return scores


def chance(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The expected result of random similarities, text to video."""
    videos = max((int(item.extra["videos"]) for item in items), default=0)
    found = {f"t2v-R@{k}": min(1.0, k / videos) for k in RECALL_AT if videos}
    found |= {"t2v-MdR": (videos + 1) / 2, "t2v-MnR": (videos + 1) / 2}
    return [Constant("chance", "expected of random similarities", {}, found)]


def gold_similarities(items: Sequence[Item]) -> dict[str, Prediction]:
    """The answers that find the right video: similarity 1 to it and 0 to the others."""
    return {
        item.id: Prediction(item.id, scores=np.eye(1, int(item.extra["videos"]), int(item.extra["video"]))[0])
        for item in items
    }


_RECALLS = tuple(f"{way}-{m}" for way in ("t2v", "v2t") for m in ("R@1", "R@5", "R@10", "MdR", "MnR"))


def _protocol(
    name: str, softmax: str, reverse: str, temperature: float | None = None, grouped: bool = False
) -> Protocol:
    return Protocol(
        name,
        ("retrieval",),
        partial(score_items, temperature=temperature, grouped=grouped),
        "ours",
        "retrieval.py",
        {"equal similarities": "rank before the right one", "dual softmax": softmax, "video to text": reverse},
        _RECALLS,
    )


PROTOCOLS = (
    _protocol("retrieval", "no", "among all sentences"),
    _protocol("retrieval-dual-softmax", "over all queries", "among all sentences", temperature=1.0),
    _protocol("retrieval-grouped", "no", "among videos, each by its best sentence", grouped=True),
)
