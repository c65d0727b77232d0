"""Recipes: those of the package are whole, and what is wrong in one is said, with its place and the right word."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models
from tiny_policies import Told

from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import SettingError
from whenwhere.spans import Span, SpanSet
from whenwhere.stage.shapes.noise import Noise
from whenwhere.training.recipe import differences, load, packaged
from whenwhere.training.rl.settings import RLSettings
from whenwhere.tubes import Tube
from whenwhere.verify import Truth

REAL = {
    "sft": "qwen3_vl", "rl-temporal": "qwen3_vl", "rl-stvg": "qwen3_vl", "time-r1": "qwen2_5_vl",
    "timelens-sft": "qwen3_vl", "timelens": "qwen3_vl", "tvg-r1": "qwen2_5_vl", "stvg-o1": "qwen2_5_vl",
}  # fmt: skip
TINY = ("tiny-sft", "tiny-rl", "tiny-sft-continued")
ENCODERS = ("svilm-b16", "viclip-b16", "viclip-l14", "tiny-svilm", "tiny-viclip", "tiny-stills")


def test_the_package_has_them() -> None:
    assert {*REAL, *TINY, *ENCODERS} <= packaged().keys()


@pytest.mark.parametrize("name", packaged())
def test_packaged_recipe_is_whole(name: str) -> None:
    recipe = load(name)
    text = packaged()[name].read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 120
    said = [line.split(":")[0] for line in recipe.header.splitlines() if ":" in line]
    assert [key for key in said if key in ("Command", "Cost", "Expected", "Source")] == [
        "Command", "Cost", "Expected", "Source",
    ]  # fmt: skip
    assert recipe.headline and f"whenwhere train {name}" in recipe.header
    assert recipe.hash == load(str(packaged()[name])).hash
    assert load(name, ["train.seed=7"]).hash != recipe.hash
    assert load(name, ["logging_steps=77"]).hash == recipe.hash
    for preset in recipe.presets:
        load(name, preset=preset)
    if name in ENCODERS:
        return
    # a right answer can be written in the recipe's form, and gets nearly all there is
    tube = Tube(SpanSet([(2.0, 6.0)]), np.arange(2, 6.5, 0.5), np.tile([64.0, 48, 320, 240], (9, 1)), rate=2)
    truth = Truth(tube.spans, tube, duration=10, size=(640, 480), shown=(640, 480), fps=10)
    assert recipe.reward.verifier(recipe.model.form).ceiling(truth) > 0.97
    if recipe.model.prompt:
        asked = recipe.model.prompt.format(query="a dog", duration="10.0")
        assert "a dog" in asked and "{{" not in asked


def test_published_settings() -> None:
    """What the notes and the launch scripts say, so that a slip of the keyboard is seen."""
    recipe = load("time-r1")
    train = recipe.train
    assert isinstance(train, RLSettings)
    assert (train.num_generations, train.max_completion_length, train.beta, train.loss_type) == (8, 200, 0.04, "dapo")
    assert recipe.reward.weights == {"boundary_iou": 1.0} and recipe.reward.format_weight == 1
    assert recipe.model.total_pixels == 3584 * 28 * 28 and train.freeze_vision_tower
    assert (recipe.curriculum.mu, recipe.curriculum.sigma, recipe.curriculum.count) == (0.7, 0.2, 2500)
    assert 'pinpoint the event "{query}" in the video' in recipe.model.prompt
    recipe = load("timelens", preset="eight-cards")  # full weights; LoRA's rate is higher
    train = recipe.train
    assert isinstance(train, RLSettings)
    assert (train.scale_rewards, train.beta, train.learning_rate, train.max_steps) == ("none", 0, 1e-6, 100)
    assert recipe.model.total_pixels == 14336 * 32 * 32 and recipe.reward.format_weight == 0
    assert recipe.curriculum.corrected and len(recipe.curriculum.duration_edges) == 8
    recipe = load("tvg-r1", preset="eight-cards")
    assert recipe.reward.format_weight == pytest.approx(0.1 / 0.9, abs=1e-3) and not recipe.train.freeze_vision_tower


def test_the_tiny_recipes_live_in_one_world() -> None:
    """RL and its control must differ in nothing but the stage: the same clips, which SFT never saw."""
    first, rl, control = (load(name) for name in TINY)
    assert rl.data == control.data and rl.model == control.model
    assert rl.data.world == first.data.world
    assert rl.data.first_seed >= first.data.first_seed + first.data.count


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


GOOD = '[model]\ncheckpoint = "tiny"\nform = "tokens"\n[data]\ncount = 4\n[train]\nstage = "rl"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "lerning_rate = 1", "mine.toml [train] has no key 'lerning_rate' (did you mean learning_rate?"),
        (GOOD + "[modle]\n", "mine.toml has no table [modle] (did you mean model?"),
        (GOOD + "checkpoint = 'x'", "mine.toml [train] has no key 'checkpoint': it belongs in [model]"),
        (GOOD + "soft_targets = 1.0", "[train] has no key 'soft_targets' for stage = 'rl': it is one of 'sft'"),
        (GOOD + "learning_rate = 'fast'", "mine.toml [train] learning_rate is 'fast', not a number"),
        (GOOD + "max_steps = 1.5", "mine.toml [train] max_steps is 1.5, not a whole number"),
        (GOOD + "bf16 = 1", "mine.toml [train] bf16 is 1, not true or false"),
        (GOOD + "learning_rate = -1.0", "mine.toml [train] learning_rate is -1.0, and must not be negative"),
        (GOOD + "learning_rate = -1", "mine.toml [train] learning_rate is -1.0, and must not be negative"),
        (GOOD + "learning_rate = nan", "mine.toml [train] learning_rate is nan, not a finite number"),
        (GOOD + "loss_type = 'grop'", "mine.toml [train] loss_type is 'grop' (did you mean grpo?"),
        (GOOD + "[reward]\nweights = { t_iuo = 1.0 }", "mine.toml [reward]: there is no reward term 't_iuo'"),
        (GOOD + "[reward]\nweights = { recall = 1.0 }", "the whole video gets 1"),
        (GOOD + "[data.world]\nseconds = [4]", "mine.toml [data] world seconds has 1 values, not 2"),
        (GOOD + "[data.world]\nsplitt = 'val'", "mine.toml [data] world has no key 'splitt' (did you mean split?"),
        (GOOD + "[data.world]\nsplit = 'vall'", "mine.toml [data] world: there is no split 'vall'"),
        (GOOD + "[curriculum]\nschedule = 'masekd'", "[curriculum] schedule is 'masekd' (did you mean masked?"),
        (GOOD + "[curriculum]\nlow = 0.5\nhigh = 0.5", "mine.toml [curriculum]: low = 0.5 must lie below high = 0.5"),
        (GOOD.replace("tokens", "tokenz"), "mine.toml [model]: there is no form 'tokenz' (did you mean tokens?"),
        (GOOD.replace('checkpoint = "tiny"', ""), "mine.toml [model] needs checkpoint"),
        (GOOD.replace("rl", "grpo"), "[train] needs stage = 'sft' or stage = 'rl' or stage = 'pretrain', not 'grpo'"),
        (GOOD.replace("count = 4", "kind = 'charades'"), "mine.toml [data]: there is no data 'charades' (did you mean"),
        (GOOD + "[", "is not TOML"),
        (
            GOOD + "[[data.grow]]\nuntil = 0.5\nworld = {}\n[curriculum]\nlow = 0.1",
            "mine.toml: [data] grow and [curriculum] are both an order of clips",
        ),
        ("model = 3\n" + GOOD[GOOD.index("[data]") :], "mine.toml: model is a table, written [model]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        load(recipe_file(tmp_path, text))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("lerning_rate=1", "there is no key 'lerning_rate' in a recipe (did you mean learning_rate?"),
        ("train.lerning_rate=1", "did you mean train.learning_rate?"),
        ("count=3", "count is a key of more than one table: write curriculum.count or data.count"),
        ("learning_rate", "'learning_rate' changes nothing"),
        ("num_generations=1", "tiny-rl.toml [train]: num_generations is 1 and must be at least 2"),
        ("logging_steps=0", "tiny-rl.toml [train]: logging_steps is 0 and must be at least 1"),
        ("temperature=0", "tiny-rl.toml [train]: completions are drawn: temperature must be above 0"),
        ("world.noise.jitterr=0.2", "did you mean data.world.noise.jitter?"),
        ("learning_rate=fast", "[train] learning_rate is 'fast', not a number"),
        ("reward.weights.t_iuo=1", "there is no reward term 't_iuo'"),
    ],
)
def test_wrong_changes_are_said(change: str, said: str) -> None:
    with pytest.raises(SettingError) as error:
        load("tiny-rl", [change])
    assert said in str(error.value)


def test_changes() -> None:
    recipe = load(
        "tiny-rl",
        ["train.learning_rate=3e-4", "beta=0.04", "world.seconds=[4, 6]", "checkpoint=runs/a", "reward.weights.v_iou=0",
         "epsilon_high=none", "hidden=64", "data.count=9"],
    )  # fmt: skip
    assert isinstance(recipe.train, RLSettings)
    assert (recipe.train.learning_rate, recipe.train.beta, recipe.train.epsilon_high) == (3e-4, 0.04, None)
    assert recipe.data.world.seconds == (4, 6) and recipe.model.checkpoint == "runs/a" and recipe.data.count == 9
    assert recipe.reward.weights == {"t_iou": 0.5, "v_iou": 0.0} and recipe.model.sizes.hidden == 64
    noisy = load("tiny-rl", ["noise.jitter=0.35", "noise.duplicate=0.2"])
    assert noisy.data.world.noise == Noise(jitter=0.35, duplicate=0.2)
    plain = load("tiny-rl")
    assert differences(plain.resolved, load("tiny-rl", ["max_steps=9", "save_steps=1"]).resolved) == []
    assert differences(plain.resolved, load("tiny-rl", ["beta=0.5"]).resolved) == ["train.beta (was 0.0, is 0.5)"]
    # what is drawn ahead would be chosen by difficulties of a policy that is not there yet
    assert load("tiny-rl", ["schedule=rescored"]).train.dataloader_prefetch == 0


def test_no_such_recipe(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no recipe 'tiny-sfd' \(did you mean tiny-sft"):
        load("tiny-sfd")
    with pytest.raises(SettingError, match=r"there is no recipe at .*gone\.toml"):
        load(str(tmp_path / "gone.toml"))


def test_windows_and_budgets_of_real_videos(moving_clip: Path) -> None:
    """Time-R1's items may be windows of longer videos; published settings bound frames and pixels of all together."""
    from whenwhere.training.data.sources import ItemSource
    from whenwhere.training.run_folder import SampleError
    from whenwhere.video import probe, read_frames

    window = Span(2.0, 5.0)
    item = Item("a", str(moving_clip), "q", span_array([(0.5, 1.0)]), duration=3.0, window=window, offset=2.0)
    # a release may also count from the start of the whole video
    same = Item("d", str(moving_clip), "q", span_array([(2.5, 3.0)]), duration=6.0, window=window)
    other = Item("b", str(moving_clip), "q", span_array([(3.0, 6.0)]), duration=6.0)
    source = ItemSource([item, other], sample_fps=2)
    cut, whole = source[0], source[1]
    np.testing.assert_allclose(cut.times, np.arange(6) / 2, atol=1e-6)
    np.testing.assert_array_equal(cut.images, read_frames(probe(moving_clip), 2 + np.arange(6) / 2).images)
    assert ItemSource([same])[0].questions[0].truth.spans == cut.questions[0].truth.spans == SpanSet([(0.5, 1.0)])
    assert cut.questions[0].truth.duration == 3.0 and len(whole.times) == 12
    few = ItemSource([other], sample_fps=2, max_frames=4, total_pixels=9600)[0]
    np.testing.assert_allclose(few.times, [0, 1.5, 3.0, 4.5], atol=1e-6)
    assert few.images.shape[1:3] == (60, 80)  # 4800 pixels each, two frames being one step
    assert ItemSource([other], sample_fps=2, total_pixels=100, min_pixels=1200)[0].images.shape[1:3] == (30, 40)
    late = Item("c", str(moving_clip), "q", span_array([(0.5, 1.0)]), window=Span(20, 30), offset=20)
    with pytest.raises(SampleError, match="the window from 20 s begins after the end"):
        ItemSource([late])[0]


@pytest.fixture(scope="session")
def real_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny, random checkpoints of the real classes by family."""
    import torch

    made: dict[str, str] = {}

    def of(family: str) -> str:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            model, processor = tiny_models.FAMILIES[family]()
            model.save_pretrained(folder)
            processor.save_pretrained(folder)
            made[family] = str(folder)
        return made[family]

    return of


@pytest.fixture(scope="session")
def small_manifest(moving_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video, two sentences with boxes and difficulties."""
    items = []
    for k, (start, end) in enumerate([(1.0, 4.0), (3.0, 6.0)]):
        tube = Tube(SpanSet([(start, end)]), [start, end - 0.1], [[10.0, 60, 40, 84], [90, 60, 120, 84]])
        items.append(
            Item(
                f"q{k}", str(moving_clip), "the red thing moves", span_array([(start, end)]), [tube], duration=6.0,
                fps=10, difficulty=0.5, difficulty_of="t_iou of a base model",
            )
        )  # fmt: skip
    path = tmp_path_factory.mktemp("manifest") / "small.jsonl"
    manifest.write(items, path)
    return path


@pytest.mark.torch
@pytest.mark.parametrize("name", REAL)
def test_real_recipe_runs(name: str, real_checkpoints: Any, small_manifest: Path, tmp_path: Path) -> None:
    """All that the recipe says, but sizes: three updates in bf16 of a tiny random checkpoint of the real class."""
    import json

    from whenwhere.training.run import train

    changes = [
        "kind=manifest", f"annotations={small_manifest}", f"checkpoint={real_checkpoints(REAL[name])}", "max_steps=3",
        "max_frames=4", "min_duration=0", "min_pixels=0", "total_pixels=20000",
    ]  # fmt: skip
    rows = load(name).stage == "rl"
    small = ["num_generations=2", "prompts_per_step=2", "max_completion_length=3", "zero_variance=keep"]
    recipe = load(name, [*changes, *(small if rows else ["samples_per_step=1"])])
    result = train(recipe, tmp_path, callbacks=[Told(warning=pytest.fail)], device="cpu")
    assert result.checkpoint == tmp_path / "checkpoint" and result.steps == 3 and not result.skipped
    assert recipe.train.bf16
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["clips"] for line in metrics] == [1, 2, 3] and all(np.isfinite(line["loss"]) for line in metrics)
    assert metrics[0]["prompts" if rows else "sentences"] == 2
    about = json.loads((tmp_path / "checkpoint" / "whenwhere.json").read_text())
    assert (about["recipe_hash"], about["form"]) == (recipe.hash, recipe.model.form)


def test_a_new_setting_leaves_hashes_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING says: a field with metadata=ADDED; at its default the hash of every recipe stays."""
    from dataclasses import dataclass, field

    from whenwhere.training.rl.settings import RLSettings
    from whenwhere.training.rl.stage import STAGE
    from whenwhere.training.settings import ADDED

    before = load("tiny-rl").hash

    @dataclass(frozen=True, slots=True)
    class Wider(RLSettings):
        replay: int = field(default=0, metadata=ADDED)

    monkeypatch.setattr("whenwhere.training.rl.stage.STAGE", dataclasses.replace(STAGE, settings=Wider))
    recipe = load("tiny-rl")
    assert isinstance(recipe.train, Wider) and recipe.hash == before
    assert load("tiny-rl", ["replay=3"]).train.replay == 3 and load("tiny-rl", ["replay=3"]).hash != before


def test_the_evaluator_in_a_comment_can_be_used(tmp_path: Path) -> None:
    """What tiny-sft says to add is a table that a recipe can have; it changes no hash."""
    text = packaged()["tiny-sft"].read_text(encoding="utf-8")
    lines = text[text.index("# [[evaluators]]") : text.index("\n\n[model]")].splitlines()
    added = "\n".join(line.removeprefix("# ") for line in lines)
    recipe = load(recipe_file(tmp_path, f"{text}\n{added}\n"))
    (evaluator,) = recipe.evaluators
    assert evaluator.keep_best and evaluator.data.world.split == "val"  # type: ignore[attr-defined]
    assert recipe.hash == load("tiny-sft").hash
