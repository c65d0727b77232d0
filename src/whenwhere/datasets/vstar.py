"""V-STaR: a question, when it happens, and where the object is at the whole seconds in between.

A list of entries with `vid`, `question`, `answer`, `temporal_question`, `timestamps` [start, end] in seconds, `bboxes`
[{timestamp, frame_index, xmin, ymin, xmax, ymax}] in pixels, `fps`, `frame_count`, `width`, `height`, `domain`.
`Item.query` is the temporal question; `Item.answer` answers the other question, `Item.extra["question"]`. Boxes outside
the annotated span are only in `Item.extra["boxes_at_seconds"]`, for V-STaR's own score. Ids are the indices of the
entries.
"""

from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, listing, mapping, need, number, pair, read_json, text
from whenwhere.datasets.tracks import rate, whole
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

_KEYS = ("vid", "fps", "width", "height", "frame_count", "question", "answer", "temporal_question", "timestamps")
_BOX = ("timestamp", "xmin", "ymin", "xmax", "ymax")


def read(path: Path) -> list[Item]:
    """Items of `V_STaR_test.json`.

    Raises:
        RecordError: The file is not that release; the message names the entry.
    """
    return [_item(path, n, entry) for n, entry in enumerate(listing(read_json(path), str(path)))]


def _item(path: Path, n: int, value: Any) -> Item:
    place = f"{path}, entry {n}"
    entry = mapping(value, place)
    need(entry, (*_KEYS, "bboxes"), place, "V-STaR")
    span = pair(entry["timestamps"], f"{place}: timestamps")
    fault = fault_of([span])
    rows = []
    for k, box in enumerate(listing(entry["bboxes"], f"{place}: bboxes")):
        need(mapping(box, f"{place}: bboxes[{k}]"), _BOX, f"{place}: bboxes[{k}]", "V-STaR")
        rows.append([number(box[c], f"{place}: bboxes[{k}]") for c in _BOX])
    table = np.array(rows, np.float64).reshape(-1, 5)
    times, first = np.unique(table[:, 0], return_index=True)
    boxes = table[first, 1:]
    keep = valid_boxes(boxes) & (times >= span[0]) & (times <= span[1])
    tubes = [Tube(SpanSet([span]), times[keep], boxes[keep], rate=1.0)] if fault is None and keep.any() else []
    fps = rate(entry["fps"], f"{place}: fps")
    frames = whole(entry["frame_count"], f"{place}: frame_count", 1)
    left = int((~keep).sum())
    return Item(
        str(n),
        str(entry["vid"]),
        text(entry["temporal_question"], f"{place}: temporal_question").strip(),
        span_array([span]),
        tubes,
        duration=round(frames / fps, 2),
        fps=fps,
        frames=frames,
        width=whole(entry["width"], f"{place}: width", 1),
        height=whole(entry["height"], f"{place}: height", 1),
        status="valid" if fault is None else "invalid",
        fault=fault,
        type=str(entry["domain"]) if "domain" in entry else None,
        split="test",
        source="v-star",
        licence=BENCHMARK.licence,
        answer=str(entry["answer"]),
        provenance={"file": path.name, "index": n} | ({"boxes_outside": left} if left else {}),
        extra={"boxes_at_seconds": table.tolist(), "question": entry["question"]},
    )


BENCHMARK = Benchmark(
    name="v-star",
    title="V-STaR",
    task="tubes",
    read=read,
    protocol="vstar",
    files="V_STaR_test.json",
    source="arXiv 2503.11495; V-STaR-Bench/V-STaR@1894682 data/README.md, eval.py, inference_demo.py",
    licence="not stated",
    standing="from public code",
)
