"""Sparse reading: the frames shown at some times, exactly and fast.

Runs of packets (see `decode`) are distributed over threads, each with its own single-threaded decoder; FFmpeg works
outside Python's lock. Runs that cannot be distributed evenly are decoded by one decoder with all the threads.
It is checked that every wanted frame comes back (see `pick`).
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.errors import MediaError
from whenwhere.readers import printable
from whenwhere.video.decode import DecodeRun, LostError, decode_runs
from whenwhere.video.info import VideoInfo, plan_read
from whenwhere.video.pick import FramePicker, damage_sentence, decode_plainly
from whenwhere.video.picture import FrameConverter

# Speed-up of one decoder by n FFmpeg threads, as a share of n: they wait for each other's frames.
_FRAME_THREADS_GAIN = 0.8
_MAX_THREADS = 16
_limit = _MAX_THREADS
# Neighbouring runs are handed out together up to about this cost, to save seeks.
_PIECE = 200.0

Store = Callable[[int, NDArray[np.uint8]], None]


@dataclass(frozen=True, eq=False)
class Frames:
    """Images of the requested times, in the order of the request.

    Attributes:
        images: (n, h, w, 3) uint8 RGB images, upright, with square pixels.
        times: (n,) times of the frames shown at the requested times, in seconds.
        requested: (n,) requested times, in seconds.
        warnings: Sentences about what the probe found and about frames that could not be decoded.
    """

    images: NDArray[np.uint8]
    times: NDArray[np.float64]
    requested: NDArray[np.float64]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def cores() -> int:
    """The number of processor cores that reading may use in this process, at most 16."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _limit)


def limit_cores(count: int) -> None:
    """Sets how many processor cores reading may use in this process: few in each of several that decode side by side.

    Args:
        count: The number of cores, at least 1.
    """
    global _limit
    _limit = max(1, min(count, _MAX_THREADS))


def read_frames(info: VideoInfo, times: ArrayLike, width: int | None = None, threads: int | None = None) -> Frames:
    """The frames shown at the requested times.

    Args:
        info: The probed video.
        times: (n,) seconds, in any order, repeats allowed.
        width: Width of the images in pixels; None keeps the displayed width.
        threads: Threads to use; None uses all cores. Use 1 inside a data loader's worker.

    Raises:
        MediaError: None of the requested frames can be decoded.
        QueryError: A time is not finite.
        SettingError: The width is out of range.
    """
    p = plan_read(info, times)
    wanted, first, inverse = np.unique(p.index, return_index=True, return_inverse=True)
    images = np.empty((len(p.index), *FrameConverter(info, width).shape), np.uint8)
    ticks = info.ticks[wanted]
    slot = dict(zip(ticks.tolist(), first.tolist(), strict=True))
    got: set[int] = set()

    def store(tick: int, image: NDArray[np.uint8]) -> None:
        images[slot[tick]] = image
        got.add(tick)

    damaged: set[int] = set()
    if len(ticks):
        try:
            damaged = _decode_side_by_side(info, decode_runs(info.packets, ticks), width, threads or cores(), store)
        except LostError:
            damaged = set()
            got.clear()
    # If packets cannot be trusted, the frames are found by decoding everything.
    if len(ticks) and not got:
        for tick, image in decode_plainly(info, ticks.tolist(), FrameConverter(info, width), damaged):
            store(tick, image)
    if len(got) < len(ticks):
        if not got:
            raise MediaError(f"none of the {len(ticks)} requested frames of {printable(info.path)} can be decoded")
        have = np.array(sorted(got))
        for tick in ticks.tolist():
            if tick not in got:
                images[slot[tick]] = images[slot[int(have[max(np.searchsorted(have, tick) - 1, 0)])]]
                damaged.add(tick)
    if len(wanted) < len(inverse):
        images = images[first[inverse]]
    warnings = info.warnings
    if spoilt := damaged & slot.keys():
        warnings = (*warnings, damage_sentence(info.times[np.searchsorted(info.ticks, sorted(spoilt))]))
    return Frames(images, p.actual, p.requested, warnings)


#: The name of earlier versions.
read = read_frames


def _pieces(all_runs: list[DecodeRun], size: float) -> list[list[DecodeRun]]:
    """The runs in groups of neighbours that cost about `size` each."""
    out: list[list[DecodeRun]] = []
    filled = size
    for run in all_runs:
        if filled >= size:
            out.append([])
            filled = 0.0
        out[-1].append(run)
        filled += run.cost
    return out


def _shares(costs: list[float], threads: int) -> tuple[list[int], list[int]]:
    """Indices of the pieces to decode side by side, and of those to decode afterwards by one decoder with all threads.

    Seven equal pieces on two cores would leave one core idle while the seventh is decoded; it is cheaper to decode
    three on each core and the seventh on both. Only the few largest and smallest pieces are considered for that.

    >>> _shares([100.0] * 7, 2)
    ([0, 1, 2, 3, 4, 5], [6])
    >>> _shares([100.0] * 8, 2), _shares([250.0, 50.0], 2)
    (([0, 1, 2, 3, 4, 5, 6, 7], []), ([], [0, 1]))
    """
    everything = list(range(len(costs)))
    if threads == 1:
        return [], everything
    if len(costs) > 8 * threads:
        return everything, []
    order = sorted(everything, key=lambda k: -costs[k])
    best: tuple[float, list[int], list[int]] = (sum(costs) / (_FRAME_THREADS_GAIN * threads), [], everything)
    few = min(3, len(costs) - 1)
    for largest in range(few + 1):
        for smallest in range(few + 1 - largest):
            together = sorted(order[:largest] + order[len(order) - smallest :])
            apart = [k for k in everything if k not in together]
            busy = [0.0] * threads
            for k in apart:
                busy[busy.index(min(busy))] += costs[k]
            wall = max(busy) + sum(costs[k] for k in together) / (_FRAME_THREADS_GAIN * threads)
            if wall < best[0] - 1e-9:
                best = (wall, apart, together)
    return best[1], best[2]


def _decode_side_by_side(
    info: VideoInfo, all_runs: list[DecodeRun], width: int | None, threads: int, store: Store
) -> set[int]:
    """Decode runs side by side, give their images to `store`, and return the ticks of damaged frames.

    Raises:
        LostError: The file's packets are not those of the probe.
    """
    pieces = _pieces(all_runs, min(_PIECE, sum(r.cost for r in all_runs) / (3 * threads)))
    apart, together = _shares([sum(r.cost for r in piece) for piece in pieces], threads)
    lock = threading.Lock()

    def decode_pieces(work: deque[int], inner: int) -> set[int]:
        picker = FramePicker(info, FrameConverter(info, width), inner)
        try:
            while True:
                with lock:
                    if not work:
                        return picker.damaged
                    piece = pieces[work.popleft()]
                for run in piece:
                    for tick, image in picker.pick(run).items():
                        store(tick, image)
        finally:
            picker.close()

    damaged: set[int] = set()
    if apart:
        queue = deque(apart)
        workers = min(threads, len(apart))
        with ThreadPoolExecutor(workers, "whenwhere-read") as pool:
            for future in [pool.submit(decode_pieces, queue, 1) for _ in range(workers)]:
                damaged |= future.result()
    if together:
        damaged |= decode_pieces(deque(together), threads)
    return damaged
