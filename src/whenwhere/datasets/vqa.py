"""Visual question answering on any data: JSON Lines of `{"id", "answers": [...]}` with one answer per annotator."""

import json
from pathlib import Path

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError


def read(path: Path) -> list[Item]:
    """Items of a JSON Lines file of questions; `Item.extra["answers"]` holds the annotators' answers.

    Raises:
        RecordError: The file does not exist, or a line is not an object with `id` and `answers`; the message names file
            and line.
    """
    items = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as e:
        raise RecordError(f"{path} cannot be read: {e.strerror or e}") from e
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        good = isinstance(entry, dict) and "id" in entry and isinstance(entry.get("answers"), list)
        if not good:
            raise RecordError(f'{path}:{number}: this line is not an {{"id", "answers"}} object: write it again')
        id = str(entry["id"])
        said = [str(answer) for answer in entry["answers"]]
        items.append(Item(id, id, source="vqa", extra={"answers": said}, provenance={"line": number}))
    return items


BENCHMARK = Benchmark(
    name="vqa",
    title="Visual question answering",
    task="vqa",
    read=read,
    protocol="vqa",
    files='JSON Lines of {"id", "answers": [...]}',
    source="ours",
    licence="of the set",
    standing="from public code",
)
