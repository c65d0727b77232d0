"""The truth of one question as a reward needs it, and its form as plain data.

Data sets of trainers carry the plain form (`target`): JSON that survives a parquet column, and the one string that some
engines pass to a reward. Unknown keys are refused, because a misspelt `duration` would silently switch terms off.

    {"spans": [[3.2, 5.9]], "boxes": [[3.2, 10, 20, 110, 220], ...], "rate": 1.0, "duration": 20.0, "fps": 30.0,
     "size": [640, 360], "shown": [448, 252], "choice": "B", "query": "the dog runs in"}

Only `spans` or `choice` is required. `"spans": []` says that the event is not there; without `spans`, time is not asked
for.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from whenwhere.answers.answer import ParsedAnswer, Size, TimedBox
from whenwhere.errors import RecordError, WhenwhereError
from whenwhere.spans import SpanSet
from whenwhere.tubes import Tube

_KEYS = ("spans", "boxes", "rate", "duration", "fps", "size", "shown", "choice", "query")


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one question.

    Attributes:
        spans: The true time. Empty means that the event is not there; None means that time is not asked for.
        tube: The true boxes, in pixels of the displayed frame; None where places are not asked for.
        duration: Duration of the video in seconds.
        size: Width and height of the displayed frame.
        shown: Width and height of the picture that the policy sees, for forms that answer in its pixels.
        choice: Letter of the right option, where the question has options.
        fps: Frames per second of the video or the annotation. It determines the last frame before the end of a span.
        query: The sentence.

    Raises:
        RecordError: A duration, rate or size is not positive and finite.
    """

    spans: SpanSet | None
    tube: Tube | None = None
    duration: float | None = None
    size: Size | None = None
    shown: Size | None = None
    choice: str | None = None
    fps: float | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        for name, values in (
            ("duration", [self.duration]), ("fps", [self.fps]), ("size", self.size or ()), ("shown", self.shown or ()),
        ):  # fmt: skip
            if any(v is not None and not (math.isfinite(v) and v > 0) for v in values):
                raise RecordError(f"the {name} of a target must be positive and finite, not {values!r}")
        if self.choice is not None and not isinstance(self.choice, str):
            raise RecordError(f"the choice of a target must be a letter, not {self.choice!r}")
        if self.spans is None and self.choice is None:
            raise RecordError("a target needs `spans` (empty for absence) or `choice`")

    @property
    def length(self) -> float:
        """Length of the video in seconds, extended by annotations that end after it; 0 where neither is known."""
        return max(self.duration or 0.0, float(self.spans.ends[-1]) if self.spans else 0.0)

    @classmethod
    def of(cls, target: "Truth | Mapping[str, Any] | str") -> "Truth":
        """The truth from its plain form, or from that form as a JSON string.

        Raises:
            RecordError: The target does not have that form; the message says what is wrong.

        >>> Truth.of('{"spans": [[3.2, 5.9]], "duration": 20}').spans
        SpanSet([3.2, 5.9))
        """
        if isinstance(target, Truth):
            return target
        try:
            data = json.loads(target) if isinstance(target, str) else target
        except ValueError as e:
            raise RecordError(f"a target is not valid JSON ({e})") from e
        if not isinstance(data, Mapping):
            raise RecordError(f"a target must be a mapping with spans or choice, not {type(data).__name__}")
        unknown = sorted(set(data) - set(_KEYS))
        if unknown:
            raise RecordError(f"a target has the unknown key {unknown[0]!r}: it may have {', '.join(_KEYS)}")
        # The columns of a table give every row every key, so None means the same as a missing key.
        given = {k: v for k, v in data.items() if v is not None}
        try:
            spans = SpanSet((float(s), float(e)) for s, e in given["spans"]) if "spans" in given else None
            tube = None
            if spans and len(given.get("boxes", ())):
                rows = np.array([[float(x) for x in row] for row in given["boxes"]])
                if rows.shape[1:] != (5,):
                    raise RecordError("each box must be a row of time, x1, y1, x2, y2")
                tube = Tube(spans, rows[:, 0], rows[:, 1:], rate=float(given.get("rate", 1.0)))
            size, shown = ((float(s[0]), float(s[1])) if s is not None else None for s in map(given.get, _KEYS[5:7]))
            duration, fps = (float(s) if s is not None else None for s in map(given.get, ("duration", "fps")))
        except WhenwhereError as e:
            raise RecordError(f"a target is wrong: {e}") from e
        except (TypeError, ValueError, IndexError) as e:
            raise RecordError(f"a field of a target has the wrong type ({e})") from e
        return cls(spans, tube, duration, size, shown, given.get("choice"), fps, given.get("query"))

    def target(self) -> dict[str, Any]:
        """The plain form, which `Truth.of` reads back."""
        data: dict[str, Any] = {}
        if self.spans is not None:
            data["spans"] = [[s.start, s.end] for s in self.spans]
        if self.tube is not None and len(self.tube):
            data["boxes"] = np.c_[self.tube.times, self.tube.boxes].tolist()
            data["rate"] = self.tube.rate
        for name in ("duration", "fps", "choice", "query"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        return data | {n: list(v) for n, v in (("size", self.size), ("shown", self.shown)) if v is not None}

    def answer(self, rate: float | None = 1.0) -> ParsedAnswer:
        """The right answer, from which SFT targets are rendered.

        Args:
            rate: Boxes per second, at second-level times. None keeps the truth's own boxes.

        >>> tube = Tube(SpanSet([(0.4, 2)]), [0.4, 1.96], [[0, 0, 10, 10], [10, 0, 20, 10]], rate=0.5)
        >>> [b.time for b in Truth(tube.spans, tube, fps=25).answer().boxes]
        [0.4, 1.0, 1.96]
        """
        # Importing `tracking` loads OpenCV, which workers that only score do not need.
        from whenwhere.tracking.rate import UNKNOWN_FRAME, second_level_times

        spans = self.spans if self.spans is not None else SpanSet()
        boxes: list[TimedBox] = []
        if self.tube is not None:
            times = self.tube.times
            if rate is not None:
                frame = 1 / self.fps if self.fps else UNKNOWN_FRAME
                times = np.concatenate(
                    [second_level_times(s, rate, last=max(s.start, s.end - frame)) for s in spans] or [times]
                )
            boxes = [
                TimedBox(t, (b[0], b[1], b[2], b[3]))
                for t, b in zip(times.tolist(), self.tube.boxes_at(times).tolist(), strict=True)
                if not math.isnan(b[0])
            ]
        said = bool(len(spans) or self.choice)
        return ParsedAnswer(
            "ok" if said else "absent",
            tuple((s.start, s.end) for s in spans),
            tuple(boxes),
            coordinates="displayed" if boxes else None,
            choice=self.choice,
        )
