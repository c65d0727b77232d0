"""When to say "I don't know".

The margin between the best answer and the best *other* answer, what was understood of the sentence, and the state of
the picture (moving camera, flooded foreground) make a confidence in 0-1. Its constants were fitted on Stage's
development split and the development clips and are frozen; `benchmarks/stage_heldout.py` prints what they are worth
elsewhere. Below the threshold the answer is `unsure` and only candidates are offered.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.grounders.motion.choice import Candidate, runner_up
from whenwhere.grounders.motion.reading import Reading

#: Below this confidence the grounder says that it does not know.
THRESHOLD = 0.18
#: Logistic weights: constant, margin, fit of the best, moving camera, flood, properties named.
WEIGHTS = {
    "constant": -0.9,
    "margin": 1.0,
    "fit": 0.35,
    "unsteady": -1.5,
    "moving": -0.3,
    "flood": -2.0,
    "telling": 0.15,
}


@dataclass
class Judgement:
    """How sure an answer is, and why not surer."""

    confidence: float
    margin: float
    reasons: list[str]

    @property
    def sure(self) -> bool:
        """Whether to answer at all."""
        return self.confidence >= THRESHOLD


def judge(reading: Reading, made: list[Candidate], moving: float, unsteady: float, flood: float) -> Judgement:
    """Judge the best of `made`.

    Args:
        reading: of the sentence.
        made: candidates, best first; not empty.
        moving: share of the time with a moving camera; unsteady: with one that could not be undone.
        flood: share of the picture in motion at busy times.
    """
    best = made[0]
    other = runner_up(made)
    margin = min(4.0, best.score - other.score) if other is not None else 1.5
    fit = sum(v for k, v in best.terms.items() if k != "seen")
    w = WEIGHTS
    z = (
        w["constant"]
        + w["margin"] * min(margin, 3.0)
        + w["fit"] * float(np.clip(fit, -3, 3))
        + w["moving"] * moving
        + w["unsteady"] * unsteady
        + w["flood"] * max(0.0, flood - 0.2)
        + w["telling"] * min(reading.telling, 4)
    )
    reasons = []
    if not reading.usable:
        reasons.append("no word of the sentence names something that motion, shape or colour could show")
        z -= 3.0
    if unsteady > 0.3:
        reasons.append("the camera moves too far for a background to be known")
    if flood > 0.3:
        reasons.append("so much of the picture changes at once that things cannot be told apart")
    if margin < 0.5 and other is not None:
        reasons.append("another candidate fits nearly as well")
    return Judgement(float(1 / (1 + np.exp(-z))), float(margin), reasons)
