"""A manifest worked on video by video, by an engine, and written in shards.

A shard is some consecutive rows of the manifest, and a task is what a shard holds about one video. Each shard becomes a
manifest `OUT/part-00000.parquet` (or .jsonl) as soon as its last video is done: whole, or not at all. A rerun makes
only the shards that are missing, and the same shards come out whatever the engine and however often it was stopped. The
folder itself is read as one manifest (`datasets.manifest.scan`).

The manifest is read once, row by row, and its rows are laid aside in `OUT/.rows`, shard by shard, with what each video
will cost. Then the shards are begun in the order of their costliest video, and in each the costliest video first: so
the last tasks are short ones, and only the shards that are under way are in memory, however many rows there are.
"""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from whenwhere.curate.item_sets import claim_folder, digest
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import VideoFolder
from whenwhere.engine import Engine, video_cost
from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.store import sole_run, write_text

ShardForm = Literal["parquet", "jsonl"]
FORMS: tuple[ShardForm, ...] = ("parquet", "jsonl")
#: Number of rows of a shard.
ROWS = 1024
#: Sentences that a report keeps of each kind of fault.
SHOWN = 100
_ROWS = ".rows"


@dataclass
class ShardReport:
    """What became of a manifest.

    Attributes:
        shards: Number of shards.
        resumed: Number of shards that were there before.
        rows: Number of rows in the shards that were made now.
        failed: Number of videos of those shards that could not be worked on; their rows are marked as invalid.
        unreadable: Number of rows of the manifest that cannot be read; they are in no shard.
        faults: A sentence for each of these, the first `SHOWN` of each kind.
    """

    shards: int = 0
    resumed: int = 0
    rows: int = 0
    failed: int = 0
    unreadable: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VideoRows:
    """What a shard holds about one video.

    Attributes:
        shard: Number of the shard.
        places: Places of the items in the shard.
        items: The items.
    """

    shard: int
    places: tuple[int, ...]
    items: list[Item]


def run_shards(
    given: Path,
    out: Path,
    make: Callable[[], Callable[[VideoRows], list[Item]]],
    engine: Engine,
    *,
    videos: Path | None = None,
    about: str = "",
    form: ShardForm = "parquet",
    rows: int = ROWS,
    tell: Callable[[int, int], None] | None = None,
) -> ShardReport:
    """Work on all rows of a manifest, and write them again.

    Args:
        given: The manifest (.jsonl or .parquet), or a folder of shards.
        out: Folder for the shards.
        make: Makes the function that works on the items of one video, once in each worker. It returns as many items. An
            error leaves the items as they were, but invalid, with the error as their fault.
        engine: The workers.
        videos: Folder of the videos, for what they cost. None takes the manifest's own folder.
        about: What decides the result besides the manifest; a folder that was made otherwise is refused.
        form: Format of the shards.
        rows: Number of rows of a shard.
        tell: Called with the number of shards done, and of all shards.

    Raises:
        RecordError: The manifest cannot be read, or no row of it.
        SettingError: The folder holds the results of another run, or a setting makes no sense.
        OutputError: The folder cannot be written, the disk is full, or another run writes to it.
    """
    if form not in FORMS:
        raise SettingError(f"shards are written as {' or '.join(FORMS)}, not as {form!r}")
    if rows < 1:
        raise SettingError(f"a shard has 1 row or more, not {rows}")
    source = digest(given)
    report = ShardReport()
    with sole_run(out, folder=True):
        if not any(line.item is not None for line in manifest.scan(given)):
            first = next(line.fault for line in manifest.scan(given))
            raise RecordError(f"no line of {given} can be read; the first: {first}")
        claim_folder(out, json.dumps([source, about, form, rows]), [])
        order = _lay_aside(given, out, engine, videos, form, rows, report)
        open_shards: dict[int, list[Item | None]] = {}
        ready = report.resumed
        for done in engine.run(make, _tasks(out, order, open_shards)):
            task, items = done.task, done.result
            if items is None:
                sentence = _sentence(done.error)
                items = [replace(item, status="invalid", fault=item.fault or sentence) for item in task.items]
                _fault(report, "failed", f"{task.items[0].video}: {sentence}")
            shard = open_shards[task.shard]
            for place, item in zip(task.places, items, strict=True):
                shard[place] = item
            if all(item is not None for item in shard):
                # the rows that were laid aside go last, so that a shard can always be made again
                manifest.write((item for item in open_shards.pop(task.shard) if item), _part(out, task.shard, form))
                for kind in ("jsonl", "json"):
                    (out / _ROWS / f"{task.shard:05d}.{kind}").unlink(missing_ok=True)
                report.rows += len(shard)
                ready += 1
                if tell is not None:
                    tell(ready, report.shards)
        shutil.rmtree(out / _ROWS, ignore_errors=True)
    return report


def _part(out: Path, shard: int, form: ShardForm) -> Path:
    return out / f"{manifest.PART}{shard:05d}.{form}"


def _sentence(error: Exception | None) -> str:
    return str(error) if isinstance(error, WhenwhereError) else f"unexpected {type(error).__name__}: {error}"


def _fault(report: ShardReport, kind: Literal["failed", "unreadable"], sentence: str) -> None:
    count = getattr(report, kind)
    setattr(report, kind, count + 1)
    if count < SHOWN:
        report.faults.append(sentence)


def _lay_aside(
    given: Path, out: Path, engine: Engine, videos: Path | None, form: ShardForm, rows: int, report: ShardReport
) -> list[int]:
    """Lay the rows of all missing shards aside, with the costs of their videos.

    Returns:
        The numbers of these shards, in the order in which they are begun.
    """

    def shards() -> Iterator[tuple[int, list[str]]]:
        lines = manifest.scan(given)
        for number in itertools.count():
            group = list(itertools.islice(lines, rows))
            if not group:
                return
            items = [line.item for line in group if line.item is not None]
            for line in group:
                if line.item is None:
                    _fault(report, "unreadable", line.fault or "")
            if not items:
                continue
            report.shards += 1
            if _part(out, number, form).exists():
                report.resumed += 1
                continue
            manifest.write(items, out / _ROWS / f"{number:05d}.jsonl")
            yield number, [item.video for item in items]

    worst = {}
    for done in engine.run(partial(_CostReader, videos, given), shards()):
        number, _ = done.task
        costs = done.result or {}
        write_text(out / _ROWS / f"{number:05d}.json", json.dumps(costs))
        worst[number] = max(costs.values(), default=0.0)
    return sorted(worst, key=lambda number: -worst[number])


class _CostReader:
    """Reads the costs of the videos of a shard, in a worker."""

    def __init__(self, videos: Path | None, given: Path) -> None:
        self._folder = video_folder(videos, given)

    def __call__(self, shard: tuple[int, Sequence[str]]) -> dict[str, float]:
        found = {name: self._folder.find(name) for name in dict.fromkeys(shard[1])}
        return {name: 0.0 if path is None else video_cost(str(path)) for name, path in found.items()}


def video_folder(videos: Path | None, given: Path) -> VideoFolder:
    """Where the videos of a manifest are looked for.

    Args:
        videos: Folder of the videos, or None.
        given: The manifest, from whose folder a name may be a path.
    """
    return VideoFolder(videos or (given if given.is_dir() else given.parent), given)


def _tasks(out: Path, order: Sequence[int], open_shards: dict[int, list[Item | None]]) -> Iterator[VideoRows]:
    """The tasks of all shards; a shard is read when its first task is drawn."""
    for number in order:
        laid = out / _ROWS / f"{number:05d}.jsonl"
        items = list(manifest.read(laid))
        costs = json.loads(laid.with_suffix(".json").read_bytes())
        open_shards[number] = [None] * len(items)
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(item.video, []).append(place)
        for video in sorted(places, key=lambda name: -costs.get(name, 0.0)):
            yield VideoRows(number, tuple(places[video]), [items[place] for place in places[video]])
