"""Statistics of a data set (counts, durations, lengths of spans and sentences) in one pass over a stream of items.

A few numbers per item are kept in memory, because medians need all of them, but no text and no boxes.
"""

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from whenwhere.datasets.item import Item


class Summary:
    """Collects statistics of items that are added one by one.

    >>> from whenwhere.datasets.item import span_array
    >>> summary = Summary()
    >>> summary.add(Item("a", "v", "a dog runs", span_array([(2, 4)]), duration=10.0))
    >>> summary.as_dict()["span_fraction"]["mean"], summary.as_dict()["words"]["median"]
    (0.2, 3.0)
    """

    def __init__(self) -> None:
        self.items = self.invalid = self.empty = self.past = self.tubes = self.boxes = 0
        self.types: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.durations: dict[str, float | None] = {}
        self._words, self._seconds, self._fractions = array("d"), array("d"), array("d")

    def add(self, item: Item) -> None:
        """Adds one item to the statistics."""
        self.items += 1
        self.invalid += item.status == "invalid"
        for counter, value in ((self.types, item.type), (self.splits, item.split), (self.sources, item.source)):
            if value is not None:
                counter[value] += 1
        k = len(item.spans)
        self.spans["none" if k == 0 else "one" if k == 1 else "several"] += 1
        # Windows of one video have durations of their own; the longest is nearest to the video's.
        known = self.durations.get(item.video)
        self.durations[item.video] = max((d for d in (known, item.duration) if d is not None), default=None)
        self._words.append(len(item.query.split()))
        if item.status == "valid" and k:
            # One span needs no set of time; a million of these are read.
            seconds = float(item.spans[0, 1] - item.spans[0, 0]) if k == 1 else item.span_set.duration
            self._seconds.append(seconds)
            if item.duration:
                self._fractions.append(seconds / item.duration)
                self.past += bool(item.spans[:, 1].max() > item.duration)
        self.tubes += len(item.tubes)
        self.boxes += sum(map(len, item.tubes))

    def as_dict(self) -> dict[str, Any]:
        """The statistics as JSON values: counts, and n, min, median, mean and max of durations and lengths."""
        return {
            "items": self.items,
            "videos": len(self.durations),
            "invalid": self.invalid,
            "spans": {name: self.spans[name] for name in ("none", "one", "several")},
            "ends_past_the_video": self.past,
            "tubes": self.tubes,
            "boxes": self.boxes,
            "types": dict(self.types.most_common()),
            "splits": dict(self.splits.most_common()),
            "sources": dict(self.sources.most_common()),
            "duration": _spread([d for d in self.durations.values() if d is not None]),
            "span_seconds": _spread(self._seconds),
            "span_fraction": _spread(self._fractions),
            "words": _spread(self._words),
        }


def summarise(items: Iterable[Item]) -> Summary:
    """The statistics of a stream of items."""
    summary = Summary()
    for item in items:
        summary.add(item)
    return summary


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    """Number, minimum, median, mean and maximum of the values; None if there are no values."""
    found = np.fromiter(values, np.float64)
    if not len(found):
        return None
    return {
        "n": len(found),
        "min": float(found.min()),
        "median": float(np.median(found)),
        "mean": float(found.mean()),
        "max": float(found.max()),
    }
