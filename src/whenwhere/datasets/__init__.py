"""Benchmarks as they were released, read into one form: `Item`.

    >>> from whenwhere.datasets import BENCHMARKS
    >>> BENCHMARKS["charades-sta"].protocol
    'charades-sta'

Each benchmark is one file that exports `BENCHMARK`. Nothing heavier than numpy is imported here.
"""

from whenwhere.datasets import (
    activitynet_captions,
    charades_cd,
    charades_sta,
    didemo,
    nextgqa,
    null_query,
    qv_m2,
    qvhighlights,
    rextime,
    tacos,
    timelens,
    timer1,
    tvgbench,
    vue_tr,
)
from whenwhere.datasets.benchmark import Benchmark

__all__ = ["BENCHMARKS"]

#: Every benchmark by the name that is typed after `--benchmark`.
BENCHMARKS: dict[str, Benchmark] = {
    b.name: b
    for b in (
        charades_sta.BENCHMARK,
        charades_cd.BENCHMARK,
        activitynet_captions.BENCHMARK,
        tacos.BENCHMARK,
        didemo.BENCHMARK,
        qvhighlights.BENCHMARK,
        qv_m2.BENCHMARK,
        tvgbench.BENCHMARK,
        timelens.BENCHMARK,
        vue_tr.BENCHMARK,
        null_query.BENCHMARK,
        rextime.BENCHMARK,
        nextgqa.BENCHMARK,
        timer1.BENCHMARK,
    )
}
