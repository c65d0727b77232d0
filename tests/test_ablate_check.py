"""Checking arms before any is paid for: values, doubles, dead knobs, cost and budget, confounds, power."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ablation_studies import InlineExecutor, bindings, program
from commands import run as run_command

from whenwhere.ablate import executors
from whenwhere.ablate.binding import Arm
from whenwhere.ablate.checking import check
from whenwhere.ablate.comparing import confounds_of, detectable_effects, differences
from whenwhere.ablate.funding import fund
from whenwhere.ablate.knobs import Knobs
from whenwhere.ablate.probing import ArmProbe
from whenwhere.ablate.run import run
from whenwhere.ablate.stages import ArmStage
from whenwhere.ablate.study import Study, StudyArm, read_study, write_study
from whenwhere.ablate.summary import summarize
from whenwhere.errors import SettingError
from whenwhere.stats import minimum_detectable_effect


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(executors.EXECUTORS, "local", InlineExecutor)


def knobs(folder: Path, **changes: Any) -> Knobs:
    """Knobs of the program in `ablation_script`."""
    listed = [
        {"id": "signal", "key": "signal", "type": "bool", "base": True, "remove": False},
        {"id": "size", "key": "size", "type": "int", "base": 8, "minimum": 1, "maximum": 64},
        {"id": "unused", "key": "unused", "type": "int", "base": 1},
        {"id": "crash", "key": "crash", "type": "text", "base": ""},
    ]
    given = {
        "command": program(folder), "name": str(folder / "knobs.toml"), "items_file": "items.jsonl",
        "smoke": {"steps": 1}, "knobs": listed,
        "metrics": [{"id": "acc", "key": "accuracy", "unit": "%", "primary": True, "items": "right"}],
    }  # fmt: skip
    return Knobs.model_validate(given | changes)


def reasons(study: Study) -> dict[str, tuple[str, str]]:
    return {one.name: (one.status, one.reason) for one in study.not_run}


def test_a_plan_becomes_a_study_that_runs(tmp_path: Path) -> None:
    plan = bindings(("signal", [{"signal": False}]), ("size", [{"size": 4}, {"size": 8}, {"size": 16}]))
    made = check(plan, knobs=knobs(tmp_path), seeds=2, cell_seconds=3.0, again=True, null={"unused": 2})
    kinds = [(arm.label, arm.kind, arm.against and made.arm(arm.against).kind) for arm in made.arms]
    assert kinds == [
        ("baseline", "baseline", None), ("signal=False", "arm", "baseline"), ("size=4", "arm", "baseline"),
        ("size=16", "arm", "baseline"), ("baseline, other seeds", "a-a", "baseline"),
        ("null: unused = 2", "null", "baseline"),
    ]  # fmt: skip
    assert [(one.item, one.label, one.order) for one in made.baseline.merged] == [("item-2", "size=8", 1)]
    assert made.baseline.seeds == [0, 1] and made.arms[4].seeds == [1000, 1001]
    assert made.budget.estimated_seconds == 6 * 2 * 3.0 and made.not_run == []
    assert made.created and made.metrics[0].heading == "acc"
    write_study(made, tmp_path / "study.json")
    result = run(read_study(tmp_path / "study.json"), tmp_path / "out")
    assert result.complete and result.total == 12
    text = "\n".join(summarize(made))
    assert "6 arms" in text and "the same as size=8 of item-2" in text and "there will be no test" in text


def test_a_dead_knob_is_found_and_may_be_accepted(tmp_path: Path) -> None:
    plan = bindings(("unused", [{"unused": 2}]), ("signal", [{"signal": False}]))
    made = check(plan, knobs=knobs(tmp_path), seeds=1)
    status, reason = reasons(made)["unused=2"]
    assert status == "dead" and "changes neither" in reason and "--accept-dead unused" in reason
    assert [arm.label for arm in made.arms] == ["baseline", "signal=False"]
    accepted = check(plan, knobs=knobs(tmp_path), seeds=1, accept_dead=["unused"])
    assert [arm.label for arm in accepted.arms] == ["baseline", "unused=2", "signal=False"]
    unprobed = check(plan, knobs=knobs(tmp_path, smoke={}), seeds=1)
    assert len(unprobed.arms) == 3


def test_names_in_edited_bindings_that_nothing_has_are_listed(tmp_path: Path) -> None:
    plan = bindings(("sinal", [{"signal": False}]), ("size", [{"size": 4}]))
    plan.metrics[0].metric = "ac"
    primary = {"id": "acc", "key": "accuracy", "aliases": ["accuracy"], "dataset": "coins", "primary": True}
    found = check(plan, knobs=knobs(tmp_path, metrics=[primary]), seeds=1)
    assert reasons(found)["signal=False"] == ("refused", "there is no knob 'sinal' (did you mean signal?)")
    status, reason = reasons(found)[plan.metrics[0].heading]
    assert status == "missing" and reason == "the knobs' file has no metric 'ac' (did you mean acc?)"


def test_a_metric_is_called_what_it_is_and_not_what_a_plan_wants(tmp_path: Path) -> None:
    plan = bindings(("size", [{"size": 4}]))
    for heading in ("top-1 on ImageNet", "Accuracy"):
        plan.metrics.append(plan.metrics[0].model_copy(update={"heading": heading}))
    primary = {"id": "acc", "key": "accuracy", "aliases": ["accuracy"], "dataset": "coins", "primary": True}
    (metric,) = check(plan, knobs=knobs(tmp_path, metrics=[primary]), seeds=1).metrics
    assert metric.heading == "accuracy" and metric.asked == [plan.metrics[0].heading, "top-1 on ImageNet", "Accuracy"]
    assert metric.measured == "accuracy is measured on coins, and is what the plan calls “top-1 on ImageNet”."


def test_what_an_arm_sets_besides_its_knob_is_a_confound(tmp_path: Path) -> None:
    found = check(bindings(("size", [{"size": 4, "unused": 3}])), knobs=knobs(tmp_path), seeds=1)
    (confound,) = found.confounds
    assert confound.kind == "entailed" and "also sets unused = 3" in confound.text


def test_a_knob_of_options_alone_has_the_base_of_its_option(tmp_path: Path) -> None:
    wide = {"id": "width", "base": "wide", "options": {"wide": {"size": 16}, "narrow": {"size": 4}}}
    own = knobs(tmp_path, knobs=[wide], smoke={})
    assert check(bindings(("width", [{"size": 4}])), knobs=own, seeds=1).base == {"size": 16}


def test_checks_are_paid_for_before_the_plan(tmp_path: Path) -> None:
    plan = bindings(("signal", [{"signal": False}]), ("size", [{"size": 4}]))
    how: dict[str, Any] = {"seeds": 2, "fewer_seeds": 2, "cell_seconds": 1.0, "budget": 7.0, "again": True}
    made = check(plan, knobs=knobs(tmp_path, smoke={}), **how)
    assert {arm.kind: arm.funded for arm in made.arms[-1:]} == {"a-a": True}
    assert [arm.label for arm in made.arms if not arm.funded] == ["size=4"]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"size": 0}, "at least 1 and at most 64"),
        ({"size": 65}, "size is 65"),
        ({"size": "8"}, "takes a int"),
        ({"size": True}, "takes a int"),
        ({"signal": "no"}, "takes a bool"),
        ({"sizes": 4}, "did you mean size"),
        ({"crash": "exit"}, "it broke on purpose"),
        ({"crash": "nothing"}, "wrote no metrics.json"),
        ({"crash": "nan"}, "finite number"),
    ],
)
def test_a_bad_arm_is_not_run_and_the_others_are(tmp_path: Path, overrides: dict[str, Any], reason: str) -> None:
    plan = bindings((next(iter(overrides)), [overrides]), ("signal", [{"signal": False}]))
    made = check(plan, knobs=knobs(tmp_path), seeds=1)
    (refused,) = made.not_run
    assert refused.status == "refused" and reason in refused.reason and "\n" not in refused.reason
    assert [arm.label for arm in made.arms] == ["baseline", "signal=False"]


@pytest.mark.parametrize(
    ("changes", "how", "reason"),
    [
        ({"fixed": {"crash": "exit"}}, {}, "the baseline cannot be run: .*it broke on purpose"),
        ({"metrics": [{"id": "acc", "key": "accurcy", "primary": True}]}, {}, "no accurcy.*did you mean accuracy"),
        ({"metrics": [{"id": "other", "key": "accuracy"}]}, {}, "bind one, or declare a primary one"),
        ({"command": "no-such-program-here {overrides}"}, {}, "'no-such-program-here' of the command cannot be found"),
        ({"command": "python train.py"}, {}, "no {overrides}"),
        ({"files": ["missing.csv"]}, {}, "missing.csv.* does not exist"),
        ({}, {"seeds": 0}, "0 seeds are too few"),
        ({}, {"budget": -1.0}, "pays for nothing"),
        ({}, {"budget": 9.0}, "what a command costs is not measured.*give --cell-seconds"),
        ({}, {"budget": float("nan")}, "pays for nothing"),
        ({}, {"cell_seconds": -1.0}, "cell_seconds is -1 and must be above 0"),
        ({}, {"noise": {"ac": 0.1}}, "no metric 'ac'.*did you mean acc"),
        ({}, {"accept_dead": ["unsued"]}, "did you mean unused"),
        ({}, {"earlier": "/no/such/folder"}, "is not a folder"),
        ({}, {"null": {"foo": 3}}, "declares no key 'foo'"),
    ],
)
def test_what_no_arm_can_be_run_with_is_an_error(
    tmp_path: Path, changes: dict[str, Any], how: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SettingError, match=reason) as caught:
        check(bindings(("signal", [{"signal": False}])), knobs=knobs(tmp_path, **changes), **({"seeds": 1} | how))
    assert "\n" not in str(caught.value)


def test_a_metric_that_is_not_measured_is_listed(tmp_path: Path) -> None:
    metrics = [{"id": "acc", "key": "accuracy", "primary": True}, {"id": "f1", "key": "F1"}]
    plan = bindings(("signal", [{"signal": False}]), metrics=("acc", "f1"))
    made = check(plan, knobs=knobs(tmp_path, metrics=metrics), seeds=1)
    assert [one.id for one in made.metrics] == ["acc"] and reasons(made)["f1"][0] == "missing"


def test_arms_against_a_control_that_is_the_baseline_or_cannot_run(tmp_path: Path) -> None:
    control = {"label": "control", "overrides": {"size": 8}, "kind": "control"}
    arm = {"label": "arm", "overrides": {"signal": False}, "against": "control"}
    made = check(bindings(("signal", [arm, control])), knobs=knobs(tmp_path), seeds=1)
    assert [(one.label, one.against) for one in made.arms] == [("baseline", None), ("arm", "baseline")]
    made = check(bindings(("signal", [arm, control | {"overrides": {"size": 0}}])), knobs=knobs(tmp_path), seeds=1)
    assert made.arms[1].against == "baseline" and "compared with the baseline" in made.arms[1].notes[-1]
    made = check(bindings(("signal", [arm, control | {"overrides": {"size": 9}}])), knobs=knobs(tmp_path), seeds=1)
    assert made.arm(made.arms[1].against or "").label == "control"


def arm(id: str, *hashes: str, against: str | None = "base", kind: str = "arm", seeds: int = 8) -> StudyArm:
    stages = [{"name": "train", "hash": hash * 8} for hash in hashes]
    return StudyArm.model_validate(
        {"id": id, "label": id, "kind": kind, "against": against, "config_hash": "", "stages": stages,
         "seeds": list(range(seeds))}
    )  # fmt: skip


def test_a_budget_pays_in_the_order_of_the_plan() -> None:
    def funded(budget: float | None) -> dict[str, int]:
        arms = [arm("base", "a", against=None, kind="baseline"), arm("first", "b", against="control"),
                arm("second", "c"), arm("shared", "a", "d"), arm("control", "e", kind="control")]  # fmt: skip
        costs = {hash * 8: cost for hash, cost in {"a": 10.0, "b": 10.0, "c": 100.0, "d": 1.0, "e": 10.0}.items()}
        made, refused = fund(arms, costs, budget, 8, 5)
        spent = {(stage.hash, seed) for one in arms if one.funded for stage in one.stages for seed in one.seeds}
        assert made.estimated_seconds == pytest.approx(sum(costs[hash] for hash, _ in spent))
        assert {one.name for one in refused} <= {one.id for one in arms if not one.funded}
        if budget is not None and any(one.funded for one in arms[1:]):
            assert (made.estimated_seconds or 0) <= budget
        return {one.id: len(one.seeds) for one in arms if one.funded}

    assert funded(None) == dict.fromkeys(("base", "first", "second", "shared", "control"), 8)
    # the first arm needs its control; the second is too dear; the third shares the baseline's training
    assert funded(250.0) == {"base": 8, "first": 8, "shared": 8, "control": 8}
    assert funded(187.0) == {"base": 8, "first": 5, "shared": 5, "control": 5}
    assert funded(90.0) == {"base": 8, "shared": 8}
    assert funded(1.0) == {"base": 8}


def test_an_arm_whose_control_is_not_funded_is_not_funded_either() -> None:
    arms = [arm("base", "a", against=None, kind="baseline"), arm("control", "b", kind="control"),
            arm("first", "c", against="control")]  # fmt: skip
    _, refused = fund(arms, {"a" * 8: 1.0, "b" * 8: 100.0, "c" * 8: 1.0}, 50.0, 8, 5)
    assert [one.funded for one in arms] == [True, False, False]
    assert refused[1].reason == "it is compared with control, which is not funded"


def stage(config: Mapping[str, Any], kind: Any = "train", name: str = "train") -> ArmStage:
    return ArmStage(name, kind, "0" * 20, {}, {}, "tiny-svilm", config=config)


def test_confounds_are_named() -> None:
    base, other = arm("base", "a", against=None, kind="baseline"), arm("arm", "b")
    probes = ArmProbe(parameters=1000, flops=100.0), ArmProbe(parameters=1200, flops=150.0)
    other.differences = differences(
        [stage({"data": {"corpus": "varied"}})], [stage({"data": {"corpus": "pairs"}})], probes[1], probes[0]
    )
    other.overrides = {"encoder.group_tokens": 0, "objective.nouns": 0.0}
    found = {one.kind: one.text for one in confounds_of(other, base, ["objective.nouns"])}
    assert found == {
        "entailed": "arm also sets objective.nouns = 0.0, so that it is not one change against base",
        "parameters": "arm has 200 parameters more than base",
        "flops": "an update of arm takes 1.50 times the FLOPs of base",
        "data": "arm has other data than base: data.corpus (was 'pairs', is 'varied')",
    }
    # an override of a whole table, and one of an earlier training, are what was asked for
    other.differences = differences(
        [stage({"data": {"count": 2}}, name="words"), stage({"data": {"world": {"noise": {"jitter": 0.5}}}})],
        [stage({"data": {"count": 1}}, name="words"), stage({"data": {"world": {"split": "train"}}})], None, None,
    )  # fmt: skip
    assert [text.partition(" ")[0] for text in other.differences.data] == [
        "data.world.noise.jitter", "data.world.split", "words:data.count",
    ]  # fmt: skip
    other.overrides = {"data.world": {"noise": {"jitter": 0.5}}, "words:data.count": 2}
    assert not confounds_of(other, base, [])
    other.overrides = {"encoder.group_tokens": 0, "objective.nouns": 0.0}
    base.overrides = {"objective.nouns": 0.0}  # the control has the entailed change, too
    assert "entailed" not in {one.kind for one in confounds_of(other, base, ["objective.nouns"])}


def test_the_smallest_effect_is_known_before_the_run(tmp_path: Path) -> None:
    plan = bindings(("signal", [{"signal": False}]), ("size", [{"size": 4}]))
    made = check(plan, knobs=knobs(tmp_path), seeds=8, noise={"acc": 0.01})
    (one,) = made.detectable
    assert one.effect == pytest.approx(minimum_detectable_effect(0.01, 8, alpha=0.05 / 2))
    assert (one.sd_source, one.seeds) == ("assumed", 8)
    small = check(plan, knobs=knobs(tmp_path), seeds=4)
    assert small.detectable[0].sd == 0.02
    run(small, tmp_path / "out")
    (measured,) = detectable_effects(small, {}, tmp_path / "out")
    assert measured.sd_source == "cells" and 0 < measured.sd < 0.01
    assert Arm(id="a", label="a", kind="arm").against == ""


def test_noise_that_hides_every_difference_is_said_in_words(tmp_path: Path) -> None:
    made = check(bindings(("size", [{"size": 4}])), knobs=knobs(tmp_path), seeds=2, noise={"acc": 0.5})
    assert any("with 2 seeds no difference can be found; plan more seeds" in line for line in summarize(made))


def test_a_study_that_may_have_been_edited_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("edited")
    found = run_command("ablate", "check", tmp_path / "no.toml", "--out", tmp_path / "study.json", status=2)
    assert "exists and may have been edited" in found.stderr and (tmp_path / "study.json").read_text() == "edited"
