"""Files of predictions: every format the field writes, read into `Prediction` and written from it.

`read_predictions` recognises a format by the file's content, not by its name. An entry that cannot be used never stops
the reading and never shrinks a denominator: it becomes a `PredictionFault` (see `intake`). One file per format; each
exports `FORMAT`, whose `loses` says what the format cannot hold.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.benchmark import Benchmark
from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError, SettingError
from whenwhere.evaluate.formats import (
    activitynet,
    answers,
    arrays,
    didemo,
    hcstvg,
    qvhighlights,
    spans,
    stcat,
    text,
    timelens,
    tubedetr,
    vidi,
    whenwhere,
)
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import AGAIN, Intake
from whenwhere.evaluate.prediction import Prediction, PredictionFault, Predictions
from whenwhere.readers import parse_json, read_lines

__all__ = ["FORMATS", "Format", "formats_of", "read_predictions", "sniff", "write_predictions"]

#: All formats by name, in the order in which content is compared with them.
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        whenwhere.FORMAT,
        qvhighlights.FORMAT,
        spans.FORMAT,
        timelens.FORMAT,
        text.FORMAT,
        activitynet.FORMAT,
        vidi.FORMAT,
        tubedetr.FORMAT,
        stcat.FORMAT,
        hcstvg.FORMAT,
        didemo.FORMAT,
        answers.FORMAT,
        arrays.RETRIEVAL,
        arrays.RECOGNITION,
    )
}
#: Name of the files that `whenwhere batch --out` writes, one for each video.
RECORDS = "grounding.jsonl"
#: Number of lines that may be torn before a file's format counts as unknown.
_TRIES = 20
#: First bytes of .npz and .npy files.
_ARRAYS = (b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY")


def formats_of(task: str | None) -> dict[str, Format]:
    """The formats that hold answers of a task: its own if it has some, else the general ones.

    >>> list(formats_of("retrieval")), "spans" in formats_of("tubes")
    (['similarity'], True)
    """
    own = {name: form for name, form in FORMATS.items() if task in form.tasks}
    return own or {name: form for name, form in FORMATS.items() if not form.tasks}


def read_predictions(
    path: str | os.PathLike[str],
    items: Sequence[Item],
    benchmark: Benchmark | None = None,
    format: str | None = None,
) -> Predictions:
    """Read the predictions for these items from a file, or from the folder that `whenwhere batch --out` wrote.

    Args:
        path: The file, or a folder; in a folder every `grounding.jsonl` is read, however deep it lies.
        items: The questions; every one of them stays in the denominator.
        benchmark: The benchmark of the items; its task decides which formats are possible.
        format: A name of `FORMATS`. None recognises the format by the content.

    Returns:
        Answers by item id (by video in detection) and everything that is wrong with the file.

    Raises:
        RecordError: The file is missing, unreadable as a whole, of no known format, or none of its answers belongs to
            an item.
        SettingError: There is no such format, or it does not hold answers of this benchmark.
    """
    file = Path(path)
    known = formats_of(benchmark.task if benchmark else None)
    if format is not None:
        _check_format(format, known, benchmark)
    intake = Intake(file, items)
    parts = [file]
    if file.is_dir():
        parts = sorted(file.rglob(RECORDS))
        if not parts:
            raise RecordError(
                f"{file} is a folder without any {RECORDS}: give a file, or the folder that `whenwhere batch` wrote"
            )
    forms: set[str] = set()
    for part in parts:
        intake.open(part)
        forms.add(_take(intake, known, benchmark, format))
    intake.path = file
    strangers = intake.finish()
    named = forms - {"empty"} or forms
    return Predictions(intake.by_id, intake.faults, ", ".join(sorted(named)), str(file), strangers)


def _check_format(name: str, known: Mapping[str, Format], benchmark: Benchmark | None) -> None:
    if name not in FORMATS:
        raise SettingError(f"no prediction format {name!r}: choose one of {', '.join(known)}")
    if benchmark is not None and name not in known:
        raise SettingError(f"--format {name} does not go with {benchmark.name}: choose one of {', '.join(known)}")


def _take(intake: Intake, known: Mapping[str, Format], benchmark: Benchmark | None, format: str | None) -> str:
    """Take the answers of one file in; the name of its format."""
    file = intake.path
    try:
        if not file.is_file():
            raise RecordError(f"{file} is not a file: give the file of predictions, or the folder that batch wrote")
        empty = _is_empty(file)
        form = None if empty and format is None else FORMATS[format] if format else _recognised(intake, known)
        if empty:
            named = f" on {benchmark.title}" if benchmark else ""
            message = f"{file} is empty; run the model{named} again or give another file"
            intake.faults.append(PredictionFault(str(file), "empty", message))
        elif form is not None:
            form.read(intake)
    except OSError as e:
        raise RecordError(f"{file} cannot be read: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise RecordError(f"{file} is not UTF-8 text: give a file of predictions") from e
    return form.name if form else "empty"


def write_predictions(
    path: str | os.PathLike[str],
    predictions: Mapping[str, Prediction] | Predictions,
    items: Sequence[Item],
    format: str,
) -> Path:
    """Write answers in a format of the field, so that a run can be scored or submitted elsewhere.

    Items without an answer get no entry. `FORMATS[format].loses` says what the format cannot hold.

    Raises:
        SettingError: There is no such format.
        RecordError: The format needs something that these items or answers do not have (frame rate, frame size).
        OutputError: The file cannot be written.
    """
    if format not in FORMATS:
        raise SettingError(f"no prediction format {format!r}: choose one of {', '.join(FORMATS)}")
    by_id = predictions.by_id if isinstance(predictions, Predictions) else predictions
    FORMATS[format].write(Path(path), by_id, items)
    return Path(path)


def sniff(path: str | os.PathLike[str], task: str | None = None) -> Format:
    """The format of a file, recognised by its content.

    Args:
        path: The file.
        task: Name of the task whose answers it holds; None stands for every task that has no format of its own.

    Raises:
        RecordError: No format fits.
    """
    return _recognised(Intake(Path(path), ()), formats_of(task))


def _recognised(intake: Intake, known: Mapping[str, Format]) -> Format:
    by_layout = {
        layout: [f for f in known.values() if f.layout == layout] for layout in ("lines", "json", "csv", "arrays")
    }
    if by_layout["arrays"]:
        # a task whose answers are arrays has one format; its reader says what is wrong with the file
        return by_layout["arrays"][0]
    with open(intake.path, "rb") as f:
        if f.read(8).startswith(_ARRAYS):
            raise _unknown(intake.path, known)
    lines = (line for _, line in read_lines(intake.path, remedy=AGAIN))
    head = list(itertools.islice(lines, _TRIES))
    whole = next(lines, None) is None
    if not head:
        raise _unknown(intake.path, known)
    if not head[0].startswith((b"{", b"[")):
        header = head[0].decode("utf-8").replace('"', "").split(",")
        for form in by_layout["csv"]:
            if form.sniff(header):
                return form
        raise _unknown(intake.path, known)
    firsts: list[Any] = []
    if head[0].startswith(b"["):
        firsts = intake.value[:1] if isinstance(intake.value, list) else []
    else:
        for line in head:
            try:
                value = parse_json(line, "")
            except RecordError:
                continue
            # a number may be a line of an object that was written over several lines
            firsts += [value] if isinstance(value, dict) else []
        if whole and len(head) == len(firsts) == 1:
            # A file of one line is its own value: a dump of many megabytes is not parsed twice.
            intake.value = firsts[0]
    if not firsts:
        # one object over several lines, or a value that broke off, which is said
        firsts = [intake.value]
    for first in firsts:
        for form in by_layout["lines"]:
            if isinstance(first, dict) and form.sniff(first):
                return form
    for form in by_layout["json"]:
        try:
            if form.sniff(intake.value):
                return form
        except RecordError:
            # Lines of objects of an unknown kind are not one JSON value; neither is a value that broke off.
            if firsts:
                break
            raise
    raise _unknown(intake.path, known)


def _is_empty(path: Path) -> bool:
    return next(read_lines(path, remedy=AGAIN), None) is None


def _unknown(path: Path, known: Mapping[str, Format]) -> RecordError:
    return RecordError(f"{path} is of no known prediction format: name it with --format ({', '.join(known)})")
