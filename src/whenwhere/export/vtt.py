"""WebVTT subtitles: each span shows the sentence, and its score below it.

`&`, `<` and `>` are escaped as the format says, and the sentence is put on one line. Why there is no cue stands in a
NOTE, in which "-->" may not occur. Times count from the first displayed frame, as a player's clock does.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.words import clock, number, one_line
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def text(record: "Grounding") -> str:
    r"""The file's content.

    >>> from whenwhere.records import Grounding
    >>> text(Grounding(id="a", query="a <b>dog", status="absent"))
    'WEBVTT\n\nNOTE absent: a &lt;b&gt;dog\n'
    """
    sentence = one_line(record.query).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    blocks = [
        f"{i}\n{clock(s.start)} --> {clock(s.end)}\n{sentence}"
        + (f"\nscore {number(s.score)}" if s.score is not None else "")
        for i, s in enumerate(record.spans, 1)
    ]
    return "\n\n".join(["WEBVTT", *(blocks or [f"NOTE {record.status}: {sentence}"])]) + "\n"


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write one answer."""
    return [write_text(path, text(record))]
