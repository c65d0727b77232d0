"""From released files to manifests, and the check of a manifest line by line.

    convert_release(BENCHMARKS["tvgbench"], Path("tvgbench.json"), Path("tvgbench.jsonl"), videos=Path("clips"))
    print(check_manifest(Path("tvgbench.jsonl"), videos=Path("clips")).faults)

`whenwhere data convert` and `whenwhere data validate` print what these functions return.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whenwhere.datasets import manifest
from whenwhere.datasets.benchmark import Benchmark, read_items
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder
from whenwhere.errors import SettingError


@dataclass(frozen=True)
class Conversion:
    """What a released file became.

    Attributes:
        items: Number of items written.
        videos: Number of different videos that they are about.
        invalid: Number of items that the release marks as invalid; they are written with that mark.
        missing: Released names of the videos that were not found, sorted; their items keep these names.
    """

    items: int
    videos: int
    invalid: int
    missing: tuple[str, ...] = ()


def convert_release(benchmark: Benchmark, annotations: Path, out: Path, videos: Path | None = None) -> Conversion:
    """Write the items of a released file as a manifest.

    Args:
        benchmark: The benchmark whose file it is.
        annotations: The released file, or the folder where it has several.
        out: The manifest, .jsonl or .parquet.
        videos: Folder of the videos. Each item then names its video by the path from the folder of `out`, and keeps the
            released name in its `provenance`. None keeps the released names.

    Raises:
        RecordError: The file cannot be read, or `out` has another ending.
        SettingError: The benchmark has neither sentences nor truth in time.
        OutputError: The manifest cannot be written.
    """
    items = read_items(benchmark, annotations)
    if not any(item.query or len(item.spans) or item.tubes for item in items):
        raise SettingError(f"{benchmark.name} has neither sentences nor truth in time: only `whenwhere eval` takes it")
    names = len({item.video for item in items})
    missing: set[str] = set()
    located = items if videos is None else _located(items, VideoFolder(videos, annotations), out.parent, missing)
    count = manifest.write(located, out)
    return Conversion(count, names, sum(item.status == "invalid" for item in items), tuple(sorted(missing)))


def _located(items: Iterable[Item], videos: VideoFolder, folder: Path, missing: set[str]) -> Iterator[Item]:
    """The items with their videos as paths from a folder; names of videos that are not found are added to `missing`."""
    for item in items:
        path = videos.find_item(item)
        if path is None:
            missing.add(item.video)
        else:
            item.provenance["video"], item.video = item.video, os.path.relpath(path, folder)
        yield item


@dataclass
class ManifestCheck:
    """What is wrong with the lines of a manifest.

    Attributes:
        file: The manifest.
        lines: Number of lines.
        videos: Number of different videos that they name.
        invalid: Number of items that the release marks as invalid, which is no fault.
        faults: Number of faults by kind: those of `ManifestLine.kind`, `repeated id` and `missing video`.
        examples: The first sentences of each kind of fault, in the order of the lines.
    """

    file: Path
    lines: int = 0
    videos: int = 0
    invalid: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON values, without the examples."""
        return {
            "file": str(self.file), "lines": self.lines, "videos": self.videos, "invalid": self.invalid,
            "faults": dict(self.faults),
        }  # fmt: skip


def check_manifest(file: Path, videos: Path | None = None, examples: int = 3) -> ManifestCheck:
    """Check that every line of a manifest can be read, that ids are unique, and that videos exist.

    Args:
        file: The manifest, which may be larger than memory.
        videos: Folder of the videos. None does not look for them.
        examples: Most sentences to keep of each kind of fault.

    Raises:
        RecordError: The file is missing, empty or not a manifest.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    folder = None if videos is None else VideoFolder(videos, file)
    found = ManifestCheck(file)
    # Hashes instead of the names themselves, because a manifest may have millions of lines.
    ids: set[int] = set()
    seen: set[int] = set()

    def fault(kind: str, sentence: str) -> None:
        found.faults[kind] += 1
        if found.faults[kind] <= examples:
            found.examples.append(sentence)

    for line in manifest.scan(file):
        found.lines += 1
        if line.item is None:
            fault(line.kind or "", line.fault or "")
            continue
        item = line.item
        found.invalid += item.status == "invalid"
        if hash(item.id) in ids:
            fault("repeated id", f"{file}, line {line.number}: the id {item.id!r} is on an earlier line too")
        ids.add(hash(item.id))
        video = hash(item.video)
        if folder is not None and video not in seen and folder.find_item(item) is None:
            fault(
                "missing video",
                f"{file}, line {line.number}: the video {item.video!r} is neither in {videos} nor at that path from "
                "the manifest's folder",
            )
        seen.add(video)
    found.videos = len(seen)
    return found
