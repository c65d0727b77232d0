"""Comparison of two files of answers to the same items: which is better, and whether it could be chance.

Every measure that is a mean over items is compared item by item (paired), and the differences are resampled by video,
because sentences of one video are not independent. Pooled headline measures are compared with the same groups of videos
left out of both. The interval says how certain the difference is for *these two files* on items like these. It says
nothing about two ways of training, which needs several runs of each.

Different items are refused: a mean over other items is another quantity. Items that one file did not answer are not
different items: they count as wrong for that file, as everywhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from whenwhere.errors import RecordError
from whenwhere.evaluate.evaluation import Report, json_values
from whenwhere.stats import Interval, bootstrap_means, jackknife


@dataclass(slots=True)
class Comparison:
    """The difference between two files of answers.

    Attributes:
        first: Path of the first file, A.
        second: Path of the second file, B.
        headline: The measures to print first.
        values: Measure → (A, B), also for measures that are not means over items.
        differences: Measure → A − B with a 95 % interval.
        items: Number of items compared.
        videos: Number of videos, which are the clusters.
        seed: Seed of the resampling.
        resamples: Number of bootstrap resamples.
    """

    first: str
    second: str
    headline: list[str]
    values: dict[str, tuple[float, float]]
    differences: dict[str, Interval]
    items: int
    videos: int
    seed: int
    resamples: int

    def data(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return json_values(
            {
                "first": self.first,
                "second": self.second,
                "items": self.items,
                "videos": self.videos,
                "values": self.values,
                "differences": {
                    name: {"mean": d.mean, "low": d.low, "high": d.high} for name, d in self.differences.items()
                },
                "bootstrap": {"resamples": self.resamples, "seed": self.seed, "clusters": "video", "level": 0.95},
            }
        )


def compare(a: Report, b: Report) -> Comparison:
    """Compare two reports made with one protocol on one set of items, item by item.

    Raises:
        RecordError: The protocols or the scored items differ, or a file answers none of the items.
    """
    first, second = a.files["predictions"], b.files["predictions"]
    if a.protocol.name != b.protocol.name:
        raise RecordError(
            f"{first} was scored by {a.protocol.name} and {second} by {b.protocol.name}: use one protocol"
        )
    if a.scores.ids != b.scores.ids:
        raise RecordError(f"{first} and {second} cannot be compared: {_other(a, b)}; compare answers to the same items")
    for report in (a, b):
        if not any(count for status, count in report.status.items() if status != "missing"):
            raise RecordError(
                f"{report.files['predictions']} answers none of the {len(report.ids)} items of "
                f"{report.files.get('annotations', report.benchmark.name)}: compare answers to the same items"
            )
    names = [name for name in a.intervals if name in b.intervals and name in a.scores.items]
    found: list[Interval] = []
    if names:
        columns = np.stack([a.scores.items[name] - b.scores.items[name] for name in names], 1)
        found = bootstrap_means(columns, a.scores.videos, a.resamples, a.seed)
    differences = dict(zip(names, found, strict=True))
    for name in a.without.keys() & b.without.keys():
        # the same groups were left out on both sides
        gap = a.scores.summary[name] - b.scores.summary[name]
        differences[name] = jackknife(gap, a.without[name] - b.without[name])
    return Comparison(
        first=first,
        second=second,
        headline=a.headline,
        values={
            name: (value, b.scores.summary[name])
            for name, value in a.scores.summary.items()
            if name in b.scores.summary
        },
        differences=differences,
        items=len(a.scores.ids),
        videos=len(set(a.scores.videos)),
        seed=a.seed,
        resamples=a.resamples,
    )


def _other(a: Report, b: Report) -> str:
    """How the items of the two reports differ, in words."""
    mine, yours = set(a.scores.ids), set(b.scores.ids)
    only = [*sorted(mine - yours), *sorted(yours - mine)]
    if not only:
        return "their items come in a different order"
    return (
        f"{len(mine - yours)} items are scored for the first only, {len(yours - mine)} for the second only ({only[0]})"
    )
