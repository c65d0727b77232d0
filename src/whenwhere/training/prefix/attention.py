"""The attention that lets branches share one prompt, registered with transformers' own `AttentionInterface`.

A plan travels with the call as a keyword (`prefix_plan`) down to every layer. It is no global: gradient checkpointing
keeps keywords and computes a layer again with the same plan. Calls without one are plain SDPA, so a model may keep this
attention for good.

The vision tower gets one of its own (`FRAMES`), which computes frames of one size in one call instead of one by one.

Two plans of the text tower:

- `Packed`: the prompt and then its branches side by side; several such stretches may share a row. The prompt sees
  itself; each branch sees the prompt and itself, never a sibling. No mask of the whole row is made, and branches are
  padded to one width here alone: everything else runs on the tokens that there are.
- `Prefix`: rows that follow a prompt whose keys and values were kept once, for generation.

What a branch sees is taken in two pieces, the prompt and its own tokens, each with the logarithm of its sum of weights,
and joined by those. So the prompt's keys and values are never copied, neither once a branch nor once a head of queries
(heads of one group are laid in one long row). Backwards, each piece takes the joined output and the joined sum: the
gradient is exact (as in Ring Attention, arXiv 2310.01889). PyTorch offers this only in the kernels of its own backends;
on a CPU we call them. Elsewhere the pieces are one call of SDPA on keys and values that are copied once a branch:
correct, but heavier.
"""

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from whenwhere.errors import ModelError

NAME = "whenwhere_shared_prefix"
#: To transformers, what has `flash` in its name takes a row of many sequences and their ends.
FRAMES = "whenwhere_flash_frames"


@dataclass(frozen=True, eq=False)
class Packed:
    """A stretch of a row: a prompt and its branches.

    Attributes:
        prompt: tokens.
        branches: how many.
        width: tokens of the longest.
        places: (n,) where each token of the branches, one after the other, stands in `branches` rows of `width`; None
            where all are as long as the longest.
    """

    prompt: int
    branches: int
    width: int
    places: Any = None

    @property
    def length(self) -> int:
        """Tokens of the stretch."""
        return self.prompt + (self.branches * self.width if self.places is None else len(self.places))


@dataclass(frozen=True, eq=False)
class Prefix:
    """Keys and values of prompts, layer by layer, each (1, heads, P, size), and the rows that follow them.

    Attributes:
        keys: per prompt, per layer.
        values: the same.
        rows: that follow each prompt, one prompt's behind another's.
    """

    keys: list[list[Any]]
    values: list[list[Any]]
    rows: list[int]


def attach(text: Any) -> None:
    """Gives a text tower this attention, for good: checkpointing asks for it again in the backward pass.

    Args:
        text: the text tower.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    AttentionInterface.register(NAME, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    text.config._attn_implementation = NAME


def attach_frames(vision: Any) -> None:
    """Gives a vision tower an attention that computes frames of one size in one call.

    Args:
        vision: the vision tower.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(FRAMES, frames)
    vision.config._attn_implementation = FRAMES


def frames(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, cu_seq_lens_q: Any,
    scaling: float | None = None, **_: Any,
) -> tuple[Any, None]:  # fmt: skip
    """As transformers calls it: (1, heads, L, size) in, (1, L, heads, size) out; frames do not see one another."""
    import torch
    import torch.nn.functional as F

    kept, slow = value.dtype, half(value)
    if slow:
        query, key, value = query.float(), key.float(), value.float()
    lengths = cu_seq_lens_q.diff().tolist()
    # neighbours of one length together
    runs = [(length, len(list(run))) for length, run in groupby(lengths)]
    sizes = [length * count for length, count in runs]
    parts = []
    device = query.device.type
    with torch.autocast(device, enabled=torch.is_autocast_enabled(device) and not slow):
        for (length, count), *stretch in zip(runs, *(t[0].split(sizes, 1) for t in (query, key, value)), strict=True):
            q, k, v = (t.unflatten(1, (count, length)).transpose(0, 1) for t in stretch)
            out = F.scaled_dot_product_attention(q, k, v, scale=scaling)
            parts.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(parts)[None].to(kept), None


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None,
    dropout: float = 0.0, prefix_plan: tuple[Packed, ...] | Prefix | None = None, **more: Any,
) -> tuple[Any, None]:  # fmt: skip
    """As transformers calls it: (B, heads, L, size) in, (B, L, heads, size) out."""
    import torch

    if half(value) and not isinstance(prefix_plan, Prefix):
        with torch.autocast("cpu", enabled=False):
            out, _ = attention(
                module, query.float(), key.float(), value.float(), attention_mask, scaling, dropout, prefix_plan, **more
            )
        return out.to(value.dtype), None
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
            raise ModelError("the row that reached the attention is not the one that was packed")
        # autocast leaves some of the three in full precision
        query, key = query.to(value.dtype), key.to(value.dtype)
        stretches = zip(*(t.split(lengths, 2) for t in (query, key, value)), prefix_plan, strict=True)
        out = torch.cat([_packed(q, k, v, plan, scale) for q, k, v, plan in stretches], 2)
    else:
        out = _behind(query, key, value, attention_mask, prefix_plan, module.layer_idx, scale)
    return out.transpose(1, 2), None


def half(tensor: Any) -> bool:
    """Whether attention goes up to full precision: a CPU's kernels are several times slower in half precision."""
    return bool(tensor.device.type == "cpu" and tensor.is_floating_point() and tensor.itemsize < 4)


def _packed(query: Any, key: Any, value: Any, plan: Packed, scale: float) -> Any:
    import torch
    import torch.nn.functional as F

    cut, shape = plan.prompt, (plan.branches, plan.width)
    ahead = F.scaled_dot_product_attention(
        query[:, :, :cut], key[:, :, :cut], value[:, :, :cut], is_causal=True, scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip

    def apart(row: Any) -> Any:
        """(1, H, n, size) → (G, H, W, size)."""
        own = row[0, :, cut:]
        if plan.places is not None:
            own = own.new_zeros(len(own), shape[0] * shape[1], own.shape[2]).index_copy(1, plan.places, own)
        return own.unflatten(1, shape).transpose(0, 1)

    look = merged if kernels(query) else joined
    behind = look(apart(query), key[:, :, :cut], value[:, :, :cut], apart(key), apart(value), scale)
    behind = behind.transpose(0, 1).flatten(1, 2)
    if plan.places is not None:
        behind = behind.index_select(1, plan.places)
    return torch.cat([ahead, behind[None]], 2)


def kernels(query: Any) -> bool:
    """Whether there are kernels that give the sum of weights and take it back."""
    return bool(query.device.type == "cpu" and query.is_floating_point())


def joined(query: Any, far_key: Any, far_value: Any, key: Any, value: Any, scale: float) -> Any:
    """Branches that see a prompt and themselves, by one call of SDPA on copies of the prompt's keys and values.

    Args:
        query: (G, heads, C, size).
        far_key: (1, heads of keys, P, size), of the prompt.
        far_value: the same.
        key: (G, heads of keys, C, size).
        value: the same.
        scale: of the products.
    """
    import torch
    import torch.nn.functional as F

    branches, heads, width, _ = query.shape
    keys, values = (
        torch.cat([far.expand(branches, -1, -1, -1), own], 2).repeat_interleave(heads // own.shape[1], 1)
        for far, own in ((far_key, key), (far_value, value))
    )
    mask = torch.ones(width, keys.shape[2], dtype=torch.bool, device=query.device).tril(far_key.shape[2])
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)


def merged(query: Any, far_key: Any, far_value: Any, key: Any, value: Any, scale: float) -> Any:
    """The same as `joined` in two pieces and without copies, by the CPU's kernels."""
    return _function().apply(query, far_key, far_value, key, value, scale)


def _laid(rows: Any, heads: int) -> Any:
    """(G, H, C, ...) → (1, heads, H/heads x G x C, ...): all queries of a head of keys in one row."""
    branches, _, width = rows.shape[:3]
    apart = rows.unflatten(1, (heads, -1)).movedim(0, 2)
    return apart.reshape(1, heads, apart.shape[1] * branches * width, *rows.shape[3:])


def _back(row: Any, like: Any) -> Any:
    """The reverse of `_laid`."""
    branches, heads, width = like.shape[:3]
    apart = row[0].unflatten(1, (heads // row.shape[1], branches, width))
    return apart.movedim(2, 0).flatten(1, 2)


@cache
def _function() -> Any:
    import torch

    forward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    class Merged(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Any, far_key: Any, far_value: Any, key: Any, value: Any, scale: float) -> Any:
            heads, more = key.shape[1], query.shape[1] // key.shape[1]
            query = query.contiguous()
            far, far_sum = forward_kernel(_laid(query, heads), far_key, far_value, 0.0, False, scale=scale)
            own, own_sum = forward_kernel(
                query, key.repeat_interleave(more, 1), value.repeat_interleave(more, 1), 0.0, True, scale=scale
            )
            far, far_sum = _back(far, query), _back(far_sum, query)
            total = torch.logaddexp(far_sum, own_sum)
            out = far * (far_sum - total).exp()[..., None].to(far.dtype)
            out = out + own * (own_sum - total).exp()[..., None].to(own.dtype)
            ctx.save_for_backward(query, far_key, far_value, key, value, out, total)
            ctx.scale = scale
            return out

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            query, far_key, far_value, key, value, out, total = ctx.saved_tensors
            heads, more = key.shape[1], query.shape[1] // key.shape[1]
            grad = grads[0].contiguous()
            far_query, far_keys, far_values = backward_kernel(
                _laid(grad, heads), _laid(query, heads), far_key, far_value, _laid(out, heads), _laid(total, heads),
                0.0, False, scale=ctx.scale,
            )  # fmt: skip
            own_query, keys, values = backward_kernel(
                grad, query, key.repeat_interleave(more, 1), value.repeat_interleave(more, 1), out, total,
                0.0, True, scale=ctx.scale,
            )  # fmt: skip
            keys, values = (t.unflatten(1, (heads, more)).sum(2) for t in (keys, values))
            return _back(far_query, query) + own_query, far_keys, far_values, keys, values, None

    return Merged


def _behind(query: Any, key: Any, value: Any, mask: Any, plan: Prefix, layer: int, scale: float) -> Any:
    """Rows that follow kept prompts and their own earlier tokens; without gradient.

    Args:
        query: (G, heads, S, size), the last S tokens of each row.
        key: (G, heads of keys, n, size), all tokens of each row.
        value: the same.
        mask: (G or 1, 1, S, n) True where a query may look; None = every earlier token.
        plan: the prompts.
        layer: of the model.
        scale: of the products.
    """
    import torch

    heads, (steps, known) = key.shape[1], (query.shape[2], key.shape[2])
    seen = []
    for part, keys, values in zip(query.split(plan.rows), plan.keys, plan.values, strict=True):
        seen.append([_back(t, part) for t in _far(_laid(part, heads), keys[layer], values[layer], scale)])
    far, far_sum = (torch.cat(parts) for parts in zip(*seen, strict=True))
    if mask is None and steps > 1:
        mask = torch.ones(steps, known, dtype=torch.bool, device=query.device).tril(known - steps)
    rows = query.unflatten(1, (heads, -1)).float()
    products = torch.einsum("ghrsd,ghnd->ghrsn", rows, key.float()).flatten(1, 2) * scale
    if mask is not None:
        products = products.masked_fill(~mask, -torch.inf)
    total = torch.logaddexp(far_sum, products.logsumexp(-1))
    weights = (products - total[..., None]).exp().unflatten(1, (heads, -1))
    own = torch.einsum("ghrsn,ghnd->ghrsd", weights, value.float()).flatten(1, 2)
    return (far * (far_sum - total).exp()[..., None] + own).to(query.dtype)


def _far(query: Any, key: Any, value: Any, scale: float, stretch: int = 1024) -> tuple[Any, Any]:
    """(1, heads, n, size) of queries to a prompt: what they see, and the logarithm of their sum of weights."""
    import torch

    if kernels(query):
        seen, total = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, scale=scale
        )
        return seen.float(), total
    parts = []
    for piece in query.split(stretch, dim=2):
        products = (piece.float() @ key.float().transpose(-1, -2)) * scale
        total = products.logsumexp(-1)
        parts.append(((products - total[..., None]).exp() @ value.float(), total))
    return torch.cat([p[0] for p in parts], 2), torch.cat([p[1] for p in parts], 2)
