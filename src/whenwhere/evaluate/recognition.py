"""Recognition: whether the right class is among the first k, on average over items and over classes.

Equal scores are counted against the answer: a model that gives every class the same score has recognised nothing.
(Sorting, as most code does, would reward the classes that happen to come first.)

As a task, an item has the number of its class (`Item.extra["label"]`) and an answer is one score for each class
(`Prediction.scores`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.constants import OPTIMISTIC, Constant
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.ragged import Floats
from whenwhere.evaluate.temporal import look_up


def true_rank(scores: Floats, labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Rank of the true class (1 is the best), shape (n,); classes with an equal score rank before it.

    Args:
        scores: Scores of the classes, higher is better, shape (n, c). NaN ranks last; a true class with NaN ranks
            after every other class.
        labels: Number of the true class, shape (n,).

    >>> true_rank(np.array([[.2, .5, .5], [.9, .1, 0]]), np.array([1, 0])).tolist()
    [2, 1]
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    rank = (scores >= own).sum(1)
    return np.where(np.isnan(own[:, 0]), scores.shape[1], rank)


def mean_class_accuracy(hit: Floats, labels: NDArray[np.integer]) -> float:
    """Accuracy of each class that occurs, averaged over classes, 0-1; NaN if there are no items.

    Args:
        hit: 1 where the class was recognised and 0 elsewhere, shape (n,).
        labels: Number of the true class, shape (n,).

    >>> mean_class_accuracy(np.array([1., 1, 1, 0]), np.array([0, 0, 0, 1]))
    0.5
    """
    _, number = np.unique(labels, return_inverse=True)
    return float((np.bincount(number, hit) / np.bincount(number)).mean()) if len(hit) else float("nan")


def score(
    scores: Floats, labels: NDArray[np.integer], ids: Sequence[str], videos: Sequence[str] | None = None
) -> Scores:
    """Top-1 and top-5 accuracy, their mean, and the mean accuracy of the classes, all in 0-1.

    `mean-top-1-5` is what papers on zero-shot recognition on Kinetics call AVG (InternVid, section 4).

    Args:
        scores: Scores of the classes, higher is better, shape (n, c). NaN ranks last.
        labels: Number of the true class, shape (n,).
        ids: Ids of the items.
        videos: Names of their videos. None takes the ids.

    >>> score(np.eye(3), np.array([0, 1, 0]), ["a", "b", "c"]).summary["top-1"].__round__(3)
    0.667
    """
    rank = true_rank(scores, labels)
    columns = {f"top-{k}": (rank <= k).astype(float) for k in (1, 5)}
    summary = {name: float(column.mean()) if len(rank) else float("nan") for name, column in columns.items()}
    summary["mean-top-1-5"] = (summary["top-1"] + summary["top-5"]) / 2
    summary["mean-class-accuracy"] = mean_class_accuracy(columns["top-1"], labels)
    return Scores(summary, list(ids), list(videos or ids), columns)


def score_items(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score class scores; an item without an answer ranks its class last.

    >>> items = [Item(str(k), "v", extra={"label": k, "classes": 2}) for k in range(2)]
    >>> score_items(items, {"0": Prediction("0", scores=np.array([0.9, 0.1]))}).summary["top-1"]
    0.5
    """
    kept, predictions, notes = look_up(items, by_id)
    labels = np.array([int(item.extra["label"]) for item in kept], np.intp)
    table = np.full((len(kept), max((int(item.extra["classes"]) for item in kept), default=1)), np.nan)
    for place, prediction in enumerate(predictions):
        if prediction is not None and prediction.scores is not None:
            table[place] = prediction.scores
    scores = score(table, labels, [item.id for item in kept], [item.video for item in kept])
    scores.notes += notes
    return scores


def most_frequent_class(items: Sequence[Item], train: Sequence[Item] | None = None) -> list[Constant]:
    """The most frequent class as the answer to every item; without `train` it is fitted on the items themselves."""
    labels = [int(item.extra["label"]) for item in train or items]
    classes = max((int(item.extra["classes"]) for item in items), default=1)
    row = np.eye(1, classes, int(np.bincount(labels).argmax()) if labels else 0)[0]
    how = "the most frequent class of " + ("the training items" if train else f"this file {OPTIMISTIC}")
    answers = {item.id: Prediction(item.id, scores=row) for item in items}
    # four further classes would be tied
    return [Constant("most frequent class", f"{how}, for every item", answers, undefined=("top-5", "mean-top-1-5"))]


def gold_classes(items: Sequence[Item]) -> dict[str, Prediction]:
    """The answers that name the right class: score 1 for it and 0 for the others."""
    return {
        item.id: Prediction(item.id, scores=np.eye(1, int(item.extra["classes"]), int(item.extra["label"]))[0])
        for item in items
    }


PROTOCOLS = (
    Protocol(
        "recognition",
        ("recognition",),
        score_items,
        "ours",
        "recognition.py",
        {"equal scores": "rank before the right one"},
        ("top-1", "top-5", "mean-class-accuracy"),
    ),
)
