"""Studies of the program in `ablation_script`, which needs no torch, for tests of checking and running."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import ablation_script

from whenwhere.ablate import worker
from whenwhere.ablate.binding_records import Bindings, BoundArm, BoundItem, BoundMetric
from whenwhere.ablate.cells import read_cells, read_spec, read_status
from whenwhere.ablate.executors import FutureUnit
from whenwhere.ablate.knobs import Seeding
from whenwhere.ablate.stages import salted, stages_of
from whenwhere.ablate.study import StageHash, Study, StudyArm, StudyMetric
from whenwhere.store import DiskFullError


def program(folder: Path) -> str:
    """Writes the program into a folder; returns the command that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text(ablation_script.PROGRAM, encoding="utf-8")
    return f"{sys.executable} -S -E train.py {{overrides}}"


def study(folder: Path, arms: dict[str, dict[str, Any]], seeds: int = 2, **changes: Any) -> Study:
    """A study of the program: the baseline and some arms, each with its overrides; names may end in `:kind`."""
    first: dict[str, Any] = {"command": program(folder), "folder": str(folder), "items_file": "items.jsonl",
                             "seeding": {"seed": Seeding()}, "base": {"signal": True, "size": 8}}  # fmt: skip
    metrics = [StudyMetric(id="accuracy", heading="accuracy", key="accuracy", unit="%", primary=True),
               StudyMetric(id="right", heading="right", key="right", items="right")]  # fmt: skip
    stub = StudyArm(id="stub", label="", kind="baseline", config_hash="", seeds=[], stages=[_stage("0" * 20)])
    made = Study(arms=[stub], metrics=metrics, seeds=seeds, **(first | changes))
    found = []
    for name, overrides in {"base:baseline": {}, **arms}.items():
        id, _, kind = name.partition(":")
        kind = kind or "arm"
        stages = [_stage(one.hash) for one in salted(stages_of(made, overrides), kind, id)]
        own = list(range(100, 100 + seeds)) if kind == "a-a" else list(range(seeds))
        found.append(
            StudyArm(id=id, label=id, kind=kind, overrides=overrides, against=None if kind == "baseline" else "base",
                     config_hash=stages[-1].hash, stages=stages, seeds=own)  # type: ignore[arg-type]
        )  # fmt: skip
    return Study(arms=found, metrics=metrics, seeds=seeds, **(first | changes))


def _stage(hash: str) -> StageHash:
    return StageHash(name="command", hash=hash)


def bindings(*items: tuple[str, list[dict[str, Any]]], metrics: Sequence[str] = ("acc",), **how: Any) -> Bindings:
    """Bindings of items: knob and arms, each with its overrides; a label and more may be given."""
    made = []
    for number, (knob, arms) in enumerate(items, 1):
        own = [
            BoundArm.model_validate({"label": ", ".join(f"{k}={v}" for k, v in one.get("overrides", one).items()),
                                     "order": place, **(one if "overrides" in one else {"overrides": one})})
            for place, one in enumerate(arms)
        ]  # fmt: skip
        made.append(
            BoundItem(id=f"item-{number}", name=f"Item {number}", part=knob, action="REPLACE", status="bound",
                      knob=knob, by="alias", arms=own, **how)
        )  # fmt: skip
    bound = [BoundMetric(heading=one, status="bound", metric=one, by="alias") for one in metrics]
    return Bindings(knobs="knobs.toml", items=made, metrics=bound)


def numbers(out: Path, made: Study) -> dict[str, Any]:
    """Metrics and item values of every cell, without times."""
    return {
        f"{cell.arm} {cell.seed}": (
            cell.state,
            {key: value for key, value in cell.metrics.items() if key in ("accuracy", "right")},
            [(one.item, one.value) for one in cell.items("right")],
        )
        for cell in read_cells(out, made)
    }  # fmt: skip


class InlineExecutor:
    """Runs cells in the process of the test, which has imported everything already."""

    def __init__(self, out: Path, *_: object) -> None:
        self.out = out

    def submit(self, cells: Sequence[str]) -> Any:
        """Runs the cells at once."""
        error: Exception | None = None
        for cell in cells:
            folder = self.out / "cells" / cell
            spec = read_spec(folder)
            try:
                if all(read_status(self.out / "cells" / need).state == "done" for need in spec.needs):
                    worker.run_in(spec, self.out, folder, os.getppid())
            except DiskFullError as e:
                error = e
        done: Future[None] = Future()
        done.set_exception(error) if error else done.set_result(None)
        return FutureUnit(done)

    def close(self) -> None:
        """Nothing is left to end."""
