"""A model behind an address as a talker: vLLM, SGLang or a hosted model, named `http://host:8000/v1#model-name`.

Frames are the ones that the pipeline chose, decoded here; the server never sees the video and samples nothing. They go
as single pictures, each with its own time written before it, which every server understands (`images`), or, where asked
and to vLLM only, as one video: `pairs` hands the frames over as they are, `repeat` shows each one twice (see
`whenwhere.answers.dialects`). vLLM is told the frames' true times in its field `media_io_kwargs`, in milliseconds; its
versions before April 2026 do not know that field's `frames_indices` and would invent times, so `images` is the default.

A call that fails is a reply with an error. What was answered before comes from the memory of `whenwhere.chat`; pictures
are encoded only when they are really sent.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers.dialects import Dialect, Frames
from whenwhere.chat import Budget, Client, Clip, Completion, Part, Patience, Picture, Question, Text
from whenwhere.chat.question import QUALITY, picture_tokens
from whenwhere.errors import ChatError, SettingError
from whenwhere.grounders.talk import Call, Reply
from whenwhere.store import Cache

#: Families that answer in pixels mean those of the picture after their own resizing to multiples of this; frames that
#: have such sides already are not resized there, so that the pixels are known here. (Qwen2.5-VL: patch 14, merge 2.)
_SIDE = 28
#: Tokens of a written time.
_STAMP = 8
#: vLLM is told times as frame numbers at this rate.
_CLOCK = 1000


class Endpoint:
    """Asks a model behind an address.

    Args:
        name: `https://host/v1#model-name`; without a model's name the server's only model is taken.
        dialect: how the family is asked; None = told from the model's name.
        frames: how frames are handed over: `images`, or to vLLM `pairs` or `repeat`.
        quality: of the JPEG pictures, 1-100.
        cache: where answers are kept.
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
        if dialect is None:
            from whenwhere.answers.dialects import dialect_for

            dialect = dialect_for(self.client.address.model)
        self.dialect = dialect
        self.frames: Frames = frames
        self.quality = quality

    def ask(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply per call, in order; as many at once as the client may."""
        questions, sizes = [], []
        for call in calls:
            images = self._sized(call.images)
            questions.append(self.question(call, images))
            sizes.append((images.shape[2], images.shape[1]) if len(images) else (0, 0))
        answers = self.client.complete_all(questions)
        return [_reply(answer, size) for answer, size in zip(answers, sizes, strict=True)]

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """About the tokens of a call with so many frames of this size; the server's own count comes with its reply."""
        words = Text(prompt).tokens() + 4
        if self.frames == "images":
            return words + frames * (picture_tokens(width, height) + _STAMP)
        shown = frames if self.frames == "repeat" else (frames + 1) // 2
        return words + shown * (picture_tokens(width, height) + _STAMP)

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

    def question(self, call: Call, images: NDArray[np.uint8]) -> Question:
        """A call in the protocol's terms; `images` are the call's frames at the size that is sent."""
        parts: list[Part] = []
        extra: dict[str, Any] = {}
        pictures = [Picture(image, self.quality) for image in images]
        if self.frames == "images" or not pictures:
            for stamp, picture in zip(stamps(call.times), pictures, strict=True):
                parts += [Text(stamp), picture]
        else:
            times = np.asarray(call.times, dtype=np.float64)
            if self.frames == "repeat":
                pictures = [p for p in pictures for _ in range(self.dialect.merge)]
                times = np.repeat(times, self.dialect.merge)
            parts.append(Clip(pictures))
            extra["media_io_kwargs"] = {"video": clock(times, self.dialect.time == "positions")}
        return Question.of(
            *parts,
            Text(call.prompt),
            max_tokens=call.max_tokens,
            temperature=call.temperature,
            seed=call.seed,
            schema=call.schema,
            extra=extra,
        )

    def _sized(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frames as they are sent: of a size that a family which answers in pixels does not change."""
        if self.dialect.coordinates != "pixels" or not len(images):
            return images
        height, width = (max(round(n / _SIDE), 1) * _SIDE for n in images.shape[1:3])
        if (height, width) == images.shape[1:3]:
            return images
        import cv2

        return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in images])


def stamps(times: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """Times as they are written before pictures: with one decimal, with more where two would read the same.

    >>> stamps([0.0, 0.5, 61.04]), stamps([0.5, 0.54])
    (['<0.0 seconds>', '<0.5 seconds>', '<61.0 seconds>'], ['<0.50 seconds>', '<0.54 seconds>'])
    """
    for decimals in (1, 2, 3):
        written = [f"<{t:.{decimals}f} seconds>" for t in times]
        if len(set(written)) == len(written):
            break
    return written


def clock(times: NDArray[np.float64], relative: bool) -> dict[str, Any]:
    """Frames' true times in vLLM's terms: frame numbers of a video with 1000 frames per second.

    Args:
        times: (n,) seconds, in order, n > 0.
        relative: count from the first frame and state how long the frames last: families that know time by position
            (Qwen2.5-VL) divide the one by the other.

    >>> clock(np.array([2.0, 2.5, 3.04]), relative=False)["frames_indices"]
    [2000, 2500, 3040]
    """
    numbers = np.round(times * _CLOCK).astype(int)
    total = int(numbers[-1]) + 1
    if relative:
        numbers = numbers - numbers[0]
        # the last frame lasts as long as the others do
        total = max(round(float(numbers[-1]) * len(numbers) / max(len(numbers) - 1, 1)), len(numbers))
    # num_frames: the server would show no more than 32 frames otherwise
    total = max(total, len(numbers))
    return {"num_frames": -1, "fps": _CLOCK, "frames_indices": numbers.tolist(), "total_num_frames": total}


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
