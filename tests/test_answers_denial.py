"""Denials: a text that says that something is not there never claims a range, and a limited denial takes none away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import parse

EVENTS = ("No dog is visible", "There is no such event", "The event does not occur in the video", "A dog is never seen")
NEGATED = ("The man does not open the door", "The woman isn't sitting down", "Nobody waves", "The cat never jumps")
OTHER = ("The clip shows a street ({r})", "He walks from {r}", "{r}: a street", "The video lasts from {r}")


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("denial", EVENTS)
@pytest.mark.parametrize("written", ["0:00 - 0:30", "3.5 to 8.0 seconds", "0 s - 30 s"])
def test_a_range_in_another_sentence_does_not_undo_a_denial(denial: str, other: str, written: str) -> None:
    sentence = other.format(r=written)
    for text in (f"{denial}. {sentence}.", f"{sentence}. {denial}.", f"<think>3 to 5</think>{denial}. {sentence}."):
        found = parse(text)
        assert found.spans == ()
        assert found.status in ("absent", "ambiguous")
    assert parse(f"{denial}. {sentence}.").status == "absent" or sentence.startswith(written)


@pytest.mark.parametrize("denial", NEGATED)
def test_a_negated_sentence_makes_a_range_after_it_doubtful(denial: str) -> None:
    for text in (f"{denial}. He walks from 3 to 8 s.", f"{denial}; he walks at 0:03 - 0:08."):
        assert (parse(text).status, parse(text).spans) == ("ambiguous", ())
    assert parse(f"{denial} from 3 to 8 seconds.").status == "ambiguous"
    assert parse(f"From 3 to 8 seconds, {denial[0].lower()}{denial[1:]}.").status == "ambiguous"


@pytest.mark.parametrize(
    "text",
    [
        "The dog is not visible at first. It appears from 12 to 17 seconds.",
        "There is no doubt that the event happens from 12 to 17 s.",
        "The event happens from 12 to 17 s and does not happen again.",
        "12 to 17. There are no other matching moments in the video.",
        "From 12 to 17 s the man opens the door. He does not close it.",
        "The event does not happen between 3 and 5 s but between 12 and 17 s.",
        "I first thought that it does not occur. Actually, the event happens from 12 to 17 s.",
        "The man, who is not wearing a hat, opens the door. The event happens from 12 to 17 seconds.",
        "There is no exact timestamp, but the event happens approximately from 12 to 17 seconds.",
        '{"start": 12, "end": 17, "reason": "the man does not stop"}',
        "The event 'no dog is visible' happens in 12.0 - 17.0 seconds.",
        "The moment where no one is in the room occurs from 12 to 17 seconds.",
        "Start: 12 s\nEnd: 17 s\nNote: the dog is not visible afterwards.",
        "In the video, from 12 to 17 seconds, the man waves.",
    ],
)
def test_a_limited_denial_takes_no_answer_away(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("ok", ((12, 17),))


@pytest.mark.parametrize(
    "text",
    [
        "No dogs. A cat from 3 to 5 s.",
        "There's no dog here. The street is shown from 0 to 30 seconds.",
        "At no time between 0:00 and 0:30 does a dog appear.",
        "I'm sorry, but the event isn't in the video. It only shows a street from 0:00 to 0:30.",
        "The video contains no dog. It shows a street (0 - 30 s).",
        "The dog is nowhere to be seen. The street is shown from 0 to 30 s.",
        "Instead of opening the door, the man closes it from 3 to 8 seconds.",
        "not found, 0-30",
        "I watched the video from 0:00 to 0:30 and did not see a dog.",
        "The query event did not happen; what happens from 3 to 8 s is a man walking.",
        "[0, 30] No such event.",
        "None. (0.0 - 30.0)",
        '{"answer": "No dog is visible.", "span": [0, 30]}',
        '{"exists": 0, "start": 0, "end": 30}',
        'The event does not occur. {"start": 0, "end": 30}',
    ],
)
def test_further_denials_beside_a_range(text: str) -> None:
    assert (parse(text).status in ("absent", "ambiguous"), parse(text).spans) == (True, ())


WORDS = st.sampled_from(["a dog", "the red car", "a man", "he waves", "in the video", "on the street", "and then"])


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), st.sampled_from(EVENTS), st.booleans())
def test_no_words_around_make_an_answer_of_a_denial(
    before: list[str], after: list[str], denial: str, first: bool
) -> None:
    around = f"{' '.join(['It shows', *before])} (0:00 - 0:30) {' '.join(after)}."
    assert parse(f"{denial}. {around}" if first else f"{around} {denial}.").status in ("absent", "ambiguous")


@pytest.mark.parametrize(
    "text",
    [
        "The video runs from 0 to 30 seconds.",
        "The man appears at 12 s in the video (0 - 30 s).",
        "The clip is 0:00 - 0:30 long.",
    ],
)
def test_the_length_of_the_video_is_no_answer(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("unparsed", ())


@pytest.mark.parametrize(
    "text",
    [
        "The video lasts from 0 to 30 seconds. The man opens the door from 12 to 17 s.",
        "Video: 0:00 - 0:30. Event: 0:12 - 0:17.",
        "In this 0-30 s video, he sits down from 12 to 17 s.",
        "He sits from 12 to 17 seconds of the video, which runs from 0 to 30 seconds.",
        "The total duration is 0:00 to 0:30, and he sits from 0:12 to 0:17.",
    ],
)
def test_the_length_of_the_video_beside_an_answer_is_left_out(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("ok", ((12, 17),))


@pytest.mark.parametrize(
    "text",
    [
        "The first occurrence is from 3 to 5 and the second is from 10 to 12 seconds.",
        "First occurrence: 3 - 5 s. Second occurrence: 10 - 12 s.",
        "from 3 to 5 as well as from 10 to 12 seconds",
        "The first instance runs from 3 to 5 seconds; another runs from 10 to 12 seconds.",
        "It happens at 3 - 5 s (first) and 10 - 12 s (second).",
        "The first starts at 3 s and ends at 5 s, and the second starts at 10 s and ends at 12 s.",
        "First wave: 3-5 s. Second wave: 10-12 s.",
        "| start | end |\n|---|---|\n| 3.0 | 5.0 |\n| 10.0 | 12.0 |",
        "a) 3 to 5 s\nb) 10 to 12 s",
        "Occurrence 1: from 3 to 5 seconds\nOccurrence 2: from 10 to 12 seconds",
    ],
)
def test_no_range_of_a_list_is_dropped(text: str) -> None:
    assert (parse(text).status, parse(text).spans) == ("ok", ((3, 5), (10, 12)))


@given(
    st.sampled_from(["{} s {} ms", "{}s{}ms", "{} seconds and {} milliseconds", "{} sec, {} msec"]),
    st.integers(0, 59), st.integers(0, 999), st.integers(0, 59), st.integers(0, 999),
)  # fmt: skip
def test_seconds_and_milliseconds_are_one_time(form: str, s1: int, ms1: int, s2: int, ms2: int) -> None:
    said = f"from {form.format(s1, ms1)} to {form.format(s2, ms2)}"
    assert parse(said).spans == ((round(s1 + ms1 / 1000, 9), round(s2 + ms2 / 1000, 9)),)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1 min 5 s 500 ms to 1 min 20 s", (65.5, 80)),
        ("1 hour, 2 minutes and 3 seconds to 1 hour, 2 minutes and 10 seconds", (3723, 3730)),
        ("from 1m to 1m 20s", (60, 80)),
        ("1h05m to 1h10m", (3900, 4200)),
        ("PT1M5S to PT1M20.5S", (65, 80.5)),
        ('{"start": "12s 500ms", "end": "15s 250ms"}', (12.5, 15.25)),
    ],
)
def test_times_of_several_units(text: str, span: tuple[float, float]) -> None:
    assert parse(text).spans == (span,)
    assert parse("The cars are 5m to 8m long.").spans == ()
