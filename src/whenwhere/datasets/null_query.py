"""Data sets with queries whose event is not in the video: Soccer-GMR, Charades-STA-RF, ActivityNet-RF and others.

Two formats are read:

- JSON Lines as in QVHighlights, where `relevant_windows` may be empty (Soccer-GMR, and copies of NA-VMR's adaptations
  of QVHighlights and Charades-STA). An `action_type` becomes `Item.type`;
- JSON, video → `duration`, `sts`: a list of `sentence`, `id`, `timestamp` ([] where nothing is there), `no_answer`
  (Charades-STA-RF, ActivityNet-RF).

An item without spans is a valid item whose truth is the empty set.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.qvhighlights import read_windows
from whenwhere.datasets.release import fault_of, listing, mapping, need, pair, positive, read_json, text
from whenwhere.errors import RecordError


def read(path: Path) -> list[Item]:
    """Items of either format, told apart by the file's ending.

    Ids are the qid as text (JSON Lines), or `<video>#<n>` with n from 0 (JSON).

    Raises:
        RecordError: The file has neither format, or `no_answer` and `timestamp` of an entry contradict each other; the
            message names the line or video.
    """
    if path.suffix == ".jsonl":
        return read_windows(path, "null-query", "null-query", BENCHMARK.licence, kind="action_type")
    items = []
    for video, value in mapping(read_json(path), str(path)).items():
        place = f"{path}, {video}"
        entry = mapping(value, place)
        need(entry, ("sts", "duration"), place, "relevance feedback (RF)")
        duration = positive(entry["duration"], f"{place}: duration")
        for n, asked in enumerate(listing(entry["sts"], f"{place}: sts")):
            here = f"{place}: sts[{n}]"
            asked = mapping(asked, here)
            need(asked, ("sentence", "timestamp", "no_answer"), here, "relevance feedback (RF)")
            times = listing(asked["timestamp"], f"{here}: timestamp")
            if bool(times) == bool(asked["no_answer"]):
                raise RecordError(f"{here} has no_answer {asked['no_answer']!r} but timestamp {times}: mend that entry")
            spans = [pair(times, f"{here}: timestamp")] if times else []
            fault = fault_of(spans)
            items.append(
                Item(
                    f"{video}#{n}",
                    video,
                    text(asked["sentence"], f"{here}: sentence").strip(),
                    span_array(spans),
                    duration=duration,
                    status="invalid" if fault else "valid",
                    fault=fault,
                    split=next((s for s in ("train", "val", "test") if s in path.stem), None),
                    source="null-query",
                    licence=BENCHMARK.licence,
                    provenance={"file": path.name, "key": video, "index": n},
                    extra={"id": asked["id"]} if "id" in asked else {},
                )
            )
    return items


BENCHMARK = Benchmark(
    name="null-query",
    title="Null queries (Soccer-GMR, Charades-STA-RF, ActivityNet-RF)",
    task="spans",
    read=read,
    protocol="absence",
    files="test.jsonl of Soccer-GMR, or charades_sta_test2.0.json / activitynet_test2.0.json of the RF sets",
    source="arXiv 2605.02623, dymm9977/generalized-moment-retrieval@922515c; HuiGuanLab/RaTSG@c747877",
    licence="by set; Soccer-GMR asks for an agreement",
    standing="released file",
)
