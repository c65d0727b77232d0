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

#: `absent` claims that it is not there; `unsure` claims nothing; `unparsed` is text without a readable answer;
#: `failed` stands for an answer that was lost or is no answer at all.
Status = Literal["answered", "absent", "unsure", "unparsed", "failed"]


@dataclass(slots=True, eq=False)
class Boxes:
    """Boxes of one object as they were answered; times need not lie inside the answered spans.

    Attributes:
        times: (n,) seconds, increasing.
        boxes: (n, 4) xyxy pixels of the displayed frame.
        id: name of the object, the same over time.
        label: what it is.
        score: confidence.
    """

    times: NDArray[np.float64]
    boxes: NDArray[np.float64]
    id: str = "0"
    label: str | None = None
    score: float | None = None

    def tube(self, spans: SpanSet, rate: float) -> Tube:
        """The boxes that lie inside `spans`, as a tube of the definitions."""
        inside = spans.index(self.times) >= 0
        return Tube(spans, self.times[inside], self.boxes[inside], rate=rate, id=self.id, label=self.label)


@dataclass(slots=True, eq=False)
class Prediction:
    """What was answered to one item.

    Attributes:
        id: of the item (of the video in detection, where answers belong to videos).
        status: see `Status`.
        spans: (k, 2) seconds: the answer as a set of time, in the order it was written.
        ranked: (k, 3) start, end, score: alternatives, best first as written; None where there is one answer only.
        labels: one class name per row of `ranked` (detection).
        boxes: one per object.
        rate: boxes per second that the boxes were made at; decides what counts as an absence between two of them.
        curve: score over time, (start, step, values): value i belongs to start + i * step seconds.
        answer: chosen option or free answer to the question (question answering).
        confidence: chance that the answer is right, or any score that grows with it.
        raw: the model's text, where that is what the file holds.
        parse: how that text was read, a status word of `answers.ParsedAnswer`.
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

    @property
    def span_set(self) -> SpanSet:
        """The answered time; spans with end <= start hold no time."""
        return SpanSet((float(s), float(e)) for s, e in self.spans if s < e)

    @property
    def top(self) -> NDArray[np.float64] | None:
        """(start, end) of the first choice: the best ranked, else the first span; None without an answer."""
        if self.ranked is not None and len(self.ranked):
            return self.ranked[0, :2]
        return self.spans[0] if len(self.spans) else None


@dataclass(slots=True)
class Fault:
    """Something wrong in a file of predictions, and what was made of it.

    Attributes:
        where: file and line or key.
        kind: a stable word: `unknown id`, `duplicate id`, `missing`, `not a number`, `reversed`, `out of range`,
            `torn line`, `empty`, ...
        message: one sentence: what, where, how to mend.
    """

    where: str
    kind: str
    message: str


@dataclass(slots=True)
class Predictions:
    """A read file of predictions: answers by item id, and what was wrong with the file.

    Attributes:
        by_id: id → answer; items without one are missing and count as wrong.
        faults: in the file's order.
        format: name of the file's format.
        path: the file.
    """

    by_id: dict[str, Prediction]
    faults: list[Fault]
    format: str
    path: str
