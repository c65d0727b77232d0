"""Embeddings of many clips, and features of the frames of long videos."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import Frames

#: Largest number of clips that an encoder is given at a time, which bounds memory.
MAX_CLIPS = 32


def embed_videos(encoder: Encoder, videos: Sequence[Frames]) -> NDArray[np.float32]:
    """Embeddings of videos, each of which is shown as one clip or as several clips.

    Args:
        encoder: The encoder.
        videos: RGB frames of each video, shape (T, H, W, 3), or of several clips of it, (clips, T, H, W, 3). Videos may
            differ in size, but not in the number of clips.

    Returns:
        Embeddings of unit length, shape (n, D), or (n, clips, D) if videos are given as several clips.

    Raises:
        SettingError: There are no videos, or they have different numbers of clips.
    """
    several = [video if video.ndim == 5 else video[None] for video in videos]
    counts = {len(video) for video in several}
    if len(counts) != 1 or 0 in counts:
        raise SettingError(
            f"videos with {' and '.join(map(str, sorted(counts))) or 'no'} clips cannot be compared: give each video "
            "the same number of clips, one at least"
        )
    clips = counts.pop()
    parts = [
        encoder.embed_clips(np.concatenate(several[part])).pooled
        for part in batches([video.shape for video in several], max(1, MAX_CLIPS // clips))
    ]
    rows = np.concatenate(parts)
    return rows if videos[0].ndim == 4 else rows.reshape(len(several), clips, -1)


def batches(shapes: Sequence[tuple[int, ...]], most: int = MAX_CLIPS) -> Iterator[slice]:
    """Slices of neighbouring arrays that have the same shape, so that those of a slice can be stacked.

    Args:
        shapes: The shapes of the arrays.
        most: Largest number of arrays in a slice.

    >>> [(part.start, part.stop) for part in batches([(1,), (1,), (1,), (2,)], 2)]
    [(0, 2), (2, 3), (3, 4)]
    """
    start = 0
    for stop in range(1, len(shapes) + 1):
        if stop == len(shapes) or shapes[stop] != shapes[start] or stop - start == most:
            yield slice(start, stop)
            start = stop


def frame_features(encoder: Encoder, frames: Frames) -> tuple[NDArray[np.float32], int]:
    """Features of a video along time, and the number of frames that each of them covers.

    An encoder of single pictures embeds each frame. A video encoder embeds windows of the length that it was made for.
    If its windows have an even number of time steps, each overlaps half of the one before, and the features of a time
    step are averaged over the windows that hold it; otherwise windows follow one another. Where the last window is not
    full, the last frame is repeated.

    Args:
        encoder: The encoder.
        frames: RGB frames at equal distances in time, shape (n, H, W, 3), n at least 1.

    Returns:
        Features of unit length, shape (steps, D), and the number of frames of a step; the last step may reach beyond
        the end.

    Raises:
        SettingError: There are no frames.
    """
    if not len(frames):
        raise SettingError("a video without frames has no features: give at least one frame")
    if encoder.frames == 1:
        return encoder.embed_frames(frames), 1
    size = encoder.frames
    windows = -(-len(frames) // size)
    held = np.minimum(np.arange(windows * size), len(frames) - 1)
    first = _steps(encoder, frames[held].reshape(windows, size, *frames.shape[1:]))
    per_window = len(first) // windows
    total, count = first.copy(), np.ones((len(first), 1), np.float32)
    if windows > 1 and per_window % 2 == 0:
        middle = held[size // 2 : len(held) - (size - size // 2)]
        between = _steps(encoder, frames[middle].reshape(windows - 1, size, *frames.shape[1:]))
        inner = slice(per_window // 2, len(first) - per_window // 2)
        total[inner] += between
        count[inner] += 1
    covers = size // per_window
    rows = (total / count)[: -(-len(frames) // covers)]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12), covers


def _steps(encoder: Encoder, windows: Frames) -> NDArray[np.float32]:
    """Features of the time steps of windows, one window after the other, shape (windows * T', D)."""
    parts = [encoder.embed_clips(windows[k : k + MAX_CLIPS]).frames for k in range(0, len(windows), MAX_CLIPS)]
    rows = np.concatenate(parts)
    return rows.reshape(-1, rows.shape[-1])
