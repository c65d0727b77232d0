"""Describes a benchmark by its name, a reader of its released files, and the protocol that its papers score with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.readers import quoted


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; each lives in a file of its own and is listed in `whenwhere.datasets`.

    Attributes:
        name: Name that is typed after `--benchmark`.
        title: Title as the authors write it.
        task: Name of the task in `whenwhere.evaluate.tasks`, which says what an answer is and how it is evaluated.
        read: Function from the path of the released file (or folder, if the release has several files) to items. It
            raises `RecordError` with file and line (or key) if the file is not that release.
        protocol: Name of the protocol that its papers score with (`whenwhere.evaluate.protocols`).
        files: Words that say which file to give to `--annotations`.
        source: Paper and repository (with commit) that the format was taken from.
        licence: Licence that the source states.
        standing: `released file` if the reader was run on the authors' file, `from public code` if no file was at hand
            and the format was taken from code or documentation.
    """

    name: str
    title: str
    task: str
    read: Callable[[Path], list[Item]]
    protocol: str
    files: str
    source: str
    licence: str
    standing: Literal["released file", "from public code"]


#: Longest video in seconds (eleven days) and most frames of one that can be scored: protocols make an array of them.
MOST_SECONDS, MOST_FRAMES = 1e6, 10_000_000


def check_claims(items: Sequence[Item]) -> None:
    """Refuse videos that are too long to score, whatever they claim, before memory is taken for them.

    Raises:
        RecordError: An item's duration, spans or boxes reach further than `MOST_SECONDS`, or its frames are more than
            `MOST_FRAMES`.
    """
    for item in items:
        ends = [abs(item.spans).max(initial=0.0), item.duration or 0.0]
        ends += [abs(tube.times).max(initial=0.0) for tube in item.tubes]
        seconds = float(max(ends))
        frames = max(item.frames or 0, seconds * (item.fps or 0.0))
        if seconds > MOST_SECONDS or frames > MOST_FRAMES:
            raise RecordError(
                f"item {quoted(item.id)} claims {seconds:g} s and {frames:g} frames, but at most "
                f"{MOST_SECONDS:g} s and {MOST_FRAMES:g} frames can be scored: correct its duration, rate or times"
            )


def read_items(benchmark: Benchmark, path: str | Path) -> list[Item]:
    """The items of a benchmark's released file.

    Args:
        benchmark: The benchmark; `whenwhere.datasets.BENCHMARKS` lists all of them by name.
        path: The released file, or its folder if the release has several files.

    Raises:
        RecordError: The path does not exist, is not a file of that benchmark, or holds no items.
    """
    source = Path(path)
    if not source.exists():
        raise RecordError(f"{source} does not exist: give {benchmark.files}")
    items = benchmark.read(source)
    if not items:
        raise RecordError(f"{source} holds no items of {benchmark.name}: give {benchmark.files}")
    check_claims(items)
    return items
