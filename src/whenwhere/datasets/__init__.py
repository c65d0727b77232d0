"""Benchmarks as they were released, read into one form: `Item`.

    >>> from whenwhere.datasets import BENCHMARKS
    >>> BENCHMARKS["charades-sta"].protocol
    'temporal'

Each benchmark is one file that exports `BENCHMARK`. Nothing heavier than numpy is imported here.
"""

from whenwhere.datasets import (
    activitynet_captions,
    charades_sta,
    didemo,
    qvhighlights,
)
from whenwhere.datasets.benchmark import Benchmark

__all__ = ["BENCHMARKS"]

#: Every benchmark by the name that is typed after `--benchmark`.
BENCHMARKS: dict[str, Benchmark] = {
    b.name: b
    for b in (
        charades_sta.BENCHMARK,
        activitynet_captions.BENCHMARK,
        didemo.BENCHMARK,
        qvhighlights.BENCHMARK,
    )
}
