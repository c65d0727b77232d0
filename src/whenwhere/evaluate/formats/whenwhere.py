"""Our own records (`grounding.jsonl`, version 1) as answers; of several to one question the last counts, as in a batch.

A record has the id that its run gave it; if no item has that id, video and sentence decide. Boxes are pixels of the
frame that the model was shown; if the item states another size (the same video, recoded) they are scaled to it, and to
a frame of 1 x 1 for benchmarks with normalised boxes. Records of a video count seconds from its start; for an item
whose times count from a later second (`Item.offset`) they are moved.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.readers import parse_json
from whenwhere.records import (
    BoxRecord,
    CurveRecord,
    ErrorRecord,
    Grounding,
    SettingsRecord,
    SpanRecord,
    TubeRecord,
    VideoRecord,
    span_records,
)
from whenwhere.spans import Span
from whenwhere.store import write_text

#: The `error.kind` of a record for text without a readable answer.
UNPARSED = "unparsed"
_KINDS = {"must be finite": "not a number", "start < end": "reversed"}


def _read(intake: Intake) -> None:
    intake.last_counts = True
    for at, line in intake.lines():
        try:
            record = Grounding.model_validate_json(line)
        except ValidationError as e:
            _refused(intake, at, line, e)
            continue
        video = record.video.path if record.video else None
        for item in intake.find(at, record.id, video, record.query):
            intake.keep(at, prediction_of(record, item))


def _refused(intake: Intake, at: int | str, line: bytes, e: ValidationError) -> None:
    try:
        value = parse_json(line, "")
    except RecordError:
        intake.torn(at)
        return
    first = e.errors()[0]
    what = f"{'.'.join(map(str, first['loc'])) or 'the record'}: {first['msg']}"
    kind = next((k for words, k in _KINDS.items() if words in first["msg"]), "wrong type")
    if not isinstance(value, dict):
        intake.fault(at, "wrong type", "is not a record", "write one grounding record on each line")
        return
    video = value.get("video")
    video = video.get("path") if isinstance(video, dict) else video
    for item in intake.find(at, value.get("id"), video, value.get("query")):
        intake.fail(at, item.id, kind, f"not a grounding record ({what})", "write records of version 1")


def prediction_of(record: Grounding, item: Item) -> Prediction:
    """The record as the answer to an item."""
    late = item.offset if record.video is not None else 0.0
    status: Any = record.status
    if record.error is not None and record.error.kind == UNPARSED:
        status = "unparsed"
    ranked = None
    if record.ranked is not None:
        rows = [(s.start - late, s.end - late, np.nan if s.score is None else s.score) for s in record.ranked]
        ranked = np.array(rows, np.float64).reshape(-1, 3)
    curve = None
    if record.curve is not None:
        curve = (record.curve.start - late, record.curve.step, np.array(record.curve.values, np.float64))
    scale = _scale(record.video, item)
    return Prediction(
        item.id,
        status,
        span_array([(s.start - late, s.end - late) for s in record.spans]),
        ranked,
        boxes=[
            Boxes(
                np.array([b.t - late for b in tube.boxes], np.float64),
                np.array([b.box for b in tube.boxes], np.float64).reshape(-1, 4) * scale,
                tube.id,
                tube.label,
                tube.score,
            )
            for tube in record.tubes
        ],
        rate=record.settings.rate if record.settings else 1.0,
        curve=curve,
        confidence=record.confidence,
        raw=_text(record.raw),
    )


def _scale(video: VideoRecord | None, item: Item) -> Any:
    if video is None or video.width is None or video.height is None or item.width is None or item.height is None:
        return 1.0
    sizes = (item.width, video.width), (item.height, video.height)
    # a record of a frame without a size cannot be scaled, and its boxes are taken as they are
    x, y = (1.0 if a == b or not b else a / b for a, b in sizes)
    return 1.0 if x == y == 1.0 else np.array([x, y, x, y])


def _text(raw: list[Any] | None) -> str | None:
    return None if raw is None else "\n".join(r if isinstance(r, str) else json.dumps(r) for r in raw)


def record_of(prediction: Prediction, item: Item) -> Grounding:
    """The answer as a record; `FORMAT.loses` says what is lost."""
    status, spans = prediction.status, span_records(prediction.span_set)
    if status == "answered" and not spans:
        status, kind, message = "failed", "no-span", "the answer holds no time"
    elif status == "unparsed":
        status, kind, message = "failed", UNPARSED, "the text holds no readable answer"
    else:
        kind, message = "lost", "the answer was lost"
    answered = status == "answered"
    curve = prediction.curve
    confidence = prediction.confidence
    return Grounding(
        id=prediction.id,
        query=item.query,
        status=status,
        confidence=confidence if confidence is not None and 0 <= confidence <= 1 else None,
        spans=spans if answered else [],
        ranked=None if prediction.ranked is None else _ranked(prediction.ranked),
        curve=None if curve is None else CurveRecord(start=curve[0], step=curve[1], values=curve[2].tolist()),
        tubes=[_tube(b) for b in prediction.boxes] if answered else [],
        settings=SettingsRecord(model="?", pipeline="?", rate=prediction.rate),
        raw=None if prediction.raw is None else [prediction.raw],
        error=ErrorRecord(kind=kind, message=message) if status == "failed" else None,
    )


def _ranked(rows: NDArray[np.float64]) -> list[SpanRecord]:
    return span_records(
        [
            Span(start, end, score if math.isfinite(score) else None)
            for start, end, score in rows.tolist()
            if start < end
        ]
    )


def _tube(boxes: Boxes) -> TubeRecord:
    return TubeRecord(
        id=boxes.id,
        label=boxes.label,
        score=boxes.score,
        boxes=[
            BoxRecord(t=t, box=tuple(box)) for t, box in zip(boxes.times.tolist(), boxes.boxes.tolist(), strict=True)
        ],
    )


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    lines = [record_of(predictions[item.id], item).to_json() for item in items if item.id in predictions]
    write_text(path, "".join(f"{line}\n" for line in lines))


FORMAT = Format(
    name="whenwhere",
    title="whenwhere's grounding records",
    layout="lines",
    sniff=lambda line: "version" in line and "status" in line and "query" in line,
    read=_read,
    write=_write,
    loses="more than 3 decimals, overlapping or reversed spans (merged, left out), labels, answers to questions",
    source="ours: whenwhere.records",
)
