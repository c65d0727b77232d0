"""HC-STVG, versions 1 and 2: a sentence about a person in a 20-second film clip, a box in every frame of the event.

Released as one object per video: `bbox` (xywh by frame), `st_frame`, `img_num`, `st_time`, `ed_time`; version 1 has
`caption`, `width`, `height`, version 2 `English` and `img_size` [height, width, 3]. `st_frame` counts from 1 (its
`st_time` * fps lies in frame st_frame - 1), img_num is fps * 20, and the event has as many frames as boxes. TubeDETR's
preprocessed `test_proc.json` is read as well; its `tube_start_frame` is `st_frame` unchanged.

Ids are the names of the videos. `Item.extra` keeps `st_frame` as released.
"""

from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import listing, mapping, need, read_json, text
from whenwhere.datasets.tracks import frame_tube, from_xywh, numbers, whole
from whenwhere.errors import RecordError

#: Seconds of every clip.
LENGTH = 20.0
_KEYS = ("bbox", "img_num", "st_frame")
_PROC = ("trajectory", "frame_count", "tube_start_frame", "original_video_id", "width", "height", "caption")


def _read(path: Path, version: str) -> list[Item]:
    value = read_json(path)
    if isinstance(value, list):
        return [_preprocessed(path, n, entry, version) for n, entry in enumerate(value)]
    return [_released(path, n, *pair, version) for n, pair in enumerate(mapping(value, str(path)).items())]


def _released(path: Path, n: int, video: str, value: Any, version: str) -> Item:
    place = f"{path}, {video}"
    entry = mapping(value, place)
    need(entry, _KEYS, place, "HC-STVG")
    size = listing(entry["img_size"], f"{place}: img_size") if "img_size" in entry else None
    if size is None:
        need(entry, ("width", "height"), place, "HC-STVG")
        size = [entry["height"], entry["width"]]
    if len(size) < 2:
        raise RecordError(f"{place}: img_size is no [height, width, 3]; mend or remove that entry")
    said = "English" if "English" in entry else "caption"
    need(entry, (said,), place, "HC-STVG")
    return _item(path, place, n, video, entry["img_num"], entry["st_frame"], entry["bbox"], size, entry[said], version)


def _preprocessed(path: Path, n: int, value: Any, version: str) -> Item:
    place = f"{path}, entry {n}"
    entry = mapping(value, place)
    need(entry, _PROC, place, "HC-STVG")
    size = [entry["height"], entry["width"]]
    video, start = str(entry["original_video_id"]), entry["tube_start_frame"]
    frames, boxes = entry["frame_count"], entry["trajectory"]
    return _item(path, place, n, video, frames, start, boxes, size, entry["caption"], version)


def _item(
    path: Path,
    place: str,
    n: int,
    video: str,
    frames: Any,
    first: Any,
    boxes: Any,
    size: list[Any],
    said: Any,
    version: str,
) -> Item:
    count = whole(frames, f"{place}: img_num", 1)
    first = whole(first, f"{place}: st_frame")
    fps = count / LENGTH
    found = from_xywh(numbers(boxes, f"{place}: bbox"))
    begin, end = first - 1, first - 1 + len(found)
    tube, dropped = frame_tube(range(begin, end), found, fps, (begin, end))
    return Item(
        video,
        video,
        text(said, f"{place}: caption").strip(),
        span_array([(begin / fps, end / fps)]),
        [tube] if len(tube) else [],
        duration=LENGTH,
        fps=fps,
        frames=count,
        width=whole(size[1], f"{place}: width", 1),
        height=whole(size[0], f"{place}: height", 1),
        status="valid" if len(found) else "invalid",
        fault=None if len(found) else "has no box",
        split=next((s for s in ("train", "val", "test") if path.stem.startswith(s)), None),
        source=version,
        licence=V1.licence,
        provenance={"file": path.name, "index": n} | ({"dropped_boxes": dropped} if dropped else {}),
        extra={"st_frame": first, "tubedetr": n, "stcat": n},
    )


def read_v1(path: Path) -> list[Item]:
    """Items of `train.json` or `test.json` of version 1.

    Raises:
        RecordError: The file is not that release; the message names the video.
    """
    return _read(path, "hcstvg-v1")


def read_v2(path: Path) -> list[Item]:
    """Items of `trainv2.json` or `valv2.json`; the truth of the test split is not public.

    Raises:
        RecordError: The file is not that release; the message names the video.
    """
    return _read(path, "hcstvg-v2")


V1 = Benchmark(
    name="hcstvg-v1",
    title="HC-STVG v1",
    task="tubes",
    read=read_v1,
    protocol="stcat",
    files="test.json or train.json (also TubeDETR's test_proc.json)",
    source="arXiv 2011.05049; tzhhhh123/HC-STVG@94ab6e9; antoyang/TubeDETR@d70c0ee preproc/preproc_hcstvg.py",
    licence="not stated",
    standing="from public code",
)
V2 = Benchmark(
    name="hcstvg-v2",
    title="HC-STVG v2",
    task="tubes",
    read=read_v2,
    protocol="stcat",
    files="valv2.json or trainv2.json (also TubeDETR's valv2_proc.json); papers report the val split",
    source="tzhhhh123/HC-STVG@94ab6e9; antoyang/TubeDETR@d70c0ee preproc/preproc_hcstvgv2.py",
    licence="not stated",
    standing="from public code",
)
