"""What may be said about an arm on a metric: the differences of its seeds, their tests, and a verdict.

A claim that a component helps is a claim about training, so the unit is the seed: arm minus baseline, trained with the
same seed and measured on the same items. How many seeds were *planned* fixes what may be said:

- eight or more: a verdict, by the paired t test, corrected by Holm's method over all primary comparisons;
- five to seven: a screening, corrected over the comparisons that were planned as screenings;
- two to four: the difference and its descriptive interval, and no test;
- one: the two checkpoints are compared by a bootstrap over videos, which says nothing about training.

Arms that check the study (the baseline once more, a change that should do nothing) are a family of their own.

Where a planned seed is missing there is no test: which seeds are missing may depend on the result. The comparison
still counts in Holm's correction, so a report of half of the cells claims nothing that the whole one would take back
for the number of tests.

The exact sign-flip test stands beside the t test as a check of its assumption. The crossed bootstrap describes how much
seeds and items vary; it is not a test either.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.ablate.documents import Document
from whenwhere.ablate.study import ArmKind, StudyMetric
from whenwhere.stats import (
    Interval,
    crossed_bootstrap,
    holm,
    interaction,
    minimum_detectable_effect,
    noninferiority,
    paired_difference,
    paired_t,
    sign_flip,
)

#: Fewest seeds of a verdict, of a screening, and of the exact sign-flip test; most seeds of the last.
VERDICT, SCREENING, FLIPPED, MOST_FLIPPED = 8, 5, 6, 20
#: Error rate of the two-sided tests; tests of non-inferiority are one-sided at half of it.
ALPHA = 0.05
#: Kinds of arms about which something is claimed; the others check the study itself.
CLAIMED: tuple[ArmKind, ...] = ("arm", "control")

Standing = Literal["verdict", "screening", "no test", "checkpoint", "constant", "unchanged", "incomplete"]
Family = Literal["primary", "screening", "check"]
Verdict = Literal["better", "worse", "not worse", "no detectable effect", ""]


class Effect(Document):
    """One arm against another on one metric.

    Attributes:
        arm: Id of the arm.
        against: Id of the arm that it is compared with.
        metric: Id of the metric.
        kind: Kind of the arm.
        planned: Number of pairs of seeds that were planned.
        seeds: Seeds of the arm for which both sides have a value.
        deltas: Arm minus the other for each of `seeds`, in the metric's own unit.
        standing: What may be said: `constant` if all seeds of both sides are equal, so that they say nothing about how
            much training varies, `unchanged` if every seed has the same value on both sides, which the change then does
            not reach, and `incomplete` if a planned seed is missing.
        family: Comparisons that the test is corrected with, or None for an exploratory one. Arms of kind `a-a` and
            `null` are `check`.
        difference: Mean of the deltas with the interval of the paired t test; None without a test.
        p_value: Two-sided p-value of the paired t test.
        adjusted: The p-value corrected by Holm's method over the family.
        flipped: p-value of the exact sign-flip test.
        detectable: Smallest true difference that so many seeds of this spread find in 80 % of studies, uncorrected.
        bound: Largest loss that is not ruled out, for metrics with a margin: a one-sided bound of the difference in
            the direction of better.
        inferior: p-value of the hypothesis that the loss is the margin or more, corrected over the family.
        described: Crossed bootstrap over seeds and items; None without values of single items.
        checkpoint: Bootstrap over videos of the difference of two checkpoints, for a single seed.
        verdict: What was found; empty if nothing may be said.
    """

    arm: str
    against: str
    metric: str
    kind: ArmKind
    planned: int
    seeds: list[int]
    deltas: list[float]
    standing: Standing
    family: Family | None = None
    difference: Interval | None = None
    p_value: float | None = None
    adjusted: float | None = None
    flipped: float | None = None
    detectable: float | None = None
    bound: float | None = None
    inferior: float | None = None
    described: Interval | None = None
    checkpoint: Interval | None = None
    verdict: Verdict = ""

    @property
    def mean(self) -> float | None:
        """The mean difference; None if a planned seed is missing."""
        return None if self.standing == "incomplete" else float(np.mean(self.deltas))

    @property
    def tested(self) -> bool:
        """Whether there is a test."""
        return self.p_value is not None


class Interaction(Document):
    """Whether an arm's effect differs between tasks.

    Attributes:
        arm: Id of the arm.
        metrics: Ids of the metrics, one for each task.
        pairs: Number of seeds.
        p_value: p-value of the hypothesis that the effect is the same on all tasks.
        adjusted: The p-value corrected by Holm's method over all arms that have one.
    """

    arm: str
    metrics: list[str]
    pairs: int
    p_value: float
    adjusted: float


def compare(
    arm: str,
    against: str,
    kind: ArmKind,
    metric: StudyMetric,
    pairs: Sequence[tuple[int, float | None, float | None]],
    items: tuple[NDArray[np.float64], Sequence[str]] | None = None,
    resamples: int = 2_000,
) -> Effect:
    """The difference of two arms on one metric and its tests, without correction and verdict (`with_verdicts`).

    Args:
        arm: Id of the arm.
        against: Id of the other arm.
        kind: Kind of the arm.
        metric: The metric.
        pairs: For each planned pair the arm's seed, the arm's value and the other's; None for one that is missing.
        items: Differences on single items, shape (n_pairs, n_items), and the video of each item; None if there are
            none.
        resamples: Number of resamples of the bootstraps.
    """
    there = [(seed, a, b) for seed, a, b in pairs if a is not None and b is not None]
    deltas = [a - b for _, a, b in there]
    constant = len(there) > 1 and all(len({pair[side] for pair in there}) == 1 for side in (1, 2))
    unchanged = len(there) > 1 and not constant and not any(deltas)
    standing = _standing(len(pairs), len(there), "constant" if constant else "unchanged" if unchanged else None)
    effect = Effect(
        arm=arm, against=against, metric=metric.id, kind=kind, planned=len(pairs), seeds=[seed for seed, _, _ in there],
        deltas=deltas, standing=standing,
    )  # fmt: skip
    if metric.primary and len(pairs) >= SCREENING:
        of_claims: Family = "primary" if len(pairs) >= VERDICT else "screening"
        effect.family = of_claims if kind in CLAIMED else "check"
    if standing in ("incomplete", "constant", "unchanged"):
        return effect
    if items is not None:
        differences, videos = items
        if standing == "checkpoint":
            effect.checkpoint = paired_difference(differences[0], np.zeros(len(videos)), videos, resamples)
        else:
            effect.described = crossed_bootstrap(differences, videos, resamples)
    if standing in ("verdict", "screening"):
        _test(effect, metric)
    return effect


def _standing(planned: int, there: int, untestable: Standing | None) -> Standing:
    if there < planned or not planned:
        return "incomplete"
    if untestable is not None:
        return untestable
    if planned >= SCREENING:
        return "verdict" if planned >= VERDICT else "screening"
    return "no test" if planned > 1 else "checkpoint"


def _test(effect: Effect, metric: StudyMetric) -> None:
    test = paired_t(effect.deltas)
    effect.difference, effect.p_value = test.difference, test.p_value
    if FLIPPED <= len(effect.deltas) <= MOST_FLIPPED:
        effect.flipped = sign_flip(effect.deltas)
    spread = float(np.std(effect.deltas, ddof=1))
    if spread:
        effect.detectable = spread * _detectable(len(effect.deltas))
    if metric.margin is not None:
        sign = 1 if metric.higher else -1
        found = noninferiority([sign * delta for delta in effect.deltas], metric.margin, ALPHA / 2)
        effect.bound, effect.inferior = found.bound, found.p_value


@cache
def _detectable(pairs: int) -> float:
    """Smallest detectable effect in standard deviations."""
    return minimum_detectable_effect(1.0, pairs)


def with_verdicts(effects: Sequence[Effect], metrics: Mapping[str, StudyMetric]) -> list[Effect]:
    """The effects with corrected p-values and verdicts.

    Args:
        effects: All effects of a study, as `compare` gives them. A primary comparison without a test counts in the
            correction.
        metrics: The metrics by id.
    """
    done = [effect.model_copy() for effect in effects]
    for family in ("primary", "screening", "check"):
        members = [effect for effect in done if effect.family == family]
        for effect, p in zip(members, _adjusted([one.p_value for one in members]), strict=True):
            effect.adjusted = p if effect.tested else None
        declared = [one for one in members if metrics[one.metric].margin is not None]
        for effect, p in zip(declared, _adjusted([one.inferior for one in declared]), strict=True):
            effect.inferior = p if effect.tested else None
    for effect in done:
        effect.verdict = _verdict(effect, metrics[effect.metric])
    return done


def _adjusted(p_values: Sequence[float | None]) -> list[float]:
    """Holm's correction, in which a test that could not be made counts as one that found nothing."""
    return holm([1.0 if p is None else p for p in p_values]).tolist()


def _verdict(effect: Effect, metric: StudyMetric) -> Verdict:
    if effect.adjusted is None:
        return ""
    if effect.adjusted <= ALPHA:
        return "better" if (np.mean(effect.deltas) > 0) == metric.higher else "worse"
    if effect.inferior is not None and effect.inferior <= ALPHA / 2:
        return "not worse"
    return "no detectable effect"


def interactions(effects: Sequence[Effect], metrics: Sequence[StudyMetric]) -> list[Interaction]:
    """For each arm with effects on several tasks, whether they differ.

    A task is what one evaluator measures, the part of a metric's key before the last `/`; its first primary metric
    stands for it, or its first one if none is primary. Metrics of other units than the first task's are not compared,
    and arms without a test of each task have none here.

    Args:
        effects: All effects of a study.
        metrics: Its metrics.
    """
    tasks: dict[str, StudyMetric] = {}
    for metric in sorted(metrics, key=lambda one: not one.primary):
        tasks.setdefault(metric.key.rpartition("/")[0] or metric.key, metric)
    first = next(iter(tasks.values()), None)
    compared = [metric for metric in tasks.values() if first is not None and metric.unit == first.unit]
    if len(compared) < 2:
        return []
    found: list[Interaction] = []
    for arm in dict.fromkeys(effect.arm for effect in effects if effect.kind in CLAIMED):
        own = {effect.metric: effect for effect in effects if effect.arm == arm and effect.tested}
        columns = [own[metric.id] for metric in compared if metric.id in own]
        if len(columns) < len(compared) or len(columns[0].deltas) < len(columns):
            continue
        signs = [1 if metric.higher else -1 for metric in compared]
        differences = np.array([effect.deltas for effect in columns]).T * signs
        p = interaction(differences).p_value
        found.append(
            Interaction(
                arm=arm, metrics=[metric.id for metric in compared], pairs=len(differences), p_value=p, adjusted=p
            )
        )
    for one, p in zip(found, _adjusted([one.p_value for one in found]), strict=True):
        one.adjusted = p
    return found
