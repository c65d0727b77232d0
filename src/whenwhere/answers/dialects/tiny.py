"""Our own policies of a few million parameters (`whenwhere.models.tiny`), trained on the world of shapes.

The question is just the sentence, because the policy was trained without words around it. One answer holds spans and
boxes. Frames are shown in pairs at two a second, so that a second is one step in time and a stamp is the mean of its
two frames.

The configuration is of type `qwen3_vl`; `whenwhere.json` in the checkpoint names this dialect.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.qwen3_vl import QWEN3_VL

TINY_DIALECT = Dialect(
    name="tiny",
    model_types=(),
    names=(),
    time="stamps",
    merge=2,
    frames="pairs",
    resolution=0.1,
    coordinates="thousand",
    points=False,
    spans_form="tokens",
    boxes_form="tokens",
    when="{query}",
    where="",
    which="",
    source="ours",
    stamp=QWEN3_VL.stamp,
    joint=True,
    fps=2.0,
    side=64,
    seconds=16.0,
    box_tokens=6,
)
