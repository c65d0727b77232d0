"""What a protocol is, and what it returns.

A protocol turns items and answers into numbers: one row for each item, and a summary. Its `standing` says how far it
can be trusted to count as somebody else does: `equal to the original` means that the authors' own code was run beside
it on the same input and every digit agreed; `from reading` that their code or paper was read; `ours` that the
definition is this project's.

Numbers are fractions in 0-1, unrounded. How the original prints them (percent, two digits) is `Protocol.printed`;
tables show percent with `Protocol.decimals` digits, as papers do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.evaluate.prediction import Prediction

Standing = Literal["equal to the original", "from reading", "ours"]
#: What each standing of a protocol means, for the table under a report.
STANDINGS: dict[Standing, str] = {
    "equal to the original": "the authors' own code, run on the same input, gave the same digits",
    "from reading": "written after the authors' code or paper, which was not run beside it",
    "ours": "this project's own definition",
}


@dataclass(slots=True)
class Scores:
    """The result of one protocol on the answers to a set of items.

    Attributes:
        summary: Measure → value, fractions in 0-1 (ranks and counts as they are).
        ids: Ids of the rows of `items`, in the items' order: all items, also missing and invalid ones, unless the
            protocol's original drops some, which `notes` then says.
        videos: Video of each row; rows of one video form a cluster.
        items: Measure → one value for each row, shape (n,), for every measure that is a mean over items, so that it can
            be resampled; NaN leaves a row out of that mean.
        groups: Name of a group (query type, length, size) → summary of its items.
        notes: What a reader must know: dropped items, missing answers, switches that changed the count.
    """

    summary: dict[str, float]
    ids: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    items: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fraction(name: str, value: float) -> float:
    """The value unchanged, for protocols whose original prints fractions."""
    return value


def percent(name: str, value: float) -> float:
    """The value in percent with two digits, rounded as `format` rounds, as most evaluators of the field print it.

    >>> percent("mIoU", 0.53936)
    53.94
    """
    return float(f"{100 * value:.2f}")


@dataclass(frozen=True)
class Protocol:
    """A named way of counting.

    Attributes:
        name: Name as typed after `--protocol`, in lower case with hyphens.
        tasks: Names of the tasks whose answers it can score.
        score: (items, answers by id) → scores. Items without an answer are missing.
        standing: How far it agrees with its original, see the module.
        source: Repository and commit, or paper and section.
        counts: The switches in words, key → value, for the table in which protocols are compared.
        headline: Measures printed first, in this order.
        printed: (measure, value) → the number as the original prints it.
        decimals: Digits after the point of a percentage, as the original or its papers print them.
    """

    name: str
    tasks: tuple[str, ...]
    score: Callable[[Sequence[Item], Mapping[str, Prediction]], Scores]
    standing: Standing
    source: str
    counts: dict[str, str]
    headline: tuple[str, ...]
    printed: Callable[[str, float], float] = fraction
    decimals: int = 2
