"""Time-outs, and when a failed request is sent again.

A request is sent again only if a later attempt may succeed: after status 429 or 5xx, and after a connection that failed
or broke off. A request that the server understood and declined (4xx) or that ran out of time is not sent again, because
it would cost again. Waits double from attempt to attempt, and each is drawn from the upper half of its range, so that
many clients do not come back in step. `Retry-After` is obeyed; if it asks for more than `longest`, the call fails at
once and says so.
"""

import email.utils
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Time-outs and waits of a client, in seconds.

    Attributes:
        connect: Longest time to open a connection.
        read: Longest silence between two pieces of an answer. The first piece may take long, since the model reads the
            whole prompt first.
        total: Longest time for one request, from sending to the last byte.
        retries: Largest number of further attempts.
        first: The first wait before a further attempt.
        longest: The longest wait.
        draw: Gives random numbers in [0, 1) for the jitter.
        sleep: Waits a number of seconds. None uses the client's own wait, which closing the client ends.
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
        """Seconds to wait before the next attempt.

        Args:
            tried: Number of failed attempts so far, at least 1.
            asked: Seconds that the server asked to wait; None if it did not.

        >>> retry = RetryPolicy(draw=lambda: 0.5)
        >>> [retry.wait(1), retry.wait(2), retry.wait(20), retry.wait(1, 7.0)]
        [0.375, 0.75, 45.0, 7.375]
        """
        drawn = min(self.first * 2.0 ** min(tried - 1, 30), self.longest) * (0.5 + self.draw() / 2)
        # never earlier than the server asked, and spread out so that clients do not all come back at once
        return drawn if asked is None else asked + min(drawn, self.first)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks to wait; None if it does not ask, or its header cannot be read.

    Args:
        headers: Headers of the response, with lower-case names.
        now: The present time in seconds since the epoch.

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
