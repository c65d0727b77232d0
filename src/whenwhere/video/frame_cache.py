"""Decoded frames on disk, by content: what is read again and again, as in the epochs of training, is decoded once.

    cache = FrameCache(ArrayCache(folder, limit=200 << 30))
    frames = cache.frames("clip.mp4", times, width=448)     # as `read_frames`; decoded only the first time
    video = cache.video("clip.mp4")                         # duration, size and frame times; probed only the first time
    frames = video.frames(times, width=448)

Frames are kept as uint8 and memory-mapped, so that only what is looked at takes memory. The key is the content of the
video (`content_key`), the requested times, the width, and the versions of the reader and of FFmpeg; a video's name is
no part of it. Without a store nothing is kept, and everything is probed and decoded each time.

One object serves one process; any number of processes may share its folder.
"""

import os
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.array_cache import ArrayCache, ArrayEntry
from whenwhere.errors import MediaError, QueryError
from whenwhere.video.content import content_key
from whenwhere.video.info import SLACK, VideoInfo
from whenwhere.video.media import check_file, text_name
from whenwhere.video.picture import output_size
from whenwhere.video.probe import probe
from whenwhere.video.read import Frames, read_frames

#: Raised when the reader gives other frames or times than before for the same request.
READER_VERSION = 1


class FrameCache:
    """Videos and their frames, kept on disk.

    Args:
        store: Where they are kept. None keeps nothing.
        keeps_frames: Whether frames are kept. False keeps only what a probe found: durations, sizes and frame times.

    Attributes:
        store: As given.
        keeps_frames: As given.
        decodes: Number of requests for which frames were decoded by this object.
    """

    def __init__(self, store: ArrayCache | None = None, keeps_frames: bool = True) -> None:
        self.store, self.keeps_frames = store, keeps_frames and store is not None
        self.decodes = 0
        self._contents: dict[str, tuple[tuple[int, ...], str]] = {}

    def frames(self, path: str | os.PathLike[str], times: ArrayLike, width: int | None = None) -> Frames:
        """The frames of a video at the requested times; see `read_frames`.

        Args:
            path: The video.
            times: (n,) seconds, in any order, repeats allowed.
            width: Width of the images in pixels; None keeps the displayed width.

        Raises:
            MediaError: The video cannot be read, or none of the requested frames can be decoded.
            QueryError: A time is not finite.
            SettingError: The width is out of range.
        """
        return self.video(path).frames(times, width)

    def video(self, path: str | os.PathLike[str]) -> "CachedVideo":
        """A video, probed only if its content is not known.

        Args:
            path: The video.

        Raises:
            MediaError: It cannot be read.
        """
        name = text_name(path)
        if self.store is None:
            info = probe(name)
            return _video(self, name, "", _entry(info), info)
        content = self.content(name)
        key = self.store.key("video", READER_VERSION, av.__version__, content)
        found = self.store.read(key)
        if found is not None:
            return _video(self, name, content, found)
        info = probe(name)
        found = _entry(info)
        if self.content(name) == content:
            self.store.write(key, found.arrays, found.about)
        return _video(self, name, content, found, info)

    def content(self, path: str) -> str:
        """The hash of a video's content (`content_key`), which is not read again while its file stays unchanged.

        Args:
            path: The video.

        Raises:
            MediaError: It cannot be read.
        """
        check_file(path)
        state = os.stat(path)
        seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        known = self._contents.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        try:
            content = content_key(path)
        except OSError as e:
            raise MediaError(f"{path} cannot be read ({e.strerror or e}): check the path") from e
        self._contents[path] = seen, content
        return content


@dataclass(frozen=True, eq=False)
class CachedVideo:
    """A video of a cache.

    Attributes:
        path: The file.
        content: Hash of its content. Empty where nothing is kept.
        duration: Seconds from the first displayed frame to the end of the last one, measured.
        width: Displayed width in pixels.
        height: Displayed height in pixels.
        fps: Frames per second; the mean if the rate varies.
        warnings: Sentences about what the probe found.
        frame_times: (n,) seconds of all displayed frames, increasing, the first 0.
    """

    path: str
    content: str
    duration: float
    width: int
    height: int
    fps: float
    warnings: tuple[str, ...]
    frame_times: NDArray[np.float64] = field(repr=False)
    _cache: FrameCache = field(repr=False)
    _info: VideoInfo | None = field(repr=False, default=None)

    def shown(self, times: ArrayLike) -> NDArray[np.float64]:
        """Times of the frames that a player shows at some times, shape (n,), in seconds; nothing is decoded.

        Args:
            times: (n,) seconds.

        Raises:
            QueryError: A time is not finite.
        """
        wanted = np.asarray(times, float).reshape(-1)
        if not np.isfinite(wanted).all():
            raise QueryError("a requested time is not a finite number of seconds")
        index = np.maximum(np.searchsorted(self.frame_times, wanted + SLACK, side="right") - 1, 0)
        shown: NDArray[np.float64] = self.frame_times[index]
        return shown

    def shape(self, times: ArrayLike, width: int | None = None) -> tuple[int, int, int, int]:
        """Shape of the images that `frames` gives, (n, h, w, 3); nothing is decoded.

        Args:
            times: (n,) seconds.
            width: Width of the images in pixels; None keeps the displayed width.

        Raises:
            SettingError: The width is out of range.
        """
        across, down = output_size(self, width)
        return np.asarray(times).size, down, across, 3

    def key(self, times: ArrayLike, width: int | None = None) -> str:
        """What the frames at some times depend on, as a text for cache keys. Empty where nothing is kept.

        Args:
            times: (n,) seconds.
            width: Width of the images in pixels; None keeps the displayed width.
        """
        store = self._cache.store
        if store is None:
            return ""
        wanted = np.asarray(times, float).reshape(-1).tolist()
        return store.key("frames", READER_VERSION, av.__version__, self.content, width, wanted)

    def frames(self, times: ArrayLike, width: int | None = None, threads: int | None = None) -> Frames:
        """The frames at the requested times; see `read_frames`.

        Args:
            times: (n,) seconds, in any order, repeats allowed.
            width: Width of the images in pixels; None keeps the displayed width.
            threads: Threads for decoding; None uses all cores.

        Raises:
            MediaError: None of the requested frames can be decoded.
            QueryError: A time is not finite.
            SettingError: The width is out of range.
        """
        cache = self._cache
        shown = self.shown(times)
        wanted = np.asarray(times, float).reshape(-1)
        key = self.key(times, width)
        if cache.store is not None and cache.keeps_frames and (entry := cache.store.read(key)) is not None:
            return Frames(entry.arrays["images"], shown, wanted, tuple(entry.about["warnings"]))
        cache.decodes += 1
        found = read_frames(self._info or probe(self.path), wanted, width, threads)
        # a file that was replaced in the meantime has other frames
        if cache.store is not None and cache.keeps_frames and cache.content(self.path) == self.content:
            cache.store.write(key, {"images": found.images}, {"warnings": list(found.warnings)})
        return found


def _entry(info: VideoInfo) -> ArrayEntry:
    """What a probe found that is needed without decoding."""
    about: dict[str, Any] = {
        "duration": info.duration, "width": info.width, "height": info.height, "fps": info.fps,
        "warnings": list(info.warnings),
    }  # fmt: skip
    return ArrayEntry({"times": info.times}, about)


def _video(cache: FrameCache, path: str, content: str, entry: ArrayEntry, info: VideoInfo | None = None) -> CachedVideo:
    about = entry.about
    return CachedVideo(
        path, content, about["duration"], about["width"], about["height"], about["fps"], tuple(about["warnings"]),
        entry.arrays["times"], cache, info,
    )  # fmt: skip
