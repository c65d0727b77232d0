"""Text-to-video and video-to-text retrieval, scored from one matrix of similarities between sentences and videos.

The measures are R@k, the median rank (MdR) and the mean rank (MnR), in both directions. Several sentences may describe
the same video. A sentence is a query for its video. A video is a query for the best ranked of its sentences, either
among all sentences or (`grouped`, as CLIP4Clip counts) among videos that are each represented by their best sentence.

Ties are counted against the answer by default: wrong candidates with the same similarity rank before the right one
(`worst`). Most published code sorts and takes the first of the tied places, so that a constant matrix reaches R@1 = 1
(`best`); `mean` takes the middle of the tied places. `dual_softmax` reweights all similarities by a softmax over the
queries. Since it uses all queries at once, numbers with and without it are not comparable.

As an evaluation task, an item is a sentence, with the number of its video in `Item.extra["video"]`, and its answer is
the row of its similarities to all videos (`Prediction.scores`).
"""

from collections import Counter
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
#: Number of rows that are compared at a time, which limits the memory needed besides the matrix.
BLOCK = 1024


def dual_softmax(similarity: Floats, axis: int, temperature: float = 1.0) -> Floats:
    """Multiplies similarities by their softmax over the queries, as ViCLIP's evaluation does with temperature 1.

    Args:
        similarity: Finite similarities, shape (n, m).
        axis: The axis along which the queries lie. In a matrix of shape (texts, videos) it is 0 if sentences are the
            queries, and 1 if videos are.
        temperature: Number above 0 by which the similarities are divided before the softmax.

    Returns:
        The reweighted similarities, shape (n, m).

    >>> dual_softmax(np.array([[1., 0.], [1., 2.]]), 0).round(3).tolist()
    [[0.5, 0.0], [0.5, 1.762]]
    """
    weight = similarity / temperature
    weight = np.exp(weight - weight.max(axis=axis, keepdims=True))
    return similarity * (weight / weight.sum(axis=axis, keepdims=True))


def similarity_ranks(
    similarity: Floats, right: NDArray[np.bool_] | NDArray[np.integer], ties: Ties = "worst"
) -> Floats:
    """The rank of the right column in each row, shape (n,); 1 is the best.

    If a row has several right columns, the most similar of them is ranked, and the others are left out.

    Args:
        similarity: Finite similarities, shape (n, m).
        right: The right column of each row, shape (n,), or a mask of all right columns, shape (n, m).
        ties: Whether the right column ranks after (`worst`), in the middle of (`mean`) or before (`best`) the wrong
            columns with the same similarity.

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
    """R@1, R@5, R@10 (in 0-1), the median and the mean of the ranks of all queries; NaN if there are none.

    Args:
        rank: Rank of the right answer to each query, 1 is the best, shape (n,).
    """
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
    """Score retrieval in both directions. The items of the scores are the sentences.

    Args:
        similarity: Finite similarities, shape (texts, videos).
        video_of: Number of the video that each sentence describes, shape (texts,). None means that sentence i
            describes video i.
        ids: Ids of the sentences. None numbers them.
        ties: How the right candidate ranks among wrong ones with the same similarity: after them (`worst`), in the
            middle (`mean`) or before them (`best`).
        temperature: Temperature of the dual softmax. None leaves the similarities as they are.
        grouped: Whether a video is ranked among videos, each represented by its best sentence, instead of its
            sentences being ranked among all sentences.

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


def retrieval_measures(
    similarity: Floats, video_of: NDArray[np.integer] | None = None, temperature: float = 1.0
) -> dict[str, float]:
    """R@1, R@5, R@10, MdR and MnR in both directions, and the same with dual softmax under names of their own.

    Args:
        similarity: Finite similarities, shape (texts, videos), one at least.
        video_of: Number of the video that each sentence describes, shape (texts,). None means that sentence i
            describes video i.
        temperature: Temperature of the dual softmax.

    Returns:
        `t2v-R@1`, ..., `v2t-MnR`, and with all queries known `dual-softmax-t2v-R@1`, ...

    Raises:
        SettingError: The pool is empty, or `score` refuses the matrix.

    >>> found = retrieval_measures(np.eye(3))
    >>> found["t2v-R@1"], found["dual-softmax-v2t-MdR"]
    (1.0, 1.0)
    """
    if not np.size(similarity):
        raise SettingError(f"similarities of shape {np.shape(similarity)} have no pairs: give a pool of one at least")
    plain = score(similarity, video_of).summary
    dual = score(similarity, video_of, temperature=temperature).summary
    return plain | {f"dual-softmax-{name}": value for name, value in dual.items()}


def recall_ceiling(sentences: Sequence[str], video_of: Sequence[int], k: int = 1) -> float:
    """Highest text-to-video R@k that any encoder can reach, below 1 where several videos share a sentence.

    Args:
        sentences: The sentences.
        video_of: Number of the video that each of them describes.
        k: Number of videos that are looked at.

    >>> recall_ceiling(["a dog", "a dog", "a cat", "a bird"], [0, 1, 2, 3])
    0.75
    """
    owners: dict[str, Counter[int]] = {}
    for sentence, video in zip(sentences, video_of, strict=True):
        owners.setdefault(sentence, Counter())[video] += 1
    # Equal sentences get equal lists of videos, so that the best list holds the k videos with most of them.
    found = sum(count for videos in owners.values() for _, count in videos.most_common(k))
    return found / len(sentences) if sentences else float("nan")


def pair_measures(similarity: Floats) -> dict[str, float]:
    """How often the sentences and videos of pairs are told apart.

    Args:
        similarity: For each pair the similarities of its two sentences with its two videos, shape (pairs, 2, 2);
            sentence i describes video i.

    Returns:
        `pair-t2v`, the share of sentences that are more similar to their own video than to the other (chance 1/2);
        `pair-v2t`, the same for videos; `pair-both`, the share of pairs in which both sentences and both videos are
        right, as Winoground's group score (chance 1/6). Equal similarities are wrong.

    >>> pair_measures(np.array([[[0.9, 0.1], [0.3, 0.2]]]))
    {'pair-t2v': 0.5, 'pair-v2t': 1.0, 'pair-both': 0.0}
    """
    return {name: float(hits.mean()) for name, hits in pair_hits(similarity).items()}


def pair_hits(similarity: Floats) -> dict[str, Floats]:
    """The measures of `pair_measures` for each pair alone, shape (pairs,) each.

    Args:
        similarity: As `pair_measures` takes them.
    """
    own = np.diagonal(similarity, axis1=1, axis2=2)
    forth = own > np.stack([similarity[:, 0, 1], similarity[:, 1, 0]], 1)
    back = own > np.stack([similarity[:, 1, 0], similarity[:, 0, 1]], 1)
    both = forth.all(1) & back.all(1)
    return {"pair-t2v": forth.mean(1), "pair-v2t": back.mean(1), "pair-both": both.astype(float)}


def score_items(
    items: Sequence[Item],
    by_id: Mapping[str, Prediction],
    temperature: float | None = None,
    grouped: bool = False,
) -> Scores:
    """Score answers that hold one row of similarities per sentence; a sentence without an answer ranks last.

    Args:
        items: The sentences.
        by_id: The answers by the id of their sentence.
        temperature: Temperature of the dual softmax. None leaves the similarities as they are.
        grouped: Whether a video is ranked among videos instead of its sentences among all sentences; see `score`.

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
    """The chance baseline: the expected text-to-video R@k, median and mean rank if all similarities are random.

    Args:
        items: The sentences that are evaluated.
        train: Not used; baselines of other tasks are fitted on it.
    """
    videos = max((int(item.extra["videos"]) for item in items), default=0)
    found = {f"t2v-R@{k}": min(1.0, k / videos) for k in RECALL_AT if videos}
    found |= {"t2v-MdR": (videos + 1) / 2, "t2v-MnR": (videos + 1) / 2}
    return [Constant("chance", "expected values for random similarities", {}, found)]


def gold_similarities(items: Sequence[Item]) -> dict[str, Prediction]:
    """Perfect answers by the id of their sentence: similarity 1 to the right video and 0 to all others."""
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
