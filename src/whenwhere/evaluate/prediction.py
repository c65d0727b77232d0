"""One answer to one item, whatever file it came from.

Answers are kept as they were written: spans in any order, possibly reversed or outside the video, boxes outside the
answered time. What that costs is the protocol's business. Only what cannot be a number (NaN, text) is a fault of the
file and makes the answer `failed`; a failed answer is wrong everywhere, also where the truth is empty.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import span_array
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

#: `absent` claims that the thing is not in the video; `unsure` claims nothing; `unparsed` is text without a readable
#: answer; `failed` stands for an answer that was lost or cannot be used.
Status = Literal["answered", "absent", "unsure", "unparsed", "failed"]


@dataclass(slots=True, eq=False)
class Boxes:
    """The boxes of one answered object; their times need not lie inside the answered spans.

    Attributes:
        times: Seconds, increasing, shape (n,).
        boxes: Boxes xyxy in pixels of the displayed frame, shape (n, 4).
        id: Name of the object, the same over time.
        label: Class of the object.
        score: Confidence in the object.
    """

    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    id: str = "0"
    label: str | None = None
    score: float | None = None

    def tube(self, spans: SpanSet, rate: float) -> Tube:
        """The boxes that lie inside `spans`, as a `Tube`."""
        inside = spans.index(self.times) >= 0
        return Tube(spans, self.times[inside], self.boxes[inside], rate=rate, id=self.id, label=self.label)


@dataclass(slots=True, eq=False)
class Prediction:
    """The answer to one item.

    Attributes:
        id: Id of the item; name of the video in detection, where answers belong to videos.
        status: What the answer claims, see `Status`.
        spans: The answer as a set of time, seconds, shape (k, 2), in the order it was written.
        ranked: Alternatives, best first as written: start, end, score, shape (k, 3). The scores are NaN if the answer
            gives none. None if there is one answer only.
        labels: One class name for each row of `ranked` (detection).
        boxes: The answered objects.
        rate: Boxes per second that the boxes were made at; a longer gap between two boxes is an absence.
        curve: Score over time, (start, step, values): value i belongs to start + i * step seconds.
        answer: Chosen option or free answer to the question (question answering).
        confidence: Probability that the answer is right, or any score that grows with it.
        raw: Text of the model, if that is what the file holds.
        parse: How that text was read, a status word of `answers.ParsedAnswer`.
        scores: One score for each candidate, shape (c,): for each video in retrieval, for each class in recognition.
    """

    id: str
    status: Status = "answered"
    spans: NDArray[np.float64] = field(default_factory=span_array)
    ranked: NDArray[np.float64] | None = None
    labels: list[str] | None = None
    boxes: list[Boxes] = field(default_factory=list)
    rate: float = 1.0
    curve: tuple[float, float, NDArray[np.float64]] | None = None
    answer: str | None = None
    confidence: float | None = None
    raw: str | None = None
    parse: str | None = None
    scores: NDArray[np.float64] | None = None

    @property
    def span_set(self) -> SpanSet:
        """The answered time; spans with end <= start hold no time."""
        return SpanSet((float(s), float(e)) for s, e in self.spans if s < e)

    @property
    def top(self) -> NDArray[np.float64] | None:
        """Start and end of the first choice: the best ranked span, else the first span; None without an answer."""
        if self.ranked is not None and len(self.ranked):
            return self.ranked[0, :2]
        return self.spans[0] if len(self.spans) else None


@dataclass(slots=True)
class PredictionFault:
    """Something wrong in a file of predictions, and how it was treated.

    Attributes:
        where: File and line, or file and key.
        kind: A stable word: `unknown id`, `duplicate id`, `missing`, `not a number`, `reversed`, `out of range`,
            `torn line`, `empty`, ...
        message: One sentence: what is wrong, where, and how to mend it.
    """

    where: str
    kind: str
    message: str


@dataclass(slots=True)
class Predictions:
    """A file of predictions after reading.

    Attributes:
        by_id: Id → answer; items without one are missing and count as wrong.
        faults: What is wrong with the file, in the file's order.
        format: Name of the file's format.
        path: The file, or the folder that was read.
        strangers: How many answers belong to no item, in words with their share; None if each belongs to one.
    """

    by_id: dict[str, Prediction]
    faults: list[PredictionFault]
    format: str
    path: str
    strangers: str | None = None
