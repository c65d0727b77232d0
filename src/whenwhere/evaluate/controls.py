"""Does the answer depend on the sentence, and on the pixels? Rows that a file of answers can give without any model.

- query swap: within each video the answers are handed to the next sentence. Only videos with at least two sentences
  take part, and the file's own score on the same items stands beside it. Where both are alike, the answers do not
  depend on the sentence (or the sentences of a video mean the same time).
- video swap: each item gets the answer that was given to a sentence about as long in another video, its times scaled
  to the length of the video it is judged on. This is what the file's habits alone are worth.
- blind: answers that somebody made without showing the model any picture, read from a file (`--blind`). No such row
  is made up here: what a model says without pixels only that model can tell.

How often the wrong object was found at the right time stands with the decomposition of tubes.

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


def video_swap(
    items: Sequence[Item], answers: Mapping[str, Prediction], seed: int = 0, stretch: bool = True
) -> Swap | None:
    """Each item gets the answer to a sentence about as long in another video; None where there is one video only.

    Args:
        items: with durations where the releases have them: times are scaled by the ratio of the two.
        answers: by item id.
        seed: breaks ties among sentences of one length.
        stretch: scale times to the other video's length; off where answers are chunks of fixed length.
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
            answer = answers[other.id]
            given[item.id] = _scaled(answer, other, item) if stretch else replace(answer, id=item.id)
    how = "answers to a sentence about as long on another video" + ", times scaled to this one" * stretch
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
