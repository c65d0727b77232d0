"""NExT-GQA: multiple-choice questions about home videos, and the moments where the answer can be seen.

Released in two files that belong together: `gsub_val.json`, video → `duration`, `fps`, `location` (question id → any
number of [start, end]), and `val.csv` with the questions, five options and the right one as text. Any one of the
moments is a sufficient answer, so `Item.spans` are alternatives. Both files must hold the same questions: an entry of
`gsub_val.json` whose question is not in `val.csv` is an error.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item, span_array
from whenwhere.datasets.release import fault_of, mapping, need, pairs, positive, read_json, read_text
from whenwhere.errors import RecordError
from whenwhere.readers import parse_table

_OPTIONS = ("a0", "a1", "a2", "a3", "a4")
_COLUMNS = ("video_id", "qid", "question", "answer", "type", "frame_count", "width", "height", *_OPTIONS)


def read(path: Path) -> list[Item]:
    """Items of `gsub_val.json` or `gsub_test.json`; ids are `<video>_<qid>`.

    The table of questions, `val.csv` or `test.csv`, must be in the same folder.

    Raises:
        RecordError: The file is not that release, or the table is missing or is of another split; the message names
            the video or line.
    """
    split = path.stem.removeprefix("gsub_")
    table = path.parent / f"{split}.csv"
    questions = _questions(table)
    items = []
    for video, value in mapping(read_json(path), str(path)).items():
        place = f"{path}, {video}"
        entry = mapping(value, place)
        need(entry, ("duration", "location", "fps"), place, "NExT-GQA")
        duration, fps = positive(entry["duration"], f"{place}: duration"), positive(entry["fps"], f"{place}: fps")
        for qid, moments in mapping(entry["location"], f"{place}: location").items():
            row = questions.get((video, qid))
            if row is None:
                raise RecordError(f"{place} asks question {qid}, which {table} does not hold: take both of one split")
            spans = pairs(moments, f"{place}: location {qid}")
            fault = fault_of(spans)
            items.append(
                Item(
                    f"{video}_{qid}",
                    video,
                    row["question"],
                    span_array(spans),
                    duration=duration,
                    fps=fps,
                    frames=int(float(row["frame_count"])),
                    width=int(float(row["width"])),
                    height=int(float(row["height"])),
                    status="invalid" if fault else "valid",
                    fault=fault,
                    type=row["type"],
                    split=split,
                    source="next-gqa",
                    licence=BENCHMARK.licence,
                    options=[row[o] for o in _OPTIONS],
                    answer=row["answer"],
                    provenance={"file": path.name, "key": video, "qid": qid},
                )
            )
    return items


def _questions(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The rows of the table of questions by (video, question id)."""
    if not path.is_file():
        raise RecordError(f"{path} is missing: NExT-GQA's questions stand there; put it beside the moments' file")
    columns, rows = parse_table(read_text(path), str(path), remedy="fetch the released file again")
    need(dict.fromkeys(columns), _COLUMNS, str(path), "NExT-GQA")
    found = {}
    for line, row in rows:
        for column in ("frame_count", "width", "height"):
            positive(row[column], f"{path}, line {line}: {column}")
        found[row["video_id"], row["qid"]] = row
    return found


BENCHMARK = Benchmark(
    name="next-gqa",
    title="NExT-GQA",
    task="qa",
    read=read,
    protocol="next-gqa",
    files="gsub_test.json with test.csv beside it, or gsub_val.json with val.csv",
    source="arXiv 2309.01327; doc-doc/NExT-GQA@63772e0",
    licence="not stated",
    standing="released file",
)
