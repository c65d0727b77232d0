"""Weights in shards: two processes learn what one learns, a run resumes to the same weights, refusals are clear."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import sharding_child
import tiny_policies
from forked import TORCH, Forker

from whenwhere.errors import SettingError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def micro(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policies.build(tmp_path_factory.mktemp("micro") / "policy", steps=25)


def test_two_processes_learn_what_one_learns(micro: Path, tmp_path: Path, forker: Forker) -> None:
    """Real processes; `benchmarks/sharding.py` does it at length, with kill -9."""
    import sharding
    from safetensors.torch import load_file

    from whenwhere.models.vlm import Checkpoint

    changes = [f"model.checkpoint={micro}", "model.prompt=when {query}", "data.world.seconds=[2, 3]", "save_steps=1"]
    forker.run_together([sharding_child.__file__, str(tmp_path), *changes], 2, imports=(*TORCH, "peft"))
    for case in sharding_child.CASES:
        sharding.train(case, tmp_path / case / "one", [*changes, "max_steps=2"])
        one, two, halved = (tmp_path / case / name for name in ("one", "two", "halved"))
        assert sharding.losses(two) == pytest.approx(sharding.losses(one), abs=1e-5)
        assert sharding.losses(halved) == sharding.losses(two)
        # rewards that are all the same would teach nothing
        assert min(sharding.losses(two, "grad_norm")) > 0
        alone, shared = (sharding.weights(folder / "checkpoint") for folder in (one, two))
        assert alone.keys() == shared.keys()
        assert max(float((alone[name] - shared[name]).abs().max()) for name in alone) < 1e-4
        adapters = [folder / "checkpoint" / "adapter" / "adapter_model.safetensors" for folder in (one, two)]
        assert [file.exists() for file in adapters] == ["lora" in case] * 2
        if "lora" in case:
            matrices, gathered = map(load_file, adapters)
            assert max(float((matrices[name] - gathered[name]).abs().max()) for name in matrices) < 1e-4
            # the resumed run wrote its model as an adapter alone
            assert not (halved / "checkpoint" / "model.safetensors").exists()
            resumed = load_file(halved / "checkpoint" / "adapter_model.safetensors")
            assert all(bool((gathered[name] == resumed[name]).all()) for name in gathered)
            over = Checkpoint(str(halved / "checkpoint"), device="cpu", offline=True).model.state_dict()
            assert max(float((shared[name] - over[name]).abs().max()) for name in shared) < 1e-6
        else:
            resumed = sharding.weights(halved / "checkpoint")
            assert all(bool((shared[name] == resumed[name]).all()) for name in shared)
        # the evaluator measured the same model, and all shards of the best one were written
        assert sharding.weights(two / "best").keys() == shared.keys()
        # the last state and the one before it, each in two shards
        assert len(list((two / "state").glob("shard-*.pt"))) == 4


def test_what_cannot_be_sharded_is_refused(micro: Path, tmp_path: Path) -> None:
    from whenwhere.training.run import train

    changes = [f"checkpoint={micro}", "prompt=when {query}", "max_steps=1", "sharding=fsdp"]
    with pytest.raises(SettingError, match="sharding needs several processes: start the command with `accelerate"):
        train("tiny-sft-continued", tmp_path / "alone", changes, device="cpu")
    with pytest.raises(SettingError, match="muon orthogonalises whole matrices"):
        train("tiny-sft-continued", tmp_path / "muon", [*changes, "optim=muon"], device="cpu")
    with pytest.raises(SettingError, match="beta needs a copy of the policy as it began, which is not sharded"):
        train("tiny-rl", tmp_path / "beta", [*changes, "beta=0.1"], device="cpu")
    with pytest.raises(SettingError, match="only the output head `text` can be sharded"):
        train("tiny-sft-continued", tmp_path / "head", [*changes, "head=start-end"], device="cpu")


def test_an_objective_that_cannot_be_sharded_says_so(tmp_path: Path) -> None:
    """The ten-line regression has no layers to divide."""
    from regression_stage import LineSettings, Regression

    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.settings import TrainingSettings

    with pytest.raises(SettingError, match="what this recipe trains cannot be sharded: set sharding=none"):
        TrainingRun(tmp_path).train(Regression(LineSettings(), TrainingSettings(sharding="fsdp")))
