"""Boxes and points with their times: scores, times in front and around, and places that are no spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import parse

A, B = (10, 20, 300, 400), (12, 20, 302, 400)


def places(text: str) -> list[tuple[float | None, tuple[float, ...]]]:
    found = parse(text)
    assert found.spans == ()
    assert found.status == "ok"
    return [(b.time, b.box) for b in found.boxes]


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 400), st.integers(1, 400), st.integers(0, 100))
def test_a_fifth_number_that_can_be_a_score_is_one(x: int, y: int, w: int, h: int, percent: int) -> None:
    box = (x, y, x + w, y + h)
    row = f"[{x}, {y}, {x + w}, {y + h}, {percent / 100}]"
    assert places(f'{{"time": 700.5, "bbox": {row}}}') == [(700.5, box)]
    assert places(f'{{"time": 700.5, "detections": [{{"bbox": {row}, "label": "dog"}}]}}') == [(700.5, box)]


@given(st.integers(2, 900), st.integers(2, 500), st.integers(2, 500), st.integers(1, 400), st.integers(1, 400))
def test_a_first_number_before_a_box_is_its_time(t: int, x: int, y: int, w: int, h: int) -> None:
    row = f"[{t / 10}, {x}, {y}, {x + w}, {y + h}]"
    assert places(f'{{"boxes": [{row}]}}') == [(t / 10, (x, y, x + w, y + h))]
    assert places(f"[{row}]") == [(t / 10, (x, y, x + w, y + h))]


@pytest.mark.parametrize(
    "text",
    [
        '{"time": 1.0, "bbox": [10, 20, 300, 400, 0.95]}',
        '{"time": 1.0, "objects": [{"label": "dog", "bbox": [10, 20, 300, 400]}]}',
        '{"frames": [{"timestamp": 1.0, "detections": [{"bbox": [10, 20, 300, 400]}]}]}',
        '{"1.0": {"bbox": [10, 20, 300, 400]}}',
        '{"1.0": {"dog": [10, 20, 300, 400]}}',
        '{"times": [1.0], "boxes": [[10, 20, 300, 400]]}',
        "The dog is at [10, 20, 300, 400] at 1.0s.",
        "The dog is at (10, 20), (300, 400) at 1.0s.",
        "At second 1 the dog is in [10, 20, 300, 400].",
        "1.0s: <box>[10, 20, 300, 400]</box>",
    ],
)
def test_a_box_gets_the_time_around_it(text: str) -> None:
    assert places(text) == [(1.0, A)]


@pytest.mark.parametrize(
    "form",
    ["{t}s: {b}", "At {t}s: {b}", "t={t}: {b}", "- {t} s -> {b}", "[{t}s] {b}", "time: {t}, bbox: {b}", "00:0{t}: {b}",
     "<t>{t}</t>s: <box>{b}</box>", "{b} at {t}s"],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "; "])
def test_times_of_boxes_in_prose(form: str, end: str) -> None:
    rows = [form.format(t=t, b=list(box)) for t, box in ((1, A), (2, B))]
    assert places(end.join(rows)) == [(1, A), (2, B)]


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("<point>(120, 340)</point>", 1),
        ("<|point_start|>(120, 340)<|point_end|>", 1),
        ("The dog is at (120, 340).", 1),
        ('{"x": 120, "y": 340}', 1),
        ('{"center": [120, 340]}', 1),
        ("1.0s: (120, 340)\n2.0s: (130, 345)", 2),
        ("At 1.0s the ball is at (120, 340), at 2.0s at (130, 345).", 2),
        ('<point x="61.5" y="40.6" alt="dog">dog</point>', 0),
    ],
)
def test_points_are_no_spans(text: str, n: int) -> None:
    assert (len(parse(text).points), parse(text).spans) == (n, ())


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("The dog is visible from 1.0s to 3.0s.\n1.0s: [10, 20, 300, 400]\n2.0s: [12, 20, 302, 400]", ((1, 3),)),
        ("The event happens at (12.5, 17.8).", ((12.5, 17.8),)),
        ("(2.0, 5.0) and (8.0, 9.0)", ((2, 5), (8, 9))),
        ("The event is at (12.5, 17.8).", ((12.5, 17.8),)),
    ],
)
def test_spans_beside_places_stay_spans(text: str, spans: tuple[tuple[float, float], ...]) -> None:
    assert parse(text).spans == spans


def test_numbers_that_can_be_time_or_score_are_not_guessed() -> None:
    assert parse('{"bbox": [0.1, 0.2, 0.3, 0.4, 0.9]}').status == "ambiguous"
    assert places('{"t": 3, "bbox": [0.1, 0.2, 0.3, 0.4, 0.9]}') == [(3, (0.1, 0.2, 0.3, 0.4))]


@pytest.mark.parametrize("time", ["{}s: ", "At {}s: ", "{} s - ", "t={}, ", "time={}s, "])
@pytest.mark.parametrize(
    "box",
    [
        "x1=10, y1=20, x2=30, y2=45.5", "x1: 10, y1: 20, x2: 30, y2: 45.5", "(x1=10 y1=20 x2=30 y2=45.5)",
        "[xmin=10, ymin=20, xmax=30, ymax=45.5]", "left=10, top=20, right=30, bottom=45.5",
        "X1 = 10; Y1 = 20; X2 = 30; Y2 = 45.5",
        "x=10, y=20, w=20, h=25.5", "x: 10px, y: 20px, width: 20px, height: 25.5px",
    ],
)  # fmt: skip
def test_a_box_of_named_numbers(time: str, box: str) -> None:
    text = "\n".join(time.format(t) + box for t in ("1.0", "2.5"))
    assert [(b.time, b.box) for b in parse(text).boxes] == [(1.0, (10, 20, 30, 45.5)), (2.5, (10, 20, 30, 45.5))]
    assert parse(text).spans == ()
