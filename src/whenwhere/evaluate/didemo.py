"""DiDeMo's own protocol: moments of five-second chunks, four or more annotators, of whom the best three count.

A moment is [first, last] chunk, both inclusive, one of 21 in six chunks. IoU counts chunks. An item's mIoU is the mean
over its best three annotators; its rank is the mean of the three smallest ranks that annotators' moments have in the
answer; Rank@k is the share of items whose rank is at most k. If no three annotators agree, no answer reaches 1:
`ceiling` gives what can be reached.

Answers are rankings of moments. Free seconds are snapped first, each span to the moment with the highest IoU in seconds
(of equal ones the shorter, then the earlier); a moment that is named twice keeps its better rank. A moment that is not
in the answer ranks after all 21, where the original stops with an error. The field's plain R1@m on unsnapped seconds is
another number: it is given too, as `seconds-R1@m`, and belongs to no published Rank@1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.ragged import Floats, Ragged, cross, highest, hull_iou, ragged
from whenwhere.evaluate.temporal import choices, hits, look_up, means

#: Length of a chunk in seconds.
CHUNK = 5.0
CHUNKS = 6
#: (21, 2) first and last chunk of every moment, short ones first.
MOMENTS = np.array([(a, a + k) for k in range(CHUNKS) for a in range(CHUNKS - k)])
BEST = 3

Ints = NDArray[np.int64]


def snap(spans: Floats) -> Ints:
    """Index into `MOMENTS` of the moment nearest to each span in seconds, shape (n,), -1 if none overlaps.

    >>> MOMENTS[snap(np.array([[5., 15.], [6.5, 9.], [3., 4.], [0., 31.]]))].tolist()
    [[1, 2], [1, 1], [0, 0], [0, 5]]
    """
    seconds = MOMENTS * CHUNK + np.array([0.0, CHUNK])
    iou = hull_iou(np.asarray(spans, np.float64)[:, None, :2], seconds[None])
    return np.where(iou.max(1, initial=0) > 0, iou.argmax(1), -1)


def chunk_iou(a: NDArray[np.integer], b: NDArray[np.integer]) -> Floats:
    """The IoU of moments [first, last] in whole chunks, row by row.

    >>> chunk_iou(np.array([0, 1]), np.array([1, 3]))
    array(0.25)
    """
    inside = (np.minimum(a[..., 1], b[..., 1]) + 1 - np.maximum(a[..., 0], b[..., 0])).clip(0)
    return np.asarray(inside / (np.maximum(a[..., 1], b[..., 1]) + 1 - np.minimum(a[..., 0], b[..., 0])))


def annotators(items: Sequence[Item]) -> Ragged:
    """The [first, last] chunk of every annotator of each item."""
    return ragged([np.asarray(i.extra["times"], float).reshape(-1, 2) for i in items])


def best_three(values: Floats, owner: NDArray[np.intp], n: int) -> Floats:
    """The mean of the three highest values (or all, if fewer) of each owner (ascending), shape (n,); 0 without any."""
    order = np.lexsort((-values, owner))
    first = np.searchsorted(owner, np.arange(n))
    place = np.arange(len(owner)) - first[owner]
    use = place < BEST
    count = np.bincount(owner[use], minlength=n)
    # ascending, in the order in which the original adds them up
    rows = order[use][::-1]
    return np.bincount(owner[rows], values[rows], n) / np.maximum(count, 1)


def ceiling(items: Sequence[Item]) -> Floats:
    """The highest mIoU that a single moment can reach on each item, shape (n,).

    An item's mIoU is the mean IoU with its best three annotators, so it stays below 1 where no three of them agree. In
    the example two of four chose the first chunk: answering it gets 1, 1 and 0 from the best three.

    >>> item = Item("a", "v", extra={"times": [[0, 0], [0, 0], [1, 1], [1, 1]]})
    >>> ceiling([item]).round(3)
    array([0.667])
    """
    truth = annotators(items)
    rows, owner, n = truth.rows.astype(np.int64), truth.owner, len(items)
    return np.max([best_three(chunk_iou(moment, rows), owner, n) for moment in MOMENTS], axis=0)


def moment_ranks(answers: Sequence[Floats], truth: Ragged) -> tuple[Ints, Ints, Ints]:
    """Rank annotators' moments in answers.

    Returns:
        The first moment of each answer, shape (n,), -1 without one; the rank of each annotator's moment, 22 if the
        answer lacks it; and the number of moments that each answer names, shape (n,).
    """
    spans = ragged(answers)
    moment, owner = snap(spans.rows), spans.owner
    real = moment >= 0
    first = np.full(len(answers), -1)
    top = spans.starts[:-1][spans.counts > 0]
    first[spans.counts > 0] = moment[top]
    # The first of equal moments keeps its rank; ranks count different moments only.
    keys = (owner * len(MOMENTS) + moment)[real]
    keys, where = np.unique(keys, return_index=True)
    item = keys // len(MOMENTS)
    order = np.lexsort((where, item))
    start = np.searchsorted(item, np.arange(len(answers)))
    place = np.full((len(answers), len(MOMENTS)), len(MOMENTS) + 1)
    place[item, keys[order] % len(MOMENTS)] = np.arange(len(keys)) - start[item] + 1
    number = {tuple(m): k for k, m in enumerate(MOMENTS.tolist())}
    code = np.array([number[a, b] for a, b in truth.rows.astype(int).tolist()], np.int64)
    return first, place[truth.owner, code], np.bincount(item, minlength=len(answers))


def score(items: Sequence[Item], by_id: Mapping[str, Prediction]) -> Scores:
    """Score Rank@1, Rank@5 and mIoU as the original does, and also the plain R1@m on seconds."""
    kept, predictions, notes = look_up(items, by_id)
    answers = [choices(p) for p in predictions]
    n, truth = len(kept), annotators(kept)
    first, rank, named = moment_ranks(answers, truth)
    owner = truth.owner
    iou = np.where(first[owner] >= 0, chunk_iou(MOMENTS[first[owner]], truth.rows.astype(np.int64)), 0.0)
    mean_rank = -best_three(-rank.astype(float), owner, n)
    mean_rank[truth.counts == 0] = len(MOMENTS) + 1
    columns = {"Rank@1": hits(-mean_rank, -1), "Rank@5": hits(-mean_rank, -5), "mIoU": best_three(iou, owner, n)}
    top, spans = ragged(answers).head(1), ragged([i.spans for i in kept])
    i, j, of = cross(top, spans)
    seconds = highest(hull_iou(top.rows[i], spans.rows[j]), of, n)
    columns |= {f"seconds-R1@{m:g}": hits(seconds, m) for m in (0.3, 0.5, 0.7)}
    # five chunks have 15 moments, six have 21
    if short := int(((named > 0) & (named < len(MOMENTS) - CHUNKS)).sum()):
        notes.append(f"{short} answers rank fewer than all moments: a moment that is not named ranks after all")
    reach = ceiling(kept)
    if n:
        notes.append(
            f"ceiling of mIoU on these items {reach.mean():.4f}: "
            f"on {int((reach < 1).sum())} of {n} no three annotators agree"
        )
    return means(kept, columns, notes)


def six_digits(name: str, value: float) -> float:
    """The value with six digits, as the original prints it."""
    return float(f"{value:f}")


PROTOCOLS = (
    Protocol(
        "didemo",
        ("moments",),
        score,
        "equal to the original",
        "LisaAnne/LocalizingMoments utils/eval.py b6a555c813",
        {
            "hit": "mean rank <= k",
            "truths": "the best three annotators",
            "answer": "ranked moments of five-second chunks; seconds are snapped to them",
            "reversed answer": "counts 0",
            "clipping": "by snapping",
            "missing answer": "counts 0",
        },
        ("Rank@1", "Rank@5", "mIoU", "seconds-R1@0.3", "seconds-R1@0.5", "seconds-R1@0.7"),
        six_digits,
    ),
)
