"""Does the answer depend on the sentence, and on the pixels? Rows that a file of answers can give without any model.

- query swap: within each video the answers are handed to the next sentence. Only videos with at least two sentences
  take part, and the file's own score on the same items stands beside it. Where both are alike, the answers do not
  depend on the sentence (or the sentences of a video mean the same time).
- video swap: each item gets the answer that was given to a sentence about as long in another video, its times scaled
  to the length of the video it is judged on. This is what the file's habits alone are worth.
- blind: answers that somebody made without showing the model any picture, read from a file (`--blind`). No such row
  is made up here: what a model says without pixels only that model can tell.
- wrong object at the right time (tubes): t_IoU >= 0.5 and s < 0.1, by this project's definitions.

Swaps are permutations of the file's own answers, so they need no second run; they say nothing about what the model
would have answered to the swapped question.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.constants import length
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.overlap import s_iou, t_iou
from whenwhere.tubes import Tube

#: Wrong object at the right time: at least so much temporal, less than so much spatial overlap.
RIGHT_TIME, WRONG_PLACE = 0.5, 0.1


@dataclass(slots=True)
class Swap:
    """Answers handed to other items.

    Attributes:
        name: of the row.
        how: in words, with how many items take part.
        items: those that take part.
        answers: by their ids.
    """

    name: str
    how: str
    items: list[Item]
    answers: dict[str, Prediction]


def query_swap(items: Sequence[Item], answers: Mapping[str, Prediction]) -> Swap | None:
    """Each item gets the answer to the next sentence on its video; None where no video has two sentences.

    >>> items = [Item(k, "v", query=k) for k in "abc"] + [Item("d", "w")]
    >>> swap = query_swap(items, {k: Prediction(k, answer=k) for k in "abcd"})
    >>> [(k, p.answer) for k, p in swap.answers.items()], swap.how
    ([('a', 'b'), ('b', 'c'), ('c', 'a')], 'answers to the next sentence on the same video; 3 items of 1 video')
    """
    rooms: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        rooms[item.video].append(item)
    rooms = {video: group for video, group in rooms.items() if len({i.query for i in group}) > 1}
    if not rooms:
        return None
    given = {}
    for group in rooms.values():
        for item, other in zip(group, [*group[1:], group[0]], strict=True):
            if other.id in answers:
                given[item.id] = replace(answers[other.id], id=item.id)
    chosen = [item for item in items if item.video in rooms]
    many = f"{len(chosen)} items of {len(rooms)} video{'s' * (len(rooms) > 1)}"
    return Swap("query swap", f"answers to the next sentence on the same video; {many}", chosen, given)


def video_swap(items: Sequence[Item], answers: Mapping[str, Prediction], seed: int = 0) -> Swap | None:
    """Each item gets the answer to a sentence about as long in another video; None where there is one video only.

    Args:
        items: with durations where the releases have them: times are scaled by the ratio of the two.
        answers: by item id.
        seed: breaks ties among sentences of one length.
    """
    if len({item.video for item in items}) < 2:
        return None
    rng = np.random.default_rng(seed)
    words = np.array([len(item.query.split()) for item in items])
    order = np.lexsort((rng.random(len(items)), words))
    given = {}
    for place, index in enumerate(order):
        item = items[index]
        for step in range(1, len(order)):
            other = items[order[(place + step) % len(order)]]
            if other.video != item.video:
                break
        if other.id in answers:
            given[item.id] = _scaled(answers[other.id], other, item)
    how = "answers to a sentence about as long on another video, times scaled to this one"
    return Swap("video swap", f"{how}; seed {seed}", list(items), given)


def _scaled(given: Prediction, source: Item, target: Item) -> Prediction:
    """The answer, its times stretched from one video to the other."""
    a, b = length(source), length(target)
    by = b / a if a and b else 1.0
    ranked = given.ranked
    if ranked is not None:
        ranked = ranked.copy()
        ranked[:, :2] *= by
    curve = None if given.curve is None else (given.curve[0] * by, given.curve[1] * by, given.curve[2])
    return replace(
        given,
        id=target.id,
        spans=given.spans * by,
        ranked=ranked,
        curve=curve,
        boxes=[Boxes(x.times * by, _fitted(x.boxes, source, target), x.id, x.label, x.score) for x in given.boxes],
        rate=given.rate / by,
    )


def _fitted(boxes: NDArray[np.float64], source: Item, target: Item) -> NDArray[np.float64]:
    if not (source.width and source.height and target.width and target.height):
        return boxes
    return boxes * (np.array([target.width, target.height] * 2) / np.array([source.width, source.height] * 2))


def overlaps(items: Sequence[Item], answers: Mapping[str, Prediction]) -> NDArray[np.float64]:
    """(n, 2): t_IoU and s of each item by this project's own definitions; NaN where the truth has no tube.

    The first answered object is compared with the first true one. Without a readable answer both are 0.
    """
    out = np.full((len(items), 2), np.nan)
    for i, item in enumerate(items):
        if not item.tubes:
            continue
        truth, given = item.tubes[0], answers.get(item.id)
        if given is None or given.status in ("failed", "unparsed") or not given.boxes:
            out[i] = 0.0 if given is None else (t_iou(given.span_set, truth.spans), 0.0)
            continue
        tube = _tube(given)
        out[i] = t_iou(tube.spans, truth.spans), s_iou(tube, truth)
    return out


def _tube(given: Prediction) -> Tube:
    boxes, spans = given.boxes[0], given.span_set
    keep = (
        (spans.index(boxes.times) >= 0)
        & np.isfinite(boxes.boxes).all(1)
        & (boxes.boxes[:, 0] < boxes.boxes[:, 2])
        & (boxes.boxes[:, 1] < boxes.boxes[:, 3])
    )
    return Tube(spans, boxes.times[keep], boxes.boxes[keep], rate=given.rate)


def wrong_object(pairs: NDArray[np.float64]) -> float:
    """Share of items answered at the right time with the wrong object, from the pairs of `overlaps`.

    >>> wrong_object(np.array([[0.9, 0.05], [0.9, 0.8], [0.1, 0.0], [np.nan, np.nan]]))
    0.3333333333333333
    """
    known = pairs[np.isfinite(pairs).all(1)]
    if not len(known):
        return float("nan")
    return float(((known[:, 0] >= RIGHT_TIME) & (known[:, 1] < WRONG_PLACE)).mean())
