"""MSR-VTT: twenty sentences for each of ten thousand videos, and the 1k-A test set of retrieval.

Three files are read. `MSRVTT_JSFUSION_test.csv` (1k-A) has one sentence for each of a thousand videos: `key`,
`vid_key`, `video_id`, `sentence`. `MSRVTT_data.json` (or the older `train_val_videodatainfo.json`) has `videos` with
their split and `sentences`. `MSRVTT_train.9k.csv` and `MSRVTT_train.7k.csv` only list `video_id`; the sentences are
then taken from `MSRVTT_data.json` in the same folder. Videos are named `video<n>`.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import number_videos, read_table, unique
from whenwhere.datasets.release import filled, listing, mapping, name, need, read_json, read_text, text
from whenwhere.errors import RecordError
from whenwhere.readers import parse_table

_TITLE = "MSR-VTT"


def read(path: Path) -> list[Item]:
    """Items of a file of MSR-VTT, one for each sentence.

    Ids are the keys of 1k-A (`ret0`), or `<video>#<number of the sentence>`.

    Raises:
        RecordError: The file is not one of MSR-VTT; the message names the line or entry.
    """
    if path.suffix.lower() == ".json":
        items = _sentences(path, None)
    else:
        columns, rows = parse_table(read_text(path), str(path))
        if "sentence" in columns:
            items = _pairs(path)
        else:
            need(dict.fromkeys(columns), ("video_id",), str(path), _TITLE)
            wanted = {filled(row["video_id"], f"{path}, line {line}: video_id") for line, row in rows}
            beside = path.with_name("MSRVTT_data.json")
            if not beside.is_file():
                raise RecordError(f"{path} lists videos without sentences: put MSRVTT_data.json in the same folder")
            items = _sentences(beside, wanted)
    return number_videos(unique(items, path))


def _pairs(path: Path) -> list[Item]:
    """Items of 1k-A."""
    items = []
    for place, row in read_table(path, ("key", "video_id", "sentence"), _TITLE):
        items.append(
            Item(
                filled(row["key"], f"{place}: key"),
                filled(row["video_id"], f"{place}: video_id"),
                text(row["sentence"], f"{place}: sentence").strip(),
                split="test",
                source="msrvtt",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "key": row["key"]},
            )
        )
    return items


def _sentences(path: Path, wanted: set[str] | None) -> list[Item]:
    """Items of the file with all sentences, for all videos or the wanted ones."""
    value = mapping(read_json(path), str(path))
    need(value, ("videos", "sentences"), str(path), _TITLE)
    split = {}
    for n, entry in enumerate(listing(value["videos"], f"{path}: videos")):
        place = f"{path}, video {n}"
        need(mapping(entry, place), ("video_id",), place, _TITLE)
        split[name(entry["video_id"], f"{place}: video_id")] = str(entry.get("split", "")) or None
    items = []
    for n, entry in enumerate(listing(value["sentences"], f"{path}: sentences")):
        place = f"{path}, sentence {n}"
        need(mapping(entry, place), ("video_id", "caption"), place, _TITLE)
        video = name(entry["video_id"], f"{place}: video_id")
        if wanted is None or video in wanted:
            items.append(
                Item(
                    f"{video}#{name(entry.get('sen_id', n), f'{place}: sen_id')}",
                    video,
                    text(entry["caption"], f"{place}: caption").strip(),
                    split="train" if wanted is not None else split.get(video),
                    source="msrvtt",
                    licence=BENCHMARK.licence,
                    provenance={"file": path.name, "index": n},
                )
            )
    return items


BENCHMARK = Benchmark(
    name="msrvtt",
    title="MSR-VTT",
    task="retrieval",
    read=read,
    protocol="retrieval",
    files="MSRVTT_JSFUSION_test.csv (1k-A), MSRVTT_train.9k.csv with MSRVTT_data.json beside it, or MSRVTT_data.json",
    source="CVPR 2016; split 1k-A of JSFusion; files as in ArrowLuo/CLIP4Clip",
    licence="not stated; research only",
    standing="from public code",
)
