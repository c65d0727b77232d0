"""The baseline that most papers use: N frames at once, spread evenly, with spans and boxes in one answer.

It makes one call, whatever the length of the video, so little is seen of a long one. The answer is asked for in this
project's own form (`second-level` in `whenwhere.answers.FORMS`): spans with one box a second inside each.

N is 64, or as many frames as `sample_fps` gives, and never more than a call's tokens allow.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from whenwhere.answers import Coordinates, ParsedAnswer, parse
from whenwhere.answers.dialects.words import IN_PIXELS, IN_THOUSANDTHS
from whenwhere.grounders.answer_boxes import require_boxes, time_inside
from whenwhere.grounders.call_runner import CallRunner, FrameRequest, plan_costs, request_costs
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.second_level import ASSUMED, BOX_TOKENS, MAX_BOX, MAX_START, SPAN_TOKENS
from whenwhere.grounders.windows import SamplingConfig, clip_span, frames_per_call, shown_width, window_spans
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Number of frames where the request names no frame rate.
FRAMES = 64

WORDS = (
    'Find when and where this happens in the video: "{query}". You see {n} frames from {start:.1f} to {end:.1f} '
    'seconds of it. Output Format: <answer>[{{"span": [start, end], "boxes": [[time, x_min, y_min, x_max, y_max], '
    "...]}}, ...]</answer>, one entry for each time it happens, with one box per second inside its span, times in "
    "seconds with one decimal. If it does not happen, output <answer>[]</answer>."
)


class Uniform:
    """Grounds sentences from N evenly spread frames.

    Args:
        backend: The model.
        sampling: How large the frames are and how many tokens they may cost.
        progress: Called with the share of the video that was looked at.

    Raises:
        SettingError: the model's family is not known to answer with places.
    """

    name = "uniform"

    def __init__(
        self,
        backend: ModelBackend,
        sampling: SamplingConfig | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.backend, self.sampling, self.progress = backend, sampling or SamplingConfig(), progress
        require_boxes(backend, self.name)

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """ParsedAnswer one sentence (see `Grounder.ground`). Boxes come where the model puts them, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        runner = CallRunner(self.backend, info, request, self.progress)
        frame_request = self._frame_request(info, request)
        (reply,) = runner.ask([frame_request])
        answer = None
        if reply.error is None and reply.finish != "refused":
            answer = parse(reply.text, form="second-level", duration=info.duration)
        runner.note(reply, answer)
        spans = runner.resolve_time(lambda runner: self._time_of(runner, answer, reply, frame_request))
        if spans and answer is not None and answer.boxes:
            runner.result.tubes = self._tubes(runner, answer, reply, spans)
        return runner.finish()

    def _time_of(
        self, runner: CallRunner, answer: ParsedAnswer | None, reply: ModelReply, frame_request: FrameRequest
    ) -> SpanSet | None:
        """The spans that the answer names; None where it names none that can be read, with candidates for a person."""
        info, times = runner.info, frame_request.times
        if answer is None:
            return None
        step = float(np.diff(times).mean()) if len(times) > 1 else info.duration
        end = min(float(times[-1]) + step, info.duration)
        if not answer.spans and answer.boxes and answer.valid:
            return SpanSet(answer.spans_of_boxes(runner.request.rate)).clip(info.duration)
        spans, useless = window_spans(answer, Span(float(times[0]), max(end, float(times[0]) + 1e-3)), step)
        if useless:
            runner.warnings.append("some spans ended before they began, or lay outside what was shown")
        if spans is None:
            runner.result.candidates = [{"said": reply.text.strip()[:200]}] if reply.text.strip() else None
        return spans

    def _tubes(self, runner: CallRunner, answer: ParsedAnswer, reply: ModelReply, spans: SpanSet) -> list[Tube]:
        """The answer's boxes inside the spans as one tube; no tube where no box is of use."""
        info, dialect = runner.info, self.backend.dialect
        # in the coordinates that the prompt asked for, whatever else the form allows
        kind: Coordinates = "pixels" if dialect.coordinates == "pixels" else "thousand"
        size = (info.width, info.height)
        answer = replace(answer, coordinates=kind).displayed(size, reply.shown if min(reply.shown) > 0 else size)
        chosen: dict[float, tuple[float, float, float, float]] = {}
        for b in answer.boxes:
            # the last box of a span is written at the span's end, which the half-open span does not hold
            t = None if b.time is None else time_inside(b.time, spans, info)
            if t is not None and b.box[0] < b.box[2] and b.box[1] < b.box[3]:
                chosen.setdefault(t, b.box)
        if len(chosen) < len(answer.boxes):
            runner.warnings.append(
                f"{len(answer.boxes) - len(chosen)} boxes fitted no time or were empty, and were dropped"
            )
        times = sorted(chosen)
        return [Tube(spans, times, [chosen[t] for t in times], rate=runner.request.rate)] if times else []

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost; nothing is asked."""
        return plan_costs({"all": request_costs(self.backend, info, [self._frame_request(info, request)])})

    def _frame_request(self, info: VideoInfo, request: GroundingRequest) -> FrameRequest:
        part = clip_span(info, request.span or request.within)
        width = shown_width(info, self.sampling.side)
        words = IN_PIXELS if self.backend.dialect.coordinates == "pixels" else IN_THOUSANDTHS
        longest = WORDS.format(query=request.query, n=FRAMES, start=part.start, end=part.end) + words
        wanted = FRAMES if request.sample_fps is None else max(round(part.duration * request.sample_fps), 1)
        n = min(wanted, frames_per_call(self.backend, *output_size(info, width), longest, self.sampling.tokens))
        # the middle of n equal parts, as most papers take them
        grid = part.start + part.duration * (np.arange(n) + 0.5) / n
        times = info.times[np.unique(info.shown(grid))]
        prompt = WORDS.format(query=request.query, n=len(times), start=part.start, end=part.end) + words
        seconds = min(ASSUMED, part.duration)
        most = MAX_START + MAX_BOX * int(min(part.duration, 64) + 2)
        return FrameRequest("all", times, width, prompt, None, most, SPAN_TOKENS + round(BOX_TOKENS * (seconds + 1)))
