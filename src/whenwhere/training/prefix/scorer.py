"""Scores groups with a back end that is checked, on the first group, against repeating the prompt.

The check compares log-probabilities and two gradients. A back end that fails it is replaced by the next safer one,
with a warning, so that a new version of torch or transformers cannot change what is trained without notice.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from whenwhere.errors import ModelError
from whenwhere.training.prefix.group import PrefixGroup
from whenwhere.training.prefix.logprobs import EntropyMode, SoftTargets, TokenScores, score_tokens
from whenwhere.training.prefix.positions import MRoPERule
from whenwhere.training.prefix.shared_prefix import (
    PREFIX_BACKENDS,
    PrefixBackend,
    check_backend,
    pad_branches,
    refusal,
    score_branches,
    shared_prefix_many,
)
from whenwhere.training.prefix.vlm_parts import VLMParts

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class FallbackWarning(UserWarning):
    """A back end gave other results than repeating the prompt, and another one is used instead."""


class GroupScorer:
    """Scores groups with a back end that gave the same results as `repeat` on the first of them.

    Args:
        model: A model of a known family.
        backend: The name of the back end. None chooses the fastest one that suits the model.
        rule: Where M-RoPE positions continue after a video.
        temperature: Logits are divided by this.

    Attributes:
        parts: The model's parts.
        backend: The back end in use.
        reasons: Why other back ends were given up, in order.
        checked: Whether the back end was compared with `repeat`.

    Raises:
        ModelError: The back end that was asked for is wrong for the model.
        SettingError: There is no such back end.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        backend: PrefixBackend | None = None,
        rule: MRoPERule = "original",
        temperature: float = 1.0,
    ) -> None:
        if backend is not None:
            check_backend(backend)
        self.parts, self.temperature = VLMParts(model, rule), temperature
        if backend is not None and (reason := refusal(self.parts, backend)):
            raise ModelError(reason)
        self.backend: PrefixBackend = backend or ("fork" if self.parts.recurrent else "shared_prefix")
        self.reasons: list[str] = []
        self.checked = False

    def __call__(self, group: PrefixGroup, entropies: EntropyMode = False) -> TokenScores:
        """Scores of a group, shape (G, W); the first call checks the back end.

        Args:
            group: A prompt and G branches of at most W tokens.
            entropies: Whether entropies are computed too; "trained" with their gradient.
        """
        if not self.checked:
            self.check(group)
        return score_branches(self.parts, group, self.backend, self.temperature, entropies)

    def score_many(
        self, groups: Sequence[PrefixGroup], soft_targets: Sequence[SoftTargets] = (), entropies: EntropyMode = False
    ) -> list[TokenScores]:
        """Scores of several groups for one backward pass, by one forward pass where the back end can.

        Args:
            groups: The groups, at least one.
            soft_targets: Targets that replace the single right token; with them, `losses` is filled in.
            entropies: Whether entropies are computed too; "trained" with their gradient.

        Returns:
            For each group, scores of its own shape (G, W).
        """
        import torch

        if not self.checked:
            self.check(groups[0])
        parts = self.parts
        if self.backend == "shared_prefix":
            hidden = shared_prefix_many(parts, groups)
        else:
            hidden = [PREFIX_BACKENDS[self.backend](parts, group) for group in groups]
        padded = [pad_branches(parts, group)[:2] for group in groups]
        shapes = [mask.shape for _, mask in padded]
        # one matrix of logits for the rows of all groups
        ids, mask = (torch.cat([t.flatten() for t in column])[None] for column in zip(*padded, strict=True))
        states = torch.cat([h.flatten(0, 1) for h in hidden])[None]
        flat = score_tokens(states, parts.lm_head, ids, mask, self.temperature, entropies, soft_targets=soft_targets)
        sizes = [rows * width for rows, width in shapes]

        def split(whole: Tensor) -> list[Tensor]:
            return [part.view(shape) for part, shape in zip(whole[0].split(sizes), shapes, strict=True)]

        logps, masks = split(flat.logps), split(flat.mask)
        spread, losses = ([None] * len(sizes) if t is None else split(t) for t in (flat.entropies, flat.losses))
        return [TokenScores(*made) for made in zip(logps, spread, masks, losses, strict=True)]

    def check(self, group: PrefixGroup, gradients: bool = True) -> None:
        """Falls back from one back end to the next until one gives the same results as repeating the prompt.

        Args:
            group: The group whose scores are compared.
            gradients: Whether gradients are compared too.
        """
        import torch

        # two branches show whether siblings see each other, and keep the reference affordable
        small = PrefixGroup(group.prompt, group.branches[:2])
        while self.backend != "repeat":
            with torch.set_grad_enabled(gradients and torch.is_grad_enabled()):
                reason = self._fault(small)
            if reason is None:
                break
            following: PrefixBackend = "packed4d" if self.backend == "shared_prefix" else "repeat"
            self.reasons.append(f"{self.backend}: {reason}")
            warnings.warn(
                f"the back end {self.backend} is not used: {reason}; {following} is used instead, which costs more",
                FallbackWarning,
                stacklevel=3,
            )
            self.backend = following
        self.checked = True

    def _fault(self, group: PrefixGroup) -> str | None:
        """How the back end's results differ from repeating the prompt, as a sentence; None if they do not."""
        if reason := refusal(self.parts, self.backend):
            return reason
        try:
            wanted, wanted_grads = self._probe(group, "repeat")
        except RuntimeError as e:
            if "use_reentrant" not in str(e):
                raise
            raise ModelError(
                "back ends cannot be checked under reentrant gradient checkpointing: set use_reentrant to False"
            ) from e
        try:
            found, grads = self._probe(group, self.backend)
        except (RuntimeError, TypeError, ValueError, ModelError) as e:
            return f"it fails ({type(e).__name__}: {' '.join(str(e).split())[:200]})"
        exact = self.parts.lm_head.weight.dtype.itemsize >= 4 and not _autocast_enabled()
        error = float((found - wanted).abs().sum()) / max(sum(b.scored_count for b in group.branches), 1)
        if not error <= (1e-4 if exact else 0.05):
            return f"log-probabilities are off by {error:.3g} on average"
        for name in wanted_grads:
            size = float(wanted_grads[name].norm())
            gap = float((grads[name] - wanted_grads[name]).norm()) / max(size, 1e-12)
            if size > 1e-9 and not gap <= (1e-3 if exact else 0.1):
                return f"the gradient of {name} is off by {100 * gap:.3g} %"
        return None

    def _probe(self, group: PrefixGroup, backend: PrefixBackend) -> tuple[Tensor, dict[str, Tensor]]:
        """Log-probabilities (G, W), and gradients of the first and the last trained weight.

        The first weight has the longest way back and the last weight the shortest.
        """
        import torch

        trained = [(n, p) for n, p in self.parts.model.named_parameters() if p.requires_grad and p.ndim > 1]
        ends = dict(trained[:1] + trained[-1:]) if torch.is_grad_enabled() else {}
        device = self.parts.device
        # LoRA's dropout draws other masks for every back end, and must not move the run's own random numbers
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _no_dropout(self.parts.model):
            scores = score_branches(self.parts, group, backend, self.temperature)
            grads: tuple[Tensor | None, ...] = ()
            if ends:
                # branches weigh differently, or errors that swap them would cancel
                weights = torch.arange(1, len(scores.logps) + 1, device=scores.logps.device)[:, None]
                grads = torch.autograd.grad(
                    (scores.logps * weights).sum() / scores.mask.sum(), list(ends.values()), allow_unused=True
                )
        whole = [torch.zeros_like(p) if g is None else g for g, p in zip(grads, ends.values(), strict=True)]
        return scores.logps.detach(), dict(zip(ends, whole, strict=True))


@contextmanager
def _no_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Turns off the dropout layers of a model."""
    import torch

    layers = [m for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.training]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


def _autocast_enabled() -> bool:
    """Whether computation runs in half precision, whatever the weights are stored in."""
    import torch

    return any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))
