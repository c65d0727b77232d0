"""Decides the status of an answer: `answered`, `unsure` (I don't know) or `absent` (it is not there).

The confidence is the probability that the answered time is about right (t_IoU of at least 0.5), from a logistic model
of a few features (`confidence_features`). Its weights and both thresholds were fitted on Stage's worlds `dev` and `val`
by `benchmarks/fit_confidence.py`, with signs fixed beforehand: a wider margin, more colour or a clearer direction never
lower the confidence. Features that painted clips cannot teach (unknown words, a shaken camera, a flooded picture), or
that are rare there (an event that was not seen, looks that fall short, things that may count), have weights set by
judgement. Below `THRESHOLD` the status is `unsure` and candidates are offered; `absence` decides what is claimed to be
absent.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.grounders.motion import confidence_features as features
from whenwhere.grounders.motion import events, kind_model, lexicon
from whenwhere.grounders.motion.absence import likeness
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.confidence_features import ClipConditions, confidence_features, unknown_words
from whenwhere.grounders.motion.query_reading import QueryReading
from whenwhere.grounders.motion.ranking import runner_up
from whenwhere.records import Status

#: Below this confidence the status is `unsure`: seven in eight such answers would be wrong.
THRESHOLD = 0.18
#: From this confidence on, more than four in five answers were right on a world that had no part in the fit.
CONFIDENT = 0.68
#: Absence is claimed only if the best candidate's confidence is below this.
DOUBTFUL = 0.5
#: The subject is absent if `absence.likeness` is below this; four in five such claims held.
ABSENT = -1.25
#: Below these probabilities of the wanted family, beside others or as the only thing that moves, looks contradict.
#: `UNLIKE` holds for looks that are new: with families fitted on one of two worlds and told in the other, one in 13
#: candidates below it was right, and one in three between it and `UNLIKELY`.
UNLIKE, ALONE = 0.2, 0.09
#: Below this one they are a reason for doubt, and contradict a sentence that names no colour and no event besides.
UNLIKELY = 0.45
#: Least probability of another family that forbids a hand and an object.
OTHER, OTHER_THAN_OBJECT = 0.6, 0.75
#: Likewise for a person, vehicle or animal that is unlikely.
CLEARLY = 0.65
#: Least fit of a hand (`attributes.kind_score`).
HANDLIKE = -0.2
#: Least share of the strongest colour that the named one must reach, on a vehicle and on anything else.
ONE_COLOUR, SOME_COLOUR = 0.43, 0.38
#: Least term of direction; largest log of height over width of a ball; least area of a moving thing with clear looks.
WRONG_WAY, ROUND, LARGE = 0.15, 0.35, 0.01
#: Below this term of the other clause, its time is a reason for doubt.
WRONG_TIME = -0.5
#: Confidence of a best candidate that contradicts the sentence; below `THRESHOLD`, so that it is never answered.
CONTRADICTED = 0.15
#: Confidence of a claim of absence.
ABSENT_CONFIDENCE = 0.8
#: Logistic weights found by `benchmarks/fit_confidence.py`.
FITTED = {
    "constant": -2.0,
    "lead": 0.58,
    "agreement": 2.51,
    "against": 1.04,
    "family": 1.06,
    "colour": 0.62,
    "direction": 0.43,
    "event": 0.5,
    "brief": -3.36,
    "seen": 0.53,
}
#: Logistic weights set by judgement; a named event that was not seen at all lowers by about what two worlds taught.
SET = {
    "unread": -2.0, "finer": -1.5, "unsteady": -1.5, "flood": -2.0, "unusable": -4.0, "missed": -1.5, "uncounted": -0.8,
    "unlike": -1.2,
}  # fmt: skip


@dataclass
class StatusDecision:
    """What may be claimed about a sentence, and how surely.

    Attributes:
        status: `answered`, `absent` or `unsure`.
        confidence: Probability that the claim is right; for `unsure`, that the best candidate is.
        margin: Score of the best candidate minus that of the best other answer, at most 3; None if there is no other.
        reasons: Reasons for doubt, as sentences.
    """

    status: Status
    confidence: float
    margin: float | None
    reasons: list[str]


def decide_status(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions
) -> StatusDecision:
    """Decide what may be claimed, given the best candidate.

    Args:
        sentence: The sentence as it was asked.
        reading: How the sentence was understood.
        made: The candidates, best first; there is at least one.
        around: Conditions of the clip.
    """
    facts = confidence_features(sentence, reading, made, around)
    chance = confidence({**facts, "unusable": float(not reading.usable)})
    against = contradictions(sentence, reading, made[0], around)
    reasons = list(dict.fromkeys([*against, *_reasons(sentence, reading, made, around, facts)]))
    margin = None if facts["alone"] else facts["margin"]
    like = likeness(reading, around) if chance < DOUBTFUL else None
    if like is not None and like < ABSENT:
        missing = f"nothing that moves in this video looks like {_what(reading)}"
        return StatusDecision("absent", ABSENT_CONFIDENCE, margin, [missing])
    if against:
        chance = min(chance, CONTRADICTED)
    return StatusDecision("answered" if chance >= THRESHOLD else "unsure", chance, margin, reasons)


def contradictions(sentence: str, reading: QueryReading, best: Candidate, around: ClipConditions) -> list[str]:
    """Reasons not to answer with the best candidate, even if it is far ahead of the others, as sentences.

    Scores only compare the candidates of one clip: in a clip without dogs, one of them is still the most dog-like. The
    checks here are absolute, and find that it is not a dog. They hold only what is hardly ever true of a right answer;
    weaker evidence of the same sort lowers the confidence, because looks that are new are told less surely than those
    that the models were fitted to.

    Args:
        sentence: The sentence as it was asked.
        reading: How the sentence was understood.
        best: The best candidate.
        around: Conditions of the clip, with its other actors.
    """
    actor, resting = best.actor, best.place is not None
    looks = features.family_looks(actor, around)
    what, out = _what(reading), []
    if reading.kind in kind_model.FAMILY_OF and not resting:
        told = reading.colours or set(reading.events) - events.WHOLE
        least = UNLIKE if told and looks.max() < CLEARLY else UNLIKELY
        if looks[kind_model.FAMILY_OF[reading.kind]] < (least if features.has_company(actor, around) else ALONE):
            out.append(f"the best fit looks more like {_a(kind_model.FAMILIES[int(looks.argmax())])} than like {what}")
        elif features.not_bigger(reading, actor, around):
            out.append(f"the best fit is not bigger than any other vehicle, as {_a(reading.noun)} would be")
        elif lexicon.UNTELLABLE & set(lexicon.lemmas(reading.noun)):
            out.append(f"{_a(reading.noun)} cannot be told from any other {reading.kind} by its motion and colour")
    elif reading.kind == "hand" and not resting and looks.max() >= OTHER:
        if features.kind_fit(actor, "hand", actor.area) < HANDLIKE:
            out.append("the best fit does not reach into the picture with bare skin, as a hand would")
    elif reading.kind in ("object", "ball") and not resting and actor.area > LARGE:
        other = int(looks[:2].argmax())
        if looks[other] >= OTHER_THAN_OBJECT:
            out.append(f"the best fit looks more like {_a(kind_model.FAMILIES[other])} than like {what}")
    if reading.kind == "ball" and not resting and abs(actor.aspect) > ROUND:
        out.append("the best fit is not as wide as it is high, as a ball would be")
    if reading.kind is None and unknown_words(sentence):
        out.append("the kind of thing that the sentence asks for was not recognised")
    dominance = None if resting else features.colour_dominance(reading, actor)
    if dominance is not None and dominance < (ONE_COLOUR if reading.kind == "vehicle" else SOME_COLOUR):
        named = " and ".join(dict.fromkeys(c for c, _ in reading.colours))
        out.append(f"the best fit shows more of another colour than {named}")
    if best.terms.get("direction", 1.0) < WRONG_WAY:
        out.append("the best fit does not move in the described direction")
    return out


def confidence(facts: dict[str, float]) -> float:
    """The confidence from 0 to 1 that the logistic model gives to an answer.

    Args:
        facts: Features by name, from `confidence_features`; missing ones count as 0.
    """
    z = FITTED["constant"] + sum(w * facts.get(k, 0.0) for k, w in {**FITTED, **SET}.items() if k != "constant")
    return float(1 / (1 + np.exp(-z)))


def less_sure(chance: float, times: int) -> float:
    """A confidence lowered for so many things of which it is unclear whether they count (weight `uncounted`).

    >>> round(less_sure(0.5, 1), 2), round(less_sure(0.9, 2), 2)
    (0.31, 0.65)
    """
    odds = chance / max(1e-9, 1 - chance) * float(np.exp(SET["uncounted"] * times))
    return odds / (1 + odds)


def _what(reading: QueryReading) -> str:
    """The subject of a reading in a few words.

    >>> from whenwhere.grounders.motion.reading import read_query
    >>> _what(read_query("the man in a red jacket")), _what(read_query("an orange cat runs"))
    ('a man in red', 'an orange cat')
    """
    colours = " and ".join(dict.fromkeys(c for c, _ in reading.colours))
    noun = reading.noun or "thing"
    if reading.kind in ("person", "cyclist"):
        return _a(noun) + (f" in {colours}" if colours else "")
    return _a(f"{colours} {noun}" if colours else noun)


def _a(words: str) -> str:
    """The words with an indefinite article; pronouns and "someone" take none."""
    if words.split()[0] in ("he", "she", "they", "him", "them") or words.startswith(("some", "any")):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _reasons(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions, facts: dict[str, float]
) -> list[str]:
    """Reasons for doubt about the best candidate, as sentences."""
    best, other = made[0], runner_up(made)
    out = []
    if not reading.usable:
        out.append("no word of the sentence names something that motion, shape or colour can show")
    if around.unsteady > 0.3:
        out.append("the camera moves too far to learn the background")
    if around.flood > 0.3:
        out.append("so much of the picture changes at once that objects cannot be told apart")
    if words := unknown_words(sentence):
        out.append(f"these words were not understood and were ignored: {', '.join(words)}")
    if facts["finer"]:
        out.append(
            f"{_a(reading.noun or 'thing')} cannot be told from any other {reading.kind} by its motion and colour"
        )
    if reading.kind in kind_model.FAMILY_OF and best.place is None:
        family, looks = kind_model.FAMILY_OF[reading.kind], features.family_looks(best.actor, around)
        if looks[family] < UNLIKELY and looks.argmax() != family:
            out.append(
                f"the best fit looks more like {_a(kind_model.FAMILIES[looks.argmax()])} than like {_what(reading)}"
            )
    if best.terms.get("clause", 0.0) < WRONG_TIME:
        out.append("the best fit is not at the time that the other clause names")
    if facts["colour"] < -0.7:
        named = " and ".join(dict.fromkeys(c for c, _ in reading.colours))
        out.append(f"even the best fit shows little {named}")
    if facts["direction"] < -0.3:
        out.append("the best fit does not move in the described direction")
    if facts["event"] < -0.5:
        out.append("the described event was not clearly seen")
    if facts["brief"] > 0.5:
        out.append("the best fit is seen only for a moment")
    if other is not None and facts["margin"] < 0.5:
        out.append("something else fits nearly as well")
    return out
