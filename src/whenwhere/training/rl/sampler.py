"""The interface of samplers, and a sampler that uses the policy itself. `rl.server` has one that uses a server."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from whenwhere.training.prefix.group import Branch, pack_in_order
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import PrefilledPrompt, SamplingParams, sample_together
from whenwhere.training.rl.completions import CompletionGroup, PromptedClip, split_completions


class Sampler(Protocol):
    """Interface of an object that samples completions for RL."""

    def prepare(self, policy: Policy) -> None:
        """Called before each set of completions, because the policy may have changed.

        The first process calls it; all do where the policy's weights are sharded, since saving needs all of them.

        Args:
            policy: The policy that answers.
        """
        ...

    def sample(
        self, policy: Policy, clips: Sequence[PromptedClip], count: int, params: SamplingParams
    ) -> list[CompletionGroup]:
        """Completions of each question about some clips.

        Args:
            policy: The policy that answers.
            clips: The clips with their questions.
            count: Number of completions of each question.
            params: How tokens are sampled; no two calls have the same seed.

        Returns:
            The group of each question, clip by clip.
        """
        ...


class LocalSampler:
    """Samples with the policy itself, from one forward pass of each clip (`Sampler`).

    Args:
        pack: The largest number of prompt tokens of clips that are sampled in the same steps. 0 samples clip by clip.
    """

    def __init__(self, pack: int = 0) -> None:
        self._pack = pack

    def prepare(self, policy: Policy) -> None:
        """Does nothing: the policy's own weights are always current."""

    def sample(
        self, policy: Policy, clips: Sequence[PromptedClip], count: int, params: SamplingParams
    ) -> list[CompletionGroup]:
        """Completions of each question about some clips; see `Sampler.sample`."""
        groups: list[CompletionGroup] = []
        for k, pack in enumerate(pack_in_order(clips, [len(clip.prompt.ids) for clip in clips], self._pack)):
            seeded = replace(params, seed=params.seed + k)
            with policy.autocast():
                prompts = [PrefilledPrompt(policy.parts, clip.prompt) for clip in pack]
                rows = [[Branch(suffix) for suffix in clip.suffixes for _ in range(count)] for clip in pack]
                found = sample_together(prompts, rows, seeded)
            for clip, ids in zip(pack, found, strict=True):
                groups += split_completions(clip, [row.cpu() for row in ids], params)
        return groups
