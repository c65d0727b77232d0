"""What an arm's work consists of: its stages, each with all that its result depends on, and a hash of that.

A recipe's arm has the earlier trainings of the study, its own training, and one evaluation of the trained model. The
hash of a training leaves the evaluators out, except those that decide how long it trains or which model is best: arms
that differ in what is measured share the training. A command's arm has one stage.

Seeds are not part of a hash: the cells of one stage differ in the seed alone.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whenwhere.ablate.documents import override_texts
from whenwhere.ablate.knobs import EarlierStage, Seeding
from whenwhere.ablate.study import StageHash, Study, StudyArm
from whenwhere.errors import SettingError

if TYPE_CHECKING:
    from whenwhere.training.stages import Recipe

StageKind = Literal["train", "evaluate", "command"]


@dataclass(frozen=True)
class ArmStage:
    """One stage of an arm's work, for any seed.

    Attributes:
        name: Name of the stage.
        kind: Whether a recipe is trained, a trained model is measured, or a command is run.
        hash: Hash of everything that the result depends on except the seed.
        overrides: Overrides of the stage's recipe or command, without those that depend on the seed.
        seeding: Keys that depend on the seed.
        recipe: Name or path of the recipe; None for a command.
        preset: Preset of the recipe.
        previous: Hash of the stage whose result is needed; None for the first.
        into: Key that gets the checkpoint of the stage before; None if there is no such key.
        config: The resolved configuration, for people who compare cells.
    """

    name: str
    kind: StageKind
    hash: str
    overrides: Mapping[str, Any]
    seeding: Mapping[str, Seeding]
    recipe: str | None = None
    preset: str | None = None
    previous: str | None = None
    into: str | None = None
    config: Mapping[str, Any] | None = None

    def settings(self, seed: int) -> dict[str, Any]:
        """The overrides with which the stage is run with a seed.

        Args:
            seed: The seed.
        """
        return {**self.overrides, **{key: one.first + one.step * seed for key, one in self.seeding.items()}}


def stages_of(study: Study, overrides: Mapping[str, Any]) -> list[ArmStage]:
    """The stages of an arm's work, in order.

    Args:
        study: The study; its arms are ignored.
        overrides: Values in which the arm differs from the baseline, by key; `stage:key` for earlier trainings.

    Raises:
        SettingError: A key does not exist or a value is not allowed.
    """
    if study.command is not None:
        return [_command_stage(study, overrides)]
    assert study.recipe is not None
    own = {key: value for key, value in {**study.fixed, **overrides}.items() if ":" not in key}
    found: list[ArmStage] = []
    before: ArmStage | None = None
    into: str | None = None
    for one in _needed(study.before, own, overrides):
        changes = {**one.fixed, **_of_stage({**study.fixed, **overrides}, one.name)}
        before = _training(one.name, one.recipe, one.preset, changes, _seeding(study, one.name), before, into)
        into = one.into
        found.append(before)
    main = _training("train", study.recipe, study.preset, own, _seeding(study, None), before, into)
    return [*found, main, _evaluation(main)]


def resolve(stage: ArmStage, seed: int | None = None, checkpoint: str | None = None) -> "Recipe":
    """Load the recipe of a stage that trains or evaluates, with the stage's overrides.

    Args:
        stage: The stage.
        seed: The seed; None leaves the keys that depend on it as the recipe has them.
        checkpoint: Checkpoint of the stage before, where there is one.

    Raises:
        SettingError: A key does not exist or a value is not allowed.
    """
    assert stage.recipe is not None
    changes = dict(stage.overrides) if seed is None else stage.settings(seed)
    if stage.into is not None:
        changes[stage.into] = checkpoint or f"stage:{stage.previous}"
    return load_recipe(stage.recipe, changes, stage.preset)


def load_recipe(recipe: str, changes: Mapping[str, Any], preset: str | None) -> "Recipe":
    """Load a recipe with some of its keys overridden.

    Args:
        recipe: Name of a packaged recipe, or a path that ends in .toml.
        changes: Values by key.
        preset: One of the recipe's presets.

    Raises:
        SettingError: There is no such recipe, preset or key, or a value is not allowed.
    """
    from whenwhere.training.recipe import load

    return load(recipe, override_texts(changes), preset)


def trained_recipe(recipe: "Recipe") -> "Recipe":
    """A recipe with only those evaluators that decide how its training goes: by patience or by the best model.

    Args:
        recipe: The recipe.
    """
    return replace(recipe, evaluators=tuple(one for one in recipe.evaluators if one.keep_best or one.patience))


def arm_stages(study: Study, arm: StudyArm) -> list[ArmStage]:
    """The stages of an arm of a study, after a check that they are those that `check` found.

    Args:
        study: The study.
        arm: The arm.

    Raises:
        SettingError: The arm's values, or the recipe, were changed after the study was made.
    """
    found = salted(stages_of(study, arm.overrides), arm.kind, arm.id)
    if [StageHash(name=one.name, hash=one.hash) for one in found] != arm.stages:
        raise SettingError(
            f"the overrides of arm {arm.id!r} no longer give the stages that the study lists: the study or the recipe "
            "was changed; make the study again with `whenwhere ablate check`"
        )
    return found


def salted(stages: list[ArmStage], kind: str, id: str) -> list[ArmStage]:
    """The stages of an arm; those of an arm of kind `null` get hashes of their own.

    What a null arm changes may not be part of a hash, and yet its runs must not be those of the baseline.

    Args:
        stages: The stages, as `stages_of` gives them.
        kind: Kind of the arm.
        id: Id of the arm.
    """
    if kind != "null":
        return stages
    found: list[ArmStage] = []
    for one in stages:
        previous = found[-1].hash if found else None
        found.append(replace(one, hash=digest({"null": id, "of": one.hash}), previous=previous))
    return found


def digest(value: Any) -> str:
    """A hash of a JSON value, 20 hexadecimal digits.

    Args:
        value: The value.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}), len(digest(0))
    (True, 20)
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _needed(before: list[EarlierStage], own: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[EarlierStage]:
    """The earlier trainings that an arm needs: those after the last one whose checkpoint the arm names itself."""
    for number in reversed(range(len(before))):
        last = number == len(before) - 1
        key = before[number].into
        if key in (own if last else _of_stage(overrides, before[number + 1].name) | before[number + 1].fixed):
            return before[number + 1 :]
    return before


def _of_stage(overrides: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The overrides of an earlier training, without the prefix of their keys."""
    prefix = f"{name}:"
    return {key.removeprefix(prefix): value for key, value in overrides.items() if key.startswith(prefix)}


def _seeding(study: Study, stage: str | None) -> dict[str, Seeding]:
    """The keys of a training that depend on the seed; None is the study's own recipe."""
    if stage is None:
        return {key: one for key, one in study.seeding.items() if ":" not in key}
    return {key.partition(":")[2]: one for key, one in study.seeding.items() if key.startswith(f"{stage}:")}


def _training(
    name: str,
    recipe: str,
    preset: str | None,
    changes: Mapping[str, Any],
    seeding: Mapping[str, Seeding],
    before: ArmStage | None,
    into: str | None,
) -> ArmStage:
    """The stage that trains a recipe, from the checkpoint of the one before if there is one."""
    stage = ArmStage(
        name, "train", "", changes, seeding, recipe, preset, before.hash if before else None, into if before else None
    )
    found = trained_recipe(resolve(stage, 0))
    deciding = json.loads(json.dumps([asdict(one) for one in found.evaluators]))
    hash = digest({"train": found.hash, "evaluators": deciding, "after": stage.previous})
    return replace(stage, hash=hash, config=resolve(stage).resolved)


def _evaluation(main: ArmStage) -> ArmStage:
    """The stage that measures the model of a training."""
    recipe = resolve(main, 0)
    evaluators = json.loads(json.dumps([asdict(one) for one in recipe.evaluators]))
    hash = digest({"evaluate": evaluators, "after": main.hash})
    return replace(main, name="evaluate", kind="evaluate", hash=hash, previous=main.hash)


def _command_stage(study: Study, overrides: Mapping[str, Any]) -> ArmStage:
    """The only stage of an arm of a command."""
    assert study.command is not None
    command_words(study.command, study.folder)
    config = {**study.base, **study.fixed, **overrides}
    hash = digest({"command": study.command, "override": study.override, "config": config})
    return ArmStage("command", "command", hash, config, study.seeding, config=config)


def command_words(command: str, folder: str | os.PathLike[str]) -> list[str]:
    """Split a command into words; those that name a file in the folder of the knobs are made absolute.

    `{here}` in a word becomes that folder: the command itself runs in the folder of its cell.

    Args:
        command: The command, as a shell would read it.
        folder: Folder of the knobs' file.

    Raises:
        SettingError: The command is empty, a quote is not closed, or it has no place for the overrides.
    """
    try:
        words = shlex.split(command)
    except ValueError as e:
        raise SettingError(f"the command {command!r} cannot be read ({e}): close its quotes") from e
    if not any("{overrides}" in word for word in words):
        raise SettingError(f"the command {command!r} has no {{overrides}}: write where the changed values go")
    # a word may be a whole program, longer than the name of any file: os.path answers where Path would raise
    here = Path(folder).resolve()
    return [
        str((here / word).resolve()) if os.path.isfile(here / word) else word.replace("{here}", str(here))
        for word in words
    ]


def fill_command(
    words: list[str], override: str, settings: Mapping[str, Any], seed: int, out: str, cell: str
) -> list[str]:
    """Fill the overrides, seed and folders into the words of a command; no shell reads the result.

    Args:
        words: The words of the command.
        override: How one override is written, with {key} and {value}; with a space in it, as several words.
        settings: Values by key.
        seed: The seed.
        out: Folder in which the command runs.
        cell: Name of the cell.

    >>> fill_command(["a.py", "{overrides}", "-s{seed}"], "--{key}={value}", {"on": True, "n": [1]}, 3, "", "")
    ['a.py', '--on=true', '--n=[1]', '-s3']
    >>> fill_command(["{overrides}"], "--{key} {value}", {"name": "two words"}, 0, "", "")
    ['--name', 'two words']
    """
    changes = [
        word.replace("{key}", key).replace("{value}", value if isinstance(value, str) else json.dumps(value))
        for key, value in settings.items()
        for word in override.split()
    ]
    found: list[str] = []
    for word in words:
        if word == "{overrides}":
            found += changes
            continue
        word = word.replace("{overrides}", " ".join(changes)).replace("{seed}", str(seed))
        found.append(word.replace("{out}", out).replace("{cell}", cell))
    return found
