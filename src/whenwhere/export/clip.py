"""The answered time cut out of the video, one file for each span, with its sound.

A clip begins and ends exactly at the span's frames, so it has to be encoded again. One span gives `name.clip.mp4`,
several give `name.1.clip.mp4`, `name.2.clip.mp4` …; an answer without spans gives no file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.spans import Span

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

_ENDING = ".clip.mp4"


def numbered_paths(path: Path, n: int) -> list[Path]:
    """The paths of n files, made from one path by putting a number before the ending where n is more than 1.

    >>> [p.name for p in numbered_paths(Path("01-a-dog.clip.mp4"), 2)]
    ['01-a-dog.1.clip.mp4', '01-a-dog.2.clip.mp4']
    >>> [p.name for p in numbered_paths(Path("dog.mp4"), 2)]
    ['dog.1.mp4', 'dog.2.mp4']
    """
    if n <= 1:
        return [path][:n]
    ending = _ENDING if path.name.endswith(_ENDING) else path.suffix
    return [path.with_name(f"{path.name.removesuffix(ending)}.{i}{ending}") for i in range(1, n + 1)]


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Cut the answered spans out of the video, and write one clip for each of them."""
    from whenwhere.video import write_clip

    spans = [Span(s.start, s.end, s.score) for s in record.spans]
    files = numbered_paths(path, len(spans))
    for span, file in zip(spans, files, strict=True):
        said = write_clip(info, span, file)
        record.warnings += [warning for warning in said if warning not in record.warnings]
    return files


EXPORTER = Exporter("clip", ".clip.mp4", write)
