"""Metrics over the completions of an update, and each completion as a line of a file."""

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from whenwhere.overlap import box_iou
from whenwhere.training.rl.completions import CompletionGroup
from whenwhere.verify import ParsedPrediction, Truth

#: Name → the mean of a metric on one process, and its weight in the mean over processes.
WeightedMeans = dict[str, tuple[float, float]]


class CompletionRecord(TypedDict):
    """One completion as JSON values, a line of RUN/completions/.

    Attributes:
        question: Name of the question.
        sample: Name of the clip.
        text: What the policy wrote.
        reward: The reward R, 0-1.
        total: R with its format term: what the policy is trained on.
        format: The format term in 0-1, before it is weighted.
        terms: Each reward term by name.
        advantage: The advantage; None in a run that has not computed it.
        status: How parsing ended (`whenwhere.answers.ParsedAnswer.status`).
        fault: Why the answer is invalid; None if it is valid.
        length: Number of tokens.
        truncated: Whether the completion was cut off at the largest length.
    """

    question: str
    sample: str
    text: str
    reward: float
    total: float
    format: float
    terms: dict[str, float]
    advantage: float | None
    status: str
    fault: str | None
    length: int
    truncated: bool


def spatial_iou(prediction: ParsedPrediction, truth: Truth) -> float:
    """How well the answered boxes fit, whatever their time: mean IoU with the true box at the nearest true time.

    Args:
        prediction: The prediction.
        truth: The truth of the same question.

    Returns:
        The mean IoU in 0-1; NaN where one side has no boxes.
    """
    if prediction.tube is None or truth.tube is None or not len(prediction.tube) or not len(truth.tube):
        return float("nan")
    times = np.clip(prediction.tube.times, truth.tube.times[0], truth.tube.times[-1])
    true_boxes = truth.tube.boxes_at(times)
    known = ~np.isnan(true_boxes[:, 0])
    return float(box_iou(prediction.tube.boxes[known], true_boxes[known]).mean()) if known.any() else float("nan")


def duration_ratio(prediction: ParsedPrediction, truth: Truth) -> float | None:
    """Answered duration divided by the true duration; None if one of them is empty.

    Args:
        prediction: The prediction.
        truth: The truth of the same question.
    """
    if not prediction.spans or not truth.spans:
        return None
    return prediction.spans.duration / truth.spans.duration


def rollout_metrics(groups: Sequence[CompletionGroup]) -> WeightedMeans:
    """Metrics of completions that show when a reward is being hacked or a policy stops exploring.

    Args:
        groups: Groups with rewards.

    Returns:
        Each metric with its weight: each reward term over the completions that it applies to; `format`; `parse_rate`;
        `fault` (parsed, but invalid); `absent`; `truncated`; `length` in tokens; `width`, the answered duration divided
        by the true one; `mode`, the share of the commonest answer of the update; `distinct`, the number of different
        answers to a question divided by its number of completions.
    """
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for group in groups:
        truth = group.question.truth
        for row, ended, prediction, reward in zip(
            group.ids, group.ended, group.predictions, group.rewards, strict=True
        ):
            for name, value in reward.terms.items():
                note(f"reward/{name}", value)
            note("format", reward.format)
            note("parse_rate", prediction.answer.valid)
            note("fault", prediction.answer.valid and prediction.fault is not None)
            note("absent", prediction.answer.status == "absent")
            note("truncated", not ended)
            note("length", len(row))
            if (ratio := duration_ratio(prediction, truth)) is not None:
                note("width", ratio)
        note("distinct", len(set(group.texts)) / len(group.texts))
    texts = Counter(text for group in groups for text in group.texts)
    metrics = {name: (float(np.mean(values)), float(len(values))) for name, values in found.items()}
    if texts:
        metrics["mode"] = (max(texts.values()) / texts.total(), float(texts.total()))
    return metrics


def completion_record(group: CompletionGroup, k: int) -> CompletionRecord:
    """One completion as JSON values.

    Args:
        group: A group with rewards.
        k: Index of the completion in the group.
    """
    reward, advantages = group.rewards[k], group.advantages
    return {
        "question": group.question.id, "sample": group.clip.sample.id, "text": group.texts[k],
        "reward": reward.reward, "total": reward.total, "format": reward.format, "terms": reward.terms,
        "advantage": None if advantages is None else float(advantages[k]), "status": reward.status,
        "fault": reward.fault, "length": len(group.ids[k]), "truncated": not group.ended[k],
    }  # fmt: skip


def weighted_mean(parts: Sequence[WeightedMeans]) -> dict[str, float]:
    """Weighted means of metrics over processes; metrics whose weights are all 0 are added up instead.

    Args:
        parts: For each process, metric → (mean on that process, weight).

    >>> weighted_mean([{"a": (1.0, 1.0), "b": (2.0, 0.0)}, {"a": (4.0, 2.0), "b": (3.0, 0.0)}])
    {'a': 3.0, 'b': 5.0}
    """
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        found = [part[name] for part in parts if name in part]
        weight = sum(w for _, w in found)
        means[name] = sum(v * w for v, w in found) / weight if weight else sum(v for v, _ in found)
    return means
