"""Finding the file that a release means by a video's name.

Releases name a video by its id (`3MSZA`), with an ending (`s30-d52.avi`, which may have become another one when the
video was converted), or with a path. `VideoFolder.find` looks for that name in the folder of the videos, and then for
a path from the set's own folder, because that is how manifests name videos. Wherever a folder of videos is given
(`data convert`, `data validate`, recipes), it means this.
"""

import os
import re
from pathlib import Path

from whenwhere.datasets.item import Item
from whenwhere.spans import Span

#: Endings of files that are taken for videos.
VIDEOS = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
        *(".ts", ".m2ts", ".mts", ".wmv", ".flv", ".ogv", ".3gp"),
    }
)


def is_address(source: str) -> bool:
    """Whether the name of a video is an address on the network.

    >>> is_address("HTTPS://host/a.mp4"), is_address("http/a.mp4")
    (True, False)
    """
    return re.match(r"https?://", source, re.IGNORECASE) is not None


class VideoFolder:
    """A folder of videos. Each folder below it is listed only once, so that looking up a million names is quick.

    Args:
        folder: The folder that holds the videos.
        annotations: The set's file or folder, from which a name may be a path. None looks in `folder` alone.
    """

    def __init__(self, folder: Path, annotations: Path | None = None) -> None:
        self.folder = folder
        self._folders = [folder]
        if annotations is not None:
            self._folders.append(annotations if annotations.is_dir() else annotations.parent)
        self._listed: dict[Path, tuple[frozenset[str], dict[str, str]]] = {}

    def find(self, name: str) -> Path | None:
        """The file of a video, or None if there is no such file.

        Args:
            name: Name of the video in the release: an id, a file name, or a path relative to the folder. It is looked
                for as it is, then with a video ending added, then with its video ending replaced by another.
        """
        return next((path for folder in self._folders if (path := self._find(folder / name)) is not None), None)

    def find_item(self, item: Item) -> Path | None:
        """The file of an item's video by any of its names, or None if there is no such file.

        Args:
            item: The item; `extra["names"]` may hold other names than `video`.
        """
        names = item.extra.get("names", [])
        found = (self.find(str(name)) for name in (item.video, *(names if isinstance(names, list) else ())))
        return next((path for path in found if path is not None), None)

    def _find(self, direct: Path) -> Path | None:
        """The file of this path, or the video that differs from it only in its ending."""
        files, endings = self._list(direct.parent)
        if direct.name in files:
            return direct
        stems = [direct.name, *([direct.stem] if direct.suffix.lower() in VIDEOS else [])]
        return next((direct.parent / (stem + endings[stem]) for stem in stems if stem in endings), None)

    def _list(self, folder: Path) -> tuple[frozenset[str], dict[str, str]]:
        """Names of the files of a folder, and the endings of its videos by what stands before them."""
        if folder not in self._listed:
            try:
                names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
            except OSError:
                names = []
            videos = [os.path.splitext(name) for name in names]
            self._listed[folder] = frozenset(names), {stem: end for stem, end in videos if end.lower() in VIDEOS}
        return self._listed[folder]


def find_clip(videos: VideoFolder, item: Item) -> tuple[Path, Span | None] | None:
    """The file of an item's clip, and the part of it that is the clip (None for the whole); None if there is no file.

    A file that holds the clip alone (`extra["cut"]`) comes first, then the video by any of its names. Of the video, the
    clip is the item's window, or else its first span.

    Args:
        videos: Folder of the videos.
        item: The item.
    """
    cut = item.extra.get("cut")
    if isinstance(cut, str) and (path := videos.find(cut)) is not None:
        return path, None
    if (path := videos.find_item(item)) is None:
        return None
    spans = [Span(float(a), float(b)) for a, b in item.spans if a < b]
    return path, item.window or (spans[0] if spans else None)
