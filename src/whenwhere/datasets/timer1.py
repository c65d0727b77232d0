"""Time-R1's training set: 2500 moments that its authors chose for reinforcement learning by their difficulty.

Released as one list: `qid`, `video`, `duration`, `timestamp`, `sentence`, `pred` (the base model's answer), and
`difficulty`, which is the opposite of its name: it is 100 times the t_IoU of `pred`, so a high number is *easy*. Here
`Item.difficulty` is 1 - t_IoU in 0-1, and higher is harder, as everywhere in this package; the released number is in
`Item.extra["difficulty"]`. As in TVGBench an item may be about a window of a longer video (`Item.window`); its times
then count from the window's start (`Item.offset`).
"""

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
    number,
    pair,
    positive,
    read_json,
    span_of,
    text,
)
from whenwhere.errors import RecordError
from whenwhere.spans import Span

_KEYS = ("qid", "video", "duration", "timestamp", "sentence", "difficulty")


def read(path: Path) -> list[Item]:
    """Items of `train_2k5.json`; ids are the qid.

    Raises:
        RecordError: The file is not that release; the message names the entry and key.
    """
    items = []
    for n, value in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, _KEYS, place, "Time-R1 training")
        span = pair(entry["timestamp"], f"{place}: timestamp")
        ease = number(entry["difficulty"], f"{place}: difficulty")
        if not 0 <= ease <= 100:
            raise RecordError(f"{place}: difficulty is {ease:g}, not 100 times an IoU: fetch the released file again")
        fault = fault_of([span])
        window = _window(entry, place)
        name = filled(entry["qid"], f"{place}: qid")
        items.append(
            Item(
                name,
                PurePosixPath(filled(entry["video"], f"{place}: video")).name,
                text(entry["sentence"], f"{place}: sentence"),
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
                window=window,
                offset=0.0 if window is None else window.start,
                status="invalid" if fault else "valid",
                fault=fault,
                split="train",
                source="time-r1",
                licence=BENCHMARK.licence,
                difficulty=1 - ease / 100,
                difficulty_of="t_iou of Time-R1's base model, greedy",
                provenance={"file": path.name, "index": n},
                extra=_extra(entry, name, ease, place),
            )
        )
    return items


def _extra(entry: dict[str, Any], name: str, ease: float, place: str) -> dict[str, Any]:
    """The released number, the set that the item comes from, and the base model's answer if there is one."""
    parts = name.split("|")
    extra: dict[str, Any] = {"difficulty": ease, "dataset": parts[1] if len(parts) > 2 else None}
    if entry.get("pred") is not None:
        extra["pred"] = list(pair(entry["pred"], f"{place}: pred"))
    return extra


def _window(entry: dict[str, Any], place: str) -> Span | None:
    """The window of the longer video, if there is one."""
    if entry.get("video_start") is None:
        return None
    ends = pair([entry["video_start"], entry.get("video_end")], f"{place}: video_start and video_end")
    return span_of(ends, f"{place}: video_start and video_end")


BENCHMARK = Benchmark(
    name="time-r1",
    title="Time-R1 training set",
    task="spans",
    read=read,
    protocol="time-r1",
    files="train_2k5.json",
    source="arXiv 2503.13377; xiaomi-research/time-r1@7f2b594",
    licence="Apache-2.0 (repository); videos have their own terms",
    standing="released file",
)
