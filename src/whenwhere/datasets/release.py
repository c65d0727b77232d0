"""Checks that the readers of all benchmarks share, with errors of one sentence.

Three things are checked: the file is whole (not missing, empty, or cut off in the middle), it is that benchmark's file
(all keys are there), and each value is what it should be (such as a pair of finite numbers). Each error names the file
and the line or key, and says what to do about it. A faulty *annotation* (an end before its start) is not an error: the
item is kept and marked as invalid, see `fault_of`.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from whenwhere import readers
from whenwhere.errors import RecordError
from whenwhere.readers import parse_json, quoted
from whenwhere.spans import Span

_AGAIN = "fetch the released file again"


def read_text(path: Path) -> str:
    """The whole text of a released file.

    Raises:
        RecordError: The file is missing, is a folder, is not UTF-8 text, or is empty.
    """
    text = readers.read_text(path, remedy="give the annotation file that was released")
    if not text.strip():
        raise RecordError(f"{path} is empty: {_AGAIN}")
    return text


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        RecordError: The file cannot be read, is not UTF-8 text, is empty or is not JSON; the message names the line.
    """
    return parse_json(read_text(path), str(path), remedy=_AGAIN)


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place, object) for each line of a JSON Lines file, where place is `file, line n`, for error messages.

    Raises:
        RecordError: The file cannot be read, is not UTF-8 text or is empty, or a line is not a JSON object (the last
            one may be cut off); the message names the line.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            yield place, mapping(parse_json(line, place, remedy=_AGAIN), place)


def mapping(value: Any, place: str) -> dict[str, Any]:
    """Returns `value` if it is a JSON object, and raises RecordError with `place` in its message if not."""
    if not isinstance(value, dict):
        raise RecordError(f"{place} is {_kind(value)} where an object is expected: is this another benchmark's file?")
    return value


def listing(value: Any, place: str) -> list[Any]:
    """Returns `value` if it is a list, and raises RecordError with `place` in its message if not."""
    if not isinstance(value, list):
        raise RecordError(f"{place} is {_kind(value)} where a list is expected: is this another benchmark's file?")
    return value


def need(entry: Mapping[str, Any], keys: tuple[str, ...], place: str, title: str) -> None:
    """Check that an entry has all the keys that the data set called `title` should have.

    Raises:
        RecordError: A key is missing; the message names it, and the keys that the entry has.

    >>> need({"vid": "a"}, ("qid", "vid"), "val.jsonl, line 1", "QVHighlights")
    Traceback (most recent call last):
    ...
    whenwhere.errors.RecordError: val.jsonl, line 1 has no 'qid', so this is no QVHighlights file: it has vid; give ...
    """
    missing = [k for k in keys if k not in entry]
    if missing:
        has = ", ".join(quoted(key, 40).strip("'") for key in list(entry)[:8]) or "nothing"
        raise RecordError(
            f"{place} has no {' and no '.join(map(repr, missing))}, so this is no {title} file: it has {has}; "
            f"give the file of {title} or the --benchmark that this file belongs to"
        )


def text(value: Any, place: str) -> str:
    """Returns `value` if it is text, which may be empty, and raises RecordError if not."""
    if not isinstance(value, str):
        raise RecordError(f"{place} is {_kind(value)} where text is expected; mend or remove that entry")
    return value


def filled(value: Any, place: str) -> str:
    """Returns `value` if it is text that is not empty, and raises RecordError if not."""
    if not text(value, place):
        raise RecordError(f"{place} is empty; mend or remove that entry")
    return str(value)


def number(value: Any, place: str) -> float:
    """`value` as a finite float; numbers written as text are accepted.

    >>> number("1.5", "x"), number(2, "x")
    (1.5, 2.0)
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        found = float(value)
        if not math.isfinite(found):
            raise ValueError
    except (ValueError, OverflowError):
        raise RecordError(
            f"{place} is {quoted(value)} where a finite number is expected; mend or remove that entry"
        ) from None
    return found


def positive(value: Any, place: str) -> float:
    """`value` as a finite float above 0: a duration, a frame rate, a count of frames."""
    found = number(value, place)
    if not found > 0:
        raise RecordError(f"{place} is {quoted(value)} where a positive number is expected; mend or remove that entry")
    return found


def name(value: Any, place: str) -> str:
    """An identifier as text; a whole number is converted.

    >>> name(2579, "x"), name("anet_val1", "x")
    ('2579', 'anet_val1')
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise RecordError(f"{place} is {quoted(value)} where an identifier is expected; mend or remove that entry")
    return str(value)


def pair(value: Any, place: str) -> tuple[float, float]:
    """`value` as (start, end), both finite, in the order as given."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise RecordError(
            f"{place} is {quoted(value)} where a pair [start, end] is expected; mend or remove that entry"
        )
    return number(value[0], place), number(value[1], place)


def span_of(ends: tuple[float, float], place: str) -> Span:
    """The `Span` from a pair (start, end) in seconds.

    Raises:
        RecordError: Its end is not after its start.
    """
    if not ends[0] < ends[1]:
        raise RecordError(f"{place}: the window [{ends[0]:g}, {ends[1]:g}] has no length; correct or remove that entry")
    return Span(*ends)


def pairs(value: Any, place: str) -> list[tuple[float, float]]:
    """`value` as a list of (start, end)."""
    return [pair(v, f"{place}[{i}]") for i, v in enumerate(listing(value, place))]


def dense(
    path: Path, title: str, spans: str, sentences: str, *others: str
) -> Iterator[tuple[str, str, dict[str, Any], int, tuple[float, float], str]]:
    """Yields the sentences of a file that holds, for each video, one list of spans and one of sentences.

    Args:
        path: JSON file with one object for each video.
        title: Title of the set, for messages.
        spans: Key of the list of [start, end].
        sentences: Key of the list of sentences.
        others: Further keys that each video's object must have.

    Yields:
        The place (for messages), the video, its object, the number of the sentence from 0, its span, the sentence.
    """
    for video, value in mapping(read_json(path), str(path)).items():
        place = f"{path}, {video}"
        entry = mapping(value, place)
        need(entry, (spans, sentences, *others), place, title)
        found = pairs(entry[spans], f"{place}: {spans}")
        said = listing(entry[sentences], f"{place}: {sentences}")
        if len(found) != len(said):
            raise RecordError(
                f"{place} has {len(found)} {spans} but {len(said)} {sentences}: fetch the released file again"
            )
        for n, (span, sentence) in enumerate(zip(found, said, strict=True)):
            yield place, video, entry, n, span, text(sentence, f"{place}: {sentences}[{n}]").strip()


def fault_of(spans: list[tuple[float, float]]) -> str | None:
    """Why the true spans of an item are unusable, as words for a message; None if they are fine.

    >>> fault_of([(0, 4.5), (34.77, 34.77)])
    'ends at 34.77 s, not after its start at 34.77 s'
    """
    for start, end in spans:
        if not start < end:
            return f"ends at {end:g} s, not after its start at {start:g} s"
    return None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", type(None): "null", bool: "true or false"}
    return names.get(type(value), "a number")
