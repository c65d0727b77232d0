"""A format of prediction files: a reader, a writer, and a way to recognise it by content."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from whenwhere.datasets.item import Item
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Prediction


@dataclass(frozen=True)
class Format:
    """One format; each lives in a file of its own and is listed in `whenwhere.evaluate.formats`.

    Attributes:
        name: Name as typed after `--format`.
        title: What the format is, in words.
        layout: `lines` (one JSON object per line, or a JSON array of them), `json` (one value), `csv`, or `arrays`
            (.npz or .npy).
        sniff: Whether content looks like this format. It gets the first object (`lines`), the whole value (`json`), the
            list of column names (`csv`); a task has at most one format of `arrays`, which is never asked.
        read: Takes every answer of the file into the intake.
        write: (path, answers by id, items) → the file, with the answers in the order of the items.
        loses: What an answer can hold that the format cannot.
        source: Where the format was taken from.
        tasks: The only tasks whose answers the format holds; empty for a format of every task that has none of its own.
    """

    name: str
    title: str
    layout: Literal["lines", "json", "csv", "arrays"]
    sniff: Callable[[Any], bool]
    read: Callable[[Intake], None]
    write: Callable[[Path, Mapping[str, Prediction], Sequence[Item]], None]
    loses: str
    source: str
    tasks: tuple[str, ...] = ()
