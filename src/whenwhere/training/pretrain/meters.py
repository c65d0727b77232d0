"""What training costs, measured while it goes on: seconds per update, tokens per second, peak memory.

How much time and memory masking saves are two of the questions that a run should answer, so both are metrics of every
run. Seconds are from the beginning of an update to that of the next, with the optimiser and the wait for clips. Their
median over the last updates is reported, so that a saved state or an evaluation in between does not count; the first
updates of each phase, in which libraries are loaded and kernels are chosen, are left out.
"""

from __future__ import annotations

import sys
from collections import deque
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from whenwhere.training.machine import GIB

if TYPE_CHECKING:
    import torch

#: Number of updates at the beginning of a phase that are left out, and largest number that the median is taken over.
WARM_UP, WINDOW = 3, 100


class Meters:
    """Measures the updates of a run.

    Args:
        device: Device that is computed on.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: deque[float] = deque(maxlen=WINDOW)
        self._phase, self._updates, self._began = -1, 0, 0.0

    def begin(self, phase: int) -> None:
        """Begins an update, which ends the measurement of the one before.

        Args:
            phase: Number of its phase; a new phase begins with a warm-up.
        """
        now = perf_counter()
        if phase != self._phase:
            self._phase, self._updates = phase, 0
            self._seconds.clear()
        elif self._updates > WARM_UP:
            self._seconds.append(now - self._began)
        self._updates, self._began = self._updates + 1, now

    def measured(self, tokens: float) -> dict[str, float]:
        """The metrics measured so far; there are no seconds while the phase warms up.

        Args:
            tokens: Number of video tokens of an update over all processes.

        Returns:
            `step_seconds`, `tokens_per_second`, and the peak memory in GiB (`peak_memory`).
        """
        found = peak_memory(self.device)
        if self._seconds:
            seconds = median(self._seconds)
            found |= {"step_seconds": seconds, "tokens_per_second": tokens / seconds}
        return found


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory that this process has taken so far, in GiB.

    Args:
        device: Device that is computed on.

    Returns:
        `gpu_memory_gib` on a GPU, otherwise `resident_set_gib`; nothing where the system does not tell.
    """
    if device.type == "cuda":
        import torch

        return {"gpu_memory_gib": torch.cuda.max_memory_allocated(device) / GIB}
    try:
        import resource
    except ImportError:  # Windows
        return {}
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"resident_set_gib": most * (1 if sys.platform == "darwin" else 1024) / GIB}
