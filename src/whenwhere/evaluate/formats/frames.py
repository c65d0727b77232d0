"""Conversion of frame numbers, which the published code of tube benchmarks writes, to seconds and back.

In a file that counts frames from `first`, frame n is shown at (n - first) / fps seconds, and a range of frames becomes
the half-open span that covers all of them. The way back is exact: rint(seconds * fps) + first.
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
    """The frame rate of an item's video, in frames per second.

    Raises:
        RecordError: The annotations give no frame rate for the item.
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
    """The answered time as a half-open range of frames (first, last + 1), counted from 0; None if there is no span.

    Several spans become one range, from the start of the first to the end of the last.
    """
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
    """Convert one answer from frame numbers to seconds and keep it.

    Args:
        intake: Collects the answers of the file and what is wrong with them.
        at: Key of the entry in the file, for messages.
        item: The item that is answered.
        frames: The answered time as a half-open range (start, end) of frame numbers.
        boxes: Boxes xyxy by frame number.
        first: The number of the first frame of a video in this file, usually 0 or 1.
    """
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
    """Keep the answers in a results file of TubeDETR or STCAT.

    Args:
        intake: Collects the answers of the file and what is wrong with them.
        videos: Item number -> entry with the answered time, `{"sted": [start, end]}` in frames, end exclusive.
        boxes: Item number -> boxes xyxy by frame number.
        names: Item number -> name of its video in this file; an entry about another video than the item's is refused.
    """
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
    """The items by the number that a published code base gives them in its own preprocessing, or else by id.

    Args:
        items: The items; `Item.extra[code]` holds that number if the item has one.
        code: Name of the code base, such as "tubedetr".

    >>> list(items_by_number([Item("a", "v", extra={"stcat": 7})], "stcat"))
    ['7']
    """
    return {str(item.extra.get(code, item.id)): item for item in items}
