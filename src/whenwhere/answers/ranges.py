"""From tokens to ranges of time: what joins two times, what labels them, and what only looks like a range.

There are three ways to write a range: two times and a separator ("12.5s - 17", "from 12 until about 17"), two labelled
times ("starts at 3.2 s … ends at 7.5 s", in either order, or a start and a length), and a text that consists of just
two times ("12.54, 17.83"). A number counts only where the grammar expects a time, so "2 people" never does, and a range
of bare whole numbers before a noun ("2 to 3 people") is not a range of time.

Every range keeps its position, so that `whenwhere.answers.choose` can weigh the words around it.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from whenwhere.answers.keys import key_of
from whenwhere.answers.lexer import Token, tokenise, word_set
from whenwhere.answers.retracted import RETRACTING, without_retracted

#: Why times in frames cannot be read.
COUNTED_IN_FRAMES = "times are counted in frames, and the frame rate is not known"


#: Words that may stand between a time and its separator.
_SOFT = word_set("""
    mark marks the a an into in of at point t time times timestamp timestamps about approximately around roughly
    nearly almost exactly approx ca circa seconds second sec secs s video clip position frame frames minute
    minutes min mins
""")
_TO = frozenset(["to", "until", "till", "til", "through", "thru", "upto", "到", "至"])
_BETWEEN = frozenset(["between", "and"])
#: "between", including frequent misspellings.
_AMID = frozenset(["between", "betwen", "beetween", "bewteen"])
_START = word_set("""
    start starts started starting begin begins began beginning commence commences onset from start_time
    starttime begin_time
""")
_END = word_set("""
    end ends ended ending finish finishes finished finishing stop stops stopped conclude concludes concluded
    until till end_time endtime
""")
_LENGTH = frozenset(["lasts", "lasting", "lasted", "last", "duration", "for"])
#: Words that may follow a bare range without turning it into a count of things.
_AFTER = word_set("""
    in of the and or when where while as which during is was s sec second seconds mark on at then with within
    inclusive video clip to for after before also again it he she they a an
""")
#: Nouns whose number names a thing: "segment 1: 12 to 17", "Target ID: 3".
_NAMES = word_set("""
    segment event clip part scene step span moment target id object person option question answer shot example
    no number interval occurrence instance case chapter
""")
#: Words before a bare range that make it a range of something else: "aged 20-30".
_COUNTED = word_set("age aged ages page pages score scored size speed verse verses chapter chapters")
_BETWEEN_RANGES = re.compile(r"(?:\W|\b(?:from|between|s|secs?|seconds?|and|at)\b)*", re.IGNORECASE)
_LONGEST_LIST = 400  # characters of a value that is nothing but ranges
_VIDEO = word_set("video clip footage recording film movie")
_BARE_KINDS = frozenset(["time", "comma", "line", "stop", "open", "close", "colon"])
_LOOK = 12  # most tokens between the two halves of a range


@dataclass(slots=True)
class Range:
    """A range of time with its position in the text.

    Attributes:
        spans: Pairs of start and end in seconds as written; empty where the unit cannot be converted.
        first: Index of its first token.
        last: Index of its last token.
        start: Index of its first character.
        end: Index after its last character.
        strength: 1 for bare numbers, 2 where a unit or clock time was written, 3 where keys name it.
        problem: Why it cannot be read, or None.
        bare: Whether its times have no unit.
    """

    spans: list[tuple[float, float]]
    first: int
    last: int
    start: int
    end: int
    strength: int = 1
    problem: str | None = None
    bare: bool = False


def ranges(tokens: Sequence[Token], duration: float | None = None) -> list[Range]:
    """All ranges of time in the tokens, in written order."""
    if any(t.text in RETRACTING for t in tokens):
        tokens = without_retracted(tokens, [t.kind == "time" and _joins(tokens, i) for i, t in enumerate(tokens)])
    found = _joined(tokens, duration)
    taken: set[int] = set()
    for r in found:
        taken.update(range(r.first, r.last + 1))
    if not any(not r.problem for r in found):
        found += _labelled(tokens, taken, duration)
    if not found:
        found = _bare_pairs(tokens, duration)
    return sorted(found, key=lambda r: r.first)


def nothing_but_ranges(text: str) -> bool:
    """Whether a text consists of ranges and what may stand between them in a list.

    >>> [nothing_but_ranges(t) for t in ("3.2 - 7.5 s, 9-10", "[3, 5] (scene 2)", "")]
    [True, False, False]
    """
    found = ranges(tokenise(text)) if len(text) < _LONGEST_LIST else []
    ends = [0, *(r.end for r in found)]
    starts = [*(r.start for r in found), len(text)]
    return bool(found) and all(_BETWEEN_RANGES.fullmatch(text, i, j) for i, j in zip(ends, starts, strict=True))


def span_between(a: Token, b: Token, duration: float | None) -> tuple[tuple[float, float] | None, str | None]:
    """The span between two times, or None and why there is none."""
    units = {a.unit, b.unit}
    if "frame" in units:
        return None, COUNTED_IN_FRAMES
    if "%" in units:
        if duration is None:
            return None, "times are in per cent, and the duration is not known"
        return (round(a.value / 100 * duration, 9), round(b.value / 100 * duration, 9)), None
    if a.unit == "" and b.unit in ("min", "h", "ms"):  # "5 to 10 minutes"
        a = a._replace(unit=b.unit)
    if b.unit == "" and a.unit in ("min", "h", "ms", "clock"):
        return None, "a number without a unit follows a time with one"
    if a.unit == "" and b.unit == "clock":
        return None, "a number without a unit precedes a clock time"
    x, y = a.seconds, b.seconds
    if x is None or y is None:
        return None, "not a time"
    return (x, y), None


def _strength(a: Token, b: Token) -> int:
    return 2 if a.unit or b.unit else 1


def _joined(tokens: Sequence[Token], duration: float | None) -> list[Range]:
    out: list[Range] = []
    n = len(tokens)
    i = 0
    while i < n:
        a = tokens[i]
        if a.kind != "time":
            i += 1
            continue
        if _names(tokens, i):
            i += 1
            continue
        comma = _decimal_comma(tokens, i)
        j, between = _other_half(tokens, i)
        if comma is None and j < 0:
            i += 1
            continue
        i0 = i
        if comma is not None:
            a, b, j = comma
        else:
            b = tokens[j]
        after = tokens[j + 1] if j + 1 < n else None
        chained = j + 1 < n and _joins(tokens, j)
        if chained and tokens[j].unit == "" and not between:
            # "12 - 15 - 20" is not a range: skip the whole chain
            i = j
            while i < n and _joins(tokens, i):
                i = _other_half(tokens, i)[0]
            i += 1
            continue
        if _in_frames(tokens, i0):
            out.append(Range([], i0, j, a.start, b.end, 1, COUNTED_IN_FRAMES))
            i = j + 1
            continue
        if comma is None and _torn_comma(tokens, i0, j, out):
            out.append(Range([], i0, j, a.start, b.end, 1, "a comma may be a decimal point"))
            i = j + 1
            continue
        counts = (
            after is not None
            and after.kind == "word"
            and after.text not in _AFTER
            and not a.unit + b.unit
            and not a.decimals + b.decimals
            and after.text not in _NAMES
        ) or (after is not None and after.kind == "ordinal")
        counts |= _counted(tokens, i0) and not a.unit + b.unit
        if not counts:
            if _of_the_length(tokens, j) and not a.unit + b.unit and 0 <= a.value <= 1 >= b.value >= 0 and a.decimals:
                a, b = (t._replace(value=t.value * 100, unit="%") for t in (a, b))
            span, problem = span_between(a, b, duration)
            out.append(
                Range([span] if span else [], i0, j, a.start, b.end, _strength(a, b), problem, not a.unit + b.unit)
            )
        i = j + 1
    return out


def _joins(tokens: Sequence[Token], i: int) -> bool:
    """Whether a separator and another time follow the time at `i`."""
    return _other_half(tokens, i)[0] >= 0


def _other_half(tokens: Sequence[Token], i: int) -> tuple[int, bool]:
    """Index of the time that a separator joins to the time at `i`, or -1; and whether "between … and …" joined them."""
    between = any(t.text in _AMID for t in tokens[max(0, i - 5) : i] if t.kind == "word")
    separated = False
    for j in range(i + 1, min(len(tokens), i + 1 + _LOOK)):
        t = tokens[j]
        if t.kind == "time":
            return (j, between) if separated else (-1, False)
        if t.kind == "sep" or (t.kind == "word" and t.text in _TO):
            if separated and not (t.kind == "word" or tokens[j - 1].kind == "word"):
                return -1, False
            separated = True
        elif t.kind == "word" and t.text == "and" and between and not separated:
            separated = True
        elif (
            (t.kind == "word" and t.text in _SOFT)
            or (t.kind == "colon" and tokens[j - 1].text in ("t", "time", "to"))
            or (t.kind == "line" and j + 1 < len(tokens) and tokens[j + 1].text == "to")
            or (t.kind == "word" and t.text == "up" and j + 1 < len(tokens) and tokens[j + 1].text == "to")
        ):
            continue
        else:
            return -1, False
    return -1, False


def _names(tokens: Sequence[Token], i: int) -> bool:
    """Whether the bare whole number at `i` names a thing: "segment 1 - 12 to 17"."""
    t = tokens[i]
    if t.unit or t.decimals or not i:
        return False
    before = tokens[i - 1]
    if before.kind == "colon" and i > 1:
        return tokens[i - 2].text == "id"
    return before.kind == "word" and before.text in _NAMES


def _counted(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word before says that the range counts something other than seconds."""
    return i > 0 and tokens[i - 1].kind == "word" and tokens[i - 1].text in _COUNTED


def _in_frames(tokens: Sequence[Token], i: int) -> bool:
    return any(t.kind == "word" and t.text in ("frame", "frames", "帧") for t in tokens[max(0, i - 2) : i])


def _decimal_comma(tokens: Sequence[Token], i: int) -> tuple[Token, Token, int] | None:
    """The two times of "12,54 to 17,83" and the index of the last token, or None."""
    a = _with_comma(tokens, i)
    if a is None:
        return None
    j, _ = _other_half(tokens, i + 2)
    b = _with_comma(tokens, j) if j >= 0 else None
    if b is None or _joins(tokens, j + 2):
        return None
    return a, b, j + 2


def _with_comma(tokens: Sequence[Token], i: int) -> Token | None:
    """The number at `i` whose decimals follow a comma ("12,5"), or None."""
    if i + 2 >= len(tokens):
        return None
    a, comma, b = tokens[i : i + 3]
    whole = a.kind == b.kind == "time" and not a.unit and not a.decimals and not b.decimals and b.unit in ("", "s")
    glued = comma.kind == "comma" and a.end == comma.start and comma.end == b.start
    digits = re.match(r"\d*", b.text)[0]  # type: ignore[index]
    if not (whole and glued and a.text.isdigit() and len(digits) <= 2 and digits.isdigit()):
        return None
    value = float(f"{a.text}.{digits}")
    return Token("time", a.text + "," + b.text, a.start, b.end, value, b.unit, len(digits))


def _torn_comma(tokens: Sequence[Token], i: int, j: int, out: list[Range]) -> bool:
    """Whether a comma without a space attaches one more number to the range: "1,234 to 5,678"."""
    before = i >= 2 and tokens[i - 1].kind == "comma" and tokens[i - 2].kind == "time"
    glued = before and tokens[i - 2].end == tokens[i - 1].start and tokens[i - 1].end == tokens[i].start
    if glued and not (out and out[-1].last == i - 2):
        return True
    after = j + 2 < len(tokens) and tokens[j + 1].kind == "comma" and tokens[j + 2].kind == "time"
    if after and tokens[j].end == tokens[j + 1].start and tokens[j + 1].end == tokens[j + 2].start:
        return not _joins(tokens, j + 2)
    return False


def _length(tokens: Sequence[Token], i: int) -> bool:
    """Whether the word at `i` announces a length ("lasts about 5 s"), not a purpose ("start time for this event")."""
    if tokens[i].text not in _LENGTH:
        return False
    after = [t for t in tokens[i + 1 : i + 4] if not (t.kind == "word" and t.text in _SOFT | _LENGTH)]
    return bool(after) and after[0].kind == "time"


def _of_the_length(tokens: Sequence[Token], j: int) -> bool:
    """Whether "of the video" or "of its length" follows the time at `j`."""
    after = [t.text for t in tokens[j + 1 : j + 6] if t.text not in ("the", "its", "this", "total", "whole", "full")]
    return len(after) > 1 and after[0] == "of" and (after[1] in _VIDEO or after[1] in ("length", "duration"))


def _of_the_video(tokens: Sequence[Token], i: int) -> bool:
    """Whether the end or length at `i` is the video's: "the video ends at 30 s", "total duration"."""
    for j in range(i - 1, max(-1, i - 5), -1):
        if tokens[j].text in _VIDEO:
            before = [t.text for t in tokens[max(0, j - 3) : j] if t.text not in ("the", "this", "whole", "entire")]
            return not before or before[-1] not in ("in", "of", "from", "during", "through")
        if tokens[j].text not in ("is", "s", "has", "a", "total", "whole", "which", "that", "itself", "full"):
            return False
    return i > 0 and tokens[i - 1].text == "total"


def _labelled(tokens: Sequence[Token], taken: set[int], duration: float | None) -> list[Range]:
    """Ranges of a labelled start and a labelled end, or of a start and a length."""
    tagged: list[tuple[str, int]] = []
    label, since = "", 0
    both = {"t1", "t2"} <= {t.text for t in tokens}
    for i, t in enumerate(tokens):
        if t.kind == "word":
            new = "start" if t.text in _START else "end" if t.text in _END else "length" if _length(tokens, i) else ""
            if not new and "_" in t.text:
                new = key_of(t.text).side or ""
            if not new and both and t.text in ("t1", "t2"):
                new = "start" if t.text == "t1" else "end"
            if new:
                label, since = "video" if new != "start" and _of_the_video(tokens, i) else new, i
        elif t.kind == "time" and i not in taken:
            if label not in ("", "video") and i - since <= 10 and not _names(tokens, i):
                tagged.append((label, i))
            label = ""
    out: list[Range] = []
    k = 0
    while k + 1 < len(tagged):
        (x, i), (y, j) = tagged[k], tagged[k + 1]
        a, b = tokens[i], tokens[j]
        span: tuple[float, float] | None = None
        problem: str | None = None
        if {x, y} == {"start", "end"}:
            span, problem = span_between(*((a, b) if x == "start" else (b, a)), duration)
        elif x == "length" and y == "start" and not (k + 2 < len(tagged) and tagged[k + 2][0] == "end"):
            span, problem = span_between(b, a, duration)
            span = (span[0], span[0] + span[1]) if span else None
        elif x == "start" and y == "length" and not (k + 2 < len(tagged) and tagged[k + 2][0] == "end"):
            span, problem = span_between(a, b, duration)
            span = (span[0], span[0] + span[1]) if span else None
        elif x == "start" and y == "length":
            tagged.pop(k + 1)
            continue
        else:
            k += 1
            continue
        if _in_frames(tokens, i) or _in_frames(tokens, j):
            span, problem = None, COUNTED_IN_FRAMES
        out.append(
            Range([span] if span else [], i, j, a.start, b.end, max(2, _strength(a, b)), problem, not a.unit + b.unit)
        )
        k += 2
    return out


def _bare_pairs(tokens: Sequence[Token], duration: float | None) -> list[Range]:
    """The ranges of a text that consists of just two times, or of two in each line (a table, perhaps with a head)."""
    at = [i for i, t in enumerate(tokens) if t.kind == "time"]
    if len(at) < 2 or len(at) % 2:
        return []
    pairs = list(zip(at[::2], at[1::2], strict=True))
    for i, t in enumerate(tokens):
        soft = t.kind == "word" and (t.text in _SOFT or t.text in _BETWEEN)
        head = i < at[0] and len(at) > 2 and ((t.kind == "word" and t.text in _START | _END) or set(t.text) <= {"-"})
        if not (soft or head or t.kind in _BARE_KINDS or t.text in ("/", ";")):
            return []
    if len(at) > 2:  # each pair has a line of its own
        lines = [i for i, t in enumerate(tokens) if t.kind == "line"]
        if [bisect_left(lines, i) for i, _ in pairs] != [bisect_left(lines, j) for _, j in pairs]:
            return []
        if len({bisect_left(lines, i) for i, _ in pairs}) < len(pairs):
            return []
    out = []
    for i, j in pairs:
        a, b = tokens[i], tokens[j]
        span, problem = span_between(a, b, duration)
        out.append(Range([span] if span else [], i, j, a.start, b.end, _strength(a, b), problem, not a.unit + b.unit))
    return out
