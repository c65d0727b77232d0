"""`whenwhere train status`: what a run's folder says of it, while it goes on, damaged or finished."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.cli import main
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.training.status import run_status, summary
from whenwhere.training.status_page import chart, ticks, write_status_page

EVALUATOR = {"name": "val", "metric": "m_tIoU", "minimize": False, "keep_best": True}


def made(folder: Path, lines: list[Any], **recipe: Any) -> Path:
    """A run's folder with lines of metrics; texts are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"stage": "rl", "train": {"max_steps": 100}, "evaluators": [EVALUATOR]} | recipe
    (folder / "recipe.json").write_text(json.dumps({"name": "mine", "hash": "0", "recipe": entry}))
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "metrics.jsonl").write_text("".join(f"{text}\n" for text in texts))
    return folder


def rl(step: int, **metrics: float) -> dict[str, float]:
    usual = {"loss": 0.5, "reward": 0.3, "reward/t_iou": 0.2, "zero_variance": 0.2, "entropy": 1.0, "length": 40.0}
    return {
        "step": step,
        **usual,
        "parse_rate": 0.9,
        **metrics,
        "lr": 1e-5,
        "clips/a": step * 8.0,
        "seconds": step * 2.0,
    }


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    lines = [{"step": 0, "eval/val/m_tIoU": 0.35}, *(rl(k) for k in range(10, 60, 10))]
    lines += [{"step": 20, "eval/val/m_tIoU": 0.4}, {"step": 50, "eval/val/m_tIoU": 0.38}]
    run = made(tmp_path / "run", lines)
    (run / "checkpoints" / "step-000050").mkdir(parents=True)
    found = run_status(run)
    assert (found.recipe, found.stage, found.step, found.of, found.finished) == ("mine", "rl", 50, 100, False)
    assert found.seconds == 100 and found.left == pytest.approx(100) and found.models == (50,)
    assert found.metrics["reward"] == 0.3 and found.metrics.keys().isdisjoint({"step", "seconds", "eval/val/m_tIoU"})
    (val,) = found.evaluators
    assert (val.value, val.step, val.base, val.best, val.best_step) == (0.38, 50, 0.35, 0.4, 20)
    assert not found.warnings
    text = summary(found)
    assert text[0].startswith("update 50 of 100 (50%), 1 min 40 s so far, about 1 min 40 s left; the last line of ")
    assert "val m_tIoU 0.38 at 50 (base 0.35, best 0.4 at 20)" in text and text[-1] == f"models: {run}@50"


def test_a_finished_run(tmp_path: Path) -> None:
    run = made(tmp_path / "run", [rl(k) for k in (10, 20)], train={"max_steps": 20})
    (run / "checkpoint").mkdir()
    about = run / "checkpoint" / "whenwhere.json"
    about.write_text(json.dumps({"step": 20}))
    assert run_status(run).finished and summary(run_status(run))[0].endswith("so far, finished")
    made(run, [rl(k) for k in (10, 20)])
    assert summary(run_status(run))[0].endswith("20%), 40 s so far, ended early")
    # the run was resumed with more updates
    about.write_text(json.dumps({"step": 10}))
    assert not run_status(run).finished


def test_damaged_lines_and_files(tmp_path: Path) -> None:
    """Whatever can be read is shown: nothing stops at a torn line, a wrong type, or a recipe that is not there."""
    odd = ['{"step": 30, "loss": 0.', "[1]", '"text"', '{"loss": 3}', '{"step": "a", "loss": 1}', '{"step": true}',
           '{"step": -4, "loss": 1}', '{"step": 20, "loss": "high", "reward": null, "seconds": 9}',
           '{"step": 20, "loss": NaN, "entropy": 1e400}', "\x00\x00", ""]  # fmt: skip
    run = made(tmp_path / "run", [rl(10), *odd])
    found = run_status(run)
    assert found.step == 20 and math.isnan(found.metrics["loss"]) and found.seconds == 9.0
    assert any("not finite" in text for text in found.warnings)
    for text in ("{", "[]", '{"recipe": 5}', '{"recipe": {"train": [], "evaluators": [1, {}]}}', '{"max_steps": "x"}'):
        (run / "recipe.json").write_text(text)
        found = run_status(run)
        assert found.of is None and found.left is None and found.step == 20
        write_status_page(found)
    (run / "recipe.json").unlink()
    assert run_status(run).recipe == ""
    new = made(tmp_path / "new", [])
    (new / "metrics.jsonl").unlink()
    assert run_status(new).step == 0 and run_status(new).age is None and summary(run_status(new))
    for folder, said in ((tmp_path, "is not the folder of a training run"), (tmp_path / "none", "does not exist")):
        with pytest.raises(SettingError, match=said):
            run_status(folder)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"zero_variance": 0.9}, "90% of the groups have completions of equal reward"),
        ({"truncated": 0.5}, "50% of the completions are cut off: raise max_completion_length"),
        ({"parse_rate": 0.1}, "only 10% of the completions can be read"),
        ({"format_variance": 0.8}, "80% of the differences in reward are those of the format"),
        ({"clips": 80.0, "skipped": 400.0}, "samples could not be used"),
        ({"loss": math.inf}, "not finite"),
    ],
)
def test_what_looks_wrong_is_said(tmp_path: Path, metrics: dict[str, float], said: str) -> None:
    (found,) = run_status(made(tmp_path, [rl(k, **metrics) for k in range(1, 30)])).warnings
    assert said in found


def test_trends_are_said(tmp_path: Path) -> None:
    lines = [rl(k, entropy=1.0 if k < 15 else 0.05, length=40 if k < 15 else 200) for k in range(1, 40)]
    lines += [{"step": 0, "eval/val/m_tIoU": 0.5}, {"step": 20, "eval/val/m_tIoU": 0.4}]
    found = "\n".join(run_status(made(tmp_path, lines)).warnings)
    assert "the entropy fell from 1 to 0.05" in found and "completions grew from 40 to 200 tokens" in found
    assert "val m_tIoU was never better than before training, 0.5" in found


def test_the_page(tmp_path: Path) -> None:
    lines: list[Any] = [rl(k) for k in range(1, 700)]
    lines += [{"step": 0, "eval/val/m_tIoU": 0.35}, {"step": 90, "eval/val/m_tIoU": 0.4}]
    run = made(tmp_path / "a<b", lines)
    text = write_status_page(run_status(run)).read_text(encoding="utf-8")
    assert "a&lt;b: mine" in text and "<script" not in text and "http" not in text
    captions = [part.split("</figcaption>")[0] for part in text.split("<figcaption>")[1:]]
    assert captions == [
        "val m_tIoU", "Loss", "Reward and its terms", "Groups of equal reward", "Length of completions (tokens)",
        "Entropy", "Shares of completions", "Learning rate", "Samples by source",
    ]  # fmt: skip
    assert "reward/t_iou 0.2" in text and "before training 0.35" in text and text.count('<line class="base"') == 1


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.integers(0, 10**9), st.floats(allow_nan=True, allow_infinity=True), max_size=40),
    st.none() | st.floats(-1e9, 1e9),
)
def test_any_curve_is_drawn_inside_its_picture(curve: dict[int, float], base: float | None) -> None:
    root = ElementTree.fromstring(chart({"a": dict(sorted(curve.items()))}, base))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for path in root.iter("path"):
        for point in path.attrib["d"].removeprefix("M").split(" L"):
            x, y = map(float, point.split())
            assert 0 <= x <= width and 0 <= y <= height


@settings(max_examples=50, deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_span_the_range(low: float, size: float) -> None:
    if low + size > low + abs(low) * 1e-9:
        found = ticks(low, low + size)
        assert 2 <= len(found) <= 8 and found == sorted(set(found))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def ran(*arguments: object, status: int = 0) -> Any:
        monkeypatch.setattr(sys, "argv", ["whenwhere", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert (left.value.code or 0) == status
        return capsys.readouterr()

    return ran


def test_the_command(run: Any, tmp_path: Path) -> None:
    one, two = (made(tmp_path / name, [rl(k, zero_variance=0.9) for k in (10, 20)]) for name in ("one", "two"))
    said = run("train", "status", one, two, "--html").out
    assert f"{one}: mine (rl)" in said and f"{two}: mine (rl)" in said and said.count("warning: 90%") == 2
    assert (one / "status.html").exists() and (two / "status.html").exists()
    (entry,) = map(json.loads, run("train", "status", one, "--json").out.splitlines())
    assert entry["step"] == 20 and entry["of"] == 100 and "curves" not in entry and entry["folder"] == str(one)
    assert "none does not exist" in run("train", "status", tmp_path / "none", status=2).err
    assert "RUN" in run("train", "status", "--help").out
    # `train` itself stays as it was
    assert "there is no recipe 'stat'" in run("train", "stat", "--out", tmp_path / "x", status=2).err
    assert "did you mean train status?" in run("status", one, status=2).err


def test_metrics_go_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with wandb's functions, which is 100 MB; offline mode was tried by hand with wandb 0.31."""
    from whenwhere.training.trackers import tracker

    began: list[dict[str, Any]] = []
    logged: list[dict[str, float]] = []

    def init(**how: Any) -> Any:
        if began and began[-1].get("fails"):
            raise RuntimeError("api_key not configured\n (no-tty)")
        began.append(how)
        return SimpleNamespace(log=logged.append, define_metric=lambda *names, **how: None)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    for step in (0, 2):
        tracker("wandb", tmp_path / "run", step, {"seed": 1})(step + 1, {"loss": 0.5})
    assert logged == [{"loss": 0.5, "update": 1}, {"loss": 0.5, "update": 3}]
    assert began[0]["id"] == began[1]["id"] and began[0]["name"] == "run" and began[0]["resume"] == "allow"
    began.append({"fails": True})
    with pytest.raises(SettingError, match=r"\(api_key not configured \(no-tty\)\): run `wandb login`, set WANDB_MODE"):
        tracker("wandb", tmp_path / "run", 0, {})
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"whenwhere\[track\]"):
        tracker("wandb", tmp_path / "run", 0, {})
