"""What a protocol is, and what it gives.

A protocol turns items and answers into numbers: one row per item, and a summary. Its `standing` says how far it can be
trusted to be somebody else's: `equal to the original` means that the authors' own code was run beside it on the same
input and every digit agreed; `from reading` that their code or paper was read; `ours` that the definition stands in
this project.

Numbers are fractions in 0-1, unrounded. How the original prints them (percent, two digits) is `Protocol.printed`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.benchmark import Task
from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction


@dataclass(slots=True)
class Scores:
    """The outcome of one protocol on one file of predictions.

    Attributes:
        summary: name of the measure → value, fractions in 0-1 (ranks and counts as they are).
        ids: of the rows of `items`, in the items' order; all items, also missing and invalid ones, unless the
            protocol's original drops some, which `notes` then says.
        videos: cluster of each row.
        items: per-item columns (n,): every measure that is a mean over items, so that it can be resampled; nan leaves
            an item out of that mean.
        groups: name of a group (query type, length, size) → summary of its items.
        notes: what a reader must know: dropped items, missing answers, switches that changed the count.
    """

    summary: dict[str, float]
    ids: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    items: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fraction(name: str, value: float) -> float:
    """The default form of printing: unchanged."""
    return value


def percent(name: str, value: float) -> float:
    """Percent with two digits, rounded as `format` rounds: how most evaluators of the field print.

    >>> percent("mIoU", 0.53936)
    53.94
    """
    return float(f"{100 * value:.2f}")


@dataclass(frozen=True)
class Protocol:
    """A named way of counting.

    Attributes:
        name: as typed after `--protocol`.
        tasks: of benchmarks it can score.
        score: (items, answers by id) → scores. Items without an answer are missing.
        standing: see the module.
        source: repository and commit, or paper and section.
        counts: the switches in words, key → value, for the table that a reader compares protocols in.
        headline: measures printed first, in this order.
        printed: (measure, value) → the number as the original prints it.
    """

    name: str
    tasks: tuple[Task, ...]
    score: Callable[[Sequence[Item], Mapping[str, Prediction]], Scores]
    standing: Literal["equal to the original", "from reading", "ours"]
    source: str
    counts: dict[str, str]
    headline: tuple[str, ...]
    printed: Callable[[str, float], float] = fraction
