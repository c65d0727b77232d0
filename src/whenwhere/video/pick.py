"""Frames of runs as images, each wanted frame accounted for.

A frame that did not come back is decoded again without any skipping. What is still missing was damaged (or never
existed): the frame before it stands in, as in a player. Its tick, and those of frames that refer to damaged ones, are
remembered so that a warning can name them.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from whenwhere.video.decode import Decoder, DecodeRun, decode_runs, every_frame
from whenwhere.video.info import VideoInfo
from whenwhere.video.picture import FrameConverter


class FramePicker:
    """A decoder with a painter, for one thread."""

    def __init__(self, info: VideoInfo, width: int | None, gray: bool = False, threads: int = 1) -> None:
        self._info = info
        self._decoder = Decoder(info, threads)
        self._painter = FrameConverter(info, width, gray)
        self._replaced: set[int] = set()

    @property
    def damaged(self) -> set[int]:
        """Ticks of frames that could not be decoded, or not without errors; some may not have been wanted."""
        return self._replaced | self._decoder.doubtful

    def close(self) -> None:
        """Release the file."""
        self._decoder.close()

    def pick(self, run: DecodeRun) -> dict[int, NDArray[np.uint8]]:
        """Images of a run by tick; empty only where nothing near it can be decoded."""
        got: dict[int, NDArray[np.uint8]] = {}
        for frame in self._decoder.frames(run):
            assert frame.pts is not None
            got[frame.pts] = self._painter(frame)
        missing = [t for t in run.ticks if t not in got]
        if missing:
            got |= self.repair(missing)
        return got

    def pick_in_order(self, run: DecodeRun) -> Generator[tuple[int, NDArray[np.uint8]], None, None]:
        """The same, one image at a time: for runs too long to hold."""
        expected = sorted(run.ticks)
        k = 0
        held: VideoFrame | None = None
        # Closed before the decoder is, when the consumer stops early.
        with closing(self._decoder.frames(run)) as frames:
            for frame in frames:
                assert frame.pts is not None
                if held is not None and held.pts is not None and frame.pts != held.pts:
                    yield held.pts, self._painter(held)
                # Of two frames with one tick the later is the one that stays on the screen.
                held = frame
                late = []
                while k < len(expected) and expected[k] < frame.pts:
                    late.append(expected[k])
                    k += 1
                if late:
                    yield from self._repair_beside(late)
                k += k < len(expected) and expected[k] == frame.pts
        if held is not None and held.pts is not None:
            yield held.pts, self._painter(held)
        if k < len(expected):
            yield from self._repair_beside(expected[k:])

    def _repair_beside(self, ticks: list[int]) -> list[tuple[int, NDArray[np.uint8]]]:
        # The decoder is in the middle of a run: another one does this.
        other = FramePicker(self._info, self._painter.width, self._painter.gray)
        try:
            return sorted(other.repair(ticks).items())
        finally:
            self._replaced |= other.damaged
            other.close()

    def repair(self, ticks: list[int]) -> dict[int, NDArray[np.uint8]]:
        """Decode around these ticks without skipping anything; what is not there gets the frame before it."""
        assert self._info.packets is not None
        got: dict[int, NDArray[np.uint8]] = {}
        for run in decode_runs(self._info.packets, np.array(ticks, np.int64)):
            stamped = ((f.pts, f) for f in self._decoder.frames(run, plain=True) if f.pts is not None)
            for tick, image, exact in matched_frames(stamped, run.ticks, self._painter):
                got[tick] = image
                if not exact:
                    self._replaced.add(tick)
            self._replaced.update(t for t in run.ticks if t not in got)
        return got


def matched_frames(
    frames: Iterable[tuple[int, VideoFrame]], ticks: Iterable[int], painter: FrameConverter
) -> Iterator[tuple[int, NDArray[np.uint8], bool]]:
    """Wanted ticks out of frames in display order: tick, image, and whether it is that very frame.

    A tick without a frame of its own gets the last frame before it, or the first frame of all.
    """
    waiting = sorted(ticks, reverse=True)
    before: tuple[int, VideoFrame] | None = None
    for tick, frame in frames:
        while waiting and waiting[-1] < tick:
            stamp, shown = before or (tick, frame)
            wanted = waiting.pop()
            yield wanted, painter(shown), stamp == wanted
        before = tick, frame
        if not waiting:
            return
    while waiting and before:
        wanted = waiting.pop()
        yield wanted, painter(before[1]), before[0] == wanted


def decode_plainly(
    info: VideoInfo, ticks: Iterable[int], painter: FrameConverter, damaged: set[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Wanted ticks by decoding the whole file from its start: for streams whose packets cannot be trusted."""
    for tick, image, exact in matched_frames(every_frame(info), ticks, painter):
        if not exact:
            damaged.add(tick)
        yield tick, image


def damage_sentence(seconds: NDArray[np.float64]) -> str:
    """A warning that names the seconds of damaged frames.

    >>> damage_sentence(np.array([3.0, 3.04, 3.1, 7.5]))
    '4 frames are damaged: 3.0-3.1 s, 7.5 s; where one cannot be decoded, the frame before stands in'
    """
    seconds = np.sort(seconds)
    groups = np.split(seconds, np.flatnonzero(np.diff(seconds) > 1.0) + 1)
    named = [f"{g[0]:.1f}-{g[-1]:.1f} s" if g[-1] - g[0] >= 0.05 else f"{g[0]:.1f} s" for g in groups[:8]]
    more = f" and {len(groups) - 8} more places" if len(groups) > 8 else ""
    frames = "1 frame is" if len(seconds) == 1 else f"{len(seconds)} frames are"
    return f"{frames} damaged: {', '.join(named)}{more}; where one cannot be decoded, the frame before stands in"
