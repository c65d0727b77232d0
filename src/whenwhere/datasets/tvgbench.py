"""TVGBench: 800 sentences of five sets, of eleven kinds.

Released as one list: `path`, `question`, `answer` ("13.4-28.1", seconds), `duration`, `qsemtype` (the kind), and for a
part of the items `start` and `end`: the window of a longer video that is asked about. Answer and duration then count
from the window's start, so an item's video is the *window*, which stands in `Item.extra["window"]`.

Traps: eleven answers do not end after their start (kept as invalid items), 27 end behind the video; the items from
Ego4D name their set only under `bins`.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, filled, listing, mapping, need, pair, positive, read_json, text
from whenwhere.errors import RecordError

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_ANSWER = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*")


def read(path: Path) -> list[Item]:
    """Items of `tvgbench.json`; ids are `<file name without ending>#<n>`, n counting from 0 per file name.

    Raises:
        RecordError: not that file; names the entry and key.
    """
    seen: Counter[str] = Counter()
    items = []
    for n, value in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, ("path", "question", "answer", "duration", "qsemtype"), place, "TVGBench")
        match = _ANSWER.fullmatch(text(entry["answer"], f"{place}: answer"))
        if match is None:
            raise RecordError(f"{place}: answer is {entry['answer']!r}, not `start-end` in seconds: mend that entry")
        span = (float(match[1]), float(match[2]))
        fault = fault_of([span])
        file = PurePosixPath(filled(entry["path"], f"{place}: path"))
        items.append(
            Item(
                f"{file.stem}#{seen[file.stem]}",
                file.name,
                text(entry["question"], f"{place}: question"),
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                type=text(entry["qsemtype"], f"{place}: qsemtype"),
                split="test",
                source="tvgbench",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "index": n},
                extra=_extra(entry, place),
            )
        )
        seen[file.stem] += 1
    return items


def _extra(entry: dict[str, Any], place: str) -> dict[str, Any]:
    """Which set it comes from, and the window of the longer video where there is one."""
    extra: dict[str, Any] = {"dataset": mapping(entry.get("bins", {}), f"{place}: bins").get("dataset")}
    if entry.get("start") is not None:
        extra["window"] = list(pair([entry["start"], entry.get("end")], f"{place}: start and end"))
    return extra


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
