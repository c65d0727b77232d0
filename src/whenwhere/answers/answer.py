"""Answers read from a model's text: times, boxes, a choice, and how well it could be read.

A `ParsedAnswer` keeps what was written: spans in written order, reversed spans as they are, boxes in the coordinates of
the text. Nothing is swapped, clipped, sorted or merged here; whoever scores the answer decides what a fault costs.

There are five kinds of coordinates, and nothing converts between them without being given the sizes:

- `pixels`: pixels of the picture that the model was shown (Qwen2.5-VL: the *resized* frame);
- `unit`: shares of width and height, 0-1 (Vidi, VideoChat-R1);
- `thousand`: thousandths of width and height, 0-1000 (Qwen3-VL, InternVL, GLM, Molmo2);
- `displayed`: pixels of the displayed frame, the project's own kind, made only by `ParsedAnswer.displayed`;
- `unknown`: the text alone does not tell pixels from thousandths, so the model's form or the caller must say.

The status is the first of these words that applies, in this order (`reasons` holds further findings):

- `reversed`: the answer was read, but a span ends before it starts;
- `instant`: the answer was read, but a span ends where it starts;
- `duplicate-time`: the answer was read, but one thing has two boxes at one printed time;
- `ambiguous`: there are several readings and no rule chooses between them (several unrelated ranges in prose: `spans`
  holds all of them, as written), or times have a unit that cannot be converted (frames; per cent without a duration),
  or the only range is denied: no span;
- `truncated`: the text stops inside an answer or a thought; what was complete is kept;
- `ok`: a span, a box, a point, a target or a choice was read;
- `absent`: the text says that the event is not there;
- `unparsed`: no answer was found.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from whenwhere.errors import SettingError

ParseStatus = Literal[
    "reversed", "instant", "duplicate-time", "ambiguous", "truncated", "ok", "absent", "unparsed"
]  # fmt: skip
Coordinates = Literal["pixels", "unit", "thousand", "displayed", "unknown"]
Size = tuple[float, float]


class TimedBox(NamedTuple):
    """A box as it was written.

    Attributes:
        time: Time in seconds, None where the text gives none.
        box: x1, y1, x2, y2 in the answer's coordinates; may be reversed or empty.
        label: What the box shows, in words.
        id: Name of the object, where the form has one.
    """

    time: float | None
    box: tuple[float, float, float, float]
    label: str | None = None
    id: str | None = None


class TimedPoint(NamedTuple):
    """A point as it was written; its fields are those of `TimedBox`."""

    time: float | None
    point: tuple[float, float]
    label: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """The times, boxes, points and choice that were read from a model's text, as they were written there.

    Attributes:
        status: How well the text could be read: `ok`, `absent` (the text says that the event is not there), `unparsed`
            (no answer was found), `truncated` (the text stops inside an answer), `ambiguous` (several readings), or
            `reversed`, `instant` and `duplicate-time` for answers that were read but cannot be true.
        spans: Pairs of start and end in seconds, in written order; reversed spans as written.
        boxes: Boxes in written order.
        points: Points in written order.
        coordinates: Kind of the coordinates of boxes and points; None where there are none.
        choice: Letter of the chosen option.
        target: Number of the object, where the form has one ("Target ID: 3").
        thought: The part of the text that was thinking rather than answer; None where there was none.
        form: Name of the form that the text followed to the letter; None where it was read leniently.
        reasons: What was noticed, one clause each; empty for a clean reading.
    """

    status: ParseStatus = "unparsed"
    spans: tuple[tuple[float, float], ...] = ()
    boxes: tuple[TimedBox, ...] = ()
    points: tuple[TimedPoint, ...] = ()
    coordinates: Coordinates | None = None
    choice: str | None = None
    target: str | None = None
    thought: str | None = None
    form: str | None = None
    reasons: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether the answer was read without a fault; a reward gives 0 to all others."""
        return self.status in ("ok", "absent")

    @property
    def read(self) -> bool:
        """Whether anything at all was read, with or without faults, including absence."""
        found = self.spans or self.boxes or self.points or self.choice or self.target
        return bool(found) or self.status == "absent"

    def displayed(
        self, size: Size, shown: Size | None = None, coordinates: Coordinates | None = None
    ) -> "ParsedAnswer":
        """The same answer with boxes and points in pixels of the displayed frame.

        Args:
            size: Width and height of the displayed frame.
            shown: Width and height of the picture that the model saw; needed for `pixels` only.
            coordinates: Kind of the coordinates, used where the text does not tell.

        Raises:
            SettingError: The kind is unknown, or `shown` is missing.

        >>> a = ParsedAnswer("ok", boxes=(TimedBox(1.0, (250, 0, 500, 1000)),), coordinates="thousand")
        >>> a.displayed((640, 360)).boxes[0].box
        (160.0, 0.0, 320.0, 360.0)
        """
        if self.coordinates is None:
            return self
        kind = coordinates if coordinates and self.coordinates == "unknown" else self.coordinates
        sx, sy = scale(kind, "displayed", size, shown)
        return replace(
            self,
            boxes=tuple(b._replace(box=_scaled(b.box, sx, sy)) for b in self.boxes),
            points=tuple(p._replace(point=(p.point[0] * sx, p.point[1] * sy)) for p in self.points),
            coordinates="displayed",
        )

    def spans_of_boxes(self, rate: float = 1.0) -> tuple[tuple[float, float], ...]:
        """The time that boxes alone claim: each box stands for the 1/rate seconds that begin at its time.

        This is for texts with timed boxes but no span (one box a second, as VUE-STG counts).

        >>> ParsedAnswer("ok", boxes=tuple(TimedBox(t, (0, 0, 1, 1)) for t in (3.0, 4.0, 9.0))).spans_of_boxes()
        ((3.0, 5.0), (9.0, 10.0))
        """
        times = sorted({b.time for b in self.boxes if b.time is not None})
        runs: list[tuple[float, float]] = []
        for t in times:
            if runs and t - runs[-1][1] <= 0.5 / rate + 1e-6:
                runs[-1] = (runs[-1][0], t + 1 / rate)
            else:
                runs.append((t, t + 1 / rate))
        return tuple(runs)


def scale(kind: Coordinates, to: Coordinates, size: Size | None, shown: Size | None) -> tuple[float, float]:
    """Factors for x and y that convert coordinates from one kind to another.

    >>> scale("pixels", "displayed", (1280, 720), (640, 360))
    (2.0, 2.0)
    >>> scale("unknown", "displayed", (1280, 720), None)
    Traceback (most recent call last):
    ...
    whenwhere.errors.SettingError: boxes of unknown coordinates: name the model's form, or say pixels, unit or thousand
    """
    if kind == to:
        return 1.0, 1.0
    a, b = _extent(kind, size, shown), _extent(to, size, shown)
    return b[0] / a[0], b[1] / a[1]


def _extent(kind: Coordinates, size: Size | None, shown: Size | None) -> Size:
    """Width and height of the whole frame in one kind of coordinates."""
    if kind == "unit":
        return 1.0, 1.0
    if kind == "thousand":
        return 1000.0, 1000.0
    given = {"pixels": shown, "displayed": size}.get(kind)
    if kind not in ("pixels", "displayed"):
        raise SettingError("boxes of unknown coordinates: name the model's form, or say pixels, unit or thousand")
    if given is None or not all(math.isfinite(x) and x > 0 for x in given):
        name = "shown=(width, height) of the picture that the model saw" if kind == "pixels" else "size=(width, height)"
        raise SettingError(f"boxes in {kind} coordinates need {name}")
    return given


def _scaled(box: tuple[float, float, float, float], sx: float, sy: float) -> tuple[float, float, float, float]:
    return box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy


def status_of(
    spans: Sequence[tuple[float, float]],
    boxes: Sequence[TimedBox],
    points: Sequence[TimedPoint],
    found: bool,
    *,
    ambiguous: bool = False,
    truncated: bool = False,
    absent: bool = False,
) -> ParseStatus:
    """The status of a reading, by the order of the module's list."""
    if any(end < start for start, end in spans):
        return "reversed"
    if any(end == start for start, end in spans):
        return "instant"
    mentions: list[TimedBox | TimedPoint] = [*boxes, *points]
    timed = [(m.time, m.id, m.label if m.id is None else None) for m in mentions if m.time is not None]
    if len(set(timed)) < len(timed):
        return "duplicate-time"
    if ambiguous:
        return "ambiguous"
    if truncated:
        return "truncated"
    if found:
        return "ok"
    return "absent" if absent else "unparsed"
