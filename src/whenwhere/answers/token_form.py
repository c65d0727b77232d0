"""The form `tokens`: every time and every coordinate is one token, for policies with their own vocabulary.

    <2.0s><5.5s><2.0s><120><400><300><620><3.0s><140><400><320><620>

A span is two times. Its boxes follow, each of them a time and x1, y1, x2, y2 in thousandths. Times are multiples of
half a second, coordinates multiples of ten. Several spans follow one another, and `<none>` says that the event is not
there. Nothing has to be counted ahead: a time after a time ends a span, a coordinate after a time begins a box.

In strict reading, every piece must belong to the vocabulary and be in its right position. In lenient reading, pieces
are found inside other text, even off the grid, and everything complete before a fault is kept.
"""

import re

from whenwhere.answers.answer import Coordinates, ParsedAnswer, TimedBox, status_of
from whenwhere.answers.forms import Form, boxes_in_span

_TIME = r"<(?:0|[1-9][0-9]{0,8})\.[05]s>"
_COORDINATE = r"<(?:0|[1-9][0-9]?0|1000)>"
_STRICT = re.compile(rf"(?:{_TIME}{_TIME}(?:{_TIME}(?:{_COORDINATE}){{4}})*)+")
_PIECE = re.compile(r"<([0-9]{1,9}(?:\.[0-9]{1,3})?)(s?)>", re.ASCII)
#: Two adjacent times, which no other form writes.
_MARK = re.compile(r"<[0-9]{1,9}(?:\.[0-9]{1,3})?s>\s?<[0-9]{1,9}(?:\.[0-9]{1,3})?s>", re.ASCII)
_OPEN = re.compile(r"<[0-9]{0,9}(?:\.[0-9]{0,3})?s?$", re.ASCII)
ABSENT_TOKEN = "<none>"


def _read(contents: list[str], tail: str) -> ParsedAnswer | None:
    if tail == ABSENT_TOKEN:
        return ParsedAnswer()
    if not _STRICT.fullmatch(tail):
        return None
    spans, boxes, _ = _gathered(tail)
    return ParsedAnswer(spans=tuple(spans), boxes=tuple(boxes))


def _write(answer: ParsedAnswer) -> tuple[list[str], str]:
    left = list(answer.boxes)
    parts: list[str] = []
    for span in answer.spans:
        here = boxes_in_span(left, span)
        left = [b for b in left if b not in here]
        parts += [f"<{t:.1f}s>" for t in span]
        parts += [f"<{b.time:.1f}s>" + "".join(f"<{x:.0f}>" for x in b.box) for b in here]
    return [], "".join(parts) or ABSENT_TOKEN


def _gathered(text: str) -> tuple[list[tuple[float, float]], list[TimedBox], list[str]]:
    """Spans and boxes in written order, and what could not be used, one clause each."""
    spans: list[tuple[float, float]] = []
    boxes: list[TimedBox] = []
    reasons: list[str] = []
    times: list[float] = []
    sides: list[float] = []
    for number, second in _PIECE.findall(text):
        value = float(number)
        if second:
            if sides:
                reasons.append("a box has fewer than four coordinates")
            times, sides = ([*times, value] if not sides else [value]), []
            if len(times) == 2:
                spans.append((times[0], times[1]))
                times = []
        elif not times:
            reasons.append("a coordinate has no time before it")
        else:
            sides.append(value)
            if len(sides) == 4:
                boxes.append(TimedBox(times[0], (sides[0], sides[1], sides[2], sides[3])))
                times, sides = [], []
    if times:
        reasons.append("the text stops inside a span or a box; what was complete is kept")
    return spans, boxes, list(dict.fromkeys(reasons))


def token_answer(text: str, named: bool) -> ParsedAnswer | None:
    """The lenient reading of a text that contains pieces of this form; None where it does not.

    Args:
        text: The text as the model wrote it.
        named: Whether this form is known to have been asked for. Otherwise two times must be adjacent somewhere.

    >>> token_answer("It is at <2.0s><5.5s><2.0s><120><400><300>", named=False).status
    'truncated'
    >>> token_answer("from <b>3</b> to 5", named=False) is None
    True
    """
    if not _MARK.search(text):
        if named and ABSENT_TOKEN in text and not _PIECE.search(text):
            return ParsedAnswer(
                "absent", reasons=() if text.strip() == ABSENT_TOKEN else ("there are words around the answer",)
            )
        return None
    spans, boxes, reasons = _gathered(text)
    cut = bool(_OPEN.search(text)) or any("stops inside" in reason for reason in reasons)
    status = status_of(spans, boxes, (), True, truncated=cut)
    kind: Coordinates | None = "thousand" if boxes else None
    return ParsedAnswer(status, tuple(spans), tuple(boxes), coordinates=kind, reasons=tuple(reasons))


TOKEN_FORM = Form(
    "tokens",
    "this project: one token per time and coordinate, for policies with a vocabulary of their own",
    "<2.0s><5.5s><2.0s><120><400><300><620><3.0s><140><400><320><620>",
    _read,
    _write,
    tags=(),
    spans=None,
    decimals=1,
    tick=0.5,
    coordinates="thousand",
    grain=10,
    holds=("boxes",),
    empty=True,
    box_text=r"<[0-9.]+s>(?:<[0-9]+>)+",
)
