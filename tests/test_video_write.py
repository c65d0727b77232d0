"""Writing: files are read back by the reader, and checked byte by byte where players are strict."""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from whenwhere.errors import OutputError, QueryError, SettingError
from whenwhere.spans import Span
from whenwhere.video import FrameWriter, probe, read_frames, stream_frames, write_clip, write_overlay
from whenwhere.video.draw import COLOURS, draw_box

sys.path.insert(0, str(Path(__file__).parent))
import clips


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def atoms(path: Path) -> list[str]:
    """Names of the file's top-level boxes, in order."""
    out, at, data = [], 0, path.read_bytes()
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        out.append(kind.decode())
        at += size if size > 1 else len(data)
    return out


def playable(path: Path) -> dict:
    """Asserts what browsers need; returns facts about the sound."""
    order = atoms(path)
    assert order.index("moov") < order.index("mdat"), "the index must come first"
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.codec_context.profile in ("High", "Main", "Constrained Baseline")
        assert video.width % 2 == video.height % 2 == 0
        sound = container.streams.audio
        return {"codec": sound[0].codec_context.name, "rate": sound[0].rate} if sound else {}


def loudness(path: Path, rate: int = 100) -> tuple[np.ndarray, float]:
    """Root mean square of the sound in steps of 1/rate seconds, and the time of its first sample."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        waves, start = [], None
        for frame in container.decode(stream):
            start = float(frame.pts * frame.time_base) if start is None else start
            # The first channel; every decoder used here gives one row per channel.
            waves.append(frame.to_ndarray()[0].astype(float))
        sound = np.concatenate(waves)
        step = stream.rate // rate
    sound = sound[: len(sound) // step * step].reshape(-1, step)
    return np.sqrt((sound**2).mean(1)), start or 0.0


@pytest.mark.parametrize("size", [(160, 120), (161, 121), (64, 50)])
@pytest.mark.parametrize("fps", [30, 29.97, 12.5])
def test_frames_come_back(tmp_path: Path, size: tuple[int, int], fps: float) -> None:
    path = tmp_path / "out.mp4"
    with FrameWriter(path, *size, fps) as writer:
        for k in range(20):
            writer.write(clips.picture(k, *size))
    assert playable(path) == {}
    info = probe(path)
    rate = Fraction(30_000, 1001) if fps == 29.97 else Fraction(fps)
    assert (info.fps_exact, info.vfr) == (rate, False)
    assert info.duration == pytest.approx(20 / rate)
    frames = read_frames(info, info.times)
    assert [clips.code(image) for image in frames.images] == list(range(20))
    # Coordinates stay: an odd edge is repeated, not stretched.
    picture = clips.picture(7, *size)
    shown = frames.images[7][: size[1], : size[0]].astype(int)
    assert np.abs(shown - picture).mean() < 8
    assert not [p for p in tmp_path.iterdir() if p != path]


def test_colours_come_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 160, 30)], np.uint8)
    with FrameWriter(path, 96, 32, 10) as writer:
        for _ in range(3):
            writer.write(np.repeat(np.repeat(colours[None], 32, 0), 16, 1))
    image = read_frames(probe(path), [0.1]).images[0].astype(int)
    assert np.abs(image[16, 8::16] - colours).max() <= 6


def test_own_times_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times = [0.0, 0.04, 0.5, 0.51, 2.0]
    with FrameWriter(path, 160, 120, 25) as writer:
        for k, t in enumerate(times):
            writer.write(clips.picture(k), t)
    info = probe(path)
    assert info.times == pytest.approx(times, abs=1e-4)
    assert info.vfr


def test_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with FrameWriter(path, 160, 120, 5) as writer:
        writer.write(clips.picture(9))
    info = probe(path)
    assert info.duration == pytest.approx(0.2)
    assert clips.code(read_frames(info, [0.0]).images[0]) == 9


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 1), (48_000, 2), (17_000, 1)])
def test_samples_become_sound(tmp_path: Path, rate: int, channels: int) -> None:
    path = tmp_path / "out.mp4"
    wave = clips.tone(2.0, rate)
    wave[:rate] = 0
    samples = wave if channels == 1 else np.stack([wave] * 2, 1)
    with FrameWriter(path, 160, 120, 10, audio=(samples, rate)) as writer:
        for k in range(20):
            writer.write(clips.picture(k))
    assert playable(path)["codec"] == "aac"
    loud, start = loudness(path)
    assert start == pytest.approx(0, abs=0.03)
    # The tone begins where it was put.
    assert np.flatnonzero(loud > 0.1)[0] / 100 == pytest.approx(1.0 - start, abs=0.05)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), FrameWriter(path, 160, 120, 10) as writer:
        writer.write(clips.picture(0))
        raise ZeroDivisionError
    with pytest.raises(OutputError, match="no frame"), FrameWriter(path, 160, 120, 10):
        pass
    with pytest.raises(OutputError, match="not 120 rows"), FrameWriter(path, 160, 120, 10) as writer:
        writer.write(clips.picture(0, 100, 100))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_and_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), FrameWriter(tmp_path / "file" / "out.mp4", 64, 64, 10):
        pass
    with pytest.raises(SettingError, match="cannot be written"):
        FrameWriter(tmp_path / "out.mp4", 64, 64, 0)


def test_disk_full(tmp_path: Path) -> None:
    """A real full disk: the encoder's output goes to /dev/full."""
    if not Path("/dev/full").exists():
        pytest.skip("system: there is no /dev/full")
    writer = FrameWriter(tmp_path / "out.mp4", 160, 120, 10)
    with pytest.raises(OutputError, match=r"out\.mp4"), writer:
        writer._out.close()
        writer._out = av.open("/dev/full", "w", format="mp4", options={"movflags": "frag_every_frame"})
        stream = writer._out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        writer._stream = stream
        for k in range(60):
            writer.write(clips.picture(k))
    assert not list(tmp_path.iterdir())


def boxes_of(info, label: str = "0") -> dict:
    times = np.round(info.times, 3)
    left = np.linspace(5, info.width - 45, len(times))
    return {label: (times, np.stack([left, np.full_like(left, 40), left + 40, np.full_like(left, 90)], 1))}


@pytest.mark.parametrize(
    ("name", "codec"), [("aac", "aac"), ("opus", "opus"), ("pcm", "aac"), ("plain", None), ("vfr", None)]
)
def test_overlay_keeps_picture_times_and_sound(name: str, codec: str | None, folder: Path, tmp_path: Path) -> None:
    info = probe(clips.make(name, folder).path)
    out = tmp_path / "overlay.mp4"
    boxes = boxes_of(info)
    assert write_overlay(info, boxes, out, {"0": "Größe 1"}) == []
    assert playable(out).get("codec") == codec
    written = probe(out)
    assert written.times == pytest.approx(info.times, abs=1e-3)
    frames = read_frames(written, written.times[::9])
    for image, k in zip(frames.images, range(0, len(info.times), 9), strict=True):
        assert clips.code(image) == clips.make(name, folder).codes[k]
        x1, _, x2, y2 = np.round(boxes["0"][1][k]).astype(int)
        assert np.abs(image[y2 - 1, (x1 + x2) // 2].astype(int) - COLOURS[0]).max() < 70
    if codec:
        loud, start = loudness(out)
        assert abs(start) < 0.05
        assert (loud[10:-20] > 0.15).mean() > 0.97
        assert len(loud) / 100 == pytest.approx(info.duration, abs=0.15)
    if codec == "aac" and name == "aac":
        with av.open(info.path) as a, av.open(str(out)) as b:
            original, copied = ([bytes(p) for p in c.demux(c.streams.audio[0]) if p.size] for c in (a, b))
        assert original == copied, "the sound must be copied, not encoded again"


def test_overlay_without_a_box_or_with_nan(folder: Path, tmp_path: Path) -> None:
    info = probe(clips.make("plain", folder).path)
    boxes = np.tile([20.0, 30, 60, 80], (len(info.times), 1))
    boxes[30:] = np.nan
    write_overlay(info, {"a": (info.times, boxes), "b": ([], np.zeros((0, 4)))}, tmp_path / "o.mp4")
    written = probe(tmp_path / "o.mp4")
    early, late = (image.astype(int) for image in read_frames(written, [0.5, 1.5]).images)
    blank = [image.astype(int) for image in read_frames(info, [0.5, 1.5]).images]
    assert np.abs(early[30:80, 20] - blank[0][30:80, 20]).mean() > 25
    assert np.abs(late[30:80, 20] - blank[1][30:80, 20]).mean() < 12


@pytest.mark.parametrize("name", ["rotated-90", "wide-pixels", "odd", "ts-offset", "ten-bit"])
def test_overlay_of_unusual_pictures(name: str, folder: Path, tmp_path: Path) -> None:
    info = probe(clips.make(name, folder).path)
    write_overlay(info, boxes_of(info), tmp_path / "o.mp4")
    playable(tmp_path / "o.mp4")
    written = probe(tmp_path / "o.mp4")
    assert (written.width, written.height) == (info.width + info.width % 2, info.height + info.height % 2)
    assert written.rotation == 0
    assert len(written.times) == len(info.times)


@pytest.mark.parametrize("name", ["aac", "pcm"])
@pytest.mark.parametrize("span", [Span(0.5, 1.5), Span(1.01, 1.77), Span(-3, 0.4), Span(1.2, 99)])
def test_clip_is_cut_at_the_frame(name: str, span: Span, folder: Path, tmp_path: Path) -> None:
    clip = clips.make(name, folder)
    info = probe(clip.path)
    assert write_clip(info, span, tmp_path / "c.mp4") == []
    assert playable(tmp_path / "c.mp4")["codec"] == "aac"
    cut = probe(tmp_path / "c.mp4")
    start, end = max(span.start, 0), min(span.end, info.duration)
    first = int(info.shown(start))
    last = int(info.shown(info.last_before(end)))
    assert [clips.code(image) for image in read_frames(cut, cut.times).images] == list(range(first, last + 1))
    assert cut.times[1:] == pytest.approx(info.times[first + 1 : last + 1] - start, abs=1e-3)
    loud, at = loudness(tmp_path / "c.mp4")
    assert at == pytest.approx(0, abs=0.03)
    assert len(loud) / 100 == pytest.approx(end - start, abs=0.06)


def test_clip_sound_is_the_right_part(tmp_path: Path) -> None:
    """A beep at 1.0-1.2 s of the source is at 0.4-0.6 s of a clip that begins at 0.6 s."""
    wave = clips.tone(3.0)
    wave[:44_100] = wave[int(44_100 * 1.2) :] = 0
    source = tmp_path / "source.mp4"
    with FrameWriter(source, 160, 120, 30, audio=(wave, 44_100)) as writer:
        for k in range(90):
            writer.write(clips.picture(k))
    write_clip(probe(source), Span(0.6, 2.0), tmp_path / "c.mp4")
    loud, _ = loudness(tmp_path / "c.mp4")
    heard = np.flatnonzero(loud > 0.1) / 100
    assert heard[0] == pytest.approx(0.4, abs=0.04)
    assert heard[-1] == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.ts", {"sound": "aac"}), ("a.mkv", {"sound": "aac"}), ("b.ts", {"sound": "mp2"})]
)
def test_sound_of_joined_recordings_begins_with_each_picture(
    name: str, kind: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound of each part is some hundredths longer than its picture; that must not add up."""

    def beep(seconds: float, rate: int = 44_100) -> np.ndarray:
        at = np.arange(int(seconds * rate)) / rate
        return np.where((at >= 0.3) & (at < 0.4), 0.5 * np.sin(at * 2 * np.pi * 440), 0).astype(np.float32)

    monkeypatch.setattr(clips, "tone", beep)
    parts = 2 if name.endswith("mkv") else 5
    part = clips.write(tmp_path / name, n=15, fps=25, gop=5, size=(160, 128), **kind).path
    joined = tmp_path / f"joined{part.suffix}"
    joined.write_bytes(part.read_bytes() * parts)
    info = probe(joined)
    assert len(info.times) == 15 * parts
    warnings = write_overlay(info, {}, tmp_path / "overlay.mp4")
    write_clip(info, Span(0.6, info.duration), tmp_path / "clip.mp4")
    assert not any("sound" in w for w in warnings)
    for file, first in (("overlay.mp4", 0), ("clip.mp4", 1)):
        loud, start = loudness(tmp_path / file)
        heard = np.flatnonzero(loud > 0.1) / 100 + start
        begins = heard[np.append(True, np.diff(heard) > 0.1)]
        offset = info.delay if file == "overlay.mp4" else 0
        assert begins == pytest.approx(0.3 + 0.6 * np.arange(parts - first) + offset, abs=0.04)


def test_clip_outside_the_video(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="outside"):
        write_clip(probe(clips.make("plain", folder).path), Span(5, 6), tmp_path / "c.mp4")


def test_damaged_source_still_gives_an_overlay(folder: Path, tmp_path: Path) -> None:
    info = probe(clips.make("corrupt", folder).path)
    (warning,) = write_overlay(info, boxes_of(info), tmp_path / "o.mp4")
    assert "damaged" in warning
    assert len(probe(tmp_path / "o.mp4").times) == len(info.times)


def test_boxes_at_the_edge() -> None:
    image = np.zeros((50, 60, 3), np.uint8)
    draw_box(image, (-10, -10, 80, 80), (9, 8, 7), "a long label that is wider than the picture itself")
    assert (image[-1, -1] == (9, 8, 7)).all()
    before = image.copy()
    for outside in ((70, 0, 90, 10), (0, -20, 10, -5), (5, 5, 5, 9)):
        draw_box(image, outside, (1, 1, 1), "x")
    assert np.array_equal(before, image)


def test_streaming_frames_may_be_drawn_on(folder: Path) -> None:
    info = probe(clips.make("rotated-90", folder).path)
    for _, image in stream_frames(info, end=0.1):
        image[:] = 0
