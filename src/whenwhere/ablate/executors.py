"""Where cells run: in processes of this machine, as tasks of a Ray cluster, or as jobs of Slurm.

All three run `process.run_cells`, and nothing but files comes back, so that a study begun by one executor can be
finished by another. Machines must see the study's folder under the same path, and have the same packages.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from whenwhere.ablate.process import run_cells
from whenwhere.engine.cluster import connect
from whenwhere.errors import MissingExtraError, SettingError, did_you_mean


class Executor(Protocol):
    """Runs units of cells, several at a time."""

    def submit(self, cells: Sequence[str]) -> "RunningUnit":
        """Begins a unit: cells that run one after the other.

        Args:
            cells: The cells, `hash/seed` each.
        """
        ...

    def close(self) -> None:
        """Ends whatever still runs. Called once."""
        ...


class RunningUnit(Protocol):
    """A unit that an executor has begun."""

    def done(self) -> bool:
        """Whether the unit has ended."""
        ...

    def outcome(self) -> Exception | None:
        """The error that ended the unit, other than the failure of a cell; None if there was none.

        It may be asked once `done` is True.
        """
        ...


class FutureUnit:
    """A unit that is a future of the standard library.

    Args:
        future: The future.
    """

    def __init__(self, future: "Future[None]") -> None:
        self._future = future

    def done(self) -> bool:
        """Whether the unit has ended."""
        return self._future.done()

    def outcome(self) -> Exception | None:
        """Error of the unit that has ended."""
        error = self._future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return error


class LocalExecutor:
    """Runs units in processes of this machine.

    Args:
        out: Folder of the study's runs.
        jobs: Number of units at a time.
        timeout: Most seconds of a unit; None for no limit.
        fingerprint: Fingerprints of code and data that cells may be run with; None lets them be run with any.
        devices: Values of CUDA_VISIBLE_DEVICES, one for each job; empty leaves the variable as it is.
    """

    def __init__(
        self, out: Path, jobs: int, timeout: float | None, fingerprint: str | None, devices: Sequence[str] = ()
    ) -> None:
        self._out, self._timeout, self._fingerprint = str(out), timeout, fingerprint
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="cells")
        self._free = list(devices)  # as many as jobs, so that a unit that begins always finds one

    def submit(self, cells: Sequence[str]) -> RunningUnit:
        """Begins a unit as soon as a job is free.

        Args:
            cells: The cells.
        """
        return FutureUnit(self._pool.submit(self._run, cells))

    def _run(self, cells: Sequence[str]) -> None:
        if self._stopped.is_set():
            return
        device = self._free.pop() if self._free else None
        environment = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
        try:
            run_cells(self._out, cells, self._timeout, self._fingerprint, environment, self._stopped.is_set)
        finally:
            if device is not None:
                self._free.append(device)

    def close(self) -> None:
        """Ends the processes that still run."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)


class RayUnit:
    """A unit that is a task of Ray.

    Args:
        ray: The module.
        reference: Reference to the task's result.
    """

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray, self.reference = ray, reference

    def done(self) -> bool:
        """Whether the unit has ended."""
        ready, _ = self._ray.wait([self.reference], timeout=0)
        return bool(ready)

    def outcome(self) -> Exception | None:
        """Error of the unit that has ended."""
        try:
            self._ray.get(self.reference)
        except self._ray.exceptions.RayTaskError as e:
            return e.cause if isinstance(e.cause, Exception) else e
        except self._ray.exceptions.RayError as e:
            return SettingError(f"Ray lost a task: {str(e).splitlines()[0][:200]}; run the same command again")
        return None


class RayExecutor:
    """Runs units as tasks of a Ray cluster: that of RAY_ADDRESS or the one that runs here, else one of this machine.

    Args:
        out: Folder of the study's runs, which every machine of the cluster sees under this path.
        jobs: Number of units at a time if no cluster runs yet.
        timeout: Most seconds of a unit; None for no limit.
        fingerprint: Fingerprints of code and data that cells may be run with; None lets them be run with any.
        resources: What a unit needs: `num_cpus`, `num_gpus`, or names of the cluster's own resources.
    """

    def __init__(
        self, out: Path, jobs: int, timeout: float | None, fingerprint: str | None, resources: dict[str, float]
    ) -> None:
        ray, self._own = connect(jobs, "running cells on a Ray cluster")
        self._ray: Any = ray
        self._running: list[Any] = []
        own = {key: value for key, value in resources.items() if key not in ("num_cpus", "num_gpus")}
        known = {key: value for key, value in resources.items() if key not in own}
        # Ray must not retry: a lost machine is found by its heartbeat at the next run, so that no cell ever runs twice
        # at the same time
        self._task = ray.remote(run_cells).options(**{"num_cpus": 1, **known}, resources=own or None, max_retries=0)
        self._arguments = (str(out), timeout, fingerprint)

    def submit(self, cells: Sequence[str]) -> RunningUnit:
        """Gives a unit to the cluster.

        Args:
            cells: The cells.
        """
        out, timeout, fingerprint = self._arguments
        submit: Any = self._task.remote
        unit = RayUnit(self._ray, submit(out, list(cells), timeout, fingerprint))
        self._running.append(unit.reference)
        return unit

    def close(self) -> None:
        """Cancels the tasks that still run, and leaves the cluster."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._own:
            self._ray.shutdown()


class SlurmUnit:
    """A unit that is a job of submitit.

    Args:
        job: The job.
    """

    def __init__(self, job: Any) -> None:
        self._job = job

    def done(self) -> bool:
        """Whether the unit has ended."""
        return bool(self._job.done())

    def outcome(self) -> Exception | None:
        """Error of the unit that has ended."""
        error = self._job.exception()
        if error is None:
            return None
        text = str(error).strip().splitlines()
        if "DiskFullError" in str(error):
            from whenwhere.store import DiskFullError

            return DiskFullError("the disk is full: make room there, and run the same command again")
        return SettingError(f"a job of Slurm failed: {text[-1][:300] if text else type(error).__name__}")


class SlurmExecutor:
    """Runs units as jobs of Slurm, by submitit; where there is no Slurm, submitit runs them as processes here.

    Args:
        out: Folder of the study's runs, which every machine sees under this path.
        jobs: Number of units at a time.
        timeout: Most seconds of a unit; None for no limit.
        fingerprint: Fingerprints of code and data that cells may be run with; None lets them be run with any.
        parameters: What submitit is told, such as `slurm_partition`, `gpus_per_node` or `timeout_min`.
    """

    def __init__(
        self, out: Path, jobs: int, timeout: float | None, fingerprint: str | None, parameters: dict[str, Any]
    ) -> None:
        try:
            import submitit
        except ImportError as e:
            raise MissingExtraError("submitit", "slurm", "running cells as jobs of Slurm") from e
        cluster = None if submitit.AutoExecutor.which() == "slurm" else "local"
        self._executor = submitit.AutoExecutor(folder=str(out / "slurm"), cluster=cluster)
        minutes = {} if timeout is None else {"timeout_min": int(timeout // 60) + 5}
        try:
            self._executor.update_parameters(name="ablate", **{**minutes, **parameters})
        except (TypeError, NameError, ValueError, AssertionError) as e:
            raise SettingError(f"submitit does not take these parameters of a job: {str(e).splitlines()[0]}") from e
        self._arguments = (str(out), timeout, fingerprint)
        self._jobs: list[Any] = []

    def submit(self, cells: Sequence[str]) -> RunningUnit:
        """Gives a unit to the queue.

        Args:
            cells: The cells.
        """
        out, timeout, fingerprint = self._arguments
        job = self._executor.submit(run_cells, out, list(cells), timeout, fingerprint)
        self._jobs.append(job)
        return SlurmUnit(job)

    def close(self) -> None:
        """Cancels the jobs that still wait or run."""
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


def _local(out: Path, jobs: int, timeout: float | None, fingerprint: str | None, options: dict[str, Any]) -> Executor:
    """The executor `local`, whose only option is `devices`.

    Raises:
        SettingError: There is another option, or `devices` names fewer devices than there are jobs.
    """
    given = options.pop("devices", None)
    if options:
        raise SettingError(f"the executor local has no option {next(iter(options))!r} (the only one is devices)")
    devices = [] if given in (None, "") else [one.strip() for one in str(given).split(",")]
    if devices and len(devices) < jobs:
        raise SettingError(
            f"devices = {given} does not name a device for each of {jobs} jobs: write one for each, such as "
            "devices=0,1 (jobs may share one: devices=0,0)"
        )
    return LocalExecutor(out, jobs, timeout, fingerprint, devices)


#: What makes the executor of each name, from the folder, number of jobs, timeout, fingerprint and its own options.
EXECUTORS: dict[str, Callable[[Path, int, float | None, str | None, dict[str, Any]], Executor]] = {
    "local": _local,
    "ray": RayExecutor,
    "slurm": SlurmExecutor,
}


def make_executor(
    name: str, out: Path, jobs: int, timeout: float | None, fingerprint: str | None, options: dict[str, Any]
) -> Executor:
    """The executor of a name.

    Args:
        name: A key of `EXECUTORS`.
        out: Folder of the study's runs.
        jobs: Number of units at a time.
        timeout: Most seconds of a unit; None for no limit.
        fingerprint: Fingerprints of code and data that cells may be run with; None lets them be run with any.
        options: Options of the executor.

    Raises:
        MissingExtraError: Its package is not installed.
        SettingError: There is no such executor, or it does not take the options.
    """
    if name not in EXECUTORS:
        raise SettingError(f"there is no executor {name!r}{did_you_mean(name, EXECUTORS)}")
    return EXECUTORS[name](out.absolute(), jobs, timeout, fingerprint, dict(options))
