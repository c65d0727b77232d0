"""Grouping blocks: group tokens compete for video tokens and gather what they win.

They follow the description of GroupViT (arXiv 2202.11094), whose code is under another licence and was not used. Two
things differ: the video tokens go on unmerged, as S-ViLM needs them (arXiv 2303.16341), and the number of groups stays
the same, so that GroupViT's MLP over groups, which reduces it, is left out.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whenwhere.models.encoders.blocks import TransformerMLP
from whenwhere.models.encoders.config import VideoConfig

#: What is added to the size of a group before dividing by it. The soft shares give this normaliser a gradient, which
#: with a small number is several times as large for small groups, and training becomes unstable (GroupViT's authors in
#: their issue 17).
ASSIGN_EPS = 1.0


class GroupingBlock(nn.Module):
    """Updates group tokens from video tokens; each video token goes to one group, or by shares to all.

    Args:
        config: The video encoder's configuration.
    """

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        width, eps = config.width, config.norm_eps
        self.heads, self.assignment = config.heads, config.assignment
        self.norm_groups = nn.LayerNorm(width, eps=eps)
        self.norm_tokens = nn.LayerNorm(width, eps=eps)
        # first the groups look at the clip, so that what they compete with depends on it
        self.look_q = nn.Linear(width, width)
        self.look_kv = nn.Linear(width, 2 * width)
        self.look_out = nn.Linear(width, width)
        self.look_norm = nn.LayerNorm(width, eps=eps)
        self.look_mlp = TransformerMLP(width, config.inner, config.activation)
        self.look_end = nn.LayerNorm(width, eps=eps)
        self.assign_q = nn.Linear(width, width)
        self.assign_k = nn.Linear(width, width)
        self.assign_v = nn.Linear(width, width)
        self.assign_out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, eps=eps)
        self.mlp = TransformerMLP(width, config.inner, config.activation)

    def forward(self, groups: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Group tokens after the block, and which video tokens each of them won.

        Args:
            groups: Group tokens, shape (B, M, C).
            tokens: Video tokens, shape (B, L, C).

        Returns:
            Group tokens, shape (B, M, C), and assignments, shape (B, M, L), which sum to 1 over the groups.
        """
        groups, tokens = self.norm_groups(groups), self.norm_tokens(tokens)
        groups = self._look(groups, tokens)
        logits = self.assign_q(groups) @ self.assign_k(tokens).transpose(1, 2) * groups.shape[-1] ** -0.5
        shares = self._assign(logits.float())
        means = shares / (shares.sum(-1, keepdim=True) + ASSIGN_EPS)
        groups = groups + self.assign_out(means.to(tokens.dtype) @ self.assign_v(tokens))
        return groups + self.mlp(self.norm_mlp(groups)), shares

    def _look(self, groups: Tensor, tokens: Tensor) -> Tensor:
        """Group tokens after cross-attention to the video tokens and an MLP, shape (B, M, C)."""
        clips, count, width = groups.shape
        q = self.look_q(groups).view(clips, count, self.heads, -1).transpose(1, 2)
        k, v = self.look_kv(tokens).view(clips, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind()
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(clips, count, width)
        groups = groups + self.look_out(seen)
        return self.look_end(groups + self.look_mlp(self.look_norm(groups)))

    def _assign(self, logits: Tensor) -> Tensor:
        """Shares of each video token over the groups from logits of shape (B, M, L)."""
        if self.assignment == "hard_gumbel" and self.training:
            # Gumbel noise; a draw of exactly zero, one among billions, would make an infinite logit and end a run
            logits = logits - torch.empty_like(logits).exponential_().clamp(min=1e-30).log()
        soft = logits.softmax(1)
        if self.assignment == "soft":
            return soft
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
        # exactly one-hot forwards, the gradient of the soft shares backwards
        return hard + (soft - soft.detach()) if soft.requires_grad else hard
