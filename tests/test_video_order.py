"""Times and order of frames where containers store one time for a packet, or none: AVI, ASF, MPEG, MXF, raw streams."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.video import VideoInfo, probe, read_frames, stream_frames
from whenwhere.video.clock import decoded_clock
from whenwhere.video.info import NO_TICK, PacketTable

sys.path.insert(0, str(Path(__file__).parent))
import clips

B_FRAMES = {"options": {"x264-params": "bframes=3:b-adapt=0"}}
MPEG2 = {"codec": "mpeg2video", "bf": 2, "options": {"b": "2000000"}}
# Frames with gaps between them, in 25ths of a second.
PLACES = np.cumsum([0, 1, 1, 4, 2, 1, 9, 1, 3, 1, 1, 4, 2, 1, 9, 1, 3, 1, 1, 1])


def codes(info: VideoInfo) -> list[int]:
    """The numbers on all frames, read sparsely and in a stream."""
    sparse = [clips.code(image) for image in read_frames(info, info.times, width=120, threads=1).images]
    assert sparse == [clips.code(image) for _, image in stream_frames(info, width=120, gray=True)]
    return sparse


@pytest.mark.parametrize("name", ["h264.avi", "mpeg2.avi", "h264.asf", "mpeg2.asf", "mpeg4.m4v"])
def test_gaps_keep_their_place_beside_reordered_frames(name: str, tmp_path: Path) -> None:
    """Only the times of decoding are stored; a frame is shown some packets later. The last ones' times are lost."""
    kinds = {"mpeg2": MPEG2, "mpeg4": {"codec": "mpeg4", "bf": 2, "container": "m4v"}, "h264": B_FRAMES}
    kind, clock = kinds[name.partition(".")[0]], Fraction(1, 600 if name == "h264.asf" else 25)
    clip = clips.write(tmp_path / name, n=20, fps=25, gop=10, times=(PLACES / 25).tolist(), clock=clock, **kind)
    info = probe(clip.path)
    assert codes(info) == list(range(20))
    assert info.times[:17] == pytest.approx(PLACES[:17] / 25, abs=2e-3)
    assert not info.warnings


def test_short_programme_streams_of_h264_are_what_they_say(tmp_path: Path) -> None:
    """FFmpeg takes them for H.263, or shows frames without a stamp at the rate of the stamps."""
    for bf in (0, 3):
        info = probe(
            clips.write(tmp_path / f"{bf}.mpg", n=24, fps=Fraction(30_000, 1001), gop=10, bf=bf, size=(96, 64)).path
        )
        assert codes(info) == list(range(24))
        assert info.times == pytest.approx(np.arange(24) * 1001 / 30_000, abs=1e-3)
        assert not info.warnings


@pytest.mark.parametrize(("ending", "kind"), [(".nut", {}), (".mxf", MPEG2), (".mxf", B_FRAMES)])
def test_what_follows_the_first_recording_is_not_taken_for_its_end(ending: str, kind: dict, tmp_path: Path) -> None:
    """FFmpeg finds a huge packet there, or packets that all have the last time."""
    path = clips.write(tmp_path / f"one{ending}", n=20, fps=25, gop=10, **kind).path
    assert not probe(path).warnings
    data = path.read_bytes()
    twice = tmp_path / f"twice{ending}"
    twice.write_bytes(data + data)
    info = probe(twice)
    assert codes(info) == list(range(20))
    (sentence,) = info.warnings
    assert sentence.startswith("another video begins after 0.8 s and is not read: cut the file at byte ")
    assert abs(int(sentence.split()[-1]) - len(data)) < 64


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (".mkv", {}),
        (".mkv", {"codec": "ffv1", "bf": 0}),
        (".avi", {"codec": "ffv1", "bf": 0}),
        (".mp4", {"muxer": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_what_the_first_header_does_not_fit_is_not_read(ending: str, kind: dict, tmp_path: Path) -> None:
    """FFmpeg decodes the second recording with the first one's parameters, or finds its fragments at wrong places."""
    data = b""
    for size in [(320, 240), (160, 128)]:
        part = clips.write(tmp_path / f"part{ending}", n=12, fps=25, gop=6, size=size, **kind).path
        data += part.read_bytes()
    joined = tmp_path / f"joined{ending}"
    joined.write_bytes(data)
    info = probe(joined)
    assert codes(info) == list(range(12))
    (sentence,) = info.warnings
    assert sentence.startswith("another video begins after 0.5 s and is not read: cut the file at byte ")
    assert int(sentence.split()[-1]) == len(data) - part.stat().st_size


@pytest.mark.parametrize("name", ["a.m2v", "a.m4v"])
def test_no_frame_is_lost_where_the_size_changes(name: str, tmp_path: Path) -> None:
    """The decoder drops the frame that it holds back, or stamps it with the first one's time."""
    kind = MPEG2 if name.endswith("m2v") else {**MPEG2, "codec": "mpeg4", "container": "m4v"}
    data = b""
    for k, size in enumerate([(320, 240), (160, 128), (320, 240)]):
        data += clips.write(tmp_path / name, n=11, fps=25, gop=5, first=11 * k, size=size, **kind).path.read_bytes()
    (tmp_path / name).write_bytes(data)
    info = probe(tmp_path / name)
    assert codes(info) == list(range(33))
    assert info.times == pytest.approx(np.arange(33) / 25)


def test_an_assumed_rate_is_said(tmp_path: Path) -> None:
    """A stream of JPEG pictures has no rate at all; raw MPEG-2 says its own."""
    options = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "options": {"q": "4"}}
    info = probe(clips.write(tmp_path / "a.mjpeg", n=5, fps=10, **options).path)
    assert info.warnings == ("the file does not say when its frames are shown: 25 a second are assumed",)
    assert not probe(clips.write(tmp_path / "a.m2v", n=5, fps=24, **MPEG2).path).warnings


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(st.integers(1, 9), min_size=4, max_size=60).map(np.cumsum),
    depth=st.integers(0, 4),
    seed=st.integers(0, 99),
)
def test_decoding_times_give_the_times_of_display(places: np.ndarray, depth: int, seed: int) -> None:
    """A writer that stores frame k when the decoder shows frame k - depth: all but the last `depth` are found again."""
    random = np.random.default_rng(seed)
    waiting, stored = list(range(len(places))), []
    while waiting:
        # The first waiting frame may wait for at most `depth` later ones.
        ahead = sum(k > waiting[0] for k in stored)
        stored.append(waiting.pop(int(random.integers(0, min(depth - ahead, len(waiting) - 1) + 1))))
    delay = int((np.argsort(stored) - np.arange(len(stored))).max())
    dts = np.concatenate([places[0] - np.arange(delay, 0, -1), places[: len(places) - delay]]).astype(np.int64)
    nothing, none = np.full(len(places), NO_TICK), np.zeros(len(places), bool)
    table = PacketTable(nothing, dts, np.full(len(places), 9), none, ~none, nothing, none, True)
    clock = decoded_clock(table, np.argsort(stored), Fraction(1, 25), Fraction(25), trusted=False, jumps=False)
    found = np.sort(clock.ticks)
    kept = len(places) - delay
    assert (found[:kept] - found[0] == places[:kept] - places[0]).all()
    assert (np.diff(found) > 0).all()
    assert not clock.joins


@settings(max_examples=40, deadline=None)
@given(known=st.sets(st.integers(0, 39), min_size=2), step=st.integers(1, 4000))
def test_frames_without_a_stamp_lie_between_those_with_one(known: set[int], step: int) -> None:
    """Whatever rate the demuxer guesses, the stamps tell the step, also before the first and after the last."""
    pts = np.full(40, NO_TICK)
    pts[sorted(known)] = np.array(sorted(known)) * step
    table = PacketTable(pts, pts, np.full(40, 9), pts > 0, np.ones(40, bool), pts, pts > 0, True)
    clock = decoded_clock(table, np.arange(40), Fraction(1, 90_000), Fraction(3), trusted=True, jumps=True)
    assert (clock.ticks == np.arange(40) * step).all()
    assert clock.estimated == 0


def test_uneven_stamps_of_few_frames_are_called_estimates(tmp_path: Path) -> None:
    """A programme stream stamps one frame of a pack; what lies between is not known if there are gaps."""
    clip = clips.write(tmp_path / "a.mpg", n=20, fps=25, gop=10, bf=0, times=(PLACES / 25).tolist(), size=(160, 128))
    info = probe(clip.path)
    assert codes(info) == list(range(20))
    assert any(w.endswith("the stamps of the others are uneven: their times are estimates") for w in info.warnings)
