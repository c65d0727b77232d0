"""QVHighlights: several moments for one sentence, and how salient every two-second clip is.

Released as JSON Lines: `qid`, `query`, `duration`, `vid`, and (not in the unlabelled test file) `relevant_windows` in
seconds, `relevant_clip_ids`, `saliency_scores` of three annotators per relevant clip, 0-4. The clips and votes go to
`Item.extra` as they are: only the highlight protocol needs them.
"""

from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, filled, listing, name, need, pairs, positive, read_jsonl, text
from whenwhere.errors import RecordError

TITLE = "QVHighlights"
#: Length of a clip in seconds.
CLIP = 2
VOTERS = 3
#: The highest vote.
BEST = 4


def read(path: Path) -> list[Item]:
    """Items of `highlight_val_release.jsonl` or `highlight_train_release.jsonl`; ids are the qid as text.

    Raises:
        RecordError: The file is not that release, has no truth (the test split), or a line is cut off; the message
            names the line.
    """
    return read_windows(path, TITLE, "qvhighlights", BENCHMARK.licence)


def read_windows(path: Path, title: str, source: str, licence: str, kind: str = "") -> list[Item]:
    """Items of any data set that is released in the form of QVHighlights; clips and votes may be missing.

    Args:
        path: The JSON Lines file.
        title: Title of the data set, for error messages.
        source: Name of the data set, for `Item.source`.
        licence: Licence of the annotations, for `Item.licence`.
        kind: Key whose value becomes `Item.type`. Empty if the data set has no kinds of queries.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for place, entry in read_jsonl(path):
        need(entry, ("qid", "query", "vid", "duration"), place, title)
        need(entry, ("relevant_windows",), place, f"{title} with truth")
        duration = positive(entry["duration"], f"{place}: duration")
        spans = pairs(entry["relevant_windows"], f"{place}: relevant_windows")
        line = int(place.rsplit(" ", 1)[1])
        qid = name(entry["qid"], f"{place}: qid")
        if qid in lines:
            raise RecordError(f"{place} has the qid {qid} of line {lines[qid]} again: remove one of them")
        lines[qid] = line
        fault = fault_of(spans)
        items.append(
            Item(
                qid,
                filled(entry["vid"], f"{place}: vid"),
                text(entry["query"], f"{place}: query"),
                span_array(spans),
                duration=duration,
                status="invalid" if fault else "valid",
                fault=fault,
                type=text(entry[kind], f"{place}: {kind}") if kind in entry else None,
                split=next((s for s in ("train", "val", "test") if s in path.stem), None),
                source=source,
                licence=licence,
                provenance={"file": path.name, "line": line},
                extra=_votes(entry, duration, place),
            )
        )
    return items


def _votes(entry: dict[str, Any], duration: float, place: str) -> dict[str, Any]:
    """The relevant clips and the three annotators' saliency votes for each of them; empty if the file has none."""
    extra: dict[str, Any] = {
        k: listing(entry[k], f"{place}: {k}") for k in ("relevant_clip_ids", "saliency_scores") if k in entry
    }
    clips, votes = extra.get("relevant_clip_ids", []), extra.get("saliency_scores")
    if not all(type(c) is int and 0 <= c < int(duration / CLIP) for c in clips):
        raise RecordError(
            f"{place}: relevant_clip_ids has a clip that the video has not: fetch the released file again"
        )
    if votes is not None:
        if len(votes) != len(clips):
            raise RecordError(f"{place} has {len(clips)} clips but {len(votes)} votes: fetch the released file again")
        for vote in votes:
            if not isinstance(vote, list) or len(vote) != VOTERS or any(v not in range(BEST + 1) for v in vote):
                raise RecordError(
                    f"{place}: saliency_scores has {vote!r}, not three votes of 0-{BEST}; mend that entry"
                )
    return extra


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
