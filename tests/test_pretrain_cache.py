"""The gradient cache: a batch in chunks learns what one big batch learns, alone and over several processes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import gradient_cache_child as child
from forked import TORCH, Forker

pytestmark = pytest.mark.torch


def equal(one, other) -> bool:
    import torch

    return all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(one["grads"], other["grads"], strict=True))


def test_chunks_are_one_big_batch() -> None:
    """Seven chunk sizes, the last of which needs no cache, against a loss of the whole batch by hand."""
    from whenwhere.training.processes import Processes

    by_hand = child.Noisy(noise=False)
    contrast, single = child.loss_of(by_hand, by_hand.clip(by_hand.x), by_hand.text(by_hand.y), lambda rows: rows)
    (contrast + single / sum(child.ROWS)).backward()
    whole = {"grads": [w.grad for w in by_hand.weights]}
    for chunk in (1, 2, 3, 4, 5, 7, 8):
        model = child.Noisy(noise=False)
        found = child.grads(model, model.x, model.y, chunk, Processes())
        assert found["loss"] == pytest.approx(contrast.item(), abs=1e-9)
        assert equal(found, whole), chunk


def test_the_second_pass_draws_the_same_random_numbers() -> None:
    """With random masks the gradients are those of chunks that keep their graph, and what is drawn next is the same."""
    import torch

    from whenwhere.training.processes import Processes

    model = child.Noisy()
    torch.manual_seed(5)
    found = child.grads(model, model.x, model.y, child.CHUNK, Processes())
    after = torch.rand(3)
    kept = child.Noisy()
    torch.manual_seed(5)
    parts = [kept.clip(part) for part in kept.x.split(child.CHUNK)]
    clips = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    contrast, single = child.loss_of(kept, clips, kept.text(kept.y), lambda rows: rows)
    (contrast + single / sum(child.ROWS)).backward()
    assert equal(found, {"grads": [w.grad for w in kept.weights]})
    assert torch.equal(torch.rand(3), after)
    # the masks matter: other ones give other gradients
    other = child.Noisy()
    torch.manual_seed(6)
    assert not equal(found, child.grads(other, other.x, other.y, child.CHUNK, Processes()))


def test_what_the_loss_does_not_use_costs_no_second_pass() -> None:
    import torch

    from whenwhere.training.pretrain.gradient_cache import GradientCache

    calls = []
    weight = torch.nn.Parameter(torch.ones(2))

    def compute() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"used": weight * 2, "unused": weight * 3}

    cache = GradientCache(torch.device("cpu"))
    cache.embed([compute, compute])
    cache.backward()
    assert len(calls) == 2 and weight.grad is None
    cache = GradientCache(torch.device("cpu"))
    cache.embed([compute, compute])["used"].sum().backward()
    cache.backward()
    assert len(calls) == 6 and weight.grad is not None and weight.grad.tolist() == [4, 4]


def test_two_processes_are_one(tmp_path: Path, forker: Forker) -> None:
    """Five rows here and three there, in chunks of two: the gradients of one process with all eight at once."""
    import torch

    from whenwhere.training.processes import Processes

    forker.run_together([child.__file__, str(tmp_path / "two.pt")], 2, imports=TORCH)
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    model = child.Noisy(noise=False)
    one = child.grads(model, model.x, model.y, sum(child.ROWS), Processes())
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-9) and equal(two, one)
