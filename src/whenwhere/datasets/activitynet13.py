"""ActivityNet 1.3 as a detection set: every segment of every class in a video is one item.

`{"database": {video: {"subset", "duration", "annotations": [{"label", "segment": [start, end]}]}}}`; the class is the
sentence, ids are `<video>#<n>`. Videos without annotations (the test split) give no items. A file with several subsets
gives the one that is scored, as the official evaluator takes `validation` unless told otherwise; a file without it
gives what it has. `Item.split` is the subset.
"""

from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, listing, mapping, need, number, pair, read_json, text


def read(path: Path) -> list[Item]:
    """Items of `activity_net.v1-3.min.json` or a part of it.

    Raises:
        RecordError: The file is not that release; the message names the video.
    """
    return segments(path, "activitynet", "validation", BENCHMARK.licence)


def segments(path: Path, source: str, scored: str, licence: str) -> list[Item]:
    """Items of a file in the form of ActivityNet 1.3, in which THUMOS14 is released as well.

    Numbers in the file may be written as text.

    Args:
        path: The JSON file with the key `database`.
        source: Name of the data set, for `Item.source`.
        scored: Subset whose items are returned, such as `validation`. A file without it gives the items it has.
        licence: Licence of the annotations, for `Item.licence`.

    Raises:
        RecordError: The file does not have that form; the message names the video.
    """
    value = mapping(read_json(path), str(path))
    need(value, ("database",), str(path), "ActivityNet detection")
    items = []
    for video, found in mapping(value["database"], f"{path}: database").items():
        place = f"{path}, {video}"
        entry = mapping(found, place)
        need(entry, ("subset", "annotations"), place, "ActivityNet detection")
        duration = number(entry["duration"], f"{place}: duration") if "duration" in entry else None
        for n, one in enumerate(listing(entry["annotations"], f"{place}: annotations")):
            items.append(_item(f"{place}, annotation {n}", video, n, one, duration))
            items[-1].split, items[-1].source, items[-1].licence = str(entry["subset"]), source, licence
            items[-1].provenance = {"file": path.name, "key": video, "index": n}
    chosen = [item for item in items if item.split == scored]
    return chosen or items


def _item(place: str, video: str, n: int, value: Any, duration: float | None) -> Item:
    entry = mapping(value, place)
    need(entry, ("label", "segment"), place, "ActivityNet detection")
    span = pair(entry["segment"], f"{place}: segment")
    fault = fault_of([span])
    return Item(
        f"{video}#{n}",
        video,
        text(entry["label"], f"{place}: label"),
        span_array([span]),
        duration=duration,
        status="valid" if fault is None else "invalid",
        fault=fault,
    )


BENCHMARK = Benchmark(
    name="activitynet",
    title="ActivityNet 1.3 (detection)",
    task="detection",
    read=read,
    protocol="activitynet",
    files="activity_net.v1-3.min.json, or a part of it; the validation subset where there is one",
    source="activitynet/ActivityNet@82304fa Evaluation",
    licence="not stated",
    standing="released file",
)
