"""Heads that answer in text: in any answer form, or with a token for each time and coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.models.vlm import Checkpoint
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.greedy import greedy_completions
from whenwhere.training.prefix.group import question_group
from whenwhere.training.prefix.logprobs import gaussian_targets
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.prefix.shared_prefix import PrefixBackend
from whenwhere.training.sft.head import require_trained

if TYPE_CHECKING:
    from torch import Tensor


class TextHead:
    """Answers in the policy's form, token by token (`sft.head.OutputHead`).

    Args:
        max_tokens: The largest number of tokens of an answer.
        backend: How the questions of a clip share its computation. None chooses the best one for the model.
    """

    name = "text"
    #: Width of the soft targets in tokens; 0 means that the right token alone is the target.
    soft = 0.0

    def __init__(self, max_tokens: int = 256, backend: PrefixBackend | None = None) -> None:
        self.max_tokens, self.backend = max_tokens, backend
        self._scorer: GroupScorer | None = None

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds nothing: every checkpoint can write text."""

    def check(self, policy: Policy) -> None:
        """Accepts every policy."""

    def loss(self, policy: Policy, sample: Sample) -> Tensor:
        """The mean over the answers' tokens of the cross-entropy, against soft targets where there are some."""
        if self._scorer is None or self._scorer.parts.model is not policy.parts.model:
            self._scorer = GroupScorer(policy.model, self.backend, policy.parts.rule)
        prompt, suffixes = policy.prompts(sample, sample.questions)
        answers = [policy.target(sample, question) for question in sample.questions]
        soft = []
        if self.soft:
            device = policy.parts.device
            soft = [gaussian_targets(ids, self.soft, device) for ids in policy.ordinal_tokens.values()]
        group = question_group(prompt, list(zip(suffixes, answers, strict=True)))
        scores = self._scorer.score_many([group], soft)[0]
        return (-scores.logps if scores.losses is None else scores.losses).sum() / scores.mask.sum()

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The likeliest tokens of each answer, parsed strictly."""
        completions = greedy_completions(policy, sample, self.max_tokens)
        return [policy.form.parse(policy.decode(ids)) for ids in completions]


class TimeTokensHead(TextHead):
    """Answers in the form `tokens`, for a checkpoint of any family (`sft.head.OutputHead`).

    The soft targets of times and coordinates are Gaussians along their order, so that a near miss costs less.

    Args:
        seconds: The latest time that has a token.
        soft: Standard deviation of the soft targets in tokens. 0 means that only the right token is the target.
        max_tokens: The largest number of tokens of an answer.
        backend: How the questions of a clip share its computation. None chooses the best one for the model.
    """

    name = "time-tokens"

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
        """Refuses a policy of another form than `tokens`, and frozen embeddings."""
        if policy.form.name != "tokens":
            raise SettingError(f"time tokens are for answers in the form 'tokens', not {policy.form.name!r}")
        require_trained(policy.parts.text_model.embed_tokens.weight, "the embeddings of new tokens")


def time_tokens(seconds: float) -> list[str]:
    """The tokens that answers of the form `tokens` are made of, up to a time.

    Args:
        seconds: The latest time, in (0, 100 000).

    Raises:
        SettingError: The time is out of range.

    >>> [t for t in time_tokens(1.0) if t.endswith("s>")]
    ['<0.0s>', '<0.5s>', '<1.0s>']
    """
    if not 0 < seconds < 1e5:
        raise SettingError(f"time tokens reach to a time above 0 s, not to {seconds:g}")
    times = [f"<{k / 2:.1f}s>" for k in range(math.ceil(seconds * 2) + 1)]
    return [*times, *(f"<{k}>" for k in range(0, 1001, 10)), "<none>"]


def add_tokens(checkpoint: Checkpoint, tokens: Sequence[str]) -> int:
    """Adds tokens to a checkpoint's tokenizer, and rows to its embeddings and to its head where that is separate.

    A new row is the mean of the rows of the tokens in which the same text was written before, so a time starts near its
    digits. Most families have more rows than tokens; spare rows are used first.

    Args:
        checkpoint: The checkpoint, whose tokenizer and model grow.
        tokens: Tokens of the form `tokens`; known ones stay as they are.

    Returns:
        The number of new tokens.
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
    rows = tokenizer.convert_tokens_to_ids(new)
    matrices = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in matrices.values():
            for row, parts in zip(rows, pieces, strict=True):
                weight[row] = weight[parts].float().mean(0).to(weight.dtype)
    return len(new)
