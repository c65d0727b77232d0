"""Probing a video: what one pass over its packets (see `survey`) says about its frames; the reader reuses the table.

If time stamps cannot be trusted, everything is decoded once to find the order of the frames (see `clock`), which is
slow but right.
"""

import os
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from whenwhere.errors import MediaError
from whenwhere.readers import printable
from whenwhere.store import sha256_1mb
from whenwhere.video.clock import (
    REORDERING,
    Clock,
    decoded_clock,
    in_decoded_order,
    is_guessed,
    joins_sentence,
    stamped_clock,
)
from whenwhere.video.colours import is_private
from whenwhere.video.info import NO_TICK, PacketTable, VideoInfo, near_fraction
from whenwhere.video.media import check_file, opened, packets, text_name, video_stream
from whenwhere.video.order import decoded_order
from whenwhere.video.orientation import orientation
from whenwhere.video.refusal import refusal
from whenwhere.video.remainder import unread_sentence
from whenwhere.video.survey import Survey, survey

# This many packets, or a small multiple, are tried for a first frame before a video counts as undecodable.
_HEAD = 300
# Longest duration in seconds, eleven days: many things are made for each second of a video.
_LONGEST = 1e6


def probe(path: str | os.PathLike[str] | bytes) -> VideoInfo:
    """Everything that can be known about a video before its frames are read.

    Raises:
        MediaError: The file is missing, empty, a folder, text, only sound, cut off before its index, or cannot be
            decoded.
    """
    name = text_name(path)
    size = check_file(name)
    found = survey(name)
    first = found.first or _search_first(name)
    table, clock = _timed(name, found)
    rows = np.flatnonzero(table.shown)
    ticks = np.unique(table.tick[rows])
    seconds = (ticks - ticks[0]) * float(clock.tick)
    _check_duration(name, float(seconds[-1]))
    last = int(rows[np.flatnonzero(table.tick[rows] == ticks[-1])[-1]])
    last_seconds = float(found.durations[last] * clock.tick) if clock.tick == found.tick and clock.trusted else 0.0

    cut_off = found.index_end > size
    # A file cut off among B-frames lacks some of its last frames.
    fps, vfr = _rate(seconds[:-16] if cut_off and len(seconds) > 32 else seconds, float(clock.tick), found.rates)
    if last_seconds <= 0:
        last_seconds = float(np.median(np.diff(seconds))) if len(seconds) > 1 else float(1 / fps)
    duration = float(seconds[-1]) + last_seconds
    _check_duration(name, duration)
    if vfr:
        fps = near_fraction(len(seconds) / duration, 100_000)
    unread = unread_sentence(name, found.container, found.end, duration, found.audio)
    # A header cannot know how long parts with clocks of their own are together.
    parts = bool(clock.joins or unread)
    truncated = cut_off or (not parts and _ends_early(name, found, clock.start + duration, duration))
    warnings = []
    if clock.joins:
        warnings.append(joins_sentence((table.tick[list(clock.joins)] - ticks[0]) * float(clock.tick)))
    warnings += _time_warnings(found, clock, len(rows), len(ticks), fps)
    if unread:
        warnings.append(unread)
    if truncated:
        claim = f" of {found.declared:.1f} s" if found.declared is not None and found.declared > duration else ""
        warnings.append(f"the file is cut off: only {duration:.1f} s{claim} can be read")
    if found.codec in ("hevc", "av1") and is_private(name, found.container):
        warnings.append(
            "its colours are those of Dolby Vision without a base layer, which are not converted: colour words are not "
            "to be trusted, convert it to HDR10 or ordinary video first"
        )
    if found.errors:
        places = "1 place" if len(found.errors) == 1 else f"{len(found.errors)} places"
        warnings.append(f"the container is damaged in {places}: frames there are lost")

    rotation, mirrored = orientation(first)
    width, height = max(round(first.width * found.sar), 1), first.height
    if rotation % 180:
        width, height = height, width
    return VideoInfo(
        path=name,
        size=size,
        sha256_1mb=sha256_1mb(name),
        duration=duration,
        declared_duration=found.declared,
        start=clock.start,
        delay=max(round(clock.start - found.beginning, 3), 0.0),
        width=width,
        height=height,
        coded_width=first.width,
        coded_height=first.height,
        fps=float(fps),
        fps_exact=fps,
        vfr=vfr,
        rotation=rotation,
        mirrored=mirrored,
        sar=found.sar,
        codec=found.codec,
        pix_fmt=first.format.name,
        colours=found.colours,
        audio=found.audio,
        truncated=truncated,
        warnings=tuple(warnings),
        times=seconds,
        ticks=ticks,
        packets=table,
        parts=_parts(found.packets, table, clock),
    )


def _time_warnings(found: Survey, clock: Clock, frames: int, times: int, fps: Fraction) -> list[str]:
    """Sentences about times that the file does not tell, or tells twice.

    Args:
        found: What the pass over the packets found.
        clock: The clock that was made of it.
        frames: Number of packets that give a displayed frame.
        times: Number of different times of these.
        fps: Frames per second.
    """
    warnings = []
    if found.untimed:
        warnings.append(f"the file does not say when its frames are shown: {float(fps):g} a second are assumed")
    if clock.estimated:
        warnings.append(
            f"{clock.estimated} of {frames} frames have no time stamp, and the stamps of the others are uneven: their "
            "times are estimates"
        )
    # A single one is a writer's habit, not a clock that stands still.
    if (lost := frames - times) > max(1, frames / 50):
        warnings.append(f"{lost} frames have the same time stamp as a later frame: the later one is shown")
    return warnings


def _check_duration(path: str, seconds: float) -> None:
    """Refuse a video whose time stamps claim more time than anybody records."""
    if not seconds <= _LONGEST:
        raise MediaError(
            f"the time stamps of {printable(path)} say that it lasts {seconds:.3g} s, more than {_LONGEST:g} s: they "
            "are damaged, convert it to mp4 first"
        )


def _timed(path: str, found: Survey) -> tuple[PacketTable, Clock]:
    """The table with times on one clock, and that clock."""
    table = found.packets
    stamped = bool((table.pts != NO_TICK).all()) and bool(table.key.any())
    reorders = found.codec in REORDERING
    wrong = stamped and reorders and is_guessed(path, table, found.stores_times, found.reordered)
    if stamped and not wrong:
        table = _without_broken_head(path, table)
    if stamped and not wrong and table.shown.any():
        # Without reordering, frames are shown as they are decoded, whatever the demuxer makes of it.
        counted = not found.stores_times and (table.dts != NO_TICK).all()
        stamps = table.dts if counted else table.pts
        # Streams of nothing but key frames are rarely reordered, and say so.
        reorders &= found.reordered or not table.key.all()
        own = np.flatnonzero(~found.second)
        clock = stamped_clock(stamps[own], table.rows(own), found.durations[own], found.tick, reorders, found.jumps)
        clock = _with_second_fields(clock, found.second)
        if clock.joins and reorders:
            clock = in_decoded_order(path, clock, table.key, found.second)
    else:
        order, resized = decoded_order(path)
        order, resized = order[order < len(table)], tuple(row for row in resized if row < len(table))
        # A frame of two fields may come out with the second one's number.
        order = order - found.second[order]
        if not len(order):
            raise _undecodable(path)
        rate = found.rates[0] if found.rates else Fraction(25)
        trusted = found.stores_times and not wrong
        own = table.pts if stamped or not found.placed.any() else np.where(found.placed, table.pts, NO_TICK)
        clock = decoded_clock(replace(table, pts=own), order, found.tick, rate, trusted, found.jumps, resized)
    clock.ticks[found.second] = clock.ticks[np.flatnonzero(found.second) - 1]
    key, head = table.key.copy(), table.head.copy()
    # A file that does not begin with a key frame is decoded from its first packet.
    key[0] = head[0] = True
    head[[*clock.joins, *clock.resized]] = True
    seekable = clock.trusted and not head[1:].any()
    return PacketTable(table.pts, table.dts, table.size, key, clock.shown, clock.ticks, head, seekable), clock


def _parts(stamped: PacketTable, table: PacketTable, clock: Clock) -> tuple[tuple[float, float], ...]:
    """For each part after the first: the container's time of its first frame, and the seconds at which it is shown.

    Args:
        stamped: The packets with the container's stamps.
        table: The packets with the ticks of one clock.
        clock: That clock.
    """
    if not clock.trusted:
        return ()
    first = int(table.tick[table.shown].min())
    found = []
    for a, b in pairwise([*clock.joins, len(table)]):
        rows = a + np.flatnonzero(table.shown[a:b])
        if len(rows):
            row = rows[table.tick[rows].argmin()]
            found.append((float(stamped.pts[row] * clock.tick), float((table.tick[row] - first) * clock.tick)))
    return tuple(found)


def _with_second_fields(clock: Clock, second: NDArray[np.bool_]) -> Clock:
    """The clock of all packets from that of those which are not the second field of a frame.

    Args:
        clock: The clock of the others.
        second: (packets,) whether the packet is a second field, which belongs to the packet before it.
    """
    if not second.any():
        return clock
    own, place = np.flatnonzero(~second), np.cumsum(~second) - 1
    joins = tuple(own[list(clock.joins)].tolist())
    return replace(clock, ticks=clock.ticks[place], shown=clock.shown[place] & ~second, joins=joins)


def _ends_early(path: str, found: Survey, end: float, duration: float) -> bool:
    """Whether a file ends clearly before its header says.

    Headers count from the first frame, from the container's zero (Matroska), or until the end of a longer sound track;
    a file that keeps its word by any of these counts is whole.

    Args:
        path: The file.
        found: What the pass over its packets found.
        end: The container's time at the end of the last frame, in seconds.
        duration: Measured duration, in seconds.
    """
    # A header may count the sound too, which is often a little longer than the picture.
    slack = max(1.0, 0.05 * duration) if found.audio else max(0.5, 0.02 * duration)
    if found.declared is None or found.declared <= max(duration, end) + slack:
        return False
    if not found.audio:
        return True
    last = end
    with opened(path) as container:
        for packet in packets(container):
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return found.declared > max(last, last - found.beginning) + slack


def _search_first(path: str) -> VideoFrame:
    """The first decodable frame of a file, if its beginning cannot be decoded by itself."""
    with opened(path) as container:
        stream = video_stream(container, path)
        for n, packet in enumerate(packets(container, stream)):
            try:
                for frame in stream.codec_context.decode(packet):
                    return frame
            except av.error.FFmpegError:
                continue
            if n > 20 * _HEAD:
                break
        try:
            for frame in stream.codec_context.decode(None):
                return frame
        except av.error.FFmpegError:
            pass
    raise _undecodable(path)


def _undecodable(path: str) -> MediaError:
    return MediaError(f"{printable(path)} {refusal(path, opened=True)}")


def _without_broken_head(path: str, table: PacketTable) -> PacketTable:
    """The table with frames unmarked that refer to frames before the file's beginning and are never shown.

    Recordings and cut streams may begin in the middle of a group of pictures, or with an open group whose leading
    pictures lack their reference. Which of them are shown is the decoder's decision, so the head is decoded to see.
    """
    keys = np.flatnonzero(table.key)
    border = int(table.pts[keys[0]])
    doubtful = table.shown & (table.pts < border)
    doubtful[keys[1] if len(keys) > 1 else len(table) :] = False
    if not doubtful.any():
        return table
    seen: set[int | None] = set()
    # A little more than the last of them, because decoders hold frames back.
    last = min(int(np.flatnonzero(doubtful)[-1]) + 32, int(keys[0]) + _HEAD)
    with opened(path) as container:
        stream = video_stream(container, path)
        for packet in (*islice(packets(container, stream), last), None):
            try:
                seen |= {f.pts for f in stream.codec_context.decode(packet)}
            except av.error.FFmpegError:
                continue
    gone = doubtful & ~np.isin(table.pts, np.array(sorted(p for p in seen if p is not None), np.int64))
    return replace(table, shown=table.shown & ~gone)


def _rate(seconds: NDArray[np.float64], tick: float, guessed: list[Fraction]) -> tuple[Fraction, bool]:
    """The frames per second, and whether the distances between frames vary.

    Ticks are coarse, and Matroska counts milliseconds, which stay when such a file is put into another container: so
    the distances of a constant rate may differ by a tick or a millisecond.

    >>> _rate(np.round(np.arange(90) * 1001 / 30000, 3), 0.001, [Fraction(30000, 1001)])
    (Fraction(30000, 1001), False)
    >>> _rate(np.array([0, 0.1, 0.2, 0.5]), 0.001, [Fraction(10)])
    (Fraction(10, 1), True)
    >>> _rate(np.array([0, 2700.0]), 0.001, [])
    (Fraction(1, 2700), False)
    """
    if len(seconds) < 2:
        return (guessed[0] if guessed else Fraction(25)), False
    steps = np.diff(seconds)
    typical = near_fraction(1 / float(np.median(steps)))
    span = float(seconds[-1])
    for rate in (*guessed, near_fraction((len(seconds) - 1) / span), typical):
        step = 1 / float(rate)
        even = np.abs(steps - step).max() <= min(1.01 * max(tick, 1e-3), 0.3 * step) + 1e-9
        if even and abs(span - step * (len(seconds) - 1)) <= 0.5 * step:
            return Fraction(rate), False
    return (guessed[0] if guessed else typical), True
