"""The index of recognised things: one pass for detector and motion index, the motion gate, storage, joined tracks."""

import threading
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_objects_grounder import PaintedDetector, clip

import whenwhere
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import index as motion_indexing
from whenwhere.grounders.motion.track_index import join_tracks
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.grounders.objects import index as indexing
from whenwhere.store import Cache
from whenwhere.video import stream_frames, stream_index, stream_views


def walk(t):
    """Where somebody is who comes in at 1 s, stands from 2.5 to 4 s, and goes on."""
    x = -20 + 30 * (min(t, 2.5) - 1) + 30 * max(0.0, t - 4)
    return (x, 30, x + 22, 95) if t >= 1 else None


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A person walks, stands and walks before a still camera, beside a bottle."""
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    return clip(path, 8, [("bottle", lambda t: (160, 60, 172, 92)), ("person", walk)])


@pytest.fixture(scope="module")
def panned(tmp_path_factory):
    """The camera pans all the time."""
    path = tmp_path_factory.mktemp("panned") / "panned.mp4"
    return clip(path, 16, [("person", lambda t: (60, 20, 84, 90))], pan=lambda t: 5 * t)


def index_and_calls(info, feed=None):
    detector = PaintedDetector()
    return indexing.build_object_index(info, detector, feed=feed), detector.seen


def test_the_motion_gate_asks_seldom_and_finds_as_much(still, monkeypatch):
    gated, few = index_and_calls(still)
    monkeypatch.setattr(indexing.MotionGate, "carry", lambda *a: None)
    every, all_frames = index_and_calls(still)
    assert all_frames == every.frames == gated.frames and gated.asked == few <= all_frames / 2
    assert len(gated.classes) == len(every.classes) == 2
    for k in range(2):
        a, b = (i.boxes[i.track == k] for i in (gated, every))
        ta, tb = (i.times[i.track == k] for i in (gated, every))
        assert abs(len(ta) - len(tb)) <= 2
        common, at, bt = np.intersect1d(ta, tb, return_indices=True)
        assert len(common) >= len(tb) - 2 and np.abs(a[at] - b[bt]).mean() < 3


def test_every_picture_of_a_moving_camera_is_detected(panned):
    index, calls = index_and_calls(panned)
    assert index.moving > 0.8 and calls >= 0.9 * index.frames


def test_one_pass_gives_the_motion_index_that_a_pass_of_its_own_gives(still):
    feed = indexing.BlobFeed(motion_indexing.Indexer(still), 0.3)
    fed, _ = index_and_calls(still, feed)
    alone, _ = index_and_calls(still)
    own = motion_indexing.build_index(still)
    made = feed.finish(())
    assert made is not None
    for one, other in ((made, own), (fed, alone)):
        for field in fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    extra = set(stream_index(still, motion_indexing.FPS)) - set(stream_index(still, indexing.FPS))
    assert feed.frames == len(extra)


def test_no_motion_index_is_made_while_the_camera_moves(panned, monkeypatch):
    added = []
    monkeypatch.setattr(motion_indexing.Indexer, "add", lambda self, t, frame: added.append(t))
    monkeypatch.setattr(motion_indexing.Indexer, "finish", lambda *a: pytest.fail("nobody asks for it"))
    detector = PaintedDetector()
    grounder = ObjectGrounder(lambda: detector, Cache(enabled=False))
    index, _, _, decoded = grounder.observe(panned)
    assert feed_ended(added) and index.frames == len(stream_index(panned, indexing.FPS))
    assert decoded < grounder.estimate(panned, GroundingRequest("x"))["frames"]


def feed_ended(added):
    """Whether frames were handed over at the beginning alone."""
    return added and max(added) < 8


def test_the_estimate_is_what_is_decoded(still):
    detector = PaintedDetector()
    grounder = ObjectGrounder(lambda: detector, Cache(enabled=False))
    assert grounder.observe(still)[3] == grounder.estimate(still, GroundingRequest("x"))["frames"]
    assert grounder.observe(still)[3] == 0


@pytest.mark.parametrize("place", ["detector", "camera"])
def test_an_error_ends_both_threads(still, monkeypatch, place):
    before = threading.active_count()

    def fail(*_):
        raise ValueError("broken")

    detector = PaintedDetector()
    if place == "detector":
        detector.detect = fail
    else:
        monkeypatch.setattr(indexing, "camera_step", fail)
    with pytest.raises(ValueError, match="broken"):
        indexing.build_object_index(still, detector)
    assert threading.active_count() == before


def test_indices_survive_the_cache(still):
    objects, _ = index_and_calls(still)
    for index in (objects, motion_indexing.build_index(still)):
        again = type(index).from_arrays(index.arrays())
        for field in fields(index):
            old, new = getattr(index, field.name), getattr(again, field.name)
            assert type(old) is type(new), field.name
            assert np.allclose(old, new, atol=0.02) if field.name != "warnings" else old == new
        twice = type(index).from_arrays(again.arrays())
        assert all(np.array_equal(getattr(again, f.name), getattr(twice, f.name)) for f in fields(index))


def test_views_are_those_of_streams_of_their_own(still):
    views = [(4.0, 96), (3.0, 64), (None, 32)]
    got: list[list] = [[] for _ in views]
    for t, images in stream_views(still, views):
        assert any(image is not None for image in images)
        for mine, image in zip(got, images, strict=True):
            if image is not None:
                mine.append((t, image))
    for (fps, width), mine in zip(views, got, strict=True):
        alone = list(stream_frames(still, fps, width))
        assert [t for t, _ in mine] == [t for t, _ in alone]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(mine, alone, strict=True))


def test_a_later_question_decodes_nothing(still, tmp_path, monkeypatch):
    """The index knows where no shot is cut, so that the answer's span is not searched for cuts."""
    looked = []
    monkeypatch.setattr("whenwhere.session.find_cuts", lambda info, span: looked.append(span) or [])
    with whenwhere.open(still.path, "motion", cache=tmp_path) as session:
        first = session.ground("the first person")
        second = session.ground("the person leaves", within=(0.5, 7))
    assert first.spans and second.record.cost.frames_decoded == 0 and not looked


class Piece:
    """A track of numbers in time."""

    def __init__(self, start: int, length: int) -> None:
        self.times = [float(start + k) for k in range(length)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=12), st.integers(1, 5))
def test_joining_keeps_every_sighting_once_and_closes_the_best_gaps(made, gap):
    pieces = [Piece(*p) for p in made]
    total = sorted(t for p in pieces for t in p.times)
    least = min(
        (
            b.times[0] - a.times[-1]
            for a in pieces
            for b in pieces
            if a is not b and 0 < b.times[0] - a.times[-1] <= gap
        ),
        default=None,
    )
    joints: list[float] = []

    def cost(a: Piece, b: Piece) -> float | None:
        wait = b.times[0] - a.times[-1]
        return wait if 0 < wait <= gap else None

    def extend(a: Piece, b: Piece) -> None:
        joints.append(b.times[0] - a.times[-1])
        a.times.extend(b.times)

    joined = join_tracks(pieces, cost, lambda a: float(gap), extend)
    assert sorted(t for p in joined for t in p.times) == total
    assert all(list(p.times) == sorted(set(p.times)) for p in joined)
    assert all(0 < x <= gap for x in joints) and (least is None) == (not joints)
    assert least is None or min(joints) == least
