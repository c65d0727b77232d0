"""Results of TimeLens' evaluation: `{"v.mp4>>>a dog runs>>>[3.0, 7.0]": {"timestamps": [[3.2, 7.5]], ...}}`.

One JSON object, or several on a line each, as its shards write them. A key names the video, the sentence and the true
span; an answer belongs to the item with that sentence about that video and, if there are several, to those with that
span. As in its `compute_metrics.py` the first of several timestamps is the answer, none is a wrong answer, and without
the key `timestamps` the text under `answers` is parsed (by this project's parser).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.formats.text import take_text, text_of
from whenwhere.evaluate.prediction import Prediction, Status
from whenwhere.readers import parse_json
from whenwhere.store import write_text

MARK = ">>>"


def _read(intake: Intake) -> None:
    # The authors' evaluator puts all lines into one dictionary.
    intake.last_counts = True
    for at, entries in intake.objects():
        for key, value in entries.items():
            place = f"{at}, {key[:60]}" if isinstance(at, str) else at
            video, _, rest = key.partition(MARK)
            query, _, span = rest.rpartition(MARK)
            items = intake.find(place, None, video, query) if MARK in rest else intake.find(place, key)
            for item in _with_span(items, span):
                _entry(intake, place, item, value)


def _with_span(items: list[Item], span: str) -> list[Item]:
    """The items whose truth is that span, or all of them if it is that of none."""
    if len(items) < 2:
        return items
    try:
        ends = np.array(parse_json(span.replace("(", "[").replace(")", "]"), "the key"), np.float64)
    except (RecordError, ValueError, TypeError):
        return items
    return [i for i in items if len(i.spans) and ends.shape == (2,) and np.allclose(i.spans[0], ends)] or items


def _entry(intake: Intake, at: int | str, item: Item, value: Any) -> None:
    written = value.get("timestamps") if isinstance(value, dict) else None
    text = value.get("answers") if isinstance(value, dict) else None
    if isinstance(written, list):
        rows = intake.spans(at, item, written, (2,))
        if rows is not None:
            status: Status = "answered" if len(rows) else "unparsed"
            intake.keep(at, Prediction(item.id, status, rows[:1], raw=text if isinstance(text, str) else None))
    elif isinstance(text, str):
        take_text(intake, at, item, text, {})
    else:
        intake.fail(at, item.id, "wrong type", "it has neither timestamps nor answers", "write [[start, end]]")


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    out = {}
    for item in items:
        p = predictions.get(item.id)
        if p is None:
            continue
        truth = item.spans[0].tolist() if len(item.spans) else []
        top = p.top
        rows = [] if p.status != "answered" or top is None else [top.tolist()]
        key = MARK.join((item.video, item.query, json.dumps(truth)))
        out[key] = {"timestamps": rows, "answers": text_of(p)}
    write_text(path, json.dumps(out))


FORMAT = Format(
    name="timelens",
    title="TimeLens' results: video>>>sentence>>>span and timestamps",
    layout="lines",
    sniff=lambda line: any(key.count(MARK) >= 2 for key in line),
    read=_read,
    write=_write,
    loses="all but the first span; absences (an answer without a time is wrong there); scores, boxes",
    source="TencentARC/TimeLens 5d90c06, evaluation/compute_metrics.py",
)
