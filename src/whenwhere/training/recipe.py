"""Reads recipes: a training run as a TOML file, checked to the last key.

    [train]         stage = "sft", "rl" or another of `training.stages.STAGES`, and its settings under TRL's names
    [model], ...    the stage's own tables (`training.policy_tables` for stages that train a policy)
    [[evaluators]]  what is measured while the model trains (`training.evaluators`); may be left out
    [presets.NAME]  other values for other machines: `processes`, how many they are meant for, and tables as above

A recipe is found by its name among those that come with the package (`packaged`), or by its path. A key that is not
given has its default, so that `Recipe.resolved` is all that a run depends on; `Recipe.hash` names it and is written
into the run and its checkpoint.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_origin

from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import LONGEST_TOML, parse_toml, quoted, read_text
from whenwhere.training.evaluators import read_evaluators
from whenwhere.training.stages import STAGES, Recipe, TrainingStage, find_stage, flat
from whenwhere.training.tables import checked, parsed, types


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences between two resolved recipes that forbid resuming a run, as texts `key (was ..., is ...)`.

    A key that is missing because an earlier version of whenwhere did not have it counts as its default. Evaluators may
    differ.

    Args:
        before: The resolved recipe that the run was started with.
        now: The resolved recipe that it would be resumed with.

    >>> differences({"train": {"beta": 0.0, "max_steps": 5}}, {"train": {"beta": 0.1, "max_steps": 9}})
    ['train.beta (was 0.0, is 0.1)']
    >>> differences({"stage": "rl", "train": {}}, {"stage": "rl", "train": {"top_k": 0, "top_p": 0.5}})
    ['train.top_p (was 1.0, is 0.5)']
    """
    stage = find_stage(before.get("stage", "rl"))
    defaults = {
        f"{table}.{key}": value for table, kind in _tables(stage).items() for key, value in _defaults(kind).items()
        if not key.startswith("weights.")  # which keys a table of weights has is up to the recipe
    }  # fmt: skip
    old, new = defaults | flat(before), defaults | flat(now)
    may_change = {"evaluators", *(f"train.{key}" for key in stage.settings.RESUMABLE)}
    return [
        f"{key} (was {json.dumps(old.get(key))}, is {json.dumps(new.get(key))})"
        for key in sorted({*old, *new})
        if key not in may_change and old.get(key) != new.get(key)
    ]


def packaged() -> dict[str, Path]:
    """The recipes that come with the package, as name → file."""
    folder = Path(str(files("whenwhere") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(name: str, overrides: Iterable[str] = (), preset: str | None = None) -> Recipe:
    """A recipe, with some of its keys overridden.

    Args:
        name: Name of a packaged recipe, or a path that ends in .toml.
        overrides: Texts `table.key=value`; the table may be left out where only one has the key.
        preset: One of the recipe's presets, whose values replace the recipe's before the overrides do.

    Raises:
        SettingError: There is no such recipe, preset, table or key, or a value is not allowed; the message names the
            file, the key, and the nearest key that exists.
    """
    file = _file(name)
    text = read_text(file, SettingError, "give a recipe, a TOML file")
    tables = parse_toml(text, str(file), SettingError)
    source, overrides = file.name, list(overrides)
    presets = _presets(tables.pop("presets", {}), source)
    processes = _apply_preset(tables, presets, preset, source)
    if not isinstance(tables.get("train", {}), dict):
        raise SettingError(f"{source}: train is a table, written [train]")
    name_of_stage = tables.get("train", {}).get("stage")
    for override in overrides:
        key, _, value = override.partition("=")
        if key.strip() in ("stage", "train.stage"):
            name_of_stage = parsed(value.strip())
    if not isinstance(name_of_stage, str) or name_of_stage not in STAGES:
        known = " or ".join(f"stage = {one!r}" for one in STAGES)
        raise SettingError(f"{source} [train] needs {known}, not {quoted(name_of_stage)}")
    stage = find_stage(name_of_stage)
    for key, value in tables.items():
        known_tables = (*stage.tables, "train", "evaluators")
        if key not in known_tables:
            raise SettingError(f"{source} has no table [{key}]{did_you_mean(key, known_tables)}")
        if key != "evaluators" and not isinstance(value, dict):
            raise SettingError(f"{source}: {key} is a table, written [{key}]")
    for override in overrides:
        _override(tables, override, stage)
    _choose_length(tables.setdefault("train", {}), overrides, source)
    found = _recipe(file.stem, tables, source, _header(text))
    return replace(found, presets=tuple(presets), processes=processes)


def _presets(presets: Any, source: str) -> dict[str, Any]:
    """The presets of a recipe by name.

    Raises:
        SettingError: They are not tables.
    """
    if not isinstance(presets, dict) or not all(isinstance(one, dict) for one in presets.values()):
        raise SettingError(f"{source}: presets are tables, written [presets.NAME]")
    return presets


def _apply_preset(tables: dict[str, Any], presets: Mapping[str, Any], name: str | None, source: str) -> int:
    """Puts a preset's values into a recipe's tables; the number of processes that it is meant for.

    Raises:
        SettingError: There is no such preset, or it has something else than tables and a number of processes.
    """
    if name is None:
        return 1
    if name not in presets:
        known = did_you_mean(name, presets) if presets else "; it has none"
        raise SettingError(f"{source} has no preset {name!r}{known}")
    values = dict(presets[name])
    processes = values.pop("processes", 1)
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 1:
        raise SettingError(f"{source} [presets.{name}] processes is {quoted(processes)}, not a whole number above 0")
    for table, keys in values.items():
        if not isinstance(keys, dict) or not isinstance(tables.setdefault(table, {}), dict):
            raise SettingError(f"{source} [presets.{name}] {table} is a table, written [presets.{name}.{table}]")
        tables[table].update(keys)
    return processes


def _choose_length(train: dict[str, Any], overrides: Iterable[str], source: str) -> None:
    """Leaves one of max_steps and num_train_epochs in a table [train]: the one that was set last.

    Raises:
        SettingError: Both are set in the file, or both by overrides.
    """
    both = ("max_steps", "num_train_epochs")
    if train.get("num_train_epochs", "none") == "none":
        return
    said = {one.partition("=")[0].strip().removeprefix("train.") for one in overrides}
    now = [key for key in both if key in said] or [key for key in both if key in train]
    if len(now) > 1:
        raise SettingError(
            f"{source} [train]: max_steps and num_train_epochs both say how long a run is: set one of them"
        )
    if now == ["max_steps"]:
        del train["num_train_epochs"]
    else:
        train["max_steps"] = 0  # it follows from the data


def _file(name: str) -> Path:
    known = packaged()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        if not path.is_file():
            raise SettingError(f"there is no recipe at {name}; `whenwhere train --list` shows those of the package")
        return path
    raise SettingError(
        f"there is no recipe {name!r}{did_you_mean(name, known)}; your own is named by its path, NAME.toml"
    )


def _header(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return "\n".join(lines).strip()


def _recipe(name: str, tables: dict[str, Any], source: str, header: str) -> Recipe:
    train = dict(tables.get("train", {}))
    name_of_stage = train.pop("stage")
    stage = find_stage(name_of_stage)
    found: dict[str, Any] = {}
    for key, kind in _tables(stage).items():
        table = train if key == "train" else tables.get(key, {})
        for k in table:
            _check_place(k, key, name_of_stage, source)
        found[key] = checked(kind, table, f"{source} [{key}]")
    settings = found.pop("train")
    try:
        settings = stage.check(found, settings)
    except SettingError as e:
        raise SettingError(f"{source}: {e}") from e
    evaluators = read_evaluators(tables.get("evaluators", []), source)
    return Recipe(name, name_of_stage, found, settings, evaluators, header.split("\n")[0], header)


def _tables(stage: TrainingStage) -> dict[str, type[Any]]:
    """Dataclasses of all of a stage's tables, [train] last."""
    return {**stage.tables, "train": stage.settings}


def _check_place(key: str, table: str, stage: str, source: str) -> None:
    """Raises an error if a key belongs to another table or stage, with a message that names it.

    Raises:
        SettingError: The key belongs elsewhere.
    """
    tables = _tables(find_stage(stage))
    if key in types(tables[table]):
        return
    for other, kind in tables.items():
        if key in types(kind):
            raise SettingError(f"{source} [{table}] has no key {key!r}: it belongs in [{other}]")
    for other in STAGES:
        if table == "train" and key in types(find_stage(other).settings):
            raise SettingError(f"{source} [train] has no key {key!r} for stage = {stage!r}: it is one of {other!r}")


def _override(tables: dict[str, Any], override: str, stage: TrainingStage) -> None:
    name, equals, text = override.partition("=")
    name = name.strip()
    if len(override) > LONGEST_TOML or len(name) > 200:
        raise SettingError(f"{quoted(override)} is too long for one setting: write it into a recipe")
    if not equals or not name:
        raise SettingError(f"{quoted(override)} changes nothing: write it as key=value, such as learning_rate=1e-4")
    weights = name.rpartition(".")[0]
    known = _keys(stage)
    if name not in known and weights not in _weights(stage):
        everywhere = list(dict.fromkeys([*known, *(key for one in STAGES for key in _keys(find_stage(one)))]))
        for keys in (known, everywhere):
            found = [key for key in keys if key == name or key.endswith(f".{name}")]
            if found:
                break
        if len(found) > 1:
            raise SettingError(f"{name} is a key of more than one table: write {' or '.join(sorted(found))}")
        if not found:
            bare = {key.rpartition(".")[2] for key in everywhere} if "." not in name else everywhere
            raise SettingError(f"there is no key {name!r} in a recipe{did_you_mean(name, sorted(bare))}")
        name = found[0]
    *path, last = name.split(".")
    if weights in _weights(stage):  # one weight is changed, the others stay
        first, rest = path
        _inner(tables, first, name).setdefault(rest, dict(_weights(stage)[weights]))
    table = tables
    for part in path:
        table = _inner(table, part, name)
    table[last] = parsed(text.strip())


def _inner(table: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    """The table under a key, made if it is not there.

    Raises:
        SettingError: Something else stands there.
    """
    inner = table.setdefault(key, {})
    if not isinstance(inner, dict):
        raise SettingError(f"{name} cannot be set, for {key} is {quoted(inner)} and not a table: leave one of them out")
    return inner


def _weights(stage: TrainingStage) -> dict[str, dict[str, Any]]:
    """Keys whose values are tables of free keys, as table.key → the default."""
    return {
        f"{name}.{one.name}": one.default_factory()
        for name, kind in stage.tables.items() for one in fields(kind)
        if one.default_factory is not MISSING and isinstance(one.default_factory(), dict)
    }  # fmt: skip


def _keys(stage: TrainingStage) -> list[str]:
    """All keys of a stage's tables, with their tables."""
    found = ["train.stage", "evaluators"]
    for name, kind in _tables(stage).items():
        found += [f"{name}.{key}" for key in _nested(kind)]
    return found


def _nested(kind: Any) -> list[str]:
    """Keys of a table and of the tables in it; a table that may be left out is a key, too."""
    found: list[str] = []
    for key, annotation in types(kind).items():
        inner = [part for part in (annotation, *get_args(annotation)) if is_dataclass(part)]
        if inner and get_origin(annotation) is not tuple:
            found += [] if is_dataclass(annotation) else [key]
            found += [f"{key}.{k}" for k in _nested(inner[0])]
        else:
            found.append(key)
    return found


def _defaults(kind: Any) -> dict[str, Any]:
    """The defaults of a table's keys, as JSON values; keys that must be given are left out."""
    found: dict[str, Any] = {}
    for one in fields(kind):
        value = one.default if one.default_factory is MISSING else one.default_factory()
        if value is not MISSING:
            found[one.name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return flat(json.loads(json.dumps(found)))
