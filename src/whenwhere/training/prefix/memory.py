"""The memory per device of an update of a policy, by part and by phase, before any weights are loaded.

Weights, gradients and optimiser states follow from the numbers of parameters and from how the loop keeps them: trained
weights, their gradients and Adam's two moments in fp32 (8 bits for each moment under `adamw-8bit`), frozen weights as
they are loaded. Activations, logits and caches are those of the passes themselves (`prefix.footprint`). Sharding
divides what is trained, and adds the layers that are gathered at one time.

What is left out: the accelerator's own context (`CONTEXT` is a usual size), fragments of its allocator, and workspaces
of kernels; leave a tenth free for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from whenwhere.errors import SettingError
from whenwhere.training.machine import GIB, Machine
from whenwhere.training.prefix.footprint import Bytes, PassMemory, PassPlanner, PassShape
from whenwhere.training.prefix.logprobs import EntropyMode
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from whenwhere.training.prefix.shared_prefix import PrefixBackend
    from whenwhere.training.prefix.vlm_parts import VLMParts

#: Parts of the memory, in the order in which they are printed.
PARTS = ("weights", "gradients", "optimiser", "activations", "logits", "features", "cache", "context")
#: Bytes that an accelerator's driver and libraries take for themselves.
CONTEXT = 0.6 * GIB
#: Bytes of AdamW's states for each weight: two moments of 32 bits; of 8 bits with a scale for 256 of them.
_STATES = {"adamw": 8.0, "muon": 8.0, "adamw-8bit": 2 * (1 + 4 / 256)}


@dataclass(frozen=True)
class UpdateShape:
    """Sizes of an update, with its longest clips.

    Attributes:
        clip: Sizes of a clip's pass.
        clips: Number of clips of an update in each process.
        completion: RL: longest completion in tokens. 0 means that nothing is sampled.
        entropies: Whether entropies are computed; "trained" with their gradient.
        temperature: Logits are divided by this.
        reference: Whether a frozen copy of the policy is kept.
    """

    clip: PassShape
    clips: int
    completion: int = 0
    entropies: EntropyMode = False
    temperature: float = 1.0
    reference: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory per device of an update.

    Attributes:
        phases: For each phase of an update, the bytes of each part (`PARTS`) at the phase's peak.
        remedies: What helps where it does not fit, beside what follows from a policy's settings.
    """

    phases: dict[str, Bytes]
    remedies: tuple[str, ...] = ()

    @property
    def peak(self) -> str:
        """The phase that takes most."""
        return max(self.phases, key=lambda phase: sum(self.phases[phase].values()))

    @property
    def total(self) -> float:
        """Bytes at the peak."""
        return sum(self.phases[self.peak].values())

    def as_dict(self, machine: Machine) -> dict[str, Any]:
        """The estimate as JSON values, in GiB.

        Args:
            machine: The machine that it is for.
        """

        def gib(value: float) -> float:
            return round(value / GIB, 3)

        return {
            "planned_for": "accelerator" if machine.accelerator else "cpu",
            "processes": machine.processes,
            "device_gib": None if machine.memory is None else gib(machine.memory),
            "total_gib": gib(self.total),
            "peak": self.peak,
            "parts_gib": {part: gib(v) for part in PARTS if (v := self.phases[self.peak].get(part, 0.0))},
            "phases_gib": {phase: gib(sum(parts.values())) for phase, parts in self.phases.items()},
        }


def estimate_memory(
    model: torch.nn.Module, parts: VLMParts, settings: PolicySettings, shape: UpdateShape, machine: Machine
) -> MemoryEstimate:
    """The memory per device of an update.

    Args:
        model: The model that is trained, with its matrices where LoRA is, prepared on the meta device.
        parts: Its parts.
        settings: The settings of the run.
        shape: Sizes of an update.
        machine: The machine that it is planned for.

    Raises:
        ModelError: The model's passes cannot be planned.
    """
    static, gathered = _static(model, parts, settings, shape, machine)
    planner = PassPlanner(parts, settings.bf16, machine.accelerator)
    clip, tower = shape.clip, any(w.requires_grad for w in parts.backbone.visual.parameters())
    packed = min(max(settings.pack_tokens // clip.tokens, 1), shape.clips)
    row = replace(clip, clips=packed)
    backend: PrefixBackend = settings.backend
    if parts.recurrent and backend != "repeat":
        # states are forked, or else the prompt is repeated
        backend = "repeat" if parts.checkpointed else "fork"
    repeat = backend == "repeat"
    text = planner.learning(row, shape.entropies, shape.temperature, backend)
    features = _feature_bytes(parts, planner, clip)
    held = 0.0 if tower else features * (shape.clips if shape.completion else packed)
    # a trained tower sees the pictures of all rows of a pass, a frozen one those of a clip at a time
    seen = packed * (len(clip.branches) if repeat else 1)
    seeing = planner.vision(replace(clip, clips=seen) if tower else clip, tower)
    context = CONTEXT if machine.accelerator else 0.0
    base = {"weights": static["weights"], "optimiser": static["optimiser"], "context": context}
    gradients, several = static["gradients"], shape.clips > packed
    one = {**base, "weights": static["weights"] + gathered["one"]}
    phases: dict[str, Bytes] = {}
    # gradients of earlier passes of the update are there; without any, they grow while the backward pass goes on
    moments = [(text.forward, several), (text.backward, several), (text.last, True)]
    if tower:
        moments = [(_sum(at, seeing.kept), grown) for at, grown in moments] + [(seeing.backward, True)]
    learning = [
        _phase(one, at, gradients * grown + (gathered["gradients"] if settings.sharding != "none" else 0.0), held)
        for at, grown in moments
    ]
    phases["learning"] = max(learning, key=lambda found: sum(found.values()))
    if not tower:
        phases["frames"] = _phase(one, seeing.forward, gradients * several, max(held, features))
    if shape.completion:
        phases["sampling"] = _sampling(planner, parts, settings, shape, {
            **base, "weights": static["weights"] + gathered["all"], "features": held,
        }, machine)  # fmt: skip
    if not repeat:
        # the first group is also computed with its prompt repeated, for two branches
        share = 2 * (clip.prompt + max(clip.branches)) / (clip.tokens * packed)
        worst = max(text.forward, text.backward, key=lambda found: sum(found.values()))
        twice = {name: value * (1.0 if name == "copies" else share) for name, value in worst.items()}
        more = {name: value * 2 / packed for name, value in seeing.kept.items()} if tower else {}
        phases["first check"] = _phase({**one, "optimiser": 0.0}, _sum(twice, more), 0.0, held)
    copied = gradients if machine.processes > 1 and settings.sharding == "none" else 0.0
    phases["optimiser"] = {
        **base, "gradients": gradients + copied, "activations": static["step"],
        "features": held if shape.completion else 0.0,
    }  # fmt: skip
    faster = parts.recurrent and machine.accelerator
    return MemoryEstimate(phases, ("install flash-linear-attention",) if faster else ())


def check_fits(
    estimate: MemoryEstimate, settings: TrainingSettings, machine: Machine, name: str, lora_helps: bool = True
) -> None:
    """Refuses what cannot fit, and names what helps.

    Args:
        estimate: The memory that an update takes.
        settings: The settings of the run.
        machine: The machine that it is planned for; with unknown memory, everything fits.
        name: Name of the recipe.
        lora_helps: Whether the model can be trained by LoRA's matrices.

    Raises:
        SettingError: It does not fit.
    """
    if machine.memory is None or estimate.total <= machine.memory:
        return
    remedies = []
    if isinstance(settings, PolicySettings):
        remedies += _policy_remedies(estimate, settings, machine, lora_helps)
    remedies += estimate.remedies
    raise SettingError(
        f"{name} does not fit: {estimate.peak} takes {estimate.total / GIB:.1f} GiB on each device, which has "
        f"{machine.memory / GIB:.1f} GiB; set {', or '.join(remedies)}"
    )


def _policy_remedies(
    estimate: MemoryEstimate, settings: PolicySettings, machine: Machine, lora_helps: bool
) -> list[str]:
    """What makes a policy fit."""
    remedies = []
    if not settings.gradient_checkpointing:
        remedies.append("gradient_checkpointing=true")
    if not settings.lora_r and lora_helps:
        remedies.append("lora_r=16 with freeze_vision_tower=true")
    if settings.optim != "adamw-8bit":
        remedies.append("optim=adamw-8bit")
    devices = _devices(estimate, machine, 1 if settings.sharding == "none" else machine.processes)
    if devices and (settings.sharding == "none" or devices > machine.processes):
        remedies.append(f"sharding=fsdp on {devices} devices (accelerate launch --num_processes {devices})")
    return [*remedies, "smaller total_pixels, max_frames or pack_tokens"]


def _devices(estimate: MemoryEstimate, machine: Machine, divided: int) -> int:
    """Number of devices, a power of two, among which the run's states must be divided to fit; 0 if none helps."""
    assert machine.memory is not None
    parts = estimate.phases[estimate.peak]
    shared = sum(parts.get(part, 0.0) for part in ("weights", "gradients", "optimiser"))
    room = machine.memory - (sum(parts.values()) - shared)
    if room <= 0:
        return 0
    # gathered layers and the root stay on each device: about a quarter is kept for them
    needed, devices = ceil(divided * shared / (0.75 * room)), 2
    while devices < needed:
        devices *= 2
    return devices if devices <= 1024 else 0


def _sum(first: Bytes, second: Bytes) -> Bytes:
    return {name: first.get(name, 0.0) + second.get(name, 0.0) for name in {*first, *second}}


def _phase(base: Bytes, moment: Bytes, gradients: float, features: float) -> Bytes:
    """What stays during an update and what a moment of a pass adds, by part."""
    return {
        **base,
        "weights": base["weights"] + moment.get("copies", 0.0),
        "gradients": gradients,
        "activations": moment.get("layers", 0.0),
        "logits": moment.get("logits", 0.0),
        "features": features,
    }


def _feature_bytes(parts: VLMParts, planner: PassPlanner, clip: PassShape) -> float:
    """Bytes of the vision tower's output for a clip, DeepStack's levels included."""
    levels = len(getattr(parts.config.vision_config, "deepstack_visual_indexes", None) or ())
    size = parts.text_model.embed_tokens.weight.itemsize
    return float(planner.visual_tokens(clip) * parts.text_config.hidden_size * size * (1 + levels))


def _sampling(
    planner: PassPlanner, parts: VLMParts, settings: PolicySettings, shape: UpdateShape, base: Bytes, machine: Machine
) -> Bytes:
    """The bytes by part while completions are sampled: keys and values of prompts and rows beside the weights."""
    clip, text = shape.clip, parts.text_config
    found: PassMemory = planner.prefill(clip)
    packed = min(max(settings.pack_tokens // clip.prompt, 1), shape.clips)
    kept = sum(found.kept.values()) - found.kept.get("copies", 0.0)
    rows, longer = packed * len(clip.branches), sum(clip.branches)
    # on a CPU, keys and values in half precision are cast to full precision once
    held = packed * kept * (2.0 if settings.bf16 and not machine.accelerator else 1.0)
    if parts.recurrent:
        # row by row, each with a copy of its prompt's states
        rows, longer, held = 1, max(clip.branches), packed * kept + kept
        packed = 1
    return {
        **base,
        "weights": base["weights"] + found.forward.get("copies", 0.0),
        "activations": max(found.forward.get("layers", 0.0) - kept, 0.0),
        "logits": 3 * 4.0 * rows * text.vocab_size,
        "cache": held + packed * longer * kept / clip.prompt,
    }


def _static(
    model: torch.nn.Module, parts: VLMParts, settings: PolicySettings, shape: UpdateShape, machine: Machine
) -> tuple[Bytes, Bytes]:
    """Bytes on each device of what stays during an update, and of the weights that sharding gathers."""
    sharded, count = settings.sharding != "none", machine.processes
    blocks = _blocks(model) if sharded else []
    inside = {id(w) for block in blocks for w in block.parameters()}
    found = dict.fromkeys(("weights", "gradients", "optimiser", "step"), 0.0)
    half = 2 if settings.bf16 and machine.accelerator else 4
    for weight in model.parameters():
        divided = count if sharded and (weight.requires_grad or id(weight) in inside) else 1
        size = float(weight.numel()) / divided
        found["weights"] += size * (4 if weight.requires_grad else weight.itemsize)
        if weight.requires_grad:
            found["gradients"] += 4 * size
            found["optimiser"] += size * _state_bytes(settings.optim, size, weight.ndim)
            if settings.optim == "adamw-8bit":
                # moments and the weight are worked on in full precision, one weight after the other
                found["step"] = max(found["step"], 4 * 4 * size)
    if shape.reference:
        found["weights"] += sum(4.0 * w.numel() for w in parts.model.parameters())
    gathered = {"one": 0.0, "all": 0.0, "gradients": 0.0}
    if sharded:
        sizes = [float(sum(w.numel() for w in b.parameters())) for b in blocks]
        learned = [float(sum(w.numel() for w in b.parameters() if w.requires_grad)) for b in blocks]
        root = float(sum(w.numel() for w in model.parameters() if w.requires_grad and id(w) not in inside))
        largest, taught = max(sizes, default=0.0), max(learned, default=0.0)
        # a layer and the next one, which is gathered in the meantime
        gathered["one"] = half * (root + 2 * largest)
        gathered["all"] = half * (root + sum(sizes))
        gathered["gradients"] = (half + 4) * (root + taught)
    return found, gathered


def _state_bytes(optim: str, size: float, dimensions: int) -> float:
    """Bytes of an optimiser's states for each number of a weight."""
    if optim == "muon" and dimensions == 2:
        return 4.0
    if optim == "adamw-8bit" and (size < 4096 or size % 256):
        return 8.0  # such weights keep states in full precision
    return _STATES[optim]


def _blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers that sharding gathers one at a time."""
    from whenwhere.training.sharding import transformer_blocks

    return [block for block in transformer_blocks(model) if any(w.requires_grad for w in block.parameters())]
