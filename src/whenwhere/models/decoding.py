"""Two things done to a model's scores before the next token is chosen: holding it to a grammar, and drawing.

Both are logits processors of `model.generate` (called with the tokens so far and the scores of the next one), and
both look at each row of a batch for itself, so that a call's answer does not depend on what it was batched with.

Drawing adds Gumbel noise and takes the greatest score, which is a draw from the softmax at that temperature; each row
has its own generator, and the noise is made on the CPU, so that a seed means the same on every device. No top-k, no
top-p: the temperature alone is stated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from whenwhere.errors import ModelError
from whenwhere.models.grammar import Grammar, Pieces, State


class Held:
    """Lets only tokens through that a row's grammar allows.

    Args:
        grammars: one per row; None = free.
        pieces: of the tokenizer.
        prompt: tokens of the prompt, padding included.
    """

    def __init__(self, grammars: Sequence[Grammar | None], pieces: Pieces, prompt: int) -> None:
        self.pieces = pieces
        self.read = prompt
        self.states: list[State | None] = [g.start if g else None for g in grammars]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores with everything else at minus infinity."""
        import torch

        for row, new in enumerate(input_ids[:, self.read :].tolist()):
            for token in new:
                self._follow(row, token)
        self.read = input_ids.shape[1]
        for row, state in enumerate(self.states):
            if state is None:
                continue
            allowed = self.pieces.allowed(state)
            allowed = allowed[allowed < scores.shape[-1]]
            if not len(allowed):
                raise ModelError("the tokenizer has no token that goes on with the answer as its schema wants it")
            mask = torch.full((scores.shape[-1],), -np.inf, dtype=scores.dtype)
            mask[torch.from_numpy(allowed)] = 0
            scores[row] = scores[row] + mask.to(scores.device)
        return scores

    def _follow(self, row: int, token: int) -> None:
        state = self.states[row]
        if state is None:
            return
        # behind its end a row is padded, whatever the others do
        self.states[row] = None if token in self.pieces.ends else Grammar.step(state, self.pieces.pieces[token] or b"")


class Drawn:
    """Draws each row with its own seed and temperature.

    Args:
        temperatures: one per row; 0 = greedy.
        seeds: one per row.
    """

    def __init__(self, temperatures: Sequence[float], seeds: Sequence[int]) -> None:
        import torch

        self.temperatures = temperatures
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores with noise."""
        import torch

        for row, (temperature, generator) in enumerate(zip(self.temperatures, self.generators, strict=True)):
            if temperature > 0:
                uniform = torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64).clamp_min(1e-300)
                noise = -torch.log(-torch.log(uniform))
                scores[row] = scores[row] / temperature + noise.to(scores.device, scores.dtype)
        return scores


def together(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, Any]:
    """Inputs of several calls as one batch: tokens padded on the left, pictures one after the other.

    Args:
        rows: tensors by name, a batch of one each.
        pad: number of the token to pad with.
    """
    import torch

    if len(rows) == 1:
        return dict(rows[0])
    longest = max(row["input_ids"].shape[1] for row in rows)
    batch: dict[str, Any] = {}
    for key, first in rows[0].items():
        values = [row[key] for row in rows]
        if first.ndim == 2 and all(v.shape == row["input_ids"].shape for v, row in zip(values, rows, strict=True)):
            fill = pad if key == "input_ids" else 0
            values = [torch.nn.functional.pad(v, (longest - v.shape[1], 0), value=fill) for v in values]
        batch[key] = torch.cat(values)
    return batch
