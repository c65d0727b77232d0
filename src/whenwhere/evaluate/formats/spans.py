"""The smallest format: one line per item, `{"id": "7", "spans": [[3.2, 7.5]]}`.

Rows of two numbers are one answer, a set of time that may have several spans. Rows of three numbers are alternatives
with their scores, best first; the first is the answer. `"ranked"` holds the alternatives if the answer is another one,
or if they have no scores. An empty list claims an absence. Optional keys are `status`, `confidence`, `answer` (question
answering), and `video` with `query`, which may replace the id.

`"qid"` and `"timestamps"` (rows, or a single row) may stand for `"id"` and `"spans"`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from whenwhere.datasets.item import Item, span_array
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake, with_scores, without_nan
from whenwhere.evaluate.prediction import Prediction, Status
from whenwhere.store import write_text

_STATUS = set(get_args(Status))


def _read(intake: Intake) -> None:
    for at, line in intake.objects():
        for item in intake.find(at, line.get("id", line.get("qid")), line.get("video"), line.get("query")):
            _entry(intake, at, item, line)


def _entry(intake: Intake, at: int | str, item: Item, line: dict[str, Any]) -> None:
    status: Any = line.get("status")
    if status is not None and status not in _STATUS:
        intake.fail(at, item.id, "wrong type", f"status {status!r} is unknown", f"use one of {', '.join(_STATUS)}")
        return
    written = line.get("spans", line.get("timestamps", ()))
    if "spans" not in line and isinstance(written, list) and len(written) == 2 and not isinstance(written[0], list):
        written = [written]
    rows = intake.spans(at, item, written, (2, 3))
    if rows is None:
        return
    ranked = None
    if "ranked" in line:
        ranked = intake.spans(at, item, line["ranked"], (2, 3))
        if ranked is None:
            return
        ranked = with_scores(ranked)
    elif len(rows) and rows.shape[1] == 3:
        ranked, rows = rows, rows[:1]
    confidence = line.get("confidence")
    if confidence is not None:
        confidence = _number(confidence)
        if confidence is None:
            what = "its confidence is not a finite number"
            intake.fail(at, item.id, "not a number", what, "write a number, or leave it out")
            return
    answer = line.get("answer")
    if status is None:
        # a line without spans and without an answer to the question claims an absence
        status = "answered" if len(rows) or answer is not None or ranked is not None else "absent"
    intake.keep(
        at,
        Prediction(
            item.id,
            status,
            span_array() if not len(rows) else rows[:, :2],
            ranked,
            answer=None if answer is None else str(answer),
            confidence=confidence,
        ),
    )


def _number(value: Any) -> float | None:
    # the comparison also holds for integers that are too large for a float
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None


def line_of(prediction: Prediction) -> dict[str, Any]:
    """The answer as the object on its line."""
    out: dict[str, Any] = {"id": prediction.id, "spans": prediction.spans.tolist()}
    scored = prediction.ranked is not None and np.isfinite(prediction.ranked[:, 2]).all()
    if prediction.ranked is not None and scored and np.array_equal(prediction.ranked[:1, :2], prediction.spans):
        out["spans"] = prediction.ranked.tolist()
    elif prediction.ranked is not None:
        out["ranked"] = without_nan(prediction.ranked).tolist()
    if prediction.status != ("answered" if len(prediction.spans) else "absent"):
        out["status"] = prediction.status
    if prediction.confidence is not None:
        out["confidence"] = float(prediction.confidence)
    if prediction.answer is not None:
        out["answer"] = prediction.answer
        out["status"] = prediction.status
    return out


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    lines = [json.dumps(line_of(predictions[item.id])) for item in items if item.id in predictions]
    write_text(path, "".join(f"{line}\n" for line in lines))


FORMAT = Format(
    name="spans",
    title="minimal JSON Lines: id and spans",
    layout="lines",
    sniff=lambda line: ("spans" in line or "timestamps" in line) and "version" not in line,
    read=_read,
    write=_write,
    loses="boxes, curve, labels, raw text",
    source="ours",
)
