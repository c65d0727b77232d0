"""The released weights of ViCLIP (B/16 and L/14; OpenGVLab/InternVideo, arXiv 2307.06942).

Their state dict does not say what they were trained with; the code of its authors does: QuickGELU, heads of 64, texts
without punctuation, and pixels normalised by ImageNet's mean and deviation, not CLIP's (the code that chooses them
tests for "vit" before "clip"). The published results also average these weights with CLIP's (WiSE-FT,
`training.pretrain.wise_ft`), which is not done here.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.encoders.config import EncoderConfig, TextConfig, VideoConfig
from whenwhere.models.encoders.layouts import WeightReader, openai_picture, openai_text
from whenwhere.models.encoders.model import VideoTextModel, load_weights
from whenwhere.models.encoders.openclip import clip_tokenizer

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def open_viclip(file: str) -> VideoTextModel:
    """Opens a released ViCLIP, on the CPU and in evaluation mode.

    Args:
        file: File of its state dict: safetensors, or a pickle that holds only tensors.

    Raises:
        ModelError: The file cannot be read, or does not hold exactly the weights of a ViCLIP.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(file).expanduser()
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError) as e:
        raise ModelError(f"the weights in {file} are damaged: fetch them again") from e
    except Exception as e:
        raise ModelError(
            f"{file} is a pickle that holds more than weights, which may run any code and is not read: save the "
            "weights as safetensors"
        ) from e
    for key in ("model", "module", "state_dict"):
        state = state[key] if isinstance(state, Mapping) and isinstance(state.get(key), Mapping) else state
    if not isinstance(state, Mapping) or "vision_encoder.conv1.weight" not in state:
        raise ModelError(
            f"{file} does not hold the weights of ViCLIP: name one of open_clip's models before other files, MODEL:FILE"
        )
    reader = WeightReader(state, file)
    conv, times = state["vision_encoder.conv1.weight"], state.get("vision_encoder.temporal_positional_embedding")
    temperature = float(reader.take("temp"))
    video = openai_picture(reader, "vision_encoder.")
    text = openai_text(reader, "text_encoder.")
    if times is not None:
        video["temporal_positions"] = reader.take("vision_encoder.temporal_positional_embedding")[0]
    reader.finish()
    width, side = conv.shape[0], math.isqrt(len(video["spatial_positions"])) * conv.shape[-1]
    shared: dict[str, Any] = {"activation": "quick_gelu", "output": len(video["projection.weight"])}
    vision = VideoConfig(
        image_size=side, frames=8 if times is None else times.shape[1], patch=conv.shape[-1],
        tubelet=conv.shape[2], width=width, layers=_depth(video), heads=max(width // 64, 1),
        mlp_ratio=len(video["blocks.0.mlp.fc1.bias"]) / width, temporal_positions=times is not None,
        mean=_IMAGENET_MEAN, std=_IMAGENET_STD, **shared,
    )  # fmt: skip
    vocabulary, narrow = text["embedding.weight"].shape
    words = TextConfig(
        context=len(text["positions"]), vocabulary=vocabulary, end=vocabulary - 1, width=narrow, layers=_depth(text),
        heads=max(narrow // 64, 1), mlp_ratio=len(text["blocks.0.mlp.fc1.bias"]) / narrow, strip_punctuation=True,
        **shared,
    )  # fmt: skip
    try:
        made = VideoTextModel(EncoderConfig(vision, words), clip_tokenizer(words.context))
    except SettingError as e:
        raise ModelError(f"the weights in {file} do not fit together: {e}") from e
    load_weights(made.video, made.video.state_dict() | video, file)
    load_weights(made.text, text, file)
    made.logit_scale.data.fill_(-math.log(temperature))
    return made.eval()


def _depth(weights: Mapping[str, Tensor]) -> int:
    return sum(key.startswith("blocks.") and key.endswith("norm1.weight") for key in weights)
