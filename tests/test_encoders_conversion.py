"""Encoders that begin from other libraries' checkpoints compute what those libraries compute, or are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_encoders

from whenwhere.errors import ModelError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

TEXTS = ["a red circle moves left", "the blue square"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def frames() -> Any:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


def saved(folders: Path, family: str) -> Path:
    folder = folders / family
    if not folder.exists():
        save = tiny_encoders.save_open_clip if family in tiny_encoders.OPEN_CLIP else tiny_encoders.save
        save(family, folder)
    return folder


def opened(folder: Path | str) -> Any:
    from whenwhere.models.encoders.conversion import open_model

    return open_model(str(folder)).eval()


def changed(model: Any, **sizes: Any) -> Any:
    """The video encoder with other settings, and its weights as far as they fit."""
    from dataclasses import replace

    from whenwhere.models.encoders.video import VideoEncoder

    made = VideoEncoder(replace(model.config.video, **sizes))
    state = made.state_dict()
    made.load_state_dict(state | {k: v for k, v in model.video.state_dict().items() if k in state})
    return made.eval()


def close(ours: Any, theirs: Any, most: float = 1e-5) -> bool:
    return float((ours - theirs).abs().max() / theirs.norm(dim=-1).max()) < most


def oracle(folder: Path, frames: Any) -> tuple[Any, Any, Any]:
    """What the checkpoint's own library embeds: pixels, pictures and texts."""
    if (folder / "open_clip_config.json").exists():
        import open_clip
        from PIL import Image

        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        pixels = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
        return pixels, model.eval().encode_image(pixels), model.encode_text(tokens)
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    inputs = processor.image_processor(images=list(frames), return_tensors="pt")
    padding = {"padding": "max_length", "max_length": tiny_encoders.CONTEXT} if "siglip" in folder.name else {}
    tokens = processor.tokenizer(TEXTS, return_tensors="pt", **(padding or {"padding": True}))
    seen = model.get_image_features(**inputs).pooler_output
    return inputs["pixel_values"], seen, model.get_text_features(**tokens).pooler_output


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2", *tiny_encoders.OPEN_CLIP])
def test_an_encoder_begins_where_its_checkpoint_ended(family: str, folders: Path, frames: Any, tmp_path: Path) -> None:
    from whenwhere.models.encoders.model import VideoTextModel

    frames = frames[:2] if family == "pe-core" else frames
    folder = saved(folders, family)
    model = opened(folder)
    with torch.no_grad():
        pixels, seen, read = oracle(folder, frames)
        if family == "pe-core":  # the squash of 32 pixels to 384 is another one there
            clips = pixels[:, None]
        else:
            clips = model.pixels(frames[:, None])
            if family != "siglip2":  # whose pixels are patches already
                assert float((clips[:, 0] - pixels).abs().max()) < 0.02
                clips = pixels[:, None]
        assert close(model.video(clips).pooled, seen)
        assert close(model.text(**model.text.tokenize(TEXTS)), read)
        # the mean of frames encoded alone is what averaging the library's embeddings gives
        per_frame = changed(model, attention="frame")(clips.transpose(0, 1))
        assert close(per_frame.frames[0], seen) and close(per_frame.pooled, seen.mean(0, keepdim=True))
        again = VideoTextModel.load(model.save(tmp_path / "saved"))
        assert close(again.video(clips).pooled, seen)
        assert close(again.text(**again.text.tokenize(TEXTS)), read)
    assert model.config.video.frames == 8 and not model.video.temporal_positions.any()


def test_the_activation_is_the_checkpoint_s_own(folders: Path) -> None:
    """The same weights with and without QuickGELU are two models (the most frequent silent mistake with CLIP)."""
    with_, without = (opened(saved(folders, kind)) for kind in ("open-clip-quickgelu", "open-clip"))
    assert (with_.config.video.activation, with_.config.text.activation) == ("quick_gelu", "quick_gelu")
    assert (without.config.video.activation, without.config.text.activation) == ("gelu", "gelu")
    pixels = torch.randn(1, 1, 3, 32, 32)
    with torch.no_grad():
        assert not close(with_.video(pixels).pooled, without.video(pixels).pooled, 1e-4)


def test_pixels_are_normalised_as_the_checkpoint_says(folders: Path) -> None:
    assert opened(saved(folders, "open-clip")).config.video.std == (0.25, 0.25, 0.25)
    assert opened(saved(folders, "siglip")).config.video.mean == (0.5, 0.5, 0.5)
    assert opened(saved(folders, "clip")).config.video.mean[0] == pytest.approx(0.48145466)


def test_clip_s_tokenizer_from_open_clip_s_vocabulary_reads_as_it_does() -> None:
    import open_clip

    from whenwhere.models.encoders.openclip import clip_tokenizer

    texts = ["A red car's driving-up, isn't it?", "naïve café 123 456", "the  quick\nbrown fox" * 12, "日本 :) #1", ""]
    theirs = open_clip.get_tokenizer("ViT-B-32")(texts)
    ours = clip_tokenizer()(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt")
    ends = theirs.argmax(1)
    for row, (a, b) in enumerate(zip(ours["input_ids"], theirs, strict=True)):
        assert a[: ends[row] + 1].tolist() == b[: ends[row] + 1].tolist()


WIDTH, LAYERS, SIDE, PATCH, OUT = 128, 2, 32, 16, 48
TEXT_WIDTH, CONTEXT, VOCABULARY = 64, 32, 49408


def viclip_state(frames: int = 8) -> dict[str, Any]:
    """Random weights under the names and in the shapes of the released ViCLIP."""
    torch.manual_seed(3)

    def random(*shape: int) -> Any:
        return torch.randn(*shape) * 0.1

    def blocks(prefix: str, width: int) -> dict[str, Any]:
        made = {}
        for k in range(LAYERS):
            name = f"{prefix}transformer.resblocks.{k}."
            made |= {
                f"{name}attn.in_proj_weight": random(3 * width, width), f"{name}attn.in_proj_bias": random(3 * width),
                f"{name}attn.out_proj.weight": random(width, width), f"{name}attn.out_proj.bias": random(width),
                f"{name}mlp.c_fc.weight": random(4 * width, width), f"{name}mlp.c_fc.bias": random(4 * width),
                f"{name}mlp.c_proj.weight": random(width, 4 * width), f"{name}mlp.c_proj.bias": random(width),
            }  # fmt: skip
            for norm in ("ln_1", "ln_2"):
                made |= {f"{name}{norm}.weight": 1 + random(width), f"{name}{norm}.bias": random(width)}
        return made

    video, text, n = "vision_encoder.", "text_encoder.", (SIDE // PATCH) ** 2
    return {
        "temp": torch.tensor(0.02), f"{video}conv1.weight": random(WIDTH, 3, 1, PATCH, PATCH),
        f"{video}class_embedding": random(WIDTH), f"{video}positional_embedding": random(n + 1, WIDTH),
        f"{video}temporal_positional_embedding": random(1, frames, WIDTH),
        f"{video}ln_pre.weight": 1 + random(WIDTH), f"{video}ln_pre.bias": random(WIDTH),
        f"{video}ln_post.weight": 1 + random(WIDTH), f"{video}ln_post.bias": random(WIDTH),
        f"{video}proj": random(WIDTH, OUT), f"{text}token_embedding.weight": random(VOCABULARY, TEXT_WIDTH),
        f"{text}positional_embedding": random(CONTEXT, TEXT_WIDTH),
        f"{text}ln_final.weight": 1 + random(TEXT_WIDTH), f"{text}ln_final.bias": random(TEXT_WIDTH),
        f"{text}text_projection": random(TEXT_WIDTH, OUT),
    } | blocks(video, WIDTH) | blocks(text, TEXT_WIDTH)  # fmt: skip


def viclip_transformer(state: dict[str, Any], prefix: str, x: Any, heads: int, mask: Any = None) -> Any:
    """ViCLIP's transformer as its code has it: sequence first, nn.MultiheadAttention, QuickGELU."""
    width = x.shape[-1]
    for k in range(LAYERS):
        own = {
            n.split(f"resblocks.{k}.")[1]: v
            for n, v in state.items()
            if n.startswith(f"{prefix}transformer.resblocks.{k}.")
        }
        attention = torch.nn.MultiheadAttention(width, heads)
        attention.load_state_dict({n.removeprefix("attn."): v for n, v in own.items() if n.startswith("attn.")})
        y = torch.nn.functional.layer_norm(x, (width,), own["ln_1.weight"], own["ln_1.bias"])
        x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = torch.nn.functional.layer_norm(x, (width,), own["ln_2.weight"], own["ln_2.bias"])
        y = y @ own["mlp.c_fc.weight"].T + own["mlp.c_fc.bias"]
        x = x + (y * torch.sigmoid(1.702 * y)) @ own["mlp.c_proj.weight"].T + own["mlp.c_proj.bias"]
    return x


def viclip_video(state: dict[str, Any], clips: Any) -> Any:
    """ViCLIP's vision encoder without masking, for clips (B, T, 3, H, W)."""
    own = {n.removeprefix("vision_encoder."): v for n, v in state.items() if n.startswith("vision_encoder.")}
    batch, steps = clips.shape[:2]
    x = torch.nn.functional.conv3d(clips.transpose(1, 2), own["conv1.weight"], stride=(1, PATCH, PATCH))
    x = x.permute(0, 2, 3, 4, 1).reshape(batch * steps, -1, WIDTH)
    x = torch.cat([own["class_embedding"].expand(batch * steps, 1, WIDTH), x], 1) + own["positional_embedding"]
    first, x = x[:batch, :1], x[:, 1:]
    x = x.reshape(batch, steps, -1, WIDTH).transpose(1, 2)  # b n t m
    times = own["temporal_positional_embedding"]
    x = x + (times.mean(1) if steps == 1 else times)
    x = torch.cat([first, x.reshape(batch, -1, WIDTH)], 1)
    x = torch.nn.functional.layer_norm(x, (WIDTH,), own["ln_pre.weight"], own["ln_pre.bias"])
    x = viclip_transformer(state, "vision_encoder.", x.transpose(0, 1), WIDTH // 64)
    return torch.nn.functional.layer_norm(x[0], (WIDTH,), own["ln_post.weight"], own["ln_post.bias"]) @ own["proj"]


def viclip_text(state: dict[str, Any], ids: Any) -> Any:
    own = {n.removeprefix("text_encoder."): v for n, v in state.items() if n.startswith("text_encoder.")}
    x = own["token_embedding.weight"][ids] + own["positional_embedding"][: ids.shape[1]]
    mask = torch.full((ids.shape[1],) * 2, float("-inf")).triu(1)
    x = viclip_transformer(state, "text_encoder.", x.transpose(0, 1), TEXT_WIDTH // 64, mask).transpose(0, 1)
    x = torch.nn.functional.layer_norm(x, (TEXT_WIDTH,), own["ln_final.weight"], own["ln_final.bias"])
    return x[torch.arange(len(x)), ids.argmax(1)] @ own["text_projection"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_released_weights_of_viclip_load(wrapped: bool, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = viclip_state()
    file = tmp_path / ("viclip.pth" if wrapped else "viclip.safetensors")
    torch.save({"model": state}, file) if wrapped else save_file(state, file)
    model = opened(file)
    clips = torch.randn(2, 8, 3, SIDE, SIDE)
    ids = model.text.tokenize(["a dog runs", "the red car drives up quickly"])["input_ids"]
    with torch.no_grad():
        assert close(model.video(clips).pooled, viclip_video(state, clips))
        assert close(model.video(clips[:, :1]).pooled, viclip_video(state, clips[:, :1]))
        assert close(model.text(ids), viclip_text(state, ids))
    video = model.config.video
    assert (video.frames, video.heads, video.patch, video.activation) == (8, 2, 16, "quick_gelu")
    assert video.mean == (0.485, 0.456, 0.406) and model.config.text.context == 32
    assert float(model.logit_scale.exp()) == pytest.approx(50)
    # its training took punctuation out of texts
    with_signs, without = ([f"{text}"] for text in ("A red-brown dog runs (fast), then: stops!", "a red brown dog runs "
                           "fast then stops"))  # fmt: skip
    assert torch.equal(model.text.tokenize(with_signs)["input_ids"], model.text.tokenize(without)["input_ids"])
    from whenwhere.models.encoders.resolve import open_encoder

    assert (open_encoder(str(file), "cpu").frames, open_encoder(str(file), "cpu").dimension) == (8, OUT)


def _without(state: dict[str, Any]) -> None:
    del state["vision_encoder.ln_pre.bias"]


def _with_more(state: dict[str, Any]) -> None:
    state["vision_encoder.adapter.weight"] = torch.zeros(3)


def _of_another_shape(state: dict[str, Any]) -> None:
    state["vision_encoder.proj"] = torch.zeros(WIDTH, OUT + 1)


def _of_another_kind(state: dict[str, Any]) -> None:
    state.clear()
    state["visual.proj"] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without, "have no vision_encoder.ln_pre.bias: they are of another kind, or not complete"),
        (_with_more, "hold vision_encoder.adapter.weight, for which there is no place here"),
        (_of_another_shape, r"has the shape \(48, 64\) there and \(49, 64\)|set output of both"),
        (_of_another_kind, "does not hold the weights of ViCLIP"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(spoil: Any, said: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = viclip_state()
    spoil(state)
    save_file(state, tmp_path / "viclip.safetensors")
    with pytest.raises(ModelError, match=said) as e:
        opened(tmp_path / "viclip.safetensors")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("what", ["pickle", "empty", "cut"])
def test_damaged_files_and_pickles_are_refused(what: str, tmp_path: Path) -> None:
    file = tmp_path / ("viclip.pt" if what == "pickle" else "viclip.safetensors")
    if what == "pickle":
        torch.save({"model": Path("x")}, file)
    else:
        file.write_bytes(b"" if what == "empty" else b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(ModelError, match="may run any code" if what == "pickle" else "damaged"):
        opened(file)


def test_a_setting_that_is_not_known_is_found_by_its_effect(folders: Path, tmp_path: Path) -> None:
    """A tower pooled by the mean has the same weights as one pooled by the class token."""
    folder = tmp_path / "mean"
    shutil.copytree(saved(folders, "open-clip"), folder)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["pool_type"] = "avg"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="would embed a picture otherwise than"):
        opened(folder)


@pytest.mark.parametrize(
    ("family", "said"),
    [("videoprism", "attends first in space and then in time"), ("chinese_clip", "can begin from clip, siglip or")],
)
def test_what_has_no_place_here_is_refused(family: str, said: str, folders: Path) -> None:
    with pytest.raises(ModelError, match=said):
        opened(saved(folders, family))


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_attention_of_a_single_frame_is_that_of_the_checkpoint(family: str, folders: Path, frames: Any) -> None:
    from whenwhere.models.encoders.resolve import open_encoder
    from whenwhere.models.encoders.trained import TrainedEncoder

    folder = saved(folders, family)
    theirs: Any = open_encoder(str(folder), "cpu")
    ours = TrainedEncoder("ours", opened(folder), "cpu")
    expected, found = theirs.attention(frames[:, None]), ours.attention(frames[:, None])
    assert expected.shape == found.shape == (3, 1, 4, 4) and np.abs(expected - found).max() < 1e-4
    # what a class token attends to in itself is left out
    assert (found.sum((1, 2, 3)) < 1 + 1e-5).all() and found.std() > 1e-3
    several = ours.attention(frames[None])
    assert several.shape == (1, 3, 4, 4) and several.sum() < 1 + 1e-5
