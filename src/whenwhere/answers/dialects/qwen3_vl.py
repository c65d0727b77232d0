"""Qwen3-VL (the default), dense and mixture of experts.

The processor writes `<t seconds>` before every two frames, where t is the mean of their times to a tenth of a second.
At one frame a second the stamps of `pairs` are therefore 0.5, 2.5, 4.5 s, by which no box per second can be named. The
default is `repeat`: each frame is shown twice, so that a stamp is a frame's own time, at twice the tokens. The family's
own recipe for boxes (the cookbook) is `images`: single pictures with `<t seconds>` written before each.
"""

from whenwhere.answers.dialects.dialect import Dialect
from whenwhere.answers.dialects.words import IN_THOUSANDTHS, WHEN, WHERE, WHICH

QWEN3_VL = Dialect(
    name="qwen3-vl",
    model_types=("qwen3_vl", "qwen3_vl_moe"),
    names=("qwen3-vl", "qwen3_vl", "qwen3vl"),
    time="stamps",
    merge=2,
    frames="repeat",
    resolution=0.1,
    coordinates="thousand",
    points=False,
    spans_form="spans",
    boxes_form="qwen3-vl",
    when=WHEN,
    where=WHERE + IN_THOUSANDTHS,
    which=WHICH,
    source=(
        "stamps: transformers 5.23 models/qwen3_vl/processing_qwen3_vl.py; boxes, thousandths: QwenLM/Qwen3-VL "
        "cookbooks/video_understanding and cookbooks/2d_grounding; words about time: ours"
    ),
    stamp=r"<(\d+\.\d) seconds>(?:<\|vision_start\|>)?{video}",
)
