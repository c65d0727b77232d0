"""Time-R1's training set: 2500 moments that its authors chose for reinforcement learning by their difficulty.

Released as one list: `qid`, `video`, `duration`, `timestamp`, `sentence`, `pred` (the base model's answer), and a field
`difficulty` that is its opposite: 100 times the t_IoU of `pred`, so that a high number means *easy*. Here
`Item.difficulty` is 1 - t_IoU in 0-1, higher is harder, as everywhere in this project; the released number stands in
`Item.extra["difficulty"]`. As in TVGBench an item may be a window of a longer video (`Item.extra["window"]`): times
count from the window's start.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, filled, listing, mapping, need, number, pair, positive, read_json, text
from whenwhere.errors import RecordError

_KEYS = ("qid", "video", "duration", "timestamp", "sentence", "difficulty")


def read(path: Path) -> list[Item]:
    """Items of `train_2k5.json`; ids are the qid.

    Raises:
        RecordError: not that file; names the entry and key.
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
        name = filled(entry["qid"], f"{place}: qid")
        items.append(
            Item(
                name,
                PurePosixPath(filled(entry["video"], f"{place}: video")).name,
                text(entry["sentence"], f"{place}: sentence"),
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
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
    """The released number, the base model's answer, the set it comes from, and the window where there is one."""
    parts = name.split("|")
    extra: dict[str, Any] = {"difficulty": ease, "dataset": parts[1] if len(parts) > 2 else None}
    if entry.get("pred") is not None:
        extra["pred"] = list(pair(entry["pred"], f"{place}: pred"))
    if entry.get("video_start") is not None:
        window = [entry["video_start"], entry.get("video_end")]
        extra["window"] = list(pair(window, f"{place}: video_start and video_end"))
    return extra


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
