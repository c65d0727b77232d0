"""SubRip subtitles: each span shows the sentence, and its score below it.

SubRip has neither escapes nor comments, and players take `<…>` and `{…}` for styling: angle brackets become ‹ ›,
curly ones ( ), the arrow "-->" →, and everything is put on one line. An answer without spans is an empty file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.words import clock, number, one_line
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

_HARMLESS = str.maketrans("<>{}", "‹›()")


def text(record: "Grounding") -> str:
    """The file's content.

    >>> from whenwhere.records import Grounding, SpanRecord
    >>> g = Grounding(id="a", query="a <b>dog", status="answered", spans=[SpanRecord(start=1, end=2.5, score=0.8)])
    >>> print(text(g))
    1
    00:00:01,000 --> 00:00:02,500
    a ‹b›dog
    score 0.8
    """
    sentence = one_line(record.query).replace("-->", "→").translate(_HARMLESS)
    return "\n".join(
        f"{i}\n{clock(s.start, ',')} --> {clock(s.end, ',')}\n{sentence}\n"
        + (f"score {number(s.score)}\n" if s.score is not None else "")
        for i, s in enumerate(record.spans, 1)
    )


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write one answer."""
    return [write_text(path, text(record))]
