"""A model behind an address as a back end: vLLM, SGLang or a hosted model, named `http://host:8000/v1#model-name`.

The frames are the ones that the pipeline chose, decoded here; the server never sees the video and samples nothing. They
go as single pictures, each with its own time written before it, which every server understands (`images`), or, where
asked and to vLLM only, as one video: `pairs` hands the frames over as they are, `repeat` shows each one twice (see
`whenwhere.answers.dialects`). vLLM is told the frames' true times in its field `media_io_kwargs`, in milliseconds; its
versions before April 2026 do not know that field's `frames_indices` and would invent times, so `images` is the default.

A call that fails is a reply with an error. Answers that were paid for are kept (`whenwhere.chat.response_cache`), and
pictures are encoded only when they are really sent.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect, FrameMode, dialect_for
from whenwhere.chat import (
    Address,
    Budget,
    ChatRequest,
    Client,
    Completion,
    FramesPart,
    Part,
    PicturePart,
    RetryPolicy,
    TextPart,
)
from whenwhere.chat.request import QUALITY, picture_tokens
from whenwhere.errors import ChatError, SettingError, WhenwhereError, check_range
from whenwhere.models.backends.base import BackendKind, BackendOptions, ModelBackend, ModelCall, ModelReply
from whenwhere.models.frames import lay_out
from whenwhere.store import Cache

#: Largest number of pixels of a frame, as for a checkpoint in this process: what the Qwen families give a frame of a
#: video at most.
PIXELS = 768 * 28 * 28
#: Calls that are with the server at a time, unless asked otherwise.
CONCURRENCY = 8
#: Families that answer in pixels mean those of the picture after their own resizing to multiples of this; frames that
#: have such sides already are not resized there, so that the pixels are known here. (Qwen2.5-VL: patch 14, merge 2.)
_SIDE = 28
#: Tokens of a written time.
_STAMP = 8


class EndpointBackend(ModelBackend):
    """Asks a model behind an address.

    Args:
        name: `https://host/v1#model-name`; without a model's name the server's only model is taken.
        dialect: How the family is asked. None tells it from the model's name.
        frames: How frames are handed over: `images`, or to vLLM `pairs` or `repeat`.
        long_side: Largest number of pixels of a frame's longer side. None sets no limit.
        pixels: Largest number of pixels of a frame. None sets no limit.
        quality: Quality of the JPEG pictures, 1-100.
        cache: Where answers are kept. None is the user's cache folder.
        budget: What may be spent. None sets no limit.
        retry: Time-outs and further tries.
        concurrency: Largest number of calls that are with the server at a time.
        stream: Whether answers are sent word by word; a server that is stuck shows sooner.
        key_variable: Environment variable that holds the key.

    Attributes:
        client: The connections, with what was spent (`usage`) and what the server cannot do (`conceded`).

    Raises:
        SettingError, ChatError: see `whenwhere.chat.Client`.
    """

    error_type: ClassVar[type[WhenwhereError]] = ChatError

    def __init__(
        self,
        name: str,
        *,
        dialect: Dialect | None = None,
        frames: FrameMode = "images",
        long_side: int | None = None,
        pixels: int | None = PIXELS,
        quality: int = QUALITY,
        cache: Cache | None = None,
        budget: Budget | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int = CONCURRENCY,
        stream: bool = False,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        if frames not in ("images", "pairs", "repeat"):
            raise SettingError(f"frames go to an endpoint as images, pairs or repeat, not as {frames!r}")
        if not 1 <= quality <= 100:
            raise SettingError(f"the quality of JPEG pictures is between 1 and 100, not {quality}")
        if (long_side is not None and long_side < 1) or (pixels is not None and pixels < 1):
            raise SettingError("frames are shown with at least one pixel")
        self.client = Client(
            name,
            cache=cache,
            budget=budget,
            retry=retry,
            concurrency=concurrency,
            stream=stream,
            key_variable=key_variable,
        )
        self.name = f"{self.client.address.base}#{self.client.address.model}"
        self.dialect = dialect or dialect_for(self.client.address.model)
        self.frames: FrameMode = frames
        self.concurrency = concurrency
        self.long_side, self.pixels, self.quality = long_side, pixels, quality

    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        """Answer calls, in order; up to `concurrency` of them are with the server at a time."""
        questions, sizes = [], []
        for call in calls:
            images = self._sized(call.images)
            questions.append(self._question(call, images))
            sizes.append((images.shape[2], images.shape[1]) if len(images) else (0, 0))
        answers = self.client.complete_all(questions)
        return [_reply(answer, size) for answer, size in zip(answers, sizes, strict=True)]

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """Estimate the tokens of a call with this many frames; the server's own count comes with its reply."""
        steps = math.ceil(frames / self.dialect.merge) if self.frames == "pairs" else frames
        return TextPart(prompt).tokens() + 4 + steps * (picture_tokens(*self._size(width, height)) + _STAMP)

    def warnings(self) -> list[str]:
        """Sentences for the user on what the server cannot do and was therefore not asked for."""
        lacking = self.client.conceded
        said = {
            "json_schema": "does not hold answers to a schema; it was asked for in words",
            "temperature": "does not take a temperature; answers are drawn as it likes",
            "seed": "does not take a seed; drawn answers cannot be repeated",
        }
        return [f"{self.name} {words}" for name, words in said.items() if name in lacking]

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def question(self, call: ModelCall) -> ChatRequest:
        """The question that a call is sent as."""
        return self._question(call, self._sized(call.images))

    def _question(self, call: ModelCall, images: NDArray[np.uint8]) -> ChatRequest:
        """The question of a call whose frames have their final size, laid out as for a checkpoint in this process."""
        layout = lay_out(images, call.times, call.prompt, self.dialect, self.frames)
        singles = iter(layout.images)
        parts: list[Part] = []
        extra: dict[str, Any] = {}
        for part in layout.content:
            if part["type"] == "text":
                parts.append(TextPart(part["text"]))
            elif part["type"] == "image":
                parts.append(PicturePart(next(singles), self.quality))
            elif layout.video is not None and layout.metadata is not None:
                parts.append(FramesPart([PicturePart(image, self.quality) for image in layout.video]))
                told = {k: layout.metadata[k] for k in ("fps", "frames_indices", "duration")}
                total = max(layout.metadata["total_num_frames"], len(layout.video))
                # without the first of these the server would show no more than 32 frames
                extra["media_io_kwargs"] = {"video": {"num_frames": -1, "total_num_frames": total, **told}}
        return ChatRequest.of(
            *parts,
            max_tokens=call.max_tokens,
            temperature=call.temperature,
            seed=call.seed,
            schema=call.schema,
            extra=extra,
        )

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which frames are sent: never larger, except where sides must be multiples."""
        factor = min(1.0, (self.long_side or max(width, height)) / max(width, height))
        factor = min(factor, math.sqrt((self.pixels or width * height) / (width * height)))
        step = _SIDE if self.dialect.coordinates == "pixels" else 1
        return max(round(width * factor / step), 1) * step, max(round(height * factor / step), 1) * step

    def _sized(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not len(images):
            return images
        height, width = images.shape[1:3]
        size = self._size(width, height)
        if size == (width, height):
            return images
        import cv2

        return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])


def _reply(answer: Completion | ChatError, shown: tuple[int, int]) -> ModelReply:
    if isinstance(answer, ChatError):
        return ModelReply(finish="error", shown=shown, error=str(answer))
    return ModelReply(
        text=answer.text,
        prompt_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
        seconds=0.0 if answer.stored else answer.seconds,
        finish=answer.finish,
        cached=answer.stored,
        shown=shown,
        thought=answer.choices[0].thought,
    )


def _owns(name: str) -> bool:
    return "://" in name


def _check(name: str, options: BackendOptions) -> None:
    Address.parse(name)
    if options.device is not None:
        raise SettingError("a device is for models in this process; what runs behind an address chooses its own")
    if options.concurrency is not None:
        check_range(options.concurrency, 1, 256, "the number of questions that an endpoint is sent at a time")


def _build(name: str, options: BackendOptions) -> EndpointBackend:
    backend = EndpointBackend(
        name, cache=options.cache, budget=options.budget, concurrency=options.concurrency or CONCURRENCY
    )
    backend.name = name
    return backend


ENDPOINT = BackendKind("an address such as http://host:8000/v1#model-name", _owns, _check, _build, in_process=False)
