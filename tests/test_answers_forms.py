"""Strict forms read exactly what they write and refuse everything else, and lenient reading agrees with them."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whenwhere.answers import FORMS, Form, ParsedAnswer, TimedBox, TimedPoint, parse
from whenwhere.errors import RecordError, SettingError
from whenwhere.spans import SpanSet
from whenwhere.verify import Truth, Verifier

SECOND = '<think>x</think><answer>[{"span": [1, 2], "boxes": [{}]}]</answer>'
SIZE, SHOWN = (1280.0, 720.0), (644.0, 364.0)
TIMES = st.floats(0, 20_000, allow_nan=False)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
#: Labels that no other form could take for its own writing.
PLAIN = st.text("abcdefghijklmnopqrstuvwxyz ", max_size=12)


@st.composite
def spans(draw: st.DrawFn, most: int) -> tuple[tuple[float, float], ...]:
    pairs = draw(st.lists(st.tuples(TIMES, st.floats(1e-3, 500)), min_size=1, max_size=most))
    return tuple((s, s + d) for s, d in pairs)


@st.composite
def golds(draw: st.DrawFn, name: str, labels: st.SearchStrategy[str] = WORDS) -> ParsedAnswer:
    """An answer that the form can hold, in displayed pixels, with any number of digits."""
    form = FORMS[name]
    said = () if form.spans == 0 else draw(spans(1 if form.spans == 1 else 4))
    boxes: list[TimedBox] = []
    points: list[TimedPoint] = []
    if "boxes" in form.holds:
        for _ in range(draw(st.integers(1, 6))):
            when = draw(TIMES) if not said else draw(st.floats(said[0][0], said[0][1]))
            x, y = draw(st.floats(0, 1270)), draw(st.floats(0, 710))
            box = (x, y, draw(st.floats(x + 0.01, 1280)), draw(st.floats(y + 0.01, 720)))
            boxes.append(TimedBox(when if form.timed else None, box, draw(labels)))
    if "points" in form.holds:
        for _ in range(draw(st.integers(1, 6))):
            point = (draw(st.floats(0, 1280)), draw(st.floats(0, 720)))
            points.append(TimedPoint(draw(TIMES), point, draw(labels), str(draw(st.integers(1, 3)))))
    return ParsedAnswer(
        "ok", said, tuple(boxes), tuple(points), "displayed" if boxes or points else None,
        draw(st.sampled_from("ABCDEFGH")), str(draw(st.integers(0, 99))),
        draw(WORDS.filter(lambda w: "<" not in w)),
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_what_a_form_writes_it_reads_back_exactly(name: str) -> None:
    form = FORMS[name]

    @given(golds(name))
    def check(gold: ParsedAnswer) -> None:
        text = form.render(gold, SIZE, SHOWN)
        exact = form.quantise(gold, SIZE, SHOWN)
        assert parse(text, "strict", name) == exact
        assert exact.status == "ok"
        assert form.quantise(exact, SIZE, SHOWN) == exact
        # as near as its digits allow
        for (s, e), (a, b) in zip(gold.spans, exact.spans, strict=True):
            assert max(abs(s - a), abs(e - b)) <= 1.01 * (form.tick or 10**-form.decimals)
            assert a < b
        for box in exact.boxes:
            assert box.box[0] < box.box[2]
            assert box.box[1] < box.box[3]
        if form.coordinates and exact.boxes and not exact.spans and not form.timed:
            step = {"unit": 1.28, "thousand": 1.28, "pixels": 2.0}[form.coordinates]
            back = exact.displayed(SIZE, SHOWN)
            for b, g in zip(back.boxes, gold.boxes, strict=True):
                assert math.dist(b.box, g.box) <= 4 * step

    check()


@pytest.mark.parametrize("name", FORMS)
def test_lenient_reading_agrees_with_a_form_without_being_told_which(name: str) -> None:
    form = FORMS[name]

    @given(golds(name, PLAIN))
    def check(gold: ParsedAnswer) -> None:
        text = form.render(gold, SIZE, SHOWN)
        exact, found = form.parse(text), parse(text)
        assert found.spans == exact.spans
        assert [b.box for b in found.boxes] == [b.box for b in exact.boxes]
        assert [b.time for b in found.boxes] == [b.time for b in exact.boxes]
        assert found.points == exact.points
        assert found.target == exact.target
        assert parse(text, form=name) == exact

    check()


@pytest.mark.parametrize("name", FORMS)
def test_examples(name: str) -> None:
    form = FORMS[name]
    found = form.parse(form.example)
    assert found.status == "ok"
    assert form.render(found) == form.example
    assert found.form == name


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("spoil", ["{} and more", "so: {}", "{}{}", "<answer>{}</answer>"])
def test_strict_refuses_anything_around(name: str, spoil: str) -> None:
    if name in ("internvl", "tokens") and spoil == "{}{}":
        return  # they have no frame around them: two are a list
    found = parse(spoil.replace("{}", FORMS[name].example), "strict", name)
    assert not found.valid
    assert found.spans == found.boxes == found.points == ()


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("time-r1", "<think>x</think><answer>12.54s to 17.83s</answer>", "unparsed"),
        ("time-r1", "<think>x</think><answer>12.54 - 17.83</answer>", "unparsed"),
        ("time-r1", "<answer>12.54 to 17.83</answer>", "unparsed"),
        ("time-r1", "<think>x</think><think>y</think><answer>12.54 to 17.83</answer>", "unparsed"),
        ("time-r1", "<think>x</think><answer>1 to 2</answer><answer>12.54 to 17.83</answer>", "unparsed"),
        ("time-r1", "<think>x <answer>1 to 2</answer></think><answer>12.54 to 17.83</answer>", "unparsed"),
        ("time-r1", "<think>x</think>so<answer>12.54 to 17.83</answer>", "unparsed"),
        ("time-r1", "<think>x</think><answer>12.54 to 17.8", "truncated"),
        ("time-r1", "<think>x 12.54 to", "truncated"),
        ("time-r1", "<think>x</think><answer>17.83 to 12.54</answer>", "reversed"),
        ("time-r1", "<think>x</think><answer>12.54 to 12.54</answer>", "instant"),
        ("time-r1", "<think>x</think><answer>１２ to １７</answer>", "unparsed"),
        ("time-r1", "<think>x</think><answer>-1 to 17</answer>", "unparsed"),
        ("tvg-r1", "<think>x</think><time>[NaN, 5]</time>", "unparsed"),
        ("museg", "<think>x</think><answer></answer>", "unparsed"),
        ("museg", "<think>x</think><answer>1-2 4-3</answer>", "reversed"),
        ("second-level", "<think>x</think><answer>[]</answer>", "absent"),
        ("second-level", SECOND.replace("{}", "[1, NaN, 1, 2, 3]"), "unparsed"),
        ("second-level", SECOND.replace("{}", "[1, 1, 2, 3]"), "unparsed"),
        ("second-level", SECOND.replace("{}", "[1, 1, 1, 2, 3], [1, 1, 1, 2, 4]"), "duplicate-time"),
        ("second-level", "<think>x</think><answer>" + "[" * 100_000 + "</answer>", "unparsed"),
        ("tokens", "<none>", "absent"),
        ("tokens", "<none><none>", "unparsed"),
        ("tokens", "<2.0s><5.5s><none>", "unparsed"),
        ("tokens", "<2.0s>", "unparsed"),
        ("tokens", "<2.0s><5.5s><120><400><300><620>", "unparsed"),
        ("tokens", "<2.0s><5.5s><2.0s><120><400><300>", "unparsed"),
        ("tokens", "<2.0s><5.5s> <2.0s><120><400><300><620>", "unparsed"),
        ("tokens", "<2.0s><5.3s>", "unparsed"),
        ("tokens", "<02.0s><5.0s>", "unparsed"),
        ("tokens", "<2.0s><5.5s><2.0s><125><400><300><620>", "unparsed"),
        ("tokens", "<2.0s><5.5s><2.0s><1010><400><300><620>", "unparsed"),
        ("tokens", "<5.5s><2.0s>", "reversed"),
        ("tokens", "<2.0s><2.0s>", "instant"),
        ("tokens", "<2.0s><5.5s><2.0s><0><0><10><10><2.0s><0><0><10><10>", "duplicate-time"),
        ("qwen3-vl", "[]", "absent"),
        ("qwen3-vl", '[{"time": 1, "bbox_2d": [1, 2, 3, "4"], "label": ""}]', "unparsed"),
    ],
)  # fmt: skip
def test_strict_statuses(name: str, text: str, status: str) -> None:
    assert parse(text, "strict", name).status == status


@pytest.mark.parametrize(
    ("text", "status", "spans", "boxes"),
    [
        ("<2.0s><5.5s><2.0s><120><400><300>", "truncated", ((2.0, 5.5),), 0),
        ("<2.0s><5.5s><2.0s><120><400><300><62", "truncated", ((2.0, 5.5),), 0),
        ("<2.0s><5.5s><120><400><300><620>", "ok", ((2.0, 5.5),), 0),
        ("<2.0s><5.5s><2.0s><120><400><3.0s><0><0><10><10>", "ok", ((2.0, 5.5),), 1),
        ("<2.2s> <5.5s>\n<2.2s><125><400><300><620>", "ok", ((2.2, 5.5),), 1),
        ("<2.0s><5.0s><7.5s><9.0s><8.0s><0><0><10><10>", "ok", ((2.0, 5.0), (7.5, 9.0)), 1),
        ("<5.5s><2.0s>", "reversed", ((5.5, 2.0),), 0),
        ("It is <none> I think", "absent", (), 0),
        ("<none><none>", "absent", (), 0),
        ("<2.0s>", "unparsed", (), 0),
        ("", "unparsed", (), 0),
    ],
)  # fmt: skip
def test_tokens_are_read_leniently_when_the_form_is_named(
    text: str, status: str, spans: tuple[tuple[float, float], ...], boxes: int
) -> None:
    found = parse(text, form="tokens")
    assert (found.status, found.spans, len(found.boxes)) == (status, spans, boxes)
    assert found.coordinates == ("thousand" if boxes else None)


def test_strict_and_lenient_differ_where_they_should() -> None:
    text = "<think>x</think><answer>12.54s to 17.83s</answer>"
    assert parse(text, "strict", "time-r1").spans == ()
    assert parse(text, "lenient", "time-r1").spans == ((12.54, 17.83),)


def test_absence() -> None:
    nothing = ParsedAnswer("absent", thought="no dog")
    text = FORMS["second-level"].render(nothing)
    assert text == "<think>no dog</think>\n<answer>[]</answer>"
    assert parse(text).status == "absent"
    with pytest.raises(RecordError, match="no words"):
        FORMS["time-r1"].render(nothing)


def test_what_a_form_cannot_hold_is_refused_not_dropped() -> None:
    two = ParsedAnswer("ok", ((1, 2), (3, 4)))
    with pytest.raises(RecordError, match="holds one span, not 2"):
        FORMS["timelens"].render(two)
    with pytest.raises(RecordError, match="its end is not after its start"):
        FORMS["timelens"].render(ParsedAnswer("ok", ((2, 1),)))
    with pytest.raises(RecordError, match="clip the answer"):
        FORMS["timelens"].render(ParsedAnswer("ok", ((-2, 1),)))
    with pytest.raises(RecordError, match="must not contain the tags"):
        FORMS["time-r1"].render(ParsedAnswer("ok", ((1, 2),), thought="</think><answer>3 to 4"))
    with pytest.raises(RecordError, match="needs a target"):
        FORMS["stvg-r1"].render(ParsedAnswer("ok", ((1, 2),)))
    with pytest.raises(RecordError, match="needs a time"):
        FORMS["qwen3-vl"].render(ParsedAnswer("ok", boxes=(TimedBox(None, (1, 2, 3, 4)),), coordinates="thousand"))
    with pytest.raises(SettingError, match="size"):
        FORMS["qwen3-vl"].render(ParsedAnswer("ok", boxes=(TimedBox(1, (1, 2, 3, 4)),), coordinates="displayed"))


def test_a_span_shorter_than_a_digit_stays_a_span() -> None:
    gold = ParsedAnswer("ok", ((3.01, 3.02),))
    assert parse(FORMS["timelens"].render(gold), "strict", "timelens").spans == ((3.0, 3.1),)


def test_an_answer_form_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form in the table can be written, read strictly and leniently, and trained on."""

    def read(contents: list[str], tail: str) -> ParsedAnswer | None:
        found = re.fullmatch(r"when=([0-9]+\.[0-9])\.\.([0-9]+\.[0-9])", tail)
        return ParsedAnswer(spans=((float(found[1]), float(found[2])),)) if found else None

    def write(answer: ParsedAnswer) -> tuple[list[str], str]:
        return [], f"when={answer.spans[0][0]:.1f}..{answer.spans[0][1]:.1f}"

    monkeypatch.setitem(FORMS, "dots", Form("dots", "this test", "when=1.0..2.5", read, write, tags=(), decimals=1))
    gold = ParsedAnswer("ok", ((3.21, 5.88),))
    written = FORMS["dots"].render(gold)
    assert written == "when=3.2..5.9"
    assert parse(written, "strict", "dots") == FORMS["dots"].quantise(gold)
    assert parse("from 3 to 5", "strict", "dots").status == "unparsed"
    assert parse("from 3 to 5", form="dots").spans == ((3.0, 5.0),)
    scored = Verifier({"t_iou": 1}, form="dots").score(written, Truth(SpanSet([(3.2, 5.9)])))
    assert (scored.reward, scored.format) == (1.0, 1.0)
