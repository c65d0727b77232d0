"""Candidates from objects at rest, objects put down and objects taken away: changes of a place, and who made them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.candidates import Candidate, ObservedScene
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.grounders.motion.temporal_scoring import side_term
from whenwhere.grounders.motion.track_scoring import colour_word_share, track_terms
from whenwhere.overlap import box_iou
from whenwhere.spans import Span, SpanSet

#: Putting down or taking away begins at most this many seconds before the place changes, and ends as late after it.
REACH = 1.2


def object_candidates(reading: QueryReading, scene: ObservedScene) -> list[Candidate]:
    """Candidates from objects, if the sentence asks for an object or for putting down or picking up."""
    asked = [e for e in reading.events if e in ("put_down", "pick_up")]
    by_thing = reading.kind in ("object", "ball")
    if not asked and not by_thing:
        return []
    if not asked and (not reading.events or "stand" in reading.events):
        return _at_rest(reading, scene) + _static(reading, scene)
    wanted = asked[0] if asked else ("put_down" if {"enter", "stop"} & set(reading.events) else "pick_up")
    out = []
    others = track_terms(replace(reading, kind=None), scene.actors)
    for row, colour in zip(scene.changes, scene.change_colours, strict=True):
        start, end, *box, area, in_background, starts_inside, ends_inside, contrast, _ = row
        box = np.array(box)
        # (time, event): what happened at either end of the change.
        happened = []
        if starts_inside:
            happened.append((start, "pick_up" if in_background else "put_down"))
        if ends_inside:
            happened.append((end, "put_down" if in_background else "pick_up"))
        for t, event in happened:
            mover = _mover(scene.actors, box, t)
            terms = {
                "seen": max(-1.5, 0.3 * float(np.log(max(area, 1e-5) / 0.01))),
                "event": (1.3 if event == wanted else -0.6) + 0.3 * float(np.tanh(contrast / 4)),
            }
            thing = reading if by_thing else reading.object
            still, around = _still_actor(scene, box, t, area, colour)
            if thing is not None:
                terms |= _thing_terms(thing, still, around, colour)
            if mover is None:
                terms["event"] -= 0.5
                actor, span = still, around
            else:
                actor = mover
                span = _visit(mover, box, t)
                if not by_thing:
                    terms.update({k: v for k, v in others[id(mover)].items() if k != "seen"})
            out.append(Candidate(actor, SpanSet([span]), 0.0, terms, box if by_thing or mover is None else None))
    return out


def _thing_terms(thing: QueryReading, actor: TrackedActor, span: Span, colour: NDArray[np.float32]) -> dict[str, float]:
    """The terms of the colours and the side named for an object, which `actor` stands for; colour shares are (13,)."""
    terms = {
        f"{word} thing": float(np.clip(np.log((float(colour_word_share(colour, word)) * 1.4 + 0.06) / 0.2), -1.5, 1.5))
        for word, _ in thing.colours
    }
    return terms if thing.side is None else {**terms, "side": side_term(actor, span, thing.side)}


def object_rows(actors: list[TrackedActor], changes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of `changes` are objects, not an actor that stands there, a part of one, or the place it left."""
    keep = np.ones(len(changes), bool)
    for k, row in enumerate(changes):
        start, end, x1, y1, x2, y2 = row[:6]
        if row[-1] or any(_is_it(actor, row) for actor in actors):
            keep[k] = False
            continue
        if row[7]:
            continue  # missing from the background: nobody can stand where nothing is
        size = (x2 - x1) * (y2 - y1)
        for actor in actors:
            if actor.span.start > end or actor.span.end < start:
                continue
            rows = actor.within(start, end)
            during = (min(end, actor.span.end) - max(start, actor.span.start)) / max(end - start, 1e-6)
            if during < 0.6 or not rows.any():
                continue
            b = actor.boxes[rows]
            inside = (np.minimum(b[:, 2], x2) - np.maximum(b[:, 0], x1)).clip(0)
            inside *= (np.minimum(b[:, 3], y2) - np.maximum(b[:, 1], y1)).clip(0)
            bigger = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) > 2.5 * size
            if ((inside > 0.6 * size) & bigger).mean() > 0.6:
                keep[k] = False
                break
    return keep


def _is_it(actor: TrackedActor, row: NDArray[np.float64]) -> bool:
    """Whether a place changed because an actor of that size stood there and walked off, or came and stayed."""
    if np.abs(actor.shift).max() < 0.1 and actor.path < 0.2:
        return False  # it never went anywhere: it may be the object itself
    start, end, place, starts_inside, ends_inside = row[0], row[1], row[2:6], row[8], row[9]
    size = float(np.prod(place[2:] - place[:2]))
    usual = float(np.median(np.prod(actor.boxes[:, 2:] - actor.boxes[:, :2], 1)))
    if not 0.4 < usual / max(size, 1.0) < 2.5:
        return False
    alike = 0
    seen = [t for t, inside in ((start, starts_inside), (end, ends_inside)) if inside]
    for t in seen:
        near = actor.within(t - 1.6, t + 1.6)
        if near.any():
            alike += bool((box_iou(actor.boxes[near], place[None]) > 0.45).any())
    return bool(seen) and alike == len(seen)


def _at_rest(reading: QueryReading, scene: ObservedScene) -> list[Candidate]:
    """Candidates for the times when an object was at a place that changed."""
    out = []
    comes, goes = "enter" in reading.events, bool({"vanish", "leave"} & set(reading.events))
    for row, colour in zip(scene.changes, scene.change_colours, strict=True):
        start, end, *box, area, in_background, starts_inside, ends_inside, contrast, _ = row
        there = [(start if starts_inside else 0.0, end if ends_inside else scene.duration)]
        if in_background:
            there = [(0.0, start)] * bool(starts_inside) + [(end, scene.duration)] * bool(ends_inside)
        there = [(a, b) for a, b in there if b - a > 0.5]
        if not there:
            continue
        if comes:
            there = [x for x in there if x[0] > 0.3] or there
        if goes:
            there = [x for x in there if x[1] < scene.duration - 0.3] or there
        misfit = (comes and there[0][0] <= 0.3) + (goes and there[-1][1] >= scene.duration - 0.3)
        place = np.array(box)
        terms = {
            "seen": max(-1.5, 0.3 * float(np.log(max(area, 1e-5) / 0.01))) - 0.2 - 0.8 * misfit,
            "event": 0.6 + 0.3 * float(np.tanh(contrast / 4)),
        }
        middle = (there[0][0] + there[0][1]) / 2
        actor, span = _still_actor(scene, place, middle, area, colour)
        terms |= _thing_terms(reading, actor, span, colour)
        out.append(Candidate(actor, SpanSet(there), 0.0, terms, place))
    return out


def _static(reading: QueryReading, scene: ObservedScene) -> list[Candidate]:
    """Candidates from static objects by their colour, for as long as their shot lasts."""
    if {"enter", "vanish", "leave"} & set(reading.events) or reading.direction or reading.origin:
        return []
    # A sentence about a ball means its rolling, and an order counts events.
    if reading.kind == "ball" or reading.order is not None:
        return []
    out = []
    for row, colour in zip(scene.static, scene.static_colours, strict=True):
        place = row[2:]
        if len(scene.changes) and float(box_iou(scene.changes[:, 2:6], place[None]).max()) > 0.3:
            continue  # its place changed: it is not static
        start = row[0] if (np.abs(scene.cuts - row[0]) < 0.3).any() else 0.0
        later = scene.cuts[scene.cuts > row[0] + 0.3]
        span = Span(start, float(later[0]) if len(later) else scene.duration)
        area = float(np.prod(place[2:] - place[:2])) / (scene.width * scene.height)
        actor, _ = _still_actor(scene, place, (span.start + span.end) / 2, area, colour)
        terms = {
            "seen": max(-1.5, 0.3 * float(np.log(max(area, 1e-5) / 0.01))) - 0.2,
            "event": 0.4 if reading.colours else -0.2,
            **_thing_terms(reading, actor, span, colour),
        }
        out.append(Candidate(actor, SpanSet([span]), 0.0, terms, place))
    return out


def _grown(box: NDArray[np.float64], share: float = 0.5) -> NDArray[np.float64]:
    """The box grown on each side by a share of its size and four pixels."""
    pad = (box[2:] - box[:2]) * share + 4
    return np.concatenate([box[:2] - pad, box[2:] + pad])


def _touches(actor: TrackedActor, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) in which sightings the actor's box touches the surroundings of a box."""
    near = _grown(box)
    b = actor.boxes
    return (b[:, 0] < near[2]) & (b[:, 2] > near[0]) & (b[:, 1] < near[3]) & (b[:, 3] > near[1])


def _mover(pool: list[TrackedActor], box: NDArray[np.float64], t: float) -> TrackedActor | None:
    """The actor that was at a place when it changed: the one that touches it nearest to the time, or None."""
    best, nearest = None, 2.0
    for actor in pool:
        inside = _touches(actor, box)
        # The change itself may have been tracked as a small still actor, which did not cause it.
        if not inside.any() or (not actor.entry and not actor.exit and np.abs(actor.shift).max() < 0.04):
            continue
        gap = float(np.abs(actor.times[inside] - t).min())
        if gap < nearest:
            best, nearest = actor, gap
    return best


def _visit(actor: TrackedActor, box: NDArray[np.float64], t: float) -> Span:
    """The actor's visit to a place around `t`, at most `REACH` seconds each way."""
    inside = _touches(actor, box)
    visits = true_runs(inside)
    a, b = min(visits, key=lambda v: max(0.0, actor.times[v[0]] - t, t - actor.times[v[1]]))
    start = max(actor.span.start, float(actor.times[a]) - 0.3, t - REACH)
    end = min(actor.span.end, float(actor.times[b]) + 0.3, t + REACH)
    if end - start < 0.5:
        start, end = max(actor.span.start, t - 1.0), min(actor.span.end, t + 1.0)
    return Span(start, end) if start < end else actor.span


def _still_actor(
    scene: ObservedScene, box: NDArray[np.float64], t: float, area: float, colour: NDArray[np.float32]
) -> tuple[TrackedActor, Span]:
    """An actor that stands for an object at rest, and the span of a second each way around `t`."""
    span = Span(max(0.0, t - 1.0), min(scene.duration, t + 1.0))
    frame = np.array([scene.width, scene.height], float)
    n = 2
    boxes = np.repeat(box[None], n, 0)
    return TrackedActor(
        id=-2, times=np.array([span.start, span.end]), boxes=boxes, span=span, spans=SpanSet([span]),
        centre=(boxes[:, :2] + boxes[:, 2:]) / 2 / frame, size=(boxes[:, 2:] - boxes[:, :2]) / frame,
        touch=np.zeros((n, 4), bool), velocity=np.zeros((n, 2)), pace=np.zeros(n), still=np.ones(n, bool),
        colour=np.repeat(colour[None], 5, 0), area=area, entry=(), exit=(), aspect=0.0, wobble=0.0, fill=1.0,
        contact=0.0, strong=1.0, way=(boxes[:, :2] + boxes[:, 2:]) / 2 / frame,
    ), span  # fmt: skip
