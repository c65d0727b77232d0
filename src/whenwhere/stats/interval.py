"""A number with its confidence interval."""

from typing import NamedTuple


class Interval(NamedTuple):
    """A mean and its confidence interval; all three are NaN where there is nothing to measure."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"
