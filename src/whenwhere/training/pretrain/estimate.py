"""What a recipe for pre-training will cost, before it runs: sizes, updates, FLOPs, and roughly how much memory.

No clip is made, and weights are loaded only where a checkpoint's sizes must be known. Memory is that of weights,
gradients and AdamW's moments in fp32, of the activations that the largest phase keeps for the backward pass, and of its
pixels. What libraries and the allocator take for themselves comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.models.encoders.flops import kept_tokens
from whenwhere.training.epochs import in_updates
from whenwhere.training.machine import Machine
from whenwhere.training.prefix.footprint import Bytes
from whenwhere.training.prefix.memory import MemoryEstimate
from whenwhere.training.pretrain.cost import TextPass, clip_flops, text_pass_flops
from whenwhere.training.pretrain.data import open_clips
from whenwhere.training.pretrain.settings import NEW, Phase, PretrainObjectiveSettings, PretrainSettings
from whenwhere.training.stages import Recipe

if TYPE_CHECKING:
    from whenwhere.models.encoders.model import VideoTextModel

#: Number of tokens that a caption, and a noun, is assumed to have.
CAPTION_TOKENS, NOUN_TOKENS = 20, 5
#: How many vectors of a token's width a block keeps for the backward pass: inputs of its layers and of their norms.
KEPT_VECTORS = 8


def estimate_pretraining(recipe: Recipe, tell: Callable[[str], None], machine: Machine) -> dict[str, Any]:
    """Estimates what a recipe will cost.

    Args:
        recipe: The recipe.
        tell: Called with messages for the user.
        machine: The machine that the run is planned for.

    Returns:
        Numbers and sentences by name: parameters, updates, clips, FLOPs, a line for each phase, and the memory. Why
        some of them are not known is a sentence under `unknown`, for example that a checkpoint is not here.

    Raises:
        SettingError: The settings do not fit the checkpoint that training begins with.
    """
    import torch

    from whenwhere.training.pretrain.start import start_model

    found: dict[str, Any] = {}
    train: PretrainSettings = recipe.train
    try:
        # new weights are made without memory, while a checkpoint must be read to know its sizes
        with torch.device("meta") if recipe.encoder.checkpoint == NEW else nullcontext():
            model = start_model(recipe.encoder, recipe.text, recipe.objective, words=("word",)).model
    except SettingError:
        raise
    except WhenwhereError as e:
        return {"unknown": str(e)}
    weights = list(model.parameters())
    found["parameters"] = sum(w.numel() for w in weights)
    found["trained_parameters"] = sum(w.numel() for w in weights if w.requires_grad)
    video = model.config.video
    found["tokens_per_clip"] = video.tokens
    found["memory"] = _memory(model, recipe.objective, train, machine)
    try:
        size = len(open_clips(recipe.data, video.frames, video.image_size, tell=tell))
    except WhenwhereError as e:
        found["unknown"] = str(e)
        if train.num_train_epochs is not None:
            return found
    else:
        found["samples"] = size
        train = in_updates(train, size, train.mean_batch * machine.processes)
    phases = train.planned()
    found["updates"] = train.max_steps
    clips = (phases[-1].drawn + phases[-1].updates * phases[-1].batch) * machine.processes
    found["clips"] = clips
    if "samples" in found:
        found["epochs"] = clips / found["samples"]
    if machine.processes > 1:
        found["processes"] = machine.processes
    each = [_update_flops(model, recipe.objective, train, phase) for phase in phases]
    found["flops"] = machine.processes * sum(flops * phase.updates for flops, phase in zip(each, phases, strict=True))
    for flops, phase in zip(each, phases, strict=True):
        mask = phase.mask
        kept = kept_tokens(mask, video.steps, video.grid**2, even=video.attention == "frame")
        found[f"phase_{phase.number + 1}"] = (
            f"{phase.updates} updates of {phase.batch} clips, {kept} of {video.tokens} tokens kept, "
            f"{flops:.3g} FLOPs per update and process"
        )
    return found


def _update_flops(
    model: VideoTextModel, terms: PretrainObjectiveSettings, train: PretrainSettings, phase: Phase
) -> float:
    batch = phase.batch
    twice = 0 < train.chunk < batch
    trained = any(weight.requires_grad for weight in model.text.parameters())
    total = batch * clip_flops(model.config.video, phase.mask, twice, terms.needs_clean_clips)
    if terms.contrast:
        total += text_pass_flops(model, TextPass(batch, CAPTION_TOKENS, trained, twice and trained))
    if terms.nouns:
        nouns = batch * terms.nouns_per_caption
        total += text_pass_flops(model, TextPass(nouns, NOUN_TOKENS, trained, twice and trained))
    return total


def _memory(
    model: VideoTextModel, terms: PretrainObjectiveSettings, train: PretrainSettings, machine: Machine
) -> MemoryEstimate:
    """The memory per device in bytes, for each phase."""
    trained = sum(w.numel() for w in model.parameters() if w.requires_grad)
    fixed = {
        "weights": 4.0 * sum(w.numel() for w in model.parameters()),
        "gradients": 4.0 * trained,
        "optimiser": (8.0 if train.optim != "adamw-8bit" else 2.03) * trained,
    }
    video, text = model.config.video, model.config.text
    learns_texts = text.kind == "clip" and any(w.requires_grad for w in model.text.parameters())
    phases: dict[str, Bytes] = {}
    for phase in train.planned():
        chunk = min(train.chunk or phase.batch, phase.batch)
        tokens = kept_tokens(phase.mask, video.steps, video.grid**2, even=video.attention == "frame")
        tokens += video.class_token + (video.group_tokens if video.group_attention else 0)
        block = (KEPT_VECTORS * video.width + 2 * video.inner) * (3 if train.bf16 else 4)
        layers = 1 if train.gradient_checkpointing else video.layers
        activations = chunk * tokens * (layers * block + (video.layers - layers) * 4 * video.width)
        if learns_texts:
            words = chunk * (CAPTION_TOKENS + terms.nouns_per_caption * NOUN_TOKENS * bool(terms.nouns))
            activations += 4 * words * text.layers * (KEPT_VECTORS * text.width + 2 * text.inner)
        pixels = 4.0 * chunk * video.frames * 3 * video.image_size**2
        name = f"an update of {phase.batch} clips in phase {phase.number + 1}"
        phases[name] = {**fixed, "activations": float(activations), "features": pixels}
    remedies = [
        *([] if train.gradient_checkpointing else ["gradient_checkpointing=true"]),
        *([] if train.chunk == 2 else ["a smaller chunk, which leaves the batch as it is"]),
        *([] if train.bf16 else ["bf16=true"]),
        *([] if train.optim == "adamw-8bit" else ["optim=adamw-8bit"]),
    ]
    return MemoryEstimate(phases, tuple(remedies))
