"""The video with the boxes drawn in, as H.264 that browsers play, with the original sound.

An answer without boxes gives no file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.export.frames import frame_boxes
from whenwhere.export.words import single_line

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write the video with the boxes of an answer drawn in; without boxes, no file is written."""
    from whenwhere.video import write_overlay

    drawn = [on for on in frame_boxes(record, info) if len(on.present)]
    if not drawn:
        return []
    boxes = {on.tube.id: (info.times[on.present], on.boxes[on.present]) for on in drawn}
    said = write_overlay(info, boxes, path, {on.tube.id: single_line(on.tube.label) for on in drawn if on.tube.label})
    record.warnings += [warning for warning in said if warning not in record.warnings]
    return [path]


EXPORTER = Exporter("mp4", ".mp4", write, needs_frames=True)
