"""Encoders that begin from a checkpoint of another library: `open_model`.

What a checkpoint was trained with is read from it: activation, normalisation, padding of texts, mean and deviation of
pixels. Every weight must find its place, and the result must compute what the checkpoint's own library computes for a
picture and some texts, or it is refused, because an activation or a position that differs would make it worse without
a word.

An image encoder becomes a video encoder as in ViCLIP: all tokens of a clip attend to each other, one class token is
the clip's, and positions in time start at zero, so that a single frame is embedded as before. With
`attention = "frame"` it embeds each frame as before and averages.

Left out: VideoPrism, whose blocks attend first in space and then in time and cap their logits; SigLIP's text tower
from open_clip, which transformers has; towers that are convolutional. Frames are resized to the encoder's square whole
and with bicubic interpolation, whatever the checkpoint's processor does.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whenwhere.errors import ModelError
from whenwhere.models.encoders.config import Activation, EncoderConfig, TextConfig, VideoConfig
from whenwhere.models.encoders.encoder import IMAGE_FRAMES
from whenwhere.models.encoders.layouts import (
    WeightReader,
    clip_picture,
    clip_text,
    openai_picture,
    openai_text,
    pe_picture,
    siglip_picture,
)
from whenwhere.models.encoders.model import VideoTextModel, load_weights
from whenwhere.models.encoders.openclip import WEIGHT_SUFFIXES, OpenClipEncoder, clip_tokenizer
from whenwhere.models.encoders.pretrained import PretrainedImageEncoder
from whenwhere.models.encoders.resolve import open_encoder
from whenwhere.models.encoders.trained import TrainedEncoder
from whenwhere.models.encoders.viclip import open_viclip

#: Largest difference of an embedding's numbers from the original's, relative to its length.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class _Source:
    """A checkpoint in this package's terms.

    Attributes:
        config: The configuration.
        video: Weights of the video encoder by our names.
        text: Weights of the text encoder by our names; empty if it is the checkpoint's own module.
        scale: The factor of cosines.
        tokenizer: The tokenizer.
        backbone: The checkpoint's own text model, if ours is not used.
        pictures: Function from normalised pictures, shape (n, 3, H, W), to the library's embeddings of them, (n, D).
            None compares no picture.
        texts: Function from token ids, shape (n, N), to the library's embeddings, (n, D). None compares no text.
    """

    config: EncoderConfig
    video: dict[str, Tensor]
    text: dict[str, Tensor]
    scale: float
    tokenizer: Any
    backbone: Any = None
    pictures: Callable[[Tensor], Tensor] | None = None
    texts: Callable[[Tensor], Tensor] | None = None


def open_model(name: str) -> VideoTextModel:
    """Opens the model that training begins with, on the CPU and in float32.

    Args:
        name: An encoder of this package (a folder, RUN or RUN@STEP), a folder or hub id of transformers (CLIP, SigLIP,
            SigLIP 2) or open_clip (CLIP, PE-Core), one of open_clip's models with a file of weights (`MODEL:FILE`), or
            the file of a released ViCLIP.

    Raises:
        ModelError: The checkpoint cannot be loaded, or has something for which this package's encoders have no place.
        SettingError: A training run has no such model.
    """
    if name.endswith(WEIGHT_SUFFIXES) and Path(name).expanduser().is_file():
        return open_viclip(name)
    opened = open_encoder(name, "cpu")
    if isinstance(opened, TrainedEncoder):
        return opened.model
    if isinstance(opened, OpenClipEncoder):
        return _made(_open_clip(opened), name)
    if isinstance(opened, PretrainedImageEncoder):
        return _made(_transformers(opened), name)
    raise ModelError(
        f"{name} attends first in space and then in time, which this package's encoders do not: use it as "
        f"encoder:{name}, or begin from CLIP, SigLIP or PE-Core"
    )


def _made(source: _Source, name: str) -> VideoTextModel:
    """The model of a source, compared with the library that made the checkpoint."""
    made = VideoTextModel(source.config, source.tokenizer, source.backbone)
    load_weights(made.video, made.video.state_dict() | source.video, name)
    if source.text:
        load_weights(made.text, source.text, name)
    made.logit_scale.data.fill_(math.log(source.scale))
    _check_equal(made.eval(), source, name)
    return made


@torch.no_grad()
def _check_equal(made: VideoTextModel, source: _Source, name: str) -> None:
    """Refuses a model that does not compute what the checkpoint's own library does."""
    random = torch.Generator().manual_seed(0)
    side = source.config.video.image_size
    if source.pictures is not None:
        picture = torch.randn(1, 3, side, side, generator=random)
        _compare(made.video(picture[:, None]).pooled, source.pictures(picture), name, "a picture")
    if source.texts is not None:
        text = source.config.text
        ids = torch.randint(0, text.end, (2, text.context), generator=random)
        ids[0, -1] = ids[1, text.context // 2 :] = text.end
        _compare(made.text(ids), source.texts(ids), name, "a text")


def _compare(ours: Tensor, theirs: Tensor, name: str, what: str) -> None:
    off = float((ours - theirs).abs().max() / theirs.norm(dim=-1).max().clamp(min=1e-12))
    if not off <= _TOLERANCE:
        raise ModelError(
            f"an encoder made from {name} would embed {what} otherwise than {name} does (by {off:.2g} of its length): "
            "it has a setting that is not known here, so begin from another checkpoint"
        )


def _activation(name: str, source: str) -> Activation:
    known: dict[str, Activation] = {
        "gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh",
    }  # fmt: skip
    if name not in known:
        raise ModelError(f"{source} has the activation {name}, which is not known here: begin from another checkpoint")
    return known[name]


def _transformers(opened: PretrainedImageEncoder) -> _Source:
    model, name = opened.model, opened.name
    kind, vision, text = model.config.model_type, model.config.vision_config, model.config.text_config
    if kind not in ("clip", "siglip", "siglip2"):
        raise ModelError(f"{name} is of the kind {kind}: an encoder can begin from clip, siglip or siglip2")
    pictures = opened.processor.image_processor
    common: dict[str, Any] = {
        "frames": IMAGE_FRAMES, "image_size": opened.image_size[0], "patch": vision.patch_size,
        "width": vision.hidden_size,
        "layers": vision.num_hidden_layers, "heads": vision.num_attention_heads,
        "mlp_ratio": vision.intermediate_size / vision.hidden_size, "norm_eps": vision.layer_norm_eps,
        "activation": _activation(vision.hidden_act, name),
        "mean": _colours(pictures.image_mean), "std": _colours(pictures.image_std),
    }  # fmt: skip
    reader = WeightReader(model.state_dict(), name)
    reader.drop("logit_scale", "logit_bias")

    def embed(pixels: Tensor) -> Tensor:
        if kind != "siglip2":
            return model.get_image_features(pixel_values=pixels).pooler_output
        side = vision.patch_size
        rows, columns = (n // side for n in pixels.shape[-2:])
        patches = pixels.view(-1, 3, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)
        return model.get_image_features(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int32),
            spatial_shapes=torch.tensor([[rows, columns]] * len(patches)),
        ).pooler_output

    if kind == "clip":
        tokenizer = opened.processor.tokenizer
        words = TextConfig(
            output=model.config.projection_dim, context=text.max_position_embeddings, vocabulary=text.vocab_size,
            end=tokenizer.eos_token_id, width=text.hidden_size, layers=text.num_hidden_layers,
            heads=text.num_attention_heads, mlp_ratio=text.intermediate_size / text.hidden_size,
            activation=_activation(text.hidden_act, name), norm_eps=text.layer_norm_eps,
        )  # fmt: skip
        config = EncoderConfig(VideoConfig(output=model.config.projection_dim, **common), words)
        video, weights = clip_picture(reader), clip_text(reader)
        reader.finish()
        return _Source(
            config, video, weights, opened.scale, tokenizer, pictures=embed,
            texts=lambda ids: model.get_text_features(input_ids=ids).pooler_output,
        )  # fmt: skip
    video = siglip_picture(reader, vision.patch_size)
    reader.left = {key: value for key, value in reader.left.items() if not key.startswith("text_model.")}
    reader.finish()
    config = EncoderConfig(
        VideoConfig(
            output=vision.hidden_size, class_token=False, pooling="attention", projection=False, pre_norm=False,
            patch_bias=True, **common,
        ),
        TextConfig(
            kind="transformers", checkpoint=name, output=text.projection_size, context=text.max_position_embeddings,
            pooling="pooler", padding="context", lower=True, projection=False,
        ),
    )  # fmt: skip
    return _Source(config, video, {}, opened.scale, opened.processor.tokenizer, model.text_model, pictures=embed)


def _open_clip(opened: OpenClipEncoder) -> _Source:
    model, name = opened.model, opened.name
    visual = model.visual
    tower = model.text if hasattr(model, "text") else model
    if visual.__class__.__name__ not in ("VisionTransformer", "TimmModel") or not hasattr(tower, "token_embedding"):
        raise ModelError(
            f"{name} has a tower that is not a vision transformer or not a text transformer of CLIP: begin from "
            "another checkpoint"
        )
    reader = WeightReader(model.state_dict(), name)
    reader.drop("logit_scale", "logit_bias")
    pictures = visual.preprocess_cfg
    common: dict[str, Any] = {
        "frames": IMAGE_FRAMES, "image_size": opened.image_size[0], "output": opened.dimension,
        "mean": _colours(pictures["mean"]), "std": _colours(pictures["std"]),
    }  # fmt: skip
    prefix = "text." if tower is not model else ""
    block = tower.transformer.resblocks[0]
    words = TextConfig(
        output=opened.dimension, context=tower.context_length, vocabulary=tower.vocab_size,
        end=tower.vocab_size - 1, width=tower.token_embedding.weight.shape[1],
        layers=len(tower.transformer.resblocks), heads=block.attn.num_heads, mlp_ratio=_ratio(block.mlp.c_fc),
        activation=_module(block.mlp.gelu, name), norm_eps=tower.ln_final.eps,
    )  # fmt: skip
    if hasattr(visual, "trunk"):
        trunk = visual.trunk
        if not trunk.__class__.__name__.startswith("Eva") or getattr(trunk, "attn_pool", None) is None:
            raise ModelError(f"{name} has a vision tower of timm that is not PE-Core: begin from another checkpoint")
        block = trunk.blocks[0]
        vision = VideoConfig(
            **common, patch=trunk.patch_embed.patch_size[0], width=trunk.embed_dim, layers=len(trunk.blocks),
            heads=block.attn.num_heads, mlp_ratio=_ratio(block.mlp.fc1), activation=_module(block.mlp.act, name),
            norm_eps=trunk.norm.eps, class_token=trunk.cls_token is not None, pooling="attention",
            pooling_heads=trunk.attn_pool.num_heads, rope_theta=10000.0,
        )  # fmt: skip
        video = pe_picture(reader)
    else:
        block = visual.transformer.resblocks[0]
        vision = VideoConfig(
            **common, patch=visual.patch_size[0], width=visual.conv1.out_channels,
            layers=len(visual.transformer.resblocks), heads=block.attn.num_heads, mlp_ratio=_ratio(block.mlp.c_fc),
            activation=_module(block.mlp.gelu, name), norm_eps=visual.ln_post.eps,
        )  # fmt: skip
        video = openai_picture(reader, "visual.")
    text = openai_text(reader, prefix)
    reader.finish()
    return _Source(
        EncoderConfig(vision, words), video, text, opened.scale, clip_tokenizer(tower.context_length),
        pictures=model.encode_image, texts=model.encode_text,
    )  # fmt: skip


def _module(activation: nn.Module, name: str) -> Activation:
    kind = activation.__class__.__name__
    if kind == "QuickGELU":
        return "quick_gelu"
    if kind != "GELU":
        raise ModelError(f"{name} has the activation {kind}, which is not known here: begin from another checkpoint")
    return "gelu_tanh" if getattr(activation, "approximate", "none") == "tanh" else "gelu"


def _ratio(layer: nn.Linear) -> float:
    return layer.out_features / layer.in_features


def _colours(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(v) for v in values)
    return red, green, blue
