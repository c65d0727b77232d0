"""Knobs: what can be changed in a recipe or a script, and metrics: what it measures. Both are declared in TOML.

A recipe's file is `whenwhere/knobs/<recipe>.toml`; one for your own script stands wherever you like. A plan's words are
bound to what is declared here and to nothing else (`binding.bind`).
"""

import os
from typing import Any, Literal

from whenwhere.ablate.documents import Document

#: How a replacement's text is read as a value.
KnobType = Literal["bool", "int", "float", "text", "layers", "list", "table"]
#: What another value of a knob costs: only another evaluation, a training run, or new training data and a run.
Cost = Literal["evaluation", "training", "data"]


class ControlArm(Document):
    """An arm that a knob's declaration adds to the arms of a plan, so that the plan's arms can be understood.

    Attributes:
        label: Words for the arm in tables.
        set: Its overrides.
        why: The sentence that tables print below: what the arm is needed for.
        when: Action of the plan item with which the arm is added.
        length: Add the arm only where the baseline or an arm of the item has a list of this length.
        isolates: Whether the item's arms are compared with this arm in place of the baseline.
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
        key: Key of the recipe, or name in the command's overrides. With several stages it may be `stage:key`.
        type: How a replacement's text is read.
        base: Value of the baseline. Left out in a recipe's file, where it is the recipe's.
        aliases: Words of plans that mean this knob and no other.
        options: Named choices, each as the overrides that it stands for.
        parse: Texts of replacements → values, for texts that the type cannot read.
        minimum: Smallest value.
        maximum: Largest value.
        symbols: Words that stand for a value, such as last = "encoder.layers": a key of the recipe, or a number.
        remove: Value if the part is removed. Left out if it cannot be.
        reference: Value of the published method; it is added as an arm where neither baseline nor plan has it.
        requires: Keys → value or list of values that the other settings must have.
        entails: Overrides that come with the value `remove`.
        controls: Arms that are added to those of a plan.
        stage: Stage that the knob belongs to.
        cost: What another value costs.
        note: A sentence on what else changes with the knob, printed below the table.
    """

    id: str
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


class MetricDefinition(Document):
    """Something that is measured.

    Attributes:
        id: Name of the metric, unique in the file.
        key: Its key in the cell's metrics: `<evaluator>/<metric>` for recipes.
        aliases: Words of plans that mean this metric and no other.
        dataset: What it is measured on.
        higher: Whether higher is better.
        unit: Unit for tables, such as % or s.
        items: Key of its per-item values in items.jsonl. None if there are only whole numbers.
        primary: Whether it is tested; the others are exploratory.
        margin: Smallest difference that matters, in the metric's unit; without one there is no non-inferiority test.
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


class EarlierStage(Document):
    """A training that comes before the one that is measured; arms that do not differ in it share it.

    Attributes:
        name: Name of the stage; overrides with the key `name:key` belong to it.
        recipe: Its recipe.
        preset: A preset of that recipe.
        fixed: Overrides that all arms share.
        into: Key of the next stage that gets this stage's checkpoint. An arm that sets this key skips the stage.
    """

    name: str
    recipe: str
    preset: str | None = None
    fixed: dict[str, Any] = {}
    into: str = "model.checkpoint"


class Knobs(Document):
    """What can be changed and what is measured in one recipe or script.

    Attributes:
        version: Version of the file's form.
        recipe: The recipe. Either this or `command` is given.
        preset: A preset of the recipe.
        command: Command line of a script, with {overrides}; {seed}, {out} and {cell} are filled in too.
        override: How one override is written in the command.
        metrics_file: JSON file that the command writes, relative to its working folder, with {out} filled in.
        items_file: JSON Lines file of per-item values that the command writes.
        before: Trainings that come before.
        fixed: Overrides that all arms share, evaluators included.
        knobs: What can be changed.
        metrics: What is measured.
        name: Name of the recipe, or path of the file, by which `read_knobs` finds it again.
    """

    version: int = 1
    recipe: str | None = None
    preset: str | None = None
    command: str | None = None
    override: str = "{key}={value}"
    metrics_file: str = "metrics.json"
    items_file: str | None = None
    before: list[EarlierStage] = []
    fixed: dict[str, Any] = {}
    knobs: list[Knob]
    metrics: list[MetricDefinition]
    name: str = ""


def read_knobs(name: str | os.PathLike[str], preset: str | None = None) -> Knobs:
    """The knobs and metrics of a recipe of the package, by its name, or of a file.

    Args:
        name: Name of a recipe, or path that ends in .toml.
        preset: A preset of the recipe, from whose values base values are taken.

    Raises:
        SettingError: There is no such file, or it does not follow its schema; the message names file and key.
    """
    raise NotImplementedError
