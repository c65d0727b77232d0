"""The loop trains anything: a ten-line regression through a recipe, killed and resumed, with evaluators."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import regression_stage
from forked import Forker

from whenwhere.errors import SettingError
from whenwhere.training.recipe import load
from whenwhere.training.run import train

pytestmark = pytest.mark.torch

RECIPE = """# A line.
[train]
stage = "regression"
max_steps = 40
learning_rate = 0.1
logging_steps = 4
save_steps = 10
[line]
slope = 3.0
"""
EVALUATORS_OF_IT = """
[[evaluators]]
name = "line"
kind = "slope"
every = 7
metric = "slope_error"
minimize = true
keep_best = true
at_start = true
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "line.toml"
    path.write_text(RECIPE + EVALUATORS_OF_IT)
    with regression_stage.registered():
        yield path


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines without the clock."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def test_kill_9_and_resume_with_nothing_of_a_policy_imported(forker: Forker, recipe: Path, tmp_path: Path) -> None:
    """The first run is in a fresh process, which also checks that no transformers, data or grounders were imported."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    whole = subprocess.run(
        [sys.executable, regression_stage.__file__, str(recipe), str(tmp_path / "whole")],
        capture_output=True, env=environment,
    )  # fmt: skip
    assert whole.returncode == 0, whole.stderr.decode()
    call = [regression_stage.__file__, str(recipe), str(tmp_path / "killed"), "26"]
    killed = forker.run(call, imports=["torch"])
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "killed" / "checkpoint").exists()
    train(recipe, tmp_path / "killed", callbacks=[])
    for name in ("checkpoint/line.json", "best/line.json", "recipe.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")


def test_evaluators_are_asked_in_time_and_the_best_model_is_kept(recipe: Path, tmp_path: Path) -> None:
    result = train(recipe, tmp_path / "run", ["learning_rate=1.0"], callbacks=[])
    lines = [line for line in result.metrics if "eval/line/slope_error" in line]
    assert [line["step"] for line in lines] == [0, 7, 14, 21, 28, 35, 40]
    best = min(lines, key=lambda line: line["eval/line/slope_error"])
    assert result.best is not None and json.loads((result.best / "line.json").read_text())["step"] == best["step"]
    assert json.loads((result.checkpoint / "line.json").read_text())["step"] == 40
    assert result.steps == 40 and result.counts == {"points": 640.0}


def test_evaluators_change_nothing_that_is_learned(recipe: Path, tmp_path: Path) -> None:
    """Random numbers that an evaluator draws are put back; the recipe's hash does not know evaluators."""
    plain = tmp_path / "plain.toml"
    plain.write_text(RECIPE)
    assert load(str(plain)).hash == load(str(recipe)).hash
    found = [train(path, tmp_path / path.stem, callbacks=[]) for path in (recipe, plain)]
    texts = [json.loads((result.checkpoint / "line.json").read_text()) for result in found]
    assert texts[0]["weights"] == texts[1]["weights"] and found[1].best is None


def test_a_run_may_be_resumed_with_other_evaluators(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run", ["max_steps=10"], callbacks=[])
    recipe.write_text(RECIPE + EVALUATORS_OF_IT.replace("every = 7", "every = 5"))
    result = train(recipe, tmp_path / "run", callbacks=[])
    steps = [line["step"] for line in result.metrics if "eval/line/slope_error" in line]
    assert steps == [0, 7, 10, 15, 20, 25, 30, 35, 40]
    with pytest.raises(SettingError, match=r"another recipe: line.slope \(was 3.0, is 4.0\)"):
        train(recipe, tmp_path / "run", ["slope=4.0"], callbacks=[])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('metric = "slope_error"', 'metric = "slope_eror"'), "has no metric 'slope_eror' (did you mean slope_error?"),
        (('kind = "slope"', 'kind = "slop"'), "there is no kind of evaluator 'slop' (did you mean slope?"),
        (("every = 7", "every = 0"), "every is 0 and must be at least 1"),
        (("every = 7", ""), "line.toml [[evaluators]] needs every"),
        (("minimize = true", "minimise = true"), "has no key 'minimise' (did you mean minimize?"),
        (("[[evaluators]]", "[evaluators]"), "evaluators is a list of tables, written [[evaluators]]"),
        (("slope = 3.0", "slop = 3.0"), "line.toml [line] has no key 'slop' (did you mean slope?"),
        (("slope = 3.0", "slope = 3.0\nseed = 1"), "line.toml [line] has no key 'seed': it belongs in [train]"),
    ],
)
def test_wrong_tables_are_refused(recipe: Path, tmp_path: Path, change: tuple[str, str], said: str) -> None:
    recipe.write_text((RECIPE + EVALUATORS_OF_IT).replace(*change))
    with pytest.raises(SettingError) as error:
        train(recipe, tmp_path / "run", callbacks=[])
    assert said in str(error.value)


def test_one_evaluator_decides(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE + EVALUATORS_OF_IT + EVALUATORS_OF_IT)
    with pytest.raises(SettingError, match="two evaluators are named 'line'"):
        load(str(recipe))
    recipe.write_text(RECIPE + EVALUATORS_OF_IT + EVALUATORS_OF_IT.replace('"line"', '"other"'))
    with pytest.raises(SettingError, match="set keep_best once"):
        load(str(recipe))
    assert load(str(recipe), ["evaluators=[]"]).evaluators == ()


def test_a_run_that_uses_no_sample_is_an_error(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nothing was learned"):
        train(recipe, tmp_path / "run", ["points=0", "evaluators=[]"], callbacks=[])
