"""Any other model: everything is said in words, nothing is taken for granted.

For hosted models and for families without a file of their own. Single pictures with the time written before each;
boxes in thousandths, because most families of today were trained on them and a model that was not can still be told.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import IN_THOUSANDTHS, WHEN, WHERE, WHICH

PLAIN = Dialect(
    name="plain",
    model_types=(),
    names=(),
    time="ours",
    merge=1,
    frames="images",
    resolution=0.1,
    coordinates="thousand",
    points=False,
    spans_form="spans",
    boxes_form="qwen3-vl",
    when=WHEN,
    where=WHERE + IN_THOUSANDTHS,
    which=WHICH,
    source="ours",
)
