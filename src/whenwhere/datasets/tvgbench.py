"""TVGBench: 800 sentences of eleven kinds, taken from five data sets.

Released as one list: `path`, `question`, `answer` ("13.4-28.1", seconds), `duration`, `qsemtype` (the kind), and for a
part of the items `start` and `end`, the window of a longer video that the question is about (`Item.window`). Answer and
duration then count from the window's start, which is `Item.offset`.

Known faults of the release: eleven answers do not end after they start (kept as invalid items), and 27 end after the
video does. Items from Ego4D name their data set only under `bins`.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import (
    fault_of,
    filled,
    listing,
    mapping,
    need,
    pair,
    positive,
    read_json,
    span_of,
    text,
)
from whenwhere.errors import RecordError
from whenwhere.spans import Span

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_ANSWER = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*")


def read(path: Path) -> list[Item]:
    """Items of `tvgbench.json`; ids are `<name of the video file without its ending>#<n>`, n from 0 for each video.

    Raises:
        RecordError: The file is not that release; the message names the entry and key.
    """
    seen: Counter[str] = Counter()
    items = []
    for n, value in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, ("path", "question", "answer", "duration", "qsemtype"), place, "TVGBench")
        match = _ANSWER.fullmatch(text(entry["answer"], f"{place}: answer"))
        if match is None:
            raise RecordError(f"{place}: answer is {entry['answer']!r}, not `start-end` in seconds: correct that entry")
        span = (float(match[1]), float(match[2]))
        fault = fault_of([span])
        window = _window(entry, place)
        file = PurePosixPath(filled(entry["path"], f"{place}: path"))
        items.append(
            Item(
                f"{file.stem}#{seen[file.stem]}",
                file.name,
                text(entry["question"], f"{place}: question"),
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
                window=window,
                offset=0.0 if window is None else window.start,
                status="invalid" if fault else "valid",
                fault=fault,
                type=text(entry["qsemtype"], f"{place}: qsemtype"),
                split="test",
                source="tvgbench",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "index": n},
                extra={"dataset": mapping(entry.get("bins", {}), f"{place}: bins").get("dataset")},
            )
        )
        seen[file.stem] += 1
    return items


def _window(entry: dict[str, Any], place: str) -> Span | None:
    """The window of the longer video, if there is one."""
    if entry.get("start") is None:
        return None
    return span_of(pair([entry["start"], entry.get("end")], f"{place}: start and end"), place)


BENCHMARK = Benchmark(
    name="tvgbench",
    title="TVGBench",
    task="spans",
    read=read,
    protocol="tvgbench",
    files="tvgbench.json",
    source="arXiv 2503.13377; xiaomi-research/time-r1@7f2b594",
    licence="Apache-2.0 (repository); videos have their own terms",
    standing="released file",
)
