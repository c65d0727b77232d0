"""Policies that answer with time and places at once: one call instead of `second_level`'s four steps.

A policy that was trained here writes spans and their boxes in one answer. It is asked as it was trained: with as many
frames a second, of the same size, at k / fps from the beginning of what it is shown. A video longer than the clips that
it was trained on is shown in overlapping parts, each as a clip with a clock of its own. Times are put back onto the
video's clock, and what the parts say of the time is united. Where two parts have a box at the same time, the box of the
part whose middle is nearer counts. There is no closer look at the ends, which the policy never learned.

Where the time is given, the policy is asked as ever and its boxes inside that time are kept.

Left out: boxes at other times than the policy's own; the fill makes the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.grounders.answer_boxes import reply_boxes, time_inside
from whenwhere.grounders.call_runner import CallRunner, FrameRequest, plan_costs, request_costs
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.second_level import LISTED, sample_request
from whenwhere.grounders.windows import (
    SamplingConfig,
    best_sample,
    clip_span,
    covered_span,
    frames_per_call,
    merge_windows,
    shown_width,
    split_windows,
    window_spans,
)
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking.rate import MOST_BOXES
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Boxes per second of a policy that was trained here.
RATE = 1.0
#: Seconds of the answer for which a plan assumes boxes, as for `second_level`.
ASSUMED = 9.4


@dataclass(frozen=True, eq=False)
class _Part:
    """What is shown in one call, and the time that its frames stand for."""

    frame_request: FrameRequest
    seen: Span


class Joint:
    """Grounds sentences by a policy that answers with spans and boxes in one text.

    Args:
        backend: The policy; its dialect is `joint`.
        sampling: How many frames it is shown at a time, where the dialect does not say.
        progress: Called with the share of the video that was looked at.
    """

    name = "second-level"

    def __init__(
        self,
        backend: ModelBackend,
        sampling: SamplingConfig | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.backend, self.sampling, self.progress = backend, sampling or SamplingConfig(), progress

    def ground(self, info: VideoInfo, request: GroundingRequest) -> GroundingResult:
        """ParsedAnswer one sentence (see `Grounder.ground`). Boxes come once a second, whatever the rate.

        Raises:
            ChatError, ModelError: the model gave no answer at all.
            SettingError: other frames per second than the policy was trained with.
        """
        runner = CallRunner(self.backend, info, request, self.progress)
        parts, step = self._parts(info, request)
        samples = request.samples
        replies = runner.ask(
            [sample_request(part.frame_request, k, request.seed) for part in parts for k in range(samples)]
        )
        answers = [_on_the_video(runner, reply, parts[k // samples]) for k, reply in enumerate(replies)]
        best: int | None = 0

        def find_time(_: CallRunner) -> SpanSet | None:
            nonlocal best
            said = [
                None if a is None else _answer_spans(runner, a, parts[k // samples].seen, step)
                for k, a in enumerate(answers)
            ]
            merged = [merge_windows(said[k::samples], step) for k in range(samples)]
            best, runner.result.confidence = best_sample(merged)
            return None if best is None else merged[best]

        spans = runner.resolve_time(find_time)
        if runner.result.status == "unsure":
            runner.result.candidates = [
                {"start": round(p.seen.start, 3), "end": round(p.seen.end, 3), "said": r.text.strip()[:LISTED]}
                for p, r in zip(parts, replies[::samples], strict=True)
                if r.text.strip()
            ]
        elif spans:
            runner.result.tubes = _tubes(runner, list(zip(parts, answers[best or 0 :: samples], strict=True)), spans)
            if request.rate != RATE:
                runner.warnings.append(
                    f"{self.backend.dialect.name} answers with {RATE:g} box a second, whatever the rate"
                )
        return runner.finish()

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost; nothing is asked."""
        parts, _ = self._parts(info, request)
        frame_requests = [part.frame_request for part in parts for _ in range(request.samples)]
        return plan_costs({"answer": request_costs(self.backend, info, frame_requests)})

    def _parts(self, info: VideoInfo, request: GroundingRequest) -> tuple[list[_Part], float]:
        """What is shown, and the seconds between two frames."""
        dialect, query, span = self.backend.dialect, request.query, request.span
        if dialect.fps is not None and request.sample_fps is not None and request.sample_fps != dialect.fps:
            raise SettingError(
                f"{dialect.name} was trained with {dialect.fps:g} frames per second and sees as many: leave the "
                "sampling out"
            )
        step = 1 / (dialect.fps or request.sample_fps or self.sampling.fps)
        searched = clip_span(info, request.within)
        width = shown_width(info, dialect.side or self.sampling.side)
        longest = dialect.ask_when(query, info.duration)
        if dialect.seconds is None:
            most = frames_per_call(self.backend, *output_size(info, width), longest, self.sampling.tokens)
        else:
            most = max(int(dialect.seconds / step + 1e-6), 1)
        first, last = (int(np.ceil(t / step - 1e-6)) for t in (searched.start, searched.end))
        # on a grid: the policy was trained on stamps of such frames, and a video's own frames lie next to it at best
        if last - first > MOST_BOXES:
            raise SettingError(
                f"{1 / step:g} frames per second are {last - first} frames, too many: lower the sampling"
            )
        grid = np.arange(first, last, dtype=np.float64) * step if first < last else np.array([searched.start])
        parts = []
        for times in split_windows(grid, most):
            seen = covered_span(times, step, searched)
            if span is not None and len(grid) > most and (seen.end <= span.start or span.end <= seen.start):
                continue
            tokens = round(dialect.box_tokens * (seen.duration + 4))
            usual = round(dialect.box_tokens * (min(ASSUMED, seen.duration) + 2))
            prompt = dialect.ask_when(query, seen.duration)
            frame_request = FrameRequest(
                "answer", times, width, prompt, dialect.when_schema(), tokens, usual, clock=float(times[0])
            )  # fmt: skip
            parts.append(_Part(frame_request, seen))
        return parts, step


def _on_the_video(runner: CallRunner, reply: ModelReply, part: _Part) -> ParsedAnswer | None:
    """A reply's answer in seconds of the video and pixels of the displayed frame; None where it says nothing."""
    if reply.error is not None or reply.finish == "refused":
        runner.note(reply, None)
        return None
    answer = reply_boxes(reply, runner.backend.dialect, runner.info)
    runner.note(reply, answer)
    zero = part.frame_request.clock
    return replace(
        answer,
        spans=tuple((s + zero, e + zero) for s, e in answer.spans),
        boxes=tuple(b if b.time is None else b._replace(time=b.time + zero) for b in answer.boxes),
    )


def _answer_spans(runner: CallRunner, answer: ParsedAnswer, seen: Span, step: float) -> SpanSet | None:
    spans, useless = window_spans(answer, seen, step)
    if useless:
        runner.warn("some spans ended before they began, or lay outside what was shown, and were dropped")
    return spans


def _tubes(runner: CallRunner, answers: list[tuple[_Part, ParsedAnswer | None]], spans: SpanSet) -> list[Tube]:
    """The boxes inside the spans as one tube; no tube where no box is of use."""
    chosen: dict[float, tuple[float, tuple[float, float, float, float]]] = {}
    outside = bad = 0
    for part, answer in answers:
        middle = (part.seen.start + part.seen.end) / 2
        for b in answer.boxes if answer is not None else ():
            t = None if b.time is None else time_inside(b.time, spans, runner.info)
            if t is None or b.time is None:
                outside += 1
            elif not (b.box[0] < b.box[2] and b.box[1] < b.box[3]):
                bad += 1
            elif t not in chosen or abs(t - middle) < chosen[t][0]:
                chosen[t] = (abs(t - middle), b.box)
    if outside:
        runner.warn(f"{outside} boxes lay at no time of the answer and were dropped")
    if bad:
        runner.warn(f"{bad} boxes were reversed or empty and were dropped")
    if not chosen:
        runner.warn("the model gave no box that can be read")
        return []
    times = sorted(chosen)
    return [Tube(spans, times, [chosen[t][1] for t in times], rate=RATE)]
