"""Reads tables of a TOML file as dataclasses: every key and value is checked, and errors name the nearest key.

A dataclass is the schema: its fields are the keys, its annotations the types, its defaults the values of keys that are
not given.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import parse_toml, quoted

T = TypeVar("T")


def load_entry(name: object, table: Mapping[str, str], what: str) -> Any:
    """Imports the object that a registry lists under a name as "module:attribute".

    Args:
        name: The name, as a recipe writes it.
        table: The registry: name → "module:attribute".
        what: Word for an entry of the registry, for the error message.

    Raises:
        SettingError: The table has no such name.
    """
    if not isinstance(name, str) or name not in table:
        raise SettingError(f"there is no {what} {quoted(name)}{did_you_mean(str(name)[:200], table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)


#: Annotations that were resolved, by dataclass: that takes most of the time of reading a recipe.
_TYPES: dict[Any, dict[str, Any]] = {}


def types(kind: Any) -> Mapping[str, Any]:
    """The annotations of a dataclass's fields by their names.

    Args:
        kind: The dataclass.
    """
    if kind not in _TYPES:
        hints = get_type_hints(kind)
        _TYPES[kind] = {field.name: hints[field.name] for field in fields(kind)}
    return _TYPES[kind]


def checked(kind: type[T], table: Mapping[str, Any], place: str) -> T:
    """Makes a dataclass of a table of a TOML file, after checking its keys and values.

    Args:
        kind: The dataclass.
        table: The table as the TOML parser returned it.
        place: Name of the file and table, for error messages.

    Raises:
        SettingError: A key does not exist or is missing, or a value is not allowed; the message names place and key.
    """
    known, values = types(kind), {}
    for key, value in table.items():
        if key not in known:
            raise SettingError(f"{place} has no key {quoted(key)}{did_you_mean(key[:200], known)}")
        values[key] = _value(known[key], value, f"{place} {key}")
    try:
        return kind(**values)
    except SettingError as e:
        raise SettingError(f"{place}: {e}") from e
    except TypeError as e:
        lacking = [f.name for f in fields(kind) if f.name not in values and _required(f)]  # type: ignore[arg-type]
        raise SettingError(f"{place} needs {' and '.join(lacking)}") from e


def _required(key: Field[Any]) -> bool:
    return key.default is MISSING and key.default_factory is MISSING


def _value(kind: Any, value: Any, place: str) -> Any:
    """Checks a value against an annotated type, and converts it."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        # TOML has no null: "none" stands for it
        if value == "none" or value is None:
            return None
        return _value(next(t for t in inner if t is not NoneType), value, place)
    if origin is Literal:
        if value not in inner:
            raise SettingError(f"{place} is {quoted(value)}{did_you_mean(str(value)[:200], map(str, inner))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise SettingError(f"{place} is {quoted(value)}, not a list")
        each = [inner[0]] * len(value) if inner[1:] == (Ellipsis,) else list(inner)
        if len(each) != len(value):
            raise SettingError(f"{place} has {len(value)} values, not {len(each)}")
        return tuple(_value(t, v, place) for t, v in zip(each, value, strict=True))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise SettingError(f"{place} is {quoted(value)}, not a table")
        return {k: _value(inner[1], v, f"{place}.{k}") for k, v in value.items()}
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise SettingError(f"{place} is {quoted(value)}, not a table")
        return checked(kind, value, place)  # type: ignore[arg-type]
    return _plain(kind, value, place)


def _plain(kind: Any, value: Any, place: str) -> Any:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if kind in (int, float) and isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1e18:
        raise SettingError(f"{place} is {quoted(value)}, which is too large")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = isinstance(value, bool) if kind is bool else isinstance(value, kind) and not isinstance(value, bool)
    if not right:
        raise SettingError(f"{place} is {quoted(value)}, not {names[kind]}")
    if kind is float and not math.isfinite(value):
        raise SettingError(f"{place} is {value}, not a finite number")
    if kind in (int, float) and value < 0:
        raise SettingError(f"{place} is {value}, and must not be negative")
    return value


def parsed(text: str) -> Any:
    """Parses a value from the command line: as TOML if that is possible, else as text.

    Args:
        text: What was typed.

    >>> parsed("1e-4"), parsed("[4, 8]"), parsed("true"), parsed("cosine"), parsed("runs/a")
    (0.0001, [4, 8], True, 'cosine', 'runs/a')
    """
    try:
        found = parse_toml(f"value = {text}", "the value", SettingError)
    except SettingError:
        return text
    return found["value"] if len(found) == 1 else text
