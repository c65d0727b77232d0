"""ST-Align benchmark of LLaVA-ST: a sentence, a range of frames, a box in every annotated frame.

A list of entries with `video_path`, `conversations` and `meta`: `split` [first, last frame of the segment shown],
`time_token` {"<s>", "<e>"} in frames, `spatial_token` {"<bboxes>": {frame: [x, y, w, h]}}, `width`, `height`. No frame
rate is released, so a frame lasts one second here and times are frame numbers, which leaves all IoUs unchanged. First
and last frames are inclusive. Ids are the indices of the entries. The benchmark's own evaluation uses the first 2000
entries only (`Item.extra["scored"]`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import listing, mapping, need, pair, read_json
from whenwhere.datasets.tracks import frame_tube, from_xywh, numbers, whole
from whenwhere.spans import Span

#: Entries that the benchmark's own code scores.
SCORED = 2000


def read(path: Path) -> list[Item]:
    """Items of `stvg.json` or `svg.json`.

    Raises:
        RecordError: The file is not that release; the message names the entry.
    """
    return [_item(path, n, entry) for n, entry in enumerate(listing(read_json(path), str(path)))]


def _item(path: Path, n: int, value: Any) -> Item:
    place = f"{path}, entry {n}"
    entry = mapping(value, place)
    need(entry, ("video_path", "meta", "conversations"), place, "ST-Align")
    meta = mapping(entry["meta"], f"{place}: meta")
    need(meta, ("split", "time_token", "spatial_token", "width", "height"), f"{place}: meta", "ST-Align")
    segment = [whole(x, f"{place}: meta.split") for x in pair(meta["split"], f"{place}: meta.split")]
    tokens = mapping(meta["time_token"], f"{place}: meta.time_token")
    need(tokens, ("<s>", "<e>"), f"{place}: meta.time_token", "ST-Align")
    begin, last = (whole(tokens[k], f"{place}: meta.time_token") for k in ("<s>", "<e>"))
    drawn = mapping(mapping(meta["spatial_token"], place).get("<bboxes>", {}), f"{place}: meta.spatial_token")
    by_frame = {whole(frame, f"{place}: meta.spatial_token"): box for frame, box in drawn.items()}
    frames = np.array(sorted(by_frame), np.int64)
    boxes = from_xywh(numbers([by_frame[f] for f in frames.tolist()], f"{place}: meta.spatial_token"))
    tube, dropped = frame_tube(frames, boxes, 1.0, (begin, last + 1))
    said = mapping(next(iter(listing(entry["conversations"], f"{place}: conversations")), None), place)
    need(said, ("value",), f"{place}: conversations[0]", "ST-Align")
    valid = begin <= last
    return Item(
        str(n),
        str(entry["video_path"]),
        " ".join(str(said["value"]).replace("<image>", "").replace("<video>", "").split()),
        span_array([(begin, last + 1)]),
        [tube] if len(tube) else [],
        duration=float(segment[1] + 1),
        window=Span(float(segment[0]), segment[1] + 1.0) if segment[0] <= segment[1] else None,
        fps=1.0,
        frames=segment[1] + 1,
        width=whole(meta["width"], f"{place}: meta.width", 1),
        height=whole(meta["height"], f"{place}: meta.height", 1),
        status="valid" if valid else "invalid",
        fault=None if valid else f"ends at frame {last}, before its first frame {begin}",
        type=path.stem,
        split="test",
        source="st-align",
        licence=BENCHMARK.licence,
        provenance={"file": path.name, "index": n, "times": "frame numbers"}
        | ({"dropped_boxes": dropped} if dropped else {}),
        extra={"segment": segment, "scored": n < SCORED},
    )


BENCHMARK = Benchmark(
    name="st-align",
    title="ST-Align",
    task="tubes",
    read=read,
    protocol="st-align",
    files="stvg.json (or svg.json) of the ST-Align benchmark",
    source="arXiv 2501.08282; appletea233/LLaVA-ST@bacf6d6 inference/src/datasets.py",
    licence="not stated",
    standing="from public code",
)
