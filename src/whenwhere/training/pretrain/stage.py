"""The stage `pretrain`: contrastive pre-training of a video and a text encoder."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from whenwhere.training.machine import Machine
from whenwhere.training.objective import Objective
from whenwhere.training.pretrain.data import ClipSource, PretrainDataSettings, open_clips
from whenwhere.training.pretrain.settings import (
    NEW,
    PretrainEncoderSettings,
    PretrainObjectiveSettings,
    PretrainSettings,
    PretrainTextSettings,
    check_tables,
    new_config,
)
from whenwhere.training.run_folder import RunFolder
from whenwhere.training.stages import Recipe, TrainingStage

if TYPE_CHECKING:
    from whenwhere.training.pretrain.start import StartModel


def build(recipe: Recipe, run: RunFolder, device: str | None) -> Objective:
    """Builds the objective of a recipe; see `stages.TrainingStage`."""
    from whenwhere.models.vlm import require_packages

    require_packages("training", "train")
    import torch
    from transformers.utils import logging

    from whenwhere.training.pretrain.objective import PretrainObjective

    logging.disable_progress_bar()
    with run.processes.first_process_first():
        start, source = open_run(recipe, run.tell)
    if device is None:
        device = str(torch.accelerator.current_accelerator() or "cpu") if torch.accelerator.is_available() else "cpu"
    start.model.to(device)
    return PretrainObjective(start, source, recipe.objective, recipe.train, recipe.encoder.checkpoint)


def open_run(recipe: Recipe, tell: Callable[[str], None]) -> "tuple[StartModel, ClipSource]":
    """Opens the model that a run begins with, whose new weights are drawn by the run's seed, and the run's clips.

    Args:
        recipe: The recipe.
        tell: Called with messages for the user.

    Raises:
        ModelError: A checkpoint cannot be loaded.
        RecordError: Annotations cannot be read.
        SettingError: The recipe asks for something that does not exist.
    """
    import torch

    from whenwhere.training.pretrain.start import start_model

    encoder: PretrainEncoderSettings = recipe.encoder
    source = None
    if encoder.checkpoint == NEW:
        video = new_config(encoder, recipe.text).video
        source = open_clips(recipe.data, video.frames, video.image_size, tell=tell)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        start = start_model(encoder, recipe.text, recipe.objective, source.words if source is not None else ())
    if source is None:
        video = start.model.config.video
        source = open_clips(recipe.data, video.frames, video.image_size, tell=tell)
    return start, source


def estimate(recipe: Recipe, tell: Callable[[str], None], machine: Machine) -> dict[str, Any]:
    """Estimates what a recipe will cost; see `stages.TrainingStage`."""
    from whenwhere.training.pretrain.estimate import estimate_pretraining

    return estimate_pretraining(recipe, tell, machine)


STAGE = TrainingStage(
    settings=PretrainSettings,
    build=build,
    tables={
        "encoder": PretrainEncoderSettings,
        "text": PretrainTextSettings,
        "objective": PretrainObjectiveSettings,
        "data": PretrainDataSettings,
    },
    estimate=estimate,
    check=check_tables,
)
