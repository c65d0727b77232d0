"""InternVL 3.5 (and 3): frames carry an index but no time.

The processor writes `Frame1: `, `Frame2: `, ... before the frames of a video and is never told their times. We
therefore pass single pictures, each with its time before it. The family's own form of a box,
`<ref>dog</ref><box>[[...]]</box>`, has no place for a time, so boxes are asked for in JSON with times, in the family's
thousandths.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import IN_THOUSANDTHS, WHEN, WHERE, WHICH

INTERNVL3_5 = Dialect(
    name="internvl3.5",
    model_types=("internvl",),
    names=("internvl3", "internvl-3"),
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
    source=(
        "index only: transformers 5.23 models/internvl/processing_internvl.py; thousandths: general "
        "knowledge of InternVL 2's grounding data, not read; words and the form with times: ours"
    ),
)
