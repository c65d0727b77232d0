"""What is known about a video before a frame is read: `VideoInfo` and the table of its packets.

Everything is counted from the frames, because headers are often wrong about duration, frame rate and number of frames.
Times are seconds from the first displayed frame; stream ticks and packet numbers stay inside this room.
"""

from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import QueryError
from whenwhere.records import VideoRecord
from whenwhere.video.colours import Colours
from whenwhere.video.content import content_key

#: A player shows the last frame whose time is <= t; this many seconds allow for the rounding of t.
SLACK = 1e-6
#: Stands for a time stamp that is missing.
NO_TICK = np.iinfo(np.int64).min


def exact_rate(fps: float | Fraction) -> Fraction:
    """A frame rate as the fraction that it stands for: 29.97 is 30000/1001.

    >>> exact_rate(29.97), exact_rate(25.0), exact_rate(12.5), exact_rate(1 / 2700)
    (Fraction(30000, 1001), Fraction(25, 1), Fraction(25, 2), Fraction(1, 2700))
    """
    if isinstance(fps, Fraction):
        return fps
    television = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(television) - fps) < 0.005 * fps / 25 and abs(fps - round(fps)) > 1e-6:
        return television
    return near_fraction(fps)


def near_fraction(rate: float, most: int = 1001) -> Fraction:
    """A simple fraction near a positive rate: its denominator, or its numerator if it is below 1, is at most `most`.

    >>> near_fraction(1 / 3), near_fraction(1 / 86_400)
    (Fraction(1, 3), Fraction(1, 86400))
    """
    # The time between slow pictures is a simpler number than their rate, which would be rounded to 0.
    return 1 / Fraction(1 / rate).limit_denominator(most) if rate < 1 else Fraction(rate).limit_denominator(most)


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The video stream's packets in the file's order, which is decoding order.

    Attributes:
        pts: (n,) presentation time stamps as the demuxer gives them, in stream ticks; NO_TICK if there is none.
        dts: (n,) decoding time stamps, likewise.
        size: (n,) sizes in bytes.
        key: (n,) whether decoding may begin at the packet.
        shown: (n,) whether the packet gives a displayed frame; packets outside edit lists, hidden reference frames
            and broken heads do not.
        tick: (n,) when the packet's frame is shown on the one clock of the video (see `clock`), in ticks of it.
        head: (n,) whether the packet tells the decoder what later ones rely on, key frames included: the first one
            does, and those at which stamps restart or the codec's parameters change.
        seekable: Whether a seek finds a packet by its stamps.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    size: NDArray[np.int64]
    key: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    tick: NDArray[np.int64]
    head: NDArray[np.bool_]
    seekable: bool

    def __len__(self) -> int:
        return len(self.pts)

    def rows(self, index: NDArray[np.intp]) -> "PacketTable":
        """The table of some of these packets."""
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "seekable"}
        return replace(self, **columns)

    def starts_part(self, row: int) -> bool:
        """Whether another part of the video begins at this packet, which refers to nothing before it."""
        return 0 < row < len(self) and bool(self.head[row] and self.key[row])


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """A probed video.

    Attributes:
        path: The local file.
        size: Its size in bytes.
        sha256_1mb: Hash of its first MiB.
        duration: Seconds from the first displayed frame to the end of the last one, measured.
        declared_duration: Duration that the header declares, in seconds, or None.
        start: The container's time of the first displayed frame, in seconds.
        delay: Seconds from the beginning of the file, which may be sound, to the first displayed frame. Players count
            from that beginning.
        width: Displayed width in pixels, with rotation and sample aspect applied.
        height: Displayed height in pixels.
        coded_width: Width of the stored frames.
        coded_height: Height of the stored frames.
        fps: Frames per second; the mean if the rate varies.
        fps_exact: The same as a fraction: 30000/1001 rather than 29.97.
        vfr: Whether the distances between frames vary by more than the stream's ticks and a millisecond.
        rotation: Degrees clockwise from the stored to the displayed frame: 0, 90, 180 or 270.
        mirrored: Whether the stored frame is mirrored left to right before it is turned.
        sar: Sample aspect ratio: width of a stored pixel over its height.
        codec: FFmpeg's name of the codec.
        pix_fmt: FFmpeg's name of the stored pixel format.
        colours: What the stored values stand for, if it is not ordinary video.
        audio: Whether there is a sound track.
        truncated: Whether the file ends before its index or header says.
        warnings: Sentences that a user should see.
        times: (n,) seconds of all displayed frames, increasing, the first 0.
        parts: For each part after the first whose stamps restart or jump: the container's time of its first frame, and
            the seconds at which that is shown.
    """

    path: str
    size: int
    sha256_1mb: str
    duration: float
    declared_duration: float | None
    start: float
    delay: float
    width: int
    height: int
    coded_width: int
    coded_height: int
    fps: float
    fps_exact: Fraction
    vfr: bool
    rotation: int
    mirrored: bool
    sar: Fraction
    codec: str
    pix_fmt: str
    colours: Colours
    audio: bool
    truncated: bool
    warnings: tuple[str, ...]
    times: NDArray[np.float64] = field(repr=False)
    # `PacketTable.tick` of the displayed frames, one for each of `times`.
    ticks: NDArray[np.int64] = field(repr=False)
    packets: PacketTable = field(repr=False)
    parts: tuple[tuple[float, float], ...] = ()

    def shown(self, t: ArrayLike) -> NDArray[np.intp]:
        """Index of the frame that a player shows at each time: the last with time <= t + 1 µs, or the first frame."""
        return np.maximum(np.searchsorted(self.times, np.asarray(t, float) + SLACK, side="right") - 1, 0)

    def last_before(self, t: float) -> float:
        """Time of the last displayed frame before t; that of the first frame if there is none."""
        return float(self.times[max(int(np.searchsorted(self.times, t - SLACK, side="left")) - 1, 0)])

    @cached_property
    def content(self) -> str:
        """Hash of everything that decides the frames, for cache keys."""
        return content_key(self.path)

    def record(self) -> VideoRecord:
        """The part of this that is written into an answer."""
        return VideoRecord(
            path=self.path.encode("utf-8", "replace").decode("utf-8"),
            sha256_1mb=self.sha256_1mb,
            duration=self.duration,
            declared_duration=self.declared_duration,
            start=self.start,
            width=self.width,
            height=self.height,
            fps=self.fps,
            vfr=self.vfr,
            rotation=self.rotation,
        )


@dataclass(frozen=True, eq=False)
class ReadPlan:
    """Requested times and the frames shown then.

    Attributes:
        requested: (n,) requested times, in seconds.
        actual: (n,) times of the frames shown then, in seconds.
        index: (n,) indices of these frames into `VideoInfo.times`.
    """

    requested: NDArray[np.float64]
    actual: NDArray[np.float64]
    index: NDArray[np.intp]


def plan_read(info: VideoInfo, times: ArrayLike) -> ReadPlan:
    """Which frames a player shows at the requested times.

    Args:
        info: The probed video.
        times: (n,) seconds, in any order; times before the first frame give the first, times after the end the last.

    Raises:
        QueryError: A time is not finite.
    """
    requested = np.asarray(times, float).reshape(-1)
    if not np.isfinite(requested).all():
        raise QueryError("a requested time is not a finite number of seconds")
    index = info.shown(requested)
    return ReadPlan(requested, info.times[index], index)
