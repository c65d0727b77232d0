"""The study: what `ablate check` found fit to run, as one file (study.json) that `run` and `report` read.

A study holds arms, the metrics that are compared, the seeds, and what checking found: what did not pass and why, which
differences between arms confound a comparison, and how large an effect must be to be found. Nothing in it is computed
again later: a person may edit the file before the run, for example to drop an arm or a seed.

The work of an arm is divided into stages. Each has a hash of everything that its result depends on except the seed, so
that arms whose stage has the same hash share it: a model that several arms evaluate in different ways is trained once.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from whenwhere.ablate.documents import Document, read_document
from whenwhere.ablate.knobs import EarlierStage, Seeding
from whenwhere.errors import RecordError, SettingError, did_you_mean
from whenwhere.readers import read_json
from whenwhere.store import write_text

ArmKind = Literal["baseline", "arm", "control", "a-a", "null"]


class StageHash(Document):
    """A stage of an arm's work.

    Attributes:
        name: Name of the stage: that of an earlier training, `train` or `evaluate` of a recipe, `command` of a user's
            own command.
        hash: Hash of all that the result depends on except the seed; the stage's cells are in `cells/<hash>/<seed>`.
    """

    name: str
    hash: str = Field(pattern=r"^[0-9a-f]{8,64}$")


class Differences(Document):
    """How an arm differs from the arm that it is compared with, apart from what it is meant to change.

    Attributes:
        parameters: Number of parameters of the arm minus that of the other; None where they were not counted.
        flops: FLOPs of one update of the arm divided by those of the other; None where they were not counted.
        steps: Number of updates of the arm minus that of the other; None where it is not known.
        data: Keys of the data that differ, each as `key (was ..., is ...)`.
    """

    parameters: int | None = None
    flops: float | None = None
    steps: int | None = None
    data: list[str] = Field(default_factory=list)


class MergedArm(Document):
    """An arm that the plan asks for and that is the same as another, so that it is not run a second time.

    Attributes:
        item: Id of the item of the plan.
        knob: Id of the knob.
        label: What the arm is called in its item.
        order: Position among the ordered values of its knob, or None.
    """

    item: str | None
    knob: str | None
    label: str
    order: int | None = None


class StudyArm(Document):
    """One arm: a configuration that is run with several seeds.

    Attributes:
        id: Id of the arm, unique in the study.
        label: What the arm is called in tables.
        kind: `a-a` is the baseline once more with other seeds, whose difference is noise alone; `null` is a change
            that is expected to have no effect.
        item: Id of the item of the plan that asks for the arm; None for the baseline and arms that checking added.
        knob: Id of the knob that is changed, or None.
        overrides: Values that differ from those of the baseline, by key; those of `Study.fixed` are not repeated.
        against: Id of the arm that this one is compared with; None for the baseline.
        config_hash: Hash of the resolved configuration without the seed. Arms with the same hash are one arm.
        stages: The stages of the arm's work, in order.
        seeds: Seeds of the arm's runs. The seed at a position is compared with the one at the same position of the arm
            in `against`; they are the same seeds except for arms of kind `a-a`.
        cost_seconds: Estimated seconds of one seed of the arm, all stages together; None where nothing was measured.
        funded: Whether the arm fits into the budget. Arms that do not are not run.
        order: Position among the ordered values of the arm's knob, starting at 0, or None.
        differences: Differences from the arm in `against`.
        merged: Arms of the plan that resolve to this one, besides the one that it is named after.
        notes: Sentences that stand below the table, such as changes that the knob entails.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@=+-]{0,119}$")
    label: str
    kind: ArmKind
    item: str | None = None
    knob: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    against: str | None = None
    config_hash: str
    stages: list[StageHash] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]]
    cost_seconds: float | None = None
    funded: bool = True
    order: int | None = None
    differences: Differences = Field(default_factory=Differences)
    merged: list[MergedArm] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class StudyMetric(Document):
    """A metric by which arms are compared.

    Attributes:
        id: Id of the metric.
        heading: What it is called in tables.
        key: Its key in the metrics.json of a cell, such as `retrieval/t2v-R@1` or `train_seconds`.
        higher: Whether a higher value is better.
        unit: `%` for shares between 0 and 1, which tables show times 100; else the unit that tables print, or "".
        items: Key under which items.jsonl has the values of single items whose mean is the metric; None if there are
            none.
        primary: Whether the metric belongs to the family that is tested and corrected together.
        margin: Largest loss, in the metric's own unit, that counts as not worse; None tests no non-inferiority.
        dataset: Words for what it is measured on; "" if nothing is known.
        asked: What the plan calls it.
    """

    id: str
    heading: str
    key: str
    higher: bool = True
    unit: str = ""
    items: str | None = None
    primary: bool = False
    margin: float | None = Field(default=None, gt=0)
    dataset: str = ""
    asked: list[str] = Field(default_factory=list)

    @property
    def measured(self) -> str:
        """A sentence about what it is measured on and what the plan calls it; "" if there is nothing to say."""
        others = [one for one in self.asked if one.casefold() not in (self.heading.casefold(), self.id.casefold())]
        said = f"{self.heading} is measured on {self.dataset}" if self.dataset else ""
        if others:
            named = f"is what the plan calls {' and '.join(f'“{one}”' for one in others)}"
            said = f"{said}, and {named}" if said else f"{self.heading} {named}"
        return f"{said}." if said else ""


class NotRun(Document):
    """Something that the plan asks for and that is not run.

    Attributes:
        item: Id of the item of the plan; None for a metric or an arm that belongs to no item.
        name: Name of the ablation, of its arm or of the metric.
        status: `unbound`, `ambiguous` and `infeasible` come from the binding; checking adds `refused` (a value is not
            allowed), `dead` (the knob changes nothing), `missing` (data do not exist, or a metric is not measured) and
            `not funded`.
        reason: The reason as a sentence.
    """

    item: str | None = None
    name: str
    status: Literal["unbound", "ambiguous", "infeasible", "refused", "dead", "missing", "not funded"]
    reason: str


ConfoundKind = Literal["parameters", "flops", "steps", "data", "entailed"]


class Confound(Document):
    """A difference that a comparison does not separate from the change under test.

    Attributes:
        arm: Id of the arm.
        kind: What differs: `parameters`, `flops`, `steps`, `data` or `entailed` (another key had to be changed too).
        text: The difference as a sentence.
    """

    arm: str
    kind: ConfoundKind
    text: str


class Detectable(Document):
    """The smallest effect that the study is likely to find, computed before the run.

    Attributes:
        metric: Id of the metric.
        seeds: Number of seeds of each arm.
        sd: Standard deviation of the difference of one seed, in the metric's own unit.
        sd_source: `assumed`, or `cells` where it was measured in earlier cells.
        effect: Smallest true difference that is found with the probability `power`, in the metric's own unit.
        power: Probability, 0 to 1, of finding a difference as large as `effect`.
        alpha: Two-sided error rate of the test, corrected for the number of primary comparisons.
    """

    metric: str
    seeds: int
    sd: float
    sd_source: Literal["assumed", "cells"]
    effect: float
    power: float
    alpha: float


class StudyBudget(Document):
    """What the study may cost, and what it is expected to cost.

    Attributes:
        seconds: Most seconds of computation, all cells together; None for no limit.
        estimated_seconds: Expected seconds of what is funded; None where nothing was measured.
        unfunded_seconds: Expected seconds of what is not funded.
    """

    seconds: float | None = None
    estimated_seconds: float | None = None
    unfunded_seconds: float = 0.0


class Study(Document):
    """Everything that `ablate run` and `ablate report` need to know.

    Attributes:
        version: Version of the file's form.
        recipe: Name or path of the recipe; None if arms are runs of `command`.
        preset: Preset of the recipe, or None.
        before: Trainings that come before that of the recipe.
        command: Command of a user's own program, with {overrides}; {seed}, {out}, {cell} and {here} are filled in
            too. None for a recipe.
        folder: Folder by which words of the command that name a file are made absolute: that of the knobs' file.
        override: How one override is written in the command.
        metrics_file: File with the metrics that the command writes, relative to the folder in which it runs.
        items_file: File with the values of single items that the command writes; None if it writes none.
        base: Values of the command's knobs in the baseline; empty for a recipe.
        fixed: Overrides that all arms share.
        seeding: Keys that depend on the seed; those of an earlier training are written `stage:key`.
        files: Files whose content a result depends on, such as data, a checkpoint to begin with or a user's program.
        arms: The arms, the baseline first.
        metrics: The metrics.
        seeds: Number of seeds that was asked for.
        budget: Costs.
        not_run: What is not run and why.
        confounds: Confounds that were found.
        detectable: Smallest effects that can be found.
        created: When the study was made, as an ISO date and time in UTC.
    """

    version: Literal[1] = 1
    recipe: str | None = None
    preset: str | None = None
    before: list[EarlierStage] = Field(default_factory=list)
    command: str | None = None
    folder: str = ""
    override: str = "{key}={value}"
    metrics_file: str = "metrics.json"
    items_file: str | None = None
    base: dict[str, Any] = Field(default_factory=dict)
    fixed: dict[str, Any] = Field(default_factory=dict)
    seeding: dict[str, Seeding] = Field(default_factory=dict)
    files: list[str] = Field(default_factory=list)
    arms: list[StudyArm] = Field(min_length=1)
    metrics: list[StudyMetric]
    seeds: int = Field(ge=1)
    budget: StudyBudget = Field(default_factory=StudyBudget)
    not_run: list[NotRun] = Field(default_factory=list)
    confounds: list[Confound] = Field(default_factory=list)
    detectable: list[Detectable] = Field(default_factory=list)
    created: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> "Study":
        if (self.recipe is None) == (self.command is None):
            raise ValueError("a study has either a recipe or a command")
        ids = [arm.id for arm in self.arms]
        if self.arms[0].kind != "baseline" or sum(arm.kind == "baseline" for arm in self.arms) != 1:
            raise ValueError("the first arm is the baseline, and no other is")
        for name, found in (("arms", ids), ("metrics", [metric.id for metric in self.metrics])):
            for one in found:
                if found.count(one) > 1:
                    raise ValueError(f"two {name} have the id {one!r}")
        for arm in self.arms:
            if (arm.against is None) != (arm.kind == "baseline"):
                raise ValueError(f"arm {arm.id!r} needs the id of another arm in 'against', and the baseline none")
            if arm.against is not None and (arm.against not in ids or arm.against == arm.id):
                raise ValueError(f"arm {arm.id!r} is against {arm.against!r}, which is not another arm of the study")
            if len(set(arm.seeds)) != len(arm.seeds):
                raise ValueError(f"arm {arm.id!r} has a seed twice")
        return self

    @property
    def baseline(self) -> StudyArm:
        """The arm that the others are compared with."""
        return self.arms[0]

    def arm(self, id: str) -> StudyArm:
        """The arm with an id.

        Args:
            id: The id.

        Raises:
            SettingError: There is no such arm.
        """
        for one in self.arms:
            if one.id == id:
                return one
        raise SettingError(f"the study has no arm {id!r}{did_you_mean(id, [one.id for one in self.arms])}")


def read_study(path: str | os.PathLike[str]) -> Study:
    """Reads a study.json.

    Args:
        path: The file, or the folder that holds study.json.

    Raises:
        RecordError: The file cannot be read or does not follow the schema; the message names the file and the key.
    """
    file = Path(path)
    file = file / "study.json" if file.is_dir() else file
    found = read_json(file, RecordError, "make it with `whenwhere ablate check`")
    return read_document(Study, found, str(file))


def write_study(study: Study, path: str | os.PathLike[str]) -> Path:
    """Writes a study to a file.

    Args:
        study: The study.
        path: The file, usually study.json.

    Raises:
        OutputError: The file cannot be written.
    """
    return write_text(path, study.model_dump_json(indent=1) + "\n")
