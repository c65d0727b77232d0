"""AdamW and its learning rate, as a function of the update's number: there is no scheduler whose state must be kept."""

import math
from typing import Any

from whenwhere.training.settings import Settings


def make_optimiser(model: Any, settings: Settings) -> Any:
    """AdamW over the weights that are trained; decay on matrices only.

    Args:
        model: whose weights.
        settings: of the run.
    """
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=settings.learning_rate, betas=(0.9, settings.adam_beta2), fused=True
    )


def rate_at(number: int, settings: Settings) -> float:
    """The learning rate of an update.

    Args:
        number: of the update, from 0.
        settings: of the run.

    >>> from whenwhere.training.settings import Settings
    >>> how = Settings(learning_rate=1.0, lr_scheduler_type="linear", warmup_steps=2, max_steps=6)
    >>> [rate_at(n, how) for n in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if number < settings.warmup_steps:
        return settings.learning_rate * (number + 1) / settings.warmup_steps
    done = (number - settings.warmup_steps) / max(settings.max_steps - settings.warmup_steps, 1)
    share = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 + 0.5 * math.cos(math.pi * done)}
    return settings.learning_rate * share[settings.lr_scheduler_type]
