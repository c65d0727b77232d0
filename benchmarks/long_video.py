"""A video of hours, grounded in memory that does not grow with it.

    python benchmarks/long_video.py

Cost: about five minutes, two cores. Expected: the most memory at 10 minutes, 1 hour and 3 hours within 30 MB of each
other, every event found to 0.2 s in all of them.

The video is procedural (`write`): a still, textured room; a red box comes by once, a blue disc twice. Each length is
written and grounded by a process of its own, which measures its own peak (resident set) before and after: through the
second-level pipeline at two frames a second, answered by the computed model (`world_model`). The same videos, at 25
frames a second, are the long ones of the cost table.

Written: benchmarks/results/long_video.json and .md.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from world_model import Known, World, WorldBackend

from whenwhere import SpanSet, Tube, t_iou, v_iou
from whenwhere.grounders import GroundingRequest
from whenwhere.store import write_text

HERE = Path(__file__).resolve().parent
LENGTHS = {"10 min": 600, "1 h": 3600, "3 h": 10800}
WIDTH, HEIGHT, FPS = 448, 252, 5
#: Size of the things, pixels.
SIZE = 40
ARENAS = {"MALLOC_ARENA_MAX": "2"}


def events(seconds: int, fps: int) -> dict[str, list[tuple[float, float]]]:
    """When what happens: shares of the video, but never longer than 9 s, on frame times.

    >>> events(60, 5)["the red box comes by"]
    [(42.0, 51.0)]
    """
    length = min(9.0, seconds * 0.25)

    def at(share: float) -> tuple[float, float]:
        start = round(seconds * share * fps) / fps
        return start, start + round(length * fps) / fps

    return {
        "the red box comes by": [at(0.7)],
        "the blue disc comes by": [at(0.1), at(0.45)],
        "a green star comes by": [],
    }


def places(query: str, seconds: int, fps: int) -> dict[int, NDArray[np.float64]]:
    """Frame number → box of a sentence's thing."""
    out = {}
    row = HEIGHT * (0.3 if "red" in query else 0.6)
    for k, (start, end) in enumerate(events(seconds, fps)[query]):
        n = round((end - start) * fps)
        for i in range(n):
            share = i / max(n - 1, 1)
            share = share if k % 2 == 0 else 1 - share
            x = 10 + (WIDTH - SIZE - 20) * share
            y = row + 25 * math.sin(6 * share)
            out[round(start * fps) + i] = np.array([round(x), round(y), round(x) + SIZE, round(y) + SIZE], float)
    return out


def truths(seconds: int, fps: int = FPS) -> list[Known]:
    """What is true of the video."""
    out = []
    for query, spans in events(seconds, fps).items():
        boxes = places(query, seconds, fps)
        whole = SpanSet(spans)
        times = np.array(sorted(boxes)) / fps
        seen = Tube(whole, times, [boxes[k] for k in sorted(boxes)], rate=fps)
        out.append(Known(query, whole, seen, query.split()[2], (WIDTH, HEIGHT)))
    return out


def frames(seconds: int, fps: int) -> Iterator[NDArray[np.uint8]]:
    """(h, w, 3) RGB pictures."""
    rng = np.random.default_rng(5)
    tiles = rng.integers(60, 190, (9, 16, 3)).astype(np.uint8)
    room = cv2.resize(tiles, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    skin = rng.integers(0, 60, (SIZE, SIZE, 1))
    red = np.clip(skin + np.array([190, 20, 20]), 0, 255).astype(np.uint8)
    blue = np.clip(skin + np.array([20, 20, 190]), 0, 255).astype(np.uint8)
    disc = cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (SIZE // 2, SIZE // 2), SIZE // 2, 1, -1).astype(bool)
    reds, blues = (places(q, seconds, fps) for q in list(events(seconds, fps))[:2])
    for k in range(seconds * fps):
        if k not in reds and k not in blues:
            yield room
            continue
        picture = room.copy()
        if k in reds:
            x, y = reds[k][:2].astype(int)
            picture[y : y + SIZE, x : x + SIZE] = red
        if k in blues:
            x, y = blues[k][:2].astype(int)
            picture[y : y + SIZE, x : x + SIZE][disc] = blue[disc]
        yield picture


def write(path: Path, seconds: int, fps: int = FPS) -> list[Known]:
    """Encode the video (H.264, a key frame every 250 frames) and return what is true of it."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "26", "preset": "ultrafast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        last, frame = None, None
        for picture in frames(seconds, fps):
            if picture is not last or frame is None:
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
                last = picture
            frame.pts = None
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    part.replace(path)
    return truths(seconds, fps)


def worker(path: Path, seconds: int) -> dict:
    """Ground every sentence about the video, and how much memory this process ever held."""
    from whenwhere.answers.dialects import DIALECTS
    from whenwhere.grounders.second_level import SecondLevel
    from whenwhere.video import probe

    info = probe(path)
    world = World(truths(seconds))
    backend = WorldBackend(world, DIALECTS["qwen3-vl"])
    before, began, rows = peak(), time.perf_counter(), []
    for truth in world.truths.values():
        found = SecondLevel(backend).ground(info, GroundingRequest(truth.text))
        tube = found.tubes[0] if found.tubes else None
        ends = [abs(a - b) for x, y in zip(truth.spans, found.spans, strict=False)
                for a, b in ((x.start, y.start), (x.end, y.end))]  # fmt: skip
        rows.append(
            {"query": truth.text, "status": found.status, "spans": len(found.spans),
             "t_iou": round(100 * t_iou(truth.spans, found.spans), 2), "worst_end_s": round(max(ends, default=0.0), 3),
             "v_iou": round(100 * v_iou(truth.seen, tube), 2) if tube is not None else None}
        )  # fmt: skip
    return {
        "seconds_of_video": seconds, "frames_in_file": len(info.times),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "calls": backend.calls, "seconds": round(time.perf_counter() - began, 1),
        "peak_mb_before": round(before, 1), "peak_mb": round(peak(), 1), "queries": rows,
    }  # fmt: skip


def peak() -> float:
    """Most memory this process ever held, MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    """Write and ground all lengths; write the results."""
    options = argparse.ArgumentParser()
    options.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.worker:
        print(json.dumps(worker(Path(asked.worker[0]), int(asked.worker[1]))))
        return
    result = {}
    for name, seconds in LENGTHS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "long.mp4"
            write(path, seconds)
            command = [sys.executable, str(Path(__file__)), "--worker", str(path), str(seconds)]
            # few arenas: what many threads' allocators keep back is not what the work needs
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **ARENAS})
            result[name] = json.loads(done.stdout.splitlines()[-1])
            print(name, result[name], flush=True)
    peaks = [r["peak_mb"] for r in result.values()]
    out = {"size": f"{WIDTH}x{HEIGHT} at {FPS} frames a second", "spread_mb": round(max(peaks) - min(peaks), 1)}
    out |= {"lengths": result}
    write_text(HERE / "results" / "long_video.json", json.dumps(out, indent=1) + "\n")
    write_text(HERE / "results" / "long_video.md", markdown(out))
    print(markdown(out))


def markdown(out: dict) -> str:
    """The table of the report."""
    rows = [
        "| video | frames | calls | seconds | peak memory, MB | before the first question, MB | t_IoU | v_IoU | "
        "worst end, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in out["lengths"].items():
        there = [q for q in r["queries"] if q["v_iou"] is not None]
        rows.append(
            f"| {name} | {r['frames_in_file']} | {r['calls']} | {r['seconds']:.0f} | {r['peak_mb']:.0f} | "
            f"{r['peak_mb_before']:.0f} | {np.mean([q['t_iou'] for q in r['queries']]):.1f} | "
            f"{np.mean([q['v_iou'] for q in there]):.1f} | {max(q['worst_end_s'] for q in there):.2f} |"
        )
    few, many = (f(out["lengths"].values(), key=lambda r: r["frames_in_file"]) for f in (min, max))
    grown = many["frames_in_file"] - few["frames_in_file"]
    words = (
        f"Three sentences (one event, two, none) about a procedural video of {out['size']}, grounded through the "
        "second-level pipeline by answers computed from the truth; memory is the process's own peak. "
        f"{grown} more frames of video cost {out['spread_mb']} MB, {1e3 * out['spread_mb'] / grown:.1f} kB each; "
        f"their pixels would be {grown * WIDTH * HEIGHT * 3 / 1e9:.0f} GB.\n\n"
    )
    return words + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
