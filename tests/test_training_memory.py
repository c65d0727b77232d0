"""Memory of an update: planned before it runs, beside what its tensors really take; what cannot fit is refused."""

import json
import sys
import weakref
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models

from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.training.loop import TrainingRun
from whenwhere.training.machine import GIB, Machine, find_machine
from whenwhere.training.optimiser import make_optimiser
from whenwhere.training.prefix.memory import MemoryEstimate, check_fits
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.recipe import load, packaged
from whenwhere.training.rl.settings import RLSettings
from whenwhere.training.run import train
from whenwhere.training.settings import TrainingSettings
from whenwhere.training.sft.settings import SFTSettings
from whenwhere.training.stages import Recipe, find_stage

SMALL = [
    "checkpoint=tiny-new", "form=tokens", "sizes.hidden=128", "sizes.layers=3", "sizes.vision_hidden=64",
    "sizes.vision_layers=2", "data.count=1", "max_steps=2",
]  # fmt: skip
SFT = [*SMALL, "world.seconds=[4, 4]", "samples_per_step=2", "grow=[]"]
REAL = sorted(n for n in packaged() if not n.startswith("tiny") and isinstance(load(n).train, PolicySettings))


def planned(recipe: Recipe, machine: Machine | None = None) -> MemoryEstimate:
    estimate = find_stage(recipe.stage).estimate
    assert estimate is not None
    memory = estimate(recipe, lambda text: None, machine or find_machine("cpu"))["memory"]
    assert isinstance(memory, MemoryEstimate), memory
    return memory


def taken(recipe: Recipe, folder: Path) -> float:
    """The most bytes that tensors held during the second update."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Tensors(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.now, self.peak, self.alive = 0, 0, dict[int, Any]()

        def add(self, tensor: torch.Tensor) -> None:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self.alive:
                self.now += size
                self.peak = max(self.peak, self.now)
                self.alive[key] = weakref.ref(storage, lambda _: self.drop(key, size))

        def drop(self, key: int, size: int) -> None:
            del self.alive[key]
            self.now -= size

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor):
                    self.add(tensor)
            return out

    objective = find_stage(recipe.stage).build(recipe, TrainingRun(folder), "cpu")
    objective.prepare()
    optimiser = make_optimiser(objective.module, recipe.train)
    tensors = Tensors()
    for weight in objective.module.parameters():
        tensors.add(weight)
    for number in range(2):
        tensors.peak = tensors.now
        with tensors:
            objective.step(number, TrainingRun(folder))
            optimiser.step()
        optimiser.zero_grad()
    objective.close()
    return float(tensors.peak)


@pytest.mark.torch
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("more", [[], ["gradient_checkpointing=true", "freeze_vision_tower=true", "lora_r=4"]])
def test_the_plan_is_what_an_update_takes(more: list[str], tmp_path: Path) -> None:
    recipe = load("tiny-sft", [*SFT, *more])
    memory = planned(recipe)
    assert memory.total == pytest.approx(taken(recipe, tmp_path), rel=0.15)
    assert memory.peak == "learning" and memory.phases["learning"]["activations"] > 0


@pytest.mark.torch
@pytest.mark.usefixtures("one_thread")
def test_layers_with_a_recurrent_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Qwen3.5 is planned too; a long prompt by two short ones, on an accelerator only without kernels of its own."""
    from whenwhere.errors import ModelError
    from whenwhere.training.prefix import footprint
    from whenwhere.training.prefix.vlm_parts import VLMParts

    folder = tiny_models.save("qwen3_5", tmp_path)
    own = [f"checkpoint={folder}", "form=second-level", "prompt={query}", "backend=fork"]
    recipe = load("tiny-sft", [*own, "data.count=1", "max_steps=2", "world.seconds=[2, 2]", "samples_per_step=1",
                               "grow=[]", "freeze_vision_tower=true", "lora_r=4"])  # fmt: skip
    memory = planned(recipe)
    assert memory.total == pytest.approx(taken(recipe, tmp_path / "run"), rel=0.15)
    assert not memory.remedies
    parts = VLMParts(tiny_models.qwen3_5()[0].to("meta").train())
    planner, shape = footprint.PassPlanner(parts, True, True), footprint.PassShape(320, (20, 30), 50, 1, 5, 64)
    direct = planner.prefill(shape)
    monkeypatch.setattr(footprint, "SHORT", (64, 128))
    extended = planner.prefill(shape)
    for moment in ("forward", "kept"):
        wanted, found = (sum(getattr(one, moment).values()) for one in (direct, extended))
        assert found == pytest.approx(wanted, rel=0.05)
    monkeypatch.setattr(footprint, "find_spec", lambda name: name == "fla")
    footprint.PassPlanner(parts, True, False)
    with pytest.raises(ModelError, match="not planned where flash-linear-attention computes them"):
        footprint.PassPlanner(parts, True, True)


@pytest.mark.torch
def test_phases_of_rl_and_what_an_accelerator_changes() -> None:
    small = [*SMALL, "world.seconds=[4, 4]", "prompts_per_step=2", "num_generations=2", "max_completion_length=6"]
    recipe = load("tiny-rl", [*small, "beta=0.1", "bf16=true"])
    memory = planned(recipe, find_machine(None, 1, 0.01))
    assert memory.phases["sampling"]["cache"] > 0
    # beside the weights in fp32: the reference, and weights cast to bf16 by autocast
    weights = memory.phases["optimiser"]["optimiser"] / 2
    assert memory.phases["optimiser"]["weights"] == pytest.approx(2 * weights)
    assert memory.phases["learning"]["weights"] > 2.1 * weights
    shown = memory.as_dict(find_machine(None, 1, 0.01))
    assert shown["planned_for"] == "accelerator" and shown["total_gib"] > shown["device_gib"]
    json.dumps(shown)


def estimate_of(weights: float, gradients: float, optimiser: float, activations: float) -> MemoryEstimate:
    parts = {"weights": weights, "gradients": gradients, "optimiser": optimiser, "activations": activations}
    return MemoryEstimate({"learning": {name: value * GIB for name, value in parts.items()}, "frames": {}})


CARD = Machine(None, True, 80 * GIB, 1)


@pytest.mark.parametrize(
    ("settings", "needs", "said"),
    [
        (
            SFTSettings(),
            (33, 33, 65, 40),
            "mine does not fit: learning takes 171.0 GiB on each device, which has 80.0 GiB; set "
            "gradient_checkpointing=true, or lora_r=16 with freeze_vision_tower=true, or optim=adamw-8bit, or "
            "sharding=fsdp on 8 devices (accelerate launch --num_processes 8), or smaller total_pixels, max_frames or "
            "pack_tokens",
        ),
        (
            RLSettings(gradient_checkpointing=True, lora_r=8, optim="adamw-8bit"),
            (60, 0, 0, 30),
            "set sharding=fsdp on 2 devices (accelerate launch --num_processes 2), or smaller total_pixels",
        ),
        # already divided among too few
        (
            RLSettings(gradient_checkpointing=True, lora_r=8, optim="adamw-8bit", sharding="fsdp"),
            (60, 0, 0, 30),
            "set sharding=fsdp on 8 devices",
        ),
        # what is not shared is too much
        (RLSettings(gradient_checkpointing=True, lora_r=8, optim="adamw-8bit"), (1, 0, 0, 90), "set smaller total_pi"),
    ],
)
def test_what_does_not_fit_is_refused(settings: Any, needs: tuple[float, ...], said: str) -> None:
    with pytest.raises(SettingError) as error:
        check_fits(estimate_of(*needs), settings, replace(CARD, processes=4), "mine")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_fits_or_cannot_be_known_is_not_refused() -> None:
    check_fits(estimate_of(10, 10, 20, 30), SFTSettings(), CARD, "mine")
    large = replace(estimate_of(60, 0, 0, 30), remedies=("install flash-linear-attention",))
    with pytest.raises(SettingError, match="or smaller total_pixels, max_frames or pack_tokens, or install flash-li"):
        check_fits(large, SFTSettings(), CARD, "mine")
    check_fits(estimate_of(1000, 0, 0, 0), SFTSettings(), replace(CARD, memory=None), "mine")


@pytest.mark.torch
def test_training_is_refused_before_weights_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"tiny-sft does not fit: learning takes .* which has 0.0 GiB; set gradient"):
        train("tiny-sft", tmp_path / "run", SFT, device_memory=0.001)
    assert not list((tmp_path / "run").rglob("*.safetensors"))


def test_a_machine_to_plan_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_machine("cpu") == Machine("cpu")
    assert find_machine(None, None, 80, planned=8) == Machine(None, True, 80 * GIB, 8)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert find_machine("cpu", planned=8).processes == 2 and find_machine("cpu", 4).processes == 4
    for wrong in ({"processes": 0}, {"device_memory": 0.0}, {"device_memory": float("nan")}):
        with pytest.raises(SettingError):
            find_machine("cpu", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", REAL)
def test_real_recipes_are_for_one_card_and_for_eight(name: str) -> None:
    one, eight = load(name), load(name, preset="eight-cards")
    assert one.train.lora_r and one.train.freeze_vision_tower and one.train.sharding == "none" and one.processes == 1
    assert not eight.train.lora_r and eight.train.sharding == "fsdp" and eight.processes == 8
    assert one.hash != eight.hash and one.presets == eight.presets == ("eight-cards",)
    # no copy of the policy is sharded
    assert not getattr(eight.train, "beta", 0)
    each = "samples_per_step" if one.stage == "sft" else "prompts_per_step"
    updates = [r.train.max_steps * getattr(r.train, each) * r.processes for r in (one, eight)]
    assert updates[0] == pytest.approx(updates[1], rel=1e-3)
    assert "Memory:" in one.header and f"train {name} --preset eight-cards" in one.header
    # overrides come after the preset
    assert load(name, ["lora_r=4"], preset="eight-cards").train.lora_r == 4


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(
        '[model]\ncheckpoint = "tiny"\nform = "tokens"\n[data]\ncount = 4\n[train]\nstage = "sft"\n' + text,
        encoding="utf-8",
    )
    return str(path)


@pytest.mark.parametrize(
    ("text", "preset", "said"),
    [
        ("", "eight-cards", "mine.toml has no preset 'eight-cards'; it has none"),
        ("[presets.two]\nprocesses = 2", "too", "mine.toml has no preset 'too' (the names are two)"),
        ("[presets.two]\nprocesses = 0", "two", "[presets.two] processes is 0, not a whole number above 0"),
        ("[presets.two]\nlora_r = 4", "two", "[presets.two] lora_r is a table, written [presets.two.lora_r]"),
        ("[presets.two.train]\nlora = 4", "two", "mine.toml [train] has no key 'lora'"),
        ("[presets.two.trian]\nlora_r = 4", "two", "mine.toml has no table [trian] (did you mean train?"),
        ("[presets]\ntwo = 3", "two", "mine.toml: presets are tables, written [presets.NAME]"),
    ],
)
def test_wrong_presets_are_said(text: str, preset: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        load(recipe_file(tmp_path, text), preset=preset)
    assert said in str(error.value)


@pytest.mark.torch
def test_states_of_8_bits_need_torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from whenwhere.training import optimiser

    optimiser._eight_bit_adamw.cache_clear()
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(MissingExtraError, match=r"torchao.*eight-bit"):
        make_optimiser(torch.nn.Linear(2, 2), TrainingSettings(optim="adamw-8bit"))


@pytest.mark.torch
@pytest.mark.usefixtures("one_thread")
def test_states_of_8_bits_resume_bit_by_bit(tmp_path: Path) -> None:
    """Through a file, as a run's state is; a weight of less than 4096 numbers has states of full precision."""
    import torch

    if find_spec("torchao") is None:
        # every process that loads a model would import it, for seconds
        pytest.skip("gpu: torchao, which is for accelerators, is not installed")
    settings = TrainingSettings(optim="adamw-8bit", learning_rate=1e-2)

    def start() -> tuple[Any, Any]:
        torch.manual_seed(0)
        model = torch.nn.Linear(128, 64)
        return model, make_optimiser(model, settings)

    def updates(model: Any, optimiser: Any, first: int, last: int) -> None:
        for number in range(first, last):
            torch.manual_seed(number)
            (model(torch.randn(8, 128)) ** 2).mean().backward()
            for group in optimiser.param_groups:
                group["lr"] = 1e-2 / (number + 1)
            optimiser.step()
            optimiser.zero_grad()

    whole = start()
    updates(*whole, 0, 4)
    half = start()
    updates(*half, 0, 2)
    state = half[1].state_dict()
    assert {value["codes"].dtype for value in state["state"][0].values() if isinstance(value, dict)} == {torch.uint8}
    torch.save({"model": half[0].state_dict(), "optimiser": state}, tmp_path / "state.pt")
    again = start()
    kept = torch.load(tmp_path / "state.pt", weights_only=True)
    again[0].load_state_dict(kept["model"])
    again[1].load_state_dict(kept["optimiser"])
    updates(*again, 2, 4)
    for one, other in zip(whole[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(one, other)
