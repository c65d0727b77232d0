"""Settings shared by all stages that train a vision-language policy."""

from dataclasses import dataclass, field
from typing import ClassVar

from whenwhere.errors import SettingError
from whenwhere.training.budget import parse_size
from whenwhere.training.prefix.shared_prefix import PrefixBackend
from whenwhere.training.settings import ADDED, TrainingSettings


@dataclass(frozen=True, slots=True)
class PolicySettings(TrainingSettings):
    """Settings of a run that trains a vision-language policy.

    Attributes:
        backend: How log-probabilities are computed (`prefix.shared_prefix`).
        pack_tokens: Largest number of tokens of clips that are packed into one row. The clips of an update are packed
            by their length into as few rows as possible.
        max_prompt_length: Largest number of tokens of a prompt; a sample with a longer one is skipped and reported.
        freeze_vision_tower: Whether the vision tower is frozen; it then runs once per sample, without gradient.
        feature_cache: Largest size of the vision tower's output that is kept on disk, such as 100 GB, so that an epoch
            after the first neither runs the tower nor decodes. Only with `freeze_vision_tower`. Empty keeps none.
        lora_r: Rank of LoRA's matrices, which are trained instead of the text tower's weights. 0 trains the weights.
            The vision tower is trained as a whole unless `freeze_vision_tower` is set.
        lora_alpha: Numerator of LoRA's scale, lora_alpha / lora_r.
        lora_dropout: Dropout of the inputs of LoRA's matrices.
        lora_merge: Whether models are written with LoRA's matrices added to the weights, and the adapter beside them.
            False writes the adapter alone, which is small and needs its base checkpoint wherever it is loaded.
        lora_target_modules: Layers that get LoRA's matrices, by the end of their names.
    """

    backend: PrefixBackend = "shared_prefix"
    pack_tokens: int = 4096
    max_prompt_length: int = 16_384
    freeze_vision_tower: bool = False
    lora_r: int = 0
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    lora_merge: bool = field(default=True, metadata=ADDED)

    feature_cache: str = field(default="", metadata=ADDED)

    UNHASHED: ClassVar[frozenset[str]] = TrainingSettings.UNHASHED | {"lora_merge", "feature_cache"}
    RESUMABLE: ClassVar[frozenset[str]] = TrainingSettings.RESUMABLE | {"lora_merge", "feature_cache"}

    @property
    def answer_sampling(self) -> tuple[float, int | None]:
        """Temperature and largest number of tokens of an answer when difficulty is measured.

        None leaves the number to [curriculum].
        """
        return 1.0, None

    def __post_init__(self) -> None:
        TrainingSettings.__post_init__(self)  # a dataclass with slots has no `super()`
        self._at_least(1, "max_prompt_length")
        if self.feature_cache:
            parse_size(self.feature_cache, "feature_cache")
            if not self.freeze_vision_tower:
                raise SettingError(
                    "feature_cache keeps the output of a vision tower that does not change: set "
                    "freeze_vision_tower=true, or leave it out"
                )
