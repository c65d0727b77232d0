"""Attributes of a track: what it looks like and how it moves, for comparison with the words of a sentence.

An actor is anything that was tracked, whether a person, a vehicle or a ball. Its attributes are relative where
possible: positions are fractions of the frame, speeds are multiples of the actor's own size per second, and sizes and
colours are compared with those of the other actors in the clip. The kind of thing (person, vehicle, hand ...) is a soft
score from shape, rigidity and motion, never a filter, because no measurement here is reliable enough to exclude an
actor.
"""

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.colours import COLUMNS
from whenwhere.grounders.motion.index import Index
from whenwhere.grounders.motion.stationary_tracks import TrackRows, extended_tracks
from whenwhere.spans import Span, SpanSet

#: A box touches the border if it is closer to it than this fraction of the frame's side.
BORDER = 0.012
#: An actor stands still while its speed is below this, in multiples of its own size per second.
STILL = 0.2
#: An actor that is out of sight at the border for more than this many seconds has two spans instead of one.
ABSENCE = 0.7
#: `TrackedActor.id` of a region of one colour.
REGION = -4
#: `TrackedActor.id` of what a classifier of pictures saw.
PICTURED = -5
_SIDES = ("left", "top", "right", "bottom")


class Movement(NamedTuple):
    """A stretch of motion in one direction.

    Attributes:
        start: Its start in seconds.
        end: Its end in seconds.
        shift: Displacement in x and y, shape (2,), as fractions of the frame's width and height.
    """

    start: float
    end: float
    shift: NDArray[np.float64]


@dataclass
class Memo:
    """Caches what was computed for one tracked actor, so that later questions about the video can reuse it.

    Attributes:
        standing: The (start, end) seconds of each time that the actor stands still. None until it is computed.
        movements: The actor's stretches of motion for each axis asked about: 0 (x), 1 (y), or None (the axis of the
            wider motion). An axis is missing until it is computed.
        families: The probabilities that the actor is a person, a vehicle or an animal, shape (3,). None until they are
            computed.
        kinds: How well the actor's shape and motion fit a kind, by the kind and the largest area that it was compared
            with.
    """

    standing: list[tuple[float, float]] | None = None
    movements: dict[int | None, list[Movement]] = field(default_factory=dict)
    families: NDArray[np.float64] | None = None
    kinds: dict[tuple[str, float], float] = field(default_factory=dict)


@dataclass
class TrackedActor:
    """One track with its attributes. The track has n sightings: analysed frames on which the actor was seen.

    Attributes:
        id: Number of the track; -1 for a group, -2 for an object at rest, -3 for two visits joined into one,
            -4 for a region of one colour, -5 for what a classifier of pictures saw.
        times: Times of the sightings in seconds, shape (n,).
        boxes: Smoothed boxes xyxy in pixels of the displayed frame, shape (n, 4).
        span: Time from the first to the last sighting, extended at each end by half the interval between frames.
        spans: The span without the times at which the actor was out of sight.
        centre: Centres of the boxes as fractions of the frame, shape (n, 2).
        size: Width and height of the boxes as fractions of the frame, shape (n, 2).
        touch: Whether the box touches the left, top, right and bottom border of the frame, shape (n, 4).
        velocity: Velocity in x and y, as fractions of the frame per second, shape (n, 2).
        pace: Speed in multiples of the actor's own size per second, shape (n,).
        still: Whether the actor stands still, shape (n,).
        colour: Fraction of each colour of `colours.COLUMNS` in five zones from top to bottom, shape (5, 13).
        area: Typical area while the actor is seen whole, as a fraction of the frame.
        entry: Sides of the frame by which the actor may have entered, likeliest first; () if it appeared in the middle
            or was there from the beginning of the video.
        exit: Sides by which it may have left, likeliest first; () if it vanished in the middle or stayed to the end.
        aspect: Median of log(height / width).
        wobble: Standard deviation of log(height / width), small for rigid things.
        fill: Fraction of the box that the actor's pixels cover.
        contact: Fraction of the sightings on which the box touches a border.
        strong: Fraction of the actor's pixels that differ clearly from the background, not just weakly. For what a
            detector found it is the mean score, for a region of one colour the fraction of the sightings at which it
            is no part of another thing, for what a classifier of pictures saw its probability.
        way: Centres as fractions of the frame with the camera's own motion taken out, shape (n, 2); the same as
            `centre` if the camera stands still.
        classes: How likely the actor is of each class of a detector, shape (labels,); empty if no detector saw it.
        joints: Joints of a person at each sighting, in the order of `models.joints.JOINTS`: x and y in pixels of the
            displayed frame and a score from 0 to 1, NaN where they were not looked for; shape (n, 17, 3). Shape (0, 17,
            3) if they were not looked for at all.
        members: The actors that a group or a joined actor consists of.
        memo: Results that later questions reuse.
    """

    id: int
    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    span: Span
    spans: SpanSet
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    touch: NDArray[np.bool_]
    velocity: NDArray[np.float64]
    pace: NDArray[np.float64]
    still: NDArray[np.bool_]
    colour: NDArray[np.float32]
    area: float
    entry: tuple[str, ...]
    exit: tuple[str, ...]
    aspect: float
    wobble: float
    fill: float
    contact: float
    strong: float
    way: NDArray[np.float64]
    classes: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    joints: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 17, 3), np.float32))
    members: list["TrackedActor"] = field(default_factory=list)
    memo: Memo = field(default_factory=Memo, repr=False)

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """Displacement from the first to the last eighth of the sightings, as fractions of the frame, shape (2,)."""
        k = max(1, len(self.times) // 8)
        shift: NDArray[np.float64] = np.median(self.way[-k:], 0) - np.median(self.way[:k], 0)
        return shift

    @cached_property
    def path(self) -> float:
        """Length of the path of the box's centre, in fractions of the frame; jitter is left out."""
        return float(np.linalg.norm(np.diff(self.way[:: max(1, round(len(self.times) / 40))], axis=0), axis=1).sum())

    @cached_property
    def brisk(self) -> float:
        """Speed while moving: the upper quartile of the speeds, in multiples of the actor's own size per second."""
        return float(np.percentile(self.pace, 75))

    @cached_property
    def stride(self) -> float:
        """The 70th percentile of the speeds, in multiples of the actor's own size per second."""
        return float(np.percentile(self.pace, 70))

    @cached_property
    def active(self) -> float:
        """Share of the sightings at which it does not stand still."""
        return float((~self.still).mean())

    @property
    def mass(self) -> float:
        """How noticeable the actor is: its area as a fraction of the frame, times the duration of its span."""
        return self.area * self.span.duration

    def share(self, column: str, zones: slice = slice(0, 5)) -> float:
        """Mean fraction of a colour over height zones.

        Args:
            column: A name in `colours.COLUMNS`.
            zones: Which of the five zones from top to bottom; by default all.
        """
        return float(self.colour[zones, COLUMNS.index(column)].mean())

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Boxes at m times, shape (m, 4): interpolated linearly between sightings, held before and after them."""
        return np.stack([np.interp(times, self.times, self.boxes[:, k]) for k in range(4)], 1)

    def within(self, start: float, end: float) -> NDArray[np.bool_]:
        """Whether each sighting lies in [start, end] seconds, shape (n,)."""
        return (self.times >= start - 1e-6) & (self.times <= end + 1e-6)


def tracked_actors(index: Index) -> list[TrackedActor]:
    """The tracks of a motion index with their attributes, in the order in which they start."""
    return sorted((tracked_actor(index, rows) for rows in extended_tracks(index)), key=lambda a: a.span.start)


class Clip(Protocol):
    """What the attributes of a track depend on besides its sightings.

    Attributes:
        duration: Duration of the video, in seconds.
        step: Seconds between analysed frames.
        width: Width of the displayed frame, in pixels.
        height: Height of the displayed frame, in pixels.
    """

    duration: float
    step: float
    width: int
    height: int


def tracked_actor(
    clip: Clip, rows: TrackRows, drift: NDArray[np.float64] | None = None, classes: NDArray[np.float32] | None = None
) -> TrackedActor:
    """The attributes of one track.

    Args:
        clip: The video in which it was seen.
        rows: Its sightings.
        drift: How far the camera's motion has moved the picture at each sighting, in pixels, shape (n, 2). None if the
            camera stands still.
        classes: How likely it is of each class of a detector, shape (labels,). None if no detector saw it.
    """
    times, raw, shared = rows.times, rows.boxes, rows.shared
    boxes = smoothed(times, raw)
    frame = np.array([clip.width, clip.height], float)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / frame
    size = (boxes[:, 2:] - boxes[:, :2]) / frame
    near = BORDER * frame
    touch = np.stack(
        [raw[:, 0] <= near[0], raw[:, 1] <= near[1], raw[:, 2] >= frame[0] - near[0], raw[:, 3] >= frame[1] - near[1]],
        1,
    )
    free = ~touch.any(1)
    way = centre if drift is None else centre - drift / frame
    velocity = _velocity(times, way)
    side = np.sqrt(size[:, 0] * frame[0] * size[:, 1] * frame[1])
    # A box that enters at the border grows while it moves: its size there is not yet the actor's.
    typical = np.median(side[free]) if free.sum() >= 3 else np.percentile(side, 70)
    pace = np.linalg.norm(velocity * frame, axis=1) / max(4.0, float(typical))
    own = free & ~shared
    whole = own if own.sum() >= 3 else (free if free.sum() >= 3 else np.ones(len(times), bool))
    areas = rows.areas
    weight = (areas * np.where(shared, 0.1, 1.0) * np.where(free, 1.0, 0.4))[:, None, None]
    colour = (rows.colours * weight).sum(0) / weight.sum()
    ratio = np.log(np.maximum(size[whole, 1] * frame[1], 1) / np.maximum(size[whole, 0] * frame[0], 1))
    fill = areas[whole] * frame.prod() / np.maximum(1, np.prod(boxes[whole, 2:] - boxes[whole, :2], 1))
    span, spans = _times_seen(clip, times, touch)
    return TrackedActor(
        id=rows.id,
        times=times,
        boxes=boxes,
        span=span,
        spans=spans,
        centre=centre,
        size=size,
        touch=touch,
        velocity=velocity,
        pace=pace,
        still=pace < STILL,
        colour=colour,
        area=float(np.percentile(areas[whole], 70)),
        entry=_side(times, raw, touch, velocity, frame, clip.step, True) if span.start > 0 else (),
        exit=_side(times, raw, touch, velocity, frame, clip.step, False) if span.end < clip.duration - 1e-3 else (),
        aspect=float(np.median(ratio)),
        # If it is seen whole too seldom, its shape says nothing about how rigid it is.
        wobble=float(np.std(ratio)) if own.sum() >= 5 else 0.1,
        fill=float(np.median(fill)),
        contact=float((~free).mean()),
        strong=float(rows.strong.mean()),
        way=way,
        classes=np.zeros(0, np.float32) if classes is None else classes,
    )


def smoothed(times: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The boxes smoothed over time: a median of three removes single-frame jumps, then a narrow Gaussian follows.

    The first and the last box keep their values, and fewer than five boxes are returned unchanged.
    """
    from scipy.ndimage import gaussian_filter1d, median_filter

    if len(times) < 5:
        return boxes.copy()
    calm = median_filter(boxes, size=(3, 1), mode="nearest")
    out = gaussian_filter1d(calm, 0.6, axis=0, mode="nearest")
    out[0], out[-1] = boxes[0], boxes[-1]
    return np.asarray(out)


def _velocity(times: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) velocity from the difference of centres over about 0.7 s, in frame shares per second."""
    if len(times) < 2:
        return np.zeros_like(centre)
    before, after = np.maximum(times - 0.35, times[0]), np.minimum(times + 0.35, times[-1])
    span = np.maximum(after - before, 1e-3)[:, None]
    at = lambda t: np.stack([np.interp(t, times, centre[:, k]) for k in (0, 1)], 1)  # noqa: E731
    return (at(after) - at(before)) / span


def _side(
    times: NDArray, boxes: NDArray, touch: NDArray, velocity: NDArray, frame: NDArray, step: float, entry: bool
) -> tuple[str, ...]:
    """Sides by which it came (or left): it touched them, or one more step at its speed would reach them."""
    k = slice(0, 3) if entry else slice(max(0, len(times) - 3), len(times))
    v = np.median(velocity[:4] if entry else velocity[-4:], 0) * frame
    sign = -1 if entry else 1
    box = boxes[0 if entry else -1]
    ahead = box + sign * np.concatenate([v, v]) * step * 1.5
    reach = np.array([ahead[0] <= 0, ahead[1] <= 0, ahead[2] >= frame[0], ahead[3] >= frame[1]])
    towards = np.array([sign * v[0] < 0, sign * v[1] < 0, sign * v[0] > 0, sign * v[1] > 0])
    touched = touch[k].any(0)
    # The side it moves through comes first; a side that is merely touched (feet at the lower border) comes after it.
    rank = (touched | reach) * (1.0 + towards * np.abs(np.array([v[0] / frame[0], v[1] / frame[1]] * 2)) * 10)
    order = np.argsort(-rank, kind="stable")
    return tuple(_SIDES[i] for i in order if rank[i] > 0)


def _times_seen(clip: Clip, times: NDArray, touch: NDArray) -> tuple[Span, SpanSet]:
    """The time from the first to the last sighting, half a step added at each end, with and without absences."""
    half = clip.step / 2
    edges = [0, *(np.flatnonzero(np.diff(times) > ABSENCE) + 1).tolist(), len(times)]
    pieces: list[tuple[float, float]] = []
    for a, b in itertools.pairwise(edges):
        left = a > 0 and not touch[max(0, a - 3) : a].any()
        start = pieces[-1][1] if left and pieces else max(0.0, times[a] - half)
        if start < 1.6 * clip.step and a == 0:
            start = 0.0
        end = min(clip.duration, times[b - 1] + half)
        if clip.duration - end < 1.6 * clip.step:
            end = clip.duration
        if left and pieces:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    spans = SpanSet(pieces)
    hull = spans.hull
    assert hull is not None
    return hull, spans


def _bell(x: float, centre: float, width: float) -> float:
    """The logarithm of a Gaussian with maximum 0."""
    return -0.5 * ((x - centre) / width) ** 2


def kind_score(actor: TrackedActor, kind: str, biggest: float) -> float:
    """How well an actor's shape and motion fit a kind of thing, from -1.8 (worst) to 0 (a good fit).

    Args:
        actor: The actor to judge.
        kind: The kind, such as "person" or "vehicle": a key of `lexicon.NOUNS`.
        biggest: Area of the biggest actor of the clip, as a fraction of the frame.
    """
    known = actor.memo.kinds
    if (kind, biggest) not in known:
        known[kind, biggest] = _kind_score(actor, kind, biggest)
    return known[kind, biggest]


def _kind_score(actor: TrackedActor, kind: str, biggest: float) -> float:
    pace = actor.brisk
    relative = float(np.log(actor.area / biggest))
    skin = float(actor.colour[:, COLUMNS.index("skin")].mean())
    seen_whole = actor.contact < 0.8
    shape = 1.0 if seen_whole else 0.4
    if kind == "person":
        score = shape * _bell(actor.aspect, 0.85, 0.5) + _bell(max(pace, 0.8), 0.8, 1.2) + 0.25 * min(0, relative + 1)
    elif kind == "cyclist":
        score = (
            shape * _bell(actor.aspect, 0.4, 0.45)
            + _bell(np.log(max(pace, 0.05)), 0.6, 0.8)
            + 0.2 * min(0, relative + 1.5)
        )
    elif kind == "vehicle":
        score = shape * _bell(min(actor.aspect, 0.3), -0.3, 0.5) + _bell(max(actor.wobble, 0.06), 0.06, 0.15)
        score += 0.5 * min(0, relative + 0.7)
    elif kind == "animal":
        score = shape * _bell(actor.aspect, -0.2, 0.5) + 0.15 * min(0, relative + 2)
    elif kind == "hand":
        score = -1.2 * (1 - actor.contact) + 2.0 * min(skin, 0.35) - 0.7
    elif kind == "face":
        score = 2.0 * min(skin, 0.4) - 0.8
    elif kind in ("object", "ball"):
        score = -0.35 * max(0.0, relative + 2.0) + shape * 0.5 * _bell(actor.aspect, 0.0, 0.7)
    else:
        score = 0.0
    return float(np.clip(score, -1.8, 0.0))
