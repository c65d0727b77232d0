"""Advantages within groups of completions, and what a group's rewards say about the training.

The advantage of a completion is its reward less the mean of its group, divided by a standard deviation or not; formulas
as TRL 1.16's (Bessel's correction, 1e-4 in the divisor), numbers equal to it.

Dividing by the group's own deviation is not innocent ("difficulty bias", arXiv 2503.20783): groups whose rewards hardly
differ, the nearly hopeless and the nearly solved, count as much as those from which there is much to learn, and the
reward's least part (the format) decides wherever the rest is equal. `scale_rewards="none"` is the control. By the
batch's deviation one factor holds for all groups.

A group whose rewards are all the same has no advantages. What becomes of it:

- `keep`: it counts in the divisors of the loss (TRL).
- `drop`: it does not, so what is left weighs more: the step keeps its size where most groups are silent.
- `resample`: dropped, and other prompts are drawn in its place (DAPO's dynamic sampling), for a limited number of
  draws. What they cost stands in the metrics and in the FLOPs.

Deviations of the batch are those of all completions that were drawn, dropped ones included.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scale = Literal["group", "batch", "none"]
#: In the divisor, as TRL has it.
EPS = 1e-4
#: Rewards that are nearer to each other than this are the same.
SAME = 1e-8


def advantages(rewards: ArrayLike, scale: Scale = "group", batch: ArrayLike | None = None) -> NDArray[np.float64]:
    """Advantages of completions.

    Args:
        rewards: (groups, G) what each completion got, format term included.
        scale: what deviations from the group's mean are divided by.
        batch: rewards of the whole update in any shape, where it is more than `rewards` (several processes).

    Returns:
        (groups, G).

    >>> advantages([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]]).round(3).tolist()
    [[0.866, -0.866, -0.866, 0.866], [0.0, 0.0, 0.0, 0.0]]
    >>> advantages([[1.0, 0.0]], "none").tolist()
    [[0.5, -0.5]]
    """
    given = np.asarray(rewards, float)
    centred = given - given.mean(1, keepdims=True)
    centred[silent(given)] = 0.0
    if scale == "none":
        return centred
    if scale == "group":
        return centred / (given.std(1, ddof=1, keepdims=True) + EPS)
    whole = given if batch is None else np.asarray(batch, float)
    return centred / (whole.std(ddof=1) + EPS)


def silent(rewards: ArrayLike) -> NDArray[np.bool_]:
    """(groups,) whether all rewards of a group are the same.

    >>> silent([[0.1 + 0.2, 0.3], [0.0, 1.0]]).tolist()
    [True, False]
    """
    given = np.asarray(rewards, float)
    return np.asarray(np.ptp(given, axis=1) <= SAME)


def statistics(
    totals: ArrayLike, rewards: ArrayLike, formats: ArrayLike, places: Sequence[ArrayLike | None]
) -> dict[str, float]:
    """What an update's groups say about the training.

    Args:
        totals: (groups, G) what was trained on, R + λ·format.
        rewards: (groups, G) R alone.
        formats: (groups, G) λ·format.
        places: of each group (G,) how well the answered boxes lie whatever their time, NaN = no boxes; None = a
            question without places.

    Returns:
        - `reward`, `reward_std`: mean of R, mean over groups of its deviation.
        - `zero_variance`, `all_wrong`, `all_right`: shares of groups whose totals are the same; of those that got R = 0
          and R = 1 throughout.
        - `format_variance`: share of the variance within groups that is the format's: Σ cov(λ·format, total) / Σ
          var(total). Near 1 the policy is being taught to write, not to see.
        - `silent_places`: share of groups with places in which these differ and R does not: what R cannot tell.

    >>> found = statistics([[1.1, 0.1], [0.1, 0.1]], [[1.0, 0.0], [0.0, 0.0]], [[0.1, 0.1]] * 2, [None, [0.0, 0.5]])
    >>> found["zero_variance"], found["all_wrong"], found["format_variance"], found["silent_places"]
    (0.5, 0.5, 0.0, 1.0)
    """
    total, reward, form = (np.asarray(v, float) for v in (totals, rewards, formats))
    same = silent(total)
    spread = total - total.mean(1, keepdims=True)
    variance = float((spread**2).sum())
    part = float(((form - form.mean(1, keepdims=True)) * spread).sum())
    deaf = silent(reward)
    asked = [k for k, p in enumerate(places) if p is not None]
    unheard = [deaf[k] and _differ(np.asarray(places[k], float)) for k in asked]
    found = {
        "reward": float(reward.mean()),
        "reward_std": float(reward.std(1, ddof=1).mean()),
        "zero_variance": float(same.mean()),
        "all_wrong": float((same & (reward.max(1) <= SAME)).mean()),
        "all_right": float((same & (reward.min(1) >= 1 - SAME)).mean()),
        "format_variance": part / variance if variance > SAME else 0.0,
    }
    return found | ({"silent_places": float(np.mean(unheard))} if asked else {})


def _differ(places: NDArray[np.float64]) -> bool:
    there = places[~np.isnan(places)]
    return bool(len(there) > 1 and np.ptp(there) > SAME)


def plateau(rewards: Sequence[float], spreads: Sequence[float], window: int) -> bool:
    """Whether reward and its spread stand still: no more change between two windows than chance would make.

    Each half of the last 2 x `window` updates is a sample of means; both differences must lie within two standard
    errors. TimeLens (arXiv 2512.14698) stops there; a fixed budget stays the fair comparison.

    Args:
        rewards: mean reward of each update so far.
        spreads: mean deviation within groups of each.
        window: updates of a half; 0 = never.

    >>> plateau([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1] * 6, 3)
    False
    >>> plateau([0.50, 0.52, 0.51, 0.51, 0.52, 0.50], [0.10, 0.11, 0.1, 0.11, 0.1, 0.1], 3)
    True
    """
    if window < 2 or len(rewards) < 2 * window:
        return False

    def still(values: Sequence[float]) -> bool:
        before, after = np.split(np.asarray(values[-2 * window :], float), 2)
        error = np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / window)
        return bool(abs(after.mean() - before.mean()) <= 2 * error + SAME)

    return still(rewards) and still(spreads)
