"""Hidden states of a group's branches from one forward pass of the prompt that they share.

A group of G completions of C tokens to one video prompt of P tokens costs G (P + C) tokens when the prompt is repeated,
as trainers do, and P + G C here; the vision tower runs once instead of G times. Gradients are the same for every
parameter (Prefix Grouper, arXiv 2506.05433). There are four back ends:

- `repeat`: the prompt and its pictures G times, through the model's own forward pass. The reference for the others.
- `packed4d`: one row with a dense mask, whose memory grows with the square of the row.
- `shared_prefix`: one row, with the attention of `prefix.attention`. The default where all layers are attention.
- `fork`: the prompt runs once, and its cached states fork into G rows. The default where layers carry a recurrent
  state (Qwen3.5), which attention alone cannot share; `packed4d` and `shared_prefix` are refused there. Caches do not
  survive gradient checkpointing, so under it such a model can only repeat.

`prefix.scorer` compares the chosen back end with `repeat` before it uses it.

Two things differ from repeating and stay so: the load-balancing loss of a mixture of experts counts the prompt once,
and dropout (LoRA's too) draws one mask for the prompt instead of G. Only `shared_prefix` saves the computation of
padding; the other back ends compute their padding in all layers and discard it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from whenwhere.errors import ModelError, SettingError
from whenwhere.training.prefix.attention import PackedPlan, attach_prefix_attention
from whenwhere.training.prefix.caches import cache_inputs, differentiable_cache
from whenwhere.training.prefix.group import PrefixGroup, TokenSegment, VisualInput
from whenwhere.training.prefix.logprobs import EntropyMode, TokenScores, score_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from whenwhere.training.prefix.vlm_parts import VLMParts

PrefixBackend = Literal["shared_prefix", "packed4d", "fork", "repeat"]


def pad_branches(parts: VLMParts, group: PrefixGroup) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A group's branches padded on the right to one width, and the positions of all its tokens.

    Args:
        parts: The model.
        group: A prompt of P tokens and G branches of at most W tokens.

    Returns:
        Token ids of the branches (G, W), int64; which of them count (G, W), bool; positions of the prompt (3, P) and
        of the branches (3, G, W), int64.
    """
    import torch

    prompt_positions, following = parts.positions(group.prompt)
    rows, width = len(group.branches), group.width
    # any token can serve as padding: nothing that counts sees what follows a branch's end
    ids = torch.zeros(rows, width, dtype=torch.long, device=parts.device)
    mask = torch.zeros(rows, width, dtype=torch.bool, device=parts.device)
    positions = torch.zeros(3, rows, width, dtype=torch.long, device=parts.device)
    for k, branch in enumerate(group.branches):
        length = len(branch.ids)
        ids[k, :length] = torch.as_tensor(branch.ids, device=parts.device)
        mask[k, :length] = True if branch.scored is None else torch.as_tensor(branch.scored, device=parts.device)
        positions[:, k, :length], _ = parts.positions(branch, following)
    return ids, mask, prompt_positions, positions


def repeat(parts: VLMParts, group: PrefixGroup) -> Tensor:
    """Hidden states that predict the branches' tokens, with the prompt computed once for each branch.

    Args:
        parts: The model.
        group: A prompt and G branches of at most W tokens.

    Returns:
        Hidden states, shape (G, W, D); `[g, i]` predicts token i of branch g.
    """
    import torch

    ids, _, prompt_positions, positions = pad_branches(parts, group)
    rows, cut = len(group.branches), len(group.prompt.ids)
    whole = torch.cat([_prompt_row(parts, group).expand(rows, -1), ids], 1)
    where = torch.cat([prompt_positions[:, None].expand(-1, rows, -1), positions], 2)
    segments = [s for branch in group.branches for s in (group.prompt, branch)]
    hidden = _stock_forward(parts, whole, where, segments)
    return hidden[:, cut - 1 : -1]


def _stock_forward(parts: VLMParts, ids: Tensor, positions: Tensor, segments: list[TokenSegment]) -> Tensor:
    """Hidden states by the model's own forward pass with its pictures; by the text model where features are given."""
    import torch

    visuals: dict[str, list[VisualInput]] = {
        "": [s.images for s in segments if s.images is not None],
        "_videos": [s.videos for s in segments if s.videos is not None],
    }
    if any(v.features is not None for found in visuals.values() for v in found):
        inputs = parts.text_inputs(ids, segments)
        return parts.text_model(**inputs, position_ids=positions, use_cache=False).last_hidden_state
    pixels: dict[str, Tensor] = {}
    for ending, found in visuals.items():
        if found:
            grid = "video_grid_thw" if ending else "image_grid_thw"
            pixels[f"pixel_values{ending}"] = torch.cat([v.required_patches.to(parts.device) for v in found])
            pixels[grid] = torch.cat([torch.as_tensor(v.grids, device=parts.device) for v in found])
    return parts.backbone(input_ids=ids, position_ids=positions, use_cache=False, **pixels).last_hidden_state


def _prompt_row(parts: VLMParts, group: PrefixGroup) -> Tensor:
    """The prompt's token ids as one row, shape (1, P)."""
    import torch

    return torch.as_tensor(group.prompt.ids, device=parts.device)[None]


def _one_row(parts: VLMParts, group: PrefixGroup, **more: Any) -> Tensor:
    """Hidden states (G, W, D) from one row: the prompt, then its padded branches side by side."""
    import torch

    ids, _, prompt_positions, positions = pad_branches(parts, group)
    row = torch.cat([_prompt_row(parts, group), ids.flatten()[None]], 1)
    where = torch.cat([prompt_positions, positions.flatten(1)], 1)[:, None]
    inputs = parts.text_inputs(row, [group.prompt, *group.branches])
    hidden = parts.text_model(**inputs, position_ids=where, use_cache=False, **more).last_hidden_state
    cut = len(group.prompt.ids)
    # the prompt's last token predicts the first token of each branch
    first = hidden[:, cut - 1 : cut].expand(len(ids), -1, -1)
    return torch.cat([first, hidden[0, cut:].unflatten(0, ids.shape)[:, :-1]], 1)


def packed4d(parts: VLMParts, group: PrefixGroup) -> Tensor:
    """The same hidden states as `repeat`, from one row with a dense mask."""
    import torch

    rows, width, cut = len(group.branches), group.width, len(group.prompt.ids)
    branch = torch.arange(1, rows + 1, device=parts.device).repeat_interleave(width)
    owner = torch.cat([branch.new_zeros(cut), branch])
    mask = torch.ones(len(owner), len(owner), dtype=torch.bool, device=parts.device).tril()
    mask &= (owner[:, None] == owner[None]) | (owner[None] == 0)
    attach_prefix_attention(parts.text_model)
    return _one_row(parts, group, attention_mask=mask[None, None])


def shared_prefix(parts: VLMParts, group: PrefixGroup) -> Tensor:
    """The same hidden states as `repeat`, from one row in which each branch sees the prompt and itself."""
    return shared_prefix_many(parts, [group])[0]


def shared_prefix_many(parts: VLMParts, groups: Sequence[PrefixGroup]) -> list[Tensor]:
    """The same hidden states as `repeat`, for several groups by one forward pass of one row.

    Small models gain from this: they spend more time on calls than on arithmetic.

    Args:
        parts: The model.
        groups: Groups, which do not see one another.

    Returns:
        For each group, hidden states of shape (G, W, D).
    """
    import torch

    attach_prefix_attention(parts.text_model)
    row, where, plans = [], [], []
    for group in groups:
        prompt_positions, following = parts.positions(group.prompt)
        row += [torch.as_tensor(s.ids, device=parts.device) for s in (group.prompt, *group.branches)]
        where += [prompt_positions, *(parts.positions(b, following)[0] for b in group.branches)]
        width, lengths = group.width, [len(b.ids) for b in group.branches]
        slots = None
        if min(lengths) < width:
            slots = torch.cat([torch.arange(n) + k * width for k, n in enumerate(lengths)]).to(parts.device)
        plans.append(PackedPlan(len(group.prompt.ids), len(lengths), width, slots))
    inputs = parts.text_inputs(torch.cat(row)[None], [s for g in groups for s in (g.prompt, *g.branches)])
    hidden = parts.text_model(
        **inputs, position_ids=torch.cat(where, 1)[:, None], use_cache=False, prefix_plan=tuple(plans)
    ).last_hidden_state[0]
    return [_predicting(h, p) for h, p in zip(hidden.split([p.length for p in plans]), plans, strict=True)]


def _predicting(hidden: Tensor, plan: PackedPlan) -> Tensor:
    """Hidden states of a stretch (length, D) → those that predict its branches' tokens (G, W, D)."""
    import torch

    first, own = hidden[plan.prompt - 1], hidden[plan.prompt :]
    if plan.slots is not None:
        own = own.new_zeros(plan.branches * plan.width, own.shape[-1]).index_copy(0, plan.slots, own)
    own = own.unflatten(0, (plan.branches, plan.width))
    return torch.cat([first.expand(plan.branches, 1, -1), own[:, :-1]], 1)


def fork(parts: VLMParts, group: PrefixGroup) -> Tensor:
    """The same hidden states as `repeat`: the prompt's cached states fork into G rows."""
    import torch

    ids, _, prompt_positions, positions = pad_branches(parts, group)
    states = differentiable_cache(parts)
    prompt = parts.text_model(
        **parts.text_inputs(_prompt_row(parts, group), [group.prompt]), position_ids=prompt_positions[:, None],
        **cache_inputs(parts.text_model, states),
    ).last_hidden_state  # fmt: skip
    first = prompt[:, -1:].expand(len(ids), -1, -1)
    states.reorder_cache(torch.zeros(len(ids), dtype=torch.long, device=parts.device))
    branches = parts.text_model(
        **parts.text_inputs(ids, group.branches), position_ids=positions, **cache_inputs(parts.text_model, states)
    ).last_hidden_state
    return torch.cat([first, branches[:, :-1]], 1)


PREFIX_BACKENDS: dict[str, Callable[[VLMParts, PrefixGroup], Tensor]] = {
    "shared_prefix": shared_prefix, "packed4d": packed4d, "fork": fork, "repeat": repeat,
}  # fmt: skip


def check_backend(backend: str) -> None:
    """Refuses a name that no back end has.

    Raises:
        SettingError: There is no such back end.
    """
    if backend not in PREFIX_BACKENDS:
        raise SettingError(f"there is no back end {backend!r}: choose one of {', '.join(PREFIX_BACKENDS)}")


def refusal(parts: VLMParts, backend: PrefixBackend) -> str | None:
    """The reason why a back end would be wrong for a model, as a sentence; None where it is right.

    Args:
        parts: The model, in the mode in which it will run.
        backend: The name of the back end.
    """
    if backend in ("shared_prefix", "packed4d"):
        if parts.recurrent:
            return (
                f"layers with a recurrent state cannot share a prompt by attention ({backend}): choose fork or repeat"
            )
        if "sliding_attention" in (getattr(parts.text_config, "layer_types", None) or ()):
            return f"layers with a sliding window count tokens along the row, which {backend} breaks: choose repeat"
        if parts.model.training and getattr(parts.text_config, "attention_dropout", 0.0):
            return f"{backend} needs attention_dropout = 0"
    if backend == "fork" and parts.checkpointed:
        return "gradient checkpointing drops the states that fork passes on: switch it off, or choose repeat"
    return None


def score_branches(
    parts: VLMParts,
    group: PrefixGroup,
    backend: PrefixBackend = "shared_prefix",
    temperature: float = 1.0,
    entropies: EntropyMode = False,
) -> TokenScores:
    """Log-probabilities, and entropies if asked for, of a group's branches by one back end.

    Several groups are scored one after another, each with a backward pass of its own, so that only one is in memory.

    Args:
        parts: The model.
        group: A prompt and G branches of at most W tokens.
        backend: The name of the back end.
        temperature: Logits are divided by this.
        entropies: Whether entropies are computed too; "trained" with their gradient.

    Returns:
        Scores of shape (G, W).

    Raises:
        ModelError: The back end would be wrong for the model, or the sample's tokens and pictures do not match.
        SettingError: There is no such back end.
    """
    check_backend(backend)
    if reason := refusal(parts, backend):
        raise ModelError(reason)
    ids, mask, _, _ = pad_branches(parts, group)
    return score_tokens(PREFIX_BACKENDS[backend](parts, group), parts.lm_head, ids, mask, temperature, entropies)
