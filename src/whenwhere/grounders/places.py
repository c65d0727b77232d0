"""Boxes that a model wrote, at the times they were asked for; and a box as it is written for the model.

Times go through text with one decimal, so a box belongs to the nearest asked-for time, each time to the first box that
names it. Boxes that name no time are taken in order where there is one for each time; one box for one time is for it.
What fits no time is counted and dropped, not moved.
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


def needs_places(backend: ModelBackend, pipeline: str) -> None:
    """Raise a `SettingError` where a family is not known to answer with places."""
    if backend.dialect.coordinates is None:
        raise SettingError(
            f"the pipeline {pipeline} needs boxes, and nothing is known of how {backend.dialect.name} models answer "
            "with places: take --pipeline second-level, which then asks about time alone"
        )


def boxes_said(reply: ModelReply, dialect: Dialect, info: VideoInfo) -> ParsedAnswer:
    """A reply's boxes in pixels of the displayed frame; small squares where a family answers with points."""
    answer = parse(reply.text, form=dialect.boxes_form)
    if dialect.points and answer.points and not answer.boxes:
        answer = replace(answer, boxes=point_boxes(answer.points), points=())
    if answer.coordinates is None:
        return answer
    shown = reply.shown if min(reply.shown) > 0 else (info.width, info.height)
    return answer.displayed((info.width, info.height), shown, dialect.coordinates)


def matched(boxes: Sequence[TimedBox], times: NDArray[np.float64], tolerance: float) -> tuple[NDArray[np.float64], int]:
    """The box of each time.

    Args:
        boxes: as read.
        times: (n,) seconds that were asked for.
        tolerance: seconds that a box's time may be away.

    Returns:
        (n, 4), NaN where there is none, and how many boxes were left over.

    >>> got, left = matched([TimedBox(1.1, (0, 0, 1, 1)), TimedBox(5.0, (0, 0, 2, 2))], np.array([1.0, 2.0]), 0.25)
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


def tolerance(times: NDArray[np.float64], resolution: float) -> float:
    """How far a box's time may be away from the nearest of these: what the family rounds to, or a quarter of a step."""
    nearest = float(np.diff(times).min()) if len(times) > 1 else 0.0
    return max(resolution / 2, nearest / 4) + 0.01


def written(box: NDArray[np.float64], dialect: Dialect, info: VideoInfo, shown: tuple[int, int]) -> str:
    """A box of the displayed frame in the family's coordinates, whole numbers.

    >>> from types import SimpleNamespace as Video
    >>> from whenwhere.answers.dialects import QWEN3_VL
    >>> written(np.array([64.0, 0, 128, 360]), QWEN3_VL, Video(width=640, height=360), (320, 180))
    '[100, 0, 200, 1000]'
    """
    assert dialect.coordinates is not None
    shown = shown if min(shown) > 0 else (info.width, info.height)
    sx, sy = scale("displayed", dialect.coordinates, (info.width, info.height), shown)
    return str([round(float(x)) for x in box * (sx, sy, sx, sy)])


def held(t: float, spans: SpanSet, info: VideoInfo) -> float | None:
    """A box's time inside the spans, None where it lies outside; one at the end of a span is of its last frame.

    Args:
        t: seconds, as written, to a tenth.
        spans: of the answer.
        info: the video.
    """
    if t in spans:
        return t
    for s in spans:
        if 0 <= t - s.end <= 0.1 + 1e-6 or 0 <= s.start - t <= 0.1 + 1e-6:
            return max(info.last_before(s.end), s.start) if t >= s.end else s.start
    return None
