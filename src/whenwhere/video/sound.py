"""Sound tracks for written videos: copied packet by packet, re-encoded, or made from samples.

Time 0 of a written video is a time of its source (the beginning of its file, its first displayed frame, or the start of
a clip), so sound is shifted by the container's own start. Sound is copied unchanged if browsers play its codec inside
mp4, and becomes AAC otherwise. An exact cut always re-encodes, because packets do not begin at the cut.

A damaged sound track never keeps the picture from being written: what cannot be used of it is left out and named.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from whenwhere.video.info import VideoInfo
from whenwhere.video.media import opened

# A longer step of a sound track's stamps, in seconds, is no pause if a part of the picture begins there.
_GAP = 5.0
#: Codecs that mp4 may hold and that browsers play there.
COPIED = {"aac", "mp3", "opus"}


class Sound:
    """A sound track that is written beside the picture.

    Args:
        out: The file that is written.
        packets: (start in seconds, packet) pairs in order.
        lost: A list to which `packets` adds the seconds of what it has to leave out.

    Attributes:
        empty: Whether there is no packet at all.
    """

    def __init__(
        self, out: OutputContainer, packets: Iterator[tuple[float, Packet]], lost: list[float] | None = None
    ) -> None:
        self._out = out
        self._packets = packets
        self._lost = [] if lost is None else lost
        self._held = self._next(0.0)
        self.empty = self._held is None

    def advance(self, until: float) -> None:
        """Write the packets that begin before `until` seconds, so that sound and picture are interleaved.

        Raises:
            OSError: The file cannot be written.
        """
        while self._held is not None and self._held[0] < until:
            at, packet = self._held
            try:
                self._out.mux(packet)
            except av.error.FFmpegError as e:
                # The disk is full, say: that is not the sound's fault.
                if isinstance(e, OSError):
                    raise
                self._lost.append(at)
            self._held = self._next(at)

    def _next(self, at: float) -> tuple[float, Packet] | None:
        try:
            return next(self._packets, None)
        except (av.error.FFmpegError, ValueError):
            # A generator that failed gives nothing more.
            self._lost.append(at)
            return None

    def warnings(self) -> list[str]:
        """A sentence about what was left out, if something was."""
        if not self._lost:
            return []
        return [f"the sound track is damaged from {max(min(self._lost), 0):.1f} s on: parts of it are left out"]


def sound_of_samples(out: OutputContainer, samples: NDArray[np.float32], rate: int) -> Sound:
    """An AAC track of samples in -1..1, (n,) or (n, channels), at `rate` samples per second."""
    wave = np.atleast_2d(np.asarray(samples, np.float32).T)
    layout = "mono" if len(wave) == 1 else "stereo"
    wave = np.ascontiguousarray(wave[:2])
    stream = _aac(out, rate, layout)

    def frames() -> Iterator[AudioFrame]:
        for at in range(0, wave.shape[1], 1024):
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, at : at + 1024]), "fltp", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
            yield frame

    return Sound(out, _encoded(stream, frames()))


def sound_of_video(out: OutputContainer, info: VideoInfo, start: float = 0.0, end: float | None = None) -> Sound | None:
    """The sound track of a video between two of its times; None if it has none or it cannot be decoded.

    Args:
        out: The file that is written.
        info: The source video.
        start: Seconds of the source that become time 0.
        end: Seconds of the source at which the sound is cut, to the sample; None keeps all.
    """
    if not info.audio:
        return None
    with opened(info.path) as container:
        source = container.streams.best("audio") or container.streams.audio[0]
        if not isinstance(source, AudioStream):
            return None
        context = source.codec_context
        if context is None or not context.sample_rate:
            return None
        lost: list[float] = []
        origin = info.start + start
        stop = None if end is None else end - start
        if end is None and context.name in COPIED | {"mp3float", "libopus"}:
            copy = out.add_stream_from_template(source)
            return Sound(out, _copied(info, copy, origin, lost), lost)
        stream = _aac(out, context.sample_rate, "mono" if context.layout.nb_channels == 1 else "stereo")
        return Sound(out, _encoded(stream, _decoded(info, stream, origin, stop, lost)), lost)


def _aac(out: OutputContainer, rate: int, layout: str) -> AudioStream:
    """A new AAC stream at the nearest rate that AAC allows, rather above than below `rate`."""
    rate = min((8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000), key=lambda r: (r < rate, abs(r - rate)))
    stream = out.add_stream("aac", rate=rate)
    stream.layout = layout
    stream.bit_rate = 128_000
    return stream


def _audio_packets(path: str) -> Iterator[Packet]:
    """The packets of the best audio stream and the empty one that ends it, damaged places passed over."""
    with opened(path) as container:
        source = container.streams.best("audio") or container.streams.audio[0]
        failed = 0
        while failed < 16:
            try:
                for packet in container.demux(source):
                    failed = 0
                    yield packet
                return
            except (av.error.FFmpegError, OSError):
                failed += 1


def _ordered(info: VideoInfo, origin: float, lost: list[float]) -> Iterator[tuple[float, Packet]]:
    """(start in seconds after `origin`, packet) of the sound track, in increasing order.

    A single packet whose time stamp does not fit is left out, and its place is added to `lost`. Where the stamps go on
    from another time (joined recordings), the sound begins again with its part of the picture: the tracks of a part are
    seldom of one length, and the differences would add up. What is longer than its picture is kept, and as much of the
    next part's sound, which begins with an encoder's silence, is left out. Without such a part it goes on at once.
    """
    longest = max(info.duration, 10.0)
    shift = -origin
    # The end of the last packet that was given, and its start; its start by the container's clock.
    end: float | None = None
    last = raw = 0.0
    parts = list(info.parts)
    # Whether packets of a new part are passed over that begin before the sound of the part before it has ended.
    overlapping = False
    held: tuple[float, Packet] | None = None
    stamped = (
        (float(p.pts * p.time_base), p)
        for p in _audio_packets(info.path)
        if p.size and p.pts is not None and p.dts is not None and p.time_base is not None
    )
    for after in chain(stamped, [None]):
        if held is not None:
            start, packet = held
            fits = end is None or 0 < start + shift - last <= longest
            part = _part_at(parts, start) if end is not None and not 0 < start - raw <= _GAP else None
            raw = start
            if part is not None and after is not None and 0 < after[0] - start <= 1:
                container, begin = parts[part]
                del parts[: part + 1]
                shift = begin - container - (origin - info.start)
                overlapping = True
            if end is not None and overlapping:
                half = 0.5 * float((packet.duration or 0) * (packet.time_base or 0))
                if start + shift <= max(end - half, last):
                    held = after
                    continue
                overlapping, fits = False, True
            elif end is not None and after is not None:
                next_fits = 0 < after[0] + shift - last <= longest
                if fits and next_fits and after[0] <= start:
                    # Stamped too late.
                    fits = False
                elif not fits and not next_fits and 0 < after[0] - start <= 1:
                    shift = end - start
                    fits = True
            if fits:
                last = start + shift
                end = last + float((packet.duration or 0) * (packet.time_base or 0))
                yield last, packet
            else:
                lost.append(last)
        held = after


def _part_at(parts: list[tuple[float, float]], start: float) -> int | None:
    """The index of the first part that begins near a time of the container's clock."""
    return next((k for k, (container, _) in enumerate(parts) if abs(container - start) <= 1), None)


def _copied(info: VideoInfo, stream: AudioStream, origin: float, lost: list[float]) -> Iterator[tuple[float, Packet]]:
    """(start, packet) of the source, shifted so that its time `origin` becomes 0."""
    for at, packet in _ordered(info, origin, lost):
        tick = packet.time_base
        assert tick is not None and packet.pts is not None and packet.dts is not None
        # An encoder's priming lies before 0 and is kept: players skip it, and the sound stays whole.
        if at + float((packet.duration or 0) * tick) < -0.1:
            continue
        packet.dts += round(at / tick) - packet.pts
        packet.pts = round(at / tick)
        packet.stream = stream
        yield at, packet


def _decoded(
    info: VideoInfo, stream: AudioStream, origin: float, stop: float | None, lost: list[float]
) -> Iterator[AudioFrame]:
    """Frames cut at the sample, in the format of `stream`, with silence where the source has a gap.

    The seconds of damaged packets are added to `lost`.
    """
    rate = stream.rate
    layout = stream.layout.name
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    written = 0
    limit = None if stop is None else round(stop * rate)
    at: int | None = None
    context: Any = None
    late = 0.0
    for start, packet in chain(_ordered(info, origin, lost), [(0.0, None)]):
        if packet is not None:
            context = packet.stream.codec_context
            # A decoder gives frames some packets late, with the stamps of their packets.
            late = start - float((packet.pts or 0) * (packet.time_base or 0))
        try:
            decoded = context.decode(packet)
        except (av.error.FFmpegError, EOFError):
            if packet is not None:
                lost.append(start)
            continue
        for frame in decoded:
            if not isinstance(frame, AudioFrame) or frame.pts is None or frame.time_base is None:
                continue
            claimed = round((float(frame.pts * frame.time_base) + late) * rate)
            if limit is not None and claimed >= limit:
                return
            if at is None or abs(claimed - at) > rate // 10:
                at = claimed
            frame.pts = None
            for piece in resampler.resample(frame):
                wave = np.asarray(piece.to_ndarray(), np.float32)
                begin = at
                at += wave.shape[1]
                wave = wave[:, max(written - begin, 0) : None if limit is None else max(limit - begin, 0)]
                begin = max(begin, written)
                if not wave.shape[1]:
                    continue
                if begin > written:
                    wave = np.concatenate([np.zeros((wave.shape[0], begin - written), np.float32), wave], 1)
                out = AudioFrame.from_ndarray(np.ascontiguousarray(wave), "fltp", layout)
                out.sample_rate, out.pts, out.time_base = rate, written, Fraction(1, rate)
                written += wave.shape[1]
                yield out


def _encoded(stream: AudioStream, frames: Iterator[AudioFrame]) -> Iterator[tuple[float, Packet]]:
    """(start, packet) of the encoded frames."""
    for frame in frames:
        yield from _timed(stream.encode(frame))
    yield from _timed(stream.encode(None))


def _timed(packets: list[Packet]) -> Iterator[tuple[float, Packet]]:
    """Each packet with its start in seconds."""
    for packet in packets:
        yield float((packet.pts or 0) * (packet.time_base or 0)), packet
