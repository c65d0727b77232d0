"""How long `--model objects` looks at a video, what a later question takes, and whether memory grows with the length.

    WHENWHERE_DATA=/path/to/data python benchmarks/objects_speed.py [--work FOLDER] [--results FOLDER] [--again]

Each row is a process of its own, so that its seconds and its peak memory are its own; rows that are in the result file
are not run again unless `--again` is given. Opening the detector and importing packages are not counted.

- `index`: the first question's look at a clip, with the cache off, in times real time by the clock and by the
  processors' time (user and system, all threads). `asked`: pictures that the detector saw, of those that were looked
  at; without the motion gate it would see all of them. The clock says little while other programs run: `load` is the
  mean number of programs that wanted a processor in the last minute.
- `question`: a later sentence about the same clip, in the same session; `from disk`: the first sentence of another
  session whose index is in the cache, and the part of it that reading the indices takes. Medians of nine.
- `memory`: a clip of a still camera repeated without encoding it again. The detector's answers for pictures that come
  again are kept, which spares time and takes two megabytes. `grown` is the peak minus what the process held before.

Written: benchmarks/results/objects_speed.json and .md. Expected cost: three minutes on two quiet cores.
"""

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from whenwhere import open_detector
from whenwhere.grounders import GroundingRequest
from whenwhere.grounders.motion import MotionGrounder
from whenwhere.grounders.motion import index as motion_indexing
from whenwhere.grounders.objects import ObjectGrounder
from whenwhere.grounders.objects import index as indexing
from whenwhere.grounders.objects.actors import STILL
from whenwhere.models.detectors.detector import ClassDetections, Detector
from whenwhere.store import Cache, write_text
from whenwhere.video import VideoInfo, probe

#: A clip of each kind.
CLIPS = {
    "persons at a table, still, 768 x 432": "intel_one-by-one-person-detection.mp4",
    "cars on a road, still, 768 x 432": "intel_car-detection.mp4",
    "hand-held, 640 x 360": "vidor_4598213889.mp4",
    "hand-held, short, 640 x 360": "vidor_8670554760.mp4",
}
#: How often the clip of cars is repeated for the rows of memory: three and a half and ten and a half minutes.
REPEATED = (7, 21)
QUERIES = ("the first person", "a red car drives to the left", "the second man in a black jacket", "the dog")
ROWS = [*(("index", name) for name in CLIPS), *(("memory", str(n)) for n in REPEATED)]


class Remembering:
    """A detector that keeps its answers, so that pictures that come again cost nothing."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.known: dict[bytes, ClassDetections] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.detector, name)

    def detect(self, frames: np.ndarray, threshold: float) -> list[ClassDetections]:
        """The objects in each picture; see `Detector.detect`."""
        keys = [hashlib.sha1(frame.tobytes()).digest() for frame in frames]
        for key, frame in zip(keys, frames, strict=True):
            if key not in self.known:
                self.known[key] = self.detector.detect(frame[None], threshold)[0]
        return [self.known[key] for key in keys]


def repeated(source: Path, path: Path, times: int) -> None:
    """Write a clip several times one after the other into one file, packet by packet."""
    with av.open(str(path), "w") as target:
        out = None
        shift = 0
        for _ in range(times):
            with av.open(str(source)) as given:
                stream = given.streams.video[0]
                out = out or target.add_stream_from_template(stream)
                end = 0
                for packet in given.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, out
                    target.mux(packet)
                shift += end


def spent() -> float:
    """User and system seconds of this process so far."""
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def peak() -> float:
    """Most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def looked_at(grounder: ObjectGrounder, info: VideoInfo) -> dict[str, Any]:
    """What the first look at a video takes."""
    before, began, busy = peak(), time.perf_counter(), spent()
    index, _, actors, decoded = grounder.observe(info)
    wall, cpu = time.perf_counter() - began, spent() - busy
    return {
        "seconds of video": round(info.duration, 1), "wall": round(wall, 2), "cpu": round(cpu, 2),
        "times real time": round(info.duration / wall, 2), "by processor": round(info.duration / cpu, 2),
        "frames": index.frames, "asked": index.asked, "moving": round(index.moving, 2), "decoded": decoded,
        "actors": len(actors), "peak_mib": round(peak(), 1), "grown_mib": round(peak() - before, 1),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def milliseconds(work: Callable[[], object]) -> float:
    """What some work takes by the processor's time of this thread, in ms."""
    began = time.thread_time()
    work()
    return 1000 * (time.thread_time() - began)


def questions(info: VideoInfo, detector: Detector, folder: Path) -> dict[str, float]:
    """What later questions take, in ms of processor time: in the same session, and in one that reads the cache."""
    cache = Cache(folder)
    grounder = ObjectGrounder(lambda: detector, cache)
    grounder.observe(info)
    ask = [milliseconds(lambda q=q: grounder.ground(info, GroundingRequest(q))) for q in QUERIES * 3][1:]
    fresh, reading = [], []
    for _ in range(9):
        other = ObjectGrounder(lambda: detector, cache)
        fresh.append(milliseconds(lambda g=other: g.ground(info, GroundingRequest(QUERIES[0]))))
        reading.append(milliseconds(lambda: read_indices(info, detector, cache)))
    return {
        "question_ms": round(statistics.median(ask), 2), "slowest_ms": round(max(ask), 2),
        "from_disk_ms": round(statistics.median(fresh), 2), "reading_ms": round(statistics.median(reading), 2),
    }  # fmt: skip


def read_indices(info: VideoInfo, detector: Detector, cache: Cache) -> None:
    """Take the indices of a video from the cache, without making actors of them."""
    found = indexing.ObjectIndex.from_arrays(cache.arrays(indexing.index_key(cache, info, detector), dict))
    if found.moving <= STILL:
        motion_indexing.Index.from_arrays(cache.arrays(MotionGrounder(cache).index_key(info), dict))


def row(kind: str, name: str, data: Path, work: Path) -> dict[str, Any]:
    """Measure one row; called in a process of its own."""
    detector = open_detector("ssd")
    detector.detect(np.zeros((1, 270, 480, 3), np.uint8))
    import scipy.optimize  # noqa: F401

    if kind == "memory":
        path = work / f"repeated-{name}.mp4"
        repeated(data / "videos" / CLIPS["cars on a road, still, 768 x 432"], path, int(name))
        remembering = Remembering(detector)
        return looked_at(ObjectGrounder(lambda: remembering, Cache(enabled=False)), probe(path))
    info = probe(data / "videos" / CLIPS[name])
    out = looked_at(ObjectGrounder(lambda: detector, Cache(work / "cache")), info)
    return out | questions(info, detector, work / "cache")


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# What `--model objects` takes", ""]
    lines += ["| clip | video, s | wall, s (load) | times real time | processor, s | times real time | detector saw |",
              "|---" * 7 + "|"]  # fmt: skip
    for name in CLIPS:
        if r := found.get(f"index {name}"):
            lines.append(
                f"| {name} | {r['seconds of video']:.0f} | {r['wall']:.1f} ({r['load']:.0f}) "
                f"| {r['times real time']:.1f} | {r['cpu']:.1f} | {r['by processor']:.1f} "
                f"| {r['asked']} of {r['frames']} pictures |"
            )
    lines += ["", "Processor time of a question, ms:", ""]
    lines += ["| clip | later question | slowest | first of a session, from disk | of it reading |", "|---" * 5 + "|"]
    for name in CLIPS:
        if r := found.get(f"index {name}"):
            cells = " | ".join(f"{r[k]:.1f}" for k in ("question_ms", "slowest_ms", "from_disk_ms", "reading_ms"))
            lines.append(f"| {name} | {cells} |")
    lines += ["", "Memory, by the length of the video:", "", "| video, s | peak, MiB | grown, MiB |", "|---" * 3 + "|"]
    for n in REPEATED:
        if r := found.get(f"memory {n}"):
            lines.append(f"| {r['seconds of video']:.0f} | {r['peak_mib']:.0f} | {r['grown_mib']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure the rows that are missing and write the results; returns 2 without data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder for clips and caches; a temporary one if not given")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--again", action="store_true", help="run all rows again")
    parser.add_argument("--row", nargs=2, help="measure one row and print it")
    args = parser.parse_args()
    data = os.environ.get("WHENWHERE_DATA")
    if not data:
        print("set WHENWHERE_DATA to the folder with videos/", file=sys.stderr)
        return 2
    if args.row:
        print(json.dumps(row(*args.row, Path(data), args.work)))
        return 0
    target = args.results / "objects_speed.json"
    found: dict[str, Any] = json.loads(target.read_text("utf-8")) if target.exists() and not args.again else {}
    for kind, name in ROWS:
        key = f"{kind} {name}"
        if key in found:
            continue
        with tempfile.TemporaryDirectory(dir=args.work) as work:
            command = [sys.executable, __file__, "--row", kind, name, "--work", work]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[key] = json.loads(done.stdout.splitlines()[-1])
        print(key, found[key], flush=True)
        write_text(target, json.dumps(found, indent=1) + "\n")
        write_text(target.with_suffix(".md"), table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
