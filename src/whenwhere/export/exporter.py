"""What the rest of the program knows about a way to write an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


@dataclass(frozen=True)
class Exporter:
    """One format in which answers can be written.

    Attributes:
        name: What `--export` calls it.
        ending: How its files' names end, such as `.coco.json`.
        write: Writes one answer about a video to a path and returns the files it made, which may be none.
        needs_frames: Whether it shows a box on every frame, so that a fill that looks at the pixels is worth making
            before it is written.
        per_video: Whether one file shows all answers of a video; a batch then writes it once and not for each answer.
    """

    name: str
    ending: str
    write: Callable[["Grounding", "VideoInfo", Path], list[Path]]
    needs_frames: bool = False
    per_video: bool = False
