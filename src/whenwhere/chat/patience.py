"""How long to wait and how often to try again.

Tried again is only what a later moment may mend: 429, 5xx, and connections that fail or break off. A request that was
understood and declined (4xx) or that ran out of time is not: asked again it would cost again. Waits double from try to
try and are drawn from their upper half, so that many clients do not come back in step; `Retry-After` is obeyed, and
where it asks for more than `longest` the call fails at once and says so.
"""

import email.utils
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Times in seconds.

    Attributes:
        connect: until the connection stands.
        read: between two pieces of an answer; the first one may take long, as the model reads the whole prompt first.
        total: for one request, from sending to the last byte.
        retries: most further tries.
        first: the first wait.
        longest: the longest wait.
        draw: gives numbers in [0, 1) for the jitter.
        sleep: waits so many seconds; None = as the client does, which an interrupt ends.
    """

    connect: float = 10.0
    read: float = 300.0
    total: float = 900.0
    retries: int = 4
    first: float = 0.5
    longest: float = 60.0
    draw: Callable[[], float] = random.random
    sleep: Callable[[float], object] | None = None

    def wait(self, tried: int, asked: float | None = None) -> float:
        """Seconds before try number `tried` + 1.

        Args:
            tried: failed tries so far, at least 1.
            asked: what the server asked for.

        >>> patience = Patience(draw=lambda: 0.5)
        >>> [patience.wait(1), patience.wait(2), patience.wait(20), patience.wait(1, 7.0)]
        [0.375, 0.75, 45.0, 7.375]
        """
        drawn = min(self.first * 2.0 ** min(tried - 1, 30), self.longest) * (0.5 + self.draw() / 2)
        # later than asked, and not all of us at once; never earlier
        return drawn if asked is None else asked + min(drawn, self.first)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to wait; None where it asks for nothing that can be read.

    Args:
        headers: with lower-case names.
        now: seconds since the epoch.

    >>> retry_after({"retry-after": "3"}, 0), retry_after({"retry-after-ms": "250"}, 0), retry_after({}, 0)
    (3.0, 0.25, None)
    >>> retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 20)
    40.0
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        return max(email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - now, 0.0)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
