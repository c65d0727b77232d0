"""The order of equal scores in evaluators that were run under Python 2.7 and numpy 1.16.

If several answers have one score, average precision depends on which comes first. ActivityNet's evaluator takes the
videos in the order of a Python 2.7 dictionary and sorts with a quicksort that is not stable. Both are deterministic,
and its published digits contain them, so both are reproduced here: `dictionary_order` and `falling`. New protocols need
neither; they sort stably.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whenwhere.evaluate.ragged import Floats

WORD = (1 << 64) - 1


# Intervals score the same videos again and again.
@lru_cache(1 << 17)
def hashed(name: str) -> int:
    """The hash of a string as 64-bit Python 2.7 computes it, as an unsigned word.

    >>> hashed(""), hashed("a")
    (0, 12416037344)
    """
    if not name:
        return 0
    value = ord(name[0]) << 7
    for letter in name:
        value = (1000003 * value & WORD) ^ ord(letter)
    value ^= len(name)
    return WORD - 1 if value == WORD else value


def dictionary_order(names: Sequence[str]) -> list[int]:
    """Positions of distinct names in the order in which a Python 2.7 dict filled in this order lists them.

    >>> [["a", "b", "c", "d"][i] for i in dictionary_order(["a", "b", "c", "d"])]
    ['a', 'c', 'b', 'd']
    """
    hashes = [hashed(name) for name in names]
    table: list[int] = [-1] * 8

    def put(table: list[int], i: int) -> None:
        mask = len(table) - 1
        slot = perturb = hashes[i]
        while table[slot & mask] >= 0:
            slot = slot * 5 + perturb + 1
            perturb >>= 5
        table[slot & mask] = i

    for i in range(len(names)):
        put(table, i)
        if (i + 1) * 3 >= len(table) * 2:
            room = (i + 1) * (2 if i + 1 > 50000 else 4)
            size = 8
            while size <= room:
                size *= 2
            grown = [-1] * size
            for kept in table:
                if kept >= 0:
                    put(grown, kept)
            table = grown
    return [i for i in table if i >= 0]


def falling(scores: Floats) -> NDArray[np.intp]:
    """Indices by falling score, from a reversed ascending quicksort of numpy before its vector instructions.

    Extended precision has no vector instructions, so numpy still sorts it that way, and it holds every float64.

    >>> falling(np.array([0.5, 0.9, 0.5])).tolist()
    [1, 2, 0]
    """
    return np.argsort(scores.astype(np.longdouble), kind="quicksort")[::-1]
