"""Cells: the files of one stage of an arm, run with one seed.

    OUT/cells/<stage hash>/<seed>/
        cell.json      what is run: stage, seed and configuration
        env.json       what it was run with: code, packages, data, machine
        status.json    whether it waits, runs, is done or has failed, and why
        metrics.json   {key: number}; evaluators' metrics are named <evaluator>/<metric>, such as retrieval/t2v-R@1
        items.jsonl    {"metric", "item", "video", "value"}: values of single items, where there are any
        log.txt        what the process printed
        work/          files of the run itself

Files are the truth; there is no other record of a run. `read_cells` puts the stages of each arm and seed together.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from whenwhere.ablate.documents import Document, read_document
from whenwhere.ablate.study import Study, StudyArm
from whenwhere.errors import RecordError
from whenwhere.evaluate.item_values import ItemValue, read_item_values
from whenwhere.readers import quoted, read_json
from whenwhere.store import write_text

State = Literal["waiting", "running", "done", "failed"]

#: What is to be done about a finished cell whose numbers cannot be used.
AGAIN = "run the study again, which makes the cell anew"


class CellSpec(Document):
    """What a cell runs: everything that the process needs to run it.

    Attributes:
        stage: Name of the stage.
        kind: Whether a recipe is trained, a trained model is measured, or a command is run.
        hash: Hash of the stage.
        seed: The seed.
        recipe: Name or path of the recipe; None for a command.
        preset: Preset of the recipe.
        settings: Overrides of the recipe or the command, those that depend on the seed included.
        into: Key of the recipe that is set to the checkpoint of an earlier training; None if there is none.
        checkpoint: Cell of that training, `hash/seed`.
        run: Cell of the training whose model is measured, `hash/seed`.
        command: Words of the command; empty for a recipe.
        override: How one override is written in the command, with {key} and {value}.
        metrics_file: File with the metrics that the command writes.
        items_file: File with values of single items that the command writes.
        files: Files on whose content the result depends.
        device: Device to compute on; None for the best one available.
        config: The resolved configuration, for people who compare cells.
    """

    stage: str
    kind: Literal["train", "evaluate", "command"]
    hash: str
    seed: int
    recipe: str | None = None
    preset: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    into: str | None = None
    checkpoint: str | None = None
    run: str | None = None
    command: list[str] = Field(default_factory=list)
    override: str = "{key}={value}"
    metrics_file: str = "metrics.json"
    items_file: str | None = None
    files: list[str] = Field(default_factory=list)
    device: str | None = None
    config: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the cell: `hash/seed`."""
        return f"{self.hash}/{self.seed}"

    @property
    def needs(self) -> list[str]:
        """Names of the cells that must be done before this one."""
        return [name for name in (self.checkpoint, self.run) if name is not None]


class CellStatus(Document):
    """How far a cell is.

    Attributes:
        state: Whether the cell waits, runs, is done or has failed.
        pid: Id of the process that runs it, on the machine with this boot id.
        boot_id: Id of the machine since its last start, so that a process id of another machine or of an earlier start
            is not taken for a running process.
        host: Name of the machine.
        heartbeat: Seconds since 1970 when the process last said that it is alive.
        started: Seconds since 1970 when it began.
        ended: Seconds since 1970 when it ended.
        exit: Exit status of the process; minus the number of the signal if one ended it.
        reason: Why the cell failed, as a sentence; "" if it did not.
    """

    state: State = "waiting"
    pid: int | None = None
    boot_id: str | None = None
    host: str | None = None
    heartbeat: float | None = None
    started: float | None = None
    ended: float | None = None
    exit: int | None = None
    reason: str = ""


class CellEnvironment(Document):
    """What a cell was run with.

    Attributes:
        code: Hash of the program; comments and docstrings of whenwhere do not count.
        data: Hash of the files that the result depends on.
        git: Commit of the code, with `+` if files differed from it; empty where there is no repository.
        packages: Versions of the packages that numbers depend on.
        python: Version of Python.
        machine: Processor, number of cores, and accelerator.
        host: Name of the machine.
    """

    code: str = ""
    data: str = ""
    git: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    python: str = ""
    machine: str = ""
    host: str = ""

    @property
    def fingerprint(self) -> str:
        """Hashes of code and data, `code/data`; cells with different fingerprints are not compared."""
        return f"{self.code}/{self.data}"


@dataclass(frozen=True)
class Cell:
    """One arm with one seed, all stages together.

    Attributes:
        arm: Id of the arm.
        seed: The seed.
        state: `failed` if any stage failed, `done` if all stages are done, else `running` or `waiting`.
        reason: Why it failed, as a sentence; "" if it did not.
        metrics: Metrics by key; empty unless the cell is done. Where two stages have the same key, the later one
            counts; `train_seconds`, `flops` and `seconds` are added up, and of `peak_memory_gib` the largest counts.
        fingerprints: Fingerprint of code and data of each stage that has one.
        folders: Folder of each stage.
        env: Environment of the last stage that has one.
    """

    arm: str
    seed: int
    state: State
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    fingerprints: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    env: CellEnvironment | None = None

    def items(self, metric: str) -> Iterator[ItemValue]:
        """Iterate over the values of single items of a metric, in the order of the files.

        Args:
            metric: Key of the metric.

        Raises:
            RecordError: A line cannot be read; the message names the file and the line.
        """
        for folder in self.folders:
            yield from (one for one in read_item_values(folder / "items.jsonl") if one.metric == metric)


def cell_folder(out: str | os.PathLike[str], stage_hash: str, seed: int) -> Path:
    """The folder of a cell.

    Args:
        out: Folder of the study's runs.
        stage_hash: Hash of the stage.
        seed: The seed.
    """
    return Path(out) / "cells" / stage_hash / str(seed)


def read_cells(out: str | os.PathLike[str], study: Study) -> list[Cell]:
    """The cells of a study: one for each funded arm and seed, in the order of the study, whether or not they were run.

    Args:
        out: Folder of the study's runs.
        study: The study.

    Raises:
        RecordError: A file of a cell cannot be read or is not what it should be; the message names it.
    """
    return [read_cell(out, arm, seed) for arm in study.arms if arm.funded for seed in arm.seeds]


def read_cell(out: str | os.PathLike[str], arm: StudyArm, seed: int) -> Cell:
    """The cell of one arm and seed, as its files show it.

    Args:
        out: Folder of the study's runs.
        arm: The arm.
        seed: The seed.

    Raises:
        RecordError: A file of the cell cannot be read or is not what it should be.
    """
    folders = tuple(cell_folder(out, stage.hash, seed) for stage in arm.stages)
    statuses = [read_status(folder) for folder in folders]
    envs = [read_env(folder) for folder in folders]
    states = [one.state for one in statuses]
    state: State
    if "failed" in states:
        state = "failed"
    elif set(states) == {"done"}:
        state = "done"
    else:
        state = "running" if "running" in states else "waiting"
    metrics: dict[str, float] = {}
    for folder in folders if state == "done" else ():
        _merge(metrics, read_metrics(folder / "metrics.json", AGAIN))
    known = [one for one in envs if one is not None]
    return Cell(
        arm.id, seed, state, next((one.reason for one in statuses if one.state == "failed"), ""), metrics,
        tuple(one.fingerprint for one in known), folders, known[-1] if known else None,
    )  # fmt: skip


def _merge(metrics: dict[str, float], more: dict[str, float]) -> None:
    for key, value in more.items():
        if key in ("train_seconds", "flops", "seconds"):
            metrics[key] = metrics.get(key, 0.0) + value
        elif key == "peak_memory_gib":
            metrics[key] = max(metrics.get(key, 0.0), value)
        else:
            metrics[key] = value


def read_status(folder: Path) -> CellStatus:
    """Read how far a cell is; one that was never begun is waiting.

    Args:
        folder: Folder of the cell.

    Raises:
        RecordError: status.json cannot be read.
    """
    file = folder / "status.json"
    if not file.exists():
        return CellStatus()
    return read_document(
        CellStatus, read_json(file, RecordError, "remove the cell's folder, and run the study again"), str(file)
    )


def read_spec(folder: Path) -> CellSpec:
    """Read what a cell runs.

    Args:
        folder: Folder of the cell.

    Raises:
        RecordError: cell.json cannot be read.
    """
    file = folder / "cell.json"
    return read_document(CellSpec, read_json(file, RecordError, "remove the cell's folder"), str(file))


def write_document(value: Document, file: Path) -> None:
    """Write a document as JSON, whole or not at all; values that are the default are left out.

    Args:
        value: The document.
        file: The file.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(file, value.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def read_env(folder: Path) -> CellEnvironment | None:
    """Read what a cell was run with; None if it was never begun.

    Args:
        folder: Folder of the cell.

    Raises:
        RecordError: env.json cannot be read.
    """
    file = folder / "env.json"
    if not file.exists():
        return None
    found = read_json(file, RecordError, "remove the cell's folder, and run the study again")
    return read_document(CellEnvironment, found, str(file))


def read_metrics(file: Path, mend: str = "write an object of finite numbers there") -> dict[str, float]:
    """Read the metrics of a metrics.json, which the program of a command writes too.

    Args:
        file: The file.
        mend: What is to be done about a file that cannot be used.

    Raises:
        RecordError: The file cannot be read, or has anything but finite numbers by name.
    """
    found = read_json(file, RecordError, mend)
    if not isinstance(found, dict):
        raise RecordError(f"{file} holds no metrics by name, such as {json.dumps({'accuracy': 0.5})}: {mend}")
    return {key: _number(value, f"{file}, {key},", mend) for key, value in found.items()}


def _number(value: Any, place: str, mend: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordError(f"{place} is {quoted(value)} and must be a finite number: {mend}")
    return float(value)
