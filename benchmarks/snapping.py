"""What is gained by moving the boxes of a vision-language model onto the tracks of a detector (`--snap`).

    WHENWHERE_DATA=/path/to/data python benchmarks/snapping.py

No weights of such a model can be had here, so its answers are computed: the true boxes of the sentences about real
clips, with the errors that two published models make on another benchmark (VUE-STG; `box_noise.py`,
`results/second_level.md`), and with sizes between and above them. An error moves each side by a share of the box;
errors a second apart are correlated. The score is the mean IoU with the true boxes at the annotated seconds, over
sentences and ten draws; intervals resample sentences. That a model may follow another thing is not simulated.

The constants of `grounders/detector/snapping.py` were chosen on these clips. Result files hold numbers, no sentences.
Expected cost: two minutes on two cores.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from box_noise import drawn, shaken
from real_clips import sentences, truth

from whenwhere.grounders.detector.named import indexed_tracks
from whenwhere.grounders.detector.snapping import snap
from whenwhere.overlap import box_iou
from whenwhere.stats import paired_difference
from whenwhere.store import write_text
from whenwhere.video import probe

RESULTS = Path(__file__).parent / "results" / "snapping"
#: Errors by name: standard deviation of a side in box sizes, and correlation a second apart.
ERRORS = {
    "as vidi2's": (0.046, 0.78),
    "in between": (0.1, 0.8),
    "as gpt-5's": (0.194, 0.85),
    "as gpt-5's with its tails": (0.247, 0.85),
}
DRAWS = 10


def measure(root: Path) -> list[dict]:
    """One row for each size of errors."""
    asked = []
    for q in sentences(root):
        if q["span"]:
            info = probe(root / "videos" / q["video"])
            asked.append((truth(q, info), indexed_tracks(None).recognised(info)[0]))
    rows = []
    for name, (size, memory) in ERRORS.items():
        rng = np.random.default_rng(0)
        before, after, moved = np.zeros(len(asked)), np.zeros(len(asked)), np.zeros(len(asked))
        for n, (gold, tracks) in enumerate(asked):
            for _ in range(DRAWS):
                said = gold.replace(boxes=shaken(gold.boxes, drawn(gold.times, size, memory, rng)), filled=None)
                snapped = snap(said, tracks)
                before[n] += box_iou(said.boxes, gold.boxes).mean() / DRAWS
                after[n] += box_iou(snapped.boxes, gold.boxes).mean() / DRAWS
                moved[n] += float(np.any(snapped.boxes != said.boxes, axis=1).mean()) / DRAWS
        gain = paired_difference(after, before)
        rows.append(
            {
                "errors": name, "size": size, "memory": memory, "sentences": len(asked), "IoU": float(before.mean()),
                "IoU snapped": float(after.mean()), "gain": gain.mean, "low": gain.low, "high": gain.high,
                "moved": float(moved.mean()),
            }
        )  # fmt: skip
    return rows


def table(rows: list[dict]) -> str:
    """The rows in Markdown, x 100."""
    lines = ["| errors of the model's boxes | size | IoU | snapped | gain | boxes moved |", "| --- " * 6 + "|"]
    for r in rows:
        gain = f"{100 * r['gain']:+.1f} [{100 * r['low']:+.1f}, {100 * r['high']:+.1f}]"
        lines.append(
            f"| {r['errors']} | {r['size']} | {100 * r['IoU']:.1f} | {100 * r['IoU snapped']:.1f} | {gain} | "
            f"{100 * r['moved']:.0f} % |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures and writes the results."""
    if "WHENWHERE_DATA" not in os.environ:
        sys.exit("set WHENWHERE_DATA to the folder of the shared data")
    rows = measure(Path(os.environ["WHENWHERE_DATA"]))
    write_text(RESULTS.with_suffix(".json"), json.dumps(rows, indent=1) + "\n")
    write_text(RESULTS.with_suffix(".md"), table(rows))
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()
