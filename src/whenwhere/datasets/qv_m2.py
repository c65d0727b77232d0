"""QV-M²: QVHighlights with further sentences, most of which match several moments of a video.

Released in the form of QVHighlights; the further sentences have no saliency votes. The validation file holds
QVHighlights' own 1550 items and 229 new ones, the test file 323 new ones.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.qvhighlights import read_windows

_TITLE = "QV-M²"


def read(path: Path) -> list[Item]:
    """Items of `test.jsonl`, `val.jsonl` or `train.jsonl`; ids are the qid as text.

    Raises:
        RecordError: The file is not that release, or a line is cut off; the message names the line.
    """
    return read_windows(path, _TITLE, "qv-m2", BENCHMARK.licence)


BENCHMARK = Benchmark(
    name="qv-m2",
    title=_TITLE,
    task="spans",
    read=read,
    protocol="qv-m2",
    files="test.jsonl, val.jsonl or train.jsonl",
    source="arXiv 2510.17218; Zhuo-Cao/QV-M2@d5d4038",
    licence="CC BY-NC-SA 4.0",
    standing="released file",
)
