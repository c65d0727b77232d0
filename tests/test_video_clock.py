"""One clock for all frames: joined files, guessed times, and what only a stream's first packet says."""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whenwhere.video import VideoInfo, probe, read_frames, stream_frames
from whenwhere.video.clock import REORDERING, stamped_clock
from whenwhere.video.info import NO_TICK, PacketTable

sys.path.insert(0, str(Path(__file__).parent))
import clips

MPEG = {"codec": "mpeg2video", "bf": 2, "options": {"b": "2000000"}}
VP9 = {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}
FORMATS: dict[str, dict] = {
    ".ts": {},
    ".mpg": MPEG,
    ".mkv": {},
    ".webm": VP9,
    ".ivf": VP9,
}


def shifted(seconds: float) -> Callable[[list[av.Packet]], list[av.Packet]]:
    def change(packets: list[av.Packet]) -> list[av.Packet]:
        for p in packets:
            assert p.pts is not None and p.dts is not None
            p.pts += round(seconds / p.time_base)
            p.dts += round(seconds / p.time_base)
        return packets

    return change


def codes(info: VideoInfo) -> list[int]:
    """The numbers on all frames, read sparsely and in a stream."""
    frames = read_frames(info, info.times, width=120, threads=1)
    assert frames.warnings == info.warnings
    sparse = [clips.code(image) for image in frames.images]
    streamed = [clips.code(image) for _, image in stream_frames(info, width=120, gray=True)]
    assert sparse == streamed
    return sparse


def joined(path: Path, *begins: float, each: int = 20, **options: object) -> Path:
    """Parts of 20 frames each, 25 per second, whose stamps begin at these seconds, one after the other in a file."""
    data = b""
    for k, begin in enumerate(begins):
        part = path.with_name(f"part{k}{path.suffix}")
        clips.write(part, n=each, fps=25, gop=10, first=each * k, change=shifted(begin), **options)  # type: ignore[arg-type]
        data += part.read_bytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", [".ts", ".mpg", ".mkv", ".webm"])
@pytest.mark.parametrize("begins", [(0, 0), (3, 0.5), (0, 0.4), (0, 0.76)], ids=["again", "back", "overlap", "last"])
def test_parts_of_a_joined_file_are_read_one_after_the_other(ending: str, begins: tuple, tmp_path: Path) -> None:
    """Stamps that restart, go back or overlap: all frames are there, in order, at one rate, and a sentence says so."""
    info = probe(joined(tmp_path / f"joined{ending}", *begins, **FORMATS[ending]))
    assert codes(info) == list(range(40))
    # The last frame of a program stream's part has no stamp of its own.
    assert info.times == pytest.approx(np.arange(40) / 25, abs=0.07 if ending == ".mpg" else 0.002)
    (warning,) = info.warnings
    assert "restart or jump at 0." in warning


@pytest.mark.parametrize("muxer", [{"mpegts_start_pid": "400"}, {"mpegts_start_pid": "600", "mpegts_service_id": "7"}])
def test_a_recording_under_another_number_is_not_passed_over_in_silence(muxer: dict, tmp_path: Path) -> None:
    """A stream that begins in the middle of a transport stream is another stream to FFmpeg, and is not read."""
    first = clips.write(tmp_path / "first.ts", n=20, fps=25, gop=10).path
    other = clips.write(tmp_path / "other.ts", n=20, fps=25, gop=10, muxer=muxer).path
    first.write_bytes(first.read_bytes() + other.read_bytes())
    info = probe(first)
    assert codes(info) == list(range(20))
    assert "another video begins after 0.8 s" in info.warnings[0]


def test_a_joined_file_with_sound(tmp_path: Path) -> None:
    """Open groups of pictures, and pieces that are decoded on their own: nothing is called damaged."""
    info = probe(joined(tmp_path / "joined.mpg", 0, 0, each=25, sound="mp2", **MPEG))
    assert codes(info) == list(range(50))


@pytest.mark.parametrize("ending", [".ts", ".mpg"])
def test_a_clock_that_jumps_an_hour(ending: str, tmp_path: Path) -> None:
    """The clock of MPEG streams may jump; a step of a few seconds is a picture that stands still."""
    info = probe(joined(tmp_path / f"jump{ending}", 0, 3600, **FORMATS[ending]))
    assert codes(info) == list(range(40))
    assert info.duration == pytest.approx(1.6, abs=0.002)
    assert not info.truncated
    assert "jump at 0.8 s" in info.warnings[0]
    info = probe(joined(tmp_path / f"still{ending}", 2, 7, **FORMATS[ending]))
    assert info.duration == pytest.approx(5.8, abs=0.002)
    assert not info.warnings


@pytest.mark.parametrize(("each", "begins"), [(25, (0, 0.92, 1.84)), (24, (0, 3600)), (24, (3600, 0)), (25, (0, 0.8))])
def test_guesses_beside_a_join_change_neither_order_nor_length(each: int, begins: tuple, tmp_path: Path) -> None:
    """FFmpeg takes stamps for the last packets of a program stream's part from the next part."""
    info = probe(joined(tmp_path / "joined.mpg", *begins, each=each, **MPEG))
    assert codes(info) == list(range(each * len(begins)))
    assert info.times == pytest.approx(np.arange(each * len(begins)) / 25, abs=0.1)


def test_a_picture_that_stands_for_an_hour_is_no_jump(tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 3600, 3600.04]
    info = probe(clips.write(tmp_path / "slides.mkv", n=5, times=times, clock=Fraction(1, 1000)).path)
    assert info.times == pytest.approx(times)
    assert not info.warnings


def _in_decoding_order(packets: list[av.Packet]) -> list[av.Packet]:
    """What a writer does that knows nothing of reordered frames: packet k is shown at k."""
    for k, p in enumerate(packets):
        p.pts = p.dts = k
    return packets


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.avi", {}),
        ("open.avi", {"options": {"x264-params": "open-gop=1:b-adapt=0"}}),
        ("mpeg4.avi", {"codec": "mpeg4", "bf": 2}),
        ("hevc.mkv", {"codec": "libx265", "options": clips._X265, "change": _in_decoding_order}),
        ("h264.mp4", {"change": _in_decoding_order}),
        ("raw.h264", {}),
        ("raw.m2v", MPEG),
        ("raw.m4v", {"codec": "mpeg4", "bf": 2}),
        ("raw.hevc", {"codec": "libx265", "options": clips._X265}),
    ],
)
def test_guessed_times_give_way_to_the_decoders_order(name: str, options: dict, tmp_path: Path) -> None:
    """Containers without presentation times: the decoder's order at the stream's rate."""
    info = probe(clips.write(tmp_path / name, n=50, fps=25, gop=20, **options).path)
    assert codes(info) == list(range(50))
    assert info.times == pytest.approx(np.arange(50) / 25, abs=1e-3)
    assert (info.fps_exact, info.vfr) == (25, False)
    assert info.duration == pytest.approx(2.0, abs=1e-3)
    assert not info.warnings


def test_frames_left_out_of_an_avi_keep_their_time(tmp_path: Path) -> None:
    """A recorder that was too slow writes nothing for a moment; the frame before stays on the screen."""

    def late(packets: list[av.Packet]) -> list[av.Packet]:
        for p in packets[30:]:
            p.pts += 10
            p.dts += 10
        return packets

    info = probe(clips.write(tmp_path / "late.avi", n=50, fps=25, gop=20, bf=0, change=late).path)
    assert codes(info) == list(range(50))
    assert info.times == pytest.approx(np.where(np.arange(50) < 30, np.arange(50), np.arange(50) + 10) / 25)


def test_what_only_the_first_packet_says_is_known_later(tmp_path: Path) -> None:
    """The palette of a video is written once, and changed once: a frame read alone has the colours of its time."""
    path = tmp_path / "palette.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        colours = np.random.default_rng(0).integers(0, 256, (2, 256, 4), np.uint8)
        for k in range(60):
            frame = av.VideoFrame(64, 48, "pal8")
            pixels = np.zeros((48, frame.planes[0].line_size), np.uint8)
            pixels[:, :64] = np.add.outer(np.arange(48), np.arange(64)) + k
            frame.planes[0].update(pixels.tobytes())
            frame.planes[1].update(colours[int(k >= 40)].tobytes())
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(stream.encode(frame))
    info = probe(path)
    assert info.packets.head.nonzero()[0].tolist() == [0, 40]
    for k in (55, 31, 12, 45):
        (image,) = read_frames(info, [info.times[k]], threads=1).images
        # Bytes are stored as blue, green, red.
        expected = colours[int(k >= 40)][(np.add.outer(np.arange(48), np.arange(64)) + k) % 256][..., 2::-1]
        assert np.abs(image.astype(int) - expected).max() <= 2, k


def table_of(pts: np.ndarray, key: np.ndarray) -> PacketTable:
    n = len(pts)
    return PacketTable(pts, np.full(n, NO_TICK), np.full(n, 9), key, np.ones(n, bool), pts, np.arange(n) == 0, True)


# The places in display order of the frames of a group, in the order they are stored.
GROUPS = ([0], [0, 1, 2], [0, 3, 1, 2], [0, 4, 2, 1, 3, 8, 6, 5, 7])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-500, 5000), st.lists(st.sampled_from(GROUPS), min_size=3, max_size=6)),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([1, 7, 40]),
)
def test_any_parts_make_one_clock(parts: list[tuple[int, list[list[int]]]], step: int) -> None:
    """Whatever the stamps at which parts begin: nothing is lost, parts stay whole and in order, none moves inside."""
    pts: list[int] = []
    key: list[bool] = []
    begins: list[int] = []
    for begin, groups in parts:
        begins.append(len(pts))
        place = begin
        for group in groups:
            pts += [(place + k) * step for k in group]
            key += [k == 0 for k in range(len(group))]
            place += len(group)
    stamps = np.array(pts)
    clock = stamped_clock(
        stamps,
        table_of(stamps, np.array(key)),
        np.full(len(pts), step),
        Fraction(1, 25 * step),
        not all(key),
        jumps=True,
    )
    for a, b in zip(begins, [*begins[1:], len(pts)], strict=True):
        moved = clock.ticks[a:b] - stamps[a:b]
        assert (moved == moved[0]).all()
        assert a == 0 or clock.ticks[a:b].min() >= clock.ticks[:a].max() or len(pts[:a]) == 1
    assert clock.ticks.max() - clock.ticks.min() <= (len(pts) + 10 * 25 * (len(parts) - 1)) * step


def test_sound_streams_are_left_as_they_are() -> None:
    """Deep reordering, all frames marked as key frames, and long pictures do not look like a restart."""
    random = np.random.default_rng(0)
    for depth in (1, 2, 5, 16):
        shown = np.arange(400) * 40
        # A frame is stored before at most `depth` frames that are shown before it.
        waiting, stored = list(shown), []
        while waiting:
            held = sum(s > waiting[0] for s in stored)
            stored.append(waiting.pop(0 if held >= depth else int(random.integers(0, min(3, len(waiting))))))
        pts = np.array(stored)
        for key in (np.ones(400, bool), np.arange(400) == 0):
            clock = stamped_clock(pts, table_of(pts, key), np.full(400, 40), Fraction(1, 1000), True, jumps=True)
            assert clock.joins == ()
            assert (clock.ticks == pts).all()
    assert "vp9" not in REORDERING


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ivf"])
def test_what_is_not_read_of_a_joined_file_is_said(ending: str, tmp_path: Path) -> None:
    """FFmpeg stops after the first or second recording: all frames are there, or a sentence names the rest."""
    options = FORMATS.get(ending, {})
    path = joined(tmp_path / f"thrice{ending}", 0, 0, 0, each=12, **options)
    info = probe(path)
    read = len(info.times)
    assert codes(info) == list(range(read))
    assert read == 36 or "another video begins" in info.warnings[-1], (read, info.warnings)
    alone = probe(tmp_path / f"part0{ending}")
    assert not alone.warnings
    if read < 36:
        place = int(info.warnings[-1].split()[-1])
        assert path.read_bytes()[place:].startswith((tmp_path / f"part{read // 12}{ending}").read_bytes()[:4])


def test_packets_that_only_call_themselves_key_frames(tmp_path: Path) -> None:
    """The index of a joined AVI knows the first part only; after it, every packet passes for a key frame."""
    info = probe(joined(tmp_path / "joined.avi", 0, 0, codec="wmv2", bf=0, options={"b": "900000"}))
    assert codes(info) == list(range(40))
    for k in (37, 25, 12):
        assert clips.code(read_frames(info, [info.times[k]]).images[0]) == k
    assert info.packets.key[20:].all(), "the flags are right: this tests nothing"


def test_an_avi_that_begins_with_empty_places(tmp_path: Path) -> None:
    info = probe(clips.write(tmp_path / "late.avi", n=30, fps=25, gop=10, change=shifted(5)).path)
    assert codes(info) == list(range(30))
    assert info.times == pytest.approx(np.arange(30) / 25)


def test_an_index_longer_than_its_pictures_is_not_called_unread(tmp_path: Path) -> None:
    """Some writers list an empty frame for every tick; other bytes of that number are named."""
    path = clips.write(tmp_path / "index.avi", n=20, fps=25, gop=10).path
    data = path.read_bytes()
    at = data.rindex(b"idx1")
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    for name, kind in (("index.avi", b"idx1"), ("rest.avi", b"JUNK")):
        longer = kind + (size + len(data)).to_bytes(4, "little") + data[at + 8 : at + 8 + size] + bytes(len(data))
        (tmp_path / name).write_bytes(data[:at] + longer)
    assert not probe(tmp_path / "index.avi").warnings
    assert any("no picture that can be read" in w for w in probe(tmp_path / "rest.avi").warnings)
