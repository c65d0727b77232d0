"""A reward term: one number in a known range for one answer, and how it can be gamed.

A term is *gameable* if a policy can get as much without finding the event: some constant answer, or an answer that
hardly overlaps the truth (t_IoU ≤ .1), scores on average what an answer with t_IoU ≥ .5 gets. Every term states whether
it is gameable, and this is measured (`whenwhere.verify.gaming`, tests/test_verify_gaming.py). Gameable terms are useful
next to others and refused alone.

Three rules hold for all terms and are applied here: an answer with a fault gets 0, the lowest value; where the truth is
empty, an answer that says so gets 1 and any other 0; terms about time give 0 to an answer that says nothing about time.
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
        progress: Share of the training that is done, 0-1, for annealed terms.
        shuffled: The policy's answer to the same question with the frames shuffled.
        semantic: The encoder and its settings.
        view: The video, the sentence and another sentence, for the encoder.
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
        name: Name of the term in recipes.
        score: Function that scores a prediction without a fault. Where `needs` names spans, neither side is empty.
        formula: The formula, in the notation of docs/rewards.md.
        source: Where the term was published.
        needs: What must be known for the term to apply.
        gameable: How a policy can get the reward without finding the event; empty where it cannot.
    """

    name: str
    score: Score
    formula: str
    source: str
    needs: tuple[Need, ...] = ("spans",)
    gameable: str = ""

    def fits(self, truth: Truth) -> bool:
        """Whether this question's truth holds everything that the term needs of it."""
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
        """Whether everything that the term needs is known for this question, from its truth and its context."""
        known = {
            "shuffled": context.shuffled is not None,
            "view": context.view is not None and context.semantic is not None,
        }
        return self.fits(truth) and all(known[need] for need in self.needs if need in known)

    def __call__(self, prediction: ParsedPrediction, truth: Truth, context: RewardContext | None = None) -> float:
        """The value of the term, finite and in 0-1."""
        if prediction.fault is not None:
            return 0.0
        if "spans" in self.needs or "tube" in self.needs:
            if prediction.spans is None or truth.spans is None:
                return 0.0
            if not len(truth.spans) or not len(prediction.spans):
                return float(len(truth.spans) == len(prediction.spans))
        value = float(self.score(prediction, truth, context or RewardContext()))
        return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
