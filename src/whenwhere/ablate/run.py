"""Runs a study: every arm with every seed, each stage once, until all cells are done or have failed.

    result = run(read_study("study.json"), "study", jobs=2)

The same call resumes: cells that are done stay, those that failed are tried again, and a training that was cut off
continues from its last state. All arms are run with one seed before the next, so that a study that ends early has the
same seeds in every arm. Files are the only record, so the process may be killed at any time; a second one in the same
folder is refused.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from whenwhere.ablate.cells import (
    AGAIN,
    CellSpec,
    CellStatus,
    State,
    read_env,
    read_metrics,
    read_status,
    write_document,
)
from whenwhere.ablate.environment import CODE, fingerprint
from whenwhere.ablate.executors import Executor, RunningUnit, make_executor
from whenwhere.ablate.machine import boot_id, hold
from whenwhere.ablate.progress import ArmProgress, RunCallback, RunProgress, RunResult
from whenwhere.ablate.stages import ArmStage, arm_stages, command_words
from whenwhere.ablate.study import Study, StudyArm, write_study
from whenwhere.errors import RecordError, SettingError, WhenwhereError
from whenwhere.readers import read_json
from whenwhere.store import DiskFullError, make_folder, write_text

#: Seconds without a heartbeat after which a cell or scheduler of another machine counts as dead.
STALE = 120.0
#: Seconds between two checks of what runs, between two reports of progress, and between two heartbeats.
LOOK, REPORT, HEARTBEAT = 0.1, 1.0, 20.0
#: How often a unit is begun whose process ends without giving its cells a status.
_ATTEMPTS = 3


@dataclass
class PlannedCells:
    """All cells that a study runs, in the order in which they are run.

    Attributes:
        specs: The cells by name, `hash/seed`.
        units: Names of the cells that run one after the other in one process: a first stage and all that need its
            result, by the name of the first.
        of_arm: Names of the cells of each arm and seed, in the order of its stages.
    """

    specs: dict[str, CellSpec] = field(default_factory=dict)
    units: dict[str, list[str]] = field(default_factory=dict)
    of_arm: dict[tuple[str, int], list[str]] = field(default_factory=dict)


def run(
    study: Study,
    out: str | Path,
    executor: str = "local",
    jobs: int = 1,
    *,
    timeout: float | None = None,
    allow_mixed: bool = False,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    callback: RunCallback | None = None,
) -> RunResult:
    """Run a study, or resume it.

    Args:
        study: The study, as `check` made it.
        out: Folder of the study's runs; it may hold cells of other studies too, which are shared where they are equal.
        executor: Where cells run: `local`, `ray` or `slurm`.
        jobs: Number of processes at a time.
        timeout: Most seconds of one process, which trains a model and measures it; None for no limit.
        allow_mixed: Whether cells may have been run with different code or data. The report will say so.
        device: Device to compute on; None for the best one available.
        options: Options of the executor: `devices` of local (CUDA devices for the jobs, such as "0,1"); what a task
            needs of ray (`num_cpus`, `num_gpus`, ...); parameters of submitit for slurm.
        callback: Receives progress, failures and messages.

    Raises:
        DiskFullError: The disk is full. What is done is kept; the same call resumes.
        MissingExtraError: The package of the executor is not installed.
        SettingError: The study was changed by hand so that it no longer fits, another process runs in the folder, or
            code or data differ from those of cells that are done.
    """
    folder = Path(out)
    if jobs < 1:
        raise SettingError(f"jobs is {jobs} and must be at least 1")
    if timeout is not None and not timeout > 0:
        raise SettingError(f"timeout is {timeout:g} and must be above 0 seconds")
    if not any(arm.funded and arm.seeds for arm in study.arms):
        raise SettingError(
            "the study has no funded arm with a seed, so there is nothing to run: check with a larger budget"
        )
    make_folder(folder)
    with _only_scheduler(folder):
        planned = plan_cells(study, device)
        _set_damaged_aside(folder, planned, callback or RunCallback())
        fingerprints = _fingerprints(folder, planned)
        if not allow_mixed:
            _refuse_mixed(folder, planned, fingerprints)
        for name, spec in planned.specs.items():
            if read_status(folder / "cells" / name).state != "done":
                write_document(spec, folder / "cells" / name / "cell.json")
        write_study(study, folder / "study.json")
        expected = None if allow_mixed else ",".join(sorted(set(fingerprints.values())))
        begun = make_executor(executor, folder, jobs, timeout, expected, dict(options or {}))
        scheduler = Scheduler(study, folder, planned, begun, jobs, callback or RunCallback())
        try:
            return scheduler.run()
        finally:
            begun.close()
            scheduler.requeue()


def plan_cells(study: Study, device: str | None = None) -> PlannedCells:
    """The cells of a study in the order in which they are run: seed by seed, arms in the order of the study.

    Args:
        study: The study.
        device: Device to compute on; None for the best one available.

    Raises:
        SettingError: An arm's values no longer give the stages that the study lists.
    """
    funded = [arm for arm in study.arms if arm.funded]
    stages = {arm.id: arm_stages(study, arm) for arm in funded}
    planned = PlannedCells()
    for position in range(max((len(arm.seeds) for arm in funded), default=0)):
        for arm in funded:
            if position < len(arm.seeds):
                _plan_arm(study, arm, stages[arm.id], arm.seeds[position], device, planned)
    return planned


def _plan_arm(
    study: Study, arm: StudyArm, stages: list[ArmStage], seed: int, device: str | None, planned: PlannedCells
) -> None:
    before: CellSpec | None = None
    unit = planned.units.setdefault(f"{stages[0].hash}/{seed}", [])
    for stage in stages:
        spec = make_spec(study, stage, seed, before, device)
        planned.specs.setdefault(spec.name, spec)
        planned.of_arm.setdefault((arm.id, seed), []).append(spec.name)
        if spec.name not in unit:
            unit.append(spec.name)
        before = spec


def make_spec(study: Study, stage: ArmStage, seed: int, before: CellSpec | None, device: str | None) -> CellSpec:
    """Describe what one cell runs.

    Args:
        study: The study.
        stage: The stage.
        seed: The seed.
        before: The cell of the stage before; None for the first stage.
        device: Device to compute on; None for the best one available.
    """
    spec = CellSpec(
        stage=stage.name, kind=stage.kind, hash=stage.hash, seed=seed, recipe=stage.recipe, preset=stage.preset,
        settings=stage.settings(seed), into=stage.into, files=study.files, device=device,
        config=None if stage.config is None else dict(stage.config),
    )  # fmt: skip
    if study.command is not None:
        spec.command = command_words(study.command, study.folder)
        spec.override, spec.metrics_file, spec.items_file = study.override, study.metrics_file, study.items_file
    elif before is not None and stage.kind == "train":
        spec.checkpoint = before.name
    elif before is not None:
        spec.run, spec.checkpoint = before.name, before.checkpoint
    return spec


def _fingerprints(out: Path, planned: PlannedCells) -> dict[str, str]:
    """Fingerprints of the code and data with which the cells of each stage would be run now, by the stage's hash."""
    return {
        spec.hash: fingerprint(spec, out / CODE) for spec in {one.hash: one for one in planned.specs.values()}.values()
    }


def _set_damaged_aside(out: Path, planned: PlannedCells, callback: RunCallback) -> None:
    """Rename the status of cells whose status or metrics cannot be read, so that these are run again."""
    for name in planned.specs:
        folder = out / "cells" / name
        try:
            if read_status(folder).state == "done":
                read_metrics(folder / "metrics.json", AGAIN)
        except RecordError as e:
            shutil.move(folder / "status.json", folder / "status.damaged")
            callback.on_message(f"{e}: it is run again")


def _refuse_mixed(out: Path, planned: PlannedCells, now: Mapping[str, str]) -> None:
    """Refuse a folder with cells that were run with other code or data.

    Args:
        out: Folder of the study's runs.
        planned: The cells of the study.
        now: Fingerprints with which cells would be run now, by the stage's hash.

    Raises:
        SettingError: There are such cells.
    """
    other: dict[str, list[str]] = {"code": [], "data": []}
    for name, spec in planned.specs.items():
        env = read_env(out / "cells" / name) if read_status(out / "cells" / name).state == "done" else None
        if env is not None:
            code, _, data = now[spec.hash].partition("/")
            if env.code != code:
                other["code"].append(name)
            elif env.data != data:
                other["data"].append(name)
    for what, cells in other.items():
        if cells:
            raise SettingError(
                f"{len(cells)} cells in {out} were run with other {what} than there is now (the first is "
                f"{cells[0]}): take the change back, choose another --out, or add --allow-mixed, which the report shows"
            )


@contextmanager
def _only_scheduler(out: Path) -> Iterator[None]:
    """Refuse to run where another scheduler runs, on this machine or on another that sees the folder.

    Raises:
        SettingError: Another scheduler runs there.
    """
    file = out / "scheduler.json"
    with hold(out / "scheduler.lock") as held:
        try:
            there = read_json(file) if file.exists() else {}
        except RecordError:
            there = {}
        there = there if isinstance(there, dict) else {}
        beat = there.get("heartbeat", 0)
        elsewhere = there.get("boot_id") not in (None, boot_id()) and time.time() - float(beat) < STALE
        if not held or elsewhere:
            raise SettingError(
                f"process {there.get('pid', '?')} on {there.get('host', 'this machine')} runs a study in {out} "
                "already: wait for it, or choose another --out"
            )
        _heartbeat(out)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _heartbeat(out: Path) -> None:
    """Write which process schedules cells in a folder, and that it is alive now."""
    entry = {"pid": os.getpid(), "host": platform.node(), "boot_id": boot_id(), "heartbeat": time.time()}
    write_text(out / "scheduler.json", json.dumps(entry) + "\n")


def is_abandoned(folder: Path, status: CellStatus) -> bool:
    """Whether no process runs a cell any more whose status says that it is running.

    Args:
        folder: Folder of the cell.
        status: Its status.
    """
    if status.boot_id != boot_id():
        return time.time() - (status.heartbeat or 0.0) > STALE
    with hold(folder / "lock") as free:
        return free


class Scheduler:
    """Gives units to an executor until all cells are done or have failed.

    Args:
        study: The study.
        out: Folder of its runs.
        planned: Its cells.
        executor: Runs the units.
        jobs: Most units that run at the same time.
        callback: Receives progress and failures.
    """

    def __init__(
        self, study: Study, out: Path, planned: PlannedCells, executor: Executor, jobs: int, callback: RunCallback
    ) -> None:
        self._study, self._out, self._planned = study, out, planned
        self._executor, self._jobs, self._callback = executor, jobs, callback
        self._states: dict[str, State] = {}
        self._reasons: dict[str, str] = {}
        self._seconds: dict[str, list[float]] = {}
        self._attempts: dict[str, int] = {}
        self._running: dict[str, RunningUnit] = {}
        self._began = time.monotonic()
        self._labels = {arm.id: arm.label for arm in study.arms}
        self._costs = {arm.stages[0].hash: arm.cost_seconds for arm in study.arms}
        self._told: set[tuple[str, int]] = set()

    def run(self) -> RunResult:
        """Run until nothing is left that can be run.

        Returns:
            How many cells are done, and why others failed.

        Raises:
            DiskFullError: The disk is full.
        """
        for name in self._planned.specs:
            self._look(name)
            if self._states[name] == "failed":  # tried again
                self._set(name, CellStatus())
        waiting = [unit for unit, cells in self._planned.units.items() if not self._ended(cells)]
        reported = lived = 0.0
        while waiting or self._running:
            now = time.monotonic()
            if now - lived > HEARTBEAT:
                lived = now
                _heartbeat(self._out)
            self._begin(waiting)
            changed = self._settle(waiting)
            if changed or now - reported > REPORT:
                reported = now
                self._report()
            if not changed:
                time.sleep(LOOK)
        self._report()
        failures = [
            (arm, seed, next(self._reasons.get(name, "") for name in names if self._states[name] == "failed"))
            for (arm, seed), names in self._planned.of_arm.items()
            if self._state(names) == "failed"
        ]
        done = sum(self._state(names) == "done" for names in self._planned.of_arm.values())
        return RunResult(len(self._planned.of_arm), done, failures, time.monotonic() - self._began)

    def requeue(self) -> None:
        """Set cells back to waiting whose status says that they are running although no process runs them."""
        for name in self._planned.specs:
            folder = self._out / "cells" / name
            try:
                status = read_status(folder)
                if status.state == "running" and is_abandoned(folder, status):
                    write_document(CellStatus(), folder / "status.json")
            except WhenwhereError:
                continue

    def _begin(self, waiting: list[str]) -> None:
        """Begin units while jobs are free; those that another process still runs are left for later."""
        for unit in list(waiting):
            if len(self._running) >= self._jobs:
                return
            for name in self._planned.units[unit]:
                self._look(name)
            # a cell that ended its process is not begun again, so that those after it in the unit get their turn
            cells = [name for name in self._planned.units[unit] if not self._ended([name])]
            if not cells:
                waiting.remove(unit)
            elif not any(self._states[name] == "running" for name in cells):
                waiting.remove(unit)
                self._running[unit] = self._executor.submit(cells)

    def _settle(self, waiting: list[str]) -> bool:
        """Read what became of the units that have ended; whether there are any.

        Raises:
            DiskFullError: The disk is full.
        """
        ended = [unit for unit, running in self._running.items() if running.done()]
        for unit in ended:
            error = self._running.pop(unit).outcome()
            cells = self._planned.units[unit]
            for name in cells:
                self._look(name)
            if isinstance(error, DiskFullError):
                done = sum(self._state(names) == "done" for names in self._planned.of_arm.values())
                raise DiskFullError(f"{error} ({done} of {len(self._planned.of_arm)} cells are done and kept)")
            if error is not None:
                self._fail(cells, str(error))
            if not self._ended(cells):
                self._attempts[unit] = self._attempts.get(unit, 0) + 1
                if self._attempts[unit] >= _ATTEMPTS and not any(self._states[name] == "running" for name in cells):
                    self._fail(
                        cells, f"its process ended {_ATTEMPTS} times without a reason: see log.txt in the cell's folder"
                    )
                else:
                    waiting.append(unit)
            self._tell_failures(cells)
        return bool(ended)

    def _fail(self, cells: list[str], reason: str) -> None:
        """Give the first cell of a unit that could still run a failed status."""
        name = next(
            (one for one in cells if self._states[one] not in ("done", "failed") and not self._blocked(one)), None
        )
        if name is not None:
            self._set(name, CellStatus(state="failed", reason=reason, ended=time.time()))

    def _ended(self, cells: list[str]) -> bool:
        """Whether nothing of a unit can be run any more: its cells are done, have failed, or need one that has."""
        return all(self._states[name] in ("done", "failed") or self._blocked(name) for name in cells)

    def _blocked(self, name: str) -> bool:
        """Whether a cell needs the result of one that has failed."""
        needs = self._planned.specs[name].needs
        return any(self._states[need] == "failed" or self._blocked(need) for need in needs)

    def _look(self, name: str) -> State:
        """Read the state of a cell from its files; one that was abandoned is set back to waiting."""
        folder = self._out / "cells" / name
        status = read_status(folder)
        if status.state == "running" and is_abandoned(folder, status):
            status = CellStatus()
            self._set(name, status)
        if status.state == "done" and status.started and status.ended and self._states.get(name) not in (None, "done"):
            self._seconds.setdefault(self._planned.specs[name].hash, []).append(status.ended - status.started)
        self._states[name] = status.state
        self._reasons[name] = status.reason
        return status.state

    def _set(self, name: str, status: CellStatus) -> None:
        """Write the status of a cell."""
        write_document(status, self._out / "cells" / name / "status.json")
        self._states[name], self._reasons[name] = status.state, status.reason

    def _state(self, names: list[str]) -> State:
        """The state of an arm with one seed, from the states of its stages."""
        states = [self._states[name] for name in names]
        if "failed" in states:
            return "failed"
        if all(state == "done" for state in states):
            return "done"
        return "running" if "running" in states else "waiting"

    def _tell_failures(self, cells: list[str]) -> None:
        """Report each arm and seed of which one of these cells has failed, once."""
        for (arm, seed), names in self._planned.of_arm.items():
            failed = [name for name in names if name in cells and self._states[name] == "failed"]
            if failed and (arm, seed) not in self._told:
                self._told.add((arm, seed))
                self._callback.on_failure(arm, seed, self._reasons[failed[0]])

    def _report(self) -> None:
        """Report how far the study is."""
        running = []
        for unit in self._running:
            running += [name for name in self._planned.units[unit] if self._look(name) == "running"]
        arms: dict[str, ArmProgress] = {}
        for (arm, seed), names in self._planned.of_arm.items():
            arms.setdefault(arm, ArmProgress(arm, self._labels[arm])).states[seed] = self._state(names)
        elapsed = time.monotonic() - self._began
        self._callback.on_progress(RunProgress(list(arms.values()), elapsed, self._left(), tuple(running)))

    def _left(self) -> float | None:
        """Estimated seconds until the end, from the cells that are done or from the costs that checking measured."""
        known = [seconds for found in self._seconds.values() for seconds in found]
        left = 0.0
        for unit, cells in self._planned.units.items():
            if self._ended(cells):
                continue
            cost = self._costs.get(unit.partition("/")[0])
            own = [self._seconds.get(self._planned.specs[name].hash) for name in cells if self._states[name] != "done"]
            if all(own):
                left += sum(mean(found) for found in own if found)
            elif cost is not None:
                left += cost
            elif known:
                left += mean(known) * len(own)
            else:
                return None
        return left / self._jobs
