"""The tasks: what is asked of a model, and what a report shows beside its score.

Every evaluation runs the same way (`whenwhere.evaluate.run`), and a `Task` holds what differs between kinds of answers.
Its name connects the tables: a `Benchmark` says which task it poses and reads its items, a `Protocol` says which tasks
it can score, and a `Format` says whether it belongs to some tasks only. So the protocols and formats of a task are
found, not listed again.

A new task is one `Task` here and one line in `TASKS`. Null queries and several spans are not tasks of their own: their
answers are those of `spans`, scored by other protocols (`absence`, `multispan`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from whenwhere.datasets.item import Item
from whenwhere.evaluate import recognition, retrieval, vqa
from whenwhere.evaluate.constants import (
    Constant,
    detection_constants,
    moment_constants,
    span_constants,
    tracking_constants,
    tube_constants,
)
from whenwhere.evaluate.controls import Swap, query_swap, video_swap
from whenwhere.evaluate.diagnostics import Choices
from whenwhere.evaluate.formats import Format, formats_of
from whenwhere.evaluate.gold import gold_answers, gold_detections
from whenwhere.evaluate.prediction import Prediction
from whenwhere.evaluate.protocol import Protocol, Scores
from whenwhere.evaluate.protocols import PROTOCOLS
from whenwhere.evaluate.tubes.decomposition import decomposition

#: Hands the answers of a file to other items: (items, answers, seed) → swap, or None if the items do not allow it.
Control = Callable[[Sequence[Item], Mapping[str, Prediction], int], Swap | None]


def _query_swap(items: Sequence[Item], answers: Mapping[str, Prediction], seed: int) -> Swap | None:
    return query_swap(items, answers)


_SWAPS: tuple[Control, ...] = (_query_swap, video_swap)


@dataclass(frozen=True)
class Task:
    """One kind of question.

    Attributes:
        name: Name that benchmarks, protocols and formats refer to.
        title: What an answer is, in words.
        baselines: (items, training items or None) → constant answers, or known results such as chance.
        gold: Items → the best possible answers, by id; they check readers and protocols.
        definitions: Protocols of this project's own definition under which the gold answers are checked.
        controls: Swaps of the answers that show whether they depend on the sentence and on the pixels.
        choices: (items, answers) → first choices beside the truths, from which failure modes are counted. None if an
            answer is not a time.
        decomposition: (items, answers) → what is lost in time and what in space; None for answers without boxes.
        boxed: Whether the truth has boxes.
        timed: Whether the truth is a time.
        answered: Item → key of the answer that covers it, if answers belong to something larger than an item (a video).
        jackknife: Whether pooled measures get an interval by leaving groups of videos out.
        truth_in_predictions: Whether the file of predictions also holds the truth, so that no annotations are needed.
    """

    name: str
    title: str
    baselines: Callable[[Sequence[Item], Sequence[Item] | None], list[Constant]]
    gold: Callable[[Sequence[Item]], dict[str, Prediction]] = gold_answers
    definitions: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    choices: Callable[[Sequence[Item], Mapping[str, Prediction]], Choices] | None = None
    decomposition: Callable[[Sequence[Item], Mapping[str, Prediction]], Scores] | None = None
    boxed: bool = False
    timed: bool = True
    answered: Callable[[Item], str] | None = None
    jackknife: bool = True
    truth_in_predictions: bool = False

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols that can score this task."""
        return [protocol for protocol in PROTOCOLS.values() if self.name in protocol.tasks]

    @property
    def formats(self) -> dict[str, Format]:
        """The formats that hold answers to this task, by name."""
        return formats_of(self.name)


#: A task whose answers are times.
_TIMES = partial(Task, baselines=span_constants, definitions=("default",), controls=_SWAPS, choices=Choices)

#: Every task by name.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _TIMES("spans", "spans in seconds"),
        _TIMES("highlights", "ranked windows, and one score for each clip of two seconds"),
        _TIMES(
            "moments",
            "ranked moments of five-second chunks",
            baselines=moment_constants,
            controls=(_query_swap, partial(video_swap, stretch=False)),
        ),
        _TIMES("qa", "an option, and its evidence in seconds"),
        Task(
            "tubes",
            "spans in seconds, and boxes inside them",
            tube_constants,
            definitions=("default", "default-tubes"),
            controls=_SWAPS,
            choices=Choices,
            decomposition=decomposition,
            boxed=True,
        ),
        Task(
            "tracking",
            "boxes of an object whose first box is given",
            tracking_constants,
            definitions=("default-tubes",),
            controls=_SWAPS,
            choices=Choices,
            boxed=True,
        ),
        Task(
            "detection",
            "scored segments of classes, for each video",
            detection_constants,
            gold=gold_detections,
            answered=attrgetter("video"),
        ),
        Task(
            "retrieval",
            "similarities of sentences and videos",
            retrieval.chance,
            gold=retrieval.gold_similarities,
            timed=False,
            jackknife=False,
            truth_in_predictions=True,
        ),
        Task(
            "recognition",
            "scores of classes",
            recognition.most_frequent_class,
            gold=recognition.gold_classes,
            timed=False,
            truth_in_predictions=True,
        ),
        Task("vqa", "a short answer", vqa.most_frequent_answer, gold=vqa.gold_texts, timed=False),
    )
}
