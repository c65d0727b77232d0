"""Correction for testing several hypotheses at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted for their number by Holm's step-down method, in the order given.

    Rejecting where the adjusted p-value is at most 0.05 keeps the chance of even one false rejection in the family at
    5 % or less, however the tests depend on each other. The family is what was declared as primary beforehand.

    Args:
        p_values: Shape (n,), each in [0, 1].

    Raises:
        ValueError: A p-value is NaN or outside [0, 1].

    Source: Holm 1979, A simple sequentially rejective multiple test procedure.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float).reshape(-1)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
