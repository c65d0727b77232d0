"""Conversion of native frame numbers, as the tube benchmarks' codes write them, to seconds and back.

Frame n of a file that counts from `first` is shown at (n - first) / fps seconds, and a range of frames becomes the
half-open span that covers all of them. `frame_numbers` inverts this exactly: rint(seconds * fps) + first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.datasets.item import Item, span_array
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.intake import Intake, video_key
from whenwhere.evaluate.prediction import Boxes, Prediction


def rate_of(item: Item) -> float:
    """The frames per second of an item.

    Raises:
        RecordError: The item's annotations do not count frames.
    """
    if item.fps is None:
        raise RecordError(f"item {item.id!r} has no frame rate, which a format with frame numbers needs: use spans")
    return item.fps


def frame_numbers(item: Item, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frame numbers, counted from 0, of times in seconds.

    >>> frame_numbers(Item("a", "v", fps=29.97), np.array([0.0, 100 / 29.97])).tolist()
    [0, 100]
    """
    return np.rint(times * rate_of(item)).astype(np.int64)


def frame_range(item: Item, prediction: Prediction) -> tuple[int, int] | None:
    """The first frame of the answered time and the one after its last, counted from 0; None without an answer."""
    spans = prediction.span_set
    if not spans:
        return None
    start, end = frame_numbers(item, np.array([spans.starts[0], spans.ends[-1]])).tolist()
    # less than half a frame still counts as the frame that it lies in
    return start, max(end, start + 1)


def take_frames(
    intake: Intake,
    at: str,
    item: Item,
    frames: tuple[Any, Any],
    boxes: Mapping[Any, Any],
    first: int = 0,
) -> None:
    """Keep one answer, given as frames [start, end) and boxes by frame number, all counted from `first`."""
    if item.fps is None:
        intake.fail(
            at,
            item.id,
            "no frame rate",
            "it counts in frames and the annotations have no frame rate",
            "use a format that counts in seconds",
        )
        return
    try:
        span = np.array([frames], np.float64) - first
        times = np.fromiter(map(int, boxes), np.float64, len(boxes)) - first
    except (ValueError, TypeError, OverflowError):
        intake.fail(at, item.id, "wrong type", "a frame number is not a number", "write whole frame numbers")
        return
    spans = intake.spans(at, item, span / item.fps, (2,))
    found = intake.boxes(at, item.id, times / item.fps, list(boxes.values())) if spans is not None else None
    if spans is not None and found is not None:
        tubes = [Boxes(*found)] if len(found[0]) else []
        intake.keep(at, Prediction(item.id, "answered", span_array(spans), boxes=tubes, rate=item.fps))


def take_dump(
    intake: Intake, videos: Mapping[str, Any], boxes: Mapping[str, Mapping[Any, Any]], names: Mapping[str, Any]
) -> None:
    """Keep the answers of TubeDETR and STCAT: `sted` by their own number of the item, and boxes by frame."""
    for number in dict.fromkeys([*videos, *boxes]):
        at = f"video_predictions.{number}"
        for item in intake.find(at, number):
            name = names.get(number)
            if isinstance(name, str) and video_key(name) != video_key(item.video):
                intake.fail(
                    at,
                    item.id,
                    "other video",
                    f"number {number} is {name!r} in this file and {item.video!r} in the annotations",
                    "give the annotations that the predictions were made with",
                )
                continue
            entry = videos.get(number)
            sted = entry.get("sted") if isinstance(entry, Mapping) else None
            if not isinstance(sted, Sequence) or len(sted) != 2:
                intake.fail(
                    at, item.id, "wrong type", 'it has no "sted" of two frame numbers', 'write "sted": [start, end]'
                )
                continue
            take_frames(intake, at, item, (sted[0], sted[1]), boxes.get(number, {}))


def items_by_number(items: Sequence[Item], code: str) -> dict[str, Item]:
    """The items by the number that a code's own preprocessing gives them (`Item.extra[code]`), else by id.

    >>> list(items_by_number([Item("a", "v", extra={"stcat": 7})], "stcat"))
    ['7']
    """
    return {str(item.extra.get(code, item.id)): item for item in items}
