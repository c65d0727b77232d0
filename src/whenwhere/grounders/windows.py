"""Windows over time: which frames are shown together, and how what was said about each becomes one answer.

Frames are taken on a grid of *video* time (k / fps), so that two questions about one video show the same frames and
stored answers can be used again. A window holds as many frames as a call may have tokens for. Neighbours share a fifth
of their frames, so that no event shorter than that falls between two windows. What two windows say about one time is
united: each sees the other's middle only at its own edge, where it knows least.

The second look at the borders of what was found (`border_windows`, `sharpen_span`) is what makes ends finer than the
steps of the coarse pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer
from whenwhere.models.backends.base import ModelBackend
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.video import VideoInfo, stream_index

#: Share of a window's frames that its neighbour shows too.
SHARED = 0.2


@dataclass(frozen=True)
class SamplingConfig:
    """How many frames of a video a model is shown at a time, and how large they are.

    Attributes:
        fps: Frames per second when looking for the time.
        fine_fps: Frames per second near the borders of what was found.
        tokens: Largest number of tokens in a call's prompt, frames included.
        side: Largest number of pixels of a frame's longer side when looking for the time.
        close_side: The same when looking for places.
        boxes: Largest number of boxes asked for in one call.
    """

    fps: float = 2.0
    fine_fps: float = 10.0
    tokens: int = 16_000
    side: int = 448
    close_side: int = 768
    boxes: int = 32


def shown_width(info: VideoInfo, side: int) -> int:
    """Width of frames whose longer side has at most this many pixels; frames are never enlarged."""
    longer = max(info.width, info.height)
    return info.width if longer <= side else max(round(info.width * side / longer), 1)


def clip_span(info: VideoInfo, span: Span | None) -> Span:
    """A span cut to the video; the whole video where no span is given."""
    return Span(max(span.start, 0.0), min(span.end, info.duration)) if span else Span(0.0, info.duration)


def frame_times(info: VideoInfo, span: Span, fps: float) -> NDArray[np.float64]:
    """Times of the distinct frames shown at k / fps inside a span, at least one: the one shown at its start."""
    index = stream_index(info, fps, span.start, span.end)
    return info.times[index if len(index) else info.shown([span.start])]


def frames_per_call(backend: ModelBackend, width: int, height: int, prompt: str, tokens: int) -> int:
    """How many frames of this size a prompt of at most `tokens` tokens may hold, at least one.

    Two counts are enough, since the cost of frames grows evenly in all families and a count may take a second.
    """
    few, many = 2, 10
    base = backend.prompt_tokens(few, width, height, prompt)
    each = (backend.prompt_tokens(many, width, height, prompt) - base) / (many - few)
    return max(int((tokens - base) / max(each, 1e-9)) + few, 1)


def split_windows(times: NDArray[np.float64], most: int) -> list[NDArray[np.float64]]:
    """Windows of at most `most` frames, all of about the same length, with neighbours that overlap.

    >>> [w.tolist() for w in split_windows(np.arange(8.0), 5)]
    [[0.0, 1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0, 7.0]]
    >>> len(split_windows(np.arange(8.0), 8)), len(split_windows(np.arange(8.0), 1))
    (1, 8)
    """
    if len(times) <= most:
        return [times]
    shared = round(SHARED * most) if most > 1 else 0
    count = math.ceil((len(times) - shared) / (most - shared))
    starts = np.linspace(0, len(times) - most, count).round().astype(int)
    return [times[s : s + most] for s in starts]


def covered_span(times: NDArray[np.float64], step: float, searched: Span) -> Span:
    """The time that a window's frames stand for, cut to `searched`: each frame lasts until the next, `step` s later."""
    end = min(float(times[-1]) + step, searched.end)
    start = max(float(times[0]), searched.start)
    return Span(start, end) if start < end else searched


def window_spans(answer: ParsedAnswer, window: Span, step: float) -> tuple[SpanSet | None, int]:
    """The spans that an answer about a window names, and how many of them are of no use.

    An instant was seen in one frame only and stands for that frame's step. A span that ends before it starts, or that
    lies outside the window, is of no use. Several unrelated ranges count as no answer.

    Args:
        answer: The parsed answer, in seconds of the video.
        window: The time that was shown.
        step: Seconds between two frames.

    Returns:
        The spans, cut to the window, and the number of spans left out. The spans are empty where the answer says that
        it does not happen, and None where nothing could be read.
    """
    if answer.status == "absent":
        return SpanSet(), 0
    if answer.status == "ambiguous" or not answer.spans:
        return None, 0
    kept = []
    for start, end in answer.spans:
        end = start + step if end == start else end
        low, high = max(start, window.start), min(end, window.end)
        if math.isfinite(start) and math.isfinite(end) and low < high:
            kept.append(Span(low, high))
    return (SpanSet(kept) if kept else None), len(answer.spans) - len(kept)


def merge_windows(said: Sequence[SpanSet | None], step: float) -> SpanSet | None:
    """One answer from the answers about neighbouring windows.

    Args:
        said: What each window's answer says, in order of time; None where it could not be read.
        step: Seconds between two frames. Spans of two windows that are no further apart than this become one.

    Returns:
        The united spans. None where nothing was found and not every window could be read, since that does not say that
        the event is absent.

    >>> merge_windows([SpanSet([(1, 4)]), SpanSet([(3.5, 6), (8, 9)])], 0.5)
    SpanSet([1, 6), [8, 9))
    >>> merge_windows([SpanSet(), None], 0.5) is None, merge_windows([SpanSet(), SpanSet()], 0.5)
    (True, SpanSet())
    """
    all_spans = sorted((span.start, span.end, k) for k, spans in enumerate(said) for span in spans or ())
    out: list[tuple[float, float, int]] = []
    for start, end, k in all_spans:
        if out and (start <= out[-1][1] or (start - out[-1][1] <= step and k != out[-1][2])):
            last = out.pop()
            start, end = last[0], max(last[1], end)
        out.append((start, end, k))
    if not out and any(spans is None for spans in said):
        return None
    return SpanSet((start, end) for start, end, _ in out)


def best_sample(samples: Sequence[SpanSet | None]) -> tuple[int | None, float | None]:
    """Which of several answers agrees best with the others, and how well all of them agree.

    Args:
        samples: The answers; None where one could not be read, which agrees with no other.

    Returns:
        The index of the best answer, None where no answer could be read; and the mean t_IoU of all pairs, None where
        there is one answer only.

    >>> best_sample([SpanSet([(0, 2)]), SpanSet([(2, 6)]), SpanSet([(2, 4)])])
    (1, 0.16666666666666666)
    >>> best_sample([SpanSet()]), best_sample([None])
    ((0, None), (None, None))
    """
    n = len(samples)
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            a, b = samples[i], samples[j]
            table[i, j] = table[j, i] = 0.0 if a is None or b is None else t_iou(a, b)
    readable = [k for k, sample in enumerate(samples) if sample is not None]
    best = max(readable, key=lambda k: (table[k].sum(), -k), default=None)
    return best, float(table.sum() / (n * (n - 1))) if n > 1 else None


def border_windows(spans: SpanSet, reach: float, searched: Span) -> SpanSet:
    """Where to look again: `reach` seconds around both ends of each span; windows that overlap become one.

    >>> border_windows(SpanSet([(1, 2), (10, 20)]), 1.0, Span(0, 20.5))
    SpanSet([0, 3), [9, 11), [19, 20.5))
    """
    around = [(t - reach, t + reach) for span in spans for t in (span.start, span.end)]
    return SpanSet(around).clip(searched.end, searched.start)


def sharpen_span(span: Span, closer: Sequence[tuple[Span, SpanSet]], reach: float, step: float) -> Span:
    """A span with the ends that a closer look gave.

    An end inside a window counts before an end at the window's edge, where the event was only seen to go on.

    Args:
        span: The span as it was found before.
        closer: Windows and the spans that were said about each.
        reach: How many seconds an end may move.
        step: Seconds between the frames of the closer look.

    >>> sharpen_span(Span(2, 8), [(Span(1, 3), SpanSet([(2.3, 3)])), (Span(7, 9), SpanSet([(7, 7.6)]))], 1, 0.1)
    Span(start=2.3, end=7.6, score=None)
    """
    starts = [(said.start <= w.start + step / 2, said.start) for w, spans in closer for said in spans]
    ends = [(said.end >= w.end - 1.5 * step, said.end) for w, spans in closer for said in spans]
    start = _nearest_end(span.start, starts, reach + step)
    end = _nearest_end(span.end, ends, reach + step)
    return Span(start, end, span.score) if start < end else span


def _nearest_end(old: float, found: list[tuple[bool, float]], reach: float) -> float:
    near = [(edge, abs(t - old), t) for edge, t in found if abs(t - old) <= reach]
    return min(near)[2] if near else old
