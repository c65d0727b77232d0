"""Frames in order with bounded memory, for one pass over a whole video.

There are two ways, chosen by what is asked. For few small frames per second, runs of packets are decoded side by side,
some ahead of the consumer, and handed over in order. For every frame, or large ones, one decoder with FFmpeg's own
threads gives a frame at a time. Either way memory is bounded by a constant, whatever the video's length.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.video.decode import DecodeRun, LostError, decode_runs
from whenwhere.video.info import VideoInfo
from whenwhere.video.pick import FramePicker, damage_sentence, decode_plainly
from whenwhere.video.picture import FrameViews
from whenwhere.video.read import cores

# Most bytes of images decoded ahead of the consumer.
_AHEAD = 96 << 20
#: The images of one frame, one for each view.
Images = tuple[NDArray[np.uint8], ...]


def stream_frames(
    info: VideoInfo,
    fps: float | None = None,
    width: int | None = None,
    start: float = 0.0,
    end: float | None = None,
    gray: bool = False,
    warnings: list[str] | None = None,
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Frames in order with their own times.

    Args:
        info: The probed video.
        fps: Frames per second: the frames shown at the grid times k/fps in [start, end), each at most once. None
            gives every frame in [start, end).
        width: Width of the images in pixels; None keeps the displayed width.
        start: Start in seconds.
        end: End in seconds; None is the end of the video.
        gray: Whether images are (h, w) luma instead of (h, w, 3) RGB.
        warnings: A list to which a sentence is added if frames could not be decoded; each such frame is replaced by
            the one before it.

    Yields:
        The frame's time in seconds, and its uint8 image.

    Raises:
        SettingError: `fps` is not positive, or the width is out of range.
    """
    for t, (image,) in stream_views(info, [(fps, width)], start, end, gray, warnings):
        assert image is not None  # there is one view, and so no frame that only another one wants
        yield t, image


def stream_views(
    info: VideoInfo,
    views: Sequence[tuple[float | None, int | None]],
    start: float = 0.0,
    end: float | None = None,
    gray: bool = False,
    warnings: list[str] | None = None,
) -> Generator[tuple[float, tuple[NDArray[np.uint8] | None, ...]], None, None]:
    """Frames in order for several readers at once: each has a rate and a width of its own, and all is decoded once.

    Args:
        info: The probed video.
        views: The frames per second and the width of each view, as `fps` and `width` of `stream_frames`.
        start: Start in seconds.
        end: End in seconds; None is the end of the video.
        gray: Whether images are (h, w) luma instead of (h, w, 3) RGB.
        warnings: A list to which a sentence is added if frames could not be decoded.

    Yields:
        The time in seconds of each frame that some view has, and its image in each view; None in the others.

    Raises:
        SettingError: A rate is not positive, or a width is out of range.
    """
    wanted = [stream_index(info, fps, start, end) for fps, _ in views]
    index = np.unique(np.concatenate(wanted))
    if not len(index):
        return
    chosen = [set(info.ticks[w].tolist()) for w in wanted]
    ticks = info.ticks[index]
    times = dict(zip(ticks.tolist(), info.times[index].tolist(), strict=True))
    widths = [width for _, width in views]
    damaged: set[int] = set()
    done = ticks[0] - 1

    def shown(tick: int, images: Images) -> tuple[float, tuple[NDArray[np.uint8] | None, ...]]:
        return times[tick], tuple(x if tick in c else None for x, c in zip(images, chosen, strict=True))

    try:
        try:
            with closing(_ordered(info, ticks, widths, gray, damaged)) as source:
                for tick, images in source:
                    done = tick
                    yield shown(tick, images)
            done = ticks[-1]
        except LostError:
            pass
        rest = ticks[ticks > done]
        if len(rest):
            for tick, images in decode_plainly(info, rest.tolist(), FrameViews(info, widths, gray), damaged):
                yield shown(tick, images)
    finally:
        # If the consumer stops early too, it is told what was damaged so far.
        if warnings is not None and (spoilt := damaged & times.keys()):
            warnings.append(damage_sentence(np.array([times[t] for t in spoilt])))


def stream_index(
    info: VideoInfo, fps: float | None = None, start: float = 0.0, end: float | None = None
) -> NDArray[np.intp]:
    """Increasing indices into `VideoInfo.times` of the frames that `stream_frames` gives.

    Raises:
        SettingError: `fps` is not positive.
    """
    end = info.duration if end is None else min(end, info.duration)
    if fps is None:
        return np.flatnonzero((info.times >= start - 1e-6) & (info.times < end - 1e-6))
    if not fps > 0:
        raise SettingError(f"{fps:g} frames per second is not a positive rate")
    first, last = np.ceil(max(start, 0.0) * fps - 1e-6), np.ceil(end * fps - 1e-6)
    if not first < last:
        return np.empty(0, np.intp)
    if last - first <= 4 * len(info.times):
        numbers = np.arange(first, last)
    else:
        # Of a grid much finer than the frames, three points near the beginning of each frame tell which are shown.
        near = np.ceil(info.times * fps)
        numbers = np.clip(np.concatenate([near - 1, near, near + 1]), first, last - 1)
    return np.unique(info.shown(numbers / fps))


def _ordered(
    info: VideoInfo, ticks: NDArray[np.int64], widths: Sequence[int | None], gray: bool, damaged: set[int]
) -> Generator[tuple[int, Images], None, None]:
    """(tick, images) of wanted frames in display order, by one decoder or by several side by side."""
    all_runs = decode_runs(info.packets, ticks)
    threads = cores()
    converter = FrameViews(info, widths, gray)
    ahead = threads + 1
    largest = max(len(r.ticks) for r in all_runs) * converter.size
    # Leading pictures of a run may be shown before the last frames of the previous run: then runs are not in order.
    in_order = all(max(a.ticks) < min(b.ticks) for a, b in pairwise(all_runs))
    if threads > 1 and len(all_runs) > threads and in_order and largest * (ahead + 1) <= _AHEAD:
        yield from _side_by_side(info, all_runs, widths, gray, threads, ahead, damaged)
        return
    picker = FramePicker(info, converter, threads)
    try:
        for run in _joined(all_runs, in_order):
            with closing(picker.pick_in_order(run)) as images:
                yield from images
    finally:
        damaged |= picker.damaged
        picker.close()


def _joined(all_runs: list[DecodeRun], in_order: bool) -> list[DecodeRun]:
    """Adjacent runs merged into one, so that the decoder's threads need not be drained at each key frame."""
    out: list[DecodeRun] = []
    for run in all_runs:
        if out and (out[-1].stop == run.start or not in_order):
            last = out.pop()
            out.append(DecodeRun(last.start, run.stop, last.ticks + run.ticks, last.cost + run.cost))
        else:
            out.append(run)
    return out


def _side_by_side(
    info: VideoInfo,
    all_runs: list[DecodeRun],
    widths: Sequence[int | None],
    gray: bool,
    threads: int,
    ahead: int,
    damaged: set[int],
) -> Iterator[tuple[int, Images]]:
    """(tick, images) in order from decoders in `threads` threads, at most `ahead` runs ahead of the consumer."""
    idle: SimpleQueue[FramePicker[Images]] = SimpleQueue()
    pickers = []
    try:
        for _ in range(threads):
            pickers.append(FramePicker(info, FrameViews(info, widths, gray)))
            idle.put(pickers[-1])

        def work(run: DecodeRun) -> list[tuple[int, Images]]:
            picker = idle.get()
            try:
                return sorted(picker.pick(run).items())
            finally:
                idle.put(picker)

        waiting: deque[Future[list[tuple[int, Images]]]] = deque()
        todo = deque(all_runs)
        with ThreadPoolExecutor(threads, "whenwhere-stream") as pool:
            try:
                while todo or waiting:
                    while todo and len(waiting) < ahead:
                        waiting.append(pool.submit(work, todo.popleft()))
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        for picker in pickers:
            damaged |= picker.damaged
            picker.close()
