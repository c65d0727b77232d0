"""The verifier: a weighted sum of reward terms, declared once, the same for rewards, difficulty and ceilings.

R = Σ w·term / Σ w over the terms that apply to the question; ½·t_IoU + ½·v_IoU unless the recipe says otherwise. R is 1
for the exact truth, and only for it where t_IoU (of time) or v_IoU (of time and place) is among the terms. The format
term is kept apart: training maximises R + λ·format with λ = .1, while difficulty is measured in R alone.

A question without boxes has no v_IoU. Its weight goes to the terms that do apply, so that sets with and without boxes
can be mixed; the log of each answer says which terms applied. Where no term applies, the recipe does not fit the data,
and that is an error, not a reward.

Truth that went through text is no longer exact: `ceiling` is what the right answer gets after it was written in a form
and read again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from whenwhere.answers import FAMILY_COORDINATES, FORMS, ParsedAnswer, parse
from whenwhere.errors import RATES, SettingError, check_range, did_you_mean
from whenwhere.verify.prediction import ParsedPrediction, to_prediction
from whenwhere.verify.semantic import Semantic
from whenwhere.verify.term import RewardContext, Term
from whenwhere.verify.terms import TERMS
from whenwhere.verify.truth import Truth
from whenwhere.verify.wording import graded


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one answer.

    Attributes:
        reward: R, in 0-1, without the format term.
        format: Value of the format term, in 0-1.
        total: R + λ·format, which training maximises.
        terms: Value of each term that applied.
        status: Status of the reading; see `whenwhere.answers`.
        fault: Why the answer got nothing, or None.
    """

    reward: float
    format: float
    total: float
    terms: dict[str, float]
    status: str
    fault: str | None

    @property
    def difficulty(self) -> float:
        """1 − R: a high value means a hard question."""
        return 1.0 - self.reward

    def log(self) -> dict[str, float]:
        """All numbers by name, with `total` first."""
        return {"total": self.total, "reward": self.reward, "format": self.format, **self.terms}


@dataclass(frozen=True, slots=True)
class Verifier:
    """A reward as a recipe declares it.

    Attributes:
        weights: Weight of each term by name. Weights are divided by their sum.
        format: Name of the format term.
        format_weight: λ, the weight of the format term.
        form: Form that answers must be written in (`whenwhere.answers.FORMS`); where `mode` is lenient, a family's name
            is allowed too.
        mode: `strict` for training; `lenient` reads any form.
        rate: Boxes per second that are asked for.
        gameable: Whether a reward that consists of gameable terms alone is allowed.
        semantic: The encoder, where the semantic term is used.

    Raises:
        SettingError: A term, form or weight is not possible, or all terms are gameable and `gameable` was not set.

    >>> from whenwhere.spans import SpanSet
    >>> verifier = Verifier({"t_iou": 1}, form="time-r1")
    >>> truth = Truth(SpanSet([(12.5, 17.5)]))
    >>> verifier.score("<think>At 12 s.</think><answer>12.5 to 17.5</answer>", truth).total
    1.1
    >>> verifier.score("<think>At 12 s.</think><answer>17.5 to 12.5</answer>", truth).total
    0.0
    >>> Verifier({"recall": 1})
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: every term of the reward can be had without finding the event (recall: the whole
    video gets 1): add t_iou or v_iou, or set gameable=True
    """

    weights: Mapping[str, float] = field(default_factory=lambda: {"t_iou": 0.5, "v_iou": 0.5})
    format: str = "format"
    format_weight: float = 0.1
    form: str = "second-level"
    mode: Literal["strict", "lenient"] = "strict"
    rate: float = 1.0
    gameable: bool = False
    semantic: Semantic | None = None

    def __post_init__(self) -> None:
        for name in (*self.weights, self.format):
            if name not in TERMS:
                near = did_you_mean(name, TERMS)
                raise SettingError(f"there is no reward term {name!r}" + (near or f": choose from {', '.join(TERMS)}"))
        if TERMS[self.format].needs:
            raise SettingError(f"{self.format!r} is not a format term: use 'format' or 'format_graded'")
        numbers = [*self.weights.values(), self.format_weight]
        if not all(math.isfinite(w) and w >= 0 for w in numbers) or not sum(self.weights.values()) > 0:
            raise SettingError(
                f"the weights of a reward must be finite, not negative, and not all 0: {dict(self.weights)}"
            )
        used = [TERMS[name] for name, weight in self.weights.items() if weight > 0]
        if not self.gameable and all(term.gameable for term in used):
            how = "; ".join(f"{term.name}: {term.gameable}" for term in used)
            raise SettingError(
                f"every term of the reward can be had without finding the event ({how}): add t_iou or v_iou, or set "
                "gameable=True"
            )
        if self.form not in FORMS and (self.mode == "strict" or self.form not in FAMILY_COORDINATES):
            known = [*FORMS, *(FAMILY_COORDINATES if self.mode == "lenient" else ())]
            raise SettingError(
                f"there is no form {self.form!r} for {self.mode} reading: choose from {', '.join(known)}"
            )
        check_range(self.rate, *RATES, "the rate in boxes per second")
        if any(term.name == "semantic" for term in used) and self.semantic is None:
            raise SettingError("the semantic term needs an encoder: give semantic=Semantic(encoder, judge=...)")

    @property
    def terms(self) -> list[Term]:
        """The terms with a positive weight."""
        return [TERMS[name] for name, weight in self.weights.items() if weight > 0]

    def read(self, text: object, truth: Truth) -> ParsedPrediction:
        """What a text claims about time and place.

        Raises:
            SettingError: The truth has boxes but not the sizes that the form's coordinates need.
        """
        kind = FORMS[self.form].coordinates if self.form in FORMS else FAMILY_COORDINATES[self.form][0]
        lacking = [n for n in ("size", *(["shown"] if kind == "pixels" else [])) if getattr(truth, n) is None]
        if truth.tube is not None and kind is not None and lacking and any("tube" in t.needs for t in self.terms):
            raise SettingError(
                f"the form {self.form} writes boxes in {kind} coordinates: targets with boxes need "
                f"{' and '.join(lacking)}"
            )
        answer = parse(text, self.mode, self.form, truth.size, truth.duration, shown=truth.shown)
        return to_prediction(answer, self.rate, text if isinstance(text, str) else None, self.form)

    def score(self, said: object, truth: Truth, context: RewardContext | None = None) -> Reward:
        """The reward of an answer.

        Args:
            said: The model's text, a `ParsedAnswer` with boxes in pixels of the displayed frame, or a
                `ParsedPrediction`. Anything else counts as text that cannot be read.
            truth: The truth of the question.
            context: Progress, the answer to shuffled frames, and the encoder's view of the video.

        Raises:
            SettingError: No term of the recipe applies to this question.
        """
        if isinstance(said, ParsedPrediction):
            prediction = said
        elif isinstance(said, ParsedAnswer):
            prediction = to_prediction(said, self.rate, form=self.form)
        else:
            prediction = self.read(said, truth)
        context = context or RewardContext()
        if self.semantic is not None and context.semantic is None:
            context = RewardContext(context.progress, context.shuffled, self.semantic, context.view)
        values = {term.name: term(prediction, truth, context) for term in self.terms if term.applies(truth, context)}
        if not values:
            raise SettingError(
                f"no term of the reward ({', '.join(t.name for t in self.terms)}) applies to this question: its target "
                f"lacks what they need ({', '.join(sorted({n for t in self.terms for n in t.needs}))})"
            )
        weight = sum(self.weights[name] for name in values)
        reward = sum(self.weights[name] * value for name, value in values.items()) / weight
        # The graded format also scores texts whose answer is worthless; every other term gives them 0.
        form = self._format(prediction, truth, context)
        total = reward + self.format_weight * form
        return Reward(reward, form, total, values, prediction.answer.status, prediction.fault)

    def _format(self, prediction: ParsedPrediction, truth: Truth, context: RewardContext) -> float:
        term = TERMS[self.format]
        if prediction.fault is not None and term.name == "format_graded":
            return graded(prediction) if prediction.answer.form is None else 0.0
        return term(prediction, truth, context)

    def ceiling(self, truth: Truth, form: str | None = None) -> float:
        """R of the right answer after it was written in a form and read again: R(quantise(gold), gold).

        Args:
            truth: The truth of the question.
            form: Name of the form; None uses the verifier's own.

        Raises:
            RecordError: The form cannot hold the answer.
            SettingError: A size is missing.

        >>> from whenwhere.spans import SpanSet
        >>> round(Verifier({"t_iou": 1}).ceiling(Truth(SpanSet([(0.04, 2.0)]))), 3)
        0.98
        """
        gold = FORMS[form or self.form].quantise(truth.answer(self.rate), truth.size, truth.shown)
        if gold.boxes and truth.size is not None:
            gold = gold.displayed(truth.size, truth.shown)
        return self.score(to_prediction(gold, self.rate, form=form or self.form), truth).reward

    def settings(self) -> dict[str, Any]:
        """The declaration as plain data, for the record of a run."""
        return {
            "weights": dict(self.weights), "format": self.format, "format_weight": self.format_weight,
            "form": self.form, "mode": self.mode, "rate": self.rate, "gameable": self.gameable,
            "semantic": self.semantic.encoder.name if self.semantic else None,
        }  # fmt: skip
