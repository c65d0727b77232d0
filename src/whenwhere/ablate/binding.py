"""Binding: which knob each item of a plan turns, to which values, and which metric each word for one means.

Only an exact alias, after normalising case, spaces and signs, binds by itself. Words that are merely alike are
proposed, with a score, and wait for `accept` or for a person's edit of the file. Nothing unbound is ever run; it stays
in the file with the reason, and every table repeats it.

The knob's declaration adds what the plan leaves out: overrides that a removal entails, the published value, and control
arms without which the plan's arms say nothing.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from whenwhere.ablate.binding_records import (
    Arm,
    BindingCandidate,
    Bindings,
    BoundArm,
    BoundItem,
    BoundMetric,
    read_bindings,
    write_bindings,
)
from whenwhere.ablate.knobs import Knob, Knobs, MetricDefinition, base_config, refusal
from whenwhere.ablate.plan_records import Plan, PlanItem, describe_source, normal_words
from whenwhere.ablate.replacements import UnreadableValue, read_assignments, read_grid, read_value, resolve_symbols
from whenwhere.errors import SettingError, did_you_mean
from whenwhere.readers import quoted

__all__ = [
    "Arm", "BindingCandidate", "Bindings", "BoundArm", "BoundItem", "BoundMetric", "bind", "read_bindings",
    "write_bindings",
]  # fmt: skip

#: Least likeness at which a knob or metric is proposed, and most that are.
LEAST_SCORE, MOST_PROPOSED = 65.0, 3


def bind(plan: Plan, knobs: Knobs, accept: Iterable[str] = ()) -> Bindings:
    """Bind a plan to knobs and metrics.

    Args:
        plan: The plan.
        knobs: What can be changed and measured.
        accept: Texts `item=knob` or `heading=metric`, by which a person accepts what was only proposed. An item is
            named by its id, its name or its rank. A heading that means several metrics is accepted once for each.

    Raises:
        SettingError: An accepted pair names an item or knob that does not exist.
    """
    items, metrics = _accepted(plan, knobs, accept)
    config = base_config(knobs)
    return Bindings(
        knobs=knobs.name,
        preset=knobs.preset,
        plan=describe_source(plan.source),
        items=[_bind_item(item, knobs, config, items.get(item.id)) for item in plan.items],
        metrics=_bind_metrics(plan, knobs, metrics),
    )


def _accepted(plan: Plan, knobs: Knobs, accept: Iterable[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What a person accepted: the id of a knob by the id of its item, and ids of metrics by the words of a heading."""
    by_name = {
        name: item.id for item in reversed(plan.items) for name in (str(item.rank), normal_words(item.ablation.name))
    }
    by_name |= {item.id: item.id for item in plan.items}
    headings = {normal_words(one) for item in plan.items for one in item.ablation.metrics}
    items: dict[str, str] = {}
    metrics: dict[str, list[str]] = {}
    for pair in accept:
        left, equals, right = pair.rpartition("=")
        left, right = left.strip(), right.strip()
        if not equals or not left or not right:
            raise SettingError(f"--accept {quoted(pair)} is not a pair: write ITEM=KNOB or HEADING=METRIC")
        words = normal_words(left)
        if left in by_name or words in by_name:
            if right not in (known := [one.id for one in knobs.knobs]):
                raise SettingError(f"--accept {pair}: there is no knob {right!r}{did_you_mean(right, known)}")
            items[by_name.get(left) or by_name[words]] = right
        elif words in headings:
            if right not in (known := [one.id for one in knobs.metrics]):
                raise SettingError(f"--accept {pair}: there is no metric {right!r}{did_you_mean(right, known)}")
            metrics.setdefault(words, []).append(right)
        else:
            names = [item.id for item in plan.items] + [one for item in plan.items for one in item.ablation.metrics]
            raise SettingError(
                f"--accept {pair}: the plan has neither an item nor a metric {left!r}"
                f"{did_you_mean(left, dict.fromkeys(names))}"
            )
    return items, metrics


def _alike(words: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[BindingCandidate]:
    """Knobs or metrics whose names resemble some words, the likeliest first; empty if rapidfuzz is not installed.

    Args:
        words: Texts of the plan, any of which may be meant.
        known: Names of each knob or metric, by its id.
    """
    try:
        from rapidfuzz import fuzz
    except ImportError:
        return []

    def likeness(a: str, b: str) -> float:
        # A name of one word is part of many phrases, so words that only one side has must count against the pair.
        return (fuzz.token_set_ratio(a, b) + fuzz.token_sort_ratio(a, b)) / 2

    scores = {
        id: max((likeness(normal_words(a), normal_words(b)) for a in words for b in names), default=0.0)
        for id, names in known.items()
    }
    best = sorted((id for id in scores if scores[id] >= LEAST_SCORE), key=lambda id: -scores[id])
    return [BindingCandidate(id=id, score=round(scores[id], 1)) for id in best[:MOST_PROPOSED]]


def _find_knob(item: PlanItem, knobs: Knobs, accepted: str | None) -> tuple[list[Knob], str]:
    """The knobs that an item names exactly, and who bound it (`BoundItem.by`)."""
    by_id = {knob.id: knob for knob in knobs.knobs}
    if accepted:
        return [by_id[accepted]], "person"
    if item.knob in by_id:
        return [by_id[item.knob]], "planner"
    part = normal_words(item.ablation.ablated_part)
    return [knob for knob in knobs.knobs if part in _names(knob)], "alias"


def _names(entry: Knob | MetricDefinition) -> list[str]:
    """The words by which a knob or metric is named exactly."""
    return [normal_words(one) for one in (entry.id, *([entry.key] if entry.key else []), *entry.aliases)]


def _bind_item(item: PlanItem, knobs: Knobs, config: Mapping[str, Any], accepted: str | None) -> BoundItem:
    """What becomes of one item: its knob with the arms and controls, or the reason why it is not bound."""
    one = item.ablation
    found = BoundItem(id=item.id, name=one.name, part=one.ablated_part, action=one.action, status="unbound")
    meant, by = _find_knob(item, knobs, accepted)
    named = dict.fromkeys(name for name, _ in one.options if name)
    parameters = {name: knob for name in named if (knob := _knob_named(name, knobs))}
    if not meant and parameters:
        meant, by = [next(iter(parameters.values()))], "alias"
    if len(meant) != 1:
        return _propose(found, item, knobs, meant)
    knob = meant[0]
    found.knob, found.by, found.note = knob.id, by, knob.note  # type: ignore[assignment]
    if one.action == "REMOVE":
        arms = _removal(found, knob, config)
    else:
        arms = [
            arm
            for name, option in one.options
            for arm in _arms_of(found, knob, parameters, name, option, knobs, config)
        ]
    found.arms = _distinct_arms(found, [arm for arm in arms if _feasible(found, arm, knob, knobs, config)])
    if not found.arms:
        found.status = "infeasible"
        reasons = dict.fromkeys(found.not_run.values())
        found.reason = "; ".join(reasons) or f"the plan names no value of {knob.id}"
        found.not_run = {}
        return found
    found.status = "bound"
    _add_controls(found, knob, knobs, config)
    _put_in_order(found, knob, config)
    return found


def _knob_named(name: str, knobs: Knobs) -> Knob | None:
    """The only knob with this name, alias or last part of its key; None if there is none or several."""
    words = normal_words(name)
    found = [
        knob for knob in knobs.knobs if words in _names(knob) or words == normal_words(knob.key.rpartition(".")[2])
    ]
    return found[0] if len(found) == 1 else None


def _propose(found: BoundItem, item: PlanItem, knobs: Knobs, meant: Sequence[Knob]) -> BoundItem:
    """The item unbound, with the knobs that it may mean and how to accept one of them."""
    one = item.ablation
    if meant:
        found.status = "ambiguous"
        found.candidates = [BindingCandidate(id=knob.id, score=100.0) for knob in meant]
        found.reason = f"{quoted(one.ablated_part)} is an alias of {' and of '.join(knob.id for knob in meant)}"
    else:
        names = {knob.id: [knob.id, knob.words, *knob.aliases] for knob in knobs.knobs}
        found.candidates = _alike([one.ablated_part, one.name], names)
        found.status = "ambiguous" if found.candidates else "unbound"
        found.reason = f"no knob has {quoted(one.ablated_part)} among its aliases"
    if found.candidates:
        found.reason += f": accept one with --accept {item.id}={found.candidates[0].id}, or leave the item out"
    else:
        found.reason += ": this needs code, or a knob that somebody declares"
    return found


def _removal(found: BoundItem, knob: Knob, config: Mapping[str, Any]) -> list[BoundArm]:
    """The arm in which the knob's part is removed, with the settings that must change with it."""
    words = normal_words(found.part)
    value = next((one for text, one in knob.parse.items() if normal_words(text) == words), knob.remove)
    label = f"without {knob.words}"
    if value is None:
        found.not_run[label] = f"{knob.id} cannot be removed: replace it by a value"
        return []
    try:
        if isinstance(value, str) and value in knob.options:
            overrides = dict(knob.options[value])
            label = f"{knob.words}: {value}"
        else:
            overrides = {knob.key: resolve_symbols(knob, value, config)}
    except UnreadableValue as e:
        found.not_run[label] = str(e)
        return []
    entailed = {key: one for key, one in knob.entails.items() if config.get(key) != one and key not in overrides}
    return [BoundArm(label=label, overrides=overrides | entailed, entailed=list(entailed))]


def _arms_of(
    found: BoundItem, knob: Knob, parameters: Mapping[str, Knob], name: str, option: Any, knobs: Knobs,
    config: Mapping[str, Any],
) -> list[BoundArm]:  # fmt: skip
    """The arms of one replacement; a text that cannot be read is put into `not_run` with the reason."""
    text = f"{name}: {option}" if name else str(option)
    if (table := read_assignments(option)) is not None and not name:
        return _arm_of_several(found, text, table, knobs, config)
    grid = read_grid(option)
    if grid is not None and not (grid[0] == "" and knob.type in ("layers", "list")):
        inner, values = grid
        return [
            arm for value in values for arm in _arms_of(found, knob, parameters, name or inner, value, knobs, config)
        ]
    own = knob
    if name:
        of_name = parameters.get(name) or _knob_named(name, knobs)
        if of_name is None:
            found.not_run[text] = f"no knob is named {name!r}"
            return []
        own = of_name
    try:
        value, overrides = read_value(own, option, config)
    except UnreadableValue as e:
        if not (found.action == "ADD" and own.type == "bool"):  # the text describes what is switched on
            found.not_run[text] = str(e)
            return []
        value, overrides = "on", {own.key: True}
    label = f"{own.words} = {value}" if own.key and not own.options.get(value) else f"{own.words}: {value}"
    return [BoundArm(label=label, text=text, overrides=overrides, knob="" if own.id == found.knob else own.id)]


def _arm_of_several(
    found: BoundItem, text: str, table: Mapping[str, Any], knobs: Knobs, config: Mapping[str, Any]
) -> list[BoundArm]:
    """The arm of a replacement that sets several parameters at once."""
    labels: list[str] = []
    overrides: dict[str, Any] = {}
    for name, value in table.items():
        knob = _knob_named(name, knobs)
        if knob is None:
            found.not_run[text] = f"no knob is named {name!r}"
            return []
        try:
            shown, more = read_value(knob, value, config)
        except UnreadableValue as e:
            found.not_run[text] = str(e)
            return []
        labels.append(f"{knob.words} = {shown}")
        overrides |= more
    return [BoundArm(label=", ".join(labels), text=text, overrides=overrides)] if overrides else []


def _feasible(found: BoundItem, arm: BoundArm, knob: Knob, knobs: Knobs, config: Mapping[str, Any]) -> bool:
    """Whether an arm can be run; if it cannot, the reason is put into `not_run`."""
    settings = {**config, **arm.overrides}
    for key, needed in knob.requires.items():
        if settings.get(key) not in (needed if isinstance(needed, list) else [needed]):
            found.not_run[arm.text or arm.label] = f"{knob.id} needs {key} = {needed}, and it is {settings.get(key)}"
            return False
    reason = refusal(knobs, arm.overrides)
    if reason is not None:
        found.not_run[arm.text or arm.label] = reason
    return reason is None


def _distinct_arms(found: BoundItem, arms: Iterable[BoundArm]) -> list[BoundArm]:
    """The arms, without those that an earlier replacement already asked for in other words."""
    kept: list[BoundArm] = []
    for arm in arms:
        if not any(arm.overrides == other.overrides for other in kept):
            labels = [other.label for other in kept]
            kept.append(arm.model_copy(update={"label": f"{arm.label} ({arm.text})"}) if arm.label in labels else arm)
    return kept


def _add_controls(found: BoundItem, knob: Knob, knobs: Knobs, config: Mapping[str, Any]) -> None:
    """Add the published value and the knob's control arms, where neither the baseline nor the plan has them."""
    asked = list(found.arms)
    for arm, isolates in _proposed_controls(found, knob, config):
        same = next((other for other in found.arms if other.overrides == arm.overrides), None)
        is_base = _is_base(arm.overrides, config)
        if same is None and not is_base and refusal(knobs, arm.overrides) is None:
            if arm.label in [other.label for other in found.arms]:
                arm.label += " (control)"
            found.arms.append(arm)
            same = arm
        if isolates and same is not None:
            for other in asked:
                if other.label != same.label:
                    other.against = same.label


def _proposed_controls(found: BoundItem, knob: Knob, config: Mapping[str, Any]) -> list[tuple[BoundArm, bool]]:
    """The published value and the controls that suit an item, each with whether the item's arms are compared with it.

    A control whose symbol has no value here is put into `not_run` with the reason.
    """
    proposals: list[tuple[BoundArm, bool]] = []
    if knob.reference is not None and found.action == "REPLACE":
        why = f"the published value of {knob.words}, which the plan leaves out"
        try:
            shown, overrides = read_value(knob, knob.reference, config)
        except UnreadableValue as e:
            found.not_run[f"{knob.words} = {knob.reference}"] = str(e)
        else:
            label = f"{knob.words} = {shown}"
            proposals.append((BoundArm(label=label, overrides=overrides, kind="control", why=why), False))
    lengths = [len(value) for arm in found.arms if isinstance(value := arm.overrides.get(knob.key), list)]
    if isinstance(config.get(knob.key), list):
        lengths.append(len(config[knob.key]))
    for one in knob.controls:
        if one.when not in ("any", found.action) or (one.length is not None and one.length not in lengths):
            continue
        try:
            overrides = {key: resolve_symbols(knob, value, config) for key, value in one.set.items()}
        except UnreadableValue as e:
            found.not_run[one.label] = str(e)
            continue
        proposals.append((BoundArm(label=one.label, overrides=overrides, kind="control", why=one.why), one.isolates))
    return proposals


def _is_base(overrides: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether overrides change nothing; a table among them is compared with all keys of the baseline below it."""
    for key, value in overrides.items():
        if isinstance(value, dict):
            below = {one.removeprefix(f"{key}."): found for one, found in config.items() if one.startswith(f"{key}.")}
            if below != value:
                return False
        elif config.get(key) != value and not (value == "none" and config.get(key) is None):
            return False
    return True


def _put_in_order(found: BoundItem, knob: Knob, config: Mapping[str, Any]) -> None:
    """Give the arms of a numeric knob their positions in the order of its values, the baseline's value included."""
    base = config.get(knob.key)
    of_base = next((name for name, table in knob.options.items() if _is_base(table, config)), None)
    if of_base is not None:
        found.base_label = f"{knob.words}: {of_base}"
    elif base is not None and not knob.options:
        found.base_label = f"{knob.words} = {base}"
    if knob.type not in ("int", "float") or not isinstance(base, int | float):
        return
    values = {arm.label: arm.overrides.get(knob.key) for arm in found.arms if set(arm.overrides) == {knob.key}}
    order = sorted({float(base), *(float(value) for value in values.values() if isinstance(value, int | float))})
    if len(order) < 3:
        return
    found.base_order = order.index(float(base))
    for arm in found.arms:
        if isinstance(value := values.get(arm.label), int | float):
            arm.order = order.index(float(value))


def _bind_metrics(plan: Plan, knobs: Knobs, accepted: Mapping[str, list[str]]) -> list[BoundMetric]:
    """The metrics for all words of the plan, each word once, and the declared primary ones that no item names."""
    by_heading: dict[str, BoundMetric] = {}
    for item in plan.items:
        for heading in item.ablation.metrics:
            words = normal_words(heading)
            if words not in by_heading:
                by_heading[words] = BoundMetric(heading=heading, status="unbound")
            if item.id not in by_heading[words].items:
                by_heading[words].items.append(item.id)
    found: list[BoundMetric] = []
    for words, metric in by_heading.items():
        found += _bind_metric(metric, words, knobs, accepted.get(words, []))
    bound = {metric.metric for metric in found}
    found += [
        BoundMetric(heading=next(iter(one.aliases), one.id), status="bound", metric=one.id, by="primary")
        for one in knobs.metrics
        if one.primary and one.id not in bound
    ]
    return found


def _bind_metric(metric: BoundMetric, words: str, knobs: Knobs, accepted: Sequence[str]) -> list[BoundMetric]:
    """The metrics that one word of the plan means: several if a person accepted several, else one, bound or not."""
    if accepted:
        return [metric.model_copy(update={"status": "bound", "metric": one, "by": "person"}) for one in accepted]
    exact = [one.id for one in knobs.metrics if words in _names(one)]
    if len(exact) == 1:
        return [metric.model_copy(update={"status": "bound", "metric": exact[0], "by": "alias"})]
    if exact:
        metric.candidates = [BindingCandidate(id=one, score=100.0) for one in exact]
        metric.reason = f"{quoted(metric.heading)} may be {' or '.join(exact)}"
    else:
        metric.candidates = _alike([metric.heading], {one.id: [one.id, one.key, *one.aliases] for one in knobs.metrics})
        metric.reason = f"no metric has {quoted(metric.heading)} among its aliases"
        if "/" in metric.heading:
            metric.reason += f", and its slashes may mean several metrics ({', '.join(spread(metric.heading))})"
    metric.status = "ambiguous" if metric.candidates else "unbound"
    if metric.candidates:
        metric.reason += f": accept one with --accept {shlex.quote(f'{metric.heading}={metric.candidates[0].id}')}"
    else:
        metric.reason += ": it is not measured"
    return [metric]


def spread(heading: str) -> list[str]:
    """The metrics that a heading with slashes may mean; a part that is only a number takes the letters of the first.

    >>> spread("top-1 on K400/600/700"), spread("R@1 on MSR-VTT/LSMDC")
    (['top-1 on K400', 'top-1 on K600', 'top-1 on K700'], ['R@1 on MSR-VTT', 'R@1 on LSMDC'])
    """
    for word in heading.split():
        if "/" in word:
            parts = [part for part in word.split("/") if part]
            letters = parts[0].rstrip("0123456789") if parts and parts[0][-1:].isdigit() else ""
            return [heading.replace(word, letters + one if one.isdigit() and i else one) for i, one in enumerate(parts)]
    return [heading]
