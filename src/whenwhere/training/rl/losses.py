"""Losses of RL as functions of tensors: GRPO, Dr. GRPO, DAPO, GSPO. No model, no rewards, no loop in here.

All four are the clipped surrogate, -min(r A, clip(r) A) token by token, r being the ratio of the probabilities now and
when the completion was drawn. They differ in what r is (a token's own; GSPO: the geometric mean over the completion)
and in what the sum is divided by:

- `grpo`, `gspo`: the mean over completions of the mean over their tokens: short answers weigh more per token.
- `dapo`: all tokens of the update: every token weighs the same.
- `dr_grpo`: completions times the longest length allowed, a constant.

An update is more than one group, and each group has its own backward pass. So the divisors are those of the whole
update (`Over`), and the sum of the groups' losses is the loss.

Names, formulas and signs are TRL 1.16's, equal to it on fixed tensors (tests/test_training_losses.py); `gspo` is its
`loss_type="grpo", importance_sampling_level="sequence"`. One thing is finer: TRL averages entropies over each
micro-batch, we over the update.

Left out: two-sided clipping (`delta`) and TRL's further losses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from whenwhere.errors import SettingError

LossType = Literal["grpo", "dr_grpo", "dapo", "gspo"]


@dataclass(frozen=True, slots=True)
class Over:
    """What the losses of an update's groups are divided by.

    Attributes:
        completions: of the update, those that are masked out included.
        tokens: that count.
        longest: tokens that a completion may have (`dr_grpo`).
    """

    completions: float
    tokens: float
    longest: float = 1.0


@dataclass(frozen=True, slots=True)
class Clip:
    """How the surrogate is held back.

    Attributes:
        epsilon: clipping of the ratio below 1.
        epsilon_high: and above; None = epsilon.
        beta: weight of the KL divergence from the reference.
        entropy_coef: weight of the entropy bonus.
        use_bias_correction_kl: multiply KL by the ratio, which makes its gradient that of the reverse KL (arXiv
            2512.02556), also where the ratio is 1; False = GRPO's original.
    """

    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    entropy_coef: float = 0.0
    use_bias_correction_kl: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """A loss and what to look at.

    Attributes:
        value: to go backward from.
        metrics: 0-d tensors without gradient, means over the tokens that count: `ratio`, `clip_low` and `clip_high`
            (shares of tokens that the clipping took the gradient from), `kl` (as it stands in the loss) and `entropy`
            where they were computed.
        tokens: that count, the weight of the metrics.
    """

    value: Any
    metrics: dict[str, Any]
    tokens: Any


def kl(logps: Any, ref_logps: Any) -> Any:
    """The k3 estimator of KL(policy ‖ reference) at each token: exp(d) - d - 1, d = reference - policy; never negative.

    Args:
        logps: (G, W) of the drawn tokens.
        ref_logps: the same by the reference.
    """
    gap = ref_logps - logps
    return gap.exp() - gap - 1


def importance(old_logps: Any, sampling_logps: Any, mask: Any, cap: float, level: Literal["token", "sequence"]) -> Any:
    """Truncated importance weights, min(exp(old - sampling), cap), where another program drew the completions.

    Args:
        old_logps: (G, W) by the policy itself.
        sampling_logps: (G, W) as the program that drew them gave; NaN = not given, counts as equal.
        mask: (G, W) True where a token counts.
        cap: largest weight.
        level: of a token (G, W), or of the whole completion (G, 1).

    Returns:
        Weights, without gradient. Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
        training"; TRL's `token_truncate` and `sequence_truncate`.
    """
    gap = ((old_logps - sampling_logps).detach() * mask).nan_to_num(nan=0.0)
    if level == "sequence":
        gap = gap.sum(-1, keepdim=True)
    return gap.exp().clamp(max=cap)


def grpo(logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Clip = Clip(), over: Over | None = None,
         **beside: Any) -> Loss:  # fmt: skip
    """GRPO (arXiv 2402.03300): the mean over completions of the mean over their tokens.

    Args:
        logps: (G, W) of the tokens by the policy; padding anything.
        old_logps: the same when they were drawn; None = now, at ratio 1.
        advantages: (G,) of the completions.
        mask: (G, W) True where a token counts.
        clip: how the surrogate is held back.
        over: divisors of the whole update; None = of these completions.
        beside: `ref_logps` (G, W), where beta is not 0; `entropies` (G, W), with gradient where entropy_coef is not 0;
            `weights` (G, W) or (G, 1), of `importance`.

    Raises:
        SettingError: beta or entropy_coef is not 0 and what it needs is not there.

    >>> import torch
    >>> logps = torch.tensor([[-1.0, -2.0], [-1.0, -9.0]])
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> float(grpo(logps, None, torch.tensor([1.0, -1.0]), mask).value)
    0.0
    >>> round(float(dapo(logps, None, torch.tensor([1.0, -1.0]), mask).value), 4)
    -0.3333
    """
    return _over_completions(*_surrogate(logps, old_logps, advantages, mask, clip, over, False, **beside))


def gspo(logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Clip = Clip(), over: Over | None = None,
         **beside: Any) -> Loss:  # fmt: skip
    """GSPO (arXiv 2507.18071): one ratio a completion, the geometric mean of its tokens'; arguments as `grpo`.

    Its ratios stay near 1: the paper clips at 3e-4 below and 4e-4 above.
    """
    return _over_completions(*_surrogate(logps, old_logps, advantages, mask, clip, over, True, **beside))


def dapo(logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Clip = Clip(), over: Over | None = None,
         **beside: Any) -> Loss:  # fmt: skip
    """DAPO (arXiv 2503.14476): the mean over the tokens of the update; arguments as `grpo`."""
    each, bonus, mask, over, made = _surrogate(logps, old_logps, advantages, mask, clip, over, False, **beside)
    return Loss((each * mask).sum() / max(over.tokens, 1.0) - bonus, *made)


def dr_grpo(logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Clip = Clip(), over: Over | None = None,
            **beside: Any) -> Loss:  # fmt: skip
    """Dr. GRPO (arXiv 2503.20783): divided by completions x the longest length; arguments as `grpo`, `over` needed."""
    if over is None:
        raise SettingError("dr_grpo divides by the longest length that a completion may have: give it as Over(longest)")
    each, bonus, mask, over, made = _surrogate(logps, old_logps, advantages, mask, clip, over, False, **beside)
    return Loss((each * mask).sum() / max(over.completions * over.longest, 1.0) - bonus, *made)


LOSSES: dict[LossType, Callable[..., Loss]] = {"grpo": grpo, "dr_grpo": dr_grpo, "dapo": dapo, "gspo": gspo}


def _over_completions(each: Any, bonus: Any, mask: Any, over: Over, made: tuple[Any, Any]) -> Loss:
    rows = (each * mask).sum(-1) / mask.sum(-1).clamp(min=1)
    return Loss(rows.sum() / max(over.completions, 1.0) - bonus, *made)


def _surrogate(
    logps: Any, old_logps: Any, advantages: Any, mask: Any, clip: Clip, over: Over | None, whole: bool, *,
    ref_logps: Any = None, entropies: Any = None, weights: Any = None,
) -> tuple[Any, Any, Any, Over, tuple[dict[str, Any], Any]]:  # fmt: skip
    """(G, W) losses of tokens, the entropy bonus, the mask as numbers, divisors, and what to look at."""
    import torch

    if clip.beta and ref_logps is None:
        raise SettingError("beta is not 0, so the loss needs the reference's log-probabilities")
    if clip.entropy_coef and entropies is None:
        raise SettingError("entropy_coef is not 0, so the loss needs the entropies")
    # what is padded must not turn into infinity times 0
    logps = logps.masked_fill(~mask, 0.0)
    old = logps.detach() if old_logps is None else old_logps.masked_fill(~mask, 0.0)
    mask = mask.to(logps.dtype)
    tokens = mask.sum()
    over = over or Over(len(mask), float(tokens))
    log_ratio = logps - old
    if whole:
        log_ratio = ((log_ratio * mask).sum(-1) / mask.sum(-1).clamp(min=1))[:, None]
    ratio = log_ratio.exp()
    low, high = 1 - clip.epsilon, 1 + (clip.epsilon if clip.epsilon_high is None else clip.epsilon_high)
    good = advantages.to(logps)[:, None]
    each = -torch.min(ratio * good, ratio.clamp(low, high) * good)
    if weights is not None:
        each = each * weights

    def mean(values: Any) -> Any:
        return ((values.detach() * mask).sum() / tokens.clamp(min=1)).detach()

    made = {
        "ratio": mean(ratio), "clip_low": mean(((ratio < low) & (good < 0)).float()),
        "clip_high": mean(((ratio > high) & (good > 0)).float()),
    }  # fmt: skip
    if ref_logps is not None:
        apart = kl(logps, ref_logps.masked_fill(mask == 0, 0.0))
        if clip.use_bias_correction_kl:
            apart = apart * ratio
        made["kl"] = mean(apart)
        if clip.beta:
            each = each + clip.beta * apart
    bonus: Any = 0.0
    if entropies is not None:
        made["entropy"] = mean(entropies)
        if clip.entropy_coef:
            bonus = clip.entropy_coef * (entropies * mask).sum() / max(over.tokens, 1.0)
    return each, bonus, mask, over, (made, tokens)
