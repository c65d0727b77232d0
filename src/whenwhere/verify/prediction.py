"""What an answer claims about time and place, as the project's own types, or why it cannot be scored.

A `ParsedAnswer` keeps what was written. A `ParsedPrediction` turns it, once, into a set of time and a tube, which every
reward term reads. A *fault* makes the whole answer worth nothing: an unread, reversed, ambiguous or truncated answer
(see `ParsedAnswer.valid`), a number that is not finite, a reversed box, two boxes at one printed time whatever their
labels, or a box outside the answered time.

An answer without a fault may still claim no time at all (`spans` is None): a text with only a choice, a point, or boxes
without times.
"""

from dataclasses import dataclass

import numpy as np

from whenwhere.answers.answer import ParsedAnswer
from whenwhere.errors import WhenwhereError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube


@dataclass(frozen=True, slots=True, eq=False)
class ParsedPrediction:
    """What an answer claims.

    Attributes:
        answer: The answer as it was read.
        spans: Claimed time. Empty means "it is not there"; None means that nothing was said about time.
        tube: Claimed places inside `spans`, without boxes where none were answered. None where `spans` is None.
        fault: Why the answer is worth nothing, or None.
        text: The model's text, where it is known.
        form: Name of the form that was asked for, where one was.
    """

    answer: ParsedAnswer
    spans: SpanSet | None
    tube: Tube | None
    fault: str | None = None
    text: str | None = None
    form: str | None = None


def to_prediction(
    answer: ParsedAnswer, rate: float = 1.0, text: str | None = None, form: str | None = None
) -> ParsedPrediction:
    """What an answer claims about time and place.

    Args:
        answer: A parsed answer. Boxes that are not in pixels of the displayed frame are left out, because they cannot
            be compared with the truth.
        rate: Boxes per second that were asked for. It decides which gap between boxes counts as an absence, and how
            much time a box stands for in an answer without spans.
        text: The text the answer was read from.
        form: Name of the form that was asked for.

    >>> to_prediction(ParsedAnswer("ok", spans=((3.0, 5.0),))).spans
    SpanSet([3, 5))
    >>> to_prediction(ParsedAnswer("reversed", spans=((5.0, 3.0),))).fault
    'reversed'
    """
    if not answer.valid:
        return ParsedPrediction(answer, None, None, answer.status, text, form)
    placed = answer.boxes if answer.coordinates == "displayed" else ()
    timed = sorted((b.time, b.box) for b in placed if b.time is not None)
    if answer.status == "absent":
        spans = SpanSet()
    elif answer.spans or timed:
        try:
            spans = SpanSet(answer.spans or answer.spans_of_boxes(rate))
        except WhenwhereError as e:
            return ParsedPrediction(answer, None, None, str(e), text, form)
    else:
        return ParsedPrediction(answer, None, None, None, text, form)
    try:
        tube = Tube(spans, [t for t, _ in timed], np.array([b for _, b in timed], float).reshape(-1, 4), rate=rate)
    except WhenwhereError as e:
        return ParsedPrediction(answer, None, None, str(e), text, form)
    return ParsedPrediction(answer, spans, tube, None, text, form)
