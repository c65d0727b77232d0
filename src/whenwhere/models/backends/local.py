"""A vision-language checkpoint in this process as a back end: `Qwen/Qwen3-VL-8B-Instruct`, a folder, or `tiny`.

The frames are the ones that the pipeline chose. The family's own processor makes the model's inputs of them and is told
their true times (`whenwhere.models.frames`). What it made is checked before a token is generated: the words are all
there, every time stamp is true, and there are as many picture tokens as features. A call that fails is a reply with an
error; a checkpoint that can answer nothing (no chat template, damaged weights) is a `ModelError`.

Calls with frames of equal shape are generated together. What a call answers does not depend on its batch, up to the
rounding of the hardware; a batch that does not fit into memory is split.
"""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from whenwhere.answers.dialects import Dialect, FrameMode
from whenwhere.chat.response_cache import ResponseCache
from whenwhere.errors import MissingExtraError, ModelError, SettingError
from whenwhere.models.backends.base import BackendKind, BackendOptions, ModelBackend, ModelCall, ModelReply
from whenwhere.models.decoding import GrammarProcessor, SamplingProcessor, batch_inputs
from whenwhere.models.frames import (
    Layout,
    TemplateError,
    check_positions,
    check_stamps,
    check_words,
    lay_out,
    shrink_frames,
)
from whenwhere.models.grammar import Grammar
from whenwhere.models.limits import LONGEST_PROMPT, limited_template
from whenwhere.models.runs import is_run_name, resolve_run
from whenwhere.models.shipped import TINY, shipped_weights
from whenwhere.models.vlm import Checkpoint, DType, feature_count, grid_size, out_of_memory
from whenwhere.store import Cache

#: Largest number of pixels of a frame: what the Qwen families give a frame of a video at most (768 tokens).
PIXELS = 768 * 28 * 28
#: Part of every cache key: raised when what a stored answer depends on changes.
_KEY_VERSION = 1
#: How the hub names a checkpoint.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Prepared:
    """A call as the model takes it.

    Attributes:
        inputs: What the family's processor made, a batch of one, on the CPU.
        shown: (width, height) of the pictures that the model sees.
        tokens: Number of tokens in the prompt.
        rendered: The text that the chat template wrote, before pictures were put in.
    """

    inputs: dict[str, Any]
    shown: tuple[int, int]
    tokens: int
    rendered: str


class LocalBackend(ModelBackend):
    """Asks a checkpoint in this process.

    Args:
        model: The hub id or folder of a checkpoint; or a checkpoint that is loaded already, to which the options of
            loading (from `revision` on) do not apply.
        dialect: How the family is asked. None goes by the checkpoint's `model_type`.
        frames: How frames are handed over. None does as the dialect does.
        long_side: Largest number of pixels of a frame's longer side. None is what the checkpoint was trained with,
            where that is known.
        pixels: Largest number of pixels of a frame. None is as many as the family's processor lets through.
        batch: Largest number of calls that are generated together.
        cache: Where answers are kept. None keeps none.
        revision: Branch, tag or commit on the hub.
        dtype: Precision of the weights: `bf16`, `fp16`, `fp32` or `auto`. None is bf16 on an accelerator and fp32 on a
            CPU.
        device: Where to run. None takes an accelerator if there is one.
        device_map: Passed on to transformers, for models that need several devices.
        quantization: A quantisation configuration of transformers, passed on as it is.
        offline: Whether the hub is never asked.

    Attributes:
        checkpoint: The model and its processor. The weights are loaded with the first question.

    Raises:
        MissingExtraError, ModelError, SettingError: see `whenwhere.models.vlm.Checkpoint`.
    """

    def __init__(
        self,
        model: str | Checkpoint,
        *,
        dialect: Dialect | None = None,
        frames: FrameMode | None = None,
        long_side: int | None = None,
        pixels: int | None = PIXELS,
        batch: int = 4,
        cache: Cache | None = None,
        revision: str | None = None,
        dtype: DType | None = None,
        device: str | None = None,
        device_map: Any = None,
        quantization: Any = None,
        offline: bool = False,
    ) -> None:
        if frames not in (None, "images", "pairs", "repeat"):
            raise SettingError(f"frames go to a model as images, pairs or repeat, not as {frames!r}")
        if batch < 1:
            raise SettingError(f"at least 1 call is generated at a time, not {batch}")
        if isinstance(model, str):
            model = Checkpoint(
                model,
                dialect=dialect,
                revision=revision,
                dtype=dtype,
                device=device,
                device_map=device_map,
                quantization=quantization,
                offline=offline,
            )
        self.checkpoint, self.name = model, model.name
        self.dialect = dialect or self.checkpoint.dialect
        self.frames: FrameMode = frames or self.dialect.frames
        self.long_side = long_side or self.dialect.side
        self.pixels, self.batch = pixels, batch
        self.responses = ResponseCache(cache or Cache(enabled=False), "vlm")
        # a dict and not lru_cache of a method, whose circle would keep the weights of a dropped back end in memory
        self._picture_tokens: dict[tuple[int, int, int], int] = {}

    def ask(self, calls: Sequence[ModelCall]) -> list[ModelReply]:
        """Answer calls, in order. Those with frames of equal shape are generated together and share their seconds."""
        replies: dict[int, ModelReply] = {}
        keys: dict[int, str] = {}
        groups: dict[Any, list[int]] = {}
        for k, call in enumerate(calls):
            keys[k] = self._key(call) if self.responses.cache.enabled else ""
            stored = self.responses.read(keys[k], _stored_reply)
            if stored is not None:
                replies[k] = stored
            else:
                groups.setdefault((call.images.shape, call.max_tokens), []).append(k)
        for group in groups.values():
            for first in range(0, len(group), self.batch):
                chunk = group[first : first + self.batch]
                for k, reply in zip(chunk, self._answered([calls[k] for k in chunk]), strict=True):
                    replies[k] = reply
                    if reply.error is None:
                        self.responses.write(keys[k], asdict(reply))
        return [replace(replies[k], unknown=self._unknown(call.prompt)) for k, call in enumerate(calls)]

    @property
    def context_length(self) -> int | None:
        """Tokens that the checkpoint was made for, prompt and answer together. None where it does not say."""
        words = self.checkpoint.config.get_text_config().to_dict()
        return int(words.get("max_position_embeddings") or 0) or None

    def _unknown(self, prompt: str) -> tuple[str, ...]:
        """Words that the tokenizer has nothing for; most families can spell any."""
        tokenizer = self.checkpoint.tokenizer
        unknown = tokenizer.unk_token_id
        if unknown is None:
            return ()
        return tuple(w for w in prompt.split() if unknown in tokenizer(w, add_special_tokens=False)["input_ids"])

    def prompt_tokens(self, frames: int, width: int, height: int, prompt: str) -> int:
        """Tokens that a call with so many frames of this size costs; nothing but the processor runs."""
        words = len(self.checkpoint.tokenizer(prompt)["input_ids"])
        key = frames, width, height
        if key not in self._picture_tokens:
            self._picture_tokens[key] = self._count(*key)
        return words + self._picture_tokens[key]

    def prepare(self, call: ModelCall) -> dict[str, Any]:
        """A call's inputs as the family's processor makes them, checked; as in `prepared`."""
        return self.prepared(call).inputs

    def prepared(self, call: ModelCall) -> Prepared:
        """A call as the model takes it, checked.

        Raises:
            ModelError: a stamp is not true, or tokens and features do not match.
        """
        images = shrink_frames(call.images, self.long_side, self.pixels)
        prompt = self.defused(call.prompt)
        layout = lay_out(images, call.times, prompt, self.dialect, self.frames)
        rendered = self._rendered(layout, thinks=call.schema is None)
        inputs = self._processed(rendered, layout)
        self._check(inputs, layout)
        size = (images.shape[2], images.shape[1]) if len(images) else (0, 0)
        shown = grid_size(inputs, self.checkpoint.processor) or size
        return Prepared(inputs, shown, int(inputs["input_ids"].shape[1]), rendered)

    def defused(self, prompt: str) -> str:
        """The words without anything that the tokenizer would take for a control token: users type what they like."""
        for token in self.checkpoint.control:
            prompt = prompt.replace(token, f"{token[0]} {token[1:]}")
        return prompt

    def _rendered(self, layout: Layout, thinks: bool) -> str:
        processor = self.checkpoint.processor
        template = str(getattr(processor, "chat_template", None) or self.checkpoint.tokenizer.chat_template)
        # a held answer has no place for a thought; templates without the switch warn about it
        options: dict[str, Any] = {"enable_thinking": False} if not thinks and "enable_thinking" in template else {}
        try:
            with limited_template(template):
                text = processor.apply_chat_template(
                    [{"role": "user", "content": layout.content}], add_generation_prompt=True, tokenize=False, **options
                )
        except Exception as e:  # templates are programs; jinja2's errors share no base with ours
            said = " ".join(str(e).split())[:200]
            raise TemplateError(f"the chat template of {self.name} does not work on pictures: {said}") from e
        if len(text) > LONGEST_PROMPT:
            raise TemplateError(
                f"the chat template of {self.name} makes a prompt of {len(text)} characters (at most "
                f"{LONGEST_PROMPT}): show fewer frames, or take the template of the model's family"
            )
        check_words(text, layout, _token(processor, "image_token"))
        video_token = _token(processor, "video_token")
        if layout.video is not None and (not video_token or text.count(video_token) != 1):
            raise TemplateError(
                f"the chat template of {self.name} makes no place for a video: hand the frames over as pictures "
                "(frames=images)"
            )
        return str(text)

    def _processed(self, rendered: str, layout: Layout) -> dict[str, Any]:
        processor, tokenizer = self.checkpoint.processor, self.checkpoint.tokenizer
        options: dict[str, Any] = {"return_tensors": "pt"}
        if layout.video is not None:
            options |= {"videos": [layout.video], "video_metadata": [layout.metadata], "do_sample_frames": False}
        if layout.images:
            options["images"] = layout.images
        if tokenizer.bos_token and rendered.startswith(tokenizer.bos_token):
            options["add_special_tokens"] = False  # the template wrote it already
        try:
            inputs = processor(text=[rendered], **options)
        except (ValueError, RuntimeError, TypeError, IndexError) as e:
            if out_of_memory(e):
                raise ModelError(
                    f"out of memory preparing {len(layout.times)} frames: show fewer or smaller ones"
                ) from e
            said = " ".join(str(e).split())[:200]
            raise ModelError(f"the processor of {self.name} does not take these frames: {said}") from e
        return {key: value for key, value in inputs.items() if hasattr(value, "ndim")}

    def _check(self, inputs: dict[str, Any], layout: Layout) -> None:
        """Proves that the prompt tells the truth, before anything is generated."""
        processor, config = self.checkpoint.processor, self.checkpoint.config
        ids = inputs["input_ids"][0].tolist()
        pictures = picture_tokens(config)
        runs = [t for k, t in enumerate(ids) if t not in pictures or k == 0 or ids[k - 1] != t]
        text = self.checkpoint.tokenizer.decode(runs, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        tokens_of = _token(processor, "video_token"), _token(processor, "image_token")
        check_stamps(text, layout, self.dialect, *tokens_of)
        if self.dialect.time == "positions" and inputs.get("second_per_grid_ts") is not None:
            step = float(inputs["second_per_grid_ts"][0])
            check_positions(layout, step, float(config.vision_config.tokens_per_second))
        room = getattr(config.get_text_config(), "max_position_embeddings", None)
        if room is not None and len(ids) >= room:
            raise ModelError(f"{len(ids)} tokens of prompt, and the model holds {room}: show fewer or smaller frames")
        features = feature_count(inputs, processor)
        tokens = sum(t in pictures for t in ids)
        if features is not None and tokens != features:
            raise ModelError(f"{tokens} picture tokens for {features} features: the processor is not this model's")

    def _answered(self, calls: list[ModelCall]) -> list[ModelReply]:
        prepared: list[Prepared | None] = []
        replies: list[ModelReply] = [ModelReply(finish="error")] * len(calls)
        for k, call in enumerate(calls):
            try:
                prepared.append(self.prepared(call))
            except TemplateError:
                raise
            except ModelError as e:
                prepared.append(None)
                replies[k] = ModelReply(finish="error", error=str(e))
        rows = [k for k, p in enumerate(prepared) if p is not None]
        if rows:
            ready = [p for p in prepared if p is not None]
            for k, reply in zip(rows, self._generated([calls[k] for k in rows], ready), strict=True):
                replies[k] = reply
        return replies

    def _generated(self, calls: list[ModelCall], rows: list[Prepared]) -> list[ModelReply]:
        model = self.checkpoint.model
        if len(calls) > 1 and any(key.endswith("_token_pooling") for key in rows[0].inputs):
            # Molmo2's inputs point at each other by number: a batch is not simply one call's after another's
            return [r for call, row in zip(calls, rows, strict=True) for r in self._generated([call], [row])]
        began = time.perf_counter()
        _forget_peak()
        try:
            texts = self._generate(model, calls, rows)
        except (RuntimeError, MemoryError) as e:
            if not out_of_memory(e):
                raise
            _free()
            if len(calls) == 1:
                shape = "x".join(map(str, calls[0].images.shape[:3]))
                said = f"out of memory with {shape} frames and {rows[0].tokens} tokens: show fewer or smaller frames"
                return [ModelReply(finish="error", shown=rows[0].shown, prompt_tokens=rows[0].tokens, error=said)]
            half = len(calls) // 2
            return self._generated(calls[:half], rows[:half]) + self._generated(calls[half:], rows[half:])
        except ValueError as e:
            if "do not match" not in str(e):
                raise
            said = "picture tokens and features do not match: the processor is not this model's"
            return [ModelReply(finish="error", shown=row.shown, error=said) for row in rows]
        seconds = (time.perf_counter() - began) / len(calls)
        peak = _peak()
        return [
            ModelReply(
                text=text,
                prompt_tokens=row.tokens,
                output_tokens=count,
                seconds=seconds,
                finish="stop" if ended else "length",
                shown=row.shown,
                memory=peak,
            )
            for row, (text, count, ended) in zip(rows, texts, strict=True)
        ]

    def _generate(self, model: Any, calls: list[ModelCall], rows: list[Prepared]) -> list[tuple[str, int, bool]]:
        """Text, number of tokens, and whether it ended by itself, per call."""
        import torch

        tokenizer, ends, config = self.checkpoint.tokenizer, set(self.checkpoint.ends), self.checkpoint.config
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends)
        inputs = batch_inputs([row.inputs for row in rows], pad)
        inputs = {
            key: value.to(model.device, model.dtype) if key.startswith("pixel_values") else value.to(model.device)
            for key, value in inputs.items()
        }
        prompt = inputs["input_ids"].shape[1]
        processors: list[Any] = []
        if any(call.schema is not None for call in calls):
            grammars = [None if call.schema is None else _grammar(json.dumps(call.schema)) for call in calls]
            processors.append(GrammarProcessor(grammars, self.checkpoint.pieces, prompt))
        if any(call.temperature > 0 for call in calls):
            processors.append(SamplingProcessor([call.temperature for call in calls], [call.seed for call in calls]))
        with torch.inference_mode():
            out = model.generate(
                **inputs,
                max_new_tokens=calls[0].max_tokens,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=pad,
                # in an answer, a token that stands for a picture would need features that do not exist
                suppress_tokens=sorted({*(model.generation_config.suppress_tokens or ()), *picture_tokens(config)}),
                logits_processor=processors,
            )
        texts = []
        for new in out[:, prompt:].tolist():
            end = next((k for k, token in enumerate(new) if token in ends), None)
            kept = new if end is None else new[:end]
            text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            texts.append((text, len(kept) + (end is not None), end is not None))
        return texts

    def _count(self, frames: int, width: int, height: int) -> int:
        """Tokens of the frames and of the template around them."""
        # noise: families that drop what does not change must not drop it all
        picture = np.random.default_rng(0).integers(0, 255, (1, height, width, 3), dtype=np.uint8)
        small = shrink_frames(picture, self.long_side, self.pixels)
        images = np.concatenate([np.roll(small, 5 * k, axis=2) for k in range(frames)] or [small[:0]])
        call = ModelCall(images, np.arange(frames, dtype=np.float64) / (self.dialect.fps or 1.0), ".")
        return self.prepared(call).tokens - len(self.checkpoint.tokenizer(".")["input_ids"])

    def _key(self, call: ModelCall) -> str:
        images = hashlib.blake2b(np.ascontiguousarray(call.images).data, digest_size=16).hexdigest()
        return ResponseCache.key(
            _KEY_VERSION, self.checkpoint.fingerprint(), self.dialect.name, self.frames, self.long_side, self.pixels,
            images, list(call.images.shape), np.asarray(call.times).tolist(), call.prompt, call.schema,
            call.max_tokens, call.temperature, call.seed if call.temperature > 0 else 0,
        )  # fmt: skip


def _stored_reply(value: dict[str, Any]) -> ModelReply:
    reply = ModelReply(**value)
    return replace(reply, shown=(reply.shown[0], reply.shown[1]), seconds=0.0, cached=True)


def picture_tokens(config: Any) -> set[int]:
    """Ids of the tokens that stand for a picture or a video.

    Args:
        config: The model's configuration.
    """
    # LLaVA calls its tokens' numbers indices
    names = ("image_token_id", "video_token_id", "image_token_index", "video_token_index")
    return {number for name in names if (number := getattr(config, name, None)) is not None}


def _token(processor: Any, name: str) -> str:
    """What stands for a picture or a video in a family's prompts; empty where it knows none of them."""
    return str(getattr(processor, name, None) or "")


@lru_cache(maxsize=32)
def _grammar(schema: str) -> Grammar:
    return Grammar(json.loads(schema))


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


def _peak() -> int:
    """Most bytes in use since `_forget_peak`, over all CUDA devices; 0 without any."""
    import torch

    if not torch.cuda.is_available():
        return 0
    return sum(int(torch.cuda.max_memory_allocated(device)) for device in range(torch.cuda.device_count()))


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


#: Checkpoints that some back end still holds: two sessions that name one model share its weights.
_ALIVE: WeakValueDictionary[tuple[str, str | None], Checkpoint] = WeakValueDictionary()
#: The checkpoint that was asked for last stays loaded, as sessions with the same model often follow each other.
_LATEST: list[Checkpoint] = []


def _owns(name: str) -> bool:
    """A folder that exists counts before a hub id of the same form; `./owner/name` is never looked for on the hub."""
    return name == TINY or is_run_name(name) or Path(name).expanduser().is_dir() or _HUB_ID.fullmatch(name) is not None


def _check(name: str, options: BackendOptions) -> None:
    if options.concurrency not in (None, 1):
        raise SettingError("a checkpoint in this process answers one question at a time: leave the concurrency out")
    if options.budget is not None:
        raise SettingError("a checkpoint in this process costs no money: leave the budget out")
    for package in ("torch", "torchvision", "transformers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "vlm", f"the model {name}")
    if name == TINY:
        shipped_weights()
    resolve_run(name)


def _build(name: str, options: BackendOptions) -> LocalBackend:
    path = shipped_weights() if name == TINY else Path(resolve_run(name)).expanduser()
    key = (str(path.resolve()) if path.is_dir() else name, options.device)
    checkpoint = _ALIVE.get(key)
    if checkpoint is None:
        checkpoint = _ALIVE[key] = Checkpoint(key[0], device=options.device)
    _LATEST[:] = [checkpoint]
    backend = LocalBackend(checkpoint, cache=options.cache)
    backend.name = name
    return backend


LOCAL = BackendKind(
    "tiny, a folder with a checkpoint, a run's model (RUN@STEP, RUN@best, RUN@last), a hub id such as owner/name",
    _owns,
    _check,
    _build,
    in_process=True,
)
