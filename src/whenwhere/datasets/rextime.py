"""ReXTime: multiple-choice questions (four options) whose answer is seen at another time than the event they mention.

Two formats are released, and both are read: the ground truth of the evaluation, JSON Lines with `qid`, `vid`, `query`,
`duration`, `relevant_windows`, `ans` (a letter, without the options), and the data set itself, a JSON list with
`question`, `options`, `ans`, `span`, `category`. The truth of the test split is not public.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import (
    fault_of,
    filled,
    listing,
    mapping,
    name,
    need,
    pair,
    pairs,
    positive,
    read_json,
    read_jsonl,
    text,
)

_TITLE = "ReXTime"


def read(path: Path) -> list[Item]:
    """Items of `rextime_val.jsonl` or of `rextime_val.json` / `rextime_train.json`; ids are the qid as text.

    Raises:
        RecordError: The file is not that release, or is the test split, which has no truth; the message names the line
            or entry.
    """
    if path.suffix == ".jsonl":
        entries = list(read_jsonl(path))
    else:
        listed = enumerate(listing(read_json(path), str(path)))
        entries = [(f"{path}, entry {n}", mapping(value, f"{path}, entry {n}")) for n, value in listed]
    items = []
    for n, (place, entry) in enumerate(entries):
        question = "question" if "question" in entry else "query"
        truth = "span" if "span" in entry else "relevant_windows"
        need(entry, ("qid", "vid", question), place, _TITLE)
        need(entry, (truth, "ans"), place, f"{_TITLE} with truth")
        here = f"{place}: {truth}"
        spans = [pair(entry[truth], here)] if truth == "span" else pairs(entry[truth], here)
        fault = fault_of(spans)
        options = listing(entry.get("options", []), f"{place}: options")
        items.append(
            Item(
                name(entry["qid"], f"{place}: qid"),
                filled(entry["vid"], f"{place}: vid"),
                text(entry[question], f"{place}: {question}"),
                span_array(spans),
                duration=positive(entry["duration"], f"{place}: duration") if "duration" in entry else None,
                status="invalid" if fault else "valid",
                fault=fault,
                type=text(entry["category"], f"{place}: category") if "category" in entry else None,
                split=next((s for s in ("train", "val", "test") if s in path.stem), None),
                source="rextime",
                licence=BENCHMARK.licence,
                options=[text(o, f"{place}: options") for o in options],
                answer=text(entry["ans"], f"{place}: ans"),
                provenance={"file": path.name, "index": n},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="rextime",
    title=_TITLE,
    task="qa",
    read=read,
    protocol="rextime",
    files="rextime_val.jsonl (ground truth of the evaluation) or rextime_val.json (with the options)",
    source="arXiv 2406.19392; ReXTime/ReXTime@cb9f484",
    licence="CC BY-NC-SA 4.0",
    standing="released file",
)
