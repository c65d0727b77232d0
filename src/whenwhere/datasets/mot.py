"""MOT15 to MOT20 ground truth: everybody in a video, one row per frame and person.

Rows are frame, id, x, y, w, h, flag and more; frames and pixels are counted from 1. Rows with flag 0 are left out, as
MOT ignores them. If there are nine columns (MOT16 and later), the eighth is the class, and only pedestrians (1) are
kept, as MOT scores them. `Item.provenance` counts the rows left out. Frame rate and size come from `seqinfo.ini`;
without it 30 frames a second are assumed, which `Item.provenance` says. One item per video, one tube per person.

What cannot be ground truth is refused with its line: a frame before 1 (the file counts from 0, so that every box would
be a frame early), an id below 0 (a file of detections), a second box of one person in one frame.
"""

import configparser
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import valid_boxes
from whenwhere.datasets.benchmark import MOST_FRAMES, Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import read_text
from whenwhere.datasets.tracks import frame_tube, from_xywh, rate, whole
from whenwhere.errors import RecordError
from whenwhere.readers import quoted
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
    table, lines = _table(path)
    seqinfo = path.parent.parent / "seqinfo.ini"
    info = _info(seqinfo) if nested else {}
    fps = rate(info["framerate"], f"{seqinfo}: frameRate") if "framerate" in info else RATE
    keep = np.ones(len(table), bool)
    if table.shape[1] >= 7:
        keep &= table[:, 6] != 0
    if table.shape[1] == 9:
        keep &= table[:, 7] == _PEDESTRIAN
    left = int((~keep).sum())
    table, lines = table[keep], lines[keep]
    _check(path, table, lines)
    last = int(table[:, 0].max(initial=0))
    frames = _whole(info, "seqlength", seqinfo) or last
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
        width=_whole(info, "imwidth", seqinfo),
        height=_whole(info, "imheight", seqinfo),
        source="mot",
        licence=BENCHMARK.licence,
        provenance=provenance,
    )


def _table(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The rows of a file, shape (n, columns), and the line of each, shape (n,)."""
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = [float(cell) for cell in line.split(",")]
        except ValueError:
            row = []
        if len(row) < 6 or (rows and len(row) != len(rows[0])):
            raise RecordError(
                f"{path}, line {number} is no row of MOT ground truth: {quoted(line.strip())}; every row needs the "
                "same count of numbers, which start with frame, id, x, y, w, h"
            )
        rows.append(row)
        lines.append(number)
    return np.array(rows, np.float64), np.array(lines, np.int64)


def _check(path: Path, table: NDArray[np.float64], lines: NDArray[np.int64]) -> None:
    """Refuse rows whose frame or id is none, and second boxes of one person in one frame."""
    for column, least, most, what in (
        (0, 1, MOST_FRAMES, "frame {}: MOT counts frames from 1; if the file counts from 0, add 1 to every frame"),
        (1, 0, 2**53, "id {}: ground truth names its persons by whole numbers; a file of detections has none"),
    ):
        values = table[:, column]
        bad = ~((values >= least) & (values <= most) & (values == np.rint(values)))
        if bad.any():
            row = int(bad.argmax())
            raise RecordError(f"{path}, line {lines[row]} has {what.format(f'{values[row]:g}')}")
    order = np.lexsort((lines, table[:, 0], table[:, 1]))
    same = (np.diff(table[order, :2], axis=0) == 0).all(1)
    if same.any():
        first, second = order[same.argmax()], order[same.argmax() + 1]
        frame, person = table[second, :2]
        raise RecordError(
            f"{path}, line {lines[second]} has a second box of id {person:g} in frame {frame:g} (the first is in line "
            f"{lines[first]}): remove one of them"
        )


def _tubes(table: NDArray[np.float64], fps: float) -> tuple[list[Tube], int]:
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


def _whole(info: dict[str, str], key: str, path: Path) -> int | None:
    return whole(info[key], f"{path}: {key}", 1, MOST_FRAMES) if key in info else None


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
