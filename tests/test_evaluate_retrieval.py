"""Ranks in a similarity matrix against a loop, ties, several sentences per video, and what no rank may depend on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from whenwhere.errors import SettingError
from whenwhere.evaluate.retrieval import dual_softmax, rank_measures, score, similarity_ranks

law = settings(max_examples=100, deadline=None, derandomize=True)

# Few different values, so that ties are the rule.
tables = st.integers(1, 6).flatmap(
    lambda n: st.integers(1, 6).flatmap(lambda m: arrays(float, (n, m), elements=st.integers(-2, 2).map(float)))
)


@law
@given(tables, st.data())
def test_ranks_are_those_of_a_loop(table, data):
    n, m = table.shape
    right = np.array(data.draw(st.lists(st.sets(st.integers(0, m - 1), min_size=1), min_size=n, max_size=n)), object)
    mask = np.array([[k in r for k in range(m)] for r in right])
    for ties, share in (("worst", 1.0), ("mean", 0.5), ("best", 0.0)):
        for row, own, rank in zip(table, right, similarity_ranks(table, mask, ties), strict=True):
            best = max(row[k] for k in own)
            wrong = [row[k] for k in range(m) if k not in own]
            assert rank == 1 + sum(v > best for v in wrong) + share * sum(v == best for v in wrong)


@law
@given(arrays(float, (5, 5), elements=st.floats(-3, 3)), st.floats(0.1, 5), st.floats(-3, 3))
def test_a_growing_change_of_all_similarities_changes_nothing(table, scale, shift):
    # Rounded, so that scaling cannot make equal what was different.
    table = np.round(table, 2)
    moved = np.round(table * round(scale, 1) + round(shift, 1), 6)
    assert score(table).summary == score(moved).summary


def test_perfect_and_constant():
    assert score(np.eye(12)).summary == {
        f"{way}-{name}": 1.0 for way in ("t2v", "v2t") for name in ("R@1", "R@5", "R@10", "MdR", "MnR")
    }
    assert score(np.zeros((12, 12))).summary["t2v-R@10"] == 0.0
    assert score(np.zeros((12, 12)), ties="best").summary["t2v-R@1"] == 1.0
    assert score(np.zeros((11, 11)), ties="mean").summary["t2v-MdR"] == 6.0


def test_several_sentences_for_one_video():
    # Sentences 0, 1 belong to video 0, sentence 2 to video 1.
    table = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.6]])
    s = score(table, np.array([0, 0, 1])).summary
    assert s["t2v-R@1"] == pytest.approx(2 / 3)
    # Video 1 sees sentence 1 before its own; among videos it is found after video 0's best sentence.
    assert s["v2t-R@1"] == 0.5 and s["v2t-MnR"] == 1.5
    assert score(table, np.array([0, 0, 1]), grouped=True).summary["v2t-MnR"] == 1.5
    far = np.array([[0.9, 0.7], [0.2, 0.8], [0.5, 0.6]])
    assert score(far, np.array([0, 0, 1])).summary["v2t-MnR"] == 2.0
    assert score(far, np.array([0, 0, 1]), grouped=True).summary["v2t-MnR"] == 1.5


def test_videos_without_a_sentence_are_distractors():
    out = score(np.array([[0.5, 0.9, 0.1]]), np.array([0]))
    assert out.summary["t2v-MnR"] == 2.0 and out.summary["v2t-MnR"] == 1.0
    assert any("2 of 3 videos have no sentence" in n for n in out.notes)


def test_dual_softmax_repairs_a_video_that_attracts_everything():
    hub = np.array([[0.5, 0.6, 0.0], [0.0, 0.9, 0.0], [0.0, 0.8, 0.7]])
    assert score(hub).summary["t2v-R@1"] == pytest.approx(1 / 3)
    assert score(hub, temperature=0.1).summary["t2v-R@1"] == 1.0
    assert any("dual softmax" in n for n in score(hub, temperature=0.1).notes)


@law
@given(arrays(float, (4, 3), elements=st.floats(-50, 50)))
def test_dual_softmax_is_the_textbook_formula(table):
    weight = np.exp(table) / np.exp(table).sum(0)
    assert dual_softmax(table, 0) == pytest.approx(table * weight, abs=1e-9)


def test_blocks_do_not_show():
    rng = np.random.default_rng(0)
    table, right = rng.random((2500, 30)), rng.integers(0, 30, 2500)
    slow = 1 + (table > table[np.arange(2500), right][:, None]).sum(1)
    assert (similarity_ranks(table, right) == slow).all()


def test_what_does_not_fit_is_refused_in_a_sentence():
    with pytest.raises(SettingError, match="do not fit"):
        score(np.zeros((3, 2)))
    with pytest.raises(SettingError, match="do not fit"):
        score(np.zeros((3, 2)), np.array([0, 1, 2]))
    with pytest.raises(SettingError, match="not finite"):
        score(np.array([[np.nan]]))


def test_no_queries():
    assert np.isnan(rank_measures(np.zeros(0))["R@1"])
