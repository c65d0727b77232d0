"""Second-level grounding: one box per second instead of one per frame, asked of a vision-language model.

Four steps, each a method of `SecondLevel`, in this order:

1. `when`: the whole video at a few frames a second, in overlapping windows as long as a call's tokens allow; what the
   windows say is united. With several samples the answer that agrees best with the others counts, and how well they
   agree is the confidence.
2. `refine`: ten frames a second around each border, which makes ends as fine as 0.1 s.
3. `which`: a description of the one thing that is meant, from a few frames inside the spans; later calls repeat it.
4. `where`: boxes at the second-level times (`tracking.second_level_times`), as many in one call as its tokens allow.
   The last frame and box of a call are shown to the next one, so that it follows the same thing.

Repair, smoothing and filling are the session's, as for every grounder. If a family is not known to answer with places,
it is asked for the time only. Calls that fail leave a partial answer with a warning.

Left out: sentences about the video as a whole ("the last time that ...") when it needs more than one window, since no
window sees all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import parse
from whenwhere.answers.thought import split_thought
from whenwhere.grounders.answer_boxes import format_box, match_boxes, reply_boxes, time_tolerance
from whenwhere.grounders.call_runner import CallRunner, FrameRequest, plan_costs, request_costs
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.windows import (
    SamplingConfig,
    best_sample,
    border_windows,
    clip_span,
    covered_span,
    frame_times,
    frames_per_call,
    merge_windows,
    sharpen_span,
    shown_width,
    split_windows,
    window_spans,
)
from whenwhere.models.backends.base import ModelBackend, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.tracking import second_level_times
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo
from whenwhere.video.picture import output_size

#: Temperature of the samples after the first, which is the model's best guess (temperature 0).
TEMPERATURE = 0.7
#: Number of frames that the description of the target is made from.
DESCRIBED = 4
#: Tokens of a usual span, box, and description as JSON or words, for plans.
SPAN_TOKENS, BOX_TOKENS, WORDS_TOKENS = 24, 40, 40
#: Largest number of tokens in an answer about time; and in one about places, for each box and for what surrounds them.
MAX_SPANS, MAX_BOX, MAX_START = 512, 64, 128
#: Seconds of the one answer that a plan assumes where the time is not given: the mean of VidSTG's.
ASSUMED = 9.4
#: Letters of a description that later calls repeat, and of a text listed as a candidate.
_DESCRIPTION, LISTED = 300, 200

PART = " You see the part from {start:.1f} to {end:.1f} seconds of it. If it does not happen in this part, output []."
HANDED = " In the first frame, at {time:.1f} seconds, it is at {box}; follow the same one."


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Times whose boxes are asked for in one call, and the last time of the chunk before."""

    times: NDArray[np.float64]
    before: float | None


class SecondLevel:
    """Grounds sentences by a vision-language model, one box per second.

    Args:
        backend: The model.
        sampling: How many frames it is shown at a time.
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
        """Answer one sentence (see `Grounder.ground`).

        Raises:
            ChatError, ModelError: the model gave no answer at all.
        """
        runner = CallRunner(self.backend, info, request, self.progress)
        spans = runner.resolve_time(self.find_time)
        if spans and self.backend.dialect.coordinates is None:
            runner.warnings.append(
                f"nothing is known of how {self.backend.dialect.name} models answer with places: only time was asked"
            )
        elif spans:
            target = self.which(runner, spans)
            runner.result.reading = {"target": target} if target else None
            runner.result.tubes = self.where(runner, target, spans)
        return runner.finish()

    def find_time(self, runner: CallRunner) -> SpanSet | None:
        """Steps 1 and 2: the spans, empty where it does not happen, None where nothing can be said."""
        spans = self.when(runner)
        return self.refine(runner, spans) if spans else spans

    def when(self, runner: CallRunner) -> SpanSet | None:
        """Step 1: the spans to about a second; empty where it does not happen, None where nothing can be said.

        The confidence and, where nothing was found, candidates are put into the runner's result.
        """
        samples, searched = runner.request.samples, clip_span(runner.info, runner.request.within)
        step = 1 / (runner.request.sample_fps or self.sampling.fps)
        frame_requests = self._coarse(runner.info, runner.request)
        replies = runner.ask(
            [sample_request(one, k, runner.request.seed) for one in frame_requests for k in range(samples)]
        )
        covers = [covered_span(one.times, step, searched) for one in frame_requests]
        said = [self._reply_spans(runner, r, covers[k // samples], step) for k, r in enumerate(replies)]
        answers = [merge_windows(said[k::samples], step) for k in range(samples)]
        best, runner.result.confidence = best_sample(answers)
        spans = None if best is None else answers[best]
        if spans is None:
            runner.result.candidates = [
                {"start": round(c.start, 3), "end": round(c.end, 3), "said": r.text.strip()[:LISTED]}
                for c, r in zip(covers, replies[::samples], strict=True)
                if r.text.strip()
            ]
        return spans

    def refine(self, runner: CallRunner, spans: SpanSet) -> SpanSet:
        """Step 2: the same spans with finer ends. An end about which nothing could be read stays as it is."""
        frame_requests, reach, step = self._fine(runner.info, runner.request, spans)
        replies = runner.ask(frame_requests)
        searched = clip_span(runner.info, runner.request.within)
        covers = [covered_span(one.times, step, searched) for one in frame_requests]
        said = [self._reply_spans(runner, r, c, step) for r, c in zip(replies, covers, strict=True)]
        closer = [(c, s) for c, s in zip(covers, said, strict=True) if s]
        return SpanSet(sharpen_span(span, closer, reach, step) for span in spans)

    def which(self, runner: CallRunner, spans: SpanSet) -> str:
        """Step 3: what the thing looks like, in a sentence; empty where the model does not say."""
        (reply,) = runner.ask([self._description(runner.info, runner.request.query, spans)])
        runner.note(reply, None)
        words = " ".join(split_thought(reply.text).answer.split()) if reply.finish in ("stop", "length") else ""
        return words[:_DESCRIPTION]

    def where(self, runner: CallRunner, target: str, spans: SpanSet) -> list[Tube]:
        """Step 4: the tube of the thing that `target` describes; no tube where no box could be read."""
        info, dialect, query, rate = runner.info, self.backend.dialect, runner.request.query, runner.request.rate
        times = np.concatenate([second_level_times(s, rate, info.last_before(s.end)) for s in spans])
        shown, back = np.unique(info.times[info.shown(times)], return_inverse=True)
        boxes = np.full((len(shown), 4), np.nan)
        left, size, tolerance = 0, (0, 0), time_tolerance(shown, dialect.resolution)
        for chunk in self._chunks(info, query, target, shown):
            handed = None
            if chunk.before is not None and not dialect.points:
                box = boxes[np.searchsorted(shown, chunk.before)]
                handed = None if np.isnan(box[0]) else (chunk.before, format_box(box, dialect, info, size))
            (reply,) = runner.ask([self._boxes_request(info, query, target, chunk.times, handed)])
            size = reply.shown
            answer = reply_boxes(reply, dialect, info) if reply.text else None
            runner.note(reply, answer)
            if answer is not None:
                # a box of the frame that was handed over is matched to that frame and is not a new one
                listed = chunk.times if handed is None else np.concatenate([[handed[0]], chunk.times])
                untimed = all(b.time is None for b in answer.boxes) and len(answer.boxes) == len(chunk.times)
                got, over = match_boxes(answer.boxes, chunk.times if untimed else listed, tolerance)
                boxes[np.searchsorted(shown, chunk.times)] = got[-len(chunk.times) :]
                left += over
        if left:
            runner.warnings.append(f"{left} boxes belonged to no second that was asked for and were dropped")
        if dialect.points:
            runner.warnings.append(f"{dialect.name} models answer with points: boxes are small squares around them")
        boxes = boxes[back]
        keep = ~np.isnan(boxes[:, 0])
        if not keep.any():
            runner.warnings.append("the model gave no box that can be read")
            return []
        # reversed and empty boxes are counted and dropped like those outside the frame, before they become a tube
        good = keep & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        if (keep & ~good).any():
            runner.warnings.append(f"{int((keep & ~good).sum())} boxes were reversed or empty and were dropped")
        return [Tube(spans, times[good], boxes[good], rate=rate)] if good.any() else []

    def estimate(self, info: VideoInfo, request: GroundingRequest) -> dict[str, Any]:
        """What `ground` would cost, step by step, if one answer of `assumed_seconds` is found. Nothing is asked."""
        steps: dict[str, dict[str, int]] = {}
        query = request.query
        if request.span is not None:
            spans = SpanSet([clip_span(info, request.span)])
        else:
            coarse = self._coarse(info, request)
            steps["when"] = request_costs(self.backend, info, [one for one in coarse for _ in range(request.samples)])
            searched = clip_span(info, request.within)
            middle = (searched.start + searched.end) / 2
            half = min(ASSUMED, searched.duration) / 2
            spans = SpanSet([(middle - half, middle + half)])
            steps["refine"] = request_costs(self.backend, info, self._fine(info, request, spans)[0])
        if self.backend.dialect.coordinates is not None:
            steps["which"] = request_costs(self.backend, info, [self._description(info, query, spans)])
            times = np.concatenate([second_level_times(s, request.rate, info.last_before(s.end)) for s in spans])
            shown = np.unique(info.times[info.shown(times)])
            target = "x" * 4 * WORDS_TOKENS
            box = None if self.backend.dialect.points else "[100, 100, 200, 200]"
            places = [
                self._boxes_request(
                    info, query, target, c.times, None if c.before is None or box is None else (c.before, box)
                )
                for c in self._chunks(info, query, target, shown)
            ]
            steps["where"] = request_costs(self.backend, info, places)
        return plan_costs(steps, assumed_seconds=round(spans.duration, 3))

    def _reply_spans(self, runner: CallRunner, reply: ModelReply, window: Span, step: float) -> SpanSet | None:
        """The spans that a reply about a window names; None where it says nothing."""
        if reply.error is not None or reply.finish == "refused":
            runner.note(reply, None)
            return None
        answer = parse(reply.text, form=self.backend.dialect.spans_form, duration=runner.info.duration)
        runner.note(reply, answer)
        spans, useless = window_spans(answer, window, step)
        if useless:
            runner.warn("some spans ended before they began, or lay outside what was shown, and were dropped")
        return spans

    def _coarse(self, info: VideoInfo, request: GroundingRequest) -> list[FrameRequest]:
        searched = clip_span(info, request.within)
        fps = request.sample_fps or self.sampling.fps
        return self._time_requests("when", info, request.query, searched, searched, fps)

    def _fine(
        self, info: VideoInfo, request: GroundingRequest, spans: SpanSet
    ) -> tuple[list[FrameRequest], float, float]:
        """Requests around the borders, how many seconds an end may move, and the seconds between frames."""
        searched = clip_span(info, request.within)
        reach = 2 / (request.sample_fps or self.sampling.fps)
        fps = max(min(self.sampling.fine_fps, info.fps or self.sampling.fine_fps), 1e-3)
        around = border_windows(spans, reach, searched)
        frame_requests = [
            one for w in around for one in self._time_requests("refine", info, request.query, w, searched, fps)
        ]
        return frame_requests, reach, 1 / fps

    def _time_requests(
        self, step: str, info: VideoInfo, query: str, part: Span, searched: Span, fps: float
    ) -> list[FrameRequest]:
        """Windows over a part of the video, each with the question about time."""
        dialect, width = self.backend.dialect, shown_width(info, self.sampling.side)
        question = dialect.ask_when(query, info.duration)
        longest = question + PART.format(start=info.duration, end=info.duration)
        most = frames_per_call(self.backend, *output_size(info, width), longest, self.sampling.tokens)
        frame_requests = []
        for times in split_windows(frame_times(info, part, fps), most):
            seen = covered_span(times, 1 / fps, searched)
            whole = seen.start <= 0 and seen.end >= info.duration - 1 / fps
            prompt = question if whole else question + PART.format(start=seen.start, end=seen.end)
            frame_requests.append(
                FrameRequest(step, times, width, prompt, dialect.when_schema(), MAX_SPANS, SPAN_TOKENS)
            )
        return frame_requests

    def _description(self, info: VideoInfo, query: str, spans: SpanSet) -> FrameRequest:
        """The question what the thing looks like, with a few frames spread over the longest span."""
        longest = max(spans, key=lambda s: s.duration)
        grid = longest.start + longest.duration * (np.arange(DESCRIBED) + 0.5) / DESCRIBED
        times = info.times[np.unique(info.shown(grid))]
        width = shown_width(info, self.sampling.close_side)
        return FrameRequest("which", times, width, self.backend.dialect.ask_which(query), None, MAX_START, WORDS_TOKENS)

    def _chunks(self, info: VideoInfo, query: str, target: str, times: NDArray[np.float64]) -> list[_Chunk]:
        """Times in chunks of about one size; each but the first knows the last time of the one before."""
        width = shown_width(info, self.sampling.close_side)
        longest = self.backend.dialect.ask_where(query, target, times[: self.sampling.boxes].tolist()) + HANDED
        # one frame is kept free for the one that is handed over
        fits = frames_per_call(self.backend, *output_size(info, width), longest, self.sampling.tokens) - 1
        most = max(min(fits, self.sampling.boxes), 1)
        parts = np.array_split(times, -(-len(times) // most))
        befores = [None, *(float(part[-1]) for part in parts)]
        return [_Chunk(part, before) for part, before in zip(parts, befores, strict=False)]

    def _boxes_request(
        self, info: VideoInfo, query: str, target: str, times: NDArray[np.float64], handed: tuple[float, str] | None
    ) -> FrameRequest:
        """The question about boxes at these times; `handed` is the time and box of the frame before them."""
        dialect = self.backend.dialect
        prompt = dialect.ask_where(query, target, times.tolist())
        shown = times
        if handed is not None:
            prompt += HANDED.format(time=handed[0], box=handed[1])
            shown = np.concatenate([[handed[0]], times])
        return FrameRequest(
            "where", shown, shown_width(info, self.sampling.close_side), prompt, dialect.where_schema(times.tolist()),
            MAX_START + MAX_BOX * len(times), BOX_TOKENS * len(times),
        )  # fmt: skip


def sample_request(frame_request: FrameRequest, k: int, seed: int) -> FrameRequest:
    """The k-th sample of a request. Its times stay the same object, which tells that the frames are shared.

    Args:
        frame_request: What is shown and asked.
        k: Number of the sample; 0 is the model's best guess and is not drawn.
        seed: Seed of the first sample.
    """
    return replace(frame_request, temperature=TEMPERATURE if k else 0.0, seed=seed + k)
