"""Boxes and points in tags, taken out of the text so that a coordinate is never read as a time.

- `<obj>dog</obj><box>[1, 2, 3, 4]</box>at<t>3.0</t>s`: a claim of Open-o3-Video.
- `<ref>dog</ref><box>[[1, 2, 3, 4]]</box>`: InternVL, Qwen-VL.
- `<|box_start|>(1,2),(3,4)<|box_end|>`: Qwen2-VL.
- `<pred_bbox>…</pred_bbox>`: STVG-o1. Its contents are not published, so any list or dictionary is read.
- `<tracks coords="0.0 1 380 822;0.5 1 …">dog</tracks>` and `<points …>`: Molmo2. A time, then object, x, y for each
  object, in thousandths; frames are separated by tab, semicolon, colon or comma.
"""

import re
from dataclasses import dataclass, field

from whenwhere.answers.answer import Coordinates, TimedBox, TimedPoint
from whenwhere.answers.lexer import Token, tokenise
from whenwhere.answers.markup import without_own_brackets
from whenwhere.answers.prose_places import lead_time, trailing_time
from whenwhere.answers.reading import read_structures
from whenwhere.answers.structure import structures

_SPECIAL = {
    "<|box_start|>": "<box>", "<|box_end|>": "</box>", "<|object_ref_start|>": "<ref>", "<|object_ref_end|>": "</ref>",
    "<|point_start|>": "<point>", "<|point_end|>": "</point>",
}  # fmt: skip
_CLAIM = re.compile(
    r"<(?P<tag>obj|object|ref|box|bbox|pred_bbox|pred_box|points?|point_2d)>(?P<inside>[^<]*)</(?P=tag)>"
    r"|at\s?<t>(?P<t>[^<]{1,20})</t>\s?s?",
    re.IGNORECASE,
)
_TRACK = re.compile(
    r'<(?P<tag>tracks|points|track|point)\b[^<>"]{0,80}(?:"[^"<>]*"[^<>"]{0,80})??\bcoords="(?P<coords>[^"<>]*)"[^<>]*>'
    r"(?P<label>[^<]*)(?:</\w+>)?",
    re.IGNORECASE,
)
_OPEN_TRACK = re.compile(r'<(?:tracks|points|track|point)\b[^<>]*\bcoords="(?P<coords>[^"<>]*)$', re.IGNORECASE)
#: Points of other models (Molmo 1: per cent of the frame), which are taken out and not read.
_OTHER_POINT = re.compile(r"<points?\s[^<>]{0,2000}>(?:[^<>]{0,200}</points?>)?", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?")
_TIME_TAG = re.compile(r"</?(?:t|time|timestamp|timestep)>", re.IGNORECASE)


@dataclass(slots=True)
class Tagged:
    """What the tags of a text hold.

    Attributes:
        rest: The text without the tags.
        boxes: Boxes in written order.
        points: Points in written order.
        coordinates: Kind of the coordinates, where the tag determines it.
        truncated: Whether the text stops inside a tag.
    """

    rest: str
    boxes: list[TimedBox] = field(default_factory=list)
    points: list[TimedPoint] = field(default_factory=list)
    coordinates: Coordinates | None = None
    truncated: bool = False


def tagged(text: str) -> Tagged:
    """Boxes and points in tags, and the text without them.

    >>> tagged("<obj>dog</obj><box>[1, 2, 30, 40]</box>at<t>3.5</t>s").boxes[0]
    TimedBox(time=3.5, box=(1.0, 2.0, 30.0, 40.0), label='dog', id=None)
    """
    if "<" not in text:
        return Tagged(text)
    out = Tagged("")
    if "<|box_start|>" in text:
        out.coordinates = "thousand"
    for special, tag in _SPECIAL.items():
        text = text.replace(special, tag)
    text = _TRACK.sub(lambda m: _track(m["coords"], m["label"].strip() or None, out), text)
    cut = _OPEN_TRACK.search(text) if 'coords="' in text else None
    if cut:
        out.truncated = True
        # The last group of numbers may be cut short.
        _track(re.split(r"[\t;]", cut["coords"])[:-1], None, out)
        text = text[: cut.start()]
    text = _claims(_OTHER_POINT.sub(" ", text), out)
    out.rest = _TIME_TAG.sub(" ", text)
    return out


def _track(coords: str | list[str], label: str | None, out: Tagged) -> str:
    groups = coords if isinstance(coords, list) else re.split(r"[\t;:,]", coords)
    for group in groups:
        found = _NUMBER.findall(group)
        if len(found) < 4 or len(found) % 3 != 1:
            continue
        time = float(found[0])
        for k in range(1, len(found), 3):
            name, x, y = found[k : k + 3]
            out.points.append(TimedPoint(time, (float(x), float(y)), label, name))
    out.coordinates = "thousand"
    return " "


def _claims(text: str, out: Tagged) -> str:
    kept: list[str] = []
    label: str | None = None
    pending: list[int] = []  # indices of boxes whose time has not been read yet
    at = place = 0
    lead: Token | None = None  # time in front of the boxes that follow
    for m in _CLAIM.finditer(text):
        gap = _TIME_TAG.sub(" ", text[at : m.start()])
        kept.append(gap)
        if gap.strip():
            kept[-1] = gap = _take_trailing(gap, pending, out)
            pending = []
            lead, place = _lead(gap), len(kept) - 1
        at = m.end()
        if m["t"] is not None:
            when = [t for t in tokenise(m["t"]) if t.kind == "time"]
            for i in pending if len(when) == 1 else []:
                out.boxes[i] = out.boxes[i]._replace(time=when[0].seconds)
            if not pending:
                kept.append(m.group())
            pending = []
        elif m["tag"].lower() in ("obj", "object", "ref"):
            label, pending = m["inside"].strip() or None, []
        elif m["tag"].lower().startswith("point"):
            pairs = _NUMBER.findall(m["inside"])
            for x, y in zip(pairs[::2], pairs[1::2], strict=False):
                out.points.append(TimedPoint(None, (float(x), float(y)), label))
        else:
            boxes = _boxes(m["inside"])
            if not boxes:  # "<|box_start|>12.5,17.8<|box_end|>" is a span
                kept.append(f"[{m['inside']}]" if not re.search(r"[\[({]", m["inside"]) else m["inside"])
            if boxes and lead is not None and boxes[0].time is None:
                boxes = [box._replace(time=lead.seconds) for box in boxes]
                kept[place] = kept[place][: lead.start] + " " + kept[place][lead.end :] if lead.text else kept[place]
                lead = lead._replace(text="")
            for box in boxes:
                pending.append(len(out.boxes))
                out.boxes.append(box._replace(label=box.label or label))
            if "[[" in m["inside"] and m["tag"].lower() == "box":
                out.coordinates = "thousand"
    kept.append(_take_trailing(text[at:], pending, out))
    return " ".join(kept)


def _take_trailing(gap: str, pending: list[int], out: Tagged) -> str:
    """Gives the boxes just read the time right after them ("<box>…</box> at 1.0s"), and returns the text without it."""
    time = trailing_time(without_own_brackets(tokenise(gap[:60]))[:4]) if pending else None
    if time is None:
        return gap
    for i in pending:
        out.boxes[i] = out.boxes[i]._replace(time=time.seconds)
    return gap[: time.start] + " " + gap[time.end :]


def _lead(gap: str) -> Token | None:
    """The time in the words right before a box: "1.0s: <box>", "<t>1.0</t>s: <box>"."""
    tokens = tokenise(gap[-200:])
    last = max((i for i, t in enumerate(tokens) if t.kind in ("line", "stop")), default=-1)
    time = lead_time(tokens[last + 1 :])
    shift = max(0, len(gap) - 200)
    return None if time is None else time._replace(start=time.start + shift, end=time.end + shift)


def _boxes(inside: str) -> list[TimedBox]:
    nodes, _ = structures(tokenise(inside))
    boxes = read_structures(nodes).boxes
    if boxes:
        return boxes
    # (x1,y1),(x2,y2) and x1, y1, x2, y2 without brackets
    found = [t for t in tokenise(inside) if t.kind == "time"]
    if len(found) == 4:
        x1, y1, x2, y2 = (t.value for t in found)
        return [TimedBox(None, (x1, y1, x2, y2))]
    return []
