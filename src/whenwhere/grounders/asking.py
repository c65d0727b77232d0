"""From looks to replies: frames decoded once, calls made in groups, costs counted, failures kept as data.

A `Look` is a call before its frames are decoded. The same looks are priced for a plan (`price`) and asked for an answer
(`Asking.ask`), so that a plan cannot drift away from what is done.

Memory: looks are decoded in groups of bounded size, whatever the length of the video. Calls of a group go to the back
end together, which may compute or send them side by side.

An answer that was cut off is asked for once more with more tokens. Where every call of two groups in a row fails, the
model is taken for gone and is not asked again: an endpoint that died half-way costs two groups' patience, not all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer
from whenwhere.grounders.grounder import Found
from whenwhere.models.backends.base import CallCosts, ModelBackend, ModelCall, ModelReply
from whenwhere.video import VideoInfo, read_frames
from whenwhere.video.picture import output_size

#: Most bytes of frames in memory at a time; a single look may need more.
GROUP_BYTES = 96 << 20
#: Most calls handed to a backend at a time.
GROUP_CALLS = 32
#: How many times more tokens an answer gets that was cut off.
MORE = 4
#: Groups in a row without any answer after which a model is not asked again.
IN_VAIN = 2

#: How badly a text could be read, worst first; the words are those of `whenwhere.answers.answer` and two more:
#: `incomplete`: a call failed; `refused`: the model declined to answer.
WORST = (
    "incomplete", "refused", "unparsed", "reversed", "instant", "duplicate-time", "ambiguous", "truncated", "ok",
    "absent",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Look:
    """A call before its frames are decoded.

    Attributes:
        step: what it is for (`when`, `refine`, `which`, `where`, ...).
        times: (n,) seconds, increasing, each a frame's own time, or one at which it is on display.
        width: of the frames as they are shown, pixels.
        prompt, schema, max_tokens, temperature, seed: as in `ModelCall`.
        expects: tokens of a usual answer, for plans.
        clock: second of the video at which the clock begins that the model is told times of.
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
class Asking:
    """One sentence's talk with a model.

    Attributes:
        backend: who answers.
        info: the video.
        progress: told the share of the first `ask` that is done, 0-1.
        spent: calls, tokens, frames, and the trace.
        statuses: of the answers that were read (`note`).
        warnings: sentences for the user.
    """

    backend: ModelBackend
    info: VideoInfo
    progress: Callable[[float], None] | None = None
    spent: CallCosts = field(default_factory=CallCosts)
    statuses: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _asked: int = 0
    _failed: int = 0
    _cut: int = 0
    _error: str | None = None
    _in_vain: int = 0

    def ask(self, looks: Sequence[Look]) -> list[ModelReply]:
        """One reply per look, in order; after the model is gone, replies with its error."""
        replies: list[ModelReply] = []
        for group in groups(looks, self.info):
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
                self.progress(len(replies) / len(looks))
        self.progress = None
        return replies

    def _ask(self, looks: Sequence[Look]) -> list[ModelReply]:
        frames = np.unique(np.concatenate([look.times for look in looks])) if looks else np.zeros(0)
        pictures = read_frames(self.info, frames, width=looks[0].width)
        self.spent.frames_decoded += len(frames)
        self.warnings += [w for w in pictures.warnings if w not in self.info.warnings]
        calls = [
            ModelCall(_picked(pictures.images, np.searchsorted(frames, look.times)), look.times - look.clock,
                      look.prompt, look.schema, look.max_tokens, look.temperature, look.seed, look.step, look.clock)
            for look in looks
        ]  # fmt: skip
        replies = self._told(calls)
        cut = [k for k, reply in enumerate(replies) if reply.finish == "length" and reply.error is None]
        again = self._told([replace(calls[k], max_tokens=MORE * calls[k].max_tokens) for k in cut])
        for k, reply in zip(cut, again, strict=True):
            if reply.error is None:
                replies[k] = reply
            self._cut += replies[k].finish == "length"
        return replies

    def _told(self, calls: list[ModelCall]) -> list[ModelReply]:
        replies = self.backend.ask(calls) if calls else []
        for call, reply in zip(calls, replies, strict=True):
            self.spent.add(call, reply)
            if reply.unknown:
                words = ", ".join(dict.fromkeys(reply.unknown))
                self.warn(f"the model knows nothing of these words, and did not read them: {words}")
        return replies

    def warn(self, sentence: str) -> None:
        """A sentence for the user, said once."""
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
        """The worst of what was noted; None where nothing was."""
        return min(self.statuses, key=WORST.index) if self.statuses else None

    def into(self, found: Found) -> Found:
        """Put costs, trace, how the answers could be read, and warnings into what was found.

        Raises:
            ChatError, ModelError: no call was answered and nothing was found: that is a failure, not an answer.
        """
        if self._error is not None and not found.spans and all(call["error"] for call in self.spent.trace):
            raise self.backend.error_type(self._error)
        found.spent, found.parse = self.spent, self.status
        found.frames_decoded, found.frames_shown = self.spent.frames_decoded, self.spent.frames_shown
        found.warnings = list(dict.fromkeys([*found.warnings, *self.sentences()]))
        return found

    def sentences(self) -> list[str]:
        """All warnings, those about calls included."""
        said = list(self.warnings)
        if self._failed:
            said.append(f"{self._failed} of {self._asked} calls failed, so the answer is incomplete: {self._error}")
        if self._cut:
            said.append(
                f"{self._cut} of {self._asked} answers were cut off even with {MORE} times the tokens; "
                "what was whole is kept"
            )
        if refused := self.statuses.count("refused"):
            said.append(f"the model declined {refused} of {self._asked} calls")
        return said


def groups(looks: Sequence[Look], info: VideoInfo) -> Iterator[list[Look]]:
    """Neighbouring looks of one size whose frames fit into memory together."""
    group: list[Look] = []
    held = 0
    for look in looks:
        width, height = output_size(info, look.width)
        # samples of one window share their frames
        new = 0 if group and look.times is group[-1].times else len(look.times) * width * height * 3
        full = held + new > GROUP_BYTES or len(group) == GROUP_CALLS
        if group and (full or look.width != group[-1].width):
            yield group
            group, held = [], 0
            new = len(look.times) * width * height * 3
        group.append(look)
        held += new
    if group:
        yield group


def _picked(images: NDArray[np.uint8], index: NDArray[np.intp]) -> NDArray[np.uint8]:
    """These images; a view where they are neighbours."""
    first, last = int(index[0]), int(index[-1])
    return images[first : last + 1] if last - first + 1 == len(index) else images[index]


def price(backend: ModelBackend, info: VideoInfo, looks: Sequence[Look]) -> dict[str, int]:
    """What these looks would cost: calls, frames shown, prompt tokens, and the tokens of usual answers."""
    total = {"calls": len(looks), "frames": 0, "prompt_tokens": 0, "output_tokens": 0}
    for look in looks:
        width, height = output_size(info, look.width)
        total["frames"] += len(look.times)
        total["prompt_tokens"] += backend.prompt_tokens(len(look.times), width, height, look.prompt)
        total["output_tokens"] += look.expects
    return total


def summed(steps: dict[str, dict[str, int]], **more: Any) -> dict[str, Any]:
    """A plan: what all steps cost together, and each of them.

    >>> summed({"when": {"calls": 2}, "where": {"calls": 1}})
    {'calls': 3, 'steps': {'when': {'calls': 2}, 'where': {'calls': 1}}}
    """
    keys = list(dict.fromkeys(key for step in steps.values() for key in step))
    return {key: sum(step[key] for step in steps.values()) for key in keys} | {"steps": steps} | more
