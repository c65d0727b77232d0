"""The machine that a run is planned for: which device, how much memory it has, how many processes share the work."""

import os
from dataclasses import dataclass

from whenwhere.errors import SettingError

GIB = 1024.0**3


@dataclass(frozen=True)
class Machine:
    """A machine that a run is planned for.

    Attributes:
        device: Device that the policy's inputs are prepared on. None means the best one available.
        accelerator: Whether passes run on an accelerator, and not on the CPU.
        memory: Bytes of memory of each device. None means unknown.
        processes: Number of processes, each with a device of its own.
    """

    device: str | None = None
    accelerator: bool = False
    memory: float | None = None
    processes: int = 1


def find_machine(
    device: str | None = None, processes: int | None = None, device_memory: float | None = None, planned: int = 1
) -> Machine:
    """This machine, or another one that a run is planned for.

    Args:
        device: Device to train on. None means the best one available.
        processes: Number of processes. None means as many as were started, or `planned` if this one was started alone.
        device_memory: Memory of each device in GiB, to plan for other devices than those of this machine.
        planned: Number of processes that the recipe is meant for.

    Raises:
        SettingError: A number is not positive.
    """
    if processes is not None and processes < 1:
        raise SettingError(f"there must be at least one process, not {processes}")
    if device_memory is not None and not device_memory > 0:
        raise SettingError(f"the memory of a device is a number of GiB above 0, not {device_memory:g}")
    count = processes or int(os.environ.get("WORLD_SIZE", "0") or 0) or planned
    on_cpu = device is not None and device.startswith("cpu")
    if device_memory is not None:
        return Machine(device, not on_cpu, device_memory * GIB, count)
    import torch

    if on_cpu or not torch.cuda.is_available():
        return Machine(device, not on_cpu and torch.accelerator.is_available(), None, count)
    index = torch.device(device or "cuda").index or 0
    return Machine(device, True, float(torch.cuda.get_device_properties(index).total_memory), count)
