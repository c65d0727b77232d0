"""MOTChallenge text: `frame,id,left,top,width,height,conf,-1,-1,-1`, one line for each frame and tube.

Frames, ids and pixels count from 1, as the MOTChallenge kit defines them: frame 1 is the first displayed one, and the
upper left corner of the frame, which is 0 here, is 1 there. Widths and heights are the same in both. Frames are
numbered by their order in the video, so the file of a video with a variable frame rate is read together with the
record's times. `conf` is the tube's score, or 1 if it has none. An answer without boxes gives an empty file. The
format has no place for the sentence.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.export.exporter import Exporter
from whenwhere.export.frames import frame_boxes
from whenwhere.export.words import format_number
from whenwhere.store import write_text

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo


def render(record: "Grounding", info: "VideoInfo") -> str:
    """The MOTChallenge lines of an answer, sorted by frame and then by id."""
    rows = []
    for n, on in enumerate(frame_boxes(record, info), 1):
        score = 1.0 if on.tube.score is None else on.tube.score
        for frame in on.present.tolist():
            x1, y1, x2, y2 = on.boxes[frame].tolist()
            values = ",".join(map(format_number, (x1 + 1, y1 + 1, x2 - x1, y2 - y1, score)))
            rows.append((frame + 1, n, f"{frame + 1},{n},{values},-1,-1,-1\n"))
    return "".join(line for *_, line in sorted(rows))


def write(record: "Grounding", info: "VideoInfo", path: Path) -> list[Path]:
    """Write an answer as MOTChallenge text."""
    return [write_text(path, render(record, info))]


EXPORTER = Exporter("mot", ".mot.txt", write, needs_frames=True)
