"""Whether what a study names exists and is allowed: values, files, programs and packages."""

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whenwhere.ablate.binding import Arm
from whenwhere.ablate.knobs import Knob, Knobs
from whenwhere.ablate.stages import ArmStage, command_words
from whenwhere.ablate.study import Study
from whenwhere.errors import MissingExtraError, SettingError, did_you_mean
from whenwhere.readers import quoted


class MissingDataError(SettingError):
    """Data or a checkpoint that an arm names does not exist, so that the arm would run elsewhere as it is."""


def check_presence(frame: Study, knobs: Knobs) -> None:
    """Refuse a study whose files, program or packages are missing.

    Args:
        frame: The study; its arms are ignored.
        knobs: What can be changed.

    Raises:
        MissingExtraError: A package is not installed.
        SettingError: A file or the command's program is missing.
    """
    for file in frame.files:
        if not Path(file).exists():
            raise SettingError(
                f"{file}, which {knobs.name or 'the knobs'} names in files, does not exist: put it there"
            )
    if frame.command is not None:
        words = command_words(frame.command, frame.folder)
        if shutil.which(words[0]) is None:
            raise SettingError(
                f"the program {words[0]!r} of the command cannot be found: install it, or mend the command"
            )
    elif any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        raise MissingExtraError("torch", "train", "training the arms of a recipe")


def check_values(arm: Arm, knobs: Knobs, frame: Study) -> None:
    """Refuse keys that a command does not declare, and values of a wrong type or outside a knob's range.

    Args:
        arm: The arm.
        knobs: What can be changed.
        frame: The study; its arms are ignored.

    Raises:
        SettingError: The arm has such a key or value.
    """
    declared = {knob.key or knob.id: knob for knob in knobs.knobs}
    for key, value in arm.overrides.items():
        knob = declared.get(key)
        if knob is None:
            known = {*declared, *frame.fixed, *(inner for one in knobs.knobs for inner in _keys_of(one))}
            if frame.command is not None and key not in known:
                raise SettingError(f"the knobs' file declares no key {key!r}{did_you_mean(key, declared)}")
            continue
        _check_type(knob, value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = knob.minimum, knob.maximum
            if (low is not None and value < low) or (high is not None and value > high):
                between = f"{'' if low is None else f'at least {low:g}'}{' and ' if None not in (low, high) else ''}"
                between += "" if high is None else f"at most {high:g}"
                raise SettingError(f"{key} is {value:g} and must be {between}")


def own_keys(knob: Knob) -> set[str]:
    """Keys that a knob turns: its own and those of its options.

    Args:
        knob: The knob.
    """
    return {knob.key or knob.id, *(key for option in knob.options.values() for key in option)}


def _keys_of(knob: Knob) -> set[str]:
    """Keys that the options, controls and entailed settings of a knob set."""
    return own_keys(knob) | set(knob.entails) | {key for control in knob.controls for key in control.set}


def _check_type(knob: Knob, value: Any) -> None:
    """Refuse a value of a type other than the knob's; values that its file declares are allowed as they are.

    Raises:
        SettingError: The value has another type.
    """
    kinds: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "table": (dict,)}
    right = kinds.get(knob.type)
    tables = [*knob.options.values(), *(control.set for control in knob.controls)]
    declared = [knob.remove, knob.base, *(table[knob.key] for table in tables if knob.key in table)]
    if right is None or value in declared:
        return
    if not isinstance(value, right) or (isinstance(value, bool) and knob.type != "bool"):
        raise SettingError(f"{knob.key or knob.id} is {quoted(value)}, and the knob {knob.id} takes a {knob.type}")


def check_requires(knob: Knob, stage: ArmStage) -> None:
    """Refuse an arm whose other settings are not those that its knob needs.

    Args:
        knob: The knob.
        stage: Last stage of the arm, with its configuration.

    Raises:
        SettingError: Another setting has a value that the knob does not allow.
    """
    from whenwhere.training.stages import flat

    config = dict(stage.config or {})
    values = config | flat(config)
    for key, wanted in knob.requires.items():
        value = values.get(key)
        if value != wanted and not (isinstance(wanted, list) and value in wanted):
            raise SettingError(f"the knob {knob.id} requires {key} = {quoted(wanted)}, and it is {quoted(value)}")


def check_files(stages: Sequence[ArmStage]) -> None:
    """Refuse a configuration that names data or a checkpoint by a path that does not exist.

    Args:
        stages: The stages of the arm.

    Raises:
        MissingDataError: A path does not exist; the message names its key.
    """
    from whenwhere.training.stages import flat

    for stage in stages:
        for key, value in flat(stage.config or {}).items() if stage.kind == "train" else ():
            last = key.rpartition(".")[2]
            if not isinstance(value, str) or not value or value.startswith("stage:"):
                continue
            is_path = last in ("annotations", "videos") or (last == "checkpoint" and value.startswith((".", "/", "~")))
            if is_path and not Path(value).expanduser().exists():
                raise MissingDataError(f"{key} is {value}, which does not exist: fetch it, or name another")
