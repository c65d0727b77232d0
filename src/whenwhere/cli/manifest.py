"""Reading what a batch is asked: a manifest of (video, query), or a folder of videos with sentences.

JSON Lines and CSV are read as text whose undecodable bytes survive (file names may hold any), Parquet through
pyarrow. Columns other than `video` and `query` are ignored, so a file with truth in it can be asked as it is. A line
that cannot be used is data like any other failure: it is reported with its number and the rest goes on.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.datasets.videos import VIDEOS
from whenwhere.errors import MediaError, MissingExtraError, RecordError, SettingError


@dataclass
class Manifest:
    """Questions by video, in the order in which videos first occur.

    Attributes:
        questions: source of each video → its sentences, without repeats.
        faults: a sentence for each line that could not be used.
    """

    questions: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def add(self, video: str, query: str) -> None:
        """One more question."""
        queries = self.questions.setdefault(video, [])
        if query not in queries:
            queries.append(query)

    def __len__(self) -> int:
        return sum(map(len, self.questions.values()))


def read_folder(folder: Path, sentences: Iterable[str]) -> Manifest:
    """Each sentence for each video in a folder and the folders below it.

    Raises:
        SettingError: no sentence.
        MediaError: no video.
    """
    asked = list(sentences)
    if not asked:
        raise SettingError(
            f'{folder} is a folder: add --sentence "…" or --sentences FILE to say what to look for in it'
        )
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS and p.is_file())
    if not videos:
        raise MediaError(f"no video in {folder}: looked for files ending in {', '.join(sorted(VIDEOS))}")
    manifest = Manifest()
    for video in videos:
        for sentence in asked:
            manifest.add(str(video), sentence)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The questions of a JSON Lines, CSV or Parquet file; relative paths count from the file's folder.

    Raises:
        RecordError: missing, of another kind, empty, or without the columns `video` and `query`.
        MissingExtraError: Parquet without pyarrow.
    """
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise RecordError(
            f"{path} is not a manifest: give .jsonl, .csv or .parquet with `video` and `query`, or a folder"
        )
    manifest = Manifest()
    try:
        rows = list(reader(path))
    except OSError as e:
        raise RecordError(f"cannot read {path}: {e.strerror or e}") from e
    for number, row in rows:
        fault = _fault(row)
        if fault:
            manifest.faults.append(f"{path.name}, line {number}: {fault}")
        else:
            manifest.add(_located(row["video"], path.parent), row["query"])
    if not rows:
        raise RecordError(f"{path} has no questions in it")
    return manifest


def _fault(row: Any) -> str | None:
    """What is wrong with a row, None where nothing is."""
    if isinstance(row, ValueError):
        return f"not JSON ({row})"
    if not isinstance(row, dict):
        return "not an object with `video` and `query`"
    for column in ("video", "query"):
        if not isinstance(row.get(column), str):
            return f"no text under {column!r}"
    return None if row["video"] else "the video's name is empty"


def _located(video: str, folder: Path) -> str:
    """Paths count from the manifest's folder; addresses are left alone."""
    if video.startswith(("http://", "https://")):
        return video
    return str(folder / video)


def _jsonl(path: Path) -> Iterable[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as e:
                    yield number, e


def _csv(path: Path) -> Iterable[tuple[int, Any]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        reader = csv.DictReader(f)
        _check_columns(path, reader.fieldnames or [])
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as e:
            raise RecordError(f"{path.name}, line {reader.line_num}: not CSV ({e})") from e


def _parquet(path: Path) -> Iterable[tuple[int, Any]]:
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
    yield from enumerate(table.select(["video", "query"]).to_pylist(), 1)


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    missing = [c for c in ("video", "query") if c not in columns]
    if missing:
        raise RecordError(
            f"{path} has no column {' and no column '.join(map(repr, missing))}: it has {', '.join(columns) or 'none'}"
        )
