"""`parse` turns the raw text of a model into a `ParsedAnswer`. Targets, rewards, difficulty and evaluation all call it.

`strict` mode accepts exactly one named form: what a policy is trained to write. `lenient` mode reads any form and says
in `status` and `reasons` how certain the reading is; it prefers no answer to a wrong one. Faults are data: nothing that
a model wrote raises an error, and the time taken is linear in the length of the text, up to a length that no sensible
answer has (`LONGEST_TEXT`, `LONGEST_ANSWER`); a model that repeats itself for megabytes costs no more than that.
"""

import re
from dataclasses import replace
from typing import Literal

from whenwhere.answers.answer import Coordinates, ParsedAnswer, Size, TimedBox, TimedPoint, status_of
from whenwhere.answers.catalogue import FORMS
from whenwhere.answers.choice import chosen_letter
from whenwhere.answers.choose import select_ranges
from whenwhere.answers.denial import denies
from whenwhere.answers.forms import FAMILY_COORDINATES, SHARES_OF_LENGTH
from whenwhere.answers.languages import in_english
from whenwhere.answers.lexer import Token, normalise_text, tokenise
from whenwhere.answers.markup import plain_text, without_own_brackets
from whenwhere.answers.prose_places import prose_places
from whenwhere.answers.ranges import Range, ranges
from whenwhere.answers.reading import read_structures
from whenwhere.answers.rows import seconds
from whenwhere.answers.structure import structures
from whenwhere.answers.tags import tagged
from whenwhere.answers.thought import closes_thought, split_thought
from whenwhere.answers.token_form import TOKEN_FORM, token_answer
from whenwhere.errors import SettingError

_SPAN_TAG = re.compile(r"<(glue|time|span|time_range)>([^<]*)</\1>", re.IGNORECASE)
_TARGET = re.compile(r"\btarget\s?id\s?[:=]\s?\[?(\d{1,6})\]?", re.IGNORECASE)
_YES = re.compile(r"\W*(?:yes|no|true|correct)\W*", re.IGNORECASE)

#: Characters of a text that are looked at: more than any model's thought and answer. Of a longer text only the end is,
#: if it contains the end of a thought, else the beginning.
LONGEST_TEXT = 1 << 22
#: Characters of an answer that are read: more than an hour of boxes, one a second. What is complete before is kept.
LONGEST_ANSWER = 1 << 18


def parse(
    text: object,
    mode: Literal["strict", "lenient"] = "lenient",
    form: str | None = None,
    size: Size | None = None,
    duration: float | None = None,
    *,
    shown: Size | None = None,
) -> ParsedAnswer:
    """What a model's text says.

    Args:
        text: The text as the model wrote it. Anything other than a string is `unparsed`.
        mode: `strict` accepts the exact notation of `form` and nothing else; `lenient` reads any form.
        form: Name in `FORMS`. Strict mode needs it; lenient mode uses it to know the coordinates.
        size: Width and height of the displayed frame. If given, boxes in fractions or thousandths, and with `shown`
            boxes in pixels, are returned in pixels of that frame. Other boxes stay as written.
        duration: Duration of the video in seconds, needed to read times in per cent or in shares of the video's length
            (bare numbers up to 1 of a family that answers so, or "from 0.3 to 0.5 of the video").
        shown: Width and height of the picture that the model saw, needed to convert boxes written in its pixels.

    Raises:
        SettingError: The mode or form is unknown, or strict mode was given no form.

    >>> parse("The event happens in 12.5s - 17 seconds.").spans
    ((12.5, 17.0),)
    >>> parse("It does not occur in the video.").status
    'absent'
    >>> parse("17.8 to 12.5").status, parse("17.8 to 12.5").spans
    ('reversed', ((17.8, 12.5),))
    """
    if mode not in ("strict", "lenient"):
        raise SettingError(f"the mode of parsing must be strict or lenient, not {mode!r}")
    kind, yx = _family(form)
    if mode == "strict" and form not in FORMS:
        raise SettingError(
            f"strict parsing needs the name of a form with a fixed notation: choose from {', '.join(FORMS)}"
        )
    if not isinstance(text, str):
        return ParsedAnswer("unparsed", reasons=(f"expected text, got {type(text).__name__}",))
    cut = len(text) > LONGEST_TEXT
    if cut:
        end = text[-LONGEST_TEXT:]
        text = end if closes_thought(end) else text[:LONGEST_TEXT]
        cut = text is not end
    answer = FORMS[form].parse(text) if form in FORMS else ParsedAnswer()
    if mode == "lenient" and not answer.valid:
        in_tokens = token_answer(text, form == TOKEN_FORM.name)
        answer = _lenient(text, duration, kind, yx, form in SHARES_OF_LENGTH) if in_tokens is None else in_tokens
    if cut and answer.valid:
        answer = replace(
            answer, status="truncated", reasons=(*answer.reasons, "the text is too long; its end is not read")
        )
    known = answer.coordinates in ("unit", "thousand") or (answer.coordinates == "pixels" and shown is not None)
    return answer.displayed(size, shown) if size is not None and known else answer


def _family(form: str | None) -> tuple[Coordinates | None, bool | None]:
    """Coordinates of a form or family, and the order of its `box_2d`."""
    if form is None:
        return None, None
    if form in FORMS:
        return FORMS[form].coordinates, False
    if form in FAMILY_COORDINATES:
        return FAMILY_COORDINATES[form]
    raise SettingError(f"unknown form {form!r}: choose from {', '.join([*FORMS, *FAMILY_COORDINATES])}")


def _lenient(
    text: str, duration: float | None, kind: Coordinates | None, yx: bool | None, shares: bool
) -> ParsedAnswer:
    parts = split_thought(normalise_text(text))
    reasons = parts.reasons
    scope = parts.answer
    if (not scope.strip() or (len(scope) < 40 and _YES.fullmatch(scope))) and parts.rest.strip():
        scope = parts.rest  # "It is from 3 to 5. So the answer is yes."
    own = _own_scope(parts.rest, scope)
    too_long = len(scope if own is None else own) > LONGEST_ANSWER
    scope, own = scope[:LONGEST_ANSWER], None if own is None else own[:LONGEST_ANSWER]
    if too_long:
        reasons.append(f"only the first {LONGEST_ANSWER} characters of the answer are read")
    letter = chosen_letter(in_english(scope), in_english(parts.rest))
    tags = tagged(scope if own is None else scope + "\n" + own)
    rest = in_english(plain_text(tags.rest if own is None else own))
    all_tokens = without_own_brackets(tokenise(rest))
    nodes, unfinished = structures(all_tokens)
    places = prose_places(all_tokens, nodes)
    structured = read_structures(nodes, duration, yx, places)
    if own is not None and not (structured.boxes or structured.points):
        more = read_structures(structures(tokenise(plain_text(tagged(scope).rest)))[0], duration, yx)
        structured.boxes, structured.points = more.boxes, more.points
    free = [t for t in all_tokens if t.start not in places.taken] if places.taken else all_tokens
    found = _found(free, structured.ranges, [(n.start, n.end) for n in nodes], duration)
    spans_of, ambiguous, noticed = select_ranges(rest, found, denied=structured.denied)
    reasons += [*structured.reasons, *noticed]
    spans = tuple(span for r in spans_of for span in r.spans)
    boxes = (*tags.boxes, *structured.boxes)
    if shares and spans and all(r.bare for r in spans_of) and all(0 <= t <= 1 for span in spans for t in span):
        if duration is None or duration <= 0:
            ambiguous = True
            reasons.append("times are shares of the video's length, and the duration is not known")
        else:
            spans = tuple((round(start * duration, 9), round(end * duration, 9)) for start, end in spans)
    points = (*tags.points, *structured.points)
    truncated = parts.truncated or tags.truncated or unfinished or too_long
    if parts.truncated and not unfinished and spans and _cut_number(all_tokens, spans_of):
        reasons.append("the last number may be cut short")
        spans = spans[:-1]
    target = _TARGET.search(rest)
    target_id = target[1] if target else structured.target
    letter = letter or structured.choice
    read_any = bool(spans or boxes or points or letter or target_id)
    absent = not read_any and not ambiguous and (structured.absent or denies(rest))
    status = status_of(
        spans, boxes, points, read_any, ambiguous=ambiguous or (structured.unclear and not read_any),
        truncated=truncated and (read_any or not absent), absent=absent,
    )  # fmt: skip
    if unfinished and read_any:
        reasons.append("the text stops inside a list; what was complete is kept")
    return ParsedAnswer(
        status, spans, boxes, points, _kind(boxes, points, kind or tags.coordinates), letter, target_id, parts.thought,
        None, tuple(dict.fromkeys(reasons)),
    )  # fmt: skip


def _own_scope(rest: str, scope: str) -> str | None:
    """The content of the last `<glue>` or `<time>` that holds a whole range, else None."""
    held = [m[2] for m in _SPAN_TAG.finditer(scope)] or [m[2] for m in _SPAN_TAG.finditer(rest)]
    whole = [h for h in held if re.search(r"[\w\[]", h) and seconds(h) is None]  # not the two halves of a range
    return whole[-1] if whole else None


def _found(
    all_tokens: list[Token], structured: list[Range], places: list[tuple[int, int]], duration: float | None
) -> list[Range]:
    """All ranges in order: those in prose outside the structures, and those of the structures."""
    flat: list[Token] = []
    inside = iter(places)
    place = next(inside, None)
    for t in all_tokens:
        while place is not None and t.start >= place[1]:
            place = next(inside, None)
        if place is not None and place[0] <= t.start < place[1]:
            continue
        if t.kind == "string":
            for s in tokenise(t.text[1:-1]):
                flat.append(s._replace(start=s.start + t.start + 1, end=s.end + t.start + 1))
        else:
            flat.append(t)
    prose = ranges(flat, duration)
    return sorted([*prose, *structured], key=lambda r: r.start)


def _cut_number(all_tokens: list[Token], kept: list[Range]) -> bool:
    """Whether the last number touches the end of a truncated text and has fewer decimals than its partner."""
    times = [t for t in all_tokens if t.kind == "time"]
    ends = all_tokens[:-1] if all_tokens and all_tokens[-1].kind == "stop" else all_tokens
    if len(times) < 2 or ends[-1] is not times[-1] or not kept or kept[-1].end != times[-1].end:
        return False
    return not times[-1].unit and times[-1].decimals < times[-2].decimals


def _kind(boxes: tuple[TimedBox, ...], points: tuple[TimedPoint, ...], kind: Coordinates | None) -> Coordinates | None:
    """The kind of the coordinates, as far as the numbers alone can tell."""
    flat = [x for b in boxes for x in b.box] + [x for p in points for x in p.point]
    if not flat:
        return None
    if kind is not None:
        return kind
    if max(flat) <= 1 and min(flat) >= 0:
        return "unit"
    return "pixels" if max(flat) > 1000 else "unknown"
