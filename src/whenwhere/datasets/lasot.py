"""LaSOT: one target followed through a whole video, one box per frame at 30 frames a second.

Read from the data set's folders (`<class>/<sequence>/groundtruth.txt` with `full_occlusion.txt`, `out_of_view.txt`,
`nlp.txt`) or from the evaluation toolkit's annotations (`<sequence>.txt` with `absent/<sequence>.txt`), as a folder or
a .zip. Boxes are x, y, w, h, with pixels counted from 1. A frame in which the target is absent has no box. The true
span of an item is the whole video.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.tracks import frame_tube, from_xywh, read_box_lines, read_flags
from whenwhere.errors import RecordError

#: Frames per second of every sequence.
RATE = 30.0


def read(path: Path) -> list[Item]:
    """Items of a folder or .zip of sequences, one per sequence; ids are the sequences' names.

    Raises:
        RecordError: There are no annotations, or a line is not a box.
    """
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*.txt"))
        return _items(path, names, lambda name: (path / name).read_text(encoding="utf-8"))
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".txt"))
            return _items(path, names, lambda name: archive.read(name).decode("utf-8"))
    except (OSError, zipfile.BadZipFile) as e:
        raise RecordError(f"{path} is neither a folder nor a whole .zip: give LaSOT's annotations ({e})") from e


def _items(path: Path, names: list[str], load: Callable[[str], str]) -> list[Item]:
    known = set(names)
    items = []
    for name in names:
        file = PurePosixPath(name)
        if file.name == "groundtruth.txt":
            sequence = file.parent.name
            flags = [str(file.with_name(n)) for n in ("full_occlusion.txt", "out_of_view.txt")]
            sentence = str(file.with_name("nlp.txt"))
        elif str(file.with_name("groundtruth.txt")) in known or file.parent.name == "absent":
            continue
        else:
            sequence, sentence = file.stem, ""
            flags = [str(file.parent / "absent" / file.name)]
        boxes = from_xywh(read_box_lines(load(name), f"{path}, {name}"), first=1)
        absent = np.zeros(len(boxes), bool)
        for flag in flags:
            if flag in known:
                read = read_flags(load(flag))
                if len(read) != len(boxes):
                    raise RecordError(f"{path}, {flag} has {len(read)} flags for {len(boxes)} boxes: fetch it again")
                absent |= read
        items.append(_item(path, name, sequence, boxes, absent, load(sentence).strip() if sentence in known else ""))
    if not items:
        raise RecordError(f"{path} holds no LaSOT annotations: give its folders or the toolkit's boxes")
    return items


def _item(path: Path, name: str, sequence: str, boxes: np.ndarray, absent: np.ndarray, sentence: str) -> Item:
    seen = np.flatnonzero(~absent)
    tube, dropped = frame_tube(seen, boxes[seen], RATE, (0, len(boxes)), label=sequence.rsplit("-", 1)[0])
    length = len(boxes) / RATE
    return Item(
        sequence,
        sequence,
        sentence,
        span_array([(0.0, length)]),
        [tube] if len(tube) else [],
        duration=length,
        fps=RATE,
        frames=len(boxes),
        source="lasot",
        licence=BENCHMARK.licence,
        provenance={"file": path.name, "key": name} | ({"dropped_boxes": dropped} if dropped else {}),
        extra={"absent": np.flatnonzero(absent).tolist()},
    )


BENCHMARK = Benchmark(
    name="lasot",
    title="LaSOT",
    task="tracking",
    read=read,
    protocol="lasot",
    files="LaSOT's folders, or the toolkit's annotations as folder or .zip",
    source="arXiv 1809.07845; HengLan/LaSOT_Evaluation_Toolkit@95bf38a; got-10k/toolkit@956e728",
    licence="own terms (toolkit Apache-2.0)",
    standing="released file",
)
