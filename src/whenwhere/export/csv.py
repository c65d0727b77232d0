r"""A table with one row for each second-level box, for spreadsheets and data frames.

| column | meaning |
|---|---|
| id, video, query, status, confidence | the answer; the same in each of its rows |
| span, span_start, span_end, span_score | the number of the span, from 1, its start and end in seconds, its score |
| tube, label | the id of the tube, and its name if it has one |
| t, x1, y1, x2, y2, source | a box: seconds, pixels of the displayed frame, `model`, `smoothed` or `propagated` |

A span without boxes has one row whose box columns are empty, and an answer without spans has one row whose span columns
are empty too, so no question gets lost. The file is UTF-8, quoted as RFC 4180 says, with "\n" at the ends of lines.
Sentences stay as they were typed, newlines included; a spreadsheet may take one that begins with "=" for a formula.
"""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.export.words import format_number
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding, SpanRecord
    from whenwhere.video import VideoInfo

COLUMNS = (
    "id", "video", "query", "status", "confidence", "span", "span_start", "span_end", "span_score",
    "tube", "label", "t", "x1", "y1", "x2", "y2", "source",
)  # fmt: skip


def render(record: "Grounding") -> str:
    """The CSV table of an answer, header included.

    >>> from whenwhere.records import Grounding
    >>> print(render(Grounding(id="a", query="a dog, running", status="absent")).splitlines()[1])
    a,,"a dog, running",absent,,,,,,,,,,,,,
    """
    head = {
        "id": record.id,
        "video": record.video.path if record.video else "",
        "query": record.query,
        "status": record.status,
        "confidence": _optional(record.confidence),
    }
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    for i, span in enumerate(record.spans):
        when = head | {
            "span": i + 1,
            "span_start": format_number(span.start),
            "span_end": format_number(span.end),
            "span_score": _optional(span.score),
        }
        boxes = [
            {"tube": r.id, "label": r.label or "", "t": format_number(b.t), "source": b.source}
            | dict(zip(("x1", "y1", "x2", "y2"), map(format_number, b.box), strict=True))
            for r in record.tubes
            for b in r.boxes
            if _span_of(record.spans, b.t) == i
        ]
        table.writerows(when | box for box in boxes or [{}])
    if not record.spans:
        table.writerow(head)
    return out.getvalue()


def _span_of(spans: "list[SpanRecord]", t: float) -> int:
    """Index of the last span that starts at or before t; a rounded time of a box may lie on the end of its span."""
    begun = [i for i, s in enumerate(spans) if s.start <= t]
    return begun[-1] if begun else 0


def _optional(x: float | None) -> str:
    return "" if x is None else format_number(x)


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as a CSV table."""
    return [write_text(path, render(record))]


EXPORTER = Exporter("csv", ".csv", write)
