"""Text-to-video and video-to-text retrieval from one matrix of similarities.

R@k, median (MdR) and mean rank (MnR), both ways. Several sentences may describe one video: a sentence looks for its
video; a video looks for the best placed of its sentences, among all sentences, or (`grouped`, as CLIP4Clip counts)
among videos that are each represented by their best sentence.

Equal similarities rank against the answer by default (`worst`): usual code sorts and takes the first equal place, so
that a constant matrix reaches R@1 = 1 (`best`); `mean` takes the middle of the equal places. `dual_softmax` reweights
all similarities by a softmax over the other side; it looks at all queries at once, and numbers with and without it are
not comparable.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.scores import Scores

Ties = Literal["worst", "mean", "best"]
AT = (1, 5, 10)
#: Rows that are compared at a time; bounds the memory beside the matrix.
BLOCK = 1024


def dual_softmax(similarity: Floats, axis: int, temperature: float = 1.0) -> Floats:
    """Similarity times its softmax over `axis` (0: over the queries of a text-to-video matrix).

    >>> dual_softmax(np.array([[1., 0.], [1., 2.]]), 0).round(3).tolist()
    [[0.5, 0.0], [0.5, 1.762]]
    """
    weight = similarity / temperature
    weight = np.exp(weight - weight.max(axis=axis, keepdims=True))
    return similarity * (weight / weight.sum(axis=axis, keepdims=True))


def ranks(similarity: Floats, right: NDArray[np.bool_] | NDArray[np.integer], ties: Ties = "worst") -> Floats:
    """(n,) rank, 1 = best, of the best placed right column of each row, counted among the wrong ones.

    Args:
        similarity: (n, m), finite.
        right: (n,) the right column, or (n, m) all right columns.
        ties: see the module.

    >>> same = np.zeros((1, 3))
    >>> [float(ranks(same, np.array([1]), t)[0]) for t in ("worst", "mean", "best")]
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


def measures(rank: Floats) -> dict[str, float]:
    """R@1, R@5, R@10, median and mean rank; nan without queries."""
    if not len(rank):
        return dict.fromkeys([*(f"R@{k}" for k in AT), "MdR", "MnR"], float("nan"))
    recalls = {f"R@{k}": float((rank <= k).mean()) for k in AT}
    return recalls | {"MdR": float(np.median(rank)), "MnR": float(rank.mean())}


def score(
    similarity: Floats,
    video_of: NDArray[np.integer] | None = None,
    ids: Sequence[str] | None = None,
    ties: Ties = "worst",
    temperature: float | None = None,
    grouped: bool = False,
) -> Scores:
    """Both directions; per-item columns belong to the sentences.

    Args:
        similarity: (texts, videos), finite.
        video_of: (texts,) which video a sentence describes; None: sentence i describes video i.
        ids: of the sentences.
        ties: see the module.
        temperature: of the dual softmax; None leaves it out.
        grouped: video to text among videos instead of among sentences.

    Raises:
        SettingError: the matrix does not fit `video_of`, or has a value that is not finite.

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
    rank = ranks(forth, owner, ties)
    # A video without a sentence is a distractor: it can be found, but has nothing to look for.
    asked = np.unique(owner)
    if grouped:
        best = np.stack([back[:, owner == v].max(1) for v in asked], 1) if texts else back
        reverse = ranks(best[asked], np.arange(len(asked)), ties)
    else:
        reverse = ranks(back[asked], owner == asked[:, None], ties)
    summary = {f"t2v-{k}": v for k, v in measures(rank).items()} | {f"v2t-{k}": v for k, v in measures(reverse).items()}
    columns = {f"t2v-R@{k}": (rank <= k).astype(float) for k in AT} | {"t2v-MnR": rank}
    notes = [f"equal similarities: {ties}"]
    if temperature is not None:
        notes.append(f"dual softmax over all queries, temperature {temperature:g}")
    if videos > len(asked):
        notes.append(f"{videos - len(asked)} of {videos} videos have no sentence: distractors")
    names = [str(i) for i in range(texts)] if ids is None else list(ids)
    return Scores(summary, names, [str(v) for v in owner], columns, notes=notes)
