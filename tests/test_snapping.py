"""Boxes of a model on the tracks of a detector: what moves, what stays, and the whole way through a session."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from commands import run
from seeing import Seeing, SeeingDetector
from test_objects_presence import actor
from world_server import Faults, World, known, world_server

import whenwhere
from whenwhere.answers.dialects import DIALECTS
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.grounders.detector.indexed import IndexedTracks
from whenwhere.grounders.detector.snapping import NEAR, snap
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.models.detectors import package
from whenwhere.overlap import box_iou, v_iou
from whenwhere.session import check_model
from whenwhere.settings import GroundingSettings
from whenwhere.spans import SpanSet
from whenwhere.stage import render_clip
from whenwhere.store import Cache
from whenwhere.tubes import Tube
from whenwhere.video import probe

STILL = [[20.0, 20, 60, 100]]


def tube(boxes, **more):
    times = np.arange(float(len(boxes)))
    return Tube(SpanSet([(0.0, len(boxes))]), times, boxes, **more)


def test_boxes_move_onto_the_track_that_agrees_best_and_others_stay():
    said = np.repeat(STILL, 6, 0) + np.array([6, 6, 10, 10])
    said[2] = [200, 20, 240, 100]  # another thing for a moment
    near, other = actor((20, 20, 60, 100), 0, 6), actor((30, 30, 90, 130), 0, 6)
    found = snap(tube(said, sources=("propagated",) * 6), [other, near])
    assert np.allclose(found.boxes[[0, 1, 3, 4, 5]], STILL) and found.boxes[2].tolist() == said[2].tolist()
    assert found.sources == ("snapped", "snapped", "propagated", "snapped", "snapped", "snapped")
    assert found.spans == tube(said).spans and found.times.tolist() == tube(said).times.tolist()


def test_nothing_moves_where_no_track_agrees():
    said = tube(np.repeat(STILL, 6, 0))
    gone, far = actor((20, 20, 60, 100), 0, 1.4), actor((200, 20, 240, 100), 0, 6)
    around = actor((0, 0, 200, 180), 0, 6)  # what the thing stands before
    for tracks in ([], [gone], [far], [around], [gone, far, around]):
        assert snap(said, tracks) is said
    nobody = said.replace(times=[], boxes=np.zeros((0, 4)))
    assert snap(nobody, [far]) is nobody


boxes = st.tuples(*[st.floats(0, 200), st.floats(0, 100), st.floats(1, 100), st.floats(1, 80)]).map(
    lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3])
)


@given(st.lists(boxes, min_size=1, max_size=8), st.lists(st.tuples(boxes, st.integers(0, 4)), max_size=3))
def test_what_moves_moves_onto_one_track_that_is_near(said, tracks):
    before = tube(np.array(said))
    followed = [actor(box, start, start + 5) for box, start in tracks]
    after = snap(before, followed)
    moved = np.any(after.boxes != before.boxes, axis=1)
    if moved.any():
        ats = [a.at(before.times)[moved] for a in followed]
        assert any(np.allclose(after.boxes[moved], at) for at in ats)
        assert (box_iou(after.boxes, before.boxes)[moved] >= NEAR - 1e-9).all()
    assert snap(after, followed).spans == before.spans


class OneClass(SeeingDetector):
    labels, batch, fingerprint = ["thing"], 4, "seeing"  # type: ignore[assignment]


def test_a_shaky_model_gets_steadier_boxes_from_the_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    scene = render_clip(clip, 3, width=320, height=180, fps=10, seconds=14, cuts=False, camera="static", sound=False)
    detector = OneClass(Seeing(probe(clip), scene), off=0.02)
    tracks = IndexedTracks(ObjectGrounder(lambda: detector, Cache(tmp_path / "index")))
    monkeypatch.setattr("whenwhere.session.indexed_tracks", lambda cache: tracks)
    overlaps: dict[bool, list[float]] = {False: [], True: []}
    decoded = []
    with world_server(World(known(scene), Faults(size=0.15, memory=0.8))) as server:
        model = f"{server.url}#{next(name for name in DIALECTS if name.startswith('qwen3'))}-world"
        for query in (q for q in scene.sentences if not q.absent):
            for on in (False, True):
                with whenwhere.open(clip, model, cache=tmp_path / "cache") as video:
                    answer = video.ground(query.text, snap=on)
                assert answer.record.settings is not None and answer.record.settings.snap is on
                decoded.append(answer.record.cost.frames_decoded)
                sources = {s for t in answer.tubes for s in t.sources}
                assert on or "snapped" not in sources
                overlaps[on].append(v_iou(answer.tube, query.tube) if answer.tube else 0.0)
    assert np.mean(overlaps[True]) > np.mean(overlaps[False]) + 0.05
    assert len(detector.asked) > 0


def test_it_is_for_models_and_needs_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moving_clip: Path
) -> None:
    on = GroundingSettings(snap=True)
    for name in ("motion", "objects"):
        with pytest.raises(SettingError, match=f"snap moves the boxes of a vision-language model.*; {name} is none"):
            check_model(name, on)
    done = run("ground", moving_clip, "a red car", "--model", "motion", "--snap", status=2)
    assert "leave it out" in done.stderr
    check_model("http://127.0.0.1:9#qwen3-vl", on)
    monkeypatch.setattr(package, "is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'whenwhere\[objects\]'"):
        check_model("http://127.0.0.1:9#qwen3-vl", on)


def test_answers_of_earlier_versions_are_found_again() -> None:
    assert "snap" not in GroundingSettings().identity()
    assert GroundingSettings(snap=True).identity()["snap"] is True
