"""Packets that show nothing, tracks that are no picture, files that are refused, and what decides the frames."""

import io
import os
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from whenwhere.errors import MediaError, WhenwhereError
from whenwhere.grounders.grounder import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder
from whenwhere.store import Cache
from whenwhere.video import open_video, probe, read_frames
from whenwhere.video.hidden import HIDES

sys.path.insert(0, str(Path(__file__).parent))
import clips

CLOCK = Fraction(1001, 24_000)


def encoded(codec: str, options: dict[str, str], n: int = 40, split: str | None = None) -> list[list[bytes]]:
    """The packets of numbered frames; each as the frames that it holds, if a filter can split it."""
    packets = []
    with av.open(io.BytesIO(), "w", format="null") as nowhere:
        stream = nowhere.add_stream(codec, rate=1 / CLOCK)
        stream.width, stream.height, stream.pix_fmt = clips.WIDTH, clips.HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = CLOCK
        stream.codec_context.gop_size = 10
        stream.codec_context.options = options
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(clips.picture(k), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k, CLOCK
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if split is None:
            return [[bytes(p)] for p in packets]
        whole = BitStreamFilterContext(split, in_stream=stream)
        return [[bytes(part) for part in whole.filter(packet)] for packet in packets]


def ivf(path: Path, codec: bytes, packets: list[tuple[int, bytes]]) -> Path:
    """A file that holds packets as they are, with any time stamps (ten ticks a frame)."""
    head = struct.pack("<4sHH4sHHIII4x", b"DKIF", 0, 32, codec, clips.WIDTH, clips.HEIGHT, 240_000, 1001, len(packets))
    path.write_bytes(head + b"".join(struct.pack("<IQ", len(data), tick) + data for tick, data in packets))
    return path


def test_hidden_vp9_frames_in_packets_of_their_own_are_not_counted(tmp_path: Path) -> None:
    packets = [p for (p,) in encoded("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"})]
    hidden = (10, 30)
    for k in hidden:
        assert packets[k][0] == 0x82, "a shown key frame"
        packets[k] = bytes([0x80]) + packets[k][1:]
    # Two of them have stamps between those of their neighbours, as hidden packets often have.
    info = probe(ivf(tmp_path / "h.ivf", b"VP90", [(10 * k - 3 * (k in hidden), p) for k, p in enumerate(packets)]))
    read = read_frames(info, info.times)
    assert [clips.code(image) for image in read.images] == [k for k in range(40) if k not in hidden]
    assert not read.warnings
    # Together with a shown frame in one packet (a superframe), the packet shows something.
    both = packets[10] + packets[11]
    index = bytes([0xC9]) + struct.pack("<HH", len(packets[10]), len(packets[11])) + bytes([0xC9])
    assert HIDES["vp9"](memoryview(packets[10])) and not HIDES["vp9"](memoryview(both + index))
    merged = [p if k != 11 else both + index for k, p in enumerate(packets) if k != 10]
    info = probe(ivf(tmp_path / "m.ivf", b"VP90", [(10 * k, p) for k, p in enumerate(merged)]))
    assert len(info.times) == 38


def test_hidden_av1_frames_in_packets_of_their_own_are_not_counted(tmp_path: Path) -> None:
    units = encoded(
        "libsvtav1", {"preset": "10", "svtav1-params": "lp=1:hierarchical-levels=3"}, split="av1_frame_split"
    )
    assert sum(map(len, units)) > 40, "there are hidden frames"
    packets = [(10 * k - 2 * (len(unit) - 1 - j), p) for k, unit in enumerate(units) for j, p in enumerate(unit)]
    assert [HIDES["av1"](memoryview(p)) for unit in units for p in unit] == [
        j < len(unit) - 1 for unit in units for j in range(len(unit))
    ]
    info = probe(ivf(tmp_path / "h.ivf", b"AV01", packets))
    assert len(info.times) == 40 and not info.vfr
    read = read_frames(info, info.times[::7])
    assert [clips.code(image) for image in read.images] == list(range(0, 40, 7)) and not read.warnings


def test_headers_of_any_length_are_read() -> None:
    rng = np.random.default_rng(0)
    for hides in HIDES.values():
        for size in (1, 2, 3, 5, 40):
            for _ in range(200):
                hides(memoryview(rng.bytes(size)))


def test_milliseconds_of_another_container_are_no_variable_rate(tmp_path: Path) -> None:
    times = np.round(np.arange(60) * 1001 / 24_000, 3)
    info = probe(clips.write(tmp_path / "ms.mp4", times=times.tolist(), clock=Fraction(1, 16_000)).path)
    assert not info.vfr and info.fps_exact == Fraction(24_000, 1001)


@pytest.mark.parametrize("first", [True, False])
def test_the_track_of_transparency_is_never_shown(first: bool, tmp_path: Path) -> None:
    path = tmp_path / "alpha.mp4"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        tracks = [out.add_stream("libx264", rate=10) for _ in range(2)]
        alpha = tracks[0 if first else 1]
        for track in tracks:
            track.width, track.height, track.pix_fmt = 160, 120, "yuv420p"
        for k in range(20):
            for track in tracks:
                # Noise takes more bytes than the picture, which makes its track the best in FFmpeg's eyes.
                image = noise.integers(0, 255, (120, 160, 3), np.uint8) if track is alpha else clips.picture(k)
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 10)
                out.mux(track.encode(frame))
        for track in tracks:
            out.mux(track.encode(None))
    data = bytearray(path.read_bytes())
    handlers = [k + 12 for k in range(len(data)) if data[k : k + 4] == b"hdlr" and data[k + 12 : k + 16] == b"vide"]
    at = handlers[0 if first else 1]
    data[at : at + 4] = b"auxv"
    path.write_bytes(data)
    info = probe(path)
    assert [clips.code(image) for image in read_frames(info, info.times).images] == list(range(20))


def animated_webp(path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(clips.picture(k)) for k in range(3)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)


def encrypted(path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb"}
    clips.write(path, n=20, muxer={**key, "encryption_kid": "a7e61c373e219033c21091fa607bf3b8"})


def encrypted_otherwise(path: Path) -> None:
    """The pictures' codec is hidden too, as stores of films do it."""
    encrypted(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"drmi").replace(b"avcC", b"xxxx"))


def second_half_of_a_stream(path: Path) -> None:
    clips.write(path, n=40, gop=10, muxer={"movflags": "frag_keyframe+empty_moov+default_base_moof"})
    data = path.read_bytes()
    path.write_bytes(data[data.index(b"moof") - 4 :])


def broken_index(path: Path) -> None:
    clips.write(path, n=20)
    data = path.read_bytes()
    at = data.index(b"stsz") + 12
    path.write_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])


def cut(path: Path) -> None:
    clips.write(path, n=20)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.webp", animated_webp, "animated WebP"),
        ("b.mp4", encrypted, "encrypted"),
        ("c.mp4", encrypted_otherwise, "encrypted"),
        ("d.mp4", second_half_of_a_stream, "piece of a stream"),
        ("e.mp4", broken_index, "index|damaged"),
        ("f.mp4", cut, "cut off before its index"),
        ("g.fifo", os.mkfifo, "pipe"),
        ("h.txt", lambda path: path.write_text("é" * 3000), "text"),
    ],
)
def test_a_refusal_gives_the_true_reason(name: str, make, reason: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(MediaError, match=reason):
        info = probe(tmp_path / name)
        read_frames(info, info.times)


def test_file_addresses_are_opened(tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "a b.mp4", n=5)
    with open_video(clip.path.as_uri()) as source:
        assert source.path == str(clip.path) and source.name == "a b"
    with pytest.raises(WhenwhereError, match="another machine"):
        open_video("file://elsewhere/a.mp4")
    with pytest.raises(MediaError, match="does not exist"):
        open_video("file:///nowhere/a.mp4")


def playlist(folder: Path, first: int) -> Path:
    """An HLS playlist of numbered frames; its text is the same whatever the numbers."""
    folder.mkdir(exist_ok=True)
    for piece in range(2):
        with av.open(str(folder / f"{piece}.ts"), "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
            stream.codec_context.max_b_frames = 0
            for k in range(20):
                frame = av.VideoFrame.from_ndarray(clips.picture(first + 20 * piece + k), "rgb24")
                frame.pts, frame.time_base = 20 * piece + k, Fraction(1, 10)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
    for piece in range(2):
        lines += ["#EXTINF:2.0,", f"{piece}.ts"]
    (folder / "list.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    return folder / "list.m3u8"


def test_a_playlist_with_new_segments_is_another_video(tmp_path: Path) -> None:
    grounder = MotionGrounder(Cache(tmp_path / "cache"))
    seen = []
    for first in (0, 100, 0):
        path = playlist(tmp_path / "hls", first)
        os.utime(path, (1e9, 1e9))
        info = probe(path)
        assert clips.code(read_frames(info, [0.5]).images[0]) == first + 5
        decoded = grounder.ground(info, GroundingRequest("the red thing moves")).frames_decoded
        seen.append((info.content, decoded > 0))
    assert seen[0][0] == seen[2][0] != seen[1][0]
    assert [computed for _, computed in seen] == [True, True, False]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    one = clips.write(tmp_path / "one.mp4", n=5).path
    two = tmp_path / "two.mkv"
    two.write_bytes(one.read_bytes())
    assert probe(one).content == probe(two).content
    two.write_bytes(one.read_bytes() + b"\0\0\0\x08free")
    assert probe(one).content != probe(two).content


@pytest.mark.parametrize("gap", [2700.0, 86_400.0, 4e5])
@pytest.mark.parametrize("count", [2, 3])
def test_pictures_far_apart_are_an_ordinary_video(gap: float, count: int, tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "slides.mkv", n=count, times=[gap * k for k in range(count)], clock=Fraction(1, 1000))
    info = probe(clip.path)
    assert info.fps > 0 and info.fps_exact > 0
    assert info.times == pytest.approx(clip.times)
    assert [clips.code(image) for image in read_frames(info, info.times).images] == list(range(count))


def test_pictures_far_apart_can_be_asked_and_written(cli: Callable[..., object], tmp_path: Path) -> None:
    clips.write(tmp_path / "slides.mkv", n=2, times=[0, 2700], clock=Fraction(1, 1000))
    exports = "json,csv,srt,vtt,mot,coco,cvat,mp4,clip,html"
    cli("ground", "slides.mkv", "the red thing moves", "--out", "out", "--span", "0-2000", "--export", exports,
        cwd=tmp_path)  # fmt: skip
