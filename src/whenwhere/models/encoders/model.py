"""A video encoder and a text encoder with a joint space, and the folder in which they are kept.

The folder holds `config.json`, `model.safetensors`, the tokenizer in `tokenizer/` and, where the text encoder is a
model of transformers, its configuration in `text_model/`. It needs no other file and no network.
"""

import json
import math
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.encoders.config import EncoderConfig
from whenwhere.models.encoders.text import TextEncoder, load_tokenizer
from whenwhere.models.encoders.tokenizer import END, word_tokenizer
from whenwhere.models.encoders.video import VideoEncoder
from whenwhere.models.runs import ENCODER_FORMAT
from whenwhere.models.vlm import loading_errors, writing_errors
from whenwhere.readers import quoted, read_json
from whenwhere.store import atomic_folder, write_text

#: Names in a saved folder.
CONFIG, WEIGHTS, TOKENIZER, TEXT_MODEL = "config.json", "model.safetensors", "tokenizer", "text_model"


class VideoTextModel(nn.Module):
    """A video encoder and a text encoder whose embeddings are compared by cosine.

    Args:
        config: Sizes and choices of both.
        tokenizer: As for `TextEncoder`.
        backbone: As for `TextEncoder`.

    Attributes:
        config: The configuration.
        video: The video encoder.
        text: The text encoder.
        logit_scale: Logarithm of the factor by which cosines are multiplied; learned, from log(1/0.07) as in CLIP.
    """

    def __init__(self, config: EncoderConfig, tokenizer: Any = None, backbone: Any = None) -> None:
        super().__init__()
        self.config = config
        self.video = VideoEncoder(config.video)
        self.text = TextEncoder(config.text, tokenizer, backbone)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @classmethod
    def from_words(cls, config: EncoderConfig, words: Iterable[str]) -> "VideoTextModel":
        """A model with new weights, whose tokenizer knows these words.

        Args:
            config: Sizes and choices; vocabulary and end of the text encoder are replaced by those of the tokenizer.
            words: Words or whole texts.

        Raises:
            SettingError: The text encoder is a model of transformers, which has a tokenizer of its own.
        """
        if config.text.kind != "clip":
            raise SettingError(
                "a text encoder of the kind transformers has the tokenizer of its checkpoint: set kind to clip, or "
                "make the model without a list of words"
            )
        tokenizer = word_tokenizer(words)
        end = tokenizer.convert_tokens_to_ids(END)
        text = replace(config.text, vocabulary=len(tokenizer), end=end)
        return cls(replace(config, text=text), tokenizer)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.logit_scale.device

    def checkpoint_blocks(self, on: bool = True) -> None:
        """Sets whether blocks are computed again in the backward pass, which saves the memory of their activations.

        Args:
            on: Whether they are.
        """
        self.video.checkpointing = self.text.checkpointing = on
        backbone = getattr(self.text, "backbone", None)
        if backbone is not None and getattr(backbone, "supports_gradient_checkpointing", False):
            (backbone.gradient_checkpointing_enable if on else backbone.gradient_checkpointing_disable)()

    def pixels(self, frames: NDArray[np.uint8] | Tensor) -> Tensor:
        """Frames as the video encoder takes them: normalised, and resized whole to its square (bicubic, no crop).

        Args:
            frames: RGB frames of clips, uint8, shape (B, T, H, W, 3).

        Returns:
            Tensor on the device of the weights, shape (B, T, 3, H, W), float32.

        Raises:
            SettingError: The frames have another shape or type.
        """
        try:
            made = torch.as_tensor(frames)
        except (TypeError, ValueError, RuntimeError) as e:
            raise SettingError(
                "frames of clips are an array of uint8 of the shape (clips, frames, height, width, 3), not "
                f"{quoted(frames)}"
            ) from e
        if made.ndim != 5 or made.shape[-1] != 3 or made.dtype != torch.uint8 or not made.numel():
            kind = str(made.dtype).removeprefix("torch.")
            raise SettingError(
                f"frames of clips are uint8 of the shape (clips, frames, height, width, 3), not {kind} of the shape "
                f"{tuple(made.shape)}"
            )
        config, side = self.config.video, self.config.video.image_size
        # moved to the device as bytes, a quarter of the size of floats
        x = made.to(self.device).permute(0, 1, 4, 2, 3)
        if x.shape[-2:] != (side, side):
            flat = F.interpolate(x.flatten(0, 1).float(), (side, side), mode="bicubic", antialias=True)
            x = flat.clamp(0, 255).view(*x.shape[:3], side, side)
        mean, std = (torch.tensor(v, device=x.device).view(3, 1, 1) * 255 for v in (config.mean, config.std))
        return ((x - mean) / std).contiguous()

    def save(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Writes the model into a folder, which is replaced if it exists.

        Args:
            folder: The folder.
            about: Further entries of `config.json`, such as the recipe; they are ignored when it is read.

        Returns:
            The folder.

        Raises:
            OutputError: The folder cannot be written.
        """
        from safetensors.torch import save_file

        config = {"format": ENCODER_FORMAT, **self.config.to_dict(), **({"about": dict(about)} if about else {})}
        weights = {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}
        with writing_errors(folder), atomic_folder(folder) as temporary:
            write_text(temporary / CONFIG, json.dumps(config, indent=2) + "\n")
            save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
            if self.text.tokenizer is not None:
                self.text.tokenizer.save_pretrained(temporary / TOKENIZER)
            if self.config.text.kind == "transformers":
                own = copy(self.text.backbone.config)
                # the text tower of a larger model has a class that its configuration does not lead to
                own.architectures = [type(self.text.backbone).__name__]
                own.save_pretrained(temporary / TEXT_MODEL)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "VideoTextModel":
        """Reads a model from a folder that `save` wrote, in evaluation mode.

        Args:
            folder: The folder.
            device: Device of the weights. None means the CPU.

        Raises:
            ModelError: A file is missing or damaged, or the weights do not fit the configuration.
        """
        folder = Path(folder)
        config = read_config(folder)
        backbone = None
        if config.text.kind == "transformers":
            import transformers

            with loading_errors(str(folder)):
                own = transformers.AutoConfig.from_pretrained(folder / TEXT_MODEL, trust_remote_code=False)
                kind = getattr(transformers, own.architectures[0], None) if own.architectures else None
                backbone = transformers.AutoModel.from_config(own) if kind is None else kind(own)
        tokenizer = None
        if (folder / TOKENIZER).is_dir():
            try:
                tokenizer = load_tokenizer(str(folder / TOKENIZER))
            except ModelError as e:
                raise ModelError(f"the tokenizer in {folder / TOKENIZER} is damaged: save the encoder again") from e
        with loading_errors(str(folder)):
            model = cls(config, tokenizer, backbone)
            load_weights(model, read_weights(folder / WEIGHTS), str(folder))
            return model.to(device or "cpu").eval()


def read_config(folder: str | Path) -> EncoderConfig:
    """The configuration in a folder that `VideoTextModel.save` wrote.

    Args:
        folder: The folder.

    Raises:
        ModelError: There is none, or this version cannot read it.
    """
    path = Path(folder) / CONFIG
    said = read_json(path, ModelError, "save the encoder again")
    if not isinstance(said, dict) or said.get("format") != ENCODER_FORMAT:
        raise ModelError(f"{path} does not describe a video-text encoder of whenwhere: name a folder that one saved")
    for table in ("video", "text"):
        if table not in said:
            raise ModelError(f"{path} lacks the table {table}: save the encoder again")
    try:
        return EncoderConfig.from_dict({key: said[key] for key in said if key not in ("format", "about")})
    except SettingError as e:
        raise ModelError(f"{path}: {e}; another version may have written it") from e


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name and on the CPU.

    Args:
        path: Path of the file.

    Raises:
        ModelError: The file is missing, or not a whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise ModelError(f"there is no file {path}: save the encoder again, or fetch the missing file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as e:
        raise ModelError(f"{path} is damaged or not a safetensors file: fetch or save it again") from e


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copies weights into a model that has exactly these.

    Args:
        model: The model, changed in place.
        weights: Tensors by the model's own names.
        source: Where they come from, for messages.

    Raises:
        ModelError: A tensor is missing, left over, not finite, or has another shape; the message names the first.
    """
    own = model.state_dict()
    for name, value in own.items():
        if name in weights and weights[name].shape != value.shape:
            raise ModelError(
                f"the weights of {source} do not fit: {name} has the shape {tuple(weights[name].shape)} there and "
                f"{tuple(value.shape)} by the configuration; take both from one checkpoint"
            )
        if name in weights and not _sound(weights[name], value):
            raise ModelError(
                f"the weights of {source} are damaged: {name} does not hold finite numbers; fetch or save them again"
            )
    for names, verb, why in (
        (own.keys() - weights.keys(), "lack", "which the configuration asks for"),
        (weights.keys() - own.keys(), "hold", "for which the configuration has no place"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"the weights of {source} {verb} {quoted(min(names))}{more}, {why}: take both from one checkpoint"
            )
    model.load_state_dict(dict(weights))


def _sound(read: Tensor, own: Tensor) -> bool:
    """Whether a tensor that was read holds finite numbers, of the kind that the model's own tensor holds."""
    return read.is_floating_point() == own.is_floating_point() and bool(read.isfinite().all())
