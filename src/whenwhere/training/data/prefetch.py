"""Prepares items in threads before they are needed, so that videos are decoded while the model computes.

Every request says which items come next: an update of SFT takes a fixed number of samples, while an update of RL takes
as many as it needs, so the number is estimated from the update before.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from whenwhere.training.data.samples import OrderedSource, SampleSource

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Prepares numbered items in threads; every item is prepared once, and dropped when it is handed out.

    Args:
        threads: Number of threads. They begin items in the order in which these were asked for.
    """

    def __init__(self, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, "samples")
        self._futures: dict[int, Future[T]] = {}

    def get(
        self,
        number: int,
        prepare: Callable[[int], T],
        following: Iterable[int] = (),
        announce: Callable[[int], None] = lambda number: None,
    ) -> T:
        """One item.

        Args:
            number: Number of the item.
            prepare: Function that makes an item from its number. It runs in a thread, or in the caller's if
                `following` is empty and the item is not prepared yet.
            following: Numbers of the items that will be asked for next; they are prepared in the background.
            announce: Called with the number of each item that will be prepared in a thread, in order.

        Raises:
            WhenwhereError: `prepare` raised it for this item.
        """
        following = list(following)
        if not following and number not in self._futures:
            return prepare(number)
        for k in (number, *following):
            if k not in self._futures:
                announce(k)
                self._futures[k] = self._pool.submit(prepare, k)
        return self._futures.pop(number).result()

    def close(self) -> None:
        """Ends the threads; items whose preparation has not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def can_prefetch(source: SampleSource) -> bool:
    """Whether samples of a source can be read in advance.

    They cannot if the source is a curriculum, which chooses a sample only when the run asks for it.

    Args:
        source: The source of a run.
    """
    return not isinstance(source, OrderedSource)
