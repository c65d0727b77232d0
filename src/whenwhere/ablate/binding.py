"""Binding: which knob each item of a plan turns, to which values, and which metric each word for one means.

Only an exact alias, after normalising case, spaces and signs, binds by itself. Words that are merely alike are
proposed, with a score, and wait for `accept` or for a person's edit of the file. Nothing unbound is ever run; it stays
in the file with the reason, and every table repeats it.
"""

import os
from collections.abc import Iterable
from typing import Any, Literal

from whenwhere.ablate.documents import Document
from whenwhere.ablate.knobs import Knobs
from whenwhere.ablate.plan import Plan

#: Whether an item can be run: infeasible ones name a knob, but not a value that it can have.
BindingStatus = Literal["bound", "ambiguous", "unbound", "infeasible"]


class BindingCandidate(Document):
    """A knob or metric that words may mean.

    Attributes:
        id: Its id.
        score: Likeness of the words with its nearest alias, 0 to 100.
    """

    id: str
    score: float


class BoundArm(Document):
    """One arm of a plan item.

    Attributes:
        label: Words for the arm in tables.
        text: The replacement as the plan wrote it.
        overrides: Keys and values that differ from the baseline.
        entailed: Those of the keys that were not asked for but follow from the asked one.
        kind: Whether the plan asked for the arm, or a rule of the knob added it.
        why: What a control arm is needed for.
        against: Label of the arm of this item with which it is compared; "" is the baseline.
        order: Position among the knob's ordered values, the baseline's included; None where there is no order.
    """

    label: str
    text: str = ""
    overrides: dict[str, Any]
    entailed: list[str] = []
    kind: Literal["arm", "control"] = "arm"
    why: str = ""
    against: str = ""
    order: int | None = None


class BoundItem(Document):
    """What became of one item of the plan.

    Attributes:
        id: Id of the plan item.
        name: Its name.
        part: Its ablated part.
        action: Its action.
        status: Whether it can be run.
        knob: Id of its knob.
        by: Who bound it: an alias, the planner that named the knob, or a person.
        reason: Why it is not bound, as a sentence.
        candidates: Knobs that may be meant, the likeliest first.
        arms: Its arms.
        not_run: Replacements that cannot be run, each with the reason.
        note: The knob's note.
        base_order: Position of the baseline's value among the ordered values of the arms.
        base_label: The baseline's value in words.
    """

    id: str
    name: str
    part: str
    action: str
    status: BindingStatus
    knob: str | None = None
    by: Literal["", "alias", "planner", "person"] = ""
    reason: str = ""
    candidates: list[BindingCandidate] = []
    arms: list[BoundArm] = []
    not_run: dict[str, str] = {}
    note: str = ""
    base_order: int | None = None
    base_label: str = ""


class BoundMetric(Document):
    """What became of one word for a metric.

    Attributes:
        heading: The word of the plan.
        items: Ids of the plan items that name it.
        status: Whether it is measured.
        metric: Id of the metric's definition.
        by: Who bound it.
        reason: Why it is not bound, as a sentence.
        candidates: Metrics that may be meant.
    """

    heading: str
    items: list[str] = []
    status: BindingStatus
    metric: str | None = None
    by: Literal["", "alias", "person"] = ""
    reason: str = ""
    candidates: list[BindingCandidate] = []


class Arm(Document):
    """One arm of a study, before its configuration is resolved.

    Attributes:
        id: Name of the arm in files, unique.
        label: Words for it in tables.
        kind: Baseline, an arm of the plan, or an arm that a rule added.
        item: Id of the plan item; None for the baseline.
        knob: Id of the knob.
        overrides: Keys and values that differ from the baseline.
        against: Id of the arm with which it is compared; "" for the baseline itself.
        order: Position among the ordered values of its item.
        notes: Sentences for below the table: entailed overrides, why a control is there, other items that ask for it.
    """

    id: str
    label: str
    kind: Literal["baseline", "arm", "control"]
    item: str | None = None
    knob: str | None = None
    overrides: dict[str, Any] = {}
    against: str = ""
    order: int | None = None
    notes: list[str] = []


class Bindings(Document):
    """The plan bound to the knobs of a recipe or script.

    Attributes:
        version: Version of the file's form.
        knobs: The recipe's name or the knobs' file; `knobs.read_knobs` reads it.
        preset: The recipe's preset.
        plan: Words for the plan: its file or its planner and paper.
        items: What became of each item, by rank.
        metrics: What became of each word for a metric.
    """

    version: int = 1
    knobs: str
    preset: str | None = None
    plan: str = ""
    items: list[BoundItem] = []
    metrics: list[BoundMetric] = []

    def arms(self) -> list[Arm]:
        """All arms that can be run, the baseline first, then in the order of the plan; equal ones are merged."""
        raise NotImplementedError

    def not_run(self) -> list[str]:
        """What will not be run and why, one sentence for each item, replacement or metric."""
        raise NotImplementedError


def bind(plan: Plan, knobs: Knobs, accept: Iterable[str] = ()) -> Bindings:
    """Bind a plan to knobs and metrics.

    Args:
        plan: The plan.
        knobs: What can be changed and measured.
        accept: Texts `item=knob` or `heading=metric`, by which a person binds what only proposes.

    Raises:
        SettingError: An accepted pair names an item or knob that does not exist.
    """
    raise NotImplementedError


def read_bindings(path: str | os.PathLike[str]) -> Bindings:
    """The bindings of a TOML file, as `write_bindings` wrote or a person edited it.

    Raises:
        SettingError: The file does not follow its schema; the message names file and key.
    """
    raise NotImplementedError


def write_bindings(bindings: Bindings, path: str | os.PathLike[str]) -> None:
    """Write bindings as TOML, with comments that say how to edit them.

    Raises:
        OutputError: The file cannot be written.
    """
    raise NotImplementedError
