"""The baseline that second-level grounding is measured against: one call per frame.

Every frame is shown alone and the model is asked for the box, in the same words as `second_level` asks for boxes. The
time is the runs of frames in which it gave one: a frame stands for the time until the next. What needs more than one
frame to be seen ("moves right") cannot be seen this way, which is the baseline's nature.

Frames per second are `sample_fps`, the video's own without it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from whenwhere.grounders.asking import Asking, Look, price, summed
from whenwhere.grounders.grounder import Found
from whenwhere.grounders.places import boxes_said, matched, needs_places
from whenwhere.grounders.second_level import BOX_TOKENS, MAX_BOX, MAX_START
from whenwhere.grounders.windows import Sight, frame_times, part_of, shown_width
from whenwhere.models.backends.base import ModelBackend
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo


class Framewise:
    """Grounds sentences frame by frame.

    Args:
        backend: the model.
        sight: how much is shown at a time.
        progress: told the share of the video that was looked at.

    Raises:
        SettingError: the model's family is not known to answer with places.
    """

    name = "framewise"

    def __init__(
        self, backend: ModelBackend, sight: Sight | None = None, progress: Callable[[float], None] | None = None
    ) -> None:
        self.backend, self.sight, self.progress = backend, sight or Sight(), progress
        needs_places(backend, self.name)

    def ground(
        self,
        info: VideoInfo,
        query: str,
        *,
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
        seed: int = 0,
    ) -> Found:
        """Answer one sentence; see `Grounder.ground`. Boxes come at the frames shown, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        asking = Asking(self.backend, info, self.progress)
        looks = self._looks(info, query, sample_fps, span or within)
        times = np.array([look.times[0] for look in looks])
        boxes = np.full((len(times), 4), np.nan)
        unread = 0
        for k, reply in enumerate(asking.ask(looks)):
            answer = None if reply.error or reply.finish == "refused" else boxes_said(reply, self.backend.dialect, info)
            asking.note(reply, answer)
            unread += answer is None or not answer.read
            if answer is not None and answer.boxes:
                # a model that names another time or several things still means this frame; its first box counts
                boxes[k] = matched(answer.boxes[:1], times[k : k + 1], np.inf)[0][0]
        there = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        found = Found("unsure")
        if there.any():
            found.status = "answered"
            inside = part_of(info, span or within)
            spans = SpanSet([inside]) if span else _runs(times, there, inside.end)
            found.spans = spans.clip(info.duration)
            keep = there & (found.spans.index(times) >= 0)
            fps = 1 / float(np.diff(times).min()) if len(times) > 1 else rate
            found.tubes = [Tube(found.spans, times[keep], boxes[keep], rate=max(fps, rate))]
        elif span is not None:
            found.status, found.spans = "answered", SpanSet([part_of(info, span)])
        elif not unread:
            found.status = "absent"
        return asking.into(found)

    def estimate(
        self,
        info: VideoInfo,
        *,
        query: str = "",
        rate: float = 1.0,
        sample_fps: float | None = None,
        within: Span | None = None,
        span: Span | None = None,
    ) -> dict[str, Any]:
        """What `ground` would cost; nothing is asked."""
        return summed({"where": price(self.backend, info, self._looks(info, query, sample_fps, span or within))})

    def _looks(self, info: VideoInfo, query: str, sample_fps: float | None, part: Span | None) -> list[Look]:
        dialect, width = self.backend.dialect, shown_width(info, self.sight.close_side)
        inside = part_of(info, part)
        times = frame_times(info, inside, sample_fps) if sample_fps else info.times
        times = times[(times >= inside.start - 1e-6) & (times < inside.end)]
        times = times if len(times) else info.times[info.shown([inside.start])]
        return [
            Look("where", times[k : k + 1], width, dialect.ask_where(query, "", [float(times[k])]),
                 dialect.where_schema([float(times[k])]), MAX_START + MAX_BOX, BOX_TOKENS)
            for k in range(len(times))
        ]  # fmt: skip


def _runs(times: np.ndarray, there: np.ndarray, end: float) -> SpanSet:
    """Spans of neighbouring frames with a box; each frame lasts until the next, the last one until the end.

    >>> _runs(np.array([0.0, 0.5, 1.0, 1.5]), np.array([True, False, True, True]), 2.0)
    SpanSet([0, 0.5), [1, 2))
    """
    until = np.append(times[1:], max(end, float(times[-1]) + 1e-3))
    return SpanSet((float(a), float(b)) for a, b, k in zip(times, until, there, strict=True) if k)
