"""From frame requests to replies: frames are decoded once, calls are made in groups, costs are added up.

A `FrameRequest` is a call before its frames are decoded. The same requests are priced for a plan (`request_costs`) and
asked for an answer (`CallRunner.ask`), so that a plan cannot drift away from what is done.

Memory: requests are decoded in groups of bounded size, whatever the length of the video. The calls of a group go to the
back end together, which may compute or send them side by side.

An answer that was cut off is asked for once more with more tokens. If every call of two groups in a row fails, the
model is taken to be gone and is not asked again: an endpoint that dies half-way costs the time-outs of two groups, not
of all. Failures are kept as data, so that an answer can be partial.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer
from whenwhere.grounders.grounder import GroundingRequest, GroundingResult
from whenwhere.grounders.windows import clip_span
from whenwhere.models.backends.base import CallCosts, ModelBackend, ModelCall, ModelReply
from whenwhere.spans import Span, SpanSet
from whenwhere.video import VideoInfo, read_frames
from whenwhere.video.picture import output_size

#: Largest number of bytes of frames in memory at a time; a single request may need more.
GROUP_BYTES = 96 << 20
#: Largest number of calls handed to a back end at a time.
GROUP_CALLS = 32
#: How many times more tokens an answer gets after it was cut off.
MORE = 4
#: After this many groups in a row without any answer a model is not asked again.
IN_VAIN = 2

#: How badly a text could be read, worst first. The words are those of `whenwhere.answers.answer` and two more:
#: `incomplete` means that a call failed, `refused` that the model declined to answer.
WORST = (
    "incomplete", "refused", "unparsed", "reversed", "instant", "duplicate-time", "ambiguous", "truncated", "ok",
    "absent",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FrameRequest:
    """A call before its frames are decoded.

    Attributes:
        step: What the call is for (`when`, `refine`, `which`, `where`, ...).
        times: Increasing seconds, shape (n,), each a frame's own time or a time at which that frame is displayed.
        width: Width in pixels at which the frames are shown.
        prompt: The question in words.
        schema: JSON schema of the answer; None means free text.
        max_tokens: Largest number of tokens in the answer.
        expects: Number of tokens in a usual answer, for plans.
        temperature: Sampling temperature; 0 takes the likeliest token each time.
        seed: Seed of the sampling.
        clock: Second of the video at which the clock begins that the model is told times of.
    """

    step: str
    times: NDArray[np.float64]
    width: int
    prompt: str
    schema: dict[str, Any] | None
    max_tokens: int
    expects: int
    temperature: float = 0.0
    seed: int = 0
    clock: float = 0.0


@dataclass
class CallRunner:
    """Runs the model calls that answer one grounding request and adds up what they cost.

    Attributes:
        backend: The model.
        info: The video.
        request: The sentence and how it is to be looked for.
        progress: Called with the share of the first `ask` that is done, from 0 to 1.
        result: What was found so far; it begins as unsure.
        costs: Calls, tokens and frames so far, and the trace of the calls.
        statuses: Statuses of the answers that were read (`note`).
        warnings: Sentences for the user.
    """

    backend: ModelBackend
    info: VideoInfo
    request: GroundingRequest
    progress: Callable[[float], None] | None = None
    result: GroundingResult = field(default_factory=lambda: GroundingResult("unsure"))
    costs: CallCosts = field(default_factory=CallCosts)
    statuses: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _asked: int = 0
    _failed: int = 0
    _cut: int = 0
    _error: str | None = None
    _in_vain: int = 0

    def resolve_time(self, find: Callable[["CallRunner"], SpanSet | None]) -> SpanSet:
        """The time of the answer, put into `result`: the request's own if it has one, else what `find` finds.

        Args:
            find: Asks the model for the time. None means that nothing can be said, an empty set that it does not
                happen.

        Returns:
            The spans in which boxes are to be found, each with the confidence as its score. They are empty where the
            status is `unsure` or `absent`.
        """
        span = self.request.span
        spans = find(self) if span is None else SpanSet([clip_span(self.info, span)])
        if spans is not None:
            self.result.status = "answered" if spans else "absent"
            self.result.spans = SpanSet(Span(s.start, s.end, self.result.confidence) for s in spans)
        return self.result.spans

    def ask(self, frame_requests: Sequence[FrameRequest]) -> list[ModelReply]:
        """One reply per request, in order. Once the model is gone, the replies hold its error."""
        replies: list[ModelReply] = []
        for group in memory_groups(frame_requests, self.info):
            self._asked += len(group)
            if self._in_vain >= IN_VAIN:
                replies += [ModelReply(finish="error", error=self._error)] * len(group)
                self._failed += len(group)
                continue
            got = self._ask(group)
            failed = [r for r in got if r.error is not None]
            self._failed += len(failed)
            if failed:
                self._error = self._error or failed[0].error
            self._in_vain = self._in_vain + 1 if len(failed) == len(got) else 0
            replies += got
            if self.progress is not None:
                self.progress(len(replies) / len(frame_requests))
        self.progress = None
        return replies

    def _ask(self, group: Sequence[FrameRequest]) -> list[ModelReply]:
        frames = np.unique(np.concatenate([one.times for one in group])) if group else np.zeros(0)
        pictures = read_frames(self.info, frames, width=group[0].width)
        self.costs.frames_decoded += len(frames)
        self.warnings += [w for w in pictures.warnings if w not in self.info.warnings]
        calls = [
            ModelCall(_picked(pictures.images, np.searchsorted(frames, one.times)), one.times - one.clock, one.prompt,
                      one.schema, one.max_tokens, one.temperature, one.seed, one.step, one.clock)
            for one in group
        ]  # fmt: skip
        replies = self._call(calls)
        cut = [k for k, reply in enumerate(replies) if reply.finish == "length" and reply.error is None]
        again = self._call([replace(calls[k], max_tokens=MORE * calls[k].max_tokens) for k in cut])
        for k, reply in zip(cut, again, strict=True):
            if reply.error is None:
                replies[k] = reply
            self._cut += replies[k].finish == "length"
        return replies

    def _call(self, calls: list[ModelCall]) -> list[ModelReply]:
        replies = self.backend.ask(calls) if calls else []
        for call, reply in zip(calls, replies, strict=True):
            self.costs.add(call, reply)
            if reply.unknown:
                words = ", ".join(dict.fromkeys(reply.unknown))
                self.warn(f"the model knows nothing of these words, and did not read them: {words}")
        return replies

    def warn(self, sentence: str) -> None:
        """Add a sentence for the user, unless it is there already."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def note(self, reply: ModelReply, answer: ParsedAnswer | None) -> None:
        """Remember how well a reply could be read."""
        if reply.error is not None:
            self.statuses.append("incomplete")
        elif reply.finish == "refused":
            self.statuses.append("refused")
        elif answer is not None:
            self.statuses.append(answer.status)

    @property
    def status(self) -> str | None:
        """The worst status that was noted; None where none was."""
        return min(self.statuses, key=WORST.index) if self.statuses else None

    def finish(self) -> GroundingResult:
        """The result with its costs, the trace, the parse status and the warnings.

        Raises:
            ChatError, ModelError: no call was answered and nothing was found: that is a failure, not an answer.
        """
        result = self.result
        if self._error is not None and not result.spans and all(call["error"] for call in self.costs.trace):
            raise self.backend.error_type(self._error)
        result.costs, result.parse = self.costs, self.status
        result.frames_decoded, result.frames_shown = self.costs.frames_decoded, self.costs.frames_shown
        result.warnings = list(dict.fromkeys([*result.warnings, *self.all_warnings()]))
        return result

    def all_warnings(self) -> list[str]:
        """The warnings, and sentences on calls that failed, were cut off or were refused."""
        sentences = list(self.warnings)
        if self._failed:
            sentences.append(
                f"{self._failed} of {self._asked} calls failed, so the answer is incomplete: {self._error}"
            )
        if self._cut:
            sentences.append(
                f"{self._cut} of {self._asked} answers were cut off even with {MORE} times the tokens; "
                "what was whole is kept"
            )
        if refused := self.statuses.count("refused"):
            sentences.append(f"the model declined {refused} of {self._asked} calls")
        return sentences


def memory_groups(frame_requests: Sequence[FrameRequest], info: VideoInfo) -> Iterator[list[FrameRequest]]:
    """Neighbouring requests of one frame size whose frames fit into memory together."""
    group: list[FrameRequest] = []
    held = 0
    for one in frame_requests:
        width, height = output_size(info, one.width)
        # samples of one window share their frames
        new = 0 if group and one.times is group[-1].times else len(one.times) * width * height * 3
        full = held + new > GROUP_BYTES or len(group) == GROUP_CALLS
        if group and (full or one.width != group[-1].width):
            yield group
            group, held = [], 0
            new = len(one.times) * width * height * 3
        group.append(one)
        held += new
    if group:
        yield group


def _picked(images: NDArray[np.uint8], index: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The images at these indices; a view where the indices are consecutive."""
    first, last = int(index[0]), int(index[-1])
    return images[first : last + 1] if last - first + 1 == len(index) else images[index]


def request_costs(backend: ModelBackend, info: VideoInfo, frame_requests: Sequence[FrameRequest]) -> dict[str, int]:
    """What these requests would cost: calls, frames shown, prompt tokens, and the tokens of usual answers."""
    total = {"calls": len(frame_requests), "frames": 0, "prompt_tokens": 0, "output_tokens": 0}
    for one in frame_requests:
        width, height = output_size(info, one.width)
        total["frames"] += len(one.times)
        total["prompt_tokens"] += backend.prompt_tokens(len(one.times), width, height, one.prompt)
        total["output_tokens"] += one.expects
    return total


def plan_costs(steps: dict[str, dict[str, int]], **more: Any) -> dict[str, Any]:
    """The cost of a plan: all steps together, and each of them.

    >>> plan_costs({"when": {"calls": 2}, "where": {"calls": 1}})
    {'calls': 3, 'steps': {'when': {'calls': 2}, 'where': {'calls': 1}}}
    """
    keys = list(dict.fromkeys(key for step in steps.values() for key in step))
    return {key: sum(step[key] for step in steps.values()) for key in keys} | {"steps": steps} | more
