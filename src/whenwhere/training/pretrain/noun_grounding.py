"""The spatial grounding loss of S-ViLM (arXiv 2303.16341, section 3.2): nouns of a caption against group tokens.

    G(i, j) = mean over nouns k of caption j of  sum_m softmax_m(<g_m, n_k> / tau_a) <g_m, n_k>

Each noun of caption j looks among the groups of clip i for the one that it names; G is then a matrix of logits for the
same symmetric loss as that of whole clips and captions. So the negatives are nouns of other captions of the batch.

The paper's text could not be read in full. That nouns look for groups by a softmax follows from its words, which are
those of OpenSeg (arXiv 2112.12143), and neither temperature is known: both are settings. Groups that no noun looks for
are not penalised, and unless `tau_a` is small nothing forbids a noun to look at all groups alike.

Captions without a noun leave both directions. If fewer than two captions have nouns there is no loss, which is said and
never reported as zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from whenwhere.training.pretrain.contrast import symmetric_loss
from whenwhere.training.pretrain.derangement import random_derangement

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

#: How a noun's similarities with the groups of a clip become one.
Aggregation = Literal["softmax", "max", "mean"]


@dataclass(frozen=True, eq=False)
class GroundingTerm:
    """The grounding loss of a batch.

    Attributes:
        loss: The loss, a scalar with gradient. None if fewer than two captions have nouns: it is not applicable.
        accuracy: Share of clips whose caption's nouns fitted best, together with captions whose clip did, 0-1.
        used: Number of captions that have nouns.
        left_out: Number of pairs that were left out because their captions share a noun.
    """

    loss: Tensor | None
    accuracy: float
    used: int
    left_out: int


def noun_similarities(
    groups: Tensor, nouns: Tensor, valid: Tensor, aggregation: Aggregation = "softmax", tau_a: float = 0.1
) -> Tensor:
    """Similarity G of every clip with every caption, by the groups of the one and the nouns of the other.

    Args:
        groups: Group tokens of the clips, shape (N, M, D), not normalised.
        nouns: Embeddings of the captions' nouns, shape (J, K, D), not normalised.
        valid: Which nouns there are, bool, shape (J, K). A caption has at least one.
        aggregation: How a noun's cosines with the M groups become one: their mean weighted by a softmax, the largest,
            or the plain mean.
        tau_a: Temperature of that softmax.

    Returns:
        Shape (N, J), from -1 to 1.
    """
    import torch
    from torch.nn.functional import normalize

    cosines = torch.einsum("imd,jkd->ijkm", normalize(groups.float(), dim=-1), normalize(nouns.float(), dim=-1))
    if aggregation == "softmax":
        each = (torch.softmax(cosines / tau_a, -1) * cosines).sum(-1)
    else:
        each = cosines.amax(-1) if aggregation == "max" else cosines.mean(-1)
    weights = valid.to(each)
    return (each * weights).sum(-1) / weights.sum(-1)


def noun_grounding_loss(
    groups: Tensor,
    nouns: Tensor,
    valid: Tensor,
    *,
    aggregation: Aggregation = "softmax",
    tau_a: float = 0.1,
    tau: float = 0.1,
    names: Tensor | None = None,
) -> GroundingTerm:
    """Symmetric InfoNCE with G / tau as the logits.

    Args:
        groups: Group tokens of the clips, shape (N, M, D), not normalised.
        nouns: Embeddings of the nouns of each clip's caption, shape (N, K, D), not normalised.
        valid: Which nouns there are, bool, shape (N, K).
        aggregation: See `noun_similarities`.
        tau_a: See `noun_similarities`.
        tau: Temperature of the loss.
        names: Number of each noun, shape (N, K), the same for the same word: pairs whose captions share a noun are then
            left out of the negatives. None leaves none out.
    """
    import torch

    kept = valid.any(1).nonzero().squeeze(1)
    if len(kept) < 2:
        return GroundingTerm(None, 0.0, len(kept), 0)
    groups, nouns, valid = groups[kept], nouns[kept], valid[kept]
    right = torch.eye(len(kept), dtype=torch.bool, device=groups.device)
    excluded = torch.zeros_like(right)
    if names is not None:
        excluded = shared_nouns(names[kept], valid) & ~right
    similarities = noun_similarities(groups, nouns, valid, aggregation, tau_a)
    loss, accuracy = symmetric_loss(similarities / tau, right, excluded)
    return GroundingTerm(loss, accuracy, len(kept), int(excluded.sum()))


def shared_nouns(names: Tensor, valid: Tensor) -> Tensor:
    """Which captions share a noun.

    Args:
        names: Number of each noun, shape (N, K).
        valid: Which nouns there are, bool, shape (N, K).

    Returns:
        Bool, shape (N, N), symmetric.
    """
    same = (names[:, None, :, None] == names[None, :, None, :]) & valid[:, None, :, None] & valid[None, :, None, :]
    return same.flatten(2).any(2)


def shuffled_nouns(nouns: Sequence[tuple[str, ...]], random: np.random.Generator) -> list[tuple[str, ...]]:
    """Nouns that every caption gets from another one: a control with the same loss and no right answer to learn.

    Args:
        nouns: The nouns of each caption.
        random: Source of random numbers.

    Raises:
        SettingError: There are fewer than two captions.
    """
    return [nouns[k] for k in random_derangement(len(nouns), random, "nouns are shuffled among captions")]
