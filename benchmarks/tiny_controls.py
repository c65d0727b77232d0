"""Ways to go on training the tiny policy, each at the compute of RL, as a screening on validation clips.

    python benchmarks/tiny_controls.py [--updates 60] [--seeds 3] [--clips 60] [--out build/tiny_controls]

The arms are RL as in the recipe tiny-rl; RL with spans and boxes rewarded apart; SFT on the best of the sampled
answers; and SFT continued with soft and with hard targets. All begin with the policy that comes with the package, arms
of one seed with the same clips. RL arms make `--updates` updates; SFT arms make as many as the FLOPs of RL of the same
seed allow. Before and after, the policy answers validation clips greedily, and by minimum-risk decoding of 8 draws.

A screening says what is worth a comparison: three seeds on few clips allow no verdict, and none is given. Nothing is
chosen by the held-out split, which is not used. A run that is there already is resumed, or not repeated.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
#: Each arm's recipe and preset; RL comes first, for it sets the compute of the others.
ARMS: dict[str, tuple[str, str | None]] = {
    "rl": ("tiny-rl", None),
    "rl, spans and boxes apart": ("tiny-rl", "segments"),
    "best of the samples": ("tiny-rl", "rejection"),
    "sft continued": ("tiny-sft-continued", None),
    "sft continued, hard targets": ("tiny-sft-continued", "hard-targets"),
}
MEASURES = ("m_tIoU", "m_vIoU")
EVALUATORS = """
[[evaluators]]
name = "greedy"
every = 1_000_000
metric = "m_vIoU"
at_start = START
max_tokens = 160
data = { kind = "shapes", count = COUNT, world = { split = "val", domain = "still" } }

[[evaluators]]
name = "least-risk"
every = 1_000_000
metric = "m_vIoU"
at_start = START
max_tokens = 160
draws = 8
data = { kind = "shapes", count = COUNT, world = { split = "val", domain = "still" } }
"""


def train(arm: str, seed: int, updates: int, clips: int, out: Path) -> list[dict[str, Any]]:
    """Trains an arm and returns the lines of its metrics.

    Args:
        arm: Name of the arm.
        seed: Seed of the run and of its clips.
        updates: Number of updates.
        clips: Number of validation clips.
        out: Folder of all runs.
    """
    import whenwhere
    from whenwhere.training.recipe import load, packaged

    recipe, preset = ARMS[arm]
    folder = out / f"{arm.replace(',', '').replace(' ', '-')}-{seed}"
    file = out / f"{recipe}.toml"
    # all arms begin with one policy, which is measured once
    evaluators = EVALUATORS.replace("COUNT", str(clips)).replace("START", str(arm == "rl").lower())
    write_text(file, packaged()[recipe].read_text(encoding="utf-8") + evaluators)
    changes = [
        f"max_steps={updates}", f"save_steps={max(updates // 4, 1)}", "save_total_limit=0", f"train.seed={seed}",
        f"data.first_seed={20_000_000 + seed * 1_000_000}",
    ]  # fmt: skip
    return whenwhere.train(load(str(file), changes, preset), folder, device="cpu").metrics


def sft_updates(spent: float, seed: int, out: Path) -> int:
    """Updates of continued SFT that cost as much as an RL run, by two updates of it.

    Args:
        spent: FLOPs of the RL run.
        seed: Seed of the run.
        out: Folder of all runs.
    """
    import whenwhere

    changes = ["max_steps=2", "logging_steps=1", "save_total_limit=0", f"train.seed={seed}"]
    lines = whenwhere.train("tiny-sft-continued", out / f"cost-{seed}", changes, device="cpu").metrics
    return max(round(spent / (lines[-1]["flops"] / 2)), 1)


def measured(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The measures of a run before and after training, and its FLOPs and updates.

    Args:
        lines: The lines of its metrics.
    """
    found = {"flops": max(line["flops"] for line in lines if "flops" in line), "updates": lines[-1]["step"]}
    for name in ("greedy", "least-risk"):
        for line in lines:
            if f"eval/{name}/m_vIoU" in line:
                when = "" if line["step"] else " before"
                found |= {f"{name} {measure}{when}": float(line[f"eval/{name}/{measure}"]) for measure in MEASURES}
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The screening as a Markdown table: means over seeds with the lowest and the highest, x 100."""
    lines = [
        "| arm | seeds | updates | FLOPs | greedy m_tIoU | greedy m_vIoU | least-risk m_tIoU | least-risk m_vIoU |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]

    def cell(own: Sequence[dict[str, Any]], key: str) -> str:
        values = [100 * row[key] for row in own]
        spread = f" ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else ""
        return f"{np.mean(values):.1f}{spread}"

    keys = [f"{name} {measure}" for name in ("greedy", "least-risk") for measure in MEASURES]
    first = [row for row in rows if row["arm"] == "rl"]
    lines.append("| before | | 0 | 0 | " + " | ".join(cell(first[:1], f"{key} before") for key in keys) + " |")
    for arm in ARMS:
        if own := [row for row in rows if row["arm"] == arm]:
            updates = "–".join(dict.fromkeys(str(f([r["updates"] for r in own])) for f in (min, max)))
            flops = f"{np.mean([row['flops'] for row in own]):.2g}"
            cells = " | ".join(cell(own, key) for key in keys)
            lines.append(f"| {arm} | {len(own)} | {updates} | {flops} | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("build/tiny_controls"))
    parser.add_argument("--rehearse", action="store_true", help="write no result file")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for seed in range(options.seeds):
        spent = 0.0
        for arm in ARMS:
            sft = ARMS[arm][0] != "tiny-rl"
            updates = sft_updates(spent, seed, options.out) if sft else options.updates
            row = {"arm": arm, "seed": seed, **measured(train(arm, seed, updates, options.clips, options.out))}
            spent = row["flops"] if arm == "rl" else spent
            rows.append(row)
            sys.stdout.write(f"{json.dumps(row)}\n")
            sys.stdout.flush()
            if not options.rehearse:
                write_text(RESULTS / "tiny_controls.json", json.dumps(rows, indent=1) + "\n")
                write_text(RESULTS / "tiny_controls.md", table(rows))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
