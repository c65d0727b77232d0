"""Detector calls that motion gating saves under a still camera, and what it costs in recall.

    WHENWHERE_DATA=/path/to/data python benchmarks/detector_calls.py

The two clips of real still cameras are looked at four times a second by the detector `ssd`. `every picture` asks it
each time; `motion gate` is `whenwhere.models.detectors.gate`, which the index of `--model objects` uses. Recall: true
boxes that a box of score .1 or more meets with an IoU of at least .5 in the picture nearest in time, wherever it came
from. Expected cost: five minutes.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from detectors import true_boxes

from whenwhere import open_detector
from whenwhere.models.detectors.detector import ClassDetections
from whenwhere.models.detectors.gate import MotionGate
from whenwhere.overlap import box_iou
from whenwhere.stats import paired_difference
from whenwhere.store import write_text
from whenwhere.video import probe, stream_frames

RESULT = Path(__file__).parent / "results" / "detector_calls.json"
CLIPS = ("intel_car-detection.mp4", "intel_one-by-one-person-detection.mp4")
FPS, WIDTH, SCORE = 4.0, 480, 0.1


def gated(times: list[float], pictures: list[np.ndarray], found: list[ClassDetections]) -> tuple[list, list[int]]:
    """The detections of each picture under the motion gate, and the pictures for which the detector was asked."""
    gate, out, asked = MotionGate(), [], []
    for k, (t, picture) in enumerate(zip(times, pictures, strict=True)):
        carried = gate.carry(t, picture)
        if carried is None:
            carried = found[k]
            gate.tell(t, carried)
            asked.append(k)
        out.append(carried)
    return out, asked


def every(times: list[float], pictures: list[np.ndarray], found: list[ClassDetections]) -> tuple[list, list[int]]:
    """The same without a gate."""
    return found, list(range(len(found)))


RULES: dict[str, Callable] = {"every picture": every, "motion gate": gated}


def main() -> int:
    """Measure, print and write the result file; returns 2 without data."""
    data = os.environ.get("WHENWHERE_DATA")
    if not data:
        print("set WHENWHERE_DATA to the folder with videos/ and queries/", file=sys.stderr)
        return 2
    root, detector = Path(data), open_detector("ssd")
    truth, rows = true_boxes(root), []
    hits: dict[str, list[float]] = {rule: [] for rule in RULES}
    for clip in CLIPS:
        info = probe(root / "videos" / clip)
        stream = list(stream_frames(info, fps=FPS, width=WIDTH))
        times, pictures = [t for t, _ in stream], [picture for _, picture in stream]
        found = [detector.detect(picture[None], SCORE)[0] for picture in pictures]
        scale = info.width / pictures[0].shape[1]
        for rule, run in RULES.items():
            used, asked = run(times, pictures, found)
            seen = []
            for t, _, box in truth[clip]:
                here = used[int(np.abs(np.array(times) - t).argmin())]
                seen.append(float(len(here) > 0 and box_iou(here.boxes * scale, np.array([box])).max() >= 0.5))
            hits[rule] += seen
            rows.append({"clip": clip, "rule": rule, "pictures": len(times), "asked": len(asked),
                         "recall": float(np.mean(seen)), "boxes": len(seen)})  # fmt: skip
            print(clip, rule, f"{len(asked)} of {len(times)} pictures, recall {np.mean(seen):.3f}")
    total = {}
    for rule in RULES:
        mine = [r for r in rows if r["rule"] == rule]
        pictures_, asked_ = sum(r["pictures"] for r in mine), sum(r["asked"] for r in mine)
        lost = paired_difference(hits[rule], hits["every picture"])._asdict()
        total[rule] = {"calls saved": pictures_ / asked_, "recall": float(np.mean(hits[rule])), "recall gained": lost}
        print(rule, f"{pictures_ / asked_:.1f} times fewer calls, recall {np.mean(hits[rule]):.3f}")
    write_text(RESULT, json.dumps({"fps": FPS, "score": SCORE, "rows": rows, "total": total}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
