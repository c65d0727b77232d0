"""GOT-10k: one target followed through a short video, one box per frame at 10 frames a second.

Each sequence is a folder with `groundtruth.txt` (x, y, w, h; taken as released), `meta_info.ini` (resolution,
anno_fps), `cover.label` (0-8, 0 = invisible) and `absence.label`. Frames that are marked absent have no box.
`Item.extra` keeps what GOT-10k's own score needs: `cover`, because it leaves out frames in which the target is
invisible, and `bound`, the frame size that it clips boxes to. In the test split only the first box is public.
"""

import ast
from pathlib import Path

import numpy as np

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import read_text
from whenwhere.datasets.tracks import folder, frame_tube, from_xywh, read_box_lines, read_flags
from whenwhere.errors import RecordError

#: Annotated frames per second where meta_info.ini does not say.
RATE = 10.0


def read(path: Path) -> list[Item]:
    """Items of the folder `val` or `train`, one per sequence in the order of list.txt; ids are the sequences' names.

    Raises:
        RecordError: The folder holds no sequences, or a line is not a box.
    """
    path = folder(path, "GOT-10k")
    listed = path / "list.txt"
    if listed.is_file():
        names = read_text(listed).split()
    else:
        names = sorted(p.parent.name for p in path.glob("*/groundtruth.txt"))
    if not names:
        raise RecordError(f"{path} holds no */groundtruth.txt: give GOT-10k's folder val, train or test")
    return [_item(path / name, path.name) for name in names]


def _item(sequence: Path, split: str) -> Item:
    file = sequence / "groundtruth.txt"
    boxes = from_xywh(read_box_lines(read_text(file), str(file)))
    meta = _meta(sequence / "meta_info.ini")
    width, height = ast.literal_eval(meta["resolution"]) if "resolution" in meta else (None, None)
    fps = float(meta.get("anno_fps", f"{RATE}").lower().removesuffix("hz"))
    absence, cover = sequence / "absence.label", sequence / "cover.label"
    absent = read_flags(read_text(absence)) if absence.is_file() else np.zeros(len(boxes), bool)
    extra: dict[str, object] = {"bound": [width, height]} if width else {}
    if cover.is_file():
        extra["cover"] = [int(float(x)) for x in read_text(cover).split()]
    if len(absent) != len(boxes):
        raise RecordError(f"{absence} has {len(absent)} flags for {len(boxes)} boxes: fetch the released folder again")
    seen = np.flatnonzero(~absent)
    tube, dropped = frame_tube(seen, boxes[seen], fps, (0, len(boxes)), label=meta.get("object_class"))
    length = len(boxes) / fps
    return Item(
        sequence.name,
        sequence.name,
        " ".join(meta[k] for k in ("object_class", "motion_class") if k in meta),
        span_array([(0.0, length)]),
        [tube] if len(tube) else [],
        duration=length,
        fps=fps,
        frames=len(boxes),
        width=width,
        height=height,
        split=split,
        source="got10k",
        licence=BENCHMARK.licence,
        provenance={"file": f"{sequence.name}/groundtruth.txt"} | ({"dropped_boxes": dropped} if dropped else {}),
        extra=extra,
    )


def _meta(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = [line.split(":", 1) for line in read_text(path).splitlines() if ":" in line]
    return {key.strip(): value.strip() for key, value in pairs}


BENCHMARK = Benchmark(
    name="got10k",
    title="GOT-10k",
    task="tracking",
    read=read,
    protocol="got10k",
    files="the folder val (or train) with one folder per sequence",
    source="arXiv 1810.11981; got-10k/toolkit@956e728",
    licence="CC BY-NC-SA 4.0",
    standing="from public code",
)
