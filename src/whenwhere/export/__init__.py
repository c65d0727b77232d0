"""Answers as files: one small module for each format, all of them reading the same record.

`EXPORTERS[name].write(record, info, path)` writes one answer and returns the files it made. What holds for all of them:

- times are seconds from the first displayed frame; what is played beside a video (subtitles, and the video written
  again) keeps the clock of players, which count from the sound if it begins earlier (`VideoInfo.delay`);
- frame numbers are indices into `VideoInfo.times` and appear only in formats that demand them;
- boxes are pixels of the displayed frame; formats with a box for every frame use `record.filled` where it is present
  and the linear fill otherwise (`frames.frame_boxes`);
- an answer without spans (`absent`, `unsure`, `failed`) gives a valid file that holds nothing, with the reason where
  the format has room for a remark. `mp4` and `clip` then write no file: there is nothing to show or to cut out;
- a sentence may hold any character; each format escapes it in its own way and says how.

There are no readers of these formats here: datasets need them, answers do not.
"""

import os

from whenwhere.errors import OutputError
from whenwhere.export import clip, coco, csv, cvat, json, mot, mp4, page, srt, vtt
from whenwhere.export.exporter import Exporter as Exporter

#: All formats in which an answer can be written, by name.
EXPORTERS: dict[str, Exporter] = {
    module.EXPORTER.name: module.EXPORTER for module in (json, csv, srt, vtt, mot, coco, cvat, mp4, clip, page)
}


def format_of(path: str | os.PathLike[str]) -> str:
    """The name of the exporter that a file name's ending asks for.

    Raises:
        OutputError: No exporter has this ending; the message lists the endings.

    >>> format_of("out.clip.mp4"), format_of("out.mp4"), format_of("a.b/out.json")
    ('clip', 'mp4', 'json')
    """
    name = os.path.basename(os.fspath(path)).lower()
    for exporter in sorted(EXPORTERS.values(), key=lambda exporter: -len(exporter.ending)):
        if name.endswith(exporter.ending):
            return exporter.name
    endings = ", ".join(exporter.ending for exporter in EXPORTERS.values())
    raise OutputError(f"cannot tell the format of {name!r} by its ending; use one of {endings}")
