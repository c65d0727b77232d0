"""VUE-STG: long videos, one normalised box per second, answers with several segments.

A folder with `query.csv` (query_id, query_text, video_id), `tubes.csv` (query_id, time_ms, time_normalized, x0, y0, x1,
y1) and `video.csv` (video_id, video_duration). A box at second k stands for the whole second: the true spans are the
union of all [k, k + 1) that have a box, and fps is 1. Frame sizes were not released, so boxes stay in fractions of the
frame, as if it were 1 x 1 pixels; this leaves all IoUs unchanged.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import need, number, read_text
from whenwhere.datasets.tracks import folder
from whenwhere.errors import RecordError
from whenwhere.readers import parse_table
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

_TUBES = ("query_id", "time_ms", "x0", "y0", "x1", "y1")


def whole_seconds(ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milliseconds rounded to whole seconds, halves upwards, as in the benchmark's evaluator.

    >>> whole_seconds(np.array([1499, 1500, 2500])).tolist()
    [1, 2, 3]
    """
    return (2 * ms + 1000) // 2000


def second_spans(seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Spans, shape (k, 2), that cover [s, s + 1) for each of some whole seconds s, which must increase.

    >>> second_spans(np.array([3, 4, 7])).tolist()
    [[3.0, 5.0], [7.0, 8.0]]
    """
    if not len(seconds):
        return span_array()
    cut = np.flatnonzero(np.diff(seconds) > 1)
    starts = seconds[np.r_[0, cut + 1]]
    ends = seconds[np.r_[cut, len(seconds) - 1]] + 1
    return np.stack([starts, ends], 1).astype(np.float64)


def read(path: Path) -> list[Item]:
    """Items of the folder, in the order of query.csv; ids are the query_id.

    Raises:
        RecordError: A file is missing or is not one of the benchmark's.
    """
    path = folder(path, "VUE-STG")
    durations = {
        r["video_id"]: number(r["video_duration"], place)
        for place, r in _rows(path / "video.csv", ("video_id", "video_duration"))
    }
    boxes: dict[str, list[list[float]]] = {}
    for place, r in _rows(path / "tubes.csv", _TUBES):
        boxes.setdefault(r["query_id"], []).append([number(r[c], f"{place}: {c}") for c in _TUBES[1:]])
    items = []
    for place, r in _rows(path / "query.csv", ("query_id", "query_text", "video_id")):
        if r["video_id"] not in durations:
            raise RecordError(f"{place}: video.csv has no video {r['video_id']!r}; fetch the released files again")
        items.append(_item(r, durations[r["video_id"]], np.array(boxes.get(r["query_id"], ())).reshape(-1, 5)))
    return items


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    there, rows = parse_table(read_text(path), str(path))
    need(dict.fromkeys(there), columns, f"{path}, line 1", "VUE-STG")
    return [(f"{path}, line {line}", row) for line, row in rows]


def _item(row: dict[str, str], duration: float, table: NDArray[np.float64]) -> Item:
    # Of several boxes in one second the first counts, as in the benchmark's evaluator.
    seconds, first = np.unique(whole_seconds(table[:, 0].astype(np.int64)), return_index=True)
    found = table[first, 1:]
    keep = valid_boxes(found)
    spans = second_spans(seconds)
    tube = Tube(SpanSet((float(s), float(e)) for s, e in spans), seconds[keep], found[keep], rate=1.0)
    dropped = int((~keep).sum())
    return Item(
        row["query_id"],
        row["video_id"],
        row["query_text"].strip(),
        spans,
        [tube] if len(tube) else [],
        duration=duration,
        fps=1.0,
        width=1,
        height=1,
        split="test",
        source="vue-stg",
        licence=BENCHMARK.licence,
        provenance={"file": "query.csv", "boxes": "parts of the frame"}
        | ({"dropped_boxes": dropped} if dropped else {}),
    )


BENCHMARK = Benchmark(
    name="vue-stg",
    title="VUE-STG",
    task="tubes",
    read=read,
    protocol="vue-stg",
    files="the folder vue-stg-benchmark with query.csv, tubes.csv and video.csv",
    source="bytedance/vidi@fc30c87, VUE_STG",
    licence="CC BY-NC 4.0",
    standing="released file",
)
