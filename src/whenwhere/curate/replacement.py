"""Replaces the times and boxes in a teacher's thought by the true ones, and drops sentences that then no longer agree.

The teacher's answer tells what a time in its thought means: a time near an end of the answered span stands for that
end, and becomes the true end; a length near the answered length becomes the true length. A time in between is kept
where it lies inside the true span as well. Every other time belongs to something that the truth says nothing of, and
its sentence is dropped. A box at a true time becomes the true box, if it is on the right thing; else its sentence is
dropped. Sentences without claims stay.

Only the numbers change, so that the words remain the teacher's. The caller has made sure that they are about the right
event and thing (`teacher_error`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

from whenwhere.answers.answer import ParsedAnswer, scale
from whenwhere.answers.forms import Form
from whenwhere.curate.citations import CitedTime, CitingSentence, citing_sentences
from whenwhere.curate.teacher_error import Corners, TrajectoryLimits, true_box
from whenwhere.overlap import box_iou
from whenwhere.verify import Truth

Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Replacement:
    """A thought with true numbers.

    Attributes:
        thought: The thought; "" if no sentence is left.
        times: The teacher's and the true seconds of each time that was kept, in written order.
        boxes: IoU, 0 to 1, of each of the teacher's boxes with the true box at its time, before it was replaced.
        dropped: Each sentence that was dropped, and the reason.
        original: The sentences that were kept, as the teacher wrote them.
    """

    thought: str
    times: list[tuple[float, float]] = field(default_factory=list)
    boxes: list[float] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    original: str = ""


class _DroppedError(Exception):
    """The reason why a sentence is dropped."""


def replace_numbers(
    thought: str,
    said: Spans,
    truth: Truth,
    form: Form,
    displayed: Callable[[Corners], Corners] | None = None,
    limits: TrajectoryLimits | None = None,
) -> Replacement:
    """Replace the times and boxes of a thought by the true ones, written as the form writes them.

    Args:
        thought: The teacher's reasoning, without its tags.
        said: The spans of the teacher's answer, as many as the truth has, in order of time.
        truth: The truth of the question.
        form: Form of the answer. It gives the digits of times, and the kind of coordinates where it has boxes; boxes in
            thousandths are written otherwise.
        displayed: Converts a box of the thought to pixels of the displayed frame. None if it is in these pixels.
        limits: Limits of what counts as near, and as the right object; None takes the defaults.

    >>> from whenwhere.answers import FORMS
    >>> from whenwhere.spans import SpanSet
    >>> text = "The dog runs in at 3 s and leaves at 7 s. At 12 s a cat sleeps. Both are brown."
    >>> replace_numbers(text, ((3.0, 7.2),), Truth(SpanSet([(2.5, 7.8)])), FORMS["second-level"]).thought
    'The dog runs in at 2.5 s and leaves at 7.8 s. Both are brown.'
    """
    limits = limits or TrajectoryLimits()
    true = written_spans(truth, form)
    out, original = [], []
    found = Replacement("")
    for sentence in citing_sentences(thought):
        try:
            text, times, boxes = _rewritten(sentence, sorted(said), true, truth, form, displayed, limits)
        except _DroppedError as e:
            found.dropped.append((sentence.text.strip(), str(e)))
            continue
        out.append(text)
        original.append(sentence.text)
        found.times.extend(times)
        found.boxes.extend(boxes)
    return Replacement(
        "".join(out).strip(), found.times, found.boxes, found.dropped, "".join(original).strip()
    )  # fmt: skip


def written_spans(truth: Truth, form: Form) -> Spans:
    """The true spans as a form writes them, so that thought and answer hold the same numbers.

    Args:
        truth: The truth of the question.
        form: The form.
    """
    spans = tuple((s.start, s.end) for s in truth.spans or ())
    if spans and form.spans != 0:
        spans = replace(form, spans=None, holds=()).quantise(ParsedAnswer("ok", spans)).spans
    return tuple((round(s, _decimals(form)), round(e, _decimals(form))) for s, e in spans)


def written_box(box: Corners, truth: Truth, form: Form) -> tuple[str, str, str, str]:
    """The four numbers by which a thought cites a box: in the form's own coordinates, else in thousandths.

    Args:
        box: x1, y1, x2, y2 in pixels of the displayed frame.
        truth: The truth of the question, with the sizes of the frame and of the policy's picture.
        form: The form of the answer.
    """
    kind = form.coordinates or "thousand"
    sx, sy = scale("displayed", kind, truth.size, truth.shown)
    width, height = {"unit": (1.0, 1.0), "thousand": (1000.0, 1000.0)}.get(kind) or truth.shown or (0.0, 0.0)
    values = [min(max(v * s, 0.0), most) for v, s, most in zip(box, (sx, sy, sx, sy), (width, height) * 2, strict=True)]
    a, b, c, d = (f"{v:.{form.steps}f}" if kind == "unit" else str(round(v)) for v in values)
    return a, b, c, d


def _rewritten(
    sentence: CitingSentence,
    said: list[tuple[float, float]],
    true: Spans,
    truth: Truth,
    form: Form,
    displayed: Callable[[Corners], Corners] | None,
    limits: TrajectoryLimits,
) -> tuple[str, list[tuple[float, float]], list[float]]:
    if sentence.unreadable is not None:
        raise _DroppedError(f"it states {sentence.unreadable}")
    moved = [_true_time(t, said, true, truth, limits) for t in sentence.times]
    points = sorted({(t.seconds, new) for t, new in zip(sentence.times, moved, strict=True) if not t.length})
    if any(x >= y for (a, x), (b, y) in pairwise(points) if a < b):
        raise _DroppedError("its times would stand in another order")
    edits = [
        (t.start, t.end, _written_time(t, new, form)) for t, new in zip(sentence.times, moved, strict=True)
    ]  # fmt: skip
    overlaps = []
    for cited in sentence.boxes:
        if cited.at is None:
            raise _DroppedError("it has a box without a time")
        if truth.tube is None or truth.size is None:
            raise _DroppedError("it has a box, and the item has none to compare it with")
        there = true_box(truth, sentence.times[cited.at].seconds)
        new_box = true_box(truth, moved[cited.at], limits.tolerance)
        box = cited.box if displayed is None else displayed(cited.box)
        # the teacher may have looked at the second that it named or at the one that it meant
        overlap = max((float(box_iou([box], [b])[0]) for b in (there, new_box) if b is not None), default=0.0)
        if new_box is None or overlap < limits.min_box_iou:
            raise _DroppedError("it has a box on something else")
        x1, y1, x2, y2 = written_box(new_box, truth, form)
        edits.append(
            (cited.start, cited.end, f"({x1}, {y1}), ({x2}, {y2})" if cited.corners else f"{x1}, {y1}, {x2}, {y2}")
        )
        overlaps.append(overlap)
    text = sentence.text
    for start, end, new_text in sorted(edits, reverse=True):
        text = text[:start] + new_text + text[end:]
    pairs = [(t.seconds, new) for t, new in zip(sentence.times, moved, strict=True)]
    return text, pairs, overlaps


def _true_time(
    time: CitedTime, said: list[tuple[float, float]], true: Spans, truth: Truth, limits: TrajectoryLimits
) -> float:
    if time.length:
        lengths = [(abs(time.seconds - (e - s)), b - a) for (s, e), (a, b) in zip(said, true, strict=True)]
        if truth.duration is not None:
            lengths.append((abs(time.seconds - truth.duration), time.seconds))
        near = min(lengths, default=None)
        if near is None or near[0] > limits.near:
            raise _DroppedError("it names a length that is neither the event's nor the video's")
        return near[1]
    ends = [
        (abs(time.seconds - x), y)
        for span, right in zip(said, true, strict=True)
        for x, y in zip(span, right, strict=True)
    ]
    near = min(ends, default=None)
    if near is not None and near[0] <= limits.near:
        return near[1]
    if any(a <= time.seconds <= b for a, b in true) and any(s <= time.seconds <= e for s, e in said):
        return time.seconds
    raise _DroppedError("it names a time outside the event")


def _decimals(form: Form) -> int:
    return form.decimals if form.spans != 0 or form.timed else 1


def _written_time(time: CitedTime, seconds: float, form: Form) -> str:
    text = f"{seconds:.{_decimals(form)}f}"
    return f"{text} s" if time.unit else text
