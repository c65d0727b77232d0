"""TRL's own GRPOTrainer trains a tiny random language model with the adapter for two steps on the CPU."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.verify import Verifier
from whenwhere.verify.adapters import trl

pytestmark = pytest.mark.torch

TARGET = json.dumps({"spans": [[2, 4]], "duration": 9.0})


def test_grpo_trains_with_the_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
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
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    # What random bytes say is no answer: every completion is read as one that the test chooses, each other one right.
    reward = trl(Verifier({"t_iou": 1}, form="answer"))
    seen: list[dict] = []

    def answered(prompts, completions, target, **columns):
        texts = [f"<answer>2.0 to {4 + 4 * (k % 2)}.0</answer>" for k in range(len(completions))]
        assert all(isinstance(c, str) for c in completions)
        found = reward(prompts=prompts, completions=texts, target=target, **columns)
        raw = reward(prompts=prompts, completions=completions, target=target)
        seen.append({"found": found, "raw": raw, "step": columns["trainer_state"].global_step})
        return found

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[answered, reward],
        args=GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4,
            max_completion_length=8, learning_rate=0.1, logging_steps=1, report_to=[], save_strategy="no",
            use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True, seed=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": "When? ", "target": TARGET}] * 8),
        processing_class=words,
    )  # fmt: skip
    trainer.train()

    assert [s["step"] for s in seen] == [0, 1]
    third = 2 / 6 + 0.1
    assert seen[0]["found"] == pytest.approx([1.1, third, 1.1, third])
    assert seen[0]["raw"] == [0, 0, 0, 0]
    logs = [line for line in trainer.state.log_history if "rewards/whenwhere/mean" in line]
    assert len(logs) == 2
    assert logs[0]["rewards/answered/mean"] == pytest.approx((1.1 + third) / 2)
    assert logs[0]["rewards/whenwhere/mean"] == 0
    assert logs[0]["verify/t_iou"] >= 0
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters())
