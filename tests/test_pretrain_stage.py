"""The stage `pretrain`: what a run learns, logs, resumes, refuses and saves."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import pretrain_runs
from forked import TORCH, Forker
from pretrain_runs import RECIPE, Colours, recipe, train

import whenwhere
from whenwhere.errors import ModelError, SettingError, WhenwhereError
from whenwhere.training.callbacks import Progress, TrainingCallback
from whenwhere.training.optimiser import rate_at
from whenwhere.training.pretrain.settings import PhaseSettings, PretrainSettings

pytestmark = pytest.mark.torch

CONTRAST = ("objective.nouns=0", "time=0", "cut_and_paste=false")
#: No random numbers in a pass, so that chunks and processes do not change what is drawn.
STILL = ("assignment=hard",)
PHASES = 'train.phases=[{share=2, mask_ratio=0.5, masking="tube"}, {batch=4, rate=0.1}]'


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path, tolerance: float = 0.0) -> bool:
    import torch

    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=0, atol=tolerance) for k in a)


class Told(TrainingCallback):
    def __init__(self, stop: int = 0) -> None:
        self.warnings: list[str] = []
        self.stop, self.run = stop, None

    def on_start(self, run: Any, of: int) -> None:
        self.run = run

    def on_warning(self, text: str) -> None:
        self.warnings.append(text)

    def on_update(self, progress: Progress) -> None:
        if self.run is not None and progress.step == self.stop - 1:
            self.run.stop_requested = True


def test_a_run_learns_and_says_what_it_cost(tmp_path: Path, one_thread: None) -> None:
    """Colours and shapes are told apart after 40 updates; every metric is there, and FLOPs are those of the formula."""
    from whenwhere.models.encoders import flops
    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.models.encoders.resolve import open_encoder

    result = train(tmp_path, "max_steps=40", "save_steps=20", "learning_rate=5e-3", "time=0", "cut_and_paste=false")
    first, last = result.metrics[0], result.metrics[-1]
    assert last["contrast"] < 0.5 * first["contrast"] and last["nouns"] < 0.5 * first["nouns"]
    assert last["loss"] == pytest.approx(last["contrast"] + last["nouns"], abs=1e-6)
    assert {"contrast_accuracy", "nouns_accuracy", "empty_groups_1", "empty_groups_2", "temperature", "step_seconds",
            "resident_set_gib", "tokens_per_second", "grad_norm"} <= last.keys()  # fmt: skip
    assert "step_seconds" not in first and last["step_seconds"] > 0
    assert last["tokens_per_second"] == pytest.approx(8 * 8 / last["step_seconds"], rel=0.01)
    assert last["tokens"] == 40 * 8 * 8 and 0 <= last["empty_groups_1"] <= 1
    model = VideoTextModel.load(result.checkpoint)
    video = flops.video_flops(model.config.video)
    # three words, a beginning and an end; nouns are one word shorter, and different ones are embedded once
    captions = 3 * 8 * flops.text_flops(model.config.text, 5)
    one = first["flops"] - 8 * 3 * video - captions
    assert 0 < one <= 3 * 8 * flops.text_flops(model.config.text, 4) * 1.001
    # what was saved is opened by the run's name
    for name in (str(result.folder), f"{result.folder}@20", f"{result.folder}@last"):
        encoder = open_encoder(name, "cpu")
        found = encoder.embed_clips(np.stack([Colours()[k].frames for k in range(16)]))
        texts = encoder.embed_texts([Colours()[k].caption for k in range(16)])
        assert found.pooled.shape == (16, 16) and found.groups is not None and found.frames.shape == (16, 2, 16)
    assert np.mean((found.pooled @ texts.T).argmax(1) == np.arange(16)) > 0.5
    about = json.loads((result.checkpoint / "whenwhere.json").read_text())
    assert about["recipe_hash"] == result.recipe_hash and about["step"] == 40 and about["start"] == "new"


def test_a_term_of_weight_zero_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import whenwhere.training.pretrain.objective as module

    whole = train(tmp_path / "all", "max_steps=1").metrics[0]
    for name in ("noun_grounding_loss", "temporal_grouping_loss"):
        monkeypatch.setattr(module, name, lambda *args, **more: pytest.fail("it is computed"))
    plain = train(tmp_path / "contrast", "max_steps=1", *CONTRAST).metrics[0]
    assert plain["loss"] == plain["contrast"] and not {"nouns", "time", "clips_without_edge"} & plain.keys()
    assert plain["flops"] < 0.8 * whole["flops"]
    monkeypatch.setattr(module, "contrastive_loss", lambda *args, **more: pytest.fail("it is computed"))
    monkeypatch.undo()
    nouns = train(tmp_path / "nouns", "max_steps=1", "contrast=0", "time=0").metrics[0]
    assert nouns["loss"] == nouns["nouns"] and "contrast" not in nouns


def test_a_term_is_one_function_and_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING says; here it takes the place and the weight of the temporal loss."""
    import whenwhere.training.pretrain.objective as module

    def shortness(update: Any, clips: dict[str, Any]) -> tuple[Any, dict[str, float]]:
        loss = clips["pooled"].square().mean()
        return loss / update.processes.count, {"time": loss.item()}

    monkeypatch.setitem(module.TERMS, "time", shortness)
    lines = train(tmp_path, "max_steps=8", "contrast=0", "objective.nouns=0", "time=2").metrics
    assert [line["loss"] for line in lines] == pytest.approx([2 * line["time"] for line in lines])
    assert lines[-1]["time"] < lines[0]["time"]


def test_a_resumed_run_learns_the_same(tmp_path: Path, one_thread: None) -> None:
    """Two phases, masking, Gumbel noise, cut-and-paste: stopped in each phase and resumed, bit for bit."""
    changes = ("max_steps=6", PHASES)
    whole = train(tmp_path / "whole", *changes)
    for stop in (2, 5):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", *changes, callbacks=[Told(stop)])
    parts = train(tmp_path / "parts", *changes)
    assert same(whole.checkpoint, parts.checkpoint)
    assert [line["loss"] for line in whole.metrics] == [line["loss"] for line in parts.metrics]
    # 8 clips in each of four updates, of which 2 * 2 tokens are kept; then 4 whole ones in each of two
    assert [line["tokens"] for line in whole.metrics] == [32, 64, 96, 128, 160, 192]
    assert [line["clips"] for line in whole.metrics] == [8, 16, 24, 32, 36, 40]


def test_chunks_learn_what_one_batch_learns(tmp_path: Path, one_thread: None) -> None:
    """Three terms, batch of 8 in chunks of 3: the same losses and gradients; FLOPs say that it costs more."""
    one = train(tmp_path / "one", *STILL, "max_steps=3")
    chunks = train(tmp_path / "chunks", *STILL, "max_steps=3", "chunk=3")
    for a, b in zip(one.metrics, chunks.metrics, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5) and a["grad_norm"] == pytest.approx(
            b["grad_norm"], rel=1e-4
        )
        assert b["flops"] > 1.15 * a["flops"]


def test_two_processes_learn_what_one_learns(tmp_path: Path, forker: Forker, one_thread: None) -> None:
    """Four clips on each of two processes, in chunks, with captions without nouns: one process with eight clips."""
    changes = (*STILL, "time=0", "cut_and_paste=false", "max_steps=3")
    forker.run_together(
        [pretrain_runs.__file__, str(tmp_path / "two"), *changes, "batch=4", "chunk=3"], 2, imports=TORCH
    )
    one = train(tmp_path / "one", *changes, "batch=8", source=Colours(nouns=0.5))  # type: ignore[arg-type]
    two = [json.loads(line) for line in (tmp_path / "two" / "run" / "metrics.jsonl").read_text().splitlines()]
    for a, b in zip(one.metrics, two, strict=True):
        for key in ("loss", "contrast", "nouns", "grad_norm", "contrast_accuracy", "empty_groups_2"):
            assert a[key] == pytest.approx(b[key], abs=1e-4), key
        assert a["clips"] == b["clips"] and a["captions_without_nouns"] == b["captions_without_nouns"]


def test_terms_that_are_not_applicable_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    found = train(tmp_path / "nouns", "max_steps=2", source=Colours(nouns=0), callbacks=[told])
    assert "nouns" not in found.metrics[-1] and found.metrics[-1]["loss"] > 0
    assert found.counts["updates_without_nouns"] == 2 and found.counts["captions_without_nouns"] == 16
    assert [text for text in told.warnings if "not applicable" in text] == [
        "the loss of nouns is not applicable in an update, because fewer than two captions have nouns there: the "
        "metric updates_without_nouns counts such updates"
    ]
    from whenwhere.training.pretrain import cut_and_paste

    monkeypatch.setattr(cut_and_paste, "sample_mask", lambda steps, random: np.ones(steps, bool))
    told = Told()
    found = train(tmp_path / "time", "max_steps=2", callbacks=[told])
    assert "time" not in found.metrics[-1] and found.counts["updates_without_edge"] == 2
    assert found.counts["clips_without_edge"] == 16
    assert told.warnings == [
        "the temporal loss is not applicable in an update, because no mask has an edge there: the metric "
        "updates_without_edge counts such updates"
    ]


def test_clips_that_are_too_short_are_skipped(tmp_path: Path) -> None:
    told = Told()
    found = train(tmp_path / "some", "max_steps=2", *CONTRAST, source=Colours(short=3), callbacks=[told])
    assert sorted(set(found.skipped)) == ["c0", "c1", "c2"] and found.counts["clips"] == 13
    assert told.warnings[0].endswith("is skipped: it has 3 frames, shorter than the 4 of the encoder's clips")
    with pytest.raises(SettingError, match=r"none of the last 16 samples could be used.*it has 3 frames, shorter than"):
        train(tmp_path / "all", *CONTRAST, source=Colours(short=16), callbacks=[Told()])


def test_same_video_negatives_and_shared_nouns_are_left_out(tmp_path: Path) -> None:
    changes = ("max_steps=1", "same_video_negatives=false", "mask_shared_nouns=true", "shuffle_nouns=true")
    found = train(tmp_path, *changes, "data.count=16", source=Colours(videos=2)).metrics[0]
    assert found["pairs_left_out"] >= 8 and found["noun_pairs_left_out"] == 0


def test_bf16_and_recomputed_layers(tmp_path: Path) -> None:
    plain = train(tmp_path / "a", *STILL, "max_steps=2")
    recomputed = train(tmp_path / "b", *STILL, "max_steps=2", "gradient_checkpointing=true")
    assert same(plain.checkpoint, recomputed.checkpoint, 1e-5)
    half = train(tmp_path / "c", *STILL, "max_steps=2", "bf16=true")
    assert half.metrics[0]["loss"] == pytest.approx(plain.metrics[0]["loss"], rel=0.05)
    assert half.metrics[0]["loss"] != plain.metrics[0]["loss"]


def test_a_frozen_temperature_stays(tmp_path: Path) -> None:
    found = train(tmp_path, "max_steps=2", "learn_temperature=false", "temperature=0.02")
    assert [line["temperature"] for line in found.metrics] == pytest.approx([0.02, 0.02])
    found = train(tmp_path / "low", "max_steps=2", "temperature=0.005")
    assert found.metrics[0]["temperature"] == pytest.approx(0.01)


def test_wise_ft(tmp_path: Path) -> None:
    """A run from a run: RUN/merged is the average of both, temporal positions left out, also by the function."""
    import torch

    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.training.pretrain.wise_ft import wise_ft

    first = train(tmp_path / "first", "max_steps=2", *CONTRAST, "group_tokens=0", "group_layers=[]")
    text = RECIPE[: RECIPE.index("[encoder]")] + RECIPE[RECIPE.index("[objective]") :]
    again = f'{text}wise_ft = 0.25\n[encoder]\ncheckpoint = "{first.folder}"\ngroup_tokens = 4\ngroup_layers = [2]\n'
    second = train(tmp_path / "second", "max_steps=3", text=again)
    old, new, merged = (
        weights(f) for f in (first.checkpoint, second.checkpoint, second.folder / "merged")
    )  # fmt: skip
    for name, weight in merged.items():
        expected = new[name]
        if name in old and "temporal_positions" not in name:
            expected = 0.25 * new[name] + 0.75 * old[name]
        assert torch.allclose(weight, expected, atol=1e-6), name
    assert "video.group_tokens" in merged and "video.group_tokens" not in old
    assert float(new["video.temporal_positions"].abs().max()) > 0
    found = wise_ft(first.folder / "checkpoint", f"{second.folder}@3", 0.25).state_dict()
    assert all(torch.allclose(found[name], weight, atol=1e-6) for name, weight in merged.items())
    assert VideoTextModel.load(second.folder / "merged").config.video.group_tokens == 4
    # folders of runs will do, and the start may have shorter tubelets
    found = wise_ft(first.folder, second.folder, 0.25).state_dict()
    assert all(torch.allclose(weight, merged[name]) for name, weight in found.items())
    single = train(tmp_path / "single", "max_steps=2", *CONTRAST, "tubelet=1", "group_tokens=0", "group_layers=[]")
    begun = again.replace("wise_ft = 0.25\n", "").replace(str(first.folder), str(single.folder)) + "tubelet = 2\n"
    longer = train(tmp_path / "longer", "max_steps=2", text=begun)
    half = wise_ft(single.folder, longer.folder, 0.5).state_dict()["video.patch.weight"]
    inflated = (
        weights(single.checkpoint)["video.patch.weight"].unflatten(1, (3, 1, -1)).repeat(1, 1, 2, 1).flatten(1) / 2
    )
    assert torch.allclose(half, (weights(longer.checkpoint)["video.patch.weight"] + inflated) / 2, atol=1e-6)
    with pytest.raises(SettingError, match="was trained from new encoders: WiSE-FT needs a pre-trained model"):
        wise_ft(second.folder / "checkpoint", first.folder / "checkpoint")
    with pytest.raises(SettingError, match="share of the trained weights is from 0 to 1, not 2"):
        wise_ft(first.checkpoint, second.checkpoint, 2)
    other = train(tmp_path / "other", "max_steps=1", *CONTRAST, "output=8", "group_tokens=0", "group_layers=[]")
    with pytest.raises(ModelError, match=r"has the shape .* average models of the same sizes"):
        wise_ft(other.checkpoint, second.checkpoint)


def test_a_run_begins_with_other_frames_and_sizes(tmp_path: Path) -> None:
    """From a run of 4 frames of 16 pixels: positions are interpolated, weights otherwise the same."""
    import torch

    from whenwhere.training.pretrain.settings import (
        PretrainEncoderSettings,
        PretrainObjectiveSettings,
        PretrainTextSettings,
    )
    from whenwhere.training.pretrain.start import start_model

    first = train(tmp_path, "max_steps=1")
    encoder = PretrainEncoderSettings(str(first.folder), image_size=24, frames=8, group_tokens=6, group_layers=(2,))
    model = start_model(encoder, PretrainTextSettings(frozen=True), PretrainObjectiveSettings()).model
    video, before = model.config.video, weights(first.checkpoint)
    assert (video.image_size, video.frames, video.group_tokens, video.width) == (24, 8, 6, 32)
    own = model.state_dict()
    assert own["video.spatial_positions"].shape == (9, 32) and own["video.temporal_positions"].shape == (4, 32)
    same_names = [name for name in before if "positions" not in name and "group" not in name]
    assert all(torch.equal(own[name], before[name]) for name in same_names)
    assert model.config.text.frozen and not any(w.requires_grad for w in model.text.parameters())
    assert out_of(model, Colours(frames=8)).shape == (1, 16)


def test_sizes_that_a_checkpoint_fixes_are_checked(tmp_path: Path) -> None:
    """A recipe may go on from a run of its own sizes, with the same tables; others are refused, with the right ones."""
    first = train(tmp_path / "first", "max_steps=1")
    again = train(tmp_path / "again", "max_steps=1", f"encoder.checkpoint={first.folder}", "wise_ft=0.5")
    assert (again.folder / "merged").is_dir()
    fewer = tmp_path / "fewer"
    for changes, said in (
        (["encoder.layers=3", "group_layers=[2]"], r"\[encoder\] layers is 3, but in .* it is 2: set it to that, or"),
        (["text.width=16"], r"\[text\] width is 16, but in .* it is 32"),
        (["nouns_per_caption=5", "group_tokens=none"], "group_tokens is 4, fewer than the 5 nouns of a caption"),
    ):
        with pytest.raises(SettingError, match=said):
            train(fewer, "max_steps=1", f"encoder.checkpoint={first.folder}", *changes)


def out_of(model: Any, source: Any) -> Any:
    return model.video(model.pixels(source[0].frames[None])).pooled


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["group_tokens=1", "nouns_per_caption=2"], "group_tokens is 1, fewer than the 2 nouns of a caption"),
        (["group_tokens=0", "group_layers=[]"], "group_tokens is 0, fewer than the 2 nouns of a caption"),
        (["group_layers=[1, 9]"], "names layer 9, but layers are counted from 1 to 2"),
        (["batch=1"], "batch is 1, and a clip has nothing to be told from in a batch of one: set 2 or more"),
        (['train.phases=[{batch=1}]'], "batch is 1, and a clip has nothing to be told from"),
        (["cut_and_paste=false"], "the temporal loss is not applicable without cut_and_paste"),
        (["contrast=0", "objective.nouns=0", "time=0"], "contrast, nouns and time are all 0"),
        (["mask_ratio=0.5"], "needs some tokens of every time step, which masking = 'random' does not keep"),
        (["mask_ratio=1.0", "masking=tube"], "the masking ratio is 0 or more and below 1, not 1"),
        (["wise_ft=0.5"], "wise_ft averages trained weights with those of a pre-trained checkpoint, and these"),
        (["wise_ft=1.0"], "wise_ft is 1 and must be above 0 and below 1"),
        (["text.frozen=true"], "a new text encoder cannot be frozen"),
        (["patch=5"], "image_size of the video encoder (16) is not a multiple of patch (5)"),
        (["tubelet=3"], "frames of the video encoder (4) is not a multiple of tubelet (3)"),
        (["temperature=-1"], "temperature is -1.0, and must not be negative"),
        (["data.world.side=32"], "[data] world sets side, which the encoder decides: set image_size in [encoder]"),
        (["temperature=0"], "temperature is 0 and must be above 0"),
        (["noun_prompt=a photo"], "noun_prompt is 'a photo' and must contain {noun}"),
        (["centres=clean_lo"], "centres is 'clean_lo' (did you mean clean_loo?"),
        (["max_steps=1", 'train.phases=[{}, {}]'], "max_steps is 1, fewer than the run has phases (2)"),
        (['train.phases=[{share=0}]'], "share is 0 and must be above 0"),
        (['train.phases=[{ratio=0.5}]'], "phases has no key 'ratio'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(changes: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        recipe(tmp_path, *changes)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_update_never_needs_a_clip_twice(tmp_path: Path) -> None:
    """A copy of a clip would be its own negative, and be pasted into itself."""
    with pytest.raises(SettingError, match=r"too few clips in the data, 5, for an update of 8: lower batch"):
        train(tmp_path, source=Colours(5))


def test_one_time_step_cannot_be_blended(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"two time steps or more, and clips have 1: raise frames or lower tubelet"):
        train(tmp_path, "tubelet=4")


def test_phases_have_rates_of_their_own() -> None:
    phases = (PhaseSettings(4), PhaseSettings(4, rate=0.1, warmup_steps=2))
    settings = PretrainSettings(
        learning_rate=1.0, lr_scheduler_type="linear", warmup_steps=1, max_steps=8, phases=phases
    )
    rates = [rate_at(n, settings) for n in range(8)]
    assert rates == pytest.approx([1, 1, 2 / 3, 1 / 3, 0.05, 0.1, 0.1, 0.05])
    whole = [rate_at(n, replace(settings, phases=())) for n in range(8)]
    assert whole == pytest.approx([1.0, *(1 - k / 7 for k in range(7))])


def test_every_clip_of_an_epoch_is_seen_once(tmp_path: Path) -> None:
    """Over two processes and two phases of different batches, and numbers of later epochs are higher."""
    from whenwhere.models.encoders.config import VideoConfig
    from whenwhere.training.pretrain.batches import Batches
    from whenwhere.training.pretrain.settings import PretrainObjectiveSettings

    settings = PretrainSettings(max_steps=6, batch=4, phases=(PhaseSettings(2), PhaseSettings(4, batch=2)))
    own = [
        Batches(Colours(), VideoConfig(), PretrainObjectiveSettings(), settings, rank, 2) for rank in (0, 1)
    ]  # fmt: skip
    drawn = [k for update in range(6) for one in own for k in one.numbers(update)]
    assert sorted(drawn) == list(range(32)) and sorted(drawn[:16]) == list(range(16))


def test_processes_read_what_the_run_would_read(tmp_path: Path) -> None:
    """A clip that cannot be made is told with its name and reason, as without processes."""
    from whenwhere.training.pretrain.readers import ReaderProcesses

    alone, helped = (ReaderProcesses(pretrain_runs.Broken(), count) for count in (0, 1))
    for number in (3, 1, 18):
        (one,), (two,) = alone.read([number]), helped.read([number])
        if number == 1:
            assert str(one) == str(two) == "its video is damaged" and one.sample == two.sample == "c1"  # type: ignore
        else:
            assert one.id == two.id and np.array_equal(one.frames, two.frames)  # type: ignore[union-attr]
    helped.close()


def test_evaluators_leave_a_run_as_it_was(tmp_path: Path, one_thread: None) -> None:
    """Retrieval is measured while it trains, in evaluation mode, and the weights stay what they were without it."""
    table = """[[evaluators]]
name = "found"
kind = "retrieval"
every = 2
metric = "t2v-R@1"
at_start = true
keep_best = true
data = { count = 6, world = { split = "val" } }
"""
    plain = train(tmp_path / "plain", "max_steps=4")
    measured = train(tmp_path / "measured", "max_steps=4", text=RECIPE + table)
    assert same(plain.checkpoint, measured.checkpoint)
    lines = [line for line in measured.metrics if "eval/found/t2v-R@1" in line]
    assert [line["step"] for line in lines] == [0, 2, 4] and measured.best is not None


def test_a_plan_counts_what_a_run_counts(tmp_path: Path) -> None:
    from whenwhere.training.machine import Machine
    from whenwhere.training.prefix.memory import MemoryEstimate
    from whenwhere.training.pretrain.estimate import estimate_pretraining
    from whenwhere.training.run import check_estimate

    made = recipe(tmp_path, PHASES, "max_steps=6")
    found = estimate_pretraining(made, lambda text: None, Machine("cpu"))
    ran = train(tmp_path, PHASES, "max_steps=6").counts
    assert (found["updates"], found["clips"]) == (6, ran["clips"]) and found["tokens_per_clip"] == 8
    assert found["phase_1"].startswith("4 updates of 8 clips, 4 of 8 tokens kept")
    assert found["flops"] == pytest.approx(ran["flops"], rel=0.5)
    assert isinstance(found["memory"], MemoryEstimate)
    small = Machine("cuda", True, 1000.0, 1)
    with pytest.raises(SettingError, match=r"does not fit: an update of 8 clips .* a smaller chunk"):
        check_estimate(made, estimate_pretraining(made, lambda text: None, small), small)


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(WhenwhereError, match="nowhere"):
        whenwhere.train("tiny-svilm", tmp_path / "run", [f"encoder.checkpoint={tmp_path / 'nowhere'}"])
    assert not (tmp_path / "run").exists()
