"""The result file of the HC-STVG challenge (PIC): one entry per video.

`{video: {"st_frame": first, "ed_frame": last, "bbox": {frame: [x1, y1, x2, y2]}}}`. The last frame is inclusive,
and frames count from 1 as in the annotations.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.frames import frame_numbers, frame_range, take_frames
from whenwhere.evaluate.formats.intake import Intake, video_key
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and {"st_frame", "ed_frame", "bbox"} <= entry.keys()


def _sniff(value: Any) -> bool:
    return isinstance(value, dict) and _is_entry(next(iter(value.values()), None))


def _read(intake: Intake) -> None:
    if not isinstance(intake.value, dict):
        raise RecordError(
            f"{intake.path} is not a result of HC-STVG: it must map videos to st_frame, ed_frame and bbox"
        )
    for name, entry in intake.value.items():
        # names occur with and without the ending of the video file
        items = intake.by_video.get(video_key(name), []) if name not in intake.known else [intake.known[name]]
        for item in items or intake.find(name, name):
            if not (_is_entry(entry) and isinstance(entry["bbox"], dict)):
                intake.fail(
                    name,
                    item.id,
                    "wrong type",
                    "it has no st_frame, ed_frame and bbox by frame",
                    'write {"st_frame": 1, "ed_frame": 2, "bbox": {"1": [x1, y1, x2, y2], ...}}',
                )
                continue
            end = entry["ed_frame"]
            after = end + 1 if isinstance(end, int | float) else end
            take_frames(intake, name, item, (entry["st_frame"], after), entry["bbox"], first=1)


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    out: dict[str, object] = {}
    for item in items:
        p = predictions.get(item.id)
        frames = frame_range(item, p) if p else None
        if p is None or frames is None:
            continue
        out[item.id] = {
            "st_frame": frames[0] + 1,
            "ed_frame": frames[1],
            "bbox": {
                str(frame + 1): box
                for tube in p.boxes[:1]
                for frame, box in zip(frame_numbers(item, tube.times).tolist(), tube.boxes.tolist(), strict=True)
            },
        }
    write_text(path, json.dumps(out))


FORMAT = Format(
    name="hcstvg",
    title="HC-STVG challenge results",
    layout="json",
    sniff=_sniff,
    read=_read,
    write=_write,
    loses="all but one span (the hull) and one object; times between frames; whatever has no span",
    source="tzhhhh123/HC-STVG 94ab6e9, eval_hcvg.py",
)
