"""Ranking the candidates of a sentence: which actor, and which part of its time.

Each property of the reading adds a term in units of log-likelihood (how much likelier this actor is the one that is
meant than a random one): kind, colours, size, speed, direction, side, event, the other clause. Terms are bounded, so
that one wrong word never outweighs everything else. Order ("the second ...") is decided last, among the candidates
whose other terms fit about as well as the best.
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from whenwhere.grounders.motion import events
from whenwhere.grounders.motion.attributes import TrackedActor
from whenwhere.grounders.motion.candidates import Candidate, ObservedScene
from whenwhere.grounders.motion.object_candidates import object_candidates
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.reappearance import reappearances
from whenwhere.grounders.motion.temporal_scoring import time_candidates
from whenwhere.grounders.motion.track_scoring import actor_groups, track_terms
from whenwhere.overlap import box_intersection, t_iou

#: Actors whose score is within this of the best compete for "the first", "the second" ...
RIVALS = 1.6
#: Seconds below which the stay of a recognised thing is too short to count surely.
BRIEF = 0.6


class Scorer(Protocol):
    """How actors and their times are compared with a reading; `MotionScorer` does it by shape, motion and colour."""

    def actor_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> dict[int, dict[str, float]]:
        """The terms of every actor that do not depend on time, by the actor's `id()`."""
        ...

    def time_candidates(
        self, actor: TrackedActor, reading: QueryReading, who: dict[str, float], scene: ObservedScene
    ) -> list[Candidate]:
        """The candidates of one actor, given its terms that do not depend on time."""
        ...

    def visitors(self, reading: QueryReading, pool: list[TrackedActor], scene: ObservedScene) -> list[TrackedActor]:
        """Actors that left and came back, made of several of the pool, as far as the reading may mean such."""
        ...


class MotionScorer:
    """Compares by what shape, motion and colour show."""

    def actor_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> dict[int, dict[str, float]]:
        """See `Scorer.actor_terms`."""
        return track_terms(reading, pool)

    def time_candidates(
        self, actor: TrackedActor, reading: QueryReading, who: dict[str, float], scene: ObservedScene
    ) -> list[Candidate]:
        """See `Scorer.time_candidates`."""
        return time_candidates(actor, reading, who)

    def visitors(self, reading: QueryReading, pool: list[TrackedActor], scene: ObservedScene) -> list[TrackedActor]:
        """See `Scorer.visitors`."""
        return reappearances(pool, scene.cuts) if reading.kind in (None, "person", "animal", "hand") else []


def rank_candidates(
    reading: QueryReading,
    scene: ObservedScene,
    scorer: Scorer = MotionScorer(),  # noqa: B008
) -> list[Candidate]:
    """All candidates for a reading, with their scores, best first."""
    pool = scene.actors
    if reading.count > 1:
        pool = actor_groups(pool, reading.count) or pool
    if not pool and not len(scene.changes) and not len(scene.static):
        return []
    base = scorer.actor_terms(reading, pool)
    made: list[Candidate] = []
    for actor in pool:
        made += scorer.time_candidates(actor, reading, base[id(actor)], scene)
    if reading.order is None and reading.count == 1:
        made += _returning(reading, pool, scene, base, scorer)
    made += object_candidates(reading, scene)
    if reading.relation is not None:
        _relate(made, reading, scene, scorer)
    for c in made:
        c.score = sum(c.terms.values())
    made.sort(key=lambda c: -c.score)
    if reading.order is not None:
        made = _ordered(made, reading.order)
    return made


def _returning(
    reading: QueryReading,
    pool: list[TrackedActor],
    scene: ObservedScene,
    base: dict[int, dict[str, float]],
    scorer: Scorer,
) -> list[Candidate]:
    """Candidates of actors that left and came back, if the sentence asks for a return or is about their whole stay."""
    returns = "return" in reading.events
    if not returns and (set(reading.events) - events.WHOLE or reading.direction or reading.origin):
        return []
    out = []
    for actor in scorer.visitors(reading, pool, scene):
        each = [base[id(m)] for m in actor.members]
        who = {k: sum(m[k] for m in each) / len(each) for k in each[0]}
        # A sentence about somebody means every visit; a single visit is only a part of the answer.
        who["seen"] = max(m["seen"] for m in each) + (0.0 if returns else 0.25)
        for colour in who.keys() - {"seen", "kind", "size", "speed"}:
            who[colour] = max(m[colour] for m in each)
        out += scorer.time_candidates(actor, reading, who, scene)
    return out


def _relate(made: list[Candidate], reading: QueryReading, scene: ObservedScene, scorer: Scorer) -> None:
    """Add to each candidate the term of how well its time fits the other clause."""
    assert reading.relation is not None
    relation, other = reading.relation
    found = rank_candidates(replace(other, relation=None), scene, scorer)[:6]
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
                fit = float(a.start >= b.start and a.end > b.end) * _apart(a.start - b.end)
            else:
                fit = float(a.start <= b.start) * _apart(b.start - a.end)
            fits.append(1.4 * (fit - 0.5) - 0.5 * (best - o.score))
        if fits:
            c.terms["clause"] = float(np.clip(max(fits), -1.0, 0.7))


def _apart(gap: float) -> float:
    """How well two times follow each other, in 0-1: best one right after the other; `gap` is negative if they overlap.

    An overlap counts more against it than a pause, since the one is then not over before the other begins.
    """
    return float(np.exp(-max(0.0, gap) / 6 - max(0.0, -gap) / 2))


def _ordered(made: list[Candidate], order: int) -> list[Candidate]:
    """The candidates with the `order`-th of those that fit about as well as the best moved to the front."""
    best_of: dict[int, Candidate] = {}
    for c in made:
        key = id(c.actor)
        if key not in best_of or c.score > best_of[key].score:
            best_of[key] = c
    if not best_of:
        return made
    top = max(c.score for c in best_of.values())
    rivals = [c for c in best_of.values() if c.score > top - RIVALS]
    # What was recognised for a moment is a second box of a thing, or a confusion.
    rivals = [c for c in rivals if not is_brief(c.actor)] or rivals
    rivals.sort(key=lambda c: c.hull.start)
    # The order is that of appearance.
    k = order - 1 if order > 0 else len(rivals) + order
    chosen = rivals[k] if 0 <= k < len(rivals) else rivals[-1 if order > 0 else 0]
    for c in made:
        if c is chosen:
            c.terms["order"] = 2.5 if 0 <= k < len(rivals) else 0.5
            c.score += c.terms["order"]
    return sorted(made, key=lambda c: -c.score)


def is_brief(actor: TrackedActor) -> bool:
    """Whether an actor was recognised for so short a time that it does not count surely."""
    return len(actor.classes) > 0 and actor.spans.duration < BRIEF


def runner_up(made: list[Candidate]) -> Candidate | None:
    """The best candidate that differs from the first one in time or place; None if there is none."""
    first = made[0]
    for c in made[1:]:
        if c.actor is first.actor and t_iou(c.spans, first.spans) > 0.5:
            continue
        if t_iou(c.spans, first.spans) > 0.6:
            middle = np.array([(c.hull.start + c.hull.end) / 2])
            a, b = first.actor.at(middle)[0], c.actor.at(middle)[0]
            if box_intersection(a, b) > 0.5 * min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])):
                continue
        return c
    return None
