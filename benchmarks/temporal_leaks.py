"""What the temporal grouping loss can be solved with, for each way to make its centres.

    python benchmarks/temporal_leaks.py        (seconds on one core)

Clips are features by frame, made so that it is known what they say: nothing (random for every frame; the position
alone; a slow drift that all clips share; these two with noise of each frame) or, in the last two rows, whose they are.
They are blended as `cut_and_paste` blends frames, and `temporal_grouping_loss` is asked with a temperature of .1. Only
where the first rows are at .5 does a low loss show that clips were told apart.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.store import write_text

RESULTS = Path(__file__).parent / "results"
CENTRES = ("clean_loo", "clean", "loo", "masked_mean")
WIDTH = 64


def features(steps: int, clips: int) -> dict[str, Any]:
    """Features by what they know, each of shape (clips, steps, WIDTH)."""
    import torch

    t, f = torch.arange(steps)[:, None] / steps, torch.arange(WIDTH // 2)[None] / 2 + 0.5
    position = torch.cat([torch.sin(6 * t * f), torch.cos(6 * t * f)], -1)
    drift, state = torch.zeros(steps, WIDTH), torch.randn(WIDTH)
    for k in range(steps):
        state = 0.9 * state + math.sqrt(1 - 0.9**2) * torch.randn(WIDTH)
        drift[k] = state
    noise, clip = torch.randn(clips, steps, WIDTH), torch.randn(clips, 1, WIDTH)
    return {
        "random for every frame": noise,
        "position alone": position.expand(clips, -1, -1),
        "position and noise": position + 0.3 * noise,
        "shared drift": drift.expand(clips, -1, -1),
        "shared drift and noise": drift + 0.3 * noise,
        "the clip, in noise": clip + 2 * noise,
        "the clip, in shared drift": drift + 0.5 * clip,
    }


def measure(steps: int, clips: int) -> dict[str, dict[str, list[float]]]:
    """Accuracy and loss for each kind of features and of centres."""
    import torch

    from whenwhere.training.pretrain.cut_and_paste import sample_mask
    from whenwhere.training.pretrain.derangement import random_derangement
    from whenwhere.training.pretrain.temporal_grouping import temporal_grouping_loss

    torch.manual_seed(0)
    random = np.random.default_rng(0)
    masks = torch.tensor(np.stack([sample_mask(steps, random) for _ in range(clips)]))
    order = torch.tensor(random_derangement(clips, random))
    found: dict[str, dict[str, list[float]]] = {}
    for name, clean in features(steps, clips).items():
        blended = torch.where(masks[..., None], clean, clean[order])
        terms = {c: temporal_grouping_loss(blended, masks, clean, order, centres=c) for c in CENTRES}
        found[name] = {c: [term.accuracy, float(term.loss)] for c, term in terms.items() if term.loss is not None}
    return found


def table(found: dict[int, dict[str, dict[str, list[float]]]]) -> str:
    """Accuracy / loss as a Markdown table."""
    lines = [f"| features | time steps | {' | '.join(CENTRES)} |", f"|{' --- |' * (len(CENTRES) + 2)}"]
    for steps, rows in found.items():
        for name, cells in rows.items():
            said = " | ".join(f"{cells[c][0]:.2f} / {cells[c][1]:.3f}" for c in CENTRES)
            lines.append(f"| {name} | {steps} | {said} |")
    return "# What solves the temporal loss: accuracy / loss\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rehearse", action="store_true", help="write no result file")
    options = parser.parse_args()
    found = {steps: measure(steps, options.clips) for steps in options.steps}
    if not options.rehearse:
        write_text(RESULTS / "temporal_leaks.json", json.dumps(found, indent=1) + "\n")
        write_text(RESULTS / "temporal_leaks.md", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
