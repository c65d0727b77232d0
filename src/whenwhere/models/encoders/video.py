"""The video encoder: a vision transformer over the patches of all frames of a clip.

It has CLIP's layout, so that checkpoints of CLIP, SigLIP and PE-Core fit into it: with one frame, or with attention
inside frames only, it computes what they do. The tokens of a clip are, in this order, the class token, the video tokens
by time step, row and column, and the group tokens.
"""

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from whenwhere.errors import SettingError
from whenwhere.models.encoders.blocks import (
    AttentionPooling,
    TransformerBlock,
    resampled_times,
    resized_positions,
    rotation_of,
)
from whenwhere.models.encoders.config import Masking, VideoConfig
from whenwhere.models.encoders.grouping import GroupingBlock
from whenwhere.models.encoders.masking import keep_tokens
from whenwhere.models.encoders.output import VideoOutput


class VideoEncoder(nn.Module):
    """Embeds clips, their frames, their patches and, if there are any, their groups.

    Args:
        config: Sizes and choices.

    Attributes:
        config: The same.
        checkpointing: Whether blocks are computed again in the backward pass instead of keeping their activations.
    """

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config, self.checkpointing = config, False
        width, eps = config.width, config.norm_eps
        self.patch = nn.Linear(3 * config.tubelet * config.patch**2, width, bias=config.patch_bias)
        self.class_token = nn.Parameter(torch.empty(width)) if config.class_token else None
        self.spatial_positions = nn.Parameter(torch.empty(config.grid**2, width)) if config.spatial_positions else None
        self.temporal_positions = nn.Parameter(torch.empty(config.steps, width)) if config.temporal_positions else None
        self.norm_pre = nn.LayerNorm(width, eps=eps) if config.pre_norm else nn.Identity()
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width,
                config.heads,
                config.inner,
                config.activation,
                eps,
                drop_path=config.drop_path * k / max(config.layers - 1, 1),
            )
            for k in range(config.layers)
        )
        self.norm_post = nn.LayerNorm(width, eps=eps)
        self.pool = (
            AttentionPooling(width, config.pooling_heads or config.heads, config.inner, config.activation, eps)
            if config.pooling == "attention"
            else None
        )
        self.projection = nn.Linear(width, config.output, bias=False) if config.projection else nn.Identity()
        self.group_tokens = nn.Parameter(torch.empty(config.group_tokens, width)) if config.group_tokens else None
        self.grouping = nn.ModuleDict({str(layer): GroupingBlock(config) for layer in sorted(config.group_layers)})
        if config.group_tokens:
            self.group_norm = nn.LayerNorm(width, eps=eps)
            self.group_projection = nn.Linear(width, config.output, bias=False)
        self._initialise()

    def forward(self, pixels: Tensor, masking: Masking | None = None) -> VideoOutput:
        """Features of a batch of clips.

        Args:
            pixels: Normalised frames, shape (B, T, 3, H, W), with T a multiple of the tubelet and H and W multiples of
                the patch. Positions are interpolated where T, H or W differ from the configuration.
            masking: Tokens to drop. Ignored unless the module is in training mode.

        Raises:
            SettingError: The clips cannot be cut into whole tokens.
        """
        x, positions, whole = self._tokens(pixels, masking)
        clips, steps, per_frame = len(pixels), pixels.shape[1] // self.config.tubelet, self.config.attention == "frame"
        encoded, groups, assignments = self._encode(x, positions)
        positions = positions.view(clips, -1, 3)
        encoded = self.norm_post(encoded)
        pooled = self._pooled(encoded)
        tokens = encoded[:, 1:] if self.class_token is not None else encoded
        tokens = tokens.reshape(*positions.shape[:2], -1)
        if per_frame:
            each = pooled.view(clips, -1, pooled.shape[-1])
            pooled = each.mean(1)
            frames = each
            if each.shape[1] < steps:
                times = positions[:, :: positions.shape[1] // each.shape[1], 0]
                frames = each.new_zeros(clips, steps, each.shape[-1]).scatter(1, times[..., None].expand_as(each), each)
        else:
            frames = self.project(_step_means(tokens, positions[..., 0], steps, whole))
            if not whole:
                # a pooling head has biases, so that it does not map the zeros of a step without tokens to zeros
                present = torch.zeros(clips, steps, device=x.device).scatter_(1, positions[..., 0], 1.0)
                frames = frames * present[..., None].to(frames.dtype)
        if groups is not None:
            groups = self.group_projection(self.group_norm(groups))
        return VideoOutput(pooled, tokens, positions, frames, groups, assignments)

    def embed(self, pixels: Tensor) -> Tensor:
        """The embeddings of clips alone, shape (B, D), not normalised: `VideoOutput.pooled` of an unmasked clip.

        Where the class token is the embedding, the last block computes nothing but this token, which saves most of that
        block's work.

        Args:
            pixels: Normalised frames, as for `forward`.

        Raises:
            SettingError: The clips cannot be cut into whole tokens.
        """
        if self.config.pooling != "class" or self.group_tokens is not None:
            return self(pixels).pooled
        x, positions, _ = self._tokens(pixels, None)
        pooled = self._pooled(self.norm_post(self._encode(x, positions, only_class=True)[0]))
        return pooled.view(len(pixels), -1, pooled.shape[-1]).mean(1)

    def project(self, tokens: Tensor) -> Tensor:
        """Video tokens, or means of them, as embeddings of the joint space.

        With attention pooling, each token is what it would be if the query attended to it alone.

        Args:
            tokens: Tokens after the last normalisation, such as `VideoOutput.tokens`, shape (..., C).

        Returns:
            Embeddings, shape (..., D), not normalised.
        """
        return self.projection(tokens if self.pool is None else self.pool.alone(tokens))

    def _cut(self, pixels: Tensor) -> tuple[int, int, int]:
        config = self.config
        if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
            raise SettingError(
                "a video encoder takes a tensor of normalised floats: make one from frames by VideoTextModel.pixels"
            )
        if pixels.ndim != 5 or pixels.shape[2] != 3 or not len(pixels):
            raise SettingError(
                f"clips for a video encoder have the shape (clips, frames, 3, height, width), not {tuple(pixels.shape)}"
            )
        length, _, height, width = pixels.shape[1:]
        if not length or length % config.tubelet:
            raise SettingError(
                f"clips of {length} frames cannot be cut into time steps of {config.tubelet} frames: sample "
                f"{config.frames} frames, or another multiple of {config.tubelet}"
            )
        if not height or not width or height % config.patch or width % config.patch:
            raise SettingError(
                f"frames of {width}x{height} pixels cannot be cut into patches of {config.patch}: resize them to "
                f"{config.image_size}x{config.image_size}"
            )
        return length // config.tubelet, height // config.patch, width // config.patch

    def _tokens(self, pixels: Tensor, masking: Masking | None) -> tuple[Tensor, Tensor, bool]:
        """Embedded video tokens of S sequences (clips, or frames if attention stays inside them).

        Returns:
            The tokens, shape (S, N, C); time step, row and column of each, shape (S, N, 3); whether none was dropped.
        """
        steps, rows, columns = self._cut(pixels)
        clips, patches, per_frame = len(pixels), rows * columns, self.config.attention == "frame"
        kept, kept_steps = None, steps
        if self.training and masking is not None and masking.ratio:
            kept = keep_tokens(masking, clips, steps, patches, pixels.device, even=per_frame)
            kept_steps = masking.kept_of(steps) if masking.kind == "frame" else steps
        x = self._embed(pixels, kept, (steps, rows, columns))
        order = torch.arange(steps * patches, device=pixels.device)
        order = order.expand(clips, -1) if kept is None else kept
        positions = torch.stack([order // patches, order // columns % rows, order % columns], -1)
        if per_frame:
            # all time steps that keep any tokens keep the same number of them
            x = x.view(clips * kept_steps, -1, x.shape[-1])
        return x, positions.view(*x.shape[:2], 3), kept is None

    def _embed(self, pixels: Tensor, kept: Tensor | None, grid: tuple[int, int, int]) -> Tensor:
        """Video tokens that are kept, with their positions added, shape (B, L', C)."""
        (steps, rows, columns), size = grid, self.config.patch
        parts = (
            pixels.to(self.patch.weight.dtype)
            .view(len(pixels), steps, -1, 3, rows, size, columns, size)
            .permute(0, 1, 4, 6, 3, 2, 5, 7)
        )
        if kept is not None:
            # only kept patches are copied and embedded
            clip = torch.arange(len(pixels), device=pixels.device)[:, None]
            parts = parts[clip, kept // (rows * columns), kept // columns % rows, kept % columns]
            x = self.patch(parts.flatten(2))
        else:
            x = self.patch(parts.reshape(len(pixels), steps * rows * columns, -1))
        added = None
        if self.spatial_positions is not None:
            added = resized_positions(self.spatial_positions, rows, columns).repeat(steps, 1)
        if self.temporal_positions is not None:
            times = resampled_times(self.temporal_positions, steps).repeat_interleave(rows * columns, 0)
            added = times if added is None else added + times
        if added is not None:
            x = x + (added if kept is None else added[kept])
        return x

    def _encode(
        self, x: Tensor, positions: Tensor, only_class: bool = False
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Class and video tokens after all blocks, group tokens, and the assignments of each grouping block.

        Args:
            x: Video tokens of S sequences (clips, or frames if attention stays inside them), shape (S, N, C).
            positions: Time step, row and column of each, shape (S, N, 3).
            only_class: Whether the last block computes the class token alone.
        """
        config, first = self.config, 0
        if self.class_token is not None:
            x, first = torch.cat([self.class_token.to(x.dtype).expand(len(x), 1, -1), x], 1), 1
        x = self.norm_pre(x)
        groups, assignments, inside = None, list[Tensor](), x.shape[1]
        if self.group_tokens is not None:
            groups = self.group_tokens.to(x.dtype).expand(len(x), -1, -1)
        joined = groups is not None and config.group_attention
        if joined and groups is not None:
            x = torch.cat([x, groups], 1)
        rotation = self._rotation(positions, x.shape[1], first) if config.rope_theta else None
        for layer, block in enumerate(self.blocks, 1):
            alone = only_class and layer == config.layers
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, rotation, alone, use_reentrant=False)
            else:
                x = block(x, rotation, alone)
            if groups is not None and str(layer) in self.grouping:
                groups, shares = self.grouping[str(layer)](x[:, inside:] if joined else groups, x[:, first:inside])
                assignments.append(shares)
                if joined and layer < config.layers:
                    x = torch.cat([x[:, :inside], groups], 1)
        if joined and config.layers not in config.group_layers:
            groups = x[:, inside:]
        return x[:, :inside], groups, assignments

    def _rotation(self, positions: Tensor, count: int, first: int) -> Tensor:
        """Rotary positions of sequences of `count` tokens, whose video tokens begin at the index `first`."""
        places = positions.new_full((len(positions), count, 2), -1)
        places[:, first : first + positions.shape[1]] = positions[..., 1:]
        return rotation_of(places, self.config.head_size, self.config.rope_theta).unsqueeze(2)

    def _pooled(self, x: Tensor) -> Tensor:
        """Embeddings of sequences of normalised class and video tokens."""
        if self.pool is not None:
            return self.projection(self.pool(x))
        if self.config.pooling == "class":
            return self.projection(x[:, 0])
        return self.projection(x[:, 1 if self.class_token is not None else 0 :].mean(1))

    @torch.no_grad()
    def _initialise(self) -> None:
        """CLIP's initialisation, which suits narrow and wide encoders alike."""
        width, depth = self.config.width, self.config.layers
        for learned in (self.class_token, self.spatial_positions):
            if learned is not None:
                nn.init.normal_(learned, std=width**-0.5)
        if self.temporal_positions is not None:
            # an encoder made from an image model begins as that model
            nn.init.zeros_(self.temporal_positions)
        if self.group_tokens is not None:
            nn.init.trunc_normal_(self.group_tokens, std=0.02)
        initialise_blocks(self, depth)
        for matrix in (self.projection, getattr(self, "group_projection", None)):
            if isinstance(matrix, nn.Linear):
                nn.init.normal_(matrix.weight, std=width**-0.5)
        if self.pool is not None:
            nn.init.normal_(self.pool.query, std=width**-0.5)


@torch.no_grad()
def initialise_blocks(module: nn.Module, depth: int) -> None:
    """Initialise all linear layers of a transformer as CLIP does: those that end a residual branch are smaller.

    Args:
        module: The module, changed in place.
        depth: Number of blocks, by which the residual branches are scaled.
    """
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            ends = name.endswith((".out", ".fc2", "_out"))
            std = part.in_features**-0.5 * (1 / math.sqrt(2 * depth) if ends else 1)
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _step_means(tokens: Tensor, times: Tensor, steps: int, whole: bool) -> Tensor:
    """The mean of the tokens of each time step, shape (B, T', C); zero for a step without tokens.

    Args:
        tokens: Video tokens, shape (B, L', C).
        times: Time step of each, shape (B, L').
        steps: Number of time steps.
        whole: Whether no token is missing.
    """
    if whole:
        return tokens.view(len(tokens), steps, -1, tokens.shape[-1]).mean(2)
    member = torch.zeros(len(tokens), steps, tokens.shape[1], device=tokens.device, dtype=tokens.dtype)
    member.scatter_(1, times[:, None], 1.0)
    return member @ tokens / member.sum(-1, keepdim=True).clamp(min=1)
