"""Reads the times and boxes that a thought cites, sentence by sentence, each with its place in the text.

A number is a citation only where prose gives it that sense. Times have a unit, are clock times, stand in a range,
follow a word such as "at", or go on with a list of times; "2 people" cites nothing. Boxes are four numbers in brackets,
rows of a time and four numbers, or two corners. What is or may be a claim about time or place but cannot be read (times
in frames or per cent, spelled-out seconds, brackets of other numbers, decimals without a sense) makes its sentence
`unreadable`, so that nobody takes it for a sentence without claims.

Left out: claims without any number ("near the end of the video"), which cannot be checked here.
"""

import re
from dataclasses import dataclass

from whenwhere.answers.lexer import Token, normalise_text, tokenise, word_set
from whenwhere.answers.ranges import ranges

_N = r"\d+(?:\.\d+)?"
_FOUR = rf"{_N}\s*,\s*{_N}\s*,\s*{_N}\s*,\s*{_N}"
#: A box in brackets, with or without its time as the first number.
_ROW = re.compile(rf"[\[(]\s*(?:(?P<time>{_N})\s*s?\s*[,:]\s*)?(?P<box>{_FOUR})\s*[\])]")
_CORNERS = re.compile(rf"\(\s*{_N}\s*,\s*{_N}\s*\)\s*(?:,|to|and|-|–)?\s*\(\s*{_N}\s*,\s*{_N}\s*\)")
_PAIR = re.compile(rf"[\[(]\s*(?P<first>{_N})\s*s?\s*,\s*(?P<second>{_N})\s*s?\s*[\])]")
_NUMBERS = re.compile(_N)
_BRACKET = re.compile(rf"[\[(]\s*-?{_N}(?:(?:\s*[,;]\s*|\s+)-?{_N})+\s*[\])]")
_FRAME = re.compile(r"\bframes?\s*(?:no\.?|number|index|#)?\s*\d+", re.IGNORECASE)
_SPELLED = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|twenty|thirty|forty|fifty|sixty|half)(?:[ -](?:one|two|three|four|five|six|seven|eight|nine))?(?: and a half)?"
    r"[ -](?:a )?(?:seconds?|secs?|minutes?|mins?)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    rf"\b(?:[xy]_?(?:min|max|[12])\b|[xy]\s*[=:≈]\s*{_N}|\d+\s*(?:px|pixels?)\b|coord\w*\s(?:\w+\s){{0,3}}\d)",
    re.IGNORECASE,
)
#: Words before a bare number that make it a time.
_AT = word_set("at from until till around about t time second timestamp mark between by")
_SOFT = word_set("about around approximately roughly nearly almost exactly approx the just only a")
#: Words before a time that make it a length.
_LASTS = word_set("lasts lasting lasted last for duration takes taking took spans spanning every per of next")
#: Words after a time that make it a length.
_LONG = word_set("long later earlier after before clip video duration window")


@dataclass(frozen=True, slots=True)
class CitedTime:
    """A time in a sentence.

    Attributes:
        start: Index of its first character in the sentence.
        end: Index after its last character.
        seconds: The time in seconds.
        length: Whether it is the length of something rather than a point in time ("for 3 s").
        unit: Whether a unit or a clock's colon is part of it.
    """

    start: int
    end: int
    seconds: float
    length: bool = False
    unit: bool = False


@dataclass(frozen=True, slots=True)
class CitedBox:
    """A box in a sentence.

    Attributes:
        start: Index of its first character in the sentence, inside its brackets.
        end: Index after its last character.
        box: x1, y1, x2, y2 as written.
        at: Index in the sentence's `times` of the time that it belongs to; None if there is no such time.
        corners: Whether it is written as two points.
    """

    start: int
    end: int
    box: tuple[float, float, float, float]
    at: int | None
    corners: bool = False


@dataclass(frozen=True, slots=True)
class CitingSentence:
    """A sentence with what it cites.

    Attributes:
        text: The sentence with the white space after it.
        times: Its times in written order.
        boxes: Its boxes in written order.
        unreadable: Words for a claim about time or place that cannot be read; None if there is none.
    """

    text: str
    times: tuple[CitedTime, ...] = ()
    boxes: tuple[CitedBox, ...] = ()
    unreadable: str | None = None

    @property
    def cites(self) -> bool:
        """Whether the sentence makes any claim about time or place."""
        return bool(self.times or self.boxes or self.unreadable)


def citing_sentences(thought: str) -> list[CitingSentence]:
    """Split a thought into sentences, each with the times and boxes that it cites.

    Args:
        thought: The reasoning, without its tags.

    Returns:
        The sentences; their texts joined are the thought.

    >>> one, two = citing_sentences("Two dogs run in at 3.2 s. The left one is at [10, 20, 30, 40] at 0:05.")
    >>> [t.seconds for t in one.times], [t.seconds for t in two.times], two.boxes[0].box
    ([3.2], [5.0], (10.0, 20.0, 30.0, 40.0))
    """
    return [_read(text) for text in _split(thought)]


def _split(thought: str) -> list[str]:
    plain = normalise_text(thought)
    cuts = [0]
    for token in tokenise(plain):
        if token.kind == "line" or (token.kind == "stop" and token.text != ";"):
            end = token.end
            while end < len(plain) and (plain[end].isspace() or (plain[end] in "\"')]" and end == token.end)):
                end += 1
            if end > cuts[-1]:
                cuts.append(end)
    parts = [thought[a:b] for a, b in zip(cuts, [*cuts[1:], len(thought)], strict=True)]
    return [part for part in parts if part]


def _read(text: str) -> CitingSentence:
    plain = normalise_text(text)
    times: list[CitedTime] = []
    places: list[tuple[int, int, tuple[float, ...], bool, CitedTime | None]] = []
    rest = plain
    for pattern in (_ROW, _CORNERS):
        for m in pattern.finditer(rest):
            corners = pattern is _CORNERS
            start, end = m.span() if corners else m.span("box")
            numbers = tuple(map(float, _NUMBERS.findall(plain[start:end])))
            own = None
            if not corners and m["time"] is not None:
                own = CitedTime(*m.span("time"), float(m["time"]))
                times.append(own)
            places.append((start, end, numbers, corners, own))
        rest = pattern.sub(_blank, rest)
    unreadable = None
    for m in _PAIR.finditer(rest):
        first, second = float(m["first"]), float(m["second"])
        if first < second:
            times += [CitedTime(*m.span("first"), first), CitedTime(*m.span("second"), second)]
        else:
            unreadable = f"a pair of numbers that is not a range of time ({m[0]})"
    rest = _PAIR.sub(_blank, rest)
    if found := _BRACKET.search(rest) or _PLACE.search(rest):
        unreadable = f"a place in a notation that cannot be read ({found[0].strip()})"
    elif found := _SPELLED.search(rest):
        unreadable = f"a time in words ({found[0]})"
    elif found := _FRAME.search(rest):
        unreadable = f"a time that is counted in frames ({found[0]})"
    tokens = tokenise(rest)
    in_ranges: dict[int, float] = {}
    start_of = {t.end: t.start for t in tokens}
    for r in ranges(tokens):
        for s, e in r.spans[:1]:
            in_ranges[r.start] = s
            if r.end in start_of:
                in_ranges[start_of[r.end]] = e
    known: set[int] = set()
    for i, token in enumerate(tokens):
        if token.kind != "time":
            continue
        if token.unit in ("frame", "%"):
            unreadable = f"a time that is counted in {'frames' if token.unit == 'frame' else 'per cent'} ({token.text})"
        elif token.start in in_ranges or token.unit or _is_bare_time(tokens, i, known):
            known.add(i)
            seconds = in_ranges.get(token.start, token.seconds)
            assert seconds is not None
            length = token.start not in in_ranges and bool(token.unit) and _is_length(tokens, i)
            times.append(CitedTime(token.start, token.end, seconds, length, bool(token.unit)))
        elif token.decimals:
            # a score, a size, or a time: nobody can tell, so it is neither replaced nor left alone
            unreadable = f"a number that may be a time ({token.text})"
    times.sort(key=lambda t: t.start)
    places.sort(key=lambda place: place[0])
    boxes = [
        CitedBox(start, end, (n[0], n[1], n[2], n[3]), at, corners)
        for (start, end, n, corners, _), at in zip(places, _times_of(times, places), strict=True)
    ]
    return CitingSentence(text, tuple(times), tuple(boxes), unreadable)


def _blank(m: re.Match[str]) -> str:
    """As many spaces as were matched, so that positions stay valid."""
    return " " * len(m[0])


def _times_of(
    times: list[CitedTime], places: list[tuple[int, int, tuple[float, ...], bool, CitedTime | None]]
) -> list[int | None]:
    """The time of each box: its own, else by where times stand.

    Where times stand is decided by the first box: in front of the boxes, or after them. As many boxes as times, all
    after them, belong to them one by one ("from 2 s to 6 s it moves from [...] to [...]").
    """
    points = [i for i, t in enumerate(times) if not t.length]
    free = [start for start, _, _, _, own in places if own is None]
    if len(free) > 1 and len(points) == len(free) and all(times[i].start < free[0] for i in points):
        return list(points)
    leading = bool(free) and any(times[i].start < free[0] for i in points)
    out: list[int | None] = []
    for start, _, _, _, own in places:
        before = [i for i in points if times[i].start < start]
        after = [i for i in points if times[i].start > start]
        near = before[-1:] if leading else after[:1]
        out.append(times.index(own) if own is not None else near[0] if near else None)
    return out


def _follows(tokens: list[Token], i: int, words: frozenset[str]) -> bool:
    """Whether one of the words stands before a token, with nothing but soft words and signs in between."""
    for j in range(i - 1, max(-1, i - 5), -1):
        if tokens[j].kind in ("word", "string") and tokens[j].text.strip("\"'").lower() in words:
            return True
        if not (tokens[j].kind == "colon" or (tokens[j].kind == "word" and tokens[j].text in _SOFT)):
            return False
    return False


def _is_bare_time(tokens: list[Token], i: int, known: set[int]) -> bool:
    """Whether a number without a unit is a time: after a word such as "at", after a known time, or as a heading."""
    if _follows(tokens, i, _AT):
        return True
    j = i - 1
    while j >= 0 and i - j <= 3 and (tokens[j].kind in ("comma", "junk") or tokens[j].text in ("and", "or", "-")):
        j -= 1
    if j >= 0 and j < i - 1 and tokens[j].kind == "time":
        return j in known
    follows = tokens[i + 1].kind if i + 1 < len(tokens) else ""
    return j < 0 and bool(tokens[i].decimals) and follows in ("colon", "sep")


def _is_length(tokens: list[Token], i: int) -> bool:
    after = tokens[i + 1].text if i + 1 < len(tokens) and tokens[i + 1].kind == "word" else ""
    if after in _LONG:
        return True
    if after in ("mark", "point"):
        return False
    return "-" in tokens[i].text or _follows(tokens, i, _LASTS)
