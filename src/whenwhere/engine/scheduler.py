"""The scheduler that both engines share: it gives tasks to workers in order, and yields what becomes of each."""

import itertools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from whenwhere.errors import SettingError, WhenwhereError

T = TypeVar("T")
R = TypeVar("R")
#: How often a task is tried if its worker dies meanwhile.
TRIES = 2


class WorkerDiedError(WhenwhereError):
    """The process that worked on a task ended before it was done."""

    kind = "worker"


@dataclass(frozen=True)
class TaskOutcome(Generic[T, R]):
    """What became of a task.

    Attributes:
        task: The task.
        result: What the function returned; None if it failed.
        error: Why it failed; None if it did not. An error that is not a `WhenwhereError` is a fault of the program, and
            carries the worker's traceback as a note.
    """

    task: T
    result: R | None = None
    error: Exception | None = None


class EngineWorker(Protocol):
    """A process that carries out one task at a time."""

    def call(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        """Do a task, and wait for its result.

        Args:
            made: A pickled function without arguments that makes the function of the tasks (see `Engine.run`).
            task: The task.

        Returns:
            The result and None, or None and the error.

        Raises:
            WorkerDiedError: The process ended.
        """

    def close(self) -> None:
        """End the process, whatever it is doing."""


class Engine:
    """Workers that carry out tasks; a context manager that ends them.

    Workers are started when there is something to do for them, and stay for further calls of `run`.

    Args:
        workers: Largest number of workers.
        start: Starts a worker.
        dumps: Pickles the functions that are sent to workers.
        close: Called at the end, after the workers have ended.

    Attributes:
        workers: Largest number of workers.
    """

    def __init__(
        self,
        workers: int,
        start: Callable[[], EngineWorker],
        dumps: Callable[[Any], bytes] = pickle.dumps,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.workers = workers
        self._start, self._dumps, self._after = start, dumps, close
        self._idle: SimpleQueue[EngineWorker] = SimpleQueue()
        self._all: set[EngineWorker] = set()
        self._lock = Lock()
        self._closed = False

    def run(self, make: Callable[[], Callable[[T], R]], tasks: Iterable[T]) -> Iterator[TaskOutcome[T, R]]:
        """Carry out tasks, and yield what becomes of each as soon as it is known, in any order.

        Tasks are drawn a little ahead of the workers, so there may be more of them than fit into memory. If the caller
        stops early, tasks that have not begun are dropped, and those under way are ended with the engine.

        Args:
            make: Makes the function that carries out a task; called once in each worker, so that a model is loaded
                once. It must be possible to pickle it, tasks and results.
            tasks: The tasks, in the order in which they are begun.

        Raises:
            SettingError: Workers cannot be started, or `make` cannot be sent to them.
        """
        try:
            made = self._dumps(make)
        except (pickle.PicklingError, AttributeError, TypeError) as e:
            raise SettingError(f"this work cannot be sent to other processes ({e}): leave out the engine") from e
        rest = iter(tasks)
        running: dict[Future[tuple[Any, Exception | None]], T] = {}
        threads = ThreadPoolExecutor(self.workers, thread_name_prefix="whenwhere-engine")
        try:
            while True:
                # one more than can be worked on, so that no worker waits for the caller
                for task in itertools.islice(rest, self.workers + 1 - len(running)):
                    running[threads.submit(self._do, made, task)] = task
                if not running:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    result, error = future.result()
                    yield TaskOutcome(running.pop(future), result, error)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.close()
        self._after()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        for _ in range(TRIES):
            worker = self._worker()
            try:
                answer = worker.call(made, task)
            except WorkerDiedError:
                with self._lock:
                    self._all.discard(worker)
                worker.close()
            else:
                self._idle.put(worker)
                return answer
        return None, WorkerDiedError(
            f"the process that worked on it ended {TRIES} times (killed for lack of memory, or by a damaged video): "
            "rerun with fewer workers, or leave it out"
        )

    def _worker(self) -> EngineWorker:
        with suppress(Empty):
            return self._idle.get_nowait()
        if self._closed:
            raise WorkerDiedError("the engine was closed")
        worker = self._start()
        with self._lock:
            if not self._closed:
                self._all.add(worker)
                return worker
        worker.close()
        raise WorkerDiedError("the engine was closed")


class TaskRunner:
    """Carries out tasks in a worker, wherever that runs."""

    def __init__(self) -> None:
        self._made = b""
        self._function: Callable[[Any], Any] | None = None

    def __call__(self, made: bytes, task: Any) -> tuple[Any, Exception | None]:
        """Do a task: its result and None, or None and the error in a form that can be sent to another process."""
        try:
            if self._function is None or made != self._made:
                self._function = pickle.loads(made)()
                self._made = made
            return self._function(task), None
        except Exception as e:
            return None, portable(e)


def portable(error: Exception) -> Exception:
    """An error in a form that can be sent to another process; one that is not explained to users carries its traceback.

    Args:
        error: The error.
    """
    import traceback

    if not isinstance(error, WhenwhereError):
        error.add_note(f"in a worker:\n{''.join(traceback.format_exception(error))}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        stranger = RuntimeError(f"{type(error).__name__}: {error}")
        for text in getattr(error, "__notes__", ()):
            stranger.add_note(text)
        return stranger
    return error


def own_cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
