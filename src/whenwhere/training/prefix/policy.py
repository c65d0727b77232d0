"""A policy: a checkpoint to be trained, with its prompts, its target answers and its precision.

Prompts are those of inference: the same layout of frames, the same checked timestamps, the same words. The video comes
first and the question after it, so all questions about a clip share the beginning of their prompt, and the family's
processor sees a clip once. Clips whose frames have the same times and size get the same tokens, which are cached. Where
our own patches (`whenwhere.models.tiny`) are found to equal the processor's, the processor runs once for each layout
instead of once for each clip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from whenwhere.answers.catalogue import FORMS
from whenwhere.answers.dialects import FrameMode
from whenwhere.answers.dialects.prompt import fill_prompt
from whenwhere.answers.forms import Form
from whenwhere.array_cache import ArrayCache
from whenwhere.errors import ModelError, RecordError, SettingError
from whenwhere.models.backends.base import ModelCall
from whenwhere.models.backends.local import LocalBackend
from whenwhere.models.trained import Trained
from whenwhere.models.vlm import Checkpoint, writing_errors
from whenwhere.store import atomic_folder
from whenwhere.training.budget import parse_size
from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.prefix.adapter import ADAPTER, adapter_weights, write_adapter
from whenwhere.training.prefix.attention import attach_frame_attention
from whenwhere.training.prefix.feature_cache import FeatureCache, identity
from whenwhere.training.prefix.group import TokenSegment, VisualInput
from whenwhere.training.prefix.lora import merged_weights, with_lora
from whenwhere.training.prefix.positions import MRoPERule
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.prefix.vlm_parts import VLMParts
from whenwhere.training.processes import Processes
from whenwhere.training.sharding import ShardedModule, transformer_blocks
from whenwhere.verify import Truth

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
#: The largest number of cached layouts; real videos hardly ever share one.
MAX_LAYOUTS = 256
#: Side in pixels of a patch of the tiny policy.
TINY_PATCH = 8
#: Tokens that have an order: whole numbers (coordinates), or seconds.
_ORDINAL = {"coordinates": re.compile(r"<(\d+)>"), "times": re.compile(r"<(\d+(?:\.\d+)?)s>")}


@dataclass(frozen=True)
class _Layout:
    """What clips whose frames have the same times and size have in common.

    Attributes:
        head: Token ids up to the end of the last picture, int64, shape (n,).
        grids: Frames, rows and columns of the pictures in patches, int64, shape (pictures, 3).
        seconds_per_step: Seconds of a temporal step of each video, where the family uses them.
        shown: Width and height of the pictures as the model sees them, in pixels.
        before: Text that the chat template puts between the last picture and the question.
        after: Text that it puts after the question.
        plain: Whether our own patches equal the processor's.
    """

    head: Tensor
    grids: Tensor
    seconds_per_step: Sequence[float] | None
    shown: tuple[int, int]
    before: str
    after: str
    plain: bool


class Policy:
    """A checkpoint to be trained, together with its prompt and answer form.

    Args:
        checkpoint: A checkpoint of a family that can be trained; its weights are loaded.
        form: Name of the form of its answers (`whenwhere.answers.FORMS`).
        prompt: The prompt template, in which {query} and {duration} are replaced.
        frames: How frames are given to the model. None means as the model's family takes them.
        long_side: Largest longer side of a frame in pixels. None means unlimited.
        rule: Where M-RoPE positions continue after a video.
        rate: Boxes per second of target answers.

    Attributes:
        checkpoint: As given.
        model: The model with its weights; PEFT wraps it after `prepare` with LoRA.
        parts: The parts of the model.
        form: The form of its answers.
        prompt: As given.
        rate: As given.
        end_ids: Token ids that end an answer.
        end_id: The token id that ends right answers.
        ordinal_tokens: For `coordinates` and `times`, the token ids that have an order, in that order; a key is absent
            where the vocabulary has no such tokens.
        features: Cache of the vision tower's output; set by `prepare`. None without one.

    Raises:
        ModelError: The family cannot be trained, or the weights do not exist.
        SettingError: There is no such form, or the prompt has no {query}.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        form: str,
        prompt: str,
        frames: FrameMode | None = None,
        long_side: int | None = None,
        rule: MRoPERule = "original",
        rate: float = 1.0,
    ) -> None:
        if form not in FORMS:
            raise SettingError(f"there is no form {form!r}: choose one of {', '.join(FORMS)}")
        if "{query}" not in prompt:
            raise SettingError("the prompt has no {query}: write it where the sentence belongs")
        self.checkpoint, self.prompt, self.rate = checkpoint, prompt, rate
        self.backend = LocalBackend(checkpoint, frames=frames, long_side=long_side)
        self.form: Form = FORMS[form]
        self.model: torch.nn.Module = checkpoint.model
        self.parts = VLMParts(self.model, rule)
        self.end_ids: Sequence[int] = checkpoint.ends
        self.end_id = int(checkpoint.tokenizer.eos_token_id)
        self.ordinal_tokens = _ordinal_tokens(checkpoint.tokenizer)
        self.features: FeatureCache | None = None
        self._bf16 = False
        self._sharded: ShardedModule | None = None
        self._writes = True
        self._layouts: dict[tuple[tuple[int, ...], bytes], _Layout] = {}
        self._tokenise = lru_cache(maxsize=65536)(self._tokenised)

    def prompts(
        self, sample: Sample, questions: Sequence[Question], max_length: int | None = None
    ) -> tuple[TokenSegment, list[Tensor]]:
        """The prompts of questions about a clip, split where they diverge.

        Args:
            sample: The clip.
            questions: Questions about it, at least one.
            max_length: The largest number of tokens of a prompt. None means unlimited.

        Returns:
            The longest common beginning with the clip in it; and for each question the token ids of its remainder,
            int64, shape (n,), at least one.

        Raises:
            ModelError: A timestamp in the prompt is wrong, or the processor rejects the frames.
            SettingError: A prompt is longer than `max_length`.
        """
        import torch

        texts = [self.question_text(sample, q) for q in questions]
        layout, segment = self._lay_out(sample, texts[0])
        rests = [list(self._tokenise(f"{layout.before}{text}{layout.after}")) for text in texts]
        shared = 0
        while all(len(r) > shared + 1 and r[shared] == rests[0][shared] for r in rests):
            shared += 1
        ids = torch.cat([layout.head, torch.tensor(rests[0][:shared], dtype=torch.long)])
        longest = len(ids) + max(map(len, rests)) - shared
        if max_length is not None and longest > max_length:
            raise SettingError(f"its prompt has {longest} tokens, more than max_prompt_length = {max_length}")
        prompt = TokenSegment(ids, segment.images, segment.videos)
        return prompt, [torch.tensor(r[shared:], dtype=torch.long) for r in rests]

    def truth(self, sample: Sample, question: Question) -> Truth:
        """The ground truth of a question, from which rewards and target texts are computed.

        Duration, frame size and query are filled in from the clip and the question where they are missing, and so is
        the size at which the policy sees the frames.

        Args:
            sample: The clip that the question is about.
            question: One of the sample's questions.
        """
        truth = question.truth
        step = float(np.median(np.diff(sample.times))) if len(sample.times) > 1 else 1.0
        layout, _ = self._lay_out(sample, self.question_text(sample, question), pictures=False)
        return replace(
            truth,
            duration=truth.duration or float(sample.times[-1]) + step,
            size=truth.size or (float(sample.shape[2]), float(sample.shape[1])),
            shown=(float(layout.shown[0]), float(layout.shown[1])),
            query=truth.query or question.text,
        )

    def target(self, sample: Sample, question: Question) -> Tensor:
        """Token ids of the target answer with its end token, int64, shape (n,).

        Args:
            sample: The clip.
            question: A question about it.

        Raises:
            RecordError: The answer cannot be written in the policy's form.
        """
        import torch

        if question.written is not None:
            self._check_written(sample, question)
            return torch.tensor([*self._tokenise(question.written), self.end_id], dtype=torch.long)
        truth = self.truth(sample, question)
        if truth.spans is None and "choice" not in self.form.holds:
            # it would be written as "it is not there"
            raise RecordError(f"the form {self.form.name} has no place for a choice, and nothing else is known")
        text = self.form.render(truth.answer(self.rate), truth.size, truth.shown)
        return torch.tensor([*self._tokenise(text), self.end_id], dtype=torch.long)

    def _check_written(self, sample: Sample, question: Question) -> None:
        """Refuse a text whose boxes are in pixels of another picture than the policy sees."""
        meant = question.truth.shown
        if meant is None or self.form.coordinates != "pixels":
            return
        seen = self.truth(sample, question).shown
        if seen is not None and seen != meant:
            raise RecordError(
                f"the trajectory of {question.id} is in pixels of a picture of {meant[0]:g}x{meant[1]:g}, and the "
                f"policy sees {seen[0]:g}x{seen[1]:g}: make it with --shown {seen[0]:g}x{seen[1]:g}"
            )

    def span_token_count(self, sample: Sample, question: Question) -> int:
        """Number of tokens at the beginning of the target answer that state the spans, before any box.

        Args:
            sample: The clip.
            question: A question about it.
        """
        whole = self.target(sample, question).tolist()
        bare = self.target(sample, replace(question, truth=replace(question.truth, tube=None))).tolist()
        same = (a == b for a, b in zip(whole, bare, strict=False))
        return sum(takewhile(bool, same))

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of a completion, without the token that ends it.

        Args:
            ids: Token ids of the completion.
        """
        kept = [int(i) for i in ids if int(i) not in self.end_ids]
        return str(self.checkpoint.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def question_text(self, sample: Sample, question: Question) -> str:
        """The words of a question, as they follow the clip in the prompt.

        Args:
            sample: The clip.
            question: A question about it.

        Raises:
            ModelError: The prompt needs the duration, and the truth has none.
        """
        duration = question.truth.duration
        if duration is None and "{duration}" in self.prompt:
            raise ModelError(f"the prompt needs the duration, and the truth of {question.id} has none: give it one")
        return self.backend.defused(fill_prompt(self.prompt, query=question.text, duration=f"{duration or 0:.1f}"))

    def _tokenised(self, text: str) -> tuple[int, ...]:
        return tuple(self.checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _lay_out(self, sample: Sample, words: str, pictures: bool = True) -> tuple[_Layout, TokenSegment]:
        """The layout of a clip, and its tokens with their pictures; without pictures if they are not asked for."""
        key = _layout_key(sample)
        layout = self._layouts.get(key)
        if layout is not None and not pictures:
            return layout, TokenSegment(layout.head)
        kept = None if self.features is None else self.features.read(sample)
        if kept is not None:
            beginning, about = kept
            if layout is None:
                part = beginning.videos or beginning.images
                assert part is not None
                layout = self._layouts[key] = _Layout(
                    beginning.ids, part.grids, part.seconds_per_step, tuple(about["shown"]), about["before"],
                    about["after"], plain=False,
                )  # fmt: skip
            return layout, beginning
        if layout is not None and layout.plain:
            return layout, TokenSegment(layout.head, videos=VisualInput(layout.grids, self._patches(sample)))
        prepared = self.backend.prepared(ModelCall(sample.images, sample.times, words))
        segment = TokenSegment.from_processor(prepared.inputs)
        if layout is None:
            layout = self._split(segment, prepared.rendered, words, prepared.shown)
            if self.parts.config.vision_config.patch_size == TINY_PATCH and segment.videos is not None:
                ours, theirs = self._patches(sample), segment.videos.required_patches
                layout = replace(layout, plain=ours.shape == theirs.shape and bool((ours - theirs).abs().max() < 1e-5))
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)), None)
            self._layouts[key] = layout
        return layout, segment

    def frozen_features(self, sample: Sample, prompt: TokenSegment) -> TokenSegment:
        """A prompt with features in place of patches, computed without gradient, for a frozen vision tower.

        They are kept where there is a cache of features.

        Args:
            sample: The clip that the prompt is about.
            prompt: A prompt, as `prompts` gives it.
        """
        with self.autocast():
            found = self.parts.with_features(prompt)
        layout = self._layouts.get(_layout_key(sample))
        if self.features is not None and prompt.needs_tower and layout is not None:
            about = {"shown": list(layout.shown), "before": layout.before, "after": layout.after}
            self.features.write(sample, TokenSegment(layout.head, found.images, found.videos), about)
        return found

    def _patches(self, sample: Sample) -> Tensor:
        import torch

        from whenwhere.models.tiny import patchify

        images = np.repeat(sample.images, 2, axis=0) if self.backend.frames == "repeat" else sample.images
        return torch.from_numpy(patchify(images, TINY_PATCH)[0])

    def _split(self, segment: TokenSegment, rendered: str, words: str, shown: tuple[int, int]) -> _Layout:
        """Splits a finished prompt after its last picture, and finds what was rendered around the words."""
        config, tokenizer = self.parts.config, self.checkpoint.tokenizer
        closing = str(tokenizer.convert_ids_to_tokens(config.vision_end_token_id))
        ends = (segment.ids == config.vision_end_token_id).nonzero()
        words = words if words in rendered else words.strip()
        tail = rendered[rendered.rfind(closing) + len(closing) :]
        if not len(ends) or words not in tail:
            raise ModelError(
                f"the chat template of {self.checkpoint.name} puts words before the video, but training shares the "
                "video among questions, which must come after it: choose a checkpoint with another template"
            )
        cut = int(ends[-1]) + 1
        if self._tokenise(tail) != tuple(segment.ids[cut:].tolist()):
            raise ModelError(f"the tokenizer of {self.checkpoint.name} joins words across the end of a picture")
        before, _, after = tail.rpartition(words)
        part = segment.videos or segment.images
        assert part is not None
        return _Layout(segment.ids[:cut], part.grids, part.seconds_per_step, shown, before, after, plain=False)

    def prepare(self, settings: PolicySettings) -> None:
        """Makes the model ready to be trained: freezing, LoRA, gradient checkpointing, precision. Called once.

        Args:
            settings: The settings of the run.

        Raises:
            MissingExtraError: LoRA is asked for and PEFT is not installed.
            SettingError: LoRA is asked for and no layer has the given names.
        """
        import torch

        model = self.parts.model
        if settings.lora_r and not settings.lora_merge and self.checkpoint.is_adapter:
            raise SettingError(
                f"{self.checkpoint.name} is an adapter, and one for it cannot be loaded: set lora_merge=true"
            )
        if settings.lora_r and self.model is model:
            self.model = with_lora(
                model, settings.lora_r, settings.lora_alpha, settings.lora_dropout, settings.lora_target_modules
            )
        model.train()
        vision = model.model.visual
        for weight in vision.parameters():
            weight.requires_grad_(not settings.freeze_vision_tower)
        if settings.freeze_vision_tower:
            vision.eval()
        for weight in model.parameters():
            if weight.requires_grad and weight.dtype in (torch.bfloat16, torch.float16) and settings.sharding == "none":
                # small updates would be rounded away; sharding does the same layer by layer
                weight.data = weight.data.float()
        attach_frame_attention(vision)
        if settings.gradient_checkpointing:
            # older versions of transformers lack the first name, and version 6 is to take the second away
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        if settings.bf16 and not self._bf16 and self.parts.device.type == "cpu":
            _full_precision(vision.patch_embed)
        self._bf16 = settings.bf16
        if settings.feature_cache and self.parts.device.type != "meta":
            store = ArrayCache(settings.cache_folder("features"), parse_size(settings.feature_cache, "feature_cache"))
            self.features = FeatureCache(store, identity(vision, self.backend, settings.bf16))

    def shard(self, processes: Processes) -> None:
        """Divides the weights among the processes; called once, after `prepare`.

        Args:
            processes: The processes that train together.

        Raises:
            SettingError: There is only one process, or the model does not name its layers.
        """
        self._sharded = ShardedModule(self.model, transformer_blocks(self.model), processes, self._bf16)
        self._writes = processes.first

    @property
    def sharded(self) -> bool:
        """Whether the weights are divided among several processes, which must make the same passes."""
        return self._sharded is not None

    @property
    def writes(self) -> bool:
        """Whether this process writes files; with sharded weights, every process takes part in saving."""
        return self._writes

    def run(self, compute: Callable[[], T]) -> T:
        """The result of one pass of the model; with sharded weights, every process makes it.

        Args:
            compute: Computes it: a tensor with gradient.
        """
        return compute() if self._sharded is None else self._sharded.run(compute)

    def gathered(self) -> AbstractContextManager[None]:
        """Context manager in which this process may make passes of its own: all weights are gathered."""
        return nullcontext() if self._sharded is None else self._sharded.gathered()

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context of forward passes: bf16 if the settings ask for it."""
        import torch

        with torch.autocast(self.parts.device.type, torch.bfloat16, enabled=self._bf16):
            yield

    def save(self, folder: Path, about: dict[str, Any] | None = None, merged: bool = True) -> None:
        """Writes the checkpoint so that `from_pretrained` reads it; LoRA matrices are merged into the weights.

        They are also written as an adapter of their own (`prefix.adapter`). With sharded weights every process calls
        it, and the first one writes.

        Args:
            folder: The folder, replaced once everything is written.
            about: Further entries for its `whenwhere.json`, beside form, prompt and frames.
            merged: Whether the weights are written. False writes LoRA's adapter alone.

        Raises:
            OutputError: The folder cannot be written.
        """
        weights = merged_weights(self.parts.model) if merged else {}
        adapter = adapter_weights(self.model)
        if not self.writes:
            return
        with atomic_folder(folder) as temporary, writing_errors(folder):
            if merged:
                self.parts.model.save_pretrained(temporary, state_dict=weights)
                self.checkpoint.processor.save_pretrained(temporary)
            if adapter:
                base, where = self.checkpoint, temporary / ADAPTER if merged else temporary
                write_adapter(self.model, adapter, where, base.name, base.revision)
            asked = Trained(
                dialect=self.backend.dialect.name, form=self.form.name, prompt=self.prompt,
                frames=self.backend.frames, long_side=self.backend.long_side,
            )  # fmt: skip
            asked.write(temporary, about)


def _full_precision(module: torch.nn.Module) -> None:
    """Makes a module compute in full precision under autocast."""
    import torch

    # hooks instead of another forward method: copies of the module must not compute with this one's weights
    entered: list[torch.autocast] = []

    def enter(*_: Any) -> None:
        entered.append(torch.autocast("cpu", enabled=False))
        entered[-1].__enter__()

    def leave(*_: Any) -> None:
        entered.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave, always_call=True)


def _layout_key(sample: Sample) -> tuple[tuple[int, ...], bytes]:
    return sample.shape, sample.times.tobytes()


def _ordinal_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """The tokens of a vocabulary that have an order, in that order."""
    found = {}
    for name, pattern in _ORDINAL.items():
        ids = {float(m[1]): number for t, number in tokenizer.get_vocab().items() if (m := pattern.fullmatch(t))}
        if len(ids) > 2:
            found[name] = [ids[value] for value in sorted(ids)]
    return found
