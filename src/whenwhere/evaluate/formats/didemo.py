"""Rankings for DiDeMo's evaluator: a list over items of lists of [first, last] chunks, best first.

A chunk is 5 s long and both ends are inclusive, so that [1, 2] is 5-15 s. There are no ids: entry i belongs to the item
with index i in the annotation file. An empty list means no answer. Scores are the negative rank.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.didemo import CHUNK, MOMENTS, snap
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text


def _indexed(items: Sequence[Item]) -> dict[int, Item]:
    return {int(item.provenance.get("index", i)): item for i, item in enumerate(items)}


def _sniff(value: Any) -> bool:
    first = next((row for row in value if row), None) if isinstance(value, list) else None
    return isinstance(first, list) and isinstance(first[0], list)


def _read(intake: Intake) -> None:
    if not isinstance(intake.value, list):
        raise RecordError(f"{intake.path} is not a list of rankings: write one list of [first, last] chunks per item")
    items = _indexed(intake.items)
    for i, chunks in enumerate(intake.value):
        at = f"entry {i}"
        item = items.get(i)
        if item is None:
            intake.fault(
                at, "unknown id", "the annotations have no item with this index", "give the file that was answered"
            )
        elif chunks != []:
            _ranking(intake, at, item, chunks)


def _ranking(intake: Intake, at: str, item: Item, chunks: Any) -> None:
    try:
        table = np.array(chunks, np.float64)
    except (ValueError, TypeError, OverflowError):
        table = np.zeros(0)
    if table.ndim != 2 or table.shape[1] != 2:
        intake.fail(
            at, item.id, "wrong type", "it is not a list of [first, last] chunks", "write pairs of chunk numbers"
        )
        return
    rows = np.c_[table[:, 0] * CHUNK, (table[:, 1] + 1) * CHUNK, -np.arange(float(len(table)))]
    # All moments of six chunks are ranked also for videos with five chunks, so none of them is out of range.
    ranked = intake.spans(at, Item(item.id, item.video), rows, (3,))
    if ranked is not None:
        intake.keep(at, Prediction(item.id, "answered", ranked[:1, :2], ranked))


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    indexed = _indexed(items)
    out: list[list[tuple[int, int]]] = [[] for _ in range(max(indexed, default=-1) + 1)]
    for i, item in indexed.items():
        p = predictions.get(item.id)
        if p is None:
            continue
        rows = p.spans if p.ranked is None else p.ranked
        # As the protocol counts seconds: each span becomes the nearest moment; spans that overlap none are left out,
        # and spans with the same moment are one.
        near = snap(rows)
        out[i] = list(dict.fromkeys((a, b) for a, b in MOMENTS[near[near >= 0]].tolist()))
    write_text(path, json.dumps(out))


FORMAT = Format(
    name="didemo",
    title="DiDeMo rankings of chunks",
    layout="json",
    sniff=_sniff,
    read=_read,
    write=_write,
    loses="scores (the order stays), seconds inside a chunk, everything but the ranking",
    source="LisaAnne/LocalizingMoments b6a555c, utils/eval.py",
)
