"""The motion grounder on small painted clips: tracks, parts of tracks, objects at rest, `unsure`, cache, memory."""

import tracemalloc

import numpy as np
import pytest

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder, index
from whenwhere.grounders.motion.attributes import tracked_actors
from whenwhere.overlap import box_iou, t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.video import FrameWriter, probe

W, H, FPS = 192, 108, 12
RED, BLUE, GREEN, GREY, WHITE = (200, 30, 40), (40, 70, 190), (40, 150, 60), (120, 120, 122), (240, 240, 240)


def scenery(seed=0, width=W, height=H):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(90, 150, (height // 12 + 1, width // 12 + 1))
    texture = np.kron(coarse, np.ones((12, 12)))[:height, :width]
    return np.repeat(texture[..., None], 3, 2) * np.array([1.0, 0.97, 0.9])


def clip(path, seconds, things, light=None, seed=0, width=W, height=H):
    """Paints rectangles: things are (colour, function of time giving a box or None), later ones in front."""
    rng = np.random.default_rng(seed)
    empty = scenery(seed, width, height)
    with FrameWriter(path, width, height, FPS) as writer:
        for k in range(round(seconds * FPS)):
            t = k / FPS
            image = empty.copy()
            for colour, place in things:
                box = place(t)
                if box is not None:
                    x1, y1, x2, y2 = (round(v) for v in box)
                    image[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = colour
            if light is not None:
                image = image * light(t)
            writer.write((image + rng.normal(0, 1.5, image.shape)).clip(0, 255).astype(np.uint8))
    return probe(path)


def across(start, speed, y=40, size=(36, 20), left=True):
    """Enters at `start` seconds and crosses at `speed` pixels per second."""

    def place(t):
        if t < start:
            return None
        x = -size[0] + (t - start) * speed
        x = x if left else W - size[0] - x
        return (x, y, x + size[0], y + size[1]) if -size[0] < x < W else None

    return place


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """Red goes right from 1 s to about 4.8 s, blue goes left from 5 s to about 8.8 s."""
    path = tmp_path_factory.mktemp("motion") / "crossing.mp4"
    return clip(path, 10, [(RED, across(1, 60)), (BLUE, across(5, 60, y=60, left=False))])


def test_two_tracks_with_their_boxes(crossing):
    found = [a for a in tracked_actors(index.build_index(crossing)) if a.mass > 0.01]
    assert len(found) == 2
    red, blue = found
    assert t_iou(red.spans, SpanSet([(1, 4.8)])) > 0.85
    assert (red.entry[0], red.exit[0], blue.entry[0], blue.exit[0]) == ("left", "right", "right", "left")
    truth = across(1, 60)(3.0)
    assert box_iou(red.at(np.array([3.0]))[0], truth) > 0.75


@pytest.mark.parametrize(("query", "span"), [
    ("the red car", (1, 4.8)), ("a blue car drives from right to left", (5, 8.8)),
    ("the first car", (1, 4.8)), ("the last car", (5, 8.8)), ("the second vehicle", (5, 8.8)),
    ("the car that moves to the right", (1, 4.8)),
])  # fmt: skip
def test_which_one(crossing, query, span):
    found = MotionGrounder().ground(crossing, GroundingRequest(query))
    assert found.status == "answered"
    assert t_iou(found.spans, SpanSet([span])) > 0.8
    assert found.tubes[0].spans == found.spans
    assert found.tubes[0].boxes[:, [0, 2]].min() >= 0
    assert found.tubes[0].boxes[:, [0, 2]].max() <= W
    assert 0 <= found.confidence <= 1


def test_within_and_span(crossing):
    grounder = MotionGrounder()
    inside = grounder.ground(crossing, GroundingRequest("the car", within=Span(5, 10)))
    assert inside.spans.hull.start >= 5
    given = grounder.ground(crossing, GroundingRequest("the red car", span=Span(2, 4)))
    assert given.spans == SpanSet([(2, 4)])
    assert given.tubes[0].times[0] == 2


def test_nothing_moves_is_unsure(tmp_path):
    found = MotionGrounder().ground(clip(tmp_path / "still.mp4", 3, []), GroundingRequest("the red car"))
    assert (found.status, found.spans, found.candidates) == ("unsure", SpanSet(), [])
    assert found.warnings


def test_no_usable_word_is_unsure_with_candidates(crossing):
    found = MotionGrounder().ground(crossing, GroundingRequest("Barack gives his thoughts on inflation"))
    assert (found.status, len(found.spans), len(found.tubes)) == ("unsure", 0, 0)
    assert len(found.candidates) >= 2
    assert {"start", "end", "box", "score"} <= set(found.candidates[0])
    assert found.ranked


def test_light_changes_do_not_make_tracks(tmp_path):
    info = clip(tmp_path / "light.mp4", 8, [(RED, across(2, 60))], light=lambda t: 1 - 0.35 * (4 <= t < 6))
    found = [a for a in tracked_actors(index.build_index(info)) if a.area > 0.01]
    assert len(found) == 1
    assert found[0].area < 0.1


def test_stopping_and_leaving(tmp_path):
    def visitor(t):  # in from the left, stands from 3 to 7 s, back out to the left
        x = 30 * (t - 1) if t < 3 else (60 if t < 7 else 60 - 30 * (t - 7))
        return (x - 20, 30, x, 80) if 1 <= t < 10 and x > 0 else None

    info = clip(tmp_path / "visit.mp4", 12, [(RED, visitor)])
    grounder = MotionGrounder()
    for query, span in (
        ("the person stands still", (3, 7)), ("the person leaves the picture", (7, 9)),
        ("the person enters from the left", (1, 3)),
    ):  # fmt: skip
        found = grounder.ground(info, GroundingRequest(query))
        assert t_iou(found.spans, SpanSet([span])) > 0.6, query


def test_crossing_neighbours_keep_their_identity(tmp_path):
    """Two actors that pass in front of each other make one blob for a while; both tracks continue."""
    info = clip(
        tmp_path / "meet.mp4",
        7,
        [(RED, across(1, 45, y=30, size=(24, 40))), (BLUE, across(1, 45, y=36, size=(24, 40), left=False))],
    )
    grounder = MotionGrounder()
    for query, direction in (("the red one goes to the right", 1), ("the blue one goes to the left", -1)):
        found = grounder.ground(info, GroundingRequest(query))
        boxes = found.tubes[0].boxes
        assert t_iou(found.spans, SpanSet([(1, 5.8)])) > 0.7
        assert np.sign(boxes[-1, 0] - boxes[0, 0]) == direction


def hand(reach, withdraw, meet):
    """An arm from the right border that reaches the place at `meet` seconds."""

    def place(t):
        if not reach <= t < withdraw:
            return None
        share = (t - reach) / (meet - reach) if t < meet else (withdraw - t) / (withdraw - meet)
        return (W - share * 90, 50, W, 62)

    return place


def test_put_down_and_taken_away(tmp_path):
    down = clip(
        tmp_path / "down.mp4",
        12,
        [(BLUE, lambda t: (96, 40, 110, 64) if t >= 4 else None), ((200, 150, 120), hand(2.5, 5.5, 4))],
    )
    found = MotionGrounder().ground(down, GroundingRequest("the hand puts the blue bottle down"))
    assert t_iou(found.spans, SpanSet([(2.5, 5.5)])) > 0.4
    away = clip(
        tmp_path / "away.mp4",
        12,
        [(BLUE, lambda t: (96, 40, 110, 64) if t < 8 else None), ((200, 150, 120), hand(6.5, 9.5, 8))],
    )
    found = MotionGrounder().ground(away, GroundingRequest("the blue bottle is taken away"))
    assert t_iou(found.spans, SpanSet([(6.5, 9.5)])) > 0.4
    assert box_iou(found.tubes[0].boxes[0], (96, 40, 110, 64)) > 0.4


def test_who_was_part_of_the_background_is_followed_back(tmp_path):
    """An actor that stands for most of the clip and then walks off was there from the beginning."""

    def sitter(t):
        x = 60 if t < 8 else 60 + 60 * (t - 8)
        return (x, 30, x + 20, 80) if x < W else None

    info = clip(tmp_path / "sitter.mp4", 12, [(RED, sitter)])
    found = MotionGrounder().ground(info, GroundingRequest("the person in red"))
    assert t_iou(found.spans, SpanSet([(0, 10.2)])) > 0.8


def test_cache_gives_the_same_answer_and_decodes_nothing(crossing, tmp_path):
    cache = Cache(tmp_path / "cache")
    first = MotionGrounder(cache).ground(crossing, GroundingRequest("the red car"))
    again = MotionGrounder(cache).ground(crossing, GroundingRequest("the red car"))
    assert first.frames_decoded > 0
    assert again.frames_decoded == 0
    assert again.spans == first.spans
    np.testing.assert_array_equal(again.tubes[0].boxes, first.tubes[0].boxes)


def test_memory_does_not_grow_with_the_video(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "WINDOW", 60)
    peaks = []
    for seconds in (12, 28):
        info = clip(tmp_path / f"{seconds}.mp4", seconds, [(RED, lambda t: across(0, 60)(t % 5))], width=96, height=64)
        tracemalloc.start()
        index.build_index(info)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_tracks_go_on_over_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "WINDOW", 40)
    info = clip(tmp_path / "windows.mp4", 12, [(RED, across(1, 18))])
    found = [a for a in tracked_actors(index.build_index(info)) if a.mass > 0.02]
    assert len(found) == 1
    assert t_iou(found[0].spans, SpanSet([(1, 12)])) > 0.8


def test_a_cut_divides(tmp_path):
    path = tmp_path / "cut.mp4"
    first, second = scenery(1), scenery(2)[:, ::-1] * 0.6 + 90
    with FrameWriter(path, W, H, FPS) as writer:
        for k in range(8 * FPS):
            image = (first if k < 4 * FPS else second).copy()
            x = (k % (4 * FPS)) / FPS * 40
            image[40:60, round(x) : round(x) + 30] = RED
            writer.write(image.clip(0, 255).astype(np.uint8))
    made = index.build_index(probe(path))
    assert np.allclose(made.cuts, [4.0], atol=0.2)
