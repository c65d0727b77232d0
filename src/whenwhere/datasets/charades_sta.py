"""Charades-STA: sentences with seconds in Charades' home videos.

Released as text, a line for each sentence: `VIDEO start end##sentence`. The file itself does not say how long the
videos are; Charades' own table `Charades_v1_test.csv` (or `_train.csv`) does, and is read if it is in the same folder.

Known faults of the release: 562 of the 3720 test spans end after the video does (kept, because published numbers are
computed with them); four training spans end before they start (kept as invalid items).
"""

import re
from collections import Counter
from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, number, positive, read_text
from whenwhere.errors import RecordError
from whenwhere.readers import parse_table

_LINE = re.compile(r"(\S+)\s+(\S+)\s+(\S+?)\s*##(.*)")


def read(path: Path) -> list[Item]:
    """Items of `charades_sta_test.txt` or `charades_sta_train.txt`; ids are `<video>#<n>`, n counting from 0 per video.

    Args:
        path: The text file. Durations are read from `Charades_v1_test.csv` or `Charades_v1_train.csv` if it is in the
            same folder.

    Raises:
        RecordError: A line is not `VIDEO start end##sentence`; the message names the line.
    """
    split = next((s for s in ("test", "train", "val") if s in path.stem), None)
    seconds = _durations(path.parent / f"Charades_v1_{split}.csv")
    seen: Counter[str] = Counter()
    items = []
    for line, content in enumerate(read_text(path).splitlines(), 1):
        if not content.strip():
            continue
        place = f"{path}, line {line}"
        match = _LINE.fullmatch(content.strip())
        if match is None:
            raise RecordError(
                f"{place} is not `VIDEO start end##sentence`, so this is no Charades-STA file or the line is torn: "
                "give charades_sta_test.txt or charades_sta_train.txt as released"
            )
        video, start, end, sentence = match.groups()
        span = (number(start, f"{place}: start"), number(end, f"{place}: end"))
        fault = fault_of([span])
        items.append(
            Item(
                f"{video}#{seen[video]}",
                video,
                sentence,
                span_array([span]),
                duration=seconds.get(video),
                status="invalid" if fault else "valid",
                fault=fault,
                split=split,
                source="charades-sta",
                licence=BENCHMARK.licence,
                provenance={"file": path.name, "line": line},
            )
        )
        seen[video] += 1
    return items


def _durations(path: Path) -> dict[str, float]:
    """Duration in seconds of each video, from Charades' table; empty if there is no such file."""
    if not path.is_file():
        return {}
    columns, rows = parse_table(read_text(path), str(path))
    if not {"id", "length"} <= set(columns):
        raise RecordError(f"{path} has no columns `id` and `length`: put Charades' own table there, or none")
    return {row["id"]: positive(row["length"], f"{path}, line {line}: length") for line, row in rows}


BENCHMARK = Benchmark(
    name="charades-sta",
    title="Charades-STA",
    task="spans",
    read=read,
    protocol="charades-sta",
    files="charades_sta_test.txt (Charades_v1_test.csv beside it gives the durations)",
    source="TALL, arXiv 1705.02101; file as in microsoft/2D-TAN@2f7410f",
    licence="Charades, non-commercial",
    standing="released file",
)
