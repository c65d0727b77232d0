"""Writing a video again, with boxes drawn over it or cut to a span.

Frames keep their own times, so a variable frame rate is preserved. An overlay keeps the original sound if mp4 and
browsers allow it; a clip is cut at the frame and at the sample, so picture and sound are both encoded again.
"""

from collections.abc import Mapping
from os import PathLike

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import QueryError
from whenwhere.spans import Span
from whenwhere.video.draw import COLOURS, draw_box
from whenwhere.video.info import VideoInfo
from whenwhere.video.stream import stream_frames
from whenwhere.video.write import FrameWriter

#: Tube id -> (times (n,), boxes (n, 4)).
Boxes = Mapping[str, tuple[ArrayLike, ArrayLike]]


def write_overlay(
    info: VideoInfo, boxes: Boxes, path: str | PathLike[str], labels: Mapping[str, str] | None = None
) -> list[str]:
    """Write the whole video with its sound and with boxes drawn over it.

    Args:
        info: The probed video.
        boxes: Per-frame boxes: tube id -> (times (n,) in seconds, boxes (n, 4) in displayed pixels). A frame shows
            the box nearest in time within half a frame; rows of NaN show none.
        path: The mp4 to write.
        labels: Tube id -> a word drawn beside its box.

    Returns:
        Warnings: sentences about frames that could not be decoded and sound that could not be written.

    Raises:
        MediaError: The video cannot be read.
        OutputError: The file cannot be written.
    """
    labels = labels or {}
    rows = {name: _rows(info, *series) for name, series in boxes.items()}
    warnings: list[str] = []
    at = 0
    # The written video keeps the clock of the original, which may begin with sound before the picture.
    part = (-info.delay, None)
    with FrameWriter(path, info.width, info.height, info.fps_exact, audio=info, part=part) as writer:
        for t, image in stream_frames(info, warnings=warnings):
            at = int(info.shown(t))
            image = np.require(image, requirements="W")
            for k, (name, per_frame) in enumerate(rows.items()):
                if np.isfinite(per_frame[at]).all():
                    draw_box(image, per_frame[at], COLOURS[k % len(COLOURS)], labels.get(name))
            writer.write(image, t + info.delay)
    return [*warnings, *writer.warnings]


def _rows(info: VideoInfo, times: ArrayLike, boxes: ArrayLike) -> NDArray[np.float64]:
    """(frames, 4) the box of every frame of the video, NaN if it has none."""
    t, b = np.asarray(times, float).reshape(-1), np.asarray(boxes, float).reshape(-1, 4)
    out = np.full((len(info.times), 4), np.nan)
    if not len(t):
        return out
    order = np.argsort(t, kind="stable")
    t, b = t[order], b[order]
    right = np.searchsorted(t, info.times).clip(0, len(t) - 1)
    left = (right - 1).clip(0)
    nearest = np.where(np.abs(t[left] - info.times) <= np.abs(t[right] - info.times), left, right)
    # Half the way to the nearer neighbour frame, but at least the millisecond to which records are rounded.
    gaps = np.diff(info.times)
    gap = float(gaps.min()) if len(gaps) else 1 / info.fps
    near = np.abs(t[nearest] - info.times) <= max(gap / 2, 1e-3)
    out[near] = b[nearest[near]]
    return out


def write_clip(info: VideoInfo, span: Span, path: str | PathLike[str]) -> list[str]:
    """Write the part of a video inside a span, with its sound, from the frame shown at the span's start.

    Args:
        info: The probed video.
        span: The part to write; what lies outside the video is cut off.
        path: The mp4 to write; its time 0 is the span's start.

    Returns:
        Warnings: sentences about frames that could not be decoded and sound that could not be written.

    Raises:
        MediaError: The video cannot be read.
        OutputError: The file cannot be written.
        QueryError: The span lies outside the video.
    """
    start, end = max(span.start, 0.0), min(span.end, info.duration)
    if start >= end:
        raise QueryError(f"the span {span.start:g}-{span.end:g} s lies outside the video of {info.duration:.1f} s")
    warnings: list[str] = []
    first = float(info.times[info.shown(start)])
    with FrameWriter(path, info.width, info.height, info.fps_exact, audio=info, part=(start, end), crf=18) as writer:
        for t, image in stream_frames(info, start=first, end=end, warnings=warnings):
            writer.write(image, max(t - start, 0.0))
    return [*warnings, *writer.warnings]
