"""A training script like any other, to show that `whenwhere ablate` needs nothing of it but keys, a seed and two files.

    python examples/ablation/train.py hidden=32 --seed 0 --out build/cell

It trains a network of one hidden layer on points of two rings, and writes metrics.json and items.jsonl into OUT. It has
nothing to do with video and imports nothing but numpy. `train.toml` declares what can be changed, `train.md` is a plan.
"""

import argparse
import json
from pathlib import Path

import numpy as np

SETTINGS = {"hidden": 4, "steps": 150, "rate": 0.5, "decay": 1e-4, "jitter": 0.1, "features": "squares", "points": 100}


def rings(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random points of an inner and an outer ring that touch, and the ring of each, 0 or 1."""
    ring = rng.integers(0, 2, count)
    radius = 1.0 + ring + 0.35 * rng.normal(size=count)
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), ring


def features(points: np.ndarray, kind: str) -> np.ndarray:
    """The inputs of the network: the coordinates of the points, and with `squares` also their squares."""
    return np.concatenate([points, points**2], axis=1) if kind == "squares" else points


def main() -> None:
    """Train with one setting and one seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = dict(SETTINGS)
    for change in options.changes:
        key, _, value = change.partition("=")
        settings[key] = type(SETTINGS[key])(value)
    rng = np.random.default_rng(options.seed)
    points, labels = rings(settings["points"], rng)
    test, truth = rings(500, np.random.default_rng(10_000))  # the same for every arm and seed
    width = features(points, settings["features"]).shape[1]
    w1, b1 = rng.normal(size=(width, settings["hidden"])) / np.sqrt(width), np.zeros(settings["hidden"])
    w2, b2 = rng.normal(size=settings["hidden"]) / np.sqrt(settings["hidden"]), 0.0
    for _ in range(settings["steps"]):
        x = features(points + settings["jitter"] * rng.normal(size=points.shape), settings["features"])
        h = np.tanh(x @ w1 + b1)
        error = (1 / (1 + np.exp(-(h @ w2 + b2))) - labels) / len(labels)
        back = np.outer(error, w2) * (1 - h**2)
        w2 -= settings["rate"] * (h.T @ error + settings["decay"] * w2)
        b2 -= settings["rate"] * error.sum()
        w1 -= settings["rate"] * (x.T @ back + settings["decay"] * w1)
        b1 -= settings["rate"] * back.sum(axis=0)
    right = (np.tanh(features(test, settings["features"]) @ w1 + b1) @ w2 + b2 > 0) == truth
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "metrics.json").write_text(json.dumps({"accuracy": float(right.mean())}) + "\n")
    lines = [{"metric": "accuracy", "item": str(i), "video": str(i), "value": float(r)} for i, r in enumerate(right)]
    (options.out / "items.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
