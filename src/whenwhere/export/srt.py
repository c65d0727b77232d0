"""SubRip subtitles: each span shows the sentence, with its score below.

SubRip has neither escapes nor comments, and players take `<…>` and `{…}` for styling. So angle brackets become ‹ ›,
braces become ( ), the arrow "-->" becomes →, and the sentence is put on one line. An answer without spans gives an
empty file. Times are those of a player's clock, which begins with the sound if the sound begins before the picture.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.export.words import format_number, single_line, subtitle_time
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

_HARMLESS = str.maketrans("<>{}", "‹›()")


def render(record: "Grounding", delay: float = 0.0) -> str:
    """The SubRip subtitles of an answer.

    Args:
        record: The answer.
        delay: Seconds that a player's clock shows at the first displayed frame.

    >>> from whenwhere.records import Grounding, SpanRecord
    >>> g = Grounding(id="a", query="a <b>dog", status="answered", spans=[SpanRecord(start=1, end=2.5, score=0.8)])
    >>> print(render(g))
    1
    00:00:01,000 --> 00:00:02,500
    a ‹b›dog
    score 0.8
    """
    sentence = single_line(record.query).replace("-->", "→").translate(_HARMLESS)
    return "\n".join(
        f"{i}\n{subtitle_time(s.start + delay, ',')} --> {subtitle_time(s.end + delay, ',')}\n{sentence}\n"
        + (f"score {format_number(s.score)}\n" if s.score is not None else "")
        for i, s in enumerate(record.spans, 1)
    )


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as SubRip subtitles."""
    return [write_text(path, render(record, info.delay))]


EXPORTER = Exporter("srt", ".srt", write)
