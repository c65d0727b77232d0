"""What an update costs, counted and not measured: so that runs on different machines, and SFT and RL, can be compared.

A product of matrices counts 2 FLOPs an entry and row; backward twice its forward, and forward once more where layers
are computed again. Counted: the layers of both towers, attention over what each token sees, and logits of tokens that
need them. Not counted: norms, activations, the optimiser, and that only some experts of a mixture work. A recurrent
layer counts as its matrices plus attention, which is more than it does.

`repeat` beside it: what trainers pay that compute the prompt anew for every completion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whenwhere.training.prefix.group import Tokens
from whenwhere.training.prefix.vlm_parts import Tower


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of a group.

    Attributes:
        shared: with the prompt computed once.
        repeat: with the prompt computed once for each branch.
    """

    shared: float = 0.0
    repeat: float = 0.0

    def __add__(self, other: "Flops") -> "Flops":
        """The sum of both."""
        return Flops(self.shared + other.shared, self.repeat + other.repeat)

    def __mul__(self, factor: float) -> "Flops":
        """So many times as much."""
        return Flops(self.shared * factor, self.repeat * factor)


class Counter:
    """Counts the FLOPs of a model.

    Args:
        tower: of the model.
    """

    def __init__(self, tower: Tower) -> None:
        text, vision = tower.settings, tower.config.vision_config
        self._text = 2.0 * sum(p.numel() for p in tower.text.layers.parameters() if p.ndim > 1)
        self._head = 2.0 * tower.head.weight.numel()
        size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        self._seen = 4.0 * text.num_hidden_layers * text.num_attention_heads * size
        visual = tower.inner.visual
        # mergers see one row where the layers see merge² patches
        fewer = vision.spatial_merge_size**2
        self._vision = 2.0 * sum(
            p.numel() / (fewer if "merger" in name else 1)
            for name, p in visual.named_parameters()
            if p.ndim > 1 and "pos_embed" not in name
        )
        self._looked = 4.0 * vision.depth * vision.hidden_size
        self._trained = any(p.requires_grad for p in visual.parameters())
        self._again = tower.checkpointed

    def pictures(self, tokens: Tokens) -> float:
        """The vision tower's forward; nothing where features are given."""
        total = 0.0
        for part in (tokens.images, tokens.videos):
            if part is not None and part.features is None:
                for frames, rows, columns in part.grids.tolist():
                    patches = rows * columns
                    total += frames * patches * (self._vision + self._looked * patches)
        return total

    def _run(self, tokens: float, behind: float) -> float:
        """The text tower's forward of a run of tokens that see each other and all before them."""
        return tokens * self._text + self._seen * (tokens * behind + tokens * (tokens + 1) / 2)

    def forward(self, prompt: Tokens, branches: Sequence[int], scored: int) -> Flops:
        """One forward of a group.

        Args:
            prompt: with its pictures.
            branches: tokens of each.
            scored: tokens whose logits are made.
        """
        ahead, head = len(prompt.ids), scored * self._head
        first = self.pictures(prompt) + self._run(ahead, 0)
        rest = sum(self._run(n, ahead) for n in branches)
        return Flops(first + rest + head, len(branches) * first + rest + head)

    def training(self, prompt: Tokens, branches: Sequence[int], scored: int) -> Flops:
        """Forward and backward of a group; see `forward`."""
        whole = self.forward(prompt, branches, scored) * (4.0 if self._again else 3.0)
        if not self._trained:
            spared = (3.0 if self._again else 2.0) * self.pictures(prompt)
            whole = Flops(whole.shared - spared, whole.repeat - len(branches) * spared)
        return whole


def tokens_of(branches: Sequence[Any]) -> list[int]:
    """Tokens of each branch."""
    return [len(branch.ids) for branch in branches]
