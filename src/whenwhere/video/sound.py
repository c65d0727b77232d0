"""Sound tracks for written videos: copied packet by packet, re-encoded, or made from samples.

Time 0 of a written video is the first displayed frame of its source (or the start of a clip), so sound is shifted by
the container's own start. Sound is copied unchanged if browsers play its codec inside mp4, and becomes AAC otherwise.
An exact cut always re-encodes, because packets do not begin at the cut.
"""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from whenwhere.video.info import VideoInfo
from whenwhere.video.media import opened

#: Codecs that mp4 may hold and that browsers play there.
COPIED = {"aac", "mp3", "opus"}


class Sound:
    """A sound track that is written beside the picture.

    Args:
        out: The file that is written.
        packets: (start in seconds, packet) pairs in order.
    """

    def __init__(self, out: OutputContainer, packets: Iterator[tuple[float, Packet]]) -> None:
        self._out = out
        self._packets = packets
        self._held: tuple[float, Packet] | None = None

    def advance(self, until: float) -> None:
        """Write the packets that begin before `until` seconds, so that sound and picture are interleaved."""
        while True:
            self._held = self._held or next(self._packets, None)
            if self._held is None or self._held[0] >= until:
                return
            self._out.mux(self._held[1])
            self._held = None


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


def sound_of_video(
    out: OutputContainer, info: VideoInfo, start: float = 0.0, end: float | None = None, exact: bool = False
) -> Sound | None:
    """The sound track of a video between two of its times; None if it has none or it cannot be decoded.

    Args:
        out: The file that is written.
        info: The source video.
        start: Seconds of the source that become time 0.
        end: Seconds of the source at which the sound ends; None keeps all.
        exact: Whether to cut at the sample, which re-encodes.
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
        origin = info.start + start
        stop = None if end is None else end - start
        if not exact and context.name in COPIED | {"mp3float", "libopus"}:
            copy = out.add_stream_from_template(source)
            return Sound(out, _copied(info.path, copy, origin, stop))
        stream = _aac(out, context.sample_rate, "mono" if context.layout.nb_channels == 1 else "stereo")
        return Sound(out, _encoded(stream, _decoded(info.path, stream, origin, stop)))


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


def _copied(path: str, stream: AudioStream, origin: float, stop: float | None) -> Iterator[tuple[float, Packet]]:
    """(start, packet) of the source, shifted so that its time `origin` becomes 0, up to `stop`."""
    for packet in _audio_packets(path):
        if not packet.size or packet.pts is None or packet.dts is None or packet.time_base is None:
            continue
        tick = packet.time_base
        at = float(packet.pts * tick) - origin
        length = float((packet.duration or 0) * tick)
        # An encoder's priming lies before 0 and is kept: players skip it, and the sound stays whole.
        if at + length < -0.1:
            continue
        if stop is not None and at >= stop:
            return
        shift = round(origin / tick)
        packet.pts -= shift
        packet.dts -= shift
        packet.stream = stream
        yield at, packet


def _decoded(path: str, stream: AudioStream, origin: float, stop: float | None) -> Iterator[AudioFrame]:
    """Frames cut at the sample, in the format of `stream`, with silence where the source has a gap."""
    rate = stream.rate
    layout = stream.layout.name
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    written = 0
    limit = None if stop is None else round(stop * rate)
    at: int | None = None
    for packet in _audio_packets(path):
        context = packet.stream.codec_context
        try:
            decoded = context.decode(packet if packet.size else None)
        except (av.error.FFmpegError, EOFError):
            continue
        for frame in decoded:
            if not isinstance(frame, AudioFrame) or frame.pts is None or frame.time_base is None:
                continue
            claimed = round((float(frame.pts * frame.time_base) - origin) * rate)
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
