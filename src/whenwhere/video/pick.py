"""The frames of runs as images, with every wanted frame accounted for.

A frame that the decoder did not return is decoded again without skipping anything. If it is still missing, it is
damaged (or never existed), and the frame before it takes its place, as in a player. Its tick, and the ticks of frames
that refer to damaged ones, are remembered so that a warning can name them.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Generic, TypeVar

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from whenwhere.video.decode import Decoder, DecodeRun, decode_runs, every_frame
from whenwhere.video.info import VideoInfo

#: What a converter makes of a frame.
Image = TypeVar("Image")


class FramePicker(Generic[Image]):
    """Decodes runs and converts their frames to images; for one thread.

    Args:
        info: The probed video, with its packet table.
        converter: Makes an image of a frame, such as `FrameConverter`; it belongs to this picker alone.
        threads: FFmpeg threads inside the decoder.
    """

    def __init__(self, info: VideoInfo, converter: Callable[[VideoFrame], Image], threads: int = 1) -> None:
        self._info = info
        self._decoder = Decoder(info, threads)
        self._converter = converter
        self._replaced: set[int] = set()

    @property
    def damaged(self) -> set[int]:
        """Ticks of frames that could not be decoded without errors, unwanted ones among them."""
        return self._replaced | self._decoder.doubtful

    def close(self) -> None:
        """Release the file."""
        self._decoder.close()

    def pick(self, run: DecodeRun) -> dict[int, Image]:
        """The images of a run by tick; empty only if nothing near the run can be decoded."""
        got: dict[int, Image] = {}
        for frame in self._decoder.frames(run):
            assert frame.pts is not None
            got[frame.pts] = self._converter(frame)
        missing = [t for t in run.ticks if t not in got]
        if missing:
            got |= self.repair(missing)
        return got

    def pick_in_order(self, run: DecodeRun) -> Generator[tuple[int, Image], None, None]:
        """(tick, image) of a run in display order, one at a time, for runs too long to hold in memory."""
        expected = sorted(run.ticks)
        k = 0
        held: VideoFrame | None = None
        # If the consumer stops early, the frames are closed before the decoder is.
        with closing(self._decoder.frames(run)) as frames:
            for frame in frames:
                assert frame.pts is not None
                if held is not None and held.pts is not None and frame.pts != held.pts:
                    yield held.pts, self._converter(held)
                # Of two frames with one tick, the later one stays on the screen.
                held = frame
                late = []
                while k < len(expected) and expected[k] < frame.pts:
                    late.append(expected[k])
                    k += 1
                if late:
                    yield from self._repair_beside(late)
                k += k < len(expected) and expected[k] == frame.pts
        if held is not None and held.pts is not None:
            yield held.pts, self._converter(held)
        if k < len(expected):
            yield from self._repair_beside(expected[k:])

    def _repair_beside(self, ticks: list[int]) -> list[tuple[int, Image]]:
        """`repair` with a second decoder, since the first one is in the middle of a run."""
        other = FramePicker(self._info, self._converter)
        try:
            return sorted(other.repair(ticks).items())
        finally:
            self._replaced |= other.damaged
            other.close()

    def repair(self, ticks: list[int]) -> dict[int, Image]:
        """Decode around these ticks without skipping anything; a missing frame gets the image of the one before it."""
        got: dict[int, Image] = {}
        for run in decode_runs(self._info.packets, np.array(ticks, np.int64)):
            stamped = ((f.pts, f) for f in self._decoder.frames(run, plain=True) if f.pts is not None)
            for tick, image, exact in matched_frames(stamped, run.ticks, self._converter):
                got[tick] = image
                if not exact:
                    self._replaced.add(tick)
            self._replaced.update(t for t in run.ticks if t not in got)
        return got


def matched_frames(
    frames: Iterable[tuple[int, VideoFrame]], ticks: Iterable[int], converter: Callable[[VideoFrame], Image]
) -> Iterator[tuple[int, Image, bool]]:
    """(tick, image, exact) of each wanted tick, from frames in display order.

    `exact` says whether the image is that very frame. A tick without a frame of its own gets the last frame before it,
    or the first frame of all.
    """
    waiting = sorted(ticks, reverse=True)
    before: tuple[int, VideoFrame] | None = None
    for tick, frame in frames:
        while waiting and waiting[-1] < tick:
            stamp, shown = before or (tick, frame)
            wanted = waiting.pop()
            yield wanted, converter(shown), stamp == wanted
        before = tick, frame
        if not waiting:
            return
    while waiting and before:
        wanted = waiting.pop()
        yield wanted, converter(before[1]), before[0] == wanted


def decode_plainly(
    info: VideoInfo, ticks: Iterable[int], converter: Callable[[VideoFrame], Image], damaged: set[int]
) -> Iterator[tuple[int, Image]]:
    """(tick, image) of wanted ticks by decoding the whole file from its start, if its packets cannot be trusted."""
    for tick, image, exact in matched_frames(every_frame(info), ticks, converter):
        if not exact:
            damaged.add(tick)
        yield tick, image


def damage_sentence(seconds: NDArray[np.float64]) -> str:
    """A warning that names the seconds of damaged frames.

    >>> damage_sentence(np.array([3.0, 3.04, 3.1, 7.5]))
    '4 frames are damaged: 3.0-3.1 s, 7.5 s; one that cannot be decoded is replaced by the frame before it'
    """
    seconds = np.sort(seconds)
    groups = np.split(seconds, np.flatnonzero(np.diff(seconds) > 1.0) + 1)
    named = [f"{g[0]:.1f}-{g[-1]:.1f} s" if g[-1] - g[0] >= 0.05 else f"{g[0]:.1f} s" for g in groups[:8]]
    more = f" and {len(groups) - 8} more places" if len(groups) > 8 else ""
    frames = "1 frame is" if len(seconds) == 1 else f"{len(seconds)} frames are"
    return f"{frames} damaged: {', '.join(named)}{more}; one that cannot be decoded is replaced by the frame before it"
