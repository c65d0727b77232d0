"""The memory that `whenwhere train --dry-run` plans, beside what updates on a CPU really take.

    python benchmarks/training_memory.py            (rerun to resume; about a minute of CPU time for each of 16 runs)
    python benchmarks/training_memory.py --cell sft-256-kept    (one run; writes no result)

Policies are the tiny one's classes with random weights at four sizes, trained by SFT and RL, with and without gradient
checkpointing; all clips of a run are one clip, so that the longest clip is every clip. Each run is a process of its own
with one thread, in which a very small policy is trained first, so that libraries are loaded. The measured number is the
largest resident set during the second update (whose optimiser has its states), less the resident set before the policy
was loaded. Blocks of 64 KiB and more are given back to the system when they are freed.

No accelerator is measured here.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whenwhere.store import append_line, read_lines, write_text

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parent / "cache" / "training_memory.jsonl"
#: Hidden size and number of layers of the text model.
SIZES = {256: 6, 384: 6, 512: 8, 768: 8}
CELLS = [f"{stage}-{size}-{kept}" for size in SIZES for stage in ("sft", "rl") for kept in ("kept", "recomputed")]
#: Largest relative difference between plan and measurement.
GOAL = 0.15
MIB = 1024.0**2
COMMON = [
    "checkpoint=tiny-new", "form=tokens", "world.seconds=[8, 8]", "data.count=1", "save_steps=1000", "max_steps=1000",
    "logging_steps=1000",
]  # fmt: skip
STAGES = {
    "sft": ["samples_per_step=2", "grow=[]"],
    # drawn so hot that no two completions are alike
    "rl": [
        "prompts_per_step=2",
        "num_generations=8",
        "max_completion_length=24",
        "zero_variance=keep",
        "temperature=4",
    ],
}


def _status(key: str) -> float:
    """A line of this process's status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) * 1024
    raise LookupError(key)


def _settled() -> float:
    """The resident set when what is free was given back."""
    import ctypes

    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return _status("VmRSS")


def _recipe(stage: str, size: int, layers: int, recomputed: bool, more: Sequence[str] = ()) -> Any:
    from whenwhere.training.recipe import load

    sizes = [f"sizes.hidden={size}", f"sizes.layers={layers}", "sizes.vision_hidden=128", "sizes.vision_layers=3"]
    return load(
        f"tiny-{stage}", [*COMMON, *sizes, *STAGES[stage], f"gradient_checkpointing={str(recomputed).lower()}", *more]
    )


def _updates(recipe: Any, folder: Path, device: str = "cpu") -> float:
    """The largest resident set in bytes during the second update; on a GPU, the most that tensors took there."""
    import torch

    from whenwhere.training.callbacks import Progress, TrainingCallback
    from whenwhere.training.run import train

    class Peak(TrainingCallback):
        """Watches the second update."""

        value = 0.0

        def on_update(self, progress: Progress) -> None:
            if progress.step == 1:
                gc.collect()
                if device == "cpu":
                    Path("/proc/self/clear_refs").write_text("5")
                else:
                    torch.cuda.reset_peak_memory_stats()
            else:
                self.value = _status("VmHWM") if device == "cpu" else float(torch.cuda.max_memory_allocated())
                raise KeyboardInterrupt

    peak = Peak()
    try:
        train(recipe, folder, callbacks=[peak], device=device)
    except KeyboardInterrupt:
        return peak.value
    raise RuntimeError("the run ended before its second update")


def measure(cell: str) -> dict[str, Any]:
    """Plan and measurement of a cell, in MiB."""
    import torch

    from whenwhere.models import tiny
    from whenwhere.training.machine import find_machine
    from whenwhere.training.stages import find_stage

    torch.set_num_threads(1)
    tiny.MOST = 10**9
    stage, size, kept = cell.split("-")
    recipe = _recipe(stage, int(size), SIZES[int(size)], kept == "recomputed")
    machine = find_machine("cpu")
    estimate = find_stage(recipe.stage).estimate
    assert estimate is not None
    planned = estimate(recipe, lambda text: None, machine)
    memory = planned["memory"].as_dict(machine)
    with tempfile.TemporaryDirectory() as folder:
        _updates(_recipe(stage, 32, 1, kept == "recomputed"), Path(folder) / "small")
        base = _settled()
        peak = _updates(recipe, Path(folder) / "run")
    return {
        "cell": cell, "parameters": planned["parameters"], "planned_mib": memory["total_gib"] * 1024,
        "measured_mib": (peak - base) / MIB, "peak": memory["peak"], "parts_gib": memory["parts_gib"],
        "seconds": round(os.times().user + os.times().system, 1), "torch": torch.__version__,
    }  # fmt: skip


def on_gpu(stage: str, size: int, layers: int, rehearsal: bool) -> dict[str, Any]:
    """Plan and measurement in bf16 with gradient checkpointing on a GPU, in MiB; a rehearsal runs on the CPU."""
    from whenwhere.models import tiny
    from whenwhere.training.machine import find_machine
    from whenwhere.training.stages import find_stage

    tiny.MOST = 10**10
    device = "cpu" if rehearsal else "cuda"
    recipe = _recipe(stage, size, layers, True, ["bf16=true"])
    estimate = find_stage(recipe.stage).estimate
    assert estimate is not None
    memory = estimate(recipe, lambda text: None, find_machine(device))["memory"]
    with tempfile.TemporaryDirectory() as folder:
        base = _settled() if rehearsal else 0.0
        peak = _updates(recipe, Path(folder) / "run", device) - base
    # tensors only: the driver's own memory is not among what PyTorch counts
    planned = memory.total - memory.phases[memory.peak]["context"]
    return {f"{stage}_planned_mib": planned / MIB, f"{stage}_measured_mib": peak / MIB}


def _tables(rows: list[dict[str, Any]]) -> str:
    heads = [
        "stage",
        "hidden",
        "layers",
        "parameters, 10⁶",
        "activations",
        "planned, MiB",
        "measured, MiB",
        "planned / measured",
    ]
    lines = [
        "# Memory of an update, planned and measured",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    ratios = []
    for row in rows:
        stage, size, kept = row["cell"].split("-")
        ratio = row["planned_mib"] / row["measured_mib"]
        ratios.append(ratio)
        cells = [
            stage, size, str(SIZES[int(size)]), f"{row['parameters'] / 1e6:.1f}", kept, f"{row['planned_mib']:.0f}",
            f"{row['measured_mib']:.0f}", f"{ratio:.2f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    missed = sum(abs(ratio - 1) > GOAL for ratio in ratios)
    lines += [
        "",
        f"{len(rows)} of {len(CELLS)} runs; {missed} are off by more than {GOAL:.0%}. One thread of a CPU, fp32.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, and write the result after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", choices=CELLS)
    chosen = parser.parse_args()
    if chosen.cell:
        print(json.dumps(measure(chosen.cell)))
        return
    for cell in CELLS:
        done = {row["cell"]: row for row in read_lines(CACHE)} if CACHE.exists() else {}
        if cell not in done:
            alone = {
                **os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536",
                "MALLOC_TRIM_THRESHOLD_": "65536",
            }  # fmt: skip
            command = [sys.executable, __file__, "--cell", cell]
            found = subprocess.run(command, env=alone, capture_output=True, text=True, check=True)
            CACHE.parent.mkdir(exist_ok=True)
            append_line(CACHE, found.stdout.splitlines()[-1])
            print(found.stdout.splitlines()[-1], flush=True)
        done = {row["cell"]: row for row in read_lines(CACHE)}
        rows = [done[name] for name in CELLS if name in done]
        write_text(RESULTS / "training_memory.json", json.dumps(rows, indent=1) + "\n")
        write_text(RESULTS / "training_memory.md", _tables(rows))


if __name__ == "__main__":
    main()
