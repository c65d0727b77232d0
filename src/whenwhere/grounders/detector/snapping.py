"""Boxes of a vision-language model moved onto the tracks of a detector, where the two agree.

A model is asked for one box a second; the object index of `--model objects` has tracks of what was recognised in the
whole video. The track that agrees best with a segment of the answer's boxes is taken for the thing that is meant, and
takes the place of those boxes that lie near it. The others stay, so that a track of something else costs little.

The better a model is, the less there is to gain: see `benchmarks/snapping.py`, on whose clips the numbers below
were chosen. It is off by default.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.overlap import box_iou
from whenwhere.tubes import Tube

#: Least IoU of a box with a track at which the track is near.
NEAR = 0.3
#: Least share of a segment's boxes that a track is near, and least mean IoU while the track is there.
MOSTLY, SAME = 0.5, 0.4


def snap(tube: Tube, tracks: Iterable[TrackedActor]) -> Tube:
    """The tube with its boxes on the tracks that agree with them.

    Args:
        tube: Second-level boxes, in pixels of the displayed frame.
        tracks: What was followed in the same video.

    Returns:
        A tube with the same spans and times, whose moved boxes have the source `snapped`. Boxes that an earlier fill
        made per frame are dropped if any box has moved.
    """
    followed = list(tracks)
    boxes, moved = tube.boxes.copy(), np.zeros(len(tube), bool)
    for part in tube.segments():
        best = 0.0
        for track in followed:
            overlap = _overlap(track, tube.times[part], tube.boxes[part])
            near = overlap >= NEAR
            agrees = near.mean() >= MOSTLY and overlap[overlap >= 0].mean() >= SAME
            if agrees and (score := float(overlap.clip(0).mean())) > best:
                best, moved[part] = score, near
                boxes[part] = np.where(near[:, None], track.at(tube.times[part]), tube.boxes[part])
    if not moved.any():
        return tube
    before = tube.sources or ("model",) * len(tube)
    sources = tuple("snapped" if m else s for m, s in zip(moved.tolist(), before, strict=True))
    return tube.replace(boxes=boxes, sources=sources, filled=None)


def _overlap(track: TrackedActor, times: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) IoU of each box with the track, -1 where the track is out of sight."""
    return np.where(track.spans.index(times) >= 0, box_iou(boxes, track.at(times)), -1.0)
