"""Minimum-risk decoding: of several answers, the one that the others would reward most."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.spans import SpanSet
from whenwhere.verify.prediction import ParsedPrediction, to_prediction
from whenwhere.verify.truth import Truth
from whenwhere.verify.verifier import Verifier


def least_risk(answers: Sequence[ParsedAnswer], verifier: Verifier, truth: Truth) -> int:
    """Index of the answer with the highest mean reward when each of the others stands for the truth.

    This is minimum Bayes risk decoding (Kumar and Byrne, NAACL 2004) with the verifier's reward as the gain: a model's
    draws show what it holds possible, and the answer is chosen that does best on average over these. Answers that
    cannot be read stand for no truth; of equal answers the first is chosen.

    Args:
        answers: The answers to one question, at least one, boxes in pixels of the displayed frame.
        verifier: The reward.
        truth: Duration and sizes of the question's video; its spans and boxes are not looked at.

    >>> answers = [ParsedAnswer("ok", spans=(s,)) for s in ((0.0, 9.0), (2.0, 4.0), (2.0, 5.0))]
    >>> least_risk(answers, Verifier({"t_iou": 1.0}), Truth(SpanSet(), duration=10.0))
    2
    """
    read = [to_prediction(answer, verifier.rate, form=verifier.form) for answer in answers]
    truths = [_as_truth(prediction, truth) for prediction in read]
    means = [_mean_reward(k, read[k], truths, verifier) for k in range(len(read))]
    return int(np.argmax(means))


def _as_truth(prediction: ParsedPrediction, truth: Truth) -> Truth | None:
    """What a prediction claims as the truth; None if it claims nothing about time."""
    if prediction.fault is not None or prediction.spans is None:
        return None
    tube = prediction.tube if prediction.tube is not None and len(prediction.tube) else None
    return replace(truth, spans=SpanSet(prediction.spans), tube=tube, choice=None)


def _mean_reward(k: int, prediction: ParsedPrediction, truths: Sequence[Truth | None], verifier: Verifier) -> float:
    rewards = []
    for j, truth in enumerate(truths):
        if j == k or truth is None:
            continue
        try:
            rewards.append(verifier.score(prediction, truth).reward)
        except SettingError:  # no term applies, such as v_iou where the other answer has no boxes
            continue
    return float(np.mean(rewards)) if rewards else 0.0
