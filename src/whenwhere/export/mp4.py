"""The video with the boxes drawn in, for whoever has no use for data: H.264 that browsers play, original sound.

An answer without boxes writes nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.frames import frame_boxes

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write one answer; no file where there is nothing to draw."""
    from whenwhere.video import write_overlay

    boxes = {on.tube.id: (info.times[on.present], on.boxes[on.present]) for on in frame_boxes(record, info)}
    boxes = {name: drawn for name, drawn in boxes.items() if len(drawn[0])}
    if not boxes:
        return []
    write_overlay(info, boxes, path)
    return [path]
