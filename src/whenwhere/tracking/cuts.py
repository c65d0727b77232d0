"""Shot cuts: where one frame and the next show different things.

The measure and its rule are those of PySceneDetect's `ContentDetector`, which is well known and which
`scenedetect-headless` lets the tests compare with: the mean absolute difference of hue, saturation and value between
neighbouring frames, averaged; a cut is where it reaches 27 (of 255). Cuts closer than 15 frames are merged: changes
that follow a cut within that time are a flash or a fast-cut passage, and only the last change of such a passage counts,
if the passage lasted 15 frames and 15 calm frames follow. Gradual changes (fades, dissolves) are left out: nothing
jumps there, and the pixel fill copes.

Frames are scored at a width of 256 pixels in one pass that keeps a single frame.
"""

import bisect
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.spans import Span
from whenwhere.tubes import Tube
from whenwhere.video import VideoInfo, stream_frames

#: Mean HSV difference (0-255) that makes a cut.
THRESHOLD = 27.0
#: Fewest frames between two cuts.
MIN_FRAMES = 15
#: Width in pixels at which frames are compared.
WIDTH = 256
#: Mean HSV difference below which no cut lies between two frames a fraction of a second apart, if they are `_SMALL`.
ALIKE = 9.0
_SMALL = (80, 45)
#: A box whose recorded time (3 decimals) is this much before a cut was made for the frame at the cut.
_EPS = 1e-3


def find_cuts(
    info: VideoInfo, within: Span | None = None, threshold: float = THRESHOLD, min_frames: int = MIN_FRAMES
) -> list[float]:
    """Times of the first frame of each new shot.

    Args:
        info: The probed video.
        within: The part to search; None searches the whole video. The result is the same as that of the whole
            video, except for passages of fast cuts that a border divides.
        threshold: Mean HSV difference (0-255) between neighbouring frames that makes a cut.
        min_frames: Cuts closer than this many frames are merged.

    Returns:
        Increasing seconds, without the video's own first frame.
    """
    rule = _Merge(min_frames)
    cuts: list[float] = []
    previous: NDArray[np.uint8] | None = None
    # The search is wider on both sides: whether a change counts depends on the calm before and after it.
    margin = 2 * (min_frames + 1) / info.fps if info.fps else 0.0
    start = 0.0 if within is None else max(0.0, within.start - margin)
    end = None if within is None else within.end + margin
    frames = stream_frames(info, width=min(WIDTH, info.width), start=start, end=end)
    for index, (time, image) in enumerate(frames, start=int(info.shown([start])[0])):
        hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)
        score = 0.0 if previous is None else float(np.mean(cv2.absdiff(hsv, previous)))
        cut = rule.step(index, time, score >= threshold)
        if cut is not None:
            cuts.append(cut)
        previous = hsv
    return [t for t in cuts if within is None or t in within]


class JumpFinder:
    """Tells in which parts of a video a cut may lie, from frames a fraction of a second apart.

    Between two frames that look alike there is none, but for flashes, after which the same shot goes on.
    `find_cuts` need not decode such parts.
    """

    def __init__(self) -> None:
        #: (start, end) seconds of each part in which a cut may lie.
        self.parts: list[tuple[float, float]] = []
        self._time = 0.0
        self._before: NDArray[np.uint8] | None = None

    def add(self, time: float, frame: NDArray[np.uint8]) -> None:
        """Take the next frame.

        Args:
            time: Its time in seconds, later than all before.
            frame: RGB frame, shape (h, w, 3), of the same size every time.
        """
        small = cv2.resize(frame, _SMALL, interpolation=cv2.INTER_AREA)
        hsv = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2HSV), np.uint8)
        if self._before is not None and float(np.mean(cv2.absdiff(hsv, self._before))) >= ALIKE:
            # The cut may be at the very frame.
            self.parts.append((self._time, time + _EPS))
        self._time, self._before = time, hsv


class _Merge:
    """Applies the minimum length of a shot as PySceneDetect's default does (`FlashFilter.Mode.MERGE`)."""

    def __init__(self, min_frames: int) -> None:
        self.min_frames = min_frames
        self.last = (0, 0.0)  # index and time of the last change; the video's start counts as one
        self.first: int | None = None  # index of the change that began the merged passage
        self.any = False

    def step(self, index: int, time: float, changed: bool) -> float | None:
        """Take the next frame; the time of a cut that became certain by it, or None."""
        calm = index - self.last[0] >= self.min_frames
        if changed:
            self.last = (index, time)
        if self.first is not None:
            if calm and not changed and self.last[0] - self.first >= self.min_frames:
                self.first = None
                return self.last[1]
            return None
        if not changed:
            return None
        if calm:
            self.any = True
            return time
        if self.any:
            self.first = index
        return None


def anchor_cuts(tube: Tube, cuts: Sequence[float], info: VideoInfo) -> Tube:
    """The tube with boxes added at each cut, so that even a linear fill never interpolates across it.

    Where a cut falls between two boxes of a segment, the earlier box is repeated on the last frame before the cut
    and the later one on the first frame of the new shot (source `propagated`). A shot that lies wholly between two
    boxes gets the later one.

    Args:
        tube: Second-level boxes.
        cuts: Times of the first frame of each new shot (`find_cuts`).
        info: The probed video, for the time of the frame before a cut.

    Returns:
        The tube with the added boxes; the same tube if no cut falls between two boxes.
    """
    ordered = sorted(cuts)
    old = tube.sources or ("model",) * len(tube)
    rows = [(float(t), tuple(b), s) for t, b, s in zip(tube.times, tube.boxes, old, strict=True)]
    added = []
    for part in tube.segments():
        for i in range(part.start, part.stop - 1):
            lo, hi = rows[i], rows[i + 1]
            between = ordered[bisect.bisect(ordered, lo[0] + _EPS) : bisect.bisect(ordered, hi[0] + _EPS)]
            if not between:
                continue
            before = info.last_before(between[0])
            if before > lo[0] + _EPS:
                added.append((before, lo[1], "propagated"))
            if between[0] < hi[0] - _EPS:
                added.append((between[0], hi[1], "propagated"))
    if not added:
        return tube
    times, boxes, sources = zip(*sorted(rows + added), strict=True)
    return tube.replace(times=times, boxes=boxes, sources=sources, filled=None)
