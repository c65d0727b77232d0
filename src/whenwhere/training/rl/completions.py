"""What a policy tries: the completions of one question, what they got, and what they have in common.

Questions about one clip are drawn together. Their prompts share the clip, which is computed once; each question then
goes on in as many rows as it has completions, so that small models are not kept waiting by Python, and large ones keep
one copy of a clip's keys and values.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.overlap import box_iou
from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.prefix.group import Branch, TokenSegment, pack_in_order
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, sample_together
from whenwhere.verify import ParsedPrediction, Reward, RewardContext, Truth, Verifier

#: name → (mean, weight)
Means = dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Clip:
    """A sample whose questions are drawn together.

    Attributes:
        place: of the sample in the run.
        progress: share of the run that was done when it was taken.
        chosen: which of its questions.
        sample: the clip.
        questions: those chosen.
        prompt: tokens up to where the questions part.
        rests: of each question what follows.
        vision: FLOPs that were spent on the pictures, where the prompt holds features in their place.
    """

    place: int
    progress: float
    chosen: tuple[int, ...]
    sample: Sample
    questions: tuple[Question, ...]
    prompt: TokenSegment
    rests: list[Any]
    vision: float = 0.0


@dataclass(eq=False)
class Attempt:
    """The completions of one question.

    Attributes:
        clip: that it is about.
        number: of the question among the clip's.
        ids: tokens of each completion, the end included.
        ended: of each, whether it came to its end.
        sampling_logps: of each, where another program drew it: (n,) as that gave them.
        texts: what they say.
        claims: what was read out of them.
        rewards: what they got.
        advantages: (G,), once they are known.
    """

    clip: Clip
    number: int
    ids: list[Any]
    ended: list[bool]
    sampling_logps: list[Any] | None = None
    texts: list[str] = field(default_factory=list)
    claims: list[ParsedPrediction] = field(default_factory=list)
    rewards: list[Reward] = field(default_factory=list)
    advantages: NDArray[np.float64] | None = None

    @property
    def question(self) -> Question:
        """That was asked."""
        return self.clip.questions[self.number]

    @property
    def totals(self) -> list[float]:
        """What each completion is trained on."""
        return [reward.total for reward in self.rewards]

    def branches(self) -> list[Branch]:
        """The completions as branches of the clip's prompt; only they count, not the question."""
        import torch

        rest = self.clip.rests[self.number]
        ahead = torch.zeros(len(rest), dtype=torch.bool)
        return [
            Branch(torch.cat([rest, row.cpu()]), scored=torch.cat([ahead, torch.ones(len(row), dtype=torch.bool)]))
            for row in self.ids
        ]


@dataclass(eq=False)
class Work:
    """A clip with the attempts that are learned from.

    Attributes:
        clip: that they are about.
        attempts: with advantages.
        old: (branches, W) log-probabilities when they were drawn; None = they are the ones now.
    """

    clip: Clip
    attempts: list[Attempt]
    old: Any = None

    def kept(self) -> dict[str, Any]:
        """What is needed to go on with it, as tensors, numbers, lists and dicts."""
        return {
            "place": self.clip.place, "progress": self.clip.progress, "chosen": list(self.clip.chosen),
            "old": None if self.old is None else self.old.cpu(),
            "attempts": [
                {"number": a.number, "ids": a.ids, "ended": a.ended, "sampling_logps": a.sampling_logps,
                 "advantages": [] if a.advantages is None else a.advantages.tolist()}
                for a in self.attempts
            ],
        }  # fmt: skip

    @classmethod
    def again(cls, clip: Clip, kept: dict[str, Any]) -> "Work":
        """Out of what `kept` gave, and its clip."""
        attempts = [Attempt(clip, **{**a, "advantages": np.asarray(a["advantages"])}) for a in kept["attempts"]]
        return cls(clip, attempts, kept["old"])


class Drawer(Protocol):
    """What completions are drawn by."""

    def ready(self, policy: Policy) -> None:
        """Called by the first process before each set of completions: the policy may have learned since."""
        ...

    def draw(self, policy: Policy, clips: Sequence[Clip], count: int, sampling: SamplingParams) -> list[Attempt]:
        """Completions of each question about some clips.

        Args:
            policy: that answers.
            clips: and their questions.
            count: completions of each.
            sampling: how; no two calls have the same seed.

        Returns:
            Of each clip in turn, each question's.
        """
        ...


class Own:
    """Completions by the policy itself, from one forward pass of each clip (`Drawer`).

    Args:
        pack: clips are drawn in the same steps as long as their prompts have no more tokens together.
    """

    def __init__(self, pack: int = 0) -> None:
        self._pack = pack

    def ready(self, policy: Policy) -> None:
        """It always is."""

    def draw(self, policy: Policy, clips: Sequence[Clip], count: int, sampling: SamplingParams) -> list[Attempt]:
        """Completions of each question about some clips."""
        made: list[Attempt] = []
        for k, pack in enumerate(pack_in_order(clips, [len(clip.prompt.ids) for clip in clips], self._pack)):
            how = replace(sampling, seed=sampling.seed + k)
            with policy.autocast():
                rollouts = [PrefilledPrompt(policy.parts, clip.prompt) for clip in pack]
                rows = [[Branch(rest) for rest in clip.rests for _ in range(count)] for clip in pack]
                found = sample_together(rollouts, rows, how)
            for clip, ids in zip(pack, found, strict=True):
                made += parted(clip, [row.cpu() for row in ids], sampling)
        return made


def parted(
    clip: Clip, ids: Sequence[Any], sampling: SamplingParams, logps: Sequence[Any] | None = None
) -> list[Attempt]:
    """Attempts out of completions, as many for each question.

    Args:
        clip: that they are about.
        ids: of the first question's, then of the next.
        sampling: how they were drawn.
        logps: as the program that drew them gave.
    """
    count, stop = len(ids) // len(clip.rests), set(sampling.stop)
    return [
        Attempt(
            clip, k, list(ids[k * count : (k + 1) * count]),
            [bool(len(row)) and int(row[-1]) in stop for row in ids[k * count : (k + 1) * count]],
            None if logps is None else list(logps[k * count : (k + 1) * count]),
        )
        for k in range(len(clip.rests))
    ]  # fmt: skip


def judge(policy: Policy, attempt: Attempt, verifier: Verifier, beside: RewardContext) -> None:
    """Reads the completions and scores them.

    Args:
        policy: whose tokens they are.
        attempt: is filled in.
        verifier: the reward.
        beside: what else the reward may look at.

    Raises:
        SettingError: the reward does not fit the question.
    """
    truth = policy.truth(attempt.clip.sample, attempt.question)
    attempt.texts = [policy.decode(row) for row in attempt.ids]
    # many completions of a group are the same
    seen: dict[str, tuple[ParsedPrediction, Reward]] = {}
    for text in attempt.texts:
        if text not in seen:
            claim = verifier.read(text, truth)
            seen[text] = claim, verifier.score(claim, truth, beside)
    attempt.claims = [seen[text][0] for text in attempt.texts]
    attempt.rewards = [seen[text][1] for text in attempt.texts]


def place(claim: ParsedPrediction, truth: Truth) -> float:
    """How well the answered boxes lie, whatever their time: mean IoU with the true box at the nearest true time.

    Returns:
        In 0-1; NaN where there is nothing to compare.
    """
    if claim.tube is None or truth.tube is None or not len(claim.tube) or not len(truth.tube):
        return float("nan")
    times = np.clip(claim.tube.times, truth.tube.times[0], truth.tube.times[-1])
    there = truth.tube.boxes_at(times)
    known = ~np.isnan(there[:, 0])
    return float(box_iou(claim.tube.boxes[known], there[known]).mean()) if known.any() else float("nan")


def width(claim: ParsedPrediction, truth: Truth) -> float | None:
    """Answered time over true time; None where one of them is nothing."""
    if not claim.spans or not truth.spans:
        return None
    return claim.spans.duration / truth.spans.duration


def signs(attempts: Sequence[Attempt]) -> Means:
    """What an update's completions look like, to see a reward being hacked or a policy going stale.

    Args:
        attempts: judged.

    Returns:
        name → (mean, what it is a mean over): each term over the completions that it applies to; `format`;
        `parse_rate`; `fault` (read, but void); `absent`; `truncated`; `length` in tokens; `width`, answered over true
        time; `mode`, the share of the update's commonest answer; `distinct`, different answers over completions of a
        question.
    """
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for attempt in attempts:
        truth = attempt.question.truth
        for row, ended, claim, reward in zip(attempt.ids, attempt.ended, attempt.claims, attempt.rewards, strict=True):
            for name, value in reward.terms.items():
                note(f"reward/{name}", value)
            note("format", reward.format)
            note("parse_rate", claim.answer.valid)
            note("fault", claim.answer.valid and claim.fault is not None)
            note("absent", claim.answer.status == "absent")
            note("truncated", not ended)
            note("length", len(row))
            if (share := width(claim, truth)) is not None:
                note("width", share)
        note("distinct", len(set(attempt.texts)) / len(attempt.texts))
    texts = Counter(text for attempt in attempts for text in attempt.texts)
    made = {name: (float(np.mean(values)), float(len(values))) for name, values in found.items()}
    if texts:
        made["mode"] = (max(texts.values()) / texts.total(), float(texts.total()))
    return made


def line(attempt: Attempt, k: int) -> dict[str, Any]:
    """One completion as a line of JSON."""
    reward, good = attempt.rewards[k], attempt.advantages
    return {
        "question": attempt.question.id, "sample": attempt.clip.sample.id, "text": attempt.texts[k],
        "reward": reward.reward, "total": reward.total, "format": reward.format, "terms": reward.terms,
        "advantage": None if good is None else float(good[k]), "status": reward.status, "fault": reward.fault,
        "length": len(attempt.ids[k]), "truncated": not attempt.ended[k],
    }  # fmt: skip


def joined(parts: Sequence[Means]) -> dict[str, float]:
    """Means over processes; what has no weight is added up.

    >>> joined([{"a": (1.0, 1.0), "b": (2.0, 0.0)}, {"a": (4.0, 2.0), "b": (3.0, 0.0)}])
    {'a': 3.0, 'b': 5.0}
    """
    made: dict[str, float] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        found = [part[name] for part in parts if name in part]
        weight = sum(w for _, w in found)
        made[name] = sum(v * w for v, w in found) / weight if weight else sum(v for v, _ in found)
    return made
