"""WebVTT subtitles: each span shows the sentence, with its score below.

`&`, `<` and `>` are escaped as the format says, which also keeps "-->" out of it, and the sentence is put on one line.
An answer without spans gives a file without cues and a NOTE with the status. Times are those of a player's clock, which
begins with the sound if the sound begins before the picture.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.export.words import format_number, single_line, subtitle_time
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def render(record: "Grounding", delay: float = 0.0) -> str:
    r"""The WebVTT subtitles of an answer.

    Args:
        record: The answer.
        delay: Seconds that a player's clock shows at the first displayed frame.

    >>> from whenwhere.records import Grounding
    >>> render(Grounding(id="a", query="a <b>dog", status="absent"))
    'WEBVTT\n\nNOTE absent: a &lt;b&gt;dog\n'
    """
    sentence = single_line(record.query).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    blocks = [
        f"{i}\n{subtitle_time(s.start + delay)} --> {subtitle_time(s.end + delay)}\n{sentence}"
        + (f"\nscore {format_number(s.score)}" if s.score is not None else "")
        for i, s in enumerate(record.spans, 1)
    ]
    return "\n\n".join(["WEBVTT", *(blocks or [f"NOTE {record.status}: {sentence}"])]) + "\n"


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as WebVTT subtitles."""
    return [write_text(path, render(record, info.delay))]


EXPORTER = Exporter("vtt", ".vtt", write)
