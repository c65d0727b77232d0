"""Regions of one colour, for things that the detector has no class for: "the blue balloon", "a green lid".

Every frame that is looked at is divided into connected regions of one basic colour, on a small picture. The largest few
of each colour are tracked like detections, with the colours in place of classes. What lies behind everything else (sky,
walls, grass) is left out by its size and by the borders that it touches.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import REGION, TrackedActor
from whenwhere.grounders.motion.colours import COLOURS, COLUMNS, colour_cells, colour_table
from whenwhere.grounders.motion.track_index import sample_step
from whenwhere.grounders.objects import index
from whenwhere.grounders.objects.index import FPS, ObjectIndex, camera_frames
from whenwhere.grounders.objects.tracks import FrameDetections, ObjectTracker
from whenwhere.overlap import box_intersection
from whenwhere.video import VideoInfo, stream_frames

#: Version of the stored arrays; raise it if their meaning changes.
VERSION = 2
#: Width in pixels of the picture that is divided.
WIDTH = 192
#: Least share of a colour at a pixel that belongs to its regions.
SURE = 0.5
#: Least and largest share of the frame, and most regions of one colour in one frame.
LEAST, MOST, COUNT = 0.0015, 0.3, 4
#: Colours of walls, shadows and clothes, and the least share of the frame of a region of these.
_PLAIN, _LARGE = ("black", "white", "grey", "brown"), 0.006
#: Largest share of the frame of a region that touches two borders.
BEHIND = 0.08
#: Least share of its box that a region fills.
FILLED = 0.25
#: Shortest time in seconds for which a region must be seen.
BRIEF = 0.7
#: Least share of a region that lies in a thing, and least ratio of their areas, if it is a part of its surface.
INSIDE, SMALLER = 0.7, 0.12


def coloured_regions(picture: NDArray[np.uint8]) -> FrameDetections:
    """The regions of one colour of a frame, as detections whose classes are `colours.COLOURS`.

    Args:
        picture: The frame, RGB, (height, width, 3).
    """
    width = min(WIDTH, picture.shape[1])
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    small = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    smooth = np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)
    shares = colour_table()[colour_cells(smooth)]
    named = shares[..., : len(COLOURS)].argmax(2)
    named[shares[..., : len(COLOURS)].max(2) < SURE] = -1
    boxes, classes, colours = [], [], []
    for k in np.unique(named[named >= 0]).tolist():
        closed = cv2.morphologyEx((named == k).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        _, marks, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        x, y, wide, high, area = (stats[1:, i] for i in range(5))
        share = area / (width * height)
        borders = (x <= 0).astype(int) + (y <= 0) + (x + wide >= width) + (y + high >= height)
        keep = (share <= np.where(borders >= 2, BEHIND, MOST)) & (area / (wide * high) >= FILLED)
        keep &= share >= (_LARGE if COLOURS[k] in _PLAIN else LEAST)
        for i in np.flatnonzero(keep)[np.argsort(-area[keep])][:COUNT].tolist():
            part = np.s_[y[i] : y[i] + high[i], x[i] : x[i] + wide[i]]
            boxes.append((x[i], y[i], x[i] + wide[i], y[i] + high[i]))
            classes.append(k)
            colours.append(shares[part][marks[part] == i + 1].mean(0))
    n = len(boxes)
    return FrameDetections(
        np.array(boxes, float).reshape(n, 4) * (picture.shape[1] / width),
        np.array([c[k] for c, k in zip(colours, classes, strict=True)], float),
        np.eye(len(COLOURS), dtype=np.float32)[classes],
        np.repeat(np.array(colours, np.float32).reshape(n, 1, len(COLUMNS)), 5, 1),
    )


def build_colour_index(
    info: VideoInfo, fps: float = FPS, progress: Callable[[float], None] | None = None
) -> ObjectIndex:
    """Look through a whole video for regions of one colour.

    Args:
        info: The probed video.
        fps: Frames per second that are looked at.
        progress: Called with the share of the video that is done, in 0-1, now and then.

    Returns:
        An index whose classes are `colours.COLOURS`.
    """
    warnings: list[str] = []
    tracker, cuts = ObjectTracker(), []
    frames = moving = 0
    scale = 1.0
    for frame in camera_frames(stream_frames(info, fps=fps, width=min(index.WIDTH, info.width), warnings=warnings)):
        scale = info.width / frame.picture.shape[1]
        if frame.cut:
            cuts.append(frame.time)
            tracker.cut()
        tracker.add(frame.time, coloured_regions(frame.picture), frame.moved)
        frames += 1
        moving += frame.moved is not None
        if progress is not None:
            progress(min(1.0, frame.time / info.duration))
    tracks = [t for t in tracker.finish() if t.times[-1] - t.times[0] >= BRIEF]
    return index.pack(
        info, tracks, scale, sample_step(info, fps), len(COLOURS), cuts, moving, frames, 0, tuple(warnings)
    )


def region_actors(regions: list[TrackedActor], colour: str, things: list[TrackedActor]) -> list[TrackedActor]:
    """The regions of one colour as actors without classes, in the order in which they appear.

    `TrackedActor.strong` is the share of a region's sightings at which it is no part of a thing of `things`.

    Args:
        regions: All regions, with colours for classes: the actors of `build_colour_index`.
        colour: One of `colours.COLOURS`.
        things: Recognised things of whose surface a region may be a part, such as a couch.
    """
    out = []
    for actor in regions:
        if COLOURS[int(actor.classes.argmax())] == colour:
            part = np.zeros(len(actor.times), bool)
            for thing in things:
                there = (actor.times >= thing.span.start - 0.3) & (actor.times <= thing.span.end + 0.3)
                part |= there & (_inside(actor.boxes, thing.at(actor.times)) > INSIDE)
            own = 1.0 - float(part.mean())
            out.append(replace(actor, id=REGION, classes=np.zeros(0, np.float32), strong=own))
    return out


def _inside(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) the share of boxes `a` that lies in boxes `b`, unless they are much smaller."""
    own, other = (np.prod(x[:, 2:] - x[:, :2], 1).clip(1e-6) for x in (a, b))
    return np.where(own > SMALLER * other, box_intersection(a, b) / own, 0.0)
