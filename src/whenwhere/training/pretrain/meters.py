"""What training costs, measured while it goes on: seconds of an update, tokens per second, peak memory.

Two of the questions that are asked of masking are how much time and how much memory it saves, so both are metrics of
every run. Seconds are from the beginning of an update to that of the next, optimiser and waiting for clips included:
the median of the last updates, so that a saved state or an evaluation in between does not count, and without the first
ones of each phase, in which libraries are loaded and kernels are chosen.
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

#: Updates at the beginning of a phase that are not counted, and the number of updates that a median is of.
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
        """Begins an update, and ends the one before, whose optimiser has made its step by now.

        Args:
            phase: Number of its phase; a new one begins with a warm-up.
        """
        now = perf_counter()
        if phase != self._phase:
            self._phase, self._updates = phase, 0
            self._seconds.clear()
        elif self._updates > WARM_UP:
            self._seconds.append(now - self._began)
        self._updates, self._began = self._updates + 1, now

    def measured(self, tokens: float) -> dict[str, float]:
        """What was measured so far, without seconds while the phase warms up.

        Args:
            tokens: Video tokens of an update over all processes.
        """
        found = peak_memory(self.device)
        if self._seconds:
            seconds = median(self._seconds)
            found |= {"step_seconds": seconds, "tokens_per_second": tokens / seconds}
        return found


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory that this process has taken so far, in GiB: that of the GPU, or the resident set on a CPU.

    Args:
        device: Device that is computed on.
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
