"""Further ways of writing a span: brackets for each end, keys, shares of the length, times that are taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import parse

AROUND = (
    "[{}]", "({})", "<{}>", "{{{}}}", "**[{}]**", "`{}`", "`[{}]`", "[{}](https://x.org/v?t=3)", "<b>{}</b>", "«{}»",
    '"{}"', "$ {} $", "<|box_start|>{}<|box_end|>", "<timestamp>{}</timestamp>", '<a href="/v?t=9">{}</a>', "【{}】",
)  # fmt: skip
BETWEEN = (" - ", " to ", "–", " until ")


@pytest.mark.parametrize("around", AROUND)
@given(st.sampled_from(["12.5", "12.5s", "12.5 seconds", "00:12.5"]), st.sampled_from(BETWEEN))
def test_each_end_in_marks_of_its_own(around: str, start: str, between: str) -> None:
    end = start.replace("2.5", "7.75")
    said = around.format(start) + between + around.format(end)
    for text in (said, f"The event happens from {said}."):
        assert parse(text).spans == ((12.5, 17.75),)
        assert parse(text).status == "ok"


@pytest.mark.parametrize("inside", ["12.5,17.75", "(12.5,17.75)", "[12.5, 17.75]", "12.5s - 17.75s"])
def test_a_span_in_the_marks_of_a_box(inside: str) -> None:
    assert parse(f"<|box_start|>{inside}<|box_end|>").spans == ((12.5, 17.75),)


@pytest.mark.parametrize(
    "text",
    [
        "[time: 12.5] - [time: 17.8]", "12.5 s (start) to 17.8 s (end)", "<sec>12.5</sec> to <sec>17.8</sec>",
        "≈12.5 s – ≈17.8 s",
        "[12.5](a.mp4?t=12) to [17.8](a.mp4?t=17)", "__12.5__ to __17.8__", "⟨12.5⟩ – ⟨17.8⟩",
        "t1 = 12.5 s, t2 = 17.8 s",
        '<segment start="12.5" end="17.8"/>', "12.5;17.8", "begin_time=12.5;finish_time=17.8", "12.5 ➜ 17.8",
    ],
)  # fmt: skip
def test_further_marks(text: str) -> None:
    assert (parse(text).spans, parse(text).status) == (((12.5, 17.8),), "ok")


NAMES = ("event", "clip", "pred", "waving", "moment_1")
PAIRS = ("{n}_start|{n}_end", "start_of_{n}|end_of_{n}", "{n}StartTime|{n}EndTime", "{n} begin (s)|{n} finish (s)")


@given(st.sampled_from(NAMES), st.sampled_from(PAIRS), st.floats(0, 900), st.floats(1, 90), st.booleans())
def test_any_start_and_end_with_the_same_words_are_a_span(
    name: str, pair: str, start: float, length: float, swapped: bool
) -> None:
    a, b = pair.format(n=name).split("|")
    s, e = round(start, 2), round(start + length, 2)
    rows = [f'"{a}": {s}', f'"{b}": {e}']
    assert parse("{" + ", ".join(rows[::-1] if swapped else rows) + "}").spans == ((s, e),)


@pytest.mark.parametrize("key", ["predicted_span", "time_window", "result", "when", "a man waves", "1", "gt_segments"])
@pytest.mark.parametrize("value", ["[12.5, 17.75]", '"12.5 - 17.75"', '"12.5s to 17.75s"', "[[12.5, 17.75]]"])
def test_any_key_whose_value_is_nothing_but_a_range(key: str, value: str) -> None:
    assert parse(f'{{"{key}": {value}}}').spans == ((12.5, 17.75),)


@pytest.mark.parametrize(
    "text",
    [
        '{"size": [640, 720]}', '{"resolution": [640, 720], "fps": 30}', '{"confidence": [0.2, 0.9]}',
        '{"score": "1-2"}', '{"age": "20-30"}', '{"people": "2-3"}', '{"video": [0, 30]}', '{"duration": "0:00-0:30"}',
    ],
)  # fmt: skip
def test_numbers_of_something_else_are_no_span(text: str) -> None:
    assert parse(text).spans == ()


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('{"0:23 - 0:48": "cuts beef", "0:56 - 1:28": "adds salt"}', ((23, 48), (56, 88))),
        ('{"e1_start": 3, "e1_end": 5, "e2_start": 10, "e2_end": 12}', ((3, 5), (10, 12))),
        ('{"start": 12.5, "duration": 5.3}', ((12.5, 17.8),)),
        ('{"end": 17.8, "duration": 5.3}', ((12.5, 17.8),)),
        ('{"start_ms": 12500, "duration_ms": 5300}', ((12.5, 17.8),)),
        ('{"start": 12, "end": 17, "video_start": 0, "video_end": 30}', ((12, 17),)),
        ('{"first": "3-5", "second": "10-12"}', ((3, 5), (10, 12))),
        ('{"video": {"start": 0, "end": 30}, "event": {"start": 12, "end": 17}}', ((12, 17),)),
        ('{"span_ms": [12500, 17800]}', ((12.5, 17.8),)),
        ('{"foo": [1, 2], "span": [12, 17]}', ((12, 17),)),
    ],
)
def test_keys(text: str, spans: tuple[tuple[float, float], ...]) -> None:
    assert (parse(text).spans, parse(text).status) == (spans, "ok")


def test_times_counted_in_frames_under_any_key_are_not_read() -> None:
    for text in ('{"event_start_frame": 12, "event_end_frame": 30}', '{"frame_range": [12, 30]}'):
        assert (parse(text).status, parse(text).spans) == ("ambiguous", ())


@pytest.mark.parametrize("flag", ['"found": false', '"is_present": "no"', '"status": "not found"', '"absent": true'])
def test_a_dictionary_that_says_absent_holds_no_span(flag: str) -> None:
    assert parse(f'{{{flag}, "start": 0, "end": 30}}').status == "absent"
    assert parse(f'{{{flag}, "spans": [[0, 30]]}} The clip is shown from 0 to 30 s.').status != "ok"
    assert parse(f'[{{{flag}, "start": 0, "end": 5}}, {{"start": 12, "end": 17}}]').spans == ((12, 17),)


@given(st.integers(0, 98), st.integers(1, 99), st.floats(5, 5000))
def test_shares_of_the_length(a: int, b: int, duration: float) -> None:
    s, e = sorted((a, b + 1)) if a != b + 1 else (a, a + 1)
    said = [x / 100 * duration for x in (s, e)]
    texts = {f"{s / 100:.2f}-{e / 100:.2f}": "vidi", f"[[{s / 100:.2f}, {e / 100:.2f}]]": "vidi",
             f"from {s / 100:.2f} to {e / 100:.2f} of the video": None, f"{s}% - {e}%": None}  # fmt: skip
    for text, form in texts.items():
        found = parse(text, form=form, duration=duration)
        (span,) = found.spans
        assert span == pytest.approx(said, abs=1e-6)
        assert parse(text, form=form).status == "ambiguous"


def test_seconds_of_a_family_that_may_answer_in_shares_stay_seconds() -> None:
    for text in ("12.5-15.0", "00:12.5-00:15", "12.5 s to 15 s"):
        assert parse(text, form="vidi", duration=100.0).spans == ((12.5, 15),)
    assert parse("0.31s-0.45s", form="vidi", duration=100.0).spans == ((0.31, 0.45),)
    assert parse("0.31-0.45", duration=100.0).spans == ((0.31, 0.45),)


@pytest.mark.parametrize(
    "text",
    [
        "It does not start at 3 but at 5 and ends at 8 s.",
        "It starts at 5 s, not 3 s, and ends at 8 s.",
        "It starts at 5 s (not at 3 s) and ends at 8 s.",
        "It starts not at 3 but at 5 and ends not at 7 but at 8.",
        "It starts at 5 s instead of 3 s and ends at 8 s.",
        "Rather than at 3 s, it starts at 5 s and ends at 8 s.",
        "It starts at 3 s, no, 5 s, and ends at 8 s.",
        "from 5 (not 3) to 8 seconds",
        "not from 1 to 3 but from 5 to 8",
        "The event isn't from 1 to 3 s, it's from 5 to 8 s.",
        "1 to 3. No, it is 5 to 8.",
    ],
)
def test_times_that_are_taken_back(text: str) -> None:
    assert (parse(text).spans, parse(text).status) == (((5, 8),), "ok")


def test_the_video_s_end_is_not_the_event_s() -> None:
    assert parse("It starts at 12 s; the video ends at 30 s.").spans == ()
    assert parse("It starts at 12 s. The video lasts 30 s.").spans == ()
    assert parse("It starts at 12 s and continues until the end of the video at 30 s.").spans == ((12, 30),)
