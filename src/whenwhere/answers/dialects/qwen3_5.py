"""Qwen3.5 and Qwen3.6: natively multimodal, with Qwen3-VL's processor (transformers maps `qwen3_5` to it).

Three quarters of the layers are recurrent, which changes what a long prompt costs and nothing about how it is asked.
The chat template thinks unless told otherwise; where an answer is held to a schema, it is told otherwise.
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
