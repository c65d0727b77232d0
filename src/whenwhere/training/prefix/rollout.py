"""Completions sampled from one forward pass of the prompt: the vision tower and the prompt run once, then G rows.

The prompt's keys and values are kept once instead of once for each row. A second turn (an answer, frames that the model
is shown for it, another answer) continues from the same cache: only the first answer and what was shown are computed
again. Greedy tokens are those of the model's own `generate`; positions are ours at every step, so that rollouts and
training count alike (see `prefix.positions`). Rows of several prompts are sampled in the same steps, and rows that have
ended are dropped.

Layers with a recurrent state (Qwen3.5) fork the state into one copy for each row; there, branches are continued row by
row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from whenwhere.errors import SettingError
from whenwhere.training.prefix.attention import CachedPrefixes, attach_prefix_attention, needs_upcast
from whenwhere.training.prefix.caches import cache_inputs, differentiable_cache
from whenwhere.training.prefix.group import Branch, TokenSegment
from whenwhere.training.prefix.vlm_parts import VLMParts

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import DynamicCache


@dataclass(frozen=True)
class SamplingParams:
    """How the tokens of completions are sampled.

    Attributes:
        max_tokens: The largest number of tokens of a completion, at least 1.
        temperature: Logits are divided by this. 0 always takes the likeliest token.
        top_k: Only the k likeliest tokens are sampled. 0 means all.
        top_p: Only the likeliest tokens that make up this share are sampled, in (0, 1].
        stop: Token ids that end a completion; they are part of it.
        seed: Seed of the random numbers.

    Raises:
        SettingError: A value is outside its range.
    """

    max_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise SettingError("sampling needs max_tokens ≥ 1, temperature ≥ 0, top_k ≥ 0 and 0 < top_p ≤ 1")


class PrefilledPrompt:
    """A prompt that was computed once, from which completions are sampled.

    Args:
        parts: The model.
        prompt: The prompt, with its pictures.
    """

    def __init__(self, parts: VLMParts, prompt: TokenSegment) -> None:
        import torch

        self.parts, self.prompt = parts, prompt
        if not parts.recurrent:
            attach_prefix_attention(parts.text_model)
        positions, self._following = parts.positions(prompt)
        ids = torch.as_tensor(prompt.ids, device=parts.device)[None]
        self._states = differentiable_cache(parts)
        with _inference(parts):
            hidden = parts.text_model(
                **parts.text_inputs(ids, [prompt]), position_ids=positions[:, None],
                **cache_inputs(parts.text_model, self._states),
            ).last_hidden_state  # fmt: skip
        self._last = hidden[0, -1].clone()
        for layer in [] if parts.recurrent else self._states.layers:
            if needs_upcast(layer.keys) or needs_upcast(layer.values):
                # once here instead of at every token
                layer.keys, layer.values = layer.keys.float(), layer.values.float()

    def sample(self, count: int, params: SamplingParams) -> list[Tensor]:
        """Completions of the prompt.

        Args:
            count: Number of completions.
            params: How tokens are sampled.

        Returns:
            The token ids of each completion, int64, shape (n,).
        """
        return _sample_rows([(self, None)] * count, params, _generator(self.parts, params))

    def continue_branches(self, branches: Sequence[Branch], params: SamplingParams) -> list[Tensor]:
        """One completion after each branch of the prompt, such as the answers of a second turn.

        Args:
            branches: What follows the prompt so far; may hold pictures.
            params: How tokens are sampled.

        Returns:
            The token ids of each completion, int64, shape (n,).
        """
        return sample_together([self], [branches], params)[0]


def sample_together(
    prompts: Sequence[PrefilledPrompt], branches: Sequence[Sequence[Branch]], params: SamplingParams
) -> list[list[Tensor]]:
    """One completion after each branch of several prompts of one model, all sampled in the same steps.

    Args:
        prompts: The prompts.
        branches: For each prompt, what follows it so far, at least one branch.
        params: How tokens are sampled.

    Returns:
        For each prompt, the token ids of each completion, int64, shape (n,).
    """
    parts = prompts[0].parts
    generator = _generator(parts, params)
    rows = [(prompt, branch) for prompt, own in zip(prompts, branches, strict=True) for branch in own]
    if parts.recurrent:
        # rows of different lengths would need padding, which a recurrent state does not forget
        found = [ids for row in rows for ids in _sample_rows([row], params, generator)]
    else:
        found = _sample_rows(rows, params, generator)
    remaining = iter(found)
    return [[next(remaining) for _ in own] for own in branches]


def _generator(parts: VLMParts, params: SamplingParams) -> torch.Generator:
    import torch

    return torch.Generator(parts.device).manual_seed(params.seed)


def _sample_rows(
    rows: Sequence[tuple[PrefilledPrompt, Branch | None]], params: SamplingParams, generator: torch.Generator
) -> list[Tensor]:
    """Samples one completion for each row; either all rows have a branch or none has."""
    import torch

    parts = rows[0][0].parts
    device = parts.device
    with _inference(parts):
        prompts = [prompt for prompt, _ in rows]
        states, plan = _forked(prompts)
        hidden = torch.stack([prompt._last for prompt in prompts])
        positions = torch.tensor([prompt._following for prompt in prompts], device=device)
        attended = None  # (G, n), which of a row's own tokens are not padding
        branches = [(prompt, branch) for prompt, branch in rows if branch is not None]
        if branches:
            hidden, positions, attended = _run_branches(branches, states, plan)
        tokens = torch.full((len(rows), params.max_tokens), -1, device=device)
        live = torch.arange(len(rows), device=device)
        ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
        stop = torch.tensor(params.stop, dtype=torch.long, device=device)
        choose = _token_chooser(parts, params, generator)
        for step in range(params.max_tokens):
            token = choose(parts.lm_head(hidden))
            tokens[live, step] = torch.where(ended, -1, token)
            ended = ended | torch.isin(token, stop)
            going = int((~ended).sum())
            if not going or step + 1 == params.max_tokens:
                break
            if 2 * going <= len(live) and not parts.recurrent:
                # rows that have ended would be computed for nothing
                kept = (~ended).nonzero()[:, 0]
                prompts = [prompts[k] for k in kept.tolist()]
                states.batch_select_indices(kept)
                plan = _prefix_plan(prompts)
                live, token, positions, ended = live[kept], token[kept], positions[kept], ended[kept]
                attended = None if attended is None else attended[kept]
            if attended is not None:
                attended = torch.cat([attended, attended.new_ones(len(live), 1)], 1)
            hidden = parts.text_model(
                input_ids=token[:, None], position_ids=positions.expand(3, -1)[..., None],
                **cache_inputs(parts.text_model, states), attention_mask=attended, **plan,
            ).last_hidden_state[:, -1]  # fmt: skip
            positions = positions + 1
    return [row[row >= 0] for row in tokens]


def _forked(prompts: Sequence[PrefilledPrompt]) -> tuple[DynamicCache, dict[str, CachedPrefixes]]:
    """A key-value cache for the rows, and further keyword arguments for the text model."""
    import torch
    from transformers import DynamicCache

    parts = prompts[0].parts
    if not parts.recurrent:
        return DynamicCache(), _prefix_plan(prompts)
    states = deepcopy(prompts[0]._states)
    states.reorder_cache(torch.zeros(len(prompts), dtype=torch.long, device=parts.device))
    return states, {}


def _prefix_plan(prompts: Sequence[PrefilledPrompt]) -> dict[str, CachedPrefixes]:
    """The keyword that tells the attention which prompt each row follows."""
    runs = [(prompt, len(list(run))) for prompt, run in groupby(prompts)]
    layers = [prompt._states.layers for prompt, _ in runs]
    keys, values = [[x.keys for x in own] for own in layers], [[x.values for x in own] for own in layers]
    return {"prefix_plan": CachedPrefixes(keys, values, [count for _, count in runs])}


def _run_branches(
    rows: Sequence[tuple[PrefilledPrompt, Branch]], states: DynamicCache, plan: dict[str, CachedPrefixes]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Runs the tokens of the branches, and fills the cache with them.

    Returns:
        The last hidden states (G, D), the next positions (G,), and which tokens are not padding (G, n) or None.
    """
    import torch

    parts, width = rows[0][0].parts, max(len(b.ids) for _, b in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long, device=parts.device)
    attended = torch.zeros(len(rows), width, dtype=torch.long, device=parts.device)
    positions = torch.zeros(3, len(rows), width, dtype=torch.long, device=parts.device)
    following = []
    for k, (prompt, branch) in enumerate(rows):
        length = len(branch.ids)
        ids[k, :length], attended[k, :length] = torch.as_tensor(branch.ids, device=parts.device), 1
        positions[:, k, :length], after = parts.positions(branch, prompt._following)
        following.append(after)
    mask = None if parts.recurrent or bool(attended.all()) else attended
    hidden = parts.text_model(
        **parts.text_inputs(ids, [branch for _, branch in rows]), position_ids=positions,
        **cache_inputs(parts.text_model, states), attention_mask=mask, **plan,
    ).last_hidden_state  # fmt: skip
    ends = hidden[torch.arange(len(rows), device=parts.device), attended.sum(1) - 1]
    return ends, torch.tensor(following, device=parts.device), mask


def visual_token_ids(parts: VLMParts) -> list[int]:
    """Ids of the tokens that stand for pictures; in an answer, such a token would need features that do not exist.

    Args:
        parts: The model.
    """
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return sorted({int(getattr(parts.config, name)) for name in names})


def _token_chooser(parts: VLMParts, params: SamplingParams, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A function from logits (G, V) to token ids (G,)."""
    import torch
    from transformers.generation import logits_process as processors

    chain = [processors.SuppressTokensLogitsProcessor(visual_token_ids(parts), device=parts.device)]
    if params.temperature not in (0, 1):
        chain.append(processors.TemperatureLogitsWarper(float(params.temperature)))
    if params.top_k:
        chain.append(processors.TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        chain.append(processors.TopPLogitsWarper(params.top_p))

    def choose(logits: Tensor) -> Tensor:
        logits = logits.float()
        for process in chain:
            logits = process(None, logits)
        if not params.temperature:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]

    return choose


@contextmanager
def _inference(parts: VLMParts) -> Iterator[None]:
    """Turns off gradients and training mode, under which checkpointing would drop the cache."""
    import torch

    # module by module: a frozen tower may be in another mode than the rest
    modes = [(module, module.training) for module in parts.model.modules()]
    parts.model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
