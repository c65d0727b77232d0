"""Lists of labelled clips for action recognition: Kinetics, UCF101 and HMDB51.

An item is a clip: `query` is the class as words for a prompt, `answer` its own name, and `extra` has the number of the
class (`label`) and of all classes (`classes`). `class_names` gives the words of all classes in the order of numbers.

- Kinetics: `label`, `youtube_id`, `time_start`, `time_end`, `split` as CSV. A clip's file is named
  `<youtube_id>_<start>_<end>` with six digits each, and may lie in a folder with the class's name. Classes are numbered
  in alphabetical order.
- UCF101: `trainlist01.txt` (`Class/clip.avi number`) or `testlist01.txt` (`Class/clip.avi`), with `classInd.txt` in the
  same folder, whose numbers count from 1.
- HMDB51: the folder of the files `<class>_test_split<n>.txt` (`clip.avi 1` for training, 2 for testing, 0 for neither).
  All three splits lie there; `<folder>/<n>` gives one of them, the folder itself the first. Classes are numbered in
  alphabetical order.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import class_words, number_classes, read_table, unique
from whenwhere.datasets.release import filled, number, read_text
from whenwhere.errors import RecordError

_HMDB = re.compile(r"(.+)_test_split([123])\.txt")


def class_names(items: Sequence[Item]) -> list[str]:
    """Words of all classes that occur, in the order of their numbers; a class that does not occur is empty text.

    Args:
        items: Items of a set for recognition.
    """
    out = [""] * max((int(item.extra["classes"]) for item in items), default=0)
    for item in items:
        out[int(item.extra["label"])] = item.query
    return out


def read_kinetics(path: Path) -> list[Item]:
    """Items of a CSV list of Kinetics-400, -600 or -700; ids are the names of the clips.

    Raises:
        RecordError: The file is not such a list; the message names the line.
    """
    items = []
    for place, row in read_table(path, ("label", "youtube_id", "time_start", "time_end"), "Kinetics"):
        video, label = filled(row["youtube_id"], f"{place}: youtube_id"), filled(row["label"], f"{place}: label")
        start, end = (number(row[key], f"{place}: {key}") for key in ("time_start", "time_end"))
        if not 0 <= start < end < 1e6:
            raise RecordError(f"{place}: the clip from {start:g} to {end:g} s is not possible; correct or remove it")
        clip = f"{video}_{int(start):06d}_{int(end):06d}"
        folder = label.replace(" ", "_")
        items.append(
            _item(clip, clip, label, str(row.get("split") or "") or None, "kinetics", KINETICS.licence, path, place)
        )
        items[-1].duration = end - start
        items[-1].extra["names"] = [f"{label}/{clip}", f"{folder}/{clip}"]
    return number_classes(unique(items, path), sorted({str(item.answer) for item in items}))


def read_ucf101(path: Path) -> list[Item]:
    """Items of `trainlist0<n>.txt` or `testlist0<n>.txt`; ids are `<Class>/<clip>` without the ending.

    Raises:
        RecordError: `classInd.txt` is not in the same folder, or a line names a class that it does not have.
    """
    classes = _ucf_classes(path.with_name("classInd.txt"))
    items = []
    for line, content in enumerate(read_text(path).splitlines(), 1):
        if not content.strip():
            continue
        place, clip = f"{path}, line {line}", content.split()[0]
        label, _, file = clip.partition("/")
        if label not in classes or not file:
            raise RecordError(
                f"{place} is not `Class/clip.avi` with a class of classInd.txt: give trainlist01.txt or testlist01.txt"
            )
        split = next((s for s in ("train", "test") if path.stem.startswith(s)), None)
        items.append(
            _item(Path(clip).with_suffix("").as_posix(), clip, label, split, "ucf101", UCF101.licence, path, place)
        )
        items[-1].extra["names"] = [file]
    return number_classes(unique(items, path), classes)


def _ucf_classes(path: Path) -> list[str]:
    if not path.is_file():
        raise RecordError(f"{path} is missing: put classInd.txt, which numbers the classes, beside the list of clips")
    found = {}
    for line, content in enumerate(read_text(path).splitlines(), 1):
        parts = content.split()
        if parts and (len(parts) != 2 or not parts[0].isdecimal()):
            raise RecordError(f"{path}, line {line} is not `number Class`: fetch classInd.txt again")
        if parts:
            found[int(parts[0])] = parts[1]
    if sorted(found) != list(range(1, len(found) + 1)):
        raise RecordError(f"{path} does not number its classes from 1 without gaps: fetch classInd.txt again")
    return [found[k] for k in sorted(found)]


def read_hmdb51(path: Path) -> list[Item]:
    """Items of the training and the test clips of one split; ids are `<class>/<clip>` without the ending.

    Args:
        path: Folder of the files `<class>_test_split<n>.txt`, or `<folder>/<n>` for split n (1 if it is not given).

    Raises:
        RecordError: The folder holds no such files, or a line is not `clip number`.
    """
    folder, split = (path, "1") if path.is_dir() else (path.parent, path.name)
    files = [
        (m[1], file) for file in sorted(folder.glob("*.txt")) if (m := _HMDB.fullmatch(file.name)) and m[2] == split
    ]
    if not files:
        raise RecordError(f"{path} holds no file <class>_test_split{split}.txt: give the folder of HMDB51's splits")
    items = []
    for label, file in files:
        for line, content in enumerate(read_text(file).splitlines(), 1):
            parts, place = content.split(), f"{file}, line {line}"
            if not parts:
                continue
            if len(parts) != 2 or parts[1] not in ("0", "1", "2"):
                raise RecordError(f"{place} is not `clip.avi number` with 0, 1 or 2: fetch the splits again")
            if parts[1] != "0":
                id = f"{label}/{Path(parts[0]).stem}"
                part = "train" if parts[1] == "1" else "test"
                items.append(_item(id, f"{label}/{parts[0]}", label, part, "hmdb51", HMDB51.licence, file, place))
                items[-1].extra["names"] = [parts[0]]
    return number_classes(unique(items, path), sorted({label for label, _ in files}))


def _item(
    id: str, video: str, label: str, split: str | None, source: str, licence: str, path: Path, place: str
) -> Item:
    line = int(place.rsplit(" ", 1)[1])
    return Item(
        id,
        video,
        class_words(label),
        answer=label,
        split=split,
        source=source,
        licence=licence,
        provenance={"file": path.name, "line": line},
    )


KINETICS = Benchmark(
    name="kinetics",
    title="Kinetics",
    task="recognition",
    read=read_kinetics,
    protocol="recognition",
    files="train.csv, val.csv or test.csv of Kinetics-400, -600 or -700",
    source="arXiv 1705.06950; lists as in cvdfoundation/kinetics-dataset",
    licence="CC BY 4.0",
    standing="from public code",
)
UCF101 = Benchmark(
    name="ucf101",
    title="UCF101",
    task="recognition",
    read=read_ucf101,
    protocol="recognition",
    files="testlist01.txt or trainlist01.txt with classInd.txt beside it",
    source="arXiv 1212.0402; UCF101TrainTestSplits-RecognitionTask",
    licence="not stated",
    standing="from public code",
)
HMDB51 = Benchmark(
    name="hmdb51",
    title="HMDB51",
    task="recognition",
    read=read_hmdb51,
    protocol="recognition",
    files="the folder of <class>_test_split<n>.txt; for split n the folder followed by /n",
    source="ICCV 2011; test_train_splits",
    licence="CC BY 4.0",
    standing="from public code",
)
