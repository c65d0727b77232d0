"""Checkpoints of others as encoders: the same embeddings as the libraries that made them, and errors in a sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders

from whenwhere.errors import ModelError, SettingError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TEXTS = ["a red circle moves left", "the blue square", "a " * 40]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def frames() -> Any:
    return np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)


def opened(folders: Path, family: str) -> Any:
    from whenwhere.models.encoders.resolve import open_encoder

    folder = folders / family
    if not folder.exists():
        save = tiny_encoders.save_open_clip if family in tiny_encoders.OPEN_CLIP else tiny_encoders.save
        save(family, folder)
    return open_encoder(str(folder), "cpu")


def unit(x: Any) -> Any:
    return torch.nn.functional.normalize(x, dim=-1).numpy()


@pytest.mark.parametrize("family", [f for f in tiny_encoders.FAMILIES if f != "videoprism"])
def test_an_image_encoder_gives_what_transformers_gives(family: str, folders: Path, frames: Any) -> None:
    from transformers import AutoModel, AutoProcessor

    encoder = opened(folders, family)
    model = AutoModel.from_pretrained(folders / family).eval()
    processor = AutoProcessor.from_pretrained(folders / family)
    padding = "max_length" if family.startswith("siglip") else True
    with torch.no_grad():
        # the class of SigLIP 2's processor overrules the checkpoint's own size of patches
        pictures = processor.image_processor(images=list(frames), return_tensors="pt")
        seen = unit(model.get_image_features(**pictures).pooler_output)
        tokens = processor.tokenizer(
            TEXTS, padding=padding, truncation=True, max_length=tiny_encoders.CONTEXT, return_tensors="pt"
        )
        read = unit(model.get_text_features(**tokens).pooler_output)
        cosines = model(**pictures, **tokens).logits_per_image.numpy()
    assert np.abs(encoder.embed_frames(frames) - seen).max() < 1e-5
    assert np.abs(encoder.embed_texts(TEXTS) - read).max() < 1e-5
    bias = float(model.logit_bias) if hasattr(model, "logit_bias") else 0.0
    ours = encoder.scale * encoder.embed_frames(frames) @ encoder.embed_texts(TEXTS).T + bias
    assert np.abs(ours - cosines).max() < 1e-3
    clips = encoder.embed_clips(frames.reshape(2, 2, *frames.shape[1:]))
    assert np.abs(clips.frames.reshape(4, -1) - seen).max() < 1e-5
    assert np.abs(clips.pooled[1] - unit(torch.tensor(seen[2:].mean(0)))).max() < 1e-5
    assert (
        clips.patches is not None
        and clips.patches.shape[:2] == (2, 2)
        and clips.patches.shape[-1] == encoder.dimension == seen.shape[-1]
    )
    assert encoder.frames == 1 and encoder.image_size == (32, 32)
    assert not np.allclose(seen[0], seen[1], atol=1e-3) and not np.allclose(read[0], read[1], atol=1e-3)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_patches_follow_the_picture(family: str, folders: Path) -> None:
    """A picture mirrored about its middle has other patches, in rows and columns of the picture."""
    encoder = opened(folders, family)
    picture = np.zeros((1, 1, 32, 32, 3), np.uint8)
    picture[..., 8:16, 16:24, :] = 255  # row 1, column 2 of 4 by 4
    changed = encoder.embed_clips(picture).patches - encoder.embed_clips(np.zeros_like(picture)).patches
    row, column = np.unravel_index(np.linalg.norm(changed[0, 0], axis=-1).argmax(), (4, 4))
    assert (row, column) == (1, 2)


def test_videoprism_gives_what_transformers_gives(folders: Path, frames: Any) -> None:
    from transformers import AutoModel, AutoProcessor

    encoder = opened(folders, "videoprism")
    model = AutoModel.from_pretrained(folders / "videoprism").eval()
    processor = AutoProcessor.from_pretrained(folders / "videoprism")
    with torch.no_grad():
        video = processor(videos=[frames], do_sample_frames=False, return_tensors="pt")
        seen = unit(model.get_video_features(**video).pooler_output)[0]
        still = processor(videos=[np.repeat(frames[1:2], 4, 0)], do_sample_frames=False, return_tensors="pt")
        seen_still = unit(model.get_video_features(**still).pooler_output)[0]
        tokens = processor.tokenizer(
            TEXTS, padding="max_length", truncation=True, max_length=tiny_encoders.CONTEXT, return_tensors="pt"
        )
        read = unit(model.get_text_features(**tokens).pooler_output)
    clips = encoder.embed_clips(frames[None])
    assert np.abs(clips.pooled - seen).max() < 1e-5
    assert np.abs(encoder.embed_frames(frames)[1] - seen_still).max() < 1e-5
    assert np.abs(encoder.embed_texts(TEXTS) - read).max() < 1e-5
    assert clips.frames.shape == (1, 4, 32) and clips.patches.shape == (1, 4, 2, 2, 32)
    with pytest.raises(ModelError, match="embeds clips of 4 frames, not of 3"):
        encoder.embed_clips(frames[None, :3])


@pytest.mark.parametrize("kind", list(tiny_encoders.OPEN_CLIP))
def test_a_checkpoint_of_open_clip_gives_what_open_clip_gives(kind: str, folders: Path, frames: Any) -> None:
    import open_clip
    from PIL import Image

    frames = frames[:1] if kind == "pe-core" else frames  # 576 patches each
    encoder = opened(folders, kind)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folders / kind}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folders / kind}")
    with torch.no_grad():
        seen = unit(model.eval().encode_image(torch.stack([transform(Image.fromarray(f)) for f in frames])))
        read = unit(model.encode_text(tokenizer(TEXTS)))
    clips = encoder.embed_clips(frames[None])
    assert np.abs(clips.frames[0] - seen).max() < 1e-5
    assert np.abs(encoder.embed_texts(TEXTS) - read).max() < 1e-5
    side = 24 if kind == "pe-core" else 4
    assert clips.patches.shape == (1, len(frames), side, side, encoder.dimension)


@pytest.mark.parametrize("family", ["siglip", "siglip2", "clip"])
def test_siglip_reads_lower_case(family: str, folders: Path) -> None:
    """Some tokenizers of SigLIP 2 tell cases apart, though it was trained on lower case alone."""
    from tokenizers import normalizers

    from whenwhere.models.encoders.conversion import open_model

    encoder = opened(folders, family)
    before = encoder.processor.tokenizer.backend_tokenizer.normalizer
    encoder.processor.tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    try:
        upper, lower = encoder.embed_texts(["A RED circle", "a red circle"])
    finally:
        encoder.processor.tokenizer.backend_tokenizer.normalizer = before
    assert np.allclose(upper, lower) == (family != "clip")
    assert open_model(str(folders / family)).config.text.lower == (family != "clip")


def test_a_file_of_weights_is_shown_pictures_as_open_clip_prepares_them(
    tmp_path: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files do not name their preprocessing: it is that of open_clip's own weights, where those agree."""
    import open_clip
    from open_clip import factory, pretrained
    from PIL import Image
    from safetensors.torch import save_file

    from whenwhere.models.encoders.openclip import _preprocessing
    from whenwhere.models.encoders.resolve import open_encoder

    squash = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
    assert _preprocessing(open_clip, "ViT-B-16-SigLIP2") == squash | {"interpolation": "bicubic"}
    assert _preprocessing(open_clip, "PE-Core-L-14-336") == squash | {"interpolation": "bilinear"}
    assert _preprocessing(open_clip, "ViT-L-14") is None  # some of its weights are shown pictures otherwise
    assert _preprocessing(open_clip, "ViT-B-32")["resize_mode"] == "shortest"
    model = tiny_encoders.open_clip_model("open-clip")
    save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-tiny", tiny_encoders.OPEN_CLIP["open-clip"])
    monkeypatch.setitem(pretrained._PRETRAINED, "ViT-tiny", {"a": {"url": ""} | squash | {"interpolation": "bilinear"}})
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=32, interpolation="bilinear", **squash), is_train=False
    )
    with torch.no_grad():
        seen = unit(model.encode_image(torch.stack([transform(Image.fromarray(f)) for f in frames])))
    encoder = open_encoder(f"ViT-tiny:{tmp_path / 'tiny.safetensors'}", "cpu")
    assert np.abs(encoder.embed_frames(frames) - seen).max() < 1e-5


def test_nothing_in_gives_nothing_out(folders: Path, frames: Any) -> None:
    encoder = opened(folders, "clip")
    assert encoder.embed_texts([]).shape == encoder.embed_frames(frames[:0]).shape == (0, 24)
    assert encoder.embed_clips(frames[None][:0]).pooled.shape == (0, 24)


def test_frames_of_another_kind_are_refused(folders: Path, frames: Any) -> None:
    encoder = opened(folders, "clip")
    for wrong in (frames / 255.0, frames[0], frames[..., :1], frames[:, :0]):
        with pytest.raises(ModelError, match="takes RGB frames of shape"):
            encoder.embed_frames(wrong)
    with pytest.raises(ModelError, match="takes RGB frames of shape"):
        encoder.embed_clips(frames)


def _no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weights": Path}, folder / "pytorch_model.bin")


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _incomplete(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def _other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 40
    (folder / "config.json").write_text(json.dumps(config))


def _text_only(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    shutil.rmtree(folder)
    BertModel(BertConfig(**tiny_encoders.TEXT)).save_pretrained(folder)


def _no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_tokenizer, "tokenizer"),
        (_pickled, "pickles, which may run any code"),
        (_empty, "damaged"),
        (_incomplete, "lacks 1 weights, visual_projection.weight among them"),
        (_other_sizes, "cannot be loaded"),
        (_text_only, "is of the kind bert, which does not embed pictures and texts"),
        (_no_configuration, "holds no checkpoint: config.json is missing"),
    ],
)
def test_a_spoilt_checkpoint_is_refused_in_a_sentence(spoil: Any, said: str, folders: Path, tmp_path: Path) -> None:
    from whenwhere.models.encoders.resolve import open_encoder

    opened(folders, "clip")
    folder = tmp_path / "spoilt"
    shutil.copytree(folders / "clip", folder)
    spoil(folder)
    with pytest.raises(ModelError, match=said) as e:
        open_encoder(str(folder), "cpu")
    assert "\n" not in str(e.value) and len(str(e.value)) < 500


def test_a_file_of_weights_must_fit_the_model_of_open_clip(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from whenwhere.models.encoders.resolve import open_encoder

    file = tmp_path / "weights.safetensors"
    for name, said in (
        (f"ViT-B-32:{file}", "missing or empty"),
        (f"ViT-Z-99:{file}", "open_clip has no model 'ViT-Z-99'"),
    ):
        with pytest.raises(ModelError, match=said):
            open_encoder(name, "cpu")
    save_file({"visual.proj": torch.zeros(3, 3)}, file)
    with pytest.raises(ModelError, match="are not those of open_clip's RN50"):
        open_encoder(f"RN50:{file}", "cpu")
    with pytest.raises((ModelError, SettingError)):
        open_encoder(str(tmp_path / "nothing"), "cpu")
