"""What all files of an ablation study share: strict schemas, errors that name the key, and a writer of TOML.

Files that people write (knobs, bindings) are TOML; files that machines write (plans, studies, cells) are JSON. Each
has a version, and a key that is not known is refused, so that a misspelt one never changes what a study does.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from whenwhere.errors import RecordError, SettingError, WhenwhereError, did_you_mean
from whenwhere.readers import quoted


class Document(BaseModel):
    """A file of an ablation study, or a part of one: unknown keys are refused, and assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


Model = TypeVar("Model", bound=BaseModel)


def read_document(kind: type[Model], value: Any, place: str, error: type[WhenwhereError] = RecordError) -> Model:
    """Check a value that a file held against its schema.

    Args:
        kind: The class of the schema.
        value: What the JSON or TOML parser returned.
        place: File (and line), for the message.
        error: Class of the error that is raised.

    Raises:
        WhenwhereError: The value does not follow the schema; the message names the place and the first wrong key.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as e:
        raise error(f"{place}: {_first_fault(kind, e)}") from e


def _first_fault(kind: type[BaseModel], e: ValidationError) -> str:
    first = e.errors()[0]
    key = _key(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_beside(kind, first["loc"])
        return f"there is no key {key}{did_you_mean(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"the key {key} is missing: add it"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":  # a sentence of our own
        return f"{key}: {reason}" if key else reason
    return f"{key} is {quoted(first.get('input'))}: {reason[:1].lower()}{reason[1:]}"


def _key(path: Sequence[int | str]) -> str:
    """A path of keys and positions as people write it; positions count from 1."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_beside(kind: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Keys that would be right in the place of an unknown one, as far as schemas are nested plainly or in lists."""
    model: Any = kind
    for part in path[:-1]:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: Any) -> str:
    r"""A value as TOML writes it, on one line; None is "none", as recipes write it.

    Args:
        value: Text, a number, true or false, or a list or table of such.

    Raises:
        SettingError: TOML cannot hold the value.

    >>> toml_value({"train.mask_ratio": 0.0, "layers": [6, "last"], "on": True, "name": 'a "b"\n'})
    '{ "train.mask_ratio" = 0.0, layers = [6, "last"], on = true, name = "a \\"b\\"\\n" }'
    """
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML escapes as JSON does, and DEL too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{toml_key(str(key))} = {toml_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    raise SettingError(f"a value of type {type(value).__name__} cannot be written as TOML: give text or a number")


def override_texts(overrides: Mapping[str, Any]) -> list[str]:
    """Overrides as texts `key=value`, which `whenwhere.training.recipe.load` takes.

    Args:
        overrides: Values by key.

    >>> override_texts({"train.mask_ratio": 0.5, "encoder.group_layers": [6, 12], "data.corpus": "scales"})
    ['train.mask_ratio=0.5', 'encoder.group_layers=[6, 12]', 'data.corpus="scales"']
    """
    return [f"{key}={toml_value(value)}" for key, value in overrides.items()]


def toml_key(key: str) -> str:
    """A key as TOML writes it: quoted if it has dots or other signs.

    >>> toml_key("seeds"), toml_key("train.seed")
    ('seeds', '"train.seed"')
    """
    return key if _BARE.fullmatch(key) else toml_value(key)


def toml_lines(table: Mapping[str, Any], name: str = "") -> list[str]:
    r"""A table as lines of TOML; lists of tables become [[name]], and keys whose value is None are left out.

    Args:
        table: The table.
        name: Its name, for the headings of tables in it.

    >>> print("\n".join(toml_lines({"version": 1, "items": [{"id": "a", "set": {"x.y": 2}}], "gone": None})))
    version = 1
    <BLANKLINE>
    [[items]]
    id = "a"
    set = { "x.y" = 2 }
    """
    lines, below = [], []
    for key, value in table.items():
        full = f"{name}.{toml_key(key)}" if name else toml_key(key)
        if value is None:
            continue
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            for one in value:
                below += ["", f"[[{full}]]", *toml_lines(one, full)]
        else:
            lines.append(f"{toml_key(key)} = {toml_value(value)}")
    return lines + below
