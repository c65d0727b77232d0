"""Candidates for the times at which an actor is with the other things that a sentence names, or with nobody."""

import re
from dataclasses import dataclass, replace

import numpy as np

from whenwhere.grounders.motion import events
from whenwhere.grounders.motion.attributes import PICTURED, TrackedActor
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.lexicon import lemmas
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.stretches import true_runs
from whenwhere.grounders.objects.relations import TimeTogether, event_times, time_together, ways_between
from whenwhere.spans import SpanSet

#: Phrases for somebody who is alone.
ALONE = re.compile(r"\b(alone|by (him|her|it|them)sel(f|ves)|on (his|her|its|their) own(?= *$| in| at| with| for))\b")
#: Words before what somebody holds or uses, and the longest time in seconds for which that is missed.
_HOLDING, MISSED = frozenset(("", "with", "holding", "carrying", "using")), 4.0
#: Prepositions before what somebody goes up to; without one in "approaches the car".
_GOALS = frozenset(("", "to", "towards", "toward"))
#: Events of whoever goes away from something; and seconds that getting off it takes.
_PARTING, _BEFORE_PARTING = frozenset(("leave", "walk", "run", "move", "ride", "drive")), 1.5
#: Verbs of what passes from one to another, and the seconds that it takes.
_GIVES, _GIVING = frozenset(("give", "hand", "pass", "offer", "take", "return")), 2.0


@dataclass(frozen=True)
class Companion:
    """Another thing that a sentence names.

    Attributes:
        preposition: The word before it; "" without one.
        things: The actors that may be meant.
        acts: Whether it is a person, an animal or a vehicle.
        furniture: Whether it is a piece of furniture, which is hidden by whoever uses it.
        held: Whether it is neither an agent nor furniture, so that it may be held in a hand.
    """

    preposition: str
    things: list[TrackedActor]
    acts: bool
    furniture: bool
    held: bool


def candidates_beside(
    actor: TrackedActor, reading: QueryReading, made: list[Candidate], companion: Companion
) -> list[Candidate]:
    """Add to each candidate of an actor the term of its time together with a thing; new candidates for these times.

    Args:
        actor: The actor.
        reading: The reading of the sentence.
        made: Its candidates so far, whose terms are changed.
        companion: The thing.
    """
    if not companion.things:
        return []
    together = time_together(actor, companion.things, companion.preposition)
    if companion.held and "posture" in made[0].terms:
        return []  # what is at the mouth is hidden by the hand that holds it
    for c in made:
        inside = SpanSet(together.runs) & c.spans
        share = inside.duration / max(c.spans.duration, 1e-6)
        c.terms["beside"] = c.terms.get("beside", 0.0) + (0.5 if share > 0.5 else -0.2 if share > 0.1 else -0.6)
    if "posture" in made[0].terms:
        return []
    who = {k: v for k, v in made[0].terms.items() if k not in ("event", "direction", "side", "beside")}
    found = _times_beside(actor, reading, companion, together)
    return [Candidate(actor, SpanSet(times), 0.0, {**who, **terms}) for times, terms in found]


def _times_beside(
    actor: TrackedActor, reading: QueryReading, companion: Companion, together: TimeTogether
) -> list[tuple[list[tuple[float, float]], dict[str, float]]]:
    """The times that an actor's place beside some things tells, each with its terms."""
    preposition, things = companion.preposition, companion.things
    named = [e for e in reading.events if e not in events.WHOLE]
    away = preposition == "from" and bool(set(reading.events) & _PARTING)
    if away or ("approach" in named and preposition in _GOALS):
        ways = [way for way in ways_between(actor, things, away) if way[0] >= actor.span.start]
        return [([way], {"beside": 0.5, "event": 0.4}) for way in ways[:3]]
    if preposition == "off" and "leave" in named:
        times = [(max(a, b - _BEFORE_PARTING), b + 0.3) for a, b in together.runs if b < actor.span.end - 0.3]
        return [([time], {"beside": 0.5, "event": 0.3}) for time in times]
    gives = companion.acts and bool(_GIVES & {form for word in reading.words for form in lemmas(word)})
    if gives and preposition in ("to", "from") and set(named) <= {"pick_up"}:
        # It is done shortly before the two part.
        close = time_together(actor, things, "").runs
        ends = [(max(a, b - _GIVING), b) for a, b in close if b < actor.span.end - 0.3]
        return [([end], {"beside": 0.5, "event": 0.3}) for end in ends]
    if not together.runs or preposition in ("from", "to", "towards", "off"):
        return []
    done = named[0] if named else ""
    if done not in ("", "pick_up", "put_down", "stand") or (not done and companion.furniture):
        return []
    times = event_times(done, together, actor)
    if done in ("pick_up", "put_down"):
        return [([t], {"beside": 0.5, "event": 0.4}) for t in times if t[1] - t[0] > 0.3]
    if companion.held and preposition in _HOLDING and all(thing.id != PICTURED for thing in things):
        times = _held_times(times, actor)
    return [(times, {"beside": 0.75} | ({"event": 0.0} if reading.events else {}))]


def _held_times(times: list[tuple[float, float]], actor: TrackedActor) -> list[tuple[float, float]]:
    """The times of holding a thing, which is missed at the beginning and the end of a stay too."""
    first, last = times[0], times[-1]
    if first[0] - actor.span.start < MISSED:
        first = (actor.span.start, first[1])
    if actor.span.end - last[1] < MISSED:
        last = (last[0] if len(times) > 1 else first[0], actor.span.end)
    return [(first[0], last[1])] if len(times) == 1 else [first, *times[1:-1], last]


def without_others(actor: TrackedActor, made: list[Candidate], others: list[TrackedActor]) -> list[Candidate]:
    """The candidates of an actor without the times at which others are there; less likely if it is never alone.

    Args:
        actor: The actor.
        made: Its candidates.
        others: The others, among whom it may be itself.
    """
    own = {id(actor), *(id(m) for m in actor.members)}
    away = np.ones(len(actor.times), bool)
    for other in others:
        if id(other) not in own and not other.members:
            for span in other.spans:
                away &= ~actor.within(span.start, span.end)
    half = float(np.median(np.diff(actor.times))) / 2 if len(actor.times) > 1 else 0.1
    runs = [(float(actor.times[a]) - half, float(actor.times[b]) + half) for a, b in true_runs(away)]
    alone = SpanSet([(max(a, 0.0), b) for a, b in runs if b - a >= 0.3])
    out = [replace(c, spans=c.spans & alone, terms=_changed(c, 0.3)) for c in made if c.spans & alone]
    return out or [replace(c, terms=_changed(c, -0.5)) for c in made]


def _changed(c: Candidate, by: float) -> dict[str, float]:
    """The terms of a candidate with that of its companions changed."""
    return {**c.terms, "beside": c.terms.get("beside", 0.0) + by}
