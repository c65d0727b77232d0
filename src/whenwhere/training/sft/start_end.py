"""An output head that predicts the temporal steps at which an event starts and ends, instead of generating text.

The hidden state after the question is compared with the hidden state of each temporal step of the clip, once for the
start and once for the end. Targets are Gaussians around the true start and end, so that a near miss costs less, and the
answer is the likeliest pair of which the start comes first. The head needs one forward pass, gives distributions over
start and end, and can express only one span.

Frames come before the question (`prefix.policy`), so their states do not depend on it: the video is computed once for
all its questions.

The head is saved in a file of its own in a checkpoint's folder, so that other programs find only the weights that the
model's family has.
"""

from __future__ import annotations

import math
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import ModelError, SettingError
from whenwhere.models.vlm import Checkpoint
from whenwhere.spans import SpanSet
from whenwhere.store import atomic_path
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.group import PrefixGroup, TokenSegment, completion_group
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.shared_prefix import PREFIX_BACKENDS, PrefixBackend, refusal
from whenwhere.training.prefix.vlm_parts import VLMParts
from whenwhere.training.sft.head import require_trained

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Name of the head's module in a model, and of its file in a checkpoint's folder.
MODULE, FILE = "start_end", "start_end.pt"


class StartEndHead:
    """Predicts the temporal steps at which the event starts and ends (`sft.head.OutputHead`).

    It answers one span; if the truth has several, it learns the first. Absence is one more class next to the steps.

    Args:
        soft: Standard deviation of the soft targets in temporal steps. 0 means that only the nearest step counts.
        backend: How the questions of a clip share its computation.
        seed: Seed of a new head's weights.
    """

    name = "start-end"

    def __init__(self, soft: float = 1.0, backend: PrefixBackend = "shared_prefix", seed: int = 0) -> None:
        self.soft, self.backend, self.seed = soft, backend, seed

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds the head from the checkpoint's folder to the model, or a new one if there is none."""
        import torch

        model = checkpoint.model
        if hasattr(model, MODULE):
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            pointer = _pointer_class()(model.config.text_config.hidden_size)
        if (file := Path(checkpoint.name) / FILE).is_file():
            pointer.load_state_dict(_read_weights(file))
        model.add_module(MODULE, pointer.to(model.device, model.dtype))
        _save_separately(model)

    def check(self, policy: Policy) -> None:
        """Refuses a policy without the head, or with a frozen one."""
        require_trained(_pointer(policy).ask.weight, "the weights of the start/end head")

    def loss(self, policy: Policy, sample: Sample) -> Tensor:
        """The mean over questions of the cross-entropies to Gaussians around the true start and end.

        Raises:
            SettingError: A question does not ask when.
        """
        import torch

        edges = self._edges(policy, sample)
        targets = [self._target(question.truth.spans, edges, question.id) for question in sample.questions]
        wanted = torch.as_tensor(np.array(targets), dtype=torch.float32, device=policy.parts.device)
        return -(wanted * self.distributions(policy, sample)).sum(-1).mean()

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The likeliest span of each question, or absence (`best_pair`)."""
        import torch

        with torch.no_grad():
            found = self.distributions(policy, sample).cpu().double().numpy()
        edges = self._edges(policy, sample)
        return [best_pair(starts, ends, edges) for starts, ends in found]

    def distributions(self, policy: Policy, sample: Sample) -> Tensor:
        """Log-probabilities of the step at which the event starts, and of the step at which it ends.

        Args:
            policy: A policy of the prepared checkpoint.
            sample: A clip and its questions.

        Returns:
            Log-probabilities, float32, shape (questions, 2, steps + 1); the last step stands for absence.
        """
        import torch

        parts = policy.parts
        prompt, suffixes = policy.prompts(sample, sample.questions)
        end = torch.tensor([policy.end_id])
        group = completion_group(prompt, [torch.cat([suffix, end]) for suffix in suffixes])
        with policy.autocast():
            prompt_states, branch_states = hidden_states(parts, group, self.backend)
        # the state that would predict the first token of an answer
        lengths = torch.tensor([len(suffix) for suffix in suffixes])
        asked = branch_states[torch.arange(len(suffixes)), lengths]
        return _pointer(policy)(asked.float(), step_states(parts, prompt, prompt_states).float())

    def _edges(self, policy: Policy, sample: Sample) -> NDArray[np.float64]:
        """Seconds at which each step in time begins, and the video's end, shape (steps + 1,)."""
        prompt, _ = policy.prompts(sample, sample.questions)
        count = len(_step_sizes(policy.parts, prompt))
        starts = sample.times[:: math.ceil(len(sample.times) / count)]
        if len(starts) != count:
            raise ModelError(f"{count} steps in time cannot be matched to {len(sample.times)} frames of {sample.id}")
        return np.array([*starts, policy.truth(sample, sample.questions[0]).duration])

    def _target(self, spans: SpanSet | None, edges: NDArray[np.float64], question: str) -> NDArray[np.float64]:
        """Target distributions of start and end, shape (2, steps + 1)."""
        if spans is None:
            raise SettingError(
                f"the question {question} does not ask when: a start/end head has nothing to learn from it"
            )
        count = len(edges) - 1
        target = np.zeros((2, count + 1))
        if not spans:
            target[:, count] = 1
            return target
        width = self.soft * float(np.median(np.diff(edges)))
        ends = (spans[0].start, spans[0].end)
        for row, steps, at in zip(target, (edges[:-1], edges[1:]), ends, strict=True):
            off = np.abs(steps - at)
            row[:count] = (
                np.exp(-((off - off.min()) * (off + off.min())) / (2 * width**2)) if width else off == off.min()
            )
            row /= row.sum()
        return target


def best_pair(starts: NDArray[np.float64], ends: NDArray[np.float64], edges: NDArray[np.float64]) -> ParsedAnswer:
    """The likeliest span that starts before it ends, or absence where that is likelier than all spans together.

    Args:
        starts: Log-probability that the event starts with each step, shape (steps + 1,); the last is absence.
        ends: Log-probability that the event ends with each step, of the same shape.
        edges: Seconds at which the steps begin, and the video's end, shape (steps + 1,).

    The likeliest end by itself comes before the likeliest start here; as a pair, others are best:

    >>> import numpy as np
    >>> starts, ends = np.log([0.2, 0.1, 0.6, 0.1]), np.log([0.6, 0.1, 0.2, 0.1])
    >>> best_pair(starts, ends, np.array([0.0, 1.0, 2.0, 3.0])).spans
    ((0.0, 1.0),)
    >>> best_pair(np.log([0.2, 0.2, 0.6]), np.log([0.1, 0.1, 0.8]), np.array([0.0, 1.0, 2.0])).status
    'absent'
    """
    count = len(edges) - 1
    pairs = np.where(np.triu(np.ones((count, count), bool)), starts[:count, None] + ends[None, :count], -np.inf)
    first, last = np.unravel_index(int(pairs.argmax()), pairs.shape)
    # absence against all pairs together: a span whose place is uncertain is there all the same
    if starts[count] + ends[count] > np.logaddexp.reduce(pairs.ravel()):
        return ParsedAnswer("absent")
    return ParsedAnswer("ok", ((float(edges[first]), float(edges[last + 1])),))


def hidden_states(parts: VLMParts, group: PrefixGroup, backend: PrefixBackend) -> tuple[Tensor, Tensor]:
    """Hidden states of a prompt's own tokens, and those that predict its branches' tokens.

    Args:
        parts: The model.
        group: A prompt of P tokens and G branches of at most W tokens.
        backend: How the branches share the prompt.

    Returns:
        Hidden states of shapes (P, D) and (G, W, D).

    Raises:
        ModelError: The back end would be wrong for the model.
    """
    if reason := refusal(parts, backend):
        raise ModelError(reason)
    outputs: list[Tensor] = []
    # every back end computes the prompt first, in the first row
    hook = parts.text_model.register_forward_hook(lambda *call: outputs.append(call[-1].last_hidden_state))
    try:
        branches = PREFIX_BACKENDS[backend](parts, group)
    finally:
        hook.remove()
    return outputs[0][0, : len(group.prompt.ids)], branches


def _step_sizes(parts: VLMParts, prompt: TokenSegment) -> list[int]:
    """Number of tokens of each step in time."""
    merged = parts.config.vision_config.spatial_merge_size**2
    grids = [grid for part in (prompt.images, prompt.videos) if part is not None for grid in np.asarray(part.grids)]
    return [int(rows * columns) // merged for frames, rows, columns in grids for _ in range(int(frames))]


def step_states(parts: VLMParts, prompt: TokenSegment, hidden: Tensor) -> Tensor:
    """The mean hidden state of each step in time, shape (steps, D).

    Args:
        parts: The model.
        prompt: A prompt of P tokens with a clip in it.
        hidden: Hidden states of the prompt's tokens, shape (P, D).
    """
    import torch

    ids = torch.as_tensor(prompt.ids, device=hidden.device)
    visual = hidden[parts.token_kinds(ids) != 0]
    return torch.stack([step.mean(0) for step in visual.split(_step_sizes(parts, prompt))])


def _pointer(policy: Policy) -> torch.nn.Module:
    """The policy's start/end head."""
    if not hasattr(policy.parts.model, MODULE):
        raise ModelError("the model has no start/end head: prepare the checkpoint before a policy is made of it")
    return getattr(policy.parts.model, MODULE)


def _read_weights(file: Path) -> dict[str, Tensor]:
    """Weights of the head in a checkpoint's folder.

    Raises:
        ModelError: They cannot be read.
    """
    import torch

    try:
        weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as e:  # on torn bytes the reader can raise anything
        raise ModelError(f"{file} cannot be read: fetch it again, or remove it to begin with a new head") from e
    return weights


def _save_separately(model: torch.nn.Module) -> None:
    """Makes a model write its head into a file of its own."""
    import torch

    save = model.save_pretrained

    @wraps(save)
    def save_pretrained(
        folder: str | Path, *args: Any, state_dict: dict[str, Tensor] | None = None, **more: Any
    ) -> Any:
        weights = dict(model.state_dict() if state_dict is None else state_dict)
        own = {name: weights.pop(name) for name in list(weights) if name.startswith(f"{MODULE}.")}
        result = save(folder, *args, state_dict=weights, **more)
        with atomic_path(Path(folder) / FILE) as temporary:
            torch.save({name.removeprefix(f"{MODULE}."): weight for name, weight in own.items()}, temporary)
        return result

    model.save_pretrained = save_pretrained


@cache
def _pointer_class() -> type[torch.nn.Module]:
    import torch

    class Pointer(torch.nn.Module):
        """Compares the state after each question with that of each step in time, once for each end."""

        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.ask, self.look = (torch.nn.Linear(hidden, 2 * hidden) for _ in range(2))
            self.nowhere = torch.nn.Parameter(torch.zeros(2, hidden))

        def forward(self, asked: Tensor, seen: Tensor) -> Tensor:
            """(G, D) and (T, D) → (G, 2, T + 1) log-probabilities."""
            questions, steps = (part.unflatten(-1, (2, -1)) for part in (self.ask(asked), self.look(seen)))
            choices = torch.cat([steps, self.nowhere[None]])
            return (torch.einsum("ged,ted->get", questions, choices) / questions.shape[-1] ** 0.5).log_softmax(-1)

    return Pointer
