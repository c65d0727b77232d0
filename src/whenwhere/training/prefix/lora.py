"""LoRA matrices in a text model (by PEFT), and the weights of a checkpoint with the matrices merged in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.training.shards import is_sharded, whole

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from torch import Tensor


def with_lora(
    model: torch.nn.Module, rank: int, alpha: int, dropout: float, target_modules: Sequence[str]
) -> PeftModel:
    """Wraps a model so that LoRA matrices are trained in place of the text model's weights.

    Args:
        model: The bare vision-language model; its text model is changed in place.
        rank: Rank of the matrices.
        alpha: The matrices' product is scaled by alpha / rank.
        dropout: Probability of dropout before the matrices.
        target_modules: Endings of the names of the layers that get matrices.

    Raises:
        MissingExtraError: PEFT is not installed.
        SettingError: No layer has such a name.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as e:
        raise MissingExtraError("peft", "train", "LoRA") from e
    names = "|".join(map(re.escape, target_modules))
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        # only the text model: in some families, layers of the vision tower have the same names
        target_modules=rf".*language_model.*\.({names})$",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as e:
        raise SettingError(f"lora_target_modules matches no layer: {' '.join(str(e).split())[:200]}") from e


def merged_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The state dict that the bare model would have if its LoRA matrices were added to its weights.

    Args:
        model: The bare model, with or without LoRA matrices in it.
    """
    weights: dict[str, Tensor] = {}
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "get_delta_weight") and hasattr(m, "base_layer")}
    gathered: dict[int, Tensor] = {}
    for name, kept in model.state_dict(keep_vars=True).items():
        if ".lora_" in name:
            continue
        if is_sharded(kept):
            # tied weights stay one tensor
            if id(kept) not in gathered:
                gathered[id(kept)] = whole(kept.detach())
            weight = gathered[id(kept)]
        else:
            weight = kept.detach()
        layer = layers.get(name.rpartition(".base_layer.")[0])
        if layer is not None and name.endswith(".weight"):
            deltas = (whole(layer.get_delta_weight(a).detach()) for a in layer.active_adapters)
            weight = weight + sum(delta.to(weight) for delta in deltas)
        weights[name.replace(".base_layer.", ".")] = weight
    return weights
