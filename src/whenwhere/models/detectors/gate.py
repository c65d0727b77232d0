"""Motion gating: a detector under a still camera is asked only when something moves that it has not seen yet.

Detections are carried from picture to picture by optical flow (pyramidal Lucas-Kanade). Where pixels change outside the
carried boxes, or a box cannot be carried, the detector is asked again; also after `REFRESH` seconds. The idea is that
of Frigate's motion detection, with boxes instead of regions.

Left out: moving cameras, under which everything changes. Whoever knows that the camera has moved, or that a shot has
been cut, calls `forget`; every such picture is asked for, as without a gate.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.boxes import clip_boxes
from whenwhere.models.detectors.detector import ClassDetections

#: Longest time in seconds for which detections are carried.
REFRESH = 8.0
#: Width in pixels at which pictures are compared.
WIDTH = 320
#: Grey levels by which a pixel must change to count, after blurring; and the share of the picture that must change.
LEVEL, SHARE = 12.0, 0.002
#: Boxes are widened by this share of their size, and by so many pixels, before changes around them are judged.
MARGIN, PIXELS = 0.25, 6
#: Largest share of its size by which a box may be carried in one step.
LEAP = 0.5
#: Largest share of a box's pixels that may look different after it was carried: what has vanished is not carried on.
UNLIKE = 0.5
#: Score from which a detection explains the changes inside it.
SURE = 0.3


def small_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB picture in grey, at most `WIDTH` pixels wide: what the gate compares."""
    width = min(WIDTH, picture.shape[1])
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class MotionGate:
    """Carries the detections of a still camera, and says when the detector has to be asked.

    Use it picture by picture: `carry` returns the detections, or None if the detector is to be asked; then `tell` it
    what the detector found in that picture.
    """

    def __init__(self) -> None:
        self._grey: NDArray[np.uint8] | None = None
        self._found: ClassDetections | None = None
        self._asked = -np.inf

    def forget(self) -> None:
        """Have the detector asked about the next picture: the camera has moved, or another shot begins."""
        self._found = None

    def carry(
        self, time: float, picture: NDArray[np.uint8], grey: NDArray[np.uint8] | None = None
    ) -> ClassDetections | None:
        """The detections in the next picture, if they can be told without the detector.

        Args:
            time: Time of the picture in seconds, later than all before.
            picture: RGB picture, shape (h, w, 3), of the same size every time.
            grey: `small_grey` of the picture, where the caller has it.

        Returns:
            The carried detections in pixels of the picture, as many as the detector found and in the same order; None
            if the detector is to be asked.
        """
        before, found = self._grey, self._found
        self._grey = grey = small_grey(picture) if grey is None else grey
        factor = grey.shape[1] / picture.shape[1]
        if before is None or found is None or time - self._asked >= REFRESH:
            return None
        change = cv2.absdiff(cv2.GaussianBlur(grey, (5, 5), 0), cv2.GaussianBlur(before, (5, 5), 0)) > LEVEL
        boxes = found.boxes * factor
        moving = _touched(change, boxes)
        if moving.any():
            shifted, good = _carried(before, grey, boxes[moving])
            if not good[found.scores[moving] >= SURE].all():
                return None
            boxes = boxes.copy()
            boxes[np.flatnonzero(moving)[good]] = shifted[good]
        sure = found.scores >= SURE
        if _outside(change, np.concatenate([boxes[sure], found.boxes[sure] * factor])) > SHARE * change.size:
            return None
        height, width = picture.shape[:2]
        kept = ClassDetections(clip_boxes(boxes / factor, width, height), found.scores, found.classes)
        self._found = kept
        return kept

    def tell(self, time: float, found: ClassDetections) -> None:
        """What the detector found in the picture that `carry` was shown last."""
        self._found, self._asked = found, time


def _touched(change: NDArray[np.bool_], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether some pixels change inside each box."""
    sums = cv2.integral(change.astype(np.uint8))
    x1, y1, x2, y2 = _pixels(boxes, change.shape)
    return (sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]) > 8


def _outside(change: NDArray[np.bool_], boxes: NDArray[np.float64]) -> int:
    """Number of changed pixels that lie in none of the widened boxes."""
    left = change.copy()
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * np.array([-1, -1, 1, 1]) * MARGIN
    for x1, y1, x2, y2 in zip(*_pixels(boxes + size + np.array([-1, -1, 1, 1]) * PIXELS, change.shape), strict=True):
        left[y1:y2, x1:x2] = False
    return int(left.sum())


def _pixels(boxes: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
    limit = [shape[1], shape[0]] * 2
    return tuple(np.round(boxes).clip(0, limit).astype(np.intp).T)


def _carried(
    before: NDArray[np.uint8], after: NDArray[np.uint8], boxes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes moved and scaled with the points inside them, and whether each could be followed."""
    out, good = boxes.copy(), np.zeros(len(boxes), bool)
    for k, box in enumerate(boxes):
        size = box[2:] - box[:2]
        grid = np.stack(np.meshgrid(np.linspace(0.15, 0.85, 8), np.linspace(0.1, 0.9, 8)), -1).reshape(-1, 2)
        points = (box[:2] + grid * size).astype(np.float32)
        there, found, _ = cv2.calcOpticalFlowPyrLK(
            before, after, points[:, None], points[:, None].copy(), winSize=(15, 15), maxLevel=3
        )
        back, again, _ = cv2.calcOpticalFlowPyrLK(
            after, before, there, points[:, None].copy(), winSize=(15, 15), maxLevel=3
        )
        kept = (found[:, 0] > 0) & (again[:, 0] > 0)
        kept &= np.abs(back[:, 0] - points).max(1) < 1.0
        if kept.sum() < 12:
            continue
        moves = there[kept, 0] - points[kept]
        # points of the background inside the box stand still: the object is what moves, if enough of it does
        speed = np.abs(moves).max(1)
        if (speed > 0.7).mean() > 0.3:
            moves = moves[speed > 0.7]
        shift = np.median(moves, 0)
        if np.abs(shift / size).max() > LEAP:
            continue
        if _unlike(before, after, box, shift) > UNLIKE:
            continue
        out[k], good[k] = box + np.tile(shift, 2), True
    return out, good


def _unlike(
    before: NDArray[np.uint8], after: NDArray[np.uint8], box: NDArray[np.float64], shift: NDArray[np.float64]
) -> float:
    """Share of a box's pixels that look different where the box was moved to; 1 if nothing of it is in the picture."""
    dx, dy = np.round(shift).astype(int).tolist()
    height, width = before.shape
    x1, y1, x2, y2 = np.round(box).astype(int).tolist()
    x1, x2 = max(x1, 0, -dx), min(x2, width, width - dx)
    y1, y2 = max(y1, 0, -dy), min(y2, height, height - dy)
    if x1 >= x2 or y1 >= y2:
        return 1.0
    change = cv2.absdiff(before[y1:y2, x1:x2], after[y1 + dy : y2 + dy, x1 + dx : x2 + dx])
    return float((change > LEVEL).mean())
