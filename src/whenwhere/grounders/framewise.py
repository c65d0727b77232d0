"""The baseline that second-level grounding is measured against: one call per frame.

Every frame is shown alone and the model is asked for the box, in the words in which `second_level` asks for boxes. The
answer's spans are the runs of frames in which the model gave a box; a frame stands for the time until the next one.
What needs more than one frame to be seen ("moves right") cannot be seen in this way: that is the baseline's nature.

Frames are shown at `sample_fps`, or at the video's own rate where none is given.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from whenwhere.grounders.answer_boxes import match_boxes, reply_boxes, require_boxes
from whenwhere.grounders.call_runner import CallRunner, FrameRequest, plan_costs, request_costs
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.second_level import BOX_TOKENS, MAX_BOX, MAX_START
from whenwhere.grounders.windows import SamplingConfig, clip_span, frame_times, shown_width
from whenwhere.models.backends.base import ModelBackend
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo


class Framewise:
    """Grounds sentences frame by frame.

    Args:
        backend: The model.
        sampling: How large the frames are.
        progress: Called with the share of the video that was looked at.

    Raises:
        SettingError: the model's family is not known to answer with places.
    """

    name = "framewise"

    def __init__(
        self,
        backend: ModelBackend,
        sampling: SamplingConfig | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.backend, self.sampling, self.progress = backend, sampling or SamplingConfig(), progress
        require_boxes(backend, self.name)

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """Answer one sentence (see `Grounder.ground`). Boxes come at the frames shown, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        runner = CallRunner(self.backend, info, request, self.progress)
        frame_requests = self._frame_requests(info, request)
        times = np.array([one.times[0] for one in frame_requests])
        boxes = np.full((len(times), 4), np.nan)
        unread = 0
        for k, reply in enumerate(runner.ask(frame_requests)):
            answer = (
                None if reply.error or reply.finish == "refused" else reply_boxes(reply, self.backend.dialect, info)
            )
            runner.note(reply, answer)
            unread += answer is None or not answer.read
            if answer is not None and answer.boxes:
                # a model that names another time or several things still means this frame; its first box counts
                boxes[k] = match_boxes(answer.boxes[:1], times[k : k + 1], np.inf)[0][0]
        there = (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])

        def time_of_boxes(_: CallRunner) -> SpanSet | None:
            if there.any():
                return _runs(times, there, clip_span(info, request.within).end).clip(info.duration)
            return None if unread else SpanSet()

        spans = runner.resolve_time(time_of_boxes)
        if there.any():
            keep = there & (spans.index(times) >= 0)
            fps = 1 / float(np.diff(times).min()) if len(times) > 1 else request.rate
            runner.result.tubes = [Tube(spans, times[keep], boxes[keep], rate=max(fps, request.rate))]
        return runner.finish()

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost; nothing is asked."""
        return plan_costs({"where": request_costs(self.backend, info, self._frame_requests(info, request))})

    def _frame_requests(self, info: VideoInfo, request: GroundingRequest) -> list[FrameRequest]:
        dialect, width = self.backend.dialect, shown_width(info, self.sampling.close_side)
        inside = clip_span(info, request.span or request.within)
        times = frame_times(info, inside, request.sample_fps) if request.sample_fps else info.times
        times = times[(times >= inside.start - 1e-6) & (times < inside.end)]
        times = times if len(times) else info.times[info.shown([inside.start])]
        return [
            FrameRequest("where", times[k : k + 1], width, dialect.ask_where(request.query, "", [float(times[k])]),
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
