"""Losses of RL as functions of tensors: GRPO, Dr. GRPO, DAPO, GSPO, and rejection sampling as a control.

There is no model, reward or loop in here. All but rejection sampling are the clipped surrogate, -min(r A, clip(r) A)
for each token, where r is the ratio of its probabilities now and when the completion was sampled. They differ in what r
is (a token's own ratio; for GSPO the geometric mean over the completion) and in what the sum is divided by:

- `grpo`, `gspo`: the mean over completions of the mean over their tokens, so tokens of short answers weigh more.
- `dapo`: all tokens of the update, so every token weighs the same.
- `dr_grpo`: the number of completions times the longest length allowed, a constant.

`rejection` is SFT on the best completion of each group, the control that says what the rest of RL adds.

An update has several groups with a backward pass each. So the divisors are those of the whole update
(`LossNormalizer`), and the sum of the groups' losses is the loss.

Names, formulas and signs are those of TRL 1.16, equal to it on fixed tensors (tests/test_training_losses.py); `gspo` is
its `loss_type="grpo", importance_sampling_level="sequence"`. One thing is finer: TRL averages entropies over each
micro-batch, these functions over the update.

Left out: two-sided clipping (`delta`) and TRL's further losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypedDict, Unpack

from whenwhere.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

LossType = Literal["grpo", "dr_grpo", "dapo", "gspo", "rejection"]


@dataclass(frozen=True, slots=True)
class LossNormalizer:
    """What the losses of an update's groups are divided by.

    Attributes:
        completions: Number of completions of the update, masked ones included.
        tokens: Number of tokens that count.
        longest: The largest number of tokens that a completion may have (`dr_grpo`).
    """

    completions: float
    tokens: float
    longest: float = 1.0


@dataclass(frozen=True, slots=True)
class ClipConfig:
    """How far the policy may move in one update: clipping of the ratio, KL divergence, entropy bonus.

    Attributes:
        epsilon: The ratio is clipped at 1 - epsilon.
        epsilon_high: The ratio is clipped at 1 + epsilon_high. None means epsilon.
        beta: Weight of the KL divergence from the reference.
        entropy_coef: Weight of the entropy bonus.
        use_bias_correction_kl: Whether the KL divergence is multiplied by the ratio, which makes its gradient that of
            the reverse KL (arXiv 2512.02556), also where the ratio is 1. False is GRPO's original.
    """

    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    entropy_coef: float = 0.0
    use_bias_correction_kl: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class PolicyLoss:
    """A loss with its metrics.

    Attributes:
        value: The loss, a differentiable scalar.
        metrics: Means over the tokens that count, scalars without gradient: `ratio`; `clip_low` and `clip_high`, the
            shares of tokens whose gradient was clipped away; `kl`, as it is in the loss, and `entropy` where they were
            computed.
        tokens: Number of tokens that count, a scalar: the weight of the metrics.
    """

    value: Tensor
    metrics: dict[str, Tensor]
    tokens: Tensor


class LossInputs(TypedDict, total=False):
    """Further inputs of the losses.

    Attributes:
        ref_logps: Log-probabilities under the reference, shape (G, W). Needed where beta is not 0.
        entropies: Entropies, shape (G, W). Needed, with gradient, where entropy_coef is not 0.
        weights: Weights of `importance_weights`, shape (G, W) or (G, 1).
    """

    ref_logps: Tensor | None
    entropies: Tensor | None
    weights: Tensor | None


def kl_divergence(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """The k3 estimator of KL(policy ‖ reference) at each token: exp(d) - d - 1 ≥ 0, where d = reference - policy.

    Args:
        logps: Log-probabilities of the sampled tokens under the policy, shape (G, W).
        ref_logps: Log-probabilities under the reference, of the same shape.

    Returns:
        The estimate for each token, shape (G, W).
    """
    gap = ref_logps - logps
    return gap.exp() - gap - 1


def importance_weights(
    old_logps: Tensor, sampling_logps: Tensor, mask: Tensor, cap: float, level: Literal["token", "sequence"]
) -> Tensor:
    """Truncated importance weights, min(exp(old - sampling), cap), where another program sampled the completions.

    From Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"; TRL's
    `token_truncate` and `sequence_truncate`.

    Args:
        old_logps: Log-probabilities under the policy itself, shape (G, W).
        sampling_logps: Log-probabilities as the other program reported them, shape (G, W); a NaN counts as equal.
        mask: Which tokens count, bool, shape (G, W).
        cap: The largest weight.
        level: Whether each token or each completion has a weight.

    Returns:
        Weights without gradient, shape (G, W) or (G, 1).
    """
    gap = ((old_logps - sampling_logps).detach() * mask).nan_to_num(nan=0.0)
    if level == "sequence":
        gap = gap.sum(-1, keepdim=True)
    return gap.exp().clamp(max=cap)


def grpo(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig = ClipConfig(),
    normalizer: LossNormalizer | None = None, **inputs: Unpack[LossInputs],
) -> PolicyLoss:  # fmt: skip
    """GRPO (arXiv 2402.03300): the mean over completions of the mean over their tokens.

    Args:
        logps: Log-probabilities of the tokens under the policy, shape (G, W); padding may be anything.
        old_logps: Log-probabilities under the sampling policy, shape (G, W). None means the policy has not changed
            since sampling, so that all ratios are 1.
        advantages: Advantages of the completions, shape (G,), or of their tokens, shape (G, W).
        mask: Which tokens count, bool, shape (G, W).
        clip: How far the policy may move.
        normalizer: Divisors of the whole update. None means that these completions are the whole update.
        **inputs: Further inputs, see `LossInputs`.

    Raises:
        SettingError: beta or entropy_coef is not 0, and the input that it needs is missing.

    >>> import torch
    >>> logps = torch.tensor([[-1.0, -2.0], [-1.0, -9.0]])
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> float(grpo(logps, None, torch.tensor([1.0, -1.0]), mask).value)
    0.0
    >>> round(float(dapo(logps, None, torch.tensor([1.0, -1.0]), mask).value), 4)
    -0.3333
    """
    return _mean_over_completions(_surrogate(logps, old_logps, advantages, mask, clip, normalizer, False, inputs))


def gspo(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig = ClipConfig(),
    normalizer: LossNormalizer | None = None, **inputs: Unpack[LossInputs],
) -> PolicyLoss:  # fmt: skip
    """GSPO (arXiv 2507.18071): one ratio for each completion, the geometric mean of its tokens'; arguments as `grpo`.

    Its ratios stay near 1: the paper clips at 3e-4 below and 4e-4 above.
    """
    return _mean_over_completions(_surrogate(logps, old_logps, advantages, mask, clip, normalizer, True, inputs))


def dapo(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig = ClipConfig(),
    normalizer: LossNormalizer | None = None, **inputs: Unpack[LossInputs],
) -> PolicyLoss:  # fmt: skip
    """DAPO (arXiv 2503.14476): the mean over the tokens of the update; arguments as `grpo`."""
    s = _surrogate(logps, old_logps, advantages, mask, clip, normalizer, False, inputs)
    return PolicyLoss((s.losses * s.mask).sum() / max(s.normalizer.tokens, 1.0) - s.bonus, s.metrics, s.tokens)


def dr_grpo(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig = ClipConfig(),
    normalizer: LossNormalizer | None = None, **inputs: Unpack[LossInputs],
) -> PolicyLoss:  # fmt: skip
    """Dr. GRPO (arXiv 2503.20783): divided by completions times the longest length allowed; arguments as `grpo`.

    Raises:
        SettingError: `normalizer` is missing; only it knows the longest length.
    """
    if normalizer is None:
        raise SettingError("dr_grpo divides by the longest length of a completion: give it as LossNormalizer.longest")
    s = _surrogate(logps, old_logps, advantages, mask, clip, normalizer, False, inputs)
    divisor = max(s.normalizer.completions * s.normalizer.longest, 1.0)
    return PolicyLoss((s.losses * s.mask).sum() / divisor - s.bonus, s.metrics, s.tokens)


def rejection(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig = ClipConfig(),
    normalizer: LossNormalizer | None = None, **inputs: Unpack[LossInputs],
) -> PolicyLoss:  # fmt: skip
    """Rejection sampling (RAFT, arXiv 2304.06767): SFT on the completions that were chosen; arguments as `grpo`.

    Who calls it leaves out all but the best completion of each group. There is no ratio, and advantages only weigh.
    """
    s = _surrogate(logps, None, advantages, mask, clip, normalizer, False, inputs)
    losses = -logps.masked_fill(~mask, 0.0) * (advantages[:, None] if advantages.ndim == 1 else advantages)
    return PolicyLoss((losses * s.mask).sum() / max(s.normalizer.tokens, 1.0) - s.bonus, s.metrics, s.tokens)


LOSSES: dict[LossType, Callable[..., PolicyLoss]] = {
    "grpo": grpo, "dr_grpo": dr_grpo, "dapo": dapo, "gspo": gspo, "rejection": rejection,
}  # fmt: skip


class _Surrogate(NamedTuple):
    """The surrogate before it is averaged.

    Attributes:
        losses: Loss of each token, shape (G, W).
        bonus: The entropy bonus, a scalar.
        mask: Which tokens count, as numbers, shape (G, W).
        normalizer: Divisors of the update.
        metrics: As in `PolicyLoss`.
        tokens: As in `PolicyLoss`.
    """

    losses: Tensor
    bonus: Tensor | float
    mask: Tensor
    normalizer: LossNormalizer
    metrics: dict[str, Tensor]
    tokens: Tensor


def _mean_over_completions(s: _Surrogate) -> PolicyLoss:
    rows = (s.losses * s.mask).sum(-1) / s.mask.sum(-1).clamp(min=1)
    return PolicyLoss(rows.sum() / max(s.normalizer.completions, 1.0) - s.bonus, s.metrics, s.tokens)


def _surrogate(
    logps: Tensor, old_logps: Tensor | None, advantages: Tensor, mask: Tensor, clip: ClipConfig,
    normalizer: LossNormalizer | None, sequence_ratio: bool, inputs: LossInputs,
) -> _Surrogate:  # fmt: skip
    import torch

    ref_logps, entropies, weights = inputs.get("ref_logps"), inputs.get("entropies"), inputs.get("weights")
    if clip.beta and ref_logps is None:
        raise SettingError("beta is not 0, so the loss needs the reference's log-probabilities")
    if clip.entropy_coef and entropies is None:
        raise SettingError("entropy_coef is not 0, so the loss needs the entropies")
    # padding must not turn into infinity times 0
    logps = logps.masked_fill(~mask, 0.0)
    old_logps = logps.detach() if old_logps is None else old_logps.masked_fill(~mask, 0.0)
    mask = mask.to(logps.dtype)
    tokens = mask.sum()
    normalizer = normalizer or LossNormalizer(len(mask), float(tokens))
    log_ratio = logps - old_logps
    if sequence_ratio:
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1))[:, None]
    ratio = log_ratio.exp()
    low, high = 1 - clip.epsilon, 1 + (clip.epsilon if clip.epsilon_high is None else clip.epsilon_high)
    advantages = advantages.to(logps)
    advantages = advantages[:, None] if advantages.ndim == 1 else advantages
    losses = -torch.min(ratio * advantages, ratio.clamp(low, high) * advantages)
    if weights is not None:
        losses = losses * weights

    def mean(values: Tensor) -> Tensor:
        return ((values.detach() * mask).sum() / tokens.clamp(min=1)).detach()

    metrics = {
        "ratio": mean(ratio), "clip_low": mean(((ratio < low) & (advantages < 0)).float()),
        "clip_high": mean(((ratio > high) & (advantages > 0)).float()),
    }  # fmt: skip
    if ref_logps is not None:
        divergence = kl_divergence(logps, ref_logps.masked_fill(mask == 0, 0.0))
        if clip.use_bias_correction_kl:
            divergence = divergence * ratio
        metrics["kl"] = mean(divergence)
        if clip.beta:
            losses = losses + clip.beta * divergence
    bonus: Tensor | float = 0.0
    if entropies is not None:
        metrics["entropy"] = mean(entropies)
        if clip.entropy_coef:
            bonus = clip.entropy_coef * (entropies * mask).sum() / max(normalizer.tokens, 1.0)
    return _Surrogate(losses, bonus, mask, normalizer, metrics, tokens)
