"""Static objects: compact patches of one colour in the background that never move.

Motion cannot show a red bag that stands on the floor all the time; the background's picture can. A patch of one colour
that stands out from its surroundings is kept with its box and colours, so that a sentence that names an object and its
colour has something to point at. What the patch is cannot be told here; it is offered for objects only.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import colours
from whenwhere.grounders.motion.blobs import zone_colours
from whenwhere.overlap import box_iou

#: Smallest and biggest patch as shares of the picture; least share of its box that it fills; least contrast (Lab).
SMALLEST, BIGGEST, FULL, CONTRAST = 0.0008, 0.04, 0.5, 22.0
#: Most patches kept per background, the clearest first.
MOST = 24


@dataclass
class StaticObject:
    """A patch of the background.

    Attributes:
        start: From when it is seen, in seconds.
        end: Until when it is seen, in seconds.
        box: (4,) xyxy in working pixels.
        colour: (13,) colour shares.
    """

    start: float
    end: float
    box: NDArray[np.float64]
    colour: NDArray[np.float32]


def find_static_objects(lab: NDArray[np.float32], start: float, end: float) -> list[StaticObject]:
    """The patches of a background picture, the clearest first.

    Args:
        lab: (h, w, 3) background in OpenCV's 8-bit Lab scaling.
        start: From when it is seen, in seconds.
        end: Until when it is seen, in seconds.
    """
    picture = np.ascontiguousarray(lab.clip(0, 255).astype(np.uint8))
    rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_LAB2RGB), np.uint8)
    name = colours.colour_table()[colours.colour_cells(rgb)][..., : len(colours.COLOURS)].argmax(-1)
    h, w = name.shape
    found: list[tuple[float, StaticObject]] = []
    for c in range(len(colours.COLOURS)):
        mask = cv2.morphologyEx((name == c).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        n, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        for k in range(1, n):
            x, y, wide, tall, area = (int(v) for v in stats[k])
            if not SMALLEST * h * w < area < BIGGEST * h * w or area < FULL * wide * tall:
                continue
            if x == 0 or y == 0 or x + wide == w or y + tall == h:
                continue
            x1, y1, x2, y2 = max(0, x - 6), max(0, y - 6), min(w, x + wide + 6), min(h, y + tall + 6)
            inside = labels[y1:y2, x1:x2] == k
            grown = cv2.dilate(inside.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
            near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            ring = grown & ~near
            if not ring.any():
                continue
            part = lab[y1:y2, x1:x2]
            contrast = float(np.abs(np.median(part[inside], 0) - np.median(part[ring], 0)).sum())
            if contrast > CONTRAST:
                colour = zone_colours(rgb[y1:y2, x1:x2], inside).mean(0)
                found.append((contrast, StaticObject(start, end, np.array([x, y, x + wide, y + tall], float), colour)))
    found.sort(key=lambda f: -f[0])
    return [thing for _, thing in found[:MOST]]


def merge_static_objects(before: list[StaticObject], after: list[StaticObject]) -> list[StaticObject]:
    """The patches of two consecutive windows of a shot: those seen in both are extended, the others are kept."""
    out = list(before)
    for thing in after:
        known = next((b for b in before if b.end >= thing.start - 1.0 and box_iou(b.box, thing.box) > 0.5), None)
        if known is None:
            out.append(thing)
        else:
            known.end = thing.end
    return out
