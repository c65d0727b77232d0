"""Merging plans: what two planners propose in equal words becomes one item, which names both of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from whenwhere.ablate.ablation import Ablation
from whenwhere.ablate.plan_records import (
    ItemOrigin,
    Plan,
    PlanItem,
    PlanSource,
    describe_source,
    normal_words,
    squashed,
    unique,
)


def merge_plans(plans: Iterable[Plan]) -> Plan:
    """Merge plans: equal items become one, which names all plans that proposed it.

    Items are equal if their parts differ only in case, spaces and signs and their actions are the same. Their
    replacements and metrics are combined. Items are ordered by their best rank, then by the number of plans that
    proposed them.

    Args:
        plans: The plans, at least one.
    """
    plans = list(plans)
    groups: dict[tuple[str, str], list[tuple[Plan, PlanItem]]] = {}
    for plan in plans:
        for item in plan.items:
            key = (normal_words(item.ablation.ablated_part), item.ablation.action)
            groups.setdefault(key, []).append((plan, item))
    order = sorted(groups.values(), key=lambda group: (min(item.rank for _, item in group), -len(group)))
    merged = Plan(
        source=plans[0].source.model_copy(deep=True) if len(plans) == 1 else PlanSource(paper=_common_paper(plans)),
        trace="\n\n".join(_headed_trace(plan, len(plans) > 1) for plan in plans if plan.trace),
        notes=list(dict.fromkeys(note for plan in plans for note in plan.notes)),
    )
    ids: set[str] = set()
    for rank, group in enumerate(order, 1):
        first = group[0][1]
        origins = [origin for plan, item in group for origin in item.origins or [_origin(plan, item)]]
        merged.items.append(
            PlanItem(
                id=unique(first.id, ids),
                rank=rank,
                ablation=_put_together([item.ablation for _, item in group]),
                raw="\n\n".join(dict.fromkeys(item.raw for _, item in group if item.raw)),
                knob=next((item.knob for _, item in group if item.knob), None),
                why="\n".join(dict.fromkeys(item.why for _, item in group if item.why)),
                origins=origins if len(plans) > 1 or first.origins else [],
            )
        )
    _rename_repeated(merged)
    return merged


def _common_paper(plans: Sequence[Plan]) -> str:
    papers = {plan.source.paper for plan in plans}
    return papers.pop() if len(papers) == 1 else ""


def _headed_trace(plan: Plan, several: bool) -> str:
    return f"**{describe_source(plan.source)}**\n\n{plan.trace}" if several else plan.trace


def _origin(plan: Plan, item: PlanItem) -> ItemOrigin:
    return ItemOrigin(source=plan.source.model_copy(deep=True), rank=item.rank, name=item.ablation.name)


def _put_together(ablations: Sequence[Ablation]) -> Ablation:
    """The first of equal ablations, with the replacements and metrics of all of them."""
    first = ablations[0]
    if len(ablations) == 1:
        return first
    if any(isinstance(one.replacement, dict) for one in ablations):
        tables = [one.replacement for one in ablations if isinstance(one.replacement, dict)]
        lists = [option for one in ablations if isinstance(one.replacement, list) for option in one.replacement]
        replacement: Any = {}
        for table in tables:
            for key, value in table.items():
                values = value if isinstance(value, list) else [value]
                replacement[key] = _distinct([*replacement.get(key, []), *values])
        if lists:
            replacement[""] = _distinct(lists)
    else:
        replacement = _distinct([option for one in ablations for option in one.replacement or []]) or None
    metrics = _distinct([metric for one in ablations for metric in one.metrics])
    return first.model_copy(update={"replacement": replacement, "metrics": metrics})


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The values, without those whose text differs from an earlier one only in case and spaces."""
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(squashed(str(value)).casefold(), value)
    return list(found.values())


def _rename_repeated(plan: Plan) -> None:
    """Give items that have the name of an earlier one a number, because names in a plan are unique."""
    seen: dict[str, int] = {}
    for item in plan.items:
        name = item.ablation.name
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            item.ablation = item.ablation.model_copy(update={"name": f"{name} ({seen[name]})"})
