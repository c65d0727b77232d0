"""Tiny clips for tests, made with PyAV: every frame carries its number as a barcode, so that the picture itself tells
which frame came back, whatever its time stamp claims.

`CLIPS` maps a name to a maker; `make(name, folder)` writes the file once and returns a `Clip` with the truth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10
WIDTH, HEIGHT = 160, 120
BAR = 24


@dataclass
class Clip:
    """A file and what a player shows: the number on each displayed frame, and its time from the first one."""

    path: Path
    codes: list[int]
    times: np.ndarray
    start: float = 0.0
    extra: dict = field(default_factory=dict)

    def code_at(self, t: float) -> int:
        return self.codes[max(int(np.searchsorted(self.times, t + 1e-6, side="right")) - 1, 0)]


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A textured, moving picture with its number in black and white cells along the top."""
    y, x = np.mgrid[:height, :width]
    base = 96 + 40 * np.sin((x + 3 * number) / 9.0) + 40 * np.cos((y + 2 * number) / 7.0)
    image = np.stack([base, base * 0.8 + 20, 255 - base], -1).clip(0, 255).astype(np.uint8)
    left = int((width - 30) * (0.5 + 0.5 * np.sin(number / 11)))
    image[height // 2 : height // 2 + 30, left : left + 30] = (200, 40, 40)
    cell = width / BITS
    for bit in range(BITS):
        image[:BAR, round(bit * cell) : round((bit + 1) * cell)] = 255 if number >> bit & 1 else 0
    return image


def code(image: np.ndarray) -> int:
    """The number on a picture of any size, colour or grey."""
    grey = image.mean(-1) if image.ndim == 3 else image
    height, width = grey.shape
    cell = width / BITS
    rows = slice(int(height * BAR / HEIGHT * 0.3), max(int(height * BAR / HEIGHT * 0.7), 1))
    return sum(
        1 << bit
        for bit in range(BITS)
        if grey[rows, int((bit + 0.3) * cell) : int((bit + 0.7) * cell) + 1].mean() > 128
    )


def tone(seconds: float, rate: int = 44_100) -> np.ndarray:
    return (0.3 * np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate))).astype(np.float32)


def write(
    path: Path,
    n: int = 60,
    fps: Fraction | int = 30,
    codec: str = "libx264",
    gop: int = 250,
    bf: int = 3,
    times: Sequence[float] | None = None,
    rotation: int = 0,
    sar: Fraction | None = None,
    sound: str | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    change: Callable[[list[av.Packet]], list[av.Packet]] | None = None,
    clock: Fraction | None = None,
    first: int = 0,
    container: str | None = None,
) -> Clip:
    """Encode `n` frames numbered from `first`; `change` may edit the video packets before they are written.

    `container` is FFmpeg's name of it, if the ending means another one.
    """
    fps = Fraction(fps)
    clock = clock or (Fraction(1, 90_000) if times is not None else 1 / fps)
    options = dict(options or {})
    if codec == "libx264":
        options = {"preset": "veryfast", "crf": "24", "sc_threshold": "0", **options}
    with av.open(str(path), "w", format=container, options=muxer or {}) as out:
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.gop_size = gop
        if codec in ("libx264", "libx265", "mpeg2video", "mpeg4"):
            stream.codec_context.max_b_frames = bf
        stream.codec_context.options = options
        if sar is not None:
            stream.codec_context.sample_aspect_ratio = sar
        if rotation:
            stream.set_display_rotation(-rotation)
        audio = None
        if sound:
            audio = out.add_stream(sound, rate=48_000 if sound == "libopus" else 44_100)
            audio.layout = "mono"
        packets: list[av.Packet] = []
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(picture(first + k, *size), "rgb24").reformat(format=pix_fmt)
            frame.pts = k if times is None else round(times[k] / clock)
            if times is None and clock != 1 / fps:
                frame.pts = round(k / fps / clock)
            frame.time_base = clock
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in change(packets) if change else packets:
            packet.stream = stream
            out.mux(packet)
        if audio is not None:
            seconds = n / float(fps) if times is None else times[-1] + 0.1
            for packet in sound_packets(audio, seconds):
                out.mux(packet)
    shown = np.asarray(times, float) if times is not None else np.arange(n) / float(fps)
    return Clip(path, list(range(first, first + n)), shown - shown[0], start=float(shown[0]))


def sound_packets(stream: av.audio.stream.AudioStream, seconds: float) -> Iterator[av.Packet]:
    rate = stream.rate
    wave = tone(seconds, rate)
    formats = {"aac": "fltp", "libopus": "flt", "pcm_s16le": "s16", "libmp3lame": "fltp", "mp2": "s16"}
    form = formats.get(stream.codec_context.name, "fltp")
    resampler = av.AudioResampler(format=form, layout="mono", rate=rate, frame_size=960 if rate == 48_000 else 1024)
    frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from stream.encode(piece)
    yield from stream.encode(None)


def _plain(path: Path) -> Clip:
    return write(path, gop=20)


def _sound_only(path: Path) -> Clip:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44_100)
        stream.layout = "mono"
        for packet in sound_packets(stream, 1.0):
            out.mux(packet)
    return Clip(path, [], np.zeros(0))


def _cover(path: Path) -> Clip:
    """A song with a cover picture."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44_100)
        stream.layout = "mono"
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.VideoFrame.from_ndarray(picture(1, 64, 64), "rgb24").reformat(format="yuvj420p")
        frame.pts, frame.time_base = 0, Fraction(1)
        for packet in [*cover.encode(frame), *cover.encode(None)]:
            out.mux(packet)
        for packet in sound_packets(stream, 1.0):
            out.mux(packet)
    return Clip(path, [], np.zeros(0))


def _edited(path: Path) -> Clip:
    """Cut by an edit list: decoding begins at frame 0, showing at frame 23."""

    def earlier(packets: list[av.Packet]) -> list[av.Packet]:
        for p in packets:
            p.pts -= 23
            p.dts -= 23
        return packets

    clip = write(path, n=60, gop=40, change=earlier, muxer={"avoid_negative_ts": "disabled"})
    return Clip(path, clip.codes[23:], np.arange(37) / 30)


def _offset(path: Path) -> Clip:
    """A transport stream whose clock stands at 6.4 s when it begins."""

    def later(packets: list[av.Packet]) -> list[av.Packet]:
        for p in packets:
            p.pts += 192
            p.dts += 192
        return packets

    return write(path, n=60, gop=20, change=later)


def _headless(path: Path) -> Clip:
    """Recorded from the middle of a group of pictures: nothing can be shown before frame 20."""
    clip = write(path, n=60, gop=20, change=lambda packets: packets[5:])
    return Clip(path, clip.codes[20:], np.arange(40) / 30)


def _truncated(path: Path) -> Clip:
    """Index in front, the last third of the bytes gone."""
    clip = write(path, n=90, gop=15, muxer={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return clip


def _indexless(path: Path) -> Clip:
    clip = write(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    return clip


def _corrupt(path: Path) -> Clip:
    """Frames 40 to 49 overwritten with noise; key frames at every 15."""
    clip = write(path, n=120, gop=15)
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        where = [(p.pos, p.size) for p in source.demux(stream) if p.size][40:50]
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0)
    for at, size in where:
        data[at : at + size] = noise.bytes(size)
    path.write_bytes(data)
    clip.extra["damaged"] = (40, 60)
    return clip


def _hidden(path: Path) -> Clip:
    """Frame 10 is a reference that is never shown: bit 4 of a VP8 frame says so."""

    def hide(packets: list[av.Packet]) -> list[av.Packet]:
        data = bytearray(bytes(packets[10]))
        data[0] &= ~0x10
        hidden = av.Packet(bytes(data))
        hidden.pts, hidden.dts, hidden.time_base = packets[10].pts, packets[10].dts, packets[10].time_base
        packets[10] = hidden
        return packets

    clip = write(path, n=60, gop=20, codec="libvpx", options=_VP8, change=hide)
    return Clip(path, [k for k in clip.codes if k != 10], np.delete(clip.times, 10))


def _matroska(path: Path) -> Clip:
    """29.97 frames a second on a clock of milliseconds."""
    clip = write(path, n=60, gop=20, fps=Fraction(30_000, 1001))
    clip.times = np.round(clip.times, 3)
    return clip


def _doubled(path: Path) -> Clip:
    """Two frames with one time stamp: the later one stays on the screen."""

    def double(packets: list[av.Packet]) -> list[av.Packet]:
        packets[11].pts = packets[11].dts = 10
        return packets

    write(path, n=30, codec="mjpeg", pix_fmt="yuvj420p", change=double)
    codes = [k for k in range(30) if k != 10]
    return Clip(path, codes, np.array([10 if k == 11 else k for k in codes]) / 30)


def _text(path: Path) -> Clip:
    path.write_text("This is no video.\n" * 40)
    return Clip(path, [], np.zeros(0))


def _empty(path: Path) -> Clip:
    path.write_bytes(b"")
    return Clip(path, [], np.zeros(0))


_GAPS = np.cumsum(np.tile([1, 1, 4, 2, 1, 9, 1, 3], 8)[:60]) / 30.0

# name -> (file ending, maker)
CLIPS: dict[str, tuple[str, Callable[[Path], Clip]]] = {
    "plain": (".mp4", _plain),
    "one-gop": (".mp4", lambda p: write(p, n=60)),
    "no-b": (".mp4", lambda p: write(p, gop=20, bf=0)),
    "intra": (".mp4", lambda p: write(p, n=30, gop=1, bf=0)),
    "open-gop": (".mp4", lambda p: write(p, n=80, gop=16, options={"x264-params": "open-gop=1:b-adapt=0"})),
    "ntsc": (".mp4", lambda p: write(p, n=60, gop=20, fps=Fraction(30_000, 1001))),
    "mkv": (".mkv", _matroska),
    "vfr": (".mp4", lambda p: write(p, n=60, gop=20, times=_GAPS)),
    "vfr-mkv": (".mkv", lambda p: write(p, n=60, gop=20, times=np.round(_GAPS - _GAPS[0], 3), clock=Fraction(1, 1000))),
    "rotated-90": (".mp4", lambda p: write(p, gop=20, rotation=90)),
    "rotated-180": (".mp4", lambda p: write(p, n=30, gop=20, rotation=180)),
    "rotated-270": (".mp4", lambda p: write(p, n=30, gop=20, rotation=270)),
    "edit-list": (".mp4", _edited),
    "ts-offset": (".ts", _offset),
    "headless": (".ts", _headless),
    "truncated": (".mp4", _truncated),
    "indexless": (".mp4", _indexless),
    "corrupt": (".mp4", _corrupt),
    "one-frame": (".mp4", lambda p: write(p, n=1)),
    "doubled": (".mkv", _doubled),
    "raw": (".h264", lambda p: write(p, n=40, gop=20)),
    "avi": (".avi", lambda p: write(p, n=40, gop=20, codec="mpeg4", bf=0)),
    "mpeg2": (".mpg", lambda p: write(p, n=60, gop=15, codec="mpeg2video", bf=2, options={"b": "2000000"})),
    "hevc": (".mp4", lambda p: write(p, n=60, gop=20, codec="libx265", options=_X265)),
    "vp9": (
        ".webm",
        lambda p: write(p, n=60, gop=20, codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    ),
    "vp8": (".webm", _hidden),
    "av1": (
        ".mp4",
        lambda p: write(p, n=60, gop=20, codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}),
    ),
    "ten-bit": (".mp4", lambda p: write(p, n=30, gop=10, pix_fmt="yuv420p10le")),
    "odd": (".mkv", lambda p: write(p, n=20, codec="ffv1", pix_fmt="yuv444p", size=(163, 121))),
    "wide-pixels": (".mp4", lambda p: write(p, n=30, gop=10, sar=Fraction(4, 3))),
    "aac": (".mp4", lambda p: write(p, n=90, gop=30, sound="aac")),
    "opus": (".webm", lambda p: write(p, n=60, gop=30, codec="libvpx-vp9", sound="libopus", options=_VP9)),
    "pcm": (".mkv", lambda p: write(p, n=60, gop=30, sound="pcm_s16le")),
    "sound-only": (".m4a", _sound_only),
    "cover": (".mp4", _cover),
    "empty": (".mp4", _empty),
    "text": (".mp4", _text),
    "text-file": (".txt", _text),
}
_X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:bframes=3:open-gop=1:pools=1:frame-threads=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8"}
_AV1 = {"preset": "11", "svtav1-params": "lp=1"}
_VP8 = {"deadline": "realtime", "cpu-used": "5"}

# Every displayed frame of these decodes.
SOUND = sorted(set(CLIPS) - {"truncated", "indexless", "corrupt", "sound-only", "cover", "empty", "text", "text-file"})

_made: dict[tuple[str, Path], Clip] = {}


def make(name: str, folder: Path) -> Clip:
    """The clip of that name in a folder, written the first time."""
    if (name, folder) not in _made:
        ending, maker = CLIPS[name]
        _made[name, folder] = maker(folder / (name + ending))
    return _made[name, folder]
