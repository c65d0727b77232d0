"""Floating-point operations (FLOPs) of an update of pre-training, by formula.

A backward pass takes twice as much as a forward pass. A batch in chunks is embedded twice. The clips before blending,
which the temporal loss needs, are embedded once more without a backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whenwhere.models.encoders.config import Masking, VideoConfig
from whenwhere.models.encoders.flops import text_flops, video_flops

if TYPE_CHECKING:
    from whenwhere.models.encoders.model import VideoTextModel


@dataclass(frozen=True)
class TextPass:
    """Texts that are embedded in an update.

    Attributes:
        texts: Number of texts.
        tokens: Tokens of each, padding included.
        trained: Whether there is a backward pass.
        twice: Whether there are two forward passes.
    """

    texts: int
    tokens: int
    trained: bool
    twice: bool = False


def clip_flops(config: VideoConfig, mask: Masking, twice: bool, clean: bool) -> float:
    """FLOPs of one clip in an update.

    Args:
        config: The video encoder.
        mask: Which tokens are dropped.
        twice: Whether the batch is embedded in chunks, and so each clip twice.
        clean: Whether the clip before blending is embedded too, without masking.
    """
    passes = 4 if twice else 3
    return passes * video_flops(config, mask) + (video_flops(config) if clean else 0)


def text_pass_flops(model: VideoTextModel, cost: TextPass) -> float:
    """FLOPs of the texts in an update; those of a model of transformers are estimated from its parameters.

    Args:
        model: The model.
        cost: The texts.
    """
    config = model.config.text
    if config.kind == "clip":
        each = text_flops(config, cost.tokens)
    else:
        each = 2.0 * cost.tokens * sum(weight.numel() for weight in model.text.parameters())
    return cost.texts * each * (1 + 2 * cost.trained + cost.twice)
