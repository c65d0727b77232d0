"""Parts of a transformer: attention, MLP, pre-norm block, pooling by attention, and positions.

Attention is torch's scaled_dot_product_attention, which picks the fastest kernel of the device, except for a few tokens
on a CPU.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whenwhere.models.encoders.config import Activation

#: On a CPU, at most so many tokens attend to each other faster by plain matrix products than by the fused kernel: 37
#: tokens (a frame of 6 x 6 patches) in three quarters of its time, 16 and 50 tokens in about the same.
FEW_TOKENS = 48


class QuickGELU(nn.Module):
    """The approximation x·sigmoid(1.702·x) with which OpenAI's CLIP was trained."""

    def forward(self, x: Tensor) -> Tensor:
        """The activation of each number."""
        return x * torch.sigmoid(1.702 * x)


def make_activation(name: Activation) -> nn.Module:
    """The module that computes an activation.

    Args:
        name: Name of the activation.
    """
    if name == "quick_gelu":
        return QuickGELU()
    return nn.GELU(approximate="tanh" if name == "gelu_tanh" else "none")


class TransformerMLP(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        width: Width of input and output.
        inner: Width between the layers.
        activation: Name of the activation.
    """

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.activation = make_activation(activation)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of shape (..., C) to tokens of the same shape."""
        return self.fc2(self.activation(self.fc1(x)))


class SelfAttention(nn.Module):
    """Multi-head self-attention whose queries, keys and values come from one matrix.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        causal: Whether a token attends only to itself and earlier tokens.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: Tensor | None = None, only_first: bool = False) -> Tensor:
        """Tokens of shape (B, N, C) to tokens of the same shape, or to the first alone; `rotation` as for `rotate`."""
        clips, count, width = x.shape
        if only_first:
            return self._first(x, rotation)
        q, k, v = self.qkv(x).view(clips, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if count <= FEW_TOKENS and x.device.type == "cpu" and not self.causal:
            mixed = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).reshape(clips, count, width))

    def _first(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        """The first token after attention, shape (B, 1, C)."""
        clips, count, width = x.shape
        (q_weight, kv_weight), (q_bias, kv_bias) = (
            part.split([width, 2 * width]) for part in (self.qkv.weight, self.qkv.bias)
        )
        q = F.linear(x[:, :1], q_weight, q_bias).view(clips, 1, self.heads, -1).transpose(1, 2)
        k, v = F.linear(x, kv_weight, kv_bias).view(clips, count, 2, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        if rotation is not None:
            q, k = rotate(q, rotation[..., :1, :]), rotate(k, rotation)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(clips, 1, width))

    def weights(self, x: Tensor, rotation: Tensor | None = None) -> Tensor:
        """How much the first token attends to each token, averaged over heads, shape (B, N)."""
        clips, count, _ = x.shape
        q, k, _ = self.qkv(x).view(clips, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        return _softmax_mean(q[:, :, :1], k)


class TransformerBlock(nn.Module):
    """A pre-norm transformer block.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        inner: Inner width of the MLP.
        activation: Activation of the MLP.
        eps: The term that layer normalisation adds to the variance.
        causal: Whether a token attends only to itself and earlier tokens.
        drop_path: Probability with which the attention and the MLP are each skipped for a clip in training.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        activation: Activation,
        eps: float,
        causal: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attention = SelfAttention(width, heads, causal)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = TransformerMLP(width, inner, activation)
        self.drop_path = drop_path

    def forward(self, x: Tensor, rotation: Tensor | None = None, only_first: bool = False) -> Tensor:
        """Tokens of shape (B, N, C) to tokens of the same shape, or to the first alone; `rotation` as for `rotate`."""
        change = self._sometimes(self.attention(self.norm1(x), rotation, only_first))
        x = (x[:, :1] if only_first else x) + change
        return x + self._sometimes(self.mlp(self.norm2(x)))

    def _sometimes(self, change: Tensor) -> Tensor:
        """What a residual branch adds, zeroed for randomly drawn sequences in training (drop path)."""
        if not self.training or not self.drop_path:
            return change
        kept = torch.rand(len(change), 1, 1, device=change.device) >= self.drop_path
        # scaled so that the expected value is that of evaluation
        return change * (kept / (1 - self.drop_path)).to(change.dtype)


class AttentionPooling(nn.Module):
    """One vector from all tokens: a learned query attends to them, and an MLP with a residual follows.

    This is the pooling head of SigLIP and PE-Core.

    Args:
        width: Width of the tokens.
        heads: Number of heads.
        inner: Inner width of the MLP.
        activation: Activation of the MLP.
        eps: The term that layer normalisation adds to the variance.
    """

    def __init__(self, width: int, heads: int, inner: int, activation: Activation, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.empty(width))
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.mlp = TransformerMLP(width, inner, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of shape (B, N, C) to one vector for each sequence, shape (B, C)."""
        clips, count, width = x.shape
        q = self.q(self.query).view(1, self.heads, 1, -1).expand(clips, -1, -1, -1)
        k, v = self.kv(x).view(clips, count, 2, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        return self._head(F.scaled_dot_product_attention(q, k, v).reshape(clips, width))

    def weights(self, x: Tensor) -> Tensor:
        """How much the query attends to each token, averaged over heads, shape (B, N)."""
        clips, count, _ = x.shape
        q = self.q(self.query).view(1, self.heads, 1, -1)
        return _softmax_mean(q, self.kv(x).view(clips, count, 2, self.heads, -1)[:, :, 0].transpose(1, 2))

    def alone(self, x: Tensor) -> Tensor:
        """What the pooling would give for each token if it were the only one, shape (..., C).

        Args:
            x: Tokens, shape (..., C).
        """
        return self._head(F.linear(x, *(part.chunk(2)[1] for part in (self.kv.weight, self.kv.bias))))

    def _head(self, values: Tensor) -> Tensor:
        x = self.out(values)
        return x + self.mlp(self.norm(x))


def _softmax_mean(q: Tensor, k: Tensor) -> Tensor:
    """Attention of one query, shape (B, heads, 1, d), to keys, shape (B, heads, N, d), averaged over heads."""
    return (q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5).softmax(-1).mean(1)[:, 0]


def rotation_of(positions: Tensor, head_size: int, theta: float) -> Tensor:
    """The rotation by which attention tells rows and columns apart (rotary positions in two dimensions).

    The first half of a head's pairs of numbers turns with the column and the second with the row, both counted from 1,
    as in PE-Core. A token without a position (class and group tokens) is not turned.

    Args:
        positions: Row and column of each token from 0, shape (..., N, 2); -1 for a token without a position.
        head_size: Width of an attention head.
        theta: Base of the frequencies.

    Returns:
        Cosines and sines for each pair of numbers, shape (2, ..., N, head_size / 2).
    """
    pairs = head_size // 4
    speeds = theta ** (-torch.arange(pairs, device=positions.device, dtype=torch.float32) / pairs)
    angles = ((positions + 1).float().flip(-1)[..., None] * speeds).flatten(-2)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn neighbouring pairs of numbers of queries or keys.

    Args:
        x: Queries or keys, shape (B, heads, N, head_size).
        rotation: Cosines and sines, shape (2, N, head_size / 2) or (2, B, 1, N, head_size / 2).
    """
    cos, sin = rotation.to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def resized_positions(positions: Tensor, rows: int, columns: int) -> Tensor:
    """Learned positions of a square grid, interpolated bicubically to another grid.

    Args:
        positions: Positions of the square grid, shape (side², C).
        rows: Rows of the new grid.
        columns: Columns of the new grid.

    Returns:
        Positions, shape (rows·columns, C).
    """
    side = math.isqrt(len(positions))
    if (rows, columns) == (side, side):
        return positions
    grid = positions.view(1, side, side, -1).permute(0, 3, 1, 2).float()
    grid = F.interpolate(grid, (rows, columns), mode="bicubic", antialias=True, align_corners=False)
    return grid.flatten(2)[0].T.to(positions.dtype)


def resampled_times(positions: Tensor, steps: int) -> Tensor:
    """Learned positions in time for another number of time steps.

    For more steps they are interpolated linearly, for fewer averaged: one step alone has the mean of all, as in ViCLIP.

    Args:
        positions: Positions, shape (T', C).
        steps: New number of time steps.

    Returns:
        Positions, shape (steps, C).
    """
    if len(positions) == steps:
        return positions
    line = positions.T[None].float()
    mode = "linear" if steps > len(positions) else "area"
    return F.interpolate(line, steps, mode=mode)[0].T.to(positions.dtype)
