"""Recognition and open questions with an encoder that is trained further, end to end, with a new head.

A copy of the model learns; the model itself stays as it is. There is no augmentation, no early stopping and no choice
on the test set: the number of updates is fixed, and the learning rate falls to 0. To compare encoders, choose the
learning rate of each on a validation set, because the best one differs between them by orders of magnitude.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whenwhere.errors import SettingError
from whenwhere.evaluate.embeddings import class_numbers
from whenwhere.models.encoders.evaluation.examples import Frames, LabelledFrames, QuestionSet
from whenwhere.models.encoders.evaluation.questions import answer_accuracy, constant_accuracies
from whenwhere.models.encoders.evaluation.recognition import ClassScores
from whenwhere.models.encoders.model import VideoTextModel
from whenwhere.models.heads.answer_head import frequent_answers

#: Largest number of clips that are scored at a time, which bounds memory.
MAX_CLIPS = 64


@dataclass(frozen=True)
class FinetuneSettings:
    """How a copy of a model is trained further.

    Attributes:
        steps: Number of updates.
        batch: Number of examples in an update.
        learning_rate: Largest learning rate of the encoders, reached after a tenth of the updates.
        head_learning_rate: Largest learning rate of the head.
        weight_decay: Weight decay of AdamW.
        answers: Largest number of answers in the vocabulary of questions; rarer ones are left out.
        seed: Seed of the head, of the batches, and of what the encoder draws in training.

    Raises:
        SettingError: `steps` or `batch` is below 1.
    """

    steps: int = 300
    batch: int = 32
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.05
    answers: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise SettingError(f"{self.steps} updates of {self.batch} examples train nothing: set both to 1 or more")


class FinetunedHead(nn.Module):
    """Classifies a video's embedding by a linear layer, or that of a video with a question by two layers.

    Args:
        model: The encoders.
        classes: Number of classes.
        asked: Whether there is a question.
    """

    def __init__(self, model: VideoTextModel, classes: int, asked: bool) -> None:
        super().__init__()
        self.model = model
        width = model.config.video.output
        inputs = 3 * width if asked else width
        middle = [nn.Linear(inputs, 2 * width), nn.GELU()] if asked else []
        last = nn.Linear(2 * width if asked else inputs, classes)
        self.head = nn.Sequential(nn.LayerNorm(inputs), *middle, last)

    def forward(self, clips: Frames, texts: Sequence[str] = ()) -> Tensor:
        """Logits of the classes, shape (n, classes).

        Args:
            clips: RGB frames, shape (n, T, H, W, 3).
            texts: The questions; empty if there are none.
        """
        seen = nn.functional.normalize(self.model.video.embed(self.model.pixels(clips)), dim=-1)
        if not texts:
            return torch.as_tensor(self.head(seen))
        tokens = {key: value.to(seen.device) for key, value in self.model.text.tokenize(list(texts)).items()}
        asked = nn.functional.normalize(self.model.text(**tokens), dim=-1)
        scaled = seen * asked * seen.shape[1] ** 0.5
        return torch.as_tensor(self.head(torch.cat([seen, asked, scaled], 1)))


def finetune_recognition(
    model: VideoTextModel,
    train: Sequence[LabelledFrames],
    test: Sequence[LabelledFrames],
    classes: Sequence[str],
    settings: FinetuneSettings | None = None,
) -> ClassScores:
    """Recognition by a copy of the video encoder that is trained further with a linear head.

    Args:
        model: The encoders, which stay as they are.
        train: Clips that the copy learns from, one of each video.
        test: Clips that it is tested on.
        classes: Names of the classes.
        settings: How it is trained.

    Raises:
        SettingError: A set is empty, a label is not among the classes, or the loss is not finite.
    """
    if not train or not test:
        raise SettingError(
            f"fine-tuning has {len(train)} training and {len(test)} test clips: give at least one of each"
        )
    labels = torch.tensor(class_numbers([one.label for one in train], classes))
    wanted = class_numbers([one.label for one in test], classes)
    how, clips = settings or FinetuneSettings(), [one.frames for one in train]
    with _seeded(model, how.seed):
        head = FinetunedHead(copy.deepcopy(model), len(classes), asked=False)
        _train(head, lambda pick: head(np.stack([clips[k] for k in pick])), labels, how)
    return ClassScores(_scores(head, [one.frames for one in test], []), wanted)


def finetune_questions(
    model: VideoTextModel, train: QuestionSet, test: QuestionSet, settings: FinetuneSettings | None = None
) -> dict[str, float]:
    """Accuracy of answers by copies of both encoders that are trained further with a head over the answers.

    Args:
        model: The encoders, which stay as they are.
        train: Clips and questions that the copies learn from. Questions whose answer is not in the vocabulary are left
            out.
        test: Clips and questions that they are tested on.
        settings: How they are trained.

    Returns:
        `accuracy` and `accuracy/<kind>`, and those of `questions.constant_accuracies`.

    Raises:
        SettingError: A set is empty, or the loss is not finite.
    """
    how = settings or FinetuneSettings()
    if not train.questions or not test.questions:
        raise SettingError("there are no questions to answer: give at least one to train on and one to test on")
    words = frequent_answers([question.answer for question in train.questions], how.answers)
    known = [question for question in train.questions if question.answer in words]
    labels = torch.tensor([words.index(question.answer) for question in known])
    with _seeded(model, how.seed):
        head = FinetunedHead(copy.deepcopy(model), len(words), asked=True)

        def logits(pick: list[int]) -> Tensor:
            asked = [known[k] for k in pick]
            return torch.as_tensor(head(np.stack([train.clips[q.clip] for q in asked]), [q.text for q in asked]))

        _train(head, logits, labels, how)
    scores = _scores(head, [test.clips[q.clip] for q in test.questions], [q.text for q in test.questions])
    said = [words[k] for k in scores.argmax(1).tolist()]
    return answer_accuracy(said, test.questions) | constant_accuracies(train.questions, test.questions)


@contextmanager
def _seeded(model: VideoTextModel, seed: int) -> Iterator[None]:
    """Inside, random numbers follow the seed and gradients are computed; outside, random numbers are as before."""
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        yield


def _train(head: FinetunedHead, logits: Callable[[list[int]], Tensor], labels: Tensor, how: FinetuneSettings) -> None:
    head.to(head.model.device).train()
    rates = [how.learning_rate, how.head_learning_rate]
    parts = [[p for p in head.model.parameters() if p.requires_grad], list(head.head.parameters())]
    groups = [{"params": part, "lr": rate} for part, rate in zip(parts, rates, strict=True) if part]
    optimiser = torch.optim.AdamW(groups, weight_decay=how.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], how.steps + 1, pct_start=0.1
    )
    order: list[int] = []
    for _ in range(how.steps):
        while len(order) < min(how.batch, len(labels)):
            order += torch.randperm(len(labels)).tolist()
        pick, order = order[: how.batch], order[how.batch :]
        loss = nn.functional.cross_entropy(logits(pick), labels[pick].to(head.model.device))
        if not torch.isfinite(loss):
            raise SettingError("the loss of fine-tuning is not finite: lower its learning_rate")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    head.eval()


def _scores(head: FinetunedHead, clips: Sequence[Frames], texts: Sequence[str]) -> NDArray[np.float64]:
    with torch.inference_mode():
        parts = [
            head(np.stack(clips[k : k + MAX_CLIPS]), texts[k : k + MAX_CLIPS]).float().cpu().numpy()
            for k in range(0, len(clips), MAX_CLIPS)
        ]
    return np.concatenate(parts).astype(np.float64)
