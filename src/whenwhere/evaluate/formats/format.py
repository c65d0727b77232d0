"""What a format of prediction files is: a reader, a writer, and a way to know it when one sees it."""

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
        name: as typed after `--format`.
        title: what it is, in words.
        layout: `lines` (one JSON object a line, or a JSON array of them), `json` (one value) or `csv`.
        sniff: does this look like it? Gets the first object, the whole value or the list of column names.
        read: takes every answer of the file into the intake.
        write: (path, answers by id, items) → the file. Answers of items are written in the items' order.
        loses: what an answer can have that the format cannot hold.
        source: where the format was taken from.
    """

    name: str
    title: str
    layout: Literal["lines", "json", "csv"]
    sniff: Callable[[Any], bool]
    read: Callable[[Intake], None]
    write: Callable[[Path, Mapping[str, Prediction], Sequence[Item]], None]
    loses: str
    source: str
