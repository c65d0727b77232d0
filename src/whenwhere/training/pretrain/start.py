"""The encoders that pre-training begins with: untrained ones, or those of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from whenwhere.errors import SettingError
from whenwhere.models.encoders.config import EncoderConfig
from whenwhere.training.pretrain.settings import (
    NEW,
    PretrainEncoderSettings,
    PretrainObjectiveSettings,
    PretrainTextSettings,
    check_groups,
    new_config,
    text_config,
)

if TYPE_CHECKING:
    from torch import Tensor

    from whenwhere.models.encoders.model import VideoTextModel


@dataclass(frozen=True, eq=False)
class StartModel:
    """The model that a run begins with.

    Attributes:
        model: The model, on the CPU.
        new: Names of the weights that were drawn at random instead of read from a checkpoint.
    """

    model: VideoTextModel
    new: frozenset[str]


def start_model(
    encoder: PretrainEncoderSettings,
    text: PretrainTextSettings,
    objective: PretrainObjectiveSettings,
    words: Sequence[str] = (),
) -> StartModel:
    """The model that a run begins with. New weights are drawn by torch's random number generator.

    Args:
        encoder: The table [encoder].
        text: The table [text].
        objective: The table [objective], which sets the temperature.
        words: All words of the captions, for the tokenizer of a new text encoder.

    Raises:
        ModelError: A checkpoint cannot be loaded.
        SettingError: Sizes do not fit together, or a new text encoder has no words.
    """
    if encoder.checkpoint == NEW:
        model = _new_model(encoder, text, words)
        new = {name for name in model.state_dict() if not name.startswith("text.backbone.")}
    else:
        model, new = _from_checkpoint(encoder, text)
        check_groups(model.config.video.group_tokens, objective)
    if objective.temperature is not None:
        model.logit_scale.data.fill_(-math.log(objective.temperature))
    model.logit_scale.requires_grad_(objective.learn_temperature)
    return StartModel(model, frozenset(new))


def _new_model(encoder: PretrainEncoderSettings, text: PretrainTextSettings, words: Sequence[str]) -> VideoTextModel:
    from whenwhere.models.encoders.model import VideoTextModel

    config = new_config(encoder, text)
    if text.checkpoint is not None:
        return VideoTextModel(config)
    if not words:
        raise SettingError(
            "a new text encoder needs the list of all words, which these data do not have: name a text model in [text] "
            "checkpoint, or a checkpoint in [encoder]"
        )
    return VideoTextModel.from_words(config, words)


def _from_checkpoint(encoder: PretrainEncoderSettings, text: PretrainTextSettings) -> tuple[VideoTextModel, set[str]]:
    """The model of a checkpoint with the changes of the tables, and the names of weights that are new."""
    from whenwhere.models.encoders.conversion import open_model
    from whenwhere.models.encoders.text import TextEncoder

    opened = open_model(encoder.checkpoint)
    _check_fixed(encoder, PretrainEncoderSettings.FIXED, opened.config.video, "encoder", encoder.checkpoint)
    model, new = changed(opened, encoder.changes)
    if text.checkpoint is not None:
        own = text_config(text, model.config.video.output)
        model.text = TextEncoder(own)
        new |= {f"text.{name}" for name in model.text.state_dict() if not name.startswith("backbone.")}
    else:
        _check_fixed(text, ("width", "layers", "heads", "context"), model.config.text, "text", encoder.checkpoint)
        own = replace(model.config.text, frozen=text.frozen)
        model.text.config = own
        model.text.requires_grad_(not text.frozen)
    model.config = EncoderConfig(model.config.video, own)
    return model, new


def _check_fixed(table: Any, keys: Sequence[str], config: Any, name: str, checkpoint: str) -> None:
    """Refuses a size that differs from that of the checkpoint."""
    for key in keys:
        asked, there = getattr(table, key), getattr(config, key)
        if asked is not None and asked != there:
            raise SettingError(
                f"[{name}] {key} is {asked}, but in {checkpoint} it is {there}: set it to that, or leave it out"
            )


def changed(model: VideoTextModel, changes: Mapping[str, Any]) -> tuple[VideoTextModel, set[str]]:
    """The model with other sizes of its video encoder, such as the number of frames, tubelets or group tokens.

    Weights are kept where they fit. Positions are interpolated, and the embedding of patches is inflated to longer
    tubelets; weights that the model did not have are new.

    Args:
        model: The model, which is changed.
        changes: Keys of `VideoConfig` and their new values.

    Returns:
        The model, and the names of its weights that are new.

    Raises:
        SettingError: Sizes do not fit together.
    """
    from whenwhere.models.encoders.blocks import resampled_times, resized_positions
    from whenwhere.models.encoders.video import VideoEncoder

    config = replace(model.config.video, **changes)
    if config == model.config.video:
        return model, set()
    made = VideoEncoder(config)
    old, own = model.video.state_dict(), made.state_dict()
    new = {f"video.{name}" for name in own.keys() - old.keys()}
    for name in own.keys() & old.keys():
        weight = old[name]
        if name == "spatial_positions":
            weight = resized_positions(weight, config.grid, config.grid)
        elif name == "temporal_positions":
            weight = resampled_times(weight, config.steps)
        elif name == "patch.weight":
            weight = inflated(weight, model.config.video.tubelet, config.tubelet)
        if weight.shape == own[name].shape:
            own[name] = weight
        elif "group" in name:  # another number of group tokens than the checkpoint's
            new.add(f"video.{name}")
        else:
            raise SettingError(f"{name} of the checkpoint does not fit the sizes of [encoder]: change them back")
    made.load_state_dict(own)
    model.video, model.config = made, replace(model.config, video=config)
    return model, new


def inflated(weight: Tensor, before: int, tubelet: int) -> Tensor:
    """Weights of the embedding of patches, inflated to longer tubelets; a still tubelet is embedded as its frame was.

    Args:
        weight: Weights for tubelets of `before` frames, shape (C, 3 * before * patch²).
        before: Number of frames of a tubelet so far.
        tubelet: Number of frames of the longer tubelet. If it is not a multiple of `before`, nothing is inflated.

    Returns:
        The weights, shape (C, 3 * tubelet * patch²), or as they were.
    """
    if tubelet == before or tubelet % before:
        return weight
    parts = weight.view(len(weight), 3, before, -1).repeat_interleave(tubelet // before, 2) * (before / tubelet)
    return parts.flatten(1)
