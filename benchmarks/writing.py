"""How well text in a video is found: when and where, absent texts, and what reading costs.

    WHENWHERE_DATA=DATA python benchmarks/writing.py        (five minutes on one core)

Over each real clip of DATA/videos two texts are laid, one after the other, each for a part of the clip, at a place, in
a size (3 to 12 % of the height), a font and a colour drawn at random, light on dark pictures and dark on light ones.
Half are on a plain ground, as captions are, and some move. Each is asked for by a sentence of another kind. Two texts
that are not there are asked for besides: one that nothing in the clip resembles, and one that differs from a text that
is there in its last word.

Written to results/writing.{json,md}. Text that is laid over a picture is easier than text in the scene, seen from the
side, blurred or half hidden; that was not measured, for want of truth. Seconds are of the processor. How much of a box
is margin, and that a single letter counts for nothing where any text is asked for, were chosen on these clips.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import whenwhere
from whenwhere.overlap import t_iou, v_iou
from whenwhere.spans import Span, SpanSet
from whenwhere.store import write_text
from whenwhere.tubes import Tube
from whenwhere.video import FrameWriter, VideoInfo, probe, read_frames, stream_frames

RESULTS = Path(__file__).parent / "results"
FPS, LONGEST = 10.0, 30.0
IOUS = ("t_iou", "v_iou")
TEXTS = (
    "EXIT", "Chapter 2", "No parking", "breaking news", "WELCOME HOME", "Fresh bread daily", "Game over", "Scene 14",
    "Please wait", "SALE", "platform nine", "Made in Norway", "The harbour", "first aid", "Round three", "Do not enter",
    "opening hours", "To be continued", "STOP", "mind the gap", "Final lap", "Subscribe now", "Kitchen",
    "Lost and found", "Score 3 to 1", "road closed",
)  # fmt: skip
FORMS = ("the sign says {}", 'the text "{}" appears', "the words {} are shown on the screen", '"{}"')
ABSENT = ("quarterly earnings", "emergency brake", "tomato soup", "violin concerto", "airport shuttle")
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")


def lay(source: Path, target: Path, texts: list[str], rng: np.random.Generator) -> list[tuple[Span, Tube]]:
    """Lays texts over a clip, and returns when and where each is."""
    info = probe(source)
    seconds, fps = min(info.duration, LONGEST), min(FPS, info.fps)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    laid = []
    for k, text in enumerate(texts):
        length = rng.uniform(0.15, 0.4) * seconds
        start = round(float(k * seconds / 2 + rng.uniform(0, seconds / 2 - length)), 1)
        font = ImageFont.truetype(str(fonts / rng.choice(FONTS)), max(round(rng.uniform(0.03, 0.12) * info.height), 10))
        x1, y1, x2, y2 = font.getbbox(text)
        room = np.array([info.width - x2, info.height - y2]) - 4
        if (room <= 4).any():
            font = ImageFont.truetype(str(fonts / FONTS[0]), max(info.width // (len(text) + 2), 10))
            x1, y1, x2, y2 = font.getbbox(text)
            room = np.array([info.width - x2, info.height - y2]) - 4
        place = rng.uniform(2, np.maximum(room, 3))
        speed = rng.uniform(-20, 20, 2) if rng.random() < 0.3 else np.zeros(2)
        plain = rng.random() < 0.5
        light = (
            rng.random() < 0.5
            if plain
            else _dark_there(info, start + length / 2, [*place, *(place + np.array([x2, y2]))])
        )
        colour = tuple(int(c) for c in (rng.integers(190, 256, 3) if light else rng.integers(0, 60, 3)))
        laid.append(
            (text, Span(start, round(start + length, 1)), font, (x1, y1, x2, y2), place, speed, colour, plain, room)
        )
    boxes: list[list[tuple[float, list[float]]]] = [[] for _ in texts]
    with FrameWriter(target, info.width // 2 * 2, info.height // 2 * 2, fps) as writer:
        for t, frame in stream_frames(info, fps, end=seconds):
            picture = Image.fromarray(frame)
            draw = ImageDraw.Draw(picture)
            for k, (text, span, font, (x1, y1, x2, y2), place, speed, colour, plain, room) in enumerate(laid):
                if t in span:
                    x, y = np.clip(place + speed * (t - span.start), 2, np.maximum(room, 3))
                    box = [x + x1, y + y1, x + x2, y + y2]
                    if plain:
                        ground = (20, 20, 20) if colour[0] > 128 else (235, 235, 235)
                        draw.rectangle([box[0] - 4, box[1] - 4, box[2] + 4, box[3] + 4], fill=ground)
                    draw.text((x, y), text, font=font, fill=colour)
                    boxes[k].append((t, box))
            writer.write(np.asarray(picture)[: info.height // 2 * 2, : info.width // 2 * 2])
    truth = []
    for own, (_, span, *_rest) in zip(boxes, laid, strict=True):
        times, rows = zip(*own, strict=True)
        truth.append((span, Tube(SpanSet([span]), np.array(times), np.array(rows), rate=fps)))
    return truth


def _dark_there(info: VideoInfo, t: float, box: list[float]) -> bool:
    """Whether a part of a frame is dark, so that light letters can be read there."""
    x1, y1, x2, y2 = (int(v) for v in box)
    return bool(read_frames(info, [t]).images[0][y1:y2, x1:x2].mean() < 128)


def measure(source: Path, number: int, folder: Path) -> list[dict]:
    """The rows of one clip."""
    rng = np.random.default_rng(number)
    texts = [TEXTS[(2 * number + k) % len(TEXTS)] for k in range(2)]
    file = folder / f"{source.stem}.mp4"
    truth = lay(source, file, texts, rng)
    video = whenwhere.open(str(file), cache=False)
    asked = [
        *((FORMS[(number + 2 * k) % 4].format(text), "there", truth[k]) for k, text in enumerate(texts)),
        (f'the sign "{ABSENT[number % len(ABSENT)]}"', "absent", None),
        (f'the text "{" ".join([*texts[0].split()[:-1], "umbrella"])}"', "another word", None),
    ]
    rows = []
    for query, kind, wanted in asked:
        began = time.process_time()
        record = video.ground(query)
        spent = time.process_time() - began
        row = {"clip": source.stem, "query": query, "kind": kind, "status": record.status, "seconds": round(spent, 2),
               "duration": round(video.info.duration, 1), "confidence": record.confidence}  # fmt: skip
        if wanted is not None:
            tube = record.tubes[0] if record.tubes else None
            row["t_iou"] = t_iou(record.spans, SpanSet([wanted[0]]))
            row["v_iou"] = v_iou(tube, wanted[1]) if tube is not None else 0.0
        rows.append(row)
    return rows


def report(rows: list[dict]) -> str:
    """The results as Markdown."""
    there = [row for row in rows if row["kind"] == "there"]
    first = [row for k, row in enumerate(rows) if not k or rows[k - 1]["clip"] != row["clip"]]
    lines = [f"# Text laid over {len(first)} real clips", "",
             "| asked for | sentences | answered | said to be absent | t_IoU | v_IoU |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for kind in ("there", "absent", "another word"):
        own = [row for row in rows if row["kind"] == kind]
        count = [sum(row["status"] == status for row in own) for status in ("answered", "absent")]
        means = [
            f"{100 * np.mean([row[key] for row in own]):.1f}" if own is not None and kind == "there" else ""
            for key in ("t_iou", "v_iou")
        ]
        lines.append(f"| {kind} | {len(own)} | {count[0]} | {count[1]} | {' | '.join(means)} |")
    sizes = sum(row["duration"] for row in first), sum(row["seconds"] for row in first)
    later = np.median([row["seconds"] for row in rows if row not in first])
    lines += ["", f"{len(there)} texts of 3 to 12 % of the height. "
              f"A first question takes {sizes[1] / sizes[0]:.2f} processor seconds for a "
              f"second of video, a later one {1000 * later:.0f} ms."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures all clips."""
    data = os.environ.get("WHENWHERE_DATA")
    if not data:
        sys.exit("set WHENWHERE_DATA to the folder of the data")
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, source in enumerate(sorted((Path(data) / "videos").rglob("*.mp4"))):
            rows += measure(source, number, Path(folder))
            print(json.dumps(rows[-4:]), flush=True)
    write_text(RESULTS / "writing.json", json.dumps(rows, indent=1) + "\n")
    write_text(RESULTS / "writing.md", report(rows))
    print(report(rows))


if __name__ == "__main__":
    main()
