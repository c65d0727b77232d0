"""The answered time cut out of the video, one file per span, sound included.

Cut exactly at the span's frames, which means encoded anew. One span gives `name.clip.mp4`, several give
`name.1.clip.mp4`, `name.2.clip.mp4` …; an answer without spans writes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.spans import Span

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

_ENDING = ".clip.mp4"


def paths(path: Path, n: int) -> list[Path]:
    """The names of n files made from one.

    >>> [p.name for p in paths(Path("01-a-dog.clip.mp4"), 2)]
    ['01-a-dog.1.clip.mp4', '01-a-dog.2.clip.mp4']
    >>> [p.name for p in paths(Path("dog.mp4"), 2)]
    ['dog.1.mp4', 'dog.2.mp4']
    """
    if n <= 1:
        return [path][:n]
    ending = _ENDING if path.name.endswith(_ENDING) else path.suffix
    return [path.with_name(f"{path.name.removesuffix(ending)}.{i}{ending}") for i in range(1, n + 1)]


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write one answer; no file where there is no span."""
    from whenwhere.video import write_clip

    spans = [Span(s.start, s.end, s.score) for s in record.spans]
    files = paths(path, len(spans))
    for span, file in zip(spans, files, strict=True):
        write_clip(info, span, file)
    return files
