"""What a pipeline needs of a vision-language model, wherever that runs.

A pipeline (`second_level`, `framewise`, `uniform`) decides which frames to show and what to ask; a `Talker` turns one
such `Call` into the model's text. Two talkers exist: a checkpoint in this process (`vlm`) and an endpoint that speaks
the OpenAI protocol (`endpoint`). Neither knows what the answer means, and no pipeline knows where the model runs.

Failures of single calls are data (`Reply.error`): an endpoint that dies half-way must not lose the answers that were
already paid for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect


@dataclass(frozen=True, eq=False)
class Call:
    """One question to the model.

    Attributes:
        images: (n, h, w, 3) uint8 RGB frames, upright, in order of time.
        times: (n,) seconds: the frames' own displayed times, not the ones asked for; on the call's clock.
        prompt: the words, as the dialect asks.
        schema: JSON schema that the answer must follow, where the model can be held to one; None = free text.
        max_tokens: of the answer.
        temperature: 0 = greedy.
        seed: for drawing.
        step: what the call is for (`when`, `refine`, `which`, `where`, ...), for the trace.
        clock: second of the video at which the call's clock begins, for the trace.
    """

    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    prompt: str
    schema: dict[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    step: str = ""
    clock: float = 0.0


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: the answer, as written; empty where there is none.
        prompt_tokens: as the model counted them (frames included), or our estimate where it does not say.
        output_tokens: likewise.
        seconds: until the whole answer was there.
        finish: `length` means that the answer was cut off.
        cached: it was answered before and cost nothing now.
        shown: (width, height) in pixels of the frames as the model saw them: absolute coordinates refer to it.
        memory: most bytes of accelerator memory in use at a time; 0 where nothing was measured (CPU, endpoints).
        error: one sentence where the call failed.
        unknown: words of the prompt that the model has no token for.
    """

    text: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    finish: Literal["stop", "length", "refused", "error"] = "stop"
    cached: bool = False
    shown: tuple[int, int] = (0, 0)
    memory: int = 0
    error: str | None = None
    unknown: tuple[str, ...] = ()


@dataclass
class Spent:
    """Running costs of one answer, and the trace of its calls."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    frames_decoded: int = 0
    frames_shown: int = 0
    memory: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    def add(self, call: Call, reply: Reply) -> None:
        """Count one call; answers from the cache and failures cost nothing, but stay in the trace."""
        if not reply.cached and reply.error is None:
            self.calls += 1
            self.prompt_tokens += reply.prompt_tokens
            self.output_tokens += reply.output_tokens
            self.memory = max(self.memory, reply.memory)
        self.frames_shown += len(call.times)
        self.trace.append(
            {
                "step": call.step, "frames": len(call.times), "prompt": call.prompt, "text": reply.text,
                "first": round(float(call.times[0]) + call.clock, 3) if len(call.times) else None,
                "last": round(float(call.times[-1]) + call.clock, 3) if len(call.times) else None,
                "prompt_tokens": reply.prompt_tokens, "output_tokens": reply.output_tokens,
                "seconds": round(reply.seconds, 3), "finish": reply.finish, "cached": reply.cached,
                "error": reply.error,
            }
        )  # fmt: skip


class Talker(Protocol):
    """A model that can be asked about frames."""

    name: str
    dialect: Dialect

    def ask(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply per call, in order; calls that belong together may be computed together."""
        ...

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """Tokens that a call with so many frames of this size would cost (an estimate where the model is remote)."""
        ...
