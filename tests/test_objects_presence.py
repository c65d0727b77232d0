"""What the object grounder makes of missed detections, of second boxes, of missing things, and of coloured things."""

from dataclasses import replace

import numpy as np
import pytest

from tests.test_objects_grounder import LABELS, PaintedDetector, clip
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion.attributes import tracked_actor
from whenwhere.grounders.motion.colours import COLOURS
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.motion.stationary_tracks import TrackRows
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.grounders.objects.coloured import coloured_regions
from whenwhere.grounders.objects.confidence import ClassEvidence
from whenwhere.grounders.objects.labels import wanted_classes
from whenwhere.grounders.objects.presence import stay, without_doubles
from whenwhere.grounders.objects.ranking import ObjectScorer
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.overlap import t_iou
from whenwhere.spans import SpanSet
from whenwhere.store import Cache


class Frame:
    duration, step, width, height = 10.0, 0.25, 200, 100


def actor(box, start, end, label="dog", score=0.8, speed=0.0):
    """An actor that is seen four times a second, in a box that moves to the right."""
    times = np.arange(start, end + 1e-9, 0.25)
    boxes = np.array(box, float) + np.outer(times - start, [speed, 0, speed, 0])
    n = len(times)
    rows = TrackRows(
        id=0, times=times, boxes=boxes, areas=np.full(n, 0.05), strong=np.full(n, score), shared=np.zeros(n, bool),
        colours=np.full((n, 5, 13), 1 / 11, np.float32),
    )  # fmt: skip
    return tracked_actor(Frame(), rows, np.zeros((n, 2)), np.eye(len(LABELS), dtype=np.float32)[LABELS.index(label)])


def only(spans):
    (span,) = spans
    return pytest.approx(span.start, abs=0.2), pytest.approx(span.end, abs=0.2)


def test_what_stands_still_within_the_picture_was_there_before_and_stays():
    assert only(stay(actor((80, 40, 120, 70), 3, 6), 10.0, np.zeros(0), still=True)) == (0, 10)
    # a cut explains the end
    assert only(stay(actor((80, 40, 120, 70), 3, 6), 10.0, np.array([2.0, 7.0]), still=True)) == (2, 7)


@pytest.mark.parametrize(("box", "speed", "still"), [
    ((160, 40, 200, 70), 0.0, True),  # at the border
    ((20, 40, 60, 70), 45.0, True),  # on its way
    ((80, 40, 120, 70), 0.0, False),  # before a moving camera, and seen for less time than it was not seen
])  # fmt: skip
def test_other_stays_are_not_made_longer(box, speed, still):
    thing = actor(box, 3.5, 5.5, speed=speed)
    start, end = only(stay(thing, 10.0, np.zeros(0), still=still))
    assert (start, end) == (thing.span.start, thing.span.end)


def test_second_boxes_of_a_thing_are_left_out():
    dog, around = actor((80, 40, 120, 70), 0, 9), actor((78, 20, 124, 72), 2, 8, score=0.3)
    beside, other = actor((130, 40, 170, 70), 0, 9), actor((80, 40, 120, 70), 0, 9, label="bottle")
    assert without_doubles([dog, around, beside, other]) == [dog, beside, other]


@pytest.mark.parametrize(("words", "best", "named"), [
    ("the teddy bear", "teddy bear", True), ("a brown bear", "bear", True), ("the toy car", "car", False),
    ("the potted plant", "potted plant", True), ("a hot dog", "hot dog", True), ("a dog", "dog", True),
])  # fmt: skip
def test_the_word_before_a_noun_may_make_it_another_class(words, best, named):
    labels = ("bear", "teddy bear", "car", "potted plant", "dog", "hot dog")
    r = read_query(words)
    wanted = wanted_classes(r.noun, r.kind, labels, r.modifier)
    assert labels[int(wanted.weights.argmax())] == best and wanted.named == named
    assert wanted.weights.sum() < 1.5 or best in ("dog", "bear", "car")


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A person (blue) stands in a room in which a green bottle lies for the first half."""
    path = tmp_path_factory.mktemp("room") / "room.mp4"
    things = [
        ("person", lambda t: (60, 20, 84, 90)),
        ("bottle", lambda t: (130, 70, 150, 84) if t < 2 else None),
    ]
    return clip(path, 4, things)


@pytest.fixture(scope="module")
def grounder():
    detector = PaintedDetector()
    return ObjectGrounder(lambda: detector, Cache(enabled=False))


@pytest.mark.parametrize("query", ["the woman pets the dog", "a man beside a cat", "a car stops"])
def test_what_the_detector_seldom_misses_is_absent_if_it_was_never_seen(room, grounder, query):
    found = grounder.ground(room, GroundingRequest(query))
    assert found.status == "absent" and not found.spans


def test_small_things_are_never_called_absent(room):
    class OnlyPeople(PaintedDetector):
        fingerprint = "painted-2"

        def detect(self, frames, threshold=0.1):
            found = super().detect(frames, threshold)
            keep = [d.classes.argmax(1) == 0 for d in found]
            return [ClassDetections(d.boxes[k], d.scores[k], d.classes[k]) for d, k in zip(found, keep, strict=True)]

    detector = OnlyPeople()
    grounder = ObjectGrounder(lambda: detector, Cache(enabled=False))
    assert grounder.ground(room, GroundingRequest("the bottle")).status != "absent"


def test_few_or_tiny_pictures_show_no_absence(room, grounder, tmp_path):
    index, scorer = grounder.observe(room)[0], ObjectScorer(tuple(LABELS))

    def absence(**changes):
        return ClassEvidence(replace(index, **changes), scorer).absence

    assert absence(frames=100, width=640, height=360) == pytest.approx(0.8, abs=0.01)
    assert absence(frames=1) < 0.08 and absence(frames=8, width=640, height=360) < 0.5
    assert absence(frames=100, width=16, height=16) < 0.02
    found = grounder.ground(clip(tmp_path / "brief.mp4", 0.1, []), GroundingRequest("a dog"))
    assert (found.status, found.confidence) == ("unsure", pytest.approx(0.05, abs=0.05))


def test_a_coloured_thing_without_a_class_is_found_by_its_colour(room, grounder):
    found = grounder.ground(room, GroundingRequest("the green lid"))
    assert found.status == "answered" and t_iou(found.spans, SpanSet([(0, 2)])) >= 0.5
    x1, _, _, y2 = found.tubes[0].boxes[0]
    assert abs(x1 - 130) < 8 and abs(y2 - 84) < 8
    assert found.confidence <= 0.4  # whether it is a lid is not known
    assert grounder.ground(room, GroundingRequest("the yellow lid")).status == "unsure"


def test_a_picture_of_one_colour_has_no_regions():
    found = coloured_regions(np.zeros((60, 80, 3), np.uint8))
    assert len(found.boxes) == 0 and found.colours.shape == (0, 5, 13) and found.classes.shape == (0, len(COLOURS))


def test_the_pass_for_coloured_regions_is_counted_once(room):
    detector = PaintedDetector()
    grounder = ObjectGrounder(lambda: detector, Cache(enabled=False))
    first = grounder.ground(room, GroundingRequest("the woman")).frames_decoded
    second = grounder.ground(room, GroundingRequest("the green lid")).frames_decoded
    assert first > 0 and second > 0
    assert grounder.ground(room, GroundingRequest("the red lid")).frames_decoded == 0


def test_regions_are_compact_and_do_not_lie_behind_everything():
    picture = np.full((90, 160, 3), (60, 120, 220), np.uint8)  # a blue sky
    picture[40:60, 50:80] = (220, 30, 30)
    found = coloured_regions(picture)
    assert [COLOURS[k] for k in found.classes.argmax(1)] == ["red"]
    assert np.abs(found.boxes[0] - [50, 40, 80, 60]).max() <= 2


def test_the_head_of_the_first_noun_phrase_is_asked_for_even_if_it_is_unknown():
    r = read_query("the orange feathers on the bird's head")
    assert (r.noun, r.kind, r.colours) == ("feathers", None, [("orange", "whole")])
    assert read_query("the white tip of the dog's tail").noun == "tip"
    assert read_query("the man on the horse").noun == "man"
    assert read_query("the batter swings the bat").noun == "batter"


def test_an_action_that_was_not_understood_is_never_a_sure_answer(room, grounder):
    plain = grounder.ground(room, GroundingRequest("the woman"))
    sneezes = grounder.ground(room, GroundingRequest("the woman sneezes"))
    assert plain.confidence > 0.5 and sneezes.confidence <= 0.25
    assert sneezes.reading and any("sneezes" in doubt for doubt in sneezes.reading["doubts"])


def test_a_recognised_thing_that_never_moves_is_preferred_to_unknown_ones(tmp_path, grounder):
    # The green bottle stands still all the time, as the blue person and the scenery do.
    things = [("bottle", lambda t: (130, 60, 150, 84)), ("person", lambda t: (30, 20, 60, 90))]
    found = grounder.ground(clip(tmp_path / "still.mp4", 3, things), GroundingRequest("the bottle"))
    assert found.status == "answered" and t_iou(found.spans, SpanSet([(0, 3)])) > 0.9
    assert np.abs(found.tubes[0].boxes[0] - [130, 60, 150, 84]).max() < 6
