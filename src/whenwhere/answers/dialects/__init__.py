"""How each family of models is asked: one file per family, listed here.

>>> dialect_for("Qwen/Qwen2.5-VL-7B-Instruct").coordinates, dialect_for("glm4v_moe").name
('pixels', 'glm-4.5v')
"""

from whenwhere.answers.dialects.dialect import Dialect, FrameMode, point_boxes
from whenwhere.answers.dialects.glm_4v import GLM_4_6V, GLM_4V
from whenwhere.answers.dialects.internvl3_5 import INTERNVL3_5
from whenwhere.answers.dialects.llava import LLAVA_NEXT_VIDEO, LLAVA_ONEVISION
from whenwhere.answers.dialects.molmo2 import MOLMO2
from whenwhere.answers.dialects.plain import PLAIN
from whenwhere.answers.dialects.qwen2_5_vl import QWEN2_5_VL
from whenwhere.answers.dialects.qwen3_5 import QWEN3_5
from whenwhere.answers.dialects.qwen3_vl import QWEN3_VL
from whenwhere.answers.dialects.schemas import boxes_schema, spans_schema
from whenwhere.answers.dialects.tiny import TINY_DIALECT
from whenwhere.answers.dialects.videollama3 import VIDEOLLAMA3

#: Dialect by name. `plain` is used for every model without a dialect of its own.
DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        QWEN3_VL,
        QWEN3_5,
        QWEN2_5_VL,
        INTERNVL3_5,
        GLM_4V,
        GLM_4_6V,
        VIDEOLLAMA3,
        LLAVA_NEXT_VIDEO,
        LLAVA_ONEVISION,
        MOLMO2,
        TINY_DIALECT,
        PLAIN,
    )
}


def dialect_for(name: str) -> Dialect:
    """The dialect of a family, found by its name, a configuration's `model_type` or a model's name; else `plain`.

    >>> dialect_for("qwen3_vl_moe").name, dialect_for("http://host/v1#Qwen3.6-27B").name, dialect_for("gpt-x").name
    ('qwen3-vl', 'qwen3.5', 'plain')
    """
    asked = name.lower()
    if asked in DIALECTS:
        return DIALECTS[asked]
    for dialect in DIALECTS.values():
        if asked in dialect.model_types:
            return dialect
    return next((d for d in DIALECTS.values() if any(part in asked for part in d.names)), PLAIN)


__all__ = ["DIALECTS", "Dialect", "FrameMode", "boxes_schema", "dialect_for", "point_boxes", "spans_schema"]
