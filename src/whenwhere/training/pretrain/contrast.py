"""The global contrastive loss: each clip against every caption of the batch, and each caption against every clip.

The loss is symmetric InfoNCE (CLIP, arXiv 2103.00020) with ViCLIP's targets (arXiv 2307.06942, its released code): if
a sample occurs twice in a batch, both of its captions are right for both of its clips and share the probability.

Two clips of one video often have nearly the same caption, and still count as wrong for each other. The larger the batch
is, the more of these false negatives it has; ViCLIP's authors suspect that they are why more data helped less. `videos`
leaves them out of the loss, which is an option here and not part of either paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class ContrastTerm:
    """The contrastive loss of a batch.

    Attributes:
        loss: The loss, a scalar with gradient.
        accuracy: Share of clips whose nearest caption was right, averaged with that of captions whose nearest clip was,
            0-1.
        left_out: Number of pairs that were left out as false negatives.
    """

    loss: Tensor
    accuracy: float
    left_out: int


def contrastive_loss(
    clips: Tensor, captions: Tensor, scale: Tensor | float, samples: Tensor | None = None, videos: Tensor | None = None
) -> ContrastTerm:
    """Symmetric InfoNCE over all pairs of a batch.

    Args:
        clips: Embeddings of the clips, shape (N, D), of any length. Row i belongs to row i of `captions`.
        captions: Embeddings of the captions, shape (N, D), of any length.
        scale: Factor by which cosines are multiplied: 1 / temperature.
        samples: Number of each row's sample, shape (N,): rows with the same number are right for one another. None
            means that all rows are different samples.
        videos: Number of each row's video, shape (N,): other samples of the same video are left out of the negatives.
            None leaves none out.

    Returns:
        The loss in fp32, with what else is known of the batch.

    >>> import torch
    >>> bool(contrastive_loss(torch.eye(4), torch.eye(4), 100.0).loss < 1e-6)
    True
    """
    import torch
    from torch.nn.functional import normalize

    logits = scale * normalize(clips.float(), dim=-1) @ normalize(captions.float(), dim=-1).T
    right = torch.eye(len(clips), dtype=torch.bool, device=logits.device)
    if samples is not None:
        right = right | (samples[:, None] == samples[None, :])
    excluded = torch.zeros_like(right)
    if videos is not None:
        excluded = (videos[:, None] == videos[None, :]) & ~right
    return ContrastTerm(*symmetric_loss(logits, right, excluded), int(excluded.sum()))


def symmetric_loss(logits: Tensor, right: Tensor, excluded: Tensor) -> tuple[Tensor, float]:
    """Mean cross-entropy over the rows and the columns of a matrix of logits, and the share of right answers.

    Args:
        logits: Logits of all pairs, shape (N, N).
        right: Which pairs are right, bool, shape (N, N), symmetric, true on the diagonal. The right pairs of a row
            share its probability equally.
        excluded: Pairs that count neither as right nor as wrong, bool, shape (N, N), symmetric.

    Returns:
        The loss, a scalar with gradient, and the share of rows and columns whose largest logit is right, 0-1.
    """
    import torch

    targets = right / right.sum(1, keepdim=True)
    losses, hits = [], 0.0
    for one in (logits, logits.T):
        one = one.masked_fill(excluded, -torch.inf)
        # 0 times the logarithm of an excluded pair's probability, which is -inf, would be NaN
        logps = torch.log_softmax(one, 1).masked_fill(excluded, 0.0)
        losses.append(-(targets * logps).sum(1).mean())
        best = one.detach().argmax(1, keepdim=True)
        hits += float(right.gather(1, best).float().mean())
    return (losses[0] + losses[1]) / 2, hits / 2


def clamp_temperature(log_scale: Tensor, least: float) -> None:
    """Keeps a learned temperature from falling below a bound, in place.

    CLIP bounds the scale by 100 after each update, and ViCLIP the temperature by 0.01 before each: the same bound.

    Args:
        log_scale: Logarithm of the scale that cosines are multiplied by: minus the logarithm of the temperature.
        least: Smallest temperature, above 0.
    """
    import math

    import torch

    with torch.no_grad():
        log_scale.clamp_(max=-math.log(least))
