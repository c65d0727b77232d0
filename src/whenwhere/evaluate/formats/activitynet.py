"""Detections in the form of the ActivityNet challenge; also used for THUMOS14.

`{"version", "results": {video: [{"label", "segment": [start, end], "score"}, ...]}, "external_data"}`. Answers belong
to videos here: `Prediction.id` is the video's name, `ranked` its segments in the order written, `labels` their
classes. A video without truth is kept: the official evaluator counts its segments as false positives, and leaving them
out would give a better score.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whenwhere.datasets.item import Item
from whenwhere.errors import RecordError
from whenwhere.evaluate.formats.format import Format
from whenwhere.evaluate.formats.intake import Intake, video_key
from whenwhere.evaluate.prediction import Prediction
from whenwhere.store import write_text


def _read(intake: Intake) -> None:
    results = intake.value.get("results") if isinstance(intake.value, dict) else None
    if not isinstance(results, dict):
        raise RecordError(f'{intake.path} holds no detections: the key "results" must map videos to lists of segments')
    intake.asked = list(dict.fromkeys(item.video for item in intake.items))
    for video, entries in results.items():
        at = f"results.{video}"
        items = intake.by_video.get(video_key(video), [])
        name = items[0].video if items else video
        if not items:
            intake.fault(
                at,
                "unknown id",
                "the truth has no such video, so its segments count as false positives",
                "check that annotations and subset belong together",
            )
        rows, labels = _segments(entries)
        if rows is None:
            intake.fail(
                at,
                name,
                "wrong type",
                f"entry {len(labels)} is not a segment with a label",
                'write {"label": ..., "segment": [start, end], "score": ...}',
            )
            continue
        ranked = intake.spans(at, Item(name, name, duration=items[0].duration if items else None), rows, (3,))
        if ranked is not None:
            intake.keep(at, Prediction(name, "answered" if labels else "absent", ranked=ranked, labels=labels))


def _segments(entries: Any) -> tuple[list[list[Any]] | None, list[str]]:
    """Rows of start, end, score, and their labels; None instead of the rows if an entry is not a segment."""
    rows: list[list[Any]] = []
    labels: list[str] = []
    if not isinstance(entries, list):
        return None, labels
    for entry in entries:
        try:
            start, end = entry["segment"]
            # without a score all segments are equally certain
            rows.append([start, end, entry.get("score", 1.0)])
            labels.append(str(entry["label"]))
        except (KeyError, TypeError, ValueError):
            return None, labels
    return rows, labels


def _write(path: Path, predictions: Mapping[str, Prediction], items: Sequence[Item]) -> None:
    results: dict[str, list[dict[str, object]]] = {}
    for video in dict.fromkeys([*(item.video for item in items), *predictions]):
        p = predictions.get(video)
        if p is None or p.ranked is None:
            continue
        if p.labels is None or len(p.labels) != len(p.ranked):
            raise RecordError(f"{path}: the answer to {video!r} has no label for each segment, which this format needs")
        results[video] = [
            {"label": label, "score": score, "segment": [start, end]}
            for label, (start, end, score) in zip(p.labels, p.ranked.tolist(), strict=True)
            if math.isfinite(score)
        ]
    write_text(path, json.dumps({"version": "VERSION 1.3", "results": results, "external_data": {}}))


FORMAT = Format(
    name="activitynet",
    title="ActivityNet detection submission (also THUMOS14)",
    layout="json",
    sniff=lambda value: isinstance(value, dict) and isinstance(value.get("results"), dict),
    read=_read,
    write=_write,
    loses="everything but segments, labels and scores; what has no segments is left out or absent",
    source="activitynet/ActivityNet 82304fa, Evaluation/eval_detection.py",
)
