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
THRESHOLD = 0.2
#: From this confidence on about four of five answers of the development clips were right (t_IoU of at least 0.5).
CONFIDENT = 0.71
#: Logistic weights: a constant, the margin, what speaks against the best and what for it, whether it is a thing at
#: rest, an unsteady camera, flooding. Fitted to whether t_IoU reached 0.5; the last two had no cases and are priors.
WEIGHTS = {
    "constant": -0.7, "margin": 0.6, "against": 1.25, "for": 0.3, "rest": -1.2, "unsteady": -1.5, "flood": -2.0,
}  # fmt: skip


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


def judge(reading: Reading, made: list[Candidate], unsteady: float, flood: float) -> Judgement:
    """Judge the best of `made`.

    Args:
        reading: of the sentence.
        made: candidates, best first; not empty.
        unsteady: share of the time with a camera whose motion could not be undone.
        flood: share of the picture in motion at busy times.
    """
    best = made[0]
    other = runner_up(made)
    if other is not None:
        margin = min(3.0, best.score - other.score)
    else:
        # A single thing moved: what was said of it decides, and if nothing was, there is little to go by.
        margin = 1.5 if reading.telling else 0.5
    against = sum(min(0.0, v) for k, v in best.terms.items() if k != "seen")
    speaks_for = sum(min(1.5, max(0.0, v)) for k, v in best.terms.items() if k not in ("seen", "order"))
    w = WEIGHTS
    z = (
        w["constant"]
        + w["margin"] * margin
        + w["against"] * max(against, -3.0)
        + w["for"] * min(speaks_for, 4.0)
        + w["rest"] * (best.place is not None)
        + w["unsteady"] * (unsteady > 0.3)
        + w["flood"] * max(0.0, flood - 0.2)
    )
    reasons = []
    if not reading.usable:
        reasons.append("no word of the sentence names something that motion, shape or colour could show")
        z -= 4.0
    if unsteady > 0.3:
        reasons.append("the camera moves too far for a background to be known")
    if flood > 0.3:
        reasons.append("so much of the picture changes at once that things cannot be told apart")
    if margin < 0.5 and other is not None:
        reasons.append("another candidate fits nearly as well")
    if against < -1.5:
        reasons.append("nothing seen fits all that was said")
    return Judgement(float(1 / (1 + np.exp(-z))), float(margin), reasons)
