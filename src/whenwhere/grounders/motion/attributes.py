"""What a track looks like and how it moves: the facts that a sentence's words are held against.

All of it is relative where it can be: positions in shares of the frame, speeds in the actor's own sizes per second,
sizes and colours beside those of the clip's other actors. Kinds of things (person, vehicle, hand ...) are soft
scores from shape, rigidity and motion, never filters: no pixel evidence here could carry a filter.
"""

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from whenwhere.grounders.motion import stationary_tracks
from whenwhere.grounders.motion.colours import COLUMNS
from whenwhere.grounders.motion.index import Index
from whenwhere.spans import Span, SpanSet

#: Share of the frame's side within which a box touches the border.
BORDER = 0.012
#: Own sizes per second below which something stands.
STILL = 0.2
#: An absence at the border longer than this (seconds) divides an actor's time.
ABSENCE = 0.7
_SIDES = ("left", "top", "right", "bottom")


@dataclass
class TrackedActor:
    """One track with its attributes; arrays are over its n sightings.

    Attributes:
        id: number of the track, or -1 for a group.
        times: seconds; boxes: (n, 4) smoothed, pixels of the displayed frame.
        span: from the first to the last sight, half a step added at each end; spans: without absences.
        centre: (n, 2) shares of the frame; size: (n, 2) width and height as shares of the frame.
        touch: (n, 4) touches left, top, right, bottom.
        velocity: (n, 2) frame shares per second; pace: (n,) own sizes per second; still: (n,).
        colour: (5, 13) by zone; area: typical share of the frame, when whole.
        entry, exit: sides of the frame it came and went by, () if it appeared in the middle.
        aspect: log(height / width); wobble: deviation of that; fill: share of the box that is filled.
        contact: share of sightings at a border; strong: share of strong evidence.
        members: of a group; memo: what `events` has worked out, for the next question.
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
    members: list["TrackedActor"] = field(default_factory=list)
    memo: dict[object, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """(2,) displacement from its first to its last tenth, shares of the frame."""
        k = max(1, len(self.times) // 8)
        shift: NDArray[np.float64] = np.median(self.centre[-k:], 0) - np.median(self.centre[:k], 0)
        return shift

    @cached_property
    def path(self) -> float:
        """Length of the way of its centre, shares of the frame, trembling left out."""
        return float(np.linalg.norm(np.diff(self.centre[:: max(1, round(len(self.times) / 40))], axis=0), axis=1).sum())

    @cached_property
    def brisk(self) -> float:
        """Its pace when it moves: the upper quartile, own sizes per second."""
        return float(np.percentile(self.pace, 75))

    @property
    def mass(self) -> float:
        """Area times time: what a glance would notice."""
        return self.area * self.span.duration

    def share(self, column: str, zones: slice = slice(0, 5)) -> float:
        """Mean share of a colour column over height zones."""
        return float(self.colour[zones, COLUMNS.index(column)].mean())

    def at(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, 4) boxes at `times`: linear between sightings, held outside."""
        return np.stack([np.interp(times, self.times, self.boxes[:, k]) for k in range(4)], 1)

    def within(self, start: float, end: float) -> NDArray[np.bool_]:
        """Which sightings lie in [start, end]."""
        return (self.times >= start - 1e-6) & (self.times <= end + 1e-6)


def tracked_actors(index: Index) -> list[TrackedActor]:
    """All tracks of an index with their attributes, by start time."""
    return sorted(
        (_actor(index, rows) for rows in stationary_tracks.extended_tracks(index)), key=lambda a: a.span.start
    )


def _actor(index: Index, rows: stationary_tracks.Rows) -> TrackedActor:
    times, raw, shared = rows["times"], rows["boxes"], rows["shared"]
    boxes = smoothed(times, raw)
    frame = np.array([index.width, index.height], float)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / frame
    size = (boxes[:, 2:] - boxes[:, :2]) / frame
    near = BORDER * frame
    touch = np.stack(
        [raw[:, 0] <= near[0], raw[:, 1] <= near[1], raw[:, 2] >= frame[0] - near[0], raw[:, 3] >= frame[1] - near[1]],
        1,
    )
    free = ~touch.any(1)
    velocity = _velocity(times, centre)
    side = np.sqrt(size[:, 0] * frame[0] * size[:, 1] * frame[1])
    # A box that grows in at the border moves by growing: its size there is not yet the actor's.
    typical = np.median(side[free]) if free.sum() >= 3 else np.percentile(side, 70)
    pace = np.linalg.norm(velocity * frame, axis=1) / max(4.0, float(typical))
    own = free & ~shared
    whole = own if own.sum() >= 3 else (free if free.sum() >= 3 else np.ones(len(times), bool))
    areas = rows["areas"]
    weight = (areas * np.where(shared, 0.1, 1.0) * np.where(free, 1.0, 0.4))[:, None, None]
    colour = (rows["colours"] * weight).sum(0) / weight.sum()
    ratio = np.log(np.maximum(size[whole, 1] * frame[1], 1) / np.maximum(size[whole, 0] * frame[0], 1))
    fill = areas[whole] * frame.prod() / np.maximum(1, np.prod(boxes[whole, 2:] - boxes[whole, :2], 1))
    span, spans = _times_seen(index, times, touch)
    return TrackedActor(
        id=int(rows["id"][0]),
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
        entry=_side(times, raw, touch, velocity, frame, index.step, True) if span.start > 0 else (),
        exit=_side(times, raw, touch, velocity, frame, index.step, False) if span.end < index.duration - 1e-3 else (),
        aspect=float(np.median(ratio)),
        # Seen whole too seldom, its shape says nothing about how rigid it is.
        wobble=float(np.std(ratio)) if own.sum() >= 5 else 0.1,
        fill=float(np.median(fill)),
        contact=float((~free).mean()),
        strong=float(rows["strong"].mean()),
    )


def smoothed(times: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges without single-frame jumps: a median of three, then a little Gaussian; ends keep their values."""
    if len(times) < 5:
        return boxes.copy()
    calm = median_filter(boxes, size=(3, 1), mode="nearest")
    out = gaussian_filter1d(calm, 0.6, axis=0, mode="nearest")
    out[0], out[-1] = boxes[0], boxes[-1]
    return np.asarray(out)


def _velocity(times: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre difference over about 0.7 s, frame shares per second."""
    if len(times) < 2:
        return np.zeros_like(centre)
    before, after = np.maximum(times - 0.35, times[0]), np.minimum(times + 0.35, times[-1])
    span = np.maximum(after - before, 1e-3)[:, None]
    at = lambda t: np.stack([np.interp(t, times, centre[:, k]) for k in (0, 1)], 1)  # noqa: E731
    return (at(after) - at(before)) / span


def _side(
    times: NDArray, boxes: NDArray, touch: NDArray, velocity: NDArray, frame: NDArray, step: float, entry: bool
) -> tuple[str, ...]:
    """Sides by which it came (or went): touched there, or reached there by one more step at its speed."""
    k = slice(0, 3) if entry else slice(max(0, len(times) - 3), len(times))
    v = np.median(velocity[:4] if entry else velocity[-4:], 0) * frame
    sign = -1 if entry else 1
    box = boxes[0 if entry else -1]
    ahead = box + sign * np.concatenate([v, v]) * step * 1.5
    reach = np.array([ahead[0] <= 0, ahead[1] <= 0, ahead[2] >= frame[0], ahead[3] >= frame[1]])
    towards = np.array([sign * v[0] < 0, sign * v[1] < 0, sign * v[0] > 0, sign * v[1] > 0])
    touched = touch[k].any(0)
    # The side it moves through comes first; one merely touched (feet at the lower border) after it.
    rank = (touched | reach) * (1.0 + towards * np.abs(np.array([v[0] / frame[0], v[1] / frame[1]] * 2)) * 10)
    order = np.argsort(-rank, kind="stable")
    return tuple(_SIDES[i] for i in order if rank[i] > 0)


def _times_seen(index: Index, times: NDArray, touch: NDArray) -> tuple[Span, SpanSet]:
    """First to last sight with half a step at each end, and the same without absences beyond the border."""
    half = index.step / 2
    edges = [0, *(np.flatnonzero(np.diff(times) > ABSENCE) + 1).tolist(), len(times)]
    pieces: list[tuple[float, float]] = []
    for a, b in itertools.pairwise(edges):
        left = a > 0 and not touch[max(0, a - 3) : a].any()
        start = pieces[-1][1] if left and pieces else max(0.0, times[a] - half)
        if start < 1.6 * index.step and a == 0:
            start = 0.0
        end = min(index.duration, times[b - 1] + half)
        if index.duration - end < 1.6 * index.step:
            end = index.duration
        if left and pieces:
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    spans = SpanSet(pieces)
    hull = spans.hull
    assert hull is not None
    return hull, spans


def _bell(x: float, centre: float, width: float) -> float:
    return -0.5 * ((x - centre) / width) ** 2


def kind_score(actor: TrackedActor, kind: str, biggest: float) -> float:
    """How well shape and motion fit a kind of thing; 0 is a good fit, -1.8 the worst that is ever said.

    Args:
        actor: whose fit is asked.
        kind: a key of `lexicon.NOUNS`.
        biggest: area of the clip's biggest actor, share of the frame.
    """
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
