"""The packaged recipes for pre-training run: real ones on a tiny checkpoint of the real class, small ones whole."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_encoders

from whenwhere.training.recipe import load, packaged
from whenwhere.training.run import train

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    return tiny_encoders.save("clip", tmp_path_factory.mktemp("clip"))


def run(name: str, out: Path, *changes: str, preset: str | None = None) -> list[dict[str, float]]:
    common = ["kind=shapes", "data.count=40", "batch=4", "max_steps=3", "logging_steps=1", "image_size=32"]
    recipe = load(name, [*common, *changes], preset)
    train(recipe, out, callbacks=[], device="cpu")
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["viclip-b16", "viclip-l14", "svilm-b16"])
def test_real_recipes_run(name: str, clip: Path, tmp_path: Path) -> None:
    """Three updates in bf16, in chunks, in phases; ViCLIP ends with an average, S-ViLM has groups and tubelets."""
    import torch
    from safetensors.torch import load_file

    from whenwhere.models.encoders.resolve import open_encoder

    more = ["frames=8", "group_layers=[1, 2]"] if name == "svilm-b16" else ["frames=4"]
    lines = run(name, tmp_path, f"encoder.checkpoint={clip}", "chunk=2", *more)
    assert len(lines) == 3 and all(np.isfinite(line["loss"]) for line in lines)
    encoder = open_encoder(str(tmp_path), "cpu")
    embedded = encoder.embed_clips(np.zeros((2, encoder.frames, 32, 32, 3), np.uint8))
    assert embedded.frames.shape == (2, 4, 24)
    own = load_file(tmp_path / "checkpoint" / "model.safetensors")
    if name == "svilm-b16":
        assert {"nouns", "time", "empty_groups_2"} <= lines[0].keys()
        assert embedded.groups is not None and embedded.groups.shape == (2, 32, 24)
        assert not (tmp_path / "merged").exists()
        return
    # two masked updates of 4 clips with 4 * 16 tokens, of which a tenth is kept, and one with all
    assert [line["tokens"] for line in lines] == [28, 56, 56 + 256] and lines[0]["temperature"] == pytest.approx(0.01)
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    frozen = [key for key in own if key.startswith("text.")]
    assert frozen and all(torch.allclose(own[key], merged[key], atol=1e-6) for key in frozen)
    changed = [key for key in own if not torch.equal(own[key], merged[key])]
    assert changed and not [key for key in changed if "temporal_positions" in key]


def test_phases_of_viclip_are_those_of_the_paper() -> None:
    b, large = (load(name, preset="sixty-four-cards") for name in ("viclip-b16", "viclip-l14"))
    for recipe, rate in ((b, 2e-4), (large, 4e-4)):
        masked, whole = recipe.train.planned()
        assert recipe.processes * masked.batch == 32768 and recipe.processes * whole.batch == 2048
        assert (masked.mask.ratio, masked.mask.kind, whole.mask.ratio) == (0.9, "random", 0)
        assert recipe.train.learning_rate == rate and rate * whole.rate == pytest.approx(4e-6)
        assert masked.updates * 32768 == pytest.approx(10 * 10.647e6, rel=1e-3)
        assert whole.updates * 2048 == pytest.approx(0.5 * 10.647e6, rel=1e-3)
        assert (recipe.train.weight_decay, recipe.train.adam_beta2, recipe.train.wise_ft) == (0.2, 0.98, 0.5)
        assert recipe.text.frozen and not recipe.objective.cut_and_paste
    one = load("viclip-b16").train.planned()
    assert [phase.batch * phase.updates for phase in one] == pytest.approx([10 * 10.647e6, 0.5 * 10.647e6], rel=1e-3)


@pytest.mark.parametrize("name", ["svilm-b16", "tiny-svilm"])
def test_each_row_of_table_6_is_a_preset(name: str) -> None:
    rows = {"contrast": (0, 0), "nouns": (1, 0), "time": (0, 1), "both": (1, 1)}
    for preset, weights in rows.items():
        objective = load(name, preset=preset).objective
        assert (objective.contrast, objective.nouns, objective.time) == (1, *weights) and objective.cut_and_paste
    assert load(name, preset="both").hash == load(name).hash
    unblended = load(name, preset="unblended").objective
    assert (unblended.nouns, unblended.time, unblended.cut_and_paste) == (0, 0, False)
    video = load(name).encoder
    assert video.group_layers == (6, 9, 12) and load(name, preset="shuffled").objective.shuffle_nouns


def test_the_table_of_data_is_four_presets(tmp_path: Path) -> None:
    from whenwhere.training.pretrain.data import open_clips

    sizes = {
        "data-h": (1_000_000, 0),
        "data-v": (0, 1_000_000),
        "data-hv": (500_000,) * 2,
        "data-h-few-v": (994_000, 6000),
    }
    for preset, (one, many) in sizes.items():
        source = open_clips(load("tiny-svilm", preset=preset).data, 8, 48)
        assert len(source) == one + many == 1_000_000
        # the first clips are of H where there are any, the last of V
        assert len(source[0].nouns) == (1 if one else 2) and len(source[999_999].nouns) == (2 if many else 1)


@pytest.mark.parametrize(
    ("name", "preset", "tokens"), [("tiny-svilm", None, 144), ("tiny-viclip", "mask-50", 72), ("tiny-stills", None, 36)]
)
def test_small_recipes_run(name: str, preset: str | None, tokens: int, tmp_path: Path, one_thread: None) -> None:
    lines = run(name, tmp_path, "image_size=48", "max_steps=2", preset=preset)
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert lines[0]["tokens"] == 4 * tokens and lines[-1]["clips"] == 8


@pytest.mark.parametrize("name", ["tiny-svilm", "tiny-viclip"])
def test_the_evaluator_in_a_comment_can_be_used(name: str, tmp_path: Path) -> None:
    """What the recipe says to add is a table that it can have, on clips of its own world that it does not train on."""
    text = packaged()[name].read_text(encoding="utf-8")
    lines = text[text.index("# [[evaluators]]") : text.index("\n\n[encoder]")].splitlines()
    file = tmp_path / "mine.toml"
    file.write_text(text + "\n" + "\n".join(line.removeprefix("# ") for line in lines) + "\n", encoding="utf-8")
    recipe = load(str(file))
    (evaluator,) = recipe.evaluators
    assert evaluator.keep_best and recipe.hash == load(name).hash
    assert evaluator.data.world == recipe.data.world | {"split": "val"}  # type: ignore[attr-defined]
    assert evaluator.data.corpus == recipe.data.corpus  # type: ignore[attr-defined]


def test_a_tubelet_of_still_frames_is_a_frame(clip: Path) -> None:
    """A checkpoint of pictures, inflated to tubelets of two frames, embeds a still clip as before."""
    import torch

    from whenwhere.models.encoders.conversion import open_model
    from whenwhere.training.pretrain.start import changed

    torch.manual_seed(0)
    pixels = torch.randn(2, 1, 3, 32, 32)
    before = open_model(str(clip)).video.eval()
    made, new = changed(open_model(str(clip)), {"tubelet": 2, "frames": 8})
    after = made.video.eval()
    with torch.no_grad():
        one, two = before(pixels).pooled, after(pixels.expand(-1, 2, -1, -1, -1)).pooled
    assert torch.allclose(one, two, atol=1e-5) and not new
