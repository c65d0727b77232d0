"""What a pipeline needs of a vision-language model, wherever the model runs.

A pipeline (`second_level`, `framewise`, `uniform`) decides which frames to show and what to ask. A `ModelBackend` turns
one such `ModelCall` into the model's text. Two back ends come with the package: a checkpoint in this process (`local`)
and an endpoint that speaks the OpenAI protocol (`endpoint`); `resolve` lists them. A back end does not know what an
answer means, and a pipeline does not know where the model runs.

A call that fails is data (`ModelReply.error`): an endpoint that dies half-way must not lose the answers that were
already paid for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect
from whenwhere.chat import Budget
from whenwhere.errors import ModelError, WhenwhereError
from whenwhere.store import Cache


@dataclass(frozen=True, eq=False)
class ModelCall:
    """One question to the model.

    Attributes:
        images: RGB frames, upright, in order of time; shape (n, h, w, 3), uint8.
        times: Times of the frames in seconds on the call's clock, shape (n,): when each frame is really displayed, not
            when it was asked for.
        prompt: The question in words, as the model's dialect puts it.
        schema: JSON schema that the answer must follow, where the model can be held to one. None means free text.
        max_tokens: Largest number of tokens in the answer.
        temperature: Sampling temperature; 0 takes the likeliest token each time.
        seed: Seed of the sampling.
        step: What the call is for (`when`, `refine`, `which`, `where`, ...), for the trace.
        clock: Second of the video at which the call's clock begins, for the trace.
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
class ModelReply:
    """What a model answered to one call.

    Attributes:
        text: The answer as the model wrote it; empty where there is none.
        prompt_tokens: Tokens of the prompt, frames included: the model's own count, or our estimate if there is none.
        output_tokens: Tokens of the answer, counted in the same way.
        seconds: Seconds until the whole answer was there.
        finish: How the answer ended; `length` means that it was cut off.
        cached: Whether the answer was stored by an earlier run and cost nothing now.
        shown: (width, height) in pixels of the frames as the model saw them. Absolute coordinates refer to this size.
        memory: Peak accelerator memory in bytes; 0 where it was not measured (on a CPU, or behind an endpoint).
        error: One sentence that says why the call failed; None where it did not.
        unknown: Words of the prompt for which the model has no token.
        thought: The model's reasoning, where its server keeps it apart from the answer.
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
    thought: str = ""


@dataclass
class CallCosts:
    """What the calls behind one answer cost so far, and the trace of those calls."""

    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    frames_decoded: int = 0
    frames_shown: int = 0
    memory: int = 0
    trace: list[dict[str, Any]] = field(default_factory=list)

    def add(self, call: ModelCall, reply: ModelReply) -> None:
        """Count one call. Answers from the cache and failed calls cost nothing, but they stay in the trace."""
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


class ModelBackend(ABC):
    """A model that can be asked about frames. Subclasses write `ask` and `prompt_tokens`; the rest has defaults.

    Attributes:
        name: The model's name in error messages and records; `load_model` makes it the name as it was typed, which is
            part of what identifies an answer.
        dialect: How this family of models is asked.
        concurrency: How many calls the back end works on at a time. Callers with several questions ask as many at once,
            each from its own thread, so `ask` must be safe to call from several threads where this is more than 1.
        error_type: The error to raise when the model gave no answer at all.
    """

    name: str
    dialect: Dialect
    concurrency: int = 1
    error_type: ClassVar[type[WhenwhereError]] = ModelError

    @abstractmethod
    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        """Answer several calls: one reply per call, in order. Calls that belong together may be computed together."""

    @abstractmethod
    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """Count the tokens of a call with this many frames of this size (an estimate where the model is remote)."""

    @property
    def context_length(self) -> int | None:
        """Tokens that the model can hold, prompt and answer together. None where it does not say."""
        return None

    def warnings(self) -> list[str]:
        """Sentences for the user on what the model turned out to be unable to do."""
        return []

    def close(self) -> None:
        """Release what the back end holds open, such as connections. Closing twice does no harm."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class BackendOptions:
    """What a user may choose for any back end.

    Attributes:
        cache: Where answers are kept.
        device: Where a model in this process runs, such as `cuda:1` or `cpu`. None takes an accelerator if there is
            one.
        concurrency: How many calls a back end that can work on several at a time works on. None is its default.
        budget: What may be spent at an address. None sets no limit.

    Raises:
        SettingError: from `BackendKind.check`, where an option does not fit the kind of back end.
    """

    cache: Cache
    device: str | None = None
    concurrency: int | None = None
    budget: Budget | None = None


@dataclass(frozen=True)
class BackendKind:
    """One kind of model name and the back end behind it, as `resolve.BACKENDS` lists them.

    Attributes:
        form: What such a name looks like, for the error about a name that no kind owns.
        owns: Whether a name is of this kind.
        check: Raises the error that opening the model would end in, without loading anything.
        build: Makes the back end of a name that was checked.
        in_process: Whether the model runs in this process, so that its weights can be used directly.
    """

    form: str
    owns: Callable[[str], bool]
    check: Callable[[str, BackendOptions], None]
    build: Callable[[str, BackendOptions], ModelBackend]
    in_process: bool
