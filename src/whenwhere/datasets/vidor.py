"""VidOR: every object of a video with its box in every frame; also the source of VidSTG's boxes.

One JSON per video: `trajectories` holds one list per frame of `{"tid", "bbox": {xmin, ymin, xmax, ymax}, "generated",
"tracker"}`. Boxes with `generated` 1 were not drawn by hand but tracked or interpolated. Here each object of a video
is one item: its category is the sentence, its boxes are the tube. Relations between objects are not read.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import listing, mapping, need, read_json, text
from whenwhere.datasets.tracks import frame_tube, rate, whole
from whenwhere.errors import RecordError

_KEYS = ("video_id", "frame_count", "fps", "width", "height", "subject/objects", "trajectories")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def trajectories(path: Path) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """The track of each object of a VidOR file, by its `tid`.

    Returns:
        For each object, frame numbers from 0, shape (n,), and boxes in xyxy pixels, shape (n, 4).

    Raises:
        RecordError: The file is not a VidOR file.
    """
    entry = mapping(read_json(path), str(path))
    need(entry, _KEYS, str(path), "VidOR")
    frames: dict[int, list[int]] = {}
    boxes: dict[int, list[list[float]]] = {}
    for n, shown in enumerate(listing(entry["trajectories"], f"{path}: trajectories")):
        for one in listing(shown, f"{path}: trajectories[{n}]"):
            try:
                box = [float(one["bbox"][edge]) for edge in _EDGES]
                target = int(one["tid"])
            except (KeyError, TypeError, ValueError, OverflowError) as e:
                raise RecordError(f"{path}: trajectories[{n}] holds what is no box ({e}); fetch the file again") from e
            frames.setdefault(target, []).append(n)
            boxes.setdefault(target, []).append(box)
    return {t: (np.array(frames[t], np.int64), np.array(boxes[t], np.float64)) for t in frames}


def categories(value: Any, place: str) -> dict[int, str]:
    """The category of each object by its `tid`, from VidOR's list of `{"tid", "category"}`."""
    found = [mapping(one, f"{place}: subject/objects") for one in listing(value, f"{place}: subject/objects")]
    for one in found:
        need(one, ("tid", "category"), f"{place}: subject/objects", "VidOR")
    return {whole(one["tid"], f"{place}: tid"): text(one["category"], f"{place}: category") for one in found}


def read(path: Path) -> list[Item]:
    """Items of one VidOR file or of a folder of them; ids are `<video>#<tid>`.

    Raises:
        RecordError: A file is not a VidOR file, or the folder holds none.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise RecordError(f"{path} holds no .json file: give VidOR's folder of annotations")
    return [item for file in files for item in _objects(file)]


def _objects(path: Path) -> list[Item]:
    entry = mapping(read_json(path), str(path))
    tracks = trajectories(path)
    fps = rate(entry["fps"], f"{path}: fps")
    count = whole(entry["frame_count"], f"{path}: frame_count", 1)
    width, height = (whole(entry[key], f"{path}: {key}", 1) for key in ("width", "height"))
    items = []
    for target, category in categories(entry["subject/objects"], str(path)).items():
        frames, boxes = tracks.get(target, (np.zeros(0, np.int64), np.zeros((0, 4))))
        tube, dropped = frame_tube(frames, boxes, fps, id=str(target), label=category)
        items.append(
            Item(
                f"{entry['video_id']}#{target}",
                str(entry["video_id"]),
                category,
                span_array([(s.start, s.end) for s in tube.spans]),
                [tube] if len(tube) else [],
                duration=count / fps,
                fps=fps,
                frames=count,
                width=width,
                height=height,
                source="vidor",
                licence=BENCHMARK.licence,
                provenance={"file": path.name} | ({"dropped_boxes": dropped} if dropped else {}),
            )
        )
    return items


BENCHMARK = Benchmark(
    name="vidor",
    title="VidOR",
    task="tubes",
    read=read,
    protocol="vidor-viou",
    files="one VidOR annotation .json, or the folder of them",
    source="xdshang/VidVRD-helper; format as read by antoyang/TubeDETR@d70c0ee preproc/preproc_vidstg.py",
    licence="not stated",
    standing="from public code",
)
