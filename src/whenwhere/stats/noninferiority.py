"""Showing that a variant is not worse than a baseline by more than a margin.

"No significant difference" shows nothing by itself: a study that is small enough never finds one. Non-inferiority
turns the burden around: the variant counts as not worse only where a loss of the margin can be ruled out. The margin is
declared before the runs.
"""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from whenwhere.stats.paired import finite_differences


@dataclass(frozen=True)
class Noninferiority:
    """What a test of non-inferiority found.

    Attributes:
        mean: Mean difference, variant minus baseline.
        bound: One-sided lower confidence bound of the mean difference.
        margin: Largest loss that counts as "not worse".
        p_value: One-sided p-value of the hypothesis that the loss is the margin or more.
        alpha: Error rate of the bound.
    """

    mean: float
    bound: float
    margin: float
    p_value: float
    alpha: float

    @property
    def shown(self) -> bool:
        """Whether a loss of the margin or more is ruled out."""
        return self.bound > -self.margin


def noninferiority(differences: ArrayLike, margin: float, alpha: float = 0.05) -> Noninferiority:
    """One-sided t test that the mean of paired differences lies above -margin.

    Args:
        differences: Variant minus baseline for each seed, higher is better, shape (n,).
        margin: Largest loss that counts as "not worse", > 0, in the unit of the differences.
        alpha: One-sided error rate. Drug trials use 0.025, which goes with a two-sided interval of 95 %.

    Raises:
        ValueError: There are fewer than two differences, one is not finite, or the margin is not positive.

    >>> noninferiority([0.00, -0.01, 0.01, 0.00], margin=0.02).shown
    True
    >>> noninferiority([0.00, -0.04, 0.05, -0.01], margin=0.02).shown
    False
    """
    from scipy.special import stdtr, stdtrit

    if not margin > 0:
        raise ValueError(f"the margin of non-inferiority must be positive, not {margin:g}")
    x = finite_differences(differences)
    mean, error = float(x.mean()), float(x.std(ddof=1)) / len(x) ** 0.5
    bound = mean - float(stdtrit(len(x) - 1, 1 - alpha)) * error
    p_value = float(stdtr(len(x) - 1, -(mean + margin) / error)) if error else float(mean <= -margin)
    return Noninferiority(mean, bound, margin, p_value, alpha)
