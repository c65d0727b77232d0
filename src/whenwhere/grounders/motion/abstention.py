"""When to answer, when to say "I don't know", and when to say "it is not there".

The confidence is the chance that the answered time is about right (t_IoU of at least 0.5), from a logistic model of a
few absolute facts (`evidence`). Its weights and both thresholds were fitted on Stage's worlds `dev` and `val` by
`benchmarks/fit_confidence.py`, with signs fixed beforehand: a wider margin, more colour, a clearer direction never
make an answer less sure. Facts that painted clips cannot teach (words nobody has an eye for, a shaken camera, a
flooded picture) have weights set by judgement. Below `THRESHOLD` the answer is `unsure` and candidates are offered;
`absence` says what is claimed to be missing.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.grounders.motion import kind_model
from whenwhere.grounders.motion.absence import likeness
from whenwhere.grounders.motion.candidates import Candidate
from whenwhere.grounders.motion.confidence_features import ClipConditions, confidence_features, unknown_words
from whenwhere.grounders.motion.ranking import runner_up
from whenwhere.grounders.motion.reading import QueryReading
from whenwhere.records import Status

#: Below this confidence the grounder says that it does not know: seven in eight such answers would be wrong.
THRESHOLD = 0.18
#: From this confidence on more than four of five answers were right, measured on a world that had no part in the fit.
CONFIDENT = 0.68
#: Absence is claimed only where the best candidate's own chance is below this.
DOUBTFUL = 0.5
#: Below this likeness (see `absence`) of the likeliest thing the subject is not there; four in five such claims held.
ABSENT = -1.25
#: Confidence of such a claim.
ABSENT_CONFIDENCE = 0.8
#: Logistic weights: found by benchmarks/fit_confidence.py.
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
#: Logistic weights set by judgement.
SET = {"unread": -2.0, "finer": -1.5, "unsteady": -1.5, "flood": -2.0, "unusable": -4.0}


@dataclass
class StatusDecision:
    """What may be said.

    Attributes:
        status: `answered`, `absent` or `unsure`.
        confidence: chance that the status's claim is right (for `unsure`: that the best candidate would have been).
        margin: score of the best minus that of the best other answer, at most 3; None if there is no other.
        reasons: why not surer, as sentences.
    """

    status: Status
    confidence: float
    margin: float | None
    reasons: list[str]


def decide_status(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions
) -> StatusDecision:
    """Judge the best of `made`.

    Args:
        sentence: as it was asked.
        reading: of it.
        made: candidates, best first; not empty.
        around: the clip.
    """
    facts = confidence_features(sentence, reading, made, around)
    chance = confidence({**facts, "unusable": float(not reading.usable)})
    reasons = _reasons(sentence, reading, made, around, facts)
    margin = None if facts["alone"] else facts["margin"]
    if chance < DOUBTFUL:
        like = likeness(reading, around)
        if like is not None and like < ABSENT:
            missing = f"nothing that moves here looks like {_what(reading)}"
            return StatusDecision("absent", ABSENT_CONFIDENCE, margin, [missing])
    return StatusDecision("answered" if chance >= THRESHOLD else "unsure", chance, margin, reasons)


def confidence(facts: dict[str, float]) -> float:
    """The chance that facts of `evidence` speak for, in 0-1; facts that are missing count as 0."""
    z = FITTED["constant"] + sum(w * facts.get(k, 0.0) for k, w in {**FITTED, **SET}.items() if k != "constant")
    return float(1 / (1 + np.exp(-z)))


def _what(reading: QueryReading) -> str:
    """The subject in a few words.

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
    """With the article; pronouns and "someone" take none."""
    if words.split()[0] in ("he", "she", "they", "him", "them") or words.startswith(("some", "any")):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _reasons(
    sentence: str, reading: QueryReading, made: list[Candidate], around: ClipConditions, facts: dict[str, float]
) -> list[str]:
    best, other = made[0], runner_up(made)
    out = []
    if not reading.usable:
        out.append("no word of the sentence names something that motion, shape or colour could show")
    if around.unsteady > 0.3:
        out.append("the camera moves too far for a background to be known")
    if around.flood > 0.3:
        out.append("so much of the picture changes at once that things cannot be told apart")
    if words := unknown_words(sentence):
        out.append(f"not understood and passed over: {', '.join(words)}")
    if facts["finer"]:
        out.append(f"{_a(reading.noun or 'thing')} cannot be told from any other {reading.kind} by motion and colour")
    if facts["family"] < -0.7 and reading.kind in kind_model.FAMILY_OF:
        looks = kind_model.FAMILIES[int(np.argmax(kind_model.family_probabilities(best.actor)))]
        out.append(f"the best fit looks more like {_a(looks)} than like {_what(reading)}")
    if facts["colour"] < -0.7:
        named = " and ".join(dict.fromkeys(c for c, _ in reading.colours))
        out.append(f"even the best fit shows little {named}")
    if facts["direction"] < -0.3:
        out.append("the best fit does not move the way that was said")
    if facts["event"] < -0.5:
        out.append("what was said to happen was not clearly seen")
    if facts["brief"] > 0.5:
        out.append("the best fit is seen for a moment only")
    if other is not None and facts["margin"] < 0.5:
        out.append("something else fits nearly as well")
    return out
