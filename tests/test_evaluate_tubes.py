"""Properties of the continuous definition over many tubes, and its agreement with `overlap` pair by pair."""

from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from whenwhere import overlap
from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocol import Protocol
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.tubes import PROTOCOLS as TUBES
from whenwhere.evaluate.tubes import boxes as tube_boxes
from whenwhere.evaluate.tubes import continuous, decomposition
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

numbers = st.integers(0, 80).map(lambda n: n / 8)


@st.composite
def tubes(draw: st.DrawFn, empty: bool = True) -> Tube:
    """A tube of up to three spans, with boxes at some times inside; spans without boxes and absences happen."""
    edges = draw(st.lists(numbers, min_size=0 if empty else 2, max_size=6, unique=True).map(sorted))
    spans = SpanSet(zip(edges[::2], edges[1::2], strict=False))
    times = sorted({t for t in draw(st.lists(numbers, max_size=12)) if t in spans} | set(spans.starts.tolist()))
    if draw(st.booleans()):
        times = times[: len(times) // 2]
    corner = st.integers(0, 50)
    rows = [(draw(corner), draw(corner), draw(st.integers(1, 40)), draw(st.integers(1, 40))) for _ in times]
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in rows], float).reshape(-1, 4)
    return Tube(spans, times, boxes, rate=draw(st.sampled_from([0.5, 1.0, 4.0])))


def as_item(tube: Tube, id: str = "0") -> Item:
    return Item(id, "v", spans=np.stack([tube.spans.starts, tube.spans.ends], 1), tubes=[tube], fps=8.0, frames=90)


def as_answer(tube: Tube, id: str = "0") -> Prediction:
    spans = np.stack([tube.spans.starts, tube.spans.ends], 1)
    status = "answered" if len(spans) else "absent"
    return Prediction(id, status, spans, boxes=[Boxes(tube.times, tube.boxes)], rate=tube.rate)


def both(pairs: Sequence[tuple[Tube, Tube]]) -> tuple[list[Item], dict[str, Prediction]]:
    items = [as_item(a, str(i)) for i, (a, _) in enumerate(pairs)]
    return items, {str(i): as_answer(b, str(i)) for i, (_, b) in enumerate(pairs)}


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(tubes(), tubes()), min_size=1, max_size=6))
def test_the_vectorised_definition_is_overlap_pair_by_pair(pairs: list[tuple[Tube, Tube]]) -> None:
    found = continuous.score(*both(pairs)).items
    for i, (a, b) in enumerate(pairs):
        assert found["m_tIoU"][i] == pytest.approx(overlap.t_iou(a.spans, b.spans), abs=1e-12)
        assert found["m_sIoU"][i] == pytest.approx(overlap.s_iou(a, b), abs=1e-12)
        assert found["m_vIoU"][i] == pytest.approx(overlap.v_iou(a, b), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(tubes(), tubes())
def test_symmetric_bounded_and_v_at_most_t(a: Tube, b: Tube) -> None:
    one = continuous.score(*both([(a, b)])).summary
    other = continuous.score(*both([(b, a)])).summary
    for name in ("m_tIoU", "m_sIoU", "m_vIoU"):
        assert 0 <= one[name] <= 1
        assert one[name] == pytest.approx(other[name], abs=1e-12)
    assert one["m_vIoU"] <= one["m_tIoU"] + 1e-12


@settings(max_examples=60, deadline=None)
@given(tubes(), tubes(), st.integers(1, 9), st.integers(0, 100))
def test_shift_and_scale_change_nothing(a: Tube, b: Tube, scale: int, shift: int) -> None:
    def moved(tube: Tube) -> Tube:
        spans = SpanSet((s.start + shift, s.end + shift) for s in tube.spans)
        return Tube(spans, tube.times + shift, tube.boxes * scale + shift, rate=tube.rate)

    before = continuous.score(*both([(a, b)])).summary
    after = continuous.score(*both([(moved(a), moved(b))])).summary
    assert after == pytest.approx(before, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(tubes(empty=False))
def test_the_truth_and_only_the_truth_scores_one(tube: Tube) -> None:
    assert continuous.score(*both([(tube, tube)])).summary["m_vIoU"] == 1.0
    longer = SpanSet([*tube.spans, (20, 21)])
    moved = Tube(tube.spans, tube.times, tube.boxes + 1, rate=tube.rate)
    late = Tube(longer, tube.times, tube.boxes, rate=tube.rate)
    assert continuous.score(*both([(tube, late)])).summary["m_vIoU"] < 1
    if len(tube):
        assert continuous.score(*both([(tube, moved)])).summary["m_vIoU"] < 1


def test_what_is_no_answer_scores_zero_and_what_is_absent_one() -> None:
    there = Tube(SpanSet([(0, 2)]), [0, 1], [[0, 0, 2, 2]] * 2)
    items = [as_item(there, "a"), as_item(there, "b"), as_item(there, "c"), Item("d", "v"), Item("e", "v")]
    invalid = as_item(there, "f")
    invalid.status = "invalid"
    answers = {
        "b": Prediction("b", "failed"),
        "c": Prediction("c", "answered", span_array([(2, 0)])),
        "d": Prediction("d", "absent"),
        "e": Prediction("e", "unparsed"),
        "f": as_answer(there, "f"),
    }
    scores = continuous.score([*items, invalid], answers)
    assert scores.items["m_vIoU"].tolist() == [0, 0, 0, 1, 0, 0]
    assert any("no answer" in n for n in scores.notes) and any("invalid" in n for n in scores.notes)


def test_boxes_that_are_none_are_absent_and_the_first_of_equal_times_counts() -> None:
    truth = Tube(SpanSet([(0, 3)]), [0, 1, 2], [[0, 0, 2, 2]] * 3)
    times = np.array([2.0, 0.0, 0.0, 1.0])
    written = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [9, 9, 10, 10], [2, 2, 0, 0]], float)
    given = Prediction("0", spans=span_array([(0, 3)]), boxes=[Boxes(times, written)])
    # The box at 1 s is reversed: nothing is filled between 0 and 2 s, and each of the rest is held where it stands.
    found = continuous.score([as_item(truth)], {"0": given}).summary
    assert found["m_vIoU"] == pytest.approx(1 / 3, abs=1e-12)


def test_several_objects_are_paired_and_too_many_cost() -> None:
    spans = SpanSet([(0, 2)])
    left, right = (Tube(spans, [0, 1], [[x, 0, x + 4, 4]] * 2, id=str(x)) for x in (0, 100))
    item = Item("a", "v", spans=span_array([(0, 2)]), tubes=[left, right])
    swapped = [Boxes(t.times, t.boxes, t.id) for t in (right, left)]
    ghost = Boxes(left.times, left.boxes + 500, "ghost")

    def v(objects: list[Boxes]) -> float:
        return continuous.score([item], {"a": Prediction("a", spans=item.spans, boxes=objects)}).summary["m_vIoU"]

    assert v(swapped) == 1.0
    assert v(swapped[:1]) == 0.5
    assert v([*swapped, ghost]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["default-tubes", "hota", "svag"])
def test_the_truth_of_several_objects_that_come_and_go_scores_one(name: str) -> None:
    lives = [(0, 9), (4, 20), (15, 30)]
    tubes = [
        Tube(
            SpanSet([(a / 10, b / 10)]), np.arange(a, b) / 10, [[9 * k, 0, 9 * k + 5, 5]] * (b - a), rate=10, id=str(k)
        )
        for k, (a, b) in enumerate(lives)
    ]
    item = Item("a", "v", spans=span_array([(0, 3)]), tubes=tubes, fps=10.0, frames=30)
    objects = [Boxes(t.times, t.boxes, t.id) for t in tubes]
    given = Prediction("a", spans=item.spans, boxes=objects[::-1], rate=10.0)
    found = PROTOCOLS[name].score([item], {"a": given}).summary
    assert found[PROTOCOLS[name].headline[0 if name != "default-tubes" else 2]] == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(tubes(empty=False), tubes())
def test_decomposition_replaces_one_half_by_the_truth(a: Tube, b: Tube) -> None:
    items, answers = both([(a, b)])
    found = decomposition(items, answers).summary
    assert found["m_vIoU"] == pytest.approx(overlap.v_iou(a, b), abs=1e-12)
    assert found["m_vIoU"] == pytest.approx(found["m_tIoU"] * found["m_sIoU"], abs=1e-12)
    # True boxes inside the answered time: what is left to lose is time.
    kept = [i for i, t in enumerate(a.times) if t in a.spans]
    assert len(kept) == len(a)
    assert found["oracle-space"] == pytest.approx(overlap.t_iou(a.spans, b.spans), abs=1e-12)
    # The true time: what is left to lose is space.
    inside = a.spans.index(b.times) >= 0
    told = Tube(a.spans, b.times[inside], b.boxes[inside], rate=b.rate)
    assert found["oracle-time"] == pytest.approx(overlap.s_iou(a, told), abs=1e-12)
    assert found["wrong-object"] == float(found["m_tIoU"] >= 0.5 and found["m_sIoU"] < 0.1)


def test_wrong_object_at_the_right_time() -> None:
    truth = Tube(SpanSet([(0, 4)]), [0, 1, 2, 3], [[0, 0, 2, 2]] * 4)
    other = Tube(SpanSet([(0, 4)]), [0, 1, 2, 3], [[50, 50, 52, 52]] * 4)
    late = Tube(SpanSet([(3, 9)]), [3, 4, 5, 6, 7, 8], [[50, 50, 52, 52]] * 6)
    found = decomposition(*both([(truth, other), (truth, truth), (truth, late)]))
    assert found.items["wrong-object"].tolist() == [1, 0, 0]
    assert found.summary["m_tIoU"] == pytest.approx((1 + 1 + 1 / 9) / 3)


@pytest.mark.parametrize("name", [p.name for p in TUBES])
def test_blocks_do_not_change_a_number(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    items, answers = corpus(12)
    whole = PROTOCOLS[name].score(items, answers)
    monkeypatch.setattr(tube_boxes, "BLOCK", 30)
    cut = PROTOCOLS[name].score(items, answers)
    assert cut.summary == pytest.approx(whole.summary, abs=1e-12, nan_ok=True)
    assert whole.ids == cut.ids and set(whole.items) == set(cut.items)


@pytest.mark.parametrize("name", [p.name for p in TUBES])
def test_every_protocol_takes_nothing_and_says_what_it_counts(name: str) -> None:
    protocol = PROTOCOLS[name]
    items, answers = corpus(5)
    silent = protocol.score(items, {})
    # TrackEval calls the localisation of no pair at all perfect.
    assert all(not v > 0 for k, v in silent.summary.items() if k != "LocA"), silent.summary
    found = protocol.score(items, answers)
    assert set(protocol.headline) <= set(found.summary) | {"Acc", "AM", "LGM"}
    assert all(len(column) == len(found.ids) for column in found.items.values())
    assert all(-1e-12 <= v <= 1 for k, v in found.summary.items() if v == v and k != "LGM"), found.summary
    assert set(protocol.counts) == set(PROTOCOLS["default-tubes"].counts) or name in NATIVE
    protocol.score([], {})


NATIVE = {"hcstvg-official", "tubedetr", "stcat", "stcat-released", "cg", "ta", "llava-next-stvg"}


def corpus(n: int, seed: int = 0) -> tuple[list[Item], dict[str, Prediction]]:
    """Items with dense tubes at 8 frames/s and jittered answers; the last answer is missing."""
    rng = np.random.default_rng(seed)
    items, answers = [], {}
    for i in range(n):
        first, last = sorted(rng.choice(80, 2, replace=False).tolist())
        span = (first / 8, (last + 1) / 8)
        times = np.arange(first, last + 1) / 8
        corner = rng.uniform(0, 40, (len(times), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, corner.shape)], 1)
        tube = Tube(SpanSet([span]), times, boxes, rate=8)
        items.append(
            Item(str(i), f"v{i // 2}", spans=span_array([span]), tubes=[tube], fps=8.0, frames=90, width=90, height=90)
        )
        said = np.arange(max(first - 4, 0), min(last + 5, 90)) / 8
        jittered = np.repeat(boxes.mean(0)[None], len(said), 0) + rng.normal(0, 2, (len(said), 4))
        answered = span_array([(said[0], said[-1] + 1 / 8)])
        answers[str(i)] = Prediction(str(i), spans=answered, boxes=[Boxes(said, jittered)], rate=8.0)
    del answers[str(n - 1)]
    return items, answers


@settings(max_examples=40, deadline=None)
@given(tubes(empty=False), st.lists(numbers, min_size=1, max_size=9))
@example(Tube(SpanSet([(0, 4)]), [0, 3], [[0, 0, 1, 1], [3, 0, 4, 1]]), [1.5, 3.5])
def test_filling_follows_the_rules_of_tubes(tube: Tube, asked: list[float]) -> None:
    span = tube.spans[0]
    one = Tube(SpanSet([span]), tube.times[tube.span_of == 0], tube.boxes[tube.span_of == 0], rate=tube.rate)
    flat = tube_boxes.boxed([one.times], [one.boxes])
    held = np.array([[span.start, span.end]])
    found = tube_boxes.fill_linearly(flat, np.zeros(len(asked), np.int64), np.array(asked), np.array([one.rate]), held)
    inside = one.spans.index(asked) >= 0
    np.testing.assert_allclose(found[inside], one.boxes_at(np.array(asked)[inside]), atol=1e-9)
    assert np.isnan(found[(np.array(asked) < span.start - 0.01) | (np.array(asked) > span.end + 0.01)]).all()


@pytest.mark.parametrize("protocol", [p for p in TUBES if p.tasks == ("tubes",)], ids=lambda p: p.name)
def test_a_negative_time_is_never_counted_for_the_item_before(protocol: Protocol) -> None:
    there = Tube(SpanSet([(0, 4)]), [0, 1, 2, 3], [[0, 0, 20, 20]] * 4)
    early = Boxes(np.array([-3.0, -2.0, 0.0, 1.0]), np.full((4, 4), [0.0, 0.0, 20.0, 20.0]))
    items = [as_item(there, "a"), as_item(there, "b")]
    for item in items:
        item.width, item.height, item.duration = 40, 40, 10.0
    answers = {"a": as_answer(Tube(SpanSet([(0, 2)]), [0, 1], [[0, 0, 10, 20]] * 2), "a")}
    alone = protocol.score(items, answers).items
    answers["b"] = Prediction("b", "answered", span_array([(-3.0, 2.0)]), boxes=[early])
    found = protocol.score(items, answers).items
    assert alone and {name: column[0] for name, column in found.items()} == pytest.approx(
        {name: column[0] for name, column in alone.items()}, nan_ok=True
    )
