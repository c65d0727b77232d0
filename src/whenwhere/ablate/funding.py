"""Which arms a budget pays for: in the order of the plan, with all seeds, or with fewer where all no longer fit.

The baseline and the arms that check the study itself are paid for first. An arm is paid for together with the arm that
it is compared with, if that is not the baseline: without it the arm would say nothing. A stage that several arms share
is paid for once.
"""

from collections.abc import Mapping, Sequence

from whenwhere.ablate.study import NotRun, StudyArm, StudyBudget


def fund(
    arms: Sequence[StudyArm], costs: Mapping[str, float], budget: float | None, seeds: int, fewer: int
) -> tuple[StudyBudget, list[NotRun]]:
    """Decides which arms are funded and with how many seeds, and writes it into the arms.

    Args:
        arms: The arms, the baseline first, then in the order of the plan; their seeds are those of a full run.
        costs: Seconds of one seed of each stage, by the stage's hash. If one is missing, all arms are funded and the
            estimate is None.
        budget: Most seconds; None funds everything.
        seeds: Number of seeds of a full run.
        fewer: Number of seeds of an arm for which a full run no longer fits.

    Returns:
        The budget with its estimates, and the arms that are not funded.
    """
    for arm in arms:
        own = [costs.get(stage.hash) for stage in arm.stages]
        known = [seconds for seconds in own if seconds is not None]
        arm.cost_seconds = sum(known) if len(known) == len(own) else None
    if any(arm.cost_seconds is None for arm in arms):
        return StudyBudget(seconds=budget), []
    paid: set[tuple[str, int]] = set()
    spent = unfunded = 0.0
    refused: list[NotRun] = []
    by_id = {arm.id: arm for arm in arms}
    decided: set[str] = set()
    # without its checks a study cannot tell chance from an effect, so that they come before the plan
    for arm in sorted(arms, key=lambda one: {"baseline": 0, "a-a": 1, "null": 1}.get(one.kind, 2)):
        needed = _with_needed(arm, by_id)
        lacking = next((one for one in needed[1:] if not one.funded), None)
        if lacking is not None:
            arm.funded = False
            decided.add(arm.id)
            reason = f"it is compared with {lacking.label}, which is not funded"
            refused.append(NotRun(item=arm.item, name=arm.label, status="not funded", reason=reason))
            continue
        group = [one for one in needed if one.id not in decided]
        for number in sorted({seeds, min(fewer, seeds)}, reverse=True):
            more = {(stage.hash, seed) for one in group for stage in one.stages for seed in one.seeds[:number]} - paid
            price = sum(costs[hash] for hash, _ in more)
            if budget is None or arm.kind == "baseline" or spent + price <= budget:
                paid |= more
                spent += price
                for one in group:
                    one.seeds = one.seeds[:number]
                    decided.add(one.id)
                break
        else:
            arm.funded = False
            decided.add(arm.id)
            unfunded += price
            reason = ""
            if budget is not None:
                left = cpu_time(budget - spent)
                reason = f"{min(fewer, seeds)} seeds of it cost {cpu_time(price)}, and {left} are left"
            refused.append(NotRun(item=arm.item, name=arm.label, status="not funded", reason=reason))
    return StudyBudget(seconds=budget, estimated_seconds=spent, unfunded_seconds=unfunded), refused


def _with_needed(arm: StudyArm, by_id: Mapping[str, StudyArm]) -> list[StudyArm]:
    """An arm and the arms that it is compared with, directly or through others."""
    found = [arm]
    while found[-1].against is not None and by_id[found[-1].against] not in found:
        found.append(by_id[found[-1].against])
    return found


def cpu_time(seconds: float) -> str:
    """Seconds of computation in the unit that a person would use.

    >>> cpu_time(90), cpu_time(5400)
    ('1.5 CPU minutes', '1.5 CPU hours')
    """
    if seconds < 60:
        return f"{max(seconds, 0):.0f} CPU seconds"
    if seconds < 3600:
        return f"{seconds / 60:.1f} CPU minutes"
    return f"{seconds / 3600:.1f} CPU hours"
