"""Completions drawn from one forward of the prompt: the vision tower and the prompt run once, then G rows go on.

The prompt's keys and values are kept once, not once a row. A second turn (an answer, frames zoomed into, an answer
again) goes on from the same ones: only the first answer and what was shown are computed again. Greedy tokens are those
of the model's own `generate`; positions are ours at every step, so that rollouts and training count alike (see
`training.positions`).

Layers with a recurrent state (Qwen3.5) fork the state once a row instead; their second turns are drawn row by row.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from whenwhere.errors import SettingError
from whenwhere.training.attention import Prefix, attach
from whenwhere.training.group import Branch, Tokens
from whenwhere.training.shared_prefix import kept_states
from whenwhere.training.tower import Tower


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
                **tower.inputs(ids, [prompt]), position_ids=places[:, None], past_key_values=self._states,
                use_cache=True,
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
        return self._drawn([None] * count, sampling, self._generator(sampling))

    def go_on(self, branches: Sequence[Branch], sampling: Sampling) -> list[Any]:
        """One completion behind each branch of the prompt: the answers of a second turn.

        Args:
            branches: what follows the prompt so far; may hold pictures.
            sampling: how.
        """
        generator = self._generator(sampling)
        if not self.tower.recurrent:
            return self._drawn(list(branches), sampling, generator)
        # rows of different lengths would need padding, which a recurrent state does not forget
        return [row for branch in branches for row in self._drawn([branch], sampling, generator)]

    def _generator(self, sampling: Sampling) -> Any:
        import torch

        return torch.Generator(self.tower.device).manual_seed(sampling.seed)

    def _drawn(self, branches: list[Branch | None], sampling: Sampling, generator: Any) -> list[Any]:
        import torch

        tower, device, rows = self.tower, self.tower.device, len(branches)
        with _still(tower):
            states, how = self._forked(rows)
            hidden = self._last.expand(rows, -1)
            places = torch.full((rows,), self._following, device=device)
            seen = None  # (G, n) which of a row's own tokens are no padding
            told = [b for b in branches if b is not None]
            if told:
                hidden, places, seen = self._told(told, states, how)
            ended = torch.zeros(rows, dtype=torch.bool, device=device)
            stop = torch.tensor(sampling.stop, dtype=torch.long, device=device)
            words: list[Any] = []
            choose = _chooser(tower, sampling, generator)
            while len(words) < sampling.max_tokens:
                words.append(torch.where(ended, -1, choose(tower.head(hidden))))
                ended = ended | torch.isin(words[-1], stop)
                if bool(ended.all()) or len(words) == sampling.max_tokens:
                    break
                if seen is not None:
                    seen = torch.cat([seen, seen.new_ones(rows, 1)], 1)
                hidden = tower.text(
                    input_ids=words[-1].clamp(min=0)[:, None], position_ids=places.expand(3, -1)[..., None],
                    past_key_values=states, use_cache=True, attention_mask=seen, **how,
                ).last_hidden_state[:, -1]  # fmt: skip
                places = places + 1
        return [row[row >= 0] for row in torch.stack(words, 1)]

    def _forked(self, rows: int) -> tuple[Any, dict[str, Any]]:
        """States for rows that go on, and how the text tower is to be called."""
        import torch
        from transformers import DynamicCache

        if not self.tower.recurrent:
            layers = self._states.layers
            return DynamicCache(), {"prefix_plan": Prefix([x.keys for x in layers], [x.values for x in layers])}
        states = deepcopy(self._states)
        states.reorder_cache(torch.zeros(rows, dtype=torch.long, device=self.tower.device))
        return states, {}

    def _told(self, branches: list[Branch], states: Any, how: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Runs what stands in the branches; last hidden states, next positions, and what is no padding."""
        import torch

        tower, rows, width = self.tower, len(branches), max(len(b.ids) for b in branches)
        ids = torch.zeros(rows, width, dtype=torch.long, device=tower.device)
        seen = torch.zeros(rows, width, dtype=torch.long, device=tower.device)
        places = torch.zeros(3, rows, width, dtype=torch.long, device=tower.device)
        following = []
        for k, branch in enumerate(branches):
            length = len(branch.ids)
            ids[k, :length], seen[k, :length] = torch.as_tensor(branch.ids, device=tower.device), 1
            places[:, k, :length], after = tower.positions(branch, self._following)
            following.append(after)
        mask = None if tower.recurrent or bool(seen.all()) else seen
        hidden = tower.text(
            **tower.inputs(ids, branches), position_ids=places, past_key_values=states, use_cache=True,
            attention_mask=mask, **how,
        ).last_hidden_state  # fmt: skip
        ends = hidden[torch.arange(rows, device=tower.device), seen.sum(1) - 1]
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
