"""How hard questions are for a policy: the record, the file that keeps it, and what a manifest says of it.

Difficulty is 1 - R, where R is a recipe's reward without its format term for the policy's own answers: 0 is answered
exactly, 1 is wholly wrong. It is a property of a question *and* a policy *and* a score, so all three are on every line,
and lines that differ in them are never mixed. `training.data.difficulty` measures it.

    {"id": "clip-3#1", "sample": "clip-3", "number": 3, "of": 4, "difficulty": 0.42, "std": 0.11, "draws": 8,
     "duration": 12.0, "fraction": 0.25, "flops": 3.1e9, "score": "0.5 t_iou + 0.5 v_iou", "policy": "runs/sft",
     "recipe": "9f0c..."}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.spans import SpanSet
from whenwhere.store import read_lines

#: Fields that must be the same on all lines that are used together.
SAME = ("score", "policy", "recipe", "draws")


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How hard one question is.

    Attributes:
        id: Name of the question.
        sample: Name of the question's clip.
        number: Number of its sample in the source. None for a difficulty that a manifest carries.
        of: Number of questions of that sample.
        difficulty: 1 - R, or 1 - the mean R of several draws; 0-1.
        std: Standard deviation of R over the draws; 0 for one greedy answer.
        draws: Number of draws; 0 for one greedy answer.
        score: What R is made of.
        policy: Whose answers they are.
        recipe: Hash of the recipe under which the policy was asked.
        duration: Duration of the clip in seconds, where it is known.
        fraction: Share of the clip that the true spans take, where it is known; 0 where the truth is absence.
        flops: FLOPs that measuring took, counted (`prefix.flops`).
    """

    id: str
    sample: str
    number: int | None
    of: int
    difficulty: float
    std: float = 0.0
    draws: int = 0
    score: str = "t_iou"
    policy: str = ""
    recipe: str = ""
    duration: float | None = None
    fraction: float | None = None
    flops: float = 0.0

    def line(self) -> str:
        """The record as a line of a file, without the line break."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read(file: Path, same: Mapping[str, Any] | None = None) -> dict[str, Difficulty]:
    """The difficulties of a file by question.

    Args:
        file: JSON Lines; a torn last line is left out.
        same: What the fields in `SAME` must be on all lines. None: as on the first line.

    Raises:
        RecordError: The file is missing or empty, is not such a file, or mixes difficulties of different kinds.
    """
    if not file.is_file():
        raise RecordError(f"there is no file of difficulties at {file}: `whenwhere data difficulty` writes one")
    found = read_if_there(file, same)
    if not found:
        raise RecordError(f"{file} holds no difficulties: measure them with `whenwhere data difficulty`")
    return found


def read_if_there(file: Path, same: Mapping[str, Any] | None = None) -> dict[str, Difficulty]:
    """As `read`, but without an error where there is no file yet or nothing in it.

    Args:
        file: JSON Lines; a torn last line is left out.
        same: What the fields in `SAME` must be on all lines. None: as on the first line.

    Raises:
        RecordError: It is not such a file, or mixes difficulties of different kinds.
    """
    found: dict[str, Difficulty] = {}
    for entry in read_lines(file):
        try:
            one = Difficulty(**entry)
        except TypeError as e:
            raise RecordError(f"{file} holds a line that is not a difficulty: {json.dumps(entry)[:80]}") from e
        same = same or {key: getattr(one, key) for key in SAME}
        for key in SAME:
            if getattr(one, key) != same[key]:
                raise RecordError(
                    f"{file} mixes difficulties: {key} is {getattr(one, key)!r} and {same[key]!r}; measure all with "
                    "one policy and score, in a file of their own"
                )
        found[one.id] = one
    return found


def of_items(items: Iterable[Item]) -> dict[str, Difficulty]:
    """The difficulties that a manifest carries. Time-R1's inverted field is converted where its file is read.

    Args:
        items: Items with `difficulty` in 0-1, high is hard, and `difficulty_of` naming the score and policy.

    Raises:
        RecordError: An item has none, or difficulties are of different scores.
    """
    found: dict[str, Difficulty] = {}
    names: set[str] = set()
    for item in items:
        if item.difficulty is None or not item.difficulty_of:
            raise RecordError(
                f"item {item.id!r} has no difficulty (or does not say of which score): measure with `whenwhere data "
                "difficulty` and give the file as curriculum.difficulty"
            )
        names.add(item.difficulty_of)
        if len(names) > 1:
            raise RecordError(
                f"difficulties of different scores do not mix: {' and '.join(sorted(names))}; measure all with one"
            )
        found[item.id] = Difficulty(
            item.id, item.video, None, 1, item.difficulty, score=item.difficulty_of, duration=item.duration,
            fraction=event_share(item.span_set, item.duration),
        )  # fmt: skip
    return found


def event_share(spans: SpanSet | None, duration: float | None) -> float | None:
    """The share of a video that an event takes; None where one of both is unknown.

    Args:
        spans: When the event happens.
        duration: Duration of the video in seconds.

    >>> event_share(SpanSet([(1, 2)]), 4.0)
    0.25
    """
    return None if spans is None or not duration else min(1.0, spans.duration / duration)


def summary(found: Mapping[str, Difficulty]) -> dict[str, Any]:
    """A file in numbers: count, mean, deciles, shares of wholly wrong and exact answers, mean standard deviation.

    Args:
        found: Difficulties of one kind, at least one.
    """
    values = np.array([d.difficulty for d in found.values()])
    one = next(iter(found.values()))
    return {
        "questions": len(values), "score": one.score, "policy": one.policy, "recipe": one.recipe, "draws": one.draws,
        "mean": round(float(values.mean()), 4),
        "deciles": [round(float(v), 4) for v in np.quantile(values, np.linspace(0, 1, 11))],
        "wrong": round(float((values >= 1 - 1e-9).mean()), 4), "right": round(float((values <= 1e-9).mean()), 4),
        "std": round(float(np.mean([d.std for d in found.values()])), 4),
        "flops": sum(d.flops for d in found.values()),
    }  # fmt: skip
