"""Several sets mixed by weight, and runs whose length is a number of passes over the data."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import regression_stage
from test_training_evaluators import RECIPE

from whenwhere.errors import RecordError, SettingError
from whenwhere.training.builders import open_source
from whenwhere.training.data.mix import BLOCK, MixedSource, quotas, source_counts
from whenwhere.training.data.samples import Sample, question_count, sample_at
from whenwhere.training.recipe import load
from whenwhere.training.run import train

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

MIX = """
[[data.mix]]
name = "easy"
kind = "shapes"
count = 3
weight = 3
world = { seconds = [4, 4] }
[[data.mix]]
name = "hard"
kind = "shapes"
count = 50
first_seed = 100
world = { seconds = [5, 5] }
"""
ONE = RECIPE[: RECIPE.index("[data]")] + RECIPE[RECIPE.index("[train]") :]


class Numbers:
    """A source whose samples have numbers for names."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        assert 0 <= index < self.size
        return Sample(f"{self.name}{index}", np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), ())


def mixed(*weights: float, sizes: tuple[int, ...] = ()) -> MixedSource:
    names = "abcdefgh"[: len(weights)]
    return MixedSource({n: Numbers(n, s) for n, s in zip(names, sizes or [7] * len(names), strict=True)}, weights)


# the order of a mix


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.integers(1, 3 * BLOCK), st.integers(0, 2**31), st.data()
)
def test_shares_hold_in_every_run(weights: list[float], length: int, seed: int, data: Any) -> None:
    """Each source has its share of any number of positions to a few samples, and is read epoch by epoch."""
    sizes = tuple(data.draw(st.integers(1, 40)) for _ in weights)
    source = mixed(*weights, sizes=sizes)
    found = [sample_at(source, position, 0.0, seed) for position in range(length)]
    counts = Counter(sample.source for sample in found)
    for k, name in enumerate(source.names):
        share = quotas(tuple(weights))[k] / BLOCK
        assert abs(counts[name] - share * length) <= 2 + 2 * len(weights)
        read = [sample.id for sample in found if sample.source == name]
        for epoch in range(0, len(read) - sizes[k] + 1, sizes[k]):
            assert len(set(read[epoch : epoch + sizes[k]])) == sizes[k]
    assert source_counts(source, found) == {f"clips/{name}": counts[name] for name in source.names}


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=20))
def test_quotas_add_up(weights: list[float]) -> None:
    found = quotas(tuple(weights))
    assert sum(found) == BLOCK and min(found) >= 1
    ordered = [quota for _, quota in sorted(zip(weights, found, strict=True))]
    assert ordered == sorted(ordered)


def test_the_order_follows_from_position_and_seed() -> None:
    one, two = mixed(2, 1), mixed(2, 1)
    whole = [sample_at(one, position, 0.0, 5).id for position in range(2500)]
    assert [sample_at(two, position, 0.0, 5).id for position in reversed(range(2500))] == whole[::-1]
    assert [sample_at(one, position, 0.0, 6).id for position in range(2500)] != whole
    assert len(one) == 14 and [one[n].id for n in (0, 6, 7, 13)] == ["a0", "a6", "b0", "b6"] and one[9].source == "b"
    # sources of equal size are not read in the same order
    equal = mixed(1, 1, sizes=(50, 50))
    orders = {n: [i[1:] for i in (equal[equal.order(p, 0)].id for p in range(100)) if i[0] == n] for n in "ab"}
    assert orders["a"] != orders["b"]
    assert source_counts(Numbers("x", 3), []) == {}
    for weights in ((), (0.0,), (1.0, float("inf")), (-1.0, 1.0)):
        with pytest.raises(SettingError, match="mix"):
            mixed(*weights)


# recipes


def recipe(folder: Path, text: str) -> str:
    path = folder / "mix.toml"
    path.write_text(text)
    return str(path)


def test_a_mixed_run_is_counted_and_resumed(tmp_path: Path) -> None:
    name = recipe(tmp_path, ONE + MIX)
    whole = train(name, tmp_path / "whole", ["max_steps=4"], callbacks=[], device="cpu")
    last = whole.metrics[-1]
    assert last["clips"] == last["clips/easy"] + last["clips/hard"] == 8 and 5 <= last["clips/easy"] <= 7
    for steps in (2, 4):
        parts = train(name, tmp_path / "parts", [f"max_steps={steps}"], callbacks=[], device="cpu")
    weights = [(r.checkpoint / "model.safetensors").read_bytes() for r in (whole, parts)]
    assert weights[0] == weights[1] and whole.counts == parts.counts
    about = json.loads((whole.checkpoint / "whenwhere.json").read_text())
    assert about["seconds"] == 5.0  # of the longest world
    source = open_source(load(name))
    assert len(source) == 53 and {len(source[n].times) for n in (0, 2)} == {8} and len(source[3].times) == 10
    assert question_count(source) > 53


def test_rl_counts_the_sets_too(tmp_path: Path) -> None:
    text = ONE.replace('stage = "sft"', 'stage = "rl"').replace("samples_per_step = 2", "prompts_per_step = 2")
    text += MIX + "\n[reward]\nweights = { t_iou = 1.0 }\n"
    changes = ["max_steps=2", "num_generations=2", "max_completion_length=4", "zero_variance=keep", "lora_dropout=0"]
    result = train(recipe(tmp_path, text), tmp_path / "run", changes, callbacks=[], device="cpu")
    assert result.counts["clips"] == result.counts["clips/easy"] + result.counts["clips/hard"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('name = "hard"', 'name = "easy"'), r"two sets of the mix are named 'easy': give each a name of its own"),
        (('name = "hard"\n', ""), r"\[data\] mix needs name"),
        (("weight = 3", "weight = 0"), r"the set 'easy' has the weight 0: leave the set out"),
        (("weight = 3", "wieght = 3"), r"\[data\] mix has no key 'wieght' \(did you mean weight\?"),
        (("count = 3", "count = 0"), r"kind = 'shapes' needs count"),
        (("\n[[data.mix]]", "\n[data]\ncount = 4\n[[data.mix]]"), r"\[data\]: count beside mix has no effect"),
        (("\n[[data.mix]]", "\n[curriculum]\nschedule = 'masked'\n[[data.mix]]"), r"mix and \[curriculum\] are both"),
        (("weight = 3", "grow = [{ until = 0.5, world = {} }]"), r"the set 'easy' has grow"),
    ],
)
def test_wrong_mixes_are_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        load(recipe(tmp_path, ONE + MIX.replace(*change, 1)))


def test_an_empty_set_of_the_mix_is_named(tmp_path: Path) -> None:
    from whenwhere.datasets import manifest
    from whenwhere.datasets.item import Item, span_array

    file = tmp_path / "few.jsonl"
    manifest.write([Item("a", "a.mp4", "a dog runs", span_array([(1, 2)]), duration=4.0)], file)
    text = ONE + MIX + f'[[data.mix]]\nname = "few"\nkind = "manifest"\nannotations = "{file}"\nmin_duration = 9\n'
    with pytest.raises(SettingError, match=r"^\[\[data.mix\]\] few: no sentence of .*few.jsonl is left to learn from"):
        open_source(load(recipe(tmp_path, text)))
    file.write_text("no manifest")
    with pytest.raises(RecordError, match=r"^\[\[data.mix\]\] few: "):
        open_source(load(recipe(tmp_path, text)))


# epochs


@pytest.fixture
def stages() -> Iterator[None]:
    with regression_stage.registered():
        yield


def test_a_run_may_be_some_epochs_long(tmp_path: Path) -> None:
    """Five clips, two per update: two epochs are five updates, and a status page knows it."""
    from whenwhere.training.status import run_status

    text = recipe(tmp_path, RECIPE.replace("max_steps = 3", "num_train_epochs = 2").replace("count = 100", "count = 5"))
    result = train(text, tmp_path / "run", callbacks=[], device="cpu")
    assert result.steps == 5 and result.counts["clips"] == 10 and run_status(tmp_path / "run").of == 5
    longer = train(text, tmp_path / "run", ["num_train_epochs=2.4"], callbacks=[], device="cpu")
    assert longer.steps == 6
    # the command line decides, whatever the recipe says
    assert (
        load(text, ["max_steps=9"]).train.max_steps == 9 and load(text, ["max_steps=9"]).train.num_train_epochs is None
    )
    plain = recipe(tmp_path, RECIPE)
    changed = load(plain, ["train.num_train_epochs=3"]).train
    assert (changed.max_steps, changed.num_train_epochs) == (0, 3.0)
    assert load(plain).hash == load(plain, ["num_train_epochs=none"]).hash != load(plain, ["num_train_epochs=3"]).hash


@pytest.mark.usefixtures("stages")
def test_wrong_lengths_are_refused(tmp_path: Path) -> None:
    both = recipe(tmp_path, RECIPE + "num_train_epochs = 1\n")
    with pytest.raises(SettingError, match="max_steps and num_train_epochs both say how long a run is"):
        load(both)
    assert load(both, ["max_steps=4"]).train.max_steps == 4
    with pytest.raises(SettingError, match="both say"):
        load(recipe(tmp_path, RECIPE), ["max_steps=4", "num_train_epochs=1"])
    with pytest.raises(SettingError, match="num_train_epochs is 0"):
        load(recipe(tmp_path, RECIPE), ["num_train_epochs=0"])
    line = recipe(tmp_path, '[train]\nstage = "regression"\nnum_train_epochs = 2\n')
    with pytest.raises(SettingError, match="this stage, which has no epochs: set max_steps"):
        train(line, tmp_path / "run", callbacks=[])


def test_an_epoch_of_rl_is_counted_in_questions() -> None:
    """Four clips of three questions, two questions per update, completions used twice: twelve updates."""
    from tiny_policies import Two

    from whenwhere.training.epochs import in_updates
    from whenwhere.training.rl.settings import RLSettings

    source = Two(3)
    source.samples *= 2
    assert question_count(source) == 12
    how = RLSettings(num_train_epochs=1, prompts_per_step=2, num_iterations=2)
    assert in_updates(how, question_count(source) * 2, 2).max_steps == 12


def test_the_plan_says_how_many_updates_the_epochs_are(tmp_path: Path) -> None:
    from whenwhere.training.machine import Machine
    from whenwhere.training.stages import find_stage

    found = load(recipe(tmp_path, RECIPE), ["num_train_epochs=3"])
    estimate = find_stage("sft").estimate
    assert estimate is not None
    plan = estimate(found, lambda text: None, Machine("cpu"))
    assert plan["updates"] == 150 and plan["epochs"] == 3.0 and plan["samples"] == 100
    mix = load(recipe(tmp_path, ONE.replace("max_steps = 3", "num_train_epochs = 2") + MIX))
    plan = estimate(mix, lambda text: None, Machine("cpu"))
    assert plan["updates"] == 53 and plan["samples"] == 53
