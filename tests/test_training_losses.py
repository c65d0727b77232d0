"""Losses and advantages equal those of TRL 1.16's own trainer on fixed numbers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.errors import SettingError

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

LONGEST = 8


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's own trainer around a micro language model; its settings are changed from test to test."""
    import torch
    from datasets import Dataset
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    torch.manual_seed(0)
    words = tiny_models.tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    shape = {
        "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 128,
    }  # fmt: skip
    model = Qwen3ForCausalLM(Qwen3Config(**shape, pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4)  # far from a uniform distribution
    made = GRPOTrainer(
        model=model,
        reward_funcs=[lambda completions, **_: made.fixed[: len(completions)]],
        args=GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")), per_device_train_batch_size=8, num_generations=4,
            max_completion_length=LONGEST, report_to=[], save_strategy="no", use_cpu=True, bf16=False,
            gradient_checkpointing=False, disable_tqdm=True, entropy_coef=0.01,
        ),
        train_dataset=Dataset.from_list([{"prompt": "When? "}] * 8),
        processing_class=words,
    )  # fmt: skip
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def drawn(seed: int = 0) -> dict[str, Any]:
    """Completions of four lengths with advantages, in the form that TRL's trainer takes."""
    import torch

    torch.manual_seed(seed)
    lengths = [8, 3, 5, 1]
    mask = torch.arange(8)[None] < torch.tensor(lengths)[:, None]
    prompt = torch.randint(3, 250, (4, 5))
    return {
        "prompt_ids": prompt, "prompt_mask": torch.ones_like(prompt), "completion_ids": torch.randint(3, 250, (4, 8)),
        "completion_mask": mask.long(), "advantages": torch.tensor([1.2, -0.7, 0.4, -0.9]),
        "num_items_in_batch": mask.sum(),
    }  # fmt: skip


CASES = {
    "plain": {},
    "two updates": {"old": True},
    "clip-high": {"old": True, "epsilon_high": 0.6},
    "kl": {"old": True, "beta": 0.3},
    "original kl": {"old": True, "beta": 0.3, "corrected": False},
    "entropy": {"old": True, "entropy_coef": 0.05},
    "weights": {"old": True, "weights": True},
    "all": {"old": True, "epsilon_high": 0.4, "beta": 0.1, "entropy_coef": 0.02, "weights": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "gspo"])
def test_losses_and_gradients_are_those_of_trl(trainer: Any, name: str, case: str) -> None:
    import torch

    from whenwhere.training.rl.losses import LOSSES, ClipConfig, LossNormalizer

    how = CASES[case]
    inputs = drawn()
    mask = inputs["completion_mask"].bool()
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    seen = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    trainer.loss_type = "grpo" if name == "gspo" else name
    trainer.importance_sampling_level = "sequence" if name == "gspo" else "token"
    trainer.epsilon_low, trainer.epsilon_high = 0.2, how.get("epsilon_high", 0.2)
    trainer.beta, trainer.entropy_coef = how.get("beta", 0.0), how.get("entropy_coef", 0.0)
    trainer._entropy_bonus_enabled = trainer.entropy_coef != 0
    trainer.args.use_bias_correction_kl = how.get("corrected", True)
    trainer.use_vllm = "weights" in how
    trainer.vllm_importance_sampling_correction = True
    trainer._metrics["train"].clear()

    def looked() -> tuple[Any, Any]:
        logps, entropies, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, seen, 8, compute_entropy=True
        )
        return logps, entropies

    with torch.no_grad():
        now, _ = looked()
        noise = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(5))
    old = now + 0.3 * noise[0] if "old" in how else None
    reference = now + 0.5 * noise[1] if "beta" in how else None
    weights = (0.4 * noise[2]).exp().clamp(max=1.3) if "weights" in how else None
    for key, value in (
        ("old_per_token_logps", old), ("ref_per_token_logps", reference), ("importance_sampling_ratio", weights),
    ):  # fmt: skip
        if value is not None:
            inputs[key] = value

    trainer.model.zero_grad()
    wanted = trainer._compute_loss(trainer.model, inputs)
    wanted.backward()
    slopes = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None}
    logged = {k: float(np.mean(v)) for k, v in trainer._metrics["train"].items()}

    trainer.model.zero_grad()
    logps, entropies = looked()
    normalizer = LossNormalizer(4, float(mask.sum()), LONGEST)
    clip = ClipConfig(0.2, how.get("epsilon_high"), trainer.beta, trainer.entropy_coef, how.get("corrected", True))
    more = {"ref_logps": reference, "entropies": entropies, "weights": weights}
    found = LOSSES[name](logps, old, inputs["advantages"], mask, clip, normalizer, **more)
    found.value.backward()
    assert float(found.value.detach()) == pytest.approx(float(wanted.detach()), abs=1e-6)
    assert abs(float(wanted.detach())) > 1e-3 or case == "plain"
    for n, p in trainer.model.named_parameters():
        assert torch.allclose(p.grad, slopes[n], rtol=1e-5, atol=1e-5), n
    assert max(float(s.abs().max()) for s in slopes.values()) > 1e-3
    assert float(found.metrics["entropy"]) == pytest.approx(logged["entropy"], abs=1e-6)
    if "beta" in how:
        assert float(found.metrics["kl"]) == pytest.approx(logged["kl"], abs=1e-6)
    if name != "gspo":  # for gspo TRL counts completions, and we count their tokens
        for ours, theirs in (("clip_low", "low"), ("clip_high", "high")):
            assert float(found.metrics[ours]) == pytest.approx(logged[f"clip_ratio/{theirs}_mean"], abs=1e-6)

    # the losses of single groups, divided by the whole update's divisors, add up to the loss of the update
    with torch.no_grad():
        parts = [
            LOSSES[name](
                logps[r], None if old is None else old[r], inputs["advantages"][r], mask[r], clip, normalizer,
                **{k: None if v is None else v[r] for k, v in more.items()},
            ).value
            for r in (slice(0, 1), slice(1, 4))
        ]  # fmt: skip
    assert float(sum(parts)) == pytest.approx(float(found.value.detach()), abs=1e-6)


def test_the_ratio_is_clipped_where_it_should_be() -> None:
    import torch

    from whenwhere.training.rl.losses import ClipConfig, dapo, gspo

    old = torch.zeros(4, 2)
    ratio = torch.tensor([[1.5, 1.0], [0.5, 1.0], [1.5, 1.0], [0.5, 1.0]])
    logps = ratio.log().requires_grad_()
    good = torch.tensor([1.0, -1.0, -1.0, 1.0])
    mask = torch.ones(4, 2, dtype=torch.bool)
    loss = dapo(logps, old, good, mask, ClipConfig(0.2, 0.3))
    assert float(loss.value.detach()) == pytest.approx(-(1.3 - 0.8 - 1.5 + 0.5 + 1 - 1 - 1 + 1) / 8)
    assert float(loss.metrics["clip_high"]) == float(loss.metrics["clip_low"]) == 1 / 8
    loss.value.backward()
    assert (logps.grad[:2, 0] == 0).all() and (logps.grad[2:, 0] != 0).all()
    # gspo has one ratio for each completion; its geometric mean is inside the bounds, so nothing is clipped
    assert float(gspo(logps, old, good, mask, ClipConfig(0.3)).metrics["clip_high"]) == 0


def test_padding_never_counts_and_nothing_is_nothing() -> None:
    import torch

    from whenwhere.training.rl.losses import LOSSES, ClipConfig, LossNormalizer

    mask = torch.tensor([[True, False], [False, False]])
    logps = torch.tensor([[-1.0, -torch.inf], [torch.nan, -3.0]], requires_grad=True)
    old = torch.tensor([[-1.1, torch.nan], [-torch.inf, -1.0]])
    for name, loss in LOSSES.items():
        found = loss(
            logps, old, torch.tensor([1.0, 1.0]), mask, ClipConfig(beta=0.1), LossNormalizer(2, 1, 2), ref_logps=old
        )
        found.value.backward()
        assert torch.isfinite(found.value) and torch.isfinite(logps.grad).all(), name
        assert logps.grad[0, 0] != 0 and not logps.grad[~mask].any()
        logps.grad = None
        none = loss(logps, old, torch.tensor([1.0, 1.0]), mask & False, ClipConfig(), LossNormalizer(2, 0, 2))
        assert float(none.value.detach()) == 0


def test_truncated_weights() -> None:
    import torch

    from whenwhere.training.rl.losses import importance_weights

    ours = torch.tensor([[-1.0, -1.0, -5.0], [-2.0, -2.0, -2.0]])
    theirs = torch.tensor([[-2.0, -1.0, torch.nan], [-1.5, torch.nan, -2.0]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    e = np.e
    tokens = importance_weights(ours, theirs, mask, 2.0, "token")
    assert tokens.numpy() == pytest.approx(np.array([[2, 1, 1], [e**-0.5, 1, 1]]))
    whole = importance_weights(ours, theirs, mask, 10.0, "sequence")
    assert whole.numpy() == pytest.approx(np.array([[e], [e**-0.5]]))


def test_what_a_loss_lacks_is_said() -> None:
    import torch

    from whenwhere.training.rl.losses import ClipConfig, dr_grpo, grpo

    args = torch.zeros(1, 1), None, torch.ones(1), torch.ones(1, 1, dtype=torch.bool)
    for clip, word in ((ClipConfig(beta=0.1), "reference"), (ClipConfig(entropy_coef=0.1), "entropies")):
        with pytest.raises(SettingError, match=word):
            grpo(*args, clip)
    with pytest.raises(SettingError, match="longest"):
        dr_grpo(*args)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_those_of_trl(trainer: Any, scale: Any) -> None:
    from whenwhere.training.rl.advantages import advantages, zero_variance

    rewards = [[1.1, 0.1, 0.35, 0.6], [0.1, 0.1, 0.1, 0.1]]
    trainer.fixed = [r for group in rewards for r in group]
    trainer.scale_rewards = scale
    trainer.use_vllm, trainer.beta = False, 0.0
    trainer._metrics["train"].clear()
    wanted = trainer._generate_and_score_completions([{"prompt": "When? "}] * 4 + [{"prompt": "Where? "}] * 4)
    found = advantages(rewards, scale)
    assert found.ravel() == pytest.approx(wanted["advantages"].numpy(), abs=1e-6)
    assert np.abs(found).max() > 0.3
    if scale != "batch":
        assert trainer._metrics["train"]["frac_reward_zero_std"][-1] == zero_variance(rewards).mean() == 0.5


def test_what_groups_say() -> None:
    from whenwhere.training.rl.advantages import advantages, group_statistics, has_plateaued

    totals = np.array([[1.1, 0.6, 0.0], [0.1, 0.0, 0.1], [0.0, 0.0, 0.0], [1.1, 1.1, 1.1]])
    formats = np.array([[0.1, 0.1, 0.0], [0.1, 0.0, 0.1], [0.0, 0.0, 0.0], [0.1, 0.1, 0.1]])
    places = [[0.9, 0.9, np.nan], [0.2, np.nan, 0.8], [np.nan] * 3, None]
    found = group_statistics(totals, totals - formats, formats, places)
    assert found["reward"] == pytest.approx((1.0 + 0.5 + 3) / 12)
    assert found["zero_variance"] == 0.5 and found["all_wrong"] == found["all_right"] == 0.25
    assert found["silent_places"] == pytest.approx(1 / 3)  # in the second group only the format differs
    spread = totals - totals.mean(1, keepdims=True)
    centred = formats - formats.mean(1, keepdims=True)
    assert found["format_variance"] == pytest.approx((spread * centred).sum() / (spread**2).sum())
    assert 0 < found["format_variance"] < 0.2
    # where only the format varies, it has all of the variance and all of the advantage
    assert group_statistics(formats, formats * 0, formats, [None] * 4)["format_variance"] == pytest.approx(1)
    assert advantages(formats[1:2])[0] == pytest.approx(advantages(10 * formats[1:2])[0], rel=0.02)
    assert advantages([[0.3, 0.1]], "batch", [0.3, 0.1, 5.0])[0, 0] < 0.05
    noisy = np.random.default_rng(0).normal(0.5, 0.02, 40)
    assert has_plateaued(noisy.tolist(), noisy.tolist(), 20)
    assert not has_plateaued((noisy + np.linspace(0, 0.2, 40)).tolist(), noisy.tolist(), 20)
    assert not has_plateaued(noisy.tolist(), noisy.tolist(), 0) and not has_plateaued(
        noisy.tolist(), noisy.tolist(), 21
    )


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo", "dapo", "gspo", "rejection"])
def test_an_advantage_for_each_token_may_be_the_same_for_all_of_a_completion(kind: str) -> None:
    import torch

    from whenwhere.training.rl.losses import LOSSES, LossNormalizer

    torch.manual_seed(0)
    logps, mask = -torch.rand(3, 5), torch.rand(3, 5) < 0.7
    advantages, how = torch.randn(3), {"normalizer": LossNormalizer(3, 9, 5)}
    one = LOSSES[kind](logps, logps - 0.1, advantages, mask, **how).value  # type: ignore[index]
    each = LOSSES[kind](logps, logps - 0.1, advantages[:, None].expand(3, 5), mask, **how).value  # type: ignore[index]
    assert float(one) == pytest.approx(float(each), rel=1e-6) and float(one) != 0
