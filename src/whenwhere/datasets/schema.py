"""What one line of a manifest holds: an `Item` as a JSON object, version 1 of the schema.

- `id`, `video`, `query` and `spans` are always there (`"spans": []` says that the event is not in the video). Every
  other field of `Item` is there if it is not empty, and `version` is 1. Unknown keys are refused, because the value of
  a misspelt key would be lost.
- Numbers have as many digits as it takes to read the same float again (up to 17); they are never rounded.
- A tube is stored as columns (`times`, `x1`, `y1`, `x2`, `y2`), so that a long tube is a few lists of numbers and not
  a list of objects.

Left out: what was computed rather than annotated (a tube's filled frames, scores of its spans).
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.datasets.release import fault_of
from whenwhere.errors import RecordError, WhenwhereError, did_you_mean
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

VERSION = 1
#: Keys of a line, in the order in which they are written.
KEYS = ("version", *(f.name for f in fields(Item)))
REQUIRED = ("id", "video", "query", "spans")
_TUBE_KEYS = ("id", "label", "score", "rate", "spans", "times", "x1", "y1", "x2", "y2", "sources")
#: Columns of a tube's boxes.
SIDES = ("x1", "y1", "x2", "y2")
#: Most characters of a fault's sentence, because it may quote a value of any length.
LONGEST_FAULT = 400


class FormatFault(Exception):
    """A fault of one line of a manifest, raised without file and line number, which the caller adds.

    Attributes:
        kind: Kind of the fault as a fixed word; `ManifestLine.kind` lists them.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message if len(message) <= LONGEST_FAULT else f"{message[: LONGEST_FAULT - 3]}...")
        self.kind = kind


def fault_of_line(error: Exception) -> FormatFault:
    """The fault of a line that raised an error, also one that nobody foresaw: no line ends the reading of a file."""
    if isinstance(error, FormatFault):
        return error
    if isinstance(error, RecursionError):
        return FormatFault("wrong type", "its lists or objects are nested too deep")
    return FormatFault("unexpected", f"unexpected {type(error).__name__}, which is a fault of whenwhere: {error}")


def to_dict(item: Item) -> dict[str, Any]:
    """The JSON object of an item, without its empty fields except the four that are always there.

    >>> from whenwhere.datasets.item import span_array
    >>> to_dict(Item("a", "clip.mp4", "a dog runs", span_array([(0.1, 2)])))
    {'version': 1, 'id': 'a', 'video': 'clip.mp4', 'query': 'a dog runs', 'spans': [[0.1, 2.0]]}
    """
    out: dict[str, Any] = {"version": VERSION}
    for key in KEYS[1:]:
        value = getattr(item, key)
        if key == "spans":
            value = value.tolist()
        elif key == "tubes":
            value = [_tube_dict(tube) for tube in value]
        elif key == "window" and value is not None:
            value = [value.start, value.end]
        elif (key == "status" and value == "valid") or (key == "offset" and value == 0):
            value = None
        if key in REQUIRED or not (value is None or value == [] or value == {}):
            out[key] = value
    return out


def to_json(item: Item) -> str:
    """The manifest line of an item as JSON text, without a line break.

    Raises:
        RecordError: The item holds something that JSON cannot hold, such as a span that is not finite.
    """
    try:
        return json.dumps(to_dict(item), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError) as e:
        raise RecordError(f"item {item.id!r} cannot be written as JSON ({e}): correct or remove that item") from e


def check_finite(item: Item) -> None:
    """Refuse an item that Parquet could hold but that could not be read back as a line of a manifest.

    Raises:
        RecordError: A number of the item is not finite.
    """
    numbers = [v for v in (item.duration, item.offset, item.fps, item.difficulty) if v is not None]
    if not (np.isfinite(item.spans).all() and all(map(math.isfinite, numbers))):
        raise RecordError(f"item {item.id!r} holds a number that is not finite: correct or remove that item")


def from_dict(entry: Any) -> Item:
    """The item of a JSON object.

    Raises:
        FormatFault: The object does not follow the schema.

    >>> from_dict({"id": "a", "video": "v", "query": "q", "spans": [[1, 2]]}).spans
    array([[1., 2.]])
    >>> from_dict({"id": "a", "video": "v", "query": "q", "span": [[1, 2]]})
    Traceback (most recent call last):
    ...
    whenwhere.datasets.schema.FormatFault: unknown key 'span' (did you mean spans?)
    """
    if not isinstance(entry, dict):
        raise FormatFault("not an object", "not an object with `id`, `video`, `query` and `spans`")
    for key in entry:
        if key not in _CHECKS:
            raise FormatFault("unknown key", f"unknown key {key!r}{did_you_mean(key, KEYS)}")
    if entry.get("version", VERSION) != VERSION:
        raise FormatFault("version", f"version {entry['version']!r}, but this whenwhere reads version {VERSION}")
    for key in REQUIRED:
        if key not in entry:
            raise FormatFault("missing key", f"no key {key!r}")
    values = {}
    for key, value in entry.items():
        if value is None and key not in REQUIRED:
            continue
        try:
            values[key] = _CHECKS[key](value, key)
        except OverflowError as e:
            raise FormatFault("not a number", f"{key!r} holds a number too large for a float") from e
    values.pop("version", None)
    item = Item(**values)
    if item.status == "valid" and (fault := fault_of(item.spans.tolist())):
        raise FormatFault("reversed span", f'a span {fault}: correct it, or add "status": "invalid"')
    return item


def read_window(value: Any, key: str = "window") -> Span | None:
    """The `Span` of the value `[start, end]` of a line, in seconds; None if the value is null.

    Raises:
        FormatFault: The value is neither, or its end is not after its start.
    """
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _wrong(key, value, "a pair [start, end]")
    start, end = (_number(end, key) for end in value)
    if not start < end:
        raise FormatFault("reversed span", f"{key!r} ends at {end:g} s, not after its start at {start:g} s")
    return Span(start, end)


def _tube_dict(tube: Tube) -> dict[str, Any]:
    out: dict[str, Any] = {"id": tube.id}
    if tube.label is not None:
        out["label"] = tube.label
    if tube.score is not None:
        out["score"] = tube.score
    out |= {"rate": tube.rate, "spans": [[s.start, s.end] for s in tube.spans], "times": tube.times.tolist()}
    out |= dict(zip(SIDES, tube.boxes.T.tolist(), strict=True))
    if tube.sources:
        out["sources"] = list(tube.sources)
    return out


def _wrong(key: str, value: Any, wanted: str) -> FormatFault:
    shown = json.dumps(value, default=str)
    return FormatFault("wrong type", f"{key!r} is {shown if len(shown) < 60 else shown[:57] + '...'}, not {wanted}")


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise _wrong(key, value, "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FormatFault("not UTF-8", f"{key!r} holds characters that UTF-8 cannot hold") from None
    return value


def _name(value: Any, key: str) -> str:
    if not _text(value, key):
        raise FormatFault("wrong type", f"{key!r} is empty")
    return str(value)


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise _wrong(key, value, "a list of texts")
    return value


def _object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(key, value, "an object")
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, value, "a number")
    if not math.isfinite(value):
        raise FormatFault("not a number", f"{key!r} is {value}, not a finite number")
    return float(value)


def _positive(value: Any, key: str) -> float:
    if not _number(value, key) > 0:
        raise FormatFault("not a number", f"{key!r} is {value}, not a positive number")
    return float(value)


def _count(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong(key, value, "a whole number")
    return value


def _column(value: Any, key: str) -> NDArray[np.float64]:
    """A list of finite numbers as an array; values from Parquet are arrays already."""
    if not isinstance(value, np.ndarray) and (
        not isinstance(value, list) or any(type(v) is not float and type(v) is not int for v in value)
    ):
        raise _wrong(key, value, "a list of numbers")
    found = np.asarray(value, np.float64)
    if not np.isfinite(found).all():
        raise FormatFault("not a number", f"{key!r} holds something that is not a finite number")
    return found


def _spans(value: Any, key: str) -> NDArray[np.float64]:
    if isinstance(value, np.ndarray):
        return _column(value, key)
    if not isinstance(value, list) or not all(isinstance(v, list) and len(v) == 2 for v in value):
        raise _wrong(key, value, "a list of [start, end]")
    return _column([x for v in value for x in v], key).reshape(-1, 2)


def _tube(value: Any, key: str) -> Tube:
    entry = _object(value, key)
    for name in entry:
        if name not in _TUBE_KEYS:
            raise FormatFault("unknown key", f"a tube has the unknown key {name!r}{did_you_mean(name, _TUBE_KEYS)}")
    for name in ("spans", "times", *SIDES):
        if name not in entry:
            raise FormatFault("missing key", f"a tube has no key {name!r}")
    times, sides = _column(entry["times"], "times"), [_column(entry[s], s) for s in SIDES]
    if {len(s) for s in sides} != {len(times)}:
        raise FormatFault(
            "bad tube", f"a tube has {len(times)} times but {', '.join(str(len(s)) for s in sides)} sides"
        )
    label, score = entry.get("label"), entry.get("score")
    try:
        return Tube(
            SpanSet(map(tuple, _spans(entry["spans"], "spans").tolist())),
            times,
            np.stack(sides, axis=1),
            rate=_positive(entry.get("rate", 1.0), "rate"),
            sources=_texts(entry.get("sources", []), "sources"),
            id=_text(entry.get("id", "0"), "id"),
            label=None if label is None else _text(label, "label"),
            score=None if score is None else _number(score, "score"),
        )
    except WhenwhereError as e:
        raise FormatFault("bad tube", str(e)) from e


def _tubes(value: Any, key: str) -> list[Tube]:
    if not isinstance(value, list):
        raise _wrong(key, value, "a list of tubes")
    return [_tube(v, key) for v in value]


def _status(value: Any, key: str) -> str:
    if value not in ("valid", "invalid"):
        raise _wrong(key, value, '"valid" or "invalid"')
    return str(value)


def _share(value: Any, key: str) -> float:
    if not 0 <= _number(value, key) <= 1:
        raise FormatFault("not a number", f"{key!r} is {value}, not in 0-1")
    return float(value)


#: For each key, the function that checks a value and makes what `Item` holds of it.
_CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "version": lambda value, _: value,
    "id": _name, "video": _name, "query": _text, "spans": _spans, "tubes": _tubes,
    "duration": _positive, "window": read_window, "offset": _number,
    "fps": _positive, "frames": _count, "width": _count, "height": _count,
    "status": _status, "fault": _text, "type": _text, "split": _text, "source": _text, "licence": _text,
    "captions": _texts, "options": _texts, "answer": _text,
    "difficulty": _share, "difficulty_of": _text, "provenance": _object, "extra": _object,
}  # fmt: skip
