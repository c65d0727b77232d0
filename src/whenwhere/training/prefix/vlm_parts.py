"""What training must know of a family's model: its parts, positions, what goes into its text tower.

The text tower is called directly, on embeddings that we fill in: then features may come from a cache, a plan for the
attention reaches the text tower and not the vision tower, and nothing depends on the state that the outer classes of
transformers keep between calls (`rope_deltas`). Families: Qwen2.5-VL, Qwen3-VL and Qwen3.5 and what is built like them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from whenwhere.errors import ModelError
from whenwhere.training.prefix.group import Features, Pictures, Tokens
from whenwhere.training.prefix.positions import IMAGE, VIDEO, Rule, positions

#: model_type → whether each frame stands behind its own stamp, as a picture to M-RoPE.
_FAMILIES = {
    "qwen2_5_vl": False, "qwen3_vl": True, "qwen3_vl_moe": True, "qwen3_5": True, "qwen3_5_moe": True,
}  # fmt: skip


class Tower:
    """The parts of a vision-language model.

    Args:
        model: of a known family; may be wrapped by PEFT or for several devices.
        rule: of positions behind a video.

    Raises:
        ModelError: a family that is not known.
    """

    def __init__(self, model: Any, rule: Rule = "original") -> None:
        core = getattr(model, "module", model)  # of DistributedDataParallel
        core = core.get_base_model() if hasattr(core, "get_base_model") else core  # of PEFT
        if core.config.model_type not in _FAMILIES:
            raise ModelError(
                f"training knows the families {', '.join(_FAMILIES)}, not {core.config.model_type}: take a checkpoint "
                "of one of them"
            )
        self.core, self.rule = core, rule
        self.config, self.settings = core.config, core.config.text_config
        self.text, self.inner, self.head = core.model.language_model, core.model, core.get_output_embeddings()

    @property
    def device(self) -> Any:
        """Where tokens go."""
        return self.text.embed_tokens.weight.device

    @property
    def recurrent(self) -> bool:
        """Whether layers carry a state from token to token, which attention alone cannot share."""
        return "linear_attention" in (getattr(self.settings, "layer_types", None) or ())

    @property
    def checkpointed(self) -> bool:
        """Whether layers are computed again in the backward pass, which silently drops every cache."""
        return self.core.training and any(layer.gradient_checkpointing for layer in self.text.layers)

    def kinds(self, ids: Any) -> Any:
        """What each token is: text, of an image, or of a video."""
        return (ids == self.config.image_token_id) * IMAGE + (ids == self.config.video_token_id) * VIDEO

    def positions(self, tokens: Tokens, start: int = 0) -> tuple[Any, int]:
        """(3, n) positions of a stretch of tokens, and the next one.

        Raises:
            ModelError: tokens and pictures do not belong together.
        """
        import torch

        videos = tokens.videos
        grids = [[] if part is None else np.asarray(part.grids).tolist() for part in (tokens.images, videos)]
        per_step = None
        if not _FAMILIES[self.config.model_type]:
            seconds = [1.0] * len(grids[1]) if videos is None or videos.seconds is None else videos.seconds
            per_step = [self.config.vision_config.tokens_per_second * s for s in seconds]
        try:
            found, following = positions(
                self.kinds(torch.as_tensor(tokens.ids)).cpu().numpy(), grids[0], grids[1],
                merge=self.config.vision_config.spatial_merge_size, per_step=per_step, rule=self.rule, start=start,
            )  # fmt: skip
        except ValueError as e:
            raise ModelError(f"tokens and pictures of a training sample do not belong together: {e}") from e
        return torch.from_numpy(found).to(self.device), following

    def features(self, pictures: Pictures, video: bool) -> Features:
        """What the vision tower makes of pictures; those already computed are handed on.

        Args:
            pictures: images, or videos.
            video: which of the two.
        """
        import torch

        if pictures.features is not None:
            return pictures.features
        look = self.inner.get_video_features if video else self.inner.get_image_features
        made = look(pictures.patches.to(self.device), torch.as_tensor(pictures.grids, device=self.device))
        return Features(
            tuple(made.pooler_output), tuple(tuple(d) for d in getattr(made, "deepstack_features", None) or ())
        )

    def frozen(self, tokens: Tokens) -> Tokens:
        """The same tokens with features in place of patches, computed without gradient: for a frozen vision tower."""
        import torch

        def once(part: Pictures | None, video: bool) -> Pictures | None:
            return (
                None
                if part is None
                else Pictures(part.grids, features=self.features(part, video), seconds=part.seconds)
            )

        with torch.no_grad():
            images, videos = once(tokens.images, False), once(tokens.videos, True)
        return Tokens(tokens.ids, images, videos)

    def _all_features(self, parts: list[Pictures], video: bool) -> list[Features]:
        """Features of several pictures, by one pass of the vision tower where there are patches."""
        import torch

        if len(parts) > 1 and all(p.features is None for p in parts):
            grids = torch.cat([torch.as_tensor(p.grids) for p in parts])
            parts = [Pictures(grids, torch.cat([p.patches for p in parts]))]
        return [self.features(p, video) for p in parts]

    def inputs(self, ids: Any, stretches: Sequence[Tokens]) -> dict[str, Any]:
        """What the text tower takes: embeddings with features in their places, and DeepStack's.

        Args:
            ids: (B, L) tokens.
            stretches: whose pictures stand in `ids`, in the order of its rows.

        Raises:
            ModelError: more or fewer picture tokens than features.
        """
        import torch

        embeddings = self.text.embed_tokens(ids)
        kinds = self.kinds(ids)
        deep: list[tuple[Any, tuple[Any, ...]]] = []
        for kind in (IMAGE, VIDEO):
            parts = [s.images if kind == IMAGE else s.videos for s in stretches]
            made = self._all_features([p for p in parts if p is not None], kind == VIDEO)
            places = kinds == kind
            count = sum(len(f) for m in made for f in m.pooled)
            if int(places.sum()) != count:
                raise ModelError(
                    f"a training sample has {int(places.sum())} tokens for {count} features of its pictures: it was cut"
                )
            if not made:
                continue
            joined = torch.cat([f for m in made for f in m.pooled]).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(places[..., None], joined)
            deep.append(
                (places, tuple(torch.cat([f for m in made for f in m.deep[k]]) for k in range(len(made[0].deep))))
            )
        inputs: dict[str, Any] = {"inputs_embeds": embeddings}
        if deep and deep[0][1]:
            seen = kinds != 0
            inputs["visual_pos_masks"] = seen
            inputs["deepstack_visual_embeds"] = [
                _joined(seen, [(places, levels[k]) for places, levels in deep]) for k in range(len(deep[0][1]))
            ]
        return inputs


def _joined(seen: Any, parts: list[tuple[Any, Any]]) -> Any:
    """Features of images and of videos in the order in which they stand in the row."""
    if len(parts) == 1:
        return parts[0][1]
    joined = parts[0][1].new_zeros(int(seen.sum()), parts[0][1].shape[-1])
    for places, features in parts:
        joined = joined.masked_scatter(places[seen][:, None], features)
    return joined
