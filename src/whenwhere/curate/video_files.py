"""Files of videos as curation sees them: is the file there, can it be read, how long is it, is it a copy of another?

Two files are copies if their bytes are equal, or if they are equally long (within 0.1 s or 1 %) and look alike: at
eight moments, evenly apart, each frame is reduced to 64 bits (does each cell of an 8 × 9 picture become brighter to the
right? "dHash"), and on average at most 6 of the 64 bits differ. Scaling and compression change a few bits, other
content about half of them. Pictures without any contrast have no bits worth comparing and are never copies.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.videos import VideoFolder, is_address
from whenwhere.engine import Engine, by_cost
from whenwhere.errors import WhenwhereError
from whenwhere.store import Cache, content_hash

#: Moments of a video at which frames are compared.
MOMENTS = 8
#: Bits of 64 that may differ, on average over the moments.
DIFFERENT = 6.0
#: Shares of frames whose cells are all alike from which a video is not compared.
_FLAT = 0.5


@dataclass(frozen=True, eq=False)
class VideoFile:
    """What was found at the name of a video.

    Attributes:
        path: The file; None if there is none.
        fault: Why the video cannot be used; None if it can.
        duration: Length in seconds, measured from the frames.
        content: Hash of the file's bytes.
        look: 64 bits for each of `MOMENTS` frames, shape (MOMENTS, 64); None if frames were not read.
    """

    path: Path | None = None
    fault: str | None = None
    duration: float | None = None
    content: str | None = None
    look: NDArray[np.bool_] | None = None


def are_copies(a: VideoFile, b: VideoFile) -> bool:
    """Whether two files hold the same video, see above."""
    if a.content is not None and a.content == b.content:
        return True
    if a.look is None or b.look is None or a.duration is None or b.duration is None:
        return False
    if abs(a.duration - b.duration) > max(0.1, 0.01 * a.duration):
        return False
    if min(_contrast(a.look), _contrast(b.look)) < 1 - _FLAT:
        return False
    return float((a.look != b.look).sum(axis=1).mean()) <= DIFFERENT


def look_up(
    names: Iterable[str],
    folder: Path | None,
    annotations: Path | None = None,
    tell: Callable[[], None] | None = None,
    cache: Path | None = None,
    engine: Engine | None = None,
) -> dict[str, VideoFile]:
    """The file of each video: found, probed, and reduced to what copies are recognised by. One bad file stops nothing.

    Args:
        names: Names of videos, as a manifest has them.
        folder: Folder of the videos. None takes that of `annotations`.
        annotations: The manifest, from whose folder a name may be a path.
        tell: Called after each video.
        cache: Folder that keeps what was read of a video's frames; None is the user's cache folder.
        engine: Workers that read the files. None reads them in this process.
    """
    there = VideoFolder(folder or (annotations.parent if annotations else Path()), annotations)
    found: dict[str, VideoFile] = {}
    paths: dict[str, Path] = {}
    for name in dict.fromkeys(names):
        path = None if is_address(name) else there.find(name)
        # an address may be right, and is not fetched to find out
        found[name] = VideoFile(fault=None if is_address(name) else f"no file for the video {name!r}")
        if path is not None:
            paths[name] = path
        elif tell is not None:
            tell()
    for name, file in _read_all(paths, cache, engine):
        found[name] = file
        if tell is not None:
            tell()
    return found


def _read_all(paths: Mapping[str, Path], cache: Path | None, engine: Engine | None) -> Iterator[tuple[str, VideoFile]]:
    read = _FileReader(cache)
    if engine is None:
        yield from ((name, read(path)) for name, path in paths.items())
        return
    names: dict[Path, list[str]] = {}
    for name, path in paths.items():
        names.setdefault(path, []).append(name)
    files = list(names)
    for done in engine.run(partial(_FileReader, cache), (files[k] for k in by_cost([[str(p)] for p in files], engine))):
        if done.error is not None and not isinstance(done.error, WhenwhereError):
            raise done.error
        file = done.result or VideoFile(done.task, f"cannot be read: {done.error}")
        yield from ((name, file) for name in names[done.task])


class _FileReader:
    """Reads files of videos, in a worker or in this process."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = Cache(cache)

    def __call__(self, path: Path) -> VideoFile:
        return _read(path, self._cache)


def _read(path: Path, cache: Cache) -> VideoFile:
    try:
        content = content_hash(path)
        known = cache.arrays(cache.key("look", 1, MOMENTS, content), lambda: _look(path))
    except (WhenwhereError, OSError) as e:
        return VideoFile(path, f"cannot be read: {e}")
    return VideoFile(path, None, float(known["duration"]), content, known["look"])


def _look(path: Path) -> dict[str, NDArray[np.generic]]:
    import cv2

    from whenwhere.video import probe, read_frames

    info = probe(path)
    times = (np.arange(MOMENTS) + 0.5) / MOMENTS * info.duration
    images = read_frames(info, times, width=64).images
    rows = []
    for image in images:
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
        rows.append((np.diff(small.astype(int), axis=1) > 0).ravel())
    return {"duration": np.array(info.duration), "look": np.array(rows)}


def _contrast(look: NDArray[np.bool_]) -> float:
    """The share of frames that have any bits set, and not all of them."""
    return float((look.any(axis=1) & ~look.all(axis=1)).mean())
