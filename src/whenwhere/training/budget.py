"""A limit on the memory of samples that were read ahead and wait for their turn.

Items are admitted in the order in which they were announced, before their memory is taken: an item waits until those
before it have been admitted and there is room. An item that is larger than the limit is admitted when nothing else is
held, so that it passes alone. How much an item takes in the end (tokens and pixels as the model wants them) is learned
as a multiple of its frames; the first item passes alone, since nothing is known yet.
"""

import re
from threading import Condition

from whenwhere.errors import SettingError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE | re.ASCII)


def parse_size(text: str, what: str) -> int:
    """Bytes of a size as people write it.

    Args:
        text: A number with a unit.
        what: Name of the setting, for the error message.

    Raises:
        SettingError: It is not a size above 0.

    >>> parse_size("4 GiB", "memory"), parse_size("1.5k", "memory"), parse_size("200 MB", "memory")
    (4294967296, 1500, 200000000)
    """
    found = _SIZE.fullmatch(text.strip())
    size = 0
    if found is not None and len(found[1]) < 16:
        size = int(float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2].lower()])
    if not size:
        raise SettingError(f"{what} is {text[:40]!r}, not a size such as 4 GiB or 500 MB")
    return size


class MemoryBudget:
    """Admits numbered items within a limit of memory; for many threads.

    Args:
        limit: Largest number of bytes of all admitted items together.
        least_factor: Least number of bytes that are held at some time for each byte of frames.

    Attributes:
        limit: As given.
        held: Bytes of the items that are held now.
        most: The most that was ever held.

    >>> budget = MemoryBudget(100)
    >>> budget.expect(0), budget.expect(1)
    (None, None)
    >>> budget.admit(0, 40), budget.settle(0, 50)       # an item takes 1.25 times what its frames take
    (None, None)
    >>> budget.admit(1, 40), budget.held                # waits if there is no room
    (None, 100.0)
    >>> budget.release(0), budget.held
    (None, 50.0)
    """

    def __init__(self, limit: int, least_factor: float = 1.0) -> None:
        self.limit, self._least = limit, least_factor
        self.most = 0.0
        self._changed = Condition()
        self._waiting: list[int] = []
        self._held: dict[int, float] = {}
        self._frames: dict[int, int] = {}
        self._factor: float | None = None
        self._wanted: int | None = None
        self._closed = False

    @property
    def held(self) -> float:
        """Bytes of the items that are held now."""
        return sum(self._held.values())

    def expect(self, number: int) -> None:
        """Announces an item; items are admitted in the order in which they were announced.

        Args:
            number: Number of the item.
        """
        with self._changed:
            self._waiting.append(number)

    def admit(self, number: int, frames: int) -> None:
        """Waits until there is room for an item, and takes it. An item that was not announced does not wait.

        Args:
            number: Number of the item.
            frames: Bytes of its frames.
        """
        with self._changed:
            if number not in self._waiting:
                return
            self._changed.wait_for(lambda: self._closed or self._fits(number, frames))
            if self._closed:
                return
            self._waiting.remove(number)
            self._frames[number] = frames
            self._held[number] = self._size(frames)
            self.most = max(self.most, self.held)
            self._changed.notify_all()

    def want(self, number: int | None) -> None:
        """Tells which item the run waits for: nothing that is read ahead may keep it waiting.

        Args:
            number: Number of the item. None when it has come.
        """
        with self._changed:
            self._wanted = number
            self._changed.notify_all()

    def settle(self, number: int, size: int) -> None:
        """Tells what an item takes, now that it is made; also of an item that failed before it was admitted.

        Args:
            number: Number of the item.
            size: Bytes that it takes.
        """
        with self._changed:
            if number in self._waiting:
                self._waiting.remove(number)
            if number in self._held and number in self._frames:
                frames = self._frames.pop(number)
                self._held[number] = size
                self.most = max(self.most, self.held)
                if frames:
                    self._factor = max(self._factor or self._least, size / frames)
            self._changed.notify_all()

    def release(self, number: int) -> None:
        """Tells that an item is handed out and waits no longer.

        Args:
            number: Number of the item.
        """
        with self._changed:
            self._held.pop(number, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets everybody through who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _size(self, frames: int) -> float:
        """Bytes that an item is expected to take."""
        return frames * self._factor if self._factor is not None else float(max(frames, self.limit))

    def _fits(self, number: int, frames: int) -> bool:
        if number == self._wanted:
            return True
        return self._waiting[0] == number and self.held + self._size(frames) <= self.limit
