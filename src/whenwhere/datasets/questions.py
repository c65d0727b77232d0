"""Reads the questions of a batch from a file, or combines each sentence with each video of a folder.

A file of questions needs less than a manifest: JSON Lines, CSV or Parquet with the columns `video` and `query`. The
columns `id` and `window` are read if they are there (in CSV only `id`), and all others are ignored, so that a manifest
with ground truth can be used as it is. In JSON Lines and CSV, bytes that are not UTF-8 are kept, because file names may
hold any. A line that cannot be used is reported with its number, and the other lines are still read.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.datasets.schema import FormatFault, read_window
from whenwhere.datasets.videos import VIDEOS
from whenwhere.errors import MediaError, MissingExtraError, RecordError, SettingError

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
        except FormatFault as e:
            found.faults.append(f"{path.name}, line {number}: {e}")
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
    if isinstance(row, ValueError):
        raise FormatFault("not JSON", f"not JSON ({row})")
    if not isinstance(row, dict):
        raise FormatFault("not an object", "not an object with `video` and `query`")
    for column in COLUMNS:
        if not isinstance(row.get(column), str):
            raise FormatFault("wrong type", f"no text under {column!r}")
    if not row["video"]:
        raise FormatFault("wrong type", "the video's name is empty")
    name = row.get("id")
    if not isinstance(name, str | None):
        raise FormatFault("wrong type", f"'id' is {name!r}, not text")
    return Item(name or "", _located(row["video"], folder), row["query"], window=read_window(row.get("window") or None))


def _located(video: str, folder: Path) -> str:
    """The path of a video, counted from the manifest's folder; addresses are left alone."""
    if video.startswith(("http://", "https://")):
        return video
    return str(folder / video)


def _read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as e:
                    yield number, e


def _read_csv(path: Path) -> Iterator[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        reader = csv.DictReader(f)
        _check_columns(path, reader.fieldnames or [])
        try:
            for row in reader:
                yield reader.line_num, {k: v for k, v in row.items() if k != "window"}
        except csv.Error as e:
            raise RecordError(f"{path.name}, line {reader.line_num}: not CSV ({e})") from e


def _read_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as e:
        raise MissingExtraError("pyarrow", "data", "reading Parquet manifests") from e
    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowInvalid as e:
        raise RecordError(f"{path} is not Parquet: {str(e).splitlines()[0]}") from e
    _check_columns(path, table.column_names)
    wanted = [name for name in ("id", *COLUMNS, "window") if name in table.column_names]
    for number, row in enumerate(table.select(wanted).to_pylist(), 1):
        window = row.get("window")
        yield number, row | {"window": list(window.values()) if isinstance(window, dict) else window}


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    missing = [c for c in COLUMNS if c not in columns]
    if missing:
        raise RecordError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}: it has {', '.join(columns) or 'none'}"
        )
