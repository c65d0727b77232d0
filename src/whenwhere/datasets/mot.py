"""MOT15 to MOT20 ground truth: everybody in a video, one row per frame and person.

Rows are frame, id, x, y, w, h, flag and more; frames and pixels are counted from 1. Rows with flag 0 are left out, as
MOT ignores them. If there are nine columns (MOT16 and later), the eighth is the class, and only pedestrians (1) are
kept, as MOT scores them. `Item.provenance` counts the rows left out. Frame rate and size come from `seqinfo.ini`;
without it 30 frames a second are assumed, which `Item.provenance` says. One item per video, one tube per person.
"""

import configparser
from pathlib import Path

import numpy as np

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import read_text
from whenwhere.datasets.tracks import frame_tube, from_xywh
from whenwhere.errors import RecordError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

#: Frames per second of sequences without a seqinfo.ini.
RATE = 30.0
_PEDESTRIAN = 1


def read(path: Path) -> list[Item]:
    """Items of one `gt.txt`, of a sequence's folder, or of a folder of sequences; ids are the sequences' names.

    Raises:
        RecordError: There is no ground truth at the path, or a row is not one of the format.
    """
    if not path.is_dir():
        return [_item(path)]
    files = sorted({*path.glob("gt/gt.txt"), *path.glob("*/gt/gt.txt"), *path.glob("*.gt.txt")})
    if not files:
        raise RecordError(f"{path} holds no gt/gt.txt: give a MOT sequence or the folder of them")
    return [_item(file) for file in files]


def _item(path: Path) -> Item:
    nested = path.name == "gt.txt" and path.parent.name == "gt"
    name = path.parent.parent.name if nested else path.name.removesuffix(".txt").removesuffix(".gt")
    try:
        table = np.array([row.split(",") for row in read_text(path).split()], np.float64)
    except ValueError as e:
        raise RecordError(f"{path} is no MOT ground truth: every row needs the same count of numbers ({e})") from e
    if table.ndim != 2 or table.shape[1] < 6:
        raise RecordError(f"{path} is no MOT ground truth: rows start with frame, id, x, y, w, h")
    info = _info(path.parent.parent / "seqinfo.ini") if nested else {}
    fps = float(info.get("framerate", RATE))
    keep = np.ones(len(table), bool)
    if table.shape[1] >= 7:
        keep &= table[:, 6] != 0
    if table.shape[1] == 9:
        keep &= table[:, 7] == _PEDESTRIAN
    left = int((~keep).sum())
    table = table[keep]
    frames = int(info.get("seqlength", table[:, 0].max(initial=0)))
    tubes, dropped = _tubes(table, fps)
    present = SpanSet(span for tube in tubes for span in tube.spans)
    provenance: dict[str, object] = {"file": path.name, "rows_left_out": left, "dropped_boxes": dropped}
    if "framerate" not in info:
        provenance["fps"] = f"{RATE:g} assumed: no seqinfo.ini"
    return Item(
        name,
        name,
        spans=span_array([(s.start, s.end) for s in present]),
        tubes=tubes,
        duration=frames / fps,
        fps=fps,
        frames=frames,
        width=int(info["imwidth"]) if "imwidth" in info else None,
        height=int(info["imheight"]) if "imheight" in info else None,
        source="mot",
        licence=BENCHMARK.licence,
        provenance=provenance,
    )


def _tubes(table: np.ndarray, fps: float) -> tuple[list[Tube], int]:
    order = np.lexsort((table[:, 0], table[:, 1]))
    table = table[order]
    frames = table[:, 0].astype(np.int64) - 1
    boxes = from_xywh(table[:, 2:6], first=1)
    good = valid_boxes(boxes)
    ids, starts = np.unique(table[:, 1].astype(np.int64), return_index=True)
    tubes = []
    for id, rows in zip(ids.tolist(), np.split(np.arange(len(table)), starts[1:]), strict=True):
        rows = rows[good[rows]]
        if len(rows):
            tubes.append(frame_tube(frames[rows], boxes[rows], fps, id=str(id))[0])
    return tubes, int((~good).sum())


def _info(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser()
    try:
        parser.read_string(read_text(path))
        return dict(parser["Sequence"])
    except (configparser.Error, KeyError) as e:
        raise RecordError(f"{path} is no seqinfo.ini: it needs a section [Sequence]") from e


BENCHMARK = Benchmark(
    name="mot",
    title="MOT Challenge",
    task="tracking",
    read=read,
    protocol="hota",
    files="gt.txt, a sequence's folder with gt/gt.txt and seqinfo.ini, or the folder of sequences",
    source="arXiv 1504.01942, 1603.00831; motchallenge.net",
    licence="CC BY-NC-SA 3.0",
    standing="released file",
)
