"""Processes that read samples beside the run, so that videos are decoded on other cores than the run's own.

A worker is started with the source and gets numbers of samples. It first tells how many bytes the frames of a sample
take, waits until the run has room for them, and then reads them. Frames that lie in the cache of decoded frames are not
sent: the run maps them itself. A fault of a sample is raised in the run as it would be without workers.

Workers are spawned, not forked, since a run has threads and perhaps an accelerator's context. They ignore the
interrupt key, which is the run's business, and end when the run does, however it ends. A worker that dies while it
reads (killed, or crashed by a damaged video) is replaced and the sample tried once more; then the sample counts as
faulty.
"""

import contextlib
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whenwhere.array_cache import ArrayCache
from whenwhere.engine.processes import die_with_parent, interrupts_blocked
from whenwhere.errors import SettingError, WhenwhereError
from whenwhere.training.data.samples import DeferredSample, Sample, SampleSource, deferred
from whenwhere.training.run_folder import SampleError
from whenwhere.video.read import cores, limit_cores

#: Bytes of what stands for a sample's frames, such as features that were computed from them before; None if the frames
#: themselves are needed. It must be possible to pickle it.
Substitute = Callable[[Sample], int | None]
#: Seconds in which a worker must end when it is told to.
_PATIENCE = 5.0


def no_substitute(sample: Sample) -> int | None:
    """The substitute of a run that needs the frames of every sample.

    Args:
        sample: Any sample.
    """
    return None


def read_sample(source: SampleSource, index: int, admit: Callable[[int], None], substitute: Substitute) -> Sample:
    """Reads a sample in this process.

    Args:
        source: The samples.
        index: Number of the sample.
        admit: Called with the bytes of its frames before they are read; returns when there is room for them.
        substitute: Says whether something stands for the frames, which are then not read.

    Raises:
        WhenwhereError: The sample cannot be used.
    """
    sample = deferred(source, index)
    instead = substitute(sample)
    admit(sample.nbytes if instead is None else instead)
    if instead is None:
        _ = sample.images
    return sample


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection


class _DiedError(Exception):
    """A worker ended while it read a sample."""


class WorkerPool:
    """Processes that read samples of one source; several threads may ask for samples at once.

    Args:
        source: The samples; it must be possible to pickle it.
        count: Number of processes.
        store: Cache in which the source keeps decoded frames by `Sample.content`. None if it keeps none.
        substitute: Says whether something stands for a sample's frames, which are then not read.

    Attributes:
        problem: A sentence about a cache that a worker could not write. None while all is well.
    """

    def __init__(self, source: SampleSource, count: int, store: ArrayCache | None, substitute: Substitute) -> None:
        self._source, self._store = source, store
        self.problem: str | None = None
        threads = max(1, cores() // count)
        try:
            self._start_with = pickle.dumps((source, store, substitute, threads))
        except (pickle.PicklingError, AttributeError, TypeError) as e:
            raise SettingError(
                f"these samples cannot be read by other processes ({e}): set dataloader_num_workers=0"
            ) from e
        self._context = get_context("spawn")
        self._closed = False
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(count):
            self._idle.put(self._start())

    def read(self, index: int, admit: Callable[[int], None]) -> Sample:
        """Reads a sample in one of the processes; waits until one is free.

        Args:
            index: Number of the sample.
            admit: Called with the bytes of its frames before they are read; returns when there is room for them.

        Raises:
            WhenwhereError: The sample cannot be used.
        """
        worker = self._idle.get()
        try:
            for _ in range(2):
                if not worker.process.is_alive():
                    worker = self._replaced(worker)
                try:
                    return self._read(worker, index, admit)
                except _DiedError:
                    worker = self._replaced(worker)
        finally:
            self._idle.put(worker)
        raise SampleError(
            f"sample {index}", "the process that read it died twice: convert its video, or leave the sample out"
        )

    def close(self) -> None:
        """Ends the processes."""
        self._closed = True
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            self._end(worker)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._start_with), daemon=True, name="whenwhere-samples"
        )
        with interrupts_blocked():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        with self._lock:
            self._all.add(worker)
        return worker

    def _replaced(self, worker: _Worker) -> _Worker:
        """A new worker in place of one that died.

        Raises:
            WhenwhereError: The processes were ended.
        """
        self._end(worker)
        if self._closed:
            raise WhenwhereError("the processes that read samples were ended")
        return self._start()

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.process.terminate()
        worker.process.join(_PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        with contextlib.suppress(OSError):
            worker.pipe.close()

    def _read(self, worker: _Worker, index: int, admit: Callable[[int], None]) -> Sample:
        try:
            worker.pipe.send(index)
            said = _expect(worker.pipe)
            admit(said["bytes"])
            worker.pipe.send(None)
            said = _expect(worker.pipe)
            self.problem = self.problem or said["problem"]
            images = None
            if said["sent"]:
                images = np.empty(said["shape"], np.uint8)
                worker.pipe.recv_bytes_into(images.reshape(-1).data)
        except (EOFError, OSError, TypeError) as e:
            # a pipe that is closed in the meantime raises whatever it was doing
            raise _DiedError from e
        sample = DeferredSample(
            said["id"], said["shape"], said["times"], said["questions"], self._reader(index, said["content"]),
            said["source"], said["content"],
        )  # fmt: skip
        if images is not None:
            sample.__dict__["images"] = images
        elif said["kept"]:
            _ = sample.images
        return sample

    def _reader(self, index: int, content: str) -> Callable[[], NDArray[np.uint8]]:
        """Reads the frames of a sample in this process: from the cache, or else from the source."""

        def read() -> NDArray[np.uint8]:
            kept = None if self._store is None or not content else self._store.read(content)
            return self._source[index].images if kept is None else kept.arrays["images"]

        return read


def _expect(pipe: Connection) -> dict[str, Any]:
    """What a worker says of a sample, or the error that it met."""
    said: dict[str, Any] | BaseException = pipe.recv()
    if isinstance(said, BaseException):
        raise said
    return said


def _serve(pipe: Connection, start_with: bytes) -> None:
    """A worker's whole life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()
    source, store, substitute, threads = pickle.loads(start_with)
    limit_cores(threads)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        while True:
            index = pipe.recv()
            try:
                _serve_one(pipe, source, store, substitute, index)
            except (EOFError, BrokenPipeError, ConnectionError):
                raise
            except WhenwhereError as e:
                pipe.send(e)
            except BaseException:
                pipe.send(RuntimeError(f"a process that reads samples failed:\n{traceback.format_exc()}"))


def _serve_one(
    pipe: Connection, source: SampleSource, store: ArrayCache | None, substitute: Substitute, index: int
) -> None:  # fmt: skip
    sample = deferred(source, index)
    instead = substitute(sample)

    def kept() -> bool:
        return instead is None and store is not None and bool(sample.content) and store.size(sample.content) is not None

    pipe.send({"bytes": sample.nbytes if instead is None else instead})
    pipe.recv()
    if instead is None and not kept():
        # a source with a cache puts them there
        _ = sample.images
    sent = instead is None and not kept()
    pipe.send({
        "id": sample.id, "shape": sample.shape, "times": sample.times, "questions": sample.questions,
        "source": sample.source, "content": sample.content, "sent": sent, "kept": instead is None and not sent,
        "problem": None if store is None else store.problem,
    })  # fmt: skip
    if sent:
        pipe.send_bytes(np.ascontiguousarray(sample.images).reshape(-1).data)
