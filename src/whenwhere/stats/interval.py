"""A number with its confidence interval."""

from typing import NamedTuple


class Interval(NamedTuple):
    """A number and its confidence interval; all three are NaN if there is nothing to measure.

    Attributes:
        mean: The number, usually a mean.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"
