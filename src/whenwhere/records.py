"""The grounding record, version 1: what one question to one video gives, on disk and in memory.

One typed record flows through everything: a grounder makes it, exports read it, `--json` prints it, batches append
it to JSON Lines, evaluation reads it back. Unknown keys are refused, floats keep 3 decimals (milliseconds,
thousandths of a pixel), so that what is in memory equals what a reader of the file gets.

Field by field this is section 5 of the design; the words (span, tube, box, fill) are defined in `spans`, `boxes`
and `tubes`. Masks and several objects come later as further fields under a new version.
"""

import itertools
import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from whenwhere.errors import QueryError, RecordError
from whenwhere.spans import Span, SpanSet
from whenwhere.tubes import Tube

Status = Literal["answered", "absent", "unsure", "failed"]
Source = Literal["model", "smoothed", "propagated"]


def _finite3(x: float) -> float:
    if not math.isfinite(x):
        raise ValueError("must be finite")
    return round(x, 3)


Float = Annotated[float, AfterValidator(_finite3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class SpanRecord(_Strict):
    """Half-open `[start, end)` in seconds with an optional score."""

    start: Float
    end: Float
    score: Float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"span [{self.start}, {self.end}) is not start < end")
        return self


class VideoRecord(_Strict):
    """Which video was asked: enough to find it again and to convert times and boxes.

    `duration` is measured from the frames, `declared_duration` is the header's; `start` is the container's time of
    the first displayed frame; `width` and `height` are of the displayed frame; `rotation` in degrees clockwise.
    """

    path: str
    sha256_1mb: str
    duration: Float
    declared_duration: Float | None
    start: Float
    width: int
    height: int
    fps: Float
    vfr: bool
    rotation: int


class BoxRecord(_Strict):
    """A box at a time: seconds, xyxy pixels of the displayed frame, and where it came from."""

    t: Float
    box: tuple[Float, Float, Float, Float]
    source: Source = "model"


class TubeRecord(_Strict):
    """Second-level boxes of one thing; usually a record has one tube."""

    id: str = "0"
    label: str | None = None
    score: Float | None = None
    boxes: list[BoxRecord] = Field(default_factory=list)


class FilledRecord(_Strict):
    """Per-frame boxes of one tube (its id), present when asked for or when an export needed them."""

    fill: str
    tube: str
    t: list[Float]
    boxes: list[tuple[Float, Float, Float, Float]]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.t) != len(self.boxes):
            raise ValueError(f"{len(self.t)} times but {len(self.boxes)} boxes")
        return self


class CurveRecord(_Strict):
    """A score over time: value i belongs to `start + i * step` seconds."""

    start: Float
    step: Float
    values: list[Float]


class SettingsRecord(_Strict):
    """How the answer was made; the same settings on the same video give the same answer."""

    model: str
    pipeline: str
    rate: Float
    sample_fps: Float | None = None
    smooth: str = "none"
    fill: str = "flow"
    seed: int = 0
    samples: int = 1


class ParseRecord(_Strict):
    """How a model's text was read."""

    mode: Literal["strict", "lenient"]
    status: str


class CostRecord(_Strict):
    """What the answer cost; calls that were answered before, from the store, cost nothing.

    `peak_memory`: most bytes of accelerator memory in use at a time, 0 where nothing was measured.
    """

    frames_decoded: int = 0
    frames_shown: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: Float = 0.0
    peak_memory: int = 0


class ErrorRecord(_Strict):
    """Why there is no answer: a stable word and one sentence."""

    kind: str
    message: str


class Grounding(_Strict):
    """One answer to one sentence about one video.

    `status` is `answered`, `absent` (a claim: it is not there), `unsure` (no claim; see `candidates`) or `failed`
    (see `error`). `unsure` and `failed` carry no spans.

    >>> g = Grounding(id="a", query="a dog", status="absent")
    >>> Grounding.from_json(g.to_json()) == g
    True
    >>> Grounding.from_json('{"version": 1, "id": "a", "query": "x", "status": "absent", "colour": "red"}')
    Traceback (most recent call last):
    ...
    whenwhere.errors.RecordError: not a grounding record: colour: Extra inputs are not permitted
    """

    version: Literal[1] = 1
    id: str
    video: VideoRecord | None = None
    query: str
    status: Status
    confidence: Annotated[Float, Field(ge=0, le=1)] | None = None
    spans: list[SpanRecord] = Field(default_factory=list)
    ranked: list[SpanRecord] | None = None
    curve: CurveRecord | None = None
    tubes: list[TubeRecord] = Field(default_factory=list)
    filled: FilledRecord | None = None
    settings: SettingsRecord | None = None
    reading: dict[str, Any] | None = None
    candidates: list[dict[str, Any]] | None = None
    raw: list[Any] | None = None
    parse: ParseRecord | None = None
    cost: CostRecord = Field(default_factory=CostRecord)
    warnings: list[str] = Field(default_factory=list)
    error: ErrorRecord | None = None

    @field_validator("spans")
    @classmethod
    def _canonical(cls, spans: list[SpanRecord]) -> list[SpanRecord]:
        for a, b in itertools.pairwise(spans):
            if b.start < a.end:
                raise ValueError("spans must be sorted and disjoint (overlapping ones belong into `ranked`)")
        return spans

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status != "answered" and (self.spans or self.tubes):
            raise ValueError(f"a record with status {self.status} carries no spans or tubes")
        if self.status == "answered" and not self.spans:
            raise ValueError("a record with status answered needs a span")
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("exactly the failed records carry an error")
        return self

    @property
    def span_set(self) -> SpanSet:
        """The answered time as a set."""
        return SpanSet(Span(s.start, s.end, s.score) for s in self.spans)

    def tube(self, i: int = 0) -> Tube | None:
        """The i-th tube as arrays, None where there is no such tube.

        Raises:
            RecordError: the stored boxes do not make a tube inside the stored spans.
        """
        if i >= len(self.tubes):
            return None
        r = self.tubes[i]
        filled = self.filled if self.filled and self.filled.tube == r.id and self.filled.t else None
        return Tube(
            self.span_set,
            [b.t for b in r.boxes],
            [b.box for b in r.boxes],
            rate=self.settings.rate if self.settings else 1.0,
            sources=[b.source for b in r.boxes],
            id=r.id,
            label=r.label,
            score=r.score,
            filled=(np.array(filled.t), np.array(filled.boxes)) if filled else None,
        )

    def to_json(self) -> str:
        """One line of JSON, keys in the schema's order."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Grounding":
        """Read one record.

        Raises:
            RecordError: not JSON, or not this schema; names the first field that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise RecordError(f"not a grounding record: {where}: {first['msg']}") from e


def span_records(spans: SpanSet | list[Span]) -> list[SpanRecord]:
    """Spans in the record's form; a span that rounds to nothing at 3 decimals keeps one millisecond."""
    out = []
    for s in spans:
        start, end = round(s.start, 3), round(s.end, 3)
        out.append(SpanRecord(start=start, end=max(end, round(start + 0.001, 3)), score=s.score))
    return out


def tube_record(tube: Tube) -> TubeRecord:
    """A tube in the record's form."""
    sources = tube.sources or ("model",) * len(tube)
    return TubeRecord(
        id=tube.id,
        label=tube.label,
        score=tube.score,
        boxes=[
            BoxRecord(t=float(t), box=tuple(map(float, b)), source=s)
            for t, b, s in zip(tube.times, tube.boxes, sources, strict=True)
        ],
    )


def filled_record(fill: str, tube: str, times: np.ndarray, boxes: np.ndarray) -> FilledRecord:
    """Per-frame boxes in the record's form; rows of NaN (no box at that frame) are left out."""
    keep = ~np.isnan(boxes[:, 0])
    return FilledRecord(
        fill=fill,
        tube=tube,
        t=[float(t) for t in times[keep]],
        boxes=[tuple(map(float, b)) for b in boxes[keep]],
    )


def check_query(query: str) -> str:
    """The sentence, stripped.

    Raises:
        QueryError: empty, or longer than 2 000 characters (a sentence, not a document).

    >>> check_query("  a dog ")
    'a dog'
    """
    query = " ".join(query.split())
    if not query:
        raise QueryError('the sentence is empty: say what to look for, for example "the red car drives up"')
    if len(query) > 2000:
        raise QueryError(f"the sentence has {len(query)} characters: keep it under 2000")
    return query
