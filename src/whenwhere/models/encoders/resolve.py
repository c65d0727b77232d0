"""From a name to an encoder: `open_encoder`, the only place where a name decides what kind of encoder is opened."""

from pathlib import Path

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.openclip import (
    OPEN_CLIP_CONFIG,
    WEIGHT_SUFFIXES,
    OpenClipEncoder,
    is_weights_name,
)
from whenwhere.models.encoders.pretrained import open_pretrained
from whenwhere.models.encoders.trained import TrainedEncoder
from whenwhere.models.runs import RESULT, is_encoder, resolve_run
from whenwhere.models.vlm import require_packages


def open_encoder(name: str, device: str | None = None) -> Encoder:
    """Opens an encoder by name.

    Args:
        name: A folder or hub id of a checkpoint of transformers (CLIP, SigLIP, SigLIP 2, VideoPrism ...) or open_clip
            (PE-Core among them); one of open_clip's models with a file of weights,
            `ViT-B-32-quickgelu:weights.safetensors`; the file of a released ViCLIP; or an encoder that was trained
            here: a folder, `RUN` or `RUN@STEP`.
        device: Where the encoder runs, such as `cuda:1` or `cpu`. None takes an accelerator if there is one.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: There is no encoder of this name, or it cannot be loaded.
        SettingError: A training run has no model of this name.
    """
    require_packages("an encoder")
    if is_weights_name(name):
        return OpenClipEncoder(name, device)
    if _is_weights_file(name):
        from whenwhere.models.encoders.viclip import open_viclip

        return TrainedEncoder(name, open_viclip(name), device)
    folder = Path(resolve_run(name)).expanduser()
    if folder.is_dir():
        folder = encoder_folder(folder)
        if is_encoder(folder):
            from whenwhere.models.encoders.model import VideoTextModel

            return TrainedEncoder(name, VideoTextModel.load(folder), device)
        if (folder / OPEN_CLIP_CONFIG).is_file() and not (folder / "config.json").is_file():
            return OpenClipEncoder(str(folder), device)
        return open_pretrained(str(folder), device)
    try:
        return open_pretrained(name, device)
    except ModelError:
        if not _on_hub(name, OPEN_CLIP_CONFIG):
            raise
        return OpenClipEncoder(name, device)


def check_encoder(name: str) -> None:
    """Raises what is wrong with the name of an encoder, as far as it can be told without loading anything.

    Args:
        name: The name, as for `open_encoder`.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: The training run has no result yet.
        SettingError: There is no folder of this name, or a training run has no such model.
    """
    require_packages("an encoder")
    if not name:
        raise SettingError("no encoder is named: write encoder: and then a folder or hub id")
    if is_weights_name(name) or _is_weights_file(name):
        return
    folder = Path(resolve_run(name)).expanduser()
    if folder.is_dir():
        encoder_folder(folder)
    elif name.startswith((".", "/", "~")):
        raise SettingError(f"there is no folder {name!r} with an encoder in it: correct the path")


def _is_weights_file(name: str) -> bool:
    """Whether a name is that of a file of weights, as ViCLIP was released."""
    return name.endswith(WEIGHT_SUFFIXES) and Path(name).expanduser().is_file()


def encoder_folder(folder: Path) -> Path:
    """The result inside the folder of a finished training run; any other folder as it is."""
    if (folder / "recipe.json").is_file() and not (folder / "config.json").is_file():
        if not (folder / RESULT).is_dir():
            raise ModelError(f"the training run {folder} has no result yet: name {folder}@last, or wait until it ends")
        return folder / RESULT
    return folder


def _on_hub(name: str, file: str) -> bool:
    """Whether a repository of the hub, or its local copy, has a file."""
    from transformers.utils import cached_file

    try:
        return cached_file(name, file) is not None
    except OSError:
        return False
