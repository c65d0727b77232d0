"""From lists and dictionaries to spans, boxes and points, by the keys and shapes that models use.

Two numbers are a span, four are a box, and a list of either is several of them. Keys take precedence over shapes. A box
gets the time next to it (`"time": 1.0, "bbox_2d": [...]`) or the key above it (`{"3.0": [...]}`). `box_2d` is y-first
in Gemini's answers and x-first in others, so it is not read without the form's name.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from whenwhere.answers.answer import TimedBox, TimedPoint
from whenwhere.answers.lexer import Token, tokenise, word_set
from whenwhere.answers.ranges import COUNTED_IN_FRAMES, Range, ranges, span_between
from whenwhere.answers.structure import Bracket, Element

_START = word_set("""
    start starttime starttimes startsec startsecs startsecond startseconds startts starttimestamp begin
    begintime from tstart timestart starts startms starttimems
""")
_END = word_set("""
    end endtime endtimes endsec endsecs endsecond endseconds endts endtimestamp stop stoptime to tend timeend
    ends finish endms endtimems until
""")
_TIME = word_set("""
    time t timestamp timesec timeseconds timestamps second seconds sec secs timems ts at frametime
""")
_SPAN = word_set("""
    time timestamp timestamps timerange timeranges timespan timespans timeinterval timeintervals span spans
    segment segments interval intervals window windows moment moments period periods range ranges
    predrelevantwindows glue answer timeperiod
""")
_BOX = word_set("""
    bbox2d bbox box boundingbox boxes bboxes boundingboxes boxxyxy bboxxyxy coordinates predbbox
""")
_POINT = frozenset(["point2d", "point", "points"])
_LABEL = frozenset(["label", "object", "name", "category", "obj", "objectname", "ref", "class"])
_ID = frozenset(["id", "trackid", "objectid", "targetid", "instanceid"])
_ABSENT_IF_FALSE = frozenset(["exists", "exist", "present", "found", "visible", "occurs", "happens"])
_ABSENT_IF_TRUE = frozenset(["absent", "notfound", "notpresent", "missing"])
_CHOICE = frozenset(["answer", "choice", "option", "correctoption", "finalanswer"])
_DEEPEST = 30
_KEY = re.compile(r"[\W_]+")


@dataclass(slots=True)
class StructuredReading:
    """What the structures of a text say.

    Attributes:
        ranges: One range, with its position, for each structure that holds spans.
        boxes: Boxes in written order.
        points: Points in written order.
        absent: Whether a structure says that the event is not there (an empty list, `"found": false`).
        choice: Letter of the chosen option.
        target: Number of the object.
        unclear: Whether something could be read in more than one way.
        reasons: What could not be read.
    """

    ranges: list[Range] = field(default_factory=list)
    boxes: list[TimedBox] = field(default_factory=list)
    points: list[TimedPoint] = field(default_factory=list)
    absent: bool = False
    choice: str | None = None
    target: str | None = None
    unclear: bool = False
    reasons: list[str] = field(default_factory=list)


def read_structures(
    nodes: Iterable[Bracket], duration: float | None = None, yx: bool | None = None
) -> StructuredReading:
    """What the structures of a text say.

    Args:
        nodes: The outermost brackets, in order.
        duration: Duration of the video in seconds, for times in per cent.
        yx: Order of `box_2d`: True means y first, False x first, None unknown.
    """
    out = StructuredReading()
    for node in nodes:
        spans: list[tuple[float, float]] = []
        reader = _Reader(out, duration, yx, spans)
        reader.value(node, 0)
        if spans:
            out.ranges.append(Range(spans, -1, -1, node.start, node.end, reader.strength))
    return out


def number_list(node: Element) -> list[float] | None:
    """The seconds (or plain numbers) of a flat, complete list; None for anything else."""
    if not isinstance(node, Bracket) or not node.whole or node.open == "{" or not node.items:
        return None
    out: list[float] = []
    for value in node.values:
        x = seconds(value)
        if x is None:
            return None
        out.append(x)
    return out


def seconds(value: Element) -> float | None:
    """The time given by a number, a token, or a string with exactly one time; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value
    if isinstance(value, Token):
        return value.seconds
    if isinstance(value, str):
        inside = [t for t in tokenise(value[:80]) if t.kind not in ("line",)]
        if len(inside) == 1 and inside[0].kind == "time":
            return inside[0].seconds
    return None


class _Reader:
    """Walks once through one structure."""

    def __init__(
        self, out: StructuredReading, duration: float | None, yx: bool | None, spans: list[tuple[float, float]]
    ) -> None:
        self.out, self.duration, self.yx, self.spans = out, duration, yx, spans
        self.strength = 1

    def value(self, node: Element, depth: int) -> None:
        """Reads a list or dictionary by its shape."""
        if not isinstance(node, Bracket) or depth > _DEEPEST:
            return
        if node.open == "{":
            self.mapping(node, depth)
            return
        if not node.items:
            self.out.absent |= node.whole
            return
        flat = number_list(node)
        if flat is not None:
            if any(isinstance(v, Token) and v.unit for v in node.values) and self.strength < 2:
                self.strength = 2
            self.flat(node, flat)
            return
        for value in node.values:
            if isinstance(value, Bracket):
                self.value(value, depth + 1)
            elif isinstance(value, str):
                self.text(value)

    def flat(self, node: Bracket, flat: list[float]) -> None:
        """Reads a list of numbers by its length."""
        if len(flat) == 2 or (len(flat) == 3 and 0 <= flat[2] <= 1 and flat[1] > 1):
            self.span(flat[0], flat[1])
        elif len(flat) == 4 and not any(isinstance(v, Token) and v.unit for v in node.values):
            self.box(None, flat, None, None)

    def span(self, start: float, end: float) -> None:
        """Adds a span with finite ends."""
        if math.isfinite(start) and math.isfinite(end):
            self.spans.append((start, end))
        else:
            self.out.reasons.append("a span is not finite")

    def text(self, text: str) -> None:
        """Reads a string that holds ranges."""
        for r in ranges(tokenise(text), self.duration):
            if r.problem:
                self.out.unclear = True
                self.out.reasons.append(r.problem)
            for start, end in r.spans:
                self.span(start, end)

    def box(self, time: float | None, flat: list[float], label: str | None, name: str | None) -> None:
        """Adds a box of finite numbers."""
        if all(map(math.isfinite, flat)) and (time is None or math.isfinite(time)):
            self.out.boxes.append(TimedBox(time, (flat[0], flat[1], flat[2], flat[3]), label, name))
        else:
            self.out.reasons.append("a box is not finite")

    def mapping(self, node: Bracket, depth: int) -> None:
        """Reads a dictionary by its keys."""
        keys = {_KEY.sub("", key.lower()): value for key, value in node.items if key is not None}
        if any("frame" in k for k in keys if k.startswith(("start", "end"))):
            self.out.unclear = True
            self.out.reasons.append(COUNTED_IN_FRAMES)
            return
        label = next((str(v) for k, v in keys.items() if k in _LABEL and isinstance(v, str)), None)
        name = next((_name(v) for k, v in keys.items() if k in _ID), None)
        used: set[str] = set()
        if node.whole:
            used |= self.labelled_span(keys)
            time_key = next((k for k in keys if k in _TIME and seconds(keys[k]) is not None), None)
            time = None if time_key is None else seconds(keys[time_key])
            if time is not None and time_key == "timems":
                time /= 1000
            for k, v in keys.items():
                if k in _BOX or k == "box2d":
                    used.add(k)
                    self.boxes(k, v, time, label, name, depth)
                elif k in _POINT:
                    used.add(k)
                    for flat in _groups(v, 2):
                        self.out.points.append(TimedPoint(time, (flat[0], flat[1]), label, name))
                elif k in ("targetid", "target"):
                    used.add(k)
                    self.out.target = _name(v)
            if used & (_BOX | _POINT | {"box2d"}):
                used |= {k for k in keys if k in _TIME}
        for key, v in node.items:
            k = _KEY.sub("", key.lower()) if key is not None else ""
            if k in used or (not node.whole and k not in _SPAN and number_list(v) is not None):
                continue  # in a truncated dictionary, the time of this box may be missing
            self.entry(key or "", k, v, depth)

    def labelled_span(self, keys: dict[str, Element]) -> set[str]:
        """Reads a start and an end, and returns the keys that were used."""
        s = next((k for k in keys if k in _START), None)
        e = next((k for k in keys if k in _END), None)
        if s is None or e is None:
            return set()
        if keys[s] is None and keys[e] is None:
            self.out.absent = True
            return {s, e}
        a, b = _time_token(keys[s]), _time_token(keys[e])
        if a is None or b is None:
            self.out.reasons.append("a start or an end is not a time")
            return {s, e}
        span, problem = span_between(a, b, self.duration)
        if problem and a.unit == b.unit == "":
            problem = None
        if span is None:
            self.out.unclear = True
            self.out.reasons.append(problem or "not a time")
        else:
            factor = 1e-3 if s.endswith("ms") and e.endswith("ms") and not a.unit and not b.unit else 1.0
            self.span(span[0] * factor, span[1] * factor)
            self.strength = 3
        return {s, e}

    def boxes(
        self, key: str, value: Element, time: float | None, label: str | None, name: str | None, depth: int
    ) -> None:
        """Reads the value of a key that means a box."""
        if key == "box2d" and self.yx is None:
            self.out.unclear = True
            self.out.reasons.append("box_2d is y-first in some models: name the form")
            return
        if isinstance(value, Bracket) and value.open == "{" and not _corners(value):
            for child_key, child in value.items:  # {"boxes": {"3.0": [...]}}
                self.timed(child_key or "", child, label, name)
            return
        if (
            isinstance(value, Bracket)
            and value.open != "{"
            and any(isinstance(v, Bracket) and v.open == "{" and not _corners(v) for v in value.values)
        ):
            self.value(value, depth + 1)
            return
        corners = _corners(value)
        groups = [corners] if corners else [*_groups(value, 4), *_groups(value, 5)]
        for flat in groups:
            when = time
            if len(flat) == 5:
                when, flat = flat[0], flat[1:]
            if key == "box2d" and self.yx:
                flat = [flat[1], flat[0], flat[3], flat[2]]
            self.box(when, flat, label, name)

    def timed(self, key: str, value: Element, label: str | None, name: str | None) -> bool:
        """Reads boxes under a key that may be a time, and returns whether it was one."""
        time = seconds(key)
        if time is None:
            return False
        corners = _corners(value)
        for flat in [corners] if corners else _groups(value, 4):
            self.box(time, flat, label, name)
        return True

    def entry(self, key: str, k: str, value: Element, depth: int) -> None:
        """Reads any other key of a dictionary."""
        if isinstance(value, bool):
            self.out.absent |= (k in _ABSENT_IF_FALSE and not value) or (k in _ABSENT_IF_TRUE and value)
        elif k in _SPAN or k in _START or k in _END or k in _TIME:
            if value is None or (isinstance(value, Bracket) and not value.items and value.whole):
                self.out.absent |= k in _SPAN
            elif isinstance(value, str):
                before = len(self.spans)
                self.text(value)
                if len(self.spans) > before:
                    self.strength = 3
                elif k in _CHOICE and re.fullmatch(r"\(?[A-H][).]?", value.strip()):
                    self.out.choice = value.strip(" ().")
            elif isinstance(value, Bracket):
                before = len(self.spans)
                self.value(value, depth + 1)
                if len(self.spans) > before:
                    self.strength = 3
        elif k in _CHOICE and isinstance(value, str):
            if re.fullmatch(r"\(?[A-H][).]?", value.strip()):
                self.out.choice = value.strip(" ().")
        elif isinstance(value, Bracket) and not self.timed(key, value, None, None) and number_list(value) is None:
            self.value(
                value, depth + 1
            )  # bare numbers under any other key, such as "size": [640, 360], are not an answer


def _time_token(value: Element) -> Token | None:
    if isinstance(value, Token):
        return value
    if isinstance(value, str):
        inside = tokenise(value[:80])
        return inside[0] if len(inside) == 1 and inside[0].kind == "time" else None
    return None


def _name(value: Element) -> str | None:
    if isinstance(value, Token):
        return value.text
    return value if isinstance(value, str) else None


def _corners(value: Element) -> list[float] | None:
    """The four numbers of a dictionary of corners, or None."""
    if not isinstance(value, Bracket) or value.open != "{":
        return None
    keys = {_KEY.sub("", (key or "").lower()): seconds(v) for key, v in value.items}
    for names in (("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax")):
        corners = [keys.get(n) for n in names]
        if all(c is not None for c in corners):
            return [c for c in corners if c is not None]
    return None


def _groups(value: Element, size: int) -> list[list[float]]:
    """Lists of `size` numbers: the value itself, or its items."""
    flat = number_list(value)
    if flat is not None:
        return [flat] if len(flat) == size else []
    if isinstance(value, Bracket) and value.open != "{":
        return [f for f in map(number_list, value.values) if f is not None and len(f) == size]
    return []
