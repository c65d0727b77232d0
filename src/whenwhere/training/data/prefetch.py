"""Prepares items in a thread before they are needed, so that videos are decoded while the model computes.

Every request says which items come next: an update of SFT takes a fixed number of samples, while an update of RL takes
as many as it needs, so the number is estimated from the update before.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from whenwhere.training.data.samples import OrderedSource, SampleSource

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Prepares numbered items in a thread; every item is prepared once, and dropped when it is handed out."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "samples")
        self._futures: dict[int, Future[T]] = {}

    def get(self, number: int, prepare: Callable[[int], T], following: Iterable[int] = ()) -> T:
        """One item.

        Args:
            number: Number of the item.
            prepare: Function that makes an item from its number. It runs in the thread, or in the caller's if
                `following` is empty and the item is not prepared yet.
            following: Numbers of the items that will be asked for next; they are prepared in the background.

        Raises:
            WhenwhereError: `prepare` raised it for this item.
        """
        following = list(following)
        if not following and number not in self._futures:
            return prepare(number)
        for k in (number, *following):
            if k not in self._futures:
                self._futures[k] = self._pool.submit(prepare, k)
        return self._futures.pop(number).result()

    def close(self) -> None:
        """Ends the thread; items whose preparation has not begun are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def can_prefetch(source: SampleSource) -> bool:
    """Whether samples of a source can be read in advance.

    They cannot if the source is a curriculum, which chooses a sample only when the run asks for it.

    Args:
        source: The source of a run.
    """
    return not isinstance(source, OrderedSource)
