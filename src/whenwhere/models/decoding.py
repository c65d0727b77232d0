"""Logits processors for a batch of calls: one holds answers to a grammar, the other samples with a seed per row.

`model.generate` calls them with the tokens so far and the scores of the next token. Both treat each row of a batch
separately, so that a call's answer does not depend on the calls that it was batched with.

Sampling adds Gumbel noise and takes the greatest score, which is a draw from the softmax at that temperature. Each row
has its own generator, and the noise is made on the CPU, so that a seed means the same on every device. Left out: top-k
and top-p; only the temperature can be chosen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from whenwhere.errors import ModelError
from whenwhere.models.grammar import Grammar, State, TokenPieces


class GrammarProcessor:
    """Lets only tokens through that a row's grammar allows.

    Args:
        grammars: One grammar per row; None leaves the row free.
        pieces: The tokens of the tokenizer.
        prompt: Number of tokens in the prompt, with padding.
    """

    def __init__(self, grammars: Sequence[Grammar | None], pieces: TokenPieces, prompt: int) -> None:
        self.pieces = pieces
        self.read = prompt
        self.states: list[State | None] = [g.start if g else None for g in grammars]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores, shape (rows, vocabulary), with those of forbidden tokens at minus infinity."""
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
        # after its end a row is padded, whatever the other rows do
        self.states[row] = None if token in self.pieces.ends else Grammar.step(state, self.pieces.pieces[token] or b"")


class SamplingProcessor:
    """Samples each row with its own seed and temperature.

    Args:
        temperatures: One temperature per row; 0 takes the likeliest token.
        seeds: One seed per row.
    """

    def __init__(self, temperatures: Sequence[float], seeds: Sequence[int]) -> None:
        import torch

        self.temperatures = temperatures
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores, shape (rows, vocabulary), divided by the temperature and with noise added."""
        import torch

        for row, (temperature, generator) in enumerate(zip(self.temperatures, self.generators, strict=True)):
            if temperature > 0:
                uniform = torch.rand(scores.shape[-1], generator=generator, dtype=torch.float64).clamp_min(1e-300)
                noise = -torch.log(-torch.log(uniform))
                scores[row] = scores[row] / temperature + noise.to(scores.device, scores.dtype)
        return scores


def batch_inputs(rows: Sequence[dict[str, Any]], pad: int) -> dict[str, Any]:
    """The inputs of several calls as one batch: tokens are padded on the left, pictures follow each other.

    Args:
        rows: Tensors by name for each call, each a batch of one.
        pad: Id of the token to pad with.
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
