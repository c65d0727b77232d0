"""TimeLens-Bench: Charades-STA, ActivityNet Captions and QVHighlights with the annotations made anew.

Three JSON files, video → `duration`, `spans`, `queries`, with one span for each query. `Item.type` tells the three
apart, so that the files can be joined. The authors report each file separately. Scores are not comparable to those on
the original data sets, because sentences and spans differ.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import dense, fault_of, positive


def read(path: Path) -> list[Item]:
    """Items of one of `charades-`, `activitynet-`, `qvhighlights-timelens.json`; ids are `<video>#<n>`, n from 0.

    Raises:
        RecordError: The file is not that release; the message names the video and key.
    """
    items = []
    for place, video, entry, n, span, sentence in dense(path, "TimeLens-Bench", "spans", "queries", "duration"):
        fault = fault_of([span])
        items.append(
            Item(
                f"{video}#{n}",
                video,
                sentence,
                span_array([span]),
                duration=positive(entry["duration"], f"{place}: duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                type=path.stem.removesuffix("-timelens"),
                split="test",
                source="timelens-bench",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "key": video, "index": n},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="timelens-bench",
    title="TimeLens-Bench",
    task="spans",
    read=read,
    protocol="timelens",
    files="charades-timelens.json, activitynet-timelens.json or qvhighlights-timelens.json",
    source="arXiv 2512.14698; loader in TencentARC/TimeLens@5d90c06",
    licence="not stated",
    standing="from public code",
)
