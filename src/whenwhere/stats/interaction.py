"""Whether an arm changes several tasks by different amounts: the interaction of arm and task.

"It helps retrieval but not question answering" is a claim about the difference of two differences. That one of two
tests is significant and the other is not does not show it; this test does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

#: Directions whose share of the variance is smaller count as constant.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class InteractionTest:
    """What a test of the interaction of arm and task found.

    Attributes:
        p_value: p-value of the hypothesis that the mean difference is the same on every task.
        statistic: The F statistic; infinite if the tasks differ by the same amounts in every seed.
        pairs: Number of pairs (seeds).
        tasks: Number of tasks.
    """

    p_value: float
    statistic: float
    pairs: int
    tasks: int


def interaction(differences: ArrayLike) -> InteractionTest:
    """Hotelling's T² test that the mean difference is the same on every task.

    With two tasks it is the paired t test of the difference of their differences.

    Args:
        differences: Arm minus baseline, one row for each seed and one column for each task, all in one unit and with
            one direction of better, shape (n_seeds, n_tasks).

    Raises:
        ValueError: There are fewer than two tasks, fewer seeds than tasks, or a difference is not finite.

    Source: Hotelling 1931, The generalization of Student's ratio; Rencher 2012, Methods of Multivariate Analysis, §5.7.

    >>> interaction([[0.03, 0.01], [0.02, 0.01], [0.04, 0.00], [0.03, 0.02]]).p_value < 0.1
    True
    >>> interaction([[0.03, 0.03], [0.01, 0.01], [0.02, 0.02]]).p_value
    1.0
    """
    from scipy.special import fdtrc

    x = np.asarray(differences, float)
    if x.ndim != 2 or x.shape[1] < 2 or len(x) < x.shape[1]:
        raise ValueError(
            f"differences on at least two tasks and as many seeds as tasks are needed, not an array of {x.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("a paired difference is not finite: leave the seed out of both arms, or run it again")
    n, tasks = x.shape
    scale = float(np.abs(x).max()) or 1.0
    apart = (x[:, 1:] - x[:, :1]) / scale
    mean = apart.mean(0)
    variances, directions = np.linalg.eigh(np.cov(apart, rowvar=False).reshape(tasks - 1, tasks - 1))
    varies = variances > _CONSTANT
    along = mean @ directions
    # A direction without variance is known exactly: either the tasks are alike in it, or they are not.
    if (np.abs(along[~varies]) > _CONSTANT**0.5).any():
        return InteractionTest(0.0, float("inf"), n, tasks)
    rank = int(varies.sum())
    if not rank:
        return InteractionTest(1.0, 0.0, n, tasks)
    t2 = n * float((along[varies] ** 2 / variances[varies]).sum())
    statistic = (n - rank) / ((n - 1) * rank) * t2
    return InteractionTest(float(fdtrc(rank, n - rank, statistic)), statistic, n, tasks)
