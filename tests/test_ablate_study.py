"""The study's file and the cells of a study, read from the disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from whenwhere.ablate.cells import cell_folder, read_cells
from whenwhere.ablate.study import Study, read_study, write_study
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.item_values import ItemValue, write_item_values
from whenwhere.store import write_text


def study(**changes: Any) -> dict[str, Any]:
    base = {"id": "base", "label": "base", "kind": "baseline", "config_hash": "aa", "seeds": [0, 1],
            "stages": [{"name": "train", "hash": "a" * 16}, {"name": "evaluate", "hash": "b" * 16}]}  # fmt: skip
    arm = {**base, "id": "no-x", "label": "no x", "kind": "arm", "against": "base", "config_hash": "bb",
           "stages": [{"name": "train", "hash": "c" * 16}], "overrides": {"x": False}}  # fmt: skip
    metric = {"id": "acc", "heading": "accuracy", "key": "acc", "primary": True}
    return {"version": 1, "recipe": "tiny-svilm", "arms": [base, arm], "metrics": [metric], "seeds": 2, **changes}


def arms(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [arm | more for arm, more in zip(study()["arms"], changes, strict=True)]


def test_a_study_survives_its_file(tmp_path: Path) -> None:
    made = Study.model_validate(study(fixed={"max_steps": 3}, seeding={"seed": {"first": 10, "step": 2}}))
    file = write_study(made, tmp_path / "study.json")
    assert read_study(file) == read_study(tmp_path) == made
    assert made.arm("no-x").overrides == {"x": False} and made.baseline.id == "base"
    with pytest.raises(SettingError, match="did you mean no-x"):
        made.arm("no_x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metricks": []}, "no key metricks.*did you mean metrics"),
        ({"version": 2}, "version is 2"),
        ({"recipe": None}, "either a recipe or a command"),
        ({"command": "python a.py"}, "either a recipe or a command"),
        ({"arms": []}, "arms"),
        ({"seeds": 0}, "seeds is 0"),
        ({"arms": arms({}, {"id": "base"})}, "two arms have the id 'base'"),
        ({"arms": arms({}, {"against": None})}, "no-x"),
        ({"arms": arms({}, {"against": "other"})}, "is against 'other'"),
        ({"arms": arms({"against": "no-x"}, {})}, "the baseline none"),
        ({"arms": arms({}, {"kind": "baseline"})}, "first arm is the baseline"),
        ({"arms": arms({}, {"id": "../x"})}, r"arms\[2\].id"),
        ({"arms": arms({}, {"seeds": [1, 1]})}, "a seed twice"),
        ({"arms": arms({}, {"seeds": [-1]})}, "seeds"),
        ({"arms": arms({}, {"stages": []})}, r"arms\[2\].stages"),
        ({"arms": arms({}, {"stages": [{"name": "train", "hash": "../../x"}]})}, "hash"),
        ({"metrics": study()["metrics"] * 2}, "two metrics have the id 'acc'"),
        ({"metrics": [study()["metrics"][0] | {"margin": -1}]}, "margin"),
    ],
)
def test_a_study_that_cannot_be_right_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_text(tmp_path / "study.json", json.dumps(study(**changes)))
    with pytest.raises(RecordError, match=message) as caught:
        read_study(tmp_path)
    assert "study.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_study_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="whenwhere ablate check"):
        read_study(tmp_path / "study.json")


def write_cell(out: Path, stage: str, seed: int, status: dict[str, Any], metrics: dict[str, float] | None) -> Path:
    folder = cell_folder(out, stage, seed)
    write_text(folder / "status.json", json.dumps(status))
    write_text(folder / "env.json", json.dumps({"code": "c", "data": "d"}))
    if metrics is not None:
        write_text(folder / "metrics.json", json.dumps(metrics))
    return folder


def test_cells_put_the_stages_of_an_arm_together(tmp_path: Path) -> None:
    made = Study.model_validate(study())
    done = {"state": "done"}
    write_cell(tmp_path, "a" * 16, 0, done, {"loss": 2.0, "flops": 5, "train_seconds": 3, "peak_memory_gib": 1})
    last = write_cell(tmp_path, "b" * 16, 0, done, {"acc": 0.5, "flops": 1, "peak_memory_gib": 0.5})
    write_item_values(last / "items.jsonl", [ItemValue("acc", "q1", "v", 1.0), ItemValue("other", "q1", "v", 0.0)])
    write_cell(tmp_path, "a" * 16, 1, done, {"loss": 2.0})
    write_cell(tmp_path, "c" * 16, 0, {"state": "failed", "reason": "it broke"}, None)
    first, second, third, fourth = read_cells(tmp_path, made)
    assert (first.arm, first.seed, first.state) == ("base", 0, "done")
    assert first.metrics == {"loss": 2.0, "flops": 6.0, "train_seconds": 3.0, "peak_memory_gib": 1.0, "acc": 0.5}
    assert [one.item for one in first.items("acc")] == ["q1"] and first.fingerprints == ("c/d", "c/d")
    assert (second.state, second.metrics) == ("waiting", {})  # its second stage was not run
    assert (third.arm, third.state, third.reason) == ("no-x", "failed", "it broke")
    assert (fourth.state, fourth.env) == ("waiting", None)


def test_arms_that_are_not_funded_have_no_cells(tmp_path: Path) -> None:
    made = Study.model_validate(study(arms=arms({}, {"funded": False})))
    assert {cell.arm for cell in read_cells(tmp_path, made)} == {"base"}


@pytest.mark.parametrize("text", ['{"acc": NaN}', '{"acc": "1"}', '{"acc": true}', "[1]", "{", '{"acc": 1e999}'])
def test_damaged_metrics_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    made = Study.model_validate(study())
    folder = write_cell(tmp_path, "c" * 16, 0, {"state": "done"}, {})
    write_text(folder / "metrics.json", text)
    with pytest.raises(RecordError, match=r"metrics\.json"):
        read_cells(tmp_path, made)


@pytest.mark.parametrize(
    "line", ['{"metric": "a"}', "5", '{"metric": "a", "item": 1, "video": "v", "value": 1}',
             '{"metric": "a", "item": "1", "video": "v", "value": NaN}']
)  # fmt: skip
def test_damaged_item_values_are_an_error_that_names_the_line(tmp_path: Path, line: str) -> None:
    made = Study.model_validate(study())
    folder = write_cell(tmp_path, "c" * 16, 0, {"state": "done"}, {"acc": 1.0})
    write_item_values(folder / "items.jsonl", [ItemValue("a", "1", "v", 1.0)])
    with open(folder / "items.jsonl", "a") as file:
        file.write(line + "\n")
    cell = read_cells(tmp_path, made)[2]
    with pytest.raises(RecordError, match=r"items\.jsonl, line 2"):
        list(cell.items("a"))
