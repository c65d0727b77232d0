"""How recognised things are compared with a reading: by class first, then by all that motion and colour tell.

The term of kind is the log-likelihood that the detector's classes fit the noun. A blob that no detection lies on keeps
the term that its shape and motion give it, less a little for not having been recognised. All other terms, the events
and the order of the candidates are those of the motion grounder.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import events
from whenwhere.grounders.motion.attributes import PICTURED, REGION, TrackedActor
from whenwhere.grounders.motion.candidates import Candidate, ObservedScene
from whenwhere.grounders.motion.colours import COLOURS
from whenwhere.grounders.motion.lexicon import mix_of
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.ranking import MotionScorer
from whenwhere.grounders.motion.reappearance import joined_visits
from whenwhere.grounders.motion.temporal_scoring import EVENT, time_candidates
from whenwhere.grounders.motion.track_scoring import kind_term, track_terms
from whenwhere.grounders.motion.tracks import colour_distance
from whenwhere.grounders.objects.labels import AGENTS, GROUPS, LIKE, WantedClasses, agents_among, wanted_classes
from whenwhere.grounders.objects.posture_times import is_contrary, posture_spans, tells_time
from whenwhere.grounders.objects.postures import postures_of, tells_rest
from whenwhere.grounders.objects.presence import SAME, stay
from whenwhere.grounders.objects.relations import large_times, relative_size
from whenwhere.grounders.objects.together import ALONE, Companion, candidates_beside, without_others
from whenwhere.overlap import box_iou
from whenwhere.spans import SpanSet

#: Range of the term of class.
LEAST, MOST = -3.0, 0.3
#: What a blob that was not recognised loses, and the term of a recognised thing if the noun is unknown.
UNRECOGNISED, OTHER_THING, OTHER_AGENT = 0.5, -0.8, -1.6
#: What a blob that was not recognised loses more if something else clearly is what the noun names, from this term on.
RECOGNISED_ELSE, _CLEAR = 0.6, -0.6
#: What a thing loses if the classifier of pictures saw what the noun names at other times only, for a probability of a
#: half or more.
ELSEWHEN = 1.0
#: Least share of the frame of a person, an animal or a vehicle that the detector would not miss.
LARGE = 0.01
#: Term of a usual region of one colour if the noun has no class, and its usual share of the frame.
REGION_TERM, _USUAL = -0.2, 0.02
#: Seconds for which two visits of one thing may overlap, and their largest distance in colour.
_OVERLAP, _COLOUR = 0.3, 0.3
_BASIC = len(COLOURS)
#: Weight of the size of children, who are filmed from nearer than others.
_CHILD = -0.4
#: Weight of the logarithm of the score of a thing, as a share of the surest one's.
SURER = 0.5
#: Term of an event below which the whole stay is offered too, with this term.
WEAK = -0.5
#: Term of the stay of a person who was not seen in the posture that is asked for.
UNPOSED = -0.8
#: Least score of somebody who is surely there.
CERTAIN = 0.45
#: Words for things that were named before.
_PRONOUNS = frozenset(("he", "she", "it", "they", "him", "her", "them"))
#: Labels of things that are hidden by whoever uses them.
_FURNITURE = GROUPS["furniture"][1] | {"toilet"}
#: Labels of things that fly or roll.
_CARRIED = frozenset(("sports ball", "frisbee", "kite", "skateboard", "surfboard", "snowboard", "skis", "suitcase"))
#: Term of class below which a thing is something else.
_UNLIKE = -1.5
#: Least term of class of a thing whose visits are joined.
_LIKELY = -0.8


class ObjectScorer:
    """Compares by class, motion and colour (see `motion.ranking.Scorer`).

    Args:
        labels: The labels of the detector.
        still: Whether the camera stands still, so that blobs tell who came back.
    """

    def __init__(self, labels: tuple[str, ...], still: bool = False) -> None:
        self.labels, self.still = labels, still
        self._furniture = np.array([label in _FURNITURE for label in labels], float)
        self._mobile = np.array([label in AGENTS or label in _CARRIED for label in labels], np.float32)
        self._agents = agents_among(labels)
        #: What a classifier of pictures saw of things of which the detector saw nothing, by the noun.
        self.pictured: dict[str, list[TrackedActor]] = {}

    def wanted(self, reading: QueryReading) -> WantedClasses:
        """The classes that the reading's noun stands for; a part ("the bird's beak") is looked for as its whole."""
        wanted = wanted_classes(reading.noun, reading.kind, self.labels, reading.modifier)
        if not wanted.named:
            for _, noun, kind in reading.companions:
                whole = wanted_classes(noun.removesuffix("'s"), kind, self.labels)
                if noun.endswith("'s") and whole.known:
                    return WantedClasses(LIKE * whole.weights, False, True)
        return wanted

    def is_agent(self, reading: QueryReading) -> bool:
        """Whether the noun stands for what acts by itself alone: people, animals or vehicles."""
        return self._agents_meant(self.wanted(reading))

    def _agents_meant(self, wanted: WantedClasses) -> bool:
        """Whether all classes that a noun stands for are of what acts by itself."""
        meant = wanted.weights >= 1.0
        return bool(meant.any() and self._agents[meant].all())

    def region_colour(self, reading: QueryReading, everyone: list[TrackedActor]) -> str | None:
        """The basic colour of the regions that may be meant: of a thing that is called coloured and was not recognised.

        It has no class, or a class that is often missed and was never seen. A noun that the lexicon lacks ("the green
        lid") is no noun of the reading, and counts as one without a class.
        """
        whole = [colour for colour, part in reading.colours if part == "whole"]
        if not whole or (self.wanted(reading).named and not self._missed(reading, everyone)):
            return None
        mix = mix_of(whole[0])
        return max(mix, key=lambda name: mix[name])

    def _missed(self, reading: QueryReading, everyone: list[TrackedActor]) -> bool:
        """Whether nothing of the class that is asked for was seen, and the detector misses such things often."""
        often = bool((self.wanted(reading).weights[~self._agents] >= 1.0).any())
        seen = [a for a in everyone if len(a.classes)]
        return often and self.class_terms(reading, seen).max(initial=LEAST) < _UNLIKE

    def stays_named(self, reading: QueryReading, everyone: list[TrackedActor]) -> bool:
        """Whether a sentence names a thing and nothing that happens to it, and such a thing was recognised."""
        if reading.events or not self.wanted(reading).named:
            return False
        seen = [a for a in everyone if len(a.classes)]
        return bool(self.class_terms(reading, seen).max(initial=LEAST) > _LIKELY)

    def with_surfaces(self, everyone: list[TrackedActor]) -> list[TrackedActor]:
        """The recognised things, neither people nor carried, of whose surface a coloured region may be a part."""
        return [a for a in everyone if len(a.classes) and float((a.classes * (1 - self._mobile)).sum()) > 0.5]

    def class_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> NDArray[np.float64]:
        """(n,) how well each actor is of the kind that is asked for, as log-likelihood ratios."""
        wanted = self.wanted(reading)
        biggest = max((a.area for a in pool), default=1.0)
        terms = np.array([self._class_term(a, reading, wanted, biggest) for a in pool], float)
        known = np.array([len(a.classes) > 0 for a in pool], bool)
        if seen := self.pictured.get(reading.noun):
            there = SpanSet([span for a in seen for span in a.spans])
            apart = [1 - (a.spans & there).duration / max(a.spans.duration, 1e-6) for a in pool]
            sure = min(1.0, 2 * max(a.strong for a in seen))
            # What the detector calls something that only resembles it gives way to the faintest sight of it.
            terms -= ELSEWHEN * np.where(known, 1.0, sure) * np.array(apart)
        if wanted.named and terms[known].max(initial=LEAST) > _CLEAR:
            terms[~known] = np.maximum(terms[~known] - RECOGNISED_ELSE, LEAST)
            if self.is_agent(reading):
                # Whoever the detector seldom misses is not a large thing that it did not recognise.
                large = [a.area >= LARGE and a.id not in (REGION, PICTURED) for a in pool]
                terms[~known & np.array(large, bool)] = LEAST
        return terms

    def _class_term(self, actor: TrackedActor, reading: QueryReading, wanted: WantedClasses, biggest: float) -> float:
        if actor.id == REGION:
            return _region_term(actor)
        if actor.id == PICTURED:
            if not any(actor is own for own in self.pictured.get(reading.noun, ())):
                return LEAST
            return float(np.clip(np.log((actor.strong + 0.03) / 0.6), LEAST, MOST))
        if not reading.noun and reading.kind is None:
            return 0.0
        shape = kind_term(actor, reading.kind, biggest) if reading.kind is not None else -0.5
        shape = float(np.clip(shape - UNRECOGNISED, LEAST, MOST))
        if not len(actor.classes):
            return shape
        if _moves_by_itself(actor) and wanted.known:
            # Seen from above a car may be called a phone; but phones do not drive. What is left of the classes counts
            # as much as it is, and shape for the rest.
            able = actor.classes * self._mobile
            left = float(able.sum())
            fit = self._fit(replace(actor, classes=able / max(left, 1e-6)), wanted)
            return float(np.log(left * np.exp(fit) + max(0.0, 1 - left) * np.exp(shape)))
        if not wanted.known:
            agent = float(actor.classes[self._agents].sum())
            return OTHER_THING + (OTHER_AGENT - OTHER_THING) * agent
        return self._fit(actor, wanted)

    def actor_terms(self, reading: QueryReading, pool: list[TrackedActor]) -> dict[int, dict[str, float]]:
        """See `Scorer.actor_terms`. Colours and sizes are compared among the things of about the best class only."""
        kinds = self.class_terms(reading, pool)
        out: dict[int, dict[str, float]] = {}
        like = kinds > kinds.max(initial=LEAST) - 1.2
        for group in (like, ~like):
            some = [a for a, keep in zip(pool, group, strict=True) if keep]
            if some:
                # Among things that plausibly are what is meant, how plausible they are says little.
                terms = np.where(kinds > -1, 0.4 * kinds, 1.3 * kinds + 0.9)
                out |= track_terms(reading, some, terms[group])
        named = {colour if part == "whole" else f"{colour} {part}" for colour, part in reading.colours}
        for actor, keep in zip(pool, like, strict=True):
            if not keep:
                # It has been compared with other things of a wrong class only.
                own = out[id(actor)]
                out[id(actor)] = {k: min(v, 0.0) if k in named else v for k, v in own.items()}
        self._compare(reading, [a for a, keep in zip(pool, like, strict=True) if keep], out)
        for actor in pool:
            if actor.id == REGION:
                # Its own colour chose it; other colours of the sentence may be those of parts ("with the yellow ring").
                own = out[id(actor)]
                out[id(actor)] = {k: v for k, v in own.items() if k not in {word for word, _ in reading.colours[1:]}}
            elif actor.id == PICTURED and not actor.colour.any():
                # The colours of a part of the picture are not those of the thing in it.
                out[id(actor)] = {k: v for k, v in out[id(actor)].items() if k not in named}
        return out

    def _compare(self, reading: QueryReading, alike: list[TrackedActor], out: dict[int, dict[str, float]]) -> None:
        """Compare the things of about the best class: weak ones are likelier errors, and sizes are told side by side.

        Before a moving camera all sizes change, so that two people are compared while both are in the picture. Before a
        still one many things are blobs, which have no score.
        """
        if self.still:
            return
        seen = [a for a in alike if len(a.classes)]
        surest = max((a.strong for a in seen), default=1.0)
        for actor in seen:
            out[id(actor)]["sure"] = max(-1.0, SURER * float(np.log(max(actor.strong, 0.01) / max(surest, 0.01))))
            if "size" in out[id(actor)] and len(seen) > 1:
                weight = {"big": 1.0, "small": -1.0, None: _CHILD}[reading.size]
                out[id(actor)]["size"] = weight * relative_size(actor, seen)

    def time_candidates(
        self, actor: TrackedActor, reading: QueryReading, who: dict[str, float], scene: ObservedScene
    ) -> list[Candidate]:
        """See `Scorer.time_candidates`; times together with the other things that the sentence names are added."""
        if actor.id == PICTURED:
            return [Candidate(actor, actor.spans, 0.0, {**who, **({"event": WEAK} if reading.events else {})})]
        # The postures that a clause names replace the events of people whose joints are known.
        postures = postures_of(reading, beside=True)
        told = [name for name in postures if tells_time(actor, name)]
        if told or any(is_contrary(actor, name) for name in postures):
            reading = replace(reading, events=[])
            made = self._posed(actor, time_candidates(actor, reading, who), told)
        else:
            if len(actor.classes) and tells_rest(reading) and set(reading.events) <= {"stand"}:
                reading = replace(reading, events=[])
            made = time_candidates(actor, reading, who)
        if (len(actor.classes) or actor.id == REGION) and not (reading.events or reading.direction or reading.origin):
            for c in made:
                if c.terms.get("posture", UNPOSED) <= UNPOSED:
                    c.spans = stay(actor, scene.duration, scene.cuts, self.still)
        named = [e for e in reading.events if e not in events.WHOLE]
        parts = [c for c in made if "event" in c.terms]
        if named and len(actor.classes) and max((c.terms["event"] for c in parts), default=0.0) < WEAK:
            # A part that was only weakly seen is a worse guess than the whole stay.
            terms = {k: v for k, v in (parts or made)[0].terms.items() if k not in ("direction", "side")}
            made.append(Candidate(actor, actor.spans, 0.0, {**terms, "event": WEAK}))
        if reading.side == "near":
            made += self._large(actor, made)
        if ALONE.search(" ".join(reading.words)):
            made = without_others(actor, made, [a for a in scene.actors if self._acts(a)])
        for preposition, noun, kind in reading.companions:
            wanted = wanted_classes(noun, kind, self.labels)
            # "The girl's helmet" is looked for as the girl, who is not beside herself, nor beside her own hand.
            own = noun.endswith("'s") or (kind in ("hand", "face") and reading.kind in ("person", "child"))
            if noun not in _PRONOUNS and not own and (wanted.known or noun in self.pictured):
                made += candidates_beside(actor, reading, made, self._companion(preposition, noun, wanted, scene))
        return made

    def _posed(self, actor: TrackedActor, made: list[Candidate], postures: list[str]) -> list[Candidate]:
        """The candidates for the times of the named postures, and the stay, in which no posture may have been seen."""
        who = made[0].terms
        parts = [
            Candidate(actor, SpanSet([(one.start, one.end)]), 0.0, {**who, "posture": EVENT * one.quality})
            for name in postures
            for one in posture_spans(actor, name)
        ]
        return [*parts, Candidate(actor, made[0].spans, 0.0, {**who, "posture": UNPOSED})]

    def _large(self, actor: TrackedActor, made: list[Candidate]) -> list[Candidate]:
        """Candidates for the times at which an actor is near the camera."""
        runs = large_times(actor)
        if not runs or not made:
            return []
        terms = {**made[0].terms, "side": max(made[0].terms.get("side", 0.0), 0.5)}
        return [Candidate(actor, SpanSet(runs), 0.0, terms)]

    def _acts(self, actor: TrackedActor) -> bool:
        """Whether an actor surely is a person, an animal or a vehicle."""
        return len(actor.classes) > 0 and actor.strong >= CERTAIN and float(actor.classes[self._agents].sum()) > 0.5

    def _companion(self, preposition: str, noun: str, wanted: WantedClasses, scene: ObservedScene) -> Companion:
        """Another thing of the sentence, with the actors of its class, or what a classifier of pictures saw of it."""
        things = self.pictured.get(noun) or [
            a for a in scene.actors if len(a.classes) and self._fit(a, wanted) > _LIKELY
        ]
        furniture = float((wanted.weights * self._furniture).max())
        held = max(furniture, float((wanted.weights * self._agents).max())) < 0.5
        return Companion(preposition, things, self._agents_meant(wanted), furniture > 0.5, held)

    def _fit(self, actor: TrackedActor, wanted: WantedClasses) -> float:
        """How well an actor's classes fit a noun, as a log-likelihood ratio."""
        fit = float((wanted.weights * actor.classes).max())
        sure = 0.4 * float(np.log(max(actor.strong, 0.1) / 0.5))
        return float(np.clip(np.log((fit + 0.03) / 0.7) + min(0.2, sure), LEAST, MOST))

    def visitors(self, reading: QueryReading, pool: list[TrackedActor], scene: ObservedScene) -> list[TrackedActor]:
        """See `Scorer.visitors`: chains of visits that share no time, of things of the class that look alike.

        Before a still camera the motion grounder's stricter rule holds for whoever acts: people who come one after
        another are seen from border to border there, and a track is not lost.
        """
        fitting = [a for a, k in zip(pool, self.class_terms(reading, pool), strict=True) if k > _LIKELY]
        strict: list[TrackedActor] = []
        if self.still:
            strict = MotionScorer().visitors(reading, pool, scene)
            fitting = [a for a in fitting if len(a.classes) and not self._agents[a.classes.argmax()]]
        out: list[TrackedActor] = []
        chains: set[tuple[int, ...]] = set()
        for lead in sorted(fitting, key=lambda a: -a.mass)[:3]:
            chain = [lead]
            for other in sorted(fitting, key=lambda a: -a.mass):
                if all(_one_thing(other, member) for member in chain):
                    chain.append(other)
            if len(chain) < 2:
                continue
            chain.sort(key=lambda a: a.span.start)
            key = tuple(sorted(id(a) for a in chain))
            if key in chains:
                continue
            chains.add(key)
            joined = chain[0]
            for other in chain[1:]:
                joined = joined_visits(joined, other)
            out.append(replace(joined, members=chain))
        return [*strict, *out]


def _region_term(actor: TrackedActor) -> float:
    """How well a region of one colour fits a noun without a class.

    Things are compact, lie within the picture and are not a part of something that was recognised; that large regions
    are more noticeable says nothing about what is meant.
    """
    size = float(np.log(actor.area / _USUAL))
    unlikely = 0.25 * size + 0.2 * max(0.0, abs(size) - 1.5) + 0.6 * actor.contact
    return float(np.clip(REGION_TERM - unlikely + 0.5 * np.log(max(actor.strong, 0.2)), LEAST, MOST))


def _one_thing(a: TrackedActor, b: TrackedActor) -> bool:
    """Whether two actors may be visits of one thing; while both are seen, their boxes must be about the same."""
    if a is b or colour_distance(a.colour[:, :_BASIC], b.colour[:, :_BASIC]) >= _COLOUR:
        return False
    first, last = max(a.span.start, b.span.start), min(a.span.end, b.span.end)
    if last - first < _OVERLAP:
        return True
    times = a.times[a.within(first, last)]
    if last - first > 0.5 * min(a.span.duration, b.span.duration):
        return False
    return bool(len(times)) and float(np.median(box_iou(a.at(times), b.at(times)))) >= SAME


def _moves_by_itself(actor: TrackedActor) -> bool:
    """Whether an actor crosses a good part of the picture or a border, as things that are put somewhere do not."""
    return bool(
        np.linalg.norm(actor.shift) > 0.35 or (actor.entry and actor.exit and np.linalg.norm(actor.shift) > 0.2)
    )
