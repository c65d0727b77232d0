"""Files of predictions: every format the field writes, read into `Prediction` and written from it.

`read_predictions` knows a format by the file's content, not by its name. An entry that cannot be used never stops the
reading and never shrinks a denominator: it becomes a `Fault` (see `intake`). One file per format; each exports
`FORMAT`, whose `loses` says what the format cannot hold.
"""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.formats import (
    activitynet,
    didemo,
    hcstvg,
    qvhighlights,
    spans,
    stcat,
    text,
    tubedetr,
    vidi,
    whenwhere,
)
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.prediction import Fault, Prediction, Predictions

__all__ = ["FORMATS", "Format", "read_predictions", "sniff", "write_predictions"]

#: All formats by name; sniffed in this order.
FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (whenwhere, qvhighlights, spans, text, activitynet, vidi, tubedetr, stcat, hcstvg, didemo)
}

#: Lines that may be torn before the format is given up.
_TRIES = 20


def read_predictions(
    path: str | os.PathLike[str],
    items: Sequence[Item],
    benchmark: Benchmark | None = None,
    format: str | None = None,
) -> Predictions:
    """Read a file of predictions for these items.

    Args:
        path: the file.
        items: what was asked; every one of them stays in the denominator.
        benchmark: named in messages.
        format: a name of `FORMATS`; None finds it out from the content.

    Returns:
        Answers by item id (by video in detection) and everything that was wrong with the file.

    Raises:
        RecordError: the file is missing, unreadable as a whole, or of no known format.
        SettingError: no such format.
    """
    file = Path(path)
    if format is not None and format not in FORMATS:
        raise SettingError(f"no prediction format {format!r}: choose one of {', '.join(FORMATS)}")
    intake = Intake(file, items)
    try:
        if not file.is_file():
            raise RecordError(f"{file} is no file: give the file of predictions")
        empty = _is_empty(file)
        form = None if empty and format is None else FORMATS[format] if format else _sniffed(intake)
        if empty:
            named = f" on {benchmark.title}" if benchmark else ""
            intake.faults.append(
                Fault(str(file), "empty", f"{file} is empty; run the model{named} again or give another file")
            )
        elif form is not None:
            form.read(intake)
    except OSError as e:
        raise RecordError(f"{file} cannot be read: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise RecordError(f"{file} is not UTF-8 text: give a file of predictions") from e
    intake.finish()
    return Predictions(intake.by_id, intake.faults, form.name if form else "empty", str(file))


def write_predictions(
    path: str | os.PathLike[str],
    predictions: Mapping[str, Prediction] | Predictions,
    items: Sequence[Item],
    format: str,
) -> Path:
    """Write answers in a format of the field, so that a run can be scored or submitted elsewhere.

    Items without an answer get no entry. `FORMATS[format].loses` says what the format cannot hold.

    Raises:
        SettingError: no such format.
        RecordError: the format needs something that these items or answers do not have (frame rate, frame size).
        OutputError: the file cannot be written.
    """
    if format not in FORMATS:
        raise SettingError(f"no prediction format {format!r}: choose one of {', '.join(FORMATS)}")
    by_id = predictions.by_id if isinstance(predictions, Predictions) else predictions
    FORMATS[format].write(Path(path), by_id, items)
    return Path(path)


def sniff(path: str | os.PathLike[str]) -> Format:
    """The format of a file, found out from its content.

    Raises:
        RecordError: none fits.
    """
    return _sniffed(Intake(Path(path), ()))


def _sniffed(intake: Intake) -> Format:
    by_layout = {layout: [f for f in FORMATS.values() if f.layout == layout] for layout in ("lines", "json", "csv")}
    with open(intake.path, "rb") as f:
        cleaned = (line.removeprefix(b"\xef\xbb\xbf").strip() for line in f)
        head = list(itertools.islice((line for line in cleaned if line), _TRIES))
        whole = not f.read(1)
    if not head:
        raise _unknown(intake.path)
    if not head[0].startswith((b"{", b"[")):
        header = head[0].decode("utf-8").replace('"', "").split(",")
        for form in by_layout["csv"]:
            if form.sniff(header):
                return form
        raise _unknown(intake.path)
    firsts: list[Any] = []
    if head[0].startswith(b"["):
        firsts = intake.value[:1] if isinstance(intake.value, list) else []
    else:
        for line in head:
            try:
                firsts.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        if whole and len(head) == len(firsts) == 1:
            # A file of one line is its own value: a dump of many megabytes is not parsed twice.
            intake.value = firsts[0]
    for first in firsts:
        for form in by_layout["lines"]:
            if isinstance(first, dict) and form.sniff(first):
                return form
    for form in by_layout["json"]:
        try:
            if form.sniff(intake.value):
                return form
        except RecordError:
            # Lines of objects of an unknown kind are no JSON value as a whole; a value that broke off is none either.
            if firsts:
                break
            raise
    raise _unknown(intake.path)


def _is_empty(path: Path) -> bool:
    with open(path, "rb") as f:
        return all(not line.removeprefix(b"\xef\xbb\xbf").strip() for line in f)


def _unknown(path: Path) -> RecordError:
    return RecordError(f"{path} is of no known prediction format: name it with --format ({', '.join(FORMATS)})")
