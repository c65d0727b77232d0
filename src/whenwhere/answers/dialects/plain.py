"""Any other model: everything is said in words, nothing is taken for granted.

This dialect is for hosted models and for families without a file of their own. Single pictures are shown with the time
written before each. Boxes are in thousandths, because most current families were trained on them and the prompt can
explain them to the others.
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
