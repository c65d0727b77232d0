"""What an answer claims about time and place, in the project's own words, or why it cannot be scored.

An `Answer` keeps what was written. Here it becomes a set of time and a tube, once, and every reward term reads those.
A *fault* makes the whole answer worth nothing: unread, reversed, ambiguous or cut short (`Answer.valid`), a number that
is not finite, a reversed box, two boxes at one printed time whatever their labels, a box outside the answered time.

No fault, but nothing to score in time (`spans` is None): a text with only a choice, a point or boxes without times.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.answers.answer import Answer
from whenwhere.errors import WhenwhereError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What an answer claims.

    Attributes:
        answer: as it was read.
        spans: claimed time; empty says "it is not there"; None says nothing about time.
        tube: claimed places inside `spans`, without boxes where none were answered; None where `spans` is.
        fault: why the answer is worth nothing, or None.
        text: what the model wrote, where it is at hand.
        form: name of the form that was asked for, where one was.
    """

    answer: Answer
    spans: SpanSet | None
    tube: Tube | None
    fault: str | None = None
    text: str | None = None
    form: str | None = None


def claimed(answer: Answer, rate: float = 1.0, text: str | None = None, form: str | None = None) -> Claim:
    """The claim of an answer.

    Args:
        answer: read; boxes that are not in pixels of the displayed frame are left out, they cannot be compared.
        rate: boxes per second that were asked for: decides what gap between boxes is an absence, and the time that a
            box without a span stands for.
        text: what was read.
        form: that was asked for.

    >>> claimed(Answer("ok", spans=((3.0, 5.0),))).spans
    SpanSet([3, 5))
    >>> claimed(Answer("reversed", spans=((5.0, 3.0),))).fault
    'reversed'
    """
    if not answer.valid:
        return Claim(answer, None, None, answer.status, text, form)
    placed = answer.boxes if answer.coordinates == "displayed" else ()
    timed = sorted((b.time, b.box) for b in placed if b.time is not None)
    if answer.status == "absent":
        spans = SpanSet()
    elif answer.spans or timed:
        try:
            spans = SpanSet(answer.spans or answer.spans_of_boxes(rate))
        except WhenwhereError as e:
            return Claim(answer, None, None, str(e), text, form)
    else:
        return Claim(answer, None, None, None, text, form)
    try:
        tube = Tube(spans, [t for t, _ in timed], np.array([b for _, b in timed], float).reshape(-1, 4), rate=rate)
    except WhenwhereError as e:
        return Claim(answer, None, None, str(e), text, form)
    return Claim(answer, spans, tube, None, text, form)
