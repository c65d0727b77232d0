"""The interface of output heads, which define how a policy expresses the time of an event.

Weights that a head adds are part of the model: they are trained, saved with a run's state and written with the
checkpoint. LoRA would freeze them, so a recipe with both is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import ModelError
from whenwhere.models.vlm import Checkpoint
from whenwhere.training.data.samples import Sample
from whenwhere.training.prefix.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor


class OutputHead(Protocol):
    """The form in which a policy under supervised fine-tuning answers: words, time tokens, or a distribution over time.

    A head adds the tokens or weights it needs to the checkpoint, computes the training loss, and decodes the trained
    policy's answers.

    Attributes:
        name: The head's key in `sft.heads.HEADS`.
    """

    name: str

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds the tokens or weights that the head needs to a checkpoint, before a policy is made of it.

        Args:
            checkpoint: The checkpoint, whose tokenizer or model grows.
        """
        ...

    def check(self, policy: Policy) -> None:
        """Checks that a policy that is ready to be trained can learn with this head.

        Args:
            policy: A policy of a checkpoint that the head has prepared.

        Raises:
            ModelError: What the head added is missing or frozen.
            SettingError: The policy answers in a form that the head cannot use.
        """
        ...

    def loss(self, policy: Policy, sample: Sample) -> Tensor:
        """The mean loss over the questions of a clip, a differentiable scalar.

        Args:
            policy: A policy of a checkpoint that the head has prepared.
            sample: A clip and its questions with their truth.
        """
        ...

    def decode(self, policy: Policy, sample: Sample) -> list[ParsedAnswer]:
        """The policy's answer to each question of a clip; the ground truth is not used.

        Args:
            policy: A policy of a checkpoint that the head has prepared.
            sample: A clip and its questions.
        """
        ...


def require_trained(weight: Tensor, what: str) -> None:
    """Raises an error if a weight of a head is frozen.

    Args:
        weight: A weight of a head.
        what: What the weight is, as the subject of a sentence.

    Raises:
        ModelError: The weight is frozen.
    """
    if not weight.requires_grad:
        raise ModelError(f"{what} would not be trained: they are frozen, as LoRA freezes them; set lora_r = 0")
