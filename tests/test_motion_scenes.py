"""The motion grounder on painted scenes that it once got wrong: fidgeting, coming back, things that never move."""

import numpy as np
import pytest

from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder
from whenwhere.grounders.motion.candidates import ObservedScene
from whenwhere.grounders.motion.object_candidates import object_candidates
from whenwhere.grounders.motion.reading import read_query
from whenwhere.overlap import box_iou, t_iou
from whenwhere.spans import SpanSet
from whenwhere.video import FrameWriter, probe

W, H, FPS = 192, 108, 12
RED, BLUE, SKIN, GREEN = (200, 30, 40), (40, 70, 190), (200, 150, 120), (40, 150, 60)


def clip(path, seconds, draw):
    """A floor with texture; `draw(image, t)` paints on it."""
    rng = np.random.default_rng(3)
    floor = np.kron(rng.uniform(100, 140, (H // 12 + 1, W // 12 + 1)), np.ones((12, 12)))[:H, :W, None]
    with FrameWriter(path, W, H, FPS) as writer:
        for k in range(round(seconds * FPS)):
            image = np.repeat(floor, 3, 2)
            draw(image, k / FPS)
            writer.write((image + rng.normal(0, 1.5, image.shape)).clip(0, 255).astype(np.uint8))
    return probe(path)


def fill(image, box, colour):
    x1, y1, x2, y2 = (max(0, round(v)) for v in box)
    image[y1:y2, x1:x2] = colour


def person(image, x, top=RED, bottom=BLUE):
    if -20 < x < W:
        fill(image, (x + 6, 24, x + 14, 32), SKIN)
        fill(image, (x, 32, x + 20, 56), top)
        fill(image, (x + 3, 56, x + 17, 88), bottom)


def test_a_stand_with_a_fidget_in_it_is_one_stand(tmp_path):
    def draw(image, t):
        x = -20 + 35 * t if t < 3 else (85 if not 4.6 < t < 5.1 else 85 + 8 * (t - 4.6))
        x = x if t < 5.1 else (89 if t < 7 else 89 + 35 * (t - 7))
        person(image, x)

    found = MotionGrounder().ground(
        clip(tmp_path / "stand.mp4", 11, draw), GroundingRequest("the person in a red shirt stands still")
    )
    assert t_iou(SpanSet(found.ranked[:1]), SpanSet([(3, 7)])) > 0.85


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Red over blue is there from 1 to 4.4 s, leaves to the right, comes back at 6.5 s and stays; a green box lies."""

    def draw(image, t):
        fill(image, (20, 90, 40, 102), GREEN)
        person(image, -20 + 62 * (t - 1) if t < 5 else W - 40 * (min(t, 8.5) - 6.5))

    return clip(tmp_path_factory.mktemp("scenes") / "twice.mp4", 11, draw)


def test_who_comes_back_is_one_with_two_visits(twice):
    found = MotionGrounder().ground(twice, GroundingRequest("the man in a red shirt"))
    assert len(found.spans) == 2
    assert t_iou(found.spans, SpanSet([(1, 4.5), (6.5, 11)])) > 0.85


def test_coming_back_begins_with_the_second_visit(twice):
    found = MotionGrounder().ground(twice, GroundingRequest("the man comes back"))
    assert t_iou(SpanSet(found.ranked[:1]), SpanSet([(6.5, 8.5)])) > 0.7


def test_a_thing_that_never_moves_is_found_by_its_colour(twice):
    found = MotionGrounder().ground(twice, GroundingRequest("the green box is on the floor"))
    assert found.spans == SpanSet([(0, twice.duration)])
    assert box_iou(found.tubes[0].boxes[0], np.array([20, 90, 40, 102])) > 0.7


def test_a_way_back_ends_where_it_turns_again(tmp_path):
    def draw(image, t):  # to the right until 3 s, to the left until 6 s, to the right again
        x = 10 + 40 * t if t < 3 else (130 - 40 * (t - 3) if t < 6 else 10 + 40 * (t - 6))
        person(image, x)

    found = MotionGrounder().ground(
        clip(tmp_path / "back.mp4", 9, draw), GroundingRequest("the man turns round and walks back")
    )
    assert any(t_iou(SpanSet([s]), SpanSet([(3, 6)])) > 0.8 for s in found.ranked[:2])


@pytest.mark.parametrize("sentence", ["the box on the {} is picked up", "the box on the {}"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_tells_objects_apart(sentence, side):
    places = {"left": [20.0, 80, 60, 120], "right": [250.0, 80, 290, 120]}
    ends = {"left": 3.0, "right": 6.0}
    # the columns are those of object_changes.COLUMNS
    changes = np.array([[0.0, ends[name], *places[name], 0.03, 0, 0, 1, 8.0, 0] for name in places])
    scene = ObservedScene(
        actors=[], changes=changes, change_colours=np.full((2, 13), 1 / 11, np.float32), duration=10.0, width=320,
        height=180, cuts=np.zeros(0), static=np.zeros((0, 6)), static_colours=np.zeros((0, 13), np.float32),
    )  # fmt: skip
    made = object_candidates(read_query(sentence.format(side)), scene)
    best = max(made, key=lambda c: sum(c.terms.values()))
    assert best.place is not None and best.place.tolist() == places[side]
    assert best.terms["side"] > 0.5
