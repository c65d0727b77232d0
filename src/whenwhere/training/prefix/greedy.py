"""A policy's answers to the questions about a clip, greedy or drawn, as completions and as an evaluation reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whenwhere.answers import ParsedAnswer, parse
from whenwhere.training.data.samples import Question, Sample
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
    params = SamplingParams(max_tokens, temperature=0, stop=tuple(policy.end_ids))
    return [rows[0] for rows in _completions(policy, sample, params, 1)]


def _completions(policy: Policy, sample: Sample, params: SamplingParams, count: int) -> list[list[Tensor]]:
    """A number of completions of each question."""
    prompt, suffixes = policy.prompts(sample, sample.questions)
    # a prefilled prompt switches the attention for good, but a run may train with another one
    config = policy.parts.text_model.config
    attention = config._attn_implementation
    try:
        with policy.autocast():
            prefilled = PrefilledPrompt(policy.parts, prompt)
            rows = prefilled.continue_branches([Branch(suffix) for suffix in suffixes for _ in range(count)], params)
    finally:
        config._attn_implementation = attention
    return [rows[k : k + count] for k in range(0, len(rows), count)]


def greedy_answers(policy: Policy, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
    """The greedily decoded answer to each question, parsed leniently, with boxes in pixels of the displayed frame.

    Args:
        policy: The policy; its weights, mode and attention are left as they are.
        sample: The clip and its questions.
        max_tokens: The largest number of tokens of an answer.

    Raises:
        WhenwhereError: The clip cannot be laid out as a prompt.
    """
    found = greedy_completions(policy, sample, max_tokens)
    return [_read(policy, sample, question, ids) for question, ids in zip(sample.questions, found, strict=True)]


def drawn_answers(policy: Policy, sample: Sample, params: SamplingParams, count: int) -> list[list[ParsedAnswer]]:
    """Several drawn answers to each question, parsed as `greedy_answers` does.

    Args:
        policy: The policy; its weights, mode and attention are left as they are.
        sample: The clip and its questions.
        params: How tokens are sampled.
        count: Number of answers to each question.

    Raises:
        WhenwhereError: The clip cannot be laid out as a prompt.
    """
    drawn = _completions(policy, sample, params, count)
    return [[_read(policy, sample, q, ids) for ids in rows] for q, rows in zip(sample.questions, drawn, strict=True)]


def _read(policy: Policy, sample: Sample, question: Question, ids: Tensor) -> ParsedAnswer:
    """The answer of a completion."""
    truth, text = policy.truth(sample, question), policy.decode(ids)
    return parse(text, "lenient", policy.form.name, truth.size, truth.duration, shown=truth.shown)
