"""Computes the FLOPs of an update from the model's sizes, so that runs on any machine, and SFT and RL, are comparable.

A matrix product counts 2 FLOPs for each entry and row; the backward pass counts twice its forward pass, and one more
forward pass under gradient checkpointing. Counted are the layers of both towers, attention over what each token sees,
and logits of the tokens that need them. Not counted are norms, activations, the optimiser, and the fact that only some
experts of a mixture run. A recurrent layer counts as its matrices plus attention, which is more than it does.

Every count comes with the cost for a trainer that computes the prompt again for every completion (`repeat`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from whenwhere.training.prefix.group import Branch, TokenSegment

if TYPE_CHECKING:
    from whenwhere.training.prefix.vlm_parts import VLMParts


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations.

    Attributes:
        shared: With the prompt computed once.
        repeat: With the prompt computed once for each branch.
    """

    shared: float = 0.0
    repeat: float = 0.0

    def __add__(self, other: Flops) -> Flops:
        """The sum of two counts."""
        return Flops(self.shared + other.shared, self.repeat + other.repeat)

    def __mul__(self, factor: float) -> Flops:
        """A multiple of a count."""
        return Flops(self.shared * factor, self.repeat * factor)


class FlopCounter:
    """Counts the FLOPs of a model; create it after parameters have been frozen, which changes the count.

    Args:
        parts: The model.
    """

    def __init__(self, parts: VLMParts) -> None:
        text, vision = parts.text_config, parts.config.vision_config
        self._text = 2.0 * sum(p.numel() for p in parts.text_model.layers.parameters() if p.ndim > 1)
        self._head = 2.0 * parts.lm_head.weight.numel()
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._attended = 4.0 * text.num_hidden_layers * text.num_attention_heads * size
        visual = parts.backbone.visual
        # mergers see one row where the layers see spatial_merge_size² patches
        merged = vision.spatial_merge_size**2
        self._vision = 2.0 * sum(
            p.numel() / (merged if "merger" in name else 1)
            for name, p in visual.named_parameters()
            if p.ndim > 1 and "pos_embed" not in name
        )
        self._vision_attended = 4.0 * vision.depth * vision.hidden_size
        self._vision_trained = any(p.requires_grad for p in visual.parameters())
        self._checkpointed = parts.checkpointed

    def vision(self, segment: TokenSegment) -> float:
        """FLOPs of the vision tower's forward pass; 0 if the segment already holds features.

        Args:
            segment: Tokens with their pictures.
        """
        total = 0.0
        for part in (segment.images, segment.videos):
            if part is not None and part.features is None:
                for frames, rows, columns in np.asarray(part.grids).tolist():
                    patches = rows * columns
                    total += frames * patches * (self._vision + self._vision_attended * patches)
        return total

    def _text_run(self, tokens: float, before: float) -> float:
        """FLOPs of the text model's forward pass over tokens that attend to each other and all tokens before them."""
        return tokens * self._text + self._attended * (tokens * before + tokens * (tokens + 1) / 2)

    def forward(self, prompt: TokenSegment, branches: Sequence[int], scored: int) -> Flops:
        """FLOPs of one forward pass of a group.

        Args:
            prompt: The prompt with its pictures.
            branches: Number of tokens of each branch.
            scored: Number of tokens whose logits are made.
        """
        length, head = len(prompt.ids), scored * self._head
        first = self.vision(prompt) + self._text_run(length, 0)
        rest = sum(self._text_run(n, length) for n in branches)
        return Flops(first + rest + head, len(branches) * first + rest + head)

    def training(self, prompt: TokenSegment, branches: Sequence[int], scored: int) -> Flops:
        """FLOPs of the forward and backward pass of a group; arguments as for `forward`."""
        whole = self.forward(prompt, branches, scored) * (4.0 if self._checkpointed else 3.0)
        if not self._vision_trained:
            spared = (3.0 if self._checkpointed else 2.0) * self.vision(prompt)
            whole = Flops(whole.shared - spared, whole.repeat - len(branches) * spared)
        return whole


def branch_lengths(branches: Sequence[Branch]) -> list[int]:
    """Number of tokens of each branch.

    Args:
        branches: The branches of a group.
    """
    return [len(branch.ids) for branch in branches]
