"""When the motion grounder answers, is unsure, or claims that something is absent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder, confidence_features
from whenwhere.grounders.motion.abstention import ABSENT_CONFIDENCE, CONFIDENT, FITTED, SET, THRESHOLD, confidence
from whenwhere.grounders.motion.candidates import ObservedScene
from whenwhere.grounders.motion.confidence_features import exceeds_kind, margin_of, time_agreement, unknown_words
from whenwhere.grounders.motion.ranking import rank_candidates
from whenwhere.grounders.motion.reading import read_query
from whenwhere.overlap import t_iou
from whenwhere.spans import SpanSet
from whenwhere.stage import render_clip
from whenwhere.video import FrameWriter, probe

W, H, FPS = 192, 108, 12


@pytest.fixture(scope="module")
def traffic(tmp_path_factory):
    """Five rigid boxes of one colour each, wider than high, cross one after the other: cars, if anything."""
    path = tmp_path_factory.mktemp("abstention") / "traffic.mp4"
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(90, 150, (H // 12, W // 12)), np.ones((12, 12)))
    road = np.repeat(coarse[..., None], 3, 2)
    colours = [(200, 30, 40), (40, 70, 190), (240, 240, 240), (30, 30, 34), (40, 150, 60)]
    with FrameWriter(path, W, H, FPS) as writer:
        for k in range(18 * FPS):
            image = road + rng.normal(0, 1.5, road.shape)
            for i, colour in enumerate(colours):
                x = (k / FPS - 1 - 3.2 * i) * 90 - 44
                if -44 < x < W:
                    image[48:72, max(0, round(x)) : max(0, round(x) + 44)] = colour
            writer.write(image.clip(0, 255).astype(np.uint8))
    return probe(path)


@pytest.fixture(scope="module")
def asked(traffic):
    grounder = MotionGrounder()
    return lambda query, **more: grounder.ground(traffic, GroundingRequest(query, **more))


@pytest.mark.parametrize(("query", "start"), [("the red car", 1.0), ("the blue car drives past", 4.2)])
def test_what_is_there_is_answered(asked, query, start):
    found = asked(query)
    assert found.status == "answered"
    assert t_iou(found.spans, SpanSet([(start, start + 2.6)])) > 0.7


@pytest.mark.parametrize("query", [
    "the dog barks", "a person crosses", "a woman in a yellow coat walks by", "a cat jumps", "thunder and lightning",
    "the elephant", "someone sings a song",
])  # fmt: skip
def test_nonsense_is_not_answered(asked, query):
    found = asked(query)
    assert found.status in ("unsure", "absent"), (found.status, found.confidence)
    assert not found.spans and not found.tubes


def test_unsure_offers_candidates_best_first(asked):
    found = asked("the dog barks")
    assert found.status != "answered"
    assert len(found.candidates) >= 3 and len(found.ranked) >= 3
    scores = [c["score"] for c in found.candidates]
    assert scores == sorted(scores, reverse=True)
    assert [s.score for s in found.ranked] == sorted((s.score for s in found.ranked), reverse=True)
    for c in found.candidates:
        x1, y1, x2, y2 = c["box"]
        assert c["start"] < c["end"] and x1 < x2 and y1 < y2
    assert found.reading["doubts"]


def test_absent_is_claimed_of_a_specific_subject_only(asked):
    found = asked("a woman in a yellow coat walks by")
    assert (found.status, found.confidence) == ("absent", ABSENT_CONFIDENCE)
    assert "woman" in found.reading["doubts"][0]
    assert asked("something happens").status != "absent"
    assert asked("a hand").status != "absent"


def test_a_given_time_is_always_answered(asked, traffic):
    from whenwhere.spans import Span

    found = asked("a woman in a yellow coat", span=Span(1.0, 3.0))
    assert found.status == "answered" and found.spans == SpanSet([(1.0, 3.0)])


def test_unread_words_lower_the_confidence(asked):
    plain, odd = asked("the red car"), asked("the red car whistles gloomily")
    assert odd.confidence < plain.confidence
    assert any("whistles" in d and "gloomily" in d for d in odd.reading["doubts"])


@pytest.mark.parametrize(("query", "likely", "status"), [
    ("the red car", 0.6, "answered"), ("the red car", 0.3, "answered"), ("the red car", 0.1, "unsure"),
    ("the car", 0.6, "answered"), ("the car", 0.3, "unsure"), ("a car drives past", 0.3, "unsure"),
])  # fmt: skip
def test_looks_that_fall_a_little_short_need_a_colour_or_an_event_beside_them(
    asked, monkeypatch, query, likely, status
):
    """In a place that nothing was fitted to, many right answers look somewhat more like another family."""
    looks = np.array([0.4, 0.0, 0.6]) * (1 - likely) + np.array([0.0, likely, 0.0])
    monkeypatch.setattr(confidence_features, "family_looks", lambda actor, around: looks)
    found = asked(query)
    assert found.status == status
    assert any("looks more like an animal" in d for d in found.reading.get("doubts", [])) == (likely < 0.45)


def test_an_event_that_was_not_seen_lowers_the_confidence(asked):
    assert asked("the red car stands still").confidence < asked("the red car drives past").confidence / 2


def test_unread():
    assert unknown_words("the second man in a red jacket walks from right to left") == []
    assert unknown_words("the dog barks at midnight") == ["barks", "midnight"]
    assert (
        exceeds_kind(read_query("an elephant walks"))
        and not exceeds_kind(read_query("a dog runs"))
        and not exceeds_kind(read_query("a man"))
    )


facts = st.fixed_dictionaries({k: st.floats(-3, 3) for k in (*FITTED, *SET) if k != "constant"})


@given(facts, st.sampled_from([k for k in FITTED if k not in ("constant", "brief")]), st.floats(0, 3))
def test_more_evidence_never_lowers_the_confidence(known, name, more):
    assert confidence({**known, name: known[name] + more}) >= confidence(known) - 1e-12


@given(facts, st.sampled_from(["brief", *SET]), st.floats(0, 3))
def test_more_doubt_never_raises_the_confidence(known, name, more):
    assert confidence({**known, name: known[name] + more}) <= confidence(known) + 1e-12


def test_a_better_best_never_loses_margin_or_agreement(traffic):
    index, everyone, _ = MotionGrounder().observe(traffic)
    made = rank_candidates(read_query("a white car drives past"), ObservedScene.of(index, everyone))
    before = margin_of(made), time_agreement(made)
    for more in (0.1, 0.5, 2.0):
        made[0].score += more
        after = margin_of(made), time_agreement(made)
        assert after[0] >= before[0] and after[1] >= before[1] - 1e-12
        before = after


def test_thresholds_are_in_order():
    assert 0.1 <= THRESHOLD < CONFIDENT < 0.95


def test_confidence_means_something_on_painted_clips(tmp_path):
    """A loose check: confident answers are mostly right, and more often than the others."""
    sure, rest = [], []
    for seed in range(9300, 9304):
        scene = render_clip(tmp_path / f"{seed}.mp4", seed, "dev", width=160, height=90, sound=False)
        info = probe(tmp_path / f"{seed}.mp4")
        grounder = MotionGrounder()
        for q in scene.sentences:
            found = grounder.ground(info, GroundingRequest(q.text))
            spans = found.spans or SpanSet(found.ranked[:1] if found.ranked else [])
            (sure if found.confidence >= CONFIDENT else rest).append(t_iou(spans, q.spans) >= 0.5)
    assert len(sure) >= 5
    assert np.mean(sure) >= 0.65 and np.mean(sure) > np.mean(rest)
