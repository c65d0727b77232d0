"""The memory that passes of a policy take, found by running two of its layers on tensors that hold no numbers.

PyTorch's `FakeTensorMode` computes sizes and dtypes of tensors instead of their values, so the real layers, the real
attention with its plan, autocast, LoRA, gradient checkpointing and the backward pass run here in about a second for a
model of any size. A counter sees each tensor appear and disappear, and keeps the largest sum. All layers of a tower
are alike, so what the whole tower takes follows from a tower of one layer and a tower of two.

Layers with a recurrent state (Qwen3.5) are planned as transformers runs them without the package
flash-linear-attention, chunk by chunk; the kernels of that package keep less and cannot be seen here.

Tensors are on the CPU. For an accelerator, attention takes the way that it takes there (`attention.planning_for`).
Kernels' own workspaces, fragments of the allocator and DeepStack's copies of the hidden states are not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from whenwhere.errors import ModelError
from whenwhere.training.prefix.attention import PackedPlan, attach_prefix_attention, attend_frames, planning_for
from whenwhere.training.prefix.caches import cache_inputs, differentiable_cache
from whenwhere.training.prefix.logprobs import EntropyMode, score_states

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from whenwhere.training.prefix.shared_prefix import PrefixBackend
    from whenwhere.training.prefix.vlm_parts import VLMParts

#: Bytes by what they are for: `layers`, `logits`, `copies` (weights cast by autocast).
Bytes = dict[str, float]
#: Two short prompts. What they take tells what a longer one takes where layers carry a state from chunk to chunk, for
#: chunks are alike, and to run thousands of them would take minutes.
SHORT = (512, 1024)
#: Attention of the vision tower whose frames are known in advance.
_PLANNED_FRAMES = "whenwhere_flash_planned_frames"


@dataclass(frozen=True)
class PassShape:
    """Sizes of one pass; its clips count as alike.

    Attributes:
        prompt: Number of tokens of a clip's prompt.
        branches: Number of tokens of each branch of a clip.
        scored: Number of tokens of a clip whose logits are made.
        clips: Number of clips that are computed side by side.
        frames: Number of frames (steps in time) of a clip.
        patches: Number of patches of a frame.
    """

    prompt: int
    branches: tuple[int, ...]
    scored: int
    clips: int = 1
    frames: int = 1
    patches: int = 4

    @property
    def tokens(self) -> int:
        """Number of tokens of a clip and its branches."""
        return self.prompt + sum(self.branches)


#: Runs a pass of a model; the counter of bytes is told where its forward pass ends.
Run = Callable[["VLMParts", Any, PassShape], None]


@dataclass(frozen=True)
class PassMemory:
    """The memory of a pass beyond weights, persistent gradients and optimiser states.

    Attributes:
        forward: At the peak of the forward pass.
        kept: What the forward pass leaves for the backward pass.
        backward: At the peak of the backward pass; empty without gradients.
        last: At the peak of the backward pass of the first layer, when all other gradients are there.
    """

    forward: Bytes
    kept: Bytes
    backward: Bytes
    last: Bytes


class PassPlanner:
    """Finds the memory of a policy's passes.

    Args:
        parts: A model on the meta device, prepared for training; its weights have the dtypes in which it computes.
        bf16: Whether passes run under autocast to bf16.
        accelerator: Whether passes run on an accelerator, and not on the CPU.

    Raises:
        ModelError: Layers carry a recurrent state, and kernels compute it whose memory is not known.
    """

    def __init__(self, parts: VLMParts, bf16: bool, accelerator: bool) -> None:
        if parts.recurrent and accelerator and find_spec("fla"):
            raise ModelError(
                "the memory of layers with a recurrent state is not planned where flash-linear-attention computes them"
            )
        self._parts, self._bf16, self._accelerator = parts, bf16, accelerator
        kinds = list(getattr(parts.text_config, "layer_types", None) or ["attention"])
        # layers may alternate
        self._period = next(p for p in range(1, len(kinds) + 1) if all(k == kinds[i % p] for i, k in enumerate(kinds)))

    def learning(
        self, shape: PassShape, entropies: EntropyMode, temperature: float, backend: PrefixBackend
    ) -> PassMemory:
        """The text model's forward and backward pass with logits.

        Args:
            shape: Sizes of the pass.
            entropies: Whether entropies are computed; "trained" with their gradient.
            temperature: Logits are divided by this.
            backend: How clips and branches share a pass; `packed4d` counts as `shared_prefix`.
        """

        def run(parts: VLMParts, live: Any, shape: PassShape) -> None:
            import torch

            scored = shape.scored * shape.clips
            wanted = torch.zeros(scored, dtype=torch.long)
            live.add_gradients(parts.model)
            if backend in ("fork", "repeat"):
                clip = self._forked if backend == "fork" else self._repeated
                hidden = torch.cat([clip(parts, shape) for _ in range(shape.clips)])
            else:
                hidden = self._packed(parts, shape)
            with live.labelled("logits"):
                states = hidden.flatten(0, 1)[:scored].clone()
                logps, spread, _ = score_states(states, parts.lm_head, wanted, temperature, entropies)
                loss = logps.sum() if spread is None or entropies != "trained" else logps.sum() + spread.sum()
            hidden.register_hook(lambda _: live.label("layers"))
            del hidden, states, logps, spread
            live.end_forward()
            with live.labelled("logits"):
                loss.backward()

        return self._measured(shape, run, self._layers)

    def prefill(self, shape: PassShape) -> PassMemory:
        """The pass of a prompt before sampling, without gradient; what it keeps are keys and values."""

        def run(parts: VLMParts, live: Any, shape: PassShape) -> None:
            import torch

            parts.model.eval()
            with torch.no_grad():
                states = differentiable_cache(parts)
                more = cache_inputs(parts.text_model, states)
                self._text(parts, 1, shape.prompt, self.visual_tokens(shape), **more)
                live.end_forward()

        return self._measured(shape, run, self._layers)

    def vision(self, shape: PassShape, trained: bool) -> PassMemory:
        """The vision tower's blocks, with the backward pass if they are trained."""

        def run(parts: VLMParts, live: Any, shape: PassShape) -> None:
            import torch

            vision, tower = parts.config.vision_config, parts.backbone.visual
            count, dtype = shape.clips * shape.frames * shape.patches, parts.lm_head.weight.dtype
            pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
            lengths = [shape.patches] * (shape.frames * shape.clips)
            _plan_frames(tower, lengths)
            live.add_gradients(tower)
            ends = torch.arange(0, count + 1, shape.patches, dtype=torch.int32)
            head = vision.hidden_size // vision.num_heads
            with torch.set_grad_enabled(trained), self._autocast():
                patches = torch.empty(count, pixels)
                states = torch.empty(count, vision.hidden_size, dtype=dtype, requires_grad=trained)
                turns = (torch.empty(count, head), torch.empty(count, head))
                for block in tower.blocks:
                    states = block(states, cu_seqlens=ends, max_seqlen=shape.patches, position_embeddings=turns)
                live.end_forward()
                if trained:
                    states.sum().backward()
            del patches

        return self._extended(shape, run, self._blocks)

    @property
    def _layers(self) -> int:
        return len(self._parts.text_model.layers)

    @property
    def _blocks(self) -> int:
        return len(self._parts.backbone.visual.blocks)

    def _autocast(self) -> Any:
        import torch

        return torch.autocast("cpu", torch.bfloat16, enabled=self._bf16)

    def _packed(self, parts: VLMParts, shape: PassShape) -> Tensor:
        """Hidden states of the back end `shared_prefix`, for one row of clips with their branches."""
        import torch

        branches, width, slots = shape.branches, max(shape.branches), None
        if min(branches) < width:
            slots = torch.cat([torch.arange(n) + k * width for k, n in enumerate(branches)])
        plan = (PackedPlan(shape.prompt, len(branches), width, slots),) * shape.clips
        pictures = shape.clips * self.visual_tokens(shape)
        return self._text(parts, 1, shape.clips * shape.tokens, pictures, prefix_plan=plan, use_cache=False)

    def _repeated(self, parts: VLMParts, shape: PassShape) -> Tensor:
        """Hidden states of the back end `repeat`, for one clip with its branches."""
        rows, row = len(shape.branches), shape.prompt + max(shape.branches)
        return self._text(parts, rows, row, rows * self.visual_tokens(shape), use_cache=False)

    def _forked(self, parts: VLMParts, shape: PassShape) -> Tensor:
        """Hidden states of the back end `fork`, for one clip with its branches."""
        import torch

        rows, states = len(shape.branches), differentiable_cache(parts)
        more = cache_inputs(parts.text_model, states)
        prompt = self._text(parts, 1, shape.prompt, self.visual_tokens(shape), **more)
        states.reorder_cache(torch.zeros(rows, dtype=torch.long))
        own = self._text(parts, rows, max(shape.branches), 0, **more)
        return torch.cat([prompt[:, -1:].expand(rows, -1, -1), own[:, :-1]], 1)

    def _text(self, parts: VLMParts, rows: int, row: int, pictures: int, **more: Any) -> Tensor:
        """Hidden states of rows of tokens, shape (rows, row, D).

        Args:
            parts: The model.
            rows: Number of rows.
            row: Number of tokens of a row.
            pictures: Number of tokens of all rows that stand for pictures, which are filled in.
            **more: Further arguments of the text model.
        """
        import torch

        if not parts.recurrent:
            attach_prefix_attention(parts.text_model)
        learns = any(w.requires_grad for w in parts.backbone.visual.parameters()) and torch.is_grad_enabled()
        with self._autocast():
            states = parts.text_model.embed_tokens(torch.zeros(rows, row, dtype=torch.long))
            if pictures:
                mask = torch.zeros(rows, row, dtype=torch.bool)
                features = torch.empty(pictures, states.shape[-1], dtype=states.dtype, requires_grad=learns)
                states = states.masked_scatter(mask[..., None], features)
            places = torch.zeros(3, rows, row, dtype=torch.long)
            found: Tensor = parts.text_model(inputs_embeds=states, position_ids=places, **more).last_hidden_state
        return found

    def visual_tokens(self, shape: PassShape) -> int:
        """Number of tokens of a clip that stand for pictures.

        Args:
            shape: Sizes of the pass.
        """
        merged = self._parts.config.vision_config.spatial_merge_size**2
        return shape.frames * max(shape.patches // merged, 1)

    def _measured(self, shape: PassShape, run: Run, layers: int) -> PassMemory:
        """The memory of a pass of the text model; with a long recurrence, what two shorter prompts take tells it."""
        if not self._parts.recurrent or shape.prompt <= SHORT[1]:
            return self._extended(shape, run, layers)
        first, second = (
            self._extended(replace(shape, prompt=n, frames=max(shape.frames * n // shape.prompt, 1)), run, layers)
            for n in SHORT
        )
        return _along(first, second, 1 + (shape.prompt - SHORT[0]) / (SHORT[1] - SHORT[0]))

    def _extended(self, shape: PassShape, run: Run, layers: int) -> PassMemory:
        """Runs a pass with one period of layers and with two, and extends what it takes to all of them."""
        first, second = (self._run(shape, run, k * self._period) for k in (1, 2))
        found = _along(first, second, layers / self._period)
        return replace(found, last=first.backward)

    def _run(self, shape: PassShape, run: Run, layers: int) -> PassMemory:
        from torch._subclasses.fake_tensor import FakeTensorMode

        try:
            parts = _shortened(self._parts, layers)
            with planning_for(self._accelerator), FakeTensorMode(allow_non_fake_inputs=True):
                parts.model.to_empty(device="cpu")
                parts.model.tie_weights()
                live = _live_bytes()(parts.model)
                with live:
                    run(parts, live, shape)
                return PassMemory(live.forward, live.kept, live.backward, live.backward)
        except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as e:
            raise ModelError(
                f"the memory of this model cannot be planned ({type(e).__name__}: {' '.join(str(e).split())[:160]})"
            ) from e


def _along(first: PassMemory, second: PassMemory, steps: float) -> PassMemory:
    """What a pass of `steps` steps takes, if one of one step takes `first` and one of two takes `second`."""

    def line(one: Bytes, two: Bytes) -> Bytes:
        return {
            name: one.get(name, 0.0) + (steps - 1) * (two.get(name, 0.0) - one.get(name, 0.0)) for name in {*one, *two}
        }

    pairs = ((getattr(first, f.name), getattr(second, f.name)) for f in fields(PassMemory))
    return PassMemory(*(line(one, two) for one, two in pairs))


def _shortened(parts: VLMParts, layers: int) -> VLMParts:
    """A copy of a model with only the first layers of both towers."""
    from whenwhere.training.prefix.vlm_parts import VLMParts

    text, tower = parts.text_model, parts.backbone.visual
    whole = text.layers, tower.blocks
    try:
        text.layers, tower.blocks = text.layers[:layers], tower.blocks[:layers]
        model = deepcopy(parts.model)
    finally:
        text.layers, tower.blocks = whole
    return VLMParts(model, parts.rule)


def _plan_frames(tower: torch.nn.Module, lengths: Sequence[int]) -> None:
    """Switches a vision tower to attention within frames of known lengths, which tensors without values cannot tell."""
    from transformers import AttentionInterface

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
        scaling: float | None = None, **_: Any,
    ) -> tuple[Tensor, None]:  # fmt: skip
        return attend_frames(query, key, value, lengths, scaling), None

    AttentionInterface.register(_PLANNED_FRAMES, attend)
    tower.config._attn_implementation = _PLANNED_FRAMES


@cache
def _live_bytes() -> Any:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class LiveBytes(TorchDispatchMode):
        """Counts the bytes of the tensors that are alive, beside a model's weights."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            weights = [*model.parameters(), *model.buffers()]
            self._weights = {w.untyped_storage()._cdata: w for w in weights}
            self._alive: dict[int, Any] = {}
            self._label = "layers"
            self._now: Bytes = {}
            self._peak: Bytes = {}
            self.forward: Bytes = {}
            self.kept: Bytes = {}
            self.backward: Bytes = {}

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            cast = func is torch.ops.aten._to_copy.default and args[0].untyped_storage()._cdata in self._weights
            for tensor in tree_leaves(out):
                if isinstance(tensor, torch.Tensor):
                    self._seen(tensor.untyped_storage(), "copies" if cast else self._label)
            if sum(self._now.values()) > sum(self._peak.values()):
                self._peak = dict(self._now)
            return out

        def _seen(self, storage: Any, label: str) -> None:
            key, size = storage._cdata, storage.nbytes()
            if key not in self._alive and key not in self._weights:
                self._now[label] = self._now.get(label, 0.0) + size
                self._alive[key] = weakref.ref(storage, lambda _: self._gone(key, label, size))

        def _gone(self, key: int, label: str, size: int) -> None:
            self._alive.pop(key, None)
            self._now[label] -= size

        def add_gradients(self, module: torch.nn.Module) -> None:
            """Gives weights the gradients of an earlier pass, which are not counted here."""
            for weight in module.parameters():
                if weight.requires_grad:
                    weight.grad = torch.empty_like(weight)
                    storage = weight.grad.untyped_storage()
                    self._now[self._label] -= storage.nbytes()
                    self._weights[storage._cdata] = weight.grad
                    self._alive.pop(storage._cdata)
            self._peak = {}

        def label(self, label: str) -> None:
            """What tensors are for from now on."""
            self._label = label

        @contextmanager
        def labelled(self, label: str) -> Iterator[None]:
            """Context manager in which tensors are for something else."""
            before, self._label = self._label, label
            try:
                yield
            finally:
                self._label = before

        def end_forward(self) -> None:
            """Marks the end of the forward pass."""
            self.forward, self.kept, self._peak = self._peak, dict(self._now), dict(self._now)

        def __exit__(self, *exception: Any) -> None:
            super().__exit__(*exception)
            self.backward = self._peak

    return LiveBytes
