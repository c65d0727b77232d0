"""What a teacher's thought cites, how its numbers are replaced by the true ones, and what is never used."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.answers import FORMS, ParsedAnswer, parse
from whenwhere.answers.answer import TimedBox
from whenwhere.curate.citations import citing_sentences
from whenwhere.curate.replacement import replace_numbers
from whenwhere.curate.teacher_error import TrajectoryLimits, teacher_error
from whenwhere.curate.teacher_reply import make_trajectory, teacher_text, trajectory_form
from whenwhere.curate.trajectory_checks import CHECKS
from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube
from whenwhere.verify import Truth

SIZE = (200.0, 100.0)
SPAN = SpanSet([(2.0, 6.0)])
TUBE = Tube(SPAN, [2, 3, 4, 5, 5.9], [[20 + 10 * k, 20, 60 + 10 * k, 60] for k in range(5)])
TIMED = Truth(SPAN, duration=20.0)
PLACED = Truth(SPAN, TUBE, duration=20.0, size=SIZE, fps=10.0)


def reply(thought: str, span: tuple[float, float] = (2.0, 6.0), boxes: str = "") -> str:
    return f'<think>{thought}</think>\n<answer>[{{"span": [{span[0]}, {span[1]}], "boxes": [{boxes}]}}]</answer>'


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("It starts at 3.2 s and ends at 0:07.", [3.2, 7.0]),
        ("Two dogs and 3 men are there.", []),
        ("From 12 to 17 seconds it runs.", [12.0, 17.0]),
        ("It runs in [3.2, 5.9].", [3.2, 5.9]),
        ("At 1 min 5 s he turns.", [65.0]),
        ("Around 4 he turns to the 2nd man.", [4.0]),
        ("Between 3 and 5 it waits.", [3.0, 5.0]),
        ("At t = 3.5 the cup falls.", [3.5]),
        ("In 1080p one sees 4 cups, 16:9.", []),
        ("Frames at 2.8, 3.2 and 3.6 s show him.", [2.8, 3.2, 3.6]),
        ("3.2: he sits down.", [3.2]),
        ("Near the 3-second mark he turns.", [3.0]),
        ("Start time: 3.2\n", [3.2]),
        ("At 3200 ms the 4 men in jersey 23 sit.", [3.2]),
        ("He opens it in 3.2s...8.4s.", [3.2, 8.4]),
    ],
)
def test_times_are_found(text: str, times: list[float]) -> None:
    (sentence,) = citing_sentences(text)
    assert [t.seconds for t in sentence.times] == times and sentence.unreadable is None


@pytest.mark.parametrize(
    ("text", "time", "box"),
    [
        ("At 3 s it is at [10, 20, 30, 40].", 3.0, (10, 20, 30, 40)),
        ("It is at (10, 20, 30, 40) at 3 s.", 3.0, (10, 20, 30, 40)),
        ("Row [3.0, 10, 20, 30, 40].", 3.0, (10, 20, 30, 40)),
        ("At 3.0s: (10, 20), (30, 40).", 3.0, (10, 20, 30, 40)),
        ("It is at [10, 20, 30, 40].", None, (10, 20, 30, 40)),
        ('{"time": 3.0, "bbox_2d": [10, 20, 30, 40], "label": "dog"}', 3.0, (10, 20, 30, 40)),
        ("<obj>dog</obj><box>[10, 20, 30, 40]</box>at<t>3.0</t>s it sits.", 3.0, (10, 20, 30, 40)),
        ("At 3.0 s: <box>[[10, 20, 30, 40]]</box>.", 3.0, (10, 20, 30, 40)),
    ],
)
def test_boxes_are_found_with_their_time(text: str, time: float | None, box: tuple[float, ...]) -> None:
    (sentence,) = citing_sentences(text)
    (cited,) = sentence.boxes
    assert cited.box == box
    assert (None if cited.at is None else sentence.times[cited.at].seconds) == time


@pytest.mark.parametrize(
    "text",
    [
        "It goes from [1, 2, 3, 4] at 2 s to [5, 6, 7, 8] at 6 s.",
        "From 2 s to 6 s it moves from [1, 2, 3, 4] to [5, 6, 7, 8].",
        "At 2 s [1, 2, 3, 4], at 6 s [5, 6, 7, 8].",
        "Rows [2.0, 1, 2, 3, 4], [6.0, 5, 6, 7, 8].",
    ],
)
def test_several_boxes_have_their_own_times(text: str) -> None:
    (sentence,) = citing_sentences(text)
    at = [None if b.at is None else sentence.times[b.at].seconds for b in sentence.boxes]
    assert at == [2.0, 6.0] and [b.box[0] for b in sentence.boxes] == [1.0, 5.0]


@pytest.mark.parametrize(
    "text",
    ["In frame 12 frames later it falls.", "At 3 s (frame 12) he sits.", "A score of 3.2 for it.", "At [10 20 30 40].",
     "It is at [-5, 10, 20, 30].", "Its length is 21.5 metres.", "At 3.0 s its x_min is 150.",
     "After 40 % of the video.", "At three seconds it falls.",
     "Its place is [10, 20, 30].", "The point (120, 34) is red.", "x1=30 there."],
)  # fmt: skip
def test_claims_that_cannot_be_read_are_noticed(text: str) -> None:
    assert citing_sentences(text)[0].unreadable is not None


def test_long_lists_take_no_longer_for_each_number() -> None:
    (sentence,) = citing_sentences("Shown at " + ", ".join(f"{k / 10:.1f}" for k in range(5000)) + " s")
    assert len(sentence.times) == 5000


def test_lengths_are_not_points_in_time() -> None:
    sentences = citing_sentences(
        "It lasts 4 s. A 20-second video. It goes on for about 4 s. 2 seconds later it ends. It sits for the next 5 s."
    )
    assert [[t.length for t in s.times] for s in sentences] == [[True]] * 5


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab 0123456789.,:;-[]()s%\n?", max_size=60))
def test_sentences_joined_are_the_thought(text: str) -> None:
    found = citing_sentences(text)
    assert "".join(s.text for s in found) == text
    for s in found:
        assert all(0 <= t.start < t.end <= len(s.text) for t in (*s.times, *s.boxes))


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 15), st.floats(0.3, 5), st.floats(-1, 1), st.floats(-1, 1))
def test_said_ends_become_the_true_ends(start: float, length: float, a: float, b: float) -> None:
    truth = Truth(SpanSet([(start, start + length)]))
    said = (max(0.0, round(start + a, 1)), round(start + length + b, 1))
    if said[1] - said[0] < 1.1:
        return
    text = f"It begins at {said[0]:.1f} s and is over at {said[1]:.1f} s."
    found = replace_numbers(text, (said,), truth, FORMS["time-r1"])
    (true,) = FORMS["time-r1"].quantise(ParsedAnswer("ok", ((start, start + length),))).spans
    assert found.thought == f"It begins at {true[0]:.2f} s and is over at {true[1]:.2f} s."
    assert found.times == [(said[0], true[0]), (said[1], true[1])] and found.original == text


def test_sentences_that_no_longer_agree_are_dropped() -> None:
    text = (
        "A cat sleeps at 12 s. It runs from 2.3 to 5.8 seconds. At 4 s it is in the middle. It lasts 3.5 s. "
        "The video is 20 s long. At 5.9 s and before 2.2 s nothing. It took 9 s. Brown fur."
    )
    found = replace_numbers(text, ((2.3, 5.8),), TIMED, FORMS["second-level"])
    assert found.thought == (
        "It runs from 2.0 to 6.0 s. At 4.0 s it is in the middle. It lasts 4.0 s. The video is 20.0 s long. "
        "At 6.0 s and before 2.0 s nothing. Brown fur."
    )
    assert [why for _, why in found.dropped] == [
        "it names a time outside the event", "it names a length that is neither the event's nor the video's",
    ]  # fmt: skip


def test_boxes_become_the_true_ones_or_their_sentence_goes() -> None:
    def displayed(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return box[0] / 5, box[1] / 10, box[2] / 5, box[3] / 10

    text = "At 3 s it is at [160, 210, 340, 590]. At 4 s another is at [800, 700, 900, 900]. It is [1, 2, 3, 4]."
    found = replace_numbers(text, ((2.0, 6.0),), PLACED, FORMS["second-level"], displayed)
    assert found.thought == "At 3.0 s it is at [150, 200, 350, 600]."
    assert 0.8 < found.boxes[0] < 0.9
    assert [why for _, why in found.dropped] == ["it has a box on something else", "it has a box without a time"]


def said(span: tuple[float, float], boxes: list[list[float]] | None = None) -> ParsedAnswer:
    rows = tuple(TimedBox(r[0], (r[1], r[2], r[3], r[4])) for r in boxes or [])
    return ParsedAnswer("ok", (span,), rows, coordinates="displayed" if rows else None)


def test_kinds_of_errors() -> None:
    on = [[3.0, 30, 20, 70, 60]]
    assert teacher_error(said((2.0, 6.0), on), PLACED).kind == "none"
    assert teacher_error(said((2.7, 6.7), on), PLACED).kind == "shift"
    assert teacher_error(said((1.5, 6.7), on), PLACED).kind == "jitter"
    assert teacher_error(said((9.0, 12.0), on), PLACED).kind == "wrong span"
    wrong = teacher_error(said((2.0, 6.0), [[3.0, 150, 20, 190, 60]]), PLACED)
    assert (wrong.kind, wrong.t_iou, wrong.v_iou) == ("wrong target", 1.0, 0.0)
    assert teacher_error(said((2.0, 6.0)), PLACED).kind == "no box"
    two = Truth(SpanSet([(2, 4), (8, 10)]))
    assert teacher_error(ParsedAnswer("ok", ((2.0, 4.0),)), two).kind == "wrong count"
    assert teacher_error(ParsedAnswer("absent"), Truth(SpanSet())).kind == "none"
    assert teacher_error(said((1.0, 2.0)), Truth(SpanSet())).kind == "wrong span"


GOOD = "A small brown dog waits near the gate. It jumps over the fence at 2.4 s and lands on wet grass at 6.3 s."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (reply(GOOD, (2.4, 6.3)), None),
        ("I'm sorry, I cannot help with this video.", "refused"),
        (reply(GOOD)[:80], "truncated"),
        ("It happens.", "unread"),
        ('<answer>[{"span": [2.0, 6.0], "boxes": []}]</answer>', "no_thought"),
        (reply("Маленькая собака прыгает через забор в 2.4 s и падает на траву."), "other_language"),
        (reply(GOOD + " This matches the annotation."), "leakage"),
        (reply(GOOD, (12.0, 15.0)), "wrong_span"),
        (reply(GOOD).replace("]}]", ']}, {"span": [8.0, 8.5], "boxes": []}]'), "wrong_count"),
        (reply("At 11 s a cat meows loudly behind the old house."), "nothing_left"),
        (reply("A small brown dog waits near the gate and then jumps over the wooden fence."), "no_claim"),
        (reply("The dog jumps from 2.0 s to 6.0 s."), "only_repeats"),
    ],
)
def test_each_reason(text: str, reason: str | None) -> None:
    t = make_trajectory(text, TIMED, "the dog jumps", "time-r1")
    assert t.reason == reason, (t.reason, t.saw)
    assert reason is None or reason in CHECKS


def test_every_check_says_why() -> None:
    assert all(check.__doc__ and check.__doc__.endswith(".") for check in CHECKS.values())


@pytest.mark.parametrize("form", [f.name for f in FORMS.values() if f.tags[:1] == ("think",) and not f.holds])
def test_any_form_for_times(form: str) -> None:
    t = make_trajectory(reply(GOOD, (2.4, 6.3)), TIMED, "the dog jumps", form)
    assert t.reason is None, (t.reason, t.saw)
    answer = parse(t.text, "strict", form)
    assert answer.valid and t.verifier.score(t.text, TIMED).reward == t.verifier.ceiling(TIMED) == 1.0
    noisy = parse(teacher_text(t), "strict", form)
    assert noisy.valid and noisy.spans != answer.spans and "2.4" in (noisy.thought or "")


def test_forms_that_cannot_hold_a_trajectory_are_refused() -> None:
    for form, word in (
        ("qwen3-vl", "no place"),
        ("open-o3-boxes", "pixels"),
        ("stvg-r1", "number"),
        ("videochat-r1-track", "times"),
        ("time-r", "did you mean"),
    ):
        with pytest.raises(SettingError, match=word):
            trajectory_form(form)


def test_boxes_of_a_teacher_in_pixels_of_what_it_saw() -> None:
    thought = GOOD + " At 3.0 s it is at [15, 10, 35, 30]."
    text = reply(thought, (2.4, 6.3), "[3.0, 15, 10, 35, 30]")
    t = make_trajectory(text, PLACED, "the dog jumps", coordinates="pixels", shown=(100.0, 50.0))
    assert t.reason is None and "[150, 200, 350, 600]" in t.text
    assert t.verifier.score(t.text, PLACED).reward == pytest.approx(t.verifier.ceiling(PLACED))
    assert make_trajectory(text, PLACED, "the dog jumps").reason == "wrong_target"
    assert make_trajectory(reply(GOOD, (2.4, 6.3)), PLACED, "the dog jumps").reason == "no_box"


def test_a_share_of_the_copies_can_be_kept() -> None:
    text = reply("The dog jumps from 2.0 s to 6.0 s.")
    kept = [
        make_trajectory(text, TIMED, "the dog jumps", limits=TrajectoryLimits(copies=0.3), id=str(k)).reason is None
        for k in range(200)
    ]
    assert 0.2 < np.mean(kept) < 0.4
    with pytest.raises(SettingError, match="copies"):
        TrajectoryLimits(copies=2)


CHOSEN = [f.name for f in FORMS.values() if f.tags[:1] == ("think",) and "choice" in f.holds]


@pytest.mark.parametrize("form", CHOSEN)
@pytest.mark.parametrize(("letter", "reason"), [("B", None), ("A", "wrong_choice"), ("", "wrong_choice")])
def test_forms_with_a_choice(form: str, letter: str, reason: str | None) -> None:
    truth = Truth(SPAN, duration=20.0, choice="B")
    text = reply(GOOD, (2.4, 6.3)) + (f"\n\\boxed{{{letter}}}" if letter else "")
    t = make_trajectory(text, truth, "What jumps?\n(A) a cat\n(B) a dog", form)
    assert t.reason == reason, (t.reason, t.saw)
    if reason is None:
        assert parse(t.text, "strict", form).choice == parse(teacher_text(t), "strict", form).choice == "B"
        assert t.verifier.score(t.text, truth).terms == {"t_iou": 1.0, "accuracy": 1.0}


def test_every_form_is_possible_or_refused_with_those_that_are() -> None:
    refused = {}
    for form in FORMS:
        try:
            trajectory_form(form, (100.0, 50.0) if FORMS[form].coordinates == "pixels" else None)
        except SettingError as e:
            refused[form] = str(e)
    possible = [form for form in FORMS if form not in refused]
    assert all(text.endswith(f"choose from {', '.join(possible)}") for text in refused.values())
    for form in possible:
        truth = Truth(SPAN, TUBE, 20.0, SIZE, shown=(100.0, 50.0), choice="B", fps=10.0)
        text = reply(GOOD, (2.4, 6.3), "[3.0, 150, 200, 350, 600]") + "\n\\boxed{B}"
        t = make_trajectory(text, truth, "the dog jumps", form)
        assert t.reason is None, (form, t.reason, t.saw)
        assert (
            t.verifier.score(t.text, truth).reward == pytest.approx(t.verifier.ceiling(truth))
            and t.verifier.ceiling(truth) >= 0.5
        )


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([name for name in FORMS if name in ("second-level", "time-r1", "open-o3-boxes")]),
    st.tuples(st.integers(40, 1500), st.integers(40, 1500)),
    st.floats(-1, 1),
)
def test_cited_boxes_become_the_true_ones_in_the_forms_own_units(form: str, shown: tuple[int, int], off: float) -> None:
    truth = Truth(SPAN, TUBE, 20.0, SIZE, (float(shown[0]), float(shown[1])), fps=10.0)
    said = f"{150 + 20 * off:.0f}, 200, {350 + 20 * off:.0f}, 600"
    t = make_trajectory(
        reply(f"{GOOD} At 3.0 s it is at [{said}].", (2.4, 6.3), f"[3.0, {said}]"), truth, "the dog jumps", form
    )
    assert t.reason is None, (t.reason, t.saw)
    (cited,) = [box.box for s in citing_sentences(parse(t.text, "strict", form).thought or "") for box in s.boxes]
    width, height = shown if FORMS[form].coordinates == "pixels" else (1000, 1000)
    assert cited == pytest.approx((0.15 * width, 0.2 * height, 0.35 * width, 0.6 * height), abs=0.51)
    assert t.verifier.score(t.text, truth).reward == pytest.approx(t.verifier.ceiling(truth))


@pytest.mark.parametrize(
    ("form", "shown", "word"),
    [("time-r1", (448.0, 252.0), "leave --shown out"), ("open-o3-boxes", (0.0, 252.0), "whole number"),
     ("open-o3-boxes", (float("nan"), 252.0), "whole number"), ("open-o3-boxes", (44.5, 252.0), "whole number")],
)  # fmt: skip
def test_sizes_that_make_no_sense(form: str, shown: tuple[float, float], word: str) -> None:
    with pytest.raises(SettingError, match=word):
        trajectory_form(form, shown)
