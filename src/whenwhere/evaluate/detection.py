"""Temporal action detection: mAP at tIoU thresholds as ActivityNet's evaluator counts it.

For each class all answers of all videos are sorted by score and matched within their video; the interpolated AP of the
classes is averaged, and for mAP also over the thresholds 0.5:0.05:0.95. Answers belong to videos: `Prediction.id` is
the video, `ranked` its segments, `labels` their classes. Items are the true segments, and `query` is the class.

Equal scores come in the order of the original (`tie_order`), because its published digits depend on it. As there, an
answer for a video without truth is a false positive.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.average_precision import interpolated, true_positives
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores, percent
from whenwhere.evaluate.ragged import Floats, Ragged
from whenwhere.evaluate.tie_order import dictionary_order, falling

ACTIVITYNET = np.linspace(0.5, 0.95, 10)
THUMOS = np.linspace(0.3, 0.7, 5)


def _cells(cell: NDArray[np.intp], rows: Floats, order: NDArray[np.intp], n: int) -> Ragged:
    """The rows of each cell; `order` sorts the rows by cell."""
    counts = np.bincount(cell, minlength=n)
    return Ragged(rows[order], np.concatenate([[0], np.cumsum(counts)]))


def class_precision(
    truth: Floats,
    truth_class: NDArray[np.intp],
    truth_video: NDArray[np.intp],
    answers: Floats,
    answer_class: NDArray[np.intp],
    answer_video: NDArray[np.intp],
    scores: Floats,
    thresholds: Floats = ACTIVITYNET,
) -> tuple[Floats, NDArray[np.bool_]]:
    """AP of each class at each threshold, and which true segments were found.

    Args:
        truth: True segments, shape (m, 2).
        truth_class: Class of each true segment, 0 to c - 1, shape (m,); every class has a segment.
        truth_video: Number of the video of each true segment, shape (m,).
        answers: Answered segments in the order that decides ties, shape (n, 2).
        answer_class: Class of each answer, 0 to c - 1, shape (n,).
        answer_video: Number of the video of each answer, shape (n,).
        scores: Score of each answer, shape (n,).
        thresholds: IoU that must be reached, shape (t,).

    Returns:
        AP, shape (c, t), and the mask of the true segments found, shape (m, t).
    """
    classes = int(truth_class.max(initial=-1)) + 1
    videos = int(max(truth_video.max(initial=0), answer_video.max(initial=0))) + 1
    # Only cells that occur get a number: there may be many more classes × videos than rows.
    label, video = np.concatenate([truth_class, answer_class]), np.concatenate([truth_video, answer_video])
    used, cell = np.unique(label * videos + video, return_inverse=True)
    truth_cell, answer_cell = cell[: len(truth)], cell[len(truth) :]
    by_truth = np.argsort(truth_cell, kind="stable")
    by_class = np.argsort(answer_class, kind="stable")
    edges = np.searchsorted(answer_class[by_class], np.arange(classes + 1))
    for lo, hi in pairwise(edges):
        by_class[lo:hi] = by_class[lo:hi][falling(scores[by_class[lo:hi]])]
    by_answer = by_class[np.argsort(answer_cell[by_class], kind="stable")]
    hit, found = true_positives(
        _cells(answer_cell, answers, by_answer, len(used)),
        _cells(truth_cell, truth, by_truth, len(used)),
        thresholds,
    )
    in_file, in_truth = np.empty_like(hit), np.empty_like(found)
    in_file[by_answer], in_truth[by_truth] = hit, found
    positives = np.bincount(truth_class, minlength=classes)
    out = np.zeros((classes, len(thresholds)))
    for k in range(classes):
        if edges[k] < edges[k + 1]:
            out[k] = interpolated(in_file[by_class[edges[k] : edges[k + 1]]], int(positives[k]))
    return out, in_truth


def number_names(names: Sequence[str], known: dict[str, int]) -> NDArray[np.intp]:
    """The number of each name; new names get the next numbers and join `known`."""
    return np.fromiter((known.setdefault(name, len(known)) for name in names), np.intp, len(names))


def score(items: Sequence[Item], by_id: Mapping[str, Prediction], thresholds: Floats = ACTIVITYNET) -> Scores:
    """Score mAP at each threshold and on average, AP of each class as groups, and the share of true segments found."""
    classes: dict[str, int] = {}
    videos: dict[str, int] = {}
    truth = np.array([i.spans[0] if len(i.spans) else (0.0, 0.0) for i in items], float).reshape(-1, 2)
    truth_class = number_names([i.query for i in items], classes)
    truth_video = number_names([i.video for i in items], videos)
    known, seen = len(classes), len(videos)
    ranked, labels, names, counts = [], [], [], []
    unlabelled = 0
    given = list(by_id)
    for video in (given[i] for i in dictionary_order(given)):
        prediction = by_id[video]
        if prediction.ranked is None or not len(prediction.ranked):
            continue
        if prediction.labels is None:
            unlabelled += 1
            continue
        ranked.append(prediction.ranked)
        labels += prediction.labels
        names.append(video)
        counts.append(len(prediction.ranked))
    rows = np.concatenate(ranked) if ranked else np.zeros((0, 3))
    answer_class = number_names(labels, classes)
    answer_video = np.repeat(number_names(names, videos), np.array(counts, np.intp))
    use = answer_class < known
    precision, found = class_precision(
        truth, truth_class, truth_video, rows[use, :2], answer_class[use], answer_video[use], rows[use, 2], thresholds
    )
    at = [f"{t:g}" for t in np.round(thresholds, 6)]
    summary = {f"mAP@{t}": float(value) for t, value in zip(at, precision.mean(0) if known else [], strict=False)}
    summary["mAP"] = float(np.mean(list(summary.values()))) if known else float("nan")
    columns = {f"recall@{t}": found[:, k].astype(float) for k, t in enumerate(at)}
    summary |= {name: float(column.mean()) if len(items) else float("nan") for name, column in columns.items()}
    count = np.bincount(truth_class, minlength=known)
    groups = {
        name: {"n": float(count[k]), "AP": float(precision[k].mean())}
        | {f"AP@{t}": float(precision[k, j]) for j, t in enumerate(at)}
        for name, k in list(classes.items())[:known]
    }
    notes = []
    if lost := len({i.video for i in items} - by_id.keys()):
        notes.append(f"{lost} of {seen} videos have no answer: their segments are missed")
    if stray := int((answer_video >= seen).sum()):
        notes.append(f"{stray} answers belong to videos without truth: false positives, as in the original")
    if strange := int((~use).sum()):
        notes.append(
            f"{strange} answers have a class that the truth does not have and are left out (the original stops)"
        )
    if unlabelled:
        notes.append(f"the answers of {unlabelled} videos have no class labels: left out")
    return Scores(summary, [i.id for i in items], [i.video for i in items], columns, groups, notes)


def _protocol(
    name: str, thresholds: Floats, source: str, standing: Literal["equal to the original", "from reading"]
) -> Protocol:
    at = [f"mAP@{t:g}" for t in np.round(thresholds, 6)]
    headline = ("mAP@0.5", "mAP@0.75", "mAP@0.95", "mAP") if "mAP@0.95" in at else (*at, "mAP")
    return Protocol(
        name,
        ("detection",),
        partial(score, thresholds=thresholds),
        standing,
        source,
        {
            "hit": "IoU >= m, one to one, best score first",
            "truths": "all segments of the class in the video",
            "answer": "all scored segments",
            "reversed answer": "counts 0",
            "clipping": "none",
            "missing answer": "its segments are missed",
            "ties": "in the order of Python 2.7 and numpy 1.16",
        },
        headline,
        percent,
    )


SOURCE = "activitynet/ActivityNet Evaluation/eval_detection.py 82304fa9f4"

PROTOCOLS = (
    _protocol("activitynet", ACTIVITYNET, SOURCE, "equal to the original"),
    # It equals that evaluator at these thresholds, but THUMOS14's own evaluator is in MATLAB and was not run.
    _protocol(
        "thumos14", THUMOS, f"{SOURCE} at the thresholds of papers; not the challenge's MATLAB code", "from reading"
    ),
)
