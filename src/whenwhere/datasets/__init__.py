"""Benchmarks as they were released, read into one form: `Item`.

    >>> from whenwhere.datasets import BENCHMARKS
    >>> BENCHMARKS["charades-sta"].protocol
    'charades-sta'

Each benchmark is one file that exports `BENCHMARK`. Nothing heavier than numpy is imported here.
"""

from whenwhere.datasets import (
    action_lists,
    activitynet13,
    activitynet_captions,
    charades_cd,
    charades_sta,
    didemo,
    got10k,
    hcstvg,
    lasot,
    lsmdc,
    matrices,
    mot,
    msrvtt,
    msvd,
    nextgqa,
    null_query,
    own,
    paragraphs,
    qv_m2,
    qvhighlights,
    rextime,
    st_align,
    staged,
    tacos,
    thumos14,
    timelens,
    timer1,
    tvgbench,
    video_qa,
    video_tables,
    vidor,
    vidstg,
    vqa,
    vstar,
    vue_stg,
    vue_tr,
)
from whenwhere.datasets.benchmark import Benchmark, read_items
from whenwhere.datasets.item import Item

__all__ = ["BENCHMARKS", "Benchmark", "Item", "read_items"]

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
        vidstg.BENCHMARK,
        hcstvg.V1,
        hcstvg.V2,
        vue_stg.BENCHMARK,
        vstar.BENCHMARK,
        st_align.BENCHMARK,
        vidor.BENCHMARK,
        lasot.BENCHMARK,
        got10k.BENCHMARK,
        mot.BENCHMARK,
        activitynet13.BENCHMARK,
        thumos14.BENCHMARK,
        staged.BENCHMARK,
        own.SPANS,
        own.TUBES,
        matrices.RETRIEVAL,
        matrices.RECOGNITION,
        msrvtt.BENCHMARK,
        msvd.BENCHMARK,
        lsmdc.BENCHMARK,
        paragraphs.DIDEMO,
        paragraphs.ACTIVITYNET,
        action_lists.KINETICS,
        action_lists.UCF101,
        action_lists.HMDB51,
        video_tables.WEBVID,
        video_tables.INTERNVID,
        vqa.BENCHMARK,
        video_qa.MSRVTT_QA,
        video_qa.MSVD_QA,
    )
}
