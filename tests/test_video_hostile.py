"""Media files that claim too much or name other files: one sentence, at once, and no memory for mere claims."""

import os
import struct
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import whenwhere
from whenwhere.errors import MediaError, SettingError
from whenwhere.settings import GroundingSettings
from whenwhere.spans import Span
from whenwhere.tracking.rate import second_level_times
from whenwhere.video import open_video, probe, read_frames, stream_index
from whenwhere.video.claims import check_claims
from whenwhere.video.playlist import CONTAINERS, playlist_parts
from whenwhere.video.source import _spooled

sys.path.insert(0, str(Path(__file__).parent))
import clips

TITLE, END = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n", "#EXT-X-ENDLIST\n"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder with two parts of a video and, one level up, a file that is nobody's business."""
    folder = tmp_path / "show"
    folder.mkdir()
    clips.write(folder / "a.ts", n=20, gop=10)
    clips.write(folder / "b.ts", n=20, gop=10)
    clips.write(tmp_path / "secret.ts", n=20, gop=10)
    return folder


def playlist(folder: Path, *names: str, tags: str = "", end: str = END, title: str = TITLE) -> Path:
    path = folder / "list.m3u8"
    path.write_text(title + tags + "".join(f"#EXTINF:2.0,\n{name}\n" for name in names) + end)
    return path


def refused(path: Path) -> str:
    """The sentence with which a file is refused, at once and with little memory."""
    began = time.monotonic()
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert time.monotonic() - began < 5
    assert len(str(caught.value)) < 600
    return str(caught.value)


def test_a_playlist_of_parts_beside_it_is_read(parts: Path) -> None:
    path = playlist(parts, "a.ts", "./b.ts")
    assert len(probe(path).times) == 40
    assert [os.path.basename(p) for p in playlist_parts(str(path))] == ["a.ts", "b.ts"]
    master = parts / "master.m3u8"
    master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8\n")
    assert len(probe(master).times) == 40


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (("../secret.ts",), {}, "outside"),
        (("{root}/secret.ts",), {}, "outside"),
        (("link.ts",), {}, "outside"),
        (("http://127.0.0.1:9/a.ts",), {}, "address"),
        (("file:a.ts",), {}, "address"),
        (("crypto:a.ts",), {}, "address"),
        (("data:;base64,AAAA",), {}, "address"),
        (("away.ts",), {}, "not there"),
        (("a\0.ts",), {}, "address"),
        (("pipe.ts",), {}, "regular file"),
        (("sub",), {}, "regular file"),
        (("/dev/zero",), {}, "outside"),
        (("list.m3u8",), {}, "playlist"),
        (("other.ts",), {}, "playlist"),
        (("a.ts",), {"end": ""}, "no end"),
        (("a.ts",), {"tags": '#EXT-X-KEY:METHOD=AES-128,URI="k"\n'}, "encrypted"),
        (("a.ts",), {"tags": '#EXT-X-MAP:URI="../secret.ts"\n'}, "outside"),
        (("a.ts",) * 20_001, {}, "more than"),
    ],
)
def test_a_playlist_that_reaches_further_is_refused(
    parts: Path, names: tuple[str, ...], options: dict[str, str], words: str
) -> None:
    os.mkfifo(parts / "pipe.ts")
    (parts / "sub").mkdir()
    (parts / "link.ts").symlink_to(parts.parent / "secret.ts")
    (parts / "other.ts").write_text(TITLE + "#EXTINF:2,\nlist.m3u8\n" + END)
    assert words in refused(playlist(parts, *(name.format(root=parts.parent) for name in names), **options))


def test_a_playlist_must_be_named_as_one(parts: Path) -> None:
    playlist(parts, "a.ts").rename(parts / "film.mp4")
    assert "playlist" in refused(parts / "film.mp4")
    with pytest.raises(MediaError, match="playlist"):
        open_as_standard_input(parts / "film.mp4")


def open_as_standard_input(path: Path) -> None:
    """Opens a file as standard input."""
    with open(path, "rb") as f, _spooled(f, "stdin", "stdin", ".m3u8", 1 << 20):
        pass


def test_a_playlist_is_checked_again_when_it_changes(parts: Path) -> None:
    path = playlist(parts, "a.ts")
    probe(path)
    playlist(parts, "../secret.ts")
    assert "outside" in refused(path)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile a.ts\n", "ffconcat version 1.0\nfile a.ts\nduration 1e9\nfile a.ts\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>a.ts</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "[Script Info]\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".ffconcat", ".sdp", ".mpd", ".mp4", ".ts"])
def test_other_files_that_name_files_are_not_videos(parts: Path, text: str, ending: str) -> None:
    (parts / f"list{ending}").write_text(text)
    refused(parts / f"list{ending}")


def test_formats_that_open_other_files_are_not_on_the_list() -> None:
    opening = "concat hls dash imf sdp rtsp rtp sap webm_dash_manifest lavfi image2pipe ffmetadata vapoursynth"
    assert not set(CONTAINERS.split(",")) & set(opening.split())


def test_a_name_like_a_pattern_is_a_name(tmp_path: Path) -> None:
    for k in range(3):
        Image.fromarray(clips.picture(k)).save(tmp_path / f"a{k:03d}.png")
    Image.fromarray(clips.picture(7)).save(tmp_path / "a%03d.png")
    info = probe(tmp_path / "a%03d.png")
    assert [clips.code(image) for image in read_frames(info, info.times).images] == [7]


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    refused(tmp_path / "a.mp4")
    refused(Path("/dev/zero"))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims a square of this side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        import zlib

        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"x\x9c") + chunk(b"IEND", b"")


@pytest.mark.parametrize("mixed", [False, True])
def test_one_bad_picture_does_not_lose_a_folder(tmp_path: Path, mixed: bool) -> None:
    for k in range(3):
        Image.fromarray(clips.picture(k)).save(tmp_path / f"{k}.png")
    if mixed:
        Image.fromarray(clips.picture(3)).save(tmp_path / "3.jpg", quality=95)
    (tmp_path / "00.png").write_bytes(bomb(2**31 - 1))
    (tmp_path / "8.png").write_bytes(bomb(30_000))
    os.mkfifo(tmp_path / "9.png")
    (tmp_path / "91.png").symlink_to("/dev/zero")
    with open_video(tmp_path, fps=10) as source:
        assert "00.png and 3 more" in source.warnings[0]
        info = probe(source.path)
        assert [clips.code(image) for image in read_frames(info, info.times).images] == list(range(3 + mixed))


def boxed(*content: bytes, name: str) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + name.encode() + data


def movie(stsz: bytes, extra: bytes = b"", head: bytes = b"") -> bytes:
    table = boxed(boxed(stsz, name="stsz") + extra, name="stbl")
    inner = boxed(boxed(head, table, name="minf"), name="mdia")
    return boxed(b"isom\0\0\0\0", name="ftyp") + boxed(boxed(inner, name="trak"), name="moov")


def fragment(flags: int, count: int) -> bytes:
    run = boxed(struct.pack(">II", flags, count), name="trun")
    return boxed(b"isom\0\0\0\0", name="ftyp") + boxed(boxed(run, name="traf"), name="moof")


@pytest.mark.parametrize(
    ("data", "honest"),
    [
        (movie(struct.pack(">III", 0, 1, 50)), True),
        (movie(struct.pack(">III", 0, 1, 30_000_000)), False),
        (movie(struct.pack(">III", 0, 0, 2) + bytes(8)), True),
        (movie(struct.pack(">III", 0, 0, 2**30) + bytes(8)), False),
        (movie(struct.pack(">III", 0, 1, 30_000_000), boxed(struct.pack(">IIII", 0, 1, 9, 1), name="stts")), False),
        (
            movie(
                struct.pack(">III", 0, 2, 30_000_000),
                boxed(struct.pack(">IIII", 0, 1, 30_000_000, 1), name="stts"),
                boxed(bytes(8), name="smhd"),
            ),
            True,
        ),
        (fragment(0, 10**8), False),
        (fragment(0xF01, 10**8), False),
        (fragment(0x100, 0), True),
        (boxed(b"isom", name="ftyp") + b"".join(boxed(name="moov") for _ in range(1000)), True),
        (struct.pack(">I", 1) + b"moov" + struct.pack(">Q", 2**63), True),
        (b"\0\0\0\x08moov" * 3 + b"\0\0\0\1moov", True),
    ],
)
def test_claimed_samples_are_compared_with_the_file(tmp_path: Path, data: bytes, honest: bool) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    if honest:
        check_claims(str(path))
    else:
        assert "claims" in refused(path)


PIECES = [b"moov", b"trak", b"stbl", b"stsz", b"trun", b"\0\0\0\1", b"\0\0\0\x10", bytes(4), b"\xff" * 4]


@given(st.lists(st.sampled_from(PIECES)))
def test_any_bytes_pass_or_are_refused(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.mp4"
    path.write_bytes(b"\0\0\0\x08ftyp" + b"".join(pieces))
    try:
        check_claims(str(path))
    except MediaError as e:
        assert "claims" in str(e)


def test_boxes_in_boxes_end(tmp_path: Path) -> None:
    data = b""
    for _ in range(3000):
        data = boxed(data, name="moov")
    (tmp_path / "a.mp4").write_bytes(data)
    check_claims(str(tmp_path / "a.mp4"))


def test_honest_files_pass(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "a.avi", "a.ts"):
        path = clips.write(tmp_path / name, n=20, gop=10).path
        assert len(probe(path).times) == 20
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((tmp_path / "a.mp4").read_bytes()[:-400])
    check_claims(str(cut))


def test_a_claimed_duration_is_refused(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "a.mkv", times=[0.0, 1e6, 2e6], n=3, bf=0, clock=Fraction(1, 1000)).path
    assert "time stamps" in refused(path)


@given(
    steps=st.lists(st.integers(1, 500), min_size=1, max_size=40), fps=st.floats(0.001, 1000),
    start=st.floats(0, 10), length=st.floats(0.01, 30),
)  # fmt: skip
def test_a_fine_grid_shows_the_frames_that_the_whole_grid_shows(
    steps: list[int], fps: float, start: float, length: float
) -> None:
    times = np.concatenate([[0], np.cumsum(steps)]) / 100
    shown: Callable[..., np.ndarray] = lambda t: np.maximum(np.searchsorted(times, t + 1e-6, side="right") - 1, 0)  # noqa: E731
    info = type("Info", (), {"times": times, "duration": float(times[-1] + 0.1), "shown": staticmethod(shown)})()
    end = min(start + length, info.duration)
    grid = np.arange(np.ceil(start * fps - 1e-6), np.ceil(end * fps - 1e-6)) / fps
    expected = np.unique(shown(grid)) if len(grid) else np.empty(0)
    np.testing.assert_array_equal(stream_index(info, fps, start, start + length), expected)


def test_a_grid_takes_memory_for_frames_and_not_for_points() -> None:
    times = np.linspace(0, 9e5, 40)
    info = type("Info", (), {"times": times, "duration": 9.1e5, "shown": lambda s, t: np.searchsorted(times, t)})()
    began = time.monotonic()
    assert len(stream_index(info, 1000.0)) <= 41
    assert time.monotonic() - began < 1
    with pytest.raises(SettingError, match="boxes in a span"):
        second_level_times(Span(0, 9e5), 1000.0)


@pytest.mark.parametrize("fps", [0, -1, 1e9, float("inf"), float("nan"), 1e-300])
def test_rates_of_pictures_have_a_range(tmp_path: Path, fps: float) -> None:
    Image.fromarray(clips.picture(0)).save(tmp_path / "0.png")
    with pytest.raises(SettingError, match="between"):
        open_video(tmp_path, fps=fps)


def test_settings_have_ranges(tmp_path: Path) -> None:
    movie = clips.write(tmp_path / "a.mp4", n=10).path
    for rate in (1e7, 0, float("nan"), float("inf"), -1):
        for field in ("rate", "sample_fps"):
            with pytest.raises(SettingError, match="between"):
                GroundingSettings(**{field: rate})
        with pytest.raises(SettingError, match="between"):
            whenwhere.open(movie, max_download=rate if rate != 1e7 else 1e9)
        with pytest.raises(SettingError, match="between"):
            whenwhere.open(movie, frame_rate=rate)
    with pytest.raises(SettingError, match="between"):
        GroundingSettings(seed=-1)
