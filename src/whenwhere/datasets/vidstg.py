"""VidSTG: a sentence or a question about one object in a segment of a VidOR video; the boxes are those of VidOR.

The two end frames in an entry mean different things: `temporal_gt.end_fid` is the first frame *after* the event (it
equals frame_count in 768 of 4610 test entries), `used_segment.end_fid` is the last frame *inside* the segment (it
equals frame_count - 1 in 3543 of them). Frames count from 0.

The boxes of the object are read from VidOR's files `<vid>.json`, which are looked for in a folder `vidor` next to the
annotation file (at any depth: `vidor/training/0000/...`). Without that folder the items have spans but no tubes.
TubeDETR's preprocessed `test.json` (`videos` and `trajectories`) is read as well. Frames of the event without a box in
VidOR, and boxes without area, are counted in `Item.provenance`.

Ids are the running numbers of TubeDETR's preprocessing (the questions of an entry, then its captions). STCAT numbers
captions first; its numbers are in `Item.extra["stcat"]`.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import listing, mapping, need, read_json, text
from whenwhere.datasets.tracks import frame_tube, from_xywh, numbers, rate, whole
from whenwhere.datasets.vidor import categories, trajectories
from whenwhere.errors import RecordError
from whenwhere.spans import Span

_KEYS = ("vid", "fps", "frame_count", "used_segment", "width", "height", "temporal_gt", "captions", "questions")
_TYPES = {"questions": "interrogative", "captions": "declarative"}


def read(path: Path) -> list[Item]:
    """Items of `train_annotations.json`, `val_annotations.json` or `test_annotations.json`, or of a folder with one.

    Raises:
        RecordError: The file is not that release; the message names the entry.
    """
    if path.is_dir():
        found = sorted(path.glob("*_annotations.json"))
        if len(found) != 1:
            raise RecordError(f"{path} holds {len(found)} files *_annotations.json: give the one to be read")
        path = found[0]
    value = read_json(path)
    if isinstance(value, dict) and "trajectories" in value:
        return _preprocessed(path, value)
    items = _sentences(path, listing(value, str(path)))
    vidor = path.parent / "vidor"
    if vidor.is_dir():
        _join(items, vidor)
    return items


def _sentences(path: Path, entries: list[Any]) -> list[Item]:
    items: list[Item] = []
    stcat = 0
    for n, value in enumerate(entries):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, _KEYS, place, "VidSTG")
        captions = listing(entry["captions"], f"{place}: captions")
        questions = listing(entry["questions"], f"{place}: questions")
        kinds = categories(entry.get("subject/objects", []), place)
        event, segment = (_ends(entry[key], f"{place}: {key}") for key in ("temporal_gt", "used_segment"))
        for key, said, before in (("questions", questions, len(captions)), ("captions", captions, 0)):
            for k, sentence in enumerate(said):
                sentence = mapping(sentence, f"{place}: {key}[{k}]")
                need(sentence, ("description", "target_id"), f"{place}: {key}[{k}]", "VidSTG")
                item = _item(
                    str(len(items)),
                    place,
                    entry,
                    text(sentence["description"], f"{place}: {key}[{k}]"),
                    _TYPES[key],
                    event,
                    segment,
                    whole(sentence["target_id"], f"{place}: {key}[{k}]"),
                )
                item.split = path.stem.removesuffix("_annotations")
                item.provenance = {"file": path.name, "index": n, "key": f"{key}[{k}]"}
                item.extra["stcat"] = stcat + before + k
                item.extra["category"] = kinds.get(item.extra["target_id"])
                items.append(item)
        stcat += len(captions) + len(questions)
    return items


def _ends(value: Any, place: str) -> tuple[int, int]:
    found = mapping(value, place)
    need(found, ("begin_fid", "end_fid"), place, "VidSTG")
    return whole(found["begin_fid"], place), whole(found["end_fid"], place)


def _item(
    id: str,
    place: str,
    entry: Mapping[str, Any],
    query: str,
    kind: str,
    event: tuple[int, int],
    segment: tuple[int, int],
    target: int,
) -> Item:
    need(entry, ("fps", "frame_count", "width", "height"), place, "VidSTG")
    fps = rate(entry["fps"], f"{place}: fps")
    frames = whole(entry["frame_count"], f"{place}: frame_count", 1)
    begin, end = event
    return Item(
        id,
        str(entry.get("vid", entry.get("original_video_id"))),
        query.strip(),
        span_array([(begin / fps, end / fps)]),
        duration=frames / fps,
        window=Span(segment[0] / fps, (segment[1] + 1) / fps) if segment[0] <= segment[1] else None,
        fps=fps,
        frames=frames,
        width=whole(entry["width"], f"{place}: width", 1),
        height=whole(entry["height"], f"{place}: height", 1),
        status="valid" if begin < end else "invalid",
        fault=None if begin < end else f"ends at frame {end}, not after its first frame {begin}",
        type=kind,
        source="vidstg",
        licence=BENCHMARK.licence,
        extra={
            "begin_fid": begin,
            "end_fid": end,
            "segment": list(segment),
            "target_id": target,
            "tubedetr": int(id),
        },
    )


def _join(items: list[Item], vidor: Path) -> None:
    """Add the boxes of VidOR, one video at a time."""
    files = {file.stem: file for file in vidor.rglob("*.json")}
    by_video: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_video[item.video].append(item)
    for video, asked in by_video.items():
        if video not in files:
            raise RecordError(f"{vidor} has no {video}.json: give all files of this split, or take the folder away")
        tracks = trajectories(files[video])
        for item in asked:
            frames, boxes = tracks.get(item.extra["target_id"], (np.zeros(0, np.int64), np.zeros((0, 4))))
            _box(item, frames, boxes)


def _box(item: Item, frames: np.ndarray, boxes: np.ndarray) -> None:
    begin, end = item.extra["begin_fid"], item.extra["end_fid"]
    tube, dropped = frame_tube(
        frames, boxes, item.fps or 1.0, (begin, end), str(item.extra["target_id"]), item.extra.get("category")
    )
    item.tubes = [tube]
    after = np.flatnonzero(frames == end)
    if len(after):
        # STCAT takes the first frame after the event for its last one.
        item.extra["box_after"] = boxes[after[0]].tolist()
    if dropped:
        item.provenance["dropped_boxes"] = dropped
    if len(tube) + dropped < end - begin:
        item.provenance["frames_without_box"] = end - begin - len(tube) - dropped


def _preprocessed(path: Path, value: dict[str, Any]) -> list[Item]:
    """Items of TubeDETR's preprocessed file: one entry per sentence, xywh boxes by video, target and frame."""
    keys = ("video_id", "original_video_id", "tube_start_frame", "tube_end_frame", "start_frame", "end_frame")
    items = []
    tracks = mapping(value["trajectories"], f"{path}: trajectories")
    for n, found in enumerate(listing(value.get("videos"), f"{path}: videos")):
        place = f"{path}, videos[{n}]"
        entry = mapping(found, place)
        need(entry, (*keys, "caption", "qtype", "target_id"), place, "VidSTG")
        begin, end, start, last = (whole(entry[key], f"{place}: {key}") for key in keys[2:])
        item = _item(
            str(whole(entry["video_id"], f"{place}: video_id")),
            place,
            entry,
            text(entry["caption"], f"{place}: caption"),
            text(entry["qtype"], f"{place}: qtype"),
            (begin, end),
            (start, last),
            whole(entry["target_id"], f"{place}: target_id"),
        )
        item.split, item.provenance = path.stem, {"file": path.name, "index": n}
        _box(item, *_track(tracks, item, place))
        items.append(item)
    return items


def _track(tracks: dict[str, Any], item: Item, place: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        track = tracks.get(item.video, {}).get(str(item.extra["target_id"]), {})
        frames = np.array(sorted(map(int, track)), np.int64)
        rows = [track[str(frame)]["bbox"] for frame in frames.tolist()]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as e:
        raise RecordError(f"{place}: its trajectory is none ({e}); make the file again") from e
    return frames, from_xywh(numbers(rows, f"{place}: its trajectory"))


BENCHMARK = Benchmark(
    name="vidstg",
    title="VidSTG",
    task="tubes",
    read=read,
    protocol="stcat",
    files="test_annotations.json (val, train), with VidOR's files in a folder vidor beside it for the boxes",
    source="arXiv 2001.06891; Guaranteer/VidSTG-Dataset@6820cb5; boxes: VidOR",
    licence="not stated",
    standing="released file",
)
