"""Scores of a plan against what was wanted, from the pairs that the judges matched.

Two ways of counting are reported side by side:

- `strict`: each item of the plan counts for at most one wanted ablation and the other way round (a maximum matching).
  Precision, recall and F1 at k look at the first k items of the plan *in the plan's order*, and nDCG is over that order
  too. So a vague item that resembles everything counts once, and a better order gives a better score.
- `compat`: as AblationBench counts (Abramovich and Chechik 2025, arXiv 2507.08038; the code of February 2026), for
  comparison with its published numbers. An item may match any number of wanted ablations, and its nDCG is over the
  order of the *wanted* ablations, so that the plan's order does not count. It differs from the original in one thing on
  purpose: judges vote on each pair, while the original votes on whole sets of pairs and finds no majority if two sets
  differ in one pair.

Pairs are (index of the wanted ablation, index of the plan's item), both from 0; the plan's items are in its order.
"""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from whenwhere.stats import Interval, bootstrap_means

Pair = tuple[int, int]


@dataclass(frozen=True)
class PlanScores:
    """Scores of one plan, each from 0 to 1.

    Attributes:
        precision: Share of the plan's items that were wanted.
        recall: Share of the wanted ablations that the plan has.
        f1: Harmonic mean of the two.
        ndcg: Normalised discounted cumulative gain; NaN if the way of counting has none.
    """

    precision: float
    recall: float
    f1: float
    ndcg: float = math.nan


def matched_items(pairs: Collection[Pair], n_plan: int) -> dict[int, int]:
    """Find a largest one-to-one matching, as {index in the plan: index of the wanted ablation}.

    Among the largest matchings it prefers early items of the plan: for each k, as many of the first k items are matched
    as in any matching.

    Args:
        pairs: The pairs that match.
        n_plan: Number of items in the plan.

    >>> matched_items([(0, 0), (1, 0), (2, 0)], 1)           # one vague item, three wanted ablations
    {0: 0}
    >>> sorted(matched_items([(0, 0), (1, 0), (0, 1)], 2))   # the first item gives way, so that both are matched
    [0, 1]
    """
    wanted: dict[int, list[int]] = {}
    for gold, item in sorted(pairs):
        wanted.setdefault(item, []).append(gold)
    holder: dict[int, int] = {}

    def place(item: int, seen: set[int]) -> bool:
        for gold in wanted.get(item, []):
            if gold not in seen:
                seen.add(gold)
                if gold not in holder or place(holder[gold], seen):
                    holder[gold] = item
                    return True
        return False

    # An item that was matched once stays matched, so taking the items in order favours the early ones.
    for item in range(n_plan):
        place(item, set())
    return {item: gold for gold, item in sorted(holder.items(), key=lambda entry: entry[1])}


def strict_scores(pairs: Collection[Pair], n_gold: int, n_plan: int, k: int | None = None) -> PlanScores:
    """Strict scores of a plan's first k items.

    Args:
        pairs: The pairs that match.
        n_gold: Number of wanted ablations, at least 1.
        n_plan: Number of items in the plan.
        k: How many of the plan's items count. None counts all.

    Raises:
        ValueError: `n_gold` is below 1, or a pair names an item outside the plan.

    >>> strict_scores([(0, 1)], 2, 2).ndcg < strict_scores([(0, 0)], 2, 2).ndcg      # the plan's order counts
    True
    >>> strict_scores([(0, 0), (1, 0)], 2, 1)                # one item cannot be two
    PlanScores(precision=1.0, recall=0.5, f1=0.666..., ndcg=0.613...)
    """
    if n_gold < 1:
        raise ValueError("a plan cannot be scored where nothing is wanted")
    if any(not 0 <= item < n_plan or gold < 0 for gold, item in pairs):
        raise ValueError(f"a pair names an item outside of a plan of {n_plan}")
    kept = n_plan if k is None else min(k, n_plan)
    hits = [item for item in matched_items(pairs, n_plan) if item < kept]
    # Judges may find more requests than were counted as wanted; no plan has more than all.
    recall = min(len(hits) / n_gold, 1.0)
    ideal = _gain(range(n_gold if k is None else min(n_gold, k)))
    precision = len(hits) / kept if kept else 0.0
    return PlanScores(precision, recall, _f1(precision, recall), min(_gain(hits) / ideal, 1.0) if ideal else 0.0)


def compat_scores(pairs: Collection[Pair], n_gold: int, n_plan: int, k: int | None = None) -> PlanScores:
    """Scores as AblationBench counts them for authors' ablations.

    Args:
        pairs: The pairs that match, any number for each side.
        n_gold: Number of wanted ablations.
        n_plan: Number of items in the plan.
        k: How many of the plan's items count. None counts all.

    >>> compat_scores([(0, 0), (1, 0)], 2, 1)                # one vague item that resembles everything
    PlanScores(precision=1.0, recall=1.0, f1=1.0, ndcg=1.0)
    """
    kept = n_plan if k is None else min(k, n_plan)
    pairs = [(gold, item) for gold, item in pairs if item < kept]
    found = {gold for gold, _ in pairs}
    surplus = kept - len({item for _, item in pairs})
    labels = [gold in found for gold in range(n_gold)] + [True] * surplus
    precision = len(found) / (len(found) + surplus) if found or surplus else 0.0
    recall = len(found) / n_gold if n_gold else 0.0
    depth = min(kept, n_gold)
    gain = _gain([place for place, label in enumerate(labels[:depth]) if label])
    return PlanScores(precision, recall, _f1(precision, recall), gain / _gain(range(depth)) if depth else 0.0)


def compat_review_scores(appears: Sequence[bool], n_gold: int, k: int | None = None) -> PlanScores:
    """Scores as AblationBench counts them for reviewers' requests: hits beyond the number that was wanted are ignored.

    Args:
        appears: For each item of the plan, in its order, whether a review asks for it.
        n_gold: Number of ablations that the reviews ask for.
        k: How many of the plan's items count. None counts all. The original cuts the judge's list, which is shuffled.

    >>> compat_review_scores([True, True, False], 1)
    PlanScores(precision=0.5, recall=1.0, f1=0.666..., ndcg=nan)
    """
    appears = appears[:k]
    hits = min(sum(appears), n_gold)
    wrong = len(appears) - sum(appears)
    precision = hits / (hits + wrong) if hits else 0.0
    recall = hits / n_gold if n_gold else 0.0
    return PlanScores(precision, recall, _f1(precision, recall))


def mean_scores(scores: Sequence[PlanScores], seed: int = 0) -> dict[str, Interval]:
    """Means over papers with 95 % bootstrap intervals from resampled papers, by the name of the score.

    Args:
        scores: The scores of each paper's plan.
        seed: Seed of the resampling.
    """
    names = ("precision", "recall", "f1", "ndcg")
    table = np.array([[getattr(one, name) for name in names] for one in scores], float).reshape(-1, len(names))
    return dict(zip(names, bootstrap_means(table, seed=seed), strict=True))


def majority(votes: Sequence[Collection[Pair]]) -> frozenset[Pair]:
    """The pairs for which more than half of the judges voted; a tie is no match.

    >>> sorted(majority([{(0, 0)}, {(0, 0)}, {(0, 0), (0, 1)}]))
    [(0, 0)]
    """
    counts: dict[Pair, int] = {}
    for pair in itertools.chain.from_iterable(map(set, votes)):
        counts[pair] = counts.get(pair, 0) + 1
    return frozenset(pair for pair, count in counts.items() if 2 * count > len(votes))


def cohen_kappa(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Agreement of two judges beyond chance; NaN if there is no vote, or both always voted the same way.

    Args:
        first: Vote of one judge on each pair.
        second: Vote of the other judge on the same pairs.

    Source: Cohen 1960, A coefficient of agreement for nominal scales.

    >>> cohen_kappa([True, True, False, False], [True, False, False, False])
    0.5
    """
    if not first:
        return math.nan
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return math.nan if chance == 1 else float((a == b).mean() - chance) / (1 - chance)


def fleiss_kappa(votes: Sequence[Sequence[bool]]) -> float:
    """Agreement of any number of judges beyond chance; NaN with one judge or no vote, or if all votes are alike.

    Args:
        votes: Vote of each judge on each pair, shape (n_judges, n_pairs).

    Source: Fleiss 1971, Measuring nominal scale agreement among many raters.

    >>> fleiss_kappa([[True, False], [True, False], [True, False]])
    1.0
    """
    table = np.asarray(votes, bool)
    if table.ndim != 2 or len(table) < 2 or not table.shape[1]:
        return math.nan
    n, yes = len(table), table.sum(0)
    agreed = float(((yes * (yes - 1) + (n - yes) * (n - yes - 1)) / (n * (n - 1))).mean())
    share = float(table.mean())
    chance = share**2 + (1 - share) ** 2
    return math.nan if chance == 1 else (agreed - chance) / (1 - chance)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _gain(places: Collection[int]) -> float:
    """Discounted cumulative gain of hits at these places, from 0."""
    return sum(1 / math.log2(place + 2) for place in places)
