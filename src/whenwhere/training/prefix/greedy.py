"""A policy's greedy completions of the questions about a clip, and its answers as an evaluation reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whenwhere.answers import ParsedAnswer, parse
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.group import Branch
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams

if TYPE_CHECKING:
    from torch import Tensor


def greedy_completions(policy: Policy, sample: Sample, max_tokens: int) -> list[Tensor]:
    """Greedily decoded token ids after each question, int64, shape (n,).

    Args:
        policy: The policy; its weights, mode and attention are left as they are.
        sample: The clip and its questions.
        max_tokens: The largest number of tokens of a completion.

    Raises:
        WhenwhereError: The clip cannot be laid out as a prompt.
    """
    prompt, suffixes = policy.prompts(sample, sample.questions)
    params = SamplingParams(max_tokens, temperature=0, stop=tuple(policy.end_ids))
    # a prefilled prompt switches the attention for good, but a run may train with another one
    config = policy.parts.text_model.config
    attention = config._attn_implementation
    try:
        with policy.autocast():
            prefilled = PrefilledPrompt(policy.parts, prompt)
            return prefilled.continue_branches([Branch(suffix) for suffix in suffixes], params)
    finally:
        config._attn_implementation = attention


def greedy_answers(policy: Policy, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
    """The greedily decoded answer to each question, parsed leniently, with boxes in pixels of the displayed frame.

    Args:
        policy: The policy; its weights, mode and attention are left as they are.
        sample: The clip and its questions.
        max_tokens: The largest number of tokens of an answer.

    Raises:
        WhenwhereError: The clip cannot be laid out as a prompt.
    """
    answers = []
    for question, ids in zip(sample.questions, greedy_completions(policy, sample, max_tokens), strict=True):
        truth, text = policy.truth(sample, question), policy.decode(ids)
        answers.append(parse(text, "lenient", policy.form.name, truth.size, truth.duration, shown=truth.shown))
    return answers
