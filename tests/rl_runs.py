"""Short runs of RL on the micro policy of `tiny_policies`, and helpers to compare their results."""

from pathlib import Path
from typing import Any

from tiny_policies import Two, opened

from whenwhere.training.rl.settings import RLSettings
from whenwhere.verify import Verifier

BASE = RLSettings(
    max_steps=4, learning_rate=3e-3, lr_scheduler_type="constant", prompts_per_step=2, num_generations=6,
    max_completion_length=6, logging_steps=1, save_steps=100,
)  # fmt: skip
VERIFIER = Verifier({"t_iou": 1}, form="tokens")


def trained(taught: Path, folder: Path, settings: RLSettings = BASE, source: Any = None, **how: Any) -> Any:
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.rl.objective import RLObjective

    run = TrainingRun(folder, callbacks=[])
    verifier, sampler = how.pop("verifier", VERIFIER), how.pop("sampler", None)
    run.train(RLObjective(opened(taught, **how), source or Two(), verifier, settings, sampler))
    return run


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "checkpoint" / "model.safetensors")


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    import torch

    assert one.keys() == other.keys()
    return all(torch.equal(one[n], other[n]) for n in one)
