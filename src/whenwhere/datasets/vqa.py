"""Visual question answering on any data: JSON Lines of `{"id", "answers": [...]}` with one answer per annotator.

Lines may also name the `video`, the `question` and its `type`, which a model needs to answer and a score does not.
"""

from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.readers import parse_json, read_text


def read(path: Path) -> list[Item]:
    """Items of a JSON Lines file of questions; `Item.extra["answers"]` holds the annotators' answers.

    Raises:
        RecordError: The file does not exist, or a line is not an object with `id` and `answers`; the message names file
            and line.
    """
    items = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        entry = parse_json(line, f"{path}, line {number}", remedy="write that line again")
        good = isinstance(entry, dict) and "id" in entry and isinstance(entry.get("answers"), list)
        if not good:
            raise RecordError(f'{path}:{number}: this line is not an {{"id", "answers"}} object: write it again')
        id = str(entry["id"])
        said = [str(answer) for answer in entry["answers"]]
        told = {key: str(entry.get(key) or "") for key in ("video", "question", "type")}
        items.append(
            Item(
                id,
                told["video"] or id,
                told["question"],
                type=told["type"] or None,
                source="vqa",
                extra={"answers": said},
                provenance={"line": number},
            )
        )
    return items


BENCHMARK = Benchmark(
    name="vqa",
    title="Visual question answering",
    task="vqa",
    read=read,
    protocol="vqa",
    files='JSON Lines of {"id", "answers": [...]}, optional "video", "question" and "type"',
    source="ours",
    licence="of the set",
    standing="from public code",
)
