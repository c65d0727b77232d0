"""The detector-assisted baseline: tiny, random models of the real classes, and the whole way on staged clips.

Random weights see nothing, so being right is tested with parts that compute what they say from the clip's truth
(`seeing`), and the real classes for what they do with pixels: `test_propagation`, and here.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_trackers
from seeing import ChoosingBackend, Seeing, SeeingDetector, SeeingFollower
from world_server import Faults, World, known

from whenwhere.answers.dialects import DIALECTS
from whenwhere.errors import ModelError, SettingError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.detector.grounder import DetectorGrounder
from whenwhere.models.backends.base import ModelCall, ModelReply
from whenwhere.models.detectors.detector import SAME_CLASS
from whenwhere.models.detectors.open_vocabulary import WORDS_THRESHOLD, OpenVocabularyDetector
from whenwhere.models.propagation import ConceptTracker, Propagator
from whenwhere.overlap import box_iou, t_iou, v_iou
from whenwhere.spans import Span
from whenwhere.stage import Scene, render_clip
from whenwhere.tracking import second_level_times
from whenwhere.video import VideoInfo, probe

IMAGES = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), dtype=np.uint8)
QWEN = DIALECTS["qwen3-vl"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("detectors")
    for kind in tiny_trackers.KINDS:
        tiny_trackers.save(kind, root / kind)
    yield root


@pytest.fixture(scope="module", params=[3, 12])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoInfo, Scene]:
    path = tmp_path_factory.mktemp("clip") / f"{request.param}.mp4"
    scene = render_clip(
        path, request.param, width=320, height=180, fps=10, seconds=14, cuts=False, camera="static", sound=False
    )
    return probe(path), scene


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoInfo, Scene]:
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    scene = render_clip(path, 3, width=128, height=72, fps=6, seconds=8, cuts=False, camera="static", sound=False)
    return probe(path), scene


def backend(scene: Scene, **faults: float) -> ChoosingBackend:
    return ChoosingBackend(World(known(scene), Faults(**faults)), QWEN)


def grounder(info: VideoInfo, scene: Scene, follower: bool, **detector: float) -> DetectorGrounder:
    seeing = Seeing(info, scene)
    found: Any = SeeingDetector(seeing, **detector)
    return DetectorGrounder(backend(scene), found, SeeingFollower(seeing) if follower else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("follower", [False, True])
def test_the_whole_way_is_right_where_its_parts_are(clip: tuple[VideoInfo, Scene], follower: bool) -> None:
    info, scene = clip
    way = grounder(info, scene, follower)
    overlaps = []
    for query in scene.sentences:
        found = way.ground(info, GroundingRequest(query.text))
        if query.absent:
            assert found.status == "absent" and not found.tubes
            continue
        assert found.status == "answered" and t_iou(found.spans, query.spans) > 0.9
        assert found.costs is not None
        detect = [step for step in found.costs.trace if step["step"] == "detect"]
        assert len(detect) == len(found.spans)
        overlaps.append(v_iou(found.tubes[0], query.tube) if found.tubes else 0.0)
        if not found.tubes:
            assert not follower  # what only nearness links may be lost between two seconds
            continue
        (tube,) = found.tubes
        if follower:
            # every frame between the seconds
            assert set(tube.sources) == {"model", "propagated"}
            assert all(step["propagator"] == "follower" for step in detect)
            inside = info.times[found.spans.index(info.times) >= 0]
            assert len(tube) >= 0.8 * len(inside) and np.isin(tube.times, [*info.times, *found.spans.starts]).all()
        else:
            seconds = np.concatenate([second_level_times(s, 1.0, info.last_before(s.end)) for s in found.spans])
            assert set(tube.sources) == {"model"} and np.isin(tube.times, seconds).all()
            assert sum(step["frames"] for step in detect) <= len(seconds)
    assert len(overlaps) >= 3
    # blind between the seconds, a child that runs past others at two and a half sizes a second is lost
    assert np.mean(overlaps) > (0.99 if follower else 0.4)


def test_what_it_cost_is_told(clip: tuple[VideoInfo, Scene]) -> None:
    info, scene = clip
    way = grounder(info, scene, True)
    query = next(q for q in scene.sentences if not q.absent)
    watched: list[ModelCall] = []
    way.backend.watch = watched.append  # type: ignore[attr-defined]
    found = way.ground(info, GroundingRequest(query.text, span=Span(1.0, 5.0)))
    assert found.costs is not None and found.reading is not None and found.candidates is not None
    assert found.spans == type(found.spans)([(1.0, 5.0)])
    steps = [call["step"] for call in found.costs.trace]
    assert steps == ["which", "detect", "choose"][: len(steps)] and len(steps) >= 2
    detect = found.costs.trace[1]
    assert detect["frames"] == 40 and detect["passes"] == 5 and detect["seconds"] > 0
    assert found.costs.calls == len(watched) == len(steps) - 1
    described, chosen = 4, sum(len(call.times) for call in watched if call.step == "choose")
    assert found.frames_shown == described + 40 + chosen
    assert found.frames_decoded == described + 40 + chosen
    assert way.detector.asked[0][0] == found.reading["phrase"]  # type: ignore[union-attr]
    for candidate in found.candidates:
        assert {"id", "label", "score", "start", "end", "box"} == set(candidate)
    plan = way.estimate(info, GroundingRequest(query.text, span=Span(1.0, 5.0)))
    assert {name: cost["frames"] for name, cost in plan["steps"].items()} == {"which": 4, "detect": 40, "choose": 8}
    assert plan["calls"] == 2 and "when" in way.estimate(info, GroundingRequest(query.text))["steps"]


def test_a_detector_that_overlooks_and_is_a_little_off(clip: tuple[VideoInfo, Scene]) -> None:
    info, scene = clip
    way = grounder(info, scene, True, missed=0.2, off=0.03)
    overlaps = []
    for query in scene.sentences:
        if not query.absent:
            found = way.ground(info, GroundingRequest(query.text))
            overlaps.append(v_iou(found.tubes[0], query.tube) if found.tubes else 0.0)
    assert np.mean(overlaps) > 0.7


def test_answers_that_choose_nothing_leave_the_time(clip: tuple[VideoInfo, Scene]) -> None:
    info, scene = clip
    query = next(q for q in scene.sentences if not q.absent)
    way = grounder(info, scene, False)
    for said, warning in (
        ('"Target ID: 0"', "the model says that it is none of them"), ("the left one", "the model named none of them"),
        ("Target ID: 77", "the model named none of them"),
    ):  # fmt: skip
        way.backend.said = said  # type: ignore[attr-defined]
        found = way.ground(info, GroundingRequest(query.text, span=Span(2.0, 7.0)))
        if len(found.candidates or []) == 1:
            assert found.tubes  # one candidate needs no question
            continue
        assert found.status == "answered" and not found.tubes and any(warning in w for w in found.warnings)
        assert found.candidates


def test_a_failing_choice_is_a_warning_and_nothing_is_lost(clip: tuple[VideoInfo, Scene]) -> None:
    info, scene = clip
    way = grounder(info, scene, False)
    real = way.backend.ask

    def ask(calls: Any) -> list[ModelReply]:
        if calls and calls[0].step == "choose":
            return [ModelReply(finish="error", error="the address does not answer")] * len(calls)
        return real(calls)  # type: ignore[no-any-return]

    way.backend.ask = ask  # type: ignore[method-assign]
    query = max((q for q in scene.sentences if not q.absent), key=lambda q: q.spans.duration)
    found = way.ground(info, GroundingRequest(query.text, span=Span(2.0, 7.0)))
    assert found.status == "answered" and found.costs is not None and found.costs.calls == 1
    assert any("no candidate was chosen" in w and "the address does not answer" in w for w in found.warnings)
    assert found.parse == "incomplete"


def test_nothing_found(clip: tuple[VideoInfo, Scene]) -> None:
    info, scene = clip
    query = next(q for q in scene.sentences if not q.absent)
    found = grounder(info, scene, True, missed=1.0).ground(info, GroundingRequest(query.text, span=Span(2.0, 4.0)))
    assert found.status == "answered" and not found.tubes and found.candidates == []
    assert any("nothing was found between 2.0 and 4.0 s for" in w for w in found.warnings)
    assert found.costs is not None and [c["step"] for c in found.costs.trace] == ["which", "detect"]


@pytest.mark.torch
def test_detections_equal_the_class_called_by_hand(folder: Path) -> None:
    import torch
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    got = OpenVocabularyDetector(str(folder / "grounding_dino"), device="cpu").for_labels(["Red car."]).detect(IMAGES)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder / "grounding_dino").eval()
    processor = AutoProcessor.from_pretrained(folder / "grounding_dino")
    for image, found in zip(IMAGES, got, strict=True):
        inputs = processor(images=image, text="red car.", return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        (by_hand,) = processor.post_process_grounded_object_detection(
            outputs, inputs.input_ids, threshold=WORDS_THRESHOLD, text_threshold=0.25, target_sizes=[(48, 64)]
        )
        boxes, scores = by_hand["boxes"].numpy(), by_hand["scores"].numpy()
        assert len(found) > 0 and (np.diff(found.scores) <= 0).all()
        for box, score in zip(found.boxes, found.scores, strict=True):
            fits = np.isclose(boxes.clip(0, [64, 48, 64, 48]), box, atol=1e-3).all(1) & np.isclose(
                scores, score, atol=1e-5
            )
            assert fits.sum() == 1
        # only doubles are left out
        for box in boxes.clip(0, [64, 48, 64, 48]):
            assert box_iou(box, found.boxes).max() > SAME_CLASS - 1e-6
    words = OpenVocabularyDetector(str(folder / "grounding_dino"), device="cpu").for_labels(["dog"]).detect(IMAGES[:1])
    assert not np.array_equal(words[0].scores, got[0].scores)  # the phrase matters
    assert OpenVocabularyDetector(str(folder / "grounding_dino")).detect(IMAGES[:0]) == []


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["owlv2", "owlvit"])
def test_owl_detections_equal_the_class_called_by_hand(folder: Path, kind: str) -> None:
    import torch
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    labels = ["red car", "dog"]
    got = OpenVocabularyDetector(str(folder / kind), device="cpu").for_labels(labels).detect(IMAGES, 0.2)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder / kind).eval()
    processor = AutoProcessor.from_pretrained(folder / kind)
    for image, found in zip(IMAGES, got, strict=True):
        inputs = processor(text=[labels], images=image, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        (by_hand,) = processor.image_processor.post_process_object_detection(
            outputs, threshold=0.2, target_sizes=torch.tensor([[48, 64]])
        )
        boxes, scores, named = (by_hand[key].numpy() for key in ("boxes", "scores", "labels"))
        assert len(found) > 0
        for box, score, classes in zip(found.boxes, found.scores, found.classes, strict=True):
            fits = np.isclose(boxes.clip(0, [64, 48, 64, 48]), box, atol=1e-3).all(1) & np.isclose(
                scores, score, atol=1e-5
            )
            assert (classes[named[fits]] > classes.max() - 1e-6).any()
    other = OpenVocabularyDetector(str(folder / kind), device="cpu").for_labels(["a man who is known by a long name"])
    assert not np.array_equal(other.detect(IMAGES[:1], 0.2)[0].scores, got[0].scores)


@pytest.mark.torch
def test_the_way_with_the_real_classes(folder: Path, short: tuple[VideoInfo, Scene]) -> None:
    info, scene = short
    dino = OpenVocabularyDetector(str(folder / "grounding_dino"), device="cpu")
    query = next(q for q in scene.sentences if not q.absent)
    span = Span(1.0, 2.0)
    for detector, propagator in (
        (dino, None), (dino, Propagator(str(folder / "sam2"), device="cpu")),
        (dino, Propagator(str(folder / "sam3"), device="cpu")),
        (ConceptTracker(str(folder / "sam3"), device="cpu"), None),
    ):  # fmt: skip
        way = DetectorGrounder(backend(scene), detector, propagator)
        way.backend.said = '"Target ID: 1"'  # type: ignore[attr-defined]
        found = way.ground(info, GroundingRequest(query.text, span=span))
        (tube,) = found.tubes
        frames = info.times[(info.times >= 1.0 - 1e-6) & (info.times < 2.0)]
        assert found.candidates and found.costs is not None
        (detect,) = (step for step in found.costs.trace if step["step"] == "detect")
        assert detect["boxes"] > 0 and detect["seconds"] > 0
        assert (
            (tube.boxes >= 0).all() and (tube.boxes[:, 2] <= 128 + 1e-6).all() and (tube.boxes[:, 3] <= 72 + 1e-6).all()
        )
        if propagator is None and detector is dino:
            assert np.isin(tube.times, [1.0, info.last_before(2.0)]).all()
        else:
            assert np.isin(tube.times, frames).all() and "propagated" in tube.sources
            assert detect["frames"] == len(frames)
        again = way.ground(info, GroundingRequest(query.text, span=span))
        np.testing.assert_array_equal(again.tubes[0].boxes, tube.boxes)
        assert again.candidates == found.candidates


@pytest.mark.torch
def test_what_cannot_be_used_is_said(folder: Path) -> None:
    with pytest.raises(ModelError, match="is of the kind sam2_video, not a detector that takes words"):
        OpenVocabularyDetector(str(folder / "sam2"))
    with pytest.raises(ModelError, match=r"is neither a folder nor a model on the hub|cannot be reached"):
        OpenVocabularyDetector("no such thing", offline=True)
    with pytest.raises(SettingError, match="weights are of the dtype"):
        OpenVocabularyDetector(str(folder / "grounding_dino"), dtype="int8")  # type: ignore[arg-type]
    world: Any = None
    with pytest.raises(SettingError, match="follows what it finds by itself"):
        DetectorGrounder(world, ConceptTracker(str(folder / "sam3")), Propagator(str(folder / "sam2")))


@pytest.mark.torch
def test_other_number_types(folder: Path) -> None:
    for kind, made in (("grounding_dino", OpenVocabularyDetector), ("sam2", Propagator), ("sam3", ConceptTracker)):
        model = made(str(folder / kind), dtype="bf16", device="cpu")
        assert str(model.model.dtype) == "torch.bfloat16"
    detector = OpenVocabularyDetector(str(folder / "grounding_dino"), dtype="bf16", device="cpu")
    assert len(detector.for_labels(["car"]).detect(IMAGES)) == 3
    following = Propagator(str(folder / "sam2"), dtype="bf16", device="cpu").follow()
    following.step(IMAGES[0])
    assert set(following.show({1: np.array([5.0, 5, 20, 20])})) == {1}
    assert set(following.step(IMAGES[1])) == {1}
    named = ConceptTracker(str(folder / "sam3"), dtype="bf16", device="cpu").follow("red car")
    assert named.step(IMAGES[0])
    named.step(IMAGES[1])
