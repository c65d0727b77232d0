"""Procedurally rendered clips: reads `truth.jsonl`, the exact ground truth that `whenwhere stage` writes.

A line is a record (`whenwhere.records`) whose `filled` part holds the true box of every frame. Records keep three
decimals, so times are true to a millisecond and boxes to a thousandth of a pixel. `Item.type` is the kind of sentence.

`whenwhere stage` also writes the same items as `manifest.jsonl`, by `manifest_line`.
"""

from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import need, read_jsonl
from whenwhere.datasets.schema import to_json
from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.readers import parse_json
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

_TITLE = "`whenwhere stage`"


def read(path: Path) -> list[Item]:
    """Items of `truth.jsonl`; ids are those of its records.

    Raises:
        RecordError: The file is not `truth.jsonl`, or it holds answers instead of ground truth; the message names the
            line.
    """
    items = []
    for line, (place, entry) in enumerate(read_jsonl(path), 1):
        need(entry, ("id", "video", "query", "status", "spans", "settings"), place, _TITLE)
        try:
            items.append(staged_item(entry, path.name, line))
        except (WhenwhereError, ValueError) as e:
            said = str(e).splitlines()[0]
            raise RecordError(
                f"{place} is not the truth of a staged clip ({said}): give the truth.jsonl of {_TITLE}"
            ) from e
    return items


def staged_item(entry: dict[str, Any], file: str, line: int) -> Item:
    """The item of one line of `truth.jsonl`.

    Args:
        entry: The record as a JSON object.
        file: Name of the file that holds the line, for `Item.provenance`.
        line: Number of the line, counted from 1.

    Raises:
        RecordError: The record is an answer and not ground truth.
        ValueError: The entry is not a record (`whenwhere.records.Grounding`).
    """
    # Records need pydantic, which the other readers do without.
    from whenwhere.records import Grounding

    record = Grounding.model_validate(entry)
    if record.settings is None or record.settings.model != "truth" or record.video is None:
        raise RecordError("its settings do not say that it is truth")
    spans = [(s.start, s.end) for s in record.spans]
    tubes = []
    if record.filled:
        if record.video.fps is None:
            raise RecordError("its video has no frame rate")
        label = record.tubes[0].label if record.tubes else None
        tubes = [Tube(SpanSet(spans), record.filled.t, record.filled.boxes, rate=record.video.fps, label=label)]
    reading = record.reading or {}
    return Item(
        record.id,
        record.video.path,
        record.query,
        span_array(spans),
        tubes,
        duration=record.video.duration,
        fps=record.video.fps,
        width=record.video.width,
        height=record.video.height,
        type=reading.get("kind"),
        split=reading.get("split"),
        source="stage",
        licence=BENCHMARK.licence,
        provenance={"file": file, "line": line},
        extra=reading,
    )


def manifest_line(truth: str, number: int) -> str:
    """The line of `manifest.jsonl` that belongs to a line of `truth.jsonl`, without its line break.

    Args:
        truth: The line of `truth.jsonl`.
        number: Number of that line in `truth.jsonl`, counted from 1.
    """
    return to_json(staged_item(parse_json(truth, f"truth.jsonl, line {number}"), "truth.jsonl", number))


BENCHMARK = Benchmark(
    name="stage",
    title="Stage",
    task="tubes",
    read=read,
    protocol="default-tubes",
    files="truth.jsonl as `whenwhere stage` writes it",
    source="whenwhere.stage",
    licence="Apache-2.0",
    standing="released file",
)
