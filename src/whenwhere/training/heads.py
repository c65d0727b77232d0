"""How a policy says when: as text, with tokens for times, or by pointing at frames. One interface, three heads.

- `Text`: the words of an answer form, learned token by token. Needs nothing added.
- `TimeTokens`: the form `tokens` for a checkpoint of any family: each time and each coordinate is one token, added to
  its tokenizer. A new token starts as the mean of the pieces that its number was written in before, and its targets are
  Gaussians along the line of times or coordinates: nearly right is better than wrong.
- `StartEnd`: no text at all. The state behind the question is compared with the state of each step in time, once for
  the start and once for the end; targets are Gaussians again, and the answer is the best pair in order. Cheap to read
  (one pass), with a distribution over both ends, and blind to anything but one span.

Frames stand before the question (`training.policy`), so their states do not depend on it: what they are compared with
does, and the video is computed once for all its questions.

What a head adds is part of the model: it is trained, kept in states and written with the checkpoint like any weight.
LoRA would freeze it, which is refused.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from whenwhere.answers import Answer
from whenwhere.errors import ModelError, SettingError
from whenwhere.models.vlm import Checkpoint
from whenwhere.spans import SpanSet
from whenwhere.training.example import Sample
from whenwhere.training.group import Branch, Group, Tokens, completions, sentences
from whenwhere.training.logprobs import gaussian
from whenwhere.training.policy import Policy
from whenwhere.training.rollout import Rollout, Sampling
from whenwhere.training.shared_prefix import BACKENDS, Backend, Scorer, refusal
from whenwhere.training.tower import Tower

#: What the start/end head is called in a model, and its weights in a checkpoint.
NAME = "start_end"


class Head(Protocol):
    """A way of answering.

    Attributes:
        name: `text`, `time_tokens` or `start_end`.
    """

    name: str

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds to a checkpoint what the head needs and it does not have; before a policy is made of it.

        Args:
            checkpoint: whose tokenizer or model grows.
        """
        ...

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean loss over the questions of a clip, to be differentiated.

        Args:
            policy: made of the prepared checkpoint.
            sample: a clip and its questions with their truth.
        """
        ...

    def decode(self, policy: Policy, sample: Sample) -> list[Answer]:
        """The policy's answer to each question of a clip, without a look at what is true.

        Args:
            policy: made of the prepared checkpoint.
            sample: a clip and its questions.
        """
        ...


class Text:
    """Answers in the policy's form, token by token.

    Args:
        max_tokens: most tokens of an answer.
        backend: how the clip is shared; None = what suits the model.
    """

    name = "text"
    #: Width of soft targets in steps; 0 = none.
    soft = 0.0

    def __init__(self, max_tokens: int = 256, backend: Backend | None = None) -> None:
        self.max_tokens, self.backend = max_tokens, backend
        self._scorer: Scorer | None = None

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Nothing is needed."""

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean over the answers' tokens of minus log-probability, or of the distance to soft targets."""
        if self._scorer is None or self._scorer.tower.core is not policy.tower.core:
            self._scorer = Scorer(policy.model, self.backend, policy.tower.rule)
        prompt, rests = policy.prompts(sample, sample.questions)
        answers = [policy.target(sample, question) for question in sample.questions]
        scales = [gaussian(ids, self.soft, policy.tower.device) for ids in policy.scales] if self.soft else []
        found = self._scorer.many([sentences(prompt, list(zip(rests, answers, strict=True)))], scales)[0]
        return (-found.logps if found.losses is None else found.losses).sum() / found.mask.sum()

    def decode(self, policy: Policy, sample: Sample) -> list[Answer]:
        """The likeliest tokens, read strictly."""
        prompt, rests = policy.prompts(sample, sample.questions)
        how = Sampling(self.max_tokens, temperature=0, stop=tuple(policy.ends))
        said = Rollout(policy.tower, prompt).go_on([Branch(rest) for rest in rests], how)
        return [policy.form.parse(policy.text(ids)) for ids in said]


class TimeTokens(Text):
    """Answers of the form `tokens`, for a checkpoint of any family.

    Args:
        seconds: latest time that has a token.
        soft: width of the soft targets in steps; 0 = the token alone.
        max_tokens: most tokens of an answer.
        backend: how the clip is shared; None = what suits the model.
    """

    name = "time_tokens"

    def __init__(
        self, seconds: float = 300.0, soft: float = 1.0, max_tokens: int = 256, backend: Backend | None = None
    ) -> None:
        super().__init__(max_tokens, backend)
        self.seconds, self.soft = seconds, soft

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds tokens for times, coordinates and absence to the tokenizer, and rows to the embeddings.

        A checkpoint that has them already is left as it is.
        """
        add_tokens(checkpoint, time_tokens(self.seconds))

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """As `Text`.

        Raises:
            ModelError: new tokens are frozen.
            SettingError: the policy's form is another.
        """
        if policy.form.name != "tokens":
            raise SettingError(f"time tokens are for answers in the form 'tokens', not {policy.form.name!r}")
        _trained(policy.tower.text.embed_tokens.weight, "the embeddings of new tokens")
        return super().loss(policy, sample)


class StartEnd:
    """The best pair of steps in time: where the event starts and where it ends.

    Holds one span; of several true ones it learns the first. `nowhere` stands beside the steps for what is not there.

    Args:
        soft: width of the soft targets in steps in time; 0 = the nearest step alone.
        backend: how the clip is shared.
    """

    name = NAME

    def __init__(self, soft: float = 1.0, backend: Backend = "shared_prefix") -> None:
        self.soft, self.backend = soft, backend

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Gives the model the head: that of the checkpoint's folder, or a fresh one."""
        model = checkpoint.model
        if hasattr(model, NAME):
            return
        pointer = _pointer()(model.config.text_config.hidden_size)
        if kept := _kept(Path(checkpoint.name)):
            pointer.load_state_dict(kept)
        model.add_module(NAME, pointer.to(model.device, model.dtype))

    def loss(self, policy: Policy, sample: Sample) -> Any:
        """The mean over questions and ends of the cross-entropy to Gaussians around the true ends.

        Raises:
            ModelError: the head is frozen, or the model has none.
            SettingError: a question that does not ask when.
        """
        import torch

        _trained(_own(policy).ask.weight, "the start/end head")
        edges = self._edges(policy, sample)
        targets = [self._target(question.truth.spans, edges, question.id) for question in sample.questions]
        wanted = torch.as_tensor(np.array(targets), dtype=torch.float32, device=policy.tower.device)
        return -(wanted * self.distributions(policy, sample)).sum(-1).mean()

    def decode(self, policy: Policy, sample: Sample) -> list[Answer]:
        """The likeliest start and end behind it, or absence where that is likelier."""
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

        tower = policy.tower
        prompt, rests = policy.prompts(sample, sample.questions)
        end = torch.tensor([policy.end])
        group = completions(prompt, [torch.cat([rest, end]) for rest in rests])
        with policy.computing():
            ahead, behind = states(tower, group, self.backend)
        # the state that would predict the first token of an answer
        asked = behind[torch.arange(len(rests)), torch.tensor([len(rest) for rest in rests])]
        return _own(policy)(asked.float(), steps_of(tower, prompt, ahead).float())

    def _edges(self, policy: Policy, sample: Sample) -> Any:
        """(steps + 1,) seconds: where each step in time begins, and the video's end."""
        prompt, _ = policy.prompts(sample, sample.questions)
        count = len(_sizes(policy.tower, prompt))
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


def best_pair(starts: Any, ends: Any, edges: Any) -> Answer:
    """The likeliest span with its start before its end, or absence.

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
    if starts[count] + ends[count] > pairs[first, last]:
        return Answer("absent")
    return Answer("ok", ((float(edges[first]), float(edges[last + 1])),))


def states(tower: Tower, group: Group, backend: Backend) -> tuple[Any, Any]:
    """(P, D) states of the prompt's own tokens, and (G, W, D) states that predict the branches' tokens.

    Args:
        tower: of the model.
        group: prompt and branches.
        backend: how they are computed.

    Raises:
        ModelError: the back end would be wrong for the model.
    """
    if reason := refusal(tower, backend):
        raise ModelError(reason)
    seen: list[Any] = []
    # every back end computes the prompt first, in the first row
    hook = tower.text.register_forward_hook(lambda *call: seen.append(call[-1].last_hidden_state))
    try:
        behind = BACKENDS[backend](tower, group)
    finally:
        hook.remove()
    return seen[0][0, : len(group.prompt.ids)], behind


def _sizes(tower: Tower, prompt: Tokens) -> list[int]:
    """Tokens of each step in time."""
    merged = tower.config.vision_config.spatial_merge_size**2
    grids = [grid for part in (prompt.images, prompt.videos) if part is not None for grid in np.asarray(part.grids)]
    return [int(rows * columns) // merged for frames, rows, columns in grids for _ in range(int(frames))]


def steps_of(tower: Tower, prompt: Tokens, hidden: Any) -> Any:
    """(steps, D) the mean state of each step in time.

    Args:
        tower: of the model.
        prompt: with a clip in it.
        hidden: (P, D) states of its tokens.
    """
    import torch

    ids = torch.as_tensor(prompt.ids, device=hidden.device)
    return torch.stack([part.mean(0) for part in hidden[tower.kinds(ids) != 0].split(_sizes(tower, prompt))])


def time_tokens(seconds: float) -> list[str]:
    """What answers of the form `tokens` are made of, up to a time.

    >>> [t for t in time_tokens(1.0) if t.endswith("s>")]
    ['<0.0s>', '<0.5s>', '<1.0s>']
    """
    if not 0 < seconds < 1e5:
        raise SettingError(f"time tokens reach to a time above 0 s, not to {seconds:g}")
    times = [f"<{k / 2:.1f}s>" for k in range(math.ceil(seconds * 2) + 1)]
    return [*times, *(f"<{k}>" for k in range(0, 1001, 10)), "<none>"]


def add_tokens(checkpoint: Checkpoint, tokens: Sequence[str]) -> int:
    """Adds tokens to a checkpoint's tokenizer and rows to its embeddings, and to its head where that is another matrix.

    A new row is the mean of those of the pieces in which the token's inside was written before: a time starts near the
    digits that it is made of. Families keep more rows than they have tokens; those are used first.

    Args:
        checkpoint: whose tokenizer and model grow.
        tokens: of the form `tokens`; those that are known already stay as they are.

    Returns:
        How many were new.
    """
    import torch
    from tokenizers import AddedToken

    tokenizer, model = checkpoint.tokenizer, checkpoint.model
    known = tokenizer.get_vocab()
    new = [token for token in tokens if token not in known]
    pieces = [tokenizer(token.strip("<>"), add_special_tokens=False)["input_ids"] for token in new]
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in new])
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    places = tokenizer.convert_tokens_to_ids(new)
    matrices = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
    with torch.no_grad():
        for weight in matrices.values():
            for place, made_of in zip(places, pieces, strict=True):
                weight[place] = weight[made_of].float().mean(0).to(weight.dtype)
    return len(new)


def _trained(weight: Any, what: str) -> None:
    if not weight.requires_grad:
        raise ModelError(f"{what} would not be trained: it is frozen, as LoRA freezes it; set lora_r = 0")


def _own(policy: Policy) -> Any:
    """The policy's start/end head."""
    if not hasattr(policy.tower.core, NAME):
        raise ModelError("the model has no start/end head: prepare the checkpoint before a policy is made of it")
    return getattr(policy.tower.core, NAME)


def _kept(folder: Path) -> dict[str, Any]:
    """Weights of the head in a checkpoint's folder; empty where there are none."""
    from safetensors import safe_open

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else []:
        with safe_open(path, "pt") as file:
            names = [name for name in list(file.keys()) if name.startswith(f"{NAME}.")]
            found |= {name.removeprefix(f"{NAME}."): file.get_tensor(name) for name in names}
    return found


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
