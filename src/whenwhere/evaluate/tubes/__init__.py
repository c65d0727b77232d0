"""Tubes: time and boxes together, counted in every way in which the field counts them.

Each file is one family of protocols. `Protocol.counts` has the same keys in all of them, so that one table shows the
differences:

- `continuous`: our own definition, on continuous time, for many tubes at once;
- `native`: HC-STVG's evaluator, TubeDETR, STCAT and its descendants, on frames;
- `st_align`, `stvg_r1`, `vstar`, `vue_stg`: one benchmark or model each;
- `volumetric`: vIoU of video relation detection;
- `tracking`: GOT-10k and LaSOT;
- `association`: HOTA and m-HIoU, for several objects;
- `decomposition`: what is lost in time and what in space.
"""

from whenwhere.evaluate.protocol import Protocol
from whenwhere.evaluate.tubes import (
    association,
    continuous,
    native,
    st_align,
    stvg_r1,
    tracking,
    volumetric,
    vstar,
    vue_stg,
)
from whenwhere.evaluate.tubes.decomposition import decomposition

__all__ = ["PROTOCOLS", "decomposition"]

PROTOCOLS: tuple[Protocol, ...] = (
    *continuous.PROTOCOLS,
    *native.PROTOCOLS,
    *st_align.PROTOCOLS,
    *stvg_r1.PROTOCOLS,
    *vstar.PROTOCOLS,
    *vue_stg.PROTOCOLS,
    *volumetric.PROTOCOLS,
    *tracking.PROTOCOLS,
    *association.PROTOCOLS,
)
