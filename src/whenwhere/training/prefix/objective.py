"""What all objectives that train a vision-language policy have in common (`training.objective.Objective`)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.training.data.reader import SampleReader
from whenwhere.training.data.samples import Question, Sample, SampleSource
from whenwhere.training.data.unused import UnusedSamples
from whenwhere.training.data.workers import no_substitute
from whenwhere.training.prefix.flops import FlopCounter
from whenwhere.training.prefix.greedy import drawn_answers, greedy_answers
from whenwhere.training.prefix.group import PrefixGroup, question_group
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.rollout import SamplingParams
from whenwhere.training.prefix.scorer import GroupScorer
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.prefix.shared_prefix import PREFIX_BACKENDS
from whenwhere.training.processes import Processes
from whenwhere.training.run_folder import RunFolder
from whenwhere.verify import Truth, Verifier, least_risk

if TYPE_CHECKING:
    import torch


S = TypeVar("S", bound=PolicySettings)
T = TypeVar("T")


class PolicyObjective(Generic[S]):
    """Base of objectives that train a policy on samples; subclasses add `step`.

    Args:
        policy: The policy to train.
        source: The samples.
        settings: The settings of the run.

    Attributes:
        policy: As given.
        source: As given.
        settings: As given.
        unused: Count of samples in a row that could not be used.

    Raises:
        SettingError: The source is empty.
    """

    def __init__(self, policy: Policy, source: SampleSource, settings: S) -> None:
        if not len(source):
            raise SettingError("there is nothing to learn from: the source is empty")
        self.policy, self.source, self.settings = policy, source, settings
        self.unused = UnusedSamples(len(source))
        self._told: set[str] = set()

    @property
    def module(self) -> torch.nn.Module:
        """The model, with PEFT's wrapper where LoRA is trained."""
        return self.policy.model

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.policy.parts.device

    @cached_property
    def flop_counter(self) -> FlopCounter:
        """Counts FLOPs; asked for after `prepare`, when it is settled which weights are trained."""
        return FlopCounter(self.policy.parts)

    def prepare(self) -> None:
        """Makes the policy ready to be trained."""
        self.policy.prepare(self.settings)

    def shard(self, processes: Processes) -> None:
        """Divides the policy's weights among the processes (`training.sharding`); called once, after `prepare`.

        Args:
            processes: The processes that train together.
        """
        self.policy.shard(processes)

    def gathered(self) -> AbstractContextManager[None]:
        """Context manager in which this process alone may compute with the policy."""
        return self.policy.gathered()

    def reader(self, finish: Callable[[Sample], T], size: Callable[[T], int]) -> SampleReader[T]:
        """What reads the samples of a run as the settings say.

        Args:
            finish: Makes of a sample what the objective needs.
            size: Bytes that a finished sample takes in memory.
        """
        features = self.policy.features
        substitute = no_substitute if features is None else features.substitute
        return SampleReader(self.source, self.settings, finish, size, substitute)

    def warn_of_caches(self, reader: SampleReader[Any], run: RunFolder) -> None:
        """Warns, once, of each cache that cannot be written.

        Args:
            reader: What reads the samples.
            run: The run.
        """
        features = self.policy.features
        for problem in (reader.problem, None if features is None else features.store.problem):
            if problem is not None and problem not in self._told:
                self._told.add(problem)
                run.warn(problem)

    def check_backend(self, scorer: GroupScorer, groups: Sequence[PrefixGroup], processes: Processes) -> None:
        """With sharded weights: compares the scorer's back end with repeating the prompt, and agrees on one.

        Args:
            scorer: The scorer.
            groups: Groups of this process; the first one is compared.
            processes: The processes that train together.
        """
        if not self.policy.sharded or scorer.checked:
            return
        with self.policy.gathered(), self.policy.autocast():
            scorer.check(groups[0] if groups else self._blank_group, gradients=False)
        # in the order of speed: all take the slowest that one of them needs
        names = list(PREFIX_BACKENDS)
        scorer.backend = max(processes.gather(scorer.backend), key=names.index)

    def make_idle_passes(self, scorer: GroupScorer, made: int, processes: Processes) -> None:
        """With sharded weights: passes without effect, until this process has made as many as every other.

        Args:
            scorer: The scorer.
            made: Number of passes of this update that this process has to make.
            processes: The processes that train together.
        """
        if not self.policy.sharded:
            return
        for _ in range(max(processes.gather(made)) - made):

            def nothing() -> torch.Tensor:
                with self.policy.autocast():
                    (scores,) = scorer.score_many([self._blank_group])
                return scores.logps.sum() * 0

            self.policy.run(nothing).backward()

    @cached_property
    def _blank_group(self) -> PrefixGroup:
        """A short black clip with a question."""
        import torch

        truth = Truth(SpanSet([(0.0, 1.0)]), duration=1.0, size=(64.0, 64.0))
        question = Question("blank", "nothing", truth)
        sample = Sample("blank", np.zeros((2, 64, 64, 3), np.uint8), np.array([0.0, 0.5]), (question,))
        prompt, suffixes = self.policy.prompts(sample, sample.questions)
        return question_group(prompt, [(suffixes[0], torch.tensor([self.policy.end_id]))])

    def state(self) -> dict[str, Any]:
        """What later updates depend on beside the weights: the count of unused samples."""
        return {"wasted": self.unused.count}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave.

        Args:
            state: As `state` gave it.
        """
        self.unused.count = state["wasted"]

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes the policy as a checkpoint that `from_pretrained` reads.

        Args:
            folder: Folder that is replaced when everything is written.
            about: Metadata of the result, such as the recipe.
        """
        self.policy.save(folder, about, merged=self.settings.lora_merge or not self.settings.lora_r)

    def answers(self, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
        """The policy's greedy answer to each question of a clip, for evaluators.

        Args:
            sample: The clip and its questions.
            max_tokens: Largest number of tokens of an answer.
        """
        return greedy_answers(self.policy, sample, max_tokens)

    def least_risk_answers(
        self, sample: Sample, max_tokens: int, draws: int, temperature: float, verifier: Verifier
    ) -> list[ParsedAnswer]:
        """Of several drawn answers to each question the one that the others would reward most, for evaluators.

        Args:
            sample: The clip and its questions.
            max_tokens: Largest number of tokens of an answer.
            draws: Number of answers to each question that are drawn.
            temperature: Sampling temperature.
            verifier: The reward.
        """
        params = SamplingParams(
            max_tokens, temperature, stop=tuple(self.policy.end_ids), seed=zlib.crc32(sample.id.encode())
        )
        drawn = drawn_answers(self.policy, sample, params, draws)
        truths = [self.policy.truth(sample, question) for question in sample.questions]
        return [rows[least_risk(rows, verifier, truth)] for rows, truth in zip(drawn, truths, strict=True)]

    def close(self) -> None:
        """Ends threads and connections; there are none here."""
