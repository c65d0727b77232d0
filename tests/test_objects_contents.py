"""What a classifier of pictures adds to a detector: things without a class, animals that were missed, and when."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_objects_grounder import LABELS, PaintedDetector
from tests.test_objects_presence import actor
from whenwhere.errors import ModelError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion.attributes import PICTURED
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.objects import ObjectGrounder, contents, grounder
from whenwhere.grounders.objects.confidence import ClassEvidence
from whenwhere.grounders.objects.contents import WINDOWS, pictured_actors
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.grounders.objects.labels import agents_among
from whenwhere.grounders.objects.pictured_nouns import classes_of
from whenwhere.grounders.objects.ranking import ObjectScorer
from whenwhere.models import classifier as classifying
from whenwhere.models.classifier import open_classifier
from whenwhere.models.detectors import package
from whenwhere.overlap import t_iou
from whenwhere.spans import SpanSet
from whenwhere.store import Cache
from whenwhere.video import FrameWriter, VideoInfo, probe

W, H, FPS = 320, 180, 8


def web() -> np.ndarray:
    """A spider web."""
    picture = np.full((H, W, 3), 20, np.uint8)
    turns = np.arange(12) * np.pi / 6
    rays = np.stack([np.cos(turns), np.sin(turns)], 1)
    for ray in rays:
        cv2.line(picture, (W // 2, H // 2), tuple(int(v) for v in (W // 2, H // 2) + 200 * ray), (220,) * 3, 1)
    for radius in range(10, 110, 9):
        cv2.polylines(picture, [((W // 2, H // 2) + radius * rays).astype(int)], True, (220, 220, 220), 1)
    return picture


def crossword() -> np.ndarray:
    """A crossword puzzle."""
    cells = np.where(np.random.default_rng(0).random((9, 16)) < 0.3, 20, 245).astype(np.uint8)
    picture = np.kron(cells, np.ones((20, 20), np.uint8))[:, :, None].repeat(3, 2)
    picture[::20] = picture[:, ::20] = 60
    return np.ascontiguousarray(picture)


def shown(path: Path, parts: list[tuple[float, np.ndarray]]) -> VideoInfo:
    """A video of still pictures, each for so many seconds."""
    with FrameWriter(path, W, H, FPS) as writer:
        for seconds, picture in parts:
            for _ in range(round(seconds * FPS)):
                writer.write(picture)
    return probe(path)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> VideoInfo:
    """A web for four seconds, a crossword for four, and a web again."""
    return shown(tmp_path_factory.mktemp("pages") / "pages.mp4", [(4, web()), (4, crossword()), (3, web())])


def test_the_network_names_what_is_painted() -> None:
    network = open_classifier()
    assert network is not None and len(network.names) == 1000
    for picture, name in ((web(), "spider web"), (crossword(), "crossword puzzle")):
        found = network.classify(picture)
        assert found.shape == (1000,) and abs(float(found.sum()) - 1) < 0.15
        assert network.names[int(found.argmax())][0] == name and found.max() > 0.5


def test_a_damaged_network_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifying, "FILES", {classifying.NETWORK: "0" * 64})
    with pytest.raises(ModelError, match=rf"{classifying.NETWORK} of the package {package.PACKAGE} is damaged"):
        open_classifier.__wrapped__()
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_classifier.__wrapped__() is None


@pytest.mark.parametrize(("noun", "modifier", "some", "none"), [
    ("dogs", "", "chihuahua", "hotdog"), ("pan", "frying", "frying pan", "saucepan"),
    ("guitar", "", "electric guitar", "banjo"),
    ("monkey", "", "macaque", "tabby"), ("lion", "", "lion", "sea lion"), ("cat", "", "tabby", "lesser panda"),
    ("plane", "", "airliner", "plane"),
])  # fmt: skip
def test_nouns_mean_classes_of_pictures(noun: str, modifier: str, some: str, none: str) -> None:
    network = open_classifier()
    assert network is not None
    found = {network.names[i][0] for i in classes_of(noun, modifier, network.names)}
    assert some in found and none not in found
    assert not len(classes_of("happiness", "", network.names)) and not len(classes_of("", "", network.names))


@pytest.mark.parametrize(("sentence", "spans"), [
    ("a spider web", [(0, 4), (8, 11)]), ("a crossword puzzle", [(4, 8)]), ("the crossword", [(4, 8)]),
])  # fmt: skip
def test_what_has_no_class_is_answered_by_what_the_pictures_show(
    pages: VideoInfo, tmp_path: Path, sentence: str, spans: list[tuple[float, float]]
) -> None:
    asking = ObjectGrounder(PaintedDetector, Cache(tmp_path))
    found = asking.ground(pages, GroundingRequest(sentence))
    assert found.status == "answered" and found.confidence <= 0.7
    assert t_iou(found.spans, SpanSet(spans)) > 0.8
    box = found.tubes[0].boxes_at(np.array([spans[0][0] + 1.0]))[0]
    assert (box >= 0).all() and (box <= [W, H, W, H]).all()
    again = ObjectGrounder(PaintedDetector, Cache(tmp_path)).ground(pages, GroundingRequest(sentence))
    assert again.spans == found.spans and again.confidence == found.confidence and again.frames_decoded == 0


def test_without_the_network_such_a_thing_is_no_sure_answer(
    pages: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounder, "open_classifier", lambda: None)
    found = ObjectGrounder(PaintedDetector, Cache(tmp_path)).ground(pages, GroundingRequest("a crossword puzzle"))
    assert found.status == "unsure"


def test_what_is_only_sometimes_there_is_found_by_what_stands_out() -> None:
    """A pan that the network takes for a wok or a spoon most of the time is likelier than when it is away."""
    faint = seen([0.0] * 8 + [0.04, 0.1, 0.09, 0.1] + [0.0] * 8)
    (part,) = pictured_actors(faint, np.array([7]), index(), [])
    assert part.id == PICTURED and (part.span.start, part.span.end) == (
        pytest.approx(4, abs=0.3),
        pytest.approx(6, abs=0.3),
    )
    assert not pictured_actors(seen([0.03] * 8 + [0.1] * 4 + [0.06] * 8), np.array([7]), index(), [])
    # once in one picture is no evidence
    assert not pictured_actors(seen([0.0] * 8 + [0.9] + [0.0] * 11), np.array([7]), index(), [])


def test_the_place_is_what_likely_windows_have_in_common() -> None:
    chances = np.zeros(len(WINDOWS))
    chances[[0, 1, 2]] = 0.3, 0.8, 0.7  # the middle and the upper left corner
    found = seen([0.8] * 20, chances / 0.8)
    (part,) = pictured_actors(found, np.array([7]), index(), [])
    assert part.boxes[3].tolist() == pytest.approx([40, 20, 120, 60])
    everywhere = seen([0.8] * 20, np.eye(len(WINDOWS))[0])
    assert pictured_actors(everywhere, np.array([7]), index(), [])[0].boxes[3].tolist() == pytest.approx(
        [20, 10, 180, 90]
    )


def test_a_track_of_a_wrong_class_is_the_thing_that_is_asked_for() -> None:
    guitar = actor((80, 40, 120, 70), 3, 6, label="bottle")
    found = seen([0.0] * 20) | {
        "tracks": np.array([0, 0]),
        "track_classes": np.full((2, 24), 7, np.uint16) * (np.arange(24) == 0),
        "track_probabilities": np.array([[150] + [0] * 23, [100] + [0] * 23], np.uint8),
    }
    (track,) = pictured_actors(found, np.array([7]), index(), [guitar])
    assert track.span == guitar.span and not len(track.classes) and track.strong == pytest.approx(0.49, abs=0.01)


class Sure:
    """A classifier that sees a dog in every picture, with a probability."""

    fingerprint, names = "sure-1", classifying.picture_classes()

    def __init__(self, probability: float) -> None:
        self.probability, self.asked = probability, 0

    def classify(self, picture: np.ndarray) -> np.ndarray:
        self.asked += 1
        found = np.zeros(len(self.names), np.float32)
        found[[name[0] for name in self.names].index("beagle")] = self.probability
        return found


@pytest.mark.parametrize(("probability", "status"), [(0.9, "answered"), (0.5, "absent")])
def test_a_dog_that_the_detector_never_saw_is_absent_unless_the_classifier_is_sure(
    pages: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probability: float, status: str
) -> None:
    monkeypatch.setattr(grounder, "open_classifier", lambda: Sure(probability))
    found = ObjectGrounder(PaintedDetector, Cache(tmp_path)).ground(pages, GroundingRequest("a dog"))
    assert found.status == status


@pytest.mark.parametrize(("sentence", "asked"), [
    ("the dog comes towards the camera", False), ("a person", False), ("a crossword or a dog", True),
    ("a person walks after a spider web appears", True), ("no crossword puzzle", True),
])  # fmt: skip
def test_the_classifier_is_asked_about_all_clauses_and_not_about_the_camera(
    pages: VideoInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentence: str, asked: bool
) -> None:
    network = Sure(0.9)
    monkeypatch.setattr(grounder, "open_classifier", lambda: network)
    if "camera" in sentence:
        monkeypatch.setattr(ClassEvidence, "missed", lambda self, reading: {"camera": False})
    ObjectGrounder(PaintedDetector, Cache(tmp_path)).ground(pages, GroundingRequest(sentence))
    assert bool(network.asked) == asked


def test_what_the_classifier_saw_is_nothing_else() -> None:
    scorer = ObjectScorer(LABELS)
    part = replace(actor((80, 40, 120, 70), 3, 6), id=PICTURED, classes=np.zeros(0, np.float32))
    scorer.pictured = {"guitar": [part]}
    terms = [float(scorer.class_terms(read_query(sentence), [part])[0]) for sentence in ("a guitar", "a dog")]
    assert terms[0] > -1 and terms[1] == -3


def index() -> ObjectIndex:
    """The index of ten seconds in which a detector saw nothing."""
    none = np.zeros(0)
    return ObjectIndex(
        duration=10.0, step=0.25, width=200, height=100, track=np.zeros(0, np.int32), times=none,
        boxes=np.zeros((0, 4)), colours=np.zeros((0, 5, 13), np.float32), cuts=none, jumps=np.zeros((0, 2)),
        moving=0.0, frames=40, warnings=(), scores=np.zeros(0, np.float32), drift=np.zeros((0, 2), np.float32),
        classes=np.zeros((0, len(LABELS)), np.float32), shots=np.zeros(0, np.int32), asked=40,
    )  # fmt: skip


def seen(level: list[float], windows: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """What a classifier said twice a second: class 7 with these probabilities, in some windows more than in others."""
    chances = np.outer(level, np.ones(len(WINDOWS)) if windows is None else windows)
    kept = np.zeros((len(level), len(WINDOWS), 24), np.uint8)
    kept[..., 0] = np.round(255 * chances)
    classes = np.zeros(kept.shape, np.uint16)
    classes[..., 0] = 7
    return {
        "times": np.arange(len(level)) / contents.FPS, "classes": classes, "probabilities": kept,
        "tracks": np.zeros(0, np.int32), "track_classes": np.zeros((0, 24), np.uint16),
        "track_probabilities": np.zeros((0, 24), np.uint8),
    }  # fmt: skip


def test_only_tracks_of_what_does_not_act_are_looked_at(pages: VideoInfo) -> None:
    network = open_classifier()
    assert network is not None
    times = np.tile(np.arange(0, 5, 0.25), 2)
    n = len(times) // 2
    tracked = replace(
        index(), track=np.repeat([0, 1], n).astype(np.int32), times=times,
        boxes=np.tile([10.0, 20, 110, 90], (2 * n, 1)),
        colours=np.zeros((2 * n, 5, 13), np.float32), scores=np.full(2 * n, 0.8, np.float32),
        drift=np.zeros((2 * n, 2), np.float32), shots=np.zeros(2, np.int32),
        classes=np.eye(len(LABELS), dtype=np.float32)[[LABELS.index("dog"), LABELS.index("bottle")]],
    )  # fmt: skip
    found = contents.build_contents(pages, tracked, agents_among(LABELS), network)
    assert len(found["times"]) == 22 and found["classes"].shape == (22, 6, 24)
    assert found["tracks"].tolist() == [1] * 4  # the bottle, four times
