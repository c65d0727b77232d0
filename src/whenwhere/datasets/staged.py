"""Staged clips: `truth.jsonl` as `whenwhere stage` writes it, exact truth in the form of this project's records.

A line is a record (`whenwhere.records`) whose `filled` part holds the true box of every frame. Records keep three
decimals, so times are true to a millisecond and boxes to a thousandth of a pixel. `Item.type` is the kind of sentence.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import need, read_jsonl
from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

_TITLE = "`whenwhere stage`"


def read(path: Path) -> list[Item]:
    """Items of `truth.jsonl`; ids are those of its records.

    Raises:
        RecordError: not that file, or records that are no truth (answers of a model); names the line.
    """
    # Records need pydantic, which the other readers do without.
    from whenwhere.records import Grounding

    items = []
    for line, (place, entry) in enumerate(read_jsonl(path), 1):
        need(entry, ("id", "video", "query", "status", "spans", "settings"), place, _TITLE)
        try:
            record = Grounding.model_validate(entry)
            if record.settings is None or record.settings.model != "truth" or record.video is None:
                raise RecordError("its settings do not say that it is truth")
            spans = [(s.start, s.end) for s in record.spans]
            tubes = []
            if record.filled:
                boxes = record.filled.boxes
                label = record.tubes[0].label if record.tubes else None
                tubes = [Tube(SpanSet(spans), record.filled.t, boxes, rate=record.video.fps, label=label)]
        except (WhenwhereError, ValueError) as e:
            said = str(e).splitlines()[0]
            raise RecordError(f"{place} is no truth of a staged clip ({said}): give the truth.jsonl of {_TITLE}") from e
        reading = record.reading or {}
        items.append(
            Item(
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
                provenance={"file": path.name, "line": line},
                extra=reading,
            )
        )
    return items


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
