"""A head that answers questions about videos by choosing among the answers of the training set.

This is how open-ended VideoQA (MSRVTT-QA, MSVD-QA) is scored: the answer vocabulary is that of training, and a question
whose answer is not in it counts as wrong. The head sees the video's embedding, the question's, and their product, all
frozen. `without_video` trains the same head on questions alone: what it reaches needs no pictures, and is printed
beside every accuracy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from whenwhere.errors import SettingError
from whenwhere.models.heads.linear_probe import Floats, finite_rows


@dataclass(frozen=True)
class AnswerHeadSettings:
    """How a head that answers questions is trained.

    Attributes:
        hidden: Width of the hidden layer.
        steps: Updates, each on a batch.
        batch: Questions in a batch.
        learning_rate: Learning rate of AdamW, which falls to 0 as a cosine.
        weight_decay: Weight decay.
        dropout: Dropout on the input and the hidden layer.
        answers: Most answers in the vocabulary; rarer ones are left out.
        seed: Seed of weights, batches and dropout.
    """

    hidden: int = 256
    steps: int = 400
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    answers: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("hidden", "steps", "batch", "answers"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} of a head that answers is {getattr(self, name)} and must be at least 1")
        if not 0 <= self.dropout < 1:
            raise SettingError(f"dropout is {self.dropout:g} and must be at least 0 and below 1")


@dataclass(frozen=True, eq=False)
class AnswerHead:
    """A trained head.

    Attributes:
        vocabulary: The answers, the most frequent of training first.
        weights: First layer, its bias, second layer, its bias.
        mean: Mean of the training features, shape (F,).
        deviation: Standard deviation of the training features, shape (F,).
        blind: Whether it sees questions only.
    """

    vocabulary: tuple[str, ...]
    weights: tuple[Floats, ...] = field(repr=False)
    mean: Floats = field(repr=False)
    deviation: Floats = field(repr=False)
    blind: bool = False

    def scores(self, videos: npt.ArrayLike, questions: npt.ArrayLike) -> Floats:
        """Logits of all answers of the vocabulary, shape (n, answers).

        Args:
            videos: Embeddings of the videos, shape (n, D).
            questions: Embeddings of the questions, shape (n, D).
        """
        first, shift, second, bias = self.weights
        rows = (pair_features(videos, questions, self.blind) - self.mean) / self.deviation
        return np.asarray(np.maximum(rows @ first + shift, 0) @ second + bias, np.float64)

    def answers(self, videos: npt.ArrayLike, questions: npt.ArrayLike) -> list[str]:
        """The answer to each question.

        Args:
            videos: Embeddings of the videos, shape (n, D).
            questions: Embeddings of the questions, shape (n, D).
        """
        return [self.vocabulary[k] for k in self.scores(videos, questions).argmax(1).tolist()]


def frequent_answers(answers: Sequence[str], most: int = 1000) -> tuple[str, ...]:
    """The most frequent answers, equally frequent ones in the order of the alphabet.

    Args:
        answers: Answers of the training set.
        most: Most answers that are kept.

    Raises:
        SettingError: There are no answers.

    >>> frequent_answers(["dog", "cat", "cat", "bird"], 2)
    ('cat', 'bird')
    """
    if not answers:
        raise SettingError("there are no answers to learn from: give a training set of one question at least")
    counts = Counter(answers)
    return tuple(sorted(counts, key=lambda one: (-counts[one], one))[:most])


def pair_features(videos: npt.ArrayLike, questions: npt.ArrayLike, blind: bool = False) -> Floats:
    """What the head sees of each pair: video, question and their product, shape (n, 3 D); questions alone if `blind`.

    Args:
        videos: Embeddings of the videos, shape (n, D).
        questions: Embeddings of the questions, shape (n, D).
        blind: Whether the video is left out.

    Raises:
        SettingError: The two do not fit each other, are empty, or hold a value that is not finite.
    """
    asked = finite_rows(questions, "embeddings of questions")
    if blind:
        return asked
    seen = finite_rows(videos, "embeddings of videos")
    if seen.shape != asked.shape:
        raise SettingError(f"embeddings of videos {seen.shape} and questions {asked.shape} do not fit: give one each")
    # A product of unit vectors has components near 1 / D: bring it to the scale of the others.
    return np.concatenate([seen, asked, seen * asked * np.sqrt(seen.shape[1])], 1)


def fit_answer_head(
    videos: npt.ArrayLike,
    questions: npt.ArrayLike,
    answers: Sequence[str],
    settings: AnswerHeadSettings | None = None,
    without_video: bool = False,
) -> AnswerHead:
    """Train a head on frozen embeddings; questions whose answer is not in the vocabulary are left out of training.

    Args:
        videos: Embedding of each question's video, shape (n, D).
        questions: Embeddings of the questions, shape (n, D).
        answers: The right answers.
        settings: How it is trained.
        without_video: Whether the head sees questions only.

    Raises:
        SettingError: The arrays do not fit, are empty, or hold a value that is not finite.
    """
    import torch

    how = settings or AnswerHeadSettings()
    words = frequent_answers(answers, how.answers)
    number = {word: k for k, word in enumerate(words)}
    rows = pair_features(videos, questions, without_video)
    if len(rows) != len(answers):
        raise SettingError(f"{len(answers)} answers do not fit {len(rows)} questions: give one to each")
    known = np.array([answer in number for answer in answers])
    mean = rows.mean(0)
    spread = rows.std(0)
    # all components of one kind share a scale: constant ones stay small instead of becoming noise
    deviation = np.full_like(spread, max(float(np.sqrt((spread**2).mean())), 1e-8))
    x = torch.tensor((rows[known] - mean) / deviation, dtype=torch.float32)
    y = torch.tensor([number[answer] for answer in answers if answer in number])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        model = torch.nn.Sequential(
            torch.nn.Dropout(how.dropout), torch.nn.Linear(x.shape[1], how.hidden), torch.nn.ReLU(),
            torch.nn.Dropout(how.dropout), torch.nn.Linear(how.hidden, len(words)),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(model.parameters(), how.learning_rate, weight_decay=how.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps)
        # a callback of training may have switched gradients off around an evaluation
        with torch.enable_grad():
            for _ in range(how.steps):
                pick = torch.randint(len(x), (min(how.batch, len(x)),))
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(model(x[pick]), y[pick]).backward()
                optimiser.step()
                schedule.step()
    first, second = (layer for layer in model if isinstance(layer, torch.nn.Linear))
    arrays = [first.weight.T, first.bias, second.weight.T, second.bias]
    return AnswerHead(words, tuple(a.detach().double().numpy() for a in arrays), mean, deviation, without_video)
