"""The spatial grounding loss of S-ViLM (arXiv 2303.16341, section 3.2): nouns of a caption against group tokens.

    G(i, j) = mean over nouns k of caption j of  sum_m softmax_m(<g_m, n_k> / tau_a) <g_m, n_k>

Each noun k of caption j looks among the groups m of clip i for the one that it names. G / tau is a matrix of logits for
a symmetric loss like that of whole clips and captions, so that the negatives are nouns of other captions of the batch.

The paper's text could not be read in full. That nouns look for groups by a softmax is inferred from its words, which
are those of OpenSeg (arXiv 2112.12143). Neither temperature is known; both are settings. Groups that no noun looks for
are not penalised, and unless `tau_a` is small, nothing keeps a noun from looking at all groups alike.

Captions without a noun are left out of both directions. If fewer than two captions have nouns, the loss is None and
never zero.
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

#: How a noun's similarities with the groups of a clip are combined into one.
Aggregation = Literal["softmax", "max", "mean"]


@dataclass(frozen=True, eq=False)
class GroundingTerm:
    """The grounding loss of a batch.

    Attributes:
        loss: The loss, a scalar with gradient. None if fewer than two captions have nouns: it is not applicable.
        accuracy: Share of clips that fitted the nouns of their own caption best, averaged with that of captions that
            fitted their own clip best, 0-1.
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
        groups: Group tokens of the clips, shape (N, M, D), of any length.
        nouns: Embeddings of the captions' nouns, shape (J, K, D), of any length.
        valid: Which of the K places of a caption hold a noun, bool, shape (J, K); at least one of each caption does.
        aggregation: How a noun's cosines with the M groups are combined: `softmax` is their mean weighted by a softmax,
            `max` the largest, `mean` the plain mean.
        tau_a: Temperature of that softmax, above 0.

    Returns:
        Similarities from -1 to 1, shape (N, J).
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
    """Symmetric InfoNCE whose logits are the similarities of `noun_similarities`, divided by a temperature.

    Args:
        groups: Group tokens of the clips, shape (N, M, D), of any length.
        nouns: Embeddings of the nouns of each clip's caption, shape (N, K, D), of any length.
        valid: Which of the K places of a caption hold a noun, bool, shape (N, K).
        aggregation: As for `noun_similarities`.
        tau_a: As for `noun_similarities`.
        tau: Temperature of the loss, above 0.
        names: Number of each noun, shape (N, K), equal for equal nouns. Pairs whose captions share a noun are left out
            of the negatives. None leaves none out.
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
        valid: Which of the K places of a caption hold a noun, bool, shape (N, K).

    Returns:
        Whether captions i and j share a noun, bool, shape (N, N), symmetric.
    """
    same = (names[:, None, :, None] == names[None, :, None, :]) & valid[:, None, :, None] & valid[None, :, None, :]
    return same.flatten(2).any(2)


def shuffled_nouns(nouns: Sequence[tuple[str, ...]], random: np.random.Generator) -> list[tuple[str, ...]]:
    """The nouns of other captions in place of each caption's own: a control in which there is nothing to learn.

    Args:
        nouns: The nouns of each caption.
        random: Source of random numbers.

    Raises:
        SettingError: There are fewer than two captions.
    """
    return [nouns[k] for k in random_derangement(len(nouns), random, "nouns are shuffled among captions")]
