"""Settings of RL with a verifier."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from whenwhere.errors import SettingError
from whenwhere.training.prefix.settings import PolicySettings
from whenwhere.training.rl.advantages import RewardScale
from whenwhere.training.rl.losses import LossType
from whenwhere.training.settings import ADDED


@dataclass(frozen=True, slots=True)
class RLSettings(PolicySettings):
    """Settings of RL with a verifier (GRPO and its relatives).

    Attributes:
        loss_type: How the losses of tokens are weighted and summed; `rejection` is SFT on the best completion of each
            question, if it got any reward.
        num_generations: Completions per prompt, G.
        prompts_per_step: Prompts (groups of completions) per update and process.
        num_iterations: Updates per set of completions.
        epsilon: Clipping of the probability ratio below 1.
        epsilon_high: Clipping of the ratio above 1 (DAPO's clip-higher). None is `epsilon`.
        beta: Weight of the KL divergence from the starting policy.
        entropy_coef: Weight of an entropy bonus.
        scale_rewards: What advantages are divided by.
        credit: What a token's advantage is computed from: all terms of the reward (`answer`), or, in a form with spans
            and boxes, the terms about time for tokens of the spans and those that compare boxes for tokens of the boxes
            (`segment`).
        zero_variance: How groups whose rewards are all the same are treated: left out of the loss (`drop`), replaced by
            further prompts (`resample`), or kept (`keep`).
        resample_limit: How often an update may draw further prompts in place of zero-variance groups (`resample`).
        temperature: Sampling temperature.
        top_p: Probability mass of nucleus sampling.
        top_k: Number of likeliest tokens to sample from. 0 means all.
        max_completion_length: Largest number of tokens of a completion.
        mask_truncated_completions: Whether completions without an end token are left out of the loss.
        stop_window: The run stops early if mean and spread of the reward differ by no more than chance between the last
            two windows of this many updates. 0 never stops early.
        vllm_server_base_url: Address of the server (vLLM or SGLang) that samples the completions; several, separated by
            spaces, take the questions in turn. Empty: the policy samples them itself.
        vllm_sync_folder: Folder into which the weights are written before completions are sampled, and from which the
            servers then read them; a vLLM server must serve it. Empty: you update the servers' weights yourself.
        vllm_importance_sampling_clip_max: Largest importance weight of a token that a server sampled.
        max_logp_gap: Largest mean difference, in nats per token, between the log-probabilities of server and policy.
    """

    loss_type: LossType = "dapo"
    num_generations: int = 8
    prompts_per_step: int = 8
    num_iterations: int = 1
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    entropy_coef: float = 0.0
    scale_rewards: RewardScale = "group"
    credit: Literal["answer", "segment"] = field(default="answer", metadata=ADDED)
    zero_variance: Literal["drop", "resample", "keep"] = "drop"
    resample_limit: int = 3
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_completion_length: int = 512
    mask_truncated_completions: bool = False
    stop_window: int = 0
    vllm_server_base_url: str = ""
    vllm_sync_folder: str = ""
    vllm_importance_sampling_clip_max: float = 3.0
    max_logp_gap: float = 0.2

    RESUMABLE: ClassVar[frozenset[str]] = PolicySettings.RESUMABLE | {"vllm_server_base_url", "max_logp_gap"}

    @property
    def answer_sampling(self) -> tuple[float, int | None]:
        """Temperature and largest number of tokens of a completion."""
        return self.temperature, self.max_completion_length

    def __post_init__(self) -> None:
        PolicySettings.__post_init__(self)  # a dataclass with slots has no `super()`
        self._at_least(2, "num_generations")
        self._at_least(1, "prompts_per_step", "num_iterations", "max_completion_length")
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise SettingError("completions are drawn: temperature must be above 0, and top_p above 0 and at most 1")
