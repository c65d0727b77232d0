"""The record itself, from which everything else can be made.

The file is one JSON object with one line for each field of the record, so that a person finds their way in it and a
diff is short. JSON Lines files hold the same record on a single line (`Grounding.to_json`).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def render(record: "Grounding") -> str:
    r"""The JSON text of an answer, one line for each field.

    >>> from whenwhere.records import Grounding
    >>> render(Grounding(id="a", query="a dog", status="absent")).splitlines()[:3]
    ['{', '"version": 1,', '"id": "a",']
    """
    fields = record.model_dump(mode="json")
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in fields.items()]
    # Some editors and readers also break lines at these two characters.
    return ("{\n" + ",\n".join(lines) + "\n}\n").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as one JSON object."""
    return [write_text(path, render(record))]


EXPORTER = Exporter("json", ".json", write)
