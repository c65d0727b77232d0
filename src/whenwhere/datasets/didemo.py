"""DiDeMo: which five-second chunks of a half-minute video a sentence describes, by four or more annotators.

Released as a list of `description`, `video`, `num_segments` (5 or 6), `times`: one [first, last] pair of chunk numbers
per annotator, inclusive, so that [1, 4] is 5-25 s. `Item.spans` holds them in seconds, one row per annotator;
`Item.extra["times"]` holds the chunk numbers for DiDeMo's own protocol. The true durations were not released:
`Item.duration` is 5 s times the number of chunks, which is at least as long as the video.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import filled, listing, mapping, name, need, pairs, positive, read_json, text
from whenwhere.errors import RecordError

#: Length of a chunk in seconds.
CHUNK = 5.0
_KEYS = ("annotation_id", "description", "video", "num_segments", "times")


def read(path: Path) -> list[Item]:
    """Items of `train_data.json`, `val_data.json` or `test_data.json`; ids are the annotation_id as text.

    Raises:
        RecordError: The file is not that release, or an entry has chunk numbers that its video does not have; the
            message names the entry.
    """
    items = []
    for n, entry in enumerate(listing(read_json(path), str(path))):
        place = f"{path}, entry {n}"
        entry = mapping(entry, place)
        need(entry, _KEYS, place, "DiDeMo")
        count = positive(entry["num_segments"], f"{place}: num_segments")
        times = pairs(entry["times"], f"{place}: times")
        for first, last in times:
            if not (first == int(first) and last == int(last) and 0 <= first <= last < count):
                raise RecordError(
                    f"{place}: times has [{first:g}, {last:g}], which are no chunks of a video with {count:g}: "
                    "fetch the released file again"
                )
        items.append(
            Item(
                name(entry["annotation_id"], f"{place}: annotation_id"),
                filled(entry["video"], f"{place}: video"),
                text(entry["description"], f"{place}: description"),
                span_array([(CHUNK * first, CHUNK * (last + 1)) for first, last in times]),
                duration=CHUNK * count,
                split=path.stem.removesuffix("_data"),
                source="didemo",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "index": n},
                extra={"times": [[int(first), int(last)] for first, last in times]},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="didemo",
    title="DiDeMo",
    task="moments",
    read=read,
    protocol="didemo",
    files="test_data.json, val_data.json or train_data.json",
    source="arXiv 1708.01641; LisaAnne/LocalizingMoments@b6a555c",
    licence="not stated",
    standing="released file",
)
