"""Log-probabilities and entropies of tokens out of the hidden states that predict them.

The vocabulary is the widest thing in a model: 150 000 numbers a token. So logits are made only for tokens that count,
a stretch at a time, and made again in the backward pass instead of being kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: Whether entropies are wanted: `trained` = with their gradient, which the bonus of RL needs.
Entropies = bool | Literal["trained"]
#: Logits in memory at once: of 1024 tokens of the widest vocabularies.
LOGITS = 1024 * 151_936


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model thinks of a group's branches.

    Attributes:
        logps: (G, W) log-probability of each token, float32; 0 where it does not count.
        entropies: (G, W) of the distributions that they were drawn from; None = not asked for.
        mask: (G, W) True where a token counts.
        losses: (G, W) cross-entropy against the soft targets, float32; None = not asked for.
    """

    logps: Any
    entropies: Any
    mask: Any
    losses: Any = None

    def at(self, places: Sequence[int]) -> "Scores":
        """Some branches, perhaps several times.

        Args:
            places: of each branch wanted, where it stands.
        """
        spread, losses = (None if t is None else t[places] for t in (self.entropies, self.losses))
        return Scores(self.logps[places], spread, self.mask[places], losses)


@dataclass(frozen=True, eq=False)
class Scale:
    """Tokens that stand on a line, such as times or coordinates: a neighbour of the right one is nearly right.

    The target of such a token is no single token but a Gaussian around it, cut off at the ends of the line.

    Attributes:
        ids: (n,) tokens in their order.
        weights: (n, n) rows that sum to one: the target where the right token is that of the row.
    """

    ids: Any
    weights: Any


def gaussian(ids: Sequence[int], width: float, device: Any = None) -> Scale:
    """A scale whose targets are Gaussians.

    Args:
        ids: of the tokens, in their order.
        width: standard deviation in steps.
        device: of the model.
    """
    import torch

    steps = torch.arange(len(ids), dtype=torch.float32, device=device)
    return Scale(
        torch.tensor(list(ids), device=device), (-((steps[:, None] - steps) ** 2) / (2 * width**2)).softmax(-1)
    )


def scored(
    hidden: Any, head: Any, targets: Any, mask: Any, temperature: float = 1.0, entropies: Entropies = False,
    stretch: int | None = None, scales: Sequence[Scale] = (),
) -> Scores:  # fmt: skip
    """Scores of tokens.

    Args:
        hidden: (G, W, D); `hidden[g, i]` predicts `targets[g, i]`.
        head: makes logits of hidden states.
        targets: (G, W) tokens.
        mask: (G, W) True where a token counts.
        temperature: that logits are divided by, as when they were sampled.
        entropies: also the entropy at each token; without gradient unless `trained`.
        stretch: tokens whose logits are in memory at once; None = by the size of the vocabulary.
        scales: of soft targets; no two share a token.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    def look(states: Any, wanted: Any) -> tuple[Any, Any, Any]:
        logits = head(states).float() / temperature
        total = logits.logsumexp(-1)
        found = logits.gather(-1, wanted[:, None])[:, 0] - total
        losses: Any = -found if scales else None
        for scale in scales:
            of, at = (wanted[:, None] == scale.ids).nonzero(as_tuple=True)
            soft = total[of] - (scale.weights[at] * logits[of][:, scale.ids]).sum(-1)
            losses = losses.index_copy(0, of, soft)
        if not entropies:
            return found, None, losses
        with torch.set_grad_enabled(torch.is_grad_enabled() and entropies == "trained"):
            all_logps = logits - total[:, None]
            return found, -(all_logps.exp() * all_logps).sum(-1), losses

    stretch = stretch or max(LOGITS // head.weight.shape[0], 1)
    states, wanted = hidden[mask], targets[mask]
    pieces = list(zip(states.split(stretch), wanted.split(stretch), strict=True))
    if len(pieces) == 1 or not torch.is_grad_enabled():
        found = [look(*piece) for piece in pieces]
    else:
        found = [checkpoint(look, *piece, use_reentrant=False) for piece in pieces]
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=hidden.device)
    logps, spread, losses = (
        empty.masked_scatter(mask, torch.cat(parts)) if parts[0] is not None else None
        for parts in zip(*found, strict=True)
    )
    return Scores(logps, spread, mask, losses)
