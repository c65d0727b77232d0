"""Measures how far a teacher's own answer is from the truth, and of which kind its error is.

Errors are of the kinds that annotators make too (`stage.shapes.noise`). Two of them leave the reasoning usable, because
it is about the right event and the right thing: `jitter` (ends moved independently) and `shift` (both ends moved by the
same amount, as by a clock with a constant error). The others mean that the reasoning is about something else:
`wrong span` (hardly any shared time), `wrong target` (boxes on another thing) and `wrong count` (another number of
events). Numbers in such a thought are never replaced, because the words would still describe the other thing.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from whenwhere.answers import ParsedAnswer
from whenwhere.errors import SettingError
from whenwhere.overlap import box_iou, t_iou, v_iou
from whenwhere.spans import SpanSet
from whenwhere.tracking.rate import UNKNOWN_FRAME
from whenwhere.verify import Truth, to_prediction

ErrorKind = Literal["none", "jitter", "shift", "wrong span", "wrong target", "wrong count", "no box"]
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrajectoryLimits:
    """Limits of what is accepted of a teacher.

    Attributes:
        min_t_iou: Least t_IoU, 0 to 1, of the teacher's time with the truth; below it the thought is about another
            event.
        min_box_iou: Least IoU, 0 to 1, of a box with the true one at its time; below it the box is on another object.
        near: Most seconds between a time in the thought and the start or end of the answer that it means.
        tolerance: Most seconds by which a time in the finished thought may lie outside the true time.
        min_words: Fewest words of a thought besides its numbers, the question's words and words without meaning of
            their own; a thought with fewer only repeats the answer.
        copies: Share of the thoughts that only repeat the answer that is kept, 0-1.

    Raises:
        SettingError: A limit is out of its range.
    """

    min_t_iou: float = 0.3
    min_box_iou: float = 0.2
    near: float = 0.5
    tolerance: float = 0.1
    min_words: int = 5
    copies: float = 0.0

    def __post_init__(self) -> None:
        for name in ("min_t_iou", "min_box_iou", "copies"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"{name} is between 0 and 1, not {getattr(self, name):g}")
        for name in ("near", "tolerance", "min_words"):
            if not 0 <= getattr(self, name) < 1e6:
                raise SettingError(f"{name} is 0 or more, not {getattr(self, name):g}")


@dataclass(frozen=True, slots=True)
class TeacherError:
    """The error of a teacher's answer.

    Attributes:
        kind: Kind of the error, as the module describes them. `no box` means that the item has boxes and the teacher
            gave none at a true time, so nobody can tell which thing it means.
        t_iou: Overlap in time, 0-1.
        v_iou: Overlap in time and place, 0-1; None where the item has no boxes.
        box_iou: Median overlap of the teacher's boxes at true times with the true ones; None where there are none.
        start: Mean signed error of the starts in seconds; None if starts cannot be paired.
        end: Mean signed error of the ends in seconds; None if ends cannot be paired.
    """

    kind: ErrorKind
    t_iou: float
    v_iou: float | None = None
    box_iou: float | None = None
    start: float | None = None
    end: float | None = None


def teacher_error(answer: ParsedAnswer, truth: Truth, limits: TrajectoryLimits | None = None) -> TeacherError:
    """Measure the error of an answer that could be read.

    Args:
        answer: The teacher's answer, with boxes in pixels of the displayed frame.
        truth: The truth of the question, with its time.
        limits: Limits below which the answer is about another event or object; None takes the defaults.

    >>> truth = Truth(SpanSet([(2, 6)]))
    >>> said = [(2.0, 6.0), (3.0, 7.0), (1.0, 6.5), (7.0, 8.0)]
    >>> [teacher_error(ParsedAnswer("ok", spans=(s,)), truth).kind for s in said]
    ['none', 'shift', 'jitter', 'wrong span']
    """
    limits = limits or TrajectoryLimits()
    assert truth.spans is not None
    said = to_prediction(answer)
    spans = said.spans if said.spans is not None else SpanSet()
    time = t_iou(truth.spans, spans)
    place, overlap = None, None
    if truth.tube is not None:
        place = v_iou(truth.tube, said.tube) if said.tube is not None and len(said.tube) else 0.0
        overlap = _box_overlap(answer, truth)
    starts = ends = None
    kind: ErrorKind
    if time < limits.min_t_iou:
        kind = "wrong span"
    elif len(spans) != len(truth.spans) or not all(
        t_iou(SpanSet([a]), SpanSet([b])) > 0 for a, b in zip(truth.spans, spans, strict=True)
    ):
        kind = "wrong count"
    else:
        starts, ends = spans.starts - truth.spans.starts, spans.ends - truth.spans.ends
        if truth.tube is not None and len(truth.spans) and overlap is None:
            kind = "no box"
        elif overlap is not None and overlap < limits.min_box_iou:
            kind = "wrong target"
        else:
            kind = _of_ends(starts, ends)
    known = starts is not None and ends is not None and len(starts) > 0
    return TeacherError(
        kind, round(time, 6), None if place is None else round(place, 6),
        None if overlap is None else round(overlap, 6),
        round(float(np.mean(starts)), 6) if known and starts is not None else None,
        round(float(np.mean(ends)), 6) if known and ends is not None else None,
    )  # fmt: skip


def true_box(truth: Truth, time: float, slack: float = 0.0) -> Corners | None:
    """The true box at a time, xyxy in pixels of the displayed frame; None if there is none.

    The end of a span has the box of its last frame.

    Args:
        truth: The truth of the question.
        time: Time in seconds.
        slack: Most seconds outside a span at which the box of that end counts.
    """
    if truth.tube is None:
        return None
    frame = 1 / truth.fps if truth.fps else UNKNOWN_FRAME
    for span in truth.tube.spans:
        if span.start - slack - 1e-6 <= time <= span.end + slack + 1e-6:
            box = truth.tube.boxes_at([min(max(time, span.start), max(span.start, span.end - frame))])[0]
            if not np.isnan(box[0]):
                return float(box[0]), float(box[1]), float(box[2]), float(box[3])
    return None


def _box_overlap(answer: ParsedAnswer, truth: Truth) -> float | None:
    """Median IoU of the answer's boxes with the true ones at their times; None if none is at a true time."""
    found = []
    for b in answer.boxes:
        true = None if b.time is None else true_box(truth, b.time)
        if true is not None:
            found.append(float(box_iou([b.box], [true])[0]))
    return float(np.median(found)) if found else None


def _of_ends(starts: np.ndarray, ends: np.ndarray) -> ErrorKind:
    """The kind of the error of starts and ends, from their signed errors in seconds."""
    both = np.concatenate([starts, ends])
    # answers are written to a tenth of a second
    if not len(both) or np.abs(both).max() <= 0.1 + 1e-6:
        return "none"
    spread = np.ptp(both)
    return "shift" if spread <= 0.1 + 0.25 * np.abs(both).mean() and abs(np.sign(both).sum()) == len(both) else "jitter"
