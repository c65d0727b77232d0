"""Ablation studies whose truth is known: study.json and cells as `whenwhere ablate run` leaves them, without training.

A cell's item has the value

    base + effect of the arm + noise of the cell (arm and seed) + noise of the item in this cell

and its metric is the mean of its items. `ablation_calibration.py` makes thousands of them, the tests a few.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whenwhere.ablate.study import StageHash, Study, StudyArm, StudyMetric, write_study

#: Metric of a study if nothing else is asked for: a share with items and a margin.
ACCURACY = StudyMetric(
    id="accuracy", heading="accuracy", key="qa/accuracy", unit="%", items="qa/accuracy", primary=True
)
ENVIRONMENT = {"code": "c0de", "data": "da7a", "machine": "two cores"}


@dataclass(frozen=True)
class World:
    """How cells vary.

    Attributes:
        base: Value of the baseline.
        seed_noise: Standard deviation of what a cell adds to all of its items.
        item_noise: Standard deviation of an item in a cell; half of its variance belongs to the video.
        videos: Number of videos.
        sentences: Number of items of each video.
    """

    base: float = 0.4
    seed_noise: float = 0.01
    item_noise: float = 0.2
    videos: int = 20
    sentences: int = 4


@dataclass
class SimulatedArm:
    """One arm of a made-up study.

    Attributes:
        id: Id of the arm; the first arm is the baseline.
        effect: What it adds to each metric, by the metric's id; 0 where none is given.
        kind: Kind of the arm.
        seeds: Its seeds.
        more: Other fields of the arm in study.json.
        missing: Seeds that are not run.
        environment: What is different in its environment.
    """

    id: str
    effect: Mapping[str, float] = field(default_factory=dict)
    kind: str = "arm"
    seeds: Sequence[int] = tuple(range(8))
    more: Mapping[str, Any] = field(default_factory=dict)
    missing: Sequence[int] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def make_study(arms: Sequence[SimulatedArm], metrics: Sequence[StudyMetric] = (ACCURACY,), **more: Any) -> Study:
    """The study of these arms.

    Args:
        arms: The arms, the baseline first.
        metrics: The metrics.
        more: Other fields of study.json.
    """
    made = []
    for number, arm in enumerate(arms):
        digest = hashlib.sha256(arm.id.encode()).hexdigest()[:16]
        fields: dict[str, Any] = {
            "id": arm.id, "label": arm.id, "kind": arm.kind if number else "baseline", "seeds": list(arm.seeds),
            "against": arms[0].id if number else None, "config_hash": digest,
            "stages": [StageHash(name="train", hash=digest)],
        }  # fmt: skip
        made.append(StudyArm(**(fields | dict(arm.more))))
    return Study(
        **({"recipe": "simulated", "arms": made, "metrics": list(metrics), "seeds": len(arms[0].seeds)} | more)
    )


def write_cells(
    out: Path,
    study: Study,
    arms: Sequence[SimulatedArm],
    rng: np.random.Generator,
    world: World = World(),
    costs: Mapping[str, float] | None = None,
) -> None:
    """Writes study.json and the cells of a study.

    Args:
        out: Folder of the study.
        study: The study of the arms.
        arms: The arms.
        rng: Source of the noise.
        world: How cells vary.
        costs: Metrics that every cell has besides, without noise of items.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_study(study, out / "study.json")
    for arm, own in zip(study.arms, arms, strict=True):
        for seed in arm.seeds if arm.funded else ():
            folder = out / "cells" / arm.stages[-1].hash / str(seed)
            # The noise of a cell that is not run is drawn all the same, so that the others stay as they are.
            metrics, items = simulate_cell(study, own, rng, world)
            if seed not in own.missing:
                write_cell(folder, metrics | dict(costs or {}), items, ENVIRONMENT | dict(own.environment))


def simulate_cell(
    study: Study, arm: SimulatedArm, rng: np.random.Generator, world: World
) -> tuple[dict[str, float], list[tuple[str, np.ndarray]]]:
    """Metrics of one cell, and the values of items of each metric that has them."""
    metrics: dict[str, float] = {}
    items = []
    part = world.item_noise * 0.5**0.5
    for metric in study.metrics:
        of_video = np.repeat(rng.normal(0, part, world.videos), world.sentences)
        values = world.base + arm.effect.get(metric.id, 0.0) + rng.normal(0, world.seed_noise) + of_video
        values = values + rng.normal(0, part, world.videos * world.sentences)
        metrics[metric.key] = float(values.mean())
        if metric.items is not None:
            items.append((metric.items, values))
    return metrics, items


def write_cell(
    folder: Path,
    metrics: Mapping[str, float],
    items: Sequence[tuple[str, np.ndarray]] = (),
    environment: Mapping[str, str] = ENVIRONMENT,
    status: Mapping[str, Any] | None = None,
) -> None:
    """Writes the files of one cell that a report reads.

    Args:
        folder: Folder of the cell.
        metrics: Its metrics.
        items: Metric and values of single items; item i belongs to video i // 4.
        environment: Its code, data and machine.
        status: How far it is; done if None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f'{{"metric": "{metric}", "item": "q{k:04d}", "video": "v{k // 4:03d}", "value": {value!r}}}\n'
        for metric, values in items
        for k, value in enumerate(values.tolist())
    ]
    (folder / "items.jsonl").write_text("".join(lines))
    (folder / "metrics.json").write_text(json.dumps(dict(metrics)))
    (folder / "env.json").write_text(json.dumps(dict(environment)))
    (folder / "status.json").write_text(json.dumps(dict(status or {"state": "done"})))
