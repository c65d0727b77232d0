"""Clips for benchmarks/reader.py, made with PyAV, cached in a folder; every frame carries its number as a barcode.

Content: a camera panning over 1/f noise, three textured sprites, film grain, another scene every six seconds; 30 frames
a second. The 60 s clip is encoded (all streams from one pass over the pictures), the 10 s clip is its first ten
seconds encoded alone, 10 and 60 minutes are the 60 s clip's packets repeated, so that barcodes repeat too.

The special clips (`special`) are small and each break one assumption that readers make.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

FPS = 30
BITS = 16
SECONDS = 60

# name -> (encoder, options, frames between key frames, B-frames)
STREAMS: dict[str, tuple[str, dict[str, str], int, int]] = {
    "h264 gop250": ("libx264", {"preset": "veryfast", "crf": "24", "sc_threshold": "0"}, 250, 3),
    "h264 gop30": ("libx264", {"preset": "veryfast", "crf": "24", "sc_threshold": "0"}, 30, 3),
    "h264 no-b gop250": ("libx264", {"preset": "veryfast", "crf": "24", "sc_threshold": "0"}, 250, 0),
    "hevc gop250": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=250:bframes=3"}, 250, 3),
    "vp9 gop250": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "row-mt": "1"}, 250, 0),
    "av1 gop250": ("libsvtav1", {"preset": "12", "crf": "38"}, 250, 0),
}
SIZES = {"360p": (640, 360), "720p": (1280, 720)}


def barcode(image: np.ndarray, number: int) -> None:
    """Draw a number along the top, in place: 16 cells, black 0 and white 1."""
    height, width = image.shape[:2]
    for bit in range(BITS):
        cell = image[: height // 15, bit * width // BITS : (bit + 1) * width // BITS]
        cell[:] = 255 if number >> bit & 1 else 0


def number(image: np.ndarray) -> int:
    """The number along the top of a picture of any size."""
    height, width = image.shape[:2]
    rows = slice(max(height // 60, 1), max(height // 24, 2))
    cell = width / BITS
    return sum(
        1 << bit
        for bit in range(BITS)
        if image[rows, int((bit + 0.3) * cell) : max(int((bit + 0.7) * cell), int((bit + 0.3) * cell) + 1)].mean() > 128
    )


def _texture(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    spectrum = np.fft.rfft2(random.standard_normal((height, width, 3)), axes=(0, 1))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    spectrum /= np.maximum(np.hypot(fy, fx), 1e-3)[..., None] ** 1.1
    image = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return ((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)


def pictures(n: int, width: int = 1280, height: int = 720) -> Iterator[np.ndarray]:
    """The first `n` pictures, RGB uint8 (height, width, 3); the same every time."""
    random = np.random.default_rng(0)
    scenes = [_texture(random, height * 3 // 2, width * 3 // 2) for _ in range(4)]
    side = height // 3
    sprites = [_texture(random, side, side * 5 // 6) for _ in range(4)]
    grain = [random.normal(0, 4, (height, width, 1)).astype(np.int16) for _ in range(7)]
    for k in range(n):
        t = k / FPS
        scene = int(t // 6) % 4
        x = width / 4 * (1 + 0.8 * np.sin(0.4 * t + scene))
        y = height / 4 * (1 + 0.7 * np.cos(0.53 * t))
        # A camera does not move by whole pixels.
        move = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
        image = cv2.warpAffine(scenes[scene], move, (width, height), flags=cv2.INTER_LINEAR)
        for s in range(3):
            sprite = sprites[(scene + s) % 4]
            left = int((width - sprite.shape[1]) * (0.5 + 0.5 * np.sin(t * (0.7 + 0.3 * s) + s)))
            top = int((height - side * 4 / 3) * (0.5 + 0.5 * np.cos(t * (0.5 + 0.2 * s) + s)) + side / 3)
            image[top : top + side, left : left + sprite.shape[1]] = sprite[: height - top]
        out = (image + grain[k % 7]).clip(0, 255).astype(np.uint8)
        barcode(out, k)
        yield out


class _Encoder:
    def __init__(self, path: Path, name: str, width: int, height: int) -> None:
        codec, options, gop, b_frames = STREAMS[name]
        self.path = path
        self.part = path.with_suffix(".part" + path.suffix)
        self.out = av.open(str(self.part), "w")
        self.stream = self.out.add_stream(codec, rate=FPS)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        context = self.stream.codec_context
        context.gop_size = gop
        if codec in ("libx264", "libx265"):
            context.max_b_frames = b_frames
        if codec == "libx264":
            options = {**options, "x264-params": f"keyint={gop}:min-keyint={gop}"}
        context.options = options

    def write(self, frame: av.VideoFrame, k: int) -> None:
        frame.pts, frame.time_base = k, Fraction(1, FPS)
        self.out.mux(self.stream.encode(frame))

    def close(self) -> None:
        self.out.mux(self.stream.encode(None))
        self.out.close()
        self.part.replace(self.path)


def path_of(folder: Path, name: str, size: str, seconds: int) -> Path:
    """Where a clip lies."""
    ending = ".webm" if name.startswith("vp9") else ".mp4"
    return folder / f"{size} {name} {seconds}s{ending}".replace(" ", "_")


def make(folder: Path, name: str, size: str, seconds: int) -> Path:
    """A clip of one stream, size and length, made if it is not there."""
    path = path_of(folder, name, size, seconds)
    if path.exists():
        return path
    if seconds > SECONDS:
        return _repeat(make(folder, name, size, SECONDS), path, seconds // SECONDS)
    # All streams of this length come from one pass.
    encode(folder, list(STREAMS) if seconds == SECONDS else [n for n in STREAMS if n.startswith("h264 gop")], seconds)
    return path


def encode(folder: Path, names: list[str], seconds: int) -> None:
    """Encode several streams in both sizes from one pass over the pictures."""
    encoders = {
        size: [_Encoder(p, n, *SIZES[size]) for n in names if not (p := path_of(folder, n, size, seconds)).exists()]
        for size in SIZES
    }
    if not any(encoders.values()):
        return
    for k, picture in enumerate(pictures(seconds * FPS)):
        for size, (width, height) in SIZES.items():
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = frame.reformat(width, height, "yuv420p", interpolation=Interpolation.AREA)
            for encoder in encoders[size]:
                encoder.write(frame, k)
    for some in encoders.values():
        for encoder in some:
            encoder.close()


def _repeat(source: Path, path: Path, times: int) -> Path:
    """The packets of a clip several times in a row."""
    part = path.with_suffix(".part" + path.suffix)
    with av.open(str(part), "w") as out:
        stream = None
        for k in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                shift = round(k * SECONDS / video.time_base)
                for packet in container.demux(video):
                    if not packet.size:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    out.mux(packet)
    part.replace(path)
    return path


@dataclass
class Special:
    """A clip that breaks an assumption: what must be shown at which time; `numbers` None = it must be refused."""

    name: str
    path: Path
    times: list[float]
    numbers: list[int] | None
    # Numbers that cannot be right because the file is damaged there; None is then right too.
    lost: tuple[int, int] | None = None


@lru_cache(maxsize=1)
def _small_pictures() -> tuple[np.ndarray, ...]:
    return tuple(pictures(300, 320, 240))


def _small(
    path: Path,
    times: np.ndarray,
    shift: int = 0,
    rotation: int = 0,
    gop: int = 30,
    muxer: dict[str, str] | None = None,
) -> Path:
    clock = Fraction(1, 90_000)
    with av.open(str(path), "w", options=muxer or {}) as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = 3
        stream.codec_context.options = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:scenecut=0"}
        if rotation:
            stream.set_display_rotation(-rotation)
        packets = []
        for picture, t in zip(_small_pictures(), times, strict=False):
            if rotation:
                # The number must be readable when the picture stands upright.
                upright = np.rot90(picture, -1).copy()
                barcode(upright, number(picture))
                picture = np.rot90(upright)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(t / clock), clock
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            packet.pts += shift
            packet.dts += shift
            packet.stream = stream
            out.mux(packet)
    return path


def special(folder: Path) -> list[Special]:
    """The small clips of the correctness table, ten seconds each unless they say otherwise."""
    even = np.arange(300) / FPS
    asked = [i + 0.5 for i in range(10)]
    # A screen recording: lively for two seconds, then a picture now and then.
    gaps = np.cumsum([0, *[1] * 60, *[9, 4, 15, 30, 2] * 4]) / FPS

    def shown(times: np.ndarray, t: float) -> int:
        return int(np.searchsorted(times, t + 1e-6, side="right")) - 1

    def cut(path: Path, keep: float) -> Path:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
        return path

    def damaged(path: Path) -> Path:
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            where = [(p.pos, p.size) for p in container.demux(video) if p.size][100:110]
        data = bytearray(path.read_bytes())
        for at, size in where:
            data[at : at + size] = np.random.default_rng(0).bytes(size)
        path.write_bytes(data)
        return path

    def sound(path: Path) -> Path:
        with av.open(str(path), "w") as out:
            stream = out.add_stream("aac", rate=44_100)
            stream.layout = "mono"
            for k in range(40):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 44_100, 1024 * k, Fraction(1, 44_100)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path

    def plain(path: Path, data: bytes) -> Path:
        path.write_bytes(data)
        return path

    folder.mkdir(parents=True, exist_ok=True)
    hidden = {"avoid_negative_ts": "disabled"}
    front = {"movflags": "+faststart"}
    makers: list[tuple[str, str, Callable[[Path], Path], list[float], list[int] | None, tuple[int, int] | None]] = [
        ("constant rate", ".mp4", lambda p: _small(p, even), asked, [shown(even, t) for t in asked], None),
        ("variable rate", ".mp4", lambda p: _small(p, gaps), asked, [shown(gaps, t) for t in asked], None),
        ("rotated 90°", ".mp4", lambda p: _small(p, even, rotation=90), asked, [shown(even, t) for t in asked], None),
        (
            "edit list (starts at 1.37 s)",
            ".mp4",
            lambda p: _small(p, even, shift=-41 * 3000, gop=60, muxer=hidden),
            asked[:8],
            [shown(even, t + 41 / FPS) for t in asked[:8]],
            None,
        ),
        ("transport stream from 6.4 s", ".ts", lambda p: _small(p, even, shift=576_000), asked, None, None),
        ("cut off, index in front", ".mp4", lambda p: cut(_small(p, even, muxer=front), 0.6), asked[:5], None, None),
        ("cut off, no index", ".mp4", lambda p: cut(_small(p, even), 0.6), asked[:5], None, None),
        ("damaged middle (3.3–4 s)", ".mp4", lambda p: damaged(_small(p, even)), asked, None, (99, 120)),
        ("one frame", ".mp4", lambda p: _small(p, even[:1]), [0.0], [0], None),
        ("sound only", ".m4a", sound, [0.5], None, None),
        ("empty", ".mp4", lambda p: plain(p, b""), [0.5], None, None),
        ("text", ".mp4", lambda p: plain(p, b"no video\n" * 50), [0.5], None, None),
    ]
    playable = ("transport", "cut off, index", "damaged")
    out = []
    for name, ending, maker, times, numbers, lost in makers:
        path = folder / ("special_" + "".join(c if c.isalnum() else "_" for c in name) + ending)
        if not path.exists():
            maker(path)
        if numbers is None and name.startswith(playable):
            numbers = [shown(even, t) for t in times]
        out.append(Special(name, path, times, numbers, lost))
    return out
