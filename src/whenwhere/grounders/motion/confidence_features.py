"""What speaks for an answer, in numbers that mean the same in every clip.

Scores rank the candidates of one clip and are relative to that clip: the reddest of four grey cars still comes first
for "the red car". Whether to trust an answer needs absolute facts beside them: is the named part really red, has the
thing the shape that was asked for, how many of the sentence's words were understood, does what else fits lie at the
same time. Each fact is bounded and points one way (more is better, or more is worse: `abstention.WEIGHTS` has the
signs); what could not be asked is 0, so that it moves nothing.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.grounders.motion import events, kind_model, lexicon
from whenwhere.grounders.motion.attributes import TrackedActor, kind_score
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.grammar import query_tokens
from whenwhere.grounders.motion.ranking import runner_up
from whenwhere.grounders.motion.reading import QueryReading
from whenwhere.grounders.motion.track_scoring import colour_shares
from whenwhere.overlap import t_iou


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Words that carry no content of their own, and words about the film instead of what is in it.
_EMPTY = _words(
    "a an the this that these those is are was were be been being has have had do does did will would can could may "
    "who whom whose which what where when how there here it its he she they them him her his their our us we i you my "
    "your one ones some any all each every no not and or but so if than then too very just only also again still once "
    "time times while as at by for from in into of off on onto out over to toward towards up down with without within "
    "through across along past near next beside behind before after during until between around under above below "
    "against about wearing wears worn dressed holding carrying having please find show tell me moment part point "
    "second seconds video clip camera picture frame view scene image shot film screen seen see sees visible shown "
    "side edge corner way direction place same other another both own s t itself himself herself themselves "
    "floor ground counter table road street lane pavement kerb grass lawn room shop park yard"
)
#: Vehicles and animals whose nouns are everyday words for their kind; others say more than pixels can confirm here.
_EVERYDAY = _words(
    "car vehicle van truck lorry bus minibus taxi cab suv automobile auto pickup traffic animal pet dog puppy cat "
    "kitten horse bird"
)
#: Widest margin that still counts.
WIDEST = 3.0


@dataclass(frozen=True)
class ClipConditions:
    """The state of the whole clip that answers depend on.

    Attributes:
        unsteady: share of the time with a camera whose motion could not be undone; moving: with a moving camera.
        flood: share of the picture in motion at busy times.
        everyone: all actors.
        duration: of the clip, seconds.
    """

    unsteady: float
    moving: float
    flood: float
    everyone: list[TrackedActor]
    duration: float


def unknown_words(sentence: str) -> list[str]:
    """The content words of a sentence that no part of the grounder has an eye for.

    >>> unknown_words("the red car drives to the left"), unknown_words("the dog barks loudly")
    ([], ['barks', 'loudly'])
    """
    return [w for w in _content(sentence) if not _known(w)]


def _content(sentence: str) -> list[str]:
    return [w for w in query_tokens(sentence) if w != "," and w not in _EMPTY]


def _known(word: str) -> bool:
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


_VERBS: set[str] = set()


def _verbs() -> set[str]:
    if not _VERBS:
        for patterns in lexicon.EVENTS.values():
            for pattern in patterns:
                _VERBS.update("".join(c if c.isalpha() else " " for c in pattern).split())
    return _VERBS


def exceeds_kind(reading: QueryReading) -> bool:
    """Whether the noun says much more than its kind: an elephant is an animal, but which, motion does not show."""
    return reading.kind in ("vehicle", "animal") and not _EVERYDAY & set(lexicon.lemmas(reading.noun))


def kind_fit(actor: TrackedActor, kind: str | None, biggest: float) -> float:
    """How well shape and motion fit a kind, in its own right and not beside the clip's others; -1.8 to 0."""
    return kind_score(actor, kind, biggest) if kind else 0.0


def colour_fit(reading: QueryReading, actor: TrackedActor) -> float | None:
    """Share of the named parts that has the named colours, in 0-1: the least of all that were named; None if none."""
    person = reading.kind in ("person", "cyclist")
    shares = [
        float(colour_shares(colour, part, actor.colour[None], person)[0])
        for colour, part in reading.colours
        if part in ("whole", "upper", "lower")
    ]
    return min(shares) if shares else None


def _family(c: Candidate, reading: QueryReading) -> float:
    """Log of how likely its family is, beside a coin of three sides; 0 where none was asked for."""
    p = kind_model.kind_probability(c.actor, reading.kind) if c.place is None else None
    # That something is of the kind asked for says little when all things are; that it is not says much.
    return 0.0 if p is None else min(0.4, float(np.log(3 * p)))


def _thing_colour(c: Candidate) -> float | None:
    """The same for a thing at rest, back from its terms."""
    told = [v for k, v in c.terms.items() if k.endswith(" thing")]
    return max(0.0, (float(np.exp(min(told))) * 0.2 - 0.06) / 1.4) if told else None


def margin_of(made: list[Candidate]) -> float | None:
    """Score of the best minus that of the best other answer; None if there is no other."""
    other = runner_up(made)
    return None if other is None else float(min(WIDEST, max(0.0, made[0].score - other.score)))


def time_agreement(made: list[Candidate]) -> float:
    """How much of the candidates' weight lies on answers at about the best one's time, in 0-1.

    A rival at the same time costs the boxes, not the time. It never falls when the best's score rises.
    """
    kept = made[:24]
    scores = np.array([c.score for c in kept])
    weights = np.exp(1.5 * (scores - scores.max()))
    return float(sum(w * t_iou(kept[0].spans, c.spans) for w, c in zip(weights, kept, strict=True)) / weights.sum())


def crowding(actor: TrackedActor, everyone: list[TrackedActor], start: float, end: float) -> float:
    """Share of its sightings in which another's box covers a good part of its own, in 0-1."""
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
        b = other.at(times)
        wh = (np.minimum(boxes[:, 2:], b[:, 2:]) - np.maximum(boxes[:, :2], b[:, :2])).clip(0)
        touched |= there & (wh.prod(axis=1) > 0.25 * area)
    return float(touched.mean())


def confidence_features(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions
) -> dict[str, float]:
    """The facts about the best of `made`, by name.

    Args:
        sentence: as it was asked.
        reading: of it.
        made: candidates, best first; not empty.
        around: the clip.
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
        "finer": float(exceeds_kind(reading)),
        "colour": 0.0 if share is None else float(np.clip(np.log((share + 0.03) / 0.25), -2.0, 0.7)),
        "direction": float(np.clip(terms.get("direction", 0.0), -1.5, 1.5)),
        "named": min(3.0, float(reading.telling)),
        "unread": len([w for w in words if not _known(w)]) / max(1, len(words)),
        "event": float(np.clip(terms.get("event", 0.0), -1.3, 1.3)) if parts else 0.0,
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
