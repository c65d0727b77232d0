"""VUE-TR: find all moments that match a keyword, phrase or sentence, in videos of a minute to more than an hour.

Released as one list: `query_id`, `video_id`, `duration`, `query`, `gt` (any number of [start, end], nearly all in whole
seconds), and three kinds that its authors report apart: `duration_category`, `query_format`, `query_modality`. The
query's format is `Item.type`; all three are in `Item.extra`. Version 1 and version 2 have the same format.

The authors' script rounds answers outwards to whole seconds before it scores them. The protocol `vue-tr` does so, too;
this reader leaves the ground truth as it is.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, filled, listing, mapping, name, need, pairs, positive, read_json, text

_KINDS = ("duration_category", "query_format", "query_modality")


def read(path: Path) -> list[Item]:
    """Items of `VUE-TR_ground_truth.json` or `VUE-TRv2_ground_truth.json`; ids are the query_id as text.

    Raises:
        RecordError: The file is not that release; the message names the entry and key.
    """
    items = []
    for n, value in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(value, place)
        need(entry, ("query_id", "video_id", "duration", "query", "gt", *_KINDS), place, "VUE-TR")
        spans = pairs(entry["gt"], f"{place}: gt")
        fault = fault_of(spans)
        items.append(
            Item(
                name(entry["query_id"], f"{place}: query_id"),
                filled(entry["video_id"], f"{place}: video_id"),
                text(entry["query"], f"{place}: query"),
                span_array(spans),
                duration=positive(entry["duration"], f"{place}: duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                type=text(entry["query_format"], f"{place}: query_format"),
                split="test",
                source="vue-tr",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "index": n},
                extra={kind: text(entry[kind], f"{place}: {kind}") for kind in _KINDS},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="vue-tr",
    title="VUE-TR",
    task="spans",
    read=read,
    protocol="vue-tr",
    files="VUE-TR_ground_truth.json or VUE-TRv2_ground_truth.json",
    source="arXiv 2504.15681; bytedance/vidi@fc30c87",
    licence="CC BY-NC 4.0",
    standing="released file",
)
