"""Scores of all candidates as arrays: similarities for retrieval, class scores for recognition.

The files are those of `whenwhere.datasets.matrices`, which also carry the truth: an .npz with `similarity` (or a bare
.npy), or with `scores` and `labels`. Row i belongs to item i. Writing adds what a reader of the truth needs, taken from
the items.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whenwhere.datasets.item import Item
from whenwhere.datasets.matrices import read_arrays
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Prediction, PredictionFault
from whenwhere.store import atomic_path


def _read_rows(intake: Intake, key: str, finite: bool) -> None:
    table = np.asarray(read_arrays(intake.path, (key,))[key], np.float64)
    if table.ndim != 2 or len(table) != len(intake.items):
        raise RecordError(
            f"{intake.path}: {key} of shape {table.shape} does not fit {len(intake.items)} items: write one row for "
            "each item"
        )
    bad = ~np.isfinite(table).all(1) if finite else np.isnan(table).any(1)
    if finite and bad.any():
        raise RecordError(f"{intake.path}: {key} holds values that are not finite: mend what wrote them")
    if number := int(bad.sum()):
        first = intake.items[int(bad.argmax())].id
        message = (
            f"{intake.path}: {number} items (the first is {first}) have scores that are not numbers, which rank last; "
            "write finite scores"
        )
        intake.faults.append(PredictionFault(str(intake.path), "not a number", message))
    for item, row in zip(intake.items, table, strict=True):
        intake.keep(item.id, Prediction(item.id, scores=row))


def _rows(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> NDArray[np.float64]:
    rows = [predictions[item.id].scores if item.id in predictions else None for item in items]
    found = [row for row in rows if row is not None]
    if len(found) < len(rows) or not rows:
        raise RecordError(f"{path}: {len(rows) - len(found)} items have no scores, and this format needs all of them")
    return np.stack(found)


def _write_retrieval(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    video_of = [item.extra.get("video", i) for i, item in enumerate(items)]
    _save(path, similarity=_rows(path, predictions, items), video_of=video_of, ids=[item.id for item in items])


def _write_recognition(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    labels = [item.extra.get("label", 0) for item in items]
    ids, videos = [item.id for item in items], [item.video for item in items]
    _save(path, scores=_rows(path, predictions, items), labels=labels, ids=ids, videos=videos)


def _save(path: Path, **held: ArrayLike) -> None:
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in held.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


RETRIEVAL = Format(
    name="similarity",
    title="similarities of sentences and videos (.npz, .npy)",
    layout="arrays",
    sniff=lambda _: True,
    read=partial(_read_rows, key="similarity", finite=True),
    write=_write_retrieval,
    loses="everything but the similarities",
    source="ours: whenwhere.datasets.matrices",
    tasks=("retrieval",),
)
RECOGNITION = Format(
    name="class-scores",
    title="scores of classes, with the labels (.npz)",
    layout="arrays",
    sniff=lambda _: True,
    read=partial(_read_rows, key="scores", finite=False),
    write=_write_recognition,
    loses="everything but the class scores",
    source="ours: whenwhere.datasets.matrices",
    tasks=("recognition",),
)
