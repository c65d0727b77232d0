"""Matching of the answers in a file with the items, and the report of everything that is wrong with them.

Three rules hold for every format:

- An entry is never dropped silently. What cannot be used leaves a `PredictionFault` of one sentence (file, line, what
  is wrong, how to mend it), and the item that it belongs to gets a `failed` answer or none; either way the item stays
  in the denominator.
- Answers stay as they were written. A span that ends before it starts, or outside the video, is reported and kept:
  what it costs is the protocol's business.
- Of several answers to an item one counts, and the others are reported: the first, or the last where the evaluator of
  the format's own benchmark takes the last (`Intake.last_counts`).

An entry belongs to the item with its id; if no item has that id, to all items with the same sentence about the same
video (folders and the ending of the video's name do not count, nor do case and spacing of the sentence).
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.prediction import Prediction, PredictionFault
from whenwhere.readers import parse_json, quoted, read_json, read_lines

#: Seconds that a span may end after the released duration before it is out of range: releases round durations.
SLACK = 1.0
#: How to mend a file that cannot be read, as the end of a sentence.
AGAIN = "write or download the file again"
_ENDING = re.compile(r"\.(mp4|mkv|webm|avi|mov|m4v|flv|mpe?g|ts|wmv|3gp)$", re.IGNORECASE)


def video_key(video: str) -> str:
    """The name of a video without folders and file ending, which two files are likely to share.

    >>> video_key("clips/AO8RW.mp4"), video_key("v_1.5x")
    ('AO8RW', 'v_1.5x')
    """
    return _ENDING.sub("", video.replace("\\", "/").rsplit("/", 1)[-1])


def some(names: Sequence[str]) -> str:
    """The first three names, for a message.

    >>> some(["a", "b", "c", "d"])
    "'a', 'b', 'c', ..."
    """
    return ", ".join(map(quoted, names[:3])) + (", ..." if len(names) > 3 else "")


def question_key(video: str, query: str) -> tuple[str, str]:
    """Video and sentence in the form in which they are matched.

    >>> question_key("a/b.mp4", " Who  sits? ")
    ('b', 'who sits?')
    """
    return video_key(video), " ".join(query.split()).casefold().rstrip(".")


def with_scores(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of start, end and score, shape (k, 3), from rows with or without a score, which is NaN if there is none.

    >>> with_scores(np.array([[1.0, 2.0]])).tolist()
    [[1.0, 2.0, nan]]
    """
    return rows if rows.shape[1] == 3 else np.column_stack([rows, np.full(len(rows), np.nan)])


def without_nan(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows as a file can hold them: without the column of scores if some have none."""
    return rows if np.isfinite(rows[:, 2]).all() else rows[:, :2]


class Intake:
    """A file of predictions while it is read; several files of one folder one after another.

    Attributes:
        path: The file.
        items: The questions.
        by_id: Id → answer, as far as they were read.
        faults: What is wrong, as far as it was read.
        known: Id as the file writes it → item.
        asked: Ids that need an answer: those of the items, or names of videos if answers belong to videos.
        last_counts: Whether the last of several answers to an item counts, and not the first.
    """

    def __init__(self, path: Path, items: Sequence[Item]) -> None:
        self.path = path
        self.items = items
        self.by_id: dict[str, Prediction] = {}
        self.faults: list[PredictionFault] = []
        self.known = {item.id: item for item in items}
        self.asked = list(self.known)
        self.last_counts = False

    def open(self, path: Path) -> None:
        """Go on with another file; the answers so far stay."""
        self.path = path
        self.__dict__.pop("value", None)

    @cached_property
    def by_question(self) -> dict[tuple[str, str], list[Item]]:
        """Items by video and sentence."""
        out: dict[tuple[str, str], list[Item]] = {}
        for item in self.items:
            out.setdefault(question_key(item.video, item.query), []).append(item)
        return out

    @cached_property
    def by_video(self) -> dict[str, list[Item]]:
        """Items by the name of their video."""
        out: dict[str, list[Item]] = {}
        for item in self.items:
            out.setdefault(video_key(item.video), []).append(item)
        return out

    # -- reading the file --------------------------------------------------------------------------------------------

    @cached_property
    def value(self) -> Any:
        """The whole file as one JSON value.

        Raises:
            RecordError: The file is not whole JSON.
        """
        return read_json(self.path, remedy=AGAIN)

    def lines(self) -> Iterator[tuple[int | str, bytes]]:
        """Number and text of every line that is not blank, or of every entry of a JSON array."""
        lines = read_lines(self.path, remedy=AGAIN)
        first = next(lines, None)
        if first is None:
            return
        if first[1].startswith(b"["):
            yield from ((f"entry {i}", json.dumps(entry).encode()) for i, entry in enumerate(self.value))
            return
        yield first
        yield from lines

    def objects(self) -> Iterator[tuple[int | str, dict[str, Any]]]:
        """Number and object of every line; a line without an object is a fault."""
        if isinstance(self.__dict__.get("value"), dict):
            # one object, which was read when the format was recognised
            yield 1, self.value
            return
        for at, line in self.lines():
            try:
                value = parse_json(line, "")
            except RecordError:
                self.torn(at)
                continue
            if isinstance(value, dict):
                yield at, value
            else:
                self.fault(at, "wrong type", "is not a JSON object", "write one object with an id on each line")

    # -- reporting what is wrong -------------------------------------------------------------------------------------

    def where(self, at: int | str) -> str:
        """File and line, or file and key."""
        return f"{self.path}:{at}" if isinstance(at, int) else f"{self.path}, {at}"

    def fault(self, at: int | str, kind: str, what: str, mend: str) -> None:
        """Record one fault; its sentence reads "where: what; mend"."""
        where = self.where(at)
        self.faults.append(PredictionFault(where, kind, f"{where}: {what}; {mend}"))

    def torn(self, at: int | str) -> None:
        """Record a line that is not whole JSON."""
        self.fault(
            at, "torn line", "this line is not whole JSON and holds no answer", "run the item that belongs here again"
        )

    # -- taking answers in -------------------------------------------------------------------------------------------

    def find(self, at: int | str, id: Any = None, video: Any = None, query: Any = None) -> list[Item]:
        """The items that an entry answers; an entry that answers none is a fault."""
        item = self.known.get(id if isinstance(id, str) else str(id))
        if item is not None:
            return [item]
        if isinstance(video, str) and isinstance(query, str):
            found = self.by_question.get(question_key(video, query))
            if found:
                return found
            named = f"{quoted(query)} of {quoted(video)}"
            named = named if id is None else f"{quoted(id)}: {named}"
        elif id is None:
            self.fault(at, "no id", "says neither its id nor video and query", "give every answer the id of its item")
            return []
        else:
            named = quoted(id)
        self.fault(
            at,
            "unknown id",
            f"{named} is not an item of this benchmark and was left out",
            "check that benchmark, split and ids belong together",
        )
        return []

    def keep(self, at: int | str, prediction: Prediction) -> None:
        """Keep an answer. If its item has one already, that is a fault; a failed answer replaces no other one."""
        before = self.by_id.setdefault(prediction.id, prediction)
        if before is prediction:
            return
        if self.last_counts and (prediction.status != "failed" or before.status == "failed"):
            self.by_id[prediction.id] = prediction
        which = "last" if self.last_counts else "first"
        self.fault(
            at,
            "duplicate id",
            f"{quoted(prediction.id)} was answered before and the {which} answer counts",
            "keep one answer for each id",
        )

    def fail(self, at: int | str, id: str, kind: str, what: str, mend: str, raw: str | None = None) -> None:
        """Record that the answer to this item cannot be used, and keep a `failed` one."""
        self.fault(at, kind, f"{what}, so the answer to {quoted(id)} counts as wrong", mend)
        self.keep(at, Prediction(id, status="failed", raw=raw))

    def spans(self, at: int | str, item: Item, rows: Any, columns: tuple[int, ...]) -> NDArray[np.float64] | None:
        """Spans from written rows of start, end (and score), shape (k, c); reversed and outside ones are kept.

        Returns None if the rows hold anything but numbers; the item then has a `failed` answer.
        """
        try:
            array = np.array(rows, np.float64)
        except (ValueError, TypeError, OverflowError):
            array = None
        if array is not None and array.shape == (0,):
            return array.reshape(0, columns[-1])
        if array is None or array.ndim != 2 or array.shape[1] not in columns:
            shape = " or ".join("[start, end]" if c == 2 else "[start, end, score]" for c in columns)
            self.fail(at, item.id, "wrong type", "its spans are not a list of equal rows", f"write rows of {shape}")
            return None
        top = 1e18 if item.duration is None else item.duration + SLACK
        for row in array.tolist():
            if not (0 <= row[0] < row[1] <= top and math.isfinite(row[-1])):
                return self._doubtful(at, item, array)
        return array

    def _doubtful(self, at: int | str, item: Item, array: NDArray[np.float64]) -> NDArray[np.float64] | None:
        bad = ~np.isfinite(array).all(1)
        if bad.any():
            self.fail(
                at,
                item.id,
                "not a number",
                f"span {int(bad.argmax()) + 1} of {len(array)} holds a value that is not a finite number",
                "write seconds as finite numbers",
            )
            return None
        bad = array[:, 1] <= array[:, 0]
        if bad.any():
            row = array[bad.argmax()]
            self.fault(
                at,
                "reversed",
                f"{int(bad.sum())} of {len(array)} spans of {quoted(item.id)} end at or before their start"
                f" (the first is {row[0]:g} to {row[1]:g} s) and hold no time",
                "write the start first",
            )
        top = math.inf if item.duration is None else item.duration + SLACK
        bad = (array[:, 0] < 0) | (array[:, 1] > top)
        if bad.any():
            row = array[bad.argmax()]
            length = "" if item.duration is None else f" of {item.duration:g} s"
            self.fault(
                at,
                "out of range",
                f"{int(bad.sum())} of {len(array)} spans of {quoted(item.id)} reach outside the video{length}"
                f" (the first is {row[0]:g} to {row[1]:g} s) and count as written",
                "write seconds from the video's first frame",
            )
        return array

    def boxes(
        self, at: int | str, id: str, times: Any, boxes: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Times, increasing, shape (n,), and boxes, shape (n, 4); of several boxes at one time the first is kept.

        Returns None if they hold anything but numbers; the item then has a `failed` answer.
        """
        try:
            t, b = np.array(times, np.float64), np.array(boxes, np.float64)
        except (ValueError, TypeError, OverflowError):
            t = b = np.zeros((1, 1))
        if not len(t) and not len(b):
            return np.zeros(0), np.zeros((0, 4))
        if t.ndim != 1 or b.shape != (len(t), 4):
            self.fail(at, id, "wrong type", "a box is not four numbers", "write every box as x1, y1, x2, y2")
            return None
        if not (np.isfinite(t).all() and np.isfinite(b).all()):
            self.fail(
                at, id, "not a number", "a box or its time is not a finite number", "write boxes of finite numbers only"
            )
            return None
        if len(t) > 1 and (np.diff(t) <= 0).any():
            t, first = np.unique(t, return_index=True)
            if len(t) < len(b):
                self.fault(
                    at,
                    "duplicate time",
                    f"{len(b) - len(t)} boxes of {quoted(id)} have the time of an earlier one, and the first counts",
                    "write one box for each time",
                )
            b = b[first]
        bad = int(((b[:, 2] <= b[:, 0]) | (b[:, 3] <= b[:, 1])).sum())
        if bad:
            self.fault(
                at,
                "reversed box",
                f"{bad} of {len(b)} boxes of {quoted(id)} are not x1 < x2, y1 < y2 and count as written",
                "write left, top, right, bottom",
            )
        return t, b

    def finish(self) -> str | None:
        """Record in one fault which items (or videos) have no answer at all.

        Returns:
            How many answers belong to no item, in words with their share; None if each belongs to one.

        Raises:
            RecordError: The file has answers, and none of them belongs to an item.
        """
        missing = [id for id in self.asked if id not in self.by_id]
        strange = [fault for fault in self.faults if fault.kind == "unknown id"]
        if strange and len(missing) == len(self.asked):
            raise RecordError(
                f"{self.path} answers none of the {len(self.asked)} items ({some(self.asked)}); the first of its "
                f"{len(strange)} answers: {strange[0].message}"
            )
        if missing:
            self.faults.append(
                PredictionFault(
                    str(self.path),
                    "missing",
                    f"{self.path} has no answer to {len(missing)} of {len(self.asked)} items ({some(missing)}), which"
                    " count as wrong; answer them, or score against the split that was answered",
                )
            )
        if not strange:
            return None
        entries = len(strange) + len(self.asked) - len(missing) + sum(f.kind == "duplicate id" for f in self.faults)
        share = len(strange) / entries
        return (
            f"{len(strange)} of the {entries} answers in {self.path} ({share:.1%}) belong to no item of the benchmark"
        )
