"""The optimiser, and its learning rate as a function of the update's number, so that no scheduler's state is kept.

Muon (orthogonalised momentum) takes the layers' matrices and AdamW the rest. It is for training from scratch: its steps
have the same size in every direction, so a rate that is too high drowns what is learned slowly.

AdamW with states of 8 bits is torchao's: each block of 256 numbers has a scale, and moments are worked on in full
precision. Its step is compiled, except on a CPU, which may have no compiler.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from whenwhere.errors import MissingExtraError
from whenwhere.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch


class CombinedOptimiser:
    """Several optimisers that are used like a single one.

    Args:
        parts: The optimisers, each with weights of its own.
    """

    def __init__(self, parts: "Sequence[torch.optim.Optimizer]") -> None:
        self.parts = tuple(parts)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of weights of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        """Updates the weights once, with every optimiser."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients.

        Args:
            set_to_none: Whether gradients are freed instead of set to 0.
        """
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave.

        Args:
            state: As `state_dict` gave it.
        """
        for part, own in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(own)


def make_optimiser(model: "torch.nn.Module", settings: TrainingSettings) -> "torch.optim.Optimizer | CombinedOptimiser":
    """The optimiser of a model's weights that require gradients; weight decay is on matrices only.

    Each group of weights has a `factor` that the learning rate is multiplied by.

    Args:
        model: The model.
        settings: The settings of the run.

    Raises:
        MissingExtraError: States of 8 bits are asked for and torchao is not installed.
    """
    import torch

    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    muon = settings.optim == "muon"
    # embeddings are tables, not maps from vectors to vectors
    matrices = [p for n, p in named if muon and p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    taken = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay, "factor": 1.0},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "factor": 1.0},
    ]
    groups = [group for group in groups if group["params"]]
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        parts.append(
            torch.optim.Muon(
                [{"params": matrices, "factor": settings.muon_factor}], lr=settings.learning_rate,
                weight_decay=settings.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw",
            )
        )  # fmt: skip
    # LoRA's weights are all matrices: none is left for AdamW, which refuses an empty list
    if groups or not matrices:
        betas = (0.9, settings.adam_beta2)
        if settings.optim == "adamw-8bit":
            parts.append(_eight_bit_adamw()(groups, lr=settings.learning_rate, betas=betas))
        else:
            parts.append(torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, fused=True))
    return parts[0] if len(parts) == 1 else CombinedOptimiser(parts)


@cache
def _eight_bit_adamw() -> Any:
    import torch

    from whenwhere.training.shards import local

    try:
        from torchao.optim import AdamW8bit
        from torchao.optim.subclass_8bit import OptimState8bit
    except ImportError as e:
        raise MissingExtraError("torchao", "eight-bit", "optim=adamw-8bit") from e

    class EightBitAdamW(AdamW8bit):  # type: ignore[misc, unused-ignore]
        """AdamW with states of 8 bits, whose rate may be set as a number and whose state is saved as plain tensors."""

        def step(self, closure: Any = None) -> Any:
            on_cpu = True
            for group in self.param_groups:
                on_cpu = on_cpu and all(w.device.type == "cpu" for w in group["params"])
                # a number would be compiled into the step as a constant
                group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32)
            with torch.compiler.set_stance("force_eager" if on_cpu else "default"):
                return super().step(closure)

        def state_dict(self) -> dict[str, Any]:
            found: dict[str, Any] = super().state_dict()
            found["param_groups"] = [{**group, "lr": float(group["lr"])} for group in found["param_groups"]]
            found["state"] = {
                number: {key: _plain(local(value)) for key, value in own.items()}
                for number, own in found["state"].items()
            }
            return found

        def load_state_dict(self, state: dict[str, Any]) -> None:
            own = {
                number: {key: _quantised(value) for key, value in one.items()} for number, one in state["state"].items()
            }
            super().load_state_dict({**state, "state": own})

    def _plain(value: Any) -> Any:
        if not isinstance(value, OptimState8bit):
            return value
        return {"codes": value.codes, "scale": value.scale, "signed": value.signed}

    def _quantised(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        shape, blocks = value["codes"].shape, value["scale"].numel()
        zeros = OptimState8bit.zeros(shape, value["signed"], value["codes"].numel() // blocks, dtype=torch.float32)
        return OptimState8bit(value["codes"], value["scale"], zeros.qmap, value["signed"], torch.float32)

    return EightBitAdamW


def rate_at(number: int, settings: TrainingSettings) -> float:
    """The learning rate of an update.

    Args:
        number: Number of the update, from 0.
        settings: The settings of the run.

    >>> from whenwhere.training.settings import TrainingSettings
    >>> how = TrainingSettings(learning_rate=1.0, lr_scheduler_type="linear", warmup_steps=2, max_steps=6)
    >>> [rate_at(n, how) for n in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    part = settings.rate_part(number)
    number -= part.first
    if number < part.warmup:
        return part.peak * (number + 1) / part.warmup
    done = (number - part.warmup) / max(part.end - part.first - part.warmup, 1)
    share = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    return part.peak * share[settings.lr_scheduler_type]
