"""WiSE-FT in small: the average of a trained video encoder with the encoder of pictures that it began from.

    python benchmarks/wise_ft.py [--runs build/pretraining] [--seeds 5] [--shares 0 0.25 0.5 0.75 1]

The trained models are those of the arm `0` (no masking) of `benchmarks/pretraining.py --experiment masking`. They began
from `tiny-stills --preset class` and saw clips of 8 frames in tubelets of 2. A share of 0 is the start, inflated to
tubelets, with the trained temporal positions; 1 is the trained model. Measured are pools of 200 on held-out worlds, of
clips as in training and of pictures as at the start: R@5 of retrieval, and zero-shot recognition of held-out
compositions. That half and half is compared with the trained model in both pools was decided before the first number.
One core, about seven minutes.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from whenwhere.models.encoders.evaluation import recognition, retrieval, shapes
from whenwhere.models.encoders.trained import TrainedEncoder
from whenwhere.stage.shapes import SHAPES_TEMPLATES, recognition_classes, shapes_corpus
from whenwhere.stats import holm, paired_t
from whenwhere.store import write_text
from whenwhere.training.pretrain.wise_ft import wise_ft

RESULTS = Path(__file__).parent / "results" / "wise_ft"
MEASURES = {"R@5, clips": "clips", "R@5, pictures": "pictures", "recognition": "recognition"}
POOL = 200


def measure(encoder: TrainedEncoder, pools: dict) -> dict[str, float]:
    """The measures of one encoder, as shares."""
    found = {
        name: retrieval.score_retrieval(encoder, pools[name])["t2v-R@5"] for name in ("clips", "pictures")
    }  # fmt: skip
    scores = recognition.zero_shot(encoder, pools["recognition"], recognition_classes(), SHAPES_TEMPLATES)
    return found | {"recognition": scores.measures()["top-1"]}


def table(rows: list[dict], shares: list[float]) -> str:
    """Means over seeds x 100, and the two tests."""
    lines = ["| share of the trained weights | seeds | " + " | ".join(MEASURES) + " |", "| --- " * 5 + "|"]
    for share in shares:
        own = [row for row in rows if row["share"] == share]
        if not own:
            continue
        cells = []
        for key in MEASURES.values():
            values = [100 * row[key] for row in own]
            cells.append(f"{np.mean(values):.1f}" + (f" ± {np.std(values, ddof=1):.1f}" if len(own) > 1 else ""))
        lines.append(f"| {share:g} | {len(own)} | " + " | ".join(cells) + " |")
    tests = []
    for key in ("clips", "pictures"):
        half, whole = (
            {r["seed"]: 100 * r[key] for r in rows if r["share"] == share} for share in (0.5, 1.0)
        )  # fmt: skip
        seeds = sorted(half.keys() & whole.keys())
        if len(seeds) >= 5:
            tests.append((key, paired_t([half[s] - whole[s] for s in seeds])))
    adjusted = holm([test.p_value for _, test in tests]) if tests else []
    lines.append("")
    for (key, test), p in zip(tests, adjusted, strict=True):
        d = test.difference
        lines.append(f"- .5 against 1, R@5, {key}: {d.mean:+.1f} ({d.low:+.1f} to {d.high:+.1f}), p {p:.3f} by Holm")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures what is not there yet, and writes the results after every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("build/pretraining"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.25, 0.5, 0.75, 1.0])
    options = parser.parse_args()
    file = RESULTS.with_suffix(".json")
    rows: list[dict] = json.loads(file.read_text("utf-8")) if file.is_file() else []
    how = {"split": "heldout", "objects": (3, 6), "side": 48, "frames": 8}
    pools = {
        "clips": shapes.captioned_pool(shapes_corpus("pairs", **how), POOL),
        "pictures": shapes.captioned_pool(shapes_corpus("stills", **how), POOL),
        "recognition": shapes.labelled_clips(
            shapes_corpus("homogeneous", **how, compositions="held out"), POOL
        ),
    }  # fmt: skip
    for seed in range(options.seeds):
        for share in options.shares:
            if any((row["seed"], row["share"]) == (seed, share) for row in rows):
                continue
            model = wise_ft(options.runs / "stills-class", options.runs / f"masking-0-{seed}", share)
            rows.append({"seed": seed, "share": share, **measure(TrainedEncoder("merged", model, "cpu"), pools)})
            write_text(file, json.dumps(rows, indent=1) + "\n")
            write_text(RESULTS.with_suffix(".md"), table(rows, options.shares))
            print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
