"""Laws that spans, boxes, tubes and overlaps keep whatever they are given."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere import Box, Span, SpanSet, Tube, box_iou, s_iou, t_iou, v_iou
from whenwhere.boxes import clip_boxes, valid_boxes

# The same examples each time: a red run must mean a change of ours. For a search: `derandomize=False`, more examples.
law = settings(max_examples=60, deadline=None, derandomize=True)

# Quarter seconds and whole pixels: shifts and sums are exact, so that equalities can be asked for.
ticks = st.integers(-40, 80).map(lambda k: k / 4)
spans = st.tuples(ticks, st.integers(1, 40)).map(lambda p: (p[0], p[0] + p[1] / 4))
span_sets = st.lists(spans, max_size=5).map(SpanSet)
pixels = st.integers(0, 600)
boxes = st.tuples(pixels, pixels, st.integers(1, 200), st.integers(1, 200)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)


@st.composite
def tubes(draw: st.DrawFn) -> Tube:
    inside = draw(span_sets)
    times = [t for s in inside for t in np.arange(s.start, s.end, 0.25).tolist() if draw(st.booleans())]
    return Tube(
        inside, times, [draw(boxes) for _ in times], rate=draw(st.sampled_from([0.5, 1.0, 2.0])), id=draw(st.just("0"))
    )


probe_times = st.lists(ticks, max_size=8).map(lambda t: np.array(t, float))


# --- spans


@law
@given(span_sets)
def test_spans_are_sorted_disjoint_and_do_not_touch(a: SpanSet) -> None:
    assert (a.starts < a.ends).all()
    assert (a.ends[:-1] < a.starts[1:]).all()


@law
@given(span_sets, span_sets, probe_times)
def test_union_and_intersection_are_those_of_sets_of_instants(a: SpanSet, b: SpanSet, t: np.ndarray) -> None:
    in_a, in_b = a.index(t) >= 0, b.index(t) >= 0
    np.testing.assert_array_equal((a | b).index(t) >= 0, in_a | in_b)
    np.testing.assert_array_equal((a & b).index(t) >= 0, in_a & in_b)


@law
@given(span_sets, span_sets, span_sets)
def test_laws_of_sets(a: SpanSet, b: SpanSet, c: SpanSet) -> None:
    assert a | b == b | a and a & b == b & a
    assert (a | b) | c == a | (b | c) and (a & b) & c == a & (b & c)
    assert a & (b | c) == (a & b) | (a & c) and a | (b & c) == (a | b) & (a | c)
    assert a | a == a == a & a and a & (a | b) == a and a | SpanSet() == a and a & SpanSet() == SpanSet()
    assert a.duration + b.duration == (a | b).duration + (a & b).duration


@law
@given(span_sets, st.integers(1, 60))
def test_clip_is_the_intersection_with_the_video(a: SpanSet, quarters: int) -> None:
    clipped = a.clip(quarters / 4)
    assert clipped == a & SpanSet([(0, quarters / 4)])
    assert clipped.clip(quarters / 4) == clipped


@law
@given(st.lists(spans, max_size=5), st.randoms())
def test_order_of_the_input_does_not_matter(pairs: list, random) -> None:
    shuffled = pairs.copy()
    random.shuffle(shuffled)
    assert SpanSet(pairs) == SpanSet(shuffled)


# --- boxes


@law
@given(boxes, boxes)
def test_box_iou_is_symmetric_bounded_and_one_only_for_the_same(a: tuple, b: tuple) -> None:
    iou = float(box_iou(a, b))
    assert iou == float(box_iou(b, a)) and 0 <= iou <= 1
    assert (iou == 1) == (a == b)
    assert float(box_iou(a, a)) == 1


@law
@given(boxes, boxes, st.integers(-500, 500), st.integers(-500, 500), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_box_iou_does_not_change_with_place_and_scale(a: tuple, b: tuple, dx: int, dy: int, k: float) -> None:
    move = np.array([dx, dy, dx, dy], float)
    assert float(box_iou((np.array(a) + move) * k, (np.array(b) + move) * k)) == float(box_iou(a, b))


@law
@given(st.lists(boxes, max_size=6), st.integers(1, 640), st.integers(1, 480))
def test_clipped_boxes_are_inside_and_clipping_again_changes_nothing(rows: list, width: int, height: int) -> None:
    clipped = clip_boxes(rows, width, height)
    assert (clipped >= 0).all() and (clipped[:, 0::2] <= width).all() and (clipped[:, 1::2] <= height).all()
    np.testing.assert_array_equal(clip_boxes(clipped, width, height), clipped)
    for before, after in zip(rows, clipped[: len(rows)], strict=True):
        if valid_boxes(after)[0]:
            assert Box(*after).area <= Box(*before).area


# --- tubes


@law
@given(tubes())
def test_a_tube_is_exact_at_its_boxes(tube: Tube) -> None:
    np.testing.assert_array_equal(tube.boxes_at(tube.times), tube.boxes)
    for t, box in zip(tube.times, tube.boxes, strict=True):
        assert tube.at(float(t)) == Box(*box)


@law
@given(tubes(), probe_times)
def test_no_box_outside_the_spans_and_at_agrees_with_boxes_at(tube: Tube, t: np.ndarray) -> None:
    filled = tube.boxes_at(t)
    outside = tube.spans.index(t) < 0
    assert np.isnan(filled[outside]).all()
    for time, row in zip(t, filled, strict=True):
        box = tube.at(float(time))
        assert (box is None) == np.isnan(row).all()
        assert box is None or box == Box(*row)


@law
@given(tubes(), st.lists(st.floats(-10, 30), max_size=12))
def test_linear_boxes_lie_between_their_neighbours(tube: Tube, times: list) -> None:
    filled = tube.boxes_at(times)
    for t, box in zip(times, filled, strict=True):
        if np.isnan(box[0]):
            continue
        assert valid_boxes(box)[0]
        i = int(np.searchsorted(tube.times, t, side="right"))
        near = tube.boxes[max(i - 1, 0) : i + 1]
        assert (box >= near.min(0) - 1e-9).all() and (box <= near.max(0) + 1e-9).all()


@law
@given(tubes())
def test_segments_cover_every_box_once_and_hold_no_absence(tube: Tube) -> None:
    parts = tube.segments()
    assert [i for p in parts for i in range(p.start, p.stop)] == list(range(len(tube)))
    for p in parts:
        assert len(set(tube.span_of[p].tolist())) == 1
        assert (np.diff(tube.times[p]) <= 1.5 / tube.rate + 1e-3).all()
        middle = (tube.times[p][:-1] + tube.times[p][1:]) / 2
        assert not np.isnan(tube.boxes_at(middle)).any()


@law
@given(tubes())
def test_between_segments_of_one_span_there_is_no_box(tube: Tube) -> None:
    for p, q in zip(tube.segments(), tube.segments()[1:], strict=False):
        if tube.span_of[p.stop - 1] == tube.span_of[q.start]:
            assert tube.at((tube.times[p.stop - 1] + tube.times[q.start]) / 2) is None


# --- overlaps


@law
@given(span_sets, span_sets, st.integers(-40, 40))
def test_t_iou_symmetric_bounded_and_the_same_anywhere_in_time(a: SpanSet, b: SpanSet, quarters: int) -> None:
    value = t_iou(a, b)
    assert value == t_iou(b, a) and 0 <= value <= 1
    assert (value == 1) == (a == b)
    assert (value == 0) == (not len(a & b) and bool(len(a) or len(b)))
    moved = [SpanSet((s.start + quarters / 4, s.end + quarters / 4) for s in x) for x in (a, b)]
    assert t_iou(*moved) == value


@law
@given(tubes(), tubes())
def test_overlaps_are_symmetric_and_v_is_at_most_t(a: Tube, b: Tube) -> None:
    t, s, v = t_iou(a.spans, b.spans), s_iou(a, b), v_iou(a, b)
    assert 0 <= v <= t <= 1 and 0 <= s <= 1
    assert abs(s - s_iou(b, a)) < 1e-12 and abs(v - v_iou(b, a)) < 1e-12


@law
@given(tubes())
def test_a_tube_overlaps_itself_wholly(tube: Tube) -> None:
    assert v_iou(tube, tube) == 1


@law
@given(tubes(), tubes(), st.integers(-40, 40), st.integers(-300, 300))
def test_v_iou_does_not_change_with_place_and_time(a: Tube, b: Tube, quarters: int, pixels: int) -> None:
    def moved(tube: Tube) -> Tube:
        dt = quarters / 4
        return Tube(
            SpanSet((s.start + dt, s.end + dt) for s in tube.spans), tube.times + dt, tube.boxes + pixels, tube.rate
        )

    assert abs(v_iou(moved(a), moved(b)) - v_iou(a, b)) < 1e-9


@law
@given(tubes(), st.integers(1, 40))
def test_answering_more_time_than_there_is_never_gains(tube: Tube, quarters: int) -> None:
    if not len(tube.spans):
        return
    last = tube.spans[-1]
    longer = tube.replace(spans=tube.spans | SpanSet([Span(last.end, last.end + quarters / 4)]))
    assert v_iou(longer, tube) < 1
