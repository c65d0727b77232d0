"""One pass over a video's packets, and one decoded frame.

The pass reads every packet's time stamps and decodes nothing, so the exact time of every displayed frame is known
before the first is read. One frame is decoded because only then are the rotation, the pixel format, and whether
anything can be decoded at all, certain.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

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
from whenwhere.video.colours import Colours, declared_colours
from whenwhere.video.fields import FieldPairs
from whenwhere.video.hidden import HIDES
from whenwhere.video.info import NO_TICK, PacketTable
from whenwhere.video.media import opened, packets, video_stream
from whenwhere.video.refusal import ENCRYPTED
from whenwhere.video.remainder import own_packets

# Side data of packets that later packets rely on.
_HEADS = {"palette", "new_extradata", "param_change"}


@dataclass
class Survey:
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
        durations: (packets,) declared durations in ticks; that of a first field is its frame's.
        placed: (packets,) whether the place in the file is known; parsers repeat the stamps of others on packets that
            are cut out of larger ones.
        second: (packets,) whether the packet holds the second field of the frame that the one before it begins.
        stores_times: Whether the container stores presentation times.
        jumps: Whether the container's clock may jump.
        untimed: Whether neither the container nor the codec says when frames are shown or how many a second.
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
    placed: NDArray[np.bool_]
    second: NDArray[np.bool_]
    stores_times: bool
    jumps: bool
    untimed: bool
    reordered: bool
    errors: list[str]


def survey(path: str) -> Survey:
    """One pass over the packets of a file."""
    errors: list[str] = []
    # Plain arrays of 64-bit numbers: an hour of video has 100 000 packets.
    columns = [array("q") for _ in range(9)]
    adders = [column.append for column in columns]
    add_pts, add_dts, add_duration, add_size, add_key, add_shown, add_head, add_second, add_place = adders
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
        pairs = FieldPairs(context.extradata) if codec == "h264" else None
        flags = Flags(container.format.flags)
        kind = container.format.name
        # The pictures of MPEG-4 carry their times themselves.
        timed = Flags.no_timestamps not in flags or codec == "mpeg4"
        stores_times = kind not in ("avi", "asf") and timed
        jumps = Flags.ts_discont in flags
        torn = False
        first: VideoFrame | None = None
        # Packets tried for a first frame; for almost every file the first key packet is enough.
        tried: list[Packet] | None = []
        for packet in packets(container, stream, errors):
            pts, dts = packet.pts, packet.dts
            torn = packet.is_corrupt
            add_place(-1 if packet.pos is None else packet.pos)
            add_pts(NO_TICK if pts is None else pts)
            add_dts(NO_TICK if dts is None else dts)
            add_duration(packet.duration or 0)
            add_size(packet.size)
            second = pairs is not None and pairs.completes(memoryview(packet))
            add_second(second)
            add_key(packet.is_keyframe and not second)
            add_shown(not second and not packet.is_discard and not (hides and hides(memoryview(packet))))
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
        # Other codecs carry at most a rate, which FFmpeg may not believe.
        rate = Fraction(context.framerate or 0)
        untimed = not timed and not (rates and abs(rate - rates[0]) < rates[0] / 100)
    if torn and len(columns[0]) > 1:
        # The file ends within this packet: its frame cannot be decoded.
        for column in columns:
            column.pop()
    places = np.array(columns.pop(), np.int64)
    kept = own_packets(path, kind, places, np.array(columns[3], np.int64), np.array(columns[4], bool))
    columns, places = [column[:kept] for column in columns], places[:kept]
    end = _end(places, columns[3])
    if not columns[0]:
        raise MediaError(f"{printable(path)} holds no video frames: copy or download it again")
    stamps, decoding, durations, sizes, keys, shown, heads, seconds = (np.array(c, np.int64) for c in columns)
    later = np.flatnonzero(seconds)
    durations[later - 1] += durations[later]
    table = PacketTable(stamps, decoding, sizes, keys > 0, shown > 0, stamps, heads > 0, True)
    # An absurd ratio in the header is taken for square pixels.
    sar = Fraction(sar) if 0.1 <= sar <= 10 else Fraction(1)
    return Survey(
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
        places >= 0,
        seconds > 0,
        stores_times,
        jumps,
        untimed,
        reordered,
        errors,
    )


def _end(places: NDArray[np.int64], sizes: Iterable[int]) -> int:
    """Where the last packet ends, in bytes; packets of one place, or of none, lie one after the other."""
    end, last = 0, -1
    for place, size in zip(places.tolist(), sizes, strict=True):
        if place < 0 or place == last:
            end += size
        else:
            end, last = max(end, place + size), place
    return end


def _declared(stream: VideoStream, container_duration: int | None) -> float | None:
    """The duration that the header declares, in seconds, or None."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container_duration / 1e6 if container_duration else None


def _index_end(stream: VideoStream) -> int:
    """Where the last sample of the file's index ends, in bytes; 0 if there is no such index."""
    return max((e.pos + e.size for e in stream.index_entries[-64:]), default=0) if len(stream.index_entries) else 0


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
