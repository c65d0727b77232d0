"""Manifests: one schema for all data, as JSON Lines or Parquet.

A manifest is a file of `Item`s, whatever set they come from: `whenwhere stage` and `whenwhere data convert` write it,
and `batch`, `eval`, `train` and `data` read it. `whenwhere.datasets.schema` says what a line holds. A relative video
path counts from the manifest's folder.

Parquet holds the same as typed columns (`whenwhere.datasets.parquet`). Both forms are written and read in a stream, so
that a file never has to fit into memory.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.datasets.parquet import entries, write_rows
from whenwhere.datasets.schema import FormatFault, fault_of_line, from_dict, to_json
from whenwhere.errors import RecordError
from whenwhere.store import atomic_path


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """A line of a manifest: its item, or what is wrong with it.

    Attributes:
        number: Number of the line, counted from 1; the row in a Parquet file.
        item: The item, or None if the line cannot be read.
        kind: The kind of fault, a stable word: `not JSON`, `not an object`, `unknown key`, `missing key`, `wrong type`,
            `not a number`, `reversed span`, `bad tube`, `version`, `not UTF-8`, `unexpected`.
        fault: One sentence with file and line, or None if nothing is wrong.
    """

    number: int
    item: Item | None = None
    kind: str | None = None
    fault: str | None = None


def scan(path: Path) -> Iterator[ManifestLine]:
    """Every line of a manifest in a stream, whether it can be read or not.

    Args:
        path: A file whose name ends in `.jsonl`, `.ndjson` or `.parquet`.

    Raises:
        RecordError: The file is missing, empty, of another kind, or not Parquet.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        rows = entries(path)
    elif suffix in (".jsonl", ".ndjson"):
        rows = _json_lines(path)
    else:
        raise RecordError(f"{path} is not a manifest: its name must end in .jsonl or .parquet")
    number = 0
    for number, entry in rows:
        try:
            if isinstance(entry, FormatFault):
                raise entry
            yield ManifestLine(number, from_dict(entry))
        except Exception as e:
            fault = fault_of_line(e)
            yield ManifestLine(number, None, fault.kind, f"{path}, line {number}: {fault}")
    if not number:
        raise RecordError(f"{path} is empty: a manifest has a line for each question")


def read(path: Path) -> Iterator[Item]:
    """The items of a manifest in a stream.

    Raises:
        RecordError: As for `scan`, or a line does not follow the schema; the message names file and line.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    for line in scan(path):
        if line.item is None:
            raise RecordError(f"{line.fault}; `whenwhere data validate` lists all such lines")
        yield line.item


def write(items: Iterable[Item], path: Path) -> int:
    """Write a manifest in a stream; the file is written whole or not at all.

    Returns:
        The number of items.

    Raises:
        RecordError: An item cannot be written, or the name ends in neither `.jsonl` nor `.parquet`.
        OutputError: The file cannot be written.
        MissingExtraError: The file is to be Parquet and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return write_rows(items, path)
    if suffix not in (".jsonl", ".ndjson"):
        raise RecordError(f"cannot write a manifest as {path}: give a name that ends in .jsonl or .parquet")
    count = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as f:
        for item in items:
            try:
                f.write(to_json(item).encode("utf-8") + b"\n")
            except UnicodeEncodeError as e:
                raise RecordError(f"item {item.id!r} has text that is not Unicode ({e.reason}): rename it") from e
            count += 1
    return count


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with open(path, "rb") as f:
            for number, line in enumerate(f, 1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not text.strip():
                    continue
                try:
                    yield number, json.loads(text)
                except (ValueError, RecursionError) as e:
                    yield number, FormatFault("not JSON", f"not JSON ({e})")
    except OSError as e:
        raise RecordError(f"cannot read {path}: {e.strerror or e}") from e
