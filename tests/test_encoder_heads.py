"""Heads on frozen features: each finds what was planted, learns nothing from noise, and is the same every time."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from whenwhere.datasets.item import Item
from whenwhere.errors import SettingError
from whenwhere.evaluate import detection
from whenwhere.models.heads.answer_head import AnswerHeadSettings, fit_answer_head, frequent_answers
from whenwhere.models.heads.linear_probe import fit_linear_probe
from whenwhere.models.heads.localizer import FeatureTrack, LocalizerSettings, Segment, fit_localizer
from whenwhere.models.heads.pyramid import distance_iou, focal_loss

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


def test_the_probe_is_the_minimum_of_its_objective():
    """Against Newton's method on the same regularised cross entropy, which has no stopping rule in common."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)) * [1, 10, 0.1] + 5
    y = (x[:, 0] + 0.1 * x[:, 1] + rng.normal(size=60) > x.mean(0)[0] + 0.5).astype(int)
    probe = fit_linear_probe(x, y, 2, strengths=(0.5,))
    z = np.concatenate([(x - x.mean(0)) / x.std(0), np.ones((60, 1))], 1)
    # two classes share one direction: weights ±w / 2 cost half of w² / 2
    w = np.zeros(4)
    free = np.array([1, 1, 1, 0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-z @ w))
        gradient = 0.5 * z.T @ (p - y) + free * w / 2
        w -= np.linalg.solve(0.5 * (z.T * (p * (1 - p))) @ z + np.diag(free) / 2, gradient)
    scores = probe.scores(x)
    assert np.allclose(scores[:, 1] - scores[:, 0], z @ w, atol=1e-3)


def test_the_probe_chooses_its_strength_without_the_test_set():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(100, 200)), np.arange(100) % 2
    x[:, 0] += 3 * y
    probe = fit_linear_probe(x, y, 2)
    # with more features than examples any C fits the training set, and a small one is best for others
    assert probe.strength == max(probe.validation, key=lambda c: (probe.validation[c], -c))
    assert probe.strength < 1 and len(probe.validation) == 6
    again = fit_linear_probe(x, y, 2)
    assert np.array_equal(again.weights, probe.weights)


def test_the_probe_on_separable_features_and_on_noise():
    rng = np.random.default_rng(2)
    y = np.arange(300) % 5
    centres = rng.normal(size=(5, 16))
    clear = centres[y] + 0.1 * rng.normal(size=(300, 16))
    probe = fit_linear_probe(clear[:200], y[:200], 5)
    assert (probe.scores(clear[200:]).argmax(1) == y[200:]).all()
    noise = rng.normal(size=(2000, 8))
    labels = np.arange(2000) % 5
    blind = fit_linear_probe(noise[:1000], labels[:1000], 5, (0.01, 1.0))
    assert abs((blind.scores(noise[1000:]).argmax(1) == labels[1000:]).mean() - 0.2) < 0.06


def test_the_probe_takes_what_is_odd_but_possible():
    # one class, a constant feature, a class without examples
    assert fit_linear_probe(np.ones((3, 2)), [0, 0, 0], 1).scores(np.ones((1, 2))).shape == (1, 1)
    found = fit_linear_probe([[0.0, 7], [0.1, 7], [2.0, 7], [2.1, 7]], [0, 0, 2, 2], 4).scores([[0.0, 7], [2.0, 7]])
    assert found.argmax(1).tolist() == [0, 2]


def test_the_probe_refuses_what_it_cannot_use():
    with pytest.raises(SettingError, match=r"1 of 2 training features .* number 1"):
        fit_linear_probe([[0.0], [np.nan]], [0, 1], 2)
    with pytest.raises(SettingError, match="0 to 1"):
        fit_linear_probe([[0.0], [1.0]], [0, 2], 2)
    with pytest.raises(SettingError, match="one of each at least"):
        fit_linear_probe(np.zeros((0, 3)), [], 2)
    with pytest.raises(SettingError, match="from one encoder"):
        fit_linear_probe([[0.0], [1.0]], [0, 1], 2).scores([[0.0, 1.0]])


QUICK = LocalizerSettings(width=32, depth=2, levels=2, steps=90, batch=8, learning_rate=1e-2, most=30)


def planted(count: int, seed: int, size: int = 12, signal: float = 1.0) -> list[FeatureTrack]:
    """Tracks of noise with the directions of two actions added where they happen."""
    rng = np.random.default_rng(seed)
    direction = np.random.default_rng(99).normal(size=(2, size))
    tracks = []
    for number in range(count):
        length = int(rng.integers(20, 29))
        rows, found, at = 0.2 * rng.normal(size=(length, size)), [], int(rng.integers(1, 5))
        while at + 6 < length:
            end, kind = at + int(rng.integers(3, 7)), int(rng.integers(2))
            rows[at:end] += signal * direction[kind]
            found.append(Segment(at * 0.5, end * 0.5, ("hop", "spin")[kind]))
            at = end + int(rng.integers(2, 6))
        tracks.append(FeatureTrack(f"v{seed}-{number}", rows, 0.5, tuple(found)))
    return tracks


def mean_precision(tracks: list[FeatureTrack], found: dict) -> dict[str, float]:
    items = [
        Item(f"{t.video}-{k}", t.video, s.label, spans=np.array([[s.start, s.end]]))
        for t in tracks
        for k, s in enumerate(t.segments)
    ]
    return detection.score(items, found).summary


def test_the_localizer_finds_planted_actions_and_nothing_in_noise():
    test = planted(20, 2)
    head = fit_localizer(planted(40, 1), QUICK)
    found = mean_precision(test, head.locate(test))
    assert (
        found["mAP@0.5"] > 0.95
        and found["mAP@0.75"] > 0.6
        and found["mAP@0.5"] >= found["mAP@0.75"] >= found["mAP@0.95"]
    )
    blind = mean_precision(planted(20, 2, signal=0.0), head.locate(planted(20, 2, signal=0.0)))
    assert blind["mAP@0.5"] < 0.2
    assert "width 32, 90 updates" in head.describe("clip") and "every 0.5 s" in head.describe("clip")


def test_the_localizer_is_the_same_every_time_and_leaves_random_numbers_alone():
    short = LocalizerSettings(width=8, depth=1, levels=2, steps=3, batch=2)
    tracks = planted(4, 3)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with torch.no_grad():
        first = fit_localizer(tracks, short).locate(tracks[:1])
    assert torch.equal(torch.get_rng_state(), state)
    again = fit_localizer(tracks, short).locate(tracks[:1])
    name = tracks[0].video
    assert np.array_equal(first[name].ranked, again[name].ranked) and first[name].labels == again[name].labels
    # a longer video in the batch, and so more padding, changes nothing
    alone = fit_localizer(tracks, short).locate(tracks)[name]
    assert np.array_equal(alone.ranked, again[name].ranked)


def test_the_localizer_refuses_what_it_cannot_use():
    track = FeatureTrack("a", np.ones((4, 3)), 0.5, (Segment(0, 1, "hop"),))
    with pytest.raises(SettingError, match="needs actions to learn from"):
        fit_localizer([FeatureTrack("a", np.ones((4, 3)), 0.5)])
    with pytest.raises(SettingError, match=r"b has features of 2 numbers every 0.5 s"):
        fit_localizer([track, FeatureTrack("b", np.ones((4, 2)), 0.5)], QUICK)
    with pytest.raises(SettingError, match="features of b hold values that are not finite"):
        fit_localizer([track, FeatureTrack("b", np.full((4, 3), np.nan), 0.5)], QUICK)
    with pytest.raises(SettingError, match="its end must come after its start"):
        FeatureTrack("a", np.ones((4, 3)), 0.5, (Segment(1, 1, "hop"),))


def test_distance_iou_and_focal_loss_by_hand():
    found = torch.tensor([[0.0, 4.0], [0.0, 2.0]])
    true = torch.tensor([[0.0, 4.0], [4.0, 6.0]])
    assert distance_iou(found, true).tolist() == pytest.approx([1.0, -((4 / 6) ** 2)])
    # at p = 0.5 both classes lose ln 2 / 4 times their weight
    both = focal_loss(torch.zeros(2), torch.tensor([1.0, 0.0])).tolist()
    assert both == pytest.approx([0.25 * np.log(2) / 4, 0.75 * np.log(2) / 4], rel=1e-5)


def quiz(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Questions of two kinds: one is answered by the video alone, the other by the question alone."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99)
    seen, asked = base.normal(size=(4, 16)), base.normal(size=(3, 16))
    look, ask = rng.integers(4, size=count), rng.integers(3, size=count)
    answers = [f"colour {v}" if q == 0 else f"word {q}" for v, q in zip(look, ask, strict=True)]

    def unit(rows):
        rows = rows + 0.1 * rng.normal(size=rows.shape)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return unit(seen[look]), unit(asked[ask]), answers


def test_the_answer_head_needs_the_video_where_the_question_does():
    quick = AnswerHeadSettings(hidden=32, steps=120, batch=64)
    videos, questions, answers = quiz(300, 0)
    test = quiz(200, 1)
    right = np.array(fit_answer_head(videos, questions, answers, quick).answers(*test[:2])) == test[2]
    assert right.mean() > 0.97
    blind = fit_answer_head(videos, questions, answers, quick, without_video=True)
    guess = np.array(blind.answers(*test[:2])) == test[2]
    visual = np.array([a.startswith("colour") for a in test[2]])
    assert guess[~visual].all() and abs(guess[visual].mean() - 0.25) < 0.15
    # a rare answer is not in the vocabulary, and its question is left out of training
    small = fit_answer_head(videos, questions, answers, AnswerHeadSettings(steps=1, answers=2))
    assert set(small.vocabulary) == {"word 1", "word 2"}


def test_the_answer_head_refuses_what_it_cannot_use():
    for changes in ({"steps": 0}, {"batch": 0}, {"dropout": 1.0}):
        with pytest.raises(SettingError, match=next(iter(changes))):
            AnswerHeadSettings(**changes)
    with pytest.raises(SettingError, match="sigma"):
        LocalizerSettings(sigma=0.0)
    with pytest.raises(SettingError, match="no answers"):
        frequent_answers([])
    with pytest.raises(SettingError, match="do not fit"):
        fit_answer_head(np.ones((2, 3)), np.ones((3, 3)), ["a"] * 3)
    with pytest.raises(SettingError, match="2 answers do not fit 3 questions"):
        fit_answer_head(np.ones((3, 3)), np.ones((3, 3)), ["a"] * 2)
