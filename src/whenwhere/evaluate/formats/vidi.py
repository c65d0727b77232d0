"""Vidi's `tubes.csv`: one normalised box per second and query.

The columns are `query_id,time_ms,x0,y0,x1,y1` (a column `time_normalized` is ignored). Times are rounded half up to
whole seconds, and of several boxes in one second the first counts, as in the benchmark's own evaluator; the answered
time is the set of seconds [k, k + 1). Boxes are fractions of the frame and become pixels of the item's frame; VUE-STG
does not state the size of its frames, so its items have a frame of 1 x 1.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.datasets.vue_stg import second_spans, whole_seconds
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Boxes, Prediction
from whenwhere.readers import parse_csv, read_text, visible
from whenwhere.store import write_text

COLUMNS = ("query_id", "time_ms", "x0", "y0", "x1", "y1")


def _read(intake: Intake) -> None:
    rows = parse_csv(read_text(intake.path), visible(str(intake.path)))
    _, header = next(rows, (1, []))
    missing = [c for c in COLUMNS if c not in header]
    if missing:
        raise RecordError(f"{intake.path}:1: no column {', '.join(missing)}: the header must name {COLUMNS}")
    columns = [header.index(c) for c in COLUMNS]
    tubes: dict[str, tuple[int, list[list[str]]]] = {}
    for number, row in rows:
        if not row:
            continue
        if len(row) != len(header):
            intake.fault(
                number,
                "torn line",
                f"this line has {len(row)} of {len(header)} columns and was left out",
                "write or download the file again",
            )
            continue
        query, *numbers = (row[c] for c in columns)
        tubes.setdefault(query, (number, []))[1].append(numbers)
    for query, (at, written) in tubes.items():
        for item in intake.find(at, query):
            _tube(intake, at, item, written)


def _tube(intake: Intake, at: int, item: Item, written: list[list[str]]) -> None:
    try:
        table = np.array(written, np.float64)
    except ValueError:
        table = np.full((1, 5), np.nan)
    if not np.isfinite(table).all():
        intake.fail(
            at, item.id, "not a number", "a time or box is not a finite number", "write every row in finite numbers"
        )
        return
    if item.width is None or item.height is None:
        intake.fail(
            at,
            item.id,
            "no frame size",
            "its boxes are fractions of a frame whose size the annotations do not state",
            "use a format with boxes in pixels",
        )
        return
    seconds, first = np.unique(whole_seconds(table[:, 0].clip(-1e15, 1e15).astype(np.int64)), return_index=True)
    size = np.array([item.width, item.height, item.width, item.height], np.float64)
    found = intake.boxes(at, item.id, seconds, table[first, 1:] * size)
    if found is None:
        return
    times, boxes = found
    spans = second_spans(times.astype(np.int64))
    checked = intake.spans(at, item, spans, (2,))
    if checked is not None:
        intake.keep(at, Prediction(item.id, "answered", checked, boxes=[Boxes(times, boxes)], rate=1.0))


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    lines = [",".join(COLUMNS)]
    for item in items:
        p = predictions.get(item.id)
        if p is None or not p.boxes:
            continue
        if item.width is None or item.height is None:
            raise RecordError(f"{path}: this format needs the frame size of {item.id!r}, which the annotations lack")
        size = np.array([item.width, item.height, item.width, item.height], np.float64)
        tube = p.boxes[0]
        id = f'"{item.id}"' if "," in item.id else item.id
        lines += [
            f"{id},{round(t * 1000)},{','.join(map(repr, box))}"
            for t, box in zip(tube.times.tolist(), (tube.boxes / size).tolist(), strict=True)
        ]
    write_text(path, "\n".join(itertools.chain(lines, [""])))


FORMAT = Format(
    name="vidi",
    title="Vidi's tubes.csv (VUE-STG): one normalised box per second",
    layout="csv",
    sniff=lambda header: set(COLUMNS) <= set(header),
    read=_read,
    write=_write,
    loses="all but one box per whole second of one object; spans are the seconds that have a box",
    source="bytedance/vidi fc30c87, VUE_STG/tube.py",
)
