"""A reward term: one number in a known range for one answer, and what is known about how it can be abused.

*Gameable* says that a policy can get as much without finding the event: some constant answer, or an answer that hardly
overlaps the truth (t_IoU ≤ .1), scores on average what an answer with t_IoU ≥ .5 gets. It is a stated fact of each term
and is measured (`whenwhere.verify.gaming`, tests/test_verify_gaming.py). Such terms are useful beside others and
refused alone.

Rules that hold for all, in one place here: a faulty answer gets the lowest value a term can give, 0; where the truth is
empty, an answer that says so gets 1 and any other 0; terms about time give 0 to an answer that says nothing about it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whenwhere.verify.prediction import ParsedPrediction
from whenwhere.verify.semantic import Semantic, VideoView
from whenwhere.verify.truth import Truth

Need = Literal["spans", "tube", "duration", "size", "choice", "shuffled", "view"]


@dataclass(frozen=True, slots=True, eq=False)
class RewardContext:
    """What only the trainer knows about one answer.

    Attributes:
        progress: share of the training that is done, 0-1, for terms that are annealed.
        shuffled: what the policy answers to the same question with the frames shuffled.
        semantic: the encoder and its setting.
        view: the video, the sentence and another sentence, for the encoder.
    """

    progress: float = 1.0
    shuffled: ParsedPrediction | None = None
    semantic: Semantic | None = None
    view: VideoView | None = None


Score = Callable[[ParsedPrediction, Truth, RewardContext], float]


@dataclass(frozen=True, slots=True)
class Term:
    """One reward term, with values in 0-1; the exact truth gets 1.

    Attributes:
        name: as recipes write it.
        score: of a claim without a fault; where `needs` names spans, neither side is empty.
        formula: in the signs of docs/rewards.md.
        source: where it was read.
        needs: what must be known for it to apply.
        gameable: how a policy gets it without finding the event; "" where it does not.
    """

    name: str
    score: Score
    formula: str
    source: str
    needs: tuple[Need, ...] = ("spans",)
    gameable: str = ""

    def fits(self, truth: Truth) -> bool:
        """Whether all that the term needs of the truth is known for this question."""
        absent = truth.spans is not None and not len(truth.spans)
        known = {
            "spans": truth.spans is not None,
            "tube": truth.tube is not None or absent,
            "duration": truth.duration is not None or absent,
            "size": truth.size is not None or absent,
            "choice": truth.choice is not None,
        }
        return all(known[need] for need in self.needs if need in known)

    def applies(self, truth: Truth, context: RewardContext) -> bool:
        """Whether all that the term needs is known for this question, of the truth and beside it."""
        known = {
            "shuffled": context.shuffled is not None,
            "view": context.view is not None and context.semantic is not None,
        }
        return self.fits(truth) and all(known[need] for need in self.needs if need in known)

    def __call__(self, prediction: ParsedPrediction, truth: Truth, context: RewardContext | None = None) -> float:
        """The value, in 0-1 and finite."""
        if prediction.fault is not None:
            return 0.0
        if "spans" in self.needs or "tube" in self.needs:
            if prediction.spans is None or truth.spans is None:
                return 0.0
            if not len(truth.spans) or not len(prediction.spans):
                return float(len(truth.spans) == len(prediction.spans))
        value = float(self.score(prediction, truth, context or RewardContext()))
        return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
