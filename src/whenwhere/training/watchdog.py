"""Ends a run of several processes that does not get on, and names the process that all others wait for.

A collective operation waits until every process takes part in it. If one process hangs, on a dead disk or a lost
machine, the others would wait in silence for as long as the library's own time-out lets them. So every process counts
the places that all of them pass, tells the others its count through the store by which they found each other, and ends
when it has not got on for too long: the process with the lowest count is the one that hangs.
"""

import os
import sys
import threading
import time
from typing import Any


class Watchdog:
    """Watches the progress of this process in a thread of its own.

    Args:
        rank: Number of this process.
        count: Number of processes.
        seconds: Seconds without progress after which the process ends.
        store: The store that the processes share (`torch.distributed.Store`). None leaves other processes unnamed.
    """

    def __init__(self, rank: int, count: int, seconds: float, store: Any = None) -> None:
        self.rank, self.count, self.seconds, self._store = rank, count, seconds, store
        self._passed, self._step, self._at = 0, 0, time.monotonic()
        self._ended, self._paused = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, daemon=True, name="whenwhere-watchdog")
        self._thread.start()

    def progress(self, step: int | None = None) -> None:
        """Says that this process has got on.

        Args:
            step: Number of updates done, if that has changed.
        """
        self._passed += 1
        self._step = self._step if step is None else step
        self._at = time.monotonic()
        if self._store is not None:
            self._store.set(f"whenwhere/progress/{self.rank}", str(self._passed))

    def pause(self, paused: bool) -> None:
        """Stops the clock while one process may work for as long as it takes and the others wait, or starts it again.

        Args:
            paused: Whether the clock stands still.
        """
        self._paused = paused
        self._at = time.monotonic()

    def end(self) -> None:
        """Stops watching."""
        self._ended.set()

    def message(self) -> str:
        """The sentence with which a run that does not get on ends."""
        behind = self._behind()
        who = "no process" if behind is None else f"process {', '.join(map(str, behind))} of {self.count}"
        said = "has got on" if behind is None else "has hung"
        return (
            f"{who} {said} in update {self._step + 1} for {self.seconds:g} s, says process {self.rank}: look at what "
            "it waits for (its disk, its machine), and rerun to resume from the last state; ddp_timeout sets the "
            "patience"
        )

    def _behind(self) -> list[int] | None:
        """The processes that have passed fewest places, or None if none is behind the others or that is not known."""
        if self._store is None:
            return None
        try:
            counts = {}
            for rank in range(self.count):
                key = f"whenwhere/progress/{rank}"
                counts[rank] = int(self._store.get(key)) if self._store.check([key]) else 0
        except Exception:  # the store ends with the first process, and raises what its transport raises
            return [0] if self.rank else None
        fewest = min(counts.values())
        found = [rank for rank, passed in counts.items() if passed == fewest]
        return None if len(found) == self.count else found

    def _watch(self) -> None:
        while not self._ended.wait(min(self.seconds / 10, 5.0)):
            if not self._paused and time.monotonic() - self._at > self.seconds:
                self._give_up()

    def _give_up(self) -> None:
        print(self.message(), file=sys.stderr, flush=True)  # noqa: T201
        # the main thread waits in a library and cannot be asked to stop
        os._exit(1)
