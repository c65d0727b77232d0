"""Advantages within groups of completions, and what a group's rewards say about the training.

The advantage of a completion is its reward minus the mean of its group, divided by a standard deviation or not; the
formulas are those of TRL 1.16 (Bessel's correction, 1e-4 in the divisor), and numbers equal it.

Dividing by the group's own deviation has a side effect ("difficulty bias", arXiv 2503.20783): groups whose rewards
hardly differ, the nearly hopeless and the nearly solved, count as much as those that there is much to learn from, and
the smallest part of the reward (the format) decides wherever the rest is equal. `scale_rewards="none"` is the control.
Dividing by the batch's deviation uses one factor for all groups.

A group whose rewards are all the same has no advantages (it is a zero-variance group). What becomes of it:

- `keep`: It counts in the divisors of the loss (TRL).
- `drop`: It does not, so the other groups weigh more; the step keeps its size where most groups are of this kind.
- `resample`: It is dropped, and other prompts are sampled in its place (DAPO's dynamic sampling), a limited number of
  times. Their cost is part of the metrics and of the FLOPs.

Deviations of the batch are those of all completions that were sampled, dropped ones included.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

RewardScale = Literal["group", "batch", "none"]
#: Added to the divisor, as in TRL.
EPS = 1e-4
#: Rewards that differ by no more than this are the same.
SAME = 1e-8


def advantages(rewards: ArrayLike, scale: RewardScale = "group", batch: ArrayLike | None = None) -> NDArray[np.float64]:
    """Advantages of completions.

    Args:
        rewards: Reward of each completion with its format term, shape (groups, G).
        scale: What differences from the group's mean are divided by.
        batch: Rewards of the whole update in any shape, where it is more than `rewards` (several processes).

    Returns:
        Advantages, shape (groups, G).

    >>> advantages([[1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]]).round(3).tolist()
    [[0.866, -0.866, -0.866, 0.866], [0.0, 0.0, 0.0, 0.0]]
    >>> advantages([[1.0, 0.0]], "none").tolist()
    [[0.5, -0.5]]
    """
    given = np.asarray(rewards, float)
    centred = given - given.mean(1, keepdims=True)
    centred[zero_variance(given)] = 0.0
    if scale == "none":
        return centred
    if scale == "group":
        return centred / (given.std(1, ddof=1, keepdims=True) + EPS)
    whole = given if batch is None else np.asarray(batch, float)
    return centred / (whole.std(ddof=1) + EPS)


def zero_variance(rewards: ArrayLike) -> NDArray[np.bool_]:
    """Whether all rewards of a group are the same.

    Args:
        rewards: Reward of each completion, shape (groups, G).

    Returns:
        One truth value for each group, bool, shape (groups,).

    >>> zero_variance([[0.1 + 0.2, 0.3], [0.0, 1.0]]).tolist()
    [True, False]
    """
    given = np.asarray(rewards, float)
    return np.asarray(np.ptp(given, axis=1) <= SAME)


def group_statistics(
    totals: ArrayLike, rewards: ArrayLike, formats: ArrayLike, spatial: Sequence[ArrayLike | None]
) -> dict[str, float]:
    """Statistics of the groups of an update that show how the training goes.

    Args:
        totals: What the policy is trained on, R + λ·format, shape (groups, G).
        rewards: R alone, shape (groups, G).
        formats: λ·format, shape (groups, G).
        spatial: For each group, the spatial IoU of each completion's boxes regardless of their time, shape (G,), with
            NaN for a completion without boxes. None for a question without boxes.

    Returns:
        - `reward`, `reward_std`: The mean of R, and the mean over groups of its standard deviation.
        - `zero_variance`, `all_wrong`, `all_right`: Shares of groups whose totals are the same, of those with R = 0
          throughout, and of those with R = 1 throughout.
        - `format_variance`: The format's share of the variance within groups, Σ cov(λ·format, total) / Σ var(total).
          Near 1, the policy is being taught to write and not to see.
        - `silent_places`: Share of groups with boxes in which the boxes differ and R does not: what R cannot tell.

    >>> found = group_statistics([[1.1, 0.1], [0.1, 0.1]], [[1, 0], [0, 0]], [[0.1, 0.1]] * 2, [None, [0.0, 0.5]])
    >>> found["zero_variance"], found["all_wrong"], found["format_variance"], found["silent_places"]
    (0.5, 0.5, 0.0, 1.0)
    """
    total, reward, form = (np.asarray(v, float) for v in (totals, rewards, formats))
    same = zero_variance(total)
    spread = total - total.mean(1, keepdims=True)
    variance = float((spread**2).sum())
    part = float(((form - form.mean(1, keepdims=True)) * spread).sum())
    same_reward = zero_variance(reward)
    with_boxes = [k for k, s in enumerate(spatial) if s is not None]
    unrewarded = [same_reward[k] and _differ(np.asarray(spatial[k], float)) for k in with_boxes]
    found = {
        "reward": float(reward.mean()),
        "reward_std": float(reward.std(1, ddof=1).mean()),
        "zero_variance": float(same.mean()),
        "all_wrong": float((same & (reward.max(1) <= SAME)).mean()),
        "all_right": float((same & (reward.min(1) >= 1 - SAME)).mean()),
        "format_variance": part / variance if variance > SAME else 0.0,
    }
    return found | ({"silent_places": float(np.mean(unrewarded))} if with_boxes else {})


def _differ(values: NDArray[np.float64]) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known) > 1 and np.ptp(known) > SAME)


def has_plateaued(rewards: Sequence[float], spreads: Sequence[float], window: int) -> bool:
    """Whether the reward and its spread have stopped changing: two windows differ by no more than chance.

    Each half of the last 2 x `window` updates is a sample of means; both differences must lie within two standard
    errors. TimeLens (arXiv 2512.14698) stops there; a fixed budget remains the fair comparison.

    Args:
        rewards: Mean reward of each update so far.
        spreads: Mean deviation within groups of each update so far.
        window: Number of updates of a half. Below 2, the answer is always False.

    >>> has_plateaued([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.1] * 6, 3)
    False
    >>> has_plateaued([0.50, 0.52, 0.51, 0.51, 0.52, 0.50], [0.10, 0.11, 0.1, 0.11, 0.1, 0.1], 3)
    True
    """
    if window < 2 or len(rewards) < 2 * window:
        return False

    def unchanged(values: Sequence[float]) -> bool:
        before, after = np.split(np.asarray(values[-2 * window :], float), 2)
        error = np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / window)
        return bool(abs(after.mean() - before.mean()) <= 2 * error + SAME)

    return unchanged(rewards) and unchanged(spreads)
