"""JSON schemas of the forms that are JSON, for models that can be held to one.

A schema says what the form cannot do without: field names, the kinds of the numbers, and how many items there can be.
It leaves to the reader what no schema can say (that a span ends after it starts). Only keywords that vLLM, SGLang and
hosted models know are used.
"""

from typing import Any

#: Characters of a label; a model that cannot stop writing one would never come to its numbers.
LABEL = 24


def spans_schema(most: int = 12) -> dict[str, Any]:
    """Schema of the form `spans`: at most so many; none where it does not happen."""
    time = {"type": "number", "minimum": 0}
    return _list({"start": time, "end": time}, most)


def boxes_schema(coordinates: str | None, most: int) -> dict[str, Any]:
    """Schema of the forms `qwen3-vl` and `qwen2.5-vl`: at most so many boxes with their times.

    Args:
        coordinates: kind of the coordinates (`whenwhere.answers.Coordinates`); thousandths end at 1000.
        most: boxes, as many as times were asked for.
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
