"""Probing a video: one pass over its packets, and one decoded frame.

The pass reads every packet's time stamps and decodes nothing, so the exact time of every displayed frame is known
before the first is read; the reader reuses the table. One frame is decoded because only then are the rotation, the
pixel format, and whether anything can be decoded at all, certain.

If time stamps cannot be trusted, everything is decoded once to find the order of the frames (see `clock`), which is
slow but right.
"""

import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

import av
import numpy as np
from av.format import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from whenwhere.errors import MediaError
from whenwhere.readers import printable
from whenwhere.store import sha256_1mb
from whenwhere.video.clock import (
    REORDERING,
    Clock,
    decoded_clock,
    decoded_order,
    decoding_slots,
    is_guessed,
    joins_sentence,
    stamped_clock,
)
from whenwhere.video.colours import Colours, declared_colours
from whenwhere.video.hidden import HIDES
from whenwhere.video.info import NO_TICK, PacketTable, VideoInfo, near_fraction
from whenwhere.video.media import check_file, opened, packets, text_name, video_stream
from whenwhere.video.orientation import orientation
from whenwhere.video.refusal import ENCRYPTED, refusal
from whenwhere.video.remainder import unread_sentence

# This many packets, or a small multiple, are tried for a first frame before a video counts as undecodable.
_HEAD = 300
# Longest duration in seconds, eleven days: many things are made for each second of a video.
_LONGEST = 1e6
# Side data of packets that later packets rely on.
_HEADS = {"palette", "new_extradata", "param_change"}


@dataclass
class _Survey:
    """What one pass over the packets finds.

    Attributes:
        tick: Length of a stream tick, seconds.
        codec: FFmpeg's name of the codec.
        beginning: Where the container's clock begins, in seconds.
        declared: Duration by the header, seconds, or None.
        index_end: Where the last sample of the file's index ends, in bytes; 0 if there is no index.
        audio: Whether there is a sound track.
        rates: Frame rates that FFmpeg guesses, likeliest first.
        sar: Sample aspect ratio.
        colours: What the stored values stand for.
        first: The first decoded frame, if one of the first packets gives one.
        container: FFmpeg's names of the container, separated by commas.
        end: Where the last packet ends, in bytes; 0 if that is not known.
        packets: The table of packets, with the container's stamps.
        durations: (packets,) declared durations in ticks.
        stores_times: Whether the container stores presentation times.
        jumps: Whether the container's clock may jump.
        reordered: Whether the stream declares that its frames are stored in another order than they are shown.
        errors: What FFmpeg said about damaged places of the container.
    """

    tick: Fraction
    codec: str
    beginning: float
    declared: float | None
    index_end: int
    audio: bool
    rates: list[Fraction]
    sar: Fraction
    colours: Colours
    first: VideoFrame | None
    container: str
    end: int
    packets: PacketTable
    durations: NDArray[np.int64]
    stores_times: bool
    jumps: bool
    reordered: bool
    errors: list[str]


def probe(path: str | os.PathLike[str] | bytes) -> VideoInfo:
    """Everything that can be known about a video before its frames are read.

    Raises:
        MediaError: The file is missing, empty, a folder, text, only sound, cut off before its index, or cannot be
            decoded.
    """
    name = text_name(path)
    size = check_file(name)
    found = _survey(name)
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
    # A header cannot know how long parts with clocks of their own are together.
    truncated = cut_off or (not clock.joins and _ends_early(name, found, clock.start + duration, duration))
    warnings = []
    if clock.joins:
        warnings.append(joins_sentence((table.tick[list(clock.joins)] - ticks[0]) * float(clock.tick)))
    if sentence := unread_sentence(name, found.container, found.end, duration, found.audio):
        warnings.append(sentence)
    if truncated:
        claim = f" of {found.declared:.1f} s" if found.declared is not None and found.declared > duration else ""
        warnings.append(f"the file is cut off: only {duration:.1f} s{claim} can be read")
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
    )


def _check_duration(path: str, seconds: float) -> None:
    """Refuse a video whose time stamps claim more time than anybody records."""
    if not seconds <= _LONGEST:
        raise MediaError(
            f"the time stamps of {printable(path)} say that it lasts {seconds:.3g} s, more than {_LONGEST:g} s: they "
            "are damaged, convert it to mp4 first"
        )


def _survey(path: str) -> _Survey:
    """One pass over the packets of a file."""
    errors: list[str] = []
    # Plain arrays of 64-bit numbers: an hour of video has 100 000 packets.
    columns = [array("q") for _ in range(7)]
    add_pts, add_dts, add_duration, add_size, add_key, add_shown, add_head = (column.append for column in columns)
    with opened(path) as container:
        stream = video_stream(container, path)
        if stream.time_base is None:
            raise MediaError(f"{printable(path)} has no time base in its video stream: convert it to mp4 first")
        context = stream.codec_context
        context.thread_type = "NONE"
        sar = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
        tick, codec = Fraction(stream.time_base), context.codec.canonical_name
        declared, index_end = _declared(stream, container.duration), _index_end(stream)
        beginning = (container.start_time or 0) / 1e6
        colours = declared_colours(context)
        audio = bool(container.streams.audio)
        rates = [Fraction(r) for r in (stream.guessed_rate, stream.average_rate) if r]
        hides = HIDES.get(codec)
        flags = Flags(container.format.flags)
        kind, end = container.format.name, 0
        stores_times = kind != "avi" and Flags.no_timestamps not in flags
        jumps = Flags.ts_discont in flags
        torn = False
        first: VideoFrame | None = None
        # Packets tried for a first frame; for almost every file the first key packet is enough.
        tried: list[Packet] | None = []
        for packet in packets(container, stream, errors):
            pts, dts = packet.pts, packet.dts
            torn = packet.is_corrupt
            end = end if torn else max(end, (packet.pos or 0) + packet.size)
            add_pts(NO_TICK if pts is None else pts)
            add_dts(NO_TICK if dts is None else dts)
            add_duration(packet.duration or 0)
            add_size(packet.size)
            add_key(packet.is_keyframe)
            add_shown(not packet.is_discard and not (hides and hides(memoryview(packet))))
            said = {data.data_type for data in packet.iter_sidedata()}
            if "encryption_info" in said:
                # A decoder may take some of it for pictures.
                raise MediaError(f"{printable(path)} {ENCRYPTED}")
            add_head(not said.isdisjoint(_HEADS))
            if tried is not None and (tried or packet.is_keyframe):
                tried.append(packet)
                first = _first_frame(context, tried)
                if first is not None or len(tried) >= 8:
                    tried = None
                    # The stream's own word counts, but decoders forget the container's where the stream says nothing.
                    colours = colours if declared_colours(context).ordinary else declared_colours(context)
        reordered = bool(context.has_b_frames)
    if torn and len(columns[0]) > 1:
        # The file ends within this packet: its frame cannot be decoded.
        for column in columns:
            column.pop()
    if not columns[0]:
        raise MediaError(f"{printable(path)} holds no video frames: copy or download it again")
    stamps, decoding, durations, sizes, keys, shown, heads = (np.array(column, np.int64) for column in columns)
    table = PacketTable(stamps, decoding, sizes, keys > 0, shown > 0, stamps, heads > 0, True)
    # An absurd ratio in the header is taken for square pixels.
    sar = Fraction(sar) if 0.1 <= sar <= 10 else Fraction(1)
    return _Survey(
        tick,
        codec,
        beginning,
        declared,
        index_end,
        audio,
        rates,
        sar,
        colours,
        first,
        kind,
        end,
        table,
        durations,
        stores_times,
        jumps,
        reordered,
        errors,
    )


def _timed(path: str, found: _Survey) -> tuple[PacketTable, Clock]:
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
        stamps = decoding_slots(table) if counted else table.pts
        # Streams of nothing but key frames are rarely reordered, and say so.
        reorders &= found.reordered or not table.key.all()
        clock = stamped_clock(stamps, table, found.durations, found.tick, reorders, found.jumps)
    else:
        order = decoded_order(path)
        if not len(order):
            raise _undecodable(path)
        rate = found.rates[0] if found.rates else Fraction(25)
        clock = decoded_clock(table, order, found.tick, rate, found.stores_times and not wrong, found.jumps)
    key, head = table.key.copy(), table.head.copy()
    # A file that does not begin with a key frame is decoded from its first packet.
    key[0] = head[0] = True
    head[list(clock.joins)] = True
    seekable = clock.trusted and not head[1:].any()
    return PacketTable(table.pts, table.dts, table.size, key, clock.shown, clock.ticks, head, seekable), clock


def _declared(stream: VideoStream, container_duration: int | None) -> float | None:
    """The duration that the header declares, in seconds, or None."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container_duration / 1e6 if container_duration else None


def _index_end(stream: VideoStream) -> int:
    """Where the last sample of the file's index ends, in bytes; 0 if there is no such index."""
    return max((e.pos + e.size for e in stream.index_entries[-64:]), default=0) if len(stream.index_entries) else 0


def _ends_early(path: str, found: _Survey, end: float, duration: float) -> bool:
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


def _first_frame(context: VideoCodecContext, batch: Iterable[Packet | None]) -> VideoFrame | None:
    """The first frame that some packets give, or None."""
    frames: list[VideoFrame] = []
    for packet in (*batch, None):
        try:
            frames += context.decode(packet)
        except (av.error.FFmpegError, EOFError):
            continue
    context.flush_buffers()
    return frames[0] if frames else None


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
