"""The grounding record, version 1: the answer to one question about one video, on disk and in memory.

One typed record goes through the whole program: a session makes it, exports read it, `--json` prints it, a batch
appends it to a JSON Lines file, and evaluation reads it back. Unknown keys are refused. Floats keep 3 decimals
(milliseconds, thousandths of a pixel) already in memory, so that a record and its copy from a file give the same
exports: a batch that is resumed writes the files that are still missing from its stored records.

The words span, tube, box and fill are defined in `spans`, `boxes`, `tubes` and `whenwhere.tracking`. Masks and several
objects will be further fields of a later version.
"""

import itertools
import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
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
Source = Literal["model", "smoothed", "propagated", "snapped"]


#: Most seconds by which rounding moves a time, with room for floating point.
_ROUNDING = 0.6e-3


def _finite3(x: float) -> float:
    if not math.isfinite(x):
        raise ValueError("must be finite")
    return round(x, 3)


Float = Annotated[float, AfterValidator(_finite3)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class SpanRecord(_Strict):
    """A half-open span `[start, end)` in seconds, with an optional score."""

    start: Float
    end: Float
    score: Float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"span [{self.start}, {self.end}) is not start < end")
        return self


class VideoRecord(_Strict):
    """The video that was asked about: enough to find it again and to convert times and boxes.

    Of a video that could not be opened only the path is known.

    Attributes:
        path: Path or address, as it was given.
        sha256_1mb: SHA-256 of the first MiB of the file.
        duration: Duration in seconds, measured from the frames.
        declared_duration: Duration in seconds that the file's header states, or None.
        start: The container's time of the first displayed frame, in seconds.
        width: Width of the displayed frame in pixels.
        height: Height of the displayed frame in pixels.
        fps: Mean frames per second.
        vfr: Whether the frame rate varies.
        rotation: Clockwise rotation in degrees that the displayed frame already includes.
        content: Hash of the whole content, which tells videos apart whose first MiB is the same. Records of earlier
            versions have none.
    """

    path: str
    sha256_1mb: str | None = None
    duration: Float | None = None
    declared_duration: Float | None = None
    start: Float | None = None
    width: int | None = None
    height: int | None = None
    fps: Float | None = None
    vfr: bool | None = None
    rotation: int | None = None
    content: str | None = None


class BoxRecord(_Strict):
    """A box at a time `t` in seconds, as xyxy pixels of the displayed frame, and where the box came from."""

    t: Float
    box: tuple[Float, Float, Float, Float]
    source: Source = "model"


class TubeRecord(_Strict):
    """The second-level boxes of one thing. Most records have one tube."""

    id: str = "0"
    label: str | None = None
    score: Float | None = None
    boxes: list[BoxRecord] = Field(default_factory=list)


class FilledRecord(_Strict):
    """One box for each frame of the tube whose id is `tube`, made when they were asked for or an export needed them."""

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
    """A score over time; the value i belongs to the time `start + i * step` in seconds."""

    start: Float
    step: Float
    values: list[Float]


class SettingsRecord(_Strict):
    """The settings of the answer; the same settings give the same answer for the same video."""

    model: str
    pipeline: str
    rate: Float
    sample_fps: Float | None = None
    smooth: str = "none"
    fill: str = "flow"
    seed: int = 0
    samples: int = 1
    snap: bool = False


class ParseRecord(_Strict):
    """How the text of a model was parsed, and with what result."""

    mode: Literal["strict", "lenient"]
    status: str


class CostRecord(_Strict):
    """What the answer cost. Model calls whose reply was in the cache cost nothing.

    Attributes:
        frames_decoded: Number of frames that were decoded.
        frames_shown: Number of frames that a model was shown.
        calls: Number of model calls.
        prompt_tokens: Number of tokens in the prompts of all calls.
        output_tokens: Number of tokens that were generated.
        seconds: Time from the question to the answer.
        peak_memory: Most bytes of accelerator memory in use at any time; 0 if it was not measured.
    """

    frames_decoded: int = 0
    frames_shown: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    seconds: Float = 0.0
    peak_memory: int = 0


class ErrorRecord(_Strict):
    """Why there is no answer: a stable word (`kind`) and one sentence."""

    kind: str
    message: str


class Grounding(_Strict):
    """The answer to one sentence about one video.

    `status` is `answered`, `absent` (the claim that it is not there), `unsure` (no claim; `candidates` lists what was
    considered) or `failed` (`error` says why). Only answered records have spans. `id` is the question's own id if it
    has one, else `identity`: a hash of everything that the answer depends on, by which a batch that is rerun finds it.

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
    identity: str | None = None

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
        """The answered time as a set of spans."""
        return SpanSet(Span(s.start, s.end, s.score) for s in self.spans)

    def tube(self, i: int = 0, frame_times: NDArray[np.float64] | None = None) -> Tube | None:
        """The tube with index i as arrays, or None if there is no such tube.

        Args:
            i: Index of the tube.
            frame_times: Times of the video's frames in seconds, ascending. If they are given, times that differ from
                a frame's time only by the rounding of records become the frame's time.

        Raises:
            RecordError: The stored boxes do not make a tube inside the stored spans.
        """
        if i >= len(self.tubes):
            return None
        r = self.tubes[i]
        filled = self.filled if self.filled and self.filled.tube == r.id and self.filled.t else None
        spans, times = self.span_set, np.array([b.t for b in r.boxes], float)
        if frame_times is not None:
            starts, ends = _unrounded(spans.starts, frame_times), _unrounded(spans.ends, frame_times)
            spans = SpanSet(zip(starts.tolist(), ends.tolist(), strict=True))
            times = _unrounded(times, frame_times)
        return Tube(
            spans,
            times,
            [b.box for b in r.boxes],
            rate=self.settings.rate if self.settings else 1.0,
            sources=[b.source for b in r.boxes],
            id=r.id,
            label=r.label,
            score=r.score,
            filled=(np.array(filled.t), np.array(filled.boxes)) if filled else None,
        )

    def to_json(self) -> str:
        """The record as one line of JSON, with the keys in the order of the schema."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Grounding":
        """The record that a line of JSON holds.

        Raises:
            RecordError: The text is not JSON or does not follow the schema; the message names the first wrong field.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"])) or "line"
            raise RecordError(f"not a grounding record: {where}: {first['msg']}") from e


def _unrounded(times: NDArray[np.float64], frame_times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of a record, put back to the time of the nearest frame if they differ only by rounding."""
    right = np.searchsorted(frame_times, times).clip(1, len(frame_times) - 1)
    near = np.where(times - frame_times[right - 1] < frame_times[right] - times, right - 1, right)
    return np.where(np.abs(frame_times[near] - times) <= _ROUNDING, frame_times[near], times)


def span_records(spans: SpanSet | list[Span]) -> list[SpanRecord]:
    """Spans in the record's form. A span that would be empty after rounding keeps one millisecond."""
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
    """The boxes of each frame in the record's form.

    Args:
        fill: Name of the fill that made the boxes.
        tube: Id of the tube.
        times: Times of the frames in seconds, shape (n,).
        boxes: Boxes as xyxy pixels, shape (n, 4); frames whose row is NaN have no box and are left out.
    """
    keep = ~np.isnan(boxes[:, 0])
    return FilledRecord(
        fill=fill,
        tube=tube,
        t=[float(t) for t in times[keep]],
        boxes=[tuple(map(float, b)) for b in boxes[keep]],
    )


def check_query(query: str) -> str:
    """The sentence with single spaces between its words and none around it.

    Raises:
        QueryError: The sentence is empty, longer than 2 000 characters, or not Unicode.

    >>> check_query("  a dog ")
    'a dog'
    """
    query = " ".join(query.split())
    if not query:
        raise QueryError('the sentence is empty: say what to look for, for example "the red car drives up"')
    if len(query) > 2000:
        raise QueryError(f"the sentence has {len(query)} characters: keep it under 2000")
    try:
        query.encode()
    except UnicodeEncodeError:
        raise QueryError("the sentence holds bytes that are not UTF-8: save it, or type it, as UTF-8") from None
    return query
