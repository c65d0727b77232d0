"""Settings of supervised fine-tuning."""

from dataclasses import dataclass

from whenwhere.training.prefix.settings import PolicySettings


@dataclass(frozen=True, slots=True)
class SFTSettings(PolicySettings):
    """Settings of supervised fine-tuning.

    Attributes:
        samples_per_step: Clips per update and process, each with all its sentences.
        soft_targets: Standard deviation, in tokens, of the Gaussian soft target for coordinate tokens. 0 means that
            only the right token is the target.
        soft_times: Standard deviation, in tokens, of the Gaussian soft target for time tokens.
        span_weight: Loss weight of a token of the answered spans, where a token of the boxes has weight 1. An answer
            has many more box tokens, which would dominate the loss.
    """

    samples_per_step: int = 8
    soft_targets: float = 0.0
    soft_times: float = 0.0
    span_weight: float = 1.0

    def __post_init__(self) -> None:
        PolicySettings.__post_init__(self)  # a dataclass with slots has no `super()`
        self._at_least(1, "samples_per_step")
