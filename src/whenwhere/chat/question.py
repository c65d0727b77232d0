"""What is asked: messages of text, pictures and videos, and how the answer is to be drawn.

Pictures stay pixels until they are really sent: a question whose answer is stored is recognised by the pixels' hash
and costs no encoding. Each picture is encoded once, however often it is sent again.
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

#: JPEG quality of pictures: above it, boxes of small models no longer depend on it but requests grow.
QUALITY = 90


def clean(text: str) -> str:
    r"""Text that UTF-8 can hold: bytes of a file name that were not UTF-8 become question marks.

    >>> clean("caf\udce9")
    'caf?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def picture_tokens(width: int, height: int) -> int:
    """About how many tokens a picture costs: one for 28 x 28 pixels, as Qwen2.5-VL counts; many need fewer.

    >>> picture_tokens(640, 360)
    301
    """
    return math.ceil(width / 28) * math.ceil(height / 28) + 2


@dataclass(frozen=True)
class Text:
    """Words."""

    text: str

    def wire(self) -> dict[str, Any]:
        """As the protocol writes it."""
        return {"type": "text", "text": clean(self.text)}

    def identity(self) -> Any:
        """What distinguishes it from another one, as a JSON value."""
        return clean(self.text)

    def tokens(self) -> int:
        """About how many tokens it is: four bytes each."""
        return math.ceil(len(clean(self.text).encode()) / 4)


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, sent as JPEG.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        quality: of the JPEG, 1-100.
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
        """The encoded picture."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()

    @cached_property
    def digest(self) -> str:
        """Hash of the pixels, not of the JPEG: another version of the encoder must not forget all answers."""
        h = hashlib.blake2b(np.ascontiguousarray(self.pixels).data, digest_size=16)
        h.update(json.dumps(self.pixels.shape).encode())
        return h.hexdigest()

    def wire(self) -> dict[str, Any]:
        """As the protocol writes it: a data URL."""
        return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + _base64(self.jpeg)}}

    def identity(self) -> Any:
        """What distinguishes it from another one, as a JSON value."""
        return {"picture": self.digest, "quality": self.quality}

    def tokens(self) -> int:
        """About how many tokens it is; see `picture_tokens`."""
        return picture_tokens(self.pixels.shape[1], self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames as one video: the form `data:video/jpeg` that vLLM takes. All of one size."""

    pictures: Sequence[Picture]

    def wire(self) -> dict[str, Any]:
        """As the protocol writes it."""
        frames = ",".join(_base64(p.jpeg) for p in self.pictures)
        return {"type": "video_url", "video_url": {"url": "data:video/jpeg;base64," + frames}}

    def identity(self) -> Any:
        """What distinguishes it from another one, as a JSON value."""
        return {"clip": [p.identity() for p in self.pictures]}

    def tokens(self) -> int:
        """About how many tokens it is: two frames share theirs."""
        return math.ceil(sum(p.tokens() for p in self.pictures) / 2)


@dataclass(frozen=True, eq=False)
class Video:
    """A video file, sent as it is.

    Attributes:
        data: the file's bytes.
        kind: its media type.
        estimate: tokens it is expected to cost; nobody can tell from the bytes.
    """

    data: bytes
    kind: str = "video/mp4"
    estimate: int = 0

    def wire(self) -> dict[str, Any]:
        """As the protocol writes it."""
        return {"type": "video_url", "video_url": {"url": f"data:{self.kind};base64,{_base64(self.data)}"}}

    def identity(self) -> Any:
        """What distinguishes it from another one, as a JSON value."""
        return {"video": hashlib.blake2b(self.data, digest_size=16).hexdigest(), "kind": self.kind}

    def tokens(self) -> int:
        """About how many tokens it is."""
        return self.estimate


Part = Text | Picture | Clip | Video


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True)
class Message:
    """One turn of the talk; words alone may be given as a string."""

    role: Literal["system", "user", "assistant"]
    parts: Sequence[Part] | str

    def content(self) -> list[Part]:
        """Its parts."""
        return [Text(self.parts)] if isinstance(self.parts, str) else list(self.parts)

    def wire(self) -> dict[str, Any]:
        """As the protocol writes it; plain words stay a string, which every server takes."""
        parts = self.content()
        if len(parts) == 1 and isinstance(parts[0], Text):
            return {"role": self.role, "content": clean(parts[0].text)}
        return {"role": self.role, "content": [part.wire() for part in parts]}


@dataclass(frozen=True, eq=False)
class Question:
    """One call.

    Attributes:
        messages: the talk so far.
        max_tokens: of each answer.
        temperature: 0 = the likeliest words, up to 2.
        seed: for drawing; servers promise no more than to try.
        n: answers wanted; a server may give fewer.
        schema: JSON schema of the answer, held by the server where it can and stated in words where it cannot.
        extra: fields that only some servers know (vLLM: `media_io_kwargs`), sent as they are.

    Raises:
        SettingError: a number out of range.
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
    def of(cls, *parts: Part | str, **how: Any) -> "Question":
        """A question of one user message."""
        return cls([Message("user", [Text(p) if isinstance(p, str) else p for p in parts])], **how)

    def identity(self) -> list[Any]:
        """All that the answer depends on, as JSON values; pictures are named by their hash."""
        talk = [[m.role, [part.identity() for part in m.content()]] for m in self.messages]
        return [talk, self.max_tokens, self.temperature, self.seed, self.n, self.schema, self.extra]

    def prompt_tokens(self) -> int:
        """About how many tokens the question has; four more for each message's frame."""
        return sum(4 + sum(part.tokens() for part in m.content()) for m in self.messages)

    def most_tokens(self) -> int:
        """The most that it may cost, as far as we can tell beforehand."""
        return self.prompt_tokens() + self.n * self.max_tokens
