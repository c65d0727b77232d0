"""One cell of an ablation of second-level boxes: their rate, their smoothing, and the fill of the gaps.

    python examples/ablation/second_level.py rate=2 smooth=gauss --seed 0 --out build/cell

There is no model: the answered boxes are the true ones of rendered clips, with errors that are correlated from box to
box, as those of real models are. So the numbers show what rate, smoothing and fill can give, not how good any model is.
The clips are always the same and the errors depend on the seed alone, so that all arms have the same ones with a seed.
OUT gets metrics.json, and items.jsonl with the values of single sentences. `second_level.toml` declares the knobs.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from whenwhere import Tube, box_iou
from whenwhere.datasets import manifest
from whenwhere.stage.shapes import ShapesWorld, write_shapes
from whenwhere.tracking import fill_tubes, second_level_times, smooth
from whenwhere.video import probe

DEFAULTS = {"rate": 1.0, "smooth": "none", "fill": "linear", "error": 0.05, "memory": 0.6, "clips": 6}


def read_settings(changes: list[str]) -> dict:
    """The defaults with some of them changed, each by a text key=value."""
    settings = dict(DEFAULTS)
    for change in changes:
        key, _, value = change.partition("=")
        if key not in settings:
            raise SystemExit(f"there is no setting {key!r}: they are {', '.join(settings)}")
        settings[key] = type(settings[key])(value.strip('"'))
    return settings


def answered(truth: Tube, info, settings: dict, rng: np.random.Generator) -> Tube:
    """The true boxes at second-level times, with an error relative to the size of the box."""
    span = truth.spans[0]
    times = second_level_times(span, settings["rate"], info.last_before(span.end))
    boxes = truth.boxes_at(times)
    seen = np.isfinite(boxes).all(axis=1)  # what is hidden at a time is not answered there
    times, boxes = times[seen], boxes[seen]
    # Errors are drawn on a grid of 50 ms, so that arms of different rates have the same error at the same time.
    steps = np.round(times / 0.05).astype(int)
    drawn = rng.normal(size=(int(info.duration / 0.05) + 2, 4))
    memory = settings["memory"] ** 0.05
    for i in range(1, len(drawn)):
        drawn[i] = memory * drawn[i - 1] + np.sqrt(1 - memory**2) * drawn[i]
    size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + settings["error"] * size * drawn[steps]
    return smooth(Tube(truth.spans, times, moved, settings["rate"]), settings["smooth"])


def main() -> None:
    """Run one cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    settings = read_settings(options.changes)
    world = ShapesWorld(
        split="heldout", domain="still", fps=8.0, side=128, seconds=(8, 16), fraction=(0.2, 0.6), ambiguous=0.0,
        absent=0.0, twofold=0.0,
    )  # fmt: skip
    clips = options.out / "clips"
    write_shapes(clips, settings["clips"], 0, world)
    items, values = [item for item in manifest.read(clips / "manifest.jsonl") if item.tubes], []
    for number, item in enumerate(items):
        truth, info = item.tubes[0], probe(clips / item.video)
        if len(truth.spans) != 1:
            continue
        rng = np.random.default_rng([options.seed, number])
        tube = answered(truth, info, settings, rng)
        filled = fill_tubes([tube], truth.times, settings["fill"], info)[0]
        overlap = float(box_iou(filled, truth.boxes).mean())
        centre = (filled[:, :2] + filled[:, 2:]) / 2
        steps = np.abs(np.diff(centre, 2, axis=0)).mean(axis=1)  # NaN where the object is hidden
        jitter = float(steps[np.isfinite(steps)].mean()) if np.isfinite(steps).any() else 0.0
        scores = {"v_iou": overlap, "jitter": jitter, "boxes": len(tube.times)}
        values.append((item.id, item.video, scores))
    options.out.mkdir(parents=True, exist_ok=True)
    names = ("v_iou", "jitter", "boxes")
    metrics = {name: float(np.mean([one[name] for _, _, one in values])) for name in names}
    (options.out / "metrics.json").write_text(json.dumps(metrics) + "\n")
    with open(options.out / "items.jsonl", "w") as file:
        for item, video, one in values:
            for name in names:
                file.write(json.dumps({"metric": name, "item": item, "video": video, "value": one[name]}) + "\n")


if __name__ == "__main__":
    main()
