"""From lists and dictionaries to spans, boxes and points, by the keys and shapes that models use.

Two numbers are a span, four are a box, and a list of either is several of them. Keys take precedence over shapes
(`whenwhere.answers.keys`): spans under a key that names them come before the value of any other key that is nothing but
a range. A box gets the time next to it (`"time": 1.0, "bbox_2d": [...]`), that of an object around it, or the key above
it (`{"3.0": [...]}`). `box_2d` is y-first in Gemini's answers and x-first in others, so it is not read without the
form's name. A dictionary that says that it is about something absent (`"found": false`) holds nothing else.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from whenwhere.answers.answer import TimedBox, TimedPoint
from whenwhere.answers.denial import denies_event
from whenwhere.answers.keys import CHOICES, IDS, LABELS, Key, key_of, paired
from whenwhere.answers.languages import in_english
from whenwhere.answers.lexer import Token, tokenise
from whenwhere.answers.prose_places import ProsePlaces
from whenwhere.answers.ranges import COUNTED_IN_FRAMES, Range, nothing_but_ranges, ranges, span_between
from whenwhere.answers.rows import corners, groups, number_list, seconds, time_token, timed_box
from whenwhere.answers.structure import Bracket, Element

_DEEPEST = 30


@dataclass(slots=True)
class StructuredReading:
    """What the structures of a text say.

    Attributes:
        ranges: One range, with its position, for each structure that holds spans.
        boxes: Boxes in written order.
        points: Points in written order.
        absent: Whether a structure says that the event is not there (an empty list, `"found": false`).
        denied: Whether a key says so, and not only an empty list.
        choice: Letter of the chosen option.
        target: Number of the object.
        unclear: Whether something could be read in more than one way.
        reasons: What could not be read.
    """

    ranges: list[Range] = field(default_factory=list)
    boxes: list[TimedBox] = field(default_factory=list)
    points: list[TimedPoint] = field(default_factory=list)
    absent: bool = False
    denied: bool = False
    choice: str | None = None
    target: str | None = None
    unclear: bool = False
    reasons: list[str] = field(default_factory=list)


def read_structures(
    nodes: Iterable[Bracket],
    duration: float | None = None,
    yx: bool | None = None,
    places: ProsePlaces | None = None,
) -> StructuredReading:
    """What the structures of a text say.

    Args:
        nodes: The outermost brackets, in order.
        duration: Duration of the video in seconds, for times in per cent.
        yx: Order of `box_2d`: True means y first, False x first, None unknown.
        places: What the prose around says about them.
    """
    out = StructuredReading()
    places = places or ProsePlaces()
    for node in nodes:
        time = places.times.get(node.start)
        if node.start in places.boxes:
            out.boxes.append(TimedBox(time, places.boxes[node.start]))
            continue
        if node.start in places.points:
            x, y = number_list(node) or (math.nan, math.nan)
            out.points.append(TimedPoint(time, (x, y)))
        if node.start in places.points | places.taken:
            continue
        reader = _Reader(out, duration, yx)
        reader.value(node, 0, _Context(time))
        spans = reader.spans or reader.others
        if spans:
            out.ranges.append(Range(spans, -1, -1, node.start, node.end, reader.strength, bare=reader.bare))
    return out


@dataclass(frozen=True, slots=True)
class _Context:
    """What the structures around a value say about it.

    Attributes:
        time: Time of the boxes and points in it.
        label: What they show.
        row: Whether it is one of several in a list.
        of_video: Whether it describes the video.
    """

    time: float | None = None
    label: str | None = None
    row: bool = False
    of_video: bool = False


class _Reader:
    """Walks once through one structure."""

    def __init__(self, out: StructuredReading, duration: float | None, yx: bool | None) -> None:
        self.out, self.duration, self.yx = out, duration, yx
        self.spans: list[tuple[float, float]] = []
        self.others: list[tuple[float, float]] = []  # values of keys that do not name spans
        self.strength = 1
        self.bare = True

    def value(self, node: Element, depth: int, context: _Context) -> None:
        """Reads a list or dictionary by its shape."""
        if not isinstance(node, Bracket) or depth > _DEEPEST:
            return
        if node.open == "{":
            self.mapping(node, depth, context)
            return
        if not node.items:
            self.out.absent |= node.whole
            return
        flat = number_list(node)
        if flat is not None:
            self.flat(node, flat, context)
            return
        inside = replace(context, row=True)
        for value in node.values:
            if isinstance(value, Bracket):
                self.value(value, depth + 1, inside)
            elif isinstance(value, str):
                self.text(value)

    def flat(self, node: Bracket, flat: list[float], context: _Context) -> None:
        """Reads a list of numbers by its length."""
        units = any(isinstance(v, Token) and v.unit for v in node.values)
        if len(flat) == 2 or (len(flat) == 3 and 0 <= flat[2] <= 1 and flat[1] > 1):
            if units and self.strength < 2:
                self.strength = 2
            self.bare &= not units
            self.span(flat[0], flat[1])
        elif not units and (len(flat) == 4 or (len(flat) in (5, 6) and (context.row or context.time is not None))):
            self.row(flat, context, None, swapped=False)

    def span(self, start: float, end: float) -> None:
        """Adds a span with finite ends."""
        if math.isfinite(start) and math.isfinite(end):
            self.spans.append((start, end))
        else:
            self.out.reasons.append("a span is not finite")

    def text(self, text: str, whole: bool = False) -> bool:
        """Reads a string that holds ranges, or only one that is `whole` a range; returns whether there was any."""
        if whole and not nothing_but_ranges(text):
            return False
        found = ranges(tokenise(text), self.duration)
        for r in found:
            if r.problem:
                self.out.unclear = True
                self.out.reasons.append(r.problem)
            self.bare &= r.bare
            for start, end in r.spans:
                self.span(start, end)
        return bool(found)

    def row(self, flat: list[float], context: _Context, name: str | None, *, swapped: bool) -> None:
        """Adds a box of four to six finite numbers."""
        read = timed_box(flat, context.time)
        if read is None:
            self.unclear("it is not clear which of the numbers of a box are its time and its score")
            return
        time, box = read
        if not all(map(math.isfinite, (*box, 0.0 if time is None else time))):
            self.out.reasons.append("a box is not finite")
            return
        if swapped:
            box = (box[1], box[0], box[3], box[2])
        self.out.boxes.append(TimedBox(time, box, context.label, name))

    def unclear(self, reason: str) -> None:
        """Notes that something could be read in more than one way."""
        self.out.unclear = True
        self.out.reasons.append(reason)

    def mapping(self, node: Bracket, depth: int, context: _Context) -> None:
        """Reads a dictionary by its keys."""
        items = [(key_of(key or ""), value) for key, value in node.items]
        keys = {key: value for key, value in items if key.text}
        if any(key.says_absent(value) for key, value in items):
            self.out.absent = self.out.denied = True
            return
        said = ((k, v) for k, v in items if isinstance(v, str) and k.compact not in LABELS)
        if any(denies_event(in_english(v), answer=k.answer) for k, v in said):
            self.unclear("the text says that the event is not there")
            return
        label = next((str(v) for k, v in items if k.compact in LABELS and isinstance(v, str)), context.label)
        name = next((_name(v) for k, v in items if k.compact in IDS), None)
        used: set[Key] = set()
        if node.whole:
            used |= self.labelled_spans(keys, context)
            time = next((t for k, v in items if k.time and (t := _time_under(k, v)) is not None), context.time)
            context = _Context(time, label)
            used |= self.places(keys, context, name, depth)
        for key, value in items:
            if key in used or (not node.whole and not key.span and number_list(value) is not None):
                continue  # in a truncated dictionary, the time of this box may be missing
            self.entry(key, value, depth, context)

    def labelled_spans(self, keys: dict[Key, Element], context: _Context) -> set[Key]:
        """Reads starts with their ends or lengths, and returns the keys that were used."""
        used: set[Key] = set()
        for first, second in paired(keys):
            used |= {first, second}
            if keys[first] is None and keys[second] is None:
                self.out.absent = self.out.denied = True
                continue
            a, b = (_with_unit(k, time_token(keys[k])) for k in (first, second))
            if a is None or b is None:
                self.out.reasons.append("a start or an end is not a time")
                continue
            span, problem = span_between(a, b, self.duration)
            if span is None:
                self.unclear(problem or "not a time")
                continue
            start, end = span
            if second.side == "length":
                end = round(start + end, 9)
            elif first.side == "length":
                start, end = round(end - start, 9), end
            if (first.video or context.of_video) and start == 0:
                continue  # the length of the video
            self.bare &= not (a.unit or b.unit)
            self.span(start, end)
            self.strength = 3
        return used

    def places(self, keys: dict[Key, Element], context: _Context, name: str | None, depth: int) -> set[Key]:
        """Reads the boxes, points and target of a dictionary, and returns the keys that were used."""
        used: set[Key] = set()
        times = next((t for k, v in keys.items() if k.time and (t := number_list(v))), None)
        for key, value in keys.items():
            if key.box:
                used.add(key)
                self.boxes(key, value, context, name, depth, times)
            elif key.point:
                used.add(key)
                for x, y in groups(value, 2):
                    self.out.points.append(TimedPoint(context.time, (x, y), context.label, name))
            elif key.compact in ("targetid", "target"):
                used.add(key)
                self.out.target = _name(value)
        sides = {k: seconds(v) for k, v in keys.items() if k.compact in ("x", "y")}
        if len(sides) == 2 and not used and None not in sides.values():
            x, y = (s for _, s in sorted((k.compact, s) for k, s in sides.items() if s is not None))
            self.out.points.append(TimedPoint(context.time, (x, y), context.label, name))
            used |= sides.keys()
        if any(k.box or k.point for k in used):
            used |= {k for k in keys if k.time}
        return used

    def boxes(
        self, key: Key, value: Element, context: _Context, name: str | None, depth: int, times: list[float] | None
    ) -> None:
        """Reads the value of a key that means a box."""
        if key.compact == "box2d" and self.yx is None:
            self.unclear("box_2d is y-first in some models: name the form")
            return
        swapped = key.compact == "box2d" and bool(self.yx)
        held = isinstance(value, Bracket) and not corners(value)
        if isinstance(value, Bracket) and held and value.open == "{":
            for child_key, child in value.items:  # {"boxes": {"3.0": [...]}}
                when = seconds(child_key)
                for flat in _box_groups(child) if when is not None else ():
                    self.row(flat, replace(context, time=when), name, swapped=swapped)
            return
        if isinstance(value, Bracket) and held and any(_is_mapping(v) for v in value.values):
            self.value(value, depth + 1, context)
            return
        found = _box_groups(value)
        pairs = groups(value, 2) if not found else []
        if len(pairs) == 2 and pairs[0][0] < pairs[1][0] and pairs[0][1] < pairs[1][1]:
            found, pairs = [[*pairs[0], *pairs[1]]], []  # two corners
        for x, y in pairs:
            self.out.points.append(TimedPoint(context.time, (x, y), context.label, name))
        own = times if times is not None and len(times) == len(found) and context.time is None else None
        for i, flat in enumerate(found):
            self.row(flat, context if own is None else replace(context, time=own[i]), name, swapped=swapped)

    def entry(self, key: Key, value: Element, depth: int, context: _Context) -> None:
        """Reads any other key of a dictionary."""
        if value is not None and value is not False and self.key_range(key):
            return
        if key.unit == "frame" and not key.time and groups(value, 2):
            self.unclear(COUNTED_IN_FRAMES)
            return
        named = key.span or key.side in ("start", "end") or key.time
        if key.time and not key.span and isinstance(value, str) and nothing_but_ranges(value):
            named = False  # {"first": "3-5", "second": "10-12"}
        if named:
            if value is None or (isinstance(value, Bracket) and not value.items and value.whole):
                self.out.absent |= key.span
                self.out.denied |= key.span
            elif isinstance(value, str) and self.named(lambda: self.text(value), key):
                return
            elif isinstance(value, Bracket):
                self.named(lambda: self.value(value, depth + 1, context), key)
        if key.compact in CHOICES and isinstance(value, str) and re.fullmatch(r"\(?[A-H][).]?", value.strip()):
            self.out.choice = value.strip(" ().")
        if not named and isinstance(value, str):
            if not key.aside:
                self.other(lambda: self.text(value, whole=True), key)
        elif not named and isinstance(value, Bracket):
            time = seconds(key.text)
            timed = time is not None and (any(c in key.text for c in ".:s") or bool(_box_groups(value)))
            point = number_list(value) if timed else None
            if point is not None and len(point) == 2:
                self.out.points.append(TimedPoint(time, (point[0], point[1]), context.label))
            elif timed:
                self.value(value, depth + 1, _Context(time, context.label))
            elif number_list(value) is None:
                self.pairs(key, value, depth, context)
            elif len(value.items) == 2 and not key.aside:
                self.other(lambda: self.value(value, depth + 1, context), key)
            elif len(value.items) == 4 and context.time is not None and not key.aside:
                self.value(value, depth + 1, replace(context, label=key.text))

    def pairs(self, key: Key, value: Bracket, depth: int, context: _Context) -> None:
        """Reads a structure under a key that does not name spans: bare pairs in it are the value of any key."""
        if value.open != "{" and len(groups(value, 2, 3)) == len(value.items) > 0:
            if not key.aside:
                self.other(lambda: self.value(value, depth + 1, context), key)
            return
        self.value(value, depth + 1, replace(context, of_video=key.of_video))

    def key_range(self, key: Key) -> bool:
        """Whether the key itself is a range ("00:23 - 00:48"), which is read."""
        if len(key.text) > 80 or not any(c.isdigit() for c in key.text):
            return False
        return self.named(lambda: self.text(key.text.strip("[]()"), whole=True), key)

    def named(self, read: Callable[[], object], key: Key) -> bool:
        """Reads spans that are named by a key, and returns whether there were any."""
        before = len(self.spans)
        read()
        self.convert(before, key)
        if len(self.spans) > before:
            self.strength = 3
        return len(self.spans) > before

    def other(self, read: Callable[[], object], key: Key) -> None:
        """Reads spans under a key that does not name them: they count where no key names any."""
        before = len(self.spans)
        read()
        self.convert(before, key)
        self.others += self.spans[before:]
        del self.spans[before:]

    def convert(self, first: int, key: Key) -> None:
        """Converts the newest spans from the unit that their key names, where they have none of their own."""
        length = self.duration if key.unit in ("share", "%") else 1.0
        factor = {"ms": 1e-3, "min": 60.0, "h": 3600.0, "share": 1.0, "%": 0.01}.get(key.unit)
        if factor is None or len(self.spans) == first or not self.bare:
            return
        if length is None:
            self.unclear("times are shares of the video's length, and the duration is not known")
            del self.spans[first:]
            return
        self.bare = False
        self.spans[first:] = [
            (round(s * factor * length, 9), round(e * factor * length, 9)) for s, e in self.spans[first:]
        ]


def _time_under(key: Key, value: Element) -> float | None:
    token = _with_unit(key, time_token(value))
    return seconds(value) if token is None else token.seconds


def _with_unit(key: Key, token: Token | None) -> Token | None:
    """A time with the unit that its key names, where it has none of its own."""
    if token is None or token.unit or not key.unit:
        return token
    if key.unit == "share":
        return token._replace(value=token.value * 100, unit="%")
    return token._replace(unit="" if key.unit == "s" else key.unit)


def _name(value: Element) -> str | None:
    if isinstance(value, Token):
        return value.text
    return value if isinstance(value, str) else None


def _is_mapping(value: Element) -> bool:
    return isinstance(value, Bracket) and value.open == "{" and not corners(value)


def _box_groups(value: Element) -> list[list[float]]:
    found = corners(value)
    return [found] if found else groups(value, 4, 5, 6)
