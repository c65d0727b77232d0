"""Manifests: the one file format for all data sets, as JSON Lines or Parquet.

A manifest is a file of `Item`s, whichever data set they come from. `whenwhere stage` and `whenwhere data convert` write
manifests, and `batch`, `eval`, `train` and `data` read them. `whenwhere.datasets.schema` defines the fields of a line.
A relative video path is relative to the folder of the manifest.

Parquet files hold the same fields as typed columns (`whenwhere.datasets.parquet`). Both kinds are read and written one
item at a time, so that a manifest may be larger than memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.datasets.parquet import entries, write_rows
from whenwhere.datasets.schema import FormatFault, fault_of_line, from_dict, to_json
from whenwhere.errors import RecordError
from whenwhere.readers import parse_json, read_lines
from whenwhere.store import atomic_path

#: How the names of a manifest's parts begin.
PART = "part-"


@dataclass(frozen=True, slots=True)
class ManifestLine:
    """One line of a manifest: its item, or what is wrong with it.

    Attributes:
        number: Number of the line, or of the row in a Parquet file, counted from 1.
        item: The item, or None if the line cannot be read.
        kind: The kind of fault, or None if nothing is wrong. It is one of `not JSON`, `not an object`, `unknown key`,
            `missing key`, `wrong type`, `not a number`, `reversed span`, `bad tube`, `version`, `not UTF-8`,
            `unexpected`; these names do not change between versions.
        fault: One sentence that names file, line and fault, or None if nothing is wrong.
    """

    number: int
    item: Item | None = None
    kind: str | None = None
    fault: str | None = None


def parts(folder: Path) -> list[Path]:
    """The files in a folder that are together one manifest, in order: `part-00000.parquet` or `.jsonl`, and so on."""
    return sorted(p for p in folder.glob(f"{PART}*") if p.suffix.lower() in (".jsonl", ".ndjson", ".parquet"))


def scan(path: Path) -> Iterator[ManifestLine]:
    """Iterate over all lines of a manifest, those that cannot be read included.

    Args:
        path: A file whose name ends in `.jsonl`, `.ndjson` or `.parquet`, or a folder of parts of a manifest (`parts`).

    Raises:
        RecordError: The file is missing or empty, has another extension, or is named `.parquet` but is not Parquet. Or
            the folder has no parts.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    if path.is_dir():
        if not (files := parts(path)):
            raise RecordError(f"{path} is a folder without parts of a manifest, such as {PART}00000.parquet")
        for file in files:
            yield from scan(file)
        return
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
    """Iterate over the items of a manifest, up to the first line that cannot be read.

    Args:
        path: A file whose name ends in `.jsonl`, `.ndjson` or `.parquet`.

    Raises:
        RecordError: The file is missing, empty or not a manifest, or a line does not follow the schema; the message
            names file and line.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    for line in scan(path):
        if line.item is None:
            raise RecordError(f"{line.fault}; `whenwhere data validate` lists all such lines")
        yield line.item


def write(items: Iterable[Item], path: Path) -> int:
    """Write items to a manifest, one at a time. If anything fails, the file at `path` stays as it was.

    Args:
        items: The items; an iterator is consumed as it is written, so they need not fit into memory.
        path: The file to write, JSON Lines or Parquet according to its extension.

    Returns:
        The number of items written.

    Raises:
        RecordError: An item cannot be written, or the name does not end in `.jsonl`, `.ndjson` or `.parquet`.
        OutputError: The file cannot be written.
        MissingExtraError: The name ends in `.parquet` and pyarrow is not installed.
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
    for number, line in read_lines(path):
        try:
            value = parse_json(line, "this line", remedy="write it again")
        except RecordError as e:
            yield number, FormatFault("not JSON", str(e))
        else:
            yield number, value
