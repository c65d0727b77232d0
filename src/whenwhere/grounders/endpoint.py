"""A model behind an address as a talker: vLLM, SGLang or a hosted model, named `http://host:8000/v1#model-name`.

Frames are the ones that the pipeline chose, decoded here; the server never sees the video and samples nothing. They go
as single pictures, each with its own time written before it, which every server understands (`images`), or, where asked
and to vLLM only, as one video: `pairs` hands the frames over as they are, `repeat` shows each one twice (see
`whenwhere.answers.dialects`). vLLM is told the frames' true times in its field `media_io_kwargs`, in milliseconds; its
versions before April 2026 do not know that field's `frames_indices` and would invent times, so `images` is the default.

A call that fails is a reply with an error. What was answered before comes from the memory of `whenwhere.chat`; pictures
are encoded only when they are really sent.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect, Frames, dialect_for
from whenwhere.chat import Budget, Client, Clip, Completion, Part, Patience, Picture, Question, Text
from whenwhere.chat.question import QUALITY, picture_tokens
from whenwhere.errors import ChatError, SettingError
from whenwhere.grounders.talk import Call, Reply
from whenwhere.models.frames import lay_out
from whenwhere.store import Cache

#: Most pixels of a frame, as for a checkpoint in this process: what the Qwen families give a frame of a video at most.
PIXELS = 768 * 28 * 28
#: Families that answer in pixels mean those of the picture after their own resizing to multiples of this; frames that
#: have such sides already are not resized there, so that the pixels are known here. (Qwen2.5-VL: patch 14, merge 2.)
_SIDE = 28
#: Tokens of a written time.
_STAMP = 8


class Endpoint:
    """Asks a model behind an address.

    Args:
        name: `https://host/v1#model-name`; without a model's name the server's only model is taken.
        dialect: how the family is asked; None = told from the model's name.
        frames: how frames are handed over: `images`, or to vLLM `pairs` or `repeat`.
        long_side: most pixels of a frame's longer side; None = any.
        pixels: most pixels of a frame; None = any.
        quality: of the JPEG pictures, 1-100.
        cache: where answers are kept; None = in the cache folder.
        budget: what may be spent; None = no limit.
        patience: time-outs and further tries.
        at_once: most calls with the server at a time.
        stream: have answers sent word by word.
        key_variable: environment variable that holds the key.

    Attributes:
        client: the connection, with what was spent (`usage`) and what the server cannot do.

    Raises:
        SettingError, ChatError: see `whenwhere.chat.Client`.
    """

    def __init__(
        self,
        name: str,
        *,
        dialect: Dialect | None = None,
        frames: Frames = "images",
        long_side: int | None = None,
        pixels: int | None = PIXELS,
        quality: int = QUALITY,
        cache: Cache | None = None,
        budget: Budget | None = None,
        patience: Patience | None = None,
        at_once: int = 8,
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
            patience=patience,
            at_once=at_once,
            stream=stream,
            key_variable=key_variable,
        )
        self.name = f"{self.client.address.base}#{self.client.address.model}"
        self.dialect = dialect or dialect_for(self.client.address.model)
        self.frames: Frames = frames
        self.long_side, self.pixels, self.quality = long_side, pixels, quality

    def ask(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply per call, in order; as many at once as the client may."""
        questions, sizes = [], []
        for call in calls:
            images = self._sized(call.images)
            questions.append(self._question(call, images))
            sizes.append((images.shape[2], images.shape[1]) if len(images) else (0, 0))
        answers = self.client.complete_all(questions)
        return [_reply(answer, size) for answer, size in zip(answers, sizes, strict=True)]

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """About the tokens of a call with so many frames of this size; the server's own count comes with its reply."""
        steps = math.ceil(frames / self.dialect.merge) if self.frames == "pairs" else frames
        return Text(prompt).tokens() + 4 + steps * (picture_tokens(*self._size(width, height)) + _STAMP)

    def warnings(self) -> list[str]:
        """Sentences on what the server cannot do and was therefore not asked for."""
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

    def question(self, call: Call) -> Question:
        """A call as it is sent."""
        return self._question(call, self._sized(call.images))

    def _question(self, call: Call, images: NDArray[np.uint8]) -> Question:
        """A call in the protocol's terms, laid out as for a checkpoint in this process."""
        layout = lay_out(images, call.times, call.prompt, self.dialect, self.frames)
        singles = iter(layout.images)
        parts: list[Part] = []
        extra: dict[str, Any] = {}
        for part in layout.content:
            if part["type"] == "text":
                parts.append(Text(part["text"]))
            elif part["type"] == "image":
                parts.append(Picture(next(singles), self.quality))
            elif layout.video is not None and layout.metadata is not None:
                parts.append(Clip([Picture(image, self.quality) for image in layout.video]))
                told = {k: layout.metadata[k] for k in ("fps", "frames_indices", "duration")}
                total = max(layout.metadata["total_num_frames"], len(layout.video))
                # without the first of these the server would show no more than 32 frames
                extra["media_io_kwargs"] = {"video": {"num_frames": -1, "total_num_frames": total, **told}}
        return Question.of(
            *parts,
            max_tokens=call.max_tokens,
            temperature=call.temperature,
            seed=call.seed,
            schema=call.schema,
            extra=extra,
        )

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at which frames are sent: never larger, but for sides that must be multiples."""
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


def _reply(answer: Completion | ChatError, shown: tuple[int, int]) -> Reply:
    if isinstance(answer, ChatError):
        return Reply(finish="error", shown=shown, error=str(answer))
    return Reply(
        text=answer.text,
        prompt_tokens=answer.prompt_tokens,
        output_tokens=answer.output_tokens,
        seconds=0.0 if answer.stored else answer.seconds,
        finish=answer.finish,
        cached=answer.stored,
        shown=shown,
    )
