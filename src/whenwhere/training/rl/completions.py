"""The completions of a question: their tokens, what was read out of them, their rewards and advantages.

Questions about one clip are sampled together. Their prompts share the clip, which is computed once; each question then
continues in as many rows as it has completions. So small models do not wait for Python, and large models keep one copy
of a clip's keys and values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from whenwhere.training.data.samples import Question, Sample
from whenwhere.training.prefix.group import Branch, TokenSegment
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.rl.segments import box_tokens
from whenwhere.verify import ParsedPrediction, Reward, RewardContext, Verifier

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class PromptedClip:
    """A sample whose questions are sampled together.

    Attributes:
        position: Index of the sample in the run's order, starting at 0.
        progress: Share of the run's updates that were done when it was read, in [0, 1).
        question_indices: Which of the sample's questions are asked.
        sample: The sample.
        questions: The questions that are asked.
        prompt: Tokens up to where the questions diverge, with the clip.
        suffixes: For each question, the remaining token ids, int64, shape (n,).
        vision_flops: FLOPs that were spent on the pictures, where the prompt holds features in their place.
    """

    position: int
    progress: float
    question_indices: tuple[int, ...]
    sample: Sample
    questions: tuple[Question, ...]
    prompt: TokenSegment
    suffixes: list[Tensor]
    vision_flops: float = 0.0


@dataclass(eq=False)
class CompletionGroup:
    """The G completions of one question.

    Attributes:
        clip: The clip that the question is about.
        question_index: Index of the question in the clip's `questions`.
        ids: Token ids of each completion, with the token that ends it, int64, shape (n,).
        ended: For each completion, whether it came to its end.
        sampling_logps: Log-probability of each token as another program reported it when it sampled the completion, one
            tensor of shape (n,) for each completion. None where the policy sampled them itself.
        texts: The text of each completion.
        predictions: What was read out of each completion.
        rewards: The reward of each completion.
        advantages: The advantage of each completion, shape (G,). None until it is known.
        box_advantages: The advantage of each completion's box tokens, shape (G,), where it differs from that of the
            others. None where all tokens have the same.
    """

    clip: PromptedClip
    question_index: int
    ids: list[Tensor]
    ended: list[bool]
    sampling_logps: list[Tensor] | None = None
    texts: list[str] = field(default_factory=list)
    predictions: list[ParsedPrediction] = field(default_factory=list)
    rewards: list[Reward] = field(default_factory=list)
    advantages: NDArray[np.float64] | None = None
    box_advantages: NDArray[np.float64] | None = None

    @property
    def question(self) -> Question:
        """The question that these completions answer."""
        return self.clip.questions[self.question_index]

    @property
    def totals(self) -> list[float]:
        """The reward of each completion with its format term: what the policy is trained on."""
        return [reward.total for reward in self.rewards]

    def chosen(self, rows: Sequence[int]) -> CompletionGroup:
        """A group of some of these completions, to be learned from; without texts and rewards.

        Args:
            rows: Indices of the completions.
        """
        logps = None if self.sampling_logps is None else [self.sampling_logps[k] for k in rows]
        ids, ended = [self.ids[k] for k in rows], [self.ended[k] for k in rows]
        return CompletionGroup(self.clip, self.question_index, ids, ended, logps, advantages=np.ones(len(rows)))

    def token_advantages(self, policy: Policy) -> list[NDArray[np.float64]]:
        """The advantage of each token of each completion, shape (n,).

        Args:
            policy: The policy whose tokens they are.
        """
        assert self.advantages is not None
        found = []
        for k, row in enumerate(self.ids):
            each = np.full(len(row), self.advantages[k])
            if self.box_advantages is not None:
                boxes = box_tokens(policy.form, [policy.decode([token]) for token in row])
                each[boxes] = self.box_advantages[k]
            found.append(each)
        return found

    def branches(self) -> list[Branch]:
        """The completions as branches of the clip's prompt; their tokens count, those of the question do not."""
        import torch

        suffix = self.clip.suffixes[self.question_index]
        unscored = torch.zeros(len(suffix), dtype=torch.bool)
        return [
            Branch(torch.cat([suffix, row.cpu()]), scored=torch.cat([unscored, torch.ones(len(row), dtype=torch.bool)]))
            for row in self.ids
        ]


class GroupState(TypedDict):
    """A completion group in the state of a run; fields as in `CompletionGroup`."""

    number: int
    ids: list[Tensor]
    ended: list[bool]
    sampling_logps: list[Tensor] | None
    advantages: list[float]
    box_advantages: list[float] | None


class BatchState(TypedDict):
    """An update batch in the state of a run, under names that earlier versions wrote.

    Attributes:
        place: Position of the clip's sample in the run's order.
        progress: Share of the run's updates that were done when the clip was read.
        chosen: Which of the sample's questions are asked.
        old: Log-probabilities under the sampling policy, shape (branches, W).
        attempts: The completion groups.
    """

    place: int
    progress: float
    chosen: list[int]
    old: Tensor | None
    attempts: list[GroupState]


@dataclass(eq=False)
class UpdateBatch:
    """One clip's part of an update: the completion groups that are learned from.

    Attributes:
        clip: The clip.
        groups: Groups with advantages.
        old_logps: Log-probabilities under the sampling policy, float32, shape (branches, W). None means that the policy
            has not changed since.
    """

    clip: PromptedClip
    groups: list[CompletionGroup]
    old_logps: Tensor | None = None

    def branches(self) -> list[Branch]:
        """The completions of all groups as branches of the clip's prompt."""
        return [branch for group in self.groups for branch in group.branches()]

    def state(self) -> BatchState:
        """What a resumed run needs to use the batch again: tensors, numbers, lists and dicts."""
        return {
            "place": self.clip.position, "progress": self.clip.progress, "chosen": list(self.clip.question_indices),
            "old": None if self.old_logps is None else self.old_logps.cpu(),
            "attempts": [
                {"number": g.question_index, "ids": g.ids, "ended": g.ended, "sampling_logps": g.sampling_logps,
                 "advantages": [] if g.advantages is None else g.advantages.tolist(),
                 "box_advantages": None if g.box_advantages is None else g.box_advantages.tolist()}
                for g in self.groups
            ],
        }  # fmt: skip

    @classmethod
    def restored(cls, clip: PromptedClip, state: BatchState) -> UpdateBatch:
        """A batch from its state.

        Args:
            clip: The clip, read and tokenised again.
            state: As `state` gave it.
        """
        groups = [
            CompletionGroup(
                clip,
                g["number"],
                g["ids"],
                g["ended"],
                g["sampling_logps"],
                advantages=np.asarray(g["advantages"]),
                # states of earlier versions lack it
                box_advantages=None if g.get("box_advantages") is None else np.asarray(g["box_advantages"]),
            )
            for g in state["attempts"]
        ]
        return cls(clip, groups, state["old"])


def split_completions(
    clip: PromptedClip, ids: Sequence[Tensor], params: SamplingParams, logps: Sequence[Tensor] | None = None
) -> list[CompletionGroup]:
    """Groups the completions of a clip by their question; every question has the same number of them.

    Args:
        clip: The clip.
        ids: Token ids of the first question's completions, then of the second's, and so on; int64, shape (n,).
        params: How they were sampled; a completion has ended if its last token is one of `stop`.
        logps: For each completion, its log-probabilities as the program that sampled them reported them.
    """
    count, stop = len(ids) // len(clip.suffixes), set(params.stop)
    groups = []
    for k in range(len(clip.suffixes)):
        own = slice(k * count, (k + 1) * count)
        ended = [bool(len(row)) and int(row[-1]) in stop for row in ids[own]]
        groups.append(CompletionGroup(clip, k, list(ids[own]), ended, None if logps is None else list(logps[own])))
    return groups


def score_completions(policy: Policy, group: CompletionGroup, verifier: Verifier, context: RewardContext) -> None:
    """Fills in the texts, predictions and rewards of a group.

    Args:
        policy: The policy whose tokens they are.
        group: The group, changed in place.
        verifier: The reward.
        context: What else the reward may look at.

    Raises:
        SettingError: No term of the reward applies to the question.
    """
    truth = policy.truth(group.clip.sample, group.question)
    group.texts = [policy.decode(row) for row in group.ids]
    # many completions of a group are equal
    scored: dict[str, tuple[ParsedPrediction, Reward]] = {}
    for text in group.texts:
        if text not in scored:
            prediction = verifier.read(text, truth)
            scored[text] = prediction, verifier.score(prediction, truth, context)
    group.predictions = [scored[text][0] for text in group.texts]
    group.rewards = [scored[text][1] for text in group.texts]
