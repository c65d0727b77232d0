"""Encoders of this package behind the protocol that retrieval, probes and grounding use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whenwhere.errors import ModelError, SettingError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TEXTS = ["a red circle moves", "blue"]


def model(**video: Any) -> Any:
    from whenwhere.models.encoders.config import EncoderConfig, TextConfig, VideoConfig
    from whenwhere.models.encoders.model import VideoTextModel

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2, "output": 24}
    config = EncoderConfig(
        VideoConfig(**{"image_size": 16, "frames": 4, "patch": 8} | sizes | video), TextConfig(context=8, **sizes)
    )
    made = VideoTextModel.from_words(config, TEXTS)
    for parameter in made.parameters():
        if parameter.ndim:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


GROUPS = {"group_tokens": 5, "group_layers": (1, 2), "assignment": "hard"}


@pytest.mark.parametrize("video", [{}, GROUPS, {"tubelet": 2, **GROUPS}, {"attention": "frame"}])
def test_what_the_model_computes_comes_out_at_unit_length(video: dict[str, Any], tmp_path: Path) -> None:
    from whenwhere.models.encoders.resolve import open_encoder

    made = model(**video)
    made.save(tmp_path / "encoder")
    encoder = open_encoder(str(tmp_path / "encoder"), "cpu")
    clips = np.random.default_rng(1).integers(0, 256, (3, 4, 20, 30, 3), dtype=np.uint8)
    found = encoder.embed_clips(clips)
    with torch.no_grad():
        out = made.video(made.pixels(clips))
        patches = made.video.project(out.tokens)
        read = made.text(**made.text.tokenize(TEXTS))
    unit = torch.nn.functional.normalize
    steps = 4 // made.config.video.tubelet
    assert (encoder.frames, encoder.image_size, encoder.dimension) == (4, (16, 16), 24)
    assert np.allclose(encoder.scale, 1 / 0.07, rtol=1e-4)
    assert np.allclose(found.pooled, unit(out.pooled, dim=-1), atol=1e-5)
    assert np.allclose(found.frames, unit(out.frames, dim=-1), atol=1e-5)
    assert np.allclose(encoder.embed_texts(TEXTS), unit(read, dim=-1), atol=1e-5)
    assert not encoder.unknown_words(TEXTS[0]) and encoder.unknown_words(f"{TEXTS[0]} wug") == ["wug"]
    assert found.patches is not None and found.patches.shape == (3, steps, 2, 2, 24)
    t, h, w = (int(n) for n in out.positions[1, 3])
    assert np.allclose(found.patches[1, t, h, w], unit(patches[1, 3], dim=-1), atol=1e-5)
    if "group_tokens" in video:
        assert found.groups is not None and found.assignments is not None
        assert np.allclose(found.groups, unit(out.groups, dim=-1), atol=1e-5)
        assert found.assignments.shape == (3, 5, steps, 2, 2)
        assert np.allclose(found.assignments[1, :, t, h, w], out.assignments[-1][1, :, 3])
        assert np.allclose(found.assignments.sum(1), 1)
    else:
        assert found.groups is None and found.assignments is None
    assert encoder.embed_frames(clips[0]).shape == (4, 24)


def test_a_run_and_its_steps_are_names_of_encoders(tmp_path: Path) -> None:
    from whenwhere.models.encoders.resolve import open_encoder

    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no result yet: name .*run@last"):
        open_encoder(str(run), "cpu")
    with pytest.raises(SettingError, match="has no model 'last'"):
        open_encoder(f"{run}@last", "cpu")
    model().save(run / "checkpoints" / "step-000005")
    model().save(run / "checkpoint")
    for name in (str(run), f"{run}@5", f"{run}@last"):
        assert open_encoder(name, "cpu").name == name


@pytest.mark.parametrize("place", ["", "checkpoint"])
def test_an_encoder_that_is_named_as_a_policy_is_told_how_to_be_named(place: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from whenwhere.models.vlm import Checkpoint

    model().save(tmp_path / "run" / place)
    with pytest.raises(ModelError, match=r"is an encoder, which does not write answers: write encoder:.*run"):
        Checkpoint(str(tmp_path / "run"), device="cpu", offline=True).config  # noqa: B018


def test_a_model_without_a_tokenizer_or_with_damaged_weights_is_refused(tmp_path: Path) -> None:
    import shutil

    from whenwhere.models.encoders.resolve import open_encoder

    model().save(tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "tokenizer")
    with pytest.raises(ModelError, match="has no tokenizer"):
        open_encoder(str(tmp_path / "bare"), "cpu")
    model().save(tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        open_encoder(str(tmp_path / "cut"), "cpu")


def test_clips_that_cannot_be_cut_are_refused(tmp_path: Path) -> None:
    from whenwhere.models.encoders.trained import TrainedEncoder

    encoder = TrainedEncoder("mine", model(tubelet=2), "cpu")
    with pytest.raises(ModelError, match="mine cuts clips into time steps of 2 frames: 3 frames"):
        encoder.embed_clips(np.zeros((1, 3, 16, 16, 3), np.uint8))
