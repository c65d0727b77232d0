"""The fill that uses the pixels: which gaps are tracked, and one pass over the video for all of them.

`whenwhere.tracking.gap` fills one gap, `whenwhere.tracking.outline` corrects the edges of its boxes. This file decides
what they are applied to:

- A gap is tracked unless it holds a shot cut or an absence, no time is wanted inside it, or nothing happens in it (both
  boxes overlap by more than 0.9 and the object is slow): there a straight line is as good and costs nothing.
- Objects that are slow by their two boxes are tracked at about 12 frames per second, which drifts less and costs less;
  faster ones are tracked on every frame, up to 30 per second.
- The video is decoded once for all tubes, in grey and at most 640 pixels wide. Only the frames of unfinished gaps are
  held, and a few of the seconds around them for the background, so memory is bounded by the longest gap and not by the
  video.

A frame's box holds from its time to the next frame's, as the picture does: the box at a time is that of the frame shown
then, and a frame in which a known box was seen has exactly that box.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.overlap import box_iou
from whenwhere.tracking.gap import fill_gap
from whenwhere.tracking.outline import CameraShift, ContextFrames, fit_outline
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, stream_frames

#: Most pixels of width at which frames are tracked.
WIDTH = 640
#: Boxes that overlap more than this at less than this speed (box sizes per second) are not tracked.
STILL_IOU, STILL_SPEED = 0.9, 0.1
#: Objects slower than `SLOW` (box sizes per second) are tracked at `SLOW_FPS`, others at up to `FULL_FPS` frames/s.
SLOW, SLOW_FPS, FULL_FPS = 0.25, 12.5, 30.0
#: Most frames tracked in a gap; those of a longer gap are spread evenly.
MOST_FRAMES = 240
#: Gaps further apart than this many seconds are decoded in separate passes.
SEEK = 2.0
#: The background of a gap also uses frames up to `AROUND` seconds from it, one every `EVERY` seconds.
AROUND, EVERY = 3.0, 0.25
_EPS = 1e-3


@dataclass
class _Gap:
    """A gap between two neighbouring boxes of a tube that is tracked.

    Attributes:
        tube: Index of the tube.
        first: Index of the earlier box in its tube; the later box is the next one.
        start: Time of the frame in which the earlier box was seen.
        end: Time of the frame in which the later box was seen.
        wanted: Times of the frames to track through, both ends included.
        times: Times of the frames decoded so far.
        frames: These frames, grey.
        camera: (2,) camera shift of each of them (`CameraShift`).
    """

    tube: int
    first: int
    start: float
    end: float
    wanted: frozenset[float]
    times: list[float] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    camera: list[NDArray[np.float64]] = field(default_factory=list)


class _Sample(NamedTuple):
    """A frame kept for the backgrounds of the gaps around it, with its time and camera shift."""

    time: float
    frame: NDArray[np.uint8]
    camera: NDArray[np.float64]


def fill_flow(
    tubes: Sequence[Tube],
    times: NDArray[np.float64],
    filled: Sequence[NDArray[np.float64]],
    info: VideoInfo,
    cuts: NDArray[np.float64],
) -> None:
    """Overwrite linearly filled boxes of several tubes of one video by tracked ones.

    Args:
        tubes: Second-level boxes.
        times: (n,) seconds, in any order.
        filled: One (n, 4) array per tube; rows inside tracked gaps are overwritten.
        info: The probed video.
        cuts: Sorted times of the first frame of each new shot.

    Raises:
        MediaError: The video cannot be read.
    """
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    gaps = [gap for k, tube in enumerate(tubes) for gap in _gaps(k, tube, ordered, info, cuts)]
    for gap, samples in _with_frames(gaps, info):
        tube = tubes[gap.tube]
        height, width = gap.frames[0].shape
        scale = np.array([width / info.width, height / info.height] * 2)
        seen = np.array(gap.times)
        boxes = fill_gap(gap.frames, seen, *(tube.boxes[gap.first : gap.first + 2] * scale))
        context = _context_frames(gap, samples, tube, cuts, scale)
        boxes = fit_outline(gap.frames, seen, boxes, np.array(gap.camera), context) / scale
        lo, hi = tube.times[gap.first : gap.first + 2]
        inside = order[_between(ordered, lo, hi)]
        shown = info.times[info.shown(times[inside])]
        filled[gap.tube][inside] = np.stack([np.interp(shown, seen, edge) for edge in boxes.T], 1)


def _between(times: NDArray[np.float64], lo: float, hi: float) -> slice:
    """The slice of increasing times that lie inside (lo, hi)."""
    return slice(int(np.searchsorted(times, lo, side="right")), int(np.searchsorted(times, hi, side="left")))


def _gaps(
    which: int, tube: Tube, times: NDArray[np.float64], info: VideoInfo, cuts: NDArray[np.float64]
) -> Iterator[_Gap]:
    """The gaps of one tube that are tracked."""
    for part in tube.segments():
        for i in range(part.start, part.stop - 1):
            lo, hi = tube.times[i : i + 2]
            a, b = tube.boxes[i : i + 2]
            asked, cut = _between(times, lo, hi), np.searchsorted(cuts, [lo + _EPS, hi + _EPS], side="right")
            if asked.start >= asked.stop or cut[0] < cut[1]:
                continue
            size = np.sqrt(np.prod((a[2:] - a[:2]) * (b[2:] - b[:2])) ** 0.5)
            speed = np.linalg.norm((a + np.roll(a, 2) - b - np.roll(b, 2))[:2] / 2) / size / (hi - lo)
            if speed < STILL_SPEED and box_iou(a, b) > STILL_IOU:
                continue
            first, last = info.shown([lo, hi])
            if last - first < 2:
                continue
            seen = info.times[first : last + 1]
            rate = SLOW_FPS if speed < SLOW else FULL_FPS
            steps = min(last - first, MOST_FRAMES, max(1, round((seen[-1] - seen[0]) * rate)))
            if steps * 1.2 > last - first <= MOST_FRAMES:
                steps = last - first
            wanted = seen[np.round(np.linspace(0, last - first, steps + 1)).astype(int)]
            yield _Gap(which, i, float(seen[0]), float(seen[-1]), frozenset(wanted.tolist()))


def _context_frames(
    gap: _Gap, samples: Sequence[_Sample], tube: Tube, cuts: NDArray[np.float64], scale: NDArray[np.float64]
) -> ContextFrames | None:
    """Frames of the shot before and after a gap in which the tube says where the object is; None if there is none."""
    near = [s for s in samples if gap.start - AROUND <= s.time < gap.start or gap.end < s.time <= gap.end + AROUND]
    boxes = tube.boxes_at([s.time for s in near]) * scale
    shot = np.searchsorted(cuts, [gap.start + _EPS, *(s.time + _EPS for s in near)], side="right")
    use = np.flatnonzero(~np.isnan(boxes[:, 0]) & (shot[1:] == shot[0]))
    if not len(use):
        return None
    return ContextFrames([near[i].frame for i in use], boxes[use], np.array([near[i].camera for i in use]))


def _with_frames(gaps: Iterable[_Gap], info: VideoInfo) -> Iterator[tuple[_Gap, list[_Sample]]]:
    """Each gap, once it and the seconds after it are decoded, with the samples around it; its frames are freed then."""
    waiting = sorted(gaps, key=lambda g: g.start)
    width = min(WIDTH, info.width)
    threads = cv2.getNumThreads()
    # The windows are tiny: threads cost more than they gain, most of all on machines with many cores.
    cv2.setNumThreads(1)
    try:
        while waiting:
            end, group = waiting[0].end, 0
            while group < len(waiting) and waiting[group].start <= end + SEEK:
                end = max(end, waiting[group].end)
                group += 1
            todo, waiting = waiting[:group], waiting[group:]
            yield from _one_pass(
                todo, stream_frames(info, width=width, start=todo[0].start, end=end + _EPS / 2, gray=True)
            )
    finally:
        cv2.setNumThreads(threads)


def _one_pass(
    todo: list[_Gap], frames: Iterable[tuple[float, NDArray[np.uint8]]]
) -> Iterator[tuple[_Gap, list[_Sample]]]:
    """The gaps of one pass over consecutive frames, each with the samples around it."""
    camera = CameraShift()
    samples: list[_Sample] = []
    unfinished: list[_Gap] = []
    finished: list[_Gap] = []
    for time, image in frames:
        while todo and todo[0].start <= time + _EPS / 2:
            unfinished.append(todo.pop(0))
        takers = [gap for gap in unfinished if time in gap.wanted]
        sample = not samples or time - samples[-1].time >= EVERY - _EPS
        if takers or sample:
            shift = camera.step(image)
        if sample:
            samples.append(_Sample(time, image, shift))
        for gap in takers:
            gap.times.append(time)
            gap.frames.append(image)
            gap.camera.append(shift)
            if time >= gap.end:
                unfinished.remove(gap)
                finished.append(gap)
        for gap in [gap for gap in finished if time >= gap.end + AROUND]:
            finished.remove(gap)
            yield gap, samples
            gap.frames = []
        oldest = min((gap.start for gap in finished + unfinished), default=time)
        while samples and samples[0].time < oldest - AROUND - EVERY:
            samples.pop(0)
    for gap in finished:
        yield gap, samples
        gap.frames = []
