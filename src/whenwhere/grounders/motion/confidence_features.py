"""Features of an answer that mean the same in every clip, for its confidence.

Scores rank the candidates of one clip and are relative to that clip: the reddest of four grey cars still comes first
for "the red car". Whether to trust an answer depends on absolute facts as well: is the named part really red, does the
object have the shape that was asked for, how many of the sentence's words were understood, do the other good candidates
lie at the same time. Each feature is bounded and points one way (more is better, or more is worse: the weights of
`abstention` have the signs); a feature that does not apply is 0, so that it changes nothing.
"""

import itertools
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from whenwhere.grounders.motion import event_lexicon, events, kind_model, lexicon
from whenwhere.grounders.motion.attributes import TrackedActor, kind_score
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.grammar import query_tokens
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.ranking import runner_up
from whenwhere.grounders.motion.track_scoring import colour_shares
from whenwhere.overlap import box_intersection, t_iou


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words without content of their own, and words about the film instead of what is in it.
_EMPTY = _words(
    "a an the this that these those is are was were be been being has have had do does did will would can could may "
    "who whom whose which what where when how there here it its he she they them him her his their our us we i you my "
    "your one ones some any all each every no not and or but so if than then too very just only also again still once "
    "time times while as at by for from in into of off on onto out over to toward towards up down with without within "
    "through across along past near next beside behind before after during until between around under above below "
    "against about wearing wears worn dressed holding carrying having please find show tell me moment part point "
    "second seconds video clip camera picture frame view scene image shot film screen seen see sees visible shown "
    "side edge corner way direction place same other another both own s t itself himself herself themselves "
    "floor ground counter table road street lane pavement kerb grass lawn room shop park yard nobody none"
)
#: Everyday nouns for vehicles and animals; other nouns say more than their kind, which cannot be checked here.
_EVERYDAY = _words(
    "car vehicle van truck lorry bus minibus taxi cab suv automobile auto pickup traffic animal pet dog puppy cat "
    "kitten horse bird"
)
#: Shortest track in seconds, and fewest sightings, of an actor that counts as clearly seen.
_MIN_SECONDS, _MIN_SIGHTINGS = 0.8, 5
#: How many times as big as the smallest of the other vehicles a bus is at least; fewest others that tell.
_BIGGER, _FEW = 1.25, 2
#: Least mass of an actor that tells what a clip shows, as a share of the largest.
_NOTICEABLE = 0.05
#: Largest margin that is reported.
WIDEST = 3.0


@dataclass(frozen=True)
class ClipConditions:
    """Conditions of the whole clip that answers depend on.

    Attributes:
        unsteady: Share of the time in which the camera's motion could not be compensated.
        moving: Share of the time in which the camera moves.
        flood: Share of the picture that is in motion at busy times.
        everyone: All actors.
        duration: Duration of the clip, in seconds.
    """

    unsteady: float
    moving: float
    flood: float
    everyone: list[TrackedActor]
    duration: float

    @cached_property
    def noticeable(self) -> list[TrackedActor]:
        """The actors that tell what the clip shows."""
        largest = max((a.mass for a in self.everyone), default=0.0)
        return [a for a in self.everyone if clearly_seen(a) and a.mass > _NOTICEABLE * largest]

    @cached_property
    def usual(self) -> NDArray[np.float64]:
        """(3,) mean probabilities of the families of `kind_model` over these actors, of which there must be one."""
        return kind_model.usual_families(self.noticeable)


def unknown_words(sentence: str) -> list[str]:
    """The content words of a sentence that the grounder cannot use.

    >>> unknown_words("the red car drives to the left"), unknown_words("the dog barks loudly")
    ([], ['barks', 'loudly'])
    """
    return [w for w in _content(sentence) if not _known(w)]


def _content(sentence: str) -> list[str]:
    """The content words of a sentence."""
    return [w for w in query_tokens(sentence) if w != "," and w not in _EMPTY]


def _known(word: str) -> bool:
    """Whether a word is in the lexicon."""
    if lexicon.noun_kind(word) or lexicon.body_part(word) or lexicon.colour_of(word):
        return True
    for table in (
        lexicon.COLOURS, lexicon.SIDES, lexicon.SIZES, lexicon.SPEEDS, lexicon.ORDINALS,
        lexicon.DIRECTIONS, lexicon.GROUPS, lexicon.RELATIONS, lexicon.SLEEVES,
    ):  # fmt: skip
        if word in table:
            return True
    if any(form in _verbs() for form in lexicon.lemmas(word)):
        return True
    return "-" in word and all(_known(w) for w in word.split("-") if w not in _EMPTY)


@cache
def _verbs() -> frozenset[str]:
    """All words of the patterns of events."""
    patterns = itertools.chain.from_iterable(event_lexicon.EVENTS.values())
    return frozenset(w for p in patterns for w in "".join(c if c.isalpha() else " " for c in p).split())


def exceeds_kind(reading: QueryReading) -> bool:
    """Whether the noun says more than its kind: motion may show that an elephant is an animal, but not which animal."""
    return reading.kind in ("vehicle", "animal") and not _EVERYDAY & set(lexicon.lemmas(reading.noun))


#: Nouns that name a whole family, as far as motion and shape can tell it.
_GENERIC = _words(
    "person people everyone everybody someone somebody anyone anybody human pedestrian passer-by individual folk car "
    "vehicle automobile auto traffic animal creature"
)


def exceeds_generic(reading: QueryReading) -> bool:
    """Whether the noun leaves out some of its kind: which people are women cannot be told by motion and colour."""
    return bool(reading.noun) and not _GENERIC & set(lexicon.lemmas(reading.noun))


def clearly_seen(actor: TrackedActor) -> bool:
    """Whether an actor is clearly seen: long enough, and entering, leaving or moving about."""
    mobile = bool(actor.entry or actor.exit or actor.path > 0.15)
    return mobile and actor.span.duration >= _MIN_SECONDS and len(actor.times) >= _MIN_SIGHTINGS


def has_company(actor: TrackedActor, around: ClipConditions) -> bool:
    """Whether the clip shows other actors that tell what it shows."""
    return any(a is not actor and all(a is not m for m in actor.members) for a in around.noticeable)


def family_looks(actor: TrackedActor, around: ClipConditions) -> NDArray[np.float64]:
    """(3,) probabilities of the families of `kind_model` for an actor, given the clip's other actors."""
    if not has_company(actor, around):
        return kind_model.family_probabilities(actor)
    return kind_model.family_beside(actor, around.usual)


def not_bigger(reading: QueryReading, actor: TrackedActor, around: ClipConditions) -> bool:
    """Whether a bus or the like is asked for, and the actor is not bigger than any of several other vehicles.

    The smallest of the others is taken for a car. A single other one may be as big a vehicle as the one asked for.
    """
    if not lexicon.BIG_VEHICLES & set(lexicon.lemmas(reading.noun)):
        return False
    vehicle = kind_model.FAMILY_OF["vehicle"]
    others = [a.area for a in around.noticeable if a is not actor and family_looks(a, around)[vehicle] >= 0.5]
    return len(others) >= _FEW and actor.area < _BIGGER * min(others)


#: The colours that an actor may show more of than of the named one.
_BASIC = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "turquoise")


def colour_dominance(reading: QueryReading, actor: TrackedActor) -> float | None:
    """The share of the named colour relative to the strongest one, the least of all parts; None if none is named.

    It is about 1 if the part has the named colour and near 0 if it clearly has another one.
    """
    person = reading.kind in ("person", "cyclist")
    out = []
    for word, part in reading.colours:
        if part in ("whole", "upper"):  # legs are often hidden
            own, *others = (
                float(colour_shares(w, part, actor.colour[None], person)[0]) for w in (word, *_BASIC)
            )  # fmt: skip
            out.append(own / max(*others, 1e-6))
    return min(out) if out else None


def kind_fit(actor: TrackedActor, kind: str | None, biggest: float) -> float:
    """How well shape and motion fit a kind, independent of the clip's other actors; -1.8 to 0."""
    return kind_score(actor, kind, biggest) if kind else 0.0


def colour_fit(reading: QueryReading, actor: TrackedActor) -> float | None:
    """The share of each named part that has its named colour, the least of all, in 0-1; None if no colour is named."""
    person = reading.kind in ("person", "cyclist")
    shares = [
        float(colour_shares(colour, part, actor.colour[None], person)[0])
        for colour, part in reading.colours
        if part in ("whole", "upper", "lower")
    ]
    return min(shares) if shares else None


def _family(c: Candidate, reading: QueryReading) -> float:
    """Log of the probability of the wanted family over one third; 0 if no family is wanted."""
    p = kind_model.kind_probability(c.actor, reading.kind) if c.place is None else None
    # A high probability says little if all actors are of that kind; a low one says much.
    return 0.0 if p is None else min(0.4, float(np.log(3 * p)))


#: At most this term of a named event means that it was not seen at all.
_UNSEEN = -1.1


#: From this probability of the wanted family on, looks are no reason for doubt; so much below it, doubt is greatest.
_LIKELY, _FALL = 0.45, 0.25


def _unlike(c: Candidate, reading: QueryReading, around: ClipConditions) -> float:
    """How far the probability of the wanted family, beside the clip's other actors, falls short of likely; 0 to 1."""
    if c.place is not None or reading.kind not in kind_model.FAMILY_OF or not has_company(c.actor, around):
        return 0.0
    p = float(family_looks(c.actor, around)[kind_model.FAMILY_OF[reading.kind]])
    return float(np.clip((_LIKELY - p) / _FALL, 0.0, 1.0))


def _thing_colour(c: Candidate) -> float | None:
    """The share of the named colour on an object at rest, computed back from its terms; None if no colour is named."""
    told = [v for k, v in c.terms.items() if k.endswith(" thing")]
    return max(0.0, (float(np.exp(min(told))) * 0.2 - 0.06) / 1.4) if told else None


def margin_of(made: list[Candidate]) -> float | None:
    """Score of the best candidate minus that of the best other answer, at most `WIDEST`; None if there is no other."""
    other = runner_up(made)
    return None if other is None else float(min(WIDEST, max(0.0, made[0].score - other.score)))


def time_agreement(made: list[Candidate]) -> float:
    """The share in 0-1 of the candidates' weight that lies on answers at about the best one's time.

    A rival at the same time endangers the boxes, not the time. The value never falls if the best score rises.
    """
    kept = made[:24]
    scores = np.array([c.score for c in kept])
    weights = np.exp(1.5 * (scores - scores.max()))
    return float(sum(w * t_iou(kept[0].spans, c.spans) for w, c in zip(weights, kept, strict=True)) / weights.sum())


def crowding(actor: TrackedActor, everyone: list[TrackedActor], start: float, end: float) -> float:
    """The share in 0-1 of an actor's sightings in which another actor's box covers a good part of its own."""
    rows = actor.within(start, end)
    times, boxes = actor.times[rows], actor.boxes[rows]
    if not len(times):
        return 0.0
    touched = np.zeros(len(times), bool)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).clip(1)
    for other in everyone:
        if other is actor or any(other is m for m in actor.members):
            continue
        there = (times >= other.span.start) & (times <= other.span.end)
        if not there.any():
            continue
        touched |= there & (box_intersection(boxes, other.at(times)) > 0.25 * area)
    return float(touched.mean())


def confidence_features(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions
) -> dict[str, float]:
    """The features of the best candidate, by name.

    Args:
        sentence: The sentence as it was asked.
        reading: Its reading.
        made: The candidates, best first; not empty.
        around: Conditions of the clip.
    """
    best = made[0]
    hull = best.hull
    margin = margin_of(made)
    biggest = max((a.area for a in around.everyone), default=best.actor.area)
    share = colour_fit(reading, best.actor) if best.place is None else _thing_colour(best)
    words = _content(sentence)
    parts = [e for e in reading.events if e not in events.WHOLE]
    terms = best.terms
    others = [c for c in made[1:] if c.score > best.score - 1.0 and t_iou(c.spans, best.spans) < 0.5]
    return {
        "margin": 1.0 if margin is None else margin,
        "lead": float(np.sqrt(1.0 if margin is None else margin)),
        "alone": float(margin is None),
        "agreement": time_agreement(made),
        "rivals": min(4.0, float(len({id(c.actor) for c in others}))),
        "against": max(-3.0, sum(min(0.0, v) for k, v in terms.items() if k != "seen")),
        "for": min(4.0, sum(min(1.5, max(0.0, v)) for k, v in terms.items() if k not in ("seen", "order"))),
        "kind": kind_fit(best.actor, reading.kind, biggest) if best.place is None else 0.0,
        "family": _family(best, reading),
        "unlike": _unlike(best, reading, around),
        "finer": float(exceeds_kind(reading)),
        "colour": 0.0 if share is None else float(np.clip(np.log((share + 0.03) / 0.25), -2.0, 0.7)),
        "direction": float(np.clip(terms.get("direction", 0.0), -1.5, 1.5)),
        "named": min(3.0, float(reading.telling)),
        "unread": len([w for w in words if not _known(w)]) / max(1, len(words)),
        "event": float(np.clip(terms.get("event", 0.0), -1.3, 1.3)) if parts else 0.0,
        "missed": float(bool(parts) and terms.get("event", 0.0) <= _UNSEEN),
        "part": float(bool(parts) and best.place is None),
        "return": float("return" in reading.events),
        "rest": float(best.place is not None),
        "order": float(reading.order is not None),
        "occurrence": float(reading.occurrence is not None),
        "clause": float(reading.relation is not None),
        "seen": terms.get("seen", 0.0),
        "crowded": crowding(best.actor, around.everyone, hull.start, hull.end),
        "broken": float(len(best.spans) > 1),
        "brief": float(max(0.0, np.log(1.5 / max(0.3, best.spans.duration)))),
        "pale": 1.0 - best.actor.strong,
        "unsteady": float(around.unsteady > 0.3),
        "moving": float(around.moving > 0.3),
        "flood": min(1.0, max(0.0, around.flood - 0.2)),
    }
