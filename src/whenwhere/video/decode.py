"""Decoding only what is wanted: runs of packets, and decoders that jump between them.

A *run* goes from a key frame to the last wanted packet that depends on it. Packets between runs are never decoded and
often not even read: a decoder seeks if the way to the next run is long. Inside a run, the decoder skips frames that
are neither wanted nor referred to (`NONREF`); this is safe for H.264 and HEVC only, AV1 loses frames and VP9 gains
nothing. After a run the decoder is drained and flushed, as after a seek, so nothing leaks into the next run.

Leading pictures (shown before their key frame, stored after it) refer to the previous group: their run begins there.

What a decoder learns from the first packet only (the encoder's version, a palette, parameters that are never repeated)
it is shown before it begins later: see `PacketTable.head`. Packets are stamped with the ticks of the video's one clock
before they are decoded, and so are the frames that come out.

Every packet is compared with the table of the probe. If a file is demuxed differently the second time, or if a packet
that is called a key frame is none, `LostError` is raised and the file is decoded from its start instead.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

import av
import numpy as np
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from whenwhere.video.info import NO_TICK, PacketTable, VideoInfo
from whenwhere.video.media import opened, packets, video_stream

# Pictures that refer to others, whatever their packets say.
_DEPENDENT = {PictureType.P, PictureType.B, PictureType.S}
_NONREF_CODECS = {"h264", "hevc"}
# Reading this many bytes of a file is cheaper than a seek.
_STRIDE = 1 << 18


class LostError(Exception):
    """The packets are not what the table says; the callers then decode from the start."""


@dataclass(frozen=True)
class DecodeRun:
    """Packets that are decoded in one go.

    Attributes:
        start: Index of the first packet.
        stop: Index after the last packet.
        ticks: The ticks wanted from them.
        cost: Cost of decoding them, in units of an average packet.
    """

    start: int
    stop: int
    ticks: tuple[int, ...]
    cost: float


def decode_runs(table: PacketTable, ticks: NDArray[np.int64]) -> list[DecodeRun]:
    """The fewest packets that must be decoded to get the frames with these ticks, in the file's order.

    Args:
        table: The video's packets.
        ticks: The wanted ticks, each once.

    >>> pts, size, key = np.array([0, 3, 1, 2, 4, 5]), np.full(6, 9), np.array([1, 0, 0, 0, 1, 0], bool)
    >>> t = PacketTable(pts, pts, size, key, np.ones(6, bool), pts, np.arange(6) == 0, True)
    >>> [(r.start, r.stop, r.ticks) for r in decode_runs(t, np.array([1, 4]))]
    [(0, 3, (1,)), (4, 5, (4,))]
    """
    keys = np.flatnonzero(table.key)
    rows = np.flatnonzero(table.shown & np.isin(table.tick, ticks))
    governing = np.maximum(np.searchsorted(keys, rows, side="right") - 1, 0)
    leading = (table.tick[rows] < table.tick[keys[governing]]) & (governing > 0)
    begins = np.where(leading, keys[np.maximum(governing - 1, 0)], keys[governing])
    mean = max(float(table.size.mean()), 1.0)
    weight = np.concatenate([[0.0], np.cumsum(0.3 + 0.7 * table.size / mean)])
    out: list[tuple[int, int, list[int]]] = []
    # The second field of a frame lies in a packet that is not shown.
    ends = rows + 1 + (np.append(table.tick[1:] == table.tick[:-1], False) & ~np.append(table.shown[1:], True))[rows]
    for row, begin, stop in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
        wanted = [int(table.tick[row])]
        # A leading picture may join several runs: nothing is decoded twice, and no decoder need go back.
        while out and begin < out[-1][1]:
            start, last, earlier = out.pop()
            begin, stop, wanted = min(start, begin), max(last, stop), earlier + wanted
        out.append((begin, stop, wanted))
    return [DecodeRun(a, b, tuple(dict.fromkeys(w)), float(weight[b] - weight[a])) for a, b, w in out]


class Decoder:
    """One open file with one decoder that moves forward through runs.

    Args:
        info: The probed video, with its packet table.
        threads: FFmpeg threads inside the decoder; 1 if several decoders work side by side.

    Attributes:
        doubtful: Ticks of wanted frames that are damaged or refer to damaged frames.
    """

    def __init__(self, info: VideoInfo, threads: int = 1) -> None:
        self._info = info
        self._table = info.packets
        self._threads = threads
        self._drop = info.codec in _NONREF_CODECS
        self._seekable = info.packets.seekable
        self._ends = np.cumsum(self._table.size)
        self._failed = False
        self.doubtful: set[int] = set()
        self._open()

    def _open(self) -> None:
        self._manager = opened(self._info.path)
        self._container = self._manager.__enter__()
        self._stream = video_stream(self._container, self._info.path)
        self._context = self._stream.codec_context
        self._context.thread_type = "NONE" if self._threads == 1 else "AUTO"
        self._context.thread_count = self._threads
        self._source = packets(self._container, self._stream)
        self._at = 0

    def close(self) -> None:
        """Release the file."""
        self._manager.__exit__(None, None, None)

    def _next(self) -> Packet:
        """The next packet, which must be that of the table, stamped with its tick."""
        packet = next(self._source, None)
        if packet is None or not _same(packet, self._table, self._at):
            raise LostError
        packet.pts = int(self._table.tick[self._at])
        self._at += 1
        return packet

    def _go(self, start: int) -> Packet:
        """Move to packet `start` and return it."""
        if self._at == 0 and start > 0:
            self._pass()
        way = int(self._ends[start] - self._ends[self._at - 1 if self._at else 0])
        near = self._at <= start and (way <= _STRIDE or not self._seekable)
        if not near and not (self._seekable and self._jump(start)):
            # No seek lands at a useful place (a stream without an index): start from the beginning, once and for all.
            self._seekable = False
            self.close()
            self._open()
        while self._at < start:
            self._pass()
        return self._next()

    def _pass(self) -> None:
        """Pass over the next packet; the decoder sees it if later ones rely on what it says."""
        head = self._table.head[self._at]
        packet = self._next()
        if head:
            self._decode(packet)
            self._context.flush_buffers()
            self._failed = False

    def _jump(self, start: int) -> bool:
        """Seek to packet `start` or before it and find the place in the table; False if that fails."""
        keys = np.flatnonzero(self._table.key[: start + 1])
        for back in (1, 3):
            if len(keys) < back:
                break
            target = int(keys[-back])
            dts, pts = int(self._table.dts[target]), int(self._table.pts[target])
            try:
                self._container.seek(min(dts, pts) if dts > np.iinfo(np.int64).min else pts, stream=self._stream)
            except (av.error.FFmpegError, OSError):
                break
            self._source = packets(self._container, self._stream)
            self._at = -1
            first = next(self._source, None)
            if first is None or first.pts is None:
                continue
            passed = slice(None, start + 1)
            same = (self._table.pts[passed] == first.pts) & (self._table.size[passed] == first.size)
            places = np.flatnonzero(same)
            if len(places) == 1:
                self._source = chain([first], self._source)
                self._at = int(places[0])
                return True
        return False

    def frames(self, run: DecodeRun, plain: bool = False) -> Generator[VideoFrame, None, None]:
        """The wanted frames of a run, in display order.

        Args:
            run: The packets to decode.
            plain: Whether this is a second try: it begins two key frames earlier, goes past the end, skips nothing
                and gives every frame.
        """
        start, stop = run.start, run.stop
        if plain:
            keys = np.flatnonzero(self._table.key[: start + 1])
            start = int(keys[-min(3, len(keys))]) if len(keys) else 0
            stop = min(stop + 32, len(self._table))
        wanted = set(run.ticks)
        ticks = self._table.tick
        drop = self._drop and not plain
        skipping = False
        broken = False
        packet = self._go(start)
        # Only now, because a way back may open the file anew.
        context = self._context
        try:
            for i in range(start, stop):
                broken &= not self._table.key[i]
                if drop and skipping == (int(ticks[i]) in wanted):
                    skipping = not skipping
                    context.skip_frame = "NONREF" if skipping else "DEFAULT"
                # Whatever a part brings with it (another size), the frames of the part before it come out whole.
                ended = self._drain() if i > start and self._table.starts_part(i) else []
                for frame in ended + self._decode(packet):
                    if start and frame.pts == ticks[start] and not self._drop and frame.pict_type in _DEPENDENT:
                        raise LostError
                    if plain or frame.pts in wanted:
                        yield frame
                if self._failed:
                    # Threads report an error some packets late. Up to the next key frame all refer to damaged frames.
                    broken, self._failed = True, False
                    self.doubtful.update(wanted.intersection(ticks[max(i + 1 - self._threads, start) : i].tolist()))
                if broken and int(ticks[i]) in wanted:
                    self.doubtful.add(int(ticks[i]))
                if i + 1 < stop:
                    packet = self._next()
            for frame in self._decode(None):
                if plain or frame.pts in wanted:
                    yield frame
        finally:
            # If the consumer stops early too, the next run must find nothing of this one.
            context.flush_buffers()
            self._failed = False
            context.skip_frame = "DEFAULT"

    def _drain(self) -> list[VideoFrame]:
        """The frames that the decoder holds back."""
        frames = self._decode(None)
        self._context.flush_buffers()
        return frames

    def _decode(self, packet: Packet | None) -> list[VideoFrame]:
        """The frames that a packet completes; None drains the decoder. Errors are noted, not raised."""
        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, EOFError):
            self._failed = True
            return []
        self.doubtful.update(f.pts for f in frames if f.is_corrupt and f.pts is not None)
        return frames


def _same(packet: Packet, table: PacketTable, row: int) -> bool:
    """Whether a packet is that of the table's row."""
    pts = NO_TICK if packet.pts is None else packet.pts
    return row < len(table) and pts == table.pts[row] and packet.size == table.size[row]


def every_frame(info: VideoInfo) -> Iterator[tuple[int, VideoFrame]]:
    """(tick, frame) of all frames in display order, by decoding from the start; damaged packets are left out."""
    table = info.packets
    with opened(info.path) as container:
        stream = video_stream(container, info.path)
        stream.thread_type = "AUTO"
        context = stream.codec_context
        shift = 0
        for row, packet in enumerate(chain(packets(container, stream), [None])):
            if packet is not None:
                stamp = packet.pts
                if _same(packet, table, row):
                    packet.pts = int(table.tick[row])
                    shift = packet.pts - stamp if stamp is not None else 0
                elif stamp is not None:
                    # The demuxer gives other packets than to the probe: they are told apart by their stamps.
                    packet.pts = stamp + shift
            frames: list[VideoFrame] = []
            with suppress(av.error.FFmpegError, EOFError):
                if packet is not None and table.starts_part(row):
                    frames += context.decode(None)
                    context.flush_buffers()
                frames += context.decode(packet)
            yield from ((f.pts, f) for f in frames if f.pts is not None)
