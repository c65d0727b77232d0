"""Open-ended questions about videos, answered by a head on an encoder's frozen embeddings."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whenwhere.errors import SettingError
from whenwhere.evaluate.item_values import ItemValue
from whenwhere.evaluate.vqa import accuracy_by_kind
from whenwhere.models.encoders.encoder import Encoder
from whenwhere.models.encoders.evaluation.examples import ClipQuestion, QuestionSet
from whenwhere.models.encoders.evaluation.features import embed_videos
from whenwhere.models.heads.answer_head import AnswerHeadSettings, fit_answer_head


def answer_questions(
    encoder: Encoder,
    train: QuestionSet,
    test: QuestionSet,
    settings: AnswerHeadSettings | None = None,
    items: list[ItemValue] | None = None,
) -> dict[str, float]:
    """Accuracy of answers chosen from the vocabulary of the training set, and of baselines that need no pictures.

    Args:
        encoder: The encoder, which stays frozen.
        train: Clips and questions that the head learns from.
        test: Clips and questions that it is tested on.
        settings: How the head is trained.
        items: List to which the values of single items are added. None keeps none.

    Returns:
        `accuracy` and `accuracy/<kind>`; `question-only-accuracy` and `question-only-accuracy/<kind>` of the same head
        trained without videos; and those of `constant_accuracies`.

    Raises:
        SettingError: A set has no clips or questions, or an embedding is not finite.
    """
    videos, questions = zip(*(embed_questions(encoder, one) for one in (train, test)), strict=True)
    right = [question.answer for question in train.questions]
    found: dict[str, float] = {}
    for blind in (False, True):
        head = fit_answer_head(videos[0], questions[0], right, settings, without_video=blind)
        said = head.answers(videos[1], questions[1])
        own = answer_accuracy(said, test.questions)
        for k, (answer, question) in enumerate(zip(said, test.questions, strict=True)):
            if items is not None and not blind:
                right_or_not = float(answer == question.answer)
                names = ("accuracy", f"accuracy/{question.kind}")
                items.extend(
                    ItemValue(name, f"{question.clip}-{k}", str(question.clip), right_or_not) for name in names
                )
        found |= {f"question-only-{name}" if blind else name: value for name, value in own.items()}
    return found | constant_accuracies(train.questions, test.questions)


def embed_questions(encoder: Encoder, asked: QuestionSet) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embedding of the video of each question, and of each question, shape (n, D) each.

    Args:
        encoder: The encoder.
        asked: Clips and questions.

    Raises:
        SettingError: There are no questions.
    """
    if not asked.clips or not asked.questions:
        raise SettingError("there are no questions to answer: give a set of at least one clip and one question")
    videos = embed_videos(encoder, asked.clips)[[question.clip for question in asked.questions]]
    texts = sorted({question.text for question in asked.questions})
    place = {text: k for k, text in enumerate(texts)}
    return videos, encoder.embed_texts(texts)[[place[question.text] for question in asked.questions]]


def answer_accuracy(said: Sequence[str], questions: Sequence[ClipQuestion]) -> dict[str, float]:
    """`accuracy` and `accuracy/<kind>` of answers, in 0-1.

    Args:
        said: The answer to each question.
        questions: The questions, at least one.

    Raises:
        SettingError: There are no questions.
    """
    right = [answer == question.answer for answer, question in zip(said, questions, strict=True)]
    return accuracy_by_kind(right, [question.kind for question in questions])


def constant_accuracies(train: Sequence[ClipQuestion], test: Sequence[ClipQuestion]) -> dict[str, float]:
    """Accuracies of answers that need neither pictures nor a model, in 0-1.

    Args:
        train: Questions of the training set.
        test: Questions that are tested, at least one.

    Returns:
        `chance-accuracy`, the expected accuracy of a random answer among those that the question's kind has in
        training, and `constant-accuracy`, that of the most frequent answer of its kind, each also by kind.
    """
    counts: dict[str, Counter[str]] = {}
    for question in train:
        counts.setdefault(question.kind, Counter())[question.answer] += 1
    found: dict[str, float] = {}
    for name in ("chance-accuracy", "constant-accuracy"):
        values = []
        for question in test:
            own = counts.get(question.kind, Counter())
            share = 1 / len(own) if question.answer in own else 0.0
            common = min(own, key=lambda answer: (-own[answer], answer), default=None)
            values.append(share if name == "chance-accuracy" else float(common == question.answer))
        found[name] = float(np.mean(values))
        for kind in sorted({question.kind for question in test}):
            found[f"{name}/{kind}"] = float(
                np.mean([v for v, question in zip(values, test, strict=True) if question.kind == kind])
            )
    return found
