"""What readers of captioned and of labelled videos share: numbers of videos and classes, and names of clips.

Retrieval is scored from one matrix of similarities between sentences and videos, recognition from one of scores between
videos and classes. So each item says which column is its own: `Item.extra` holds `video` and `videos`, or `label` and
`classes`. Where a clip's file may have several names, `Item.video` is the first, and `Item.extra["names"]` has the
others.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.datasets.parquet import read_columns
from whenwhere.datasets.release import mapping, need, number, read_json, read_jsonl, read_text
from whenwhere.errors import RecordError
from whenwhere.readers import parse_table, quoted

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)")


def number_videos(items: list[Item]) -> list[Item]:
    """The items, each with the number of its video in `extra["video"]`, and how many there are in `extra["videos"]`.

    Args:
        items: One item for each sentence. Videos are numbered in the order in which they first occur.
    """
    numbers: dict[str, int] = {}
    for item in items:
        item.extra["video"] = numbers.setdefault(item.video, len(numbers))
    for item in items:
        item.extra["videos"] = len(numbers)
    return items


def number_classes(items: list[Item], classes: Sequence[str]) -> list[Item]:
    """The items, each with the number of its class in `extra["label"]`, and how many there are in `extra["classes"]`.

    Args:
        items: One item for each video, with the class's own name in `answer`.
        classes: Names of all classes, in the order of their numbers.
    """
    numbers = {name: k for k, name in enumerate(classes)}
    for item in items:
        item.extra |= {"label": numbers[str(item.answer)], "classes": len(classes)}
    return items


def class_words(name: str) -> str:
    """The name of a class as words for a prompt.

    >>> class_words("ApplyEyeMakeup"), class_words("brush_hair"), class_words("playing ukulele")
    ('apply eye makeup', 'brush hair', 'playing ukulele')
    """
    return " ".join(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").split()).lower()


def seconds(value: Any, place: str) -> float:
    """A time in seconds, from a number or a clock time as text.

    Raises:
        RecordError: It is neither.

    >>> seconds("00:01:02.500", "x"), seconds("3.5", "x"), seconds(4, "x")
    (62.5, 3.5, 4.0)
    """
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return number(value, place)
    hours, minutes, rest = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(rest)


def read_table(
    path: Path, columns: Sequence[str], title: str, also: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place for messages, row) of a table that is CSV, JSON Lines, a JSON list or Parquet, by its extension.

    Args:
        path: The file.
        columns: Columns that it must have.
        title: Title of the set, for messages.
        also: Further columns that are read from a Parquet file if it has them; other kinds of files are read whole.

    Raises:
        RecordError: The file cannot be read, or has no such column; the message names it.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    rows: Iterable[tuple[str, Any]]
    if suffix == ".parquet":
        table = read_columns(
            path, (*columns, *also), lambda _, names: need(dict.fromkeys(names), tuple(columns), str(path), title)
        )
        rows = ((f"{path}, row {n}", row) for n, row in enumerate(table, 1))
    elif suffix in (".jsonl", ".ndjson"):
        rows = read_jsonl(path)
    elif suffix == ".json":
        found = read_json(path)
        if not isinstance(found, list):
            raise RecordError(f"{path} is not a list of objects, so this is no {title} file: give the released file")
        rows = ((f"{path}, entry {n}", row) for n, row in enumerate(found))
    else:
        names, lines = parse_table(read_text(path), str(path))
        need(dict.fromkeys(names), tuple(columns), str(path), title)
        rows = ((f"{path}, line {n}", row) for n, row in lines)
    for place, row in rows:
        need(mapping(row, place), tuple(columns), place, title)
        yield place, row


def listed(path: Path) -> set[str] | None:
    """The names in a file of lines, such as a list of test videos; None if there is no such file.

    Args:
        path: The file.

    Raises:
        RecordError: It cannot be read.
    """
    if not path.is_file():
        return None
    return {line.split()[0] for line in read_text(path).splitlines() if line.strip()}


def unique(items: list[Item], path: Path) -> list[Item]:
    """The items, if their ids differ.

    Args:
        items: The items.
        path: Their file, for the message.

    Raises:
        RecordError: Two items have one id.
    """
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise RecordError(f"{path} has the id {quoted(item.id)} twice: remove one of the entries")
        seen.add(item.id)
    return items
