"""Workers that are actors of a Ray cluster.

A cluster that is started here lives as long as the engine. It listens on this machine alone, has no dashboard, and
reports nothing to Ray's makers. Without that, Ray would listen on the machine's address in the network, where anybody
who can reach it may run programs.
"""

import logging
import os
from contextlib import suppress
from typing import Any

from whenwhere.engine.scheduler import Engine, TaskRunner, WorkerDiedError, own_cores
from whenwhere.errors import MissingExtraError, SettingError
from whenwhere.video.read import limit_cores

#: Bytes of Ray's store of objects. Videos stay files, so that results are small.
_RESULTS = 128 << 20
#: How often the start of a cluster is tried: on a busy machine Ray may give up after 30 seconds.
_STARTS = 3
#: With "0", Ray listens on this machine's own address alone, on every system; it reads that once, when it is imported.
_HERE_ALONE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


class ClusterActor:
    """The Ray actor of a worker.

    Args:
        folder: Working folder of the caller, which relative paths start from.
    """

    def __init__(self, folder: str) -> None:
        with suppress(OSError):
            os.chdir(folder)
        limit_cores(1)
        self._runner = TaskRunner()

    def run(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        """Carry out a task (`TaskRunner`)."""
        return self._runner(made, task)


class ClusterWorker:
    """A Ray actor that carries out tasks.

    Args:
        actor: The actor's class, as `ray.remote` made it.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor.remote(os.getcwd())

    def call(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        """Do a task and wait for it (`EngineWorker`)."""
        import ray

        try:
            answer: tuple[Any, Exception | None] = ray.get(self._actor.run.remote(made, task))
        except ray.exceptions.RayTaskError as e:
            return None, RuntimeError(f"a Ray worker cannot send its result: {e}")
        except (ray.exceptions.RayError, RuntimeError) as e:
            raise WorkerDiedError(f"a Ray worker ended: {e}") from e
        return answer

    def close(self) -> None:
        """End the actor, whatever it is doing."""
        import ray

        with suppress(Exception):
            ray.kill(self._actor)


def open_cluster(workers: int | None, gpu: bool) -> Engine:
    """Open an engine on a Ray cluster: the one that is connected to, the one that $RAY_ADDRESS names, or a new one.

    Args:
        workers: Number of workers; None takes one for each core of the cluster, or each accelerator.
        gpu: Whether each worker needs an accelerator, where the cluster has any.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingError: The cluster cannot be reached or started.
    """
    ray, ours = connect(workers, "the engine ray")
    there = ray.cluster_resources()
    cards = int(there.get("GPU", 0)) if gpu else 0
    actor = ray.remote(num_cpus=0 if cards else 1, num_gpus=1 if cards else 0, max_restarts=0)(ClusterActor)
    count = workers or cards or max(1, int(there.get("CPU", 1)))
    return Engine(count, lambda: ClusterWorker(actor), ray.cloudpickle.dumps, ray.shutdown if ours else lambda: None)


def connect(workers: int | None, purpose: str) -> tuple[Any, bool]:
    """Connect to a Ray cluster: the one that is connected to, the one that $RAY_ADDRESS names, or a new one.

    A new one listens on the loopback alone, without a dashboard and without reports of its use.

    Args:
        workers: Number of CPUs of a new cluster; None takes the cores of this machine.
        purpose: What the cluster is for, for the message.

    Returns:
        The module `ray`, and whether this call connected, so that the caller should disconnect.

    Raises:
        MissingExtraError: Ray is not installed.
        SettingError: The cluster cannot be reached or started.
    """
    elsewhere = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not elsewhere:
        os.environ.setdefault(_HERE_ALONE, "0")
    try:
        import ray
    except ImportError as e:
        raise MissingExtraError("ray", "ray", purpose) from e
    ours = not ray.is_initialized()
    if ours:
        how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if not elsewhere:
            how |= {
                "num_cpus": workers or own_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1",
                "object_store_memory": _RESULTS,
            }  # fmt: skip
        address = _connected(ray, how, f"at {elsewhere}" if elsewhere else "of this machine")
        if not elsewhere and address not in ("127.0.0.1", "::1"):
            ray.shutdown()
            raise SettingError(
                f"Ray listens on {address} instead of this machine alone, because it was imported before: set "
                f"{_HERE_ALONE}=0 before `import ray`, or start a cluster yourself"
            )
    return ray, ours


def _connected(ray: Any, how: dict[str, Any], which: str) -> str:
    """Connect, and tell the address of this machine in the cluster."""
    for attempt in range(_STARTS):
        try:
            return str(ray.init(**how).address_info["node_ip_address"])
        except Exception as e:
            ray.shutdown()
            if attempt == _STARTS - 1:
                raise SettingError(
                    f"the Ray cluster {which} cannot be used ({' '.join(str(e).split())[:200]}): see `ray status`, or "
                    "use --engine local"
                ) from e
    raise AssertionError
