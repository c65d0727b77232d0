"""Large batches in little memory: embeddings in chunks, one loss over all, and the chunks once more (GradCache).

A contrastive loss needs the embeddings of the whole batch, but not all activations at once (arXiv 2101.06983). First
each chunk is embedded without a graph, and the loss is computed from all embeddings, with its gradient with respect to
each. Then every chunk is embedded again with a graph, through which these gradients flow into the weights. The second
pass draws the same random numbers as the first one, so that masking, drop path and Gumbel noise are the same.

    cache = GradientCache(device)
    clips = cache.embed([partial(encode, chunk) for chunk in chunks])      # {"pooled": (N, D), ...}
    loss(clips, ...).backward()
    cache.backward()

A batch of a single chunk is computed once, with its graph. Several chunks cost a second forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whenwhere.training.checkpoint import random_state, set_random_state

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Computes the embeddings of a chunk by name; their rows are the chunk's.
Embed = Callable[[], Mapping[str, "Tensor"]]


class GradientCache:
    """The chunks of one update, until their gradients are computed.

    Args:
        device: Device that is computed on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._chunks: list[tuple[Embed, Any, dict[str, Tensor]]] = []

    def embed(self, chunks: Sequence[Embed]) -> dict[str, Tensor]:
        """The embeddings of all chunks, from which a loss can be computed.

        Args:
            chunks: Functions that compute the embeddings of one chunk each; at least one. If there are several, each
                is called twice, and must compute the same from the same random numbers.

        Returns:
            The embeddings by name, with the rows of all chunks one after another.
        """
        import torch

        if len(chunks) == 1:
            return dict(chunks[0]())
        parts = []
        for chunk in chunks:
            before = random_state(self.device)
            with torch.no_grad():
                part = {name: rows.detach().requires_grad_() for name, rows in chunk().items()}
            self._chunks.append((chunk, before, part))
            parts.append(part)
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def backward(self) -> None:
        """Carries the gradients of the embeddings, which the backward pass of the loss left in them, to the weights."""
        import torch

        after = random_state(self.device)
        for chunk, before, part in self._chunks:
            if all(rows.grad is None for rows in part.values()):
                continue  # the loss does not depend on this chunk
            set_random_state(before, self.device)
            again = chunk()
            pairs = [
                (again[name], rows.grad)
                for name, rows in part.items()
                if rows.grad is not None and again[name].requires_grad
            ]
            if pairs:
                torch.autograd.backward([rows for rows, _ in pairs], [grad for _, grad in pairs])
        set_random_state(after, self.device)
        self._chunks = []
