"""Which tokens of each clip a training step keeps."""

import torch
from torch import Tensor

from whenwhere.models.encoders.config import Masking


def keep_tokens(
    masking: Masking, clips: int, steps: int, patches: int, device: torch.device, *, even: bool = False
) -> Tensor:
    """Draw the tokens that are kept of each clip, with torch's random numbers.

    Args:
        masking: Kind and ratio.
        clips: Number of clips, B.
        steps: Time steps of a clip, T'.
        patches: Patches of a time step.
        device: Device of the indices.
        even: Keep equally many tokens of each time step by `random` too, at least one.

    Returns:
        Indices of kept tokens among all `steps * patches` of a clip, sorted, shape (B, L'), int64.
    """
    if masking.kind == "tube":
        places = _drawn(clips, patches, masking.share(patches), device)
        times = torch.arange(steps, device=device).expand(clips, steps)
    elif masking.kind == "frame":
        places = torch.arange(patches, device=device).expand(clips, patches)
        times = _drawn(clips, steps, masking.share(steps), device)
    elif even:
        places = _drawn(clips * steps, patches, masking.share(patches), device).view(clips, steps, -1)
        return (torch.arange(steps, device=device)[:, None] * patches + places).flatten(1)
    else:
        return _drawn(clips, steps * patches, masking.share(steps * patches), device)
    return (times[:, :, None] * patches + places[:, None]).flatten(1)


def _drawn(rows: int, count: int, kept: int, device: torch.device) -> Tensor:
    """For each row, `kept` different numbers below `count`, sorted."""
    return torch.rand(rows, count, device=device).topk(kept, sorted=False).indices.sort(1).values
