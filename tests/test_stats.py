"""Intervals cover what they say, also when items come in clusters."""

import numpy as np
import pytest

from whenwhere.stats import bootstrap_mean, bootstrap_means, jackknife, paired_difference


def test_coverage_of_clustered_items_is_near_nominal():
    # 30 videos with 5 sentences each; a video shifts all its sentences. True mean 0.
    rng = np.random.default_rng(1)
    hits = {"clustered": 0, "items": 0}
    clusters = np.repeat(np.arange(30), 5).tolist()
    for _ in range(200):
        x = np.repeat(rng.normal(0, 1, 30), 5) + rng.normal(0, 0.3, 150)
        c, i = bootstrap_mean(x, clusters, n=500), bootstrap_mean(x, n=500)
        hits["clustered"] += c.low <= 0 <= c.high
        hits["items"] += i.low <= 0 <= i.high
    assert 0.88 <= hits["clustered"] / 200 <= 0.99
    assert hits["items"] / 200 < 0.75  # why the clusters matter


def test_unequal_clusters_weigh_by_their_items():
    assert bootstrap_mean([1, 1, 1, 0], ["a", "a", "a", "b"]).mean == 0.75


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="same items"):
        paired_difference([1, 2], [1])


def test_same_seed_same_interval():
    x = np.random.default_rng(0).random(20)
    assert bootstrap_mean(x, seed=3) == bootstrap_mean(x, seed=3) != bootstrap_mean(x, seed=4)


def test_many_measures_are_drawn_together_and_as_one_alone(monkeypatch):
    rng = np.random.default_rng(2)
    x = rng.random((40, 3))
    clusters = rng.integers(0, 7, 40).tolist()
    whole = bootstrap_means(x, clusters, n=300, seed=5)
    assert whole == [pytest.approx(bootstrap_mean(x[:, k], clusters, n=300, seed=5), abs=1e-12) for k in range(3)]
    monkeypatch.setattr("whenwhere.stats.bootstrap._BLOCK", 50)  # many small blocks of draws, the same draws
    assert bootstrap_means(x, clusters, n=300, seed=5) == whole


def test_an_item_without_a_measure_is_left_out_of_it_alone():
    x = np.array([[0.0, 1.0], [1.0, np.nan], [1.0, 1.0], [0.0, np.nan]])
    first, second = bootstrap_means(x, n=200)
    assert first.mean == 0.5
    assert second == (1.0, 1.0, 1.0)
    assert all(np.isnan(bootstrap_means(np.full((3, 1), np.nan))[0]))
    assert all(np.isnan(bootstrap_mean([])))


def test_the_jackknife_of_a_mean_is_as_wide_as_its_bootstrap():
    rng = np.random.default_rng(3)
    ratios, hits = [], 0
    for _ in range(60):
        x = rng.normal(0, 1, 600)
        groups = np.arange(600) % 30
        found = jackknife(x.mean(), [x[groups != g].mean() for g in range(30)])
        other = bootstrap_mean(x, n=500)
        ratios.append((found.high - found.low) / (other.high - other.low))
        hits += found.low <= 0 <= found.high
    assert 0.9 < np.mean(ratios) < 1.1
    assert hits >= 51  # 95 % of 60 are 57
    assert np.isnan(jackknife(0.5, [0.5]).low)
