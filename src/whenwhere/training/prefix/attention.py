"""The attention that lets branches share one prompt, registered with transformers' own `AttentionInterface`.

A plan travels with the call as a keyword (`prefix_plan`) down to every layer. It is not a global: gradient
checkpointing keeps keywords and computes a layer again with the same plan. Calls without a plan are plain SDPA, so a
model may keep this attention for good. There are two plans for the text model:

- `PackedPlan`: a prompt and then its branches side by side; several such stretches may share a row. The prompt sees
  itself; each branch sees the prompt and itself, never a sibling. No mask of the whole row is made. Branches are padded
  to one width inside the attention only; all other layers run on the tokens that exist.
- `CachedPrefixes`: rows that follow a prompt whose keys and values were cached once, for generation.

The vision tower gets an attention of its own (`FRAME_ATTENTION`), which computes frames of equal size in one call
instead of one by one.

What a branch sees is computed in two pieces, the prompt and its own tokens, each with the logarithm of its sum of
weights (log-sum-exp), by which the pieces are merged. So the prompt's keys and values are never copied, neither for
each branch nor for each query head (the heads of one group are laid out in one long row). Backwards, each piece takes
the merged output and the merged log-sum-exp, so the gradient is exact (as in Ring Attention, arXiv 2310.01889).
PyTorch exposes this only in the kernels of its own back ends; on a CPU they are called here. On other devices the two
pieces are one call of SDPA on keys and values that are copied for each branch: correct, but more expensive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from whenwhere.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PREFIX_ATTENTION = "whenwhere_shared_prefix"
#: transformers hands a row of many sequences and their ends to any attention with `flash` in its name.
FRAME_ATTENTION = "whenwhere_flash_frames"
#: Whether tensors on the CPU are computed with as on an accelerator.
_AS_ACCELERATOR: ContextVar[bool] = ContextVar("as_accelerator", default=False)


@dataclass(frozen=True, eq=False)
class PackedPlan:
    """A stretch of a row that holds a prompt and its branches.

    Attributes:
        prompt: Number of tokens of the prompt.
        branches: Number of branches.
        width: Number of tokens of the longest branch.
        slots: For each token of the branches, one branch after the other, its index in the flattened (branches, width)
            grid, int64, shape (n,). None where all branches have the same length.
    """

    prompt: int
    branches: int
    width: int
    slots: Tensor | None = None

    @property
    def length(self) -> int:
        """Number of tokens of the stretch."""
        return self.prompt + (self.branches * self.width if self.slots is None else len(self.slots))


@dataclass(frozen=True, eq=False)
class CachedPrefixes:
    """Cached keys and values of prompts, and the number of rows that follow each of them.

    Attributes:
        keys: For each prompt and each layer, the keys, shape (1, key heads, P, size).
        values: For each prompt and each layer, the values, of the same shape.
        rows: Number of rows that follow each prompt; the rows of one prompt are consecutive.
    """

    keys: list[list[Tensor]]
    values: list[list[Tensor]]
    rows: list[int]


def attach_prefix_attention(text_model: torch.nn.Module) -> None:
    """Switches a text model to this attention for good: checkpointing asks for it again in the backward pass.

    Args:
        text_model: The decoder, changed in place.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(PREFIX_ATTENTION, prefix_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(PREFIX_ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    text_model.config._attn_implementation = PREFIX_ATTENTION


def attach_frame_attention(vision_tower: torch.nn.Module) -> None:
    """Switches a vision tower to an attention that computes frames of equal size in one call.

    Args:
        vision_tower: The vision tower, changed in place.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(FRAME_ATTENTION, frame_attention)
    vision_tower.config._attn_implementation = FRAME_ATTENTION


def frame_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor, scaling: float | None = None, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention within each frame, with the signature that transformers expects.

    Args:
        module: The layer that calls.
        query: Queries, shape (1, heads, L, size); keys and values have the same shape.
        key: Keys.
        value: Values.
        attention_mask: Ignored; frames never see one another.
        cu_seq_lens_q: Cumulative lengths of the frames, int, shape (frames + 1,).
        scaling: Factor of the products. None means size ** -0.5.

    Returns:
        The output, shape (1, L, heads, size), and None in place of weights.
    """
    return attend_frames(query, key, value, cu_seq_lens_q.diff().tolist(), scaling), None


def attend_frames(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], scaling: float | None = None
) -> Tensor:
    """Attention within each frame.

    Args:
        query: Queries, shape (1, heads, L, size); keys and values have the same shape.
        key: Keys.
        value: Values.
        lengths: Number of patches of each frame.
        scaling: Factor of the products. None means size ** -0.5.

    Returns:
        The output, shape (1, L, heads, size).
    """
    import torch
    import torch.nn.functional as F

    dtype, upcast = value.dtype, needs_upcast(value)
    if upcast:
        query, key, value = query.float(), key.float(), value.float()
    # neighbours of equal length are computed together
    runs = [(length, len(list(run))) for length, run in groupby(lengths)]
    sizes = [length * count for length, count in runs]
    outputs = []
    device = query.device.type
    with torch.autocast(device, enabled=torch.is_autocast_enabled(device) and not upcast):
        for (length, count), *stretch in zip(runs, *(t[0].split(sizes, 1) for t in (query, key, value)), strict=True):
            q, k, v = (t.unflatten(1, (count, length)).transpose(0, 1) for t in stretch)
            output = F.scaled_dot_product_attention(q, k, v, scale=scaling)
            outputs.append(output.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)[None].to(dtype)


def prefix_attention(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, dropout: float = 0.0,
    prefix_plan: tuple[PackedPlan, ...] | CachedPrefixes | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention under a plan, with the signature that transformers expects.

    Args:
        module: The layer that calls.
        query: Queries, shape (B, heads, L, size).
        key: Keys, shape (B, key heads, L, size).
        value: Values, of the same shape as the keys.
        attention_mask: Mask of the call, or None; packed plans ignore it.
        scaling: Factor of the products. None means size ** -0.5.
        dropout: Probability of dropout; must be 0 under a plan.
        prefix_plan: How the row or rows are divided. None means plain SDPA.
        **more: Further keywords, passed on to plain SDPA.

    Returns:
        The output, shape (B, L, heads, size), and None in place of weights.

    Raises:
        ModelError: There is dropout under a plan, or the row is not the one that was planned.
    """
    import torch

    if needs_upcast(value) and not isinstance(prefix_plan, CachedPrefixes):
        with torch.autocast("cpu", enabled=False):
            output, _ = prefix_attention(
                module, query.float(), key.float(), value.float(), attention_mask, scaling, dropout, prefix_plan, **more
            )
        return output.to(value.dtype), None
    if prefix_plan is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
    if dropout:
        raise ModelError("branches cannot share a prompt under attention dropout: set attention_dropout to 0")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if isinstance(prefix_plan, tuple):
        lengths = [plan.length for plan in prefix_plan]
        if query.shape[0] != 1 or query.shape[2] != sum(lengths):
            raise ModelError("the row that reached the attention is not the row that was packed")
        # autocast leaves some of the three in full precision
        query, key = query.to(value.dtype), key.to(value.dtype)
        stretches = zip(*(t.split(lengths, 2) for t in (query, key, value)), prefix_plan, strict=True)
        output = torch.cat([_attend_packed(q, k, v, plan, scale) for q, k, v, plan in stretches], 2)
    else:
        # it computes in full precision, which autocast would undo; autocast also gives keys and values different dtypes
        with torch.autocast(query.device.type, enabled=False):
            output = _attend_cached(query, key, value, attention_mask, prefix_plan, module.layer_idx, scale)
        output = output.to(value.dtype)
    return output.transpose(1, 2), None


@contextmanager
def planning_for(accelerator: bool) -> Iterator[None]:
    """Context manager in which tensors on the CPU are computed with as on an accelerator, to plan its memory.

    Args:
        accelerator: Whether they are; False changes nothing.
    """
    token = _AS_ACCELERATOR.set(accelerator)
    try:
        yield
    finally:
        _AS_ACCELERATOR.reset(token)


def _on_cpu(tensor: Tensor) -> bool:
    return bool(tensor.device.type == "cpu" and not _AS_ACCELERATOR.get())


def needs_upcast(tensor: Tensor) -> bool:
    """Whether attention runs in full precision: a CPU's kernels are several times slower in half precision.

    Args:
        tensor: A query, key or value.
    """
    return _on_cpu(tensor) and tensor.is_floating_point() and tensor.itemsize < 4


def _attend_packed(query: Tensor, key: Tensor, value: Tensor, plan: PackedPlan, scale: float) -> Tensor:
    """Attention of one stretch: queries (1, heads, n, size), keys and values (1, key heads, n, size)."""
    import torch
    import torch.nn.functional as F

    cut, shape = plan.prompt, (plan.branches, plan.width)
    prompt = F.scaled_dot_product_attention(
        query[:, :, :cut], key[:, :, :cut], value[:, :, :cut], is_causal=True, scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip

    def padded(row: Tensor) -> Tensor:
        """(1, H, n, size) → (G, H, W, size)."""
        own = row[0, :, cut:]
        if plan.slots is not None:
            own = own.new_zeros(len(own), shape[0] * shape[1], own.shape[2]).index_copy(1, plan.slots, own)
        return own.unflatten(1, shape).transpose(0, 1)

    attend = attend_in_pieces if has_lse_kernels(query) else attend_with_copies
    branches = attend(padded(query), key[:, :, :cut], value[:, :, :cut], padded(key), padded(value), scale)
    branches = branches.transpose(0, 1).flatten(1, 2)
    if plan.slots is not None:
        branches = branches.index_select(1, plan.slots)
    return torch.cat([prompt, branches[None]], 2)


def has_lse_kernels(query: Tensor) -> bool:
    """Whether this device has kernels that return the log-sum-exp and accept it in the backward pass.

    Args:
        query: Queries on that device.
    """
    return _on_cpu(query) and query.is_floating_point()


def attend_with_copies(
    query: Tensor, prompt_key: Tensor, prompt_value: Tensor, key: Tensor, value: Tensor, scale: float
) -> Tensor:
    """Attention of branches to a prompt and to themselves, by one call of SDPA on copies of the prompt's keys.

    Args:
        query: Queries of the branches, shape (G, heads, W, size).
        prompt_key: Keys of the prompt, shape (1, key heads, P, size).
        prompt_value: Values of the prompt, of the same shape.
        key: Keys of the branches, shape (G, key heads, W, size).
        value: Values of the branches, of the same shape.
        scale: Factor of the products.

    Returns:
        The output, shape (G, heads, W, size).
    """
    import torch
    import torch.nn.functional as F

    branches, heads, width, _ = query.shape
    keys, values = (
        torch.cat([far.expand(branches, -1, -1, -1), own], 2).repeat_interleave(heads // own.shape[1], 1)
        for far, own in ((prompt_key, key), (prompt_value, value))
    )
    mask = torch.ones(width, keys.shape[2], dtype=torch.bool, device=query.device).tril(prompt_key.shape[2])
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)


def attend_in_pieces(
    query: Tensor, prompt_key: Tensor, prompt_value: Tensor, key: Tensor, value: Tensor, scale: float
) -> Tensor:
    """The same as `attend_with_copies`, in two pieces without copies, by the CPU's kernels."""
    return _two_pieces().apply(query, prompt_key, prompt_value, key, value, scale)


def _lay_out(rows: Tensor, heads: int) -> Tensor:
    """(G, H, W, ...) → (1, heads, H/heads x G x W, ...): all queries of one key head in one row."""
    branches, _, width = rows.shape[:3]
    apart = rows.unflatten(1, (heads, -1)).movedim(0, 2)
    return apart.reshape(1, heads, apart.shape[1] * branches * width, *rows.shape[3:])


def _undo_layout(row: Tensor, like: Tensor) -> Tensor:
    """The reverse of `_lay_out`."""
    branches, heads, width = like.shape[:3]
    apart = row[0].unflatten(1, (heads // row.shape[1], branches, width))
    return apart.movedim(2, 0).flatten(1, 2)


@cache
def _two_pieces() -> type[torch.autograd.Function]:
    import torch

    forward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    class TwoPieces(torch.autograd.Function):
        """Attention to the prompt and to a branch's own tokens, merged by the log-sum-exp of each."""

        @staticmethod
        def forward(
            ctx: Any, query: Tensor, far_key: Tensor, far_value: Tensor, key: Tensor, value: Tensor, scale: float
        ) -> Tensor:
            heads, more = key.shape[1], query.shape[1] // key.shape[1]
            query = query.contiguous()
            far, far_lse = forward_kernel(_lay_out(query, heads), far_key, far_value, 0.0, False, scale=scale)
            own, own_lse = forward_kernel(
                query, key.repeat_interleave(more, 1), value.repeat_interleave(more, 1), 0.0, True, scale=scale
            )
            far, far_lse = _undo_layout(far, query), _undo_layout(far_lse, query)
            lse = torch.logaddexp(far_lse, own_lse)
            out = far * (far_lse - lse).exp()[..., None].to(far.dtype)
            out = out + own * (own_lse - lse).exp()[..., None].to(own.dtype)
            ctx.save_for_backward(query, far_key, far_value, key, value, out, lse)
            ctx.scale = scale
            return out

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            query, far_key, far_value, key, value, out, lse = ctx.saved_tensors
            heads, more = key.shape[1], query.shape[1] // key.shape[1]
            grad = grads[0].contiguous()
            far_query, far_keys, far_values = backward_kernel(
                _lay_out(grad, heads), _lay_out(query, heads), far_key, far_value, _lay_out(out, heads),
                _lay_out(lse, heads), 0.0, False, scale=ctx.scale,
            )  # fmt: skip
            own_query, keys, values = backward_kernel(
                grad, query, key.repeat_interleave(more, 1), value.repeat_interleave(more, 1), out, lse, 0.0, True,
                scale=ctx.scale,
            )  # fmt: skip
            keys, values = (t.unflatten(1, (heads, more)).sum(2) for t in (keys, values))
            return _undo_layout(far_query, query) + own_query, far_keys, far_values, keys, values, None

    return TwoPieces


def _attend_cached(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, plan: CachedPrefixes, layer: int, scale: float
) -> Tensor:
    """Attention of rows to cached prompts and to their own earlier tokens, without gradient.

    Args:
        query: Queries of the last S tokens of each row, shape (G, heads, S, size).
        key: Keys of all n tokens of each row, shape (G, key heads, n, size).
        value: Values, of the same shape.
        mask: Where a query may look, bool, shape (G or 1, 1, S, n). None means every earlier token.
        plan: The prompts.
        layer: Index of the layer in the model.
        scale: Factor of the products.
    """
    import torch

    heads, (steps, known) = key.shape[1], (query.shape[2], key.shape[2])
    seen = []
    for part, keys, values in zip(query.split(plan.rows), plan.keys, plan.values, strict=True):
        found = _attend_prompt(_lay_out(part, heads), keys[layer], values[layer], scale)
        seen.append([_undo_layout(t, part) for t in found])
    far, far_lse = (torch.cat(parts) for parts in zip(*seen, strict=True))
    if mask is None and steps > 1:
        mask = torch.ones(steps, known, dtype=torch.bool, device=query.device).tril(known - steps)
    rows = query.unflatten(1, (heads, -1)).float()
    products = torch.einsum("ghrsd,ghnd->ghrsn", rows, key.float()).flatten(1, 2) * scale
    if mask is not None:
        products = products.masked_fill(~mask, -torch.inf)
    lse = torch.logaddexp(far_lse, products.logsumexp(-1))
    weights = (products - lse[..., None]).exp().unflatten(1, (heads, -1))
    own = torch.einsum("ghrsn,ghnd->ghrsd", weights, value.float()).flatten(1, 2)
    return far * (far_lse - lse).exp()[..., None] + own


def _attend_prompt(query: Tensor, key: Tensor, value: Tensor, scale: float, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """Attention of queries (1, heads, n, size) to a prompt: the output, and its log-sum-exp of shape (1, heads, n)."""
    import torch

    if has_lse_kernels(query):
        # the prompt's keys and values are in full precision already (`PrefilledPrompt`), and are not copied here
        output, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query.to(key.dtype), key, value, 0.0, False, scale=scale
        )
        return output.float(), lse
    parts = []
    for piece in query.split(chunk, dim=2):
        products = (piece.float() @ key.float().transpose(-1, -2)) * scale
        lse = products.logsumexp(-1)
        parts.append(((products - lse[..., None]).exp() @ value.float(), lse))
    return torch.cat([p[0] for p in parts], 2), torch.cat([p[1] for p in parts], 2)
