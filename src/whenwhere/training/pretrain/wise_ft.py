"""WiSE-FT (arXiv 2109.01903): the weights of a fine-tuned model, averaged with those that training began with.

All of ViCLIP's released evaluations do this with equal shares, and leave out the temporal positions: the image model
that training began with has none, and averaging them with zeros would halve them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from whenwhere.errors import ModelError, SettingError
from whenwhere.models.encoders.resolve import encoder_folder
from whenwhere.models.runs import resolve_run
from whenwhere.models.trained import FILE
from whenwhere.readers import read_json
from whenwhere.training.pretrain.settings import NEW, PretrainEncoderSettings

if TYPE_CHECKING:
    from torch import Tensor

    from whenwhere.models.encoders.model import VideoTextModel

#: Part of the names of weights that are not averaged: they are the trained ones.
LEFT_OUT = "temporal_positions"
#: Sizes that training does not change.
_FIXED = set(PretrainEncoderSettings.FIXED)


def wise_ft(start: str | Path, trained: str | Path, share: float = 0.5) -> VideoTextModel:
    """Averages two saved models.

    Args:
        start: The checkpoint that training began with, by a name as in [encoder] checkpoint. It may have other
            frames, tubelets, pictures or groups than the trained model; it is brought to those, as training did.
        trained: Folder of the trained model, RUN, or RUN@STEP.
        share: Share of the trained weights, 0-1.

    Returns:
        The merged model, with the trained model's configuration.

    Raises:
        ModelError: A model cannot be read, or their weights differ in shape.
        SettingError: The share is out of range, or the trained model began from nothing.
    """
    from whenwhere.models.encoders.conversion import open_model
    from whenwhere.models.encoders.model import VideoTextModel
    from whenwhere.training.pretrain.start import changed

    if not 0 <= share <= 1:
        raise SettingError(f"the share of the trained weights is from 0 to 1, not {share:g}")
    folder = encoder_folder(Path(resolve_run(str(trained))).expanduser())
    about = read_json(folder / FILE) if (folder / FILE).is_file() else {}
    if isinstance(about, dict) and about.get("start") == NEW:
        raise SettingError(
            f"{trained} was trained from new encoders: WiSE-FT needs a pre-trained model that training began with"
        )
    model = VideoTextModel.load(folder)
    sizes = asdict(model.config.video)
    first, new = changed(
        open_model(str(start)),
        {f.name: sizes[f.name] for f in fields(PretrainEncoderSettings) if f.name in sizes.keys() - _FIXED},
    )
    before = {name: weight for name, weight in first.state_dict().items() if name not in new}
    model.load_state_dict(averaged(before, model.state_dict(), share))
    return model


def averaged(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """The average of two models' weights; temporal positions, and weights that only one has, are the trained ones.

    Args:
        start: Weights that training began with, by name.
        trained: Trained weights, by name.
        share: Share of the trained weights, 0-1.

    Raises:
        ModelError: A weight does not have the same shape in both models.
    """
    merged = {}
    for name, weight in trained.items():
        before = start.get(name)
        if before is None or LEFT_OUT in name or not weight.is_floating_point():
            merged[name] = weight
            continue
        if before.shape != weight.shape:
            raise ModelError(
                f"{name} has the shape {tuple(before.shape)} in the model that training began with and "
                f"{tuple(weight.shape)} in the trained one: average models of the same sizes"
            )
        merged[name] = share * weight + (1 - share) * before.to(weight)
    return merged
