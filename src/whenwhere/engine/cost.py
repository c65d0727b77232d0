"""Estimates what a video will cost to work on: its duration times the size of its picture.

Both are read from the file's header, which takes milliseconds. The cost decides only the order of the work.
"""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from whenwhere.datasets.videos import is_address
from whenwhere.engine.scheduler import Engine
from whenwhere.errors import WhenwhereError

#: Pixel-seconds in a byte of video as it is usually compressed (0.1 bit per pixel, 25 pictures per second), for files
#: whose header does not say how long they are.
_PER_BYTE = 8 / (0.1 * 25)
#: Number of videos whose headers are read in one task.
_CHUNK = 32


def video_cost(path: str) -> float:
    """Duration in seconds times width times height in pixels; 0 if it cannot be opened, infinity for an address.

    Args:
        path: A video, a folder of pictures, or an address, which is begun first because it is fetched.

    >>> video_cost("no-such-file.mp4"), video_cost("https://host/a.mp4")
    (0.0, inf)
    """
    from whenwhere.video.media import opened, video_stream

    if is_address(path):
        return math.inf
    size = 0
    with suppress(OSError, ValueError):
        size = sum(e.stat().st_size for e in os.scandir(path)) if os.path.isdir(path) else os.path.getsize(path)
        if size and not os.path.isdir(path):
            with suppress(WhenwhereError), opened(path) as container:
                stream = video_stream(container, path)
                if container.duration:
                    return container.duration / 1e6 * stream.width * stream.height
    return size * _PER_BYTE


def by_cost(groups: Sequence[Sequence[str]], engine: Engine) -> list[int]:
    """Indices of groups of videos, the costliest first; the headers are read by the engine's workers.

    Args:
        groups: The videos that are worked on together, for each task.
        engine: The workers.
    """
    costs = [0.0] * len(groups)
    chunks = [(start, list(groups[start : start + _CHUNK])) for start in range(0, len(groups), _CHUNK)]
    for done in engine.run(_reader, chunks):
        start, _ = done.task
        for k, cost in enumerate(done.result or ()):
            costs[start + k] = cost
    return sorted(range(len(groups)), key=lambda k: -costs[k])


def _reader() -> Callable[[tuple[int, list[Sequence[str]]]], list[float]]:
    """The function that an engine's workers run."""
    return _costs


def _costs(chunk: tuple[int, list[Sequence[str]]]) -> list[float]:
    """The costs of some groups of videos, given with the index of the first."""
    return [sum(map(video_cost, group)) for group in chunk[1]]
