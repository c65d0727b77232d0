"""What workers and caches save where a run waits for decoding: seconds of each epoch, and whether losses differ.

    python benchmarks/feeding.py            (two minutes on two quiet cores; the result replaces the one before)

A very small policy with a frozen vision tower is trained by SFT on videos of 640 x 480 whose key frames lie far apart,
so that nearly every frame of them is decoded. All videos hold the same pictures, but their bytes differ, as those of
different videos do. Each cell trains from the same checkpoint, with caches that are empty at first.
The first epoch includes starting the workers. Decodes and passes of the tower are counted in the run's own process.

Left out: an accelerator, beside which two cores would be even fewer, and network disks.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
VIDEOS, SECONDS, EPOCHS, PER_UPDATE = 6, 16, 3, 2
CELLS: dict[str, list[str]] = {
    "nothing": [],
    "1 worker": ["dataloader_num_workers=1"],
    "2 workers": ["dataloader_num_workers=2"],
    "frame cache": ["frame_cache=10 GB"],
    "frame cache, 2 workers": ["frame_cache=10 GB", "dataloader_num_workers=2"],
    "feature cache": ["feature_cache=10 GB"],
    "feature cache, 2 workers": ["feature_cache=10 GB", "dataloader_num_workers=2"],
}
SIZES = {"hidden": 32, "layers": 1, "mlp": 2, "vision_hidden": 32, "vision_layers": 1, "vision_mlp": 2, "side": 64}


def make_videos(folder: Path) -> None:
    """Writes the videos and their manifest."""
    import av

    from whenwhere.datasets import manifest
    from whenwhere.datasets.item import Item, span_array

    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(40, 200, (40, 60, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    first = folder / "0.mp4"
    with av.open(str(first), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.codec_context.gop_size = 250
        stream.codec_context.options = {"preset": "veryfast", "crf": "20", "sc_threshold": "0"}
        for k in range(SECONDS * 30):
            # the camera moves, so that every frame costs something
            picture = ground[k % 160 : k % 160 + 480, k % 300 : k % 300 + 640]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        out.mux(stream.encode(None))
    for k in range(1, VIDEOS):
        # an empty box at the end: other bytes, the same pictures
        (folder / f"{k}.mp4").write_bytes(first.read_bytes() + (8 + k).to_bytes(4, "big") + b"free" + bytes(k))
    items = [
        Item(f"{k}/{q}", f"{k}.mp4", "a red square moves", span_array([(q, q + 4)]), duration=float(SECONDS))
        for k in range(VIDEOS)
        for q in range(2)
    ]
    manifest.write(items, folder / "manifest.jsonl")


def measure(cell: str, folder: Path, out: Path) -> dict[str, Any]:
    """Trains a cell and counts.

    Args:
        cell: Name of the cell.
        folder: Folder of the videos.
        out: Folder for the run and its caches.
    """
    import torch

    from whenwhere.training.builders import start_policy
    from whenwhere.training.callbacks import Progress, TrainingCallback
    from whenwhere.training.loop import TrainingRun
    from whenwhere.training.recipe import load
    from whenwhere.training.sft.objective import SFTObjective
    from whenwhere.video import frame_cache

    torch.set_num_threads(1)
    ends: list[float] = []
    counted = {"decodes": 0, "tower": 0}

    class Clock(TrainingCallback):
        """Notes when each update ends."""

        def on_update(self, progress: Progress) -> None:
            """Notes the time."""
            ends.append(time.perf_counter())

    recipe = load("tiny-sft", [
        "kind=manifest", f"annotations={folder / 'manifest.jsonl'}", "grow=[]", "data.count=0", "sample_fps=2",
        "long_side=64", "freeze_vision_tower=true", f"samples_per_step={PER_UPDATE}", "logging_steps=1",
        f"max_steps={EPOCHS * VIDEOS // PER_UPDATE}", "save_steps=1000", f"cache_dir={out / 'cache'}",
        *(f"sizes.{name}={value}" for name, value in SIZES.items()), *CELLS[cell],
    ])  # fmt: skip
    run = TrainingRun(out / "run", callbacks=[Clock()])
    policy, source = start_policy(recipe, run, "cpu")
    decode = frame_cache.read_frames

    def counting(*args: Any, **more: Any) -> Any:
        counted["decodes"] += 1
        return decode(*args, **more)

    def seen(*_: Any) -> None:
        counted["tower"] += 1

    policy.parts.backbone.visual.register_forward_hook(seen)
    frame_cache.read_frames = counting
    try:
        began = time.perf_counter()
        run.train(SFTObjective(policy, source, recipe.train))
    finally:
        frame_cache.read_frames = decode
    each = VIDEOS // PER_UPDATE
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "cell": cell, "seconds": np.diff([began, *ends[each - 1 :: each]]).round(2).tolist(), **counted,
        "disk_mib": sum(f.stat().st_size for f in out.glob("cache/*/*")) / 2**20,
        "losses": [line["loss"] for line in lines],
    }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The cells as a Markdown table."""
    epochs = " | ".join(f"epoch {k + 1}, s" for k in range(EPOCHS))
    lines = [
        f"| what | {epochs} | epoch {EPOCHS} / that with nothing | decodes in the run's process | passes of the tower "
        "| on disk, MiB | losses |",
        "|---" * (EPOCHS + 6) + "|",
    ]
    for row in rows:
        times = " | ".join(f"{s:.2f}" for s in row["seconds"])
        lines.append(
            f"| {row['cell']} | {times} | {row['seconds'][-1] / rows[0]['seconds'][-1]:.2f} | {row['decodes']} | "
            f"{row['tower']} | {row['disk_mib']:.2f} | {'equal' if row['losses'] == rows[0]['losses'] else 'differ'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what the command line asks for."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_videos(Path(folder))
        for number, cell in enumerate(CELLS):
            rows.append(measure(cell, Path(folder), Path(folder) / f"cell-{number}"))
            print(f"{cell}: {rows[-1]['seconds']} s", file=sys.stderr)
    sizes = {"videos": VIDEOS, "seconds_each": SECONDS, "epochs": EPOCHS, "cores": len(os.sched_getaffinity(0))}
    write_text(RESULTS / "feeding.json", json.dumps({**sizes, "rows": rows}, indent=1) + "\n")
    write_text(RESULTS / "feeding.md", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
