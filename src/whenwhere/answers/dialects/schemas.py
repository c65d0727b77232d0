"""JSON schemas of the forms that are JSON, for models that can be made to follow one.

A schema states what the form requires: field names, types of numbers, and the largest number of items. What no schema
can express (that a span ends after it starts) is left to the reader of the answer. Only keywords that vLLM, SGLang and
hosted models support are used.
"""

from typing import Any

#: Most characters of a label. Without a limit, a model that keeps writing one would never reach its numbers.
LABEL = 24


def spans_schema(most: int = 12) -> dict[str, Any]:
    """Schema of the form `spans`: at most `most` spans, and none where the event does not happen."""
    time = {"type": "number", "minimum": 0}
    return _list({"start": time, "end": time}, most)


def boxes_schema(coordinates: str | None, most: int) -> dict[str, Any]:
    """Schema of the forms `qwen3-vl` and `qwen2.5-vl`: at most `most` boxes with their times.

    Args:
        coordinates: Kind of the coordinates (`whenwhere.answers.Coordinates`); thousandths end at 1000.
        most: Largest number of boxes: as many as times were asked for.
    """
    number: dict[str, Any] = {"type": "integer", "minimum": 0}
    if coordinates == "thousand":
        number["maximum"] = 1000
    box = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
    label = {"type": "string", "maxLength": LABEL}
    return _list({"time": {"type": "number", "minimum": 0}, "bbox_2d": box, "label": label}, most)


def _list(fields: dict[str, Any], most: int) -> dict[str, Any]:
    item = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {"type": "array", "items": item, "maxItems": most}
