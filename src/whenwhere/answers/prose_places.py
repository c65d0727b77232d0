"""Boxes and points in prose: the time in front of them or after them, and pairs that are a place rather than a span.

    1.0s: [10, 20, 300, 400]          The dog is at [10, 20, 300, 400] at 1.0s.
    At 1.0s the ball is at (120, 340). Top-left corner (10, 20), bottom-right corner (300, 400).

Whether times stand in front of the boxes or after them is decided once for a text, by its first box. A time that
belongs to a box is no longer a time that ranges are made of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from whenwhere.answers.keys import key_of
from whenwhere.answers.lexer import Token, word_set
from whenwhere.answers.rows import Corners, number_list
from whenwhere.answers.structure import Bracket

_PLACE_WORDS = word_set("""
    point points pixel pixels coordinate coordinates coords corner center centre centroid click tap touch position
    located positioned box bbox bounding xy
""")
_POINT_WORDS = word_set("point points click tap touch")
_EVENT_WORDS = word_set("""
    event moment segment clip interval answer query time span action timestamp timestamps happens occurs happen occur
    seconds start starts end ends begins from between
""")
_TIME_WORDS = word_set("second sec t time timestamp at")
_BOUND_WORDS = word_set("start starts started starting begin begins began end ends ended ending until till finishes")
_REACH = 40  # most tokens between a box and its time


@dataclass(slots=True)
class ProsePlaces:
    """The places that stand in prose.

    Attributes:
        times: Time of the outermost bracket that starts at a character.
        points: Starts of the brackets that are points.
        boxes: Boxes made of two corners, by the start of the first; the second is in `taken`.
        taken: Starts of tokens and brackets that are used up.
    """

    times: dict[int, float] = field(default_factory=dict)
    points: set[int] = field(default_factory=set)
    boxes: dict[int, Corners] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)


def prose_places(tokens: Sequence[Token], nodes: Sequence[Bracket]) -> ProsePlaces:
    """The places among the outermost brackets of a text, with their times.

    Args:
        tokens: All tokens of the text.
        nodes: Its outermost brackets, in order.
    """
    out = ProsePlaces()
    index = {t.start: i for i, t in enumerate(tokens)} if nodes else {}
    held = [
        (node, index[node.start], _holds_boxes(node, 0), number_list(node)) for node in nodes if node.start in index
    ]
    leading: bool | None = None
    after = 0  # index of the first token after the bracket before
    last: tuple[Bracket, list[float]] | None = None
    for k, (node, at, boxes, flat) in enumerate(held):
        before = _phrase(tokens, after, at)
        until = held[k + 1][1] if k + 1 < len(held) else len(tokens)
        after = _next_token(tokens, at, node.end)
        following = tokens[after : min(until, after + _REACH)]
        pair = not boxes and flat is not None and len(flat) == 2
        point = pair and (_is_point(node, before, bool(out.points)) or _called_point(following))
        if not boxes and not point:
            continue
        time = lead_time(before)
        leading = time is not None if leading is None else leading
        if not leading:
            time = trailing_time(following)
        elif before and before[-1].kind != "time":
            out.taken.update(t.start for t in before[-3:] if t.kind == "time")  # "1: [...]": a number of a row
        if time is not None:
            out.taken.add(time.start)
            if time.seconds is not None:
                out.times[node.start] = time.seconds
        if point and flat is not None:
            words = {t.text for t in before}
            if last is not None and last[1][0] < flat[0] and last[1][1] < flat[1] and _continues(before):
                out.boxes[last[0].start] = (last[1][0], last[1][1], flat[0], flat[1])
                out.points.discard(last[0].start)
                out.taken.add(node.start)
                if time is not None and last[0].start not in out.times and time.seconds is not None:
                    out.times[last[0].start] = time.seconds
                last = None
                continue
            out.points.add(node.start)
            last = None if words & _POINT_WORDS else (node, flat)
    return out


def lead_time(before: Sequence[Token]) -> Token | None:
    """The one time in the phrase before a box that tells when it is, or None."""
    times = [i for i, t in enumerate(before) if t.kind == "time"]
    if len(times) != 1 or any(t.text in _BOUND_WORDS for t in before):
        return None
    i = times[0]
    t = before[i]
    said = i - 2 if i > 1 and before[i - 1].kind == "colon" else i - 1
    told = t.unit or t.decimals or (i and before[said].text in _TIME_WORDS)
    if t.unit in ("frame", "%") or not told or (i and before[i - 1].text in ("frame", "than", "not")):
        return None
    return t


def trailing_time(following: Sequence[Token]) -> Token | None:
    """The time after a box: "at 1.0s", "(t = 1.0)", "(1.0s)"."""
    seen: list[Token] = []
    for t in following:
        if t.kind in ("line", "stop"):
            break
        seen.append(t)
        if t.kind == "time":
            near = {s.text for s in seen[-4:-1]}
            if len(seen) == 1 and t.end - t.start > len(t.text):  # a bracket of its own
                return t
            return t if near & {"at", "t", "time", "@", "timestamp", "in", "("} and lead_time(seen) is t else None
    return None


def _phrase(tokens: Sequence[Token], after: int, at: int) -> Sequence[Token]:
    """The tokens of the same line and sentence before a bracket."""
    first = max(after, at - _REACH)
    for i in range(at - 1, first - 1, -1):
        if tokens[i].kind in ("line", "stop"):
            return tokens[i + 1 : at]
    return tokens[first:at]


def _next_token(tokens: Sequence[Token], at: int, end: int) -> int:
    """Index of the first token after a bracket."""
    while at < len(tokens) and tokens[at].start < end:
        at += 1
    return at


def _holds_boxes(node: Bracket, depth: int) -> bool:
    """Whether a bracket holds boxes: four to six numbers, a list of such, or a dictionary with a key that says so."""
    if depth > 3:
        return False
    if node.open == "{":
        return any(key is not None and key_of(key).box for key, _ in node.items)
    flat = number_list(node)
    if flat is not None:
        return 4 <= len(flat) <= 6 and not any(isinstance(v, Token) and v.unit for v in node.values)
    return bool(node.children) and all(_holds_boxes(child, depth + 1) for child in node.children[:3])


def _is_point(node: Bracket, before: Sequence[Token], others: bool) -> bool:
    """Whether the words before two numbers say that they are a place."""
    near = [t.text for t in before[-5:]]
    words = {t.text for t in before}
    if any(isinstance(v, Token) and v.unit for v in node.values) or not near:
        return False
    if lead_time(before) is not None and near[-1] in (":", "->", "at"):
        return True
    if words & _EVENT_WORDS:
        return False
    at = near[-1] == "at" and (others or bool({"is", "are", "was", "were"} & set(near[-2:])))
    return at or bool(_PLACE_WORDS & set(near)) or {"x", "y"} <= words or (others and _continues(before))


def _called_point(following: Sequence[Token]) -> bool:
    """Whether the words after two numbers say that they are a place: "is the center of the dog", "at 1.0s"."""
    near = [t.text for t in following[:4]]
    if near[:1] == ["is"] and _PLACE_WORDS & set(near):
        return True
    return near[:1] == ["at"] and len(following) > 1 and following[1].kind == "time" and bool(following[1].unit)


def _continues(before: Sequence[Token]) -> bool:
    """Whether only a joining word, or the name of a corner, stands between two points."""
    return all(
        t.kind in ("comma", "sep") or t.text in ("to", "and", "bottom", "right", "lower", "corner", "the", "at")
        for t in before
    ) and bool(before)
