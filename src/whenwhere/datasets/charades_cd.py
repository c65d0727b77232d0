"""Charades-CD: Charades-STA split anew, so that the test moments lie elsewhere in time than the training moments.

Released as JSON files, video → `timestamps`, `sentences`, `video_duration`: the same annotations with another split
(`test_iid` like the training set, `test_ood` unlike it). Durations are those of the decoded frames and differ a little
from Charades' table. As in Charades-STA some ends lie after the video's end (kept).
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import dense, fault_of, positive


def read(path: Path) -> list[Item]:
    """Items of one of the released files, such as `charades_test_ood.json`.

    Ids are `<video>#<n>`, where n is the sentence's index in the list of its video, from 0.

    Raises:
        RecordError: The file is not that release; the message names the video and key.
    """
    items = []
    for place, video, entry, n, span, sentence in dense(
        path, "Charades-CD", "timestamps", "sentences", "video_duration"
    ):
        fault = fault_of([span])
        items.append(
            Item(
                f"{video}#{n}",
                video,
                sentence,
                span_array([span]),
                duration=positive(entry["video_duration"], f"{place}: video_duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                split=path.stem.removeprefix("charades_"),
                source="charades-cd",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "key": video, "index": n},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="charades-cd",
    title="Charades-CD",
    task="spans",
    read=read,
    protocol="charades-sta",
    files="charades_test_ood.json, charades_test_iid.json, charades_val.json or charades_train.json",
    source="arXiv 2101.09028; files as in www-Ye/Time-R1@d1a0d54",
    licence="Charades, non-commercial",
    standing="released file",
)
