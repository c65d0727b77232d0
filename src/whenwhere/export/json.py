"""The record itself: everything else can be made from it.

One JSON object, one line per field of the record, so that a person finds their way and a diff is short. The same
record on a single line is what JSON Lines files hold (`Grounding.to_json`).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def text(record: "Grounding") -> str:
    r"""The file's content.

    >>> from whenwhere.records import Grounding
    >>> text(Grounding(id="a", query="a dog", status="absent")).splitlines()[:3]
    ['{', '"version": 1,', '"id": "a",']
    """
    fields = record.model_dump(mode="json")
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in fields.items()]
    # Some editors and readers break lines at these two as well.
    return ("{\n" + ",\n".join(lines) + "\n}\n").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write one answer."""
    return [write_text(path, text(record))]
