"""Models that a run keeps, their names, ending early, and the comparison with the model that training began with."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import regression_stage
from forked import Forker

from whenwhere.errors import OutputError, SettingError
from whenwhere.models.runs import kept_steps, resolve_run
from whenwhere.training.callbacks import EvaluatorHistory, TrainingCallback
from whenwhere.training.evaluation import Evaluation
from whenwhere.training.evaluators import EvaluatorSettings, ScheduledEvaluator
from whenwhere.training.kept_models import KeptModels
from whenwhere.training.run import TrainingResult, train

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

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
EVALUATOR = """
[[evaluators]]
name = "line"
kind = "slope"
every = 2
metric = "slope_error"
minimize = true
keep_best = true
"""


class Scripted(regression_stage.SlopeError):
    """An evaluator that returns given values one by one, and the last one from then on."""

    values: ClassVar[list[float]] = []

    def evaluate(self) -> dict[str, float]:
        return {"slope_error": self.values.pop(0) if len(self.values) > 1 else self.values[0]}


class Heard(TrainingCallback):
    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "line.toml"
    path.write_text(RECIPE + EVALUATOR)
    with regression_stage.registered():
        yield path


@pytest.fixture
def scripted(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Heard, Any]]:
    """Trains with an evaluator that measures the given values; returns what was said, and the result."""

    def go(values: list[float], *changes: str, keys: str = "", run: str = "run") -> tuple[Heard, TrainingResult]:
        recipe.write_text(RECIPE + EVALUATOR + keys)
        Scripted.values = list(values)
        monkeypatch.setattr(regression_stage, "SlopeError", Scripted)
        heard = Heard()
        return heard, train(recipe, tmp_path / run, changes, callbacks=[heard])

    return go


def evaluated(result: TrainingResult) -> list[int]:
    return [line["step"] for line in result.metrics if "eval/line/slope_error" in line]


# kept models


@pytest.mark.parametrize(
    ("limit", "steps"), [("none", [10, 20, 30, 40]), ("2", [30, 40]), ("1", [40]), ("0", []), ("9", [10, 20, 30, 40])]
)
def test_the_models_of_saved_updates_are_kept(recipe: Path, tmp_path: Path, limit: str, steps: list[int]) -> None:
    train(recipe, tmp_path / "run", [f"save_total_limit={limit}"], callbacks=[])
    assert list(kept_steps(tmp_path / "run")) == steps
    for step, folder in kept_steps(tmp_path / "run").items():
        assert json.loads((folder / "line.json").read_text())["step"] == step
    # a smaller limit may be set when the run goes on; the result is kept once
    train(recipe, tmp_path / "run", ["save_total_limit=1", "max_steps=45"], callbacks=[])
    assert list(kept_steps(tmp_path / "run")) == [45]


def test_models_after_the_state_are_written_again(forker: Forker, recipe: Path, tmp_path: Path) -> None:
    """A process that is killed while it writes a model leaves no half one, and the rerun has the same models."""
    call = [regression_stage.__file__, str(recipe), str(tmp_path / "run"), "26"]
    killed = forker.run(call, imports=["torch"])
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    folder = tmp_path / "run" / "checkpoints"
    assert list(kept_steps(tmp_path / "run")) == [10, 20]
    (folder / "step-000025").mkdir()  # of an update after the state
    (folder / ".removed-step-000005-1").mkdir()  # what was being deleted
    train(recipe, tmp_path / "run", callbacks=[])
    assert sorted(path.name for path in folder.iterdir()) == [f"step-0000{n}" for n in (10, 20, 30, 40)]


def test_a_full_disk_keeps_the_last_good_state(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a model is written: one sentence, and the rerun ends as if nothing had happened."""
    whole = regression_stage.Regression.save

    def full(self: Any, folder: Path, about: dict[str, Any]) -> None:
        if folder.name == "step-000020":
            raise OutputError(
                f"cannot write {folder}: No space left on device; choose another --out or make room there"
            )
        whole(self, folder, about)

    with monkeypatch.context() as patch:
        patch.setattr(regression_stage.Regression, "save", full)
        with pytest.raises(OutputError, match="step-000020: No space left"):
            train(recipe, tmp_path / "run", callbacks=[])
    assert list(kept_steps(tmp_path / "run")) == [10]
    train(recipe, tmp_path / "run", callbacks=[])
    train(recipe, tmp_path / "other", callbacks=[])
    names = ("checkpoint/line.json", "checkpoints/step-000020/line.json", "best/line.json")
    assert all((tmp_path / "run" / n).read_bytes() == (tmp_path / "other" / n).read_bytes() for n in names)


def test_the_result_is_written_once(tmp_path: Path) -> None:
    result = tmp_path / "checkpoint"
    (result / "inner").mkdir(parents=True)
    (result / "inner" / "weights").write_bytes(b"1234")
    KeptModels(tmp_path, None).keep_result(7, result)
    kept = kept_steps(tmp_path)[7] / "inner" / "weights"
    assert kept.samefile(result / "inner" / "weights") and kept.read_bytes() == b"1234"


# names


def fake_run(folder: Path, steps: tuple[int, ...] = (50, 100), result: int | None = 120, best: int | None = 70) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text("{}")
    places = {f"checkpoints/step-{step:06d}": step for step in steps} | {"checkpoint": result, "best": best}
    for name, step in places.items():
        if step is not None:
            (folder / name).mkdir(parents=True)
            (folder / name / "whenwhere.json").write_text(json.dumps({"step": step}))
    return folder


def test_models_of_a_run_have_names(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "sft")
    wanted = {"50": "checkpoints/step-000050", "0100": "checkpoints/step-000100", "120": "checkpoint", "70": "best",
              "last": "checkpoint", "best": "best"}  # fmt: skip
    assert {which: resolve_run(f"{run}@{which}") for which in wanted} == {k: str(run / v) for k, v in wanted.items()}
    going = fake_run(tmp_path / "going", result=None, best=None)
    assert resolve_run(f"{going}@last") == str(going / "checkpoints/step-000100")
    extended = fake_run(tmp_path / "extended", steps=(50, 130))
    assert resolve_run(f"{extended}@last") == str(extended / "checkpoints/step-000130")
    # a folder of that very name, and names that mean something else
    (tmp_path / "a@5").mkdir()
    others = [f"{tmp_path}/a@5", "owner/name", "http://host/v1#m@5", "me@example", "@5", "runs/a@", "tiny"]
    assert [resolve_run(name) for name in others] == others
    (going / "checkpoints" / "step-000100" / "whenwhere.json").write_text("{")
    assert resolve_run(f"{going}@100").endswith("step-000100")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sft@51", r"sft has no model '51': it has 50, 70, 100, 120, last, best$"),
        ("going@best", r"no model 'best': it has 50, 100, last; an evaluator with keep_best keeps the best one$"),
        ("new@last", r"no model 'last': it has none yet$"),
        ("none@5", r"none does not exist: .*none@5 needs a run that `whenwhere train --out` made$"),
        ("plain@5", r"plain is not the folder of a training run"),
    ],
)
def test_unknown_models_of_a_run(tmp_path: Path, name: str, said: str) -> None:
    from whenwhere.models.backends.resolve import check_model_name

    fake_run(tmp_path / "sft")
    fake_run(tmp_path / "going", result=None, best=None)
    fake_run(tmp_path / "new", (), None, None)
    (tmp_path / "plain").mkdir()
    with pytest.raises(SettingError, match=said):
        check_model_name(str(tmp_path / name))


# ending early, and the base


def test_a_run_ends_when_it_no_longer_improves(scripted: Any, tmp_path: Path) -> None:
    heard, result = scripted([9, 5, 4, 6, 4, 4.5, 1], keys="patience = 3\n")
    assert result.steps == 10 and evaluated(result) == [0, 2, 4, 6, 8, 10]
    assert result.metrics[-1]["step"] == 10 and "loss" in result.metrics[-1]  # the rest of the metrics is not lost
    assert json.loads((result.best / "line.json").read_text())["step"] == 4
    assert heard.messages == [
        "the run ends early: line slope_error did not improve in 3 evaluations (the best is 4 after update 4); a "
        "larger patience resumes it"
    ]
    assert not heard.warnings
    # the same command changes nothing; more patience goes on where it ended, and the count is kept
    again, same = scripted([0], keys="patience = 3\n")
    assert same.steps == 10 and again.messages == heard.messages and same.metrics == result.metrics
    _, longer = scripted([7, 0, 0, 0, 0], keys="patience = 4\n")
    assert longer.steps == 12 and evaluated(longer)[-1] == 12
    _, on = scripted([3, 0], "max_steps=20", keys="patience = 5\n")
    assert on.steps == 20


def test_patience_is_counted_over_a_resumed_run(scripted: Any) -> None:
    """Ended by max_steps at every evaluation and resumed: it ends where the run in one piece ends."""
    values = [9, 8, 9, 9, 9, 9]
    for steps in range(2, 9, 2):
        _, result = scripted(values[:1] + values[1:2] if steps == 2 else [9], f"max_steps={steps}", keys="patience=3\n")
    assert result.steps == 8
    _, result = scripted([9], keys="patience = 3\n")
    assert result.steps == 8


def test_small_gains_do_not_count(scripted: Any) -> None:
    heard, result = scripted([9, 8.9, 8.8, 8.7, 1], keys="patience = 2\nmin_delta = 0.5\n")
    assert result.steps == 4 and "did not improve by more than 0.5 in 2 evaluations" in heard.messages[0]
    assert json.loads((result.best / "line.json").read_text())["step"] == 4
    # NaN is no gain
    _, result = scripted([9, float("nan"), float("nan")], keys="patience = 2\n", run="nan")
    assert result.steps == 4 and json.loads((result.best / "line.json").read_text())["step"] == 0


def test_the_untrained_model_is_the_base(scripted: Any) -> None:
    heard, result = scripted([5, 6, 7], run="worse")
    assert heard.warnings == [
        "line slope_error was never better than before training, 5: the run did not help by this measure; "
        f"{result.best} is that model"
    ]
    assert evaluated(result)[0] == 0 and json.loads((result.best / "line.json").read_text())["step"] == 0
    # not measured if the table says so, and then nothing is compared
    heard, result = scripted([5, 6, 7], keys="at_start = false\n", run="without")
    assert evaluated(result)[0] == 2 and not heard.warnings
    # an evaluator that only watches has no base unless asked
    only = "\n[[evaluators]]\nname = 'b'\nkind = 'slope'\nevery = 20\nmetric = 'slope_error'\n"
    _, result = scripted([5, 1], keys=only, run="watched")
    assert [line["step"] for line in result.metrics if "eval/b/slope_error" in line] == [20, 40]


def test_another_metric_begins_anew() -> None:
    """Values of one metric are not compared with those of another after the run was resumed."""

    def evaluation(**how: Any) -> Evaluation:
        settings = EvaluatorSettings(name="a", every=1, metric="m", **how)
        return Evaluation([ScheduledEvaluator(settings, Scripted(None))])  # type: ignore[arg-type]

    before = evaluation(patience=2)
    before.history["a"] = EvaluatorHistory(0.1, 0.5, 7, 1)
    state = json.loads(json.dumps(before.state()))
    for how, kept in (({"patience": 9}, True), ({"keep_best": True}, False), ({"minimize": True}, False)):
        after = evaluation(**how)
        after.restore(state)
        assert after.history["a"] == (before.history["a"] if kept else EvaluatorHistory())
