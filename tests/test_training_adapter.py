"""LoRA adapters beside merged weights: PEFT reads them over the base model and computes the same."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policies import Two, blank_policy, opened
from training_child import SETTINGS

from whenwhere.models.backends.base import ModelCall

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("frozen", [True, False])
def test_an_adapter_over_its_base_is_the_merged_model(tmp_path: Path, frozen: bool) -> None:
    """Also where the vision tower is trained as a whole; a run without LoRA writes none."""
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForImageTextToText

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    base = blank_policy(tmp_path / "base")
    settings = replace(SETTINGS, max_steps=2, learning_rate=0.05, warmup_steps=0, freeze_vision_tower=frozen)
    policy = opened(base)
    folder = TrainingRun(tmp_path / "run", callbacks=[]).train(SFTObjective(policy, Two(), settings))
    config = PeftConfig.from_pretrained(str(folder / "adapter"))
    assert config.base_model_name_or_path == str(base) and config.r == 2 and config.inference_mode
    assert config.modules_to_save == (None if frozen else ["model.visual"])

    sample = Two().samples[0]
    call = opened(base).backend.prepare(ModelCall(sample.images, sample.times, "when red square"))

    def logits(model: torch.nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return model.eval()(**call).logits

    before = logits(AutoModelForImageTextToText.from_pretrained(str(base)))
    over = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(str(base)), str(folder / "adapter"))
    merged = logits(AutoModelForImageTextToText.from_pretrained(str(folder)))
    assert float((logits(over) - merged).abs().max()) < 1e-4 < 1e-2 < float((merged - before).abs().max())
    assert float((logits(over.merge_and_unload()) - merged).abs().max()) < 1e-4


def test_no_adapter_without_lora(tmp_path: Path) -> None:
    policy = opened(blank_policy(tmp_path / "base"))
    policy.prepare(replace(SETTINGS, lora_r=0))
    policy.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "adapter").exists()


def test_an_adapter_alone_is_a_checkpoint(tmp_path: Path) -> None:
    """`lora_merge=false`: every saved model is small, has a name, and computes what the merged one does."""
    from whenwhere.errors import ModelError, SettingError
    from whenwhere.models.vlm import Checkpoint
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    base = blank_policy(tmp_path / "base")
    settings = replace(SETTINGS, max_steps=2, save_steps=1, learning_rate=0.05, warmup_steps=0)
    for name, merge in (("merged", True), ("alone", False)):
        run = TrainingRun(tmp_path / name, callbacks=[])
        run.train(SFTObjective(opened(base), Two(), replace(settings, lora_merge=merge)))
        (tmp_path / name / "recipe.json").write_text("{}")
    folder = tmp_path / "alone" / "checkpoint"
    assert sorted(f.name for f in folder.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "whenwhere.json",
    ]  # fmt: skip
    for which in ("1", "2", "last"):
        one, two = (
            Checkpoint(f"{tmp_path / name}@{which}", device="cpu", offline=True) for name in ("merged", "alone")
        )
        assert two.is_adapter and not one.is_adapter and two.dialect == one.dialect
        weights, others = one.model.state_dict(), two.model.state_dict()
        assert weights.keys() == others.keys()
        assert max(float((weights[k] - others[k]).abs().max()) for k in weights) < 1e-5
    # it can be trained on, merged; an adapter for an adapter is refused
    more = opened(folder)
    with pytest.raises(SettingError, match="is an adapter, and one for it cannot be loaded: set lora_merge=true"):
        more.prepare(replace(settings, lora_merge=False))
    more.prepare(settings)
    for text, said in (("{}", "names no base_model"), ("[", "adapter_config.json"), ("[]", "names no base_model"),
                       ('{"base_model_name_or_path": "' + str(folder) + '"}', "is an adapter too")):  # fmt: skip
        (folder / "adapter_config.json").write_text(text)
        with pytest.raises(ModelError, match=said):
            Checkpoint(str(folder), device="cpu", offline=True)
