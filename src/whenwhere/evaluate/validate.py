"""Validation of a set: its gold answers must get the full score.

The truth of every item is turned into an answer (floats as they are, boxes on the annotation's own grid) and scored
under our own definitions (`default`, `default-tubes`) and under the protocol that the benchmark's papers use. A score
that is not exactly 1 is a fault of the reader, of the protocol or of the set, and is reported with its reason:

- invalid items (an end before its start) get 0 and stay in the denominator, so a set with them cannot reach 1;
- some sets have a *ceiling* of their own: three of DiDeMo's annotators must agree for a full score, and on a quarter of
  its items they do not; QVHighlights' highlights are votes of three people, and its mean AP looks at ten windows. If
  the ceiling can be computed without the protocol, the gold answer must reach exactly that;
- other people's protocols for tubes count on grids of frames on which even the truth gets less than 1; that score is
  shown but not judged. Ours must give 1;
- an answer has one set of time for all its objects, so one answer cannot express several objects with times of their
  own, and such truth is not judged either.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.evaluate import didemo
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.qvhighlights import WINDOWS
from whenwhere.evaluate.tasks import TASKS


@dataclass(slots=True)
class GoldCheck:
    """One measure of the gold answers.

    Attributes:
        protocol: Name of the protocol.
        measure: Name of the measure.
        gold: Score of the gold answers over all items.
        full: Score that they must get; None if the score of perfect answers is unknown.
        reason: Why that score is less than 1, if it is.
        short: Ids of the items that do not get the score they must.
    """

    protocol: str
    measure: str
    gold: float
    full: float | None
    reason: str = ""
    short: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the gold answers get exactly the score they must, on every item and over all."""
        return not self.short and self.full in (None, self.gold)


@dataclass(slots=True)
class Validation:
    """The result of checking a set.

    Attributes:
        benchmark: Name of the benchmark.
        items: Number of items.
        videos: Number of videos.
        empty: Number of valid items whose truth is an absence.
        past: Number of items with an end after the video's end.
        early: Number of items with a span that starts before the video's start.
        blank: Number of items with an empty sentence; 0 for a set that asks nothing in words.
        faults: Id and fault of every invalid item.
        repeated: Ids that more than one item has.
        checks: The checks of every measure under every protocol.
        skipped: Protocols that could not be used, with the reason.
    """

    benchmark: str
    items: int
    videos: int
    empty: int
    past: int
    early: int
    blank: int
    faults: list[tuple[str, str]]
    repeated: list[str]
    checks: list[GoldCheck]
    skipped: list[str]

    @property
    def passed(self) -> bool:
        """Whether every check passed and ids are unique."""
        return not self.repeated and all(c.passed for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """The result as one JSON object."""
        checks = [asdict(c) | {"passed": c.passed} for c in self.checks]
        return asdict(self) | {"checks": checks, "passed": self.passed}


def validate_gold(benchmark: Benchmark, items: Sequence[Item]) -> Validation:
    """Score the gold answers to a set under our own definitions and under the protocol that its papers use.

    Args:
        benchmark: The benchmark of the items.
        items: The items as its reader gave them.
    """
    times = Counter(i.id for i in items)
    checks: list[GoldCheck] = []
    skipped = []
    task = TASKS[benchmark.task]
    answers = task.gold(items)
    for name in dict.fromkeys((*task.definitions, benchmark.protocol)):
        protocol = PROTOCOLS.get(name)
        if protocol is None:
            skipped.append(f"{name}: there is no such protocol")
        elif benchmark.task not in protocol.tasks:
            skipped.append(f"{name}: it does not score {benchmark.task}")
        else:
            checks += _checks(protocol, items, protocol.score(items, answers))
    return Validation(
        benchmark.name,
        len(items),
        len({i.video for i in items}),
        sum(task.timed and i.status == "valid" and not len(i.spans) for i in items),
        sum(i.duration is not None and bool((i.spans[:, 1:] > i.duration).any()) for i in items),
        sum(task.timed and bool((i.spans[:, 0] < 0).any()) for i in items),
        blank if (blank := sum(not i.query.strip() for i in items)) < len(items) else 0,
        [(i.id, i.fault or "no reason is given") for i in items if i.status == "invalid"],
        [name for name, n in times.items() if n > 1],
        checks,
        skipped,
    )


def _checks(protocol: Protocol, items: Sequence[Item], scores: Scores) -> list[GoldCheck]:
    """A check of each headline measure that the protocol returned."""
    row = {item.id: item for item in items}
    kept = [row[name] for name in scores.ids]
    valid = np.array([item.status == "valid" for item in kept], bool)
    out = []
    for measure in protocol.headline:
        if measure not in scores.summary:
            continue
        got, column = scores.summary[measure], scores.items.get(measure)
        reach, reason = _ceiling(protocol, measure, kept)
        if not valid.all():
            reason = f"{reason}; {(~valid).sum()} invalid items".removeprefix("; ")
        if reach is None or column is None:
            # The value of a pooled measure is known in advance only if every item can be answered fully.
            best = 0.0 if measure in _LOWER else 1.0
            out.append(GoldCheck(protocol.name, measure, got, None if reach is None or reason else best, reason))
            continue
        due = np.where(valid & ~np.isnan(reach), reach, column)
        short = [i.id for i in itertools.compress(kept, column != due)]
        full = None if np.isnan(reach).any() else float(due.mean())
        out.append(GoldCheck(protocol.name, measure, got, full, reason, short))
    return out


def _ceiling(protocol: Protocol, measure: str, items: Sequence[Item]) -> tuple[NDArray[np.float64] | None, str]:
    """The score of a perfect answer on each item (NaN: unknown; None: unknown for all), and why it is less than 1."""
    for (name, prefix), (reach, reason) in _CEILINGS.items():
        if protocol.name == name and measure.startswith(prefix):
            if reach is None:
                return None, reason
            found = reach(items)
            # NaN counts as less than 1
            return found, "" if (found >= 1).all() else reason
    if protocol.standing != "ours" and {"tubes", "tracking"} & set(protocol.tasks) and "spans" not in protocol.tasks:
        return None, "on its own grid of frames the truth may get less"
    return np.ones(len(items)), ""


def _agreed(items: Sequence[Item]) -> NDArray[np.float64]:
    """1 for items on which three annotators chose the same moment."""
    most = [max(Counter(map(tuple, i.extra["times"])).values(), default=0) for i in items]
    return (np.array(most) >= didemo.BEST).astype(np.float64)


def _liked(items: Sequence[Item]) -> NDArray[np.float64]:
    """1 for items in which some annotator gave some clip the highest vote."""
    cast = [item.extra.get("saliency_scores", ()) for item in items]
    return np.array([any(4 in vote for vote in given) for given in cast], np.float64)


def _ten(items: Sequence[Item]) -> NDArray[np.float64]:
    """1 for items with no more true windows than an answer may have, NaN for the others."""
    return np.array([1.0 if len(i.spans) <= WINDOWS else np.nan for i in items])


def _single(items: Sequence[Item]) -> NDArray[np.float64]:
    """1 for items with one true span, NaN for the others."""
    return np.array([1.0 if len(i.spans) == 1 else np.nan for i in items])


def _one_time(items: Sequence[Item]) -> NDArray[np.float64]:
    """1 for items whose objects all have the item's time, NaN for the others."""
    sure = [bool(i.tubes) and all(t.spans == i.span_set for t in i.tubes) for i in items]
    return np.where(sure, 1.0, np.nan)


#: Measures whose best value is 0.
_LOWER = {"false-rejection"}

_Reach = Callable[[Sequence[Item]], NDArray[np.float64]]

#: (protocol, prefix of the measure) → highest score of each item, and why it is less than 1; the first match counts.
_CEILINGS: dict[tuple[str, str], tuple[_Reach | None, str]] = {
    ("default", "R5"): (_single, "an alternative is one span, and the truth of some items is not"),
    ("default-tubes", "m_tIoU"): (lambda items: np.ones(len(items)), ""),
    ("default-tubes", ""): (_one_time, "some items have no boxes, or several objects with times of their own"),
    ("vue-tr", "IoU"): (
        None,
        "answers are rounded outwards to whole seconds, and an IoU of 1 fails the last threshold",
    ),
    ("vue-tr", "Precision"): (None, "answers are rounded outwards to whole seconds"),
    ("qv-m2", "MR-full-mAP@"): (None, "only ten windows of an answer count, and some items have more"),
    ("qv-m2", "MR-full-mAP"): (_ten, "only ten windows of an answer count, and some items have more"),
    ("lasot", "success"): (
        None,
        "an IoU of 1 fails the last threshold; frames without the target stay in the denominator",
    ),
    ("lasot", ""): (None, "frames in which the target is absent stay in the denominator and cannot be hit"),
    ("vqa", "VQA"): (None, "annotators give different answers"),
    ("lasot-got10k", "success"): (None, "an IoU of 1 fails the last of the 21 thresholds"),
    ("didemo", "mIoU"): (didemo.ceiling, "on some items no three annotators agree"),
    ("didemo", "seconds-R1@0.7"): (None, "the moment that suits three annotators best need not be one that any chose"),
    ("didemo", "Rank@1"): (_agreed, "on some items no three annotators agree"),
    ("qvhighlights", "HL-min-VeryGood-Hit1"): (_liked, "some items have no clip that anybody found very good"),
    ("qvhighlights", "HL"): (None, "three annotators vote differently; no order of clips suits them all"),
    ("qvhighlights", "MR-short"): (None, "windows of other lengths count against the answer"),
    ("qvhighlights", "MR-middle"): (None, "windows of other lengths count against the answer"),
    ("qvhighlights", "MR-long"): (None, "windows of other lengths count against the answer"),
    ("qvhighlights", "MR-full-mAP"): (_ten, "only ten windows of an answer count, and some items have more"),
}
