"""What a recipe will cost, before it runs: sizes, tokens, FLOPs. No weights are loaded and nothing is computed.

Prompts are laid out for real, on the first samples that can be read, so their tokens are exact for these. Answers of RL
are counted at their longest (`max_completion_length`), which is more than a policy writes.
"""

import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.errors import WhenwhereError
from whenwhere.training import builders
from whenwhere.training.data.samples import Sample, SampleSource
from whenwhere.training.prefix.flops import FlopCounter, Flops
from whenwhere.training.recipe import Recipe
from whenwhere.training.rl.settings import RLSettings

#: Samples that are looked at.
LOOKED_AT = 4


def estimate(recipe: Recipe, tell: Callable[[str], None], device: str | None = None) -> dict[str, float | str]:
    """Names and numbers; what cannot be known is said in a sentence under `unknown`.

    Args:
        recipe: that would be trained.
        tell: told what the data's filters leave out.
        device: as it would be trained on.
    """
    found: dict[str, float | str] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            _sizes(recipe, Path(folder), device, tell, found)
    except WhenwhereError as e:
        found["unknown"] = str(e)
    return found


def _sizes(
    recipe: Recipe, folder: Path, device: str | None, tell: Callable[[str], None], found: dict[str, float | str]
) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    made = builders.checkpoint(recipe, folder, device)
    with torch.device("meta"):
        made.__dict__["model"] = AutoModelForImageTextToText.from_config(made.config).eval()
    policy = builders.policy(recipe, made)
    policy.prepare(recipe.train)
    found["parameters"] = sum(p.numel() for p in policy.model.parameters())
    found["trained_parameters"] = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    source = builders.source(recipe, tell)
    found["samples"] = len(source)
    train, counter = recipe.train, FlopCounter(policy.parts)
    prompts, questions, answers = [], [], []
    flops = Flops()
    for sample in islice(_readable(source), LOOKED_AT):
        prompt, rests = policy.prompts(sample, sample.questions)
        targets = [len(policy.target(sample, q)) for q in sample.questions]
        if isinstance(train, RLSettings):
            branches = [len(rests[0]) + train.max_completion_length] * train.num_generations
            scored = train.max_completion_length * train.num_generations
            one = counter.forward(prompt, branches, scored) + counter.training(prompt, branches, scored)
            flops = flops + one
        else:
            branches = [len(rest) + target for rest, target in zip(rests, targets, strict=True)]
            flops = flops + counter.training(prompt, branches, sum(targets))
        prompts.append(len(prompt.ids) + max(map(len, rests)))
        questions.append(len(sample.questions))
        answers += targets
    if not prompts:
        found["unknown"] = f"tokens: none of the first {LOOKED_AT} samples can be read"
        return
    each = train.prompts_per_step if isinstance(train, RLSettings) else train.samples_per_step
    found["questions_per_sample"] = float(np.mean(questions))
    found["prompt_tokens"] = float(np.mean(prompts))
    found["longest_prompt"] = max(prompts)
    found["answer_tokens"] = float(np.mean(answers))
    if isinstance(train, RLSettings):
        found["answer_tokens_counted"] = train.max_completion_length
    found["updates"] = train.max_steps
    found["samples_per_update"] = each
    found["epochs"] = train.max_steps * each / len(source)
    per_update = flops * (each / len(prompts))
    found["flops_per_update"] = per_update.shared
    found["flops"] = per_update.shared * train.max_steps
    found["flops_with_repeated_prompts"] = per_update.repeat * train.max_steps


def _readable(source: SampleSource) -> Any:
    """The first samples that can be read."""
    for number in range(min(LOOKED_AT, len(source))):
        sample: Sample
        try:
            sample = source[number]
        except WhenwhereError:
            continue
        yield sample
