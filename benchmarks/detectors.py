"""Detectors on the true boxes of real clips: how many they find, what they call them, and how long they take.

    WHENWHERE_DATA=/path/to/data python benchmarks/detectors.py [DETECTOR ...]

Without names, `ssd` of the extra `[objects]` is measured, run by OpenVINO and by OpenCV. The 368 boxes belong to 54
sentences about ten clips, so that one object often counts several times, and other objects of the pictures are not
judged: there is a recall and no precision, beside which the number of boxes in a picture is printed. A box counts as
found if one of the detector's boxes has an IoU of at least .5 with it. A sentence's class is `known` where one of
COCO's 80 classes names it (table `CLASSES`); `called` counts the boxes that are found and whose most likely class is
that one, `in three` those where it is among the three most likely ones. Result files hold ids and numbers, no
sentences. Expected cost: three minutes on two cores. Intervals resample sentences.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from whenwhere import open_detector
from whenwhere.models.detectors.detector import Detector
from whenwhere.overlap import box_iou
from whenwhere.stats import bootstrap_mean
from whenwhere.store import write_text
from whenwhere.video import probe, read_frames

RESULT = Path(__file__).parent / "results" / "detectors.json"
#: The COCO class of the object of each sentence; a sentence that is not here is about something else.
CLASSES = {
    **dict.fromkeys(["rq01", "rq02", "rq03", "rq04"], "car"),
    **dict.fromkeys([f"rq{n:02}" for n in (5, 6, 7, 8, 9, 10, 21)], "person"),
    **dict.fromkeys(["rq17", "rq18", "rq19", "rq20"], "dog"),
    **dict.fromkeys([f"d{n:02}" for n in (9, 10, 11, 15, 21, 22, 25, 26, 27, 30, 32, 33, 35, 37, 38, 39)], "person"),
    **dict.fromkeys(["d17", "d18", "d19"], "bird"),
    **dict.fromkeys(["d13", "d31"], "bottle"),
    **dict.fromkeys(["d23", "d24"], "laptop"),
    "d05": "cup",
}
BY_OPENCV = "ssd by OpenCV"
#: Smallest scores at which the boxes are counted.
SCORES = (0.05, 0.1, 0.3, 0.5)


def true_boxes(root: Path) -> dict[str, list[tuple[float, str, list[float]]]]:
    """By clip: the time, the sentence and the box of each annotation."""
    out: dict[str, list[tuple[float, str, list[float]]]] = {}
    for file in ("real-clips.json", "real-clips-2.json"):
        for q in json.loads((root / "queries" / file).read_text("utf-8"))["queries"]:
            out.setdefault(q["video"], []).extend((float(t), q["id"], box) for t, box in q["boxes"].items())
    return out


def measure(detector: Detector, root: Path) -> dict:
    """Recall and time of one detector."""
    rows, seconds, found_boxes = [], [], dict.fromkeys(SCORES, 0)
    for video, boxes in true_boxes(root).items():
        info = probe(root / "videos" / video)
        asked = sorted({t for t, _, _ in boxes})
        # the box at second s was drawn on the first frame with pts >= s
        first = np.searchsorted(info.times, np.array(asked) - 1e-6).clip(0, len(info.times) - 1)
        for t_asked, image in zip(asked, read_frames(info, info.times[first]).images, strict=True):
            start = time.perf_counter()
            found = detector.detect(image[None], min(SCORES))[0]
            seconds.append(time.perf_counter() - start)
            for score in SCORES:
                found_boxes[score] += int((found.scores >= score).sum())
            for t, sentence, box in boxes:
                if t == t_asked:
                    rows.append(judged(detector, found, sentence, np.array(box, float)))
    return {
        "detector": detector.name, "classes": len(detector.labels), "licence": detector.licence,
        "device": detector.device, "frames": len(seconds), "ms a frame": 1000 * float(np.median(seconds)),
        "boxes a frame": {str(s): n / len(seconds) for s, n in found_boxes.items()}, **summary(rows),
    }  # fmt: skip


def judged(detector: Detector, found, sentence: str, box: np.ndarray) -> dict:
    """Whether one true box is found at each score, and whether what is found is called what it is."""
    name = CLASSES.get(sentence)
    known = detector.labels.index(name) if name in detector.labels else None
    overlap = box_iou(found.boxes, box[None]) if len(found) else np.zeros(0)
    row: dict = {"sentence": sentence, "known": known is not None}
    for score in SCORES:
        hit = (overlap >= 0.5) & (found.scores >= score)
        row[f"found {score}"] = bool(hit.any())
        if known is not None:
            order = np.argsort(-found.classes[hit], axis=1)
            row[f"called {score}"] = bool((order[:, :1] == known).any())
            row[f"in three {score}"] = bool((order[:, :3] == known).any())
    return row


def summary(rows: list[dict]) -> dict:
    """Means over boxes with intervals that resample sentences, for known and unknown classes."""
    out: dict = {}
    for group in ("known", "unknown"):
        chosen = [r for r in rows if r["known"] == (group == "known")]
        if not chosen:
            continue
        sentences = sorted({r["sentence"] for r in chosen})
        out[group] = {"boxes": len(chosen), "sentences": len(sentences)}
        for key in sorted(k for k in chosen[0] if k not in ("sentence", "known")):
            each = [np.mean([r[key] for r in chosen if r["sentence"] == s]) for s in sentences]
            out[group][key] = {
                "boxes": float(np.mean([r[key] for r in chosen])),
                "sentences": bootstrap_mean([float(e) for e in each])._asdict(),
            }
    return out


def by_opencv() -> Detector:
    """`ssd` as it runs where OpenVINO is not installed."""
    detector = open_detector("ssd")
    sys.modules["openvino"] = None  # type: ignore[assignment]
    detector.detect(np.zeros((1, 9, 9, 3), np.uint8))
    del sys.modules["openvino"]
    detector.name = BY_OPENCV
    return detector


def main() -> int:
    """Measure the named detectors and write the result file; returns 2 without data."""
    data = os.environ.get("WHENWHERE_DATA")
    if not data:
        print("set WHENWHERE_DATA to the folder with videos/ and queries/", file=sys.stderr)
        return 2
    results = []
    for name in sys.argv[1:] or ["ssd", BY_OPENCV]:
        results.append(measure(by_opencv() if name == BY_OPENCV else open_detector(name), Path(data)))
    text = table(results)
    print(text)
    write_text(RESULT, json.dumps({"IoU": 0.5, "detectors": results}, indent=1) + "\n")
    write_text(RESULT.with_suffix(".md"), text)
    return 0


def table(results: list[dict]) -> str:
    """The result file in words: one row for each detector and score."""
    lines = [
        "# Detectors on the true boxes of real clips", "",
        "Shares of the true boxes; in brackets 95 % intervals of the mean over sentences, which are resampled.", "",
        "| detector | score | boxes a frame | known: found | called | in three | unknown: found | ms a frame |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in results:
        for score in SCORES:
            cells = [_cell(row.get(*at), f"{key} {score}") for at, key in (
                (("known", {}), "found"), (("known", {}), "called"), (("known", {}), "in three"),
                (("unknown", {}), "found"),
            )]  # fmt: skip
            speed = f"{row['ms a frame']:.0f}"
            count = row["boxes a frame"][str(score)]
            lines.append(f"| {row['detector']} | {score} | {count:.1f} | " + " | ".join(cells) + f" | {speed} |")
    return "\n".join(lines) + "\n"


def _cell(group: dict, key: str) -> str:
    if key not in group:
        return "–"
    interval = group[key]["sentences"]
    return f"{group[key]['boxes']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
