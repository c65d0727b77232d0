"""What is known about a video before a frame is read: `VideoInfo` and the table of its packets.

Everything is counted from the frames, not from the header: headers lie about duration, frame rate and number of
frames. Times are seconds from the first displayed frame; stream ticks and packet numbers stay inside this room.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import QueryError
from whenwhere.records import VideoRecord

# A player shows the last frame whose time is <= t; 1 microsecond forgives the rounding of t.
SLACK = 1e-6


def exact_rate(fps: float | Fraction) -> Fraction:
    """A frame rate as the fraction that was meant: 29.97 is 30000/1001.

    >>> exact_rate(29.97), exact_rate(25.0), exact_rate(12.5)
    (Fraction(30000, 1001), Fraction(25, 1), Fraction(25, 2))
    """
    if isinstance(fps, Fraction):
        return fps
    television = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(television) - fps) < 0.005 * fps / 25 and abs(fps - round(fps)) > 1e-6:
        return television
    return Fraction(fps).limit_denominator(1001)


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The video stream's packets in the file's order (which is decoding order).

    `pts` and `dts` in stream ticks; `key`: decoding may begin here; `shown`: gives a displayed frame (edit lists,
    hidden reference frames and broken heads do not); `size` in bytes.
    """

    pts: NDArray[np.int64]
    dts: NDArray[np.int64]
    size: NDArray[np.int64]
    key: NDArray[np.bool_]
    shown: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pts)


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """A probed video.

    Attributes:
        path: local file.
        size: bytes.
        sha256_1mb: hash of its first MiB.
        duration: seconds from the first displayed frame to the end of the last one, measured.
        declared_duration: the header's claim, None where it makes none.
        start: the container's time of the first displayed frame, seconds.
        width: displayed width in pixels, rotation and sample aspect applied.
        height: displayed height in pixels.
        coded_width: width of the stored frames.
        coded_height: height of the stored frames.
        fps: frames per second; the mean rate where the rate varies.
        fps_exact: the same as a fraction, 30000/1001 rather than 29.97.
        vfr: the distances between frames vary by more than the clock's ticks.
        rotation: 0, 90, 180 or 270 degrees clockwise from the stored to the displayed frame.
        sar: sample aspect ratio, width of a stored pixel over its height.
        codec: FFmpeg's name of the decoder.
        pix_fmt: FFmpeg's name of the stored pixel format.
        audio: there is a sound track.
        truncated: the file ends before its index or header says.
        warnings: sentences a user should see.
        times: seconds of all displayed frames, (n,), increasing, first 0.
    """

    path: str
    size: int
    sha256_1mb: str
    duration: float
    declared_duration: float | None
    start: float
    width: int
    height: int
    coded_width: int
    coded_height: int
    fps: float
    fps_exact: Fraction
    vfr: bool
    rotation: int
    sar: Fraction
    codec: str
    pix_fmt: str
    audio: bool
    truncated: bool
    warnings: tuple[str, ...]
    times: NDArray[np.float64] = field(repr=False)
    # Stream ticks of the displayed frames, beside `times`; a frame's number where the stream has no time stamps.
    ticks: NDArray[np.int64] = field(repr=False)
    # None where packets carry no usable time stamps: frames are then counted while decoding from the start.
    packets: PacketTable | None = field(repr=False)

    def shown(self, t: ArrayLike) -> NDArray[np.intp]:
        """Index of the frame a player shows at each time: the last with time <= t + 1 µs; before the first: 0."""
        return np.maximum(np.searchsorted(self.times, np.asarray(t, float) + SLACK, side="right") - 1, 0)

    def last_before(self, t: float) -> float:
        """Time of the last displayed frame before t; of the first frame where there is none."""
        return float(self.times[max(int(np.searchsorted(self.times, t - SLACK, side="left")) - 1, 0)])

    def record(self) -> VideoRecord:
        """The part of this that goes into an answer."""
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

    `requested` and `actual` in seconds, (n,); `index` into `VideoInfo.times`, (n,).
    """

    requested: NDArray[np.float64]
    actual: NDArray[np.float64]
    index: NDArray[np.intp]


def plan_read(info: VideoInfo, times: ArrayLike) -> ReadPlan:
    """Which frames a player shows at the requested times.

    Args:
        info: the video.
        times: seconds, any order; before the first frame means the first, after the end the last.

    Raises:
        QueryError: a time is not finite.
    """
    requested = np.asarray(times, float).reshape(-1)
    if not np.isfinite(requested).all():
        raise QueryError("a requested time is not a finite number of seconds")
    index = info.shown(requested)
    return ReadPlan(requested, info.times[index], index)
