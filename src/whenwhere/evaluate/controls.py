"""Controls: whether answers depend on the sentence and on the pixels, tested without running the model again.

- query swap: within each video the answers are handed to the next sentence. Only videos with at least two sentences
  take part, and the report gives the file's own score on the same items too. If both are alike, the answers do not
  depend on the sentence (or the sentences of a video mean the same time).
- video swap: each item gets the answer to a sentence of about the same length on another video, its times scaled to
  the duration of the video on which it is scored. This is what the file's habits alone are worth.
- blind: answers that were made without showing the model any picture, read from a file (`--blind`). They are never
  made up here: only the model can tell what it says without pixels.

The decomposition of tubes says how often the wrong object was found at the right time.

Swaps are permutations of the file's own answers. They say nothing about what the model would have answered to the
swapped question.
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
        name: Name of the row.
        how: What was swapped, in words, with the number of items that take part.
        items: The items that take part.
        answers: Item id → swapped answer.
    """

    name: str
    how: str
    items: list[Item]
    answers: dict[str, Prediction]


def query_swap(items: Sequence[Item], answers: Mapping[str, Prediction]) -> Swap | None:
    """Hand each item the answer to the next sentence on its video; None if no video has two sentences.

    >>> items = [Item(k, "v", query=k) for k in "abc"] + [Item("d", "w")]
    >>> swap = query_swap(items, {k: Prediction(k, answer=k) for k in "abcd"})
    >>> [(k, p.answer) for k, p in swap.answers.items()], swap.how
    ([('a', 'b'), ('b', 'c'), ('c', 'a')], 'answers to the next sentence on the same video; 3 items of 1 video')
    """
    by_video: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_video[item.video].append(item)
    by_video = {video: group for video, group in by_video.items() if len({i.query for i in group}) > 1}
    if not by_video:
        return None
    given = {}
    for group in by_video.values():
        for item, other in zip(group, [*group[1:], group[0]], strict=True):
            if other.id in answers:
                given[item.id] = replace(answers[other.id], id=item.id)
    chosen = [item for item in items if item.video in by_video]
    many = f"{len(chosen)} items of {len(by_video)} video{'s' * (len(by_video) > 1)}"
    return Swap("query swap", f"answers to the next sentence on the same video; {many}", chosen, given)


def video_swap(
    items: Sequence[Item], answers: Mapping[str, Prediction], seed: int = 0, stretch: bool = True
) -> Swap | None:
    """Hand each item the answer to a sentence of about the same length on another video; None with a single video.

    Args:
        items: The questions; times are scaled by the ratio of their durations, as far as these are known.
        answers: The answers by item id.
        seed: Seed that breaks ties among sentences of the same length.
        stretch: Whether to scale times to the other video's duration; not for answers in chunks of fixed length.
    """
    if len({item.video for item in items}) < 2:
        return None
    rng = np.random.default_rng(seed)
    words = np.array([len(item.query.split()) for item in items])
    order = np.lexsort((rng.random(len(items)), words))
    given = {}
    for position, index in enumerate(order):
        item = items[index]
        for step in range(1, len(order)):
            other = items[order[(position + step) % len(order)]]
            if other.video != item.video:
                break
        if other.id in answers:
            answer = answers[other.id]
            given[item.id] = _scaled(answer, other, item) if stretch else replace(answer, id=item.id)
    how = "answers to a sentence of about the same length on another video" + ", times scaled to this one" * stretch
    return Swap("video swap", f"{how}; seed {seed}", list(items), given)


def _scaled(given: Prediction, source: Item, target: Item) -> Prediction:
    """The answer with its times stretched from one video to the other."""
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
