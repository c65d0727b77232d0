"""A policy's greedy answers to the questions of a clip, as an evaluation reads them."""

from whenwhere.answers import ParsedAnswer, parse
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.group import Branch
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams


def greedy_answers(policy: Policy, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
    """The likeliest answer to each question, read leniently, boxes in pixels of the displayed frame.

    Args:
        policy: The policy; its weights, mode and attention are left as they are.
        sample: The clip and its questions.
        max_tokens: Most tokens of an answer.

    Raises:
        WhenwhereError: The clip cannot be laid out as a prompt.
    """
    config = policy.parts.text_model.config
    attention = config._attn_implementation
    prompt, rests = policy.prompts(sample, sample.questions)
    params = SamplingParams(max_tokens, temperature=0, stop=tuple(policy.end_ids))
    try:
        with policy.autocast():
            rows = PrefilledPrompt(policy.parts, prompt).continue_branches([Branch(rest) for rest in rests], params)
    finally:
        config._attn_implementation = attention
    found = []
    for question, row in zip(sample.questions, rows, strict=True):
        truth = policy.truth(sample, question)
        text = policy.decode(row)
        found.append(parse(text, "lenient", policy.form.name, truth.size, truth.duration, shown=truth.shown))
    return found
