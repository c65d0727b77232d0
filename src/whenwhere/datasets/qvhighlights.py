"""QVHighlights: several moments for one sentence, and how salient every two-second clip is.

Released as JSON Lines: `qid`, `query`, `duration`, `vid`, and (not in the unlabelled test file) `relevant_windows` in
seconds, `relevant_clip_ids`, `saliency_scores` of three annotators per relevant clip, 0-4. The clips and votes go to
`Item.extra` as they are: only the highlight protocol needs them.
"""

from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, listing, need, number, pairs, read_jsonl, text
from whenwhere.errors import RecordError

TITLE = "QVHighlights"


def read(path: Path) -> list[Item]:
    """Items of `highlight_val_release.jsonl` and its like; ids are the qid as text.

    Raises:
        RecordError: not that file, no truth in it, or a torn line; names the line.
    """
    return read_windows(path, TITLE, "qvhighlights", BENCHMARK.licence)


def read_windows(path: Path, title: str, source: str, licence: str, kind: str = "") -> list[Item]:
    """Items of any set that is released in the form of QVHighlights; clips and votes may be absent.

    Args:
        path: JSON Lines.
        title: of the set, for messages.
        source: its name, for the items.
        licence: of its annotations.
        kind: key of the kind of query, where the set has kinds.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for place, entry in read_jsonl(path):
        need(entry, ("qid", "query", "vid", "duration"), place, title)
        need(entry, ("relevant_windows",), place, f"{title} with truth")
        spans = pairs(entry["relevant_windows"], f"{place}: relevant_windows")
        extra: dict[str, Any] = {}
        for key in ("relevant_clip_ids", "saliency_scores"):
            if key in entry:
                extra[key] = listing(entry[key], f"{place}: {key}")
        if len(extra) == 2 and len(extra["relevant_clip_ids"]) != len(extra["saliency_scores"]):
            raise RecordError(
                f"{place} has {len(extra['relevant_clip_ids'])} clips but {len(extra['saliency_scores'])} votes: "
                "fetch the released file again"
            )
        line = int(place.rsplit(" ", 1)[1])
        name = str(entry["qid"])
        if name in lines:
            raise RecordError(f"{place} has the qid {name} of line {lines[name]} again: remove one of them")
        lines[name] = line
        fault = fault_of(spans)
        items.append(
            Item(
                name,
                text(entry["vid"], f"{place}: vid"),
                text(entry["query"], f"{place}: query"),
                span_array(spans),
                duration=number(entry["duration"], f"{place}: duration"),
                status="invalid" if fault else "valid",
                fault=fault,
                type=entry.get(kind),
                split=next((s for s in ("train", "val", "test") if s in path.stem), None),
                source=source,
                licence=licence,
                provenance={"file": path.name, "line": line},
                extra=extra,
            )
        )
    return items


BENCHMARK = Benchmark(
    name="qvhighlights",
    title=TITLE,
    task="highlights",
    read=read,
    protocol="qvhighlights",
    files="highlight_val_release.jsonl (or _train_release, _test_with_gt)",
    source="arXiv 2107.09609; jayleicn/moment_detr@b7e553a",
    licence="CC BY-NC-SA 4.0",
    standing="released file",
)
