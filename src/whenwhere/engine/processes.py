"""Workers that are processes of this machine.

They are spawned, not forked, since the caller may have threads and an accelerator's context. They ignore the interrupt
key, which is the caller's business, and end when the caller does, however it ends.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any

from whenwhere.engine.scheduler import TaskRunner, WorkerDiedError, portable
from whenwhere.errors import SettingError
from whenwhere.video.read import limit_cores

#: Seconds that a worker has to end after it was told to.
_PATIENCE = 5.0


class ProcessWorker:
    """A process that carries out tasks.

    Args:
        threads: Number of cores on which it reads a video.

    Raises:
        SettingError: The process ends while it starts.
    """

    def __init__(self, threads: int) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, threads), daemon=True, name="whenwhere-worker")
        try:
            with interrupts_blocked():
                self._process.start()
            theirs.close()
            self._pipe.recv()
        except (EOFError, OSError, RuntimeError) as e:
            self.close()
            raise SettingError(
                "a worker process ends while it starts: in a script, put the call under "
                '`if __name__ == "__main__":`, because each process imports the script'
            ) from e

    def call(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        """Do a task and wait for it (`EngineWorker`)."""
        try:
            self._pipe.send((made, task))
            answer: tuple[Any, Exception | None] = self._pipe.recv()
        except (EOFError, OSError, TypeError) as e:
            # a pipe that is closed while it is in use raises any of these
            raise WorkerDiedError("a worker process ended") from e
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process.pid is not None:
            self._process.terminate()
            self._process.join(_PATIENCE)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        with contextlib.suppress(OSError):
            self._pipe.close()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Context manager: processes that are started in the block do not get the interrupt key while they start."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def die_with_parent() -> None:
    """End this process as soon as the one that started it has ended; run in a thread of its own."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    # at once: a decoder that hangs would keep the process alive
    os._exit(1)


def _serve(pipe: Connection, threads: int) -> None:
    """Carry out the tasks that come through a pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()
    limit_cores(threads)
    runner = TaskRunner()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        pipe.send(None)
        while True:
            answer = runner(*pipe.recv())
            try:
                pipe.send(answer)
            except (EOFError, BrokenPipeError, ConnectionError):
                raise
            except Exception as e:
                pipe.send((None, portable(e)))
