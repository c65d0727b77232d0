"""What a client may spend, and what it has spent.

A budget is asked *before* each call, with the most that the call may cost, and refuses a call that could pass the
limit. So the limit is never passed, as far as the estimate of the prompt is right.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whenwhere.errors import BudgetError


@dataclass
class Usage:
    """What a client has spent so far.

    Attributes:
        calls: Number of requests that the server answered.
        prompt_tokens: Tokens of the prompts.
        cached_tokens: Tokens of the prompts that the server had ready and charges less for.
        output_tokens: Tokens of the answers.
        stored: Number of requests answered from the response cache, which cost nothing.
        retries: Number of times a request was sent again.
        failures: Number of requests without an answer.
        seconds: Sum of the seconds that the calls took.
    """

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    stored: int = 0
    retries: int = 0
    failures: int = 0
    seconds: float = 0.0


class Reservation:
    """Tokens set aside for one call. Whoever makes the call sets `spent` to the tokens that it really cost."""

    def __init__(self) -> None:
        self.spent: int | None = None


class Budget:
    """A limit on what is spent, which several clients and threads may share.

    Args:
        calls: Largest number of answered calls. None sets no limit.
        tokens: Largest number of tokens, prompts and answers together. None sets no limit.

    >>> budget = Budget(tokens=100)
    >>> with budget.reserve(60) as reservation:
    ...     reservation.spent = 50
    >>> with budget.reserve(60) as reservation:
    ...     pass
    Traceback (most recent call last):
    ...
    whenwhere.errors.BudgetError: the next call may cost 60 tokens, and 50 of 100 are left: allow more tokens
    """

    def __init__(self, calls: int | None = None, tokens: int | None = None) -> None:
        self.calls, self.tokens = calls, tokens
        self.spent_calls = self.spent_tokens = 0
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[Reservation]:
        """Set aside what a call may cost while the block runs.

        Afterwards the reservation's `spent` tokens are counted as spent. If it is still None, the call failed and
        nothing is counted.

        Raises:
            BudgetError: there is not enough left.
        """
        with self._lock:
            if self.calls is not None and self.spent_calls + 1 > self.calls:
                raise BudgetError(f"all {self.calls} calls that were allowed are spent: allow more calls")
            if self.tokens is not None and self.spent_tokens + tokens > self.tokens:
                left = max(self.tokens - self.spent_tokens, 0)
                raise BudgetError(
                    f"the next call may cost {tokens} tokens, and {left} of {self.tokens} are left: allow more tokens"
                )
            self.spent_calls += 1
            self.spent_tokens += tokens
        reservation = Reservation()
        try:
            yield reservation
        finally:
            with self._lock:
                self.spent_calls -= reservation.spent is None
                self.spent_tokens += (reservation.spent or 0) - tokens
