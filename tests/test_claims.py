"""What captions claim, compared with tracks."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
import caption_oracles as oracles

from whenwhere.curate.claims import SceneTrack, check_claims, directions, read_claims, summed_claims
from whenwhere.curate.clip_tracks import DetectedTracks, TruthTracks
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item
from whenwhere.errors import ModelError, RecordError
from whenwhere.models.captioners import ClipFrames
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.spans import Span
from whenwhere.video import probe


def moving(label: str, dx: float = 0.0, dy: float = 0.0, steps: int = 8) -> SceneTrack:
    """A track that moves by so many pixels in each of its steps, in a frame of 100 x 100."""
    at = np.arange(steps)[:, None]
    boxes = np.array([40.0, 40.0, 50.0, 50.0]) + at * np.array([dx, dy, dx, dy])
    return SceneTrack(label, np.arange(steps) / 2, boxes)


@pytest.mark.parametrize(
    ("caption", "claims"),
    [
        ("A red car drives to the left, and two dogs stand to the right of a tree.",
         ["red car", "red car moves left", "dogs", "tree"]),
        ("the striped red circle moves left then the blue cross grows",
         ["striped red circle", "striped red circle moves left", "blue cross"]),
        ("a man in a red shirt walks from left to right holding a dog on a leash",
         ["man", "red shirt", "man moves right", "dog", "leash"]),
        ("Two people are walking toward the left side of the frame while a truck moves right.",
         ["people", "people moves left", "truck", "truck moves right"]),
        ("The bird flies up and then flies to the left.", ["bird", "bird moves up", "bird moves left"]),
        ("a boat moving slowly to the right of the frame", ["boat", "boat moves right"]),
        ("A cyclist rides towards the right side of the picture past a truck.",
         ["cyclist", "cyclist moves right", "truck"]),
        ("The plane moves from the top to the bottom of the frame", ["plane", "plane moves down"]),
        ("dog, ball, red ball", ["dog", "ball", "red ball"]),
        ("A man walks right up to the door.", ["man", "door"]),
        ("A cat walks down the street.", ["cat", "street"]),
        ("a group of people standing on the left", ["people"]),
        ("the camera pans to the right", []),
        ("a close up of a cat", ["cat"]),
        ("She goes up.", []),
        ("", []),
        ("123 !!! ...", []),
    ],
)  # fmt: skip
def test_what_a_caption_claims(caption: str, claims: list[str]) -> None:
    assert [str(claim) for claim in read_claims(caption)] == claims


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=100))
def test_any_text_has_claims_or_none(text: str) -> None:
    checked = check_claims(text, [moving("dog", 5)], 100, 100)
    assert len(checked.right) + len(checked.wrong) == len(read_claims(text))


@pytest.mark.parametrize(
    ("dx", "dy", "ways"),
    [(-5, 0, ["left"]), (5, 0, ["right"]), (0, -5, ["up"]), (0, 5, ["down"]), (0.5, 0, []), (0, 0, []),
     (5, 2, ["right"])],
)  # fmt: skip
def test_where_a_track_moves(dx: float, dy: float, ways: list[str]) -> None:
    assert directions(moving("dog", dx, dy), 100, 100) == ways


def test_a_track_may_turn_and_may_be_hidden() -> None:
    out_and_back = np.concatenate([moving("dog", 5).boxes, moving("dog", 5).boxes[::-1]])
    out_and_back[3] = np.nan
    track = SceneTrack("dog", np.arange(16.0), out_and_back)
    assert directions(track, 100, 100) == ["left", "right"]
    assert directions(SceneTrack("dog", np.arange(2.0), np.full((2, 4), np.nan)), 100, 100) == []


@pytest.mark.parametrize(
    ("caption", "wrong", "missed"),
    [
        ("a red car moves left and a dog", [], []),
        ("a blue car moves left and a dog", ["blue car", "blue car moves left"], ["red car", "red car moves left"]),
        ("a car moves right", ["car moves right"], ["red car moves left", "dog"]),
        ("a big car and a puppy", [], ["red car moves left"]),
        ("a cat", ["cat"], ["red car", "red car moves left", "dog"]),
        ("cars and dogs", [], ["red car moves left"]),
        ("a van and a vehicle", ["van"], ["red car moves left", "dog"]),
        ("", [], ["red car", "red car moves left", "dog"]),
    ],
)
def test_claims_against_tracks(caption: str, wrong: list[str], missed: list[str]) -> None:
    found = check_claims(caption, [moving("red car", -5), moving("dog")], 100, 100, ["blue car"]).as_dict()
    assert found["wrong"] == wrong and found["missed"] == missed
    objects = found["objects"]
    assert objects["precision"] is None or objects["precision"] == objects["right"] / objects["claims"]
    assert json.loads(json.dumps(found)) == found


def test_sums_count_each_claim_alike() -> None:
    one = check_claims("a dog and a cat", [moving("dog")], 100, 100).as_dict()
    two = check_claims("a dog", [moving("dog"), moving("car", 5)], 100, 100).as_dict()
    total = summed_claims([one, two])
    assert total["objects"]["precision"] == round(2 / 3, 4) and total["objects"]["recall"] == round(2 / 3, 4)
    assert total["directions"] == {"right": 0, "claims": 0, "named": 0, "shown": 1, "precision": None, "recall": 0.0}


def frames(count: int = 6) -> ClipFrames:
    return ClipFrames("v.mp4", 0.0, float(count), np.arange(float(count)), np.zeros((count, 100, 100, 3), np.uint8))


class Finder:
    """A detector that knows where two things are."""

    def for_labels(self, labels: list[str]) -> "Finder":
        self.phrase = labels[0]
        return self

    def detect(self, images: NDArray[np.uint8], threshold: float) -> list[ClassDetections]:
        known = {"dog": moving("dog", 5), "red car": moving("red car", -5)}
        if self.phrase not in known:
            return [ClassDetections(np.empty((0, 4)), np.empty(0), np.empty((0, 1)))] * len(images)
        boxes = known[self.phrase].boxes[: len(images)]
        return [ClassDetections(box[None], np.array([0.9]), np.ones((1, 1))) for box in boxes]


@pytest.mark.parametrize("vocabulary", [(), ("dog", "red car", "tree")])
def test_a_detector_checks_what_is_named(vocabulary: tuple[str, ...], tmp_path: Path) -> None:
    info = None  # not looked at
    caption = "a dog moves right and a cat runs to the left"
    scene = DetectedTracks(Finder(), vocabulary).of_clip(frames(), Span(0, 6), info, [caption])  # type: ignore[arg-type]
    assert scene is not None
    found = check_claims(caption, scene.tracks, scene.width, scene.height, scene.labels).as_dict(scene.complete)
    assert found["wrong"] == ["cat", "cat moves left"] and found["directions"]["precision"] == 0.5
    if vocabulary:
        assert found["missed"] == ["red car", "red car moves left"] and found["objects"]["recall"] == 0.5
    else:
        assert "missed" not in found and found["objects"]["recall"] is None


@pytest.mark.torch
def test_a_real_detector_is_opened_by_name(tmp_path: Path) -> None:
    import tiny_trackers

    from whenwhere.curate.captioning import open_models
    from whenwhere.curate.captions import CaptionJob
    from whenwhere.models.backends.base import BackendOptions
    from whenwhere.store import Cache

    folder = tiny_trackers.save("grounding_dino", tmp_path / "dino")
    job = CaptionJob(coarse="caption_oracles:coarse", detector=str(folder), vocabulary=("dog",))
    models = open_models(job, BackendOptions(Cache(enabled=False), device="cpu"))
    assert models.tracks is not None
    scene = models.tracks.of_clip(frames(2), Span(0, 2), None, ["a cat"])  # type: ignore[arg-type]
    assert scene is not None and scene.complete and scene.labels == ["dog", "cat"]
    with pytest.raises(ModelError, match="not an object detector"):
        sam = tiny_trackers.save("sam2", tmp_path / "sam")
        open_models(replace(job, detector=str(sam)), BackendOptions(Cache(enabled=False), device="cpu"))


def test_true_tracks_are_cut_to_the_clip(tmp_path: Path) -> None:
    oracles.write_clips(tmp_path, 1)
    info = probe(tmp_path / "shapes-0.mp4")
    truth = TruthTracks(tmp_path / "tracks.jsonl")
    part = truth.of_clip(frames(), Span(1.0, 2.0), info, [])
    assert part is not None and part.complete and (part.width, part.height) == (64, 64)
    assert all(1.0 <= t < 2.0 for track in part.tracks for t in track.times)
    # an object that two sentences are about is one track
    items = list(manifest.read(tmp_path / "tracks.jsonl"))
    manifest.write([*items, Item("again", items[0].video, spans=items[0].spans, tubes=items[0].tubes)],
                   tmp_path / "twice.jsonl")  # fmt: skip
    whole = truth.of_clip(frames(), Span(0, 9), info, [])
    twice = TruthTracks(tmp_path / "twice.jsonl").of_clip(frames(), Span(0, 9), info, [])
    assert whole is not None and twice is not None and len(twice.tracks) == len(whole.tracks)
    manifest.write([Item("a", "b.mp4", "nothing")], tmp_path / "none.jsonl")
    with pytest.raises(RecordError, match="no tubes with labels"):
        TruthTracks(tmp_path / "none.jsonl")
