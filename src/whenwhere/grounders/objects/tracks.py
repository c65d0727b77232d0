"""From detections to tracks: linking frame by frame, then joining what was lost for a moment.

Linking is one assignment per frame between predicted boxes and detections. The parts that trackers in the field agree
on are kept: a constant velocity with the camera's motion taken out first, overlap and distance, likeness of colours
and of class distributions, and weak detections as a second chance for tracks that strong ones have not continued
(ByteTrack, arXiv 2110.06864). A track begins with a strong detection only. A detector's label flickers from frame to
frame, so a track has no label but the mean of its sightings' class distributions.

Times are seconds, boxes xyxy in pixels of the frames that the detector saw.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.camera import moved_box
from whenwhere.grounders.motion.track_index import join_tracks
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.overlap import box_iou

#: Least score of a detection that begins a track, and of one that continues it.
STRONG, WEAK = 0.35, 0.15
#: Seconds for which a track waits for a detection before it ends.
PATIENCE = 1.1
#: Longest gap in seconds over which two tracks are joined.
GAP = 3.0
_REFUSED = 9.0


@dataclass
class FrameDetections:
    """What a detector saw in one frame, with colours.

    Attributes:
        boxes: (n, 4) boxes.
        scores: (n,) scores in 0-1.
        classes: (n, labels) likelihood of each class in 0-1.
        colours: (n, 5, 13) colour shares by height zone and column of `motion.colours.COLUMNS`.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.float32]
    colours: NDArray[np.float32]

    @classmethod
    def of(cls, found: ClassDetections, colours: NDArray[np.float32]) -> "FrameDetections":
        """The detections of a frame with their colours."""
        return cls(found.boxes, found.scores, found.classes.astype(np.float32), colours)

    def rows(self, keep: NDArray) -> "FrameDetections":
        """Some of the detections."""
        return FrameDetections(self.boxes[keep], self.scores[keep], self.classes[keep], self.colours[keep])


@dataclass
class ObjectTrack:
    """One thing over time; the lists have one entry per sighting and grow while the track is live.

    Attributes:
        times: Seconds.
        boxes: (4,) boxes in the frame of each sighting.
        places: (2,) centres with the camera's motion taken out, in the coordinates of the shot's first frame.
        scores: Scores of the detections.
        colours: (5, 13) colour shares.
        total: (labels,) sum of the class distributions, weighted by score.
        weight: Sum of these weights.
        shot: Number of the shot.
        here: (4,) last box, carried along by the camera's motion since; used while the track is live.
        speed: (2,) velocity of the centre in pixels per second, camera's motion taken out.
    """

    shot: int
    times: list[float] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    places: list[NDArray[np.float64]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    colours: list[NDArray[np.float32]] = field(default_factory=list)
    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    weight: float = 0.0
    here: NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def add(self, t: float, found: FrameDetections, k: int, to_scene: NDArray[np.float64]) -> None:
        """Take the k-th detection of a frame as the next sighting."""
        box = found.boxes[k]
        centre = (box[:2] + box[2:]) / 2
        if self.times:
            before = (self.here[:2] + self.here[2:]) / 2
            step = (centre - before) / max(1e-3, t - self.times[-1])
            self.speed = step if len(self.times) == 1 else 0.5 * self.speed + 0.5 * step
        weight = float(found.scores[k])
        self.total = found.classes[k] * weight + (self.total if len(self.total) else 0.0)
        self.weight += weight
        self.times.append(t)
        # Copies, so that a sighting does not keep all detections of its frame in memory.
        self.boxes.append(box.copy())
        self.places.append(to_scene[:, :2] @ centre + to_scene[:, 2])
        self.scores.append(weight)
        self.colours.append(found.colours[k].copy())
        self.here = box

    def extend(self, other: "ObjectTrack") -> None:
        """Append the sightings of its continuation."""
        for name in ("times", "boxes", "places", "scores", "colours"):
            getattr(self, name).extend(getattr(other, name))
        self.total = self.total + other.total
        self.weight += other.weight
        self.speed = other.speed

    @property
    def classes(self) -> NDArray[np.float32]:
        """(labels,) mean class distribution over the sightings, the surer ones counting more."""
        return (self.total / max(self.weight, 1e-6)).astype(np.float32)

    def predicted(self, t: float) -> NDArray[np.float64]:
        """(4,) the box expected at `t`."""
        shift = self.speed * min(t - self.times[-1], 0.5)
        return self.here + np.concatenate([shift, shift])

    def usual_colours(self, last: bool) -> NDArray[np.float32]:
        """(5, 13) mean colours over a few sightings at its end or beginning."""
        some = self.colours[-6:] if last else self.colours[:6]
        mean: NDArray[np.float32] = np.mean(some, 0)
        return mean

    def side(self, last: bool) -> float:
        """The geometric mean of width and height over a few sightings at its end or beginning."""
        some = np.array(self.boxes[-4:] if last else self.boxes[:4])
        return float(np.median(np.sqrt(np.prod(some[:, 2:] - some[:, :2], 1))))


def class_likeness(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """The likeness in 0-1 of class distributions, (..., labels) each: the cosine of their square roots.

    >>> class_likeness(np.array([0.9, 0.0]), np.array([0.3, 0.0])).round(6).item()
    1.0
    """
    dot = np.sqrt(np.maximum(a, 0) * np.maximum(b, 0)).sum(-1)
    return np.asarray(dot / (np.sqrt(a.sum(-1) * b.sum(-1)) + 1e-9))


def overall_colour_distance(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """The distance in 0-1 of colour tables, (..., 5, 13) each, over all zones together."""
    return np.asarray(np.abs(a[..., :11].mean(-2) - b[..., :11].mean(-2)).sum(-1) / 2)


class ObjectTracker:
    """Links detections frame by frame; memory grows with the sightings kept, not with the frames seen."""

    def __init__(self) -> None:
        self.live: list[ObjectTrack] = []
        self.done: list[ObjectTrack] = []
        self.shot = 0
        self._to_scene = np.eye(2, 3)

    def cut(self) -> None:
        """A new shot begins with the next frame: every track ends."""
        self.done += self.live
        self.live = []
        self.shot += 1
        self._to_scene = np.eye(2, 3)

    def add(self, t: float, found: FrameDetections, moved: NDArray[np.float64] | None = None) -> None:
        """Take the next frame.

        Args:
            t: Its time in seconds.
            found: The detections.
            moved: (2, 3) similarity of the camera's motion since the last frame; None if it stood still.
        """
        if moved is not None:
            back = np.linalg.inv(np.vstack([moved, [0, 0, 1]]))
            self._to_scene = (np.vstack([self._to_scene, [0, 0, 1]]) @ back)[:2]
            for track in self.live:
                track.here = moved_box(track.here, moved)
        self.done += [r for r in self.live if t - r.times[-1] > PATIENCE]
        self.live = [r for r in self.live if t - r.times[-1] <= PATIENCE]
        strong = np.flatnonzero(found.scores >= STRONG)
        weak = np.flatnonzero((found.scores < STRONG) & (found.scores >= WEAK))
        free = self._link(t, found, strong, list(range(len(self.live))))
        taken = set(self._taken)
        self._link(t, found, weak, free)
        for k in strong.tolist():
            if k not in taken and not self._inside_live(found, k, t):
                track = ObjectTrack(self.shot)
                track.add(t, found, k, self._to_scene)
                self.live.append(track)

    def _link(self, t: float, found: FrameDetections, rows: NDArray, free: list[int]) -> list[int]:
        """Continue free tracks with some detections; returns the tracks that are still free."""
        from scipy.optimize import linear_sum_assignment

        self._taken: list[int] = []
        if not free or not len(rows):
            return free
        tracks = [self.live[i] for i in free]
        cost = self._costs(t, tracks, found.rows(rows))
        used = set()
        for r, c in zip(*(x.tolist() for x in linear_sum_assignment(cost)), strict=True):
            if cost[r, c] < _REFUSED:
                tracks[r].add(t, found, int(rows[c]), self._to_scene)
                self._taken.append(int(rows[c]))
                used.add(free[r])
        return [i for i in free if i not in used]

    def _costs(self, t: float, tracks: list[ObjectTrack], found: FrameDetections) -> NDArray[np.float64]:
        """(tracks, detections) costs of linking."""
        predicted = np.array([r.predicted(t) for r in tracks])
        overlap = box_iou(predicted[:, None], found.boxes[None])
        centre = (predicted[:, :2] + predicted[:, 2:]) / 2
        other = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        side = np.sqrt(np.prod((predicted[:, 2:] - predicted[:, :2]).clip(1), 1))
        theirs = np.sqrt(np.prod((found.boxes[:, 2:] - found.boxes[:, :2]).clip(1), 1))
        distance = np.linalg.norm(centre[:, None] - other[None], axis=2) / np.maximum(side[:, None], theirs[None])
        ratio = np.abs(np.log(theirs[None] / side[:, None]))
        like = class_likeness(np.array([r.classes for r in tracks])[:, None], found.classes[None])
        colour = overall_colour_distance(
            np.array([r.usual_colours(True) for r in tracks])[:, None], found.colours[None]
        )
        waited = np.array([t - r.times[-1] for r in tracks])[:, None]
        cost = (1 - overlap) + 0.5 * distance + 0.7 * (1 - like) + 0.6 * colour + 0.3 * ratio
        # What is known by its looks may jump further between two frames than what is not.
        reach = np.where(like > 0.6, 0.9, 0.5) + 0.5 * np.minimum(waited, 0.6)
        cost[(overlap < 0.15) & (distance > reach)] = _REFUSED
        cost[(like < 0.25) & (overlap < 0.5)] = _REFUSED
        cost[(ratio > 0.9) & (overlap < 0.3)] = _REFUSED
        cost[(colour > 0.5) & (overlap < 0.3)] = _REFUSED
        return cost

    def _inside_live(self, found: FrameDetections, k: int, t: float) -> bool:
        """Whether a detection is a second box of something that was just seen: it covers it and looks like it."""
        for track in self.live:
            if track.times[-1] == t:
                alike = float(class_likeness(track.classes, found.classes[k])) > 0.6
                if alike and float(box_iou(track.boxes[-1][None], found.boxes[k][None])[0]) > 0.5:
                    return True
        return False

    def finish(self) -> list[ObjectTrack]:
        """All tracks by start time, with gaps closed and single sightings left out."""
        tracks = self.done + self.live
        self.done, self.live = [], []
        joined = stitch(tracks)
        return sorted(
            (r for r in joined if len(r.times) >= 2 or max(r.scores) > 0.6), key=lambda r: r.times[0]
        )  # fmt: skip


def _fit(a: ObjectTrack, b: ObjectTrack) -> float | None:
    """The cost of `b` as the continuation of `a`; None if it cannot be."""
    wait = b.times[0] - a.times[-1]
    if a.shot != b.shot or not 0 < wait <= GAP:
        return None
    side = max(a.side(True), b.side(False))
    start, end = a.places[-1], b.places[0]
    ahead = start + a.speed * min(wait, 0.8)
    distance = min(np.linalg.norm(start - end), np.linalg.norm(ahead - end)) / max(side, 1.0)
    ratio = abs(float(np.log(b.side(False) / max(1.0, a.side(True)))))
    like = float(class_likeness(a.classes, b.classes))
    colour = float(overall_colour_distance(a.usual_colours(True), b.usual_colours(False)))
    if distance > 0.7 + 0.25 * wait or ratio > 0.7 or like < 0.5 or colour > 0.4:
        return None
    return float(distance) + 0.5 * ratio + (1 - like) + colour + 0.2 * wait


def stitch(tracks: list[ObjectTrack]) -> list[ObjectTrack]:
    """Join tracks whose end and start fit, the best fits first."""
    return join_tracks(tracks, cost=_fit, reach=lambda a: GAP, extend=ObjectTrack.extend)
