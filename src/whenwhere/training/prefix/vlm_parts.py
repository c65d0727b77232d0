"""The parts of a vision-language model that training works with: its text model, positions and visual inputs.

The text model is called directly, on embeddings that are filled in here. This allows features from a cache and a plan
for the attention that the vision tower does not see, and nothing depends on the state that the outer classes of
transformers keep between calls (`rope_deltas`). The families are Qwen2.5-VL, Qwen3-VL, Qwen3.5 and models built alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from whenwhere.errors import ModelError
from whenwhere.training.prefix.group import TokenSegment, VisionFeatures, VisualInput
from whenwhere.training.prefix.positions import IMAGE, VIDEO, MRoPERule, mrope_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

#: For each `model_type`, whether every frame follows a timestamp of its own and counts as a picture in M-RoPE.
_FAMILIES = {
    "qwen2_5_vl": False, "qwen3_vl": True, "qwen3_vl_moe": True, "qwen3_5": True, "qwen3_5_moe": True,
}  # fmt: skip


class TextInputs(TypedDict, total=False):
    """Keyword arguments for a text model.

    Attributes:
        inputs_embeds: Embeddings with visual features filled in, shape (B, L, D).
        visual_pos_masks: Which tokens stand for pictures, bool, shape (B, L). Only with DeepStack.
        deepstack_visual_embeds: Visual features of each DeepStack level, shape (visual tokens, D).
    """

    inputs_embeds: Tensor
    visual_pos_masks: Tensor
    deepstack_visual_embeds: list[Tensor]


class VLMParts:
    """The parts of a vision-language model.

    Args:
        model: A model of a known family; PEFT or DistributedDataParallel may wrap it.
        rule: Where M-RoPE positions continue after a video.

    Attributes:
        model: The model without wrappers.
        rule: As given.
        config: The model's configuration.
        text_config: The text model's configuration.
        text_model: The decoder, from embeddings to hidden states.
        backbone: The decoder and the vision tower, without the language-model head.
        lm_head: The layer that turns hidden states into logits.

    Raises:
        ModelError: The family is not known.
    """

    def __init__(self, model: torch.nn.Module, rule: MRoPERule = "original") -> None:
        bare = getattr(model, "module", model)  # of DistributedDataParallel
        bare = bare.get_base_model() if hasattr(bare, "get_base_model") else bare  # of PEFT
        if bare.config.model_type not in _FAMILIES:
            raise ModelError(
                f"models of the family {bare.config.model_type} cannot be trained: choose a checkpoint of one of "
                f"{', '.join(_FAMILIES)}"
            )
        self.model: PreTrainedModel = bare
        self.rule = rule
        self.config: PretrainedConfig = bare.config
        self.text_config: PretrainedConfig = bare.config.text_config
        self.text_model, self.backbone = bare.model.language_model, bare.model
        self.lm_head: torch.nn.Module = bare.get_output_embeddings()

    @property
    def device(self) -> torch.device:
        """The device that token ids are moved to."""
        return self.text_model.embed_tokens.weight.device

    @property
    def recurrent(self) -> bool:
        """Whether some layers carry a state from token to token, which attention alone cannot share."""
        return "linear_attention" in (getattr(self.text_config, "layer_types", None) or ())

    @property
    def checkpointed(self) -> bool:
        """Whether gradient checkpointing is on, under which transformers silently drops every cache."""
        return self.model.training and any(layer.gradient_checkpointing for layer in self.text_model.layers)

    def token_kinds(self, ids: Tensor) -> Tensor:
        """The kind of each token: `positions.TEXT`, `IMAGE` or `VIDEO`.

        Args:
            ids: Token ids, int64, any shape.

        Returns:
            Kinds, int64, of the same shape.
        """
        return (ids == self.config.image_token_id) * IMAGE + (ids == self.config.video_token_id) * VIDEO

    def positions(self, segment: TokenSegment, start: int = 0) -> tuple[Tensor, int]:
        """M-RoPE positions of a segment, and the position of the token after it.

        Args:
            segment: Tokens with their pictures.
            start: Position of the first token.

        Returns:
            Positions, int64, shape (3, n); and the next position.

        Raises:
            ModelError: The tokens and the pictures do not belong together.
        """
        import torch

        videos = segment.videos
        grids = [[] if part is None else np.asarray(part.grids).tolist() for part in (segment.images, videos)]
        per_step = None
        if not _FAMILIES[self.config.model_type]:
            known = None if videos is None else videos.seconds_per_step
            seconds = [1.0] * len(grids[1]) if known is None else known
            per_step = [self.config.vision_config.tokens_per_second * s for s in seconds]
        try:
            found, following = mrope_positions(
                self.token_kinds(torch.as_tensor(segment.ids)).cpu().numpy(), grids[0], grids[1],
                merge_size=self.config.vision_config.spatial_merge_size, positions_per_step=per_step, rule=self.rule,
                start=start,
            )  # fmt: skip
        except ValueError as e:
            raise ModelError(f"the tokens and pictures of a training sample do not belong together: {e}") from e
        return torch.from_numpy(found).to(self.device), following

    def vision_features(self, visual: VisualInput, video: bool) -> VisionFeatures:
        """The vision tower's output for images or videos; features that are already there are returned.

        Args:
            visual: Images, or videos.
            video: True if they are videos.
        """
        import torch

        if visual.features is not None:
            return visual.features.to(self.device)
        encode = self.backbone.get_video_features if video else self.backbone.get_image_features
        found = encode(visual.required_patches.to(self.device), torch.as_tensor(visual.grids, device=self.device))
        return VisionFeatures(
            tuple(found.pooler_output), tuple(tuple(d) for d in getattr(found, "deepstack_features", None) or ())
        )

    def with_features(self, segment: TokenSegment) -> TokenSegment:
        """The same tokens with features in place of patches, computed without gradient: for a frozen vision tower.

        Args:
            segment: Tokens with their pictures.
        """
        import torch

        def encoded(part: VisualInput | None, video: bool) -> VisualInput | None:
            if part is None:
                return None
            features = self.vision_features(part, video)
            return VisualInput(part.grids, features=features, seconds_per_step=part.seconds_per_step)

        with torch.no_grad():
            images, videos = encoded(segment.images, False), encoded(segment.videos, True)
        return TokenSegment(segment.ids, images, videos)

    def _all_features(self, parts: list[VisualInput], video: bool) -> list[VisionFeatures]:
        """Features of several visual inputs, by one pass of the vision tower where all of them are patches."""
        import torch

        if len(parts) > 1 and all(p.features is None for p in parts):
            grids = torch.cat([torch.as_tensor(p.grids) for p in parts])
            parts = [VisualInput(grids, torch.cat([p.required_patches for p in parts]))]
        return [self.vision_features(p, video) for p in parts]

    def text_inputs(self, ids: Tensor, segments: Sequence[TokenSegment]) -> TextInputs:
        """Keyword arguments for the text model: embeddings with visual features filled in, and DeepStack's features.

        Args:
            ids: Token ids, int64, shape (B, L).
            segments: The segments whose pictures occur in `ids`, in the order of its rows.

        Raises:
            ModelError: The number of picture tokens is not the number of features.
        """
        import torch

        embeddings = self.text_model.embed_tokens(ids)
        kinds = self.token_kinds(ids)
        deep: list[tuple[Tensor, tuple[Tensor, ...]]] = []
        for kind in (IMAGE, VIDEO):
            parts = [s.images if kind == IMAGE else s.videos for s in segments]
            features = self._all_features([p for p in parts if p is not None], kind == VIDEO)
            mask = kinds == kind
            count = sum(len(f) for m in features for f in m.pooled)
            if int(mask.sum()) != count:
                raise ModelError(
                    f"a training sample has {int(mask.sum())} picture tokens for {count} visual features: its prompt "
                    "was cut"
                )
            if not features:
                continue
            pooled = torch.cat([f for m in features for f in m.pooled]).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(mask[..., None], pooled)
            levels = range(len(features[0].deepstack))
            deep.append((mask, tuple(torch.cat([f for m in features for f in m.deepstack[k]]) for k in levels)))
        inputs: TextInputs = {"inputs_embeds": embeddings}
        if deep and deep[0][1]:
            visual = kinds != 0
            inputs["visual_pos_masks"] = visual
            inputs["deepstack_visual_embeds"] = [
                _in_row_order(visual, [(mask, levels[k]) for mask, levels in deep]) for k in range(len(deep[0][1]))
            ]
        return inputs


def _in_row_order(visual: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Features of images and of videos in the order in which their tokens occur in the row.

    Args:
        visual: Which tokens stand for pictures, bool, shape (B, L).
        parts: The mask of each kind, shape (B, L), and its features, shape (tokens, D).
    """
    if len(parts) == 1:
        return parts[0][1]
    merged = parts[0][1].new_zeros(int(visual.sum()), parts[0][1].shape[-1])
    for mask, features in parts:
        merged = merged.masked_scatter(mask[visual][:, None], features)
    return merged
