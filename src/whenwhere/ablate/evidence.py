"""What the cells of a study show: values by arm and seed, checked before anything is concluded from them.

Three faults would make a table that looks right and is wrong, so they are refused with a sentence:

- cells of different code, or of two arms on different data, that are compared;
- arms measured on different items;
- a metric that is not the mean of its items, so that nobody could recompute it.
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from whenwhere.ablate.cells import Cell, read_cells
from whenwhere.ablate.study import Study, StudyArm, StudyMetric
from whenwhere.errors import RecordError
from whenwhere.evaluate.item_values import read_item_values

#: Largest distance between a metric and the mean of its items, relative to the metric where it is above 1. Evaluators
#: may round to four decimals.
ROUNDED = 1e-4
#: What a cell cost, by the key of its metrics: heading, unit, and how much of the metric is one unit.
COSTS: dict[str, tuple[str, str, float]] = {
    "train_seconds": ("training", "min", 60.0),
    "step_seconds": ("update", "s", 1.0),
    "peak_memory_gib": ("memory", "GiB", 1.0),
    "flops": ("compute", "PFLOP", 1e15),
}


@dataclass(frozen=True)
class ItemScores:
    """The values of a metric for single items of one cell.

    Attributes:
        ids: Ids of the items, sorted.
        videos: Video of each item.
        values: Value of each item, shape (n_items,).
    """

    ids: tuple[str, ...]
    videos: tuple[str, ...]
    values: NDArray[np.float64]


class StudyEvidence:
    """The cells of a study, read and checked.

    Args:
        study: The study.
        out: Folder of its runs.
        allow_mixed: Whether cells of different code or data may be compared; `mixed` then names them.

    Attributes:
        mixed: Sentences about code or data that differ; empty unless they were allowed to.

    Raises:
        RecordError: A file cannot be read, code or data differ and may not, arms were measured on different items, or
            a metric is not the mean of its items.
    """

    def __init__(self, study: Study, out: str | os.PathLike[str], allow_mixed: bool = False) -> None:
        self.study = study
        _refuse_unpaired_seeds(study)
        self.cells = {(cell.arm, cell.seed): cell for cell in read_cells(out, study)}
        self.mixed = _differing_code(list(self.cells.values())) + self._differing_data()
        if self.mixed and not allow_mixed:
            raise RecordError(f"{self.mixed[0]}; run the older cells again, or report what is mixed with --allow-mixed")
        self._items: dict[tuple[str, int], dict[str, ItemScores]] = {}

    @cached_property
    def states(self) -> Counter[str]:
        """Number of cells by state; stages that arms share count once for each arm."""
        return Counter(cell.state for cell in self.cells.values())

    @cached_property
    def versions(self) -> dict[str, list[str]]:
        """Packages, and Python itself, of which cells that are done had several versions."""
        found: dict[str, set[str]] = {}
        for cell in self.cells.values():
            if cell.state == "done" and cell.env is not None:
                for name, version in {"Python": cell.env.python, **cell.env.packages}.items():
                    found.setdefault(name, set()).add(version)
        return {name: sorted(versions) for name, versions in found.items() if len(versions) > 1}

    def value(self, arm: StudyArm, position: int, metric: StudyMetric) -> float | None:
        """The value of a metric in one cell; None if the cell is not done or lacks the metric.

        Args:
            arm: The arm.
            position: Position of the seed among the arm's.
            metric: The metric.

        Raises:
            RecordError: The value is not the mean of its items.
        """
        if (arm.id, arm.seeds[position]) not in self.cells:
            return None
        cell = self.cells[arm.id, arm.seeds[position]]
        value = cell.metrics.get(metric.key)
        scores = self.items(arm, position, metric)
        if value is not None and scores is not None:
            mean = float(scores.values.mean())
            if abs(mean - value) > ROUNDED * max(1.0, abs(value)):
                raise RecordError(
                    f"{cell.folders[-1] / 'metrics.json'} has {metric.key} = {value:g}, but the mean of its "
                    f"{len(scores.ids)} items in items.jsonl is {mean:g}; remove {cell.folders[-1]} and run the "
                    "study again"
                )
        return value

    def items(self, arm: StudyArm, position: int, metric: StudyMetric) -> ItemScores | None:
        """The values of single items of a metric in one cell; None if the cell is not done or has none.

        Args:
            arm: The arm.
            position: Position of the seed among the arm's.
            metric: The metric.
        """
        key = (arm.id, arm.seeds[position])
        if metric.items is None or key not in self.cells or self.cells[key].state != "done":
            return None
        if key not in self._items:
            self._items[key] = _item_scores(self.cells[key], {m.items for m in self.study.metrics if m.items})
        return self._items[key].get(metric.items)

    def lacking_items(self) -> Counter[str]:
        """Number of cells that have a metric and not the declared values of its items, by the id of the metric."""
        return Counter(
            metric.id
            for arm in self.study.arms
            for metric in self.study.metrics
            for position, seed in enumerate(arm.seeds)
            if metric.items is not None
            and (arm.id, seed) in self.cells
            and metric.key in self.cells[arm.id, seed].metrics
            and self.items(arm, position, metric) is None
        )

    def differences(
        self, arm: StudyArm, other: StudyArm, metric: StudyMetric
    ) -> tuple[NDArray[np.float64], Sequence[str]] | None:
        """Differences on single items for each seed, and the items' videos.

        None if an arm has no items in some seed, or if different seeds were measured on different items: then there is
        no table of seeds by items.

        Args:
            arm: The arm.
            other: The arm that it is compared with.
            metric: The metric.

        Returns:
            An array of shape (n_seeds, n_items) and n_items videos.

        Raises:
            RecordError: The two arms were measured on different items with one seed.
        """
        rows, sets = [], set()
        planned = min(len(arm.seeds), len(other.seeds))
        for position in range(planned):
            mine, yours = (self.items(one, position, metric) for one in (arm, other))
            sets |= {(one.ids, one.videos) for one in (mine, yours) if one is not None}
            if mine is None or yours is None:
                continue
            if (mine.ids, mine.videos) != (yours.ids, yours.videos):
                names = (f"{one.id}, seed {one.seeds[position]}," for one in (arm, other))
                said = _other_items(next(names), mine, next(names), yours)
                raise RecordError(f"{metric.key}: {said}; measure both on one set")
            rows.append(mine.values - yours.values)
        if len(rows) < planned or len(sets) != 1:
            return None
        ((_, videos),) = sets
        return np.array(rows), videos

    def _differing_data(self) -> list[str]:
        """Arms that were run on other data than the arm that they are compared with, and seeds of one arm likewise."""
        found = []
        for arm in self.study.arms:
            own = self._data(arm)
            for stage, seeds in own.items():
                if len(seeds) > 1:
                    found.append(f"the seeds of {arm.id} were run on {len(seeds)} states of the data (stage {stage})")
            if arm.against is None or _names_data(arm) or _names_data(self.study.arm(arm.against)):
                continue
            other = self._data(self.study.arm(arm.against))
            for stage in own.keys() & other.keys():
                if len(own[stage] | other[stage]) > max(len(own[stage]), len(other[stage])):
                    found.append(f"{arm.id} and {arm.against} were run on different data (stage {stage})")
        return found

    def _data(self, arm: StudyArm) -> dict[str, set[str]]:
        """Hashes of the data with which the seeds of an arm were run, by the name of the stage."""
        found: dict[str, set[str]] = {}
        for seed in arm.seeds:
            cell = self.cells.get((arm.id, seed))
            if cell is not None and cell.state == "done":
                for stage, fingerprint in zip(arm.stages, cell.fingerprints, strict=False):
                    found.setdefault(stage.name, set()).add(fingerprint.partition("/")[2])
        return found


def _names_data(arm: StudyArm) -> bool:
    """Whether an arm is meant to differ in data, or sets a text that may be the name of a file."""
    return bool(arm.differences.data) or any(isinstance(value, str) for value in arm.overrides.values())


def _refuse_unpaired_seeds(study: Study) -> None:
    """Refuse arms whose first seeds are not those of the arm that they are compared with."""
    for arm in study.arms:
        other = study.baseline if arm.against is None else study.arm(arm.against)
        pairs = min(len(arm.seeds), len(other.seeds))
        if arm.kind != "a-a" and arm.funded and arm.seeds[:pairs] != other.seeds[:pairs]:
            raise RecordError(
                f"arm {arm.id!r} has the seeds {arm.seeds} and {other.id!r}, with which it is compared, {other.seeds}: "
                "give both the same first seeds in study.json"
            )


def _differing_code(cells: Sequence[Cell]) -> list[str]:
    """A sentence if cells that are done were not all run by the same code."""
    code: dict[str, str] = {}
    for cell in cells:
        for fingerprint in cell.fingerprints if cell.state == "done" else ():
            code.setdefault(fingerprint.partition("/")[0], f"{cell.arm}, seed {cell.seed}")
    if len(code) < 2:
        return []
    first, second = list(code.values())[:2]
    many = f" ({len(code)} states of the code in all)" if len(code) > 2 else ""
    return [f"the code changed between the cells ({first}) and ({second}){many}"]


def _item_scores(cell: Cell, metrics: set[str]) -> dict[str, ItemScores]:
    """The values of all items of a cell by metric."""
    found: dict[str, dict[str, tuple[str, float]]] = {}
    for folder in cell.folders:
        file = folder / "items.jsonl"
        for one in read_item_values(file):
            if one.metric not in metrics:
                continue
            values = found.setdefault(one.metric, {})
            if one.item in values:
                raise RecordError(
                    f"{file} has two values of {one.metric} for item {one.item!r}; remove {folder} and run "
                    "the study again"
                )
            values[one.item] = (one.video, one.value)
    scores = {}
    for metric, values in found.items():
        ids = tuple(sorted(values))
        videos = tuple(values[id][0] for id in ids)
        scores[metric] = ItemScores(ids, videos, np.array([values[id][1] for id in ids]))
    return scores


def _other_items(name: str, scores: ItemScores, other: str, reference: ItemScores) -> str:
    """How two sets of items differ, in words."""
    mine, yours = set(scores.ids), set(reference.ids)
    if mine == yours:
        return f"{name} and {other} have the same items of different videos"
    only = sorted(mine ^ yours)[0]
    same = len(mine & yours)
    return f"{name} has {len(mine)} items and {other} {len(yours)}, of which {same} are the same (not {only!r})"


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation between seeds; None without enough values.

    Args:
        values: One value for each seed.

    >>> mean_and_spread([1.0, 3.0]), mean_and_spread([2.0]), mean_and_spread([])
    ((2.0, 1.4142135623730951), (2.0, None), (None, None))
    """
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
