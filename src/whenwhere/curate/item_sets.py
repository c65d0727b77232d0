"""Sets of items as curation reads and writes them: a manifest or a released file, and what of it could not be read.

A set is named `FILE` (a manifest) or `BENCHMARK=FILE` (a benchmark's released file). One bad line never stops the
reading: it becomes a sentence in `faults`, and the source is never changed.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whenwhere.datasets import manifest
from whenwhere.datasets.benchmark import read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import is_address
from whenwhere.errors import OutputError, RecordError, SettingError
from whenwhere.evaluate.names import find_benchmark
from whenwhere.store import checksum, content_hash, write_new


@dataclass
class ItemSet:
    """The items of one file.

    Attributes:
        name: Name of the set: the benchmark and the file's stem, or the stem of the manifest.
        path: The file.
        items: All items that could be read.
        faults: One sentence for each line that could not be read.
        folder: The folder that relative paths of videos count from. None for released files, whose names are no paths.
    """

    name: str
    path: Path
    items: list[Item]
    faults: list[str] = field(default_factory=list)
    folder: Path | None = None

    def path_of(self, item: Item) -> Path | None:
        """Where the video of an item should be; None where its name is no path."""
        return None if self.folder is None else self.folder / item.video

    @property
    def repeated_ids(self) -> list[str]:
        """Ids that more than one item has."""
        counts = Counter(item.id for item in self.items)
        return [name for name, count in counts.items() if count > 1]


def read_set(given: str | Path, benchmark: str | None = None) -> ItemSet:
    """The set in a file.

    Args:
        given: Path of a manifest, or `BENCHMARK=FILE`.
        benchmark: Name of the benchmark whose released file it is, instead of the prefix.

    Raises:
        RecordError: The file is missing, empty, of another kind, or no line of it can be read.
        SettingError: There is no such benchmark.
    """
    text = os.fspath(given)
    before, sign, after = text.partition("=")
    if benchmark is None and sign and not Path(text).exists() and not set(before) & {"/", "\\", "."}:
        benchmark, text = before, after
    path = Path(text)
    if benchmark is not None:
        bench = find_benchmark(benchmark)
        items = read_items(bench, path)
        if not any(item.query or len(item.spans) or item.tubes for item in items):
            raise SettingError(f"{bench.name} has neither sentences nor truth in time, so there is nothing to curate")
        return ItemSet(f"{bench.name}:{path.stem}", path, items)
    found = ItemSet(path.stem, path, [], folder=path if path.is_dir() else path.parent)
    for line in manifest.scan(path):
        if line.item is None:
            found.faults.append(line.fault or "")
        else:
            found.items.append(line.item)
    if not found.items:
        raise RecordError(f"no line of {path} can be read; the first: {found.faults[0]}")
    return found


def moved(item: Item, path: Path | None, to: Path) -> Item:
    """The item as a manifest in another folder holds it: the path of its video leads there from the new folder.

    Args:
        item: The item; it is not changed.
        path: Where its video is. None, or no file: its name is left as it is, because it may be an id.
        to: The folder of the new manifest.
    """
    if path is None or is_address(item.video) or os.path.isabs(item.video) or not path.exists():
        return item
    return replace(item, video=os.path.relpath(path, to))


def digest(path: Path) -> str:
    """Hash of a file, or of all files of a folder, by which two runs on one output tell whether they are the same.

    Raises:
        RecordError: It cannot be read.
    """
    try:
        # a lock is there only while somebody writes
        files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != ".lock") if path.is_dir() else [path]
        return checksum(*(content_hash(file).encode() for file in files)).hex()
    except OSError as e:
        raise RecordError(f"cannot read {path}: {e.strerror or e}") from e


def claim_folder(out: Path, about: str, files: Sequence[str]) -> None:
    """Take a folder for the results of one run. The same run may come again; another one is refused.

    Args:
        out: The folder.
        about: All that decides the results, as text.
        files: Names of the files that will be written.

    Raises:
        SettingError: The folder holds the results of another run, or files of these names that no run wrote.
        OutputError: The folder cannot be written.
    """
    mark = out / ".made-of"
    if not mark.exists() and (there := [name for name in files if (out / name).exists()]):
        raise SettingError(f"{out / there[0]} is there already and not of an earlier run: choose another --out")
    if write_new(mark, about.encode()):
        return
    try:
        earlier = mark.read_bytes().decode("utf-8", "replace")
    except OSError as e:
        raise OutputError(f"cannot read {mark}: {e.strerror}; choose another --out") from e
    if earlier != about:
        raise SettingError(
            f"{out} holds the results of another run (other input, settings or answers): choose another --out, or "
            "remove that folder"
        )
