"""Reads a run's samples by their position in its order: ahead of the run, in other processes, within a memory limit.

    reader = SampleReader(source, settings, finish=tokenise, size=lambda item: item.nbytes)
    item = reader.get(position, progress, following=range(position + 1, position + 9))
    reader.close()

What is read does not depend on how: number of workers, memory and reading ahead change only when it is ready.
"""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from threading import Lock
from typing import Generic, TypeVar

from whenwhere.training.budget import MemoryBudget, parse_size
from whenwhere.training.data.prefetch import Prefetcher, can_prefetch
from whenwhere.training.data.samples import OrderedSource, Sample, SampleSource, frame_store, index_at
from whenwhere.training.data.workers import Substitute, WorkerPool, no_substitute, read_sample
from whenwhere.training.settings import TrainingSettings

T = TypeVar("T")


class SampleReader(Generic[T]):
    """Reads the samples of a run, and makes of each what the run needs.

    Args:
        source: The samples.
        settings: The settings of the run.
        finish: Makes of a sample what the run needs; one sample at a time.
        size: Bytes that a finished sample takes in memory.
        substitute: Says whether something stands for a sample's frames, which are then not read.

    Attributes:
        budget: The limit on the memory of what waits.
    """

    def __init__(
        self,
        source: SampleSource,
        settings: TrainingSettings,
        finish: Callable[[Sample], T],
        size: Callable[[T], int],
        substitute: Substitute = no_substitute,
    ) -> None:
        self._source, self._seed, self._finish, self._size = source, settings.seed, finish, size
        self._substitute, self._store = substitute, frame_store(source)
        self._count = settings.dataloader_num_workers if can_prefetch(source) else 0
        # a worker still has the frames while it hands them over
        limit = parse_size(settings.dataloader_memory, "dataloader_memory")
        self.budget = MemoryBudget(limit, 2.0 if self._count else 1.0)
        self._prefetcher: Prefetcher[T] = Prefetcher(max(1, self._count))
        self._finishing = Lock()

    @cached_property
    def _pool(self) -> WorkerPool | None:
        return WorkerPool(self._source, self._count, self._store, self._substitute) if self._count else None

    @property
    def problem(self) -> str | None:
        """A sentence about a cache that cannot be written. None while all is well."""
        pool = self.__dict__.get("_pool")
        found = None if pool is None else pool.problem
        return found or (None if self._store is None else self._store.problem)

    def get(self, position: int, progress: float, following: Iterable[int] = ()) -> T:
        """What the run needs of the sample at a position.

        Args:
            position: Index in the run's order, from 0.
            progress: Share of the updates that are done, 0-1.
            following: Positions that will be asked for next, in order. They are read in the background unless the
                source chooses a sample only when the run asks for it.

        Raises:
            WhenwhereError: The sample cannot be used.
        """
        if isinstance(self._source, OrderedSource):
            return self._finish(self._source.at(position, progress))
        if self._count:
            _ = self._pool  # before there are threads that need it
        self.budget.want(position)
        try:
            return self._prefetcher.get(position, self._prepare, following, self.budget.expect)
        finally:
            self.budget.release(position)
            self.budget.want(None)

    def _prepare(self, position: int) -> T:
        size = 0
        try:
            index, admit = index_at(self._source, position, self._seed), partial(self.budget.admit, position)
            if self._pool is None:
                sample = read_sample(self._source, index, admit, self._substitute)
            else:
                sample = self._pool.read(index, admit)
            with self._finishing:
                item = self._finish(sample)
            size = self._size(item)
            return item
        finally:
            self.budget.settle(position, size)

    def close(self) -> None:
        """Ends threads and processes."""
        self.budget.close()
        pool = self.__dict__.get("_pool")
        if pool is not None:
            pool.close()
        self._prefetcher.close()
