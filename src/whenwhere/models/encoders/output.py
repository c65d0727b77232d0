"""What a video encoder returns for a batch of clips."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class VideoOutput:
    """Features of a batch of B clips. Embeddings are projected to the joint space but not normalised.

    D is the size of an embedding, C the width of the tokens, T' the number of time steps, and M that of group tokens.

    Attributes:
        pooled: Embeddings of the clips, shape (B, D).
        tokens: Video tokens after the last normalisation, shape (B, L', C); L' is the number of kept tokens, equal to
            the number of all tokens L unless tokens are masked. `VideoEncoder.project` takes them to embeddings.
        positions: Time step, row and column of each video token, shape (B, L', 3), int64. They are sorted.
        frames: Embeddings of the time steps, shape (B, T', D): the mean of a step's kept tokens, projected, or, if the
            encoder attends within frames only, the embedding of each frame. Zero where a step keeps no token.
        groups: Embeddings of the group tokens, shape (B, M, D); None without group tokens.
        assignments: For each grouping block in the order of layers, the share of each video token that goes to each
            group, shape (B, M, L'). Shares sum to 1 over the groups; with hard assignment one of them is 1.
    """

    pooled: "Tensor"
    tokens: "Tensor"
    positions: "Tensor"
    frames: "Tensor"
    groups: "Tensor | None"
    assignments: "list[Tensor]"
