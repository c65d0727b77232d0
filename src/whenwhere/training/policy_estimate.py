"""What a recipe that trains a policy will cost, before it runs: sizes, tokens, FLOPs. No weights are loaded.

Prompts are laid out on the first samples that can be read, so their tokens are exact for these.
"""

import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from whenwhere.errors import WhenwhereError
from whenwhere.training import builders
from whenwhere.training.data.samples import ReorderedSource, Sample, SampleSource, question_count
from whenwhere.training.epochs import in_updates
from whenwhere.training.prefix.flops import FlopCounter, Flops
from whenwhere.training.prefix.group import TokenSegment
from whenwhere.training.processes import Processes
from whenwhere.training.stages import Recipe

#: Number of samples that are looked at.
LOOKED_AT = 4
#: FLOPs of one sample. Gets the counter, the prompt, and for each question the tokens of its words and of its target.
SampleCost = Callable[[FlopCounter, TokenSegment, list[int], list[int]], Flops]


def estimate_policy(
    recipe: Recipe,
    tell: Callable[[str], None],
    device: str | None,
    cost: SampleCost,
    samples_per_update: int,
    answer_tokens_counted: int | None = None,
) -> dict[str, float | str]:
    """Estimates the cost of a recipe as names with numbers; what cannot be known is a sentence under `unknown`.

    Args:
        recipe: The recipe.
        tell: Called with a message about what the data's filters leave out.
        device: Device that it would be trained on. None means the best one available.
        cost: FLOPs of one sample.
        samples_per_update: Samples (or prompts) of one update.
        answer_tokens_counted: Tokens of an answer that `cost` counts, where they are not those of the target.
    """
    found: dict[str, float | str] = {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            builders.quiet_transformers()
            _estimate(recipe, Path(folder), tell, device, cost, samples_per_update, answer_tokens_counted, found)
    except WhenwhereError as e:
        found["unknown"] = str(e)
    return found


def _estimate(
    recipe: Recipe, folder: Path, tell: Callable[[str], None], device: str | None, cost: SampleCost,
    samples_per_update: int, answer_tokens_counted: int | None, found: dict[str, float | str],
) -> None:  # fmt: skip
    import torch
    from transformers import AutoModelForImageTextToText

    made = builders.open_checkpoint(recipe, folder, device)
    with torch.device("meta"):
        made.__dict__["model"] = AutoModelForImageTextToText.from_config(made.config).eval()
    policy = builders.open_policy(recipe, made)
    policy.prepare(recipe.train)
    found["parameters"] = sum(p.numel() for p in policy.model.parameters())
    found["trained_parameters"] = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    source = builders.open_source(recipe, tell)
    found["samples"] = len(source)
    counter = FlopCounter(policy.parts)
    prompts, questions, answers = [], [], []
    flops = Flops()
    for sample in islice(_readable(source), LOOKED_AT):
        prompt, rests = policy.prompts(sample, sample.questions)
        targets = [len(policy.target(sample, question)) for question in sample.questions]
        flops = flops + cost(counter, prompt, [len(rest) for rest in rests], targets)
        prompts.append(len(prompt.ids) + max(map(len, rests)))
        questions.append(len(sample.questions))
        answers += targets
    if not prompts:
        found["unknown"] = f"tokens: none of the first {LOOKED_AT} samples can be read"
        return
    found["questions_per_sample"] = float(np.mean(questions))
    found["prompt_tokens"] = float(np.mean(prompts))
    found["longest_prompt"] = max(prompts)
    found["answer_tokens"] = float(np.mean(answers))
    if answer_tokens_counted is not None:
        found["answer_tokens_counted"] = answer_tokens_counted
    processes = Processes().count
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


def _readable(source: SampleSource) -> Iterator[Sample]:
    """The first samples that can be read."""
    for number in range(min(LOOKED_AT, len(source))):
        try:
            yield source[source.order(number, 0) if isinstance(source, ReorderedSource) else number]
        except WhenwhereError:
            continue
