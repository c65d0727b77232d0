"""The `log_stats.json` that TubeDETR writes with `--test`: boxes by frame and times by video.

`{..."predictions": {"<number>_<frame>": {"boxes": [[x1, y1, x2, y2]]}}, ..."video_predictions": {"<number>":
{"sted": [start, end), "qtype"}}}`; both keys may carry a prefix (`test_vidstg_`). The numbers are the running numbers
of annotations in TubeDETR's own preprocessing, which our readers keep in `Item.extra["tubedetr"]`. Frames are counted
from 0. That also holds on HC-STVG, although TubeDETR's evaluator counts the true frames from 1 there; the mismatch is
the evaluator's and does not affect this file. TubeDETR itself writes boxes only inside the annotated time, which is
where it scores them.
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
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text

_TAIL = "video_predictions"


def dumps(value: Any) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The (boxes, times) of each data set in the JSON value of a results file.

    A data set is a pair of keys with the same prefix: `<prefix>predictions` holds its boxes and
    `<prefix>video_predictions` its times. Anything other than a JSON object has none.
    """
    if not isinstance(value, dict):
        return []
    heads = [key.removesuffix(_TAIL) for key in value if key.endswith(_TAIL)]
    pairs = [(value.get(f"{head}predictions"), value[f"{head}{_TAIL}"]) for head in heads]
    return [(boxes, times) for boxes, times in pairs if isinstance(boxes, dict) and isinstance(times, dict)]


def by_frame(boxes: Mapping[str, Any]) -> bool:
    """Whether the boxes have TubeDETR's layout, {"<item number>_<frame>": {"boxes": [[x1, y1, x2, y2]]}}.

    STCAT writes the same two keys, but nests the frames: {"<item number>": {"<frame>": [[x1, y1, x2, y2]]}}. Only the
    first entry is looked at; an empty mapping counts as TubeDETR's.
    """
    first: Any = next(iter(boxes.values()), {"boxes": []})
    return isinstance(first, dict) and "boxes" in first


def _read(intake: Intake) -> None:
    found = [pair for pair in dumps(intake.value) if by_frame(pair[0])]
    if len(found) != 1:
        raise RecordError(
            f"{intake.path} holds {len(found)} TubeDETR results: one pair of predictions and video_predictions is read"
        )
    images, videos = found[0]
    boxes: dict[str, dict[str, Any]] = {}
    for image, entry in images.items():
        number, _, frame = image.rpartition("_")
        written = entry.get("boxes") if isinstance(entry, dict) else None
        boxes.setdefault(number, {})[frame] = written[0] if isinstance(written, list) and written else None
    intake.known = items_by_number(intake.items, "tubedetr")
    take_dump(intake, videos, boxes, {})


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    images: dict[str, object] = {}
    videos: dict[str, object] = {}
    for number, item in items_by_number(items, "tubedetr").items():
        p = predictions.get(item.id)
        frames = frame_range(item, p) if p else None
        if p is None or frames is None:
            continue
        videos[number] = {"sted": list(frames)} | ({"qtype": item.type} if item.type else {})
        for tube in p.boxes[:1]:
            for frame, box in zip(frame_numbers(item, tube.times).tolist(), tube.boxes.tolist(), strict=True):
                images.setdefault(f"{number}_{frame}", {"boxes": [box]})
    write_text(path, json.dumps({"predictions": images, "video_predictions": videos}))


FORMAT = Format(
    name="tubedetr",
    title="TubeDETR's log_stats.json",
    layout="json",
    sniff=lambda value: "vid2names" not in value and any(by_frame(boxes) for boxes, _ in dumps(value)),
    read=_read,
    write=_write,
    loses="all but one span (the hull) and one object; times between frames; whatever has no span",
    source="antoyang/TubeDETR d70c0ee, datasets/vidstg_eval.py and main.py",
)
