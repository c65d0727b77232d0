"""Completions drawn from one forward of the prompt: the vision tower and the prompt run once, then G rows go on.

The prompt's keys and values are kept once, not once a row. A second turn (an answer, frames zoomed into, an answer
again) goes on from the same ones: only the first answer and what was shown are computed again. Greedy tokens are those
of the model's own `generate`; positions are ours at every step, so that rollouts and training count alike (see
`prefix.positions`). Rows of several prompts are drawn in the same steps, and rows that have ended are left out.

Layers with a recurrent state (Qwen3.5) fork the state once a row instead; their second turns are drawn row by row.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from whenwhere.errors import SettingError
from whenwhere.training.prefix.attention import Prefix, attach
from whenwhere.training.prefix.group import Branch, Tokens
from whenwhere.training.prefix.states import cache_inputs, kept_states
from whenwhere.training.prefix.vlm_parts import Tower


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        max_tokens: most tokens of a completion.
        temperature: 0 = the likeliest token always.
        top_k: only the k likeliest; 0 = all.
        top_p: only the likeliest that make up this share.
        stop: tokens that end a completion; they are part of it.
        seed: of the draws.
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


class Rollout:
    """A prompt computed once, from which completions are drawn.

    Args:
        tower: of the model.
        prompt: that completions follow.
    """

    def __init__(self, tower: Tower, prompt: Tokens) -> None:
        import torch

        self.tower, self.prompt = tower, prompt
        if not tower.recurrent:
            attach(tower.text)
        places, self._following = tower.positions(prompt)
        ids = torch.as_tensor(prompt.ids, device=tower.device)[None]
        self._states = kept_states(tower)
        with _still(tower):
            hidden = tower.text(
                **tower.inputs(ids, [prompt]), position_ids=places[:, None], **cache_inputs(tower.text, self._states),
            ).last_hidden_state  # fmt: skip
        self._last = hidden[0, -1].clone()

    def draw(self, count: int, sampling: Sampling) -> list[Any]:
        """Completions of the prompt.

        Args:
            count: how many.
            sampling: how.

        Returns:
            The tokens of each, 1-D.
        """
        return _drawn([(self, None)] * count, sampling, _generator(self.tower, sampling))

    def go_on(self, branches: Sequence[Branch], sampling: Sampling) -> list[Any]:
        """One completion behind each branch of the prompt: the answers of a second turn.

        Args:
            branches: what follows the prompt so far; may hold pictures.
            sampling: how.
        """
        return together([self], [branches], sampling)[0]


def together(rollouts: Sequence[Rollout], branches: Sequence[Sequence[Branch]], sampling: Sampling) -> list[list[Any]]:
    """One completion behind each branch of several prompts of one model, all drawn in the same steps.

    Args:
        rollouts: the prompts.
        branches: what follows each of them so far, at least one each.
        sampling: how.

    Returns:
        Of each prompt, the tokens of each completion.
    """
    tower = rollouts[0].tower
    generator = _generator(tower, sampling)
    rows = [(rollout, branch) for rollout, own in zip(rollouts, branches, strict=True) for branch in own]
    if tower.recurrent:
        # rows of different lengths would need padding, which a recurrent state does not forget
        found = [ids for row in rows for ids in _drawn([row], sampling, generator)]
    else:
        found = _drawn(rows, sampling, generator)
    left = iter(found)
    return [[next(left) for _ in own] for own in branches]


def _generator(tower: Tower, sampling: Sampling) -> Any:
    import torch

    return torch.Generator(tower.device).manual_seed(sampling.seed)


def _drawn(rows: Sequence[tuple[Rollout, Branch | None]], sampling: Sampling, generator: Any) -> list[Any]:
    """A completion of each row; either all have a branch or none."""
    import torch

    tower = rows[0][0].tower
    device = tower.device
    with _still(tower):
        owners = [rollout for rollout, _ in rows]
        states, how = _forked(owners)
        hidden = torch.stack([rollout._last for rollout in owners])
        places = torch.tensor([rollout._following for rollout in owners], device=device)
        seen = None  # (G, n) which of a row's own tokens are no padding
        if rows[0][1] is not None:
            hidden, places, seen = _told(rows, states, how)
        words = torch.full((len(rows), sampling.max_tokens), -1, device=device)
        live = torch.arange(len(rows), device=device)
        ended = torch.zeros(len(rows), dtype=torch.bool, device=device)
        stop = torch.tensor(sampling.stop, dtype=torch.long, device=device)
        choose = _chooser(tower, sampling, generator)
        for step in range(sampling.max_tokens):
            word = choose(tower.head(hidden))
            words[live, step] = torch.where(ended, -1, word)
            ended = ended | torch.isin(word, stop)
            going = int((~ended).sum())
            if not going or step + 1 == sampling.max_tokens:
                break
            if 2 * going <= len(live) and not tower.recurrent:
                # rows that have ended would be computed for nothing
                kept = (~ended).nonzero()[:, 0]
                owners = [owners[k] for k in kept.tolist()]
                states.batch_select_indices(kept)
                how = _plan(owners)
                live, word, places, ended = live[kept], word[kept], places[kept], ended[kept]
                seen = None if seen is None else seen[kept]
            if seen is not None:
                seen = torch.cat([seen, seen.new_ones(len(live), 1)], 1)
            hidden = tower.text(
                input_ids=word[:, None], position_ids=places.expand(3, -1)[..., None],
                **cache_inputs(tower.text, states),
                attention_mask=seen, **how,
            ).last_hidden_state[:, -1]  # fmt: skip
            places = places + 1
    return [row[row >= 0] for row in words]


def _forked(owners: Sequence[Rollout]) -> tuple[Any, dict[str, Any]]:
    """States for rows that go on, and how the text tower is to be called."""
    import torch
    from transformers import DynamicCache

    tower = owners[0].tower
    if not tower.recurrent:
        return DynamicCache(), _plan(owners)
    states = deepcopy(owners[0]._states)
    states.reorder_cache(torch.zeros(len(owners), dtype=torch.long, device=tower.device))
    return states, {}


def _plan(owners: Sequence[Rollout]) -> dict[str, Any]:
    """Which prompt each row follows, for the attention."""
    runs = [(rollout, len(list(run))) for rollout, run in groupby(owners)]
    layers = [rollout._states.layers for rollout, _ in runs]
    keys, values = [[x.keys for x in own] for own in layers], [[x.values for x in own] for own in layers]
    return {"prefix_plan": Prefix(keys, values, [count for _, count in runs])}


def _told(rows: Sequence[tuple[Rollout, Any]], states: Any, how: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Runs what stands in the branches; last hidden states, next positions, and what is no padding."""
    import torch

    tower, width = rows[0][0].tower, max(len(b.ids) for _, b in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long, device=tower.device)
    seen = torch.zeros(len(rows), width, dtype=torch.long, device=tower.device)
    places = torch.zeros(3, len(rows), width, dtype=torch.long, device=tower.device)
    following = []
    for k, (rollout, branch) in enumerate(rows):
        length = len(branch.ids)
        ids[k, :length], seen[k, :length] = torch.as_tensor(branch.ids, device=tower.device), 1
        places[:, k, :length], after = tower.positions(branch, rollout._following)
        following.append(after)
    mask = None if tower.recurrent or bool(seen.all()) else seen
    hidden = tower.text(
        **tower.inputs(ids, [branch for _, branch in rows]), position_ids=places, **cache_inputs(tower.text, states),
        attention_mask=mask, **how,
    ).last_hidden_state  # fmt: skip
    ends = hidden[torch.arange(len(rows), device=tower.device), seen.sum(1) - 1]
    return ends, torch.tensor(following, device=tower.device), mask


def banned(tower: Tower) -> list[int]:
    """Tokens that stand for pictures: one of them in an answer would need features that are not there."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    return sorted({int(getattr(tower.config, name)) for name in names})


def _chooser(tower: Tower, sampling: Sampling, generator: Any) -> Any:
    """Logits (G, V) → tokens (G,)."""
    import torch
    from transformers.generation import logits_process as steps

    chain = [steps.SuppressTokensLogitsProcessor(banned(tower), device=tower.device)]
    if sampling.temperature not in (0, 1):
        chain.append(steps.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        chain.append(steps.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(steps.TopPLogitsWarper(sampling.top_p))

    def choose(logits: Any) -> Any:
        logits = logits.float()
        for step in chain:
            logits = step(None, logits)
        if not sampling.temperature:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]

    return choose


@contextmanager
def _still(tower: Tower) -> Any:
    """No gradients and no training mode, under which checkpointing would drop the states."""
    import torch

    # module by module: a frozen tower may stand in another mode than the rest
    modes = [(module, module.training) for module in tower.core.modules()]
    tower.core.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
