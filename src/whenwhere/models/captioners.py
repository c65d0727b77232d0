"""Captioners say in words what the frames of a clip show, with one text for each frame.

There are three kinds of names (`open_captioner`):

- a checkpoint of BLIP, BLIP-2 or Florence-2, by hub id or folder, through transformers;
- any vision-language model that can be asked (`models.backends`): a checkpoint in this process, or the address of a
  server, `http://host:8000/v1#name`;
- `module:function` of your own, which gets `ClipFrames` and returns a text or a list of tags for each frame. Taggers
  that are in no registry (Tag2Text, RAM) can be used in this way.

Texts are cached by the prompt and the pixels. A captioner that says nothing about a frame returns an empty text, which
is not an error.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.chat.response_cache import ResponseCache
from whenwhere.errors import ModelError, SettingError, WhenwhereError
from whenwhere.models.backends.base import BackendOptions, ModelBackend, ModelCall
from whenwhere.models.backends.resolve import build_backend, find_kind
from whenwhere.models.pretrained import Pretrained, load_config
from whenwhere.models.vlm import out_of_memory
from whenwhere.readers import quoted

#: Most tokens of a caption of one frame.
MOST_TOKENS = 64
#: Part of every cache key; increase it when anything changes that a stored caption depends on.
_KEY_VERSION = 1
#: Number of frames that a checkpoint describes at a time.
_BATCH = 8
ASKED = "Describe what this picture shows in one plain sentence."


@dataclass(frozen=True, eq=False)
class ClipFrames:
    """Frames of a clip, as a captioner gets them.

    Attributes:
        video: Path of the video.
        start: First second of the clip in the video.
        end: Second of the video at which the clip ends.
        times: Times of the frames in seconds of the video, increasing, shape (n,).
        images: RGB frames, upright, shape (n, h, w, 3), uint8.
    """

    video: str
    start: float
    end: float
    times: NDArray[np.float64]
    images: NDArray[np.uint8]


class Captioner(Protocol):
    """Describes frames in words.

    Attributes:
        name: Name of the model, as it was given.
        concurrency: Number of clips about which it can be asked at the same time.
        priced: Whether its calls cost tokens of a budget.
    """

    name: str
    concurrency: int
    priced: bool

    def caption(self, frames: ClipFrames) -> list[str]:
        """Describe each frame in a text, which may be "".

        Args:
            frames: The frames.

        Raises:
            WhenwhereError: The frames cannot be described.
        """

    def prompt_tokens(self, width: int, height: int) -> int:
        """Tokens of the prompt of one frame of this size, for estimates; 0 if they cost nothing.

        Args:
            width: Width of the frame in pixels.
            height: Height of the frame in pixels.
        """

    def close(self) -> None:
        """Close the connections that are held open."""


class PretrainedCaptioner(Pretrained):
    """Describes frames with a captioner of transformers. Further arguments and errors are those of `Pretrained`.

    Args:
        name: Hub id or folder of the checkpoint.
        prompt: Beginning of the caption (BLIP, BLIP-2), or a task of Florence-2 such as `<CAPTION>`,
            `<DETAILED_CAPTION>` or `<OD>` (the names of what is seen). "" takes the default of the family.
        responses: Cache of captions. None keeps none.
    """

    KINDS: ClassVar = {
        "blip": ("BlipForConditionalGeneration", "BlipProcessor"),
        "blip-2": ("Blip2ForConditionalGeneration", "Blip2Processor"),
        "florence2": ("Florence2ForConditionalGeneration", "Florence2Processor"),
    }
    PURPOSE = "a captioner: Salesforce/blip2-opt-2.7b is one"
    concurrency = 1
    priced = False

    def __init__(self, name: str, *, prompt: str = "", responses: ResponseCache | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self.prompt, self._responses = prompt, responses
        if self.config.model_type == "florence2":
            self.prompt = prompt or "<CAPTION>"
        # generation keeps state in the model, and clips come from several threads
        self._lock = threading.Lock()

    def caption(self, frames: ClipFrames) -> list[str]:
        """One text for each frame; see `Captioner`."""
        keys = [self._key(image) if self._responses else "" for image in frames.images]
        said = [self._responses.read(key, str) if self._responses else None for key in keys]
        todo = [k for k, text in enumerate(said) if text is None]
        for at in range(0, len(todo), _BATCH):
            part = todo[at : at + _BATCH]
            with self._lock:
                texts = self._generated([frames.images[k] for k in part])
            for k, text in zip(part, texts, strict=True):
                said[k] = text
                if self._responses is not None:
                    self._responses.write(keys[k], text, model=self.name)
        return [text or "" for text in said]

    def prompt_tokens(self, width: int, height: int) -> int:
        """0: a checkpoint in this process costs no tokens."""
        return 0

    def close(self) -> None:
        """Nothing is held open."""

    def _generated(self, images: list[NDArray[np.uint8]]) -> list[str]:
        import torch

        words = {"text": [self.prompt] * len(images)} if self.prompt else {}
        try:
            inputs = self.processor(images=images, return_tensors="pt", padding=True, **words).to(self.device)
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
            with torch.inference_mode():
                ids = self.model.generate(**inputs, max_new_tokens=MOST_TOKENS, do_sample=False, num_beams=1)
        except RuntimeError as e:
            if out_of_memory(e):
                raise ModelError(
                    f"{len(images)} pictures do not fit into memory beside {self.name}: take a smaller checkpoint, or "
                    "a device with more memory"
                ) from e
            raise
        if self.config.model_type == "florence2":
            return [florence_text(text) for text in self.processor.batch_decode(ids, skip_special_tokens=False)]
        if self.prompt and self.config.model_type == "blip-2":
            ids = ids[:, inputs["input_ids"].shape[1] :]
        texts = [text.strip() for text in self.processor.batch_decode(ids, skip_special_tokens=True)]
        prompt = self.prompt.strip().lower()
        return [text[len(prompt) :].strip() if prompt and text.lower().startswith(prompt) else text for text in texts]

    def _key(self, image: NDArray[np.uint8]) -> str:
        pixels = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).hexdigest()
        return ResponseCache.key(
            _KEY_VERSION, "caption", self._weights, self.dtype, self.prompt, pixels, list(image.shape)
        )

    @property
    def _weights(self) -> list[Any]:
        """Identifies the weights: a name with its revision, or a folder with the sizes and times of its files."""
        folder = Path(self.name).expanduser()
        if not folder.is_dir():
            return [self.name, self._source.get("revision")]
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return [str(folder.resolve()), [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]]


class BackendCaptioner:
    """Describes frames with a vision-language model, one call for each frame.

    Args:
        backend: The model.
        prompt: What the model is asked. "" asks for one plain sentence.
        priced: Whether its calls cost tokens of a budget.
    """

    def __init__(self, backend: ModelBackend, prompt: str = "", priced: bool = False) -> None:
        self.backend, self.prompt, self.priced = backend, prompt or ASKED, priced
        self.name, self.concurrency = backend.name, backend.concurrency
        self._lock = threading.Lock() if backend.concurrency == 1 else None

    def caption(self, frames: ClipFrames) -> list[str]:
        """One text for each frame; see `Captioner`."""
        calls = [
            ModelCall(frames.images[k : k + 1], frames.times[k : k + 1] - frames.start, self.prompt,
                      max_tokens=MOST_TOKENS, step="caption", clock=frames.start)
            for k in range(len(frames.times))
        ]  # fmt: skip
        if self._lock is None:
            replies = self.backend.ask(calls)
        else:
            with self._lock:
                replies = self.backend.ask(calls)
        for reply in replies:
            if reply.error is not None:
                raise self.backend.error_type(reply.error)
        return ["" if reply.finish == "refused" else reply.text.strip() for reply in replies]

    def prompt_tokens(self, width: int, height: int) -> int:
        """Tokens of the prompt of one frame; see `Captioner`."""
        return self.backend.prompt_tokens(1, width, height, self.prompt) if self.priced else 0

    def close(self) -> None:
        """Close the connections of the model."""
        self.backend.close()


class FunctionCaptioner:
    """Describes frames with a user's function, in one thread at a time.

    Args:
        name: The function, `module:function`, from `ClipFrames` to a text or a list of tags for each frame.

    Raises:
        SettingError: There is no such function.
    """

    concurrency = 1
    priced = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._function: Callable[[ClipFrames], Iterable[object]] = load_function(name, "a captioner")
        self._lock = threading.Lock()

    def caption(self, frames: ClipFrames) -> list[str]:
        """One text for each frame; see `Captioner`."""
        with self._lock:
            given = call_function(self.name, self._function, frames)
        texts = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else None
        if texts is None or len(texts) != len(frames.times):
            got = "no list" if texts is None else f"{len(texts)} texts"
            raise ModelError(f"{self.name} returned {got} for {len(frames.times)} frames: return one text for each")
        return [self._text(one) for one in texts]

    def prompt_tokens(self, width: int, height: int) -> int:
        """0: a function costs no tokens."""
        return 0

    def close(self) -> None:
        """Nothing is held open."""

    def _text(self, one: object) -> str:
        if isinstance(one, str):
            return one.strip()
        tags = list(one) if isinstance(one, Iterable) else [None]
        if not all(isinstance(tag, str) for tag in tags):
            raise ModelError(f"{self.name} returned {quoted(one)} for a frame: return a text, or a list of tags")
        return tag_text([str(tag) for tag in tags])


def tag_text(tags: Sequence[str]) -> str:
    """Join tags to a caption, each once, in their order.

    >>> tag_text(["dog", "ball", "dog"])
    'dog, ball'
    """
    return ", ".join(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))


def florence_text(answer: str) -> str:
    """Extract the words from an answer of Florence-2: a caption as it is, and of boxes only their names.

    >>> florence_text("</s><s>dog<loc_1><loc_2><loc_3><loc_4>red ball<loc_5><loc_6><loc_7><loc_8></s><pad>")
    'dog, red ball'
    """
    text = re.sub(r"</?s>|<pad>", " ", answer)
    parts = re.split(r"(?:<loc_\d+>)+", text)
    return tag_text(parts) if len(parts) > 1 else text.strip()


def is_function_name(name: str) -> bool:
    """Whether a name is `module:function`.

    >>> is_function_name("taggers.ram:tag"), is_function_name("http://host:8000/v1#m"), is_function_name("a/b")
    (True, False, False)
    """
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_function(name: str, purpose: str) -> Callable[..., Any]:
    """Import a user's function.

    Args:
        name: Name of the function, `module:function`.
        purpose: What the function is for, for messages.

    Raises:
        SettingError: There is no such function.
    """
    module, colon, function = name.partition(":")
    if not (colon and module and function):
        raise SettingError(f"{purpose} of your own is named module:function, not {quoted(name)}")
    try:
        found = getattr(import_module(module), function)
    except Exception as e:  # whatever the user's module does when it is imported
        raise SettingError(
            f"{quoted(name)} cannot be imported ({type(e).__name__}: {e}): give module:function, and put the module's "
            "folder on PYTHONPATH"
        ) from e
    if not callable(found):
        raise SettingError(f"{quoted(name)} is not a function: give module:function of {purpose}")
    loaded: Callable[..., Any] = found
    return loaded


def call_function(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function.

    Args:
        name: Name of the function, for messages.
        function: The function.
        *arguments: Its arguments.

    Raises:
        ModelError: The function raised an error that is not one of this package.
    """
    try:
        return function(*arguments)
    except WhenwhereError:
        raise
    except Exception as e:
        raise ModelError(f"{name} failed with {type(e).__name__}: {e}; mend that function") from e


def open_captioner(name: str, options: BackendOptions, prompt: str = "") -> Captioner:
    """Open a captioner by its name.

    Args:
        name: A hub id or folder of a checkpoint, the address of a server, or `module:function`.
        options: Where the captioner runs, where answers are kept, and what may be spent at an address.
        prompt: What the captioner is asked. "" is the default of its kind.

    Raises:
        SettingError: There is no such model or function.
        MissingExtraError: torch or transformers is not installed.
        ChatError, ModelError: The model cannot be loaded or reached.
    """
    if not name.strip():
        raise SettingError("no captioner is named: give a hub id, a folder, an address or module:function")
    if is_function_name(name):
        return FunctionCaptioner(name)
    kind = find_kind(name)
    if not kind.in_process:
        return BackendCaptioner(build_backend(name, options), prompt, priced=True)
    folder = Path(name).expanduser()
    source = str(folder) if folder.is_dir() else name
    known = name != "tiny" and load_config(source).model_type in PretrainedCaptioner.KINDS
    if known:
        device = options.device
        on_accelerator = device not in (None, "cpu") or (device is None and _accelerated())
        return PretrainedCaptioner(
            source, prompt=prompt, device=device, dtype="bf16" if on_accelerator else None,
            responses=ResponseCache(options.cache, "vlm") if options.cache.enabled else None,
        )  # fmt: skip
    # a checkpoint answers one question at a time and costs nothing
    return BackendCaptioner(build_backend(name, BackendOptions(options.cache, options.device)), prompt)


def _accelerated() -> bool:
    import torch

    return bool(torch.cuda.is_available())
