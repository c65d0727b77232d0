"""A checkpoint that is trained: how it is asked, how its right answers are written, and what it computes with.

Prompts are those of inference: the same layout of frames, stamps checked, the same words. The video stands first and
the question behind it, so all questions about a clip share their prompt's beginning, and the family's processor sees a
clip once. Frames that lie at the same times and have the same size get the same tokens: these are kept, and where our
own patches (`whenwhere.models.tiny`) are seen to equal the processor's, it is asked once per layout instead of once per
clip.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.answers.catalogue import FORMS
from whenwhere.answers.dialects import FrameMode
from whenwhere.answers.forms import Form
from whenwhere.errors import MissingExtraError, ModelError, OutputError, RecordError, SettingError, WhenwhereError
from whenwhere.models.backends.base import ModelCall
from whenwhere.models.backends.local import LocalBackend
from whenwhere.models.vlm import Checkpoint
from whenwhere.store import atomic_folder
from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.prefix.attention import attach_frames
from whenwhere.training.prefix.group import Pictures, Tokens, tokens
from whenwhere.training.prefix.positions import Rule
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.prefix.vlm_parts import Tower
from whenwhere.verify import Truth

#: Layouts that are kept: real videos hardly share any.
LAYOUTS = 256
#: Pixels of a patch of the tiny policy.
TINY_PATCH = 8
#: Tokens that stand on a line: whole numbers, or seconds.
_ON_A_LINE = {"coordinates": re.compile(r"<(\d+)>"), "times": re.compile(r"<(\d+(?:\.\d+)?)s>")}


@dataclass(frozen=True)
class _Layout:
    """What clips with frames at the same times and of the same size have in common.

    Attributes:
        head: tokens up to the end of the last picture.
        grids: of the pictures.
        seconds: per step in time, where the family counts so.
        shown: width and height of the pictures as the model sees them.
        before: what the chat template writes between the last picture and the words.
        after: what it writes behind the words.
        plain: our own patches are the processor's.
    """

    head: Any
    grids: Any
    seconds: Sequence[float] | None
    shown: tuple[int, int]
    before: str
    after: str
    plain: bool


class Policy:
    """A checkpoint that is trained.

    Args:
        checkpoint: of a family that training knows; its weights are loaded.
        form: name of the form that answers are written in (`whenwhere.answers.FORMS`).
        prompt: the question, with {query} and {duration} where they are put in.
        frames: how frames are handed over; None = as the family's dialect does.
        long_side: most pixels of a frame's longer side; None = any.
        rule: of positions behind a video.
        rate: boxes per second of right answers.

    Attributes:
        checkpoint: as given.
        model: with its weights, wrapped once it is prepared for LoRA.
        tower: its parts.
        form: that answers are written in.
        prompt: as given.
        ends: tokens that end an answer.
        end: the one that right answers end with.
        scales: `coordinates` and `times`: tokens that stand on one line, in its order; only those that there are.

    Raises:
        ModelError: a family that training does not know, or no such weights.
        SettingError: an unknown form, or a prompt without {query}.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        form: str,
        prompt: str,
        frames: FrameMode | None = None,
        long_side: int | None = None,
        rule: Rule = "original",
        rate: float = 1.0,
    ) -> None:
        if form not in FORMS:
            raise SettingError(f"there is no form {form!r}: forms are {', '.join(FORMS)}")
        if "{query}" not in prompt:
            raise SettingError("the prompt has no {query}: say where the sentence goes")
        self.checkpoint, self.prompt, self.rate = checkpoint, prompt, rate
        self.backend = LocalBackend(checkpoint, frames=frames, long_side=long_side)
        self.form: Form = FORMS[form]
        self.model: Any = checkpoint.model
        self.tower = Tower(self.model, rule)
        self.ends = checkpoint.ends
        self.end = int(checkpoint.tokenizer.eos_token_id)
        self.scales = _scales(checkpoint.tokenizer)
        self._bf16 = False
        self._layouts: dict[Any, _Layout] = {}
        self._words = lru_cache(maxsize=65536)(self._tokenised)

    def prompts(self, sample: Sample, questions: Sequence[Question]) -> tuple[Tokens, list[Any]]:
        """Tokens of the questions' prompts, parted where they part.

        Args:
            sample: the clip.
            questions: about it, at least one.

        Returns:
            The longest common beginning with the clip in it, and of each question what follows: at least one token.

        Raises:
            ModelError: a stamp in the prompt is not true, or the processor does not take the frames.
        """
        import torch

        asked = [self.asked(sample, q) for q in questions]
        layout, found = self._laid_out(sample, asked[0])
        tails = [self._words(f"{layout.before}{words}{layout.after}") for words in asked]
        rests = [list(t) for t in tails]
        shared = 0
        while all(len(r) > shared + 1 and r[shared] == rests[0][shared] for r in rests):
            shared += 1
        ids = torch.cat([layout.head, torch.tensor(rests[0][:shared], dtype=torch.long)])
        prompt = Tokens(ids, found.images, found.videos)
        return prompt, [torch.tensor(r[shared:], dtype=torch.long) for r in rests]

    def truth(self, sample: Sample, question: Question) -> Truth:
        """What is true of a question, with everything filled in that forms and rewards need.

        Args:
            sample: the clip.
            question: about it.
        """
        truth = question.truth
        step = float(np.median(np.diff(sample.times))) if len(sample.times) > 1 else 1.0
        layout, _ = self._laid_out(sample, self.asked(sample, question), pictures=False)
        return replace(
            truth,
            duration=truth.duration or float(sample.times[-1]) + step,
            size=truth.size or (float(sample.images.shape[2]), float(sample.images.shape[1])),
            shown=(float(layout.shown[0]), float(layout.shown[1])),
            query=truth.query or question.text,
        )

    def target(self, sample: Sample, question: Question) -> Any:
        """Tokens of the right answer and the end.

        Args:
            sample: the clip.
            question: about it.

        Raises:
            RecordError: the form cannot hold the answer.
        """
        import torch

        truth = self.truth(sample, question)
        if truth.spans is None and "choice" not in self.form.holds:
            # it would be written as "it is not there"
            raise RecordError(f"the form {self.form.name} has no place for a choice, which is all that is known")
        text = self.form.render(truth.answer(self.rate), truth.size, truth.shown)
        return torch.tensor([*self._words(text), self.end], dtype=torch.long)

    def when(self, sample: Sample, question: Question) -> int:
        """How many of the right answer's tokens are read before anything about places.

        Args:
            sample: the clip.
            question: about it.
        """
        whole = self.target(sample, question).tolist()
        bare = self.target(sample, replace(question, truth=replace(question.truth, tube=None))).tolist()
        same = (a == b for a, b in zip(whole, bare, strict=False))
        return sum(takewhile(bool, same))

    def text(self, ids: Any) -> str:
        """What a completion says, without the end.

        Args:
            ids: its tokens.
        """
        kept = [int(i) for i in ids if int(i) not in self.ends]
        return str(self.checkpoint.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def asked(self, sample: Sample, question: Question) -> str:
        """The words of a question, as they stand behind the clip.

        Args:
            sample: the clip.
            question: about it.

        Raises:
            ModelError: the prompt tells the duration, and nobody knows it.
        """
        duration = question.truth.duration
        if duration is None and "{duration}" in self.prompt:
            raise ModelError(f"the prompt tells the duration, and the truth of {question.id} has none: give it one")
        return self.backend.defused(self.prompt.format(query=question.text, duration=f"{duration or 0:.1f}"))

    def _tokenised(self, text: str) -> tuple[int, ...]:
        return tuple(self.checkpoint.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _laid_out(self, sample: Sample, words: str, pictures: bool = True) -> tuple[_Layout, Tokens]:
        """The layout of a clip, and its pictures."""
        key = (sample.images.shape, sample.times.tobytes())
        layout = self._layouts.get(key)
        if layout is not None and not pictures:
            return layout, Tokens(layout.head)
        if layout is not None and layout.plain:
            return layout, Tokens(layout.head, videos=Pictures(layout.grids, self._patches(sample)))
        prepared = self.backend.prepared(ModelCall(sample.images, sample.times, words))
        found = tokens(prepared.inputs)
        if layout is None:
            layout = self._parted(found, prepared.rendered, words, prepared.shown)
            if self.tower.config.vision_config.patch_size == TINY_PATCH and found.videos is not None:
                ours = self._patches(sample)
                layout = replace(
                    layout,
                    plain=ours.shape == found.videos.patches.shape
                    and bool((ours - found.videos.patches).abs().max() < 1e-5),
                )
            if len(self._layouts) >= LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)), None)
            self._layouts[key] = layout
        return layout, found

    def _patches(self, sample: Sample) -> Any:
        import torch

        from whenwhere.models.tiny import patchify

        images = np.repeat(sample.images, 2, axis=0) if self.backend.frames == "repeat" else sample.images
        return torch.from_numpy(patchify(images, TINY_PATCH)[0])

    def _parted(self, found: Tokens, rendered: str, words: str, shown: tuple[int, int]) -> _Layout:
        """Parts a finished prompt behind its last picture, and what was rendered around the words."""
        config, tokenizer = self.tower.config, self.checkpoint.tokenizer
        closing = str(tokenizer.convert_ids_to_tokens(config.vision_end_token_id))
        ends = (found.ids == config.vision_end_token_id).nonzero()
        words = words if words in rendered else words.strip()
        tail = rendered[rendered.rfind(closing) + len(closing) :]
        if not len(ends) or words not in tail:
            raise ModelError(
                f"the chat template of {self.checkpoint.name} puts words before the video: training shares the video "
                "among questions, which must stand behind it"
            )
        cut = int(ends[-1]) + 1
        if self._words(tail) != tuple(found.ids[cut:].tolist()):
            raise ModelError(f"the tokenizer of {self.checkpoint.name} joins words across the end of a picture")
        before, _, after = tail.rpartition(words)
        part = found.videos or found.images
        assert part is not None
        return _Layout(found.ids[:cut], part.grids, part.seconds, shown, before, after, plain=False)

    def prepare(self, settings: PolicySettings) -> None:
        """Makes the model ready to be trained: what is frozen, LoRA, checkpointing, precision. Once.

        Args:
            settings: of the run.

        Raises:
            MissingExtraError: PEFT is not installed.
        """
        import torch

        core = self.tower.core
        if settings.lora_r and self.model is core:
            self.model = _with_lora(core, settings)
        core.train()
        vision = core.model.visual
        for weight in vision.parameters():
            weight.requires_grad_(not settings.freeze_vision_tower)
        if settings.freeze_vision_tower:
            vision.eval()
        for weight in core.parameters():
            if weight.requires_grad and weight.dtype in (torch.bfloat16, torch.float16):
                # small updates would be rounded away
                weight.data = weight.data.float()
        attach_frames(vision)
        if settings.gradient_checkpointing:
            core.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if settings.bf16 and not self._bf16 and self.tower.device.type == "cpu":
            _exact(vision.patch_embed)
        self._bf16 = settings.bf16

    @contextmanager
    def computing(self) -> Iterator[None]:
        """What forward passes run under: bf16 where it was asked for."""
        import torch

        with torch.autocast(self.tower.device.type, torch.bfloat16, enabled=self._bf16):
            yield

    def save(self, folder: Path, about: dict[str, Any] | None = None) -> None:
        """Writes the checkpoint as `from_pretrained` reads it; LoRA's matrices are added to the weights.

        Args:
            folder: replaced when all is written.
            about: goes into `whenwhere.json` in it, beside form, prompt and frames.
        """
        with atomic_folder(folder) as temporary, _said(folder):
            self.tower.core.save_pretrained(temporary, state_dict=_merged(self.tower.core))
            self.checkpoint.processor.save_pretrained(temporary)
            entry = {
                "dialect": self.backend.dialect.name, "form": self.form.name, "prompt": self.prompt,
                "frames": self.backend.frames, "long_side": self.backend.long_side, **(about or {}),
            }  # fmt: skip
            (temporary / "whenwhere.json").write_text(json.dumps(entry, indent=2, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    """Says in a sentence that the libraries' writers failed; their errors are of no common kind."""
    try:
        yield
    except WhenwhereError:
        raise
    except OSError as e:
        raise OutputError(f"cannot write {folder}: {e.strerror or e}; make room there and run again") from e
    except Exception as e:
        if type(e).__name__ != "SafetensorError":
            raise
        raise OutputError(f"cannot write {folder}: {str(e)[:160]}; make room there and run again") from e


def _exact(part: Any) -> None:
    """Lets a module compute in full precision under autocast."""
    import torch

    # hooks and not another forward: copies of the module must not compute with this one's weights
    inside: list[Any] = []

    def enter(*_: Any) -> None:
        inside.append(torch.autocast("cpu", enabled=False))
        inside[-1].__enter__()

    def leave(*_: Any) -> None:
        inside.pop().__exit__(None, None, None)

    part.register_forward_pre_hook(enter)
    part.register_forward_hook(leave, always_call=True)


def _scales(tokenizer: Any) -> dict[str, list[int]]:
    """Tokens of a vocabulary that stand on one line, in its order."""
    found = {}
    for name, pattern in _ON_A_LINE.items():
        places = {float(m[1]): number for t, number in tokenizer.get_vocab().items() if (m := pattern.fullmatch(t))}
        if len(places) > 2:
            found[name] = [places[value] for value in sorted(places)]
    return found


def _with_lora(core: Any, settings: PolicySettings) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as e:
        raise MissingExtraError("peft", "train", "LoRA") from e
    names = "|".join(map(re.escape, settings.lora_target_modules))
    config = LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        # of the text tower alone: some families have layers of the same names in the vision tower
        target_modules=rf".*language_model.*\.({names})$",
    )
    try:
        return get_peft_model(core, config)
    except ValueError as e:
        raise SettingError(f"lora_target_modules finds no layers: {' '.join(str(e).split())[:200]}") from e


def _merged(core: Any) -> dict[str, Any]:
    """The model's own weights, with those of LoRA added."""
    weights = {}
    layers = {n: m for n, m in core.named_modules() if hasattr(m, "get_delta_weight") and hasattr(m, "base_layer")}
    for name, weight in core.state_dict().items():
        if ".lora_" in name:
            continue
        layer = layers.get(name.rpartition(".base_layer.")[0])
        if layer is not None and name.endswith(".weight"):
            weight = weight + sum(layer.get_delta_weight(a).to(weight.dtype) for a in layer.active_adapters)
        weights[name.replace(".base_layer.", ".")] = weight
    return weights
