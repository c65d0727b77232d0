"""Log-probabilities and entropies of tokens out of the hidden states that predict them.

The vocabulary is the widest thing in a model: 150 000 numbers a token. So logits are made only for tokens that count,
a stretch at a time, and made again in the backward pass instead of being kept.
"""

from dataclasses import dataclass
from typing import Any, Literal

#: Whether entropies are wanted: `trained` = with their gradient, which the bonus of RL needs.
Entropies = bool | Literal["trained"]
#: Tokens whose logits are in memory at once.
STRETCH = 1024


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model thinks of a group's branches.

    Attributes:
        logps: (G, W) log-probability of each token, float32; 0 where it does not count.
        entropies: (G, W) of the distributions that they were drawn from; None = not asked for.
        mask: (G, W) True where a token counts.
    """

    logps: Any
    entropies: Any
    mask: Any


def scored(
    hidden: Any, head: Any, targets: Any, mask: Any, temperature: float = 1.0, entropies: Entropies = False,
    stretch: int = STRETCH,
) -> Scores:  # fmt: skip
    """Scores of tokens.

    Args:
        hidden: (G, W, D); `hidden[g, i]` predicts `targets[g, i]`.
        head: makes logits of hidden states.
        targets: (G, W) tokens.
        mask: (G, W) True where a token counts.
        temperature: that logits are divided by, as when they were sampled.
        entropies: also the entropy at each token; without gradient unless `trained`.
        stretch: tokens whose logits are in memory at once.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    def look(states: Any, wanted: Any) -> tuple[Any, Any]:
        logits = head(states).float() / temperature
        total = logits.logsumexp(-1)
        found = logits.gather(-1, wanted[:, None])[:, 0] - total
        if not entropies:
            return found, None
        with torch.set_grad_enabled(torch.is_grad_enabled() and entropies == "trained"):
            all_logps = logits - total[:, None]
            return found, -(all_logps.exp() * all_logps).sum(-1)

    states, wanted = hidden[mask], targets[mask]
    pieces = list(zip(states.split(stretch), wanted.split(stretch), strict=True))
    if len(pieces) == 1 or not torch.is_grad_enabled():
        found = [look(*piece) for piece in pieces]
    else:
        found = [checkpoint(look, *piece, use_reentrant=False) for piece in pieces]
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=hidden.device)
    logps = empty.masked_scatter(mask, torch.cat([f[0] for f in found]))
    spread = empty.masked_scatter(mask, torch.cat([f[1] for f in found])) if entropies else None
    return Scores(logps, spread, mask)
