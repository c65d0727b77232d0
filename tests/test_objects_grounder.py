"""The object grounder on small painted clips, with a detector that recognises painted things by their colour."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from whenwhere.errors import SettingError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion.attributes import tracked_actor
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.motion.stationary_tracks import TrackRows
from whenwhere.grounders.named import check_grounder, find_grounder, resolve_auto
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.grounders.objects.index import build_object_index
from whenwhere.grounders.objects.labels import wanted_classes
from whenwhere.grounders.objects.ranking import ObjectScorer
from whenwhere.grounders.objects.relations import time_together
from whenwhere.grounders.objects.tracks import FrameDetections, ObjectTracker
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.overlap import t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.store import Cache
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter, probe

W, H, FPS = 192, 108, 8
LABELS = ("person", "dog", "cat", "bottle", "car")
#: Hue (OpenCV's, 0-180) at which a painted thing is of a class.
HUES = {"person": 120, "dog": 10, "bottle": 60}
COLOURS = {"person": (40, 60, 200), "dog": (220, 110, 30), "bottle": (40, 200, 50)}


class PaintedDetector:
    """Finds saturated regions; the class follows from the hue, with a little doubt."""

    name, labels, licence, source, batch, device, fingerprint = "painted", LABELS, "", "", 4, "cpu", "painted-1"

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, frames, threshold=0.1):
        self.seen += len(frames)
        out = []
        for frame in frames:
            hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
            boxes, classes = [], []
            for label, hue in HUES.items():
                mask = ((abs(hsv[..., 0].astype(int) - hue) < 12) & (hsv[..., 1] > 110) & (hsv[..., 2] > 80)).astype(
                    "u1"
                )
                count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.medianBlur(mask, 3))
                for x, y, w, h, area in stats[1:count]:
                    if area > 40:
                        boxes.append([x, y, x + w, y + h])
                        classes.append(np.where(np.array(LABELS) == label, 0.8, 0.05))
            n = len(boxes)
            out.append(ClassDetections(np.array(boxes, float).reshape(n, 4), np.full(n, 0.8),
                                       np.array(classes).reshape(n, len(LABELS))))  # fmt: skip
        return out


def clip(path, seconds, things, pan=lambda t: 0.0):
    """Paints things (label, function of time giving a box in the scene or None) before a scenery that the camera pans.

    The scenery is grey blocks, `pan` says where the camera is, in pixels to the right.
    """
    rng = np.random.default_rng(0)
    wide = np.kron(rng.uniform(60, 190, (H // 6, 120)), np.ones((6, 6)))
    with FrameWriter(path, W, H, FPS) as writer:
        for k in range(round(seconds * FPS)):
            t = k / FPS
            left = round(pan(t)) + 60
            image = np.repeat(wide[:H, left : left + W, None], 3, 2)
            for label, place in things:
                box = place(t)
                if box is not None:
                    x1, y1, x2, y2 = (round(v) for v in np.array(box) - [pan(t), 0, pan(t), 0])
                    image[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = COLOURS[label]
            writer.write(image.clip(0, 255).astype(np.uint8))
    return probe(path)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The camera pans over a still person; a dog comes from the right at 2 s and is gone at 5 s."""
    path = tmp_path_factory.mktemp("objects") / "pan.mp4"
    person = lambda t: (60, 20, 84, 90)  # noqa: E731
    dog = lambda t: (260 - 60 * (t - 1), 70, 290 - 60 * (t - 1), 90) if 1 <= t < 5 else None  # noqa: E731
    return clip(path, 7, [("person", person), ("dog", dog)], pan=lambda t: 6 * t)


@pytest.fixture(scope="module")
def grounder():
    detector = PaintedDetector()
    return ObjectGrounder(lambda: detector, Cache(enabled=False))


def test_presence_on_a_moving_camera_has_time_and_boxes(scene, grounder):
    found = grounder.ground(scene, GroundingRequest("the woman"))
    assert found.status == "answered"
    times = np.arange(0.5, 7)
    boxes = np.array([(60 - 6 * t, 20, 84 - 6 * t, 90) for t in times])
    assert v_iou(found.tubes[0], Tube(SpanSet([(0, 7)]), times, boxes, rate=1)) > 0.75
    puppy = grounder.ground(scene, GroundingRequest("a puppy"))
    assert puppy.status == "answered" and t_iou(puppy.spans, SpanSet([(2.2, 5)])) > 0.7


def test_absent_only_if_the_detector_has_the_class(scene, grounder):
    assert grounder.ground(scene, GroundingRequest("a cat hops by")).status == "absent"
    unknown = grounder.ground(scene, GroundingRequest("the wombat"))
    assert unknown.status == "unsure" and unknown.candidates


def test_the_camera_is_taken_out_of_the_motion(scene, grounder):
    index, _, actors, _ = grounder.observe(scene)
    assert index.moving > 0.8
    person = max(actors, key=lambda a: a.span.duration)
    assert abs(person.shift[0]) < 0.04 and abs(person.centre[-1, 0] - person.centre[0, 0]) > 0.15
    assert person.still.mean() > 0.8


def test_an_index_is_reused_and_equal(scene, tmp_path):
    detector = PaintedDetector()
    first = ObjectGrounder(lambda: detector, Cache(tmp_path)).ground(scene, GroundingRequest("the dog"))
    asked = detector.seen
    second = ObjectGrounder(lambda: detector, Cache(tmp_path)).ground(scene, GroundingRequest("the dog"))
    assert asked > 0 and detector.seen == asked and second.frames_decoded == 0
    assert second.spans == first.spans and second.confidence == first.confidence


def test_a_still_picture_is_not_detected_again(tmp_path):
    info = clip(tmp_path / "still.mp4", 6, [("bottle", lambda t: (90, 40, 104, 80))])
    detector = PaintedDetector()
    index = build_object_index(info, detector)
    assert index.frames == 24 and detector.seen <= 5
    assert len(index.classes) == 1 and (index.track == 0).sum() == 24


def frame(*boxes, score=0.8, label=1):
    """Detections of one class at some boxes."""
    n = len(boxes)
    classes = np.tile(np.where(np.arange(len(LABELS)) == label, 0.8, 0.05), (n, 1)).astype(np.float32)
    colours = np.full((n, 5, 13), 1 / 13, np.float32)
    return FrameDetections(np.array(boxes, float).reshape(n, 4), np.full(n, score), classes, colours)


def test_weak_detections_continue_tracks_and_do_not_begin_them():
    tracker = ObjectTracker()
    for k in range(6):
        strong = k in (0, 5)
        tracker.add(k / 4, frame((10 + 4 * k, 10, 40 + 4 * k, 60), score=0.7 if strong else 0.2))
    for k in range(6, 9):
        tracker.add(k / 4, frame((100, 100, 140, 140), score=0.2))
    tracks = tracker.finish()
    assert len(tracks) == 1 and len(tracks[0].times) == 6


def test_a_short_gap_is_closed_and_a_cut_is_not():
    for cut in (False, True):
        tracker = ObjectTracker()
        for k in (0, 1, 2, 9, 10, 11):
            if cut and k == 9:
                tracker.cut()
            tracker.add(k / 4, frame((10, 10, 40, 60)))
        assert len(tracker.finish()) == (2 if cut else 1)


def test_two_that_pass_keep_their_tracks():
    tracker = ObjectTracker()
    for k in range(20):
        a, b = (10 * k, 10, 10 * k + 30, 60), (200 - 10 * k, 30, 230 - 10 * k, 80)
        found = frame(a, b)
        found.classes[1] = np.roll(found.classes[1], 1)
        tracker.add(k / 4, found)
    tracks = tracker.finish()
    assert len(tracks) == 2
    assert all(abs(t.boxes[-1][0] - t.boxes[0][0]) > 150 for t in tracks)


@pytest.mark.parametrize(("noun", "kind", "best", "named"), [
    ("kitten", "animal", "cat", True), ("bloke", "person", "person", True), ("jug", "object", "bottle", False),
    ("saloon", "vehicle", "car", True), ("wombat", None, None, False), ("vehicle", "vehicle", "car", True),
])  # fmt: skip
def test_nouns_become_classes(noun, kind, best, named):
    wanted = wanted_classes(noun, kind, LABELS)
    assert wanted.named == named
    assert (LABELS[int(wanted.weights.argmax())] if wanted.known else None) == best


def test_names():
    assert find_grounder("objects") and find_grounder("objects:some/net.pb") and not find_grounder("motion:x")
    with pytest.raises(SettingError, match="no detector"):
        check_grounder("objects:psychic")


def test_auto_is_the_best_grounder_at_hand(monkeypatch):
    monkeypatch.delenv("WHENWHERE_MODEL")
    for installed, name in ((True, "objects"), (False, "motion")):
        monkeypatch.setattr("whenwhere.models.detectors.package.is_installed", lambda there=installed: there)
        assert resolve_auto("auto") == name
    assert resolve_auto("encoder:x") == "encoder:x"
    monkeypatch.setenv("WHENWHERE_MODEL", "http://somewhere:8000/v1#paid")
    with pytest.raises(SettingError, match="no built-in model"):
        resolve_auto("auto")


def test_together_and_the_ends_of_it(scene, grounder):
    _, _, actors, _ = grounder.observe(scene)
    person, dog = sorted(actors, key=lambda a: -a.span.duration)[:2]
    runs = time_together(person, actors, "beside").runs
    assert len(runs) == 1 and 2 < runs[0][0] < 4.2 and runs[0][1] <= dog.span.end + 0.5
    assert not time_together(person, [person], "").runs


def test_a_weakly_seen_event_is_answered_with_the_stay_and_less_surely(scene, grounder):
    plain = grounder.ground(scene, GroundingRequest("the dog"))
    leaps = grounder.ground(scene, GroundingRequest("the dog leaps"))
    assert leaps.confidence < plain.confidence
    assert not leaps.spans or t_iou(leaps.spans, plain.spans) > 0.5


def test_an_empty_scene_lacks_what_the_detector_knows(tmp_path, grounder):
    info = clip(tmp_path / "empty.mp4", 3, [])
    assert grounder.ground(info, GroundingRequest("a dog")).status == "absent"
    unknown = grounder.ground(info, GroundingRequest("a quokka"))
    assert unknown.status == "unsure" and any("recognised" in w for w in unknown.warnings)


def test_out_from_behind_is_an_arrival():
    assert read_query("a woman comes out from behind the tree").events == ["enter"]
    assert read_query("a woman comes out of the house").events == ["leave"]
    assert read_query("the boy drinks from a cup").noun == "boy"
    assert read_query("the cup on the small table").companions == [("on", "table", "object")]


def test_what_drives_is_no_phone():
    """A blob that crosses the picture is judged by the classes of things that move, and by its shape."""
    labels = ("person", "car", "cell phone")
    scorer = ObjectScorer(labels)
    times = np.arange(0, 4, 0.25)
    boxes = np.stack([40 * times, 0 * times + 40, 40 * times + 40, 0 * times + 60], 1)
    rows = TrackRows(0, times, boxes, np.full(16, 0.04), np.full(16, 0.6, np.float32), np.zeros(16, bool),
                     np.full((16, 5, 13), 1 / 13, np.float32))  # fmt: skip
    classes = np.array([0.0, 0.1, 0.9], np.float32)
    size = SimpleNamespace(duration=6.0, step=0.25, width=W, height=H)
    driving = tracked_actor(size, rows, classes=classes)
    lying = tracked_actor(size, replace(rows, boxes=np.tile(boxes[:1], (16, 1))), classes=classes)
    car = read_query("a car")
    assert scorer.class_terms(car, [driving])[0] > scorer.class_terms(car, [lying])[0] + 0.5
