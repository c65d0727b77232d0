"""From a reading to a ranked list of answers: which actor, and which part of its time.

Each property of the reading adds a term in units of log-likelihood (how much likelier this actor is the one meant
than a random one): kind, colours, size, speed, direction, side, event, the other clause. Terms are bounded, so that
one wrong word never outweighs everything else. Order ("the second ...") is decided last, among those whose other
terms fit about as well as the best.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import events, lexicon
from whenwhere.grounders.motion.attributes import Actor, kind_score
from whenwhere.grounders.motion.colours import COLOURS, COLUMNS
from whenwhere.grounders.motion.reading import Reading
from whenwhere.overlap import t_iou
from whenwhere.spans import Span, SpanSet

#: Actors whose score is within this of the best compete for "the first", "the second" ...
RIVALS = 1.6
_ZONES = {
    "whole": slice(0, 5), "upper": slice(1, 3), "lower": slice(3, 5), "hair": slice(0, 1), "head": slice(0, 1),
    "feet": slice(4, 5), "carried": slice(1, 4),
}  # fmt: skip
#: How common a colour is on anything that moves before any track is seen; pavement-like colours say little.
_COMMON = {"black": 0.30, "grey": 0.28, "white": 0.14, "brown": 0.09, "blue": 0.08, "red": 0.04}


@dataclass
class Candidate:
    """One possible answer.

    Attributes:
        actor: who; spans: when (inside the actor's time).
        score: sum of `terms`.
        terms: why, by name.
        place: (4,) a fixed box instead of the actor's own (things at rest), or None.
    """

    actor: Actor
    spans: SpanSet
    score: float
    terms: dict[str, float] = field(default_factory=dict)
    place: NDArray[np.float64] | None = None

    @property
    def hull(self) -> Span:
        """First start to last end."""
        hull = self.spans.hull
        assert hull is not None
        return hull


@dataclass
class Scene:
    """What there is to choose from."""

    actors: list[Actor]
    rest: NDArray[np.float64]
    rest_colours: NDArray[np.float32]
    duration: float
    width: int
    height: int


def choose(reading: Reading, scene: Scene) -> list[Candidate]:
    """All candidates for a reading, best first."""
    pool = scene.actors
    if reading.count > 1:
        pool = groups(pool, reading.count) or pool
    if not pool and not len(scene.rest):
        return []
    base = _who(reading, pool)
    made: list[Candidate] = []
    for actor in pool:
        made += _when(actor, reading, scene, base[id(actor)])
    made += at_rest(reading, scene)
    if reading.relation is not None:
        _relate(made, reading, scene)
    for c in made:
        c.score = sum(c.terms.values())
    made.sort(key=lambda c: -c.score)
    if reading.order is not None:
        made = _ordered(made, reading.order)
    return made


def _who(reading: Reading, pool: list[Actor]) -> dict[int, dict[str, float]]:
    """Terms that do not depend on when, for every actor (by its id())."""
    n = len(pool)
    columns: dict[str, NDArray[np.float64]] = {}
    mass = np.array([a.mass for a in pool])
    seen = np.maximum(-1.6, 0.3 * np.log(mass / max(mass, default=1.0))) if n else mass
    # leaves, screens, reflections: they tremble in one place and never come or go
    idle = [np.abs(a.shift).max() < 0.03 and a.path < 0.1 and not a.entry and not a.exit for a in pool]
    columns["seen"] = seen - 0.8 * np.array(idle, float)
    if reading.kind is not None and n:
        biggest = max(a.area for a in pool)
        fits = np.array([kind_score(a, reading.kind, biggest) for a in pool])
        columns["kind"] = fits - fits.max()
    person = reading.kind in ("person", "cyclist")
    for colour, part in reading.colours:
        name = colour if part == "whole" else f"{colour} {part}"
        columns[name] = colour_terms(colour, part, pool, person)
    if reading.sleeves is not None:
        skin = np.array([a.share("skin", slice(1, 3)) for a in pool])
        columns["sleeves"] = np.clip((skin - 0.12) * 6, -0.7, 0.7) * (1 if reading.sleeves == "short" else -1)
    if reading.size is not None or reading.child:
        sign = -1 if reading.size == "small" or reading.child else 1
        columns["size"] = 0.7 * sign * _standing([np.sqrt(a.area) for a in pool])
    if reading.speed is not None:
        columns["speed"] = (0.7 if reading.speed == "fast" else -0.7) * _standing([a.brisk + 0.05 for a in pool])
    return {id(a): {k: float(v[i]) for k, v in columns.items()} for i, a in enumerate(pool)}


def _standing(values: list[float]) -> NDArray[np.float64]:
    """Each value's place among all: deviations of its log from the mean, at most 1.7 either way."""
    logs = np.log(np.array(values))
    standing: NDArray[np.float64] = np.clip((logs - logs.mean()) / max(0.25, float(logs.std())), -1.7, 1.7)
    return standing


def _mixture(share: NDArray, word: str) -> NDArray[np.float64]:
    """How much of (..., 13) colour rows answers a colour word, in 0-1."""
    total = np.zeros(share.shape[:-1])
    for column, weight in lexicon.COLOURS[word].items():
        total = total + weight * share[..., COLUMNS.index(column)]
    return np.minimum(1.0, total)


def colour_shares(word: str, part: str, colour: NDArray, person: bool = False) -> NDArray[np.float64]:
    """How much of the part that a word names has the colour, in 0-1; `colour` is (n, 5, 13)."""
    zones = colour[:, _ZONES[part]]
    share = _mixture(zones.mean(1), word)
    if part == "whole" and person:
        # "a man in black", "a girl in red": clothes, not head and feet
        return np.maximum(share, _mixture(colour[:, 1:4].mean(1), word))
    if part == "whole":
        return 0.6 * share + 0.4 * _mixture(zones, word).max(1)
    if part in ("carried", "head", "feet"):
        best: NDArray[np.float64] = _mixture(zones, word).max(1)
        return best
    return share


def colour_terms(word: str, part: str, pool: list[Actor], person: bool = False) -> NDArray[np.float64]:
    """Log-likelihood ratios of the colour, beside the clip's other actors and beside what is common; (n,)."""
    if not pool:
        return np.zeros(0)
    main = max(lexicon.COLOURS[word], key=lambda c: lexicon.COLOURS[word][c])
    share = colour_shares(word, part, np.stack([a.colour for a in pool]), person)
    weights = np.sqrt([a.mass for a in pool])
    usual = 0.5 * _COMMON.get(main, 0.05) + 0.5 * float(np.average(np.minimum(share, 0.5), weights=weights))
    strength = {"whole": 1.2, "upper": 1.2, "lower": 1.0, "hair": 0.8}.get(part, 0.5)
    if main in COLOURS[3:]:
        share = np.minimum(1.0, share * 1.6)  # windows, skin and shadow take their part of any coloured thing
    terms: NDArray[np.float64] = np.clip(strength * np.log((share + 0.05) / (usual + 0.05)), -2.2, 2.2)
    # A speaker names the colour of the one that shows it best: others fall behind it.
    terms = terms + 0.7 * strength * np.maximum(np.log((share + 0.05) / (share.max() + 0.05)), -2.0)
    return terms


def _when(actor: Actor, reading: Reading, scene: Scene, who: dict[str, float]) -> list[Candidate]:
    """The actor's candidates: its stay, and parts of it that the sentence's events or direction name."""
    out: list[Candidate] = []
    for spans, terms in _spans(actor, reading, scene):
        terms = {**who, **terms}
        hull = spans.hull
        assert hull is not None
        if reading.direction or reading.origin:
            terms["direction"] = _direction(actor, hull, reading)
        if reading.side is not None:
            terms["side"] = _side(actor, hull, reading.side)
        out.append(Candidate(actor, spans, 0.0, terms))
    return out


def _spans(actor: Actor, reading: Reading, scene: Scene) -> list[tuple[SpanSet, dict[str, float]]]:
    named = [e for e in reading.events if e not in events.WHOLE]
    passing = [e for e in reading.events if e in events.WHOLE]
    found: dict[str, list[events.Part]] = {e: events.find(actor, e, scene.duration) for e in reading.events}
    out: list[tuple[SpanSet, dict[str, float]]] = []
    quality = float(np.mean([found[e][0].quality for e in passing])) if passing else 0.0
    if len(named) >= 2:
        # Several events told in a row: from the first of the first to the end of the last.
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
        event = named[0]
        parts = found[event]
        if reading.occurrence is not None:
            parts = sorted(parts, key=lambda p: p.start)
            k = reading.occurrence - 1 if reading.occurrence > 0 else reading.occurrence
            parts = parts[k : k + 1 or None] if -len(parts) <= k < len(parts) else parts[:1]
        for part in parts[:4]:
            spans = SpanSet([(part.start, part.end)])
            out.append((spans, {"event": part.quality + 0.3 * quality}))
        if not out:
            out.append((actor.spans, {"event": -1.3}))
        return out
    out.append((actor.spans, {"event": quality} if passing else {}))
    if reading.direction and reading.direction in ("left", "right", "up", "down"):
        axis = 0 if reading.direction in ("left", "right") else 1
        ways = events.moves(actor, axis)
        if len(ways) > 1:
            out += [
                (SpanSet([(a, b)]), {"event": quality - 0.35})
                for a, b, d in ways
                if abs(d[axis]) > 0.08 and b - a > 0.4
            ]
    return out


def _direction(actor: Actor, span: Span, reading: Reading) -> float:
    rows = np.flatnonzero(actor.within(span.start, span.end))
    if len(rows) < 2:
        return -0.3
    k = max(1, len(rows) // 8)
    shift = np.median(actor.centre[rows[-k:]], 0) - np.median(actor.centre[rows[:k]], 0)
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


def _side(actor: Actor, span: Span, side: str) -> float:
    rows = actor.within(span.start, span.end)
    x, y = np.median(actor.centre[rows] if rows.any() else actor.centre, 0)
    place = {
        "left": 0.5 - x, "right": x - 0.5, "top": 0.5 - y, "bottom": y - 0.5, "middle": 0.2 - abs(x - 0.5),
        "near": float(np.log(actor.area / 0.02)) / 6, "far": -float(np.log(actor.area / 0.02)) / 6,
    }[side]  # fmt: skip
    return 0.9 * float(np.tanh(5 * place))


def groups(pool: list[Actor], count: int) -> list[Actor]:
    """Actors that go together as one: near each other, at the same time, the same way."""
    out = []
    for i, a in enumerate(pool):
        for b in pool[i + 1 :]:
            joint = together([a, b])
            if joint is not None:
                out.append(joint)
    if count > 2:
        grown = []
        for g in out:
            for c in pool:
                if all(c is not m for m in g.members):
                    joint = together([*g.members, c])
                    if joint is not None:
                        grown.append(joint)
        out = grown or out
    return out


def together(members: list[Actor]) -> Actor | None:
    """One actor whose boxes hold all members while all are seen; None if they do not go together."""
    start, end = max(m.span.start for m in members), min(m.span.end for m in members)
    longest = max(m.span.duration for m in members)
    if end - start < max(0.6, 0.4 * longest):
        return None
    lead = max(members, key=lambda m: m.span.duration)
    rows = lead.within(start, end)
    times = lead.times[rows]
    if len(times) < 3:
        return None
    boxes = np.stack([m.at(times) for m in members])
    centre = (boxes[:, :, :2] + boxes[:, :, 2:]) / 2
    reach = (boxes[:, :, 2:] - boxes[:, :, :2]).max(2).mean()
    spread = float(np.median(np.linalg.norm(centre - centre.mean(0), axis=2)))
    if spread > 1.5 * reach:
        return None
    v = np.stack(
        [np.median(m.velocity[m.within(start, end)], 0) if m.within(start, end).any() else m.shift for m in members]
    )
    if np.linalg.norm(v - v.mean(0), axis=1).max() > 0.6 * np.linalg.norm(v, axis=1).max() + 0.02:
        return None
    hull = np.concatenate([boxes[:, :, :2].min(0), boxes[:, :, 2:].max(0)], 1)
    ratio = (hull[:, 2:] - hull[:, :2]) / (lead.boxes[rows][:, 2:] - lead.boxes[rows][:, :2]).clip(1)
    size = lead.size[rows] * ratio
    # Together they are seen from the first one's entry to the last one's exit.
    span = Span(min(m.span.start for m in members), max(m.span.end for m in members))
    frame = lead.size[rows] / (lead.boxes[rows][:, 2:] - lead.boxes[rows][:, :2]).clip(1e-6)
    middle = (hull[:, :2] + hull[:, 2:]) / 2 * frame
    return replace(
        lead, id=-1, times=times, boxes=hull, span=span, spans=SpanSet([span]), centre=middle, size=size,
        touch=lead.touch[rows], velocity=lead.velocity[rows], pace=lead.pace[rows], still=lead.still[rows],
        colour=np.mean([m.colour for m in members], 0), area=sum(m.area for m in members), members=members, memo={},
    )  # fmt: skip


def at_rest(reading: Reading, scene: Scene) -> list[Candidate]:
    """Candidates from things that were put down or taken away."""
    asked = [e for e in reading.events if e in ("put_down", "pick_up")]
    by_thing = reading.kind in ("object", "ball")
    if not asked and not by_thing:
        return []
    if not asked and (not reading.events or "stand" in reading.events):
        return _lying(reading, scene)
    wanted = asked[0] if asked else ("put_down" if {"enter", "stop"} & set(reading.events) else "pick_up")
    out = []
    others = _who(replace(reading, kind=None), scene.actors)
    for row, colour in zip(scene.rest, scene.rest_colours, strict=True):
        start, end, *box, area, in_background, starts_inside, ends_inside, contrast = row
        box = np.array(box)
        # (time, event): what happened at either end of the other state
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
            if thing is not None:
                terms.update(_thing_colours(thing, colour))
            if mover is None:
                terms["event"] -= 0.5
                actor, span = _still_actor(scene, box, t, area, colour)
            else:
                actor = mover
                span = _visit(mover, box, t)
                if not by_thing:
                    terms.update({k: v for k, v in others[id(mover)].items() if k != "seen"})
            out.append(Candidate(actor, SpanSet([span]), 0.0, terms, box if by_thing or mover is None else None))
    return out


def _thing_colours(thing: Reading, colour: NDArray) -> dict[str, float]:
    return {
        f"{word} thing": float(np.clip(np.log((float(_mixture(colour, word)) * 1.4 + 0.06) / 0.2), -1.5, 1.5))
        for word, _ in thing.colours
    }


def things(actors: list[Actor], rest: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows of `rest` are things: parts of someone who stands there longer and is bigger are not."""
    keep = np.ones(len(rest), bool)
    for k, row in enumerate(rest):
        start, end, x1, y1, x2, y2 = row[:6]
        if row[7]:
            continue  # missing from the background: nobody can stand in an absence
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


def _lying(reading: Reading, scene: Scene) -> list[Candidate]:
    """While a thing lies or stands at its place."""
    out = []
    for row, colour in zip(scene.rest, scene.rest_colours, strict=True):
        start, end, *box, area, in_background, starts_inside, ends_inside, contrast = row
        there = [(start, end if ends_inside else scene.duration)]
        if in_background:
            there = [(0.0, start)] * bool(starts_inside) + [(end, scene.duration)] * bool(ends_inside)
        there = [(a, b) for a, b in there if b - a > 0.5]
        if not there:
            continue
        place = np.array(box)
        terms = {
            "seen": max(-1.5, 0.3 * float(np.log(max(area, 1e-5) / 0.01))) - 0.2,
            "event": 0.6 + 0.3 * float(np.tanh(contrast / 4)),
            **_thing_colours(reading, colour),
        }
        middle = (there[0][0] + there[0][1]) / 2
        actor, _ = _still_actor(scene, place, middle, area, colour)
        out.append(Candidate(actor, SpanSet(there), 0.0, terms, place))
    return out


def _grown(box: NDArray[np.float64], share: float = 0.5) -> NDArray[np.float64]:
    pad = (box[2:] - box[:2]) * share + 4
    return np.concatenate([box[:2] - pad, box[2:] + pad])


def _touches(actor: Actor, box: NDArray[np.float64]) -> NDArray[np.bool_]:
    near = _grown(box)
    b = actor.boxes
    return (b[:, 0] < near[2]) & (b[:, 2] > near[0]) & (b[:, 1] < near[3]) & (b[:, 3] > near[1])


def _mover(pool: list[Actor], box: NDArray[np.float64], t: float) -> Actor | None:
    """Who was at the place when it changed: the one that touches it nearest to the time."""
    best, nearest = None, 2.0
    for actor in pool:
        inside = _touches(actor, box)
        # the change itself may have been tracked as a small still actor; it did not do it
        if not inside.any() or (not actor.entry and not actor.exit and np.abs(actor.shift).max() < 0.04):
            continue
        gap = float(np.abs(actor.times[inside] - t).min())
        if gap < nearest:
            best, nearest = actor, gap
    return best


def _visit(actor: Actor, box: NDArray[np.float64], t: float) -> Span:
    """The mover's visit to the place around `t`, at most one and a half seconds each way."""
    inside = _touches(actor, box)
    bridged = inside.copy()
    visits = events.runs(bridged)
    a, b = min(visits, key=lambda v: max(0.0, actor.times[v[0]] - t, t - actor.times[v[1]]))
    start = max(actor.span.start, float(actor.times[a]) - 0.3, t - 1.5)
    end = min(actor.span.end, float(actor.times[b]) + 0.3, t + 1.5)
    if end - start < 0.5:
        start, end = max(actor.span.start, t - 1.0), min(actor.span.end, t + 1.0)
    return Span(start, end) if start < end else actor.span


def _still_actor(
    scene: Scene, box: NDArray[np.float64], t: float, area: float, colour: NDArray[np.float32]
) -> tuple[Actor, Span]:
    span = Span(max(0.0, t - 1.0), min(scene.duration, t + 1.0))
    frame = np.array([scene.width, scene.height], float)
    n = 2
    boxes = np.repeat(box[None], n, 0)
    return Actor(
        id=-2, times=np.array([span.start, span.end]), boxes=boxes, span=span, spans=SpanSet([span]),
        centre=(boxes[:, :2] + boxes[:, 2:]) / 2 / frame, size=(boxes[:, 2:] - boxes[:, :2]) / frame,
        touch=np.zeros((n, 4), bool), velocity=np.zeros((n, 2)), pace=np.zeros(n), still=np.ones(n, bool),
        colour=np.repeat(colour[None], 5, 0), area=area, entry=(), exit=(), aspect=0.0, wobble=0.0, fill=1.0,
        contact=0.0, strong=1.0,
    ), span  # fmt: skip


def _relate(made: list[Candidate], reading: Reading, scene: Scene) -> None:
    """Adds how well a candidate's time fits the other clause."""
    assert reading.relation is not None
    relation, other = reading.relation
    found = choose(replace(other, relation=None), scene)[:6]
    if not found:
        return
    best = found[0].score
    for c in made:
        fits = []
        for o in found:
            if o.actor is c.actor and not (other.noun in ("he", "she", "it", "they") or not other.kind):
                continue
            a, b = c.hull, o.hull
            if relation == "while":
                shared = max(0.0, min(a.end, b.end) - max(a.start, b.start))
                fit = shared / min(a.duration, b.duration)
            elif relation == "after":
                fit = float(a.start >= b.start and a.end > b.end) * float(np.exp(-max(0.0, a.start - b.end) / 6))
            else:
                fit = float(a.start <= b.start) * float(np.exp(-max(0.0, b.start - a.end) / 6))
            fits.append(1.4 * (fit - 0.5) - 0.5 * (best - o.score))
        if fits:
            c.terms["clause"] = float(np.clip(max(fits), -1.0, 0.7))


def _ordered(made: list[Candidate], order: int) -> list[Candidate]:
    """Puts the k-th of those that fit about as well as the best first."""
    best_of: dict[int, Candidate] = {}
    for c in made:
        key = id(c.actor)
        if key not in best_of or c.score > best_of[key].score:
            best_of[key] = c
    if not best_of:
        return made
    top = max(c.score for c in best_of.values())
    rivals = sorted((c for c in best_of.values() if c.score > top - RIVALS), key=lambda c: c.hull.start)
    # Appearances that follow each other without overlap and hold one another are the same thing seen twice; keep order.
    k = order - 1 if order > 0 else len(rivals) + order
    chosen = rivals[k] if 0 <= k < len(rivals) else rivals[-1 if order > 0 else 0]
    for c in made:
        if c is chosen:
            c.terms["order"] = 2.5 if 0 <= k < len(rivals) else 0.5
            c.score += c.terms["order"]
    return sorted(made, key=lambda c: -c.score)


def runner_up(made: list[Candidate]) -> Candidate | None:
    """The best candidate that would be another answer: another time or another place."""
    first = made[0]
    for c in made[1:]:
        if c.actor is first.actor and t_iou(c.spans, first.spans) > 0.5:
            continue
        if t_iou(c.spans, first.spans) > 0.6:
            middle = np.array([(c.hull.start + c.hull.end) / 2])
            a, b = first.actor.at(middle)[0], c.actor.at(middle)[0]
            wh = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
            inner = max(0.0, wh[0]) * max(0.0, wh[1])
            if inner > 0.5 * min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])):
                continue
        return c
    return None
