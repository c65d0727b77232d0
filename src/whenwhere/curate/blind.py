"""What models score that do not see the video, or do not read the sentence: how much of a set is prior.

The blind model chooses, for each item, one of 55 spans (all pairs of tenths of the video). It is a ridge regression
from features to the IoU of each of these spans, and answers with the span of the highest predicted IoU. Without any
features it is exactly the best constant span, so whatever it scores more comes from its features:

- query only: hashed words and pairs of neighbouring words of the sentence;
- video only: what is known without pixels (duration, size and rate of the video, number of its sentences, its source);
- query and video: both.

Every item is answered by a model that saw no sentence about its video (five folds by video). The strength of the ridge
is chosen inside the training folds. Of a set of more than 8000 items a sample of its videos is used. A model with
pixels but without the sentence, or any other blind model, can be scored beside these from a file of its answers.
"""

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whenwhere.curate.names import video_key
from whenwhere.curate.set_filters import source_of
from whenwhere.datasets.item import Item
from whenwhere.evaluate.constants import fractions, length
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.ragged import highest
from whenwhere.stats import Interval, bootstrap_mean, paired_difference

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]

#: Thresholds of R1.
THRESHOLDS = (0.3, 0.5, 0.7)
_FOLDS = 5
_STEPS = 10
_HASHED = 1024
#: Strengths of the ridge that are tried, as numbers of observations.
_RIDGES = (3.0, 30.0, 300.0)
_WORD = re.compile(r"\w+")
_RESAMPLES = 500
#: Items of a set that are used; of a larger one the videos are sampled.
MOST_ITEMS = 8000


@dataclass(frozen=True, eq=False)
class BlindScore:
    """What one blind model scores.

    Attributes:
        name: Name of the model.
        iou: IoU of its answer with the best true span of each item, shape (n,); NaN where it gave no answer.
        mean: Mean IoU with its 95 % interval from resampled videos.
        gain: Mean IoU minus that of the best constant span, with its interval; None for the constants.
    """

    name: str
    iou: Floats
    mean: Interval
    gain: Interval | None = None

    @property
    def recalls(self) -> dict[str, float]:
        """R1 at each threshold; an item without an answer counts as wrong."""
        return {f"R1@{t:g}": float((np.nan_to_num(self.iou) >= t).mean()) for t in THRESHOLDS}


def blind_scores(
    items: Sequence[Item], answers: Mapping[str, Mapping[str, Prediction]] | None = None, seed: int = 0
) -> list[BlindScore]:
    """Scores of the whole video, the best constant span, and the blind models; empty if nothing can be scored.

    Args:
        items: Items of one set. Invalid ones, and those without span or duration, are left out.
        answers: Answers of other blind models by name and item id.
        seed: Seed of the folds and intervals.
    """
    usable = [i for i in items if i.status == "valid" and len(i.span_set) and length(i)]
    if len(usable) > MOST_ITEMS:
        part = folds([video_key(i.video) for i in usable], seed + 2, count=1000)
        usable = [i for i, place in zip(usable, part.tolist(), strict=True) if place < 1000 * MOST_ITEMS / len(usable)]
    videos = [video_key(i.video) for i in usable]
    fold = folds(videos, seed)
    if len(set(fold.tolist())) < _FOLDS:
        return []
    spans, owner = fractions(usable)
    edges = [(a / _STEPS, b / _STEPS) for a in range(_STEPS) for b in range(a + 1, _STEPS + 1)]
    targets = np.stack([_best_iou(spans, owner, len(usable), a, b) for a, b in edges], axis=1)
    words, known = sentence_features(usable), video_features(usable)
    from scipy.sparse import csr_array, hstack

    chosen = {
        "best constant span": _constant(targets, fold),
        "query only": _ridge(words, targets, fold, videos),
        "video only": _ridge(known, targets, fold, videos),
        "query and video": _ridge(csr_array(hstack([words, known])), targets, fold, videos),
    }
    rows = np.arange(len(usable))
    found = {"whole video": targets[:, edges.index((0.0, 1.0))]}
    found |= {name: targets[rows, k] for name, k in chosen.items()}
    for name, by_id in (answers or {}).items():
        found[name] = _answered(usable, by_id)
    constant = found["best constant span"]
    return [
        BlindScore(
            name, iou, bootstrap_mean(np.nan_to_num(iou), videos, _RESAMPLES, seed),
            None if name in ("whole video", "best constant span")
            else paired_difference(np.nan_to_num(iou), constant, videos, _RESAMPLES, seed),
        )
        for name, iou in found.items()
    ]  # fmt: skip


def folds(videos: Sequence[str], seed: int = 0, count: int = _FOLDS) -> NDArray[np.intp]:
    """The fold of each item, shape (n,): items of one video share it, and it follows from the video's name alone.

    >>> a, b, c = folds(["v1", "v2", "v1"])
    >>> bool(a == c)
    True
    """
    return np.array([zlib.crc32(f"{seed} {video}".encode()) % count for video in videos], np.intp)


def sentence_features(items: Sequence[Item]) -> "csr_array":
    """Hashed words and pairs of neighbouring words of each sentence, rows of length 1, shape (n, features)."""
    columns: list[int] = []
    starts, values = [0], []
    for item in items:
        words = _WORD.findall(item.query.casefold())
        grams = [*words, *(f"{a} {b}" for a, b in pairwise(words))]
        held = Counter(zlib.crc32(gram.encode()) % _HASHED for gram in grams)
        columns += list(held)
        norm = sum(value**2 for value in held.values()) ** 0.5
        values += [value / norm for value in held.values()]
        starts.append(len(columns))
    return _sparse(columns, starts, values)


def video_features(items: Sequence[Item]) -> "csr_array":
    """What is known of each video without its pixels, each in bins: duration, shape, rate, sentences, source."""
    sentences = Counter(item.video for item in items)
    columns, starts, values = [], [0], []
    for item in items:
        seconds = length(item) or 1.0
        wide = f"{item.width / item.height:.1f}" if item.width and item.height else "?"
        parts = (
            f"seconds {round(4 * np.log2(seconds))}", f"half {round(2 * np.log2(seconds))}", f"shape {wide}",
            f"rate {item.fps and round(item.fps)}", f"sentences {min(12, sentences[item.video])}",
            f"source {source_of(item)}",
        )  # fmt: skip
        held = Counter(zlib.crc32(part.encode()) % 256 for part in parts)
        columns += list(held)
        values += [float(value) for value in held.values()]
        starts.append(len(columns))
    return _sparse(columns, starts, values)


def _sparse(columns: list[int], starts: list[int], values: list[float]) -> "csr_array":
    from scipy.sparse import csr_array

    # columns that no item has would cost as much as the others
    used = np.unique(np.array(columns, np.int32))
    place = np.searchsorted(used, columns)
    return csr_array((np.array(values, float), place, np.array(starts, np.int64)), shape=(len(starts) - 1, len(used)))


def _best_iou(spans: Floats, owner: NDArray[np.intp], count: int, a: float, b: float) -> Floats:
    inter = (np.minimum(spans[:, 1], b) - np.maximum(spans[:, 0], a)).clip(0)
    iou = inter / (spans[:, 1] - spans[:, 0] + b - a - inter)
    return highest(iou, owner, count)


def _constant(targets: Floats, fold: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each item the span that is best on the items of other folds."""
    chosen = np.zeros(len(targets), np.intp)
    for k in np.unique(fold):
        chosen[fold == k] = targets[fold != k].mean(axis=0).argmax()
    return chosen


def _ridge(features: "csr_array", targets: Floats, fold: NDArray[np.intp], videos: Sequence[str]) -> NDArray[np.intp]:
    """For each item the span with the highest predicted IoU, from ridge regressions on the other folds."""
    chosen = np.zeros(len(targets), np.intp)
    inner = folds(videos, seed=1, count=4)
    for k in np.unique(fold):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        fit, held = train[inner[train] != 0], train[inner[train] == 0]
        best = _RIDGES[-1]
        if len(fit) and len(held):
            tried = _predictions(features, targets, fit, held, _RIDGES)
            scores = [targets[held, found.argmax(axis=1)].mean() for found in tried]
            # of equals the strongest, which strays least from the constant
            best = _RIDGES[max(range(len(_RIDGES)), key=lambda n: (round(float(scores[n]), 9), n))]
        (found,) = _predictions(features, targets, train, test, (best,))
        chosen[test] = found.argmax(axis=1)
    return chosen


def _predictions(
    features: "csr_array", targets: Floats, train: NDArray[np.intp], test: NDArray[np.intp], ridges: Sequence[float]
) -> list[Floats]:
    from scipy.linalg import cho_factor, cho_solve

    mean = targets[train].mean(axis=0)
    x = features[train]
    gram = np.asarray((x.T @ x).todense())
    against = x.T @ (targets[train] - mean)
    found = []
    for ridge in ridges:
        factor = cho_factor(gram + ridge * np.eye(len(gram)), overwrite_a=True, check_finite=False)
        found.append(mean + features[test] @ cho_solve(factor, against, check_finite=False))
    return found


def _answered(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Floats:
    """IoU of each answer's first choice with the best true span; NaN without an answer."""
    found = np.full(len(items), np.nan)
    for k, item in enumerate(items):
        prediction = by_id.get(item.id)
        top = None if prediction is None else prediction.top
        if top is None or not top[0] < top[1]:
            continue
        spans = item.spans
        inter = (np.minimum(spans[:, 1], top[1]) - np.maximum(spans[:, 0], top[0])).clip(0)
        found[k] = (inter / (spans[:, 1] - spans[:, 0] + top[1] - top[0] - inter)).max()
    return found
