"""What a recipe that trains a policy will cost, before it runs: sizes, tokens, FLOPs, memory. No weights are loaded.

Prompts are laid out on the first samples that can be read, so their tokens are exact for these. Memory is planned for
the longest of them; where none can be read, for the longest prompt that the recipe allows.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from whenwhere.errors import WhenwhereError
from whenwhere.training import builders
from whenwhere.training.budget import parse_size
from whenwhere.training.data.samples import (
    DeferredSample,
    ReorderedSource,
    Sample,
    SampleSource,
    question_count,
)
from whenwhere.training.epochs import in_updates
from whenwhere.training.machine import GIB, Machine
from whenwhere.training.prefix.flops import FlopCounter, Flops
from whenwhere.training.prefix.group import TokenSegment
from whenwhere.training.prefix.memory import MemoryEstimate, UpdateShape, estimate_memory
from whenwhere.training.stages import Recipe

if TYPE_CHECKING:
    from whenwhere.training.prefix.policy import Policy

#: Number of samples that are looked at.
LOOKED_AT = 4
#: FLOPs of one sample. Gets the counter, the prompt, and for each question the tokens of its words and of its target.
SampleCost = Callable[[FlopCounter, TokenSegment, list[int], list[int]], Flops]
#: Tokens of a question and of a right answer, and questions about a clip, where no sample can be read.
ASSUMED = (64, 256, 2)


@dataclass(frozen=True)
class LongestClip:
    """The sizes of the longest clip that an update is planned for.

    Attributes:
        prompt: Tokens of the prompt that its questions share.
        suffixes: Tokens of each question.
        targets: Tokens of each right answer.
        frames: Number of frames (steps in time).
        patches: Number of patches of a frame.
    """

    prompt: int
    suffixes: tuple[int, ...]
    targets: tuple[int, ...]
    frames: int
    patches: int

    @property
    def tokens(self) -> int:
        """Tokens of the clip with its questions and answers."""
        return self.prompt + sum(self.suffixes) + sum(self.targets)


#: The sizes of an update, from those of its longest clip.
ShapeOf = Callable[[LongestClip], UpdateShape]


def estimate_policy(
    recipe: Recipe,
    tell: Callable[[str], None],
    machine: Machine,
    cost: SampleCost,
    shape: ShapeOf,
    samples_per_update: int,
    answer_tokens_counted: int | None = None,
) -> dict[str, Any]:
    """Estimates the cost of a recipe as names with numbers; what cannot be known is a sentence under `unknown`.

    The memory per device is under `memory`: a `prefix.memory.MemoryEstimate`, or a sentence if it cannot be planned.

    Args:
        recipe: The recipe.
        tell: Called with a message about what the data's filters leave out.
        machine: The machine that it is planned for.
        cost: FLOPs of one sample.
        shape: Sizes of an update by those of its longest clip.
        samples_per_update: Samples (or prompts) of one update in one process.
        answer_tokens_counted: Tokens of an answer that `cost` counts, where they are not those of the target.
    """
    found: dict[str, Any] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            builders.quiet_transformers()
            policy = _policy(recipe, Path(folder), machine)
            parameters = list(policy.model.parameters())
            found["parameters"] = sum(p.numel() for p in parameters)
            found["trained_parameters"] = sum(p.numel() for p in parameters if p.requires_grad)
            longest = None
            try:
                longest = _look(
                    recipe, policy, tell, cost, samples_per_update, answer_tokens_counted, machine.processes, found
                )  # fmt: skip
            except WhenwhereError as e:
                found["unknown"] = str(e)
            found["memory"] = _memory(recipe, policy, shape, longest, machine)
    except WhenwhereError as e:
        found["unknown"] = str(e)
    return found


def _policy(recipe: Recipe, folder: Path, machine: Machine) -> "Policy":
    """The policy without weights, prepared for training."""
    import torch
    from transformers import AutoModelForImageTextToText

    made = builders.open_checkpoint(recipe, folder, machine.device)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(made.config).eval()
    # as `Checkpoint.model` loads it
    made.__dict__["model"] = model.to(torch.bfloat16 if machine.accelerator else torch.float32)
    policy = builders.open_policy(recipe, made)
    policy.prepare(recipe.train)
    return policy


def _memory(
    recipe: Recipe, policy: "Policy", shape: ShapeOf, longest: LongestClip | None, machine: Machine
) -> MemoryEstimate | str:
    """The memory per device, or a sentence if it cannot be planned."""
    if longest is None:
        suffix, target, questions = ASSUMED
        patches = policy.parts.config.vision_config.spatial_merge_size**2
        prompt = recipe.train.max_prompt_length - suffix
        # one token a frame: how tokens are divided among frames hardly matters
        longest = LongestClip(prompt, (suffix,) * questions, (target,) * questions, prompt, patches)
    try:
        return estimate_memory(policy.model, policy.parts, recipe.train, shape(longest), machine)
    except WhenwhereError as e:
        return str(e)


def _look(
    recipe: Recipe, policy: "Policy", tell: Callable[[str], None], cost: SampleCost, samples_per_update: int,
    answer_tokens_counted: int | None, processes: int, found: dict[str, Any],
) -> LongestClip | None:  # fmt: skip
    """Lays out the first samples and fills in what follows from them; the sizes of the longest, if any can be read."""
    source = builders.open_source(recipe, tell)
    found["samples"] = len(source)
    counter = FlopCounter(policy.parts)
    prompts, questions, answers = [], [], []
    clips: list[LongestClip] = []
    flops = Flops()
    pixels, features = [], []
    for sample in islice(_readable(source), LOOKED_AT):
        prompt, rests = policy.prompts(sample, sample.questions)
        targets = [len(policy.target(sample, question)) for question in sample.questions]
        flops = flops + cost(counter, prompt, [len(rest) for rest in rests], targets)
        prompts.append(len(prompt.ids) + max(map(len, rests)))
        if isinstance(sample, DeferredSample):  # of a video, which is decoded
            pixels.append(sample.nbytes)
        features.append(_feature_bytes(recipe, policy, prompt))
        questions.append(len(sample.questions))
        answers += targets
        grids = [
            g for part in (prompt.images, prompt.videos) if part is not None for g in np.asarray(part.grids).tolist()
        ]
        frames = sum(t for t, _, _ in grids)
        patches = max((rows * columns for _, rows, columns in grids), default=0)
        lengths = tuple(map(len, rests))
        clips.append(LongestClip(len(prompt.ids), lengths, tuple(targets), frames, patches))
    if not prompts:
        found["unknown"] = f"tokens: none of the first {LOOKED_AT} samples can be read"
        return None
    if pixels:
        _say_cache("frame_cache", pixels, len(source), recipe.train.frame_cache, found, tell)
    if recipe.train.freeze_vision_tower:
        _say_cache("feature_cache", features, len(source), recipe.train.feature_cache, found, tell)
    found["questions_per_sample"] = float(np.mean(questions))
    found["prompt_tokens"] = float(np.mean(prompts))
    found["longest_prompt"] = max(prompts)
    found["answer_tokens"] = float(np.mean(answers))
    if answer_tokens_counted is not None:
        found["answer_tokens_counted"] = answer_tokens_counted
    # in RL an update takes so many questions, and in SFT so many clips
    units = len(source) if answer_tokens_counted is None else question_count(source)
    updates = in_updates(recipe.train, units, samples_per_update * processes).max_steps
    found["updates"] = updates
    found["samples_per_update"] = samples_per_update
    if processes > 1:
        found["processes"] = processes
    found["epochs"] = updates * samples_per_update * processes / units
    per_update = flops * (samples_per_update / len(prompts))
    found["flops_per_update"] = per_update.shared
    found["flops"] = per_update.shared * updates
    found["flops_with_repeated_prompts"] = per_update.repeat * updates
    return max(clips, key=lambda clip: clip.tokens)


def _feature_bytes(recipe: Recipe, policy: "Policy", prompt: TokenSegment) -> int:
    """Bytes of the vision tower's output for a prompt."""
    parts = policy.parts
    levels = 1 + len(getattr(parts.config.vision_config, "deepstack_visual_indexes", None) or ())
    size = 2 if recipe.train.bf16 else parts.text_model.embed_tokens.weight.itemsize
    return int((parts.token_kinds(prompt.ids) != 0).sum()) * int(parts.text_config.hidden_size) * size * levels


def _say_cache(
    name: str, sizes: list[int], samples: int, limit: str, found: dict[str, Any], tell: Callable[[str], None]
) -> None:  # fmt: skip
    """Fills in how much a cache of all samples takes on disk, and warns if its limit is smaller."""
    whole = float(np.mean(sizes)) * samples
    found[f"{name}_gib"] = whole / GIB
    if limit and parse_size(limit, name) < whole:
        tell(
            f"{name} = {limit} is less than the {whole / GIB:.3g} GiB of an epoch: much of it would be gone before it "
            "is used again"
        )


def _readable(source: SampleSource) -> Iterator[Sample]:
    """The first samples that can be read."""
    for number in range(min(LOOKED_AT, len(source))):
        try:
            yield source[source.order(number, 0) if isinstance(source, ReorderedSource) else number]
        except WhenwhereError:
            continue
