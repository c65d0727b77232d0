"""Hand-computed overlaps, and the cases that other people's evaluators get wrong."""

import numpy as np
import pytest

from whenwhere import Span, SpanSet, Tube, box_iou, s_iou, t_iou, v_iou
from whenwhere.errors import QueryError, RecordError

UNIT = [0.0, 0.0, 10.0, 10.0]


def still(start: float, end: float, box=UNIT, rate: float = 1.0) -> Tube:
    times = [start, *np.arange(np.floor(start) + 1, end), end - 0.1]
    return Tube(SpanSet([(start, end)]), sorted(set(times)), [box] * len(set(times)), rate=rate)


def test_spans_that_touch_are_one_set_of_time():
    assert SpanSet([(0, 1), (1, 2)]) == SpanSet([(0, 2)])
    assert len(SpanSet([(0, 1), (1.1, 2)])) == 2


@pytest.mark.parametrize("bad", [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_span_is_finite_and_ordered(bad):
    with pytest.raises(QueryError, match="start < end"):
        Span(*bad)


def test_overlong_answer_counts_against_v_iou():
    truth, answer = still(2, 4), still(0, 8)
    assert t_iou(answer.spans, truth.spans) == pytest.approx(2 / 8)
    assert s_iou(answer, truth) == 1.0
    assert v_iou(answer, truth) == pytest.approx(2 / 8)


def test_sub_second_events_are_defined():
    a = Tube(SpanSet([(1.2, 1.6)]), [1.2, 1.5], [UNIT, UNIT])
    b = Tube(SpanSet([(1.3, 1.6)]), [1.3, 1.5], [UNIT, UNIT])
    assert v_iou(a, b) == pytest.approx(0.3 / 0.4)


def test_spatial_overlap_is_the_trapezoid_on_the_common_grid():
    # The answer's box slides off by its own width within two seconds; the truth stays. IoU at 0, 1, 2 s: 1, 1/3, 0.
    truth = Tube(SpanSet([(0, 2)]), [0, 1, 1.999], [UNIT] * 3)
    slide = Tube(SpanSet([(0, 2)]), [0, 1, 1.999], [UNIT, [5, 0, 15, 10], [9.995, 0, 19.995, 10]])
    assert s_iou(slide, truth) == pytest.approx(((1 + 1 / 3) / 2 + (1 / 3 + 0) / 2) / 2, abs=1e-3)


def test_a_second_answered_without_a_box_scores_nothing_there():
    truth = still(0, 6)
    hole = Tube(SpanSet([(0, 6)]), [0, 1, 2, 4, 5, 5.9], [UNIT] * 6)  # second 3 has no box: absent from 2 to 4
    assert hole.at(3) is None and hole.at(2) is not None and hole.at(4) is not None
    assert s_iou(hole, truth) == pytest.approx(4 / 6)
    assert s_iou(hole, hole) == 1.0


def test_hold_before_the_first_and_after_the_last_box():
    tube = Tube(SpanSet([(0, 10)]), [4, 5], [UNIT, UNIT])
    assert tube.at(0) == tube.at(9.9) == tuple(UNIT)
    assert tube.at(10) is None


def test_a_tube_that_is_no_tube_is_refused():
    spans = SpanSet([(0, 2)])
    with pytest.raises(RecordError, match="outside its spans"):
        Tube(spans, [3], [UNIT])
    with pytest.raises(RecordError, match="strictly increasing"):
        Tube(spans, [1, 1], [UNIT, UNIT])
    with pytest.raises(RecordError, match="box at 1 s"):
        Tube(spans, [1], [[0, 0, 0, 5]])


def test_empty_answers():
    nothing, something = Tube(SpanSet()), still(0, 2)
    assert v_iou(nothing, nothing) == 1.0
    assert v_iou(nothing, something) == v_iou(something, nothing) == 0.0


def test_box_iou_broadcasts_and_survives_empty_boxes():
    grid = box_iou(np.array([UNIT, [5, 5, 5, 9]])[:, None], np.array([UNIT, [20, 20, 30, 30]])[None])
    np.testing.assert_allclose(grid, [[1, 0], [0, 0]])


def test_filled_boxes_are_preferred_by_at_and_ignored_by_overlaps():
    plain = still(0, 2)
    filled = plain.replace(filled=(np.array([0.0, 0.5]), np.array([[1.0, 1, 2, 2], [3, 3, 4, 4]])))
    assert filled.at(0.7) == (3, 3, 4, 4)
    assert v_iou(filled, plain) == 1.0


def test_frames_left_out_of_a_fill_have_no_box():
    times = np.array([0.0, 0.1, 0.2, 0.8, 0.9])
    tube = still(0, 2).replace(filled=(times, np.tile([1.0, 1, 2, 2], (5, 1))))
    assert tube.at(0.25) is not None and tube.at(0.5) is None and tube.at(1.5) == (1, 1, 2, 2)
