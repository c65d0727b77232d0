"""A head that points: where an event starts and ends among the steps in time of a clip, without a word.

The state behind the question is compared with the state of each step in time, once for the start and once for the end.
Targets are Gaussians around the true ends, so that nearly right is better than wrong, and the answer is the best pair
in order. It is cheap to read (one pass), gives a distribution over both ends, and is blind to anything but one span.

Frames stand before the question (`prefix.policy`), so their states do not depend on it: what they are compared with
does, and the video is computed once for all its questions.

In a checkpoint the head has a file of its own, so that whatever reads the folder finds the family's weights and no
others.
"""

import math
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

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
from whenwhere.training.sft.heads import trained

#: What the head is called in a model, and its file in a checkpoint.
NAME, FILE = "start_end", "start_end.pt"


class StartEnd:
    """The best pair of steps in time: where the event starts and where it ends.

    Holds one span; of several true ones it learns the first. `nowhere` stands beside the steps for what is not there.

    Args:
        soft: width of the soft targets in steps in time; 0 = the nearest step alone.
        backend: how the clip is shared.
        seed: of a fresh head's weights.
    """

    name = NAME

    def __init__(self, soft: float = 1.0, backend: PrefixBackend = "shared_prefix", seed: int = 0) -> None:
        self.soft, self.backend, self.seed = soft, backend, seed

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Gives the model the head: that of the checkpoint's folder, or a fresh one."""
        import torch

        model = checkpoint.model
        if hasattr(model, NAME):
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            pointer = _pointer()(model.config.text_config.hidden_size)
        if (file := Path(checkpoint.name) / FILE).is_file():
            pointer.load_state_dict(_read(file))
        model.add_module(NAME, pointer.to(model.device, model.dtype))
        _write_apart(model)

    def check(self, policy: Policy) -> None:
        """The model has the head, and it is trained."""
        trained(_own(policy).ask.weight, "the start/end head")

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean over questions and ends of the cross-entropy to Gaussians around the true ends.

        Raises:
            SettingError: a question that does not ask when.
        """
        import torch

        edges = self._edges(policy, sample)
        targets = [self._target(question.truth.spans, edges, question.id) for question in sample.questions]
        wanted = torch.as_tensor(np.array(targets), dtype=torch.float32, device=policy.parts.device)
        return -(wanted * self.distributions(policy, sample)).sum(-1).mean()

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The likeliest start with an end behind it, or absence (`best_pair`)."""
        import torch

        with torch.no_grad():
            found = self.distributions(policy, sample).cpu().double().numpy()
        edges = self._edges(policy, sample)
        return [best_pair(starts, ends, edges) for starts, ends in found]

    def distributions(self, policy: Policy, sample: Sample) -> Any:
        """(questions, 2, steps + 1) log-probabilities of each start and each end; the last stands for absence.

        Args:
            policy: made of the prepared checkpoint.
            sample: a clip and its questions.
        """
        import torch

        parts = policy.parts
        prompt, rests = policy.prompts(sample, sample.questions)
        end = torch.tensor([policy.end_id])
        group = completion_group(prompt, [torch.cat([rest, end]) for rest in rests])
        with policy.autocast():
            ahead, behind = states(parts, group, self.backend)
        # the state that would predict the first token of an answer
        asked = behind[torch.arange(len(rests)), torch.tensor([len(rest) for rest in rests])]
        return _own(policy)(asked.float(), steps_of(parts, prompt, ahead).float())

    def _edges(self, policy: Policy, sample: Sample) -> Any:
        """(steps + 1,) seconds: where each step in time begins, and the video's end."""
        prompt, _ = policy.prompts(sample, sample.questions)
        count = len(_sizes(policy.parts, prompt))
        starts = sample.times[:: math.ceil(len(sample.times) / count)]
        if len(starts) != count:
            raise ModelError(f"{count} steps in time cannot be told from {len(sample.times)} frames of {sample.id}")
        return np.array([*starts, policy.truth(sample, sample.questions[0]).duration])

    def _target(self, spans: SpanSet | None, edges: Any, name: str) -> Any:
        """(2, steps + 1) shares that sum to one in each row."""
        if spans is None:
            raise SettingError(f"the question {name} does not ask when: a start/end head has nothing to learn from it")
        count = len(edges) - 1
        wanted = np.zeros((2, count + 1))
        if not spans:
            wanted[:, count] = 1
            return wanted
        width = self.soft * float(np.median(np.diff(edges)))
        for row, places, at in zip(wanted, (edges[:-1], edges[1:]), (spans[0].start, spans[0].end), strict=True):
            off = np.abs(places - at)
            row[:count] = (
                np.exp(-((off - off.min()) * (off + off.min())) / (2 * width**2)) if width else off == off.min()
            )
            row /= row.sum()
        return wanted


def best_pair(starts: Any, ends: Any, edges: Any) -> ParsedAnswer:
    """The likeliest span with its start before its end, or absence where that is likelier than all of them together.

    Args:
        starts: (steps + 1,) log-probabilities that it starts with each step; the last: that it is nowhere.
        ends: the same, that it ends with each step.
        edges: (steps + 1,) seconds at which steps begin, and the video's end.

    The likeliest end of all stands before the likeliest start; together another pair is best:

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
    # one place against all pairs together: a span that may lie here or there is there all the same
    if starts[count] + ends[count] > np.logaddexp.reduce(pairs.ravel()):
        return ParsedAnswer("absent")
    return ParsedAnswer("ok", ((float(edges[first]), float(edges[last + 1])),))


def states(parts: VLMParts, group: PrefixGroup, backend: PrefixBackend) -> tuple[Any, Any]:
    """(P, D) states of the prompt's own tokens, and (G, W, D) states that predict the branches' tokens.

    Args:
        parts: of the model.
        group: prompt and branches.
        backend: how they are computed.

    Raises:
        ModelError: the back end would be wrong for the model.
    """
    if reason := refusal(parts, backend):
        raise ModelError(reason)
    seen: list[Any] = []
    # every back end computes the prompt first, in the first row
    hook = parts.text_model.register_forward_hook(lambda *call: seen.append(call[-1].last_hidden_state))
    try:
        behind = PREFIX_BACKENDS[backend](parts, group)
    finally:
        hook.remove()
    return seen[0][0, : len(group.prompt.ids)], behind


def _sizes(parts: VLMParts, prompt: TokenSegment) -> list[int]:
    """Tokens of each step in time."""
    merged = parts.config.vision_config.spatial_merge_size**2
    grids = [grid for part in (prompt.images, prompt.videos) if part is not None for grid in np.asarray(part.grids)]
    return [int(rows * columns) // merged for frames, rows, columns in grids for _ in range(int(frames))]


def steps_of(parts: VLMParts, prompt: TokenSegment, hidden: Any) -> Any:
    """(steps, D) the mean state of each step in time.

    Args:
        parts: of the model.
        prompt: with a clip in it.
        hidden: (P, D) states of its tokens.
    """
    import torch

    ids = torch.as_tensor(prompt.ids, device=hidden.device)
    return torch.stack([part.mean(0) for part in hidden[parts.token_kinds(ids) != 0].split(_sizes(parts, prompt))])


def _own(policy: Policy) -> Any:
    """The policy's start/end head."""
    if not hasattr(policy.parts.model, NAME):
        raise ModelError("the model has no start/end head: prepare the checkpoint before a policy is made of it")
    return getattr(policy.parts.model, NAME)


def _read(file: Path) -> dict[str, Any]:
    """Weights of the head in a checkpoint's folder.

    Raises:
        ModelError: they cannot be read.
    """
    import torch

    try:
        weights: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as e:  # torn bytes make the reader fail in any way
        raise ModelError(f"{file} cannot be read: fetch it again, or take it away to begin with a fresh head") from e
    return weights


def _write_apart(model: Any) -> None:
    """Lets a model write its head into a file of its own."""
    import torch

    save = model.save_pretrained

    @wraps(save)
    def apart(folder: Any, *args: Any, state_dict: Any = None, **more: Any) -> Any:
        weights = dict(model.state_dict() if state_dict is None else state_dict)
        own = {name: weights.pop(name) for name in list(weights) if name.startswith(f"{NAME}.")}
        made = save(folder, *args, state_dict=weights, **more)
        with atomic_path(Path(folder) / FILE) as temporary:
            torch.save({name.removeprefix(f"{NAME}."): weight for name, weight in own.items()}, temporary)
        return made

    model.save_pretrained = apart


@cache
def _pointer() -> Any:
    import torch

    class Pointer(torch.nn.Module):
        """Compares the state behind each question with that of each step in time, once for each end."""

        def __init__(self, hidden: int) -> None:
            super().__init__()
            self.ask, self.look = (torch.nn.Linear(hidden, 2 * hidden) for _ in range(2))
            self.nowhere = torch.nn.Parameter(torch.zeros(2, hidden))

        def forward(self, asked: Any, seen: Any) -> Any:
            """(G, D) and (T, D) → (G, 2, T + 1) log-probabilities."""
            questions, steps = (part.unflatten(-1, (2, -1)) for part in (self.ask(asked), self.look(seen)))
            places = torch.cat([steps, self.nowhere[None]])
            return (torch.einsum("ged,ted->get", questions, places) / questions.shape[-1] ** 0.5).log_softmax(-1)

    return Pointer
