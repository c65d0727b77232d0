r"""Answer forms: exactly what each model family writes. One entry per form; `FORMS` is the list.

A form renders an answer (as an SFT target, or as an example in a prompt) and reads its own writing back, strictly. Text
holds fewer digits than truth does, so every form states what survives: `parse(render(gold)) == quantise(gold)`,
exactly, for every answer that the form can hold (tests/test_answers_forms.py). What a form cannot hold raises a
`RecordError` instead of being dropped silently: several spans in a form for one, or absence where a form has no words
for it.

All forms share the surrounding tags: `tags` are the blocks that must occur in the text once each, in this order, with
nothing but whitespace between them. A form without tags is the bare text. Quantising keeps a span at least one step
long and a box at least one step wide.

Forms whose writing nobody published are left out (STVG-o1's inner boxes, Vidi's answers). `FAMILY_COORDINATES` still
knows the coordinates of such models, for lenient reading.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whenwhere.answers.answer import Coordinates, ParsedAnswer, Size, TimedBox, TimedPoint, scale, status_of
from whenwhere.errors import RecordError

#: Pattern of a number in a strict form: ASCII digits, no sign, no exponent.
NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"


@dataclass(frozen=True, slots=True)
class Form:
    """How one model family writes an answer.

    Attributes:
        name: Key in `FORMS`.
        source: Who writes answers this way, and where that can be read.
        example: An answer in this form.
        read: Function from the blocks' contents and the text after them to the answer they state, or None.
        write: Function from a quantised answer to the blocks' contents (without the thought) and the text after them.
        tags: Names of the blocks in order; `think` is one of them if the form includes thinking.
        spans: Number of spans the form holds: 0, 1, or None for any number.
        decimals: Digits after the decimal point of a time.
        tick: Seconds that times are multiples of; None means one unit of the last digit.
        coordinates: Kind of the coordinates of boxes or points; None where the form has neither.
        steps: Digits after the decimal point of a coordinate.
        grain: What coordinates are multiples of, in units of their last digit.
        holds: Further fields the form holds: `boxes`, `points`, `choice`, `target`.
        empty: Whether the form can say "it is not there".
        timed: Whether its boxes have times.
        labelled: Whether its boxes or points have a label.
        box_text: Pattern of the stretches of a text that state boxes, where a form also states spans.
    """

    name: str
    source: str
    example: str
    read: Callable[[list[str], str], ParsedAnswer | None]
    write: Callable[[ParsedAnswer], tuple[list[str], str]]
    tags: tuple[str, ...] = ("think", "answer")
    spans: int | None = 1
    decimals: int = 2
    tick: float | None = None
    coordinates: Coordinates | None = None
    steps: int = 0
    grain: int = 1
    holds: tuple[str, ...] = ()
    empty: bool = False
    timed: bool = True
    labelled: bool = False
    box_text: str | None = None

    def parse(self, text: str) -> ParsedAnswer:
        """The answer, if the text is in exactly this form; otherwise `unparsed` or `truncated`."""
        parts = _blocks(text, self.tags)
        if isinstance(parts, str):
            return ParsedAnswer(
                "truncated" if parts == "cut" else "unparsed", reasons=(f"not in the form {self.name}",)
            )
        contents, tail = parts
        thought = contents.pop(0).strip() if self.tags[:1] == ("think",) else None
        said = self.read(contents, tail)
        if said is None:
            return ParsedAnswer("unparsed", thought=thought, reasons=(f"not in the form {self.name}",))
        found = bool(said.spans or said.boxes or said.points or said.choice or said.target)
        # A form is about one thing: a second label must not permit a second box at the same time.
        boxes = [b._replace(label=None) for b in said.boxes]
        status = status_of(said.spans, boxes, said.points, found, absent=self.empty)
        kind = self.coordinates if said.boxes or said.points else None
        return ParsedAnswer(
            status, said.spans, said.boxes, said.points, kind, said.choice, said.target, thought, self.name
        )

    def render(self, answer: ParsedAnswer, size: Size | None = None, shown: Size | None = None) -> str:
        """The answer as text in this form.

        Args:
            answer: The true answer, with boxes in any known kind of coordinates.
            size: Width and height of the displayed frame, needed where boxes must be converted.
            shown: Width and height of the picture that the model sees, needed for forms that answer in its pixels.

        Raises:
            RecordError: The form cannot hold the answer.
            SettingError: A size is missing.
        """
        exact = self.quantise(answer, size, shown)
        contents, tail = self.write(exact)
        if exact.thought is not None:
            contents = [exact.thought, *contents]
        blocks = [f"<{tag}>{content}</{tag}>" for tag, content in zip(self.tags, contents, strict=True)]
        return "\n".join([*blocks, *([tail] if tail else [])])

    def quantise(self, answer: ParsedAnswer, size: Size | None = None, shown: Size | None = None) -> ParsedAnswer:
        """What remains of the answer after it is written; arguments and errors are those of `render`."""
        spans = tuple(_span(*s, self.decimals, self.tick) for s in answer.spans) if self.spans != 0 else ()
        if self.spans == 1 and len(spans) > 1:
            raise RecordError(
                f"the form {self.name} holds one span, not {len(spans)}: choose a form that holds several"
            )
        if not spans and self.spans != 0 and not self.empty and not (self.spans is None and "boxes" in self.holds):
            raise RecordError(f"the form {self.name} has no words for an answer without a span")
        boxes: tuple[TimedBox, ...] = ()
        points: tuple[TimedPoint, ...] = ()
        if self.coordinates is not None and (answer.boxes or answer.points):
            if answer.coordinates is None:
                raise RecordError("boxes cannot be written without a kind of coordinates")
            sx, sy = scale(answer.coordinates, self.coordinates, size, shown)
            extent = {"unit": (1.0, 1.0), "thousand": (1000.0, 1000.0)}.get(self.coordinates, shown)
            if "boxes" in self.holds:
                boxes = self._boxes(answer.boxes, sx, sy, extent)
            if "points" in self.holds:
                points = self._points(answer.points, sx, sy, extent)
        if "boxes" in self.holds and self.spans != 0:
            # Boxes are written span by span; a box outside all spans has no place.
            boxes = tuple(dict.fromkeys(b for span in spans for b in boxes_in_span(boxes, span)))
        if self.spans == 0 and not self.empty and not boxes and not points:
            raise RecordError(f"the form {self.name} has no words for an answer without a box or point")
        choice = answer.choice if "choice" in self.holds else None
        target = answer.target if "target" in self.holds else None
        for name, value, pattern in (("choice", choice, "[A-H]"), ("target", target, "[0-9]{1,6}")):
            if name in self.holds and not re.fullmatch(pattern, value or ""):
                raise RecordError(f"the form {self.name} needs a {name}, not {value!r}")
        thought = None
        if self.tags[:1] == ("think",):
            thought = (answer.thought or "").strip()
            if any(f"<{tag}>" in thought or f"</{tag}>" in thought for tag in self.tags):
                raise RecordError(f"a thought must not contain the tags of the form {self.name}")
        found = bool(spans or boxes or points or choice or target)
        kind = self.coordinates if boxes or points else None
        return ParsedAnswer(
            "ok" if found else "absent", spans, boxes, points, kind, choice, target, thought, self.name
        )  # fmt: skip

    def _boxes(self, boxes: tuple[TimedBox, ...], sx: float, sy: float, extent: Size | None) -> tuple[TimedBox, ...]:
        width, height = extent or (math.inf, math.inf)
        out: dict[float | int | None, TimedBox] = {}
        for k, b in enumerate(boxes):
            if self.timed and b.time is None:
                raise RecordError(f"the form {self.name} needs a time for every box")
            time = _rounded(b.time, self.decimals, self.tick) if self.timed and b.time is not None else None
            x1, x2 = self._side(b.box[0] * sx, b.box[2] * sx, width)
            y1, y2 = self._side(b.box[1] * sy, b.box[3] * sy, height)
            box = TimedBox(time, (x1, y1, x2, y2), _label(b.label) if self.labelled else None)
            out.setdefault(k if time is None else time, box)  # of two times in one step the first stays
        return tuple(out.values())

    def _points(
        self, points: tuple[TimedPoint, ...], sx: float, sy: float, extent: Size | None
    ) -> tuple[TimedPoint, ...]:
        width, height = extent or (math.inf, math.inf)
        out: dict[tuple[float, str], TimedPoint] = {}
        for p in points:
            if p.time is None or not re.fullmatch("[0-9]{1,6}", p.id or ""):
                raise RecordError(f"the form {self.name} needs a time and a numbered object for every point")
            time = _rounded(p.time, self.decimals, self.tick)
            x = min(max(round(p.point[0] * sx), 0), int(width))
            y = min(max(round(p.point[1] * sy), 0), int(height))
            label = _label(points[0].label) if self.labelled else None
            out.setdefault((time, p.id or ""), TimedPoint(time, (float(x), float(y)), label, p.id))
        return tuple(sorted(out.values(), key=lambda p: p.time or 0.0))

    def _side(self, low: float, high: float, extent: float) -> tuple[float, float]:
        """Both ends of a box's side in steps, at least one step apart, inside the frame."""
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RecordError("a box with a coordinate that is not finite cannot be written")
        unit = 10**self.steps / self.grain
        most = math.floor(extent * unit + 1e-9) if math.isfinite(extent) else 10**9
        a = min(max(round(low * unit), 0), most - 1)
        b = min(max(round(high * unit), a + 1), most)
        return float(f"{a / unit:.{self.steps}f}"), float(f"{b / unit:.{self.steps}f}")


#: Kind of coordinates and order of `box_2d` (True: y first) of families that are only read leniently.
FAMILY_COORDINATES: dict[str, tuple[Coordinates, bool | None]] = {
    "gemini": ("thousand", True),
    "glm": ("thousand", False),
    "vidi": ("unit", False),
    "internvl": ("thousand", False),
    "qwen2-vl": ("thousand", False),
    "stvg-o1": ("pixels", False),
}
#: Families that may answer in shares of the video's length instead of seconds (bytedance/vidi, issue 23).
SHARES_OF_LENGTH = frozenset(["vidi"])


def boxes_in_span(boxes: Sequence[TimedBox], span: tuple[float, float]) -> list[TimedBox]:
    """The boxes whose time lies in a span, both ends included, because text rounds the last frame onto the end."""
    return [b for b in boxes if b.time is not None and span[0] <= b.time <= span[1]]


def _rounded(x: float, decimals: int, tick: float | None = None) -> float:
    if not math.isfinite(x) or x < 0 or x >= 1e9:
        raise RecordError(f"a time of {x:g} s cannot be written: clip the answer to the video's duration first")
    return float(f"{x if tick is None else round(x / tick) * tick:.{decimals}f}")


def _span(start: float, end: float, decimals: int, tick: float | None = None) -> tuple[float, float]:
    """A span in steps of a decimal place or of a tick, at least one step long.

    >>> _span(3.01, 3.02, 1), _span(3.26, 9.99, 1), _span(3.26, 9.8, 1, 0.5)
    ((3.0, 3.1), (3.3, 10.0), (3.5, 10.0))
    """
    if not start < end:
        raise RecordError(f"a span from {start:g} to {end:g} s cannot be written: its end is not after its start")
    a, b = _rounded(start, decimals, tick), _rounded(end, decimals, tick)
    if b <= a:
        steps = 10**decimals if tick is None else 1 / tick
        a = math.floor(start * steps) / steps
        a, b = float(f"{a:.{decimals}f}"), float(f"{a + 1 / steps:.{decimals}f}")
    return a, b


def _label(label: str | None) -> str | None:
    """A label that fits between tags and quotes: one line without the characters of either."""
    words = re.sub(r"[<>\"\\`]", " ", label or "").split()
    return " ".join(words) or None


def _blocks(text: str, tags: tuple[str, ...]) -> tuple[list[str], str] | str:
    """Contents of the tags and the text after them; `cut` where a tag is not closed; `bad` for any other text."""
    text = text.strip()
    contents: list[str] = []
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if not text.startswith(opening):
            return "bad" if contents or not _opening_began(text, opening) else "cut"
        end = text.find(closing)
        if end < 0:
            return "cut"
        contents.append(text[len(opening) : end])
        text = text[end + len(closing) :].strip()
        for known in tags:
            if f"<{known}>" in contents[-1] or f"</{known}>" in contents[-1]:
                return "bad"
    if any(f"<{tag}>" in text or f"</{tag}>" in text for tag in tags):
        return "bad"
    return contents, text


def _opening_began(text: str, opening: str) -> bool:
    """Whether a text stops inside its first tag."""
    return bool(text) and opening.startswith(text)
