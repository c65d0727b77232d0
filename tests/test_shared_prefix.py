"""Sharing a prompt among its branches is equal to repeating it: log-probabilities, every gradient, drawn tokens.

Tiny, random models of the real classes; prompts laid out by hand so that videos, stamps and words stand as the families
write them. The oracle is the model's own forward on the repeated prompt.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.errors import ModelError, SettingError

pytestmark = pytest.mark.torch

FAMILIES = ["qwen3_vl", "qwen2_5_vl"]
SECONDS = 2.5  # a step in time of the Qwen2.5-VL video: its positions reach past its sides


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(family: str, seed: int = 0, sharp: float = 4.0) -> Any:
    """A model; weights large enough that answers depend on what is shown."""
    import torch

    torch.manual_seed(seed)
    model, _ = tiny_models.FAMILIES[family]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(sharp)
    return model.train()


def words(n: int, seed: int) -> Any:
    import torch

    return torch.randint(0, 250, (n,), generator=torch.Generator().manual_seed(seed))


def shown(model: Any, frames: int, seed: int = 1, rows: int = 4, columns: int = 6, before: int = 5, after: int = 7) -> Any:
    """Words, a video as the family writes it, words."""
    import torch

    from whenwhere.training.group import Pictures, Tokens

    config, vision = model.config, model.config.vision_config
    start, end, pad = (torch.tensor([i]) for i in (config.vision_start_token_id, config.vision_end_token_id, config.video_token_id))
    frame = pad.repeat(rows * columns // vision.spatial_merge_size**2)
    ids = [words(before, seed)]
    if config.model_type == "qwen2_5_vl":
        ids += [start, frame.repeat(frames), end]
    else:
        for k in range(frames):
            ids += [words(3, 100 + seed + k), start, frame, end]
    ids.append(words(after, seed + 1))
    size = 3 * vision.temporal_patch_size * vision.patch_size**2
    patches = torch.randn(frames * rows * columns, size, generator=torch.Generator().manual_seed(seed))
    return Tokens(torch.cat(ids), videos=Pictures(torch.tensor([[frames, rows, columns]]), patches, seconds=[SECONDS]))


def ragged(model: Any, lengths: tuple[int, ...] = (9, 4, 1, 12), frames: int = 5) -> Any:
    from whenwhere.training.group import completions

    return completions(shown(model, frames), [words(n, 50 + k) for k, n in enumerate(lengths)])


def slopes(model: Any, group: Any, backend: Any, **how: Any) -> tuple[Any, dict[str, Any]]:
    """Log-probabilities and the gradient of every parameter, of a sum in which no two tokens weigh the same."""
    import torch

    from whenwhere.training.shared_prefix import scores
    from whenwhere.training.tower import Tower

    model.zero_grad()
    found = scores(Tower(model), group, backend, **how)
    weights = torch.linspace(-1, 2, found.logps.numel()).view_as(found.logps)
    (found.logps * weights).sum().backward()
    return found, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def same(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> None:
    assert (one[0].mask == other[0].mask).all()
    assert float((one[0].logps - other[0].logps).abs().max().detach()) < 2e-5
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        size = float(one[1][name].norm())
        assert float((one[1][name] - other[1][name]).norm()) <= 1e-4 * size + 1e-6, name


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_repeating_on_every_parameter(family: str, checkpointing: bool) -> None:
    model = made(family)
    group = ragged(model)
    if checkpointing:
        model.gradient_checkpointing_enable()
    oracle = slopes(model, group, "repeat")
    # every parameter takes part, the vision tower's and its mergers' too
    assert oracle[1].keys() == {n for n, _ in model.named_parameters()}
    assert all(float(g.norm()) > 0 for n, g in oracle[1].items() if "visual" in n and "bias" not in n)
    for backend in ("shared_prefix", "packed4d"):
        same(oracle, slopes(model, group, backend))
