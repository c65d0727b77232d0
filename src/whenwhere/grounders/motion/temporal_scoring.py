"""Temporal scoring: an actor's stay, or the parts of it that the sentence names, and how well they fit."""

import numpy as np

from whenwhere.grounders.motion import events, stretches
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.spans import Span, SpanSet

#: Weight of the event relative to the other terms; chosen on Stage's `dev` and `val` worlds.
EVENT = 1.4


def time_candidates(actor: TrackedActor, reading: QueryReading, who: dict[str, float]) -> list[Candidate]:
    """The candidates of one actor: its stay, and parts of it that the sentence's events or direction name.

    Args:
        actor: The actor.
        reading: The reading of the sentence.
        who: The actor's terms that do not depend on time (`track_scoring.track_terms`).
    """
    out: list[Candidate] = []
    for spans, terms in _spans(actor, reading):
        terms = {**who, **terms}
        if "event" in terms:
            terms["event"] *= EVENT
        hull = spans.hull
        assert hull is not None
        if reading.direction or reading.origin:
            terms["direction"] = _direction(actor, hull, reading)
        if reading.side is not None:
            terms["side"] = side_term(actor, hull, reading.side)
        out.append(Candidate(actor, spans, 0.0, terms))
    return out


def _spans(actor: TrackedActor, reading: QueryReading) -> list[tuple[SpanSet, dict[str, float]]]:
    """Times of the actor that the sentence may mean, each with its `event` term if an event is named."""
    named = [e for e in reading.events if e not in events.WHOLE]
    passing = [e for e in reading.events if e in events.WHOLE]
    found: dict[str, list[events.EventSpan]] = {e: events.event_spans(actor, e) for e in reading.events}
    out: list[tuple[SpanSet, dict[str, float]]] = []
    quality = float(np.mean([found[e][0].quality for e in passing])) if passing else 0.0
    if len(named) >= 2:
        # Several events in a row: from the start of the earliest to the end of the latest.
        known = [max(found[e], key=lambda x: x.quality) for e in named if found[e]]
        missing = len(named) - len(known)
        if known:
            start = min(p.start for p in known)
            end = max(p.end for p in known)
            fit = float(np.mean([p.quality for p in known])) - 0.7 * missing
            if {"enter", "leave"} <= set(named) or {"approach", "leave"} <= set(named):
                start, end = actor.span.start, actor.span.end
            out.append((SpanSet([(start, end)]) & actor.spans or actor.spans, {"event": fit}))
        else:
            out.append((actor.spans, {"event": -1.2}))
        return out
    if named:
        # Whoever asks for one of several times, or for every time, needs them all.
        several = reading.occurrence is not None or reading.every
        for part in found[named[0]][: None if several else 4]:
            spans = SpanSet([(part.start, part.end)])
            out.append((spans, {"event": part.quality + 0.3 * quality}))
        if not out:
            out.append((actor.spans, {"event": -1.3}))
        return out
    out.append((actor.spans, {"event": quality} if passing else {}))
    if reading.direction and reading.direction in ("left", "right", "up", "down"):
        axis = 0 if reading.direction in ("left", "right") else 1
        ways = stretches.movements(actor, axis)
        if len(ways) > 1:
            out += [
                (SpanSet([(m.start, m.end)]), {"event": quality - 0.35})
                for m in ways
                if abs(m.shift[axis]) > 0.08 and m.end - m.start > 0.4
            ]
    elif reading.direction in ("towards", "away"):
        nearing = events.depth_spans(actor, nearer=reading.direction == "towards")
        out += [(SpanSet([(p.start, p.end)]), {"event": p.quality}) for p in nearing]
    return out


def _direction(actor: TrackedActor, span: Span, reading: QueryReading) -> float:
    """How well the actor's motion in a span fits the sentence's direction and origin."""
    rows = np.flatnonzero(actor.within(span.start, span.end))
    if len(rows) < 2:
        return -0.3
    k = max(1, len(rows) // 8)
    shift = np.median(actor.way[rows[-k:]], 0) - np.median(actor.way[rows[:k]], 0)
    score = 0.0
    wanted = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    if reading.direction in wanted:
        along = float(shift @ np.array(wanted[reading.direction]))
        length = float(np.linalg.norm(shift)) + 0.04
        score += 1.8 * float(np.tanh(6 * along)) * (0.4 + 0.6 * abs(along) / length)
    elif reading.direction in ("towards", "away"):
        size = np.log(np.sqrt(np.prod(actor.size, 1)) + 1e-6)
        free = rows[~actor.touch[rows].any(1)]
        use = free if len(free) >= 4 else rows
        growth = float(np.median(size[use[-max(1, len(use) // 4) :]]) - np.median(size[use[: max(1, len(use) // 4)]]))
        lower = float(shift[1])
        sign = 1 if reading.direction == "towards" else -1
        score += 0.9 * float(np.tanh(sign * 2.5 * growth)) + 0.6 * float(np.tanh(sign * 4 * lower))
    if reading.origin is not None:
        side = reading.origin
        first = actor.centre[rows[: max(1, len(rows) // 10)]].mean(0)
        away = {"left": first[0], "right": 1 - first[0], "top": first[1], "bottom": 1 - first[1]}[side]
        score += 0.7 * float(np.tanh(4 * (0.4 - away)))
        if reading.direction is None:
            along = float(shift @ np.array({"left": (1, 0), "right": (-1, 0), "top": (0, 1), "bottom": (0, -1)}[side]))
            score += 1.0 * float(np.tanh(5 * along))
        if side in actor.entry[:1]:
            score += 0.3
    return score


def side_term(actor: TrackedActor, span: Span, side: str) -> float:
    """How well an actor's place fits a side of the picture, as a log-likelihood ratio of at most .9 either way.

    Args:
        actor: The actor.
        span: The time that counts; all of the actor's, if it was not seen then.
        side: `left`, `right`, `top`, `bottom`, `middle`, `near` or `far`.
    """
    rows = actor.within(span.start, span.end)
    x, y = np.median(actor.centre[rows] if rows.any() else actor.centre, 0)
    place = {
        "left": 0.5 - x, "right": x - 0.5, "top": 0.5 - y, "bottom": y - 0.5, "middle": 0.2 - abs(x - 0.5),
        "near": float(np.log(actor.area / 0.02)) / 6, "far": -float(np.log(actor.area / 0.02)) / 6,
    }[side]  # fmt: skip
    return 0.9 * float(np.tanh(5 * place))
