"""What embeddings score: perfect ones 1, random ones chance, and unusable ones an error that says what is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.errors import SettingError
from whenwhere.evaluate.boundaries import boundary_scores, f1, matched, novelty, peaks
from whenwhere.evaluate.embeddings import class_numbers, class_prompts, class_similarities, cosine_similarities
from whenwhere.evaluate.pointing import peak_box, pointed, pointing_baselines, pointing_measures
from whenwhere.evaluate.recognition import score
from whenwhere.evaluate.retrieval import recall_ceiling, retrieval_measures
from whenwhere.evaluate.vqa import accuracy_by_kind


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_perfect_embeddings_retrieve_everything():
    rows = normal(40, 16)
    found = retrieval_measures(cosine_similarities(rows, 3 * rows))
    for way in ("t2v", "v2t", "dual-softmax-t2v", "dual-softmax-v2t"):
        assert [found[f"{way}-{m}"] for m in ("R@1", "R@5", "R@10", "MdR")] == [1.0, 1.0, 1.0, 1.0]


def test_random_embeddings_retrieve_by_chance():
    found = retrieval_measures(cosine_similarities(normal(1000, 16), normal(1000, 16, seed=1)))
    for way in ("t2v", "v2t"):
        assert abs(found[f"{way}-R@10"] - 0.01) < 0.01
        assert abs(found[f"{way}-MdR"] - 500) < 50


def test_one_embedding_for_everything_retrieves_nothing():
    same = np.ones((20, 4))
    found = retrieval_measures(cosine_similarities(same, same))
    assert found["t2v-R@10"] == found["v2t-R@10"] == 0 and found["t2v-MdR"] == 20


def test_a_pool_of_one_and_a_pool_of_none():
    assert retrieval_measures(np.ones((1, 1)))["t2v-R@1"] == 1
    with pytest.raises(SettingError, match="a pool of one at least"):
        retrieval_measures(np.zeros((0, 0)))
    with pytest.raises(SettingError, match="no embeddings of sentences"):
        cosine_similarities(np.zeros((0, 4)), np.ones((2, 4)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_embeddings_without_a_direction_are_refused(bad):
    rows = np.ones((5, 3))
    rows[2] = bad
    with pytest.raises(SettingError, match=r"1 of 5 embeddings of videos .* number 2"):
        cosine_similarities(np.ones((1, 3)), rows)
    with pytest.raises(SettingError, match="1 of 5 embeddings of videos"):
        class_similarities(rows, np.ones((2, 1, 3)))
    with pytest.raises(SettingError, match="1 of 5 embeddings of frames"):
        novelty(rows)


def test_embeddings_of_two_encoders_do_not_fit():
    with pytest.raises(SettingError, match="from one encoder"):
        cosine_similarities(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(SettingError, match="from one encoder"):
        class_similarities(np.ones((2, 3)), np.ones((2, 1, 4)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=30))
def test_no_encoder_passes_the_ceiling(pairs):
    """Embeddings that know which videos share a sentence reach the ceiling at best, however ties are broken."""
    words, owner = zip(*pairs, strict=True)
    rng = np.random.default_rng(len(pairs))
    table = np.array([[(w, v) in pairs for v in range(10)] for w in words], float)
    # equal sentences have equal rows
    table += rng.random((4, 10))[list(words)] * 0.1
    for k in (1, 5):
        ceiling = recall_ceiling([str(w) for w in words], owner, k)
        assert retrieval_measures(table, np.array(owner))[f"t2v-R@{k}"] <= ceiling + 1e-9


def test_zero_shot_recognition_by_templates_and_clips():
    classes, templates = 12, 3
    prompts = normal(classes, 1, 32) + 0.2 * normal(classes, templates, 32, seed=1)
    labels = np.arange(200) % classes
    clips = prompts[labels].mean(1)[:, None] + 0.2 * normal(200, 4, 32, seed=2)
    for ensemble in ("similarity", "embedding"):
        assert score(class_similarities(clips, prompts, ensemble), labels, [str(i) for i in range(200)]).summary == {
            "top-1": 1.0, "top-5": 1.0, "mean-top-1-5": 1.0, "mean-class-accuracy": 1.0}  # fmt: skip
    chance = score(class_similarities(normal(2000, 32, seed=3), prompts), np.arange(2000) % classes, ["x"] * 2000)
    assert abs(chance.summary["top-1"] - 1 / 12) < 0.03
    assert abs(chance.summary["mean-top-1-5"] - (1 / 12 + 5 / 12) / 2) < 0.03


def test_similarities_are_averaged_over_prompts_and_clips():
    """By the definition, one pair at a time; a prompt that is four times as long counts no more than others."""
    clips, prompts = normal(5, 2, 8), normal(3, 4, 8, seed=1)
    prompts[:, 0] *= 4

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    wanted = [[np.mean([cosine(v, t) for v in video for t in words]) for words in prompts] for video in clips]
    assert np.allclose(class_similarities(clips, prompts), wanted)


def test_class_lists_that_do_not_fit():
    with pytest.raises(SettingError, match="1 labels are not in the list of 2 classes, such as 'swim'"):
        class_numbers(["run", "swim"], ["run", "jump"])
    with pytest.raises(SettingError, match="'run' is listed twice"):
        class_prompts(["run", "run"], ["{}"])
    with pytest.raises(SettingError, match="no place for the name"):
        class_prompts(["run"], ["a video"])
    with pytest.raises(SettingError, match="at least one class"):
        class_prompts([], ["{}"])


def test_pointing_at_the_box():
    boxes = np.array([[0.25, 0.5, 0.5, 1.0], [0.0, 0.0, 1.0, 1.0]])
    heat = np.zeros((2, 4, 4))
    heat[0, 2:, 1] = 1
    heat[1] = 1
    assert pointing_measures(heat, boxes) == {"pointing": 1.0, "box-IoU": 1.0}
    assert pointed(heat[::-1], boxes).tolist() == [2 / 16, 1.0]
    found = pointing_baselines(boxes, np.array([[0.3, 0.6, 0.4, 0.8], [0.0, 0.0, 0.1, 0.1]]), (4, 4))
    assert found == {"pointing-centre": 0.5, "pointing-random": (2 / 16 + 1) / 2, "pointing-largest": 1.0}


def test_a_random_heat_map_points_like_a_random_cell():
    rng = np.random.default_rng(0)
    low = rng.random((2000, 2)) * 0.6
    boxes = np.concatenate([low, low + 0.3], 1)
    assert abs(pointed(rng.random((2000, 6, 6)), boxes).mean() - pointing_baselines(boxes, None, (6, 6))[
        "pointing-random"]) < 0.02  # fmt: skip


def test_only_cells_that_hang_together_make_the_box():
    heat = np.zeros((4, 4))
    heat[0, 0], heat[3, 3], heat[3, 2] = 0.9, 1.0, 0.8
    assert peak_box(heat).tolist() == [0.5, 0.75, 1.0, 1.0]


def test_heat_maps_that_cannot_be_scored():
    with pytest.raises(SettingError, match="not finite"):
        pointed(np.full((1, 2, 2), np.nan), np.array([[0, 0, 1, 1.0]]))
    with pytest.raises(SettingError, match="n at least 1"):
        pointed(np.zeros((0, 2, 2)), np.zeros((0, 4)))


def test_boundaries_of_planted_parts():
    parts = normal(4, 16)
    features = np.repeat(parts, [5, 4, 6, 5], 0) + 0.05 * normal(20, 16, seed=1)
    times = np.arange(1, 20) * 0.5
    found = boundary_scores([novelty(features)], [times], [[2.5, 4.5, 7.5]], [10.0])
    assert found["boundary-F1"] == found["boundary-F1-count"] == 1.0


def test_features_that_say_nothing_about_boundaries():
    """Constant features have no peaks, and random ones do no better than boundaries at equal distances by much."""
    flat = np.ones((20, 8)) + 1e-8 * normal(20, 8)
    assert len(peaks(novelty(flat))) == 0
    rng = np.random.default_rng(0)
    curves = [novelty(rng.normal(size=(40, 16))) for _ in range(200)]
    times = [np.arange(1, 40) * 0.5] * 200
    true = [np.sort(rng.choice(np.arange(1, 40), 3, replace=False)) * 0.5 for _ in range(200)]
    found = boundary_scores(curves, times, true, [20.0] * 200)
    assert abs(found["boundary-F1-count"] - found["boundary-F1-even"]) < 0.06


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)))
def test_matching_boundaries_is_one_to_one_and_largest(found, true):
    pairs = matched(found, true, 2)
    assert pairs == matched(true, found, 2) <= min(len(found), len(true))
    assert matched(found, found, 0) == len(found)
    # what is left of both has no pair: compare with a search by augmenting paths
    match: dict[int, int] = {}

    def augment(i: int, seen: set[int]) -> bool:
        for j, t in enumerate(true):
            if abs(found[i] - t) <= 2 and j not in seen:
                seen.add(j)
                if j not in match or augment(match[j], seen):
                    match[j] = i
                    return True
        return False

    assert pairs == sum(augment(i, set()) for i in range(len(found)))
    assert 0 <= f1(pairs, len(found), len(true)) <= 1


def test_accuracy_of_each_kind_of_question():
    assert accuracy_by_kind([True, False], ["b", "a"]) == {"accuracy": 0.5, "accuracy/a": 0.0, "accuracy/b": 1.0}
    with pytest.raises(SettingError, match="no questions"):
        accuracy_by_kind([], [])
