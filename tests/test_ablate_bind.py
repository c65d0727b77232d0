"""Knobs and bindings: only exact words bind, and a knob's declaration adds what a plan leaves out."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from whenwhere.ablate import Ablation, bind, make_plan, read_bindings, read_knobs, read_plan, write_bindings
from whenwhere.ablate.binding import Bindings, BoundItem
from whenwhere.ablate.checking import check
from whenwhere.ablate.knobs import Knob, base_config, packaged_knobs, refusal
from whenwhere.ablate.replacements import UnreadableValue, read_value
from whenwhere.errors import SettingError

Cli = Callable[..., subprocess.CompletedProcess[str]]
PLANS = Path(__file__).resolve().parent.parent / "src" / "whenwhere" / "plans"
EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "ablation"
OWN = """
version = 1
command = "python train.py {overrides} --seed {seed}"

[[knobs]]
id = "depth"
key = "depth"
type = "int"
base = 4
minimum = 1
maximum = 12
remove = 1
reference = 6
aliases = ["number of layers", "depth of the network"]

[[knobs]]
id = "dropout"
key = "dropout"
type = "float"
base = 0.1
minimum = 0
maximum = 1
remove = 0.0
entails = { warm = 0 }
aliases = ["dropout"]
controls = [
  { label = "without warm-up", set = { warm = 0 }, when = "REMOVE", isolates = true, why = "dropout alone" },
  { label = "half", set = { dropout = 0.5 }, when = "REPLACE", why = "the middle" },
]

[[knobs]]
id = "warm"
key = "warm"
type = "int"
base = 100
aliases = ["warm-up"]

[[knobs]]
id = "layers"
key = "layers"
type = "layers"
base = [2, 4]
symbols = { last = "depth" }
aliases = ["heads"]
controls = [
  { label = "one elsewhere", set = { layers = [1] }, length = 1, why = "place without number" },
  { label = "three elsewhere", set = { layers = [1, 2, 3] }, length = 3, why = "place without number" },
]

[[knobs]]
id = "augment"
key = "augment"
type = "bool"
base = false
aliases = ["augmentation"]
requires = { dropout = [0.1, 0.0] }

[[knobs]]
id = "kind"
key = "kind"
base = "tree"
options = { tree = { kind = "tree" }, linear = { kind = "linear", depth = 1 } }
aliases = ["model", "number of leaves"]

[[knobs]]
id = "leaves"
key = "leaves"
type = "int"
base = 8
aliases = ["number of leaves"]

[[metrics]]
id = "accuracy"
key = "accuracy"
aliases = ["accuracy", "score"]
primary = true

[[metrics]]
id = "loss"
key = "loss"
aliases = ["loss", "score"]
higher = false
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "knobs.toml").write_text(OWN)
    return tmp_path / "knobs.toml"


def one(
    knobs: Path, part: str, action: str, *options: object, accept: tuple[str, ...] = (), **more: object
) -> BoundItem:
    return whole(knobs, part, action, *options, accept=accept, **more).items[0]


def whole(
    knobs: Path, part: str, action: str, *options: object, accept: tuple[str, ...] = (), **more: object
) -> Bindings:
    metrics = more.get("metrics", ["accuracy"])
    replacement = options[0] if len(options) == 1 and isinstance(options[0], dict) else list(options) or None
    ablation = Ablation(name="It", ablated_part=part, action=action, replacement=replacement, metrics=metrics)
    return bind(make_plan([ablation], strict=False), read_knobs(knobs), accept)


@pytest.mark.parametrize("part", ["Number of layers", "depth of the  network,", "depth", "NUMBER-OF-LAYERS"])
def test_exact_words_bind(own: Path, part: str) -> None:
    found = one(own, part, "REPLACE", "2", "8")
    assert found.status == "bound" and found.by == "alias" and found.knob == "depth"
    # the published value is added, and all stand in order with the baseline's 4
    assert [(arm.label, arm.kind, arm.order) for arm in found.arms] == [
        ("depth = 2", "arm", 0), ("depth = 8", "arm", 3), ("depth = 6", "control", 2)
    ]  # fmt: skip
    assert found.base_order == 1 and found.base_label == "depth = 4"


@pytest.mark.parametrize("part", ["number of network layers", "the depth", "layer number of the net"])
def test_likely_words_only_propose(own: Path, part: str) -> None:
    pytest.importorskip("rapidfuzz")
    found = one(own, part, "REPLACE", "2")
    assert found.status == "ambiguous" and found.arms == []
    assert "depth" in [candidate.id for candidate in found.candidates] and "--accept it=" in found.reason
    accepted = one(own, part, "REPLACE", "2", accept=("it=depth",))
    assert accepted.status == "bound" and accepted.by == "person"
    assert one(own, part, "REPLACE", "2", accept=("1=depth",)).status == "bound"


def test_what_no_knob_turns_is_unbound_and_listed(own: Path) -> None:
    found = whole(own, "xylophone", "REMOVE")
    assert found.items[0].status == "unbound" and "needs code" in found.items[0].reason
    assert [arm.kind for arm in found.arms()] == ["baseline"]
    assert [(line.item, line.status) for line in found.not_run()] == [("it", "unbound")]


def test_an_alias_of_two_knobs_is_ambiguous(own: Path) -> None:
    found = one(own, "number of leaves", "REPLACE", "4")
    assert found.status == "ambiguous" and {candidate.id for candidate in found.candidates} == {"kind", "leaves"}


def test_the_planner_names_a_knob(own: Path) -> None:
    plan = make_plan([Ablation(name="It", ablated_part="xylophone", action="REMOVE", metrics=["loss"])])
    plan.items[0].knob = "depth"
    assert bind(plan, read_knobs(own)).items[0].by == "planner"
    plan.items[0].knob = "no such knob"
    assert bind(plan, read_knobs(own)).items[0].status != "bound"


@pytest.mark.parametrize(
    ("accept", "said"),
    [
        ("it=depht", "did you mean depth"), ("nothing=depth", "neither an item nor a metric"), ("it", "is not a pair"),
        ("=depth", "is not a pair"), ("accuracy=los", "did you mean loss"),
    ],
)  # fmt: skip
def test_what_is_accepted_must_exist(own: Path, accept: str, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        one(own, "xylophone", "REMOVE", accept=(accept,))


def test_a_removal_brings_what_it_entails_and_its_control(own: Path) -> None:
    found = one(own, "dropout", "REMOVE")
    removal, control = found.arms
    assert removal.overrides == {"dropout": 0.0, "warm": 0} and removal.entailed == ["warm"]
    assert control.overrides == {"warm": 0} and control.kind == "control" and removal.against == control.label
    arms = whole(own, "dropout", "REMOVE").arms()
    assert [arm.against for arm in arms] == ["", arms[2].id, "baseline"]
    assert "warm = 0 follows from what was asked" in arms[1].notes


def test_controls_are_not_added_twice(own: Path) -> None:
    assert [arm.label for arm in one(own, "dropout", "REPLACE", "0.2").arms] == ["dropout = 0.2", "half"]
    assert [arm.label for arm in one(own, "dropout", "REPLACE", "50 %").arms] == ["dropout = 0.5"]
    assert [arm.label for arm in one(own, "depth", "REPLACE", "6").arms] == ["depth = 6"]


def test_placement_is_controlled_at_equal_counts(own: Path) -> None:
    found = one(own, "heads", "REPLACE", "1 block at last layer", "2 blocks at (1,3)")
    assert [arm.overrides["layers"] for arm in found.arms] == [[4], [1, 3], [1]]
    assert found.arms[0].label == "layers = (last)"


@pytest.mark.parametrize(
    ("knob", "text", "value"),
    [
        ("depth", "8", 8), ("depth", 8, 8), ("depth", "8 layers", 8), ("depth", "M = 8", 8), ("depth", "8.0", 8),
        ("depth", "8 (baseline)", 8), ("depth", "depth: 8", 8), ("depth", "8 epochs", 8), ("warm", "−3", -3),
        ("dropout", "0.5", 0.5), ("dropout", "50%", 0.5), ("dropout", "5e-1", 0.5), ("dropout", ".5", 0.5),
        ("augment", "on", True), ("augment", "False", False), ("augment", True, True),
        ("warm", "1,024", 1024), ("warm", "2k", 2000), ("warm", "-3", -3),
        ("layers", "(1, last)", [1, 4]), ("layers", [1, "last"], [1, 4]),
        ("layers", "three blocks at 1, 2 and 3", [1, 2, 3]),
        ("layers", "LAST", [4]), ("kind", "Linear", "linear"),
    ],
)  # fmt: skip
def test_replacements_are_read(own: Path, knob: str, text: object, value: object) -> None:
    knobs = read_knobs(own)
    found = next(one for one in knobs.knobs if one.id == knob)
    overrides = read_value(found, text, base_config(knobs))[1]
    assert overrides[knob] == value and type(overrides[knob]) is type(value)


@pytest.mark.parametrize(
    ("knob", "text", "said"),
    [
        ("depth", "a few", "no number"), ("depth", "8 or 16", "more than one number"), ("depth", "2.5", "whole number"),
        ("depth", "13", "above 12"), ("depth", "0", "below 1"), ("dropout", "1.5", "above 1"),
        ("augment", "maybe", "neither on nor off"), ("layers", "2 blocks at (1,2,3)", "says 2 and names 3"),
        ("layers", "elsewhere", "names no layer"), ("depth", "2x", "relative"), ("depth", "M/2", "relative"),
        ("depth", "x 2", "relative"), ("depth", "+2", "relative"), ("depth", "> 8", "relative"),
        ("depth", "2–", "relative"),
        ("depth", "8 more", "'more'"), ("depth", "GPT-4", "'gpt'"), ("depth", "10 times", "'times'"),
        ("depth", "as in ResNet-8", "says more than a number"), ("depth", "double", "no number"),
        ("depth", "1/2", "number"),
    ],
)  # fmt: skip
def test_what_says_no_value_is_infeasible(own: Path, knob: str, text: str, said: str) -> None:
    knobs = read_knobs(own)
    found = next(one for one in knobs.knobs if one.id == knob)
    with pytest.raises(UnreadableValue, match=re.escape(said)):
        read_value(found, text, base_config(knobs))
    item = one(own, found.aliases[0], "REPLACE", text)
    assert item.status == "infeasible" and said in item.reason and item.arms == []


def test_one_bad_replacement_does_not_stop_the_others(own: Path) -> None:
    found = whole(own, "depth", "REPLACE", "8", "deeper", "99")
    assert [arm.overrides for arm in found.arms()[1:2]] == [{"depth": 8}]
    assert set(found.items[0].not_run) == {"deeper", "99"}
    assert [line.name for line in found.not_run()] == ["It: deeper", "It: 99"]


def test_grids_and_several_parameters(own: Path) -> None:
    assert [arm.overrides for arm in one(own, "depth", "REPLACE", [2, 8]).arms][:2] == [{"depth": 2}, {"depth": 8}]
    found = one(own, "hyperparameters", "REPLACE", {"depth": [2], "warm-up": [10, 20], "xylophone": [1]})
    assert [arm.overrides for arm in found.arms if arm.kind == "arm"] == [{"depth": 2}, {"warm": 10}, {"warm": 20}]
    assert found.arms[1].knob == "warm" and "no knob is named 'xylophone'" in found.not_run["xylophone: 1"]
    assert one(own, "depth", "REPLACE", "depth: [2, 8]").arms[1].overrides == {"depth": 8}
    both = one(own, "depth", "REPLACE", "{'depth': 2, 'warm': 7}")
    assert both.arms[0].overrides == {"depth": 2, "warm": 7}


def test_a_symbol_without_a_value_stops_one_arm_alone(own: Path) -> None:
    """A depth that the recipe leaves to its checkpoint is no number: controls, the published value, and the removal."""
    text = OWN.replace('last = "depth"', 'last = "of_the_checkpoint"').replace("layers = [1] }", 'layers = ["last"] }')
    own.write_text(text.replace('aliases = ["heads"]', 'aliases = ["heads"]\nreference = "last"\nremove = ["last"]'))
    found = one(own, "heads", "REPLACE", "3")
    assert found.status == "bound" and [arm.label for arm in found.arms] == ["layers = (3)"]
    assert set(found.not_run) == {"one elsewhere", "layers = last"}
    assert all("leaves to its checkpoint" in reason for reason in found.not_run.values())
    assert one(own, "heads", "REMOVE").status == "infeasible"


def test_requirements_of_a_knob(own: Path) -> None:
    found = one(own, "augmentation", "ADD", "random crops")
    assert found.status == "bound" and found.arms[0].overrides == {"augment": True}
    text = OWN.replace("base = 0.1", "base = 0.3")
    own.write_text(text)
    found = one(own, "augmentation", "ADD", "random crops")
    assert found.status == "infeasible" and "needs dropout = [0.1, 0.0], and it is 0.3" in found.reason


def test_what_cannot_be_removed_is_infeasible(own: Path) -> None:
    assert "cannot be removed" in one(own, "warm-up", "REMOVE").reason


def test_metrics_bind_like_knobs(own: Path) -> None:
    found = whole(own, "depth", "REPLACE", "8", metrics=["Accuracy", "score", "speed on A/B"])
    by_heading = {metric.heading: metric for metric in found.metrics}
    assert by_heading["Accuracy"].metric == "accuracy" and by_heading["score"].status == "ambiguous"
    assert "may mean several metrics (speed on A, speed on B)" in by_heading["speed on A/B"].reason
    both = whole(own, "depth", "REPLACE", "8", metrics=["score"], accept=("score=loss", "score=accuracy"))
    assert [metric.metric for metric in both.metrics] == ["loss", "accuracy"]
    # what is primary is measured whether a plan names it or not
    assert whole(own, "depth", "REPLACE", "8", metrics=["loss"]).metrics[-1].by == "primary"


def test_bindings_are_edited_as_a_file(own: Path, tmp_path: Path) -> None:
    found = whole(own, "dropout", "REMOVE", metrics=["accuracy", "score"])
    path = tmp_path / "bindings.toml"
    write_bindings(found, path)
    assert read_bindings(path) == found and read_bindings(path).arms() == found.arms()
    text = path.read_text()
    for old, new, said in (
        ('status = "bound"', 'status = "bond"', "items[1].status is 'bond'"),
        ('knob = "dropout"', 'knop = "dropout"', "there is no key items[1].knop (did you mean knob?)"),
        ("version = 1", "version = 3", "version is 3"),
        ('against = "without warm-up"', 'against = "nothing"', "is not another arm of it"),
        ('label = "without warm-up"', 'label = "without dropout"', "two arms"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(SettingError, match=re.escape(said)):
            read_bindings(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "warm"', 'id = "depth"', "two knobs have the id 'depth'"),
        ("{overrides}", "", "the command has no {overrides}"),
        ("base = 100\n", "", "'warm' needs base"),
        ("minimum = 1", "minimun = 1", "did you mean minimum"),
        ('type = "layers"', 'type = "layer"', "knobs[4].type is 'layer'"),
        ("version = 1", "version = 1\nrecipe = 'tiny-sft'", "needs either recipe = NAME or command = TEXT"),
        ("version = 1", "version = 1\nextends = 'tiny-sfx'", "to extend (did you mean tiny-sft?)"),
        ("version = 1", "version = 1\nextends = 'tiny-sft'\nfixed = 3", "fixed is 3 and must be a table"),
        ("version = 1", "version = 1\nextends = 'tiny-sft'\nwithout = 'clips'", "must be a list of ids"),
        ("version = 1", "version = 1\nwithout = ['clips']", "name that file in extends"),
        ("version = 1", "version = 1\nextends = 'tiny-sft'\n[[knobs]]\nid = ['a']", "with an id of its own"),
        ("version = 1", "version = 1\nextends = 'tiny-sft'\n[[knobs]]\nid = 'depth'", "two knobs have the id 'depth'"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_knobs_is_refused(own: Path, old: str, new: str, said: str) -> None:
    own.write_text(OWN.replace(old, new, 1))
    with pytest.raises(SettingError, match=re.escape(said)):
        read_knobs(own)


@pytest.mark.parametrize("name", sorted(packaged_knobs()))
def test_knobs_of_recipes_hold_what_they_declare(name: str) -> None:
    """Every key exists in the recipe, and every option, text, control and removal can be run."""
    knobs = read_knobs(name)
    config = base_config(knobs)
    assert len({alias.casefold() for knob in knobs.knobs for alias in knob.aliases}) == sum(
        len(knob.aliases) for knob in knobs.knobs
    )
    assert any(metric.primary for metric in knobs.metrics)
    for knob in knobs.knobs:
        assert knob.aliases, knob.id
        for text in [*knob.options, *knob.parse]:
            assert refusal(knobs, read_value(knob, text, config)[1]) is None, (knob.id, text)


@pytest.mark.parametrize(
    ("plan", "knobs"),
    [
        ("vtg-rl", "tiny-rl"), ("vtg-rl", "rl-stvg"), ("sft-data", "tiny-sft"), ("captions", "tiny-viclip"),
        ("second-level", str(EXAMPLES / "second_level.toml")),
    ],
)  # fmt: skip
def test_plans_of_the_package_bind(plan: str, knobs: str) -> None:
    found = bind(read_plan(PLANS / f"{plan}.md"), read_knobs(knobs))
    assert found.not_run() == []
    assert {item.status for item in found.items} == {"bound"}
    assert all(refusal(read_knobs(knobs), arm.overrides) is None for arm in found.arms())
    if not knobs.startswith("rl-"):  # whose data and checkpoint are not here
        assert check(found, probe=False, cell_seconds=1.0).not_run == []


def test_what_two_written_plans_left_out_is_added() -> None:
    """The words of the plans for S-ViLM and InternVid: controls that they lack come from the knobs."""
    items = [
        Ablation(name="Paste", ablated_part="Cut-and-paste operation", action="REMOVE", metrics=["R@1"]),
        Ablation(
            name="Tokens", ablated_part="number of group tokens (M)", action="REPLACE", replacement=["16", "64"],
            metrics=["mAP"],
        ),
        Ablation(
            name="Blocks", ablated_part="grouping blocks", action="REPLACE",
            replacement=["1 block at last layer", "2 blocks at (6,12)"], metrics=["Acc"],
        ),
    ]  # fmt: skip
    arms = bind(make_plan(items), read_knobs("tiny-svilm")).arms()
    by_label = {arm.label: arm for arm in arms}
    removal = by_label["without cut-and-paste"]
    assert removal.overrides == {"objective.cut_and_paste": False, "objective.time": 0.0}
    control = next(arm for arm in arms if arm.id == removal.against)
    assert control.overrides == {"objective.time": 0.0} and control.against == "baseline"
    assert by_label["group tokens = 32"].kind == "control"
    counts = sorted(
        len(arm.overrides["encoder.group_layers"]) for arm in arms if "encoder.group_layers" in arm.overrides
    )
    assert counts == [1, 1, 2, 2, 3]
    masking = Ablation(
        name="Masking", ablated_part="masking ratio", action="REPLACE", replacement=["0.5", "0.9"], metrics=["R@1"]
    )
    found = bind(make_plan([masking]), read_knobs("tiny-viclip"))
    assert {"train.mask_ratio": 0.0} in [arm.overrides for arm in found.arms() if arm.kind == "control"]


def test_a_layer_below_the_depth_is_refused_by_the_recipe() -> None:
    plan = make_plan(
        [Ablation(name="B", ablated_part="grouping blocks", action="REPLACE", replacement=["(6, 13)"], metrics=["R@1"])]
    )
    found = bind(plan, read_knobs("tiny-svilm")).items[0]
    assert found.status == "infeasible" and "13" in found.reason


@pytest.mark.parametrize(("name", "change"), [("train", "steps=3"), ("second_level", "clips=1")])
def test_the_example_scripts_write_what_their_knobs_declare(
    name: str, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = read_knobs(EXAMPLES / f"{name}.toml")
    items = []
    for seed in (1, 0):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", change, "--seed", str(seed), "--out", str(tmp_path)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        items.append({json.loads(line)["item"] for line in (tmp_path / "items.jsonl").read_text().splitlines()})
    assert items[0] == items[1]  # so that seeds and items make a table
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert {metric.key for metric in knobs.metrics} == found.keys()
    values = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    for metric in knobs.metrics:
        mean = [line["value"] for line in values if line["metric"] == metric.items]
        assert sum(mean) / len(mean) == pytest.approx(found[metric.key])


def test_the_plan_of_the_example_waits_for_one_answer() -> None:
    plan, knobs = read_plan(EXAMPLES / "train.md"), read_knobs(EXAMPLES / "train.toml")
    assert [item.status for item in bind(plan, knobs).items][:2] == ["bound", "bound"]
    found = bind(plan, knobs, ["augmentation=jitter"])
    assert len(found.arms()) == 7 and [line.name for line in found.not_run()] == ["calibration"]


def test_plans_are_merged_and_bound_from_the_command_line(own: Path, tmp_path: Path, cli: Cli) -> None:
    text = "### {}\n- **Ablated Part**: {}\n- **Action**: REMOVE\n- **Metrics**: accuracy\n"
    (tmp_path / "a.md").write_text(text.format("Drop", "dropout"))
    (tmp_path / "b.md").write_text(text.format("No dropout", "Dropout") + text.format("Other", "xylophone"))
    plan, out = tmp_path / "plan.json", tmp_path / "bindings.toml"
    done = cli("ablate", "plan", str(tmp_path / "a.md"), str(tmp_path / "b.md"), "--out", str(plan))
    assert "1. drop: REMOVE dropout" in done.stdout and "proposed by a.md (1), b.md (1)" in done.stdout
    done = cli("ablate", "bind", str(plan), "--knobs", str(own), "--out", str(out))
    assert "arm      without dropout: dropout = 0.0, warm = 0 (against" in done.stdout
    assert "not run: Other (unbound)" in done.stderr
    assert len(read_bindings(out).arms()) == 3
    # edits are not lost by a second call
    assert (
        "may have been edited"
        in cli("ablate", "bind", str(plan), "--knobs", str(own), "--out", str(out), status=2).stderr
    )
    (tmp_path / "a.md").write_text("### A\n- **Action**: nothing\n")
    assert "a.md, line 1" in cli("ablate", "plan", str(tmp_path / "a.md"), status=1).stderr
    assert cli("ablate", "bind", str(tmp_path / "b.md"), "--knobs", "tiny-sft", status=1).stderr.count("not run") == 3


def test_a_knob_is_one_entry() -> None:
    """The row of CONTRIBUTING: a table [[knobs]] and nothing else."""
    knobs = read_knobs("tiny-sft")
    knobs.knobs.append(Knob(id="batch", key="train.samples_per_step", type="int", base=16, aliases=["batch size"]))
    plan = make_plan(
        [Ablation(name="Batch", ablated_part="batch size", action="REPLACE", replacement=["8"], metrics=["m_tIoU"])]
    )
    assert bind(plan, knobs).arms()[1].overrides == {"train.samples_per_step": 8}
