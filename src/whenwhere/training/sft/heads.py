"""How a policy says when: as text, with tokens for times, or by pointing at frames. One interface, three heads.

- `Text`: the words of an answer form, learned token by token. Needs nothing added.
- `TimeTokens`: the form `tokens` for a checkpoint of any family: each time and each coordinate is one token, added to
  its tokenizer. A new token starts as the mean of the pieces that its number was written in before, and its targets are
  Gaussians along the line of times or coordinates: nearly right is better than wrong.
- `StartEnd` (`sft.start_end`): no text at all, a distribution over starts and ends.

What a head adds is part of the model: it is trained and kept in states like any weight, and written with the
checkpoint. LoRA would freeze what is added, which is refused.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import ModelError, SettingError
from whenwhere.models.vlm import Checkpoint
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.group import Branch, question_group
from whenwhere.training.prefix.logprobs import gaussian_targets
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.prefix.shared_prefix import PrefixBackend


class Head(Protocol):
    """A way of answering.

    Attributes:
        name: `text`, `time_tokens` or `start_end`.
    """

    name: str

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds to a checkpoint what the head needs and it does not have; before a policy is made of it.

        Args:
            checkpoint: whose tokenizer or model grows.
        """
        ...

    def check(self, policy: Policy) -> None:
        """Says what is wrong before anything is learned; `policy` is ready to be trained.

        Args:
            policy: made of the prepared checkpoint.

        Raises:
            ModelError: what the head added is not there, or frozen.
            SettingError: the policy is asked for another form.
        """
        ...

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean loss over the questions of a clip, to be differentiated.

        Args:
            policy: made of the prepared checkpoint.
            sample: a clip and its questions with their truth.
        """
        ...

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The policy's answer to each question of a clip, without a look at what is true.

        Args:
            policy: made of the prepared checkpoint.
            sample: a clip and its questions.
        """
        ...


class Text:
    """Answers in the policy's form, token by token.

    Args:
        max_tokens: most tokens of an answer.
        backend: how the clip is shared; None = what suits the model.
    """

    name = "text"
    #: Width of soft targets in steps; 0 = none.
    soft = 0.0

    def __init__(self, max_tokens: int = 256, backend: PrefixBackend | None = None) -> None:
        self.max_tokens, self.backend = max_tokens, backend
        self._scorer: GroupScorer | None = None

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Nothing is needed."""

    def check(self, policy: Policy) -> None:
        """Nothing can be wrong."""

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean over the answers' tokens of minus log-probability, or of the distance to soft targets."""
        if self._scorer is None or self._scorer.parts.model is not policy.parts.model:
            self._scorer = GroupScorer(policy.model, self.backend, policy.parts.rule)
        prompt, rests = policy.prompts(sample, sample.questions)
        answers = [policy.target(sample, question) for question in sample.questions]
        scales = (
            [gaussian_targets(ids, self.soft, policy.parts.device) for ids in policy.ordinal_tokens.values()]
            if self.soft
            else []
        )
        found = self._scorer.score_many([question_group(prompt, list(zip(rests, answers, strict=True)))], scales)[0]
        return (-found.logps if found.losses is None else found.losses).sum() / found.mask.sum()

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The likeliest tokens, read strictly."""
        prompt, rests = policy.prompts(sample, sample.questions)
        how = SamplingParams(self.max_tokens, temperature=0, stop=tuple(policy.end_ids))
        said = PrefilledPrompt(policy.parts, prompt).continue_branches([Branch(rest) for rest in rests], how)
        return [policy.form.parse(policy.decode(ids)) for ids in said]


class TimeTokens(Text):
    """Answers of the form `tokens`, for a checkpoint of any family.

    Args:
        seconds: latest time that has a token.
        soft: width of the soft targets in steps; 0 = the token alone.
        max_tokens: most tokens of an answer.
        backend: how the clip is shared; None = what suits the model.
    """

    name = "time_tokens"

    def __init__(
        self, seconds: float = 300.0, soft: float = 1.0, max_tokens: int = 256, backend: PrefixBackend | None = None
    ) -> None:
        super().__init__(max_tokens, backend)
        self.seconds, self.soft = seconds, soft

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds tokens for times, coordinates and absence to the tokenizer, and rows to the embeddings.

        A checkpoint that has them already is left as it is.
        """
        add_tokens(checkpoint, time_tokens(self.seconds))

    def check(self, policy: Policy) -> None:
        """The policy's form is `tokens`, and embeddings are trained."""
        if policy.form.name != "tokens":
            raise SettingError(f"time tokens are for answers in the form 'tokens', not {policy.form.name!r}")
        trained(policy.parts.text_model.embed_tokens.weight, "the embeddings of new tokens")


def time_tokens(seconds: float) -> list[str]:
    """What answers of the form `tokens` are made of, up to a time.

    >>> [t for t in time_tokens(1.0) if t.endswith("s>")]
    ['<0.0s>', '<0.5s>', '<1.0s>']
    """
    if not 0 < seconds < 1e5:
        raise SettingError(f"time tokens reach to a time above 0 s, not to {seconds:g}")
    times = [f"<{k / 2:.1f}s>" for k in range(math.ceil(seconds * 2) + 1)]
    return [*times, *(f"<{k}>" for k in range(0, 1001, 10)), "<none>"]


def add_tokens(checkpoint: Checkpoint, tokens: Sequence[str]) -> int:
    """Adds tokens to a checkpoint's tokenizer and rows to its embeddings, and to its head where that is another matrix.

    A new row is the mean of those of the pieces in which the token's inside was written before: a time starts near the
    digits that it is made of. Families keep more rows than they have tokens; those are used first.

    Args:
        checkpoint: whose tokenizer and model grow.
        tokens: of the form `tokens`; those that are known already stay as they are.

    Returns:
        How many were new.
    """
    import torch
    from tokenizers import AddedToken

    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    known = tokenizer.get_vocab()
    new = [token for token in tokens if token not in known]
    pieces = [tokenizer(token.strip("<>"), add_special_tokens=False)["input_ids"] for token in new]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in new])
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    places = tokenizer.convert_tokens_to_ids(new)
    matrices = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in matrices.values():
            for place, made_of in zip(places, pieces, strict=True):
                weight[place] = weight[made_of].float().mean(0).to(weight.dtype)
    return len(new)


def trained(weight: Any, what: str) -> None:
    """Refuses a weight that is frozen.

    Args:
        weight: of a head.
        what: it is.

    Raises:
        ModelError: it is frozen.
    """
    if not weight.requires_grad:
        raise ModelError(f"{what} would not be trained: it is frozen, as LoRA freezes it; set lora_r = 0")
