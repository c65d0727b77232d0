"""The tracks of the object index as candidates of the pipeline `detector`."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from seeing import ChoosingBackend, Seeing, SeeingDetector
from world_server import Faults, World, known

from whenwhere.answers.dialects import DIALECTS
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.detector.grounder import DetectorGrounder
from whenwhere.grounders.detector.indexed import IndexedTracks
from whenwhere.grounders.detector.named import check_detector, load_detector
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.models.detectors import package
from whenwhere.overlap import t_iou, v_iou
from whenwhere.stage import render_clip
from whenwhere.store import Cache
from whenwhere.video import probe


class FixedDetector(SeeingDetector):
    """Knows one class, which no sentence names, so that everything is a candidate."""

    labels, batch, fingerprint = ["thing"], 4, "seeing"  # type: ignore[assignment]


@pytest.mark.parametrize("seed", [3, 12])
def test_chosen_tracks_are_followed_between_seconds(tmp_path: Path, seed: int) -> None:
    scene = render_clip(
        tmp_path / "clip.mp4", seed, width=320, height=180, fps=10, seconds=14, cuts=False, camera="static", sound=False
    )
    info = probe(tmp_path / "clip.mp4")
    detector = FixedDetector(Seeing(info, scene), missed=0.1, off=0.02)
    tracks = IndexedTracks(ObjectGrounder(lambda: detector, Cache(tmp_path / "cache")))
    way = DetectorGrounder(ChoosingBackend(World(known(scene), Faults()), DIALECTS["qwen3-vl"]), tracks)
    overlaps, passes = [], []
    for query in scene.sentences:
        found = way.ground(info, GroundingRequest(query.text))
        assert found.costs is not None
        passes += [step["passes"] for step in found.costs.trace if step["step"] == "detect"]
        if query.absent:
            assert found.status == "absent" and not found.tubes
            continue
        assert found.status == "answered" and t_iou(found.spans, query.spans) > 0.9
        overlaps.append(v_iou(found.tubes[0], query.tube) if found.tubes else 0.0)
    # the detector is asked for the first sentence alone
    assert passes[0] > 0 and not any(passes[1:]) and len(passes) >= 3
    assert np.mean(overlaps) > 0.4
    assert way.estimate(info, GroundingRequest("the car"))["steps"]["detect"]["frames"] == 56


def test_it_takes_no_tracker_and_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_detector("detector:objects")
    made, follower = load_detector("detector:objects")
    assert isinstance(made, IndexedTracks) and follower is None
    # a session that keeps nothing writes nothing here either, and all of its questions share one index
    off = Cache(enabled=False)
    kept = load_detector("detector:objects", cache=off)[0]
    assert isinstance(kept, IndexedTracks) and kept.objects.cache is off
    assert load_detector("detector:objects", cache=off)[0] is kept and kept is not made
    with pytest.raises(SettingError, match="objects follows what it finds by itself: name no propagator beside it"):
        DetectorGrounder(None, made, object())  # type: ignore[arg-type]
    monkeypatch.setattr(package, "is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'whenwhere\[objects\]'"):
        check_detector("detector:objects")
