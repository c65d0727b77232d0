"""What is shown is what players show: mirrored and turned pictures, HDR, and the clock of the container."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests import clips
from whenwhere.export import srt, vtt
from whenwhere.grounders.motion.colours import COLOURS, colour_cells, colour_table
from whenwhere.records import Grounding, SpanRecord
from whenwhere.video import FrameWriter, VideoInfo, probe, read_frames, stream_frames, write_overlay

ONE = 1 << 16
# The eight ways in which a picture can be turned and mirrored, as (a, b, c, d): (x, y) becomes (ax + cy, bx + dy).
MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("display")


def with_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """Write a display matrix into the track header of an mp4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    numbers = [round(v * ONE) for v in (a, b, 0, c, d, 0, 0, 0)]
    data[at : at + 36] = struct.pack(">9i", *numbers, 1 << 30)
    path.write_bytes(data)


def moved(image: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Each pixel put where the matrix says."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    out = np.zeros((to_y.max() + 1, to_x.max() + 1, 3), np.uint8)
    out[to_y, to_x] = image
    return out


@pytest.mark.parametrize("matrix", MATRICES)
def test_pictures_are_mirrored_and_turned_as_their_matrix_says(matrix: tuple, folder: Path) -> None:
    plain = clips.make("intra", folder)
    path = folder / f"matrix{matrix}.mp4"
    path.write_bytes(plain.path.read_bytes())
    with_matrix(path, *matrix)
    before, info = probe(plain.path), probe(path)
    expected = moved(read_frames(before, [0.5]).images[0], *matrix)
    shown = read_frames(info, [0.5]).images[0]
    assert shown.shape == expected.shape == (info.height, info.width, 3)
    assert np.array_equal(shown, expected)
    (_, grey), *_ = stream_frames(info, fps=2, gray=True)
    assert grey.shape == expected.shape[:2]
    # A video that is written again shows the same without any matrix.
    write_overlay(info, {}, folder / "again.mp4")
    again = probe(folder / "again.mp4")
    assert (again.rotation, again.mirrored) == (0, False)
    assert np.abs(read_frames(again, [0.5]).images[0].astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored"),
    [
        ((0.99, 0.1, -0.1, 0.99), 0, False),
        ((2, 0, 0, 1), 0, False),
        ((0, 0, 0, 0), 0, False),
        ((-1, 0.1, 0, 1), 0, True),
    ],
)
def test_other_matrices_count_as_the_nearest_quarter(
    matrix: tuple, rotation: int, mirrored: bool, folder: Path
) -> None:
    path = folder / "other.mp4"
    path.write_bytes(clips.make("intra", folder).path.read_bytes())
    with_matrix(path, *matrix)
    info = probe(path)
    assert (info.rotation, info.mirrored) == (rotation, mirrored)


# The words' typical colours in ordinary video, 8 bits.
WORDS = {
    "black": (16, 16, 16), "white": (245, 245, 245), "grey": (120, 120, 120), "red": (205, 35, 35),
    "orange": (235, 130, 20), "yellow": (235, 220, 40), "green": (40, 150, 50), "blue": (40, 70, 200),
    "purple": (130, 50, 170), "pink": (240, 120, 180), "brown": (110, 65, 35),
}  # fmt: skip


def word(rgb: np.ndarray) -> str:
    return COLOURS[int(colour_table()[colour_cells(np.asarray(rgb, np.uint8))][:11].argmax())]


def hdr_codes(rgb: tuple[int, int, int], transfer: str) -> np.ndarray:
    """The 16-bit PQ or HLG code values, in BT.2020, of a colour of ordinary video at the reference white of BT.2408."""
    light = (np.array(rgb) / 255) ** 2.4
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    nits = to_2020 @ light * 203
    if transfer == "pq":
        y = (nits / 10_000) ** 0.1593017578125
        code = ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375
    else:
        luminance = np.array([0.2627, 0.6780, 0.0593]) @ nits / 1000
        scene = nits / 1000 * luminance ** (1 / 1.2 - 1)
        code = np.where(
            scene <= 1 / 12,
            np.sqrt(3 * scene),
            0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
        )
    return np.rint(code * 65535).astype(np.uint16)


def write_coloured(path: Path, codes: list[np.ndarray], trc: int, primaries: int, matrix: int, size: int = 64) -> None:
    """One frame per colour, ten bits, with the colours declared."""
    options = {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:keyint=1", "crf": "4"}
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=10)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = trc, primaries, matrix, 1
        context.options = options
        for n, code in enumerate(codes):
            image = np.broadcast_to(np.asarray(code, np.uint16), (size, size, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=matrix, dst_color_range=1)
            frame.pts, frame.time_base = n, Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize(("transfer", "trc"), [("pq", 16), ("hlg", 18)])
def test_colour_words_of_hdr_are_those_of_ordinary_video(transfer: str, trc: int, folder: Path) -> None:
    path = folder / f"{transfer}.mp4"
    write_coloured(path, [hdr_codes(rgb, transfer) for rgb in WORDS.values()], trc, primaries=9, matrix=9)
    info = probe(path)
    assert (info.colours.transfer, info.colours.primaries) == (transfer, "bt2020")
    images = read_frames(info, info.times).images
    for (name, rgb), image in zip(WORDS.items(), images, strict=True):
        shown = image[32, 32].astype(int)
        assert word(shown) == word(np.array(rgb)) == name, shown
        # Up to 70 % of white, which is 220, ordinary colours come back as they were.
        if max(rgb) < 215:
            assert np.abs(shown - rgb).max() <= 9, (name, shown)
    for (_, grey), rgb in zip(stream_frames(info, gray=True), WORDS.values(), strict=True):
        assert abs(grey[32, 32] - np.array([0.2126, 0.7152, 0.0722]) @ np.minimum(rgb, 238)) <= 12


def test_brightness_beyond_white_keeps_its_hue_and_order(folder: Path) -> None:
    path = folder / "bright.mp4"
    levels = [np.array([code, 0, 0]) for code in range(30_000, 65_000, 5_000)]
    write_coloured(path, levels, 16, primaries=1, matrix=9)
    reds = read_frames(info := probe(path), info.times).images[:, 32, 32].astype(int)
    assert info.colours.primaries == "bt709"
    assert (np.diff(reds[:, 0]) >= 0).all() and reds[-1, 0] > 245
    assert all(word(red) == "red" for red in reds[1:])


def test_ordinary_video_is_untouched(folder: Path) -> None:
    """Values are converted by the decoder's own matrix alone, whether BT.709 is declared or nothing is."""
    paths = []
    for trc, primaries in ((1, 1), (2, 2), (6, 6)):
        paths.append(folder / f"sdr{trc}.mp4")
        write_coloured(paths[-1], [np.array(rgb) * 257 for rgb in WORDS.values()], trc, primaries, matrix=1)
    for path in paths:
        info = probe(path)
        assert info.colours.ordinary
        shown = read_frames(info, info.times).images[:, 32, 32].astype(int)
        assert np.abs(shown - list(WORDS.values())).max() <= 4


def as_dolby_vision(path: Path, profile: int, compatible: int) -> None:
    """Write the configuration of Dolby Vision in the place of a box that players may ignore."""
    data = bytearray(path.read_bytes())
    at = data.index(b"btrt")
    data[at : at + 16] = b"dvcC" + bytes([1, 0, profile << 1, 6 << 3 | 5, compatible << 4]) + bytes(7)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("profile", "compatible", "named"), [(5, 0, True), (8, 1, False), (10, 0, True), (10, 1, False)]
)
def test_dolby_vision_without_a_base_layer_is_named(profile: int, compatible: int, named: bool, tmp_path: Path) -> None:
    """Its colours are of a space of its own; a base layer of HDR10 or HLG is shown as such. Also in Matroska."""
    path = tmp_path / "a.mp4"
    write_coloured(path, [np.array([30_000, 1_000, 1_000])] * 2, 2, 2, 2)
    assert not probe(path).warnings
    as_dolby_vision(path, profile, compatible)
    with av.open(str(path)) as source, av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    for file in (path, tmp_path / "a.mkv"):
        assert any("Dolby Vision" in w for w in probe(file).warnings) == named, file


def hdr10_plus(nits: int) -> bytes:
    """An HEVC message of SMPTE ST 2094-40 for one scene, whose brightest channel has some nits."""
    bits = f"{1:02b}{1000:027b}0" + f"{nits * 10:017b}" * 4 + f"{0:04b}{0:010b}000"
    content = bytes([0xB5, 0, 0x3C, 0, 1, 4, 1])
    content += int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes((len(bits) + 7) // 8, "big")
    message = bytes([4, len(content)]) + content + b"\x80"
    unit = b"\x4e\x01" + message.replace(b"\0\0", b"\0\0\3")
    return len(unit).to_bytes(4, "big") + unit


def test_brightness_scene_by_scene_changes_nothing(folder: Path) -> None:
    """HDR10+ describes how a screen may squeeze each scene; the base layer is shown as HDR10."""
    plain, dynamic = folder / "hdr10.mp4", folder / "hdr10plus.mp4"
    write_coloured(plain, [hdr_codes(WORDS[name], "pq") for name in ("red", "white", "blue")], 16, 9, 9)
    with av.open(str(plain)) as source, av.open(str(dynamic), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size:
                longer = av.Packet(hdr10_plus(400 * number + 100) + bytes(packet))
                longer.pts, longer.dts, longer.time_base = packet.pts, packet.dts, packet.time_base
                longer.is_keyframe, longer.stream = packet.is_keyframe, copy
                out.mux(longer)
    with av.open(str(dynamic)) as container:
        frames = list(container.decode(video=0))
        assert all("DYNAMIC_HDR_PLUS" in [data.type.name for data in frame.side_data] for frame in frames)
    first, second = (probe(path) for path in (plain, dynamic))
    assert second.colours == first.colours and not second.warnings
    assert (read_frames(first, first.times).images == read_frames(second, second.times).images).all()


def late(path: Path, delay: float = 5.0, picture: float = 2.0, sound: float = 7.0, codec: str = "aac") -> VideoInfo:
    """A video whose sound begins at 0 and whose picture begins later."""
    clock = Fraction(1, 12_800)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.options = {"preset": "ultrafast"}
        audio = out.add_stream(codec, rate=44_100)
        audio.layout = "mono"
        packets = []
        for k in range(round(picture * 20)):
            frame = av.VideoFrame.from_ndarray(clips.picture(k), "rgb24")
            frame.pts, frame.time_base = round((delay + k / 20) / clock), clock
            packets += stream.encode(frame)
        packets += [*stream.encode(None), *clips.sound_packets(audio, sound)]
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return probe(path)


@pytest.mark.parametrize(
    ("ending", "delay", "picture", "sound"),
    [
        (".mp4", 5, 2, 7), (".mkv", 5, 2, 7), (".mov", 5, 2, 7), (".ts", 5, 2, 7), (".mkv", 0, 2, 30),
        (".mkv", 3, 2, 30), (".mp4", 0, 2, 30), (".ts", 0, 2, 30), (".mkv", 30, 1, 20), (".flv", 2, 2, 9),
    ],
)  # fmt: skip
def test_the_clock_of_players_and_whole_files(
    ending: str, delay: float, picture: float, sound: float, tmp_path: Path
) -> None:
    info = late(tmp_path / f"late{ending}", delay, picture, sound)
    assert info.delay == pytest.approx(delay, abs=0.06)
    assert info.duration == pytest.approx(picture, abs=0.06)
    assert not info.truncated and not info.warnings


def test_a_matroska_file_that_really_ends_early_is_called_cut_off(tmp_path: Path) -> None:
    info = late(tmp_path / "late.mkv", delay=2, picture=8, sound=10)
    data = (tmp_path / "late.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    cut = probe(tmp_path / "cut.mkv")
    assert cut.truncated and "cut off" in cut.warnings[0] and not info.truncated


def test_subtitles_and_overlays_keep_the_clock_of_players(tmp_path: Path) -> None:
    info = late(tmp_path / "late.mp4", delay=5)
    record = Grounding(id="a", query="it moves", status="answered", spans=[SpanRecord(start=0.5, end=1.5)])
    (text,) = srt.write(record, info, tmp_path / "a.srt")
    assert "00:00:05,500 --> 00:00:06,500" in text.read_text()
    (text,) = vtt.write(record, info, tmp_path / "a.vtt")
    assert "00:00:05.500 --> 00:00:06.500" in text.read_text()
    assert write_overlay(info, {}, tmp_path / "over.mp4") == []
    again = probe(tmp_path / "over.mp4")
    assert again.delay == pytest.approx(5, abs=0.01) and again.times == pytest.approx(info.times, abs=1e-3)
    with av.open(info.path) as a, av.open(str(tmp_path / "over.mp4")) as b:
        original, copied = ([bytes(p) for p in c.demux(c.streams.audio[0]) if p.size] for c in (a, b))
    assert original == copied


def spoilt(path: Path, out: Path, change: str) -> VideoInfo:
    """A copy of a Matroska or mp4 file whose sound packets are damaged in one of several ways."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        count = 0
        for packet in source.demux():
            if not packet.size:
                continue
            kind = packet.stream.type
            packet.stream = streams[packet.stream.index]
            if kind == "audio":
                count += 1
                if change == "noise" or (change == "some noise" and count % 3):
                    noise = av.Packet(np.random.default_rng(count).bytes(packet.size))
                    noise.stream, noise.time_base, noise.pts, noise.dts = (
                        packet.stream,
                        packet.time_base,
                        packet.pts,
                        packet.dts,
                    )
                    packet = noise
            target.mux(packet)
    if change in ("back", "ahead", "far"):
        data = bytearray(out.read_bytes())
        # The time of the 20th block of the sound track (number 2) of a Matroska file, relative to its cluster.
        places = [k for k in range(len(data) - 4) if data[k] == 0x82 and data[k - 3] == 0xA3 and data[k + 3] == 0x80]
        (time,) = struct.unpack_from(">h", data, places[20] + 1)
        struct.pack_into(">h", data, places[20] + 1, {"back": time - 300, "ahead": 9000, "far": 32_000}[change])
        out.write_bytes(data)
    return probe(out)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("change", ["noise", "some noise", "back", "ahead", "far"])
def test_damaged_sound_never_keeps_the_picture_from_being_written(change: str, codec: str, tmp_path: Path) -> None:
    late(tmp_path / "whole.mkv", delay=0, picture=3, sound=3, codec=codec)
    info = spoilt(tmp_path / "whole.mkv", tmp_path / "spoilt.mkv", change)
    warnings = write_overlay(info, {}, tmp_path / "over.mp4")
    written = probe(tmp_path / "over.mp4")
    assert written.times == pytest.approx(info.times, abs=1e-3)
    with av.open(str(tmp_path / "over.mp4")) as container:
        assert container.duration < 4_500_000, "no false time stamp makes the file longer"
    if change in ("back", "ahead", "far"):
        assert any("sound track is damaged" in warning for warning in warnings), warnings


def test_sound_that_mp4_cannot_hold_is_left_out_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = late(tmp_path / "whole.mkv", delay=0, picture=1, sound=1)

    def refuse(*args: object) -> None:
        raise av.error.InvalidDataError(1, "broken")

    monkeypatch.setattr("whenwhere.video.write.sound_of_video", refuse)
    with FrameWriter(tmp_path / "out.mp4", 160, 120, 20, audio=info) as writer:
        writer.write(clips.picture(1))
    assert writer.warnings == ["the sound track is damaged: the video is written without sound"]
    assert not probe(tmp_path / "out.mp4").audio
