"""Qwen3.5 and Qwen3.6: natively multimodal, with Qwen3-VL's processor (transformers maps `qwen3_5` to it).

Three quarters of the layers are recurrent, which changes the cost of a long prompt but not how the model is asked. The
chat template turns thinking on unless told not to; it is turned off where an answer must follow a schema.
"""

from dataclasses import replace

from whenwhere.answers.dialects.qwen3_vl import QWEN3_VL

QWEN3_5 = replace(
    QWEN3_VL,
    name="qwen3.5",
    model_types=("qwen3_5", "qwen3_5_moe"),
    names=("qwen3.5", "qwen3.6", "qwen3_5", "qwen3_6"),
    source=(
        "processor: transformers 5.23 models/auto/processing_auto.py (qwen3_5 -> Qwen3VLProcessor); boxes: "
        "thousandths taken over from Qwen3-VL, not stated for this family; words about time: ours"
    ),
)
