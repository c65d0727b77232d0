"""The loop: what it refuses, what it skips, when it stops, and several processes that train as one."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import processes_child
import training_child
from forked import TORCH, Forker
from tiny_policies import Told, Two, blank_policy, lines, opened
from training_child import SETTINGS

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import ModelError, SettingError
from whenwhere.training.checkpoint import STATE, cut_back
from whenwhere.training.run_folder import SampleError

pytestmark = [
    pytest.mark.torch, pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("error::whenwhere.training.prefix.scorer.FallbackWarning"),
]  # fmt: skip


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blank_policy(tmp_path_factory.mktemp("blank") / "policy", side=64)


@pytest.fixture
def train(blank: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Trains in `tmp_path`; returns what was said to a person."""

    def go(source: Any = None, tell: Any = None, **settings: Any) -> list[str]:
        from whenwhere.training.loop import TrainingRun
        from whenwhere.training.sft.objective import SFTObjective

        said: list[str] = []
        how = replace(SETTINGS, lora_r=0, **settings)
        run = TrainingRun(tmp_path, callbacks=[Told(tell, said.append)])
        run.train(SFTObjective(opened(blank), Two(2) if source is None else source, how))
        return said

    return go


# bad input


def test_a_loss_that_is_not_finite_stops_the_run_at_the_last_good_state(train: Any, tmp_path: Path) -> None:
    """A weight is spoiled at update 5, as by an overflow: the state of update 3 stays, and the run can be resumed."""
    import torch

    from whenwhere.training.checkpoint import load_state
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.prefix.policy import Policy

    holders: list[Policy] = []
    prepare = Policy.prepare

    def spoil(progress: Any) -> None:
        if progress.step == 4:
            with torch.no_grad():
                holders[-1].parts.text_model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan

    def noted(self: Policy, settings: Any) -> None:
        holders.append(self)
        prepare(self, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Policy, "prepare", noted)
        with pytest.raises(ModelError, match=r"the loss of update 5 is not finite \(nan\).*last good state is kept"):
            train(tell=spoil)
    state = load_state(tmp_path)
    assert state is not None and state["step"] == 3
    assert all(bool(torch.isfinite(w).all()) for w in state["weights"].values())
    assert not (tmp_path / "checkpoint").exists()
    train()
    assert lines(tmp_path)[-1]["step"] == SETTINGS.max_steps and TrainingRun(tmp_path).folder == tmp_path


def test_a_prompt_over_the_budget_is_skipped_and_named(train: Any, tmp_path: Path) -> None:
    source = Two()
    long = source.samples[1]
    source.samples[1] = replace(
        long, images=np.concatenate([long.images] * 4), times=np.arange(32) / 2, id="long clip"
    )  # fmt: skip
    said = train(source, max_prompt_length=40)
    skipped = lines(tmp_path, "skipped.jsonl")
    assert {line["sample"] for line in skipped} == {"long clip"}
    assert "more than max_prompt_length = 40" in skipped[0]["reason"]
    assert len(said) == 1 and said[0].startswith("long clip is skipped: its prompt has ")
    assert lines(tmp_path)[-1]["skipped"] == len(skipped) == 10 and lines(tmp_path)[-1]["clips"] == 10


def test_an_answer_that_the_form_cannot_hold_leaves_out_its_question(train: Any, tmp_path: Path) -> None:
    source = Two(2)
    first = source.samples[0]
    wrong = replace(first.questions[1], truth=replace(first.questions[1].truth, spans=None, choice="A"), id="chosen")
    source.samples[0] = replace(first, questions=(first.questions[0], wrong))
    said = train(source, max_steps=2)
    assert len(said) == 1 and said[0].startswith("question chosen is skipped")
    last = lines(tmp_path)[-1]
    assert (last["clips"], last["sentences"], last["skipped"], last["left_out"]) == (4, 6, 0, 2)


def test_nothing_to_learn_from_is_an_error(train: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none of the last 2 samples could be used.*max_prompt_length = 3"):
        train(max_prompt_length=3)
    with pytest.raises(SettingError, match="the source is empty"):
        train(training_child.Broken.__new__(Empty))


class Empty(Two):
    def __len__(self) -> int:
        return 0


def test_real_videos_the_good_the_torn_and_the_wrong(train: Any, moving_clip: Path, tmp_path: Path) -> None:
    """One pass over four videos: two are learned from; one cannot be read, one has a span outside of it."""
    from whenwhere.training.data.sources import ItemSource

    (tmp_path / "torn.mp4").write_bytes(b"no video")
    (tmp_path / "copy.mp4").write_bytes(moving_clip.read_bytes())
    (tmp_path / "other.mp4").write_bytes(moving_clip.read_bytes())
    items = [
        Item("a", "copy.mp4", "a red square moves right", span_array([(1, 4)])),
        Item("b", "copy.mp4", "a blue square moves down", span_array([(3, 6)])),
        Item("c", "copy.mp4", "a green square", span_array()),
        Item("d", "torn.mp4", "a dog", span_array([(0, 1)])),
        Item("e", "other.mp4", "a red square moves right", span_array([(4, 60)])),
        Item("f", "missing.mp4", "a red square", span_array([(1, 2)])),
        Item("g", "copy.mp4", "left out", span_array([(2, 1)]), status="invalid"),
    ]
    source = ItemSource(items, sample_fps=2, long_side=64, folder=tmp_path)
    assert len(source) == 4
    sample = source[0]
    assert sample.images.shape == (12, 48, 64, 3) and [q.id for q in sample.questions] == ["a", "b", "c"]
    assert sample.questions[0].truth.size == (160.0, 120.0) and sample.questions[0].truth.duration == 6.0
    assert np.allclose(sample.times, np.arange(12) / 2)
    with pytest.raises(SampleError, match=r"item e has a span of 4 to 60 s, but other.mp4 lasts 6.00 s"):
        source[2]
    said = train(source, max_steps=2, samples_per_step=2)
    assert {line["sample"] for line in lines(tmp_path, "skipped.jsonl")} == {"torn.mp4", "other.mp4", "missing.mp4"}
    assert len(said) == 3 and all("is skipped: " in text for text in said)
    assert lines(tmp_path)[-1]["sentences"] == 3


# what is written


def test_lines_after_the_state_are_cut_off(tmp_path: Path) -> None:
    (tmp_path / "completions").mkdir()
    for name in ("metrics.jsonl", "completions/a.jsonl"):
        (tmp_path / name).write_text('{"step": 1}\n{"step": 2, "text": "é"}\n{"step": 3}\n{"step": 4, "te')
    cut_back(tmp_path, 2)
    for name in ("metrics.jsonl", "completions/a.jsonl"):
        assert (tmp_path / name).read_text(encoding="utf-8") == '{"step": 1}\n{"step": 2, "text": "é"}\n'


def test_metrics_and_progress(train: Any, tmp_path: Path) -> None:
    seen: list[Any] = []
    train(tell=seen.append, lr_scheduler_type="linear", warmup_steps=2, max_steps=6, logging_steps=4)
    assert [p.step for p in seen] == [1, 2, 3, 4, 5, 6] and all(p.of == 6 for p in seen)
    assert seen[-1].left == 0 < seen[0].left and "loss" in seen[0].metrics
    found = lines(tmp_path)
    assert [line["step"] for line in found] == [4, 6]
    assert found[0]["loss"] == pytest.approx(np.mean([p.metrics["loss"] for p in seen[:4]]))
    assert found[-1]["lr"] == pytest.approx(SETTINGS.learning_rate / 4)


def test_metrics_for_a_dashboard(train: Any, tmp_path: Path) -> None:
    """The same numbers in TensorBoard's files; those after the resumed state are gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    how: dict[str, Any] = {"report_to": "tensorboard", "lr_scheduler_type": "constant", "save_steps": 4}

    def stop(progress: Any) -> None:
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tell=stop, **how)
    train(**how)
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [e.step for e in read.Scalars("loss")] == [2, 4, 6, 8, 10]
    losses = [line["loss"] for line in lines(tmp_path)]
    assert [e.value for e in read.Scalars("loss")] == pytest.approx(losses, rel=1e-5)


def test_a_source_in_an_order_of_its_own(train: Any) -> None:
    asked: list[tuple[int, float]] = []

    class Ordered(Two):
        def at(self, place: int, progress: float) -> Any:
            asked.append((place, progress))
            return self.samples[0]

    train(Ordered(), max_steps=2, samples_per_step=2)
    assert asked == [(0, 0.0), (1, 0.0), (2, 0.5), (3, 0.5)]


# several processes


def test_two_processes_train_as_one_with_twice_the_clips(forker: Forker, blank: Path, tmp_path: Path) -> None:
    """On the CPU: the same losses, norms, counts and weights, to rounding."""
    from safetensors.torch import load_file

    forker.run_together([processes_child.__file__, str(blank), str(tmp_path / "two"), "1"], 2, imports=[*TORCH, "peft"])
    processes_child.main(str(blank), str(tmp_path / "one"), "2")
    one, two = (lines(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 3
    for a, b in zip(one, two, strict=True):
        assert {k: a[k] for k in ("step", "clips", "tokens", "sentences", "skipped")} == {
            k: b[k] for k in ("step", "clips", "tokens", "sentences", "skipped")
        }
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5) and b["flops"] == pytest.approx(a["flops"])
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-4)
    assert [line["sample"] for line in lines(tmp_path / "two", "skipped.jsonl")] == [
        line["sample"] for line in lines(tmp_path / "one", "skipped.jsonl")
    ]
    assert lines(tmp_path / "one")[-1]["skipped"] > 0
    wanted, found = (load_file(tmp_path / n / "checkpoint" / "model.safetensors") for n in ("one", "two"))
    assert wanted.keys() == found.keys()
    assert max(float((wanted[k] - found[k]).abs().max()) for k in wanted) < 1e-4
    assert (tmp_path / "two" / STATE).exists()


def test_lines_of_other_runs_and_other_files_stay(train: Any, tmp_path: Path) -> None:
    """A run that begins in a folder with another run in it, and with files of the user's, leaves both as they are."""
    other = tmp_path / "other" / "metrics.jsonl"
    other.parent.mkdir()
    other.write_text('{"step": 5}\n')
    own = tmp_path / "manifest.jsonl"
    own.write_text('{"step": 7}\n[1]\n')
    train()
    assert other.read_text() == '{"step": 5}\n' and own.read_text() == '{"step": 7}\n[1]\n'


def test_a_stopped_run_keeps_its_last_update(blank: Path, tmp_path: Path) -> None:
    """As at Ctrl-C: the state is that of the current update; a rerun ends as if nothing had happened."""
    from whenwhere.training.callbacks import Progress
    from whenwhere.training.checkpoint import load_state
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.sft.objective import SFTObjective

    def go(folder: Path, halt: bool) -> None:
        def tell(progress: Progress) -> None:
            run.stop_requested = halt and progress.step == 2

        run = TrainingRun(folder, callbacks=[Told(tell)])
        run.train(SFTObjective(opened(blank), Two(2), replace(SETTINGS, lora_r=0, save_steps=100)))

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "halted", True)
    state = load_state(tmp_path / "halted")
    assert state is not None and state["step"] == 3
    go(tmp_path / "halted", False)
    go(tmp_path / "whole", False)
    one, other = (tmp_path / name / "checkpoint" / "model.safetensors" for name in ("halted", "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_a_run_that_could_use_no_sample_is_an_error(train: Any, tmp_path: Path) -> None:
    """Even where it ends before every sample was tried once."""

    class Broken(Two):
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> Any:
            raise SampleError(f"clip{index}", "it cannot be read")

    with pytest.raises(SettingError, match="nothing was learned"):
        train(source=Broken())
    assert not (tmp_path / "checkpoint").exists()
