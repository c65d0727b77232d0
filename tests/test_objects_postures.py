"""Postures and gestures: which ones sentences name, what tells them in joints, and real people."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import whenwhere
from whenwhere.errors import ModelError
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.reading import read_query
from whenwhere.grounders.objects import ObjectGrounder, grounder, postures
from whenwhere.grounders.objects.body import CHANGES, HOLDING, Body
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.grounders.objects.joints import with_joints
from whenwhere.grounders.objects.posture_times import is_contrary, posture_spans, tells_time
from whenwhere.grounders.objects.postures import POSTURES, all_postures
from whenwhere.models import joints as estimation
from whenwhere.models.detectors import package
from whenwhere.models.joints import JOINTS, open_joints
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.store import Cache
from whenwhere.video import probe

DATA = os.environ.get("WHENWHERE_DATA")

#: Somebody who stands and faces the camera; the trunk is 2 long. Left is the person's own.
STANDING = {
    "nose": (0, -0.8), "left eye": (0.1, -0.9), "right eye": (-0.1, -0.9), "left ear": (0.25, -0.85),
    "right ear": (-0.25, -0.85), "left shoulder": (0.6, 0), "right shoulder": (-0.6, 0), "left elbow": (0.7, 1),
    "right elbow": (-0.7, 1), "left wrist": (0.75, 1.9), "right wrist": (-0.75, 1.9), "left hip": (0.4, 2),
    "right hip": (-0.4, 2), "left knee": (0.4, 3.8), "right knee": (-0.4, 3.8), "left ankle": (0.4, 5.5),
    "right ankle": (-0.4, 5.5),
}  # fmt: skip
ARM_UP = {"left elbow": (0.9, -0.9), "left wrist": (0.9, -1.8)}
#: What is different in each posture.
POSED = {
    "raise_arm": ARM_UP,
    "hand_to_face": {"right elbow": (-0.9, 0.9), "right wrist": (-0.3, -0.3)},
    "spread_arms": {
        "left elbow": (1.6, 0.05), "left wrist": (2.5, 0.1), "right elbow": (-1.6, 0.05), "right wrist": (-2.5, -0.1)
    },
    "clap": {"left elbow": (0.6, 1), "right elbow": (-0.6, 1), "left wrist": (0.1, 0.6), "right wrist": (-0.1, 0.6)},
    "point": {"left elbow": (1.6, 0.05), "left wrist": (2.5, 0.1)},
    "sit": {"left knee": (0.6, 2.3), "right knee": (-0.6, 2.3), "left ankle": (0.6, 4), "right ankle": (-0.6, 4)},
    "kneel": {"left knee": (0.6, 2.9), "right knee": (-0.6, 2.9), "left ankle": (0.5, 3.2), "right ankle": (-0.5, 3.2)},
    "bend": {"left shoulder": (2.0, 1.2), "right shoulder": (1.8, 1.3), "nose": (2.6, 1.6)},
    "lie": {name: (-y, x) for name, (x, y) in STANDING.items()},
}  # fmt: skip


def pose(
    changed: dict[str, tuple[float, float]], size: float = 20.0, at: tuple[float, float] = (200, 100)
) -> np.ndarray:
    """(17, 3) joints of somebody who stands but for what is changed."""
    points = np.array([(STANDING | changed)[name] for name in JOINTS], float) * size + at
    return np.concatenate([points, np.full((17, 1), 0.9)], 1).astype(np.float32)


def person(poses: list[np.ndarray], step: float = 0.25) -> TrackedActor:
    """Somebody with these joints, one after another."""
    n = len(poses)
    times = np.arange(n) * step
    span = Span(0.0, float(times[-1]) + step / 2)
    boxes = np.tile([150.0, 60, 250, 240], (n, 1))
    zero = np.zeros((n, 2))
    return TrackedActor(
        id=1, times=times, boxes=boxes, span=span, spans=SpanSet([span]), centre=zero, size=zero + 0.3,
        touch=np.zeros((n, 4), bool), velocity=zero, pace=np.zeros(n), still=np.ones(n, bool),
        colour=np.zeros((5, 13), np.float32), area=0.1, entry=(), exit=(), aspect=0.8, wobble=0.1, fill=0.7,
        contact=0.0, strong=0.8, way=zero, classes=np.array([1.0], np.float32), joints=np.stack(poses),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("the boy raises his left arm", ("raise_arm",)),
        ("a man holds his hands up", ("raise_arm",)),
        ("a woman lifts the box", ()),
        ("a girl waves at the camera", ("wave",)),
        ("he throws both hands in the air", ("raise_arms",)),
        ("she puts her finger to her lips", ("hand_to_face",)),
        ("a woman stands beside the chair", ("stand",)),
        ("the man stands and waves", ("stand", "wave")),
        ("the waves at the beach", ()),
        ("person is eating a sandwich", ("hand_to_face",)),
        ("the woman wipes her mouth", ("hand_to_face",)),
        ("a woman sits down and drinks", ("sit_down", "hand_to_face")),
        ("a man stood up from the chair", ("stand_up",)),
        ("the man is sitting on the sofa", ("sit",)),
        ("the dog sits down", ()),
        ("a man sitting on a chair leaves", ()),
        ("two men sit down", ()),
        ("before a man sits down", ()),
        ("a boy kneels on the floor", ("kneel",)),
        ("a woman claps", ("clap",)),
        ("people clap", ()),
        ("a man puts a cup on the table", ()),
        ("he points at the screen", ("point",)),
    ],
)
def test_sentences_name_postures(sentence: str, expected: tuple[str, ...]) -> None:
    assert postures.postures_of(read_query(sentence)) == expected


@pytest.mark.parametrize("name", POSED)
@given(size=st.floats(2, 200), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_joints_tell_a_posture_whatever_the_size_and_place(name: str, size: float, x: float, y: float) -> None:
    poses = [pose({}, size, (x, y)), pose(POSED[name], size, (x, y)), pose({}, size, (x, y))]
    assert HOLDING[name](Body(np.stack(poses))).tolist() == [False, True, False]


def test_a_posture_is_not_another_one() -> None:
    also = {
        "kneel": {"kneel", "sit"},
        "hand_to_face": {"hand_to_face", "raise_arm"},
        "spread_arms": {"spread_arms", "point"},
    }
    for name, changed in POSED.items():
        body = Body(np.stack([pose({}), pose(changed)]))
        assert {other for other in POSED if HOLDING[other](body)[1]} == also.get(name, {name}), name


def test_waving_is_a_raised_hand_that_moves() -> None:
    def side(by: float) -> np.ndarray:
        return pose(ARM_UP | {"left wrist": (0.9 + by, -1.8)})

    assert not HOLDING["wave"](Body(np.stack([side(0)] * 5))).any()
    assert HOLDING["wave"](Body(np.stack([side(-0.5), side(0.5), side(-0.5), side(0.5)]))).any()


@pytest.mark.parametrize(("change", "lower"), [("sit_down", "sit"), ("stand_up", "sit"), ("lie_down", "lie")])
def test_a_change_is_found_when_it_happens(change: str, lower: str) -> None:
    high, low = [pose({})] * 20, [pose(POSED[lower])] * 20
    actor = person([*low, *high] if change == "stand_up" else [*high, *low])
    (found,) = posture_spans(actor, change)
    assert found.start < 5.0 < found.end and found.end - found.start < 2.5
    for other in CHANGES.keys() - {change}:
        assert not posture_spans(actor, other) or {change, other} == {"sit_down", "lie_down"}


def test_a_gesture_lasts_as_long_as_it_is_seen() -> None:
    up, gone = pose(ARM_UP), np.full((17, 3), np.nan, np.float32)
    actor = person([*[pose({})] * 8, up, up, gone, up, *[pose({})] * 8, up])
    (found,) = posture_spans(actor, "raise_arm")  # the last one is too short, and the gap is bridged
    assert (found.start, found.end) == pytest.approx((2.0 - 0.125, 2.75 + 0.125))
    assert posture_spans(person([gone] * 4), "raise_arm") == []


def test_who_always_sits_does_not_show_when() -> None:
    sitting, standing = pose(POSED["sit"]), pose({})
    assert not tells_time(person([sitting] * 20), "sit") and not tells_time(person([standing] * 20), "sit")
    assert tells_time(person([*[sitting] * 10, *[standing] * 10]), "sit")
    assert tells_time(person([standing] * 20), "sit_down")


def test_joints_are_handed_to_the_actor_at_that_time_and_place() -> None:
    actor = person([pose({})] * 4)
    boxes = np.array([[150.0, 60, 250, 240], [600, 60, 700, 240], [150, 60, 250, 240]])
    index = ObjectIndex(
        duration=1.0, step=0.25, width=800, height=300, track=np.array([0, 1, 0], np.int32),
        times=np.array([0.25, 0.25, 0.5]), boxes=boxes, colours=np.zeros((3, 5, 13), np.float32), cuts=np.zeros(0),
        jumps=np.zeros((0, 2)), moving=0.0, frames=4, warnings=(), scores=np.ones(3, np.float32),
        drift=np.zeros((3, 2), np.float32), classes=np.ones((2, 1), np.float32), shots=np.zeros(2, np.int32), asked=4,
    )  # fmt: skip
    found = {"rows": np.array([0, 1, 2]), "joints": np.stack([pose({}), pose(ARM_UP), pose(POSED["sit"])])}
    (out,) = with_joints([actor], index, found)
    assert np.isnan(out.joints[[0, 3]]).all()
    np.testing.assert_array_equal(out.joints[1:3], found["joints"][[0, 2]])
    (alone,) = with_joints([actor], index, {"rows": np.zeros(0, int), "joints": np.zeros((0, 17, 3), np.float32)})
    assert alone is actor


def test_the_network_follows_the_picture() -> None:
    network = open_joints()
    assert network is not None
    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    wide = np.zeros((100, 200, 3), np.uint8)
    wide[30:90, 70:150] = picture
    framed = np.zeros_like(wide)
    framed[10:70, 20:100] = picture
    a = network.joints(wide, np.array([[70.0, 30, 150, 90]]))
    b = network.joints(framed, np.array([[20.0, 10, 100, 70], [0, 0, 0, 0]]))
    assert a.shape == (1, 17, 3) and b.shape == (2, 17, 3) and np.isfinite(b).all()
    np.testing.assert_allclose(a[0] - [50, 20, 0], b[0], atol=0.01)
    assert ((a[..., 2] >= 0) & (a[..., 2] <= 1)).all()


def test_a_posture_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POSTURES, "hips", ("put _ hand on the hip",))
    monkeypatch.setitem(HOLDING, "hips", lambda body: np.ones(len(body.trunk), bool))
    postures._compiled.cache_clear()
    postures._vocabulary.cache_clear()
    try:
        assert postures.named_postures("he puts his hands on the hips") == ("hips",)
        assert len(posture_spans(person([pose({})] * 4), "hips")) == 1
    finally:
        postures._compiled.cache_clear()
        postures._vocabulary.cache_clear()


def test_a_damaged_network_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimation, "FILES", {"movenet_lightning.tflite": "0" * 64})
    with pytest.raises(ModelError, match=rf"movenet_lightning\.tflite of the package {package.PACKAGE} is damaged"):
        open_joints.__wrapped__()
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert open_joints.__wrapped__() is None


@pytest.mark.skipif(DATA is None, reason="data: WHENWHERE_DATA names no folder with real clips")
def test_a_baby_that_drinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its times were read off by eye: 0.3-4.85 s and 21.3-27.25 s."""
    detector = whenwhere.open_detector("ssd")
    asking = ObjectGrounder(lambda: detector, Cache(tmp_path))
    info = probe(Path(str(DATA)) / "videos" / "vidor_4598213889.mp4")
    first = asking.ground(info, GroundingRequest("the baby drinks"))
    assert first.status == "answered" and 0.12 < first.confidence <= 0.35
    assert first.reading is not None and first.reading["postures"] == ["hand_to_face"]
    assert max(t_iou(first.spans, SpanSet([one])) for one in ((0.3, 4.85), (21.3, 27.25))) > 0.5
    again = ObjectGrounder(lambda: detector, Cache(tmp_path)).ground(info, GroundingRequest("the baby drinks"))
    assert again.spans == first.spans and again.frames_decoded == 0
    # without the network the answer is the stay, and not surer than that of any action that is not understood
    monkeypatch.setattr(grounder, "open_joints", lambda: None)
    without = ObjectGrounder(lambda: detector, Cache(tmp_path)).ground(info, GroundingRequest("the baby drinks"))
    assert without.confidence <= 0.25 and without.spans.duration > 2 * first.spans.duration


ARMS_UP = {**ARM_UP, "right elbow": (-0.9, -0.9), "right wrist": (-0.9, -1.8)}


def moved(joints: np.ndarray, down: float) -> np.ndarray:
    """The joints moved down, in pixels; up if negative."""
    return joints + np.array([0, down, 0], np.float32)


def hidden(joints: np.ndarray, *parts: str) -> np.ndarray:
    """The joints without some, as where they are out of the picture."""
    out = joints.copy()
    out[[name.endswith(parts) for name in JOINTS], 2] = 0.0
    return out


def times(found: list) -> list[tuple[float, float]]:
    """(start, end) of each, in order."""
    return sorted((round(one.start, 1), round(one.end, 1)) for one in found)


@pytest.mark.parametrize(("sentence", "expected"), [
    ("after waving, the man raises both arms", ("raise_arms", "wave")),
    ("the man stands after he has stood up", ("stand", "stand_up")),
    ("a woman waves or a man claps", ("wave", "clap")),
    ("the dog sits after a man sits down", ("sit_down",)),
    ("the man walks away", ()),
])  # fmt: skip
def test_each_clause_has_its_postures(sentence: str, expected: tuple[str, ...]) -> None:
    assert postures.all_postures(read_query(sentence)) == expected


def test_a_clause_beside_another_one_may_name_nobody() -> None:
    (_, other) = read_query("after waving, the man raises both arms").relation or ("", QueryReading())
    assert postures.postures_of(other) == () and postures.postures_of(other, beside=True) == ("wave",)


def test_both_arms_are_not_one_arm() -> None:
    actor = person([*[pose({})] * 6, *[pose(ARM_UP)] * 6, *[pose({})] * 6, *[pose(ARMS_UP)] * 6, *[pose({})] * 6])
    assert len(posture_spans(actor, "raise_arm")) == 2
    assert times(posture_spans(actor, "raise_arms")) == [(4.4, 5.9)]


def test_a_wave_lasts_as_long_as_the_hand_is_up_and_cheering_is_none() -> None:
    up = [pose({"left elbow": (0.9, -0.1), "left wrist": (x, -1.2)}) for x in (0.5, 1.3, 0.9, 0.9, 0.9, 0.9)]
    actor = person([*[pose({})] * 6, *up, *[pose({})] * 6])
    assert times(posture_spans(actor, "wave")) == [(1.4, 2.9)]
    assert not posture_spans(person([*[pose({})] * 6, *[pose(ARM_UP)] * 6, *[pose({})] * 6]), "wave")  # held still
    assert not posture_spans(person([*[pose({})] * 6, *[pose(ARMS_UP)] * 3, *[pose({})] * 6]), "wave")


def test_standing_up_is_seen_by_the_shoulders_where_the_legs_are_not() -> None:
    sits, stands = hidden(pose(POSED["sit"]), "knee", "ankle"), hidden(moved(pose({}), -26), "knee", "ankle")
    actor = person([*[sits] * 16, *[stands] * 16])
    ((start, end),) = times(posture_spans(actor, "stand_up"))
    assert start < 4.0 < end and end - start < 2
    assert not posture_spans(actor, "sit_down")
    assert times(posture_spans(person([*[stands] * 16, *[sits] * 16]), "sit_down"))
    # a jump is up for too short a time, and a camera that sinks lifts everything in the picture
    assert not posture_spans(person([*[sits] * 16, *[stands] * 2, *[sits] * 14]), "stand_up")
    panned = person([*[sits] * 16, *[stands] * 16])
    panned.way = panned.centre + np.repeat([[0, 0], [0, 26 / 600]], 16, 0)  # boxes of 180 pixels are .3 of the frame
    assert not posture_spans(panned, "stand_up")


def test_sitting_lasts_while_legs_are_hidden_and_ends_with_standing_up() -> None:
    seen, unseen = pose(POSED["sit"]), hidden(pose(POSED["sit"]), "knee", "ankle")
    guessed = moved(pose(POSED["sit"]), -26)  # stands, with legs that are guessed to be those of somebody who sits
    actor = person([*[unseen] * 10, *[seen] * 4, *[unseen] * 10, *[guessed] * 8])
    ((start, end),) = times(posture_spans(actor, "sit"))
    assert start == 0 and end == pytest.approx(6.0, abs=0.5)
    ((start, end),) = times(posture_spans(actor, "stand"))
    assert start == pytest.approx(6.0, abs=0.5) and end == pytest.approx(7.9, abs=0.2)
    assert tells_time(actor, "stand")
    assert not posture_spans(person([pose({})] * 20), "stand")  # nothing to tell it from


def test_who_sits_now_and_then_and_never_stands_sits_all_the_time() -> None:
    seen, unseen = pose(POSED["sit"]), hidden(pose({}), "knee", "ankle")
    actor = person([*[unseen] * 10, *[seen] * 6, *[unseen] * 16])
    actor.boxes[20:] += [0, -100, 0, 0]  # an arm goes up
    assert times(posture_spans(actor, "sit")) == [(0.0, 7.9)] and not tells_time(actor, "sit")
    assert times(posture_spans(person([*[pose({})] * 10, *[seen] * 6, *[pose({})] * 16]), "sit")) == [(2.4, 3.9)]


def test_in_a_close_up_the_shoulders_tell_how_long_a_trunk_is() -> None:
    still, touches = (hidden(pose(p), "hip", "knee", "ankle") for p in ({}, POSED["hand_to_face"]))
    assert times(posture_spans(person([*[still] * 6, *[touches] * 6, *[still] * 6]), "hand_to_face")) == [(1.4, 2.9)]


def test_who_is_upright_all_the_time_does_not_lie() -> None:
    standing, lying = pose({}), pose(POSED["lie"])
    assert is_contrary(person([standing] * 20), "lie") and is_contrary(person([standing] * 20), "sit")
    assert not is_contrary(person([lying] * 20), "lie") and not is_contrary(person([standing] * 20), "wave")
    assert not is_contrary(person([standing] * 10 + [lying] * 10), "lie")
    hardly = np.full_like(standing, np.nan)
    assert not is_contrary(person([standing] * 5 + [hardly] * 15), "lie")


def test_who_walks_away_does_not_sit_down() -> None:
    """The shoulders fall in the picture, and all of the body gets smaller."""
    sits = person([pose({}, at=(200, 100))] * 12 + [pose({}, at=(200, 130))] * 12)
    assert posture_spans(sits, "sit_down")
    sits.size = np.where(np.arange(24)[:, None] < 12, 0.3, 0.15) * np.ones((24, 2))
    assert not posture_spans(sits, "sit_down")


@pytest.mark.parametrize(("sentence", "expected"), [
    ("the man spreads his arms wide", ("spread_arms",)), ("he folds his hands in front of his chest", ("clap",)),
    ("spreads butter on his arm", ()), ("her hands are held", ()),
    ("a woman lifts a barbell over her head", ("raise_arms",)), ("both arms are stretched up", ("raise_arms",)),
    ("she holds the cup above her head", ("raise_arm",)),
])  # fmt: skip
def test_other_words_for_what_the_arms_do(sentence: str, expected: tuple[str, ...]) -> None:
    assert all_postures(read_query(sentence)) == expected
