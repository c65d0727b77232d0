"""Sparse frame reading, compared with the readers that people use, on clips whose frames carry their number.

    python benchmarks/reader.py --cache FOLDER --python PEERS/bin/python [--minutes 20] [--redo] [--only TEXT]

The peers are installed in an environment of their own (benchmarks/requirements.txt). Every measurement is a process of
its own: it imports first, reads the file once so that the disk does not count, and then measures wall and CPU seconds
of opening the file and getting all frames as RGB 448 pixels wide. The wanted frames are those at the middles of equal
intervals, (k + 0.5) / rate. Methods take turns, in reverse order every other time; medians are printed. A frame is
right if its barcode is that of the frame that a player shows at the time.

Results are stored by cell in benchmarks/results/reader.json. A rerun measures the missing cells, `--redo` all of them;
a run ends after the cell during which `--minutes` (20) pass, and the next run continues there. There are one to five
runs per cell, whose times are kept. Then the tables are printed and written to benchmarks/results/reader.md.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 448, 252
SIZES = ("720p", "360p")
RESULTS = Path(__file__).parent / "results"

OURS = ("whenwhere",)
PEERS = (
    "PyAV sequential",
    "torchcodec exact, 1 thread",
    "torchcodec exact, all threads",
    "torchcodec approximate, 1 thread",
    "torchcodec approximate, all threads",
    "decord",
    "OpenCV grab",
    "ffmpeg pipe",
)

# --- the methods: (path, times in seconds from the first frame, rate, width or None) -> images ---


def whenwhere_reader(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
    """Our reader, including the probe."""
    from whenwhere.video import probe, read_frames

    return list(read_frames(probe(path), times, width=width).images)


def pyav_sequential(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
    """PyAV decodes everything with all threads; only the wanted frames are scaled."""
    import av
    from av.video.reformatter import Interpolation, VideoReformatter

    scaler = VideoReformatter()

    def image(frame: Any) -> Any:
        size = (width, HEIGHT) if width else (frame.width, frame.height)
        return scaler.reformat(frame, *size, "rgb24", interpolation=Interpolation.AREA, threads=1).to_ndarray()

    out = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        start = None
        before = None
        k = 0
        for frame in container.decode(stream):
            if start is None:
                start = frame.pts
            t = float((frame.pts - start) * stream.time_base)
            while k < len(times) and before is not None and t > times[k] + 1e-6:
                out.append(image(before))
                k += 1
            if k == len(times):
                break
            before = frame
        while k < len(times) and before is not None:
            out.append(image(before))
            k += 1
    return out


def torchcodec_reader(mode: str, threads: int) -> Callable[[str, list[float], float, int | None], list[Any]]:
    """A method that uses torchcodec with its own scaling inside the decoder."""

    def method(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
        from torchcodec.decoders import VideoDecoder
        from torchcodec.transforms import Resize

        decoder = VideoDecoder(
            path,
            seek_mode=mode,
            num_ffmpeg_threads=threads,
            dimension_order="NHWC",
            transforms=[Resize((HEIGHT, width))] if width else None,
        )
        start = decoder.metadata.begin_stream_seconds or 0.0
        return list(decoder.get_frames_played_at(seconds=[t + start + 1e-6 for t in times]).data.numpy())

    return method


def decord_reader(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
    """decord, which scales every decoded frame; times become frame numbers by the average rate."""
    import decord

    size = {"width": width, "height": HEIGHT} if width else {}
    reader = decord.VideoReader(path, num_threads=0, **size)
    fps, n = reader.get_avg_fps(), len(reader)
    return list(reader.get_batch([min(int(t * fps + 1e-6), n - 1) for t in times]).asnumpy())


def opencv_grab(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
    """OpenCV grabs all frames and retrieves the wanted ones; times become frame numbers by the declared rate."""
    import cv2

    capture = cv2.VideoCapture(path)
    if not capture.isOpened():
        raise RuntimeError("isOpened() is false")
    fps = capture.get(cv2.CAP_PROP_FPS)
    wanted = [int(t * fps + 1e-6) for t in times]
    out = []
    k = i = 0
    while k < len(wanted) and capture.grab():
        if i == wanted[k]:
            _, image = capture.retrieve()
            if width:
                image = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            while k < len(wanted) and i == wanted[k]:
                out.append(image)
                k += 1
        i += 1
    return out


def ffmpeg_pipe(path: str, times: list[float], rate: float, width: int | None) -> list[Any]:
    """The raw output of the ffmpeg command through a pipe."""
    import numpy as np

    # Plain `fps=1` gives the frame before the middle of each second; this asks for the one shown at (k + 0.5) / rate.
    chain = f"fps={rate:g}:start_time={times[0]:.6f}:round=up"
    chain += f",scale={WIDTH}:{HEIGHT}:flags=area"
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-vf", chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=False,
    )
    images = np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    if not len(images):
        raise RuntimeError((done.stderr.decode(errors="replace").strip().splitlines() or ["no frame"])[-1][:80])
    return list(images[: len(times)])


METHODS: dict[str, Callable[[str, list[float], float, int | None], list[Any]]] = {
    "whenwhere": whenwhere_reader,
    "PyAV sequential": pyav_sequential,
    "torchcodec exact, 1 thread": torchcodec_reader("exact", 1),
    "torchcodec exact, all threads": torchcodec_reader("exact", 0),
    "torchcodec approximate, 1 thread": torchcodec_reader("approximate", 1),
    "torchcodec approximate, all threads": torchcodec_reader("approximate", 0),
    "decord": decord_reader,
    "OpenCV grab": opencv_grab,
    "ffmpeg pipe": ffmpeg_pipe,
}
PACKAGES = {
    "whenwhere": ["whenwhere.video"],
    "PyAV sequential": ["av"],
    "decord": ["decord"],
    "OpenCV grab": ["cv2"],
    "ffmpeg pipe": [],
}

# --- the worker: one measurement in this process ---


def _load(method: str) -> None:
    import importlib

    names = PACKAGES.get(method, ["torch", "torchcodec.decoders", "torchcodec.transforms"])
    for name in ["numpy", *names]:
        importlib.import_module(name)


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(method: str, path: str, rate: float, seconds: int) -> dict[str, Any]:
    """Measure one method on one clip."""
    _load(method)
    sys.path.insert(0, str(Path(__file__).parent))
    import clips

    times = [(k + 0.5) / rate for k in range(int(seconds * rate))]
    expected = [int(t * clips.FPS + 1e-6) % (clips.SECONDS * clips.FPS) for t in times]
    Path(path).read_bytes()
    cpu, wall = _cpu(), time.perf_counter()
    images = METHODS[method](path, times, rate, WIDTH)
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    wrong = sum(clips.number(image) != e for image, e in zip(images, expected, strict=False))
    result = {"wall": wall, "cpu": cpu, "wrong": wrong + len(times) - len(images), "frames": len(times)}
    # With more processes than cores, the wall time of a run says little; CPU seconds still do.
    return {**result, "load": os.getloadavg()[0]}


def examine(method: str, path: str, times: list[float], numbers: list[int] | None, lost: list[int] | None) -> str:
    """The text of one cell of the correctness table."""
    _load(method)
    sys.path.insert(0, str(Path(__file__).parent))
    import clips

    rate = 1.0
    width = WIDTH if method == "ffmpeg pipe" else None
    warned = False
    try:
        if method == "whenwhere":
            from whenwhere.video import probe, read_frames

            frames = read_frames(probe(path), times)
            images, warned = list(frames.images), bool(frames.warnings)
        else:
            images = METHODS[method](path, times, rate, width)
    except Exception as e:
        kind = type(e).__name__
        if numbers is None:
            return f"refused ({kind})"
        return f"**fails** ({kind})"
    if numbers is None:
        return f"**gives {len(images)} frames**"
    if "rotated" in Path(path).name and images[0].shape[0] < images[0].shape[1] and width is None:
        return "**not upright**"
    got = [clips.number(image) for image in images]
    sound = [k for k, n in enumerate(numbers) if not lost or not lost[0] <= n < lost[1]]
    right = sum(k < len(got) and got[k] == numbers[k] for k in sound)
    text = f"{right}/{len(sound)} right"
    if right == len(sound) and lost and len(got) >= len(numbers):
        wrong = sum(got[k] != n for k, n in enumerate(numbers) if lost[0] <= n < lost[1])
        text += f", damaged {wrong} " + ("named" if warned else "not named") if wrong else ""
    elif len(got) < len(numbers):
        text += f", {len(numbers) - len(got)} missing, nothing said"
    elif right < len(sound):
        worst = max(abs(got[k] - numbers[k]) for k in sound)
        text += f", off by up to {worst} frames" if worst < 400 else ", garbled"
    if warned:
        text += " (warns)"
    return text if right == len(sound) else f"**{text}**"


def memory(method: str, path: str, seconds: int) -> dict[str, float]:
    """Peak memory in MB, without that of the imports, of one pass over a clip at one frame per second."""
    _load(method)
    import numpy as np

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    Path("/proc/self/clear_refs").write_text("5")
    base = resident()
    shown = 0
    if method == "whenwhere":
        from whenwhere.video import probe, stream_frames

        for _, image in stream_frames(probe(path), fps=1, width=WIDTH):
            shown += int(np.asarray(image).any())
    else:
        # A minute at a time, as a careful user would.
        for begin in range(0, seconds, 60):
            times = [begin + k + 0.5 for k in range(60)]
            shown += len(METHODS[method](path, times, 1.0, WIDTH))
    peak = next(
        int(line.split()[1]) / 1e3 for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    return {"peak": peak - base, "frames": shown}


# --- running the workers ---


def cells() -> list[tuple[str, str, int, float, int]]:
    """All cells as (stream, size, seconds, rate, runs), those with a goal first."""
    h264 = ("h264 gop250", "h264 gop30")
    others = ("h264 no-b gop250", "hevc gop250", "vp9 gop250", "av1 gop250")
    goals = [("h264 gop250", "720p", 60, 1.0, 5), ("h264 gop250", "720p", 600, 1.0, 1)]
    grid = [(n, s, d, r, 3 if d == 10 else 2) for d in (10, 60) for s in SIZES for n in h264 for r in (1.0, 2.0)]
    grid += [(n, s, 60, 1.0, 2) for n in others for s in SIZES]
    grid += [(n, s, 600, r, 1) for s in SIZES for n in h264 for r in (1.0, 2.0)]
    return goals + [c for c in grid if c[:4] not in [g[:4] for g in goals]]


def cell_name(stream: str, size: str, seconds: int, rate: float) -> str:
    """The key of a cell in the results."""
    return f"{stream} {size} {seconds}s {rate:g}fps"


class Conductor:
    """Runs workers and stores their results."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.file = RESULTS / "reader.json"
        self.results: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        for part in ("cells", "correct", "memory"):
            self.results.setdefault(part, {})
        self.until = time.monotonic() + 60 * args.minutes

    def save(self) -> None:
        """Write all results."""
        from whenwhere.store import write_text

        write_text(self.file, json.dumps(self.results, indent=1, ensure_ascii=False) + "\n")

    def work(self, method: str, task: list[Any], limit: float = 600) -> Any:
        """The result of a worker as a dict, or a sentence that says why there is none."""
        python = sys.executable if method in OURS else self.args.python
        if not python:
            return "no --python given for the peers"
        env = {**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"}
        try:
            done = subprocess.run(
                [python, __file__, "--worker", json.dumps([method, *task])],
                capture_output=True,
                text=True,
                timeout=limit,
                env=env,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            return f"{type(e).__name__}"
        if done.returncode != 0:
            lines = [x for x in done.stderr.strip().splitlines() if x.strip()]
            missing = next((x for x in lines if "ModuleNotFoundError" in x), None)
            # The kind of error only: messages name paths of this machine.
            return missing or (lines[-1].split(":")[0] if lines else f"exit {done.returncode}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    def methods(self, seconds: int, stream: str) -> list[str]:
        """The methods to run: all, but of torchcodec's four settings only those that were best at 720p, to save time.

        The four are measured on every stream at 720p, 60 s and 1 frame/s; the better two go on elsewhere, the best one
        on the ten-minute clips.
        """
        modes = [p for p in PEERS if p.startswith("torchcodec")]
        minute = self.results["cells"].get(cell_name(stream, "720p", 60, 1.0), {})
        walls = {m: _median(minute[m], "wall") for m in modes if _ok(minute.get(m))}
        if not walls:
            return [*OURS, *PEERS]
        better = sorted(walls, key=lambda m: walls[m])[: 1 if seconds > 60 else 2]
        return [m for m in (*OURS, *PEERS) if m not in modes or m in better]

    def run(self) -> None:
        """Measure what is missing, beginning with what needs no quiet machine."""
        self.cache = Path(self.args.cache)
        self.cache.mkdir(parents=True, exist_ok=True)
        self.results["machine"] = facts(self.work("versions", []) if self.args.python else {})
        if not self.args.only:
            self.run_special()
        self.run_cells()
        if not self.args.only:
            self.run_memory()

    def run_special(self) -> None:
        """Fill the missing cells of the correctness table."""
        import clips

        for clip in clips.special(self.cache):
            row = {} if self.args.redo else self.results["correct"].get(clip.name, {})
            for method in ("whenwhere", "PyAV sequential", *PEERS[1:4:2], "decord", "OpenCV grab", "ffmpeg pipe"):
                if method not in row or row[method].startswith("no --python"):
                    answer = self.work(method, ["examine", str(clip.path), clip.times, clip.numbers, clip.lost], 60)
                    row[method] = answer
            self.results["correct"][clip.name] = row
        self.save()

    def run_cells(self) -> None:
        """Measure the missing cells of the speed table."""
        import clips

        for stream, size, seconds, rate, runs in cells():
            name = cell_name(stream, size, seconds, rate)
            if self.args.only not in name:
                continue
            done = {} if self.args.redo else self.results["cells"].get(name, {})
            reference = (size, seconds, rate) == ("720p", 60, 1.0)
            methods = [*OURS, *PEERS] if reference else self.methods(seconds, stream)
            if all(m in done and (isinstance(done[m], str) or len(done[m]) >= runs) for m in methods):
                continue
            if time.monotonic() > self.until:
                print(f"time is up before {name}; run again to go on", file=sys.stderr)
                return
            path = str(clips.make(self.cache, stream, size, seconds))
            fresh: dict[str, Any] = {}
            for k in range(runs):
                for method in methods if k % 2 == 0 else methods[::-1]:
                    if isinstance(fresh.get(method), str):
                        continue
                    result = self.work(method, ["measure", path, rate, seconds])
                    if isinstance(result, str):
                        fresh[method] = result
                    else:
                        fresh.setdefault(method, []).append({k: round(v, 4) for k, v in result.items()})
            self.results["cells"][name] = fresh
            self.save()
            print(row_of(name, fresh), file=sys.stderr)

    def run_memory(self) -> None:
        """Measure the missing cells of the memory table."""
        import clips

        for minutes in (1, 10, 60):
            for method in ("whenwhere", "PyAV sequential", "torchcodec exact, 1 thread", "decord"):
                key = f"{method} {minutes}"
                if minutes == 60 and method != "whenwhere":
                    continue
                if self.args.redo or not isinstance(self.results["memory"].get(key), dict):
                    if time.monotonic() > self.until:
                        print("time is up before the memory table; run again to go on", file=sys.stderr)
                        return
                    path = str(clips.make(self.cache, "h264 gop250", "360p", 60 * minutes))
                    self.results["memory"][key] = self.work(method, ["memory", path, 60 * minutes])
                    self.save()


def versions() -> dict[str, str]:
    """Record the versions of the peers in their environment."""
    from importlib.metadata import PackageNotFoundError, version

    out = {}
    for name in ("torch", "torchcodec", "decord", "opencv-python-headless", "av"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = "missing"
    return out


def facts(peers: Any) -> dict[str, Any]:
    """A description of the machine, without names or paths."""
    from importlib.metadata import version

    import av

    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next((x.split(":")[1].strip() for x in cpuinfo.read_text().splitlines() if "model name" in x), model)
    try:
        pipe = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=False).stdout.split()[2]
    except (OSError, IndexError):
        pipe = "missing"
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "python": platform.python_version(),
        "system": platform.system(),
        "whenwhere": version("whenwhere"),
        "PyAV": av.__version__,
        "libavcodec": ".".join(map(str, av.library_versions["libavcodec"])),
        "ffmpeg command": pipe,
        "peers": peers if isinstance(peers, dict) else str(peers),
    }


# --- the tables ---


def _ok(runs: Any) -> bool:
    return isinstance(runs, list) and bool(runs)


def _median(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(r[key] for r in runs)


def best_peer(cell: dict[str, Any]) -> tuple[str, float] | None:
    """The fastest peer that returned every frame right."""
    right = {m: _median(cell[m], "wall") for m in PEERS if _ok(cell.get(m)) and not _median(cell[m], "wrong")}
    return min(right.items(), key=lambda x: x[1]) if right else None


def ratio(cell: dict[str, Any]) -> float | None:
    """How many times faster than the best correct peer, by wall time."""
    best = best_peer(cell)
    return best[1] / _median(cell["whenwhere"], "wall") if best and _ok(cell.get("whenwhere")) else None


def row_of(name: str, cell: dict[str, Any]) -> str:
    """The result of a cell as one line for a terminal."""
    parts = []
    for method in (*OURS, *PEERS):
        runs = cell.get(method)
        if _ok(runs):
            wrong = int(_median(runs, "wrong"))
            parts.append(
                f"{method} {_median(runs, 'wall'):.2f}/{_median(runs, 'cpu'):.2f}" + (f"!{wrong}" if wrong else "")
            )
        elif runs:
            parts.append(f"{method}: {runs}")
    r = ratio(cell)
    return f"{name}: {f'{r:.2f}x' if r else '-'} | " + " | ".join(parts)


def tables(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    machine = results.get("machine", {})
    peers = machine.get("peers", {})
    peer_text = ", ".join(f"{k} {v}" for k, v in peers.items()) if isinstance(peers, dict) else peers
    loads = [r["load"] for c in results["cells"].values() for m in c.values() if _ok(m) for r in m if "load" in r]
    load = f" Median load of the machine while measuring: {statistics.median(loads):.1f}." if loads else ""
    lines = [
        f"{machine.get('cores')} cores ({machine.get('processor')}), Python {machine.get('python')}, "
        f"PyAV {machine.get('PyAV')}, libavcodec {machine.get('libavcodec')}; "
        f"peers: {peer_text}, ffmpeg command {machine.get('ffmpeg command')}.",
        "",
        "Wall / CPU seconds for all frames, medians; ✗n = n frames wrong or missing. `×` is ours against the fastest "
        f"peer whose frames are all right, by wall time.{load}",
        "",
    ]
    heads = ["whenwhere", "PyAV seq.", "tc exact 1", "tc exact all", "tc approx. 1", "tc approx. all", "decord"]
    heads += ["OpenCV grab", "ffmpeg pipe"]
    lines += ["| clip, frames/s | × | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for stream, size, seconds, rate, _ in cells():
        name = cell_name(stream, size, seconds, rate)
        cell = results["cells"].get(name)
        if not cell:
            lines.append(f"| {name} | not run |" + " |" * len(heads))
            continue
        row = []
        for method in (*OURS, *PEERS):
            runs = cell.get(method)
            if _ok(runs):
                wrong = int(_median(runs, "wrong"))
                text = f"{_median(runs, 'wall'):.2f} / {_median(runs, 'cpu'):.2f}" + (f" ✗{wrong}" if wrong else "")
                row.append(f"**{text}**" if method in OURS else text)
            else:
                row.append("–" if runs is None else "fails" if "Module" not in runs else "not installed")
        r = ratio(cell)
        lines.append(f"| {name} | {f'{r:.2f}' if r else '–'} | " + " | ".join(row) + " |")
    if results["correct"]:
        methods = list(next(iter(results["correct"].values())))
        lines += ["", "Frames that are not what a naive reader assumes (ten asked; barcodes compared):", ""]
        lines += ["| clip | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
        for name, row in results["correct"].items():
            lines.append(f"| {name} | " + " | ".join(str(row.get(m, "–")) for m in methods) + " |")
    if results["memory"]:
        lines += ["", "Peak memory over the imports, MB, going through a 360p clip at one frame a second", ""]
        lines += ["| minutes | 1 | 10 | 60 |", "|---|---|---|---|"]
        for method in ("whenwhere", "PyAV sequential", "torchcodec exact, 1 thread", "decord"):
            row = [results["memory"].get(f"{method} {m}") for m in (1, 10, 60)]
            shown = [f"{x['peak']:.0f}" if isinstance(x, dict) else "–" for x in row]
            lines.append(f"| {method} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run or resume, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", help="folder for the clips (about 1.5 GB)")
    parser.add_argument("--python", help="interpreter of the peers' environment")
    parser.add_argument("--minutes", type=float, default=20, help="stop between cells after this long")
    parser.add_argument("--redo", action="store_true", help="measure again what is already there")
    parser.add_argument("--only", default="", help="only cells whose name contains this, for example '720p 60s'")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        method, *task = json.loads(args.worker)
        result: Any
        if method == "versions":
            result = versions()
        else:
            result = {"measure": measure, "examine": examine, "memory": memory}[task[0]](method, *task[1:])
        print(json.dumps(result))
        return
    if not args.cache:
        parser.error("--cache FOLDER is needed for the clips")
    conductor = Conductor(args)
    conductor.run()
    from whenwhere.store import write_text

    text = tables(conductor.results)
    write_text(RESULTS / "reader.md", text)
    print(text)


if __name__ == "__main__":
    main()
