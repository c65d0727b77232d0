"""Random permutations that leave nothing in its place; by them clips of a batch exchange backgrounds or nouns."""

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError


def random_derangement(
    size: int, random: np.random.Generator, purpose: str = "clips change places"
) -> NDArray[np.intp]:
    """A permutation without fixed points, all of them equally likely.

    Args:
        size: Number of things, at least 2.
        random: Source of random numbers.
        purpose: What the permutation is for; the sentence of the error begins with it.

    Raises:
        SettingError: There is only one thing, which cannot change places with another.

    >>> order = random_derangement(5, np.random.default_rng(0))
    >>> sorted(order.tolist()), bool((order == np.arange(5)).any())
    ([0, 1, 2, 3, 4], False)
    """
    if size < 2:
        raise SettingError(f"{purpose}, and the batch has {size}: set batch to 2 or more")
    while True:  # more than a third of all permutations have no fixed point
        order = random.permutation(size)
        if not (order == np.arange(size)).any():
            return order
