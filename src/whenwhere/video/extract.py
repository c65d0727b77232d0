"""A part of a video as a file of its own, without encoding the picture again where the cut allows it.

Copied packets give exactly the frames of the part if the part begins at a key frame and the packets that show its
frames lie together in the file, with none between them that shows anything else. Shots often are like that, because
encoders put key frames at cuts. A copy is read again before it counts: it must have the frames, times and size of the
part, and its first and last picture must look the same. Any other part is encoded again (`write_clip`). Sound is cut
at the sample in both cases.
"""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import av
import numpy as np

from whenwhere.errors import MediaError, OutputError, QueryError
from whenwhere.spans import Span
from whenwhere.store import atomic_path
from whenwhere.video.info import NO_TICK, SLACK, VideoInfo
from whenwhere.video.media import opened, packets, video_stream
from whenwhere.video.overlay import write_clip
from whenwhere.video.probe import probe
from whenwhere.video.read import read_frames
from whenwhere.video.sound import sound_of_video

#: Codecs that players take from an mp4 file.
_COPIED = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"})
#: Largest mean difference (0-255) of two pictures that are the same.
_SAME = 1.0


@dataclass(frozen=True)
class ExtractedClip:
    """How a part of a video was written.

    Attributes:
        copied: Whether the picture is the original's, bit by bit.
        reason: Why it had to be encoded again; empty where it was copied.
        warnings: Sentences about frames that could not be decoded and sound that could not be written.
    """

    copied: bool
    reason: str = ""
    warnings: tuple[str, ...] = ()


class _NotCopiedError(Exception):
    """Packets cannot be copied; the message says why, as the end of "it was encoded again, because"."""


def extract_clip(info: VideoInfo, span: Span, path: str | PathLike[str]) -> ExtractedClip:
    """Write the part of a video inside a span as an mp4 file whose time 0 is the span's start.

    Args:
        info: The probed video.
        span: The part; what lies outside the video is cut off.
        path: The file to write.

    Raises:
        MediaError: The video cannot be read.
        OutputError: The file cannot be written.
        QueryError: The span lies outside the video.
    """
    start, end = max(span.start, 0.0), min(span.end, info.duration)
    if start >= end:
        raise QueryError(f"the span {span.start:g}-{span.end:g} s lies outside the video of {info.duration:.1f} s")
    first = int(info.shown(start))
    stop = int(np.searchsorted(info.times, end - SLACK, side="left"))
    try:
        rows = _rows(info, start, first, stop)
        with atomic_path(path) as temporary:
            warnings = _copy(info, rows, temporary, start, end)
            _check(info, temporary, first, stop)
        return ExtractedClip(True, "", tuple(warnings))
    except _NotCopiedError as e:
        return ExtractedClip(False, str(e), tuple(write_clip(info, span, path)))


def _rows(info: VideoInfo, start: float, first: int, stop: int) -> range:
    """The packets that show the frames `first` to `stop` of the video, if they can be copied."""
    table = info.packets
    if info.codec not in _COPIED:
        raise _NotCopiedError(f"players do not take {info.codec} from an mp4 file")
    if info.parts or info.truncated:
        raise _NotCopiedError("the video has parts with time stamps of their own, or is not whole")
    if abs(float(info.times[first]) - start) > 1e-3:
        raise _NotCopiedError("it does not begin at a frame")
    rows = np.flatnonzero((table.tick >= info.ticks[first]) & (table.tick <= info.ticks[stop - 1]) & table.shown)
    low, high = int(rows.min()), int(rows.max()) + 1
    if not table.key[low] or table.tick[low] != info.ticks[first]:
        raise _NotCopiedError("it does not begin at a key frame")
    if high - low != len(rows) or len(rows) != stop - first:
        raise _NotCopiedError("its packets lie among those of other frames")
    if (table.pts[low:high] == NO_TICK).any() or (table.dts[low:high] == NO_TICK).any():
        raise _NotCopiedError("its packets have no time stamps")
    return range(low, high)


def _copy(info: VideoInfo, rows: range, path: Path, start: float, end: float) -> list[str]:
    """Copy packets into a new file, with the sound of the part; returns sentences about the sound."""
    table = info.packets
    origin = int(table.pts[rows.start : rows.stop].min())
    try:
        with (
            opened(info.path) as source,
            av.open(f"file:{path}", "w", format="mp4", options={"movflags": "+faststart"}) as out,
        ):
            picture = video_stream(source, info.path)
            stream = out.add_stream_from_template(picture, opaque=True)
            sound = sound_of_video(out, info, start, end)
            at = 0
            if table.seekable and rows.start:
                source.seek(int(table.dts[rows.start]), stream=picture)
                at = -1
            done = False
            for packet in packets(source, picture):
                if at < 0:
                    at = _row_of(info, packet.pts, packet.size, rows)
                if at >= rows.start:
                    if (
                        packet.pts is None
                        or packet.dts is None
                        or packet.pts != table.pts[at]
                        or packet.size != table.size[at]
                    ):
                        raise _NotCopiedError("the file gives other packets than before")
                    seconds = float((packet.pts - origin) * picture.time_base) if picture.time_base else 0.0
                    packet.pts, packet.dts = packet.pts - origin, packet.dts - origin
                    packet.stream = stream
                    out.mux(packet)
                    if sound is not None:
                        sound.advance(seconds)
                at += 1
                if at == rows.stop:
                    done = True
                    break
            if sound is not None:
                sound.advance(np.inf)
            if not done:
                raise _NotCopiedError("the file gives other packets than before")
            return sound.warnings() if sound is not None else []
    except OSError as e:
        raise OutputError(f"cannot write {path}: {e}") from e
    except (av.error.FFmpegError, ValueError) as e:
        raise _NotCopiedError(f"mp4 does not take its packets ({e})") from e


def _row_of(info: VideoInfo, pts: int | None, size: int, rows: range) -> int:
    """The row of the packet that a seek has led to; it must not lie after the wanted ones."""
    table = info.packets
    places = np.flatnonzero((table.pts[: rows.start + 1] == pts) & (table.size[: rows.start + 1] == size))
    if len(places) != 1:
        raise _NotCopiedError("no seek leads to its first packet")
    return int(places[0])


def _check(info: VideoInfo, path: Path, first: int, stop: int) -> None:
    """Compare a copy with the part that it should be."""
    try:
        copy = probe(path)
        expected = info.times[first:stop] - info.times[first]
        if len(copy.times) != len(expected) or np.abs(copy.times - expected).max() > 2e-3:
            raise _NotCopiedError("the copy shows other frames")
        if (copy.width, copy.height, copy.mirrored) != (info.width, info.height, info.mirrored):
            raise _NotCopiedError("the copy has another shape")
        width = min(64, info.width)
        one = read_frames(info, info.times[[first, stop - 1]], width, threads=1).images.astype(float)
        other = read_frames(copy, copy.times[[0, -1]], width, threads=1).images.astype(float)
    except MediaError as e:
        raise _NotCopiedError("the copy cannot be read") from e
    if one.shape != other.shape or np.abs(one - other).mean(axis=(1, 2, 3)).max() > _SAME:
        raise _NotCopiedError("the copy does not look the same")
