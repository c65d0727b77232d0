"""A chat request: messages of text, pictures and videos, and how the answer is to be sampled.

Pictures stay pixels until they are really sent: a request whose answer is stored is recognised by the hash of the
pixels and costs no encoding. Each picture is encoded once, however often it is sent again.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError

#: JPEG quality of pictures. Above it the boxes of small models no longer depend on the quality, but requests grow.
QUALITY = 90


def printable_utf8(text: str) -> str:
    r"""The text with bytes of a file name that were not UTF-8 replaced by question marks.

    >>> printable_utf8("caf\udce9")
    'caf?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def picture_tokens(width: int, height: int) -> int:
    """Estimate of the tokens of a picture: one for 28 x 28 pixels, as Qwen2.5-VL counts. Many models need fewer.

    >>> picture_tokens(640, 360)
    301
    """
    return math.ceil(width / 28) * math.ceil(height / 28) + 2


@dataclass(frozen=True)
class TextPart:
    """A piece of text in a message."""

    text: str

    def payload(self) -> dict[str, Any]:
        """The JSON value that the protocol has for it."""
        return {"type": "text", "text": printable_utf8(self.text)}

    def identity(self) -> Any:
        """A JSON value that is equal for equal contents only; part of the cache key."""
        return printable_utf8(self.text)

    def tokens(self) -> int:
        """Estimate of its tokens: four bytes each."""
        return math.ceil(len(printable_utf8(self.text).encode()) / 4)


@dataclass(frozen=True, eq=False)
class PicturePart:
    """A picture in a message, sent as JPEG.

    Attributes:
        pixels: RGB pixels, shape (h, w, 3), uint8.
        quality: Quality of the JPEG, 1-100.
    """

    pixels: NDArray[np.uint8]
    quality: int = QUALITY

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or not self.pixels.size:
            raise ValueError(f"a picture is (h, w, 3) uint8, not {self.pixels.shape} {self.pixels.dtype}")
        if not 1 <= self.quality <= 100:
            raise SettingError(f"the quality of JPEG pictures is between 1 and 100, not {self.quality}")

    @cached_property
    def jpeg(self) -> bytes:
        """The picture as a JPEG file."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()

    @cached_property
    def digest(self) -> str:
        """Hash of the pixels, not of the JPEG, so that stored answers outlive the version of the encoder."""
        h = hashlib.blake2b(np.ascontiguousarray(self.pixels).data, digest_size=16)
        h.update(json.dumps(self.pixels.shape).encode())
        return h.hexdigest()

    def payload(self) -> dict[str, Any]:
        """The JSON value that the protocol has for it: a data URL."""
        return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + _base64(self.jpeg)}}

    def identity(self) -> Any:
        """A JSON value that is equal for equal contents only; part of the cache key."""
        return {"picture": self.digest, "quality": self.quality}

    def tokens(self) -> int:
        """Estimate of its tokens; see `picture_tokens`."""
        return picture_tokens(self.pixels.shape[1], self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class FramesPart:
    """Frames of one size as one video, in the form `data:video/jpeg` that vLLM takes."""

    pictures: Sequence[PicturePart]

    def payload(self) -> dict[str, Any]:
        """The JSON value that the protocol has for it."""
        frames = ",".join(_base64(p.jpeg) for p in self.pictures)
        return {"type": "video_url", "video_url": {"url": "data:video/jpeg;base64," + frames}}

    def identity(self) -> Any:
        """A JSON value that is equal for equal contents only; part of the cache key."""
        return {"clip": [p.identity() for p in self.pictures]}

    def tokens(self) -> int:
        """Estimate of its tokens: two frames share theirs."""
        return math.ceil(sum(p.tokens() for p in self.pictures) / 2)


@dataclass(frozen=True, eq=False)
class VideoPart:
    """A video file in a message, sent as it is.

    Attributes:
        data: The bytes of the file.
        kind: The media type of the file.
        estimate: Expected number of tokens, which the bytes do not tell.
    """

    data: bytes
    kind: str = "video/mp4"
    estimate: int = 0

    def payload(self) -> dict[str, Any]:
        """The JSON value that the protocol has for it."""
        return {"type": "video_url", "video_url": {"url": f"data:{self.kind};base64,{_base64(self.data)}"}}

    def identity(self) -> Any:
        """A JSON value that is equal for equal contents only; part of the cache key."""
        return {"video": hashlib.blake2b(self.data, digest_size=16).hexdigest(), "kind": self.kind}

    def tokens(self) -> int:
        """The expected number of tokens."""
        return self.estimate


Part = TextPart | PicturePart | FramesPart | VideoPart


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True)
class Message:
    """One message of a conversation. A message of text alone may be given as a string."""

    role: Literal["system", "user", "assistant"]
    parts: Sequence[Part] | str

    def content(self) -> list[Part]:
        """The parts of the message."""
        return [TextPart(self.parts)] if isinstance(self.parts, str) else list(self.parts)

    def payload(self) -> dict[str, Any]:
        """The JSON value that the protocol has for it. Text alone stays a string, which every server takes."""
        parts = self.content()
        if len(parts) == 1 and isinstance(parts[0], TextPart):
            return {"role": self.role, "content": printable_utf8(parts[0].text)}
        return {"role": self.role, "content": [part.payload() for part in parts]}


@dataclass(frozen=True, eq=False)
class ChatRequest:
    """One request for a chat completion.

    Attributes:
        messages: The conversation so far.
        max_tokens: Largest number of tokens in each answer.
        temperature: Sampling temperature from 0 to 2; 0 takes the likeliest tokens.
        seed: Seed of the sampling. Servers promise no more than to try to obey it.
        n: Number of answers wanted; a server may give fewer.
        schema: JSON schema of the answer. The server enforces it if it can; otherwise it is stated in words.
        extra: Fields that only some servers know (vLLM: `media_io_kwargs`), sent as they are.

    Raises:
        SettingError: a number is out of range.
    """

    messages: Sequence[Message]
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int | None = None
    n: int = 1
    schema: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.messages:
            raise SettingError("a question to a model needs at least one message")
        if self.max_tokens < 1 or self.n < 1:
            raise SettingError(
                f"a model is asked for one answer and one token or more, not {self.n} and {self.max_tokens}"
            )
        if not 0 <= self.temperature <= 2:
            raise SettingError(f"the temperature is between 0 and 2, not {self.temperature:g}")

    @classmethod
    def of(cls, *parts: Part | str, **options: Any) -> "ChatRequest":
        """A request with one user message; strings become text parts."""
        return cls([Message("user", [TextPart(p) if isinstance(p, str) else p for p in parts])], **options)

    def identity(self) -> list[Any]:
        """All that the answer depends on, as JSON values, with pictures as hashes."""
        talk = [[m.role, [part.identity() for part in m.content()]] for m in self.messages]
        return [talk, self.max_tokens, self.temperature, self.seed, self.n, self.schema, self.extra]

    def prompt_tokens(self) -> int:
        """Estimate of the tokens of the prompt, with four for the frame of each message."""
        return sum(4 + sum(part.tokens() for part in m.content()) for m in self.messages)

    def most_tokens(self) -> int:
        """Estimate of the most tokens that the request may cost, prompt and answers together."""
        return self.prompt_tokens() + self.n * self.max_tokens
