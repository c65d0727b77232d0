"""Tables of captioned clips for pre-training, in the forms of WebVid and InternVid: CSV, JSON Lines or Parquet.

- WebVid: `videoid`, `page_dir`, `name` (the caption) and `duration` (`PT00H00M20S`). A clip's file is
  `<page_dir>/<videoid>.mp4`, or beside all others.
- InternVid: `YoutubeID`, `Start_timestamp`, `End_timestamp`, `Caption`; scores are kept where they are there. Times are
  clock times as text. A clip is a window of the video `<YoutubeID>`; a file that holds the clip alone is named
  `<YoutubeID>_<start>_<end>`, with the times as the table writes them.
"""

import re
from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.datasets.paired import number_videos, read_table, seconds, unique
from whenwhere.datasets.release import fault_of, filled, name, number, text
from whenwhere.errors import RecordError
from whenwhere.spans import Span

_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")
_SCORES = ("UMT_Score", "Aesthetic_Score")


def read_webvid(path: Path) -> list[Item]:
    """Items of `results_2M_train.csv`, `results_2M_val.csv` or another table with these columns; ids are the videoids.

    Raises:
        RecordError: The file is not such a table; the message names the line.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    split = next((s for s in ("train", "val") if s in path.stem), None)
    items = []
    for n, (place, row) in enumerate(read_table(path, ("videoid", "page_dir", "name", "duration"), "WebVid"), 1):
        video = name(row["videoid"], f"{place}: videoid")
        items.append(
            Item(
                video,
                video,
                text(row["name"], f"{place}: name").strip(),
                duration=_duration(row["duration"], f"{place}: duration"),
                split=split,
                source="webvid",
                licence=WEBVID.licence,
                provenance={"file": path.name, "row": n},
                extra={"names": [f"{row['page_dir']}/{video}"]} if row["page_dir"] else {},
            )
        )
    return number_videos(unique(items, path))


def _duration(value: Any, place: str) -> float | None:
    """Seconds of `PT00H00M20S` or of a number; None where there is none."""
    if value is None or value == "":
        return None
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        found = number(value, place)
    else:
        hours, minutes, rest = (float(part or 0) for part in match.groups())
        found = 3600 * hours + 60 * minutes + rest
    return found if found > 0 else None


def read_internvid(path: Path) -> list[Item]:
    """Items of `InternVid-10M-flt.jsonl` or another table with these columns.

    Ids are `<YoutubeID>_<start>_<end>`; a clip that occurs again gets `#2` and so on. A clip whose end is not after its
    start is kept as an invalid item.

    Raises:
        RecordError: The file is not such a table; the message names the line.
        MissingExtraError: The file is Parquet and pyarrow is not installed.
    """
    columns = ("YoutubeID", "Start_timestamp", "End_timestamp", "Caption")
    items: list[Item] = []
    seen: dict[str, int] = {}
    for n, (place, row) in enumerate(read_table(path, columns, "InternVid", _SCORES), 1):
        video = filled(row["YoutubeID"], f"{place}: YoutubeID")
        start, end = (seconds(row[key], f"{place}: {key}") for key in ("Start_timestamp", "End_timestamp"))
        if min(start, end) < 0:
            raise RecordError(f"{place}: the clip starts before 0 s; correct or remove that entry")
        fault = fault_of([(start, end)])
        cut = f"{video}_{row['Start_timestamp']}_{row['End_timestamp']}"
        seen[cut] = seen.get(cut, 0) + 1
        items.append(
            Item(
                cut if seen[cut] == 1 else f"{cut}#{seen[cut]}",
                video,
                text(row["Caption"], f"{place}: Caption").strip(),
                window=None if fault else Span(start, end),
                status="invalid" if fault else "valid",
                fault=fault,
                source="internvid",
                licence=INTERNVID.licence,
                provenance={"file": path.name, "row": n},
                extra={"cut": cut, **{key: row[key] for key in _SCORES if row.get(key) is not None}},
            )
        )
    # a column of the matrix of similarities is a clip here, not a video
    for k, item in enumerate(items):
        item.extra |= {"video": k, "videos": len(items)}
    return items


WEBVID = Benchmark(
    name="webvid",
    title="WebVid",
    task="retrieval",
    read=read_webvid,
    protocol="retrieval",
    files="results_2M_train.csv or results_2M_val.csv, or the same columns as JSON Lines or Parquet",
    source="arXiv 2104.00650; m-bain/webvid",
    licence="withdrawn by its authors; research only",
    standing="from public code",
)
INTERNVID = Benchmark(
    name="internvid",
    title="InternVid",
    task="retrieval",
    read=read_internvid,
    protocol="retrieval",
    files="InternVid-10M-flt.jsonl, or the same columns as CSV or Parquet",
    source="arXiv 2307.06942; OpenGVLab/InternVid",
    licence="CC BY-NC-SA 4.0",
    standing="from public code",
)
