"""What may be claimed about a sentence when a detector was asked: answered, absent or unsure.

The confidence is the probability that the answered time is about right, from a logistic model of the features that the
motion grounder uses (`motion.confidence_features`), with the class of the thing in place of its shape. The weights of
those features were set by judgement and checked on the half of the development clips that `benchmarks/real_clips.py`
names. A person, an animal or a vehicle is absent if the detector has a class for it and never saw one, whether the
sentence asks for it or names it beside something else. Smaller things are missed too often, and nouns without a class
are not known: neither is ever claimed to be absent.
"""

from dataclasses import replace

import numpy as np

from whenwhere.grounders.motion import events, grammar
from whenwhere.grounders.motion import lexicon as lex
from whenwhere.grounders.motion.abstention import ABSENT_CONFIDENCE, StatusDecision
from whenwhere.grounders.motion.attributes import PICTURED, REGION
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.confidence_features import (
    ClipConditions,
    colour_dominance,
    confidence_features,
    unknown_words,
)
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.ranking import is_brief
from whenwhere.grounders.motion.selection import grade
from whenwhere.grounders.objects.actors import STILL
from whenwhere.grounders.objects.index import ObjectIndex
from whenwhere.grounders.objects.labels import GROUPS, SELDOM_MISSED, UNLIKELY, WantedClasses, wanted_classes
from whenwhere.grounders.objects.ranking import LARGE, UNPOSED, WEAK, ObjectScorer

#: Least term of class of a thing that clearly is what the noun names.
CLEAR = -0.6
#: Below this confidence the status is `unsure`.
THRESHOLD = 0.12
#: Confidence from which "before he stands up" is answered: postures are never surer than `POSED`.
DOUBTFUL = 0.3
#: Fewest sightings of a class, weighted by score and likelihood, that show that it is there.
SEEN = 1.0
#: The same as a share of the frames: in a long video a class flickers up now and then that is not there.
SEEN_SHARE = 0.008
#: Share of the evidence for the strongest class of a group below which a class is taken for a confusion with it.
CONFUSED = 0.2
#: Logistic weights.
WEIGHTS = {
    "constant": -0.9, "lead": 0.5, "agreement": 1.6, "against": 0.5, "class": 1.0, "colour": 0.6, "direction": 0.4,
    "event": 0.6, "brief": -1.5, "seen": 0.4, "unread": -1.6, "unusable": -4.0, "unknown": -1.5,
    "uncoloured": -1.0, "colourless": -2.0, "acts": -1.1, "weak": -1.0, "beside": -0.5, "order": -0.4,
}  # fmt: skip
#: Words before what somebody holds; none in "opens the bottle".
_HELD = frozenset({"", "holding", "carrying", "using", "with"})
#: Words for people that leave nobody out.
_ANYBODY = frozenset({"person", "people", "everyone", "everybody", "someone", "somebody", "anyone", "anybody", "human"})
#: Events that the box of somebody tells hardly better than joints do.
_BODILY = frozenset({"bend", "rise", "turn"})
#: Events of the verbs of `event_lexicon.GESTURES`.
_GESTURED = frozenset({"move", "throw", "catch"})
#: Share of the strongest colour that the named one must reach on the best fit, else it contradicts.
ONE_COLOUR = 0.25
#: The same, below which the named colour is not there at all.
NO_COLOUR = 0.08
#: Highest confidence of a sentence whose verb was not understood, so that its time is that of the stay.
UNREAD_VERB = 0.25
#: Highest confidence of the time of a posture or gesture, and the least one if it is clear whose it is.
POSED, POSED_CLEARLY = 0.35, 0.2
#: How often the stay of whoever is named is about the right time, if what is done was not understood.
ACTOR_ALONE = 0.15
#: Highest confidence of a region of one colour for a noun that is not known, or whose class was not seen, so that its
#: colour alone was looked for; and of a thing of which the detector has no class, found as something of its kind.
UNREAD_NOUN = 0.4
#: Highest confidence of what was recognised before a moving camera for less time than this, in seconds.
GLIMPSE, MOMENT = 0.3, 1.0
#: Highest confidence of what only the classifier of pictures saw, as a share of its probability.
SEEN_BY_CLASSIFIER = 0.7
#: Frames after which two thirds of the confidence of an absence are reached.
ENOUGH = 10
#: Shorter side in pixels below which the detector hardly recognises anything, which lowers that confidence too.
SMALL = 120
#: Share of the confidence of an absence that is left if only another thing of the sentence is missing.
WITHOUT = 0.75


class ClassEvidence:
    """Judges the candidates of one video.

    Args:
        index: The object index of the video.
        scorer: Compares actors with readings.
    """

    def __init__(self, index: ObjectIndex, scorer: ObjectScorer) -> None:
        self.scorer = scorer
        weight = np.bincount(index.track, weights=index.scores, minlength=len(index.classes))
        #: (labels,) expected number of sightings of each class.
        self.sightings = weight @ index.classes if len(index.classes) else np.zeros(len(scorer.labels))
        self.frames = index.frames
        #: Confidence that what the detector seldom misses is not in the video if it was never seen.
        self.absence = ABSENT_CONFIDENCE * float(1 - np.exp(-index.frames / ENOUGH))
        self.absence *= min(1.0, (min(index.width, index.height) / SMALL) ** 2)

    def never_seen(self, reading: QueryReading) -> bool:
        """Whether the detector seldom misses the thing that is asked for, and never saw one."""
        if reading.kind in ("hand", "face") or self._only_hands(reading) or self.scorer.pictured.get(reading.noun):
            return False
        return self._missing(self.scorer.wanted(reading))

    def _only_hands(self, reading: QueryReading) -> bool:
        """Whether a person who is asked for may be but hands that hold a thing that was seen."""
        if reading.kind not in ("person", "child"):
            return False
        held = [noun for before, noun, kind in reading.companions if before in _HELD and kind == "object"]
        classes = [wanted_classes(noun, "object", self.scorer.labels) for noun in held]
        return any(wanted.named and float((wanted.weights >= 1.0) @ self.sightings) >= SEEN for wanted in classes)

    def missed(self, reading: QueryReading) -> dict[str, bool]:
        """The nouns of a sentence of which the detector saw nothing.

        Returns:
            Whether the detector seldom misses such a thing, by the noun.
        """
        nouns = [(reading.noun, self.scorer.wanted(reading))]
        nouns += [(noun, wanted_classes(noun, kind, self.scorer.labels)) for _, noun, kind in reading.companions]
        out = {}
        for noun, wanted in nouns:
            seen = float((wanted.weights >= 1.0) @ self.sightings)
            if self._missing(wanted) or not wanted.named or seen < max(SEEN, SEEN_SHARE * self.frames):
                out[noun] = self._missing(wanted)
        return out

    def missing_companion(self, reading: QueryReading) -> str:
        """Another thing of the sentence that the detector seldom misses and never saw; "" if there is none."""
        for _, noun, kind in reading.companions:
            if (
                kind not in ("hand", "face")
                and noun not in self.scorer.pictured
                and self._missing(wanted_classes(noun, kind, self.scorer.labels))
            ):
                return noun
        return ""

    @property
    def _pictured_words(self) -> frozenset[str]:
        """The words of the things that a classifier of pictures saw."""
        return frozenset(word for noun in self.scorer.pictured for word in noun.split())

    def _missing(self, wanted: WantedClasses) -> bool:
        strict = np.flatnonzero(wanted.weights >= 1.0)
        if not wanted.named or not self.frames:
            return False
        for i in strict.tolist():
            label = self.scorer.labels[i]
            if label not in SELDOM_MISSED:
                return False
            rivals = [
                self.sightings[j]
                for _, members in GROUPS.values()
                if label in members
                for j, other in enumerate(self.scorer.labels)
                if other in members and j not in strict
            ]
            if self.sightings[i] >= max(SEEN, SEEN_SHARE * self.frames, CONFUSED * max(rivals, default=0.0)):
                return False
        return True

    def denies(self, reading: QueryReading) -> bool:
        """Whether a reading without any candidate is of a plain thing that was never seen."""
        plain = not (reading.alternatives or reading.relation or reading.unapplied)
        return plain and self.absence >= THRESHOLD and self.never_seen(reading)

    def decide(
        self, sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions
    ) -> StatusDecision:
        """Decide what may be claimed, given the best candidate (see `motion.abstention.decide_status`)."""
        best = made[0]
        if best.actor.id == REGION:
            # Its first colour chose it; the others may be those of its parts.
            reading = replace(reading, colours=reading.colours[:1])
        known = " ".join("thing" if word in self._pictured_words else word for word in sentence.split())
        facts = confidence_features(known, reading, made, around)
        wanted = self.scorer.wanted(reading)
        margin = None if facts["alone"] else facts["margin"]
        gone = self.never_seen(reading)
        if missed := reading.noun if gone else self.missing_companion(reading):
            missing = f"the detector knows {missed} and saw none in this video"
            chance = (1.0 if gone else WITHOUT) * self.absence
            return StatusDecision("absent" if chance >= THRESHOLD else "unsure", chance, margin, [missing])
        fit = best.terms.get("kind", 0.0)
        dominance = None if best.place is not None else colour_dominance(reading, best.actor)
        named = set(reading.events) - events.WHOLE
        pictured = reading.noun in self.scorer.pictured
        z = WEIGHTS["constant"] + sum(
            w * value
            for name, w in WEIGHTS.items()
            if (value := {
                **facts,
                "class": max(-2.5, fit),
                "unusable": float(not reading.usable and not pictured),
                "unknown": float(not wanted.known and bool(reading.noun) and not pictured),
                "acts": float(bool(reading.events) and around.moving > STILL),
                "weak": float(bool(named) and facts["event"] <= WEAK + 1e-6),
                "beside": float(bool(reading.companions)),
                "uncoloured": float(dominance is not None and dominance < ONE_COLOUR),
                "colourless": float(dominance is not None and dominance < NO_COLOUR),
            }.get(name)) is not None
        )  # fmt: skip
        chance = float(1 / (1 + np.exp(-z)))
        if self._clear_actor(reading, made, fit) and best.spans.duration > 0.5 * best.actor.spans.duration:
            chance = max(chance, ACTOR_ALONE)
        words = grammar.query_tokens(sentence)
        verb, unposed = "", list[str]()
        if not (named or reading.direction or reading.origin):
            verb = "" if reading.events else grammar.unread_verb(words, reading.noun)
            if reading.events and set(reading.events) <= _GESTURED:
                verb = grammar.gesture(words)
        posture = best.terms.get("posture")
        if posture is not None and posture > UNPOSED:
            clear = self._clear_actor(reading, made, fit)
            verb, chance = "", min(max(chance, POSED_CLEARLY if clear else 0.0), POSED)
        elif posture is not None:
            chance = min(chance, UNREAD_VERB)
            verb, unposed = "", ["nobody was seen in the posture that the sentence names"]
        if named & _BODILY and self.scorer.is_agent(reading):
            chance = min(chance, POSED)
        if verb or (named and facts["event"] <= WEAK + 1e-6):
            chance = min(chance, UNREAD_VERB)
        if best.place is not None and wanted.named and not reading.events:
            chance = min(chance, UNREAD_VERB)  # a place that changed, while no such thing was recognised
        if best.actor.id == REGION and (wanted.named or not reading.noun):
            chance = min(chance, UNREAD_NOUN)
        if len(best.actor.classes) and not wanted.named and wanted.weights[best.actor.classes.argmax()] <= UNLIKELY:
            chance = min(chance, UNREAD_NOUN)
        if best.actor.id == PICTURED:
            chance = min(chance, SEEN_BY_CLASSIFIER * best.actor.strong)
        if around.moving > STILL and best.actor.spans.duration < MOMENT:
            chance = min(chance, GLIMPSE)
        reasons = [*self._reasons(sentence, reading, best, facts, fit), *unposed]
        if verb:
            reasons.append(f"what “{verb}” looks like is not known, so that its time cannot be told")
        return StatusDecision("answered" if chance >= THRESHOLD else "unsure", chance, margin, reasons)

    def _clear_actor(self, reading: QueryReading, made: list[Candidate], fit: float) -> bool:
        """Whether the named thing is the only one of its class, so that nothing but its time is in doubt."""
        plain = reading.order is None and reading.occurrence is None and reading.relation is None
        if not plain or reading.unapplied or reading.count > 1 or not self.scorer.wanted(reading).named or fit < CLEAR:
            return False
        actor = made[0].actor
        own = {id(actor), *(id(m) for m in actor.members)}
        others = [c for c in made if id(c.actor) not in own and not c.actor.members]
        return all(c.terms.get("kind", -3.0) < fit - 0.5 or c.actor.mass < 0.2 * actor.mass for c in others)

    def _reasons(
        self, sentence: str, reading: QueryReading, best: Candidate, facts: dict[str, float], fit: float
    ) -> list[str]:
        """Reasons for doubt about the best candidate, as sentences."""
        out = []
        if not reading.usable and reading.noun not in self.scorer.pictured:
            out.append("no word of the sentence names something that can be recognised")
        if words := [word for word in unknown_words(sentence) if word not in self._pictured_words]:
            out.append(f"these words were not understood and were ignored: {', '.join(words)}")
        if best.actor.id == PICTURED:
            out.append(f"{reading.noun} was seen in the picture as a whole, and its place is rough")
        elif reading.noun and not self.scorer.wanted(reading).known:
            out.append(f"the detector has no class for {reading.noun}")
        elif fit < -1.0 and len(best.actor.classes):
            looks = self.scorer.labels[int(best.actor.classes.argmax())]
            out.append(f"the best fit looks more like {looks} than like {reading.noun}")
        if facts["colour"] < -0.7:
            named = " and ".join(dict.fromkeys(c for c, _ in reading.colours))
            out.append(f"even the best fit shows little {named}")
        if facts["direction"] < -0.3:
            out.append("the best fit does not move in the described direction")
        if facts["event"] < -0.5:
            out.append("the described event was not clearly seen")
        if facts["margin"] < 0.5 and not facts["alone"]:
            out.append("something else fits nearly as well")
        return out

    def untold(self, reading: QueryReading) -> bool:
        """Whether the noun leaves out some of its class that look alike: which people are women cannot be told."""
        return self.scorer.wanted(reading).finer or (
            reading.kind in ("person", "child") and not _ANYBODY & set(lex.lemmas(reading.noun))
        )


def grade_by_class(
    scorer: ObjectScorer, c: Candidate, reading: QueryReading, around: ClipConditions, biggest: float
) -> int:
    """How a candidate fits a reading by itself: 2 clearly, 1 perhaps, 0 not (see `motion.selection.grade`).

    Args:
        scorer: Compares actors with readings.
        c: The candidate.
        reading: The reading.
        around: Conditions of the clip.
        biggest: The largest mass of a candidate's actor.
    """
    if c.actor.id == PICTURED:
        return 2 if c.actor.strong > 0.5 else 1
    if not len(c.actor.classes):
        # Whoever the detector seldom misses is not a large thing that it did not recognise.
        missed = c.actor.area < LARGE or not scorer.wanted(reading).named or not scorer.is_agent(reading)
        return grade(c, reading, around, biggest) if missed or c.actor.id == REGION else 0
    fit = float(scorer.class_terms(reading, [c.actor])[0])
    level = 2 if fit > -0.6 else 1 if fit > -1.3 else 0
    if is_brief(c.actor):
        level = min(level, 1)
    if "event" in c.terms:
        named = set(reading.events) - events.WHOLE
        level = min(level, 2 if c.terms["event"] >= (-0.3 if named else -0.45) else 1 if c.terms["event"] > -0.9 else 0)
    for name, no, yes in (("direction", -0.2, 0.4), ("side", -0.15, 0.15), ("clause", -0.4, 0.0)):
        if name in c.terms:
            level = min(level, 2 if c.terms[name] >= yes else 1 if c.terms[name] > no else 0)
    if "posture" in c.terms:
        level = min(level, 2 if c.terms["posture"] >= 0.3 else 1 if c.terms["posture"] > UNPOSED else 0)
    dominance = colour_dominance(reading, c.actor)
    if dominance is not None:
        level = min(level, 2 if dominance > 0.6 else 1 if dominance > 0.3 else 0)
    return level
