"""Grounded questions: options in any form, time against alternatives, and both together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.datasets.choices import option
from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.qa import precision_and_iou

law = settings(max_examples=100, deadline=None, derandomize=True)

OPTIONS = ["a cat", "a dog", "A", "red"]
ticks = st.integers(0, 80).map(lambda k: k / 4)


def question(spans=((0, 10),), answer="B", options=(), name="a"):
    return Item(name, "v", spans=span_array(spans), options=list(options), answer=answer)


@pytest.mark.parametrize(
    ("text", "letter"),
    [("B", "B"), ("b", "B"), ("(B)", "B"), ("B.", "B"), (" b) ", "B"), ("a dog", "B"), ("A DOG ", "B"), ("red", "D")],
)
def test_an_option_in_any_form_is_its_letter(text, letter):
    assert option(text, OPTIONS) == letter


def test_an_option_whose_text_is_a_letter_is_that_option():
    assert option("A", OPTIONS) == "C"
    assert option("E", OPTIONS) == "e"  # there is no fifth option
    assert option("E", []) == "E"
    assert option(None, OPTIONS) is None


def slow(span, truths):
    """IoP and IoU of one answer with its best alternatives, as NExT-GQA's text defines them."""
    iop = iou = 0.0
    for a, b in truths:
        common = max(0.0, min(b, span[1]) - max(a, span[0]))
        if span[0] == span[1]:
            iop = max(iop, float(a <= span[0] <= b))
        elif span[1] > span[0]:
            iop = max(iop, common / (span[1] - span[0]))
            iou = max(iou, common / (max(b, span[1]) - min(a, span[0])))
    return iop, iou


@law
@given(
    st.lists(
        st.tuples(
            st.tuples(ticks, ticks),
            st.lists(st.tuples(ticks, ticks).filter(lambda p: p[0] != p[1]).map(sorted), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_precision_and_iou_are_those_of_a_loop(data):
    items = [question(spans, name=f"{k}") for k, (_, spans) in enumerate(data)]
    answers = [Prediction(i.id, spans=span_array([s])) for i, (s, _) in zip(items, data, strict=True)]
    iop, iou = precision_and_iou(items, answers)
    expected = np.array([slow(s, t) for s, t in data])
    assert iop == pytest.approx(expected[:, 0]) and iou == pytest.approx(expected[:, 1])
    assert (iou <= iop + 1e-12).all()


def test_by_hand():
    items = [question(name="a"), question(name="b"), question(name="c"), question(name="d")]
    answers = {
        "a": Prediction("a", spans=span_array([(0, 4)]), answer="B"),  # right, IoP 1, IoU 0.4
        "b": Prediction("b", spans=span_array([(0, 20)]), answer="B"),  # right, IoP 0.5, IoU 0.5
        "c": Prediction("c", spans=span_array([(0, 10)]), answer="C"),  # wrong, all of the time
    }
    s = PROTOCOLS["qa"].score(items, answers).summary
    assert s["Acc"] == 0.5 and s["Acc@GQA"] == 0.5 and s["Acc@IoU0.5"] == 0.25
    assert s["mIoP"] == pytest.approx(2.5 / 4) and s["mIoU"] == pytest.approx(1.9 / 4)
    dropped = PROTOCOLS["next-gqa"].score(items, answers)
    assert dropped.summary["Acc"] == pytest.approx(2 / 3) and any("left out" in n for n in dropped.notes)
    assert PROTOCOLS["next-gqa"].printed("Acc", dropped.summary["Acc"]) == 66.7
    rextime = PROTOCOLS["rextime"].score(items, answers).summary
    assert rextime["Acc@IoU0.5"] == 0.25 and rextime["R1@0.3"] == 0.75


def test_a_time_without_a_choice_and_a_choice_without_a_time():
    items = [question(name="a"), question(name="b")]
    answers = {
        "a": Prediction("a", spans=span_array([(0, 10)])),
        "b": Prediction("b", "absent", answer="B"),
    }
    out = PROTOCOLS["qa"].score(items, answers)
    assert out.items["Acc"].tolist() == [0, 1] and out.items["mIoU"].tolist() == [1, 0]
    assert out.summary["Acc@GQA"] == 0.0
    assert any("1 answers choose nothing" in n for n in out.notes)


def test_accuracy_only_where_there_are_answers_to_choose():
    item = Item("a", "v", spans=span_array([(0, 10)]))
    out = PROTOCOLS["qa"].score([item], {"a": Prediction("a", spans=span_array([(0, 10)]))})
    assert "Acc" not in out.summary and out.summary["mIoU"] == 1.0
    mixed = PROTOCOLS["qa"].score([item, question(name="b")], {"b": Prediction("b", answer="(b)")})
    assert mixed.items["Acc"].tolist() == [0, 1]


def test_a_failed_answer_is_wrong_whatever_it_chose():
    out = PROTOCOLS["qa"].score([question()], {"a": Prediction("a", "failed", span_array([(0, 10)]), answer="B")})
    assert out.summary["Acc"] == 0.0 and out.summary["mIoU"] == 0.0
