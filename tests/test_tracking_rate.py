"""Second-level times, repair and smoothing: their laws, and the cases they exist for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere import Span, SpanSet, Tube, box_iou
from whenwhere.errors import QueryError, SettingError
from whenwhere.tracking import repair, second_level_times, smooth
from whenwhere.tracking.smooth import SMOOTHERS
from whenwhere.tubes import GAP

law = settings(max_examples=60, deadline=None, derandomize=True)
rates = st.sampled_from([0.2, 0.5, 1.0, 2.0, 4.0, 10.0])


@law
@given(st.floats(0, 500), st.floats(0.01, 60), rates, st.floats(0.005, 0.2))
def test_second_level_times(start: float, duration: float, rate: float, frame: float) -> None:
    span = Span(start, start + duration)
    last = span.end - frame
    times = second_level_times(span, rate, last)
    assert times[0] == start and (times < span.end).all()
    assert (np.diff(times) > 0).all()
    if last <= start:
        assert len(times) == 1
        return
    assert times[-1] == last
    inner = times[1:-1]
    np.testing.assert_allclose(inner * rate, np.round(inner * rate), atol=1e-6)
    assert (inner - start >= 0.25 / rate).all() and (last - inner >= 0.25 / rate).all()
    # no grid time is forgotten: neighbours are never so far apart that an absence would be read between them
    assert (np.diff(times) < GAP / rate).all()


def test_second_level_times_ends_take_the_place_of_near_grid_times():
    assert second_level_times(Span(0.8, 3.2), 1, last=3.16).tolist() == [0.8, 2.0, 3.16]
    assert second_level_times(Span(0.75, 3.25), 1, last=3.25 - 1e-9).tolist()[:2] == [0.75, 1.0]
    assert second_level_times(Span(2, 5), 1, last=4.96).tolist() == [2, 3, 4, 4.96]
    assert second_level_times(Span(2, 2.02), 1).tolist() == [2]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_second_level_times_wants_a_rate(rate):
    with pytest.raises(SettingError, match="between"):
        second_level_times(Span(0, 1), rate)


def test_second_level_times_wants_the_last_frame_inside():
    with pytest.raises(QueryError, match="cannot be at 3 s"):
        second_level_times(Span(0, 3), last=3.0)


# --- repair

anything = st.one_of(st.floats(), st.floats(-100, 800), st.integers(-50, 700).map(float))


@law
@given(st.lists(st.tuples(anything, anything, anything, anything, anything), max_size=12))
def test_repair_keeps_rows_as_they_are_and_twice_is_once(rows: list) -> None:
    times, boxes = np.array([r[0] for r in rows]), np.array([r[1:] for r in rows]).reshape(-1, 4)
    t, b, dropped = repair(times, boxes, 640, 360)
    assert len(t) == len(b) == len(rows) - dropped
    assert np.isfinite(t).all() and np.isfinite(b).all()
    assert (b[:, 0] < b[:, 2]).all() and (b[:, 1] < b[:, 3]).all()
    assert (b[:, 0] < 640).all() and (b[:, 2] > 0).all() and (b[:, 1] < 360).all() and (b[:, 3] > 0).all()
    kept = {(x, *y) for x, y in zip(t.tolist(), map(tuple, b.tolist()), strict=True)}
    assert kept <= {tuple(float(v) for v in r) for r in rows}
    again = repair(t, b, 640, 360)
    np.testing.assert_array_equal(again[1], b)
    assert again[2] == 0


def test_repair_neither_clips_nor_swaps():
    boxes = [[-20, -5, 50, 60], [600, 300, 700, 400], [50, 0, 10, 9], [640, 0, 650, 9], [0, 0, 5, np.inf]]
    t, b, dropped = repair(range(5), boxes, 640, 360)
    assert t.tolist() == [0, 1] and b.tolist() == boxes[:2] and dropped == 3


# --- smooth


@st.composite
def tubes(draw: st.DrawFn) -> Tube:
    """Two spans, wandering boxes, sometimes an absence."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    times = np.r_[np.arange(0, draw(st.integers(1, 9))), np.arange(20, 20 + draw(st.integers(1, 9)))].astype(float)
    times = times[rng.random(len(times)) > draw(st.sampled_from([0, 0.3]))]
    centre = 300 + np.cumsum(rng.normal(0, draw(st.sampled_from([2, 20, 90])), (len(times), 2)), 0)
    half = np.exp(rng.normal(3.5, 0.2, (len(times), 2)))
    return Tube(SpanSet([(0, 10), (20, 30)]), times, np.concatenate([centre - half, centre + half], 1))


def test_a_box_that_a_filter_throws_out_of_the_segment_stays_as_it_was() -> None:
    boxes = [[-30.0, 0.0, -28.0, 10.0], [-24.0, 0.0, -22.0, 10.0], [-12.0, 0.0, 16.0, 10.0]]
    new = smooth(Tube(SpanSet([(0, 2)]), [0, 0.25, 0.5], boxes, rate=4), "rts")
    assert np.isfinite(new.boxes).all() and (new.boxes[:, 2:] > new.boxes[:, :2]).all()
    assert new.boxes[:, 0].min() >= -30 and new.boxes[:, 2].max() <= 16


@law
@given(tubes(), st.sampled_from(list(SMOOTHERS)))
def test_smoothing_is_bounded_and_keeps_times_and_spans(tube: Tube, method: str) -> None:
    new = smooth(tube, method)
    assert new.spans == tube.spans and new.times.tolist() == tube.times.tolist()
    for part in tube.segments():
        low, high = tube.boxes[part].min(0), tube.boxes[part].max(0)
        assert (new.boxes[part, :2] >= low[:2] - 1e-9).all() and (new.boxes[part, 2:] <= high[2:] + 1e-9).all()
    sources = new.sources or ("model",) * len(new)
    for was, now, source in zip(tube.boxes, new.boxes, sources, strict=True):
        assert (source == "smoothed") == (was.tolist() != now.tolist())


@law
@given(tubes(), st.sampled_from(["none", "hampel"]))
def test_repairing_jumps_twice_is_once(tube: Tube, method: str) -> None:
    once = smooth(tube, method)
    np.testing.assert_allclose(smooth(once, method).boxes, once.boxes, atol=1e-6)


@law
@given(tubes(), st.sampled_from(list(SMOOTHERS)))
def test_segments_do_not_know_of_each_other(tube: Tube, method: str) -> None:
    whole = smooth(tube, method).boxes
    for part in tube.segments():
        alone = Tube(tube.spans, tube.times[part], tube.boxes[part])
        np.testing.assert_allclose(smooth(alone, method).boxes, whole[part], atol=1e-9)


@law
@given(tubes(), st.sampled_from(list(SMOOTHERS)), st.integers(-200, 200))
def test_smoothing_does_not_depend_on_the_place(tube: Tube, method: str, shift: int) -> None:
    moved = smooth(tube.replace(boxes=tube.boxes + shift), method).boxes
    np.testing.assert_allclose(moved - shift, smooth(tube, method).boxes, atol=1e-6)


@pytest.mark.parametrize("method", ["gauss", "rts"])
def test_smoothing_takes_noise_off_a_slow_thing(method):
    rng = np.random.default_rng(3)
    t = np.arange(0, 20, 0.5)
    truth = np.array([100, 100, 180, 220], float) + (3 * t)[:, None]
    noisy = truth + rng.normal(0, 8, truth.shape)
    tube = Tube(SpanSet([(0, 20)]), t, noisy, rate=2)
    settings_of = {"gauss": {"sigma": 1.0}, "rts": {"noise": 0.1, "drift": 0.01}}[method]
    after = smooth(tube, method, **settings_of)
    assert box_iou(after.boxes, truth).mean() > box_iou(noisy, truth).mean() + 0.03
    assert np.abs(np.diff(after.boxes, 2, axis=0)).mean() < 0.5 * np.abs(np.diff(noisy, 2, axis=0)).mean()


def test_rts_keeps_a_steady_motion():
    t = np.arange(0, 8.0)
    boxes = np.array([10, 10, 60, 90], float) + np.stack([30 * t, 5 * t] * 2, 1)
    tube = Tube(SpanSet([(0, 8)]), t, boxes)
    np.testing.assert_allclose(smooth(tube, "rts").boxes, boxes, atol=1.0)


def test_gauss_is_gated_by_overlap():
    t = np.arange(0, 6.0)
    boxes = np.array([0, 0, 50, 50], float) + np.where(t < 3, 0, 400)[:, None] + (t % 2)[:, None]
    after = smooth(Tube(SpanSet([(0, 6)]), t, boxes), "gauss", sigma=1.0).boxes
    assert after[:3, 2].max() < 60 and after[3:, 0].min() >= 400


def test_hampel_repairs_one_jump_and_nothing_else():
    boxes = np.array([[10, 10, 60, 60]] * 5, float)
    boxes[2] += 300
    tube = Tube(SpanSet([(0, 5)]), range(5), boxes, sources=["model", "propagated", "model", "model", "model"])
    after = smooth(tube, "hampel")
    assert after.boxes[2].tolist() == [10, 10, 60, 60]
    assert after.sources == ("model", "propagated", "smoothed", "model", "model")
    # two boxes in a row elsewhere are a motion, not a jump
    boxes[3] += 300
    assert smooth(tube.replace(boxes=boxes), "hampel").boxes.tolist() == boxes.tolist()


def test_smoothing_drops_boxes_that_were_filled_from_the_old_ones():
    tube = Tube(SpanSet([(0, 3)]), [0, 1, 2], [[0, 0, 9, 9], [3, 0, 12, 9], [3, 0, 12, 9]])
    tube = tube.replace(filled=(np.array([0.5]), np.array([[1.0, 0, 10, 9]])))
    assert smooth(tube, "gauss").filled is None and smooth(tube, "none") is tube


def test_smooth_refuses_what_it_does_not_know():
    tube = Tube(SpanSet())
    with pytest.raises(SettingError, match="gauss, rts"):
        smooth(tube, "median")
    with pytest.raises(SettingError, match="sigma"):
        smooth(tube, "gauss", sigma=0)


def test_a_smoother_is_added_by_one_line_of_the_table(monkeypatch):
    from whenwhere.settings import GroundingSettings

    def leftmost(times, boxes, settings):
        return np.repeat(boxes[boxes[:, 0].argmin()][None], len(times), 0)

    monkeypatch.setitem(SMOOTHERS, "leftmost", leftmost)
    tube = Tube(SpanSet([(0, 3)]), [0, 1, 2], [[4, 0, 14, 10], [2, 0, 12, 10], [3, 0, 13, 10]])
    new = smooth(tube, GroundingSettings(smooth="leftmost").smooth)
    assert new.boxes[:, 0].tolist() == [2, 2, 2] and new.sources == ("smoothed", "model", "smoothed")
