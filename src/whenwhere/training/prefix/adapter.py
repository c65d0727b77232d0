"""LoRA matrices as a PEFT adapter: the folder `adapter/` of a checkpoint, which `PeftModel.from_pretrained` reads.

A checkpoint holds merged weights, because whatever loads a checkpoint reads them. The adapter beside them is small, can
be put on the base model and taken off again, and is what servers with many adapters (vLLM) take. With `lora_merge =
false` it is the whole checkpoint (`whenwhere.models.adapters` loads it). Where the vision tower
is trained too, the matrices alone are not the model, so the tower's weights are in the adapter (PEFT's
`modules_to_save`).
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whenwhere.training.shards import whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Folder of the adapter in a checkpoint's folder.
ADAPTER = "adapter"
#: Name of the vision tower in a vision-language model.
_VISION = "model.visual"
#: What PEFT puts before the names of a model that it wraps.
_WRAPPED = "base_model.model."


def adapter_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights of an adapter by PEFT's names; empty if a model has no LoRA matrices.

    With sharded weights every process calls it.

    Args:
        model: The model, with PEFT's wrapper where LoRA is trained.
    """
    if not hasattr(model, "peft_config"):
        return {}
    vision = f"{_WRAPPED}{_VISION}."
    trained = any(weight.requires_grad for name, weight in model.named_parameters() if name.startswith(vision))
    return {
        # the name of the adapter is no part of the file
        name.replace(".default.", "."): whole(weight.detach()).contiguous()
        for name, weight in model.state_dict(keep_vars=True).items()
        if ".lora_" in name or (trained and name.startswith(vision))
    }


def write_adapter(
    model: torch.nn.Module, weights: dict[str, Tensor], folder: Path, base: str, revision: str | None
) -> None:
    """Writes an adapter.

    Args:
        model: The model with PEFT's wrapper.
        weights: The adapter's weights, as `adapter_weights` gave them.
        folder: The folder; it is made.
        base: Hub id or folder of the checkpoint that the adapter is for.
        revision: Branch, tag or commit of a hub id.
    """
    from safetensors.torch import save_file

    wrapped: Any = model
    config = deepcopy(wrapped.peft_config["default"])
    # a folder is found from anywhere
    name = str(Path(base).resolve()) if Path(base).is_dir() else base
    config.base_model_name_or_path, config.revision, config.inference_mode = name, revision, True
    if any(".lora_" not in name for name in weights):
        config.modules_to_save = [_VISION]
    folder.mkdir(parents=True, exist_ok=True)
    bare = wrapped.get_base_model()
    described = {"base_model_class": type(bare).__name__, "parent_library": type(bare).__module__}
    config.save_pretrained(str(folder), auto_mapping_dict=described)
    save_file(weights, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
