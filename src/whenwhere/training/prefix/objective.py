"""What all objectives that train a vision-language policy have in common (`training.objective.Objective`)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.training.data.samples import Sample, SampleSource
from whenwhere.training.data.unused import UnusedSamples
from whenwhere.training.prefix.flops import FlopCounter
from whenwhere.training.prefix.greedy import greedy_answers
from whenwhere.training.prefix.policy import Policy
from whenwhere.training.prefix.settings import PolicySettings

if TYPE_CHECKING:
    import torch


S = TypeVar("S", bound=PolicySettings)


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
        self.policy.save(folder, about)

    def answers(self, sample: Sample, max_tokens: int) -> list[ParsedAnswer]:
        """The policy's greedy answer to each question of a clip, for evaluators.

        Args:
            sample: The clip and its questions.
            max_tokens: Largest number of tokens of an answer.
        """
        return greedy_answers(self.policy, sample, max_tokens)

    def close(self) -> None:
        """Ends threads and connections; there are none here."""
