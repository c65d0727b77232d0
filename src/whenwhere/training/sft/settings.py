"""Settings of supervised fine-tuning."""

from dataclasses import dataclass

from whenwhere.training.prefix.settings import PolicySettings


@dataclass(frozen=True, slots=True)
class SFTSettings(PolicySettings):
    """Settings of supervised fine-tuning.

    Attributes:
        samples_per_step: Clips per update and process, each with all its sentences.
        soft_targets: Width in steps of the Gaussian that stands for a coordinate's token. 0 is the token alone.
        soft_times: The same for a time's token.
        span_weight: Weight of a token of an answer's spans relative to one of its boxes. Boxes are many and their
            tokens are learned first; without a weight they leave little for when.
    """

    samples_per_step: int = 8
    soft_targets: float = 0.0
    soft_times: float = 0.0
    span_weight: float = 1.0

    def __post_init__(self) -> None:
        PolicySettings.__post_init__(self)  # a dataclass with slots has no `super()`
        self._at_least(1, "samples_per_step")
