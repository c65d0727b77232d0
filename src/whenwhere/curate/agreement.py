"""How accurate labels are, from a sample that was annotated again.

`to_annotate` draws the sample: questions without their truth, so that the second annotator cannot see the first. Its
answers, as a manifest, are compared by `agreement`: t_IoU between both truths with an interval over videos, how often
they agree, and by how much starts and ends differ. The second annotation is no better than the first; what is measured
is how far two people agree, and no model can be shown to be better than that.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.curate.mixing import MixPart, mix
from whenwhere.curate.names import video_key
from whenwhere.curate.similarity import normalised
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.overlap import t_iou, v_iou
from whenwhere.stats import Interval, bootstrap_mean

#: t_IoU from which two annotations agree.
AGREE = (0.5, 0.7)
_RESAMPLES = 5000


@dataclass(frozen=True)
class Agreement:
    """How far two annotations of the same items agree.

    Attributes:
        compared: Number of items that both have.
        missing: Number of re-annotated items that the set does not have.
        t_iou: Mean t_IoU of both truths, with its 95 % interval from resampled videos.
        agree: Share of items with at least each of `AGREE`, with its interval.
        apart: Share of items whose truths do not touch, with its interval.
        absence: Share of items of which one says that the event is not there and the other gives a time.
        start: Median and 90 % quantile of the difference of the starts, in seconds; None without single spans.
        end: The same of the ends.
        v_iou: Mean v_IoU where both have a tube, with its interval; None where no item has two.
    """

    compared: int
    missing: int
    t_iou: Interval
    agree: dict[str, Interval]
    apart: Interval
    absence: float
    start: tuple[float, float] | None
    end: tuple[float, float] | None
    v_iou: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """The numbers as JSON values."""
        return {
            "compared": self.compared, "missing": self.missing, "t_iou": list(self.t_iou),
            "agree": {name: list(found) for name, found in self.agree.items()}, "apart": list(self.apart),
            "absence": self.absence, "start": self.start, "end": self.end,
            "v_iou": None if self.v_iou is None else list(self.v_iou),
        }  # fmt: skip


def agreement(items: Sequence[Item], again: Iterable[Item], seed: int = 0) -> Agreement:
    """Compare the truth of a set with a second annotation of some of its items.

    An item is found by its id, or else by its video and sentence.

    Args:
        items: The items of the set.
        again: The items that were annotated again.
        seed: Seed of the intervals.

    Raises:
        RecordError: No item was annotated twice.

    >>> from whenwhere.datasets.item import span_array
    >>> first = Item("a", "v", "a dog runs", span_array([(2, 4)]))
    >>> agreement([first], [Item("a", "v", "a dog runs", span_array([(2, 5)]))]).t_iou.mean.__round__(3)
    0.667
    """
    by_id = {item.id: item for item in items}
    by_sentence: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        by_sentence[video_key(item.video), normalised(item.query)].append(item)
    pairs, missing = [], 0
    for other in again:
        first = by_id.get(other.id)
        if first is None or video_key(first.video) != video_key(other.video):
            # several items with one sentence cannot be told apart
            named = by_sentence.get((video_key(other.video), normalised(other.query)), [])
            first = named[0] if len(named) == 1 else None
        if first is None or first.status != "valid" or other.status != "valid":
            missing += 1
        else:
            pairs.append((first, other))
    if not pairs:
        raise RecordError(
            "no re-annotated item is in the set: give a manifest with the same ids, or the same videos and sentences"
        )
    videos = [video_key(first.video) for first, _ in pairs]
    overlap = np.array([t_iou(a.span_set, b.span_set) for a, b in pairs])
    empty = np.array([len(a.span_set) == 0 for a, _ in pairs]) != np.array([len(b.span_set) == 0 for _, b in pairs])
    single = [(a.span_set, b.span_set) for a, b in pairs if len(a.span_set) == len(b.span_set) == 1]
    starts = np.array([abs(a.starts[0] - b.starts[0]) for a, b in single])
    ends = np.array([abs(a.ends[0] - b.ends[0]) for a, b in single])
    tubes = [
        (a.tubes[0], b.tubes[0], video) for (a, b), video in zip(pairs, videos, strict=True) if a.tubes and b.tubes
    ]
    boxed = [v_iou(a, b) for a, b, _ in tubes]

    def interval(values: NDArray[Any]) -> Interval:
        return bootstrap_mean(values.astype(float), videos, _RESAMPLES, seed)

    return Agreement(
        len(pairs), missing, interval(overlap), {f"t_IoU >= {t:g}": interval(overlap >= t) for t in AGREE},
        interval(overlap == 0), float(empty.mean()), _spread(starts), _spread(ends),
        bootstrap_mean(boxed, [video for _, _, video in tubes], _RESAMPLES, seed) if boxed else None,
    )  # fmt: skip


def to_annotate(items: Sequence[Item], count: int, seed: int = 0) -> list[Item]:
    """A random sample of valid items without their truth, for a second annotator; the same for the same seed.

    Args:
        items: The items of the set.
        count: Number of items.
        seed: Seed of the draw.

    Raises:
        SettingError: The set has no valid item, or `count` is not positive.
    """
    usable = [item for item in items if item.status == "valid"]
    if not usable:
        raise SettingError("no item of the set is valid, so none can be annotated again")
    if count < 1:
        raise SettingError(f"a sample to annotate has at least 1 item, not {count}")
    drawn = mix([MixPart("s", usable)], count, seed).items
    return [
        Item(i.provenance["mix"]["id"], i.video, i.query, duration=i.duration, window=i.window, offset=i.offset)
        for i in drawn
    ]


def _spread(values: NDArray[np.float64]) -> tuple[float, float] | None:
    if not len(values):
        return None
    middle, high = np.quantile(values, [0.5, 0.9])
    return round(float(middle), 3), round(float(high), 3)
