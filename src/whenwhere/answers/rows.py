"""Lists of numbers that are boxes: four corners, with a time in front of them, a score after them, or both."""

from whenwhere.answers.lexer import Token, tokenise
from whenwhere.answers.structure import Bracket, Element

Corners = tuple[float, float, float, float]


def seconds(value: Element) -> float | None:
    """The time given by a number, a token, or a string with exactly one time; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value
    token = time_token(value)
    return None if token is None else token.seconds


def time_token(value: Element) -> Token | None:
    """The time that a value consists of, with its unit: a number, a string, a list of one, or `{"minutes": 1, ...}`."""
    if isinstance(value, Token):
        return value
    if isinstance(value, Bracket):
        if value.open != "{":
            return time_token(value.values[0]) if value.whole and len(value.items) == 1 else None
        text = " ".join(f"{v.text} {key}" for key, v in value.items if isinstance(v, Token))
        return time_token(text) if value.whole and len(value.items) > 1 else None
    if isinstance(value, str):
        inside = [t for t in tokenise(value[:80]) if t.kind != "line"]
        if len(inside) == 1 and inside[0].kind == "time":
            return inside[0]
    return None


def number_list(node: Element) -> list[float] | None:
    """The seconds (or plain numbers) of a flat, complete list; None for anything else."""
    if not isinstance(node, Bracket) or not node.whole or node.open == "{" or not node.items:
        return None
    out: list[float] = []
    for value in node.values:
        x = None if isinstance(value, Bracket) else seconds(value)
        if x is None:
            return None
        out.append(x)
    return out


def timed_box(flat: list[float], time: float | None) -> tuple[float | None, Corners] | None:
    """A box and its time from four to six numbers, or None if they can be read in no way or in two.

    Args:
        flat: x1, y1, x2, y2, with a time before them, a score from 0 to 1 after them, or both.
        time: The time that is written elsewhere for this box.

    >>> timed_box([10, 20, 300, 400, 0.95], 1.0), timed_box([1.5, 10, 20, 300, 400], None)
    ((1.0, (10, 20, 300, 400)), (1.5, (10, 20, 300, 400)))
    >>> timed_box([0.1, 0.2, 0.3, 0.4, 0.9], None) is None
    True
    """
    if len(flat) == 4:
        return time, (flat[0], flat[1], flat[2], flat[3])
    if len(flat) not in (5, 6):
        return None
    after = (flat[1], flat[2], flat[3], flat[4])
    first = (flat[0], flat[1], flat[2], flat[3])
    if len(flat) == 6:
        if 0 <= flat[5] <= 1 and _proper(after):
            return (flat[0] if time is None else time), after
        return (time, first) if 0 <= flat[4] <= 1 and _proper(first) else None
    scored = 0 <= flat[4] <= 1 and _proper(first)
    if time is not None and scored and flat[0] != time:
        return time, first
    if not scored:
        return flat[0], after
    return None if _proper(after) and flat[0] != time else (flat[0], after) if _proper(after) else (time, first)


def corners(value: Element) -> list[float] | None:
    """The four numbers of a dictionary of corners, or None."""
    if not isinstance(value, Bracket) or value.open != "{":
        return None
    keys = {"".join(c for c in (key or "").lower() if c.isalnum()): seconds(v) for key, v in value.items}
    for names in (("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax")):
        found = [keys.get(n) for n in names]
        if all(c is not None for c in found):
            return [c for c in found if c is not None]
    return None


def groups(value: Element, *sizes: int) -> list[list[float]]:
    """Lists of as many numbers: the value itself, or its items."""
    flat = number_list(value)
    if flat is not None:
        return [flat] if len(flat) in sizes else []
    if isinstance(value, Bracket) and value.open != "{":
        return [f for f in map(number_list, value.values) if f is not None and len(f) in sizes]
    return []


def _proper(box: Corners) -> bool:
    return box[0] < box[2] and box[1] < box[3]
