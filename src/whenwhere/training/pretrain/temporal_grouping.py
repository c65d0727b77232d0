"""The temporal grouping loss of S-ViLM (arXiv 2303.16341, section 3.3): which time steps of a blended clip are pasted.

A stretch of one clip was pasted into another clip (`cut_and_paste`). Each time step is compared with a centre of the
foreground and one of the background, and the softmax of the two cosines should say which of the two clips it is from.

How the centres are made decides whether anything is learned. What could be read of the paper says neither that nor
whether features are normalised. Here they are compared by their cosines, with one of these centres:

- `clean_loo` (the default): means of the two source clips as they were before blending, from a second pass without
  gradient. The time step that is tested is left out of both ("leave one out").
- `clean`: the same with the time step that is tested. A time step then finds itself in its own centre, so that even
  features that are random for every frame solve the task.
- `loo`: means over the foreground and the background steps of the blended clip, without the step that is tested.
  Features that know only the position or a slow drift solve the task in part, since steps of one clip are neighbours.
- `masked_mean`: the same with the step that is tested, which has both leaks.

The last three leak, and are kept so that the leaks can be measured (`benchmarks/temporal_leaks.py`). An undecided
softmax, .5 everywhere, has a squared error of .25.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from whenwhere.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

#: How the centres of foreground and background are made.
Centres = Literal["clean_loo", "clean", "loo", "masked_mean"]
#: A softmax that is nearer to .5 than this is undecided, and counts as half right.
_UNDECIDED = 1e-5


@dataclass(frozen=True, eq=False)
class TemporalTerm:
    """The temporal grouping loss of a batch.

    Attributes:
        total: Sum of the losses of all time steps that count, with gradient. None if none does: it is not applicable.
        steps: Number of time steps that count.
        right: Number of them whose clip was recognised; undecided ones count as half.
        skipped: Number of clips that were left out because their mask is all foreground or all background.
    """

    total: Tensor | None
    steps: int
    right: float
    skipped: int

    @property
    def loss(self) -> Tensor | None:
        """The mean loss of a time step. None if it is not applicable."""
        return None if self.total is None else self.total / self.steps

    @property
    def accuracy(self) -> float:
        """Share of time steps whose clip was recognised, 0-1. NaN if none counts."""
        return self.right / self.steps if self.steps else float("nan")


def temporal_grouping_loss(
    blended: Tensor,
    masks: Tensor,
    clean: Tensor | None = None,
    backgrounds: Tensor | None = None,
    *,
    centres: Centres = "clean_loo",
    kind: Literal["mse", "bce"] = "mse",
    tau: float = 0.1,
) -> TemporalTerm:
    """The loss by which features learn to tell foreground from background at every time step of blended clips.

    Args:
        blended: Features of the blended clips, shape (N, T, D), of any length.
        masks: Which time steps of each clip are foreground, bool, shape (N, T).
        clean: Features of the clips before blending, shape (N, T, D), without gradient; `clean_loo` and `clean` need
            them.
        backgrounds: Index of the clip that each was pasted into, shape (N,); `clean_loo` and `clean` need them.
        centres: How the centres are made.
        kind: `mse` is the squared error of the softmax, as in the paper, and `bce` its cross-entropy.
        tau: Temperature of the softmax, above 0.

    Raises:
        SettingError: Clips have a single time step, which leaves none for a centre.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
    from torch.nn.functional import cosine_similarity as cosine

    if blended.shape[1] < 2:
        raise SettingError("the temporal loss needs clips of two time steps or more: raise frames, or set time=0")
    blended, masks = blended.float(), masks.bool()
    mixed = masks.any(1) & ~masks.all(1)
    skipped = int((~mixed).sum())
    if centres in ("clean_loo", "clean"):
        assert clean is not None and backgrounds is not None, f"{centres} needs the clips before blending"
        everywhere = torch.ones_like(masks)
        leave_out = centres == "clean_loo"
        front, _ = _means(clean.float(), everywhere, leave_out)
        back = front[backgrounds]
        counts = mixed[:, None].expand_as(masks)
    else:
        front, there = _means(blended, masks, centres == "loo")
        back, here = _means(blended, ~masks, centres == "loo")
        counts = mixed[:, None] & there & here
    if not bool(counts.any()):
        return TemporalTerm(None, 0, 0.0, skipped)
    logits = (cosine(blended, front, dim=-1) - cosine(blended, back, dim=-1)) / tau
    logits, truth = logits[counts], masks[counts].to(logits)
    share = torch.sigmoid(logits)  # the softmax of two
    total = (share - truth).square().sum() if kind == "mse" else cross_entropy(logits, truth, reduction="sum")
    undecided = (share.detach() - 0.5).abs() < _UNDECIDED
    right = torch.where(undecided, 0.5, ((share.detach() > 0.5) == truth.bool()).to(share))
    return TemporalTerm(total, len(truth), float(right.sum()), skipped)


def _means(features: Tensor, where: Tensor, leave_out: bool) -> tuple[Tensor, Tensor]:
    """For each time step the mean of some time steps that it is compared with.

    Args:
        features: Features, shape (N, T, D).
        where: Which time steps are averaged, bool, shape (N, T).
        leave_out: Whether a time step is left out of the mean that it is compared with.

    Returns:
        The means, shape (N, T, D), and whether there is anything to average, bool, shape (N, T).
    """
    kept = where.to(features)[..., None]
    total, number = (features * kept).sum(1, keepdim=True), kept.sum(1, keepdim=True)
    if leave_out:
        total, number = total - features * kept, number - kept
    total, number = total.expand_as(features), number.expand_as(kept)
    return total / number.clamp(min=1), number[..., 0] > 0
