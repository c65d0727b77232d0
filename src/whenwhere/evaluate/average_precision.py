"""Average precision of scored spans: the part that QVHighlights, ActivityNet and Soccer-GMR have in common.

Spans are matched within *cells* (a query, or a class in a video): best score first, each takes the free true span with
the highest IoU if that reaches the threshold. Inside a cell this is a sequence, so the loop runs over the rank within
the cell and handles all cells and all thresholds at once. The average precision of the true positives is the
interpolated area under precision over recall of PASCAL VOC 2011.

The originals divide 0 by 0 for two spans without length and count the result as a hit. Such spans occur in the released
truth of ActivityNet, so the published digits contain them, and the IoU here is infinite for them.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from whenwhere.evaluate.ragged import Floats, Ragged, cross, quotient, shared

Hits = NDArray[np.bool_]


def sum_iou(a: Floats, b: Floats) -> Floats:
    """The IoU of two spans, row by row, with the union from the sum of the lengths; infinite if that is 0."""
    common = shared(a, b)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - common
    return np.where(union == 0, np.inf, quotient(common, union))


def greedy_iou(answers: Ragged, truth: Ragged, thresholds: Floats, first: bool = False) -> tuple[Floats, Hits]:
    """Match answers with true spans one to one, in the order of the answers.

    Args:
        answers: Answered spans of each cell; earlier ones choose first.
        truth: True spans of each cell.
        thresholds: IoU that must be reached, shape (t,); -1 matches whatever is free.
        first: Whether the first of equally good true spans is taken and spans without length overlap nothing.
            Otherwise the last is taken, as after a reversed ascending sort, and such spans match (see the module).

    Returns:
        The IoU with which each answer was matched, shape (n, t), -1 without a match, and which true spans were found,
        shape (m, t).
    """
    value = np.full((len(answers.rows), len(thresholds)), -1.0)
    found = np.zeros((len(truth.rows), len(thresholds)), bool)
    row, other, _ = cross(answers, truth)
    if not len(row):
        return value, found
    iou = sum_iou(answers.rows[row], truth.rows[other])
    if first:
        iou[np.isinf(iou)] = -2.0
    # A pair that reaches no threshold can never match, which leaves few pairs for the loop.
    near = iou >= thresholds.min()
    row, other, iou = row[near], other[near], iou[near]
    rank = (np.arange(len(answers.rows)) - np.repeat(answers.starts[:-1], answers.counts))[row]
    order = np.argsort(rank, kind="stable")
    row, other, iou = row[order], other[order], iou[order]
    edges = np.searchsorted(rank[order], np.arange(rank.max(initial=-1) + 2))
    columns = np.arange(len(thresholds))
    for lo, hi in pairwise(edges):
        if lo == hi:
            continue
        mine, theirs = row[lo:hi], other[lo:hi]
        free = np.where(found[theirs], -2.0, iou[lo:hi, None])
        start = np.flatnonzero(np.concatenate([[True], mine[1:] != mine[:-1]]))
        best = np.maximum.reduceat(free, start)
        size = np.diff(np.concatenate([start, [len(mine)]]))
        at, equal = np.arange(len(mine))[:, None], free == np.repeat(best, size, axis=0)
        if first:
            taken = np.minimum.reduceat(np.where(equal, at, len(mine)), start)
        else:
            taken = np.maximum.reduceat(np.where(equal, at, -1), start)
        good = best >= thresholds
        value[mine[start]] = np.where(good, best, -1.0)
        found[theirs[taken[good]], np.broadcast_to(columns, good.shape)[good]] = True
    return value, found


def true_positives(answers: Ragged, truth: Ragged, thresholds: Floats) -> tuple[Hits, Hits]:
    """Which answers are true positives, and which true spans were found.

    Args:
        answers: Answered spans of each cell, best score first.
        truth: True spans of each cell.
        thresholds: IoU that must be reached, > 0, shape (t,).

    Returns:
        Masks of the answers, shape (n, t), and of the true spans, shape (m, t).

    >>> from whenwhere.evaluate.ragged import ragged
    >>> answers, truth = ragged([np.array([[0., 4], [0, 5]])]), ragged([np.array([[0., 5]])])
    >>> true_positives(answers, truth, np.array([.5, .9]))[0].tolist()
    [[True, False], [False, True]]
    """
    value, found = greedy_iou(answers, truth, thresholds)
    return value > 0, found


def interpolated(hit: Hits, positives: NDArray[np.integer] | int, axis: int = -2) -> Floats:
    """Interpolated average precision of true positives in the order of falling score.

    Args:
        hit: True positives at k ranks and t thresholds, shape (..., k, t). Ranks that do not exist are False at the
            end.
        positives: Number of true spans, > 0, shape (...).
        axis: Axis of the ranks.

    >>> float(interpolated(np.array([[True], [False], [True]]), 2)[0].round(4))
    0.8333
    """
    hit = np.moveaxis(hit, axis, -2)
    found = np.cumsum(hit, axis=-2)
    precision = found / np.arange(1, hit.shape[-2] + 1)[:, None]
    envelope = np.maximum.accumulate(precision[..., ::-1, :], axis=-2)[..., ::-1, :]
    recall = found / np.asarray(positives, float)[..., None, None]
    step = np.diff(recall, axis=-2, prepend=0.0)
    return np.asarray((step * envelope).sum(axis=-2))
