"""Knobs, which are what can be changed in a recipe or a script, and metrics, which are what it measures.

Both are declared in TOML: for a recipe in `whenwhere/knobs/<recipe>.toml`, for your own script wherever you like. A
plan's words are bound to what is declared here and to nothing else (`binding.bind`). `extends = "tiny-svilm"` begins
with another recipe's file; an entry with the id of one there replaces the keys that it names, and `without` lists
entries to leave out.
"""

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from whenwhere.ablate.documents import Document, override_texts, read_document
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import parse_toml, quoted, read_text
from whenwhere.training.recipe import load
from whenwhere.training.stages import flat

#: How a replacement's text is read as a value.
KnobType = Literal["bool", "int", "float", "text", "layers", "list", "table"]
#: What another value of a knob costs: only another evaluation, a training run, or new training data and a run.
Cost = Literal["evaluation", "training", "data"]


class ControlArm(Document):
    """An arm that a knob's declaration adds to those of a plan, without which they would say little.

    Attributes:
        label: Words for the arm in tables.
        set: Values by key in which the arm differs from the baseline.
        why: What the arm is needed for, as a sentence that is printed below tables.
        when: Action of the items to which the arm is added.
        length: Length of a list: the arm is added only if the baseline or an arm of the item has a list of this length.
            None adds it in any case.
        isolates: Whether the item's arms are compared with this arm instead of the baseline.
    """

    label: str
    set: dict[str, Any]
    why: str
    when: Literal["any", "REPLACE", "REMOVE", "ADD"] = "any"
    length: int | None = None
    isolates: bool = False


class Knob(Document):
    """Something that can be changed.

    Attributes:
        id: Name of the knob, unique in the file.
        label: Words for the knob in tables; "" takes the last part of the key.
        key: Key of the recipe, or name of the setting of the command. A key of an earlier training is `stage:key`.
        type: How a replacement's text is read.
        base: Value of the baseline. For a recipe it may be left out and is the recipe's.
        aliases: Words of plans that mean this knob and no other.
        options: Named choices, each as the overrides that it stands for.
        parse: Values by the text of a replacement, for texts that the type cannot read. Where an item removes a part,
            the text is that of the part.
        minimum: Smallest allowed value; None sets no limit.
        maximum: Largest allowed value; None sets no limit.
        symbols: Words that stand for a value, such as last = "encoder.layers": a key of the recipe, or a number.
        remove: Value with which the part is removed. None means that it cannot be.
        reference: Value of the published method; it is added as an arm if neither the baseline nor the plan has it.
        requires: Values that other settings must have, by key; of a list any value will do.
        entails: Settings that must change together with the value `remove`, by key.
        controls: Arms that are added to those of a plan.
        stage: Name of the training that the knob belongs to; "" is the last one.
        cost: What another value of the knob costs.
        note: What else changes with the knob, as a sentence that is printed below tables.
    """

    id: str
    label: str = ""
    key: str = ""
    type: KnobType = "text"
    base: Any = None
    aliases: list[str] = []
    options: dict[str, dict[str, Any]] = {}
    parse: dict[str, Any] = {}
    minimum: float | None = None
    maximum: float | None = None
    symbols: dict[str, str | int | float] = {}
    remove: Any = None
    reference: Any = None
    requires: dict[str, Any] = {}
    entails: dict[str, Any] = {}
    controls: list[ControlArm] = []
    stage: str = ""
    cost: Cost = "training"
    note: str = ""

    @property
    def words(self) -> str:
        """Words for the knob in tables."""
        return self.label or (self.key.rpartition(".")[2] or self.id).replace("_", " ")


class MetricDefinition(Document):
    """Something that is measured.

    Attributes:
        id: Name of the metric, unique in the file.
        key: Its key in the cell's metrics: `<evaluator>/<metric>` for recipes.
        aliases: Words of plans that mean this metric and no other; the first one stands in tables.
        dataset: Words for what it is measured on, which reports repeat.
        higher: Whether higher is better.
        unit: Unit for tables, such as s; `%` for shares between 0 and 1, which tables show times 100.
        items: Key of its values of single items in items.jsonl; None if there are none.
        primary: Whether the metric is tested; the others are exploratory.
        margin: Largest loss that counts as not worse, in the metric's own unit (a share for `%`). None makes no test of
            non-inferiority.
    """

    id: str
    key: str
    aliases: list[str] = []
    dataset: str = ""
    higher: bool = True
    unit: str = ""
    items: str | None = None
    primary: bool = False
    margin: float | None = None

    @property
    def heading(self) -> str:
        """What it is called in tables. The words of a plan may name a data set on which it is not measured."""
        return self.aliases[0] if self.aliases else self.id


class EarlierStage(Document):
    """A training that comes before the one that is measured; arms that do not differ in it share it.

    Attributes:
        name: Name of the stage; overrides with the key `name:key` belong to it.
        recipe: Name or path of its recipe.
        preset: A preset of that recipe, or None.
        fixed: Overrides of that recipe that all arms share.
        into: Key of the next training that is set to this one's checkpoint. An arm that sets the key itself skips this
            training.
    """

    name: str
    recipe: str
    preset: str | None = None
    fixed: dict[str, Any] = {}
    into: str = "model.checkpoint"


class Seeding(Document):
    """How the value of a key follows from the seed: it is `first + step * seed`.

    Attributes:
        first: Value for the seed 0.
        step: Distance between the values of two seeds that follow each other.
    """

    first: int = 0
    step: int = 1


class Knobs(Document):
    """What can be changed and what is measured in one recipe or script.

    Attributes:
        version: Version of the file's form.
        recipe: The recipe. Either this or `command` is given.
        preset: A preset of the recipe.
        command: Command line of a script, with {overrides}; {seed}, {out} and {cell} are filled in too.
        override: How one override is written in the command, with {key} and {value}: `--{key} {value}` makes two words
            of it.
        metrics_file: JSON file that the command writes, relative to its working folder, with {out} filled in.
        items_file: JSON Lines file of per-item values that the command writes.
        before: Trainings that come before.
        fixed: Overrides that all arms share, evaluators included.
        seeding: Keys that depend on the seed; those of an earlier stage are written `stage:key`. If it is empty, the
            seed is `train.seed` of every training, and the override `seed` of a command without {seed}.
        smoke: Overrides with which the command runs in seconds, so that dead knobs can be looked for.
        files: Paths of data that a result depends on, from the folder of the knobs' file. Cells that were run with
            other content are not compared.
        knobs: What can be changed.
        metrics: What is measured.
        name: Name of the recipe, or path of the file, by which `read_knobs` finds it again.
    """

    version: Literal[1] = 1
    recipe: str | None = None
    preset: str | None = None
    command: str | None = None
    override: str = "{key}={value}"
    metrics_file: str = "metrics.json"
    items_file: str | None = None
    before: list[EarlierStage] = []
    fixed: dict[str, Any] = {}
    seeding: dict[str, Seeding] = {}
    smoke: dict[str, Any] = {}
    files: list[str] = []
    knobs: list[Knob]
    metrics: list[MetricDefinition]
    name: str = ""


def packaged_knobs() -> dict[str, Path]:
    """The files of knobs that come with the package, by the name of their recipe."""
    folder = Path(str(files("whenwhere") / "knobs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_knobs(name: str | os.PathLike[str], preset: str | None = None) -> Knobs:
    """Read the knobs and metrics of a recipe of the package, or of a file of your own.

    Args:
        name: Name of a recipe, or a path that ends in .toml.
        preset: A preset of the recipe, which is then the baseline. None takes the recipe as it is.

    Raises:
        SettingError: There is no such file, or it does not follow its schema; the message names file and key.
    """
    known, path = packaged_knobs(), Path(name)
    if str(name) in known:
        path = known[str(name)]
    elif path.suffix != ".toml" and not path.is_file():
        where = did_you_mean(str(name), known)
        raise SettingError(f"there are no knobs for {str(name)!r}{where}; a file of your own is named by its path")
    table = _extended(path, known, ())
    knobs = read_document(Knobs, table, path.name, SettingError)
    knobs.name = str(name)
    if preset is not None:
        if knobs.recipe is None:
            raise SettingError(f"{path.name}: a command has no presets: leave --preset out")
        knobs.preset = preset
    _check(knobs, path.name)
    return knobs


def _extended(path: Path, known: Mapping[str, Path], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The tables of a file, merged into those of the file that it extends.

    Raises:
        SettingError: A table has another form, or extends or leaves out what does not exist.
    """
    table = parse_toml(
        read_text(path, SettingError, "give a recipe with knobs, or a TOML file"), str(path), SettingError
    )
    other = table.pop("extends", None)
    without = table.pop("without", [])
    if not isinstance(without, list):
        raise SettingError(f'{path.name}: without is {quoted(without)} and must be a list of ids, such as ["clips"]')
    if other is None:
        if without:
            raise SettingError(f"{path.name}: without leaves out entries of another file: name that file in extends")
        return table
    base = known.get(other) if isinstance(other, str) else None
    if base is None:
        raise SettingError(
            f"{path.name}: there are no knobs {quoted(other)} to extend{did_you_mean(str(other), known)}"
        )
    if base in seen:
        raise SettingError(f"{path.name} extends {quoted(other)}, which extends it: remove one of the two")
    below = _extended(base, known, (*seen, path))
    merged = {**below, **table}
    for key in ("knobs", "metrics"):
        entries = table.get(key, [])
        if not isinstance(entries, list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), str) for one in entries
        ):
            raise SettingError(f"{path.name}: {key} are tables, each written [[{key}]] and with an id of its own")
        ids = [one["id"] for one in entries]
        _refuse_repeated(ids, key, path.name)
        by_id = {one.get("id"): one for one in below.get(key, [])}
        for one in entries:
            by_id[one["id"]] = {**by_id.get(one["id"], {}), **one}
        merged[key] = [one for id, one in by_id.items() if id not in without]
    known_ids = [one.get("id") for key in ("knobs", "metrics") for one in below.get(key, [])]
    for id in without:
        if id not in known_ids:
            raise SettingError(f"{path.name}: {other} has no {quoted(id)} to leave out")
    if "fixed" in table:
        if not isinstance(table["fixed"], dict):
            raise SettingError(f"{path.name}: fixed is {quoted(table['fixed'])} and must be a table, written [fixed]")
        merged["fixed"] = {**below.get("fixed", {}), **table["fixed"]}
    return merged


def _refuse_repeated(ids: Sequence[str], what: str, place: str) -> None:
    """Refuses ids of which two are equal.

    Raises:
        SettingError: Two entries have the same id.
    """
    for one in ids:
        if ids.count(one) > 1:
            raise SettingError(f"{place}: two {what} have the id {quoted(one)}: give each its own")


def _check(knobs: Knobs, place: str) -> None:
    """Check that ids are unique and that keys exist, and fill in the base values of a recipe's knobs.

    Raises:
        SettingError: An id occurs twice, a key does not exist, or a base value is missing.
    """
    if (knobs.recipe is None) == (knobs.command is None):
        raise SettingError(f"{place} needs either recipe = NAME or command = TEXT, one of them")
    if knobs.command is not None and "{overrides}" not in knobs.command:
        raise SettingError(f"{place}: the command has no {{overrides}}: write it where values of the knobs belong")
    if "{key}" not in knobs.override or "{value}" not in knobs.override:
        raise SettingError(f"{place}: override is {quoted(knobs.override)} and needs {{key}} and {{value}}")
    _refuse_repeated([one.id for one in knobs.knobs], "knobs", place)
    _refuse_repeated([one.id for one in knobs.metrics], "metrics", place)
    config = base_config(knobs)
    for knob in knobs.knobs:
        if not knob.key and not knob.options:
            raise SettingError(f"{place}: the knob {quoted(knob.id)} needs a key, or options")
        if knobs.recipe is not None:
            for key in _keys_of(knob):
                if key not in config and not any(one.startswith(f"{key}.") for one in config):
                    raise SettingError(
                        f"{place}: the knob {quoted(knob.id)} names {key!r}, which the recipe does not have"
                        f"{did_you_mean(key, config)}"
                    )
        if knob.base is None and knob.key:
            knob.base = config.get(knob.key)
    if knobs.command is not None:
        for knob in knobs.knobs:
            if knob.key and knob.base is None:
                raise SettingError(f"{place}: the knob {quoted(knob.id)} needs base, its value in the baseline")


def _keys_of(knob: Knob) -> list[str]:
    """All keys of the recipe that a knob's declaration names."""
    tables = [*knob.options.values(), *(one.set for one in knob.controls), knob.entails, knob.requires]
    symbols = [one for one in knob.symbols.values() if isinstance(one, str)]
    return [*([knob.key] if knob.key else []), *symbols, *dict.fromkeys(key for one in tables for key in one)]


def base_config(knobs: Knobs) -> dict[str, Any]:
    """All settings of the baseline by key: those of the recipe, or of the command's knobs, and those that are fixed.

    Args:
        knobs: The knobs.

    Returns:
        Values by dotted key; those of earlier trainings have the keys `stage:key`.

    Raises:
        SettingError: A recipe or one of its keys does not exist.
    """
    if knobs.recipe is None:
        return {**{knob.key: knob.base for knob in knobs.knobs if knob.key}, **knobs.fixed}
    config: dict[str, Any] = {}
    for stage in knobs.before:
        recipe = load(stage.recipe, override_texts(stage.fixed), stage.preset)
        config |= {f"{stage.name}:{key}": value for key, value in flat(recipe.resolved).items()}
    return config | flat(load(knobs.recipe, override_texts(knobs.fixed), knobs.preset).resolved)


def refusal(knobs: Knobs, overrides: Mapping[str, Any]) -> str | None:
    """Why a recipe cannot be run with some overrides, in the recipe's own words; None if it can.

    Args:
        knobs: The knobs. Those of a command refuse nothing, because only the command knows what it takes.
        overrides: Values by key.
    """
    if knobs.recipe is None:
        return None
    names = {stage.name for stage in knobs.before}
    try:
        own = {key: value for key, value in overrides.items() if key.partition(":")[0] not in names}
        load(knobs.recipe, override_texts({**knobs.fixed, **own}), knobs.preset)
        for stage in knobs.before:
            prefix = f"{stage.name}:"
            theirs = {key.removeprefix(prefix): one for key, one in overrides.items() if key.startswith(prefix)}
            load(stage.recipe, override_texts({**stage.fixed, **theirs}), stage.preset)
    except SettingError as e:
        return str(e)
    return None
