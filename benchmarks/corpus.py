"""A corpus by many processes: `--engine local` and `ray` beside one process, with a worker killed, and their memory.

    python benchmarks/corpus.py [--clips 500] [--work FOLDER] [--results FOLDER]

Each row of the table is a process of its own, so that its peak memory is its own; rows that are in the result file are
not run again, so an interrupted run goes on. Two workers on two cores. The clips are small (64 x 48, one to four
seconds, every tenth four times as long), so that starting the workers, which is counted, weighs more than it does for
real videos.

- `batch`: one sentence about each clip, answered by `motion`. `same` compares all stored records, without seconds, with
  those of one process.
- `batch, worker killed`: a worker gets SIGKILL when a third of the answers is there.
- `measure`: `whenwhere data measure`; `same` compares the bytes of the parts.
- `rows`: `data measure` on rows whose videos are not there. Nothing is decoded, so this is what the manifest, the
  shards and the scheduler take; `peak` is the memory of the process that gives out the work.

Written: benchmarks/results/corpus.json and .md.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import whenwhere
from whenwhere.curate.measurement import measure
from whenwhere.datasets import manifest
from whenwhere.datasets.item import Item, span_array
from whenwhere.engine import open_engine
from whenwhere.results import read_results
from whenwhere.store import write_text
from whenwhere.video import FrameWriter

WORKERS = 2
#: Name of a row: what is done, by which engine, with how many rows (None: one for each clip).
CELLS: dict[str, tuple[str, str | None, int | None]] = {
    "batch, one process": ("batch", None, None),
    "batch, local": ("batch", "local", None),
    "batch, ray": ("batch", "ray", None),
    "measure, local, 1 worker": ("measure", "local", None),
    "measure, local": ("measure", "local", None),
    "measure, ray": ("measure", "ray", None),
    "rows, local, 1 000": ("rows", "local", 1000),
    "rows, local, 20 000": ("rows", "local", 20_000),
    "rows, ray, 1 000": ("rows", "ray", 1000),
    "rows, ray, 20 000": ("rows", "ray", 20_000),
    "batch, local, worker killed": ("killed", "local", None),
    "batch, ray, worker killed": ("killed", "ray", None),
}


def write_corpus(folder: Path, clips: int) -> Path:
    """The clips, and the manifest with a sentence about each; what is there is not written again."""
    file = folder / "corpus.jsonl"
    if file.exists():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    items = []
    for k in range(clips):
        frames = int(rng.integers(10, 20)) * (4 if k % 10 == 0 else 1)
        ground = np.kron(rng.integers(60, 190, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        with FrameWriter(folder / f"clip{k:04d}.mp4", 64, 48, 10) as writer:
            for i in range(frames):
                frame, x = ground.copy(), int(70 * i / frames) - 10
                frame[16:32, max(0, x) : max(0, x + 12)] = (220, 30, 30)
                writer.write(frame)
        items.append(Item(f"q{k}", f"clip{k:04d}.mp4", "the red thing moves right", span_array([(0, frames / 10)])))
    manifest.write(items, file)
    return file


def write_rows(folder: Path, rows: int) -> Path:
    """A manifest of rows about videos that are not there."""
    file = folder / f"rows-{rows}.jsonl"
    words = "a person in a red coat carries a box across the yard and puts it down beside the door"
    folder.mkdir(parents=True, exist_ok=True)
    items = (Item(f"r{k}", f"missing/{k}.mp4", words, span_array([(1, 2)]), extra={"n": k}) for k in range(rows))
    manifest.write(items, file)
    return file


def run_cell(name: str, work: Path, clips: int) -> dict[str, Any]:
    """Do what a row of the table says, in this process."""
    what, engine, rows = CELLS[name]
    given = write_corpus(work / "clips", clips) if rows is None else write_rows(work, rows)
    out = work / "out" / name.replace(", ", "-").replace(" ", "-")
    shutil.rmtree(out, ignore_errors=True)
    begin = time.monotonic()
    if what in ("batch", "killed"):
        workers = None if engine is None else WORKERS
        callback = Killer() if what == "killed" else whenwhere.BatchCallback()
        result = whenwhere.batch(given, out, cache=out / "cache", engine=engine, workers=workers, callback=callback)
        count, digest = result.questions, _records(out)
        more = {"failed": result.failed}
    else:
        workers = 1 if name.endswith("1 worker") else WORKERS
        with open_engine(str(engine), workers) as opened:
            report = measure(given, out, opened, rows=64 if rows is None else 256)
        count, digest = report.rows, _parts(out)
        more = {"failed": report.failed}
    seconds = time.monotonic() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "items": count, "peak_mib": round(peak, 1), "digest": digest, **more}


class Killer(whenwhere.BatchCallback):
    """Kills one worker when a third of the answers is there."""

    def __init__(self) -> None:
        self.result: whenwhere.BatchResult | None = None
        self.killed = 0

    def on_begin(self, result: whenwhere.BatchResult) -> None:
        """Remember how many answers there will be."""
        self.result = result

    def on_answer(self, source: str, record: Any, files: list[Path]) -> None:
        """Kill the first worker that is found."""
        if not self.killed and self.result is not None and self.result.done * 3 >= self.result.questions:
            self.killed = _workers()[0]
            os.kill(self.killed, signal.SIGKILL)


def _workers() -> list[int]:
    """The processes below this one that are workers of an engine."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
    found = []
    for pid, name in names.items():
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and ("ClusterActor" in name or "spawn_main" in name):
            found.append(pid)
    return sorted(found)


def _records(out: Path) -> str:
    """A hash of all stored records, without what differs from run to run."""
    lines = []
    for record in read_results(out):
        value = json.loads(record.to_json())
        value["cost"].pop("seconds")
        lines.append(json.dumps(value, sort_keys=True))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def _parts(out: Path) -> str:
    return hashlib.sha256(b"".join(part.read_bytes() for part in manifest.parts(out))).hexdigest()[:16]


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["| what | items | s | items / s | against the first of its kind | same result | peak, MiB |"]
    lines.append("|---|---|---|---|---|---|---|")
    first: dict[str, Any] = {}
    for name in CELLS:
        if name not in found:
            continue
        cell, kind = found[name], f"{name.split(',')[0]}{found[name]['items']}"
        base = first.setdefault(kind, cell)
        same = "–" if base is cell else "yes" if base["digest"] == cell["digest"] else "no"
        lines.append(
            f"| {name} | {cell['items']} | {cell['seconds']:.1f} | {cell['items'] / cell['seconds']:.1f} | "
            f"{base['seconds'] / cell['seconds']:.2f} × | {same} | {cell['peak_mib']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the rows that are missing, and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("corpus-work"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--cell", choices=list(CELLS), help="run one row and print it")
    args = parser.parse_args()
    if args.cell:
        sys.stdout.write(json.dumps(run_cell(args.cell, args.work, args.clips)) + "\n")
        return
    file = args.results / "corpus.json"
    found: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    write_corpus(args.work / "clips", args.clips)
    for name in CELLS:
        if name in found:
            continue
        command = [sys.executable, __file__, "--clips", str(args.clips), "--work", str(args.work), "--cell", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
        write_text(file, json.dumps(found, indent=1) + "\n")
        write_text(args.results / "corpus.md", table(found))
        sys.stderr.write(f"{name}: {found[name]}\n")


if __name__ == "__main__":
    main()
