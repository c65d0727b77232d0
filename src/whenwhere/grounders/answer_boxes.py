"""Boxes in a model's answer matched to the times that were asked for, and a box written for a prompt.

Times go through text with one decimal, so a box belongs to the nearest asked-for time, and a time takes the first box
that names it. Boxes that name no time are taken in order if there is one for each time. A box that fits no time is
counted and dropped, not moved.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer, TimedBox, parse
from whenwhere.answers.answer import scale
from whenwhere.answers.dialects import Dialect, point_boxes
from whenwhere.errors import SettingError
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import SpanSet
from whenwhere.video import VideoInfo


def require_boxes(backend: ModelBackend, pipeline: str) -> None:
    """Raise a `SettingError` where a model's family is not known to answer with places."""
    if backend.dialect.coordinates is None:
        raise SettingError(
            f"the pipeline {pipeline} needs boxes, and nothing is known of how {backend.dialect.name} models answer "
            "with places: take --pipeline second-level, which then asks about time alone"
        )


def reply_boxes(reply: ModelReply, dialect: Dialect, info: VideoInfo) -> ParsedAnswer:
    """A reply's answer with boxes in pixels of the displayed frame; points become small squares."""
    answer = parse(reply.text, form=dialect.boxes_form)
    if dialect.points and answer.points and not answer.boxes:
        answer = replace(answer, boxes=point_boxes(answer.points), points=())
    if answer.coordinates is None:
        return answer
    shown = reply.shown if min(reply.shown) > 0 else (info.width, info.height)
    return answer.displayed((info.width, info.height), shown, dialect.coordinates)


def match_boxes(
    boxes: Sequence[TimedBox], times: NDArray[np.float64], tolerance: float
) -> tuple[NDArray[np.float64], int]:
    """The box of each time that was asked for.

    Args:
        boxes: The boxes as they were read.
        times: Seconds that were asked for, shape (n,).
        tolerance: How many seconds a box's time may be away from a time that was asked for.

    Returns:
        Boxes of shape (n, 4), NaN where a time has none, and the number of boxes that were left over.

    >>> got, left = match_boxes([TimedBox(1.1, (0, 0, 1, 1)), TimedBox(5.0, (0, 0, 2, 2))], np.array([1.0, 2.0]), 0.25)
    >>> got[:, 2].tolist(), left
    ([1.0, nan], 1)
    """
    out = np.full((len(times), 4), np.nan)
    left = 0
    if boxes and (all(b.time is None for b in boxes) or len(boxes) == len(times) == 1):
        if len(boxes) != len(times):
            return out, len(boxes)
        return np.array([b.box for b in boxes], float), 0
    for b in boxes:
        k = -1 if b.time is None else int(np.abs(times - b.time).argmin())
        if b.time is None or abs(times[k] - b.time) > tolerance or not np.isnan(out[k, 0]):
            left += 1
        else:
            out[k] = b.box
    return out, left


def time_tolerance(times: NDArray[np.float64], resolution: float) -> float:
    """Seconds that a box's time may be off: half of what the family rounds to, or a quarter of the smallest step."""
    nearest = float(np.diff(times).min()) if len(times) > 1 else 0.0
    return max(resolution / 2, nearest / 4) + 0.01


def format_box(box: NDArray[np.float64], dialect: Dialect, info: VideoInfo, shown: tuple[int, int]) -> str:
    """A box of the displayed frame as text, in whole numbers of the family's coordinates.

    >>> from types import SimpleNamespace as Video
    >>> from whenwhere.answers.dialects import QWEN3_VL
    >>> format_box(np.array([64.0, 0, 128, 360]), QWEN3_VL, Video(width=640, height=360), (320, 180))
    '[100, 0, 200, 1000]'
    """
    assert dialect.coordinates is not None
    shown = shown if min(shown) > 0 else (info.width, info.height)
    sx, sy = scale("displayed", dialect.coordinates, (info.width, info.height), shown)
    return str([round(float(x)) for x in box * (sx, sy, sx, sy)])


def time_inside(t: float, spans: SpanSet, info: VideoInfo) -> float | None:
    """A box's time, moved into the spans if rounding put it just outside; None where it lies outside.

    Args:
        t: The time as it was written, in seconds, to a tenth. A time at the end of a span means its last frame.
        spans: The spans of the answer.
        info: The video.
    """
    if t in spans:
        return t
    for s in spans:
        if 0 <= t - s.end <= 0.1 + 1e-6 or 0 <= s.start - t <= 0.1 + 1e-6:
            return max(info.last_before(s.end), s.start) if t >= s.end else s.start
    return None
