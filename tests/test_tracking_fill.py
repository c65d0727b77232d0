"""The fills: exact at their boxes, inside the picture, never across a cut or an absence; and flow follows pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from whenwhere import SpanSet, Tube, box_iou
from whenwhere.errors import SettingError
from whenwhere.tracking import fill_tube, fill_tubes, second_level_times
from whenwhere.tracking.fill import FILLS
from whenwhere.tracking.gap import fill_gap
from whenwhere.tracking.outline import CameraShift, ContextFrames, fit_outline
from whenwhere.video import FrameWriter, VideoInfo, probe

W, H, FPS, SECONDS = 160, 120, 15, 4
law = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def texture(height: int, width: int, seed: int, low: int, high: int) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(low, high, (height // 4 + 2, width // 4 + 2, 3)).astype(np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def scene(path: list[tuple[float, float]], size=(36, 28), width=W, height=H) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures of a textured patch whose left top corner follows the path, and its boxes cut to the picture."""
    ground, patch = texture(height, width, 1, 60, 110), texture(size[1], size[0], 2, 120, 250)
    images, boxes = [], []
    for x, y in path:
        shift = np.array([[1, 0, x], [0, 1, y]], float)
        image = ground.copy()
        cv2.warpAffine(patch, shift, (width, height), dst=image, borderMode=cv2.BORDER_TRANSPARENT)
        images.append(image)
        boxes.append([max(x, 0), max(y, 0), min(x + size[0], width), min(y + size[1], height)])
    return images, np.array(boxes, float)


def bouncing(n: int = FPS * SECONDS) -> list[tuple[float, float]]:
    """An object that swings once a second: second-level boxes hardly move although it does."""
    t = np.arange(n) / FPS
    return list(zip(60 + 40 * np.sin(2 * np.pi * t * 0.9), 40 + 10 * t, strict=True))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> tuple[VideoInfo, np.ndarray]:
    path = tmp_path_factory.mktemp("fill") / "bounce.mp4"
    images, boxes = scene(bouncing())
    with FrameWriter(path, W, H, FPS) as out:
        for image in images:
            out.write(image)
    return probe(path), boxes


def second_level(info: VideoInfo, boxes: np.ndarray, spans: SpanSet, rate: float = 1.0) -> Tube:
    times = np.concatenate([second_level_times(s, rate, info.last_before(s.end)) for s in spans])
    return Tube(spans, times, boxes[info.shown(times)], rate)


def same(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(a, b)


# --- laws


@st.composite
def tubes(draw: st.DrawFn) -> Tube:
    """Boxes in a picture of 160 x 120 over up to four seconds, spans and absences anywhere."""
    edges = sorted(draw(st.lists(st.integers(0, 39), min_size=2, max_size=4, unique=True)))
    inside = SpanSet((a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=False))
    rate = draw(st.sampled_from([0.5, 1.0, 2.0, 4.0]))
    times = [t for s in inside for t in second_level_times(s, rate).tolist() if draw(st.integers(0, 5))]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    corner = rng.uniform(0, [W - 45, H - 45], (len(times), 2))
    return Tube(inside, times, np.concatenate([corner, corner + rng.uniform(5, 45, (len(times), 2))], 1), rate)


@law
@example(Tube(SpanSet([(1.4, 1.5)]), [1.4], [[10, 10, 40, 40]], 0.5), "linear", [21])
@given(tubes(), st.sampled_from(list(FILLS)), st.lists(st.integers(1, 59), max_size=3))
def test_laws_of_every_fill(clip: tuple, tube: Tube, method: str, cut_frames: list[int]) -> None:
    info, _ = clip
    cuts = sorted(info.times[cut_frames].tolist())
    times = np.concatenate([info.times, tube.times, [-1.0, 50.0]])
    boxes = fill_tube(tube, times, method, info, cuts)
    there = ~np.isnan(boxes).any(1)
    same(np.isnan(boxes).any(1), np.isnan(boxes).all(1))
    # There is no box outside the spans and in absences; elsewhere there is one, except in shots without a box.
    linear = tube.boxes_at(times)
    assert not there[np.isnan(linear[:, 0])].any()
    if not cuts:
        same(there, ~np.isnan(linear[:, 0]))
    # exact at the boxes' own times
    at = slice(len(info.times), len(info.times) + len(tube))
    same(boxes[at], tube.boxes)
    # boxes, and inside the picture
    b = boxes[there]
    assert (b[:, :2] < b[:, 2:]).all() and (b >= -1e-9).all() and (b <= np.array([W, H, W, H]) + 1e-9).all()
    # a shot's boxes know nothing of another shot's
    # a cut at a box's time begins the box's shot, also where one of the two was rounded
    shot, shot_of = (np.searchsorted(cuts, t + 1e-9, side="right") for t in (times, tube.times))
    for i in np.flatnonzero(there):
        own = tube.boxes[(shot_of == shot[i]) & (tube.span_of == tube.spans.index(times[i]))]
        assert len(own)
        if len(own) == 1:
            same(boxes[i], own[0])


@law
@given(tubes(), st.sampled_from(["linear", "pchip", "hold"]))
def test_filling_what_was_filled_changes_nothing(clip: tuple, tube: Tube, method: str) -> None:
    info, _ = clip
    times = np.union1d(info.times, tube.times)
    boxes = fill_tube(tube, times, method)
    there = ~np.isnan(boxes[:, 0])
    # the shortest step is a tick of the clock, the longest a frame: no absence may be read into the dense tube
    dense = Tube(tube.spans, times[there], boxes[there], rate=tube.rate)
    same(fill_tube(dense, times[there], method), boxes[there])


# --- the fills without pixels


def three() -> Tube:
    return Tube(SpanSet([(0, 3)]), [0, 1, 2], [[0, 0, 10, 10], [10, 0, 20, 10], [40, 0, 50, 10]])


def test_hold_steps_at_each_box():
    assert fill_tube(three(), [0, 0.99, 1, 1.99, 2, 2.9], "hold")[:, 0].tolist() == [0, 0, 10, 10, 40, 40]


def test_pchip_bends_without_overshoot():
    x = fill_tube(three(), np.linspace(0, 2, 41), "pchip")[:, 0]
    assert (np.diff(x) > 0).all() and x[0] == 0 and x[-1] == 40
    assert x[10] < 5  # slower at first, as the boxes say


def test_a_shot_without_a_box_gets_none():
    filled = fill_tube(three(), [0.2, 0.5, 0.8, 1.5, 2.5], cuts=[0.4, 0.6])
    assert filled[:, 0].tolist()[0::2] == [0, 10, 40] and np.isnan(filled[1]).all() and filled[3, 0] == 25


def test_unknown_fill_and_flow_without_a_video():
    with pytest.raises(SettingError, match="linear, pchip"):
        fill_tube(three(), [0], "cubic")
    with pytest.raises(SettingError, match="pixels"):
        fill_tube(three(), [0], "flow")


# --- flow


def test_flow_follows_what_second_level_boxes_do_not_show(clip):
    info, boxes = clip
    tube = second_level(info, boxes, SpanSet([(0, SECONDS)]))
    flow = box_iou(fill_tube(tube, info.times, "flow", info), boxes).mean()
    twice = second_level(info, boxes, SpanSet([(0, SECONDS)]), rate=2)
    assert flow > 0.93
    assert flow > box_iou(fill_tube(tube, info.times), boxes).mean() + 0.3
    assert flow > box_iou(fill_tube(twice, info.times), boxes).mean() + 0.1


def test_flow_gives_the_frame_shown_its_box_at_any_time_in_it(clip):
    info, boxes = clip
    tube = second_level(info, boxes, SpanSet([(0, SECONDS)]))
    on_frames = fill_tube(tube, info.times, "flow", info)
    later = fill_tube(tube, info.times[5:10] + 0.4 / FPS, "flow", info)
    np.testing.assert_allclose(later, on_frames[5:10], atol=1e-9)


def test_the_order_of_the_times_does_not_matter(clip):
    info, boxes = clip
    tube = second_level(info, boxes, SpanSet([(0.5, 3.5)]))
    mixed = np.random.default_rng(0).permutation(len(info.times))
    same(fill_tube(tube, info.times[mixed], "flow", info), fill_tube(tube, info.times, "flow", info)[mixed])


def test_flow_of_many_tubes_is_that_of_each(clip):
    info, boxes = clip
    whole = second_level(info, boxes, SpanSet([(0, SECONDS)]))
    parts = second_level(info, boxes, SpanSet([(0.3, 1.4), (2.1, 3.9)]), rate=2)
    wrong = whole.replace(boxes=whole.boxes[::-1], id="wrong")
    together = fill_tubes([whole, parts, wrong], info.times, "flow", info)
    for tube, filled in zip([whole, parts, wrong], together, strict=True):
        same(fill_tube(tube, info.times, "flow", info), filled)


def test_flow_does_not_track_what_hardly_moves(clip):
    info, boxes = clip
    still = Tube(SpanSet([(0, 4)]), range(4), np.tile(boxes[:1], (4, 1)) + np.arange(4)[:, None] * 0.2)
    same(fill_tube(still, info.times, "flow", info), fill_tube(still, info.times))


def test_flow_on_a_larger_picture_than_it_looks_at(tmp_path):
    n = 16
    images, boxes = scene([(20 + 16 * i + 60 * np.sin(i / 4), 150) for i in range(n)], (120, 90), 800, 448)
    with FrameWriter(tmp_path / "large.mp4", 800, 448, FPS) as out:
        for image in images:
            out.write(image)
    info = probe(tmp_path / "large.mp4")
    tube = Tube(SpanSet([(0, info.duration)]), info.times[[0, n - 1]], boxes[[0, n - 1]])
    filled = fill_tube(tube, info.times, "flow", info)
    assert box_iou(filled, boxes).min() > 0.9 and box_iou(fill_tube(tube, info.times), boxes).min() < 0.7


def test_a_box_that_enters_grows_as_the_thing_does():
    # In from the left: at first only a sliver is seen, and it moves unevenly.
    t = np.linspace(0, 1, 16)
    images, boxes = scene([(-32 + 110 * v**2, 40) for v in t])
    grey = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in images]
    filled = fill_gap(grey, t, boxes[0], boxes[-1])
    linear = (1 - t[:, None]) * boxes[0] + t[:, None] * boxes[-1]
    assert box_iou(filled, boxes).mean() > 0.85 > 0.6 > box_iou(linear, boxes).mean()
    out = fill_gap(grey[::-1], t, boxes[-1], boxes[0])[::-1]
    assert box_iou(out, boxes).mean() > 0.85


@pytest.mark.parametrize("level", [0, 128])
def test_flow_without_any_texture_is_the_straight_line(level):
    t = np.linspace(0, 1, 9)
    flat = [np.full((H, W), level, np.uint8)] * 9
    filled = fill_gap(flat, t, np.array([10.0, 10, 40, 40]), np.array([60.0, 30, 90, 60]))
    assert np.isfinite(filled).all()
    np.testing.assert_allclose(filled[4], [35, 20, 65, 50], atol=0.5)


def swinging(pan: float = 0.0) -> tuple[list[np.ndarray], np.ndarray]:
    """Grey pictures of an object that moves right while it stretches and shrinks, and its boxes."""
    n = 20
    ground = cv2.cvtColor(texture(H, 2 * W, 1, 60, 110), cv2.COLOR_RGB2GRAY)
    patch = cv2.cvtColor(texture(30, 80, 2, 150, 250), cv2.COLOR_RGB2GRAY)
    images, boxes = [], []
    for i in range(n):
        wide = round(24 + 16 * abs(np.sin(i / (n - 1) * 2 * np.pi)))
        x, y = 12 + 5 * i, 45
        image = ground[:, round(pan * i) :][:, :W].copy()
        image[y : y + 30, x - wide // 2 + 12 : x - wide // 2 + 12 + wide] = patch[:, 40 - wide // 2 :][:, :wide]
        images.append(image)
        boxes.append([x - wide // 2 + 12, y, x - wide // 2 + 12 + wide, y + 30])
    return images, np.array(boxes, float)


def camera(grey: list[np.ndarray]) -> np.ndarray:
    moving = CameraShift()
    return np.array([moving.step(g) for g in grey])


def test_the_camera_is_measured():
    grey, _ = swinging(pan=2.0)
    np.testing.assert_allclose(camera(grey)[-1], [-2 * (len(grey) - 1), 0], atol=1.5)
    assert not camera(swinging()[0]).any()


@pytest.mark.parametrize("pan", [0.0, 2.0])
def test_the_outline_follows_a_change_of_shape(pan):
    grey, boxes = swinging(pan)
    t = np.linspace(0, 1, len(grey))
    flow = fill_gap(grey, t, boxes[0], boxes[-1])
    both = fit_outline(grey, t, flow, camera(grey))
    assert box_iou(both, boxes).mean() > box_iou(flow, boxes).mean() + 0.05
    assert box_iou(both, boxes).mean() > 0.85
    same(both[[0, -1]], boxes[[0, -1]])


def test_the_outline_changes_nothing_where_it_cannot_be_checked():
    grey, boxes = swinging()
    t = np.linspace(0, 1, len(grey))
    # Half of what the boxes hold does not stand out: the measured object is not the one in the boxes.
    more = boxes.copy()
    more[:, 3] += 28
    flow = fill_gap(grey, t, more[0], more[-1])
    same(fit_outline(grey, t, flow, camera(grey)), flow)
    # An object that stays: the ground under it is never seen.
    still = np.tile(boxes[:1], (len(grey), 1))
    at_rest = np.zeros((len(grey), 2))
    np.testing.assert_allclose(fit_outline([grey[0]] * len(grey), t, still, at_rest), still, atol=1e-6)


def test_the_outline_uses_the_ground_seen_before_and_after():
    # A short gap in which the object hardly moves: the ground under it is seen only in the frames around.
    grey, boxes = swinging()
    shift = camera(grey)
    part = np.s_[6:13]
    t = np.linspace(0, 1, 7)
    flow = fill_gap(grey[part], t, *boxes[part][[0, -1]])
    rest = np.r_[0:6, 13 : len(grey)]
    others = ContextFrames([grey[i] for i in rest], boxes[rest], shift[rest])
    alone = fit_outline(grey[part], t, flow, shift[part])
    helped = fit_outline(grey[part], t, flow, shift[part], others)
    truth = boxes[part]
    assert box_iou(helped, truth).mean() > box_iou(alone, truth).mean() + 0.02


def test_flow_fill_with_boxes_over_the_border_and_tiny_ones(clip):
    info, _ = clip
    odd = Tube(SpanSet([(0, 4)]), range(4), [[0, 0, 2, 2], [0, 0, W, H], [W - 2, 10, W, 90], [0, 118, 90, H]])
    boxes = fill_tube(odd, info.times, "flow", info)
    assert (boxes[:, :2] < boxes[:, 2:]).all() and (boxes >= 0).all() and (boxes <= [W, H, W, H]).all()


def test_importing_whenwhere_loads_no_tracking(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, whenwhere; assert not {'cv2', 'av', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fill_is_added_by_one_line_of_the_table(monkeypatch):
    from whenwhere.settings import GroundingSettings

    def first(tubes, times, info, cuts):
        return [np.repeat(tube.boxes[:1], len(times), 0) for tube in tubes]

    monkeypatch.setitem(FILLS, "first", first)
    same(fill_tube(three(), [0, 1.5], GroundingSettings(fill="first").fill)[:, 0], np.zeros(2))
