"""Several questions in flight at once: a small pool of threads that keeps results in order.

A model behind an address answers many questions in the time of one, so callers with several questions put them into a
`QuestionPool` of as many threads as the back end's `concurrency`. With a concurrency of 1 nothing runs in a thread: a
question is asked when its result is wanted.

Memory: each question in flight holds its own decoded frames, at most about 100 MB
(`whenwhere.grounders.call_runner.GROUP_BYTES`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class QuestionPool:
    """Runs a function for many items with at most `concurrency` of them under way, for all callers together.

    Args:
        concurrency: The largest number of items under way at a time.

    >>> with QuestionPool(4) as pool:
    ...     list(pool.map(lambda x: x * x, range(5)))
    [0, 1, 4, 9, 16]
    """

    def __init__(self, concurrency: int = 1) -> None:
        self.concurrency, self._closed = concurrency, False
        self._threads = ThreadPoolExecutor(concurrency, "whenwhere-question") if concurrency > 1 else None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """The results for all items, in their order. Items are drawn a little ahead of the results, not all at once.

        An error of `function` is raised in the place of its result; items that have not begun by then are dropped. If
        another thread closes the pool, the next result is a `CancelledError`.
        """
        if self._threads is None:
            yield from map(function, items)
            return
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(self._threads.submit(function, item))
                # twice as many, so that one slow item at the front does not leave threads idle
                if len(waiting) >= 2 * self.concurrency:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _result(self, future: Future[R]) -> R:
        result = future.result()
        if self._closed:
            # what ended because everything ended is not a result
            raise CancelledError
        return result

    def close(self) -> None:
        """Drop what has not begun. What is under way is not waited for; closing the back end ends it."""
        self._closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
