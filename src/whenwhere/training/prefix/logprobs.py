"""Log-probabilities and entropies of tokens, computed from the hidden states that predict them.

The vocabulary is the widest dimension of a model: 150 000 numbers for each token. So logits are made only for tokens
that count, one chunk at a time, and computed again in the backward pass instead of being kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Whether entropies are computed; "trained" computes them with their gradient, which an entropy bonus needs.
EntropyMode = bool | Literal["trained"]
#: The largest number of logits in memory at once: those of 1024 tokens of the widest vocabularies.
MAX_LOGITS = 1024 * 151_936


@dataclass(frozen=True, eq=False)
class TokenScores:
    """The model's log-probabilities, entropies and losses of the tokens of a group's branches.

    Attributes:
        logps: Log-probability of each token, float32, shape (G, W); 0 where the token does not count.
        entropies: Entropy of the distribution that each token was drawn from, float32, shape (G, W). None where
            entropies were not asked for.
        mask: Which tokens count, bool, shape (G, W).
        losses: Cross-entropy against the soft targets, float32, shape (G, W). None where there are no soft targets.
    """

    logps: Tensor
    entropies: Tensor | None
    mask: Tensor
    losses: Tensor | None = None

    def select(self, rows: Sequence[int]) -> TokenScores:
        """The scores of some branches.

        Args:
            rows: Indices of branches; an index may occur several times.
        """
        entropies, losses = (None if t is None else t[rows] for t in (self.entropies, self.losses))
        return TokenScores(self.logps[rows], entropies, self.mask[rows], losses)


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """Targets for tokens with an order, such as times, where a neighbour of the right token is nearly right.

    Attributes:
        token_ids: The tokens in their order, int64, shape (n,).
        weights: The target distribution for each right token, float32, shape (n, n); rows sum to one.
    """

    token_ids: Tensor
    weights: Tensor


def gaussian_targets(token_ids: Sequence[int], width: float, device: torch.device | None = None) -> SoftTargets:
    """Soft targets that are Gaussians around the right token, cut off at both ends of the order.

    Args:
        token_ids: The tokens in their order.
        width: Standard deviation, counted in tokens.
        device: The device of the model. None means the CPU.
    """
    import torch

    steps = torch.arange(len(token_ids), dtype=torch.float32, device=device)
    weights = (-((steps[:, None] - steps) ** 2) / (2 * width**2)).softmax(-1)
    return SoftTargets(torch.tensor(list(token_ids), device=device), weights)


def score_tokens(
    hidden: Tensor,
    lm_head: torch.nn.Module,
    targets: Tensor,
    mask: Tensor,
    temperature: float = 1.0,
    entropies: EntropyMode = False,
    chunk: int | None = None,
    soft_targets: Sequence[SoftTargets] = (),
) -> TokenScores:
    """Scores tokens by the hidden states that predict them.

    Args:
        hidden: Hidden states, shape (G, W, D); `hidden[g, i]` predicts `targets[g, i]`.
        lm_head: The layer that turns hidden states into logits.
        targets: Token ids, int64, shape (G, W).
        mask: Which tokens count, bool, shape (G, W).
        temperature: Logits are divided by this, as when the tokens were sampled.
        entropies: Whether entropies are computed too; "trained" with their gradient.
        chunk: Number of tokens whose logits are in memory at once. None derives it from the size of the vocabulary.
        soft_targets: Targets that replace the single right token. No two of them may share a token.
    """
    import torch

    states, wanted = hidden[mask], targets[mask]
    found = score_states(states, lm_head, wanted, temperature, entropies, chunk, soft_targets)
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=hidden.device)
    logps, spread, losses = (None if t is None else empty.masked_scatter(mask, t) for t in found)
    assert logps is not None
    return TokenScores(logps, spread, mask, losses)


def score_states(
    states: Tensor,
    lm_head: torch.nn.Module,
    wanted: Tensor,
    temperature: float = 1.0,
    entropies: EntropyMode = False,
    chunk: int | None = None,
    soft_targets: Sequence[SoftTargets] = (),
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Scores the tokens that count, side by side; further arguments as for `score_tokens`.

    Args:
        states: Hidden states, shape (n, D).
        lm_head: The layer that turns hidden states into logits.
        wanted: The token that each of them predicts, int64, shape (n,).
        temperature: Logits are divided by this.
        entropies: Whether entropies are computed too.
        chunk: Number of tokens whose logits are in memory at once.
        soft_targets: Targets that replace the single right token.

    Returns:
        Log-probabilities, entropies (None if not asked for) and losses (None without soft targets), each of shape (n,).
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    def score_chunk(states: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        logits = lm_head(states).float() / temperature
        total = logits.logsumexp(-1)
        logps = logits.gather(-1, wanted[:, None])[:, 0] - total
        losses = -logps
        for soft in soft_targets:
            rows, index = (wanted[:, None] == soft.token_ids).nonzero(as_tuple=True)
            values = total[rows] - (soft.weights[index] * logits[rows][:, soft.token_ids]).sum(-1)
            losses = losses.index_copy(0, rows, values)
        chosen = losses if soft_targets else None
        if not entropies:
            return logps, None, chosen
        with torch.set_grad_enabled(torch.is_grad_enabled() and entropies == "trained"):
            all_logps = logits - total[:, None]
            return logps, -(all_logps.exp() * all_logps).sum(-1), chosen

    chunk = chunk or max(MAX_LOGITS // lm_head.weight.shape[0], 1)
    pieces = list(zip(states.split(chunk), wanted.split(chunk), strict=True))
    if len(pieces) == 1 or not torch.is_grad_enabled():
        found = [score_chunk(*piece) for piece in pieces]
    else:
        found = [checkpoint(score_chunk, *piece, use_reentrant=False) for piece in pieces]
    logps, spread, losses = (torch.cat(parts) if parts[0] is not None else None for parts in zip(*found, strict=True))
    return logps, spread, losses
