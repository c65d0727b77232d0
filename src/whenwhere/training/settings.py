"""Settings of training runs, under the names that TRL's users know.

One dataclass per stage; recipes (TOML) fill them, and a key that is in neither is an error there.
"""

from dataclasses import dataclass
from typing import Literal

from whenwhere.errors import SettingError


@dataclass(frozen=True, slots=True)
class Settings:
    """What both stages have.

    Attributes:
        learning_rate: peak.
        lr_scheduler_type: how it goes on behind the warm-up.
        warmup_steps: linear, from 0.
        max_steps: updates of the whole run.
        optim: `muon` is for training from nothing: its updates of matrices are orthogonalised.
        muon_factor: the learning rate of those matrices, as a multiple of `learning_rate`.
        weight_decay: of matrices.
        adam_beta2: of AdamW.
        max_grad_norm: gradients are clipped to it.
        bf16: weights stay fp32, computation runs in bf16.
        gradient_checkpointing: layers are computed again in the backward pass.
        backend: how log-probabilities are computed (`prefix.shared_prefix`).
        seed: of everything that is drawn.
        logging_steps: updates between lines of metrics.
        save_steps: updates between checkpoints.
        pack_tokens: clips go through the model side by side as long as they have no more tokens together.
        max_prompt_length: tokens; a longer prompt is skipped, counted and named.
        freeze_vision_tower: it is not trained, and computed once a sample without gradient.
        lora_r: rank of LoRA's matrices, which are trained in place of the text tower's weights then; 0 = none. The
            vision tower is trained as a whole unless `freeze_vision_tower` says otherwise.
        lora_alpha: LoRA's scale is lora_alpha / lora_r.
        lora_dropout: of what goes into LoRA's matrices.
        lora_target_modules: layers that get them, by the end of their names.
        report_to: dashboard that gets the metrics too.
        dataloader_prefetch: updates whose samples are prepared ahead, beside the computation; 0 = none.
    """

    learning_rate: float = 1e-5
    lr_scheduler_type: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_steps: int = 0
    max_steps: int = 1000
    optim: Literal["adamw", "muon"] = "adamw"
    muon_factor: float = 2.5
    weight_decay: float = 0.01
    adam_beta2: float = 0.999
    max_grad_norm: float = 1.0
    bf16: bool = False
    gradient_checkpointing: bool = False
    backend: Literal["shared_prefix", "packed4d", "fork", "repeat"] = "shared_prefix"
    seed: int = 0
    logging_steps: int = 10
    save_steps: int = 100
    pack_tokens: int = 4096
    max_prompt_length: int = 16_384
    freeze_vision_tower: bool = False
    lora_r: int = 0
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    report_to: Literal["none", "tensorboard", "trackio"] = "none"
    dataloader_prefetch: int = 1

    def __post_init__(self) -> None:
        self._least(1, "max_steps", "logging_steps", "save_steps", "max_prompt_length")

    def _least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise SettingError(f"{name} is {getattr(self, name)} and must be at least {least}")


@dataclass(frozen=True, slots=True)
class SFTSettings(Settings):
    """Supervised fine-tuning.

    Attributes:
        samples_per_step: clips per update and process, each with all its sentences.
        soft_targets: width in steps of the Gaussian that stands for a coordinate's token; 0 = the token alone.
        soft_times: the same for a time's token.
        span_weight: what a token of an answer's spans counts against one of its boxes. Boxes are many and their tokens
            are learned first; without a weight they leave little for when.
    """

    samples_per_step: int = 8
    soft_targets: float = 0.0
    soft_times: float = 0.0
    span_weight: float = 1.0

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # a dataclass with slots has no `super()`
        self._least(1, "samples_per_step")


@dataclass(frozen=True, slots=True)
class RLSettings(Settings):
    """RL with a verifier (GRPO and its relatives).

    Attributes:
        loss_type: how token losses are weighted and summed.
        num_generations: G, completions per prompt.
        prompts_per_step: groups per update and process.
        num_iterations: updates per set of completions.
        epsilon: clipping below.
        epsilon_high: clipping above (DAPO's clip-higher); None = epsilon.
        beta: weight of the KL divergence from the starting policy.
        entropy_coef: weight of an entropy bonus.
        scale_rewards: what advantages are divided by.
        zero_variance: what becomes of groups whose rewards are all the same.
        resample_limit: times that an update draws further prompts in their place (`resample`).
        temperature: of drawing.
        top_p: of drawing.
        top_k: of drawing; 0 = all.
        max_completion_length: tokens.
        mask_truncated_completions: leave answers that did not end out of the loss.
        stop_window: updates over which reward and its spread must stand still to stop early; 0 = never.
        vllm_server_base_url: address of a server that draws the completions; empty = the policy draws them itself.
        vllm_sync_folder: folder that the server serves, which gets the weights before completions are drawn; empty =
            they are brought there otherwise.
        vllm_importance_sampling_clip_max: largest importance weight of a token that a server drew.
        max_logp_gap: nats a token that a server's log-probabilities may be off by on average.
    """

    loss_type: Literal["grpo", "dr_grpo", "dapo", "gspo"] = "dapo"
    num_generations: int = 8
    prompts_per_step: int = 8
    num_iterations: int = 1
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    entropy_coef: float = 0.0
    scale_rewards: Literal["group", "batch", "none"] = "group"
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

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        self._least(2, "num_generations")
        self._least(1, "prompts_per_step", "num_iterations", "max_completion_length")
        if not self.temperature > 0 or not 0 < self.top_p <= 1:
            raise SettingError("completions are drawn: temperature must be above 0, and top_p above 0 and at most 1")
