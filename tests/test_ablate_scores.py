"""Scores of plans: laws, an independent recomputation, and the defects of AblationBench that ours must not have."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.ablate.scores import (
    PlanScores,
    cohen_kappa,
    compat_review_scores,
    compat_scores,
    fleiss_kappa,
    majority,
    matched_items,
    mean_scores,
    strict_scores,
)

PAIRS = st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=14)


def largest(pairs: set[tuple[int, int]], first: int) -> int:
    """Size of a largest matching with the first items, by trying all."""
    kept = [p for p in pairs if p[1] < first]
    for size in range(min(5, first), 0, -1):
        for some in itertools.combinations(kept, size):
            if len({g for g, _ in some}) == len({i for _, i in some}) == size:
                return size
    return 0


@given(PAIRS)
def test_the_matching_is_one_to_one_and_largest_for_every_k(pairs: set[tuple[int, int]]) -> None:
    found = matched_items(pairs, 6)
    assert len(set(found.values())) == len(found) and all((g, i) in pairs for i, g in found.items())
    for k in range(1, 7):
        assert sum(item < k for item in found) == largest(pairs, k)


@given(PAIRS, st.integers(1, 6))
def test_scores_lie_between_0_and_1_and_strict_never_exceeds_compat(pairs: set[tuple[int, int]], k: int) -> None:
    strict, compat = strict_scores(pairs, 5, 6, k), compat_scores(pairs, 5, 6, k)
    for one in (*vars(strict).values(), *vars(compat).values()):
        assert 0 <= one <= 1
    assert strict.recall <= compat.recall
    assert strict.f1 == pytest.approx(
        2 * strict.precision * strict.recall / max(strict.precision + strict.recall, 1e-9)
    )


def test_compat_equals_the_original_computed_by_hand() -> None:
    # labels in gold order [T, F, T] and two surplus items: P = 2/4, R = 2/3
    found = compat_scores([(0, 1), (2, 1)], 3, 3)
    assert found.precision == 0.5 and found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(4 / 7)
    assert found.ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3) + 1 / 2))
    assert compat_scores([], 3, 2) == PlanScores(0, 0, 0, 0)
    assert compat_review_scores([True, False], 3).recall == pytest.approx(1 / 3)


def test_strict_ndcg_depends_on_the_plans_order_and_not_on_that_of_the_wanted() -> None:
    """Defect 5: the original's nDCG is over the order of the wanted ablations."""
    by_order = [strict_scores([(1, item)], 3, 3).ndcg for item in range(3)]
    assert by_order == sorted(by_order, reverse=True) and len(set(by_order)) == 3
    assert len({strict_scores([(gold, 0)], 3, 3).ndcg for gold in range(3)}) == 1
    assert len({compat_scores([(1, item)], 3, 3).ndcg for item in range(3)}) == 1


def test_a_vague_item_counts_once() -> None:
    """Defect 6: one item that resembles everything gets P = R = 1."""
    everything = [(gold, 0) for gold in range(4)]
    assert compat_scores(everything, 4, 1).f1 == 1
    assert strict_scores(everything, 4, 1) == PlanScores(1.0, 0.25, 0.4, pytest.approx(1 / sum(
        1 / math.log2(k + 2) for k in range(4)
    )))  # fmt: skip
    # two items that answer one request are one hit, and the second one costs precision
    assert strict_scores([(0, 0), (0, 1)], 2, 2).precision == 0.5


def test_judges_vote_on_pairs_and_not_on_sets() -> None:
    """Defect 7: votes "a", ["a"] and ["a", "b"] had no majority."""
    assert majority([{(0, 0)}, {(0, 0)}, {(0, 0), (0, 1)}]) == {(0, 0)}
    assert majority([{(0, 0), (0, 2)}, {(0, 0), (0, 1)}, {(0, 1), (0, 2)}]) == {(0, 0), (0, 1), (0, 2)}
    assert majority([{(0, 0)}, set()]) == frozenset()
    assert majority([]) == frozenset()


def test_k_cuts_the_plan_by_its_rank() -> None:
    """Defect 8: the original cut a shuffled list of reviewers' hits, and voided matches of trimmed names."""
    assert compat_review_scores([False, True], 1, k=1) == PlanScores(0, 0, 0, pytest.approx(math.nan, nan_ok=True))
    assert compat_review_scores([True, False], 1, k=1).precision == 1
    # the wanted ablation matches an item that stays and one that is cut off
    assert compat_scores([(0, 0), (0, 4)], 1, 5, k=1).f1 == 1
    assert strict_scores([(0, 0), (0, 4)], 1, 5, k=1).f1 == 1


def test_scores_that_make_no_sense_are_refused() -> None:
    for pairs, gold, plan in (([], 0, 2), ([(0, 2)], 1, 2), ([(0, -1)], 1, 2), ([(-1, 0)], 1, 2)):
        with pytest.raises(ValueError):
            strict_scores(pairs, gold, plan)
    assert strict_scores([], 3, 0) == PlanScores(0, 0, 0, 0)
    # more requests found than were counted as wanted: not more than all
    assert strict_scores([(0, 0), (1, 1)], 1, 2).recall == 1


def test_intervals_over_papers_cover_the_mean_and_shrink() -> None:
    drawn = random.Random(0)
    scores = [PlanScores(x := drawn.random(), x, x) for _ in range(200)]
    few, many = mean_scores(scores[:20])["f1"], mean_scores(scores)["f1"]
    assert few.low < few.mean < few.high and many.high - many.low < few.high - few.low
    assert math.isnan(mean_scores(scores)["ndcg"].mean)
    assert math.isnan(mean_scores([])["f1"].mean)


def test_kappa_of_known_tables() -> None:
    assert cohen_kappa([True] * 20 + [False] * 15 + [True] * 5 + [False] * 10,
                       [True] * 20 + [False] * 15 + [False] * 5 + [True] * 10) == pytest.approx(0.4)  # fmt: skip
    assert math.isnan(cohen_kappa([True, True], [True, True])) and math.isnan(cohen_kappa([], []))
    assert cohen_kappa([True, False], [False, True]) == -1
    # two raters: Scott's pi
    first, second = [True, True, False, False, True], [True, False, False, False, True]
    share = (sum(first) + sum(second)) / 10
    chance = share**2 + (1 - share) ** 2
    assert fleiss_kappa([first, second]) == pytest.approx((0.8 - chance) / (1 - chance))
    assert math.isnan(fleiss_kappa([[True, False]])) and math.isnan(fleiss_kappa([[], []]))
    drawn = random.Random(1)
    votes = [[drawn.random() < 0.3 for _ in range(4000)] for _ in range(3)]
    assert abs(fleiss_kappa(votes)) < 0.05
