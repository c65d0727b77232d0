"""Reading takes time in proportion to the text's length, whatever it contains."""

import time

import pytest

from whenwhere.answers import FORMS, parse
from whenwhere.answers.parse import LONGEST_ANSWER, LONGEST_TEXT

PIECES = [
    "[", "(", "{", "]", "<think>", "</think>", "<answer>", "</answer>", "<answer>3 to 5</answer>", "12 to 17 ", "12-",
    "1 ", "9", "1.", "1:", "1:05 ", '"', "'", '\\"', "\\", "<box>", '<tracks coords="', "<tracks ", "1 and ",
    "between 1 and ", "start ", "start 1 end ", "no ", "does not happen ", "the answer is ", "answer: ", "actually ",
    "\n", "   ", "\n1. ", "a", "é", "秒", "1秒到2秒", "[1,2],", '{"start":1,"end":2},', "<t>1</t>s ", "at<t>",
    "<obj>a</obj>", "\\boxed{", "\\text{", "<|begin_of_box|>", "<|channel|>final", "1m ", "1 minute and ", "1'", "not ",
    "1,", "1,2 to 3,4 ", "-", "..", "{'a':", '["', "<time>", "<glue>[", "1 frame to 2 frame ", "event happens ",
    "- 12 to 17 seconds\n", "target id: ", "<think>x</think>", "<ref>a</ref><box>", "(1,2),", "Answer",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_no_piece_makes_reading_quadratic(piece: str) -> None:
    text = piece * (40_000 // len(piece))
    began = time.process_time()
    parse(text)
    for form in FORMS.values():
        form.parse(text)
        form.parse(f"<think>{text}</think><answer>{text}</answer>")
    # linear: a fraction of a second; quadratic: minutes
    assert time.process_time() - began < 5


def test_a_megabyte() -> None:
    thought = "At 3.0 to 5.0 s she sits; [1, 2, 3]. " * 27_000
    assert len(thought) > 990_000
    began = time.process_time()
    assert parse(f"<think>{thought}</think><answer>12.54 to 17.83</answer>").spans == ((12.54, 17.83),)
    loop = parse(thought)
    assert time.process_time() - began < 20
    assert (loop.status, loop.spans) == ("ambiguous", ())


def test_an_answer_beyond_every_sensible_length_costs_no_more_than_one_of_that_length() -> None:
    began = time.process_time()
    endless = parse("1 to 2 " * 2_000_000)
    assert (endless.status, endless.spans) == ("ambiguous", ())
    assert time.process_time() - began < 30


def test_of_a_text_that_is_too_long_the_end_is_read_if_it_follows_a_thought() -> None:
    long = "so she sits from 3 to 5 s. " * (LONGEST_TEXT // 27 + 1)
    assert parse(f"<think>{long}</think><answer>12.54 to 17.83</answer>").spans == ((12.54, 17.83),)
    unfinished = parse(f"<think>{long}<answer>12.54 to 17.83")
    assert (unfinished.status, unfinished.spans) == ("truncated", ())
    assert parse("12.54 to 17.83" + " " * LONGEST_TEXT).status == "truncated"


def test_of_an_answer_that_is_too_long_what_is_complete_is_kept() -> None:
    rows = ", ".join(f'{{"time": {k}.0, "bbox_2d": [10, 20, 300, 400]}}' for k in range(LONGEST_ANSWER // 40))
    found = parse(f"[{rows}]")
    assert found.status == "truncated"
    assert 1000 < len(found.boxes) < LONGEST_ANSWER // 40
