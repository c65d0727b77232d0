"""Reads the questions of a batch from a file, or combines each sentence with each video of a folder.

A file of questions needs less than a manifest: JSON Lines, CSV or Parquet with the columns `video` and `query`. The
columns `id` and `window` are read if they are there (in CSV only `id`), and all others are ignored, so that a manifest
with ground truth can be used as it is. In JSON Lines and CSV, bytes that are not UTF-8 are kept, because file names may
hold any. Whatever is wrong with a line, it is reported with its number, and the other lines are still read.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.datasets.parquet import read_columns
from whenwhere.datasets.schema import FormatFault, fault_of_line, read_window
from whenwhere.datasets.videos import VIDEOS, is_address
from whenwhere.errors import MediaError, RecordError, SettingError

#: Columns that every list of questions has.
COLUMNS = ("video", "query")


@dataclass
class QuestionList:
    """The questions of a file or folder.

    Attributes:
        items: The questions as items without truth. `Item.id` is empty if the file gives none.
        faults: One sentence for each line that could not be used.
    """

    items: list[Item] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)


def read_questions(path: Path) -> QuestionList:
    """The questions of a JSON Lines, CSV or Parquet file; relative paths count from the file's folder.

    Raises:
        RecordError: The file is missing, of another kind, empty, or has no columns `video` and `query`.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    readers = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RecordError(
            f"{path} is not a manifest: give .jsonl, .csv or .parquet with `video` and `query`, or a folder"
        )
    found = QuestionList()
    try:
        rows = list(reader(path))
    except OSError as e:
        raise RecordError(f"cannot read {path}: {e.strerror or e}") from e
    for number, row in rows:
        try:
            found.items.append(_question(row, path.parent))
        except Exception as e:
            found.faults.append(f"{path.name}, line {number}: {fault_of_line(e)}")
    if not rows:
        raise RecordError(f"{path} has no questions in it")
    return found


def read_folder(folder: Path, sentences: Iterable[str]) -> QuestionList:
    """One question for each pair of a sentence and a video in a folder or the folders below it.

    Raises:
        SettingError: No sentence was given.
        MediaError: There is no video in the folder.
    """
    asked = list(sentences)
    if not asked:
        raise SettingError(
            f'{folder} is a folder: add --sentence "…" or --sentences FILE to say what to look for in it'
        )
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())
    if not videos:
        raise MediaError(f"no video in {folder}: looked for files ending in {', '.join(sorted(VIDEOS))}")
    return QuestionList([Item("", str(video), sentence) for video in videos for sentence in asked])


def _question(row: Any, folder: Path) -> Item:
    """The question of a row.

    Raises:
        FormatFault: The row cannot be used.
    """
    if isinstance(row, Exception):
        raise row
    if not isinstance(row, dict):
        raise FormatFault("not an object", "not an object with `video` and `query`")
    for column in COLUMNS:
        if not isinstance(row.get(column), str):
            raise FormatFault("wrong type", f"no text under {column!r}")
    if not row["video"]:
        raise FormatFault("wrong type", "the video's name is empty")
    if "\0" in row["video"]:
        raise FormatFault("wrong type", "the video's name has the character 0 in it")
    name = row.get("id")
    if not isinstance(name, str | None):
        raise FormatFault("wrong type", f"'id' is {name!r}, not text")
    # A file's name may hold any bytes; whatever else cannot be encoded came from an escape such as \ud800.
    for key, encode in (("video", os.fsencode), ("query", str.encode), ("id", str.encode)):
        try:
            encode(row.get(key) or "")
        except UnicodeEncodeError:
            raise FormatFault("not UTF-8", f"{key!r} is not UTF-8: save the file as UTF-8") from None
    return Item(name or "", _located(row["video"], folder), row["query"], window=read_window(row.get("window") or None))


def _located(video: str, folder: Path) -> str:
    """The path of a video, counted from the manifest's folder; addresses are left alone."""
    if is_address(video):
        return video
    return str(folder / video)


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as e:
                    yield number, FormatFault("not JSON", f"not JSON ({e})")


def _read_csv(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        reader = csv.DictReader(f)
        try:
            _check_columns(path, reader.fieldnames or [])
        except csv.Error as e:
            raise RecordError(f"{path.name}, line {reader.line_num}: not CSV ({e})") from e
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                # The reader goes on with the next line.
                yield reader.line_num, FormatFault("not CSV", f"not CSV ({e})")
            else:
                yield reader.line_num, {k: v for k, v in row.items() if k != "window"}


def _read_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    for number, row in enumerate(read_columns(path, ("id", *COLUMNS, "window"), _check_columns), 1):
        window = row.get("window")
        yield number, row | {"window": list(window.values()) if isinstance(window, dict) else window}


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    missing = [c for c in COLUMNS if c not in columns]
    if missing:
        raise RecordError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}: it has {', '.join(columns) or 'none'}"
        )
