"""The records of a binding, and its file: TOML, which a person may edit before the arms are checked."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from whenwhere.ablate.documents import Document, read_document, toml_lines
from whenwhere.ablate.plan_records import slug, unique
from whenwhere.ablate.study import NotRun
from whenwhere.errors import SettingError
from whenwhere.readers import parse_toml, quoted, read_text
from whenwhere.store import write_text

#: Whether an item can be run. An `infeasible` item names a knob, but no value that the knob can have.
BindingStatus = Literal["bound", "ambiguous", "unbound", "infeasible"]


class BindingCandidate(Document):
    """A knob or metric that words of a plan may mean.

    Attributes:
        id: Id of the knob or metric.
        score: Similarity of the words to its nearest alias, 0 to 100.
    """

    id: str
    score: float


class BoundArm(Document):
    """One arm of a plan item.

    Attributes:
        label: Words for the arm in tables.
        text: The replacement as the plan wrote it.
        overrides: Keys and values that differ from the baseline.
        entailed: Keys of `overrides` that the plan did not ask for but that must change with what it asked for.
        kind: Whether the plan asked for the arm, or a rule of the knob added it.
        knob: Id of its knob, where the item turns several knobs; "" means the knob of the item.
        why: What a control arm is needed for.
        against: Label of the arm of this item that it is compared with; "" means the baseline.
        order: Position among the knob's ordered values, the baseline's included; None where there is no order.
    """

    label: str
    text: str = ""
    overrides: dict[str, Any]
    entailed: list[str] = []
    kind: Literal["arm", "control"] = "arm"
    knob: str = ""
    why: str = ""
    against: str = ""
    order: int | None = None


class BoundItem(Document):
    """What became of one item of the plan.

    Attributes:
        id: Id of the plan item.
        name: Name of the ablation.
        part: Its ablated part, in the words of the plan.
        action: REPLACE, REMOVE or ADD.
        status: Whether the item can be run.
        knob: Id of the knob that it turns; None if it is not bound.
        by: Who bound it: an alias, the planner that named the knob, or a person; "" if it is not bound.
        reason: Why it is not bound, as a sentence; "" if it is.
        candidates: Knobs that may be meant, the likeliest first.
        arms: The arms, those of the plan first, then the controls that the knob declares.
        not_run: Reason why a replacement or a control cannot be run, by its text.
        note: The knob's note, which is printed below tables.
        base_order: Position of the baseline's value among the ordered values of the arms.
        base_label: Words for the baseline's value of the knob.
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
        heading: The word as the plan writes it.
        items: Ids of the plan items that name it.
        status: Whether it is measured.
        metric: Id of the metric that it means; None if it is not bound.
        by: Who bound it; `primary` if no item names the metric and the knobs' file declares it as primary.
        reason: Why it is not bound, as a sentence; "" if it is.
        candidates: Metrics that may be meant, the likeliest first.
    """

    heading: str
    items: list[str] = []
    status: BindingStatus
    metric: str | None = None
    by: Literal["", "alias", "person", "primary"] = ""
    reason: str = ""
    candidates: list[BindingCandidate] = []


class Arm(Document):
    """One arm of a study, before its configuration is resolved.

    Attributes:
        id: Name of the arm in files, unique.
        label: Words for the arm in tables.
        kind: Whether it is the baseline, an arm of the plan, or a control that the knob's declaration added.
        item: Id of the plan item; None for the baseline.
        knob: Id of the knob.
        overrides: Keys and values that differ from the baseline.
        against: Id of the arm with which it is compared; "" for the baseline itself.
        order: Position among the ordered values of its item; None where they have no order.
        notes: Sentences that are printed below tables: settings that had to change too, and why a control is needed.
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

    version: Literal[1] = 1
    knobs: str
    preset: str | None = None
    plan: str = ""
    items: list[BoundItem] = []
    metrics: list[BoundMetric] = []

    def arms(self) -> list[Arm]:
        """All arms that can be run, the baseline first, then in the order of the plan.

        Arms with equal overrides are not merged here: `check` merges what resolves to the same configuration.
        """
        found = [Arm(id="baseline", label="baseline", kind="baseline")]
        taken = {"baseline"}
        for item in self.items:
            if item.status != "bound":
                continue
            ids = {arm.label: unique(_arm_id(item.id, arm.label), taken) for arm in item.arms}
            for arm in item.arms:
                notes = [arm.why] if arm.why else []
                if arm.entailed:
                    entailed = ", ".join(f"{key} = {arm.overrides[key]}" for key in arm.entailed)
                    notes.append(f"{entailed} follows from what was asked")
                notes += [item.note] if item.note and arm.kind == "arm" else []
                found.append(
                    Arm(
                        id=ids[arm.label],
                        label=arm.label,
                        kind=arm.kind,
                        item=item.id,
                        knob=arm.knob or item.knob,
                        overrides=arm.overrides,
                        against=ids.get(arm.against, "baseline"),
                        order=arm.order,
                        notes=notes,
                    )
                )
        return found

    def not_run(self) -> list[NotRun]:
        """What will not be run and why: items, single replacements, and metrics."""
        found = []
        for item in self.items:
            if item.status != "bound":
                found.append(NotRun(item=item.id, name=item.name, status=item.status, reason=item.reason))
            for text, reason in item.not_run.items():
                found.append(NotRun(item=item.id, name=f"{item.name}: {text}", status="infeasible", reason=reason))
        for metric in self.metrics:
            if metric.status != "bound":
                found.append(NotRun(name=metric.heading, status=metric.status, reason=metric.reason))
        return found


def _arm_id(item: str, label: str) -> str:
    """The id of an arm: at most 101 letters, digits and signs that may stand in the name of a folder."""
    value = re.sub(r"[^A-Za-z0-9._=+-]+", "-", re.sub(r"\s*=\s*\(?", "=", label)).strip("-._=+")
    return f"{slug(item, 50) or 'item'}.{value[:50] or 'arm'}"


def read_bindings(path: str | os.PathLike[str]) -> Bindings:
    """Read bindings from a TOML file, as `write_bindings` wrote it or a person edited it.

    Args:
        path: The file.

    Raises:
        SettingError: The file does not follow its schema; the message names file and key.
    """
    name = Path(path).name
    text = read_text(path, SettingError, "make it with `whenwhere ablate bind`")
    bindings = read_document(Bindings, parse_toml(text, str(path), SettingError), name, SettingError)
    ids: set[str] = set()
    for item in bindings.items:
        where = f"{name}: the item {quoted(item.id)}"
        if item.id in ids:
            raise SettingError(f"{where} occurs twice: give each its own id")
        ids.add(item.id)
        labels = [arm.label for arm in item.arms]
        if item.status == "bound" and not labels:
            raise SettingError(
                f"{where} is bound but has no arm: write one, or bind again with --accept {item.id}=KNOB"
            )
        for label in labels:
            if labels.count(label) > 1:
                raise SettingError(f"{where} has two arms {quoted(label)}: give each a label of its own")
        for arm in item.arms:
            if arm.against and (arm.against not in labels or arm.against == arm.label):
                raise SettingError(
                    f"{where}: {quoted(arm.label)} is against {quoted(arm.against)}, which is not another arm of it"
                )
    for metric in bindings.metrics:
        if metric.status == "bound" and not metric.metric:
            raise SettingError(f"{name}: the metric {quoted(metric.heading)} is bound to nothing: name one in metric")
    return bindings


_HEADER = """\
# What each item of the plan means. Edit it before `whenwhere ablate check` reads it:
# - an item or metric runs only with status = "bound"; set "unbound" and a reason to leave it out
# - an arm's overrides are all that differs from the baseline; `against` is the label of the arm it is compared with
# - candidates are only proposed; accept one with `whenwhere ablate bind ... --accept ITEM=KNOB`
"""


def write_bindings(bindings: Bindings, path: str | os.PathLike[str]) -> None:
    """Write bindings as TOML, with comments that say how to edit them.

    Args:
        bindings: The bindings.
        path: The file.

    Raises:
        OutputError: The file cannot be written.
    """
    table = bindings.model_dump(exclude_defaults=True)
    lines = toml_lines({"version": bindings.version, **table})
    write_text(path, _HEADER + "\n".join(lines) + "\n")
