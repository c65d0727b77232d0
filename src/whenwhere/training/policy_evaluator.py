"""Evaluates a policy while it trains: greedy answers to held-out sentences, scored by a named protocol.

The policy is asked as it is trained (one prompt, frames as [model] says), its text is read as `whenwhere eval` reads
text, and the protocol is one of `whenwhere.evaluate`, so that `eval/<name>/m_tIoU` means what it means elsewhere.
Sentences that the policy cannot be asked (a prompt that cannot be laid out) count as unanswered. Clips that cannot be
read are left out of every measure and counted in `unread_clips`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.datasets import BENCHMARKS
from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import SettingError, WhenwhereError, did_you_mean
from whenwhere.evaluate.item_values import ItemValue, item_values
from whenwhere.evaluate.names import find_protocol
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.run import compute_metrics
from whenwhere.training.data.samples import Question, Sample, SampleSource
from whenwhere.training.evaluators import EvaluatorKind, EvaluatorSettings
from whenwhere.training.objective import Objective
from whenwhere.training.policy_tables import DataSettings
from whenwhere.verify import Verifier

#: Metrics beside those of the protocol: the share of sentences with a readable answer, and clips that cannot be read.
OWN_METRICS = ("answered", "unread_clips")


class AnsweringObjective(Objective, Protocol):
    """An objective whose model answers sentences about clips."""

    def answers(self, sample: Sample, max_tokens: int) -> Sequence[ParsedAnswer]:
        """The model's greedy answer to each question of a clip, boxes in pixels of the displayed frame.

        Args:
            sample: The clip and its questions.
            max_tokens: Largest number of tokens of an answer.
        """
        ...

    def least_risk_answers(
        self, sample: Sample, max_tokens: int, draws: int, temperature: float, verifier: Verifier
    ) -> Sequence[ParsedAnswer]:
        """Of several drawn answers to each question the one that the others would reward most.

        Args:
            sample: The clip and its questions.
            max_tokens: Largest number of tokens of an answer.
            draws: Number of answers to each question that are drawn.
            temperature: Sampling temperature.
            verifier: The reward.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class GroundingEvaluatorSettings(EvaluatorSettings):
    """A table [[evaluators]] with kind = "grounding".

    Attributes:
        data: Which clips and sentences are asked about; keys as in [data].
        protocol: Protocol that scores the answers. Empty means the benchmark's own, or `default-tubes` for `shapes`.
        max_tokens: Largest number of tokens of an answer.
        draws: Answers to each sentence that are drawn, of which the one is scored that the others would reward most by
            the recipe's [reward] (minimum-risk decoding). 0 scores the greedy answer.
        temperature: Sampling temperature of `draws`.
    """

    data: DataSettings
    protocol: str = ""
    max_tokens: int = 256
    draws: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        EvaluatorSettings.__post_init__(self)
        if not self.temperature > 0:
            raise SettingError("temperature must be above 0; draws = 0 scores the greedy answer")
        if self.protocol and self.protocol not in PROTOCOLS:
            raise SettingError(f"there is no protocol {self.protocol!r}{did_you_mean(self.protocol, PROTOCOLS)}")


class GroundingEvaluator:
    """Asks a policy about every clip of a source and scores the answers (`evaluators.Evaluator`).

    Args:
        objective: The objective that answers.
        source: The clips.
        protocol: Name of the protocol that scores the answers.
        max_tokens: Largest number of tokens of an answer.
        draws: Answers to each sentence that are drawn. 0 asks greedily.
        temperature: Sampling temperature of `draws`.
        verifier: The reward by which one of the drawn answers is chosen; needed with `draws`.

    Attributes:
        items: Values of single items in the latest evaluation.
    """

    def __init__(
        self,
        objective: AnsweringObjective,
        source: SampleSource,
        protocol: str,
        max_tokens: int,
        draws: int = 0,
        temperature: float = 1.0,
        verifier: Verifier | None = None,
    ) -> None:
        self.objective, self.source, self.protocol, self.max_tokens = objective, source, protocol, max_tokens
        self.draws, self.temperature, self.verifier = draws, temperature, verifier
        self.items: list[ItemValue] = []

    def evaluate(self) -> dict[str, float]:
        """The protocol's measures; `answered`, the share of sentences with a readable answer; and `unread_clips`.

        Raises:
            SettingError: No clip at all can be read.
        """
        items: list[Item] = []
        unread = 0
        found: dict[str, Prediction] = {}
        for number in range(len(self.source)):
            try:
                sample = self.source[number]
            except WhenwhereError:
                unread += 1
                continue
            asked = [item_of(sample, question) for question in sample.questions]
            items += asked
            try:
                replies = self._answers(sample)
            except WhenwhereError:
                continue
            found |= {item.id: prediction_of_answer(item.id, reply) for item, reply in zip(asked, replies, strict=True)}
        if not items:
            raise SettingError("an evaluator found no clip that can be read: look at its data")
        scores = find_protocol(self.protocol).score(items, found)
        self.items = list(item_values(scores.ids, scores.videos, scores.items))
        read = sum(one.status in ("answered", "absent") for one in found.values())
        own = dict(zip(OWN_METRICS, (read / len(items), float(unread)), strict=True))
        return {**{name: float(value) for name, value in scores.summary.items()}, **own}

    def _answers(self, sample: Sample) -> Sequence[ParsedAnswer]:
        if not self.draws or self.verifier is None:
            return self.objective.answers(sample, self.max_tokens)
        return self.objective.least_risk_answers(sample, self.max_tokens, self.draws, self.temperature, self.verifier)


def item_of(sample: Sample, question: Question) -> Item:
    """A question about a clip as an item of a benchmark.

    Args:
        sample: The clip.
        question: The question.
    """
    truth = question.truth
    width, height = truth.size or (sample.shape[2], sample.shape[1])
    return Item(
        question.id, sample.id, question.text, span_array([(s.start, s.end) for s in truth.spans or ()]),
        [] if truth.tube is None or not len(truth.tube) else [truth.tube], duration=truth.duration, fps=truth.fps,
        width=round(width), height=round(height), type=question.kind,
    )  # fmt: skip


def prediction_of_answer(item: str, answer: ParsedAnswer) -> Prediction:
    """A parsed answer as a prediction.

    Args:
        item: Id of the item that is answered.
        answer: The parsed answer. Its boxes are used if they are in pixels of the displayed frame, else left out.

    >>> prediction_of_answer("a", ParsedAnswer("ok", spans=((1.0, 2.0),))).spans.tolist()
    [[1.0, 2.0]]
    """
    if answer.status in ("unparsed", "ambiguous"):
        return Prediction(item, "unparsed", parse=answer.status)
    timed: dict[float, tuple[float, float, float, float]] = {}
    for one in answer.boxes if answer.coordinates == "displayed" else ():
        if one.time is not None:
            timed.setdefault(one.time, one.box)
    times = sorted(timed)
    boxes = [Boxes(np.array(times), np.array([timed[t] for t in times]).reshape(-1, 4))] if times else []
    spans = span_array(answer.spans or answer.spans_of_boxes())
    if answer.status != "absent" and not len(spans):
        return Prediction(item, "unparsed", parse=answer.status)
    return Prediction(
        item, "absent" if answer.status == "absent" else "answered", spans, boxes=boxes, parse=answer.status
    )


def build(
    settings: GroundingEvaluatorSettings, tables: Mapping[str, Any], objective: AnsweringObjective
) -> GroundingEvaluator:
    """The evaluator of a table; see `evaluators.EvaluatorKind`."""
    from whenwhere.training.builders import frame_cache, source_of

    kind = settings.data.kind
    name = settings.protocol or ("default-tubes" if kind == "shapes" else BENCHMARKS[kind].protocol)
    source = source_of(settings.data, tables["model"], frames=frame_cache(objective.settings))
    check_metric(settings, source, name)
    verifier = tables["reward"].verifier(tables["model"].form) if settings.draws else None
    return GroundingEvaluator(
        objective, source, name, settings.max_tokens, settings.draws, settings.temperature, verifier
    )


def check_metric(settings: GroundingEvaluatorSettings, source: SampleSource, protocol: str) -> None:
    """Refuses a metric that the protocol does not have, before the run begins rather than at the first evaluation.

    Args:
        settings: The table.
        source: The clips; the first one that can be read is scored without answers.
        protocol: Name of the protocol.

    Raises:
        SettingError: The protocol has no such metric.
    """
    for number in range(len(source)):
        try:
            sample = source[number]
        except WhenwhereError:
            continue
        known = [*compute_metrics([item_of(sample, q) for q in sample.questions], {}, protocol), *OWN_METRICS]
        if settings.metric not in known:
            raise SettingError(
                f"the evaluator {settings.name!r} scores by {protocol}, which has no metric {settings.metric!r}"
                f"{did_you_mean(settings.metric, known)}"
            )
        return


EVALUATOR = EvaluatorKind(GroundingEvaluatorSettings, build)
