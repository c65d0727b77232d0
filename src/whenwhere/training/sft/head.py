"""The interface of output heads: how a policy says when.

What a head adds is part of the model: it is trained and kept in states like any weight, and written with the
checkpoint. LoRA would freeze what is added, which is refused.
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

    A head extends the checkpoint by what the form needs, gives the loss to train on, and reads the trained policy's
    answers.

    Attributes:
        name: Its key in `sft.heads.HEADS`.
    """

    name: str

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Adds to a checkpoint what the head needs and it lacks; called before a policy is made of it.

        Args:
            checkpoint: The checkpoint, whose tokenizer or model grows.
        """
        ...

    def check(self, policy: Policy) -> None:
        """Finds out whether a policy that is ready to be trained can learn with this head.

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
        """The policy's answer to each question of a clip; the truth is not looked at.

        Args:
            policy: A policy of a checkpoint that the head has prepared.
            sample: A clip and its questions.
        """
        ...


def require_trained(weight: Tensor, what: str) -> None:
    """Refuses a weight that is frozen.

    Args:
        weight: A weight of a head.
        what: What the weight is, as the subject of a sentence.

    Raises:
        ModelError: The weight is frozen.
    """
    if not weight.requires_grad:
        raise ModelError(f"{what} would not be trained: they are frozen, as LoRA freezes them; set lora_r = 0")
