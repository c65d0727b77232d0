"""THUMOS14 as a detection set, in ActivityNet's form: 20 classes, subsets `train` and `test`.

`train` holds the videos that the challenge calls validation. Segments are written as text with one decimal; durations
are not released. A file with both subsets gives the items of `test`, the one that is scored. Ids are `<video>#<n>`.
"""

from pathlib import Path

from whenwhere.datasets.activitynet13 import segments
from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item


def read(path: Path) -> list[Item]:
    """Items of `thumos_gt.json`.

    Raises:
        RecordError: The file is not that release; the message names the video.
    """
    return segments(path, "thumos14", "test", BENCHMARK.licence)


BENCHMARK = Benchmark(
    name="thumos14",
    title="THUMOS14 (detection)",
    task="detection",
    read=read,
    protocol="thumos14",
    files="thumos_gt.json (ActivityNet's form); the test subset where there is one",
    source="frostinassiky/gtad@6deb5b1; arXiv 1604.06182",
    licence="not stated",
    standing="released file",
)
