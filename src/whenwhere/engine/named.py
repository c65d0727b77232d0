"""The engines by their names."""

from whenwhere.engine.cluster import open_cluster
from whenwhere.engine.processes import ProcessWorker
from whenwhere.engine.scheduler import Engine, own_cores
from whenwhere.errors import SettingError, did_you_mean

NAMES = ("local", "ray")


def open_engine(name: str, workers: int | None = None, gpu: bool = False) -> Engine:
    """Open an engine by its name.

    Args:
        name: `local` for processes on this machine, or `ray`: the cluster that $RAY_ADDRESS names, or else one on this
            machine for as long as the engine is open. Videos and outputs must have the same paths on all its machines.
        workers: Number of workers; None takes as many as there are cores.
        gpu: Whether each Ray worker needs an accelerator, where the cluster has any.

    Raises:
        SettingError: There is no such engine, the number is not positive, or the cluster cannot be reached.
        MissingExtraError: Ray is not installed.
    """
    if name not in NAMES:
        raise SettingError(f"there is no engine {name!r}{did_you_mean(name, NAMES)}")
    if workers is not None and workers < 1:
        raise SettingError(f"workers is {workers} and must be at least 1")
    if name == "ray":
        return open_cluster(workers, gpu)
    count = workers or own_cores()
    return Engine(count, lambda: ProcessWorker(max(1, own_cores() // count)))
