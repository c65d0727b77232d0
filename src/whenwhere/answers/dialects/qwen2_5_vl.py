"""Qwen2.5-VL: time is in the rotary positions alone, boxes are in pixels of the resized picture.

The positions count from the first frame shown and have one fixed step (floor(k · tokens_per_second · seconds per
step)), so they can express neither where a window begins nor times off a regular grid. The family's staff advise naming
the unit in the words (QwenLM issues 752, 950). The default is therefore `images`: single pictures with the time written
before each. `pairs` and `repeat` pass one video whose step must be regular; our words then name the frames' times.

Pixels are those *after* the family's own resizing, which `ModelReply.shown` records. The words are those of its
spatio-temporal prompt.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import IN_PIXELS, WHEN, WHERE, WHICH

QWEN2_5_VL = Dialect(
    name="qwen2.5-vl",
    model_types=("qwen2_5_vl",),
    names=("qwen2.5-vl", "qwen2_5_vl", "qwen2.5vl"),
    time="positions",
    merge=2,
    frames="images",
    resolution=0.1,
    coordinates="pixels",
    points=False,
    spans_form="spans",
    boxes_form="qwen2.5-vl",
    when=WHEN,
    where=WHERE + IN_PIXELS,
    which=WHICH,
    source=(
        "positions: transformers 5.23 models/qwen2_5_vl; unit in the words: QwenLM/Qwen3-VL issues 752 and 950; boxes, "
        "pixels of the resized picture: QwenLM cookbooks/spatial_understanding; words about time: ours"
    ),
)
