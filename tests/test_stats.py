"""Intervals cover what they say, also when items come in clusters."""

import numpy as np
import pytest

from whenwhere.stats import bootstrap_mean, paired_difference


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
