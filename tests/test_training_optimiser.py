"""The optimiser gives every weight to exactly one of its parts, whichever kinds of weights the model has."""

import pytest

from whenwhere.training.optimiser import make_optimiser
from whenwhere.training.settings import TrainingSettings

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("optim", ["adamw", "muon"])
@pytest.mark.parametrize("kinds", ["matrices", "vectors", "both"])
def test_every_weight_is_updated_by_one_part(optim: str, kinds: str) -> None:
    """With LoRA and a frozen tower all weights are matrices, and none is left for AdamW."""
    import torch

    model = torch.nn.Linear(3, 2)
    model.weight.requires_grad = kinds != "vectors"
    model.bias.requires_grad = kinds != "matrices"
    optimiser = make_optimiser(model, TrainingSettings(optim=optim, max_steps=1))  # type: ignore[arg-type]
    taken = [id(p) for group in optimiser.param_groups for p in group["params"]]
    wanted = [p for p in model.parameters() if p.requires_grad]
    assert sorted(taken) == sorted(map(id, wanted))
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    changed = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert changed == [p.requires_grad for p in model.parameters()]
