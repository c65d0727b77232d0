"""Tiny, randomly initialised image- and video-text encoders of the real classes, saved as their libraries save them."""

import json
from pathlib import Path
from typing import Any

WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "green",
    "circle",
    "square",
    "triangle",
    "moves",
    "left",
    "right",
    "up",
    "down",
    "turns",
]
#: Context of the tiny text models in tokens.
CONTEXT = 16


def words(**options: Any) -> Any:
    """A tokenizer with a token for each of a few words, as CLIP's puts a token before and after a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<bos>", "<unk>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS, "<eos>"])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<bos>", vocabulary["<bos>"]), ("<eos>", vocabulary["<eos>"])]
    made.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", pad_token="<pad>", bos_token="<bos>", eos_token="<eos>",
        model_max_length=CONTEXT, **options,
    )  # fmt: skip


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURE = SIZES | {"image_size": 32, "patch_size": 8}
TEXT = SIZES | {
    "vocab_size": len(WORDS) + 4, "max_position_embeddings": CONTEXT, "bos_token_id": 1,
    "eos_token_id": len(WORDS) + 3, "pad_token_id": 0,
}  # fmt: skip


def _clip() -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    config = CLIPConfig(
        text_config=TEXT | {"projection_dim": 24}, vision_config=PICTURE | {"projection_dim": 24}, projection_dim=24
    )
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return CLIPModel(config), CLIPProcessor(pictures, words())


def _metaclip() -> tuple[Any, Any]:
    from transformers import CLIPImageProcessor, CLIPProcessor, MetaClip2Config, MetaClip2Model

    config = MetaClip2Config(
        text_config=TEXT | {"projection_dim": 24}, vision_config=PICTURE | {"projection_dim": 24}, projection_dim=24
    )
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return MetaClip2Model(config), CLIPProcessor(pictures, words())


def _siglip() -> tuple[Any, Any]:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    pictures = SiglipImageProcessor(size={"height": 32, "width": 32})
    config = SiglipConfig(text_config=TEXT, vision_config=PICTURE)
    return SiglipModel(config), SiglipProcessor(pictures, words(model_input_names=["input_ids"]))


def _siglip2() -> tuple[Any, Any]:
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

    picture = SIZES | {"patch_size": 8, "num_patches": 16}
    pictures = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    config = Siglip2Config(text_config=TEXT, vision_config=picture)
    return Siglip2Model(config), Siglip2Processor(pictures, words(model_input_names=["input_ids"]))


def _chinese_clip() -> tuple[Any, Any]:
    from transformers import ChineseCLIPConfig, ChineseCLIPImageProcessor, ChineseCLIPModel, ChineseCLIPProcessor

    config = ChineseCLIPConfig(text_config=TEXT, vision_config=PICTURE | {"projection_dim": 24}, projection_dim=24)
    pictures = ChineseCLIPImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    return ChineseCLIPModel(config), ChineseCLIPProcessor(pictures, words())


def _altclip() -> tuple[Any, Any]:
    from transformers import AltCLIPConfig, AltCLIPModel, AltCLIPProcessor, CLIPImageProcessor

    text = TEXT | {"project_dim": 24, "max_position_embeddings": CONTEXT + 2, "pad_token_id": 1}
    config = AltCLIPConfig(text_config=text, vision_config=PICTURE | {"projection_dim": 24}, projection_dim=24)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return AltCLIPModel(config), AltCLIPProcessor(pictures, words())


def _videoprism() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionVideoProcessor,
        VideoPrismClipModel,
        VideoPrismConfig,
        VideoPrismProcessor,
    )

    video = {
        "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_spatial_layers": 2,
        "num_temporal_layers": 1, "num_auxiliary_layers": 1, "image_size": 36, "num_frames": 4,
        "tubelet_size": (1, 18, 18),
    }  # fmt: skip
    frames = LlavaOnevisionVideoProcessor(size={"height": 36, "width": 36}, do_normalize=False)
    config = VideoPrismConfig(vision_config=video, text_config=TEXT)
    return VideoPrismClipModel(config), VideoPrismProcessor(frames, words())


FAMILIES = {
    "clip": _clip, "metaclip_2": _metaclip, "siglip": _siglip, "siglip2": _siglip2, "chinese_clip": _chinese_clip,
    "altclip": _altclip, "videoprism": _videoprism,
}  # fmt: skip


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny checkpoint of a family of transformers."""
    import torch

    torch.manual_seed(seed)
    model, processor = FAMILIES[family]()
    for parameter in model.parameters():  # some are all zeros at first, and would hide mistakes
        if parameter.ndim:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


#: Configurations of open_clip: a CLIP with QuickGELU, one without, and the smallest PE-Core.
OPEN_CLIP: dict[str, dict[str, Any]] = {
    "open-clip-quickgelu": {
        "embed_dim": 24, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "pe-core": {
        "embed_dim": 512, "custom_text": True,
        "vision_cfg": {
            "image_size": 384, "timm_model_name": "vit_pe_core_tiny_patch16_384", "timm_model_pretrained": False,
            "timm_pool": "map", "timm_proj": None,
        },
        "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
}  # fmt: skip
OPEN_CLIP["open-clip"] = OPEN_CLIP["open-clip-quickgelu"] | {"quick_gelu": False}


def open_clip_model(kind: str, seed: int = 0) -> Any:
    """A model of open_clip with random weights."""
    import open_clip
    import torch

    torch.manual_seed(seed)
    settings = dict(OPEN_CLIP[kind])
    made = open_clip.CustomTextCLIP if settings.pop("custom_text", False) else open_clip.CLIP
    model = made(**settings).eval()
    for name, parameter in model.named_parameters():
        # timm gives PE-Core's projection a bias, which is zero in all checkpoints
        if parameter.ndim == 1 and name != "visual.trunk.head.bias":
            torch.nn.init.normal_(parameter, mean=1.0 if "ln" in name and "weight" in name else 0.0, std=0.2)
    return model


def save_open_clip(kind: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny checkpoint of open_clip as its hub format has it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    written = {"model_cfg": OPEN_CLIP[kind], "preprocess_cfg": pictures}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    state = open_clip_model(kind, seed).state_dict()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "open_clip_model.safetensors")
    return folder
