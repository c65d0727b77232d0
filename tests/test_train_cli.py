"""`whenwhere train` and `whenwhere data difficulty`, as a user meets them: runs, resumed runs, and what goes wrong.

In this process, because loading torch takes longer than all of the training here; exit statuses are those of `main`.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from forked import TORCH, Forker

from whenwhere.cli import main
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import ModelError, SettingError
from whenwhere.training.builders import _names_a_folder
from whenwhere.training.recipe import load
from whenwhere.video import FrameWriter

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

MICRO = [
    "hidden=32", "layers=1", "mlp=1", "vision_hidden=32", "vision_layers=1", "vision_mlp=1", "deepstack=[]",
    "world.seconds=[4, 4]", "samples_per_step=2", "logging_steps=1", "save_steps=1", "lr_scheduler_type=constant",
    "warmup_steps=0", "learning_rate=0.001", "grow=[]",
]  # fmt: skip
RL = [
    "world.seconds=[4, 4]", "prompts_per_step=2", "num_generations=2", "max_completion_length=6", "zero_variance=keep",
    "logging_steps=1", "max_steps=2",
]  # fmt: skip


class Done(NamedTuple):
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process."""

    def ran(*arguments: object, status: int = 0) -> Done:
        monkeypatch.setattr(sys, "argv", ["whenwhere", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        said = Done(*capsys.readouterr())
        assert (left.value.code or 0) == status, said
        return said

    return ran


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three updates, not interrupted."""
    folder = tmp_path_factory.mktemp("trained") / "sft"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["whenwhere", "train", "tiny-sft", *MICRO, "max_steps=3", "--out", str(folder)])
        main()
    assert not left.value.code
    return folder


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def weights(folder: Path) -> bytes:
    return (folder / "checkpoint" / "model.safetensors").read_bytes()


def test_a_run_goes_on_where_it_stopped(run: Run, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "sft"
    done = run("train", "tiny-sft", *MICRO, "max_steps=2", "--out", out)
    assert re.search(rf"2 updates in \d+ s; wrote {re.escape(str(out / 'checkpoint'))}", done.out)
    assert "tiny-sft 1/2 loss" in done.err and "Writing model shards" not in done.err
    assert weights(out) != weights(trained)
    done = run("train", "tiny-sft", *MICRO, "max_steps=3", "--out", out)
    assert "tiny-sft 3/3 loss" in done.err and "tiny-sft 2/3" not in done.err
    assert [line["step"] for line in lines(out / "metrics.jsonl")] == [1, 2, 3]
    assert weights(out) == weights(trained)
    # run once more: there is nothing left to do
    assert "/3 loss" not in run("train", "tiny-sft", *MICRO, "max_steps=3", "--out", out).err
    assert weights(out) == weights(trained)


def test_another_recipe_does_not_go_on(run: Run, trained: Path) -> None:
    before = weights(trained)
    done = run(
        "train", "tiny-sft", *MICRO, "max_steps=3", "learning_rate=0.5", "seconds=[4, 5]", "--out", trained, status=2
    )
    assert (
        "begun with another recipe: data.world.seconds (was [4, 4], is [4, 5]), train.learning_rate (was 0.001, is"
        in (done.err)
    )
    assert "set them back, or choose another --out" in done.err and weights(trained) == before


def test_rl_from_sft(run: Run, trained: Path, tmp_path: Path) -> None:
    done = run("train", "tiny-rl", f"checkpoint={trained}", *RL, "--out", tmp_path / "rl", "--json")
    *metrics, result = map(json.loads, done.out.splitlines())
    assert [m["step"] for m in metrics] == [1, 2] and {"loss", "reward", "reward_std"} <= metrics[0].keys()
    assert metrics == lines(tmp_path / "rl" / "metrics.jsonl")
    about = json.loads((tmp_path / "rl" / "checkpoint" / "whenwhere.json").read_text())
    kept = json.loads((tmp_path / "rl" / "recipe.json").read_text())
    assert result["recipe_hash"] == about["recipe_hash"] == kept["hash"]
    assert (about["dialect"], about["form"], about["sample_fps"], about["seconds"]) == ("tiny", "tokens", 2.0, 4.0)
    assert result["completions"] == 8 and len(list((tmp_path / "rl" / "completions").iterdir())) == 2


def test_difficulty_and_a_curriculum(run: Run, trained: Path, tmp_path: Path) -> None:
    file, few = tmp_path / "hard.jsonl", [f"checkpoint={trained}", *RL, "data.count=3"]
    found = json.loads(run("data", "difficulty", "tiny-rl", *few, "--draws", 2, "--out", file, "--json").out)
    assert found["score"] == "0.5 t_iou + 0.5 v_iou" and len(found["deciles"]) == 11 and found["draws"] == 2
    assert found["questions"] == len(lines(file)) > 3
    assert str(trained) in found["policy"]
    before = file.read_bytes()
    assert "deciles: " in run("data", "difficulty", "tiny-rl", *few, "--draws", 2, "--out", file).out
    assert file.read_bytes() == before
    assert "mixes difficulties: " in run("data", "difficulty", "tiny-rl", *few, "--out", file, status=1).err
    chosen = ["selector=spread", "curriculum.count=2", f"difficulty={file}"]
    run("train", "tiny-rl", *few, *chosen, "--out", tmp_path / "rl")
    asked = {line["question"] for k in (1, 2) for line in lines(tmp_path / f"rl/completions/step-{k:06d}.jsonl")}
    assert 1 <= len(asked) <= 2
    wider = [f"checkpoint={trained}", *RL, "data.count=5", *chosen]
    assert "difficulty of 3 of 5 samples" in run("train", "tiny-rl", *wider, "--out", tmp_path / "wider").err
    # measured anew for the second time that all is seen; what was measured stays
    run("train", "tiny-rl", *few, "schedule=rescored", "max_steps=9", "--out", tmp_path / "again")
    assert len(list((tmp_path / "again" / "difficulty").iterdir())) >= 2


def test_a_rescored_run_goes_on_to_the_same_weights(run: Run, tmp_path: Path) -> None:
    """In the middle of its second epoch, whose questions were chosen with the policy of then."""
    few = ["data.count=3", "schedule=rescored", "selector=random", "curriculum.count=8", "answer_tokens=9"]
    run("train", "tiny-sft", *MICRO, *few, "max_steps=5", "--out", tmp_path / "whole")
    for steps in (3, 5):
        run("train", "tiny-sft", *MICRO, *few, f"max_steps={steps}", "save_steps=2", "--out", tmp_path / "parts")
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")
    whole, parts = (
        {file.name: file.read_bytes() for file in (tmp_path / name / "difficulty").iterdir()}
        for name in ("whole", "parts")
    )
    # more updates than at first are the same run: nothing was measured anew
    assert whole == parts and sorted(name.split("-")[1] for name in whole)[:2] == ["0.jsonl", "1.jsonl"]


def test_list_and_plan(run: Run) -> None:
    assert "tiny-sft " in run("train", "--list").out
    listed = [json.loads(line) for line in run("train", "--list", "--json").out.splitlines()]
    assert {"time-r1", "timelens", "tvg-r1", "stvg-o1", "rl-stvg"} <= {entry["name"] for entry in listed}
    plan = json.loads(run("train", "tiny-sft", *MICRO, "max_steps=4", "--dry-run", "--json").out)
    cost = plan["estimate"]
    assert cost["parameters"] == cost["trained_parameters"] < 300_000 and cost["updates"] == 4
    assert cost["flops"] == 4 * cost["flops_per_update"] < cost["flops_with_repeated_prompts"]
    assert 40 < cost["prompt_tokens"] <= cost["longest_prompt"] < 200
    assert cost["memory"]["planned_for"] == "cpu" and 0 < cost["memory"]["total_gib"] < 0.5
    said = run("train", "tiny-rl", "checkpoint=tiny-new", *RL, "--dry-run").out
    assert 'stage = "rl"' in said and "num_generations = 2" in said and "flops per update: " in said
    assert "memory per device: " in said and "at the peak (" in said and "sampling " in said
    # what cannot be known does not hide the rest
    assert "needs annotations" in run("train", "timelens", "checkpoint=tiny-new", "form=tokens", "--dry-run").out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["tiny-sft", "lerning_rate=1"], 2, "there is no key 'lerning_rate' in a recipe (did you mean learning_rate?"),
        (["tiny-stf"], 2, "there is no recipe 'tiny-stf' (did you mean tiny-sft?"),
        ([], 2, "needs a RECIPE"),
        (["timelens", "checkpoint=tiny-new", "form=tokens"], 2, "add annotations=FILE"),
        (["timelens", "checkpoint=tiny-new", "form=tokens", "annotations=no.jsonl"], 2, "no annotations at no.jsonl"),
        (["tiny-rl", "checkpoint=./nothing-here"], 1, "nothing-here"),
        (["tiny-sft", "model.form=timelens"], 2, "set model.form=tokens, or say model.prompt"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(run: Run, tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    done = run("train", *arguments, *(MICRO[:7] if arguments else []), "--out", tmp_path, status=status)
    assert said in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "recipe.json").exists()


def test_no_folder(run: Run) -> None:
    assert "add --out RUN" in run("train", "tiny-sft", status=2).err


def test_missing_extra(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    done = run("train", "tiny-sft", *MICRO, "--out", tmp_path, status=1)
    assert done.err.strip() == "training needs torchvision, which is not installed: pip install 'whenwhere[train]'"


def test_not_a_number_stops(run: Run, tmp_path: Path) -> None:
    done = run("train", "tiny-sft", *MICRO, "max_steps=5", "learning_rate=1e30", "--out", tmp_path, status=1)
    assert "is not finite" in done.err and "the last good state is kept" in done.err and "\n\n" not in done.err
    assert not (tmp_path / "checkpoint").exists() and (tmp_path / "state" / "last.pt").exists()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of four videos: one is not a video, one has a sentence after its end, one a very long sentence."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    items = []
    for n in range(4):
        path = folder / f"{n}.mp4"
        with FrameWriter(path, 64, 48, 8) as writer:
            for _ in range(24):
                writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        spans = span_array([(0.5, 2.0) if n != 2 else (10.0, 20.0)])
        query = "the red square moves left" + " and moves right" * (200 if n == 3 else 0)
        items.append(Item(f"q{n}", path.name, query, spans, duration=3.0, split="train"))
    (folder / "1.mp4").write_bytes(b"no video")
    manifest.write(items, folder / "train.jsonl")
    return folder / "train.jsonl"


def test_bad_samples_are_skipped_counted_and_named(run: Run, clips: Path, tmp_path: Path) -> None:
    """In the middle of an epoch; the run continues, and the last line says how many and where."""
    changes = ["kind=manifest", f"annotations={clips}", "data.count=0", "max_steps=2", "max_prompt_length=400"]
    out = tmp_path / "run"
    done = run("train", "tiny-sft", *MICRO, *changes, "--out", out, status=1)
    assert "1.mp4" in done.err and "q2 has a span of 10 to 20 s" in done.err
    assert "more than max_prompt_length = 400" in done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("skipped 3 samples (") and str(out / "skipped.jsonl") in last
    assert {Path(str(entry["sample"])).name for entry in lines(out / "skipped.jsonl")} >= {"2.mp4", "3.mp4"}
    assert (out / "checkpoint" / "config.json").exists() and lines(out / "metrics.jsonl")[-1]["clips"] == 1
    # the same where difficulty is measured first: what cannot be measured is no part of the run, and is not forgotten
    chosen = ["selector=random", "answer_tokens=9"]
    done = run("train", "tiny-sft", *MICRO, *changes, *chosen, "--out", tmp_path / "chosen", status=1)
    assert "difficulty is measured on 4 samples" in done.err
    assert [Path(str(entry["sample"])).name for entry in lines(tmp_path / "chosen" / "skipped.jsonl")] == [
        "1.mp4", "2.mp4", "3.mp4",
    ]  # fmt: skip
    # by the filters of the recipe two of them never come up
    done = run(
        "train", "tiny-sft", *MICRO, *changes, "inside=true", "max_words=30", "--out", tmp_path / "filtered", status=1
    )
    assert "2 of 4 sentences are kept; left out: 1 × span outside the video, 1 × too many words" in done.err
    done = run("train", "tiny-sft", *MICRO, *changes, "max_words=1", "--out", tmp_path / "none", status=2)
    assert "is left to learn from" in done.err


def test_nothing_can_be_used(run: Run, tmp_path: Path) -> None:
    done = run("train", "tiny-sft", *MICRO, "data.count=4", "max_prompt_length=9", "--out", tmp_path, status=2)
    assert "none of the last 4 samples could be used" in done.err and "max_prompt_length = 9" in done.err


def test_a_folder_that_holds_something_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = run("train", "tiny-sft", *MICRO, "--out", tmp_path, status=2)
    assert "is not empty and holds no run" in done.err and [f.name for f in tmp_path.iterdir()] == ["notes.txt"]


def test_a_difficulty_that_nothing_uses_is_said(run: Run, tmp_path: Path) -> None:
    done = run("train", "tiny-rl", *RL, "difficulty=none.jsonl", "--out", tmp_path / "run", status=2)
    assert "difficulty has no effect" in done.err


def test_a_checkpoint_that_is_not_there_is_no_hub_id(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/one", "Qwen/model"):
        Path(name).mkdir(parents=True)
    Path("runs/one/recipe.json").touch()
    for name in (f"{tmp_path}/none", "runs/none"):
        done = run("train", "tiny-rl", f"checkpoint={name}", *RL, "--out", tmp_path / "run", status=1)
        assert f"there is no checkpoint or run {name}" in done.err
    # the owner of a hub id may have a folder of that name here
    assert [_names_a_folder(Path(name)) for name in ("Qwen/other", "other/other", "alone")] == [False, False, False]


@pytest.mark.parametrize("prompt", ['{"start": s}: {query}', "{query} {}", "{query} {"])
def test_braces_in_a_prompt_are_said(prompt: str) -> None:
    with pytest.raises(SettingError, match="double them"):
        load("tiny-sft", [f"model.prompt={json.dumps(prompt)}"])


def test_ctrl_c_ends_after_an_update_and_keeps_it(forker: Forker, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    call = ["-m", "whenwhere", "train", "tiny-sft", *MICRO, "save_steps=100000", "max_steps=100000", "--out", str(out)]
    child = forker.start(call, imports=[*TORCH, "peft"])
    deadline = time.monotonic() + 60
    while "tiny-sft 2/" not in child.errors and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    ended = child.wait(60)
    said = ended.stderr.decode()
    assert ended.returncode == 130, said
    assert "stopping after update" in said
    step = int(re.search(r"interrupted after update (\d+) of 100000; rerun to resume\n", said)[1])  # type: ignore[index]
    assert lines(out / "metrics.jsonl")[-1]["step"] == step
    done = run("train", "tiny-sft", *MICRO, "save_steps=100000", f"max_steps={step + 1}", "--out", out)
    assert f"tiny-sft {step + 1}/{step + 1} loss" in done.err and f"tiny-sft {step}/" not in done.err


def test_the_folder_of_a_run_says_where_its_checkpoint_is(trained: Path) -> None:
    from whenwhere.models.vlm import Checkpoint

    with pytest.raises(ModelError, match=r"is the folder of a run: its checkpoint is .*sft/checkpoint"):
        Checkpoint(str(trained), device="cpu", offline=True).config  # noqa: B018
