"""Each reward term is bounded, highest for the truth, 0 for a fault, never NaN, and equal to hand-computed values."""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.answers.answer import ParsedAnswer, TimedBox
from whenwhere.evaluate import multispan
from whenwhere.evaluate.ragged import ragged
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify import TERMS, RewardContext, Truth, to_prediction
from whenwhere.verify.spatial import box_giou

sys.path.insert(0, str(Path(__file__).parent))
import verify_truths as made

EACH = pytest.mark.parametrize("name", TERMS)
#: perfect, but not the highest: nothing to compare with outside an answer that is the whole video, or no picture at all
LEARNED = {"semantic"}


@EACH
@settings(max_examples=30, deadline=None)
@given(said=made.answers(), true=made.answers(), progress=st.floats(0, 1))
def test_bounded_and_never_nan(name: str, said: ParsedAnswer, true: ParsedAnswer, progress: float) -> None:
    truth = made.truth_of(true)
    value = TERMS[name](made.claim_of(said), truth, made.beside(truth, progress))
    assert 0 <= value <= 1


@EACH
@settings(max_examples=30, deadline=None)
@given(said=made.answers(), true=made.answers(), progress=st.floats(0, 1))
def test_the_truth_is_the_maximum(name: str, said: ParsedAnswer, true: ParsedAnswer, progress: float) -> None:
    truth = made.truth_of(true)
    beside = made.beside(truth, progress)
    right = made.claim_of(dataclasses.replace(true, choice=truth.choice, status="ok" if true.spans else "absent"))
    best = TERMS[name](right, truth, beside)
    if name not in LEARNED:
        # truth and answer of a tube without boxes have none to be near
        unplaced = name == "boxes_near" and true.spans and not true.boxes
        assert best == (0.0 if unplaced else 1.0)
        assert TERMS[name](made.claim_of(said), truth, beside) <= 1.0


def faults() -> dict[str, ParsedAnswer]:
    right = ParsedAnswer("ok", ((2.0, 4.0),), (TimedBox(2.0, (0, 0, 9, 9)),), coordinates="displayed", choice="C")
    return {
        "unparsed": ParsedAnswer("unparsed"),
        "truncated": dataclasses.replace(right, status="truncated"),
        "ambiguous": dataclasses.replace(right, status="ambiguous"),
        "reversed span": dataclasses.replace(right, status="reversed", spans=((4.0, 2.0),)),
        "reversed span that nobody marked": dataclasses.replace(right, spans=((4.0, 2.0),)),
        "instant": dataclasses.replace(right, spans=((2.0, 2.0),)),
        "not finite": dataclasses.replace(right, spans=((2.0, math.inf),)),
        "nan": dataclasses.replace(right, spans=((math.nan, 4.0),)),
        "reversed box": dataclasses.replace(right, boxes=(TimedBox(2.0, (9, 0, 0, 9)),)),
        "nan box": dataclasses.replace(right, boxes=(TimedBox(2.0, (0, 0, math.nan, 9)),)),
        "two boxes at one time": dataclasses.replace(
            right, boxes=(TimedBox(2.0, (0, 0, 9, 9), "dog"), TimedBox(2.0, (1, 0, 9, 9), "cat"))
        ),
        "box outside": dataclasses.replace(right, boxes=(TimedBox(5.0, (0, 0, 9, 9)),)),
    }


@EACH
@pytest.mark.parametrize("fault", faults())
def test_faults_get_nothing(name: str, fault: str) -> None:
    truth = made.truth_of(ParsedAnswer("ok", ((2.0, 4.0),), (TimedBox(2.0, (0, 0, 9, 9)),)))
    claim = to_prediction(dataclasses.replace(faults()[fault], form="second-level"), form="second-level")
    assert claim.fault
    assert TERMS[name](claim, truth, made.beside(truth)) == 0


@EACH
def test_absence(name: str) -> None:
    """A correct "it is not there" gets 1 where time is asked for; a wrong one, or a span for no event, gets 0."""
    if "spans" not in TERMS[name].needs:
        return
    nothing, something = ParsedAnswer("absent"), ParsedAnswer("ok", ((2.0, 4.0),))
    empty, full = Truth(SpanSet(), duration=9.0, size=made.SIZE), made.truth_of(something)
    assert TERMS[name].applies(empty, made.beside(empty))
    for said, truth, value in ((nothing, empty, 1), (something, empty, 0), (nothing, full, 0)):
        assert TERMS[name](to_prediction(said), truth, made.beside(truth)) == value


@settings(max_examples=60, deadline=None)
@given(said=made.answers(1), true=made.answers(1))
def test_matching_is_that_of_the_evaluation(said: ParsedAnswer, true: ParsedAnswer) -> None:
    truth, claim = made.truth_of(true), made.claim_of(said)
    rows = [ragged([np.c_[s.starts, s.ends]]) for s in (claim.spans, truth.spans)]
    assert TERMS["matched"](claim, truth) == pytest.approx(multispan.match_spans(*rows)[1][0], abs=1e-12)


def value(name: str, said: tuple[float, float], true: tuple[float, float], duration: float = 100.0) -> float:
    return TERMS[name](to_prediction(ParsedAnswer("ok", (said,))), Truth(SpanSet([true]), duration=duration))


def test_boundary_iou_stays_in_range_where_the_original_fell_to_minus_0_8() -> None:
    assert value("boundary_iou", (0, 100), (0, 10), 10) == 0
    assert value("boundary_iou", (0, 8), (0, 10), 10) == pytest.approx(0.8 * 0.8)


def test_shaping_does_not_pay_for_the_whole_video() -> None:
    """MUSEG's (1 + gIoU) / 2 gives .11 far from the event, .5 next to it and .55 for the whole video."""
    far, beside, whole = ((90, 100), (20, 30), (0, 100))
    assert [round(value("giou", s, (10, 20)), 2) for s in (far, beside, whole)] == [0.11, 0.5, 0]
    assert value("diou", whole, (10, 20)) == 0 < value("diou", far, (10, 20)) < value("diou", beside, (10, 20))


def test_the_gaussian_narrows() -> None:
    truth, claim = Truth(SpanSet([(10, 20)])), to_prediction(ParsedAnswer("ok", ((12.0, 20.0),)))
    early, late = (TERMS["boundary_gauss"](claim, truth, RewardContext(progress)) for progress in (0.0, 1.0))
    assert early == pytest.approx((math.exp(-((2 / 4) ** 2) / 2) + 1) / 2)
    assert late == pytest.approx((math.exp(-((2 / 1) ** 2) / 2) + 1) / 2)


def test_thresholds_are_reached_by_half_an_event_to_the_digit() -> None:
    assert value("thresholded", (0.1, 0.3), (0.1, 0.5)) == pytest.approx(2 / 3)
    assert value("thresholded", (0, 4), (0, 10)) == pytest.approx(1 / 3)


def test_order_pays_only_where_the_order_of_frames_helped() -> None:
    truth = Truth(SpanSet([(0, 10)]))
    good, poor = (to_prediction(ParsedAnswer("ok", (s,))) for s in ((0.0, 8.0), (0.0, 2.0)))
    term = TERMS["order"]
    assert term(good, truth, RewardContext(shuffled=poor)) == pytest.approx(0.8)
    assert term(good, truth, RewardContext(shuffled=good)) == 0
    assert term(poor, truth, RewardContext(shuffled=good)) == 0
    assert not term.applies(truth, RewardContext())


def tube(span: tuple[float, float], box: tuple[float, ...], rate: float = 1.0) -> Tube:
    return Tube(SpanSet([span]), [span[0]], [box], rate=rate)


def placed(span: tuple[float, float], box: tuple[float, ...]) -> ParsedAnswer:
    return ParsedAnswer("ok", (span,), (TimedBox(span[0], box),), coordinates="displayed")


def test_three_denominators() -> None:
    """Truth 0-4 s, answer 2-6 s, box IoU 1/3: the denominators are the union 6 s, the common 2 s and the truth 4 s."""
    truth = Truth(SpanSet([(0, 4)]), tube((0, 4), (0, 0, 2, 2)), 10, (4, 4))
    claim = to_prediction(placed((2.0, 6.0), (1, 0, 3, 2)))
    found = [TERMS[n](claim, truth) for n in ("v_iou", "v_iou_intersection", "v_iou_truth")]
    assert found == pytest.approx([1 / 3 * 2 / 6, 1 / 3, 1 / 3 * 2 / 4])
    assert TERMS["s_gated"](claim, truth) == 0


def test_giou_minus_l1() -> None:
    truth = Truth(SpanSet([(0, 4)]), tube((0, 4), (0, 0, 2, 2)), 10, (4, 4))
    # hull 3 x 2, so GIoU = IoU there; two of four sides are 1 of 4 off
    assert TERMS["giou_l1"](to_prediction(placed((0.0, 4.0), (1, 0, 3, 2))), truth) == pytest.approx(1 / 3 - 1 / 8)
    assert TERMS["giou_l1"](to_prediction(placed((0.0, 4.0), (3, 3, 4, 4))), truth) == 0
    assert box_giou([[0, 0, 1, 1]], [[0, 0, 1, 1]]).tolist() == [1.0]


def test_boxes_are_near_in_both_directions_of_time() -> None:
    """The original let every answer pass that came after a true time; only the absolute difference may count."""
    truth = Truth(SpanSet([(10, 12)]), tube((10, 12), (0, 0, 2, 2)), 30, (4, 4))
    term = TERMS["boxes_near"]
    for start, expected in ((10.5, 1), (9.5, 1), (8.5, 0), (14.0, 0)):
        assert term(to_prediction(placed((start, start + 0.5), (0, 0, 2, 2))), truth) == expected, start


def test_a_graded_format_counts_tags() -> None:
    from whenwhere.verify import Verifier

    verifier = Verifier({"t_iou": 1}, format="format_graded", form="time-r1")
    truth = Truth(SpanSet([(2, 4)]))
    texts = {
        "<think>x</think><answer>2.0 to 4.0</answer>": 1.0,
        "<think>x</think><answer>from 2.0 to 4.0 s</answer>": 0.75,
        "<answer>2.0 to 4.0</answer>": 0.5,
        "2.0 to 4.0": 0.25,
        "<think>x</think><answer>4.0 to 2.0</answer>": 0.0,
        "I do not know": 0.0,
    }
    assert {t: verifier.score(t, truth).format for t in texts} == texts


def test_cited_times_must_be_few_and_right() -> None:
    truth = Truth(SpanSet([(2, 4)]))

    def cited(thought: str) -> float:
        return TERMS["cited"](to_prediction(ParsedAnswer("ok", ((2.0, 4.0),), thought=thought)), truth)

    assert cited("it begins at 2.2 s and ends at 4 s") == 1
    assert cited("it begins at 2.2 s") == 0.5
    assert cited("it begins at some time") == 0
    assert cited(" ".join(f"{k / 2} s" for k in range(40))) == 0


def test_valid_knows_the_video_and_its_annotators() -> None:
    truth = Truth(SpanSet([(2, 11)]), duration=10.0)  # 562 true ends of Charades-STA lie after their video's end

    def valid(*spans: tuple[float, float]) -> float:
        return TERMS["valid"](to_prediction(ParsedAnswer("ok", spans)), truth)

    assert valid((2, 11)) == valid((5, 6), (1, 2)) == 1
    assert valid((2, 12)) == valid((1, 3), (2, 4)) == 0


def test_a_right_letter_needs_no_time() -> None:
    truth = Truth(None, choice="b ")
    term = TERMS["accuracy"]
    assert [term(to_prediction(ParsedAnswer("ok", choice=c)), truth) for c in ("B", "A")] == [1, 0]
    assert not TERMS["t_iou"].applies(truth, RewardContext())
