"""Difficulty of a manifest from any grounder's answers, and what the selectors would take of it."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from whenwhere.cli.data_difficulty import difficulty
from whenwhere.curate.difficulty import Difficulty, of_items, read
from whenwhere.curate.measured_difficulty import (
    WAYS,
    density_text,
    of_answers,
    selections,
    with_difficulty,
    write_density,
)
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

sys.path.insert(0, str(Path(__file__).parent))
from commands import run


def item(name: str, spans: list[tuple[float, float]], **others: object) -> Item:
    return Item(name, f"{name}.mp4", f"the {name} dog", span_array(spans), **({"duration": 20.0} | others))  # type: ignore[arg-type]


def said(*spans: tuple[float, float], **others: object) -> Prediction:
    return Prediction("x", spans=span_array(list(spans)), **others)  # type: ignore[arg-type]


def test_mean_and_spread_over_the_answers() -> None:
    items = [item("a", [(2, 6)]), item("b", []), item("bad", [(5, 2)], status="invalid"), item("part", [(1, 2)])]
    draws = [
        {"a": said((2, 6)), "b": said(status="absent"), "bad": said((2, 5)), "part": said((1, 2))},
        {"a": said((2, 4)), "b": said((1, 2)), "bad": said((2, 5))},
        {"a": said(status="failed"), "b": said(status="absent"), "bad": said((2, 5))},
    ]
    found = of_answers(items, draws, "m")
    assert list(found) == ["a", "b"]
    a = found["a"]
    assert a.difficulty == pytest.approx(1 - 1.5 / 3) and a.std == pytest.approx(np.std([1, 0.5, 0]))
    assert (a.draws, a.score, a.policy, a.fraction) == (3, "t_iou", "m", 0.2)
    assert found["b"].difficulty == pytest.approx(1 / 3, abs=1e-6)
    assert of_answers(items, draws[:1], "m")["part"].draws == 0
    with pytest.raises(RecordError, match="no valid item is answered"):
        of_answers(items, [{}], "m")
    with pytest.raises(SettingError, match="needs answers"):
        of_answers(items, [], "m")


def test_boxes_can_be_scored_too() -> None:
    span = SpanSet([(2, 4)])
    tube = Tube(span, [2, 3], [[0, 0, 2, 2]] * 2, rate=1)
    half = Boxes(np.array([2.0, 3.0]), np.array([[0, 0, 2, 1.0]] * 2))
    items = [item("a", [(2, 4)], tubes=[tube]), item("b", [(2, 4)], tubes=[tube]), item("c", [])]
    answers = {"a": said((2, 4), boxes=[half]), "b": said((2, 4)), "c": said(status="absent")}
    found = of_answers(items, [answers], "m", "v_iou")
    assert [d.difficulty for d in found.values()] == [0.25, 0.5, 0.0]
    assert found["a"].score == "0.5 t_iou + 0.5 v_iou"
    with pytest.raises(RecordError, match="has no true tube"):
        of_answers([item("a", [(2, 4)])], [answers], "m", "v_iou")


def test_a_manifest_carries_what_was_measured() -> None:
    items = [item("a", [(2, 6)]), item("b", [(2, 6)])]
    found = of_answers(items, [{"a": said((2, 4))}], "m")
    first, second = with_difficulty(items, found)
    assert (first.difficulty, first.difficulty_of, first.extra) == (0.5, "t_iou of m, greedy", {"difficulty_std": 0.0})
    assert second.difficulty is None and items[0].difficulty is None
    assert of_items([first])["a"].difficulty == 0.5


def measured(count: int, draws: int = 8) -> dict[str, Difficulty]:
    rng = np.random.default_rng(0)
    return {
        str(k): Difficulty(str(k), "v", None, 1, float(d), float(d * (1 - d)) if draws else 0.0, draws, duration=30.0)
        for k, d in enumerate(rng.random(count))
    }


def test_what_selectors_would_take() -> None:
    found = measured(400)
    rows = {row.name: row for row in selections(found, 100)}
    assert set(rows) == set(WAYS) and all(len(row.chosen) == sum(row.deciles) == 100 for row in rows.values())
    window = rows["Time-R1 0070_all: 0 < t_IoU <= .7, evenly"]
    assert window.deciles[:3] == [0, 0, 0] and min(found[k].difficulty for k in window.chosen) >= 0.3
    assert rows["TimeLens: about t_IoU .05, by density"].difficulty > rows["random"].difficulty + 0.2  # type: ignore[operator]
    middle = rows["Temporal-R1: highest variance"]
    assert middle.difficulty == pytest.approx(0.5, abs=0.05) and middle.deciles[0] == 0
    # one greedy answer has no variance: that way says so, and the others choose
    greedy = {row.name: row for row in selections(measured(40, 0))}
    assert greedy["Temporal-R1: highest variance"].why_not and len(greedy["random"].chosen) == 20
    with pytest.raises(SettingError, match="at least 1 item"):
        selections(found, 0)


def test_the_report(tmp_path: Path) -> None:
    found = measured(60)
    text = write_density(found, tmp_path, 10)
    assert "| all | 60 |" in text and "TimeLens" in text and density_text(found, selections(found, 10)) == text
    data = json.loads((tmp_path / "difficulty.json").read_text())
    assert data["summary"]["questions"] == 60 and data["selections"][0]["chosen"] == 10
    assert b"<svg" in (tmp_path / "density.svg").read_bytes()
    with pytest.raises(RecordError, match="there are no difficulties"):
        write_density({}, tmp_path)


def test_the_command(tmp_path: Path) -> None:
    file, out = tmp_path / "m.jsonl", tmp_path / "d.jsonl"
    manifest.write([item("a", [(2, 6)]), item("b", [(2, 6)])], file)
    for k, end in enumerate((4, 6)):
        lines = [{"id": name, "spans": [[2, end]]} for name in "ab"]
        (tmp_path / f"{k}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = ["--answers", tmp_path / "0.jsonl", "--answers", tmp_path / "1.jsonl"]
    annotated = tmp_path / "x.jsonl"
    done = run(
        "data", "difficulty", file, *both, "--out", out, "--annotated", annotated, "--report", tmp_path / "r", "--json"
    )
    assert json.loads(done.stdout)["mean"] == 0.25
    assert {k: (d.difficulty, d.std) for k, d in read(out).items()} == {"a": (0.25, 0.25), "b": (0.25, 0.25)}
    assert [i.difficulty for i in manifest.read(annotated)] == [0.25, 0.25]
    # what the manifest carries now needs no answers
    done = run("data", "difficulty", annotated, "--out", tmp_path / "s.jsonl")
    assert "mean 0.250" in done.stdout


def test_what_makes_no_sense_is_a_sentence(tmp_path: Path) -> None:
    file, out = tmp_path / "m.jsonl", tmp_path / "d.jsonl"
    manifest.write([item("a", [(2, 6)])], file)
    cases: list[tuple[str, dict[str, object], str]] = [
        (str(file), {"out": out}, "has no difficulty"), (str(file), {}, "nothing would be written"),
        (str(file), {"answers": [file], "model": "motion", "out": out}, "not both"),
        (str(file), {"changes": ["a=1"], "out": out}, "setting of a recipe"),
        (str(file), {"answers": [file], "score": "t_ious", "out": out}, "did you mean t_iou"),
        (str(file), {"model": "motion", "report": out}, "add --out FILE"),
        ("tiny-rl", {"answers": [file], "out": out}, "goes with a manifest"), ("tiny-rl", {}, "add --out FILE"),
    ]  # fmt: skip
    for given, options, text in cases:
        with pytest.raises((SettingError, RecordError), match=text):
            difficulty(given, **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == [file]


def test_a_grounder_is_asked(moving_clip: Path, tmp_path: Path) -> None:
    """The built-in grounder answers a manifest; asked again, its stored answers are used."""
    shutil.copy(moving_clip, tmp_path / "a.mp4")
    manifest.write([Item("a", "a.mp4", "something moves", span_array([(0, 1)])),
                    Item("gone", "b.mp4", "something moves", span_array([(0, 1)]))], tmp_path / "m.jsonl")  # fmt: skip
    given = ["data", "difficulty", tmp_path / "m.jsonl", "--model", "motion", "--out", tmp_path / "d.jsonl"]
    run(*given)
    found = read(tmp_path / "d.jsonl")
    # a video that is missing is an answer that failed, which is wholly wrong
    assert 0 <= found["a"].difficulty <= 1 and found["gone"].difficulty == 1 and found["a"].policy == "motion"
    first = (tmp_path / "d.jsonl").read_bytes()
    run(*given)
    assert (tmp_path / "d.jsonl").read_bytes() == first
