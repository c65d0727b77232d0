"""Reads the replacements of a plan, which are texts, as values of a knob.

Only a text that means one value is read. One that is relative ("2x"), a range, or says more than the value is refused
with the reason: a wrong value would go unnoticed.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from whenwhere.ablate.knobs import Knob
from whenwhere.ablate.plan_records import normal_words
from whenwhere.readers import quoted

#: A number as people write it: a sign, digits with thousands apart, a fraction, a power of ten, a percent sign, k or M.
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[-+]?\d+)?(?<=[\d.])(?:\s?%|[kM]\b)?", re.I
)
#: Signs that a number is not the value itself: factors, fractions, bounds, ranges.
_RELATIVE = re.compile(r"[×*/^<>≤≥~∼±…]|\.\.|(?<![^\W_])x(?![^\W_])|[–—]|\+")
#: Words that may stand beside a number that is the value itself, besides those of the knob.
_AROUND_NUMBERS = frozenset({
    "the", "of", "to", "is", "set", "value", "values", "with", "only", "default", "original", "baseline", "paper",
    "ours", "percent", "ms", "sec", "second", "seconds", "px", "pixel", "pixels", "fps", "hz", "epoch", "epochs",
    "step", "steps", "iterations",
})  # fmt: skip
_SWITCH = {
    "true": True, "on": True, "yes": True, "with": True, "enabled": True, "1": True, "false": False, "off": False,
    "no": False, "without": False, "disabled": False, "0": False, "none": False, "removed": False,
}  # fmt: skip


class UnreadableValue(ValueError):
    """A text names no value that a knob can have, or more than one; the message is a sentence."""


def read_value(knob: Knob, replacement: Any, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read one replacement of a plan as a value of a knob.

    Args:
        knob: The knob.
        replacement: The replacement, a text or a JSON value.
        config: Values of the baseline by key, for symbols such as `last`.

    Returns:
        The value in words, and the overrides that it stands for.

    Raises:
        UnreadableValue: The replacement means no value of the knob, or more than one.
    """
    text = str(replacement).strip()
    words = normal_words(text)
    for name, table in knob.options.items():
        if normal_words(name) == words:
            return name, dict(table)
    for name, value in knob.parse.items():
        if normal_words(name) == words:
            return _meant(knob, value, config)
    if not knob.key or knob.type == "table":
        raise UnreadableValue(f"{quoted(text)} is none of {', '.join(knob.options)}: write one of them")
    return _meant(knob, _typed(knob, replacement, text), config)


def _meant(knob: Knob, value: Any, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A value in words, and its overrides: an option by its name, or a value of the key with symbols filled in."""
    if isinstance(value, str) and value in knob.options:
        return value, dict(knob.options[value])
    if isinstance(value, list):
        shown = f"({', '.join(map(str, value))})"
    else:
        shown = _shown(value)
    resolved = resolve_symbols(knob, value, config)
    _check_range(knob, resolved)
    return shown, {knob.key: resolved}


def _shown(value: Any) -> str:
    return (
        {True: "on", False: "off"}[value]
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def resolve_symbols(knob: Knob, value: Any, config: Mapping[str, Any]) -> Any:
    """The value with words such as `last` replaced by what they stand for in the baseline.

    Args:
        knob: The knob.
        value: A value, or a list of values.
        config: Values of the baseline by key.

    Raises:
        UnreadableValue: The key that a symbol names has no value.
    """
    if isinstance(value, list):
        return [resolve_symbols(knob, one, config) for one in value]
    if not isinstance(value, str) or value not in knob.symbols:
        return value
    meant = knob.symbols[value]
    if isinstance(meant, str):
        if config.get(meant) is None:
            raise UnreadableValue(
                f"{value!r} stands for {meant}, which the recipe leaves to its checkpoint: say a number"
            )
        return config[meant]
    return meant


def _check_range(knob: Knob, value: Any) -> None:
    """Refuse a number, or a list with one, outside the range of a knob.

    Raises:
        UnreadableValue: A number is outside the range.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int | float) and not isinstance(one, bool):
            if knob.minimum is not None and one < knob.minimum:
                raise UnreadableValue(f"{one:g} is below {knob.minimum:g}, the smallest value of {knob.id}")
            if knob.maximum is not None and one > knob.maximum:
                raise UnreadableValue(f"{one:g} is above {knob.maximum:g}, the largest value of {knob.id}")


def _typed(knob: Knob, replacement: Any, text: str) -> Any:
    """A replacement as a value of the knob's type; `text` is the replacement as text.

    Raises:
        UnreadableValue: The text names no value of the type, or more than one.
    """
    if knob.type == "bool":
        if isinstance(replacement, bool) or text.casefold() in _SWITCH:
            return replacement if isinstance(replacement, bool) else _SWITCH[text.casefold()]
        raise UnreadableValue(f"{quoted(text)} says neither on nor off")
    if knob.type in ("int", "float"):
        return _number(knob, replacement, text)
    if knob.type == "layers":
        return _layers(replacement, text, list(knob.symbols))
    if knob.type == "list":
        return _list(replacement, text)
    return text


def _number(knob: Knob, replacement: Any, text: str) -> int | float:
    """The number that a replacement names, in the type of the knob.

    Raises:
        UnreadableValue: It names none or several, is relative to something, or says more than a number.
    """
    if isinstance(replacement, int | float) and not isinstance(replacement, bool):
        value: float = replacement
    else:
        found = _NUMBER.findall(text)
        if len(found) != 1:
            raise UnreadableValue(f"{quoted(text)} says {'no number' if not found else 'more than one number'}")
        rest = text.replace(found[0], " ", 1)
        if found[0].startswith("+") or _RELATIVE.search(rest):
            raise UnreadableValue(f"{quoted(text)} is relative to something, or a range: write the value itself")
        named = " ".join([knob.words, knob.key, knob.id, *knob.aliases]).casefold()
        strange = [word for word in re.findall(r"[^\W\d_]{2,}", rest.casefold()) if word not in named]
        strange = [word for word in strange if word not in _AROUND_NUMBERS]
        if strange:
            raise UnreadableValue(f"{quoted(text)} says more than a number ({strange[0]!r}): write the number alone")
        value = number(found[0], share=knob.maximum is not None and knob.maximum <= 1)
    if knob.type == "int":
        if value != int(value):
            raise UnreadableValue(f"{quoted(text)} is not a whole number")
        return int(value)
    return float(value)


def number(text: str, share: bool = False) -> float:
    """Read a number as people write it.

    Args:
        text: One number, perhaps with thousands apart, a percent sign, k or M.
        share: Whether a percentage means a share between 0 and 1.

    >>> number("1,024"), number("50 %", share=True), number("50%"), number("10k"), number("1e-4")
    (1024.0, 0.5, 50.0, 10000.0, 0.0001)
    """
    plain = text.replace(",", "").replace("−", "-").strip()
    factor = 1.0
    if plain.endswith("%"):
        plain, factor = plain[:-1], 0.01 if share else 1.0
    elif plain[-1:] in "kM":
        plain, factor = plain[:-1], 1e3 if text.strip().endswith("k") else 1e6
    elif plain[-1:] == "K":
        plain, factor = plain[:-1], 1e3
    return float(plain) * factor


_COUNT = re.compile(r"\b(\d+|one|two|three|four|five|six)\s+(?:\w+\s+)?blocks?\b", re.I)
_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


def _layers(replacement: Any, text: str, symbols: list[str]) -> list[Any]:
    """The layers that a text names: numbers, or words for them such as `last`.

    Raises:
        UnreadableValue: It names no layer, or a number of layers other than it says.
    """
    if isinstance(replacement, list):
        text = ", ".join(map(str, replacement))
    count = _COUNT.search(text)
    rest = text[: count.start()] + text[count.end() :] if count else text
    word = "|".join(map(re.escape, symbols)) or r"(?!)"
    named: list[Any] = [
        one.casefold() if not one.isdigit() else int(one) for one in re.findall(rf"\b(?:\d+|{word})\b", rest, re.I)
    ]
    if not named:
        raise UnreadableValue(f"{quoted(text)} names no layer")
    if count:
        number_of = _COUNTS.get(count.group(1).casefold()) or int(count.group(1))
        if number_of != len(named):
            raise UnreadableValue(f"{quoted(text)} says {number_of} and names {len(named)}")
    return named


def _list(replacement: Any, text: str) -> list[Any]:
    """The list that a replacement is or writes, with or without brackets.

    Raises:
        UnreadableValue: It is empty.
    """
    if isinstance(replacement, list):
        return list(replacement)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = [part.strip() for part in text.strip("()[] ").split(",")]
        value = [int(part) if re.fullmatch(r"-?\d+", part) else part for part in value if part]
    if not isinstance(value, list | tuple) or not value:
        raise UnreadableValue(f"{quoted(text)} is not a list")
    return list(value)


def read_assignments(replacement: Any) -> dict[str, Any] | None:
    """Read a replacement that sets several parameters, such as "{'lambda1': 0.1, 'lambda2': 1}"; None for any other.

    Args:
        replacement: The replacement, a text or a JSON value.

    >>> read_assignments("{'lambda1': 0.1, 'lambda2': 1}"), read_assignments("8")
    ({'lambda1': 0.1, 'lambda2': 1}, None)
    """
    if isinstance(replacement, str) and replacement.strip().startswith("{"):
        try:
            replacement = ast.literal_eval(replacement.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return {str(key): value for key, value in replacement.items()} if isinstance(replacement, dict) else None


_GRID = re.compile(r"([A-Za-zα-ωΑ-Ω][\w .-]{0,40}?)\s*[:=]\s*(\[.*\])")


def read_grid(replacement: Any) -> tuple[str, list[Any]] | None:
    """Read a replacement that lists values of one parameter, such as "beta: [0.1, 1]"; None for any other.

    Args:
        replacement: The replacement, a text or a JSON value.

    Returns:
        The name of the parameter, "" if none is named, and the values.

    >>> read_grid("beta: [0.1, 1]"), read_grid([4, 8]), read_grid("4")
    (('beta', [0.1, 1]), ('', [4, 8]), None)
    """
    if isinstance(replacement, list):
        return "", replacement
    found = _GRID.fullmatch(str(replacement).strip())
    if found is None:
        return None
    try:
        values = ast.literal_eval(found.group(2))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found.group(1), values
