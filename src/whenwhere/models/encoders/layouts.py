"""Weights of other libraries under the names of this package's encoders.

Each function takes all weights of one tower out of a `WeightReader` and returns them by our names; what it leaves
behind is an error (`WeightReader.finish`), and so is a name that is missing. Matrices of queries, keys and values
become one, convolutions over patches become matrices, and a class token takes the position that was added to it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from whenwhere.errors import ModelError


class WeightReader:
    """Weights that are taken out one by one, so that none can be forgotten.

    Args:
        weights: Tensors by name.
        source: Where they come from, for messages.
    """

    def __init__(self, weights: Mapping[str, Tensor], source: str) -> None:
        self.left, self.source = dict(weights), source

    def take(self, name: str) -> Tensor:
        """The tensor of a name, as float32.

        Args:
            name: The name in the weights that are read.

        Raises:
            ModelError: There is none.
        """
        if name not in self.left:
            raise ModelError(f"the weights of {self.source} have no {name}: they are of another kind, or not complete")
        return self.left.pop(name).detach().float()

    def drop(self, *names: str) -> None:
        """Leaves out tensors that are not weights, such as indices of positions, where they are there.

        Args:
            names: Names of the tensors.
        """
        for name in names:
            self.left.pop(name, None)

    def linear(self, ours: str, theirs: str) -> dict[str, Tensor]:
        """Weight and bias of a layer by our names.

        Args:
            ours: Our name of the layer.
            theirs: The name of the layer in the weights that are read.

        Raises:
            ModelError: One of the two is missing.
        """
        return {f"{ours}.{part}": self.take(f"{theirs}.{part}") for part in ("weight", "bias")}

    def depth(self, prefix: str) -> int:
        """Number of blocks whose names begin with a prefix and a number.

        Args:
            prefix: What comes before the number.
        """
        numbers = {name[len(prefix) :].split(".")[0] for name in self.left if name.startswith(prefix)}
        return len(numbers)

    def finish(self) -> None:
        """Refuses weights that were not taken.

        Raises:
            ModelError: There are some.
        """
        if self.left:
            raise ModelError(
                f"the weights of {self.source} hold {min(self.left)}, for which there is no place here: begin from "
                "another checkpoint"
            )


def openai_blocks(reader: WeightReader, theirs: str) -> dict[str, Tensor]:
    """Transformer blocks in the layout of OpenAI's CLIP, open_clip and ViCLIP; `theirs` ends with `resblocks.`."""
    made: dict[str, Tensor] = {}
    for k in range(reader.depth(theirs)):
        block, ours = f"{theirs}{k}", f"blocks.{k}"
        made |= reader.linear(f"{ours}.norm1", f"{block}.ln_1") | reader.linear(f"{ours}.norm2", f"{block}.ln_2")
        made[f"{ours}.attention.qkv.weight"] = reader.take(f"{block}.attn.in_proj_weight")
        made[f"{ours}.attention.qkv.bias"] = reader.take(f"{block}.attn.in_proj_bias")
        made |= reader.linear(f"{ours}.attention.out", f"{block}.attn.out_proj")
        made |= reader.linear(f"{ours}.mlp.fc1", f"{block}.mlp.c_fc")
        made |= reader.linear(f"{ours}.mlp.fc2", f"{block}.mlp.c_proj")
    return made


def openai_picture(reader: WeightReader, theirs: str) -> dict[str, Tensor]:
    """The vision tower of OpenAI's CLIP, open_clip and ViCLIP; `theirs` is a prefix such as `visual.`."""
    positions = reader.take(f"{theirs}positional_embedding")
    made = {
        "patch.weight": reader.take(f"{theirs}conv1.weight").flatten(1),
        "class_token": reader.take(f"{theirs}class_embedding") + positions[0],
        "spatial_positions": positions[1:],
        "projection.weight": reader.take(f"{theirs}proj").T.contiguous(),
    }
    made |= reader.linear("norm_pre", f"{theirs}ln_pre") | reader.linear("norm_post", f"{theirs}ln_post")
    return made | openai_blocks(reader, f"{theirs}transformer.resblocks.")


def openai_text(reader: WeightReader, theirs: str) -> dict[str, Tensor]:
    """The text tower of OpenAI's CLIP, open_clip and ViCLIP; `theirs` is a prefix such as `text_encoder.`."""
    reader.drop(f"{theirs}attn_mask")
    made = {
        "embedding.weight": reader.take(f"{theirs}token_embedding.weight"),
        "positions": reader.take(f"{theirs}positional_embedding"),
        "projection.weight": reader.take(f"{theirs}text_projection").T.contiguous(),
    }
    return made | reader.linear("norm", f"{theirs}ln_final") | openai_blocks(reader, f"{theirs}transformer.resblocks.")


def _transformers_blocks(reader: WeightReader, theirs: str) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for k in range(reader.depth(theirs)):
        block, ours = f"{theirs}{k}", f"blocks.{k}"
        made |= reader.linear(f"{ours}.norm1", f"{block}.layer_norm1")
        made |= reader.linear(f"{ours}.norm2", f"{block}.layer_norm2")
        for part in ("weight", "bias"):
            three = [reader.take(f"{block}.self_attn.{q}_proj.{part}") for q in "qkv"]
            made[f"{ours}.attention.qkv.{part}"] = torch.cat(three)
        made |= reader.linear(f"{ours}.attention.out", f"{block}.self_attn.out_proj")
        made |= reader.linear(f"{ours}.mlp.fc1", f"{block}.mlp.fc1") | reader.linear(
            f"{ours}.mlp.fc2", f"{block}.mlp.fc2"
        )
    return made


def clip_picture(reader: WeightReader) -> dict[str, Tensor]:
    """The vision tower of transformers' CLIP."""
    theirs = "vision_model."
    reader.drop(f"{theirs}embeddings.position_ids")
    positions = reader.take(f"{theirs}embeddings.position_embedding.weight")
    made = {
        "patch.weight": reader.take(f"{theirs}embeddings.patch_embedding.weight").flatten(1),
        "class_token": reader.take(f"{theirs}embeddings.class_embedding") + positions[0],
        "spatial_positions": positions[1:],
        "projection.weight": reader.take("visual_projection.weight"),
    }
    made |= reader.linear("norm_pre", f"{theirs}pre_layrnorm") | reader.linear("norm_post", f"{theirs}post_layernorm")
    return made | _transformers_blocks(reader, f"{theirs}encoder.layers.")


def clip_text(reader: WeightReader) -> dict[str, Tensor]:
    """The text tower of transformers' CLIP."""
    theirs = "text_model."
    reader.drop(f"{theirs}embeddings.position_ids")
    made = {
        "embedding.weight": reader.take(f"{theirs}embeddings.token_embedding.weight"),
        "positions": reader.take(f"{theirs}embeddings.position_embedding.weight"),
        "projection.weight": reader.take("text_projection.weight"),
    }
    made |= reader.linear("norm", f"{theirs}final_layer_norm")
    return made | _transformers_blocks(reader, f"{theirs}encoder.layers.")


def siglip_picture(reader: WeightReader, patch: int) -> dict[str, Tensor]:
    """The vision tower of transformers' SigLIP or SigLIP 2, whose patches are flattened with the channels last."""
    theirs = "vision_model."
    reader.drop(f"{theirs}embeddings.position_ids")
    weight = reader.take(f"{theirs}embeddings.patch_embedding.weight")
    if weight.ndim == 2:
        weight = weight.view(-1, patch, patch, 3).permute(0, 3, 1, 2)
    made = {
        "patch.weight": weight.flatten(1),
        "patch.bias": reader.take(f"{theirs}embeddings.patch_embedding.bias"),
        "spatial_positions": reader.take(f"{theirs}embeddings.position_embedding.weight"),
        "pool.query": reader.take(f"{theirs}head.probe").flatten(),
    }
    for part in ("weight", "bias"):
        # queries, keys and values, one after the other
        q, k, v = reader.take(f"{theirs}head.attention.in_proj_{part}").chunk(3)
        made |= {f"pool.q.{part}": q, f"pool.kv.{part}": torch.cat([k, v])}
    made |= reader.linear("pool.out", f"{theirs}head.attention.out_proj")
    made |= reader.linear("pool.norm", f"{theirs}head.layernorm")
    made |= reader.linear("pool.mlp.fc1", f"{theirs}head.mlp.fc1") | reader.linear(
        "pool.mlp.fc2", f"{theirs}head.mlp.fc2"
    )
    made |= reader.linear("norm_post", f"{theirs}post_layernorm")
    return made | _transformers_blocks(reader, f"{theirs}encoder.layers.")


def pe_picture(reader: WeightReader) -> dict[str, Tensor]:
    """The vision tower of PE-Core as timm has it inside open_clip."""
    theirs = "visual.trunk."
    positions = reader.take(f"{theirs}pos_embed")[0]
    made = {
        "patch.weight": reader.take(f"{theirs}patch_embed.proj.weight").flatten(1),
        "pool.query": reader.take(f"{theirs}attn_pool.latent").flatten(),
        "projection.weight": reader.take(f"{theirs}head.weight"),
    }
    if f"{theirs}cls_token" in reader.left:
        made["class_token"] = reader.take(f"{theirs}cls_token").flatten() + positions[0]
        positions = positions[1:]
    made["spatial_positions"] = positions
    # the original has no bias here; timm adds one of zeros
    if not reader.left.get(f"{theirs}head.bias", torch.zeros(1)).any():
        reader.drop(f"{theirs}head.bias")
    for layer in ("q", "kv", "norm", "mlp.fc1", "mlp.fc2"):
        made |= reader.linear(f"pool.{layer}", f"{theirs}attn_pool.{layer}")
    made |= reader.linear("pool.out", f"{theirs}attn_pool.proj")
    made |= reader.linear("norm_pre", f"{theirs}norm_pre") | reader.linear("norm_post", f"{theirs}norm")
    for k in range(reader.depth(f"{theirs}blocks.")):
        block, ours = f"{theirs}blocks.{k}", f"blocks.{k}"
        for layer in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
            made |= reader.linear(f"{ours}.{layer}", f"{block}.{layer}")
        made |= reader.linear(f"{ours}.attention.qkv", f"{block}.attn.qkv")
        made |= reader.linear(f"{ours}.attention.out", f"{block}.attn.proj")
    return made
