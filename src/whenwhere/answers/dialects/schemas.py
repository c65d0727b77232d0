"""JSON schemas of answers, for constrained decoding on servers that support it.

They exist for the answer forms that are JSON. A schema fixes the names of fields, the types of numbers, and the largest
number of items. What no schema can express, such as that a span ends after it starts, is checked when the answer is
parsed. Only keywords that vLLM, SGLang and hosted models support are used.
"""

from typing import Any

#: Largest number of characters in a label. Without a limit, a model might go on with the label and never end it.
LABEL = 24


def spans_schema(most: int = 12) -> dict[str, Any]:
    """JSON schema of an answer about time: a list of objects with `start` and `end` in seconds.

    An empty list means that the event does not happen in the video.

    Args:
        most: Largest number of spans in the list.
    """
    time = {"type": "number", "minimum": 0}
    return _list({"start": time, "end": time}, most)


def boxes_schema(coordinates: str | None, most: int) -> dict[str, Any]:
    """JSON schema of an answer with boxes in the way of Qwen-VL: a list of objects with `time`, `bbox_2d` and `label`.

    Args:
        coordinates: Kind of the coordinates, one of `whenwhere.answers.Coordinates` or None; `thousand` limits them to
            1000.
        most: Largest number of boxes in the list, usually the number of times that the model is asked about.
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
