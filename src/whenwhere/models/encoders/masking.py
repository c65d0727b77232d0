"""Which video tokens of each clip an update of training keeps (`config.Masking` says how many and of which kind)."""

import torch
from torch import Tensor

from whenwhere.models.encoders.config import Masking


def keep_tokens(
    masking: Masking, clips: int, steps: int, patches: int, device: torch.device, *, even: bool = False
) -> Tensor:
    """Draws the video tokens that are kept of each clip, with torch's random numbers.

    Args:
        masking: Kind and ratio.
        clips: Number of clips, B.
        steps: Time steps of a clip, T'.
        patches: Patches of a time step.
        device: Device of the indices.
        even: Whether `random` keeps the same number of tokens, at least one, of every time step.

    Returns:
        Indices of kept tokens among all `steps * patches` of a clip, sorted, shape (B, L'), int64.
    """
    if masking.kind == "tube":
        places = _drawn(clips, patches, masking.kept_of(patches), device)
        times = torch.arange(steps, device=device).expand(clips, steps)
    elif masking.kind == "frame":
        places = torch.arange(patches, device=device).expand(clips, patches)
        times = _drawn(clips, steps, masking.kept_of(steps), device)
    elif even:
        places = _drawn(clips * steps, patches, masking.kept_of(patches), device).view(clips, steps, -1)
        return (torch.arange(steps, device=device)[:, None] * patches + places).flatten(1)
    else:
        return _drawn(clips, steps * patches, masking.kept_of(steps * patches), device)
    return (times[:, :, None] * patches + places[:, None]).flatten(1)


def _drawn(rows: int, count: int, kept: int, device: torch.device) -> Tensor:
    """For each row, `kept` different numbers below `count`, sorted."""
    return torch.rand(rows, count, device=device).topk(kept, sorted=False).indices.sort(1).values
