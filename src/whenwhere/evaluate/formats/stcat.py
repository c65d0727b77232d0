"""The results that STCAT, CG-STVG and TA-STVG save with `save_pred`, as JSON.

Their `test_results.pt` is a torch pickle; `json.dump(torch.load("test_results.pt", weights_only=False), file,
default=float)` makes the file that is read here: `{"predictions": {number: {frame: [[x1, y1, x2, y2]]}},
"video_predictions": {number: {"sted": [start, end), "qtype"}}, "vid2names": {number: video}, ...}`. Numbers are those
of their own preprocessing, which our readers keep in `Item.extra["stcat"]`; if `vid2names` names another video than
our item, the answer is refused. Frames count from 0.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.frames import frame_numbers, frame_range, items_by_number, take_dump
from whenwhere.evaluate.formats.intake import Intake
from whenwhere.evaluate.formats.tubedetr import dumps
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text

_TYPES = {"declarative": "declar", "interrogative": "inter"}


def _read(intake: Intake) -> None:
    found = dumps(intake.value)
    if len(found) != 1:
        raise RecordError(
            f"{intake.path} holds {len(found)} STCAT results: one pair of predictions and video_predictions is read"
        )
    written, videos = found[0]
    boxes: dict[str, dict[Any, Any]] = {}
    for number, frames in written.items():
        entries = frames.items() if isinstance(frames, dict) else ()
        boxes[number] = {frame: rows[0] if isinstance(rows, list) and rows else None for frame, rows in entries}
    names = intake.value.get("vid2names", {})
    intake.known = items_by_number(intake.items, "stcat")
    take_dump(intake, videos, boxes, names if isinstance(names, dict) else {})


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    boxes: dict[str, object] = {}
    videos: dict[str, object] = {}
    names: dict[str, str] = {}
    for number, item in items_by_number(items, "stcat").items():
        p = predictions.get(item.id)
        frames = frame_range(item, p) if p else None
        if p is None or frames is None:
            continue
        videos[number] = {"sted": list(frames)} | ({"qtype": _TYPES.get(item.type, item.type)} if item.type else {})
        names[number] = item.video
        boxes[number] = {
            str(frame): [box]
            for tube in p.boxes[:1]
            for frame, box in zip(frame_numbers(item, tube.times).tolist(), tube.boxes.tolist(), strict=True)
        }
    write_text(path, json.dumps({"predictions": boxes, "video_predictions": videos, "vid2names": names}))


FORMAT = Format(
    name="stcat",
    title="STCAT's (CG-STVG's, TA-STVG's) test results as JSON",
    layout="json",
    sniff=lambda value: bool(dumps(value)),
    read=_read,
    write=_write,
    loses="all but one span (the hull) and one object; times between frames; whatever has no span",
    source="jy0205/STCAT 400f548, datasets/evaluation/*_eval.py and engine/evaluate.py",
)
