"""MSRVTT-QA and MSVD-QA: open questions about videos, each with one short answer.

`train_qa.json`, `val_qa.json` or `test_qa.json` is a list of `{"id", "video_id", "question", "answer"}`. Papers choose
among the most frequent answers of the training file and count exact matches (measure `exact-match`), also by the first
word of the question (`Item.type`: what, who, how, when, where). Videos are `video<n>` for MSRVTT-QA. For MSVD-QA they
are `vid<n>`, or the names that `youtube_mapping.txt` (`name vid<n>`) in the same folder gives.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import unique
from whenwhere.datasets.release import filled, listing, mapping, name, need, read_json, read_text, text
from whenwhere.errors import RecordError


def read_msrvtt_qa(path: Path) -> list[Item]:
    """Items of a file of MSRVTT-QA, one for each question; ids are those of the file.

    Raises:
        RecordError: The file is not such a list; the message names the entry.
    """
    return _questions(path, "MSRVTT-QA", "msrvtt-qa", "video", {})


def read_msvd_qa(path: Path) -> list[Item]:
    """Items of a file of MSVD-QA, one for each question; ids are those of the file.

    Raises:
        RecordError: The file is not such a list, or `youtube_mapping.txt` cannot be read.
    """
    beside = path.with_name("youtube_mapping.txt")
    names = {}
    if beside.is_file():
        for line, content in enumerate(read_text(beside).splitlines(), 1):
            parts = content.split()
            if parts and len(parts) != 2:
                raise RecordError(f"{beside}, line {line} is not `name vid<n>`: fetch the file again")
            if parts:
                names[parts[1]] = parts[0]
    return _questions(path, "MSVD-QA", "msvd-qa", "vid", names)


def _questions(path: Path, title: str, source: str, prefix: str, names: dict[str, str]) -> list[Item]:
    split = next((word for word in ("train", "val", "test") if path.stem.startswith(word)), None)
    items = []
    for n, value in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, ("id", "video_id", "question", "answer"), place, title)
        video = f"{prefix}{name(entry['video_id'], f'{place}: video_id').removeprefix(prefix)}"
        question = filled(text(entry["question"], f"{place}: question").strip(), f"{place}: question")
        items.append(
            Item(
                name(entry["id"], f"{place}: id"),
                names.get(video, video),
                question,
                type=question.split()[0].lower(),
                split=split,
                source=source,
                licence="not stated",
                extra={"answers": [text(entry["answer"], f"{place}: answer").strip()], "names": [video]},
                provenance={"file": path.name, "index": n},
            )
        )
    return unique(items, path)


MSRVTT_QA = Benchmark(
    name="msrvtt-qa",
    title="MSRVTT-QA",
    task="vqa",
    read=read_msrvtt_qa,
    protocol="vqa",
    files="test_qa.json, val_qa.json or train_qa.json",
    source="Xu et al. 2017, xudejing/video-question-answering",
    licence="not stated",
    standing="from public code",
)
MSVD_QA = Benchmark(
    name="msvd-qa",
    title="MSVD-QA",
    task="vqa",
    read=read_msvd_qa,
    protocol="vqa",
    files="test_qa.json, val_qa.json or train_qa.json, with youtube_mapping.txt for videos' own names",
    source="Xu et al. 2017, xudejing/video-question-answering",
    licence="not stated",
    standing="from public code",
)
