"""The text encoder, and the folder in which a video-text model is kept: what comes back, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from whenwhere.errors import ModelError, OutputError, SettingError, WhenwhereError
from whenwhere.models.encoders.config import EncoderConfig, Masking, TextConfig, VideoConfig, config_from_table

if TYPE_CHECKING:
    from whenwhere.models.encoders.model import VideoTextModel

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SIZES = {"image_size": 16, "frames": 4, "patch": 8, "tubelet": 2, "width": 16, "layers": 4, "heads": 2, "output": 12}
VIDEO = VideoConfig(**SIZES, group_tokens=3, group_layers=(2, 4))  # type: ignore[arg-type]
TEXT = TextConfig(width=16, layers=2, heads=2, output=12, context=6)
WORDS = ["a red square moves left", "a blue circle"]


def model_of(text: TextConfig = TEXT) -> "VideoTextModel":
    from whenwhere.models.encoders.model import VideoTextModel

    torch.manual_seed(0)
    return VideoTextModel.from_words(EncoderConfig(VIDEO, text), WORDS).eval()


def embedded(model: "VideoTextModel", *texts: str) -> Any:
    with torch.no_grad():
        return model.text(**model.text.tokenize(texts))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_of().save(tmp_path_factory.mktemp("encoders") / "saved")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small BERT with a tokenizer, as a user might have it in a folder."""
    return text_model(tmp_path_factory.mktemp("bert"), "Bert")


def text_model(folder: Path, family: str) -> str:
    import transformers

    from whenwhere.models.encoders.tokenizer import word_tokenizer

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    tokenizer = word_tokenizer(WORDS)
    config = getattr(transformers, f"{family}Config")(vocab_size=len(tokenizer), max_position_embeddings=16, **sizes)
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    # as GPT-2's
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_words_are_tokens_and_every_text_ends() -> None:
    from whenwhere.models.encoders.tokenizer import word_tokenizer

    made = word_tokenizer(WORDS)
    ids = made(["A red, square!", "a green circle", "", "<end> a"])["input_ids"]
    assert ids == [[3, 4, 5, 1], [3, 2, 9, 1], [1], [2, 3, 1]]
    assert made(WORDS[:1], truncation=True, max_length=3)["input_ids"] == [[3, 4, 1]]


def test_a_text_does_not_depend_on_the_others_of_its_batch() -> None:
    model = model_of()
    texts = ["a red square", "a blue circle moves left and left and left", "left"]
    together = embedded(model, *texts)
    assert torch.allclose(together, torch.cat([embedded(model, text) for text in texts]), atol=1e-5)
    assert not torch.allclose(together[0], embedded(model, "square red a")[0], atol=1e-2)


def test_nothing_after_the_end_of_a_text_matters() -> None:
    model = model_of()
    for filler in (0, 1, 4):
        # padding may be the token that ends a text, as in CLIP's own tokenizer
        padded = torch.tensor([[3, 4, 1, filler, filler]])
        assert torch.allclose(model.text(padded), model.text(torch.tensor([[3, 4, 1]])), atol=1e-6)


@pytest.mark.parametrize("pooling", ["pooler", "last", "mean"])
def test_a_text_model_of_transformers(bert: str, pooling: Any, tmp_path: Path) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    text = TextConfig(kind="transformers", checkpoint=bert, pooling=pooling, output=12, context=8)
    model = VideoTextModel(EncoderConfig(VIDEO, text)).eval()
    texts = ["a red square", "a blue circle moves left", "left"]
    together = embedded(model, *texts)
    assert together.shape == (3, 12)
    assert torch.allclose(together, torch.cat([embedded(model, text) for text in texts]), atol=1e-5)
    if pooling == "last":
        # padding on the left leaves the last token where it is
        padded = {"input_ids": torch.tensor([[0, 3, 4]]), "attention_mask": torch.tensor([[0, 1, 1]])}
        expected = model.text.projection(model.text.backbone(**padded).last_hidden_state[:, -1])
        assert torch.allclose(model.text(**padded), expected)
    # it comes back without the folder that it was made from
    kept = VideoTextModel.load(model.save(tmp_path / "kept"))
    assert torch.equal(embedded(kept, *texts), embedded(model, *texts))


def test_a_pooled_text_model_equals_the_model_itself(bert: str) -> None:
    from transformers import AutoModel

    from whenwhere.models.encoders.text import TextEncoder, load_tokenizer

    text = TextConfig(kind="transformers", checkpoint=bert, pooling="pooler", output=8, projection=False)
    encoder = TextEncoder(text).eval()
    tokens = load_tokenizer(bert)(WORDS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = AutoModel.from_pretrained(bert).eval()(**tokens).pooler_output
        assert torch.allclose(encoder(**encoder.tokenize(WORDS)), expected, atol=1e-6)


def test_the_text_tower_is_taken_from_an_image_text_model(tmp_path: Path) -> None:
    import transformers

    from whenwhere.models.encoders.text import TextEncoder
    from whenwhere.models.encoders.tokenizer import word_tokenizer

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    tokenizer = word_tokenizer(WORDS)
    config = transformers.SiglipConfig(
        text_config={**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 8, "projection_size": 8},
        vision_config={**sizes, "image_size": 16, "patch_size": 8},
    )
    torch.manual_seed(0)
    whole = transformers.SiglipModel(config).eval()
    whole.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = TextConfig(
        kind="transformers", checkpoint=str(tmp_path), pooling="pooler", output=8, projection=False, context=8,
        padding="context", lower=True,
    )  # fmt: skip
    encoder = TextEncoder(text).eval()
    tokens = encoder.tokenize(["A Red Square"])
    assert tokens.keys() == {"input_ids"} and tokens["input_ids"].shape == (1, 8)
    with torch.no_grad():
        assert torch.allclose(encoder(**tokens), whole.get_text_features(**tokens).pooler_output, atol=1e-6)


def test_a_frozen_text_encoder_stays_as_it_is(bert: str) -> None:
    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.models.encoders.text import TextEncoder

    model = model_of(replace(TEXT, frozen=True)).train()
    assert model.video.training and not model.text.training
    assert not any(weight.requires_grad for weight in model.text.parameters())
    assert isinstance(model, VideoTextModel)
    text = TextConfig(kind="transformers", checkpoint=bert, pooling="mean", output=12, frozen=True)
    encoder = TextEncoder(text).train()
    assert torch.equal(encoder(**encoder.tokenize(WORDS)), encoder(**encoder.tokenize(WORDS)))
    assert [name for name, weight in encoder.named_parameters() if weight.requires_grad] == ["projection.weight"]


def test_recomputing_text_blocks_changes_no_gradient() -> None:
    gradients = []
    for again in (False, True):
        model = model_of().train()
        model.checkpoint_blocks(again)
        model.text(**model.text.tokenize(WORDS)).square().sum().backward()
        gradients.append(model.text.embedding.weight.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def test_a_saved_model_comes_back_whole(saved: Path) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    model, loaded = model_of(), VideoTextModel.load(saved)
    assert loaded.config == model.config and not loaded.training
    pixels = model.pixels(np.random.default_rng(0).integers(0, 256, (2, 4, 20, 30, 3)).astype(np.uint8))
    assert torch.equal(loaded.video(pixels).groups, model.video(pixels).groups)
    assert torch.equal(embedded(loaded, *WORDS), embedded(model, *WORDS))


def test_a_model_is_saved_over_another_and_with_remarks(tmp_path: Path) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    model = model_of()
    model.save(tmp_path / "one")
    (tmp_path / "one" / "left_over").touch()
    model.save(tmp_path / "one", {"recipe": "x"})
    assert not (tmp_path / "one" / "left_over").exists()
    assert VideoTextModel.load(tmp_path / "one").config == model.config
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        model.save(tmp_path / "file" / "one")


def test_frames_are_resized_whole_and_normalised() -> None:
    model = model_of()
    frames = np.zeros((1, 4, 32, 48, 3), np.uint8)
    frames[..., 24:, :] = 255
    pixels = model.pixels(frames)
    assert pixels.shape == (1, 4, 3, 16, 16) and pixels.dtype == torch.float32 and pixels.is_contiguous()
    mean, std = (torch.tensor(v)[:, None] for v in (VIDEO.mean, VIDEO.std))
    assert torch.allclose(pixels[0, 0, :, :, :7], (-mean / std)[..., None].expand(3, 16, 7), atol=1e-4)
    assert torch.allclose(pixels[0, 0, :, :, 10:], ((1 - mean) / std)[..., None].expand(3, 16, 6), atol=1e-4)
    # frames of the right size are not resampled
    noise = np.random.default_rng(0).integers(0, 256, (1, 4, 16, 16, 3)).astype(np.uint8)
    expected = (torch.tensor(noise).permute(0, 1, 4, 2, 3) / 255 - mean[..., None]) / std[..., None]
    assert torch.allclose(model.pixels(noise), expected, atol=1e-5)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 4, 16, 16, 3)), np.zeros((4, 16, 16, 3), np.uint8), np.zeros((1, 4, 3, 16, 16), np.uint8),
        np.zeros((0, 4, 16, 16, 3), np.uint8), np.zeros((1, 4, 16, 16, 1), np.uint8), "frames", None, [[1, 2], [3]],
    ],
    ids=str,
)  # fmt: skip
def test_frames_of_another_form(frames: Any) -> None:
    with pytest.raises(SettingError, match=r"uint8 of the shape \(clips, frames, height, width, 3\)"):
        model_of().pixels(frames)


@pytest.mark.parametrize("texts", [[], "a red square", [1, 2], [None], ("a", b"b")], ids=str)
def test_texts_of_another_form(texts: Any) -> None:
    with pytest.raises(SettingError, match="a list of at least one text"):
        model_of().text.tokenize(texts)


def test_tokens_that_the_encoder_cannot_take() -> None:
    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.models.encoders.tokenizer import word_tokenizer

    with pytest.raises(SettingError, match="a text of 9 tokens is longer than the context of 6"):
        model_of().text(torch.ones(1, 9, dtype=torch.long))
    small = EncoderConfig(VIDEO, replace(TEXT, vocabulary=3, end=1))
    with pytest.raises(SettingError, match="the tokenizer has 6 tokens and the text encoder a vocabulary of 3"):
        VideoTextModel(small, word_tokenizer(["a b c"]))
    other = VideoTextModel(EncoderConfig(VIDEO, replace(TEXT, vocabulary=9, end=7)), word_tokenizer(["a b c"]))
    with pytest.raises(ModelError, match="does not end every text by the token 7"):
        other.text.tokenize(["a"])
    with pytest.raises(SettingError, match="has no tokenizer"):
        VideoTextModel(EncoderConfig(VIDEO, TEXT)).text.tokenize(["a"])


VIDEO_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"group_tokens": 3, "group_layers": [5]}, "names layer 5, but layers are counted from 1 to 4"),
    ({"group_tokens": 3, "group_layers": [0]}, "names layer 0"),
    ({"group_tokens": 3, "group_layers": [2, 2]}, "names a layer twice"),
    ({"group_tokens": 3, "group_layers": 2}, "is a list of whole numbers, not 2"),
    ({"group_tokens": 3, "group_layers": ["2"]}, "is a list of whole numbers"),
    ({"group_tokens": 3}, "has 3 group tokens but no grouping block"),
    ({"group_layers": [2]}, "there are no group tokens"),
    ({"group_tokens": -1}, "group_tokens of the video encoder is 0 or more"),
    ({"group_tokens": 3, "group_layers": [2], "attention": "frame"}, "group tokens need attention between frames"),
    ({"patch": 5}, r"image_size of the video encoder \(16\) is not a multiple of patch \(5\)"),
    ({"tubelet": 3}, r"frames of the video encoder \(4\) is not a multiple of tubelet \(3\)"),
    ({"heads": 3}, r"width of the video encoder \(16\) is not a multiple of heads \(3\)"),
    ({"pooling": "attention", "pooling_heads": 3}, "not a multiple of pooling_heads"),
    ({"class_token": False}, "pooling is class but class_token is false"),
    ({"projection": False}, r"output \(12\) must equal its width \(16\)"),
    ({"layers": 0}, "layers of the video encoder is 1 or more, not 0"),
    ({"width": True}, "width of the video encoder is a whole number"),
    ({"width": 16.0}, "width of the video encoder is a whole number"),
    ({"drop_path": 1}, "drop_path of the video encoder is between 0 and 0.99"),
    ({"mlp_ratio": 0.01}, "mlp_ratio of the video encoder is between 0.0625 and 100"),
    ({"norm_eps": float("nan")}, "norm_eps of the video encoder is a number"),
    ({"std": [1, 1, 0]}, "std of the video encoder is above 0"),
    ({"mean": [1, 1]}, "mean of the video encoder is a list of three numbers"),
    ({"activation": "relu"}, "is one of gelu, quick_gelu, gelu_tanh, not 'relu'"),
    ({"rope_theta": 100, "heads": 8}, "rotary positions need heads whose size is a multiple of 4"),
    ({"widht": 16}, "did you mean width"),
]


@pytest.mark.parametrize("changes, said", VIDEO_FAULTS, ids=lambda v: str(v)[:40])
def test_video_settings_that_do_not_fit(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        config_from_table(VideoConfig, SIZES | changes, "video")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"kind": "transformers"}, "set checkpoint"),
        ({"kind": "transformers", "checkpoint": "x"}, "set pooling to pooler, last or mean"),
        ({"checkpoint": "x"}, "is not made from a checkpoint"),
        ({"pooling": "mean"}, "has the pooling end"),
        ({"heads": 3}, "not a multiple of heads"),
        ({"end": 50_000}, "from 0 to 49407"),
        ({"kind": "bert"}, "is one of clip, transformers"),
        ({"projection": False}, "must equal its width"),
    ],
)
def test_text_settings_that_do_not_fit(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        replace(TEXT, **changes)


def test_tables_and_sizes_of_both_encoders() -> None:
    assert EncoderConfig.from_dict(EncoderConfig(VIDEO, TEXT).to_dict()) == EncoderConfig(VIDEO, TEXT)
    assert EncoderConfig.from_dict(json.loads(json.dumps(EncoderConfig(VIDEO, TEXT).to_dict()))).video == VIDEO
    with pytest.raises(SettingError, match="12 numbers and text embeddings 512"):
        EncoderConfig(VIDEO, TextConfig())
    for tables in ({"vidoe": {}}, {"video": 3}, {"text": None}, {"video": {1: 2}}):
        with pytest.raises(SettingError):
            EncoderConfig.from_dict(tables)


@pytest.mark.parametrize("kind, ratio", [("tubes", 0.5), ("random", 1), ("tube", -0.1), ("frame", float("nan"))])
@pytest.mark.parametrize("wrong", ["0.9", True, None])
def test_masking_that_makes_no_sense(kind: Any, ratio: Any, wrong: Any) -> None:
    for arguments in ((kind, ratio), ("random", wrong)):
        with pytest.raises(SettingError):
            Masking(*arguments)


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda tables: {key: value for key, value in tables.items() if key != name}


def video(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda tables: tables | {"video": tables["video"] | changes}


@pytest.mark.parametrize(
    "changed, said",
    [
        (lambda tables: [], "does not describe a video-text encoder"),
        (lambda tables: {"model_type": "clip"}, "does not describe a video-text encoder"),
        (lambda tables: tables | {"audio": {}}, "has the tables video and text, not 'audio'"),
        (lambda tables: tables | {"text": None}, "holds keys and values"),
        (without("video"), "lacks the table video"),
        (video(depth=3), "has no setting 'depth'"),
        (video(layers="x"), "layers of the video encoder is a whole number"),
        (video(layers=6), "lack 'video.blocks.4.attention.out.bias' and 23 more"),
        (video(layers=3, group_layers=[2]), "hold 'video.blocks.3"),
        (video(width=32), r"video.class_token has the shape \(16,\) there and \(32,\) by the configuration"),
    ],
)
def test_configurations_that_are_damaged_or_of_other_weights(
    saved: Path, tmp_path: Path, changed: Callable[[dict[str, Any]], Any], said: str
) -> None:
    refused(
        saved,
        tmp_path,
        "config.json",
        json.dumps(changed(json.loads((saved / "config.json").read_text()))).encode(),
        said,
    )


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("config.json", b"", "not JSON"),
        ("config.json", b"\xff\x00", "not text"),
        ("config.json", None, "cannot read"),
        ("model.safetensors", b"", "is damaged or not a safetensors file"),
        ("model.safetensors", b"\x80\x02}q\x00.", "is damaged or not a safetensors file"),
        ("model.safetensors", None, "there is no file"),
        ("tokenizer/tokenizer.json", b"{", "the tokenizer in .* is damaged"),
    ],
)
def test_files_that_are_damaged_or_missing(
    saved: Path, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    refused(saved, tmp_path, name, content, said)


def refused(saved: Path, folder: Path, name: str, content: bytes | None, said: str) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    shutil.copytree(saved, folder / "copy")
    (folder / "copy" / name).unlink()
    if content is not None:
        (folder / "copy" / name).write_bytes(content)
    with pytest.raises(WhenwhereError, match=said) as error:
        VideoTextModel.load(folder / "copy")
    assert isinstance(error.value, ModelError) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tensor, said",
    [
        (lambda: torch.zeros(7), r"video.class_token has the shape \(7,\) there and \(16,\)"),
        (lambda: torch.full((16,), float("nan")), "video.class_token does not hold finite numbers"),
        (lambda: torch.zeros(16, dtype=torch.long), "video.class_token does not hold finite numbers"),
        (None, "lack 'video.class_token', which the configuration asks for"),
    ],
)
def test_weights_that_do_not_fit(saved: Path, tmp_path: Path, tensor: Callable[[], Any] | None, said: str) -> None:
    from safetensors.torch import load_file, save

    weights = load_file(saved / "model.safetensors")
    del weights["video.class_token"]
    if tensor is not None:
        weights["video.class_token"] = tensor()
    refused(saved, tmp_path, "model.safetensors", save(weights), said)


def test_weights_in_half_precision_are_read(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from whenwhere.models.encoders.model import VideoTextModel

    shutil.copytree(saved, tmp_path / "copy")
    weights = load_file(saved / "model.safetensors")
    save_file({name: value.bfloat16() for name, value in weights.items()}, tmp_path / "copy" / "model.safetensors")
    loaded = VideoTextModel.load(tmp_path / "copy")
    assert loaded.video.class_token.dtype == torch.float32
    assert torch.allclose(loaded.video.class_token, weights["video.class_token"], atol=1e-2)
