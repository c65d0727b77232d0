"""Detection mAP against a loop over answers, the order of ties, recognition, and the official evaluator's digits."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.detection import ACTIVITYNET
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.recognition import mean_class_accuracy, score, true_rank
from whenwhere.evaluate.tie_order import dictionary_order, falling, hashed
from whenwhere.evaluate.vqa import exact_match, plain_answer, vqa_accuracy

law = settings(max_examples=100, deadline=None, derandomize=True)

PROTOCOL = PROTOCOLS["activitynet"]


def answers_of(rows):
    """{video: [(label, start, end, score), ...]} as predictions."""
    return {
        video: Prediction(
            video,
            ranked=np.array([r[1:] for r in segments], float).reshape(-1, 3),
            labels=[r[0] for r in segments],
        )
        for video, segments in rows.items()
    }


def items_of(rows):
    return [
        Item(f"{video}#{k}", video, label, span_array([(s, e)]))
        for video, segments in rows.items()
        for k, (label, s, e) in enumerate(segments)
    ]


def slow(truth, answers, label, threshold):
    """AP of one class at one threshold, answer by answer; scores must differ."""
    positives = [(v, s, e) for v, rows in truth.items() for c, s, e in rows if c == label]
    ranked = sorted(
        ((score, v, s, e) for v, rows in answers.items() for c, s, e, score in rows if c == label), reverse=True
    )
    free, hits = list(positives), []
    for _, video, s, e in ranked:
        best, place = 0.0, None
        for t in free:
            common = max(0.0, min(e, t[2]) - max(s, t[1]))
            iou = common / ((e - s) + (t[2] - t[1]) - common)
            if t[0] == video and iou >= threshold and iou >= best:
                best, place = iou, t
        hits.append(place is not None)
        if place is not None:
            free.remove(place)
    precision = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    return sum(max(precision[k:]) / len(positives) for k, hit in enumerate(hits) if hit)


segment = st.tuples(st.integers(0, 30), st.integers(1, 15)).map(lambda p: (float(p[0]), float(p[0] + p[1])))
labels = st.sampled_from(["run", "jump", "swim"])
videos = st.sampled_from(["a", "b", "c", "d"])


@law
@given(
    st.lists(st.tuples(videos, labels, segment), min_size=1, max_size=10, unique=True),
    st.lists(st.tuples(videos, labels, segment), max_size=20),
    st.randoms(use_true_random=False),
)
def test_average_precision_is_that_of_a_loop(true, said, random):
    truth, answers = {}, {}
    for video, label, (s, e) in true:
        truth.setdefault(video, []).append((label, s, e))
    scores = random.sample(range(1000), len(said))
    for (video, label, (s, e)), score_ in zip(said, scores, strict=True):
        answers.setdefault(video, []).append((label, s, e, score_ / 1000))
    out = PROTOCOL.score(items_of(truth), answers_of(answers))
    names = sorted({label for _, label, _ in true})
    for t in (0.5, 0.75, 0.95):
        expected = {n: slow(truth, answers, n, t) for n in names}
        assert {n: out.groups[n][f"AP@{t:g}"] for n in names} == pytest.approx(expected)
        assert out.summary[f"mAP@{t:g}"] == pytest.approx(np.mean(list(expected.values())))
    assert 0 <= out.summary["mAP"] <= 1


TRUTH = {"a": [("run", 0, 10), ("run", 20, 30)], "b": [("jump", 0, 5)]}


def test_the_truth_is_perfect_and_every_extra_costs():
    perfect = {v: [(c, s, e, 0.9) for c, s, e in rows] for v, rows in TRUTH.items()}
    assert PROTOCOL.score(items_of(TRUTH), answers_of(perfect)).summary["mAP"] == 1.0
    extra = {**perfect, "a": [("run", 40, 50, 0.95), *perfect["a"]]}
    assert PROTOCOL.score(items_of(TRUTH), answers_of(extra)).groups["run"]["AP@0.5"] == pytest.approx(2 / 3)
    twice = {**perfect, "a": [("run", 0, 10, 0.9), ("run", 0, 10, 0.8), ("run", 20, 30, 0.7)]}
    assert PROTOCOL.score(items_of(TRUTH), answers_of(twice)).groups["run"]["AP@0.5"] == pytest.approx((1 + 2 / 3) / 2)


def test_what_is_lost_or_strange_is_named():
    strange = {"z": [("run", 0, 10, 0.9)], "a": [("fly", 0, 10, 0.9), ("run", 0, 10, 0.8)]}
    out = PROTOCOL.score(items_of(TRUTH), answers_of(strange))
    assert out.groups["run"]["AP@0.5"] == pytest.approx(0.25)  # half found, after a false positive
    assert any("1 answers belong to videos without truth" in n for n in out.notes)
    assert any("a class that the truth does not have" in n for n in out.notes)
    assert any("1 of 2 videos have no answer" in n for n in out.notes)
    assert out.items["recall@0.5"].tolist() == [1.0, 0.0, 0.0]
    bare = {"a": Prediction("a", ranked=np.array([[0, 10, 0.9]]))}
    assert any("no class labels" in n for n in PROTOCOL.score(items_of(TRUTH), bare).notes)


def test_no_answers_at_all():
    out = PROTOCOL.score(items_of(TRUTH), {})
    assert out.summary["mAP"] == 0.0 and len(out.items["recall@0.5"]) == 3
    assert np.isnan(PROTOCOL.score([], {}).summary["mAP"])


def test_thumos_thresholds_are_lower():
    close = answers_of({"a": [("run", 0, 4, 0.9), ("run", 20, 24, 0.8)], "b": [("jump", 0, 2, 0.9)]})
    assert PROTOCOLS["thumos14"].score(items_of(TRUTH), close).summary["mAP@0.4"] == 1.0
    assert PROTOCOL.score(items_of(TRUTH), close).summary["mAP"] == 0.0


def test_python_2_hashes_and_dictionary_orders():
    # Values and orders that a 64-bit Python 2.7.18 printed.
    assert (hashed("video"), hashed("v_QOlSCBRmfWY")) == (34799307996534932, 4806978738533924865)
    ten = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    order = ["seven", "ten", "nine", "six", "three", "two", "four", "five", "eight", "one"]
    assert [ten[k] for k in dictionary_order(ten)] == order
    names = [f"v{k}" for k in range(1000)]
    assert sorted(dictionary_order(names)) == list(range(1000))


@law
@given(st.lists(st.integers(0, 3), max_size=60))
def test_falling_sorts_and_keeps_every_index(values):
    order = falling(np.array(values, float) / 3)
    assert sorted(order.tolist()) == list(range(len(values)))
    assert all(values[a] >= values[b] for a, b in pairwise(order))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("anet_sample", "predictions/activitynet_detection/sample_detection_prediction.json"),
        ("anet_jitter", "reference-scores/tal/activitynet13_val_jitter_seed7.json"),
    ],
)
def test_every_digit_of_the_official_evaluator(real_data, name, file):
    reference = json.loads((real_data / f"reference-scores/tal/{name}.json").read_text())["result"]
    truth = json.loads((real_data / "annotations/activitynet13/activitynet13_val_gt.json").read_text())["database"]
    items = items_of(
        {
            video: [(a["label"], *map(float, a["segment"])) for a in entry["annotations"]]
            for video, entry in truth.items()
            if entry["subset"] == "validation"
        }
    )
    results = json.loads((real_data / file).read_text())["results"]
    answers = answers_of({v: [(r["label"], *r["segment"], r["score"]) for r in rows] for v, rows in results.items()})
    out = PROTOCOL.score(items, answers)
    at = [f"{t:g}" for t in np.round(ACTIVITYNET, 6)]
    assert [out.summary[f"mAP@{t}"] for t in at] == pytest.approx(reference["mAP"], abs=1e-9)
    assert out.summary["mAP"] == pytest.approx(reference["average_mAP"], abs=1e-9)
    classes = reference["per_class_ap_at_first_threshold"]
    assert {c: out.groups[c]["AP@0.5"] for c in classes} == pytest.approx(classes, abs=1e-9)


# --- recognition and VQA ---------------------------------------------------------------------------------------------


@law
@given(st.integers(1, 8).flatmap(lambda c: st.lists(st.lists(st.integers(0, 4), min_size=c, max_size=c), min_size=1)))
def test_the_rank_of_the_true_class_counts_equals_before_it(rows):
    scores = np.array(rows, float)
    labels = np.array([sum(r) % len(r) for r in rows])
    expected = [sum(v >= r[k] for v in r) for r, k in zip(rows, labels, strict=True)]
    assert true_rank(scores, labels).tolist() == expected


def test_recognition_by_hand():
    scores = np.array([[3.0, 1, 2], [3, 1, 2], [1, 1, 1], [np.nan, 1, 0]])
    out = score(scores, np.array([0, 2, 0, 0]), list("abcd"))
    assert out.items["top-1"].tolist() == [1, 0, 0, 0]
    assert out.summary["top-5"] == 1.0
    assert out.summary["mean-class-accuracy"] == pytest.approx((1 / 3 + 0) / 2)
    assert np.isnan(mean_class_accuracy(np.zeros(0), np.zeros(0, int)))


def test_vqa_answers_are_compared_as_the_challenge_does():
    assert exact_match("The Dog.", ["dog"]) == 1.0 and exact_match("cat", ["dog"]) == 0.0
    assert plain_answer("Two dogs, one cat") == "2 dogs 1 cat"
    for k, expected in ((0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)):
        assert vqa_accuracy("yes", ["yes"] * k + ["no"] * (10 - k)) == pytest.approx(expected)
    assert vqa_accuracy("yes", []) == 0.0
