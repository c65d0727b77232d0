"""Selection: which candidates a sentence means, if it does not simply mean the best one.

"The second time a car passes" counts over all cars, "every car" and "the cars" mean all that fit, "there is no car" the
time outside of theirs, "before the car comes" the time before it. A set is only as sure as its border: each candidate
is graded by every property that the sentence names (`grade`), and each that is neither clearly in nor clearly out and
would change the answer makes it less sure, which a warning says. What was read and cannot be applied is never passed
over in silence.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from whenwhere.grounders.motion import confidence_features as features
from whenwhere.grounders.motion import events, kind_model
from whenwhere.grounders.motion.abstention import DOUBTFUL, THRESHOLD, StatusDecision, decide_status, less_sure
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.colours import COLOURS
from whenwhere.grounders.motion.confidence_features import ClipConditions
from whenwhere.grounders.motion.lexicon import mix_of
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.temporal_scoring import EVENT
from whenwhere.grounders.motion.track_scoring import colour_shares
from whenwhere.records import Status
from whenwhere.spans import Span, SpanSet

#: Confidence of a sentence of which a part could not be applied: it is never answered.
NOT_APPLIED = 0.1
#: A time is counted although its own fit is doubtful if its score is at most this much below the best.
NEARLY = 0.4
#: Least confidence of what is denied for an answer with the rest of the time, which is no more sure than it.
DENIED = 0.3
#: Terms that compare an actor with the others of its clip and so cannot tell who belongs to a set.
_RELATIVE = ("size", "speed", "sleeves")


@dataclass
class Selection:
    """What is claimed about a sentence, and what the claim is made of.

    Attributes:
        status: `answered`, `absent` or `unsure`.
        confidence: Probability from 0 to 1 that the claim is right; for `unsure`, that the best candidate is.
        made: All candidates, best first.
        chosen: The candidates that are the answer; empty if the answer is a time without a thing.
        spans: The answered time; empty if the status is not `answered`.
        margin: Score of the best candidate minus that of the best other answer, at most 3; None if there is no other.
        reasons: Reasons for doubt, as sentences.
        warnings: What of the sentence could not be applied, and what else a user should know, as sentences.
        wider: The answer with the times of all that may fit, where it is not clear which of several do; else None. What
            is denied is at none of these times, whichever of them count.
    """

    status: Status
    confidence: float
    made: list[Candidate]
    chosen: list[Candidate] = field(default_factory=list)
    spans: SpanSet = field(default_factory=SpanSet)
    margin: float | None = None
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    wider: "Selection | None" = None

    def unsure(self, warning: str, confidence: float = NOT_APPLIED) -> "Selection":
        """The same candidates without an answer, and a warning that says why."""
        low = min(confidence, self.confidence)
        return replace(
            self, status="unsure", confidence=low, chosen=[], spans=SpanSet(), warnings=[*self.warnings, warning]
        )

    def doubted(self, warning: str, times: int) -> "Selection":
        """The same answer, less sure by so many doubts about what counts; no answer if too little is left of it."""
        left = less_sure(self.confidence, times)
        if left < THRESHOLD:
            return self.unsure(warning, left)
        return replace(self, confidence=left, warnings=[*self.warnings, warning])


@dataclass(frozen=True)
class Selector:
    """Answers readings of one sentence about one clip.

    Attributes:
        sentence: The sentence as it was asked.
        around: Conditions of the clip.
        rank: Gives the candidates of a reading, best first; those outside the searched time are left out.
        grouped: Whether there is a group of things that move together, of the size that a reading asks for.
        decide: Decides what may be claimed about a reading, given the candidates.
        grade: How a candidate fits a reading by itself (see `grade`).
        untold: Whether the noun of a reading leaves out some of its kind that look alike.
        doubtful: Confidence below which what another time is told by ("before the car comes") is not found surely.
    """

    sentence: str
    around: ClipConditions
    rank: Callable[[QueryReading], list[Candidate]]
    grouped: Callable[[QueryReading], bool]
    decide: Callable[[str, QueryReading, list[Candidate], ClipConditions], StatusDecision] = decide_status
    grade: Callable[[Candidate, QueryReading, ClipConditions, float], int] = field(
        default=lambda c, reading, around, biggest: grade(c, reading, around, biggest)
    )
    untold: Callable[[QueryReading], bool] = features.exceeds_generic
    doubtful: float = DOUBTFUL

    def answer(self, reading: QueryReading) -> Selection:
        """The answer to a reading."""
        if reading.alternatives:
            return self._either(reading.alternatives)
        if reading.alone and reading.relation is not None:
            found = self._time_beside(*reading.relation)
        else:
            found = self._things(reading)
        for part in reading.unapplied:
            found = found.unsure(f"“{part}” was read but cannot be applied, so the sentence is not answered")
        return found

    def _things(self, reading: QueryReading) -> Selection:
        """The answer to a reading that asks for one thing, for one of several times, or for all that fit."""
        made = self.rank(reading)
        if not made:
            return Selection("unsure", 0.0, [])
        verdict = self.decide(self.sentence, reading, made, self.around)
        best = made[0]
        found = Selection(
            verdict.status, verdict.confidence, made, [best], best.spans, verdict.margin, verdict.reasons
        )  # fmt: skip
        if verdict.status == "absent":
            return found
        if reading.occurrence is not None:
            return self._occurrence(reading, found)
        if (reading.every or reading.count > 1) and not (reading.count > 1 and self.grouped(reading)):
            return self._every(reading, found)
        if verdict.status != "answered":
            found.chosen, found.spans = [], SpanSet()
        elif reading.order is not None:
            return self._order(reading, found)
        return found

    def _order(self, reading: QueryReading, found: Selection) -> Selection:
        """The answer to "the second ...", less sure if it depends on who counts; unsure if there are not so many."""
        assert reading.order is not None
        best = found.made[0]
        k = reading.order - 1 if reading.order > 0 else reading.order
        fits, doubtful = self.members(reading, self.rank(replace(reading, order=None)))
        fewest, most = (
            list({id(c.actor): c.actor for c in _in_order(some)}.values())
            for some in ([best, *fits], [best, *fits, *doubtful])
        )
        if not -len(most) <= k < len(most):
            return found.unsure("the sentence names one of several, but not so many fit")
        sure = all(-len(a) <= k < len(a) and a[k] is best.actor for a in (fewest, most))
        # that there are so many at all is a doubt of its own
        doubts = 1 if -len(fewest) <= k < len(fewest) else 2
        return found if sure else found.doubted("it is not clear which ones count", doubts)

    def _occurrence(self, reading: QueryReading, found: Selection) -> Selection:
        """The answer to "the second time ...": the event is counted over everything that fits."""
        assert reading.occurrence is not None
        k = reading.occurrence - 1 if reading.occurrence > 0 else reading.occurrence
        fits, doubtful = self.members(reading, found.made)
        every = _in_order([*fits, *doubtful])
        if len({id(c.actor) for c in every}) > 1 and self.untold(reading):
            return found.unsure(_untold(reading))
        if not -len(every) <= k < len(every):
            seen = {0: "never", 1: "once"}.get(len(every), f"{len(every)} times")
            return found.unsure(f"the sentence names one of several times, but it was clearly seen {seen}")
        chosen = every[k]
        counted = _in_order([*fits, *([] if any(c is chosen for c in fits) else [chosen])])
        likely = chosen.score > max(c.score for c in every) - NEARLY
        if not likely or not -len(counted) <= k < len(counted) or counted[k] is not chosen:
            return found.unsure("it is not clear which times count, so they were not counted")
        return self._chosen(reading, found, [chosen], counted)

    def _every(self, reading: QueryReading, found: Selection) -> Selection:
        """The answer to "every ..." or to a plural: all that fit, if it is clear which do."""
        fits, doubtful = self.members(reading, found.made)
        if not fits and len(doubtful) == 1:
            fits = doubtful  # the only one that can be meant
        if not fits:
            return found.unsure("nothing fits clearly enough to be counted", found.confidence)
        if len({id(c.actor) for c in [*fits, *doubtful]}) > 1 and self.untold(reading):
            return found.unsure(_untold(reading))
        if reading.count > 1 and len(fits) != reading.count:
            together = at_once(fits, reading.count)
            if together:
                there = [c for c in fits if c.spans & together]
                answer = self._chosen(reading, found, there, fits)
                if answer.status != "answered":
                    return answer
                why = f"{len(fits)} fit, and these are the times at which exactly {reading.count} are there at once"
                return replace(answer, spans=together).doubted(why, 1)
            if reading.noun != "people":
                return found.unsure(f"the sentence names {reading.count}, but {len(fits)} fit")
        answer = self._chosen(reading, found, fits, fits)
        if not doubtful or answer.status != "answered":
            return answer
        if fits is doubtful:
            return answer.doubted("the sentence means all that fit, and not even one clearly does", 1)
        more = "one more" if len(doubtful) == 1 else f"{len(doubtful)} more"
        doubted = answer.doubted(
            f"the sentence means all that fit: {len(fits)} clearly fit, but {more} may", len(doubtful)
        )  # fmt: skip
        wide = answer.spans
        for c in doubtful:
            wide = wide | c.spans
        return replace(doubted, wider=replace(answer, spans=wide))

    def _chosen(
        self, reading: QueryReading, found: Selection, chosen: list[Candidate], fits: list[Candidate]
    ) -> Selection:
        """The answer that some of the fitting candidates make; it is as sure as the least sure of them."""
        inside = {id(c.actor) for c in fits}
        others = [c for c in found.made if id(c.actor) not in inside]
        sure = min(
            self.decide(self.sentence, reading, [c, *others], self.around).confidence for c in chosen
        )  # fmt: skip
        if sure < THRESHOLD:
            return found.unsure("not all that should fit do so clearly", sure)
        spans = SpanSet()
        for c in chosen:
            spans = spans | c.spans
        rest = [c for c in found.made if all(c is not x for x in chosen)]
        return replace(
            found, status="answered", confidence=sure, made=[*chosen, *rest], chosen=chosen, spans=spans
        )  # fmt: skip

    def _either(self, readings: list[QueryReading]) -> Selection:
        """The answer to sentences that "or" offers: the times of all of them, if each is sure."""
        found = [self.answer(r) for r in readings]
        made = sorted((c for f in found for c in f.made), key=lambda c: -c.score)
        out = Selection("answered", min(f.confidence for f in found), made)
        for f in found:
            out.reasons += [r for r in f.reasons if r not in out.reasons]
            out.warnings += [w for w in f.warnings if w not in out.warnings]
        there = [f for f in found if f.status != "absent"]
        if not there:
            return replace(out, status="absent")
        if any(f.status != "answered" or f.confidence < DOUBTFUL for f in there):
            return out.unsure("“or” was read, but not all that it offers was found surely", out.confidence)
        for f in there:
            out.chosen = [*out.chosen, *f.chosen]
            out.spans = out.spans | f.spans
        return out

    def _time_beside(self, relation: str, other: QueryReading) -> Selection:
        """The answer to "before ...", "after ..." or "there is no ...", which ask for a time and not for a thing."""
        found = self.answer(other)
        if relation == "while":
            return found
        end = self.around.duration
        if relation == "not" and found.wider is not None:
            found = found.wider
        if found.status == "absent" and relation == "not":
            return replace(found, status="answered", chosen=[], spans=SpanSet([(0.0, end)]))
        if found.status != "answered" or found.confidence < (DENIED if relation == "not" else self.doubtful):
            what = {"not": "what is denied", "before": "what it comes before", "after": "what it comes after"}[relation]
            return replace(found, status="unsure").unsure(f"{what} was not found surely", found.confidence)
        hull = found.spans.hull
        assert hull is not None
        if relation == "before":
            spans = time_outside(SpanSet([(hull.start, end)]), end)
        elif relation == "after":
            spans = time_outside(SpanSet([(0.0, hull.end)]), end)
        else:
            spans = time_outside(found.spans, end)
        if not spans:
            return found.unsure("it lasts for the whole video, so that no other time is left", found.confidence)
        return replace(found, chosen=[], spans=spans)

    def members(self, reading: QueryReading, made: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        """The candidates that clearly fit a reading, and those that may; of one actor, only some that share no time."""
        biggest = max((c.actor.mass for c in made), default=0.0)
        taken: list[tuple[int, Candidate]] = []
        graded = [
            (self.grade(c, reading, self.around, biggest), c) for c in made if not c.actor.members or reading.count > 1
        ]
        for level, c in sorted(graded, key=lambda x: (-x[0], -x[1].score)):
            if level > 0 and not any(c.actor is t.actor and (c.spans & t.spans).duration > 0.1 for _, t in taken):
                taken.append((level, c))
        return [c for level, c in taken if level == 2], [c for level, c in taken if level == 1]


def at_once(some: list[Candidate], count: int) -> SpanSet:
    """The times at which exactly so many of some candidates are there; parts of less than 0.3 s are left out."""
    edges = np.unique([edge for c in some for s in c.spans for edge in (s.start, s.end)])
    there = sum((c.spans.index((edges[:-1] + edges[1:]) / 2) >= 0 for c in some), np.zeros(len(edges) - 1, int))
    spans = SpanSet((float(a), float(b)) for a, b, n in zip(edges, edges[1:], there, strict=False) if n == count)
    return SpanSet(s for s in spans if s.duration >= 0.3)


def _in_order(some: list[Candidate]) -> list[Candidate]:
    """The candidates by their start."""
    return sorted(some, key=lambda c: c.hull.start)


def _untold(reading: QueryReading) -> str:
    return f"motion and colour do not tell which ones are meant by “{reading.noun}”"


def grade(c: Candidate, reading: QueryReading, around: ClipConditions, biggest: float) -> int:
    """How a candidate fits a reading by itself, whatever else there is: 2 clearly, 1 perhaps, 0 not.

    Args:
        c: The candidate.
        reading: The reading.
        around: Conditions of the clip.
        biggest: The largest mass of a candidate's actor.
    """
    actor = c.actor
    # What trembles in one place is rarely what a sentence is about, so it has to be more noticeable to count.
    idle = 0.3 if np.abs(actor.shift).max() < 0.03 and actor.path < 0.1 else 1.0
    levels = [_level(idle * actor.mass / max(biggest, 1e-9), 0.03, 0.1)]
    if not features.clearly_seen(actor):
        levels.append(1)
    if reading.kind in kind_model.FAMILY_OF:
        p = float(features.family_looks(actor, around)[kind_model.FAMILY_OF[reading.kind]])
        levels.append(_level(p, 0.25, 0.5))
    elif reading.kind is not None:
        levels.append(1)
    person = reading.kind in ("person", "cyclist")
    for word, part in reading.colours:
        share = float(colour_shares(word, part, actor.colour[None], person)[0])
        mix = mix_of(word)
        neutral = max(mix, key=lambda name: mix[name]) in COLOURS[:3]
        levels.append(_level(share, 0.3, 0.6) if neutral else _level(share, 0.06, 0.18))
    if "direction" in c.terms:
        levels.append(_level(c.terms["direction"], -0.2, 0.4))
    if "side" in c.terms:
        levels.append(_level(c.terms["side"], -0.15, 0.15))
    if "clause" in c.terms:
        levels.append(_level(c.terms["clause"], -0.4, 0.0))
    if "event" in c.terms:
        named = set(reading.events) - events.WHOLE
        levels.append(_level(c.terms["event"] / EVENT, -0.7 if named else -0.5, -0.2 if named else -0.3))
    if any(name in c.terms for name in _RELATIVE):
        levels.append(1)
    return min(levels)


def _level(value: float, no: float, yes: float) -> int:
    return 2 if value >= yes else 1 if value > no else 0


def time_outside(spans: SpanSet, end: float) -> SpanSet:
    """The times of [0, end) that lie outside of some spans; parts of less than 0.1 s are left out.

    >>> [(float(s.start), float(s.end)) for s in time_outside(SpanSet([(1, 2), (4, 9)]), 9.05)]
    [(0.0, 1.0), (2.0, 4.0)]
    """
    edges = np.concatenate([[0.0], *([s.start, s.end] for s in spans), [end]])
    return SpanSet(Span(float(a), float(b)) for a, b in edges.reshape(-1, 2) if b - a >= 0.1)
