"""Measuring every video of a manifest: length, picture, content, and whether it can be read at all.

    with open_engine("local") as engine:
        report = measure(Path("corpus.parquet"), Path("measured"), engine, videos=Path("clips"))

Each row is written again with `extra.measured`. A duration and a size of picture that the manifest does not state are
filled in; what it states stays, because `data curate` compares the two. Rows whose video is missing or cannot be read
become invalid, with the reason. So curation and training need not open a video to know of it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from whenwhere.curate.item_sets import moved
from whenwhere.curate.shards import ROWS, ShardForm, ShardReport, VideoRows, run_shards, video_folder
from whenwhere.datasets.item import Item
from whenwhere.datasets.videos import is_address
from whenwhere.engine import Engine
from whenwhere.errors import MediaError
from whenwhere.store import content_hash

#: Key of an item's `extra` for what was measured.
MEASURED = "measured"


def measure(
    given: Path,
    out: Path,
    engine: Engine,
    *,
    videos: Path | None = None,
    form: ShardForm = "parquet",
    rows: int = ROWS,
    tell: Callable[[int, int], None] | None = None,
) -> ShardReport:
    """Measure the videos of a manifest, and write it again in shards; the arguments and errors of `run_shards`."""
    make = partial(VideoMeasurer, videos, given, out)
    about = json.dumps(["measure", None if videos is None else os.path.abspath(videos)])
    return run_shards(given, out, make, engine, videos=videos, about=about, form=form, rows=rows, tell=tell)


class VideoMeasurer:
    """Measures videos, in a worker.

    Args:
        videos: Folder of the videos. None takes the manifest's own folder.
        given: The manifest.
        out: Folder of the new manifest, from which paths of videos will count.
    """

    def __init__(self, videos: Path | None, given: Path, out: Path) -> None:
        self._folder, self._out = video_folder(videos, given), out

    def __call__(self, rows: VideoRows) -> list[Item]:
        """The items of one video with what was measured.

        Raises:
            MediaError: The video is missing or cannot be read.
        """
        name = rows.items[0].video
        path = None if is_address(name) else self._folder.find_item(rows.items[0])
        if path is None:
            if is_address(name):
                # it may be right, and is not fetched to find out
                return rows.items
            raise MediaError(f"no file for the video {name!r}: correct its path, or name the folder of the videos")
        seen = measured(path)
        return [moved(_filled(item, seen), path, self._out) for item in rows.items]


def measured(path: Path) -> dict[str, Any]:
    """What there is to know of a video without looking at its pictures, as JSON values.

    Raises:
        MediaError: It cannot be read.
    """
    from whenwhere.video import probe

    info = probe(path)
    try:
        content = content_hash(path)
    except OSError as e:
        raise MediaError(f"{path} cannot be read ({e.strerror or e}): check the path") from e
    return {
        "duration": round(info.duration, 6), "frames": len(info.times), "fps": round(info.fps, 6), "vfr": info.vfr,
        "width": info.width, "height": info.height, "bytes": info.size, "content": content,
        "warnings": list(info.warnings),
    }  # fmt: skip


def _filled(item: Item, seen: dict[str, Any]) -> Item:
    size = {} if item.width and item.height else {"width": seen["width"], "height": seen["height"]}
    # with a window, the duration may be the window's
    length = {} if item.duration is not None or item.window is not None else {"duration": seen["duration"]}
    return replace(item, extra=item.extra | {MEASURED: seen}, **size, **length)
