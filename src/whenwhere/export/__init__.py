"""Answers as files: one small module per format, all reading the same record.

`FORMATS[name](record, info, path)` writes one answer and returns the files it made; `page.write_page` makes the one
page of a video. What holds for all of them:

- times are seconds from the first displayed frame, which is what players show; frame numbers are indices into
  `VideoInfo.times` and appear only in formats that demand them;
- boxes are pixels of the displayed frame; formats with a box for every frame use `record.filled` where it is present
  and the linear fill otherwise (`frames.frame_boxes`);
- an answer without spans (`absent`, `unsure`, `failed`) gives a valid file that holds nothing, and where the format
  has room for a remark, the reason. `mp4` and `clip` then write no file: there is nothing to show or to cut out;
- a sentence may hold anything; each format escapes it in its own way and says how.

Readers of these formats are left out: they are wanted by datasets, not by answers.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.errors import OutputError
from whenwhere.export import clip, coco, csv, cvat, json, mot, mp4, srt, vtt

if TYPE_CHECKING:
    from whenwhere.records import Grounding
    from whenwhere.video import VideoInfo

Writer = Callable[["Grounding", "VideoInfo", Path], list[Path]]

#: What one answer can be written as; `html` is made once per video by `page.write_page`.
FORMATS: Mapping[str, Writer] = {
    "json": json.write,
    "csv": csv.write,
    "srt": srt.write,
    "vtt": vtt.write,
    "mot": mot.write,
    "coco": coco.write,
    "cvat": cvat.write,
    "mp4": mp4.write,
    "clip": clip.write,
}

#: Formats that show a box on every frame: worth a fill that looks at the pixels beforehand.
NEEDS_FRAMES = frozenset({"mot", "coco", "cvat", "mp4", "html"})

#: How the files' names end.
ENDINGS: Mapping[str, str] = {
    "json": ".json",
    "csv": ".csv",
    "srt": ".srt",
    "vtt": ".vtt",
    "mot": ".mot.txt",
    "coco": ".coco.json",
    "cvat": ".cvat.xml",
    "mp4": ".mp4",
    "clip": ".clip.mp4",
    "html": ".html",
}


def format_of(path: str | os.PathLike[str]) -> str:
    """The export that a file name's ending asks for.

    Raises:
        OutputError: none does; lists the endings.

    >>> format_of("out.clip.mp4"), format_of("out.mp4"), format_of("a.b/out.json")
    ('clip', 'mp4', 'json')
    """
    name = os.path.basename(os.fspath(path)).lower()
    for export, ending in sorted(ENDINGS.items(), key=lambda item: -len(item[1])):
        if name.endswith(ending):
            return export
    raise OutputError(f"cannot tell the format of {name!r} by its ending; use one of {', '.join(ENDINGS.values())}")
