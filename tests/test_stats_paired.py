"""Tests of paired differences, their corrections and their power, against SciPy and against whole enumerations."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from whenwhere.stats import (
    crossed_bootstrap,
    holm,
    interaction,
    minimum_detectable_effect,
    noninferiority,
    paired_t,
    paired_t_power,
    sign_flip,
)

law = settings(max_examples=60, deadline=None, derandomize=True)
numbers = st.integers(-50, 50).map(lambda k: k / 8)
samples = st.lists(numbers, min_size=2, max_size=9)
varied = samples.filter(lambda x: len(set(x)) > 1)


# --- paired t


@law
@given(varied, st.sampled_from([0.9, 0.95, 0.99]))
def test_paired_t_is_that_of_scipy(x: list[float], level: float) -> None:
    found, other = paired_t(x, level), scipy.stats.ttest_1samp(x, 0)
    assert found.p_value == pytest.approx(other.pvalue, abs=1e-12)
    assert found.difference[1:] == pytest.approx(tuple(other.confidence_interval(level)), abs=1e-9)
    assert found.pairs == len(x)


@law
@given(samples)
def test_paired_t_does_not_care_which_arm_comes_first(x: list[float]) -> None:
    one, other = paired_t(x), paired_t([-v for v in x])
    assert one.p_value == other.p_value
    assert one.difference == pytest.approx(
        (-other.difference.mean, -other.difference.high, -other.difference.low), abs=1e-12
    )


def test_equal_differences_have_no_spread() -> None:
    assert paired_t([0.0, 0.0]).p_value == 1 and paired_t([0.5, 0.5]).p_value == 0
    assert paired_t([0.5, 0.5]).difference == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("test", [paired_t, sign_flip, lambda x: noninferiority(x, 0.1)])
def test_a_missing_seed_is_refused(test) -> None:
    with pytest.raises(ValueError, match="not finite"):
        test([0.1, np.nan, 0.2])
    with pytest.raises(ValueError, match="at least two"):
        test([0.1])


# --- sign flip


@law
@given(samples)
def test_sign_flip_is_the_share_of_all_signs(x: list[float]) -> None:
    sums = [
        abs(sum(s * v for s, v in zip(signs, x, strict=True))) for signs in itertools.product((-1, 1), repeat=len(x))
    ]
    assert sign_flip(x) == np.mean([s >= abs(sum(x)) - 1e-9 for s in sums])


def test_sign_flip_is_that_of_scipy() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 9)
    other = scipy.stats.permutation_test((x,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(x) == pytest.approx(other.pvalue, abs=1e-12)


@law
@given(samples, st.randoms())
def test_sign_flip_knows_neither_order_nor_scale_nor_direction(x: list[float], random) -> None:
    shuffled = random.sample(x, len(x))
    assert sign_flip(x) == sign_flip(shuffled) == sign_flip([-v for v in x]) == sign_flip([0.3 * v for v in x])
    assert 2 ** (1 - len(x)) <= sign_flip(x) <= 1


def test_sign_flip_needs_six_pairs_and_takes_twenty() -> None:
    assert sign_flip([1, 2, 3, 4, 5]) > 0.05 > sign_flip([1, 2, 3, 4, 5, 6])
    assert sign_flip(range(1, 21)) == 2**-19
    with pytest.raises(ValueError, match="paired_t"):
        sign_flip(range(21))


# --- Holm

p_values = st.lists(st.integers(0, 100).map(lambda k: k / 100), min_size=1, max_size=6)


@law
@given(p_values)
def test_holm_is_the_closed_test_of_bonferroni(p: list[float]) -> None:
    # A hypothesis is rejected where Bonferroni rejects every set of hypotheses that it belongs to.
    sets = [s for r in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), r)]
    closed = [max(min(1.0, len(s) * min(p[k] for k in s)) for s in sets if i in s) for i in range(len(p))]
    assert holm(p) == pytest.approx(closed, abs=1e-12)


@law
@given(p_values, st.randoms())
def test_holm_keeps_order_and_never_gains(p: list[float], random) -> None:
    order = random.sample(range(len(p)), len(p))
    assert holm([p[i] for i in order]).tolist() == holm(p)[order].tolist()
    assert (holm(p) >= np.array(p)).all() and (holm(p) <= 1).all()


def test_holm_refuses_what_is_no_p_value() -> None:
    for wrong in ([0.1, np.nan], [1.1], [-0.1]):
        with pytest.raises(ValueError, match="p-values"):
            holm(wrong)
    assert holm([]).tolist() == []


# --- non-inferiority


@law
@given(varied, st.integers(1, 40).map(lambda k: k / 8), st.sampled_from([0.025, 0.05]))
def test_noninferiority_is_the_one_sided_t_of_scipy(x: list[float], margin: float, alpha: float) -> None:
    found = noninferiority(x, margin, alpha)
    assert found.p_value == pytest.approx(scipy.stats.ttest_1samp(x, -margin, alternative="greater").pvalue, abs=1e-12)
    assert found.bound == pytest.approx(paired_t(x, 1 - 2 * alpha).difference.low, abs=1e-12)
    assert found.shown == (found.p_value < alpha) or abs(found.p_value - alpha) < 1e-9
    assert noninferiority(x, margin + 1, alpha).p_value <= found.p_value


def test_noninferiority_without_spread_and_without_margin() -> None:
    assert noninferiority([-0.1, -0.1], 0.2).shown and not noninferiority([-0.2, -0.2], 0.1).shown
    with pytest.raises(ValueError, match="margin"):
        noninferiority([0.1, 0.2], 0)


# --- power


@pytest.mark.parametrize("pairs", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0, 3.0, 8.0, 30.0])
def test_power_is_the_integral_over_the_spread_that_a_sample_can_show(pairs: int, effect: float) -> None:
    critical, shift = scipy.stats.t.ppf(0.975, pairs - 1), effect * pairs**0.5

    def density(s: float) -> float:
        rejected = scipy.stats.norm.sf(critical * s - shift) + scipy.stats.norm.cdf(-critical * s - shift)
        return rejected * 2 * s * (pairs - 1) * scipy.stats.chi2.pdf(s * s * (pairs - 1), pairs - 1)

    expected = quad(density, 0, 12, limit=400, points=[min(11.9, shift / critical)])[0]
    assert paired_t_power(effect, 1.0, pairs) == pytest.approx(expected, abs=1e-6)


def test_power_is_how_often_the_test_rejects() -> None:
    rng = np.random.default_rng(4)
    hits = np.mean([paired_t(rng.normal(0.9, 1, 8)).p_value < 0.05 for _ in range(4000)])
    assert paired_t_power(0.9, 1, 8) == pytest.approx(hits, abs=0.03)


@law
@given(st.integers(2, 30), st.sampled_from([0.5, 0.8, 0.95]), st.floats(0.01, 10))
def test_the_minimum_detectable_effect_has_the_power_asked_for(pairs: int, power: float, sd: float) -> None:
    effect = minimum_detectable_effect(sd, pairs, power)
    assert paired_t_power(effect, sd, pairs) == pytest.approx(power, abs=1e-6)
    assert minimum_detectable_effect(sd, pairs + 1, power) < effect


def test_power_refuses_what_makes_no_study() -> None:
    for pairs, sd, power in ((1, 1, 0.8), (5, 0, 0.8), (5, 1, 0.05), (5, 1, 1)):
        with pytest.raises(ValueError):
            minimum_detectable_effect(sd, pairs, power)


# --- seeds and items together


def test_the_crossed_bootstrap_is_that_of_all_resamples() -> None:
    x = np.array([[0.1, 0.4, 0.2, 0.9], [0.3, -0.2, 0.0, 0.5]])
    clusters = ["a", "a", "b", "c"]
    items = {"a": [0, 1], "b": [2], "c": [3]}
    means = [
        np.mean([x[s, i] for s in seeds for cluster in drawn for i in items[cluster]])
        for seeds in itertools.product(range(2), repeat=2)
        for drawn in itertools.product("abc", repeat=3)
    ]
    found = crossed_bootstrap(x, clusters, n=40_000, level=0.8, small_sample=False)
    assert found.mean == pytest.approx(x.mean())
    low, high = np.quantile(means, [0.1, 0.9], method="inverted_cdf")
    assert found[1:] == pytest.approx((low, high), abs=1e-6)


def test_small_samples_widen_the_crossed_interval_to_that_of_t() -> None:
    # Without any variation between items the interval is one over seeds, where Student's is the right one.
    seeds = np.random.default_rng(5).normal(0, 1, 8)
    x = np.repeat(seeds[:, None], 5, 1)
    found, t = crossed_bootstrap(x), paired_t(seeds).difference
    assert found.high - found.low == pytest.approx(t.high - t.low, rel=0.1)
    plain = crossed_bootstrap(x, small_sample=False)
    assert found.low < plain.low < plain.mean == found.mean < plain.high < found.high


def test_the_crossed_bootstrap_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(6).random((3, 20))
    # blocks of one size draw in another order than one large block: so compare two runs of each
    assert crossed_bootstrap(x, n=300) == crossed_bootstrap(x, n=300) != crossed_bootstrap(x, n=300, seed=1)
    whole = crossed_bootstrap(x, n=4000)
    monkeypatch.setattr("whenwhere.stats.bootstrap._BLOCK", 500)
    assert crossed_bootstrap(x, n=4000) == pytest.approx(whole, abs=0.02)


def test_the_crossed_bootstrap_refuses_incomplete_studies() -> None:
    for wrong in ([[0.1, 0.2]], [0.1, 0.2], [[0.1], [np.nan]], np.zeros((2, 0))):
        with pytest.raises(ValueError, match="seed"):
            crossed_bootstrap(wrong)
    with pytest.raises(ValueError, match="cluster keys"):
        crossed_bootstrap([[0.1, 0.2], [0.1, 0.2]], ["a"])


def test_statistics_load_scipy_only_when_called() -> None:
    code = (
        "import sys, whenwhere.stats as s; s.bootstrap_mean([1, 2]); assert 'scipy' not in sys.modules; "
        "s.paired_t([1, 2]); assert 'scipy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- interaction


@law
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=9))
def test_interaction_of_two_tasks_is_the_paired_t_of_their_differences(x: list[tuple[float, float]]) -> None:
    assert interaction(x).p_value == pytest.approx(paired_t([a - b for a, b in x]).p_value, abs=1e-9)


def test_interaction_does_not_care_for_what_all_tasks_share_nor_for_their_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4))
    moved = (x + rng.normal(size=(8, 1)))[:, [2, 0, 3, 1]] * 1e-3
    assert interaction(moved).p_value == pytest.approx(interaction(x).p_value)


def test_interaction_of_four_tasks_is_nominal_and_finds_one_that_differs() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(4, 4))
    p = [interaction(rng.normal(size=(8, 4)) @ mixing + rng.normal(size=(8, 1))).p_value for _ in range(800)]
    assert 0.025 <= np.mean(np.array(p) < 0.05) <= 0.075
    assert interaction(rng.normal(0, 0.1, (8, 4)) + np.eye(4)[3]).p_value < 0.001


def test_interaction_refuses_what_it_cannot_tell() -> None:
    for x in ([[1.0], [2.0]], [[1.0, 2.0, 3.0]] * 2, [[1.0, np.nan], [1.0, 2.0]]):
        with pytest.raises(ValueError):
            interaction(x)
